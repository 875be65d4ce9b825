/**
 * The contract of an embedding model, and the checks that no vector escapes: finite values, unit length, golden vectors.
 */
import { AppError } from '../errors.ts';

export interface EmbedderSpec {
  /** Catalogue id; a shard's manifest names the embedder by it. */
  readonly id: string;
  readonly dimensions: number;
  /** Text put before a query (bge-style models); passages carry none. */
  readonly queryPrefix: string;
}

export interface EmbedderInfo extends EmbedderSpec {
  readonly label: string;
  readonly device: 'webgpu' | 'wasm' | 'cpu';
  readonly dtype: string;
}

/** Vectors are L2-normalised, row-major: `values.length === rows * dimensions`. */
export interface EmbeddedBatch {
  readonly rows: number;
  readonly dimensions: number;
  readonly values: Float32Array;
}

/** Rejects with `AppError` (`engine/not-finite`, …) or `AbortError`; after that the next call works. */
export interface Embedder {
  readonly info: EmbedderInfo;
  embed(texts: readonly string[], kind: 'query' | 'passage', signal: AbortSignal): Promise<EmbeddedBatch>;
  dispose(): Promise<void>;
}

/** A text and the vector that a sound device gives for it; the vector is unit length. */
export interface GoldenVector {
  readonly text: string;
  readonly vector: readonly number[];
}

/** Lowest cosine at which a device's vector counts as the golden one: q8 against fp32 measures .990 (FACTS). */
const goldenCosine = 0.96;

/** Throws `embed/mismatch` when the embedder does not reproduce the golden vectors. */
export async function checkGoldenVectors(embedder: Embedder, golden: readonly GoldenVector[], signal: AbortSignal): Promise<void> {
  for (const { text, vector } of golden) {
    const { values } = await embedder.embed([text], 'passage', signal);
    let dot = 0;
    for (let i = 0; i < vector.length; i++) dot += (vector[i] ?? 0) * (values[i] ?? 0);
    if (values.length !== vector.length || !(dot >= goldenCosine)) {
      throw new AppError('embed/mismatch', { similarity: Number.isFinite(dot) ? Number(dot.toFixed(3)) : String(dot) });
    }
  }
}

/** Normalises each row in place; throws `engine/not-finite` for NaN, infinity or a zero vector. */
export function finishBatch(values: Float32Array, rows: number, dimensions: number): EmbeddedBatch {
  for (let r = 0; r < rows; r++) {
    const row = values.subarray(r * dimensions, (r + 1) * dimensions);
    let sum = 0;
    for (const v of row) sum += v * v;
    const norm = Math.sqrt(sum);
    if (!Number.isFinite(norm) || norm === 0) throw new AppError('engine/not-finite', { what: `embedding row ${r}` });
    for (let i = 0; i < row.length; i++) row[i] = (row[i] ?? 0) / norm;
  }
  return { rows, dimensions, values };
}
