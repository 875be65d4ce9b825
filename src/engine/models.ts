/**
 * The model catalogue: data about every model that Foray offers by itself, and the status rows the page shows. No loading happens here.
 * WebLLM's own catalogue is read from the library by its backend and mapped onto the same rows.
 */
import type { AppError } from '../errors.ts';
import type { Progress } from '../progress.ts';
import type { LlmBackendId } from './llm.ts';
import type { EmbedderSpec } from './embedder.ts';

export interface ModelFile {
  /** Path inside the model's folder. */
  readonly path: string;
  readonly bytes: number;
  /** Lower-case hex; null where the publisher states none (small configuration files). */
  readonly sha256: string | null;
  /** Where the file lies on the model hub. A copy beside the page (`models/<id>/<path>`) is tried first. */
  readonly hubUrl: string | null;
}

interface CommonRow {
  readonly id: string;
  readonly label: string;
  readonly licence: string;
  /** Bytes to download in all. */
  readonly sizeBytes: number;
  /** Working memory while loaded (GPU memory for WebGPU backends), in MiB. */
  readonly memoryMB: number;
  readonly files: readonly ModelFile[];
}

export interface LlmRow extends CommonRow {
  readonly role: 'llm';
  readonly backend: LlmBackendId;
  readonly contextTokens: number;
  readonly parametersMillions: number;
  readonly needs: readonly ('webgpu' | 'shader-f16')[];
  /** What to expect of it, in one line. */
  readonly note: string;
}

export interface EmbedderRow extends CommonRow, EmbedderSpec {
  readonly role: 'embedder';
  /** `transformer`: ONNX through transformers.js; `static`: token vectors only. */
  readonly kind: 'transformer' | 'static';
  readonly note: string;
}

export type ModelRow = LlmRow | EmbedderRow;

export type ModelState = 'absent' | 'downloading' | 'paused' | 'stored' | 'loading' | 'ready' | 'failed' | 'unavailable';

/** A row of the status list: what it is, what it needs, where it comes from, what the one button does now. */
export interface ModelStatus {
  readonly id: string;
  readonly role: 'llm' | 'embedder';
  readonly backend: LlmBackendId | 'embedder';
  readonly label: string;
  readonly note: string;
  readonly licence: string;
  readonly sizeBytes: number;
  readonly memoryMB: number;
  readonly needs: readonly string[];
  /** `local`: beside the page; `hub`: downloaded from the model hub; `stored`: on this device already; `endpoint`: the person's own server; `none`: nowhere reachable. */
  readonly source: 'local' | 'hub' | 'stored' | 'endpoint' | 'none';
  readonly state: ModelState;
  /** Why it is `unavailable` or `failed`, or what a fallback was; '' else. */
  readonly reason: string;
  readonly error: AppError | null;
  readonly progress: Progress | null;
  /** True for the row that the capability verdict recommends for this device. */
  readonly recommended: boolean;
}
