/** A page that is nothing but the engine, for `engine-*.spec.ts`: it puts hosts, clients and the model files beside the page within reach of `page.evaluate`. */
import { loadEmbedder, loadLlm } from '../../../src/engine/clients.ts';
import { probeDevice } from '../../../src/engine/device.ts';
import { createHost } from '../../../src/engine/host.ts';
import { complete } from '../../../src/engine/llm.ts';
import type { GenerateRequest, GenerateResult, Llm } from '../../../src/engine/llm.ts';
import { spawnEmbedWorker, spawnLlmWorker } from '../../../src/engine/worker-api.ts';
import type { EmbedWorkerApi, LlmLoadRequest, LlmWorkerApi, ModelBlobs } from '../../../src/engine/worker-api.ts';
import { AppError, toWire } from '../../../src/errors.ts';
import { spawnLearningWorker, type LearningWorkerApi } from '../../../src/learning/worker-api.ts';

const faults: string[] = [];
const onFault = (error: AppError): void => void faults.push(error.code);
const llmHost = createHost<LlmWorkerApi>({ name: 'llm', spawn: spawnLlmWorker, graceSeconds: 15, onFault });
const embedHost = createHost<EmbedWorkerApi>({ name: 'embed', spawn: spawnEmbedWorker, onFault });
const learningHost = createHost<LearningWorkerApi>({ name: 'learning', spawn: spawnLearningWorker, onFault });
const never = new AbortController().signal;

async function blobs(id: string, paths: readonly string[]): Promise<ModelBlobs> {
  const entries = await Promise.all(
    paths.map(async (path) => {
      const response = await fetch(`models/${id}/${path}`);
      if (!response.ok) throw new Error(`models/${id}/${path}: ${response.status}`);
      return [path, await response.blob()] as const;
    }),
  );
  return Object.fromEntries(entries);
}

async function llm(request: Omit<LlmLoadRequest, 'files' | 'label' | 'contextTokens' | 'threads' | 'useGpu'> & Partial<LlmLoadRequest>): Promise<Llm> {
  return loadLlm(llmHost, { label: request.modelId, contextTokens: 1024, threads: 1, useGpu: false, files: {}, ...request }, never, () => {});
}

/** Generates and stops after `pieces` pieces of text; resolves with what came and how it ended. */
async function generateAndStop(model: Llm, request: GenerateRequest, pieces: number): Promise<{ pieces: number; error: string; ms: number }> {
  const stop = new AbortController();
  let seen = 0;
  let stoppedAt = 0;
  try {
    for await (const event of model.generate(request, stop.signal)) {
      if (event.kind === 'text' && ++seen === pieces) {
        stoppedAt = performance.now();
        stop.abort();
      }
    }
    return { pieces: seen, error: '', ms: 0 };
  } catch (error) {
    return { pieces: seen, error: error instanceof Error ? error.name : String(error), ms: performance.now() - stoppedAt };
  }
}

async function generate(model: Llm, request: GenerateRequest): Promise<{ result: GenerateResult; deltas: readonly string[] }> {
  const deltas: string[] = [];
  return { result: await complete(model, request, never, (delta) => deltas.push(delta)), deltas };
}

const engine = { llmHost, embedHost, learningHost, faults, blobs, llm, generate, generateAndStop, loadEmbedder, probeDevice, never, toWire, AppError };
export type EnginePage = typeof engine;
Object.assign(globalThis, { engine });
