/** What the learning worker serves and how it is spawned. Plain data only. An abort is heard between two passes over the examples. */
import type { ServedCall } from '../engine/wire.ts';
import type { Adapter, AdapterExample, AdapterOptions } from './adapter.ts';
import type { LogisticExample, LogisticModel } from './logistic.ts';

/** Passes made and the loss of the last one. */
export interface TrainingProgress {
  readonly epoch: number;
  readonly of: number;
  readonly loss: number;
}

export interface LearningWorkerApi {
  trainAdapter(
    input: { readonly embedder: string; readonly dimensions: number; readonly examples: readonly AdapterExample[]; readonly options: AdapterOptions },
    call: ServedCall<TrainingProgress>,
  ): Promise<Adapter>;
  trainLogistic(input: { readonly features: readonly string[]; readonly examples: readonly LogisticExample[] }, call: ServedCall): Promise<LogisticModel>;
}

export const spawnLearningWorker = (): Worker => new Worker(new URL('../../workers/learning.ts', import.meta.url), { type: 'module', name: 'learning' });
