/**
 * What the LLM worker and the embedding worker serve, and how they are spawned. Plain data only; model bytes travel as `Blob`s, which are cloned by reference.
 */
import type { Progress } from '../progress.ts';
import type { GpuProbe } from './device.ts';
import type { EmbeddedBatch, EmbedderInfo, GoldenVector } from './embedder.ts';
import type { ContinuationScore, GenerateEvent, GenerateRequest, LlmBackendId, LlmInfo, Message } from './llm.ts';
import type { OpenedReranker, RerankInput } from './reranker.ts';
import type { ServedCall } from './wire.ts';

/** The files of a model by their path inside its folder. */
export type ModelBlobs = Readonly<Record<string, Blob>>;

export interface LlmLoadRequest {
  readonly backend: LlmBackendId;
  readonly modelId: string;
  readonly label: string;
  /** Empty for backends that fetch by themselves (WebLLM) or need nothing (http, scripted). */
  readonly files: ModelBlobs;
  /** Tokens of context to allocate; the model's own limit where it is smaller. */
  readonly contextTokens: number;
  /** Threads for WASM engines (`DeviceVerdict.threads`). */
  readonly threads: number;
  /** Use WebGPU where the backend can: the verdict's word, checked again after loading (`LlmInfo.device`). */
  readonly useGpu: boolean;
  /** Requests worked on side by side; default 1. */
  readonly slots?: number;
  /** For `http`: base address (`…/v1`), model name, and a key that is kept in memory only. */
  readonly endpoint?: { readonly url: string; readonly model: string; readonly key?: string };
  /** For `scripted`: see `backends/scripted.ts`. */
  readonly script?: unknown;
}

export interface LlmWorkerApi {
  /** The graphics adapter as this worker gets it. */
  probe(input: null, call: ServedCall): Promise<GpuProbe>;
  /** Replaces what is loaded. Rejects with `engine/load-failed` and leaves nothing loaded. */
  load(request: LlmLoadRequest, call: ServedCall<Progress>): Promise<LlmInfo>;
  generate(request: GenerateRequest, call: ServedCall): AsyncIterable<GenerateEvent>;
  score(request: { readonly messages: readonly Message[]; readonly continuation: string }, call: ServedCall): Promise<ContinuationScore | null>;
  countTokens(text: string, call: ServedCall): Promise<number>;
  unload(input: null, call: ServedCall): Promise<void>;
}

export interface EmbedderLoadRequest {
  readonly modelId: string;
  readonly files: ModelBlobs;
  /** `auto`: WebGPU on a hardware adapter, else WASM. `webgpu` is for tests: also on a software adapter, without falling back. */
  readonly device: 'auto' | 'webgpu' | 'wasm';
  readonly threads: number;
  /** Overrides the catalogue's golden vectors (a shard's own, or wrong ones in tests). */
  readonly golden?: readonly GoldenVector[];
}

export interface RerankerLoadRequest {
  readonly modelId: string;
  readonly files: ModelBlobs;
  readonly device: 'auto' | 'webgpu' | 'wasm';
  readonly threads: number;
}

export interface EmbedWorkerApi {
  /** Replaces what is loaded; the golden vectors are checked before it resolves (`embed/mismatch`). */
  load(request: EmbedderLoadRequest, call: ServedCall<Progress>): Promise<EmbedderInfo>;
  embed(request: { readonly texts: readonly string[]; readonly kind: 'query' | 'passage' }, call: ServedCall): Promise<EmbeddedBatch>;
  unload(input: null, call: ServedCall): Promise<void>;
  /** Loads a cross-encoder beside the embedder; replaces the one before. Rejects with `engine/load-failed` and leaves none loaded. */
  loadReranker(request: RerankerLoadRequest, call: ServedCall): Promise<Pick<OpenedReranker, 'id' | 'device'>>;
  /** One score a passage, higher is better. */
  rerank(request: { readonly question: string; readonly passages: readonly RerankInput[] }, call: ServedCall): Promise<readonly number[]>;
  unloadReranker(input: null, call: ServedCall): Promise<void>;
}

export const spawnLlmWorker = (): Worker => new Worker(new URL('../../workers/llm.ts', import.meta.url), { type: 'module', name: 'llm' });
export const spawnEmbedWorker = (): Worker => new Worker(new URL('../../workers/embed.ts', import.meta.url), { type: 'module', name: 'embed' });
