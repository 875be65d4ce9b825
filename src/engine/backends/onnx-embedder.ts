/**
 * Embedding models as ONNX through transformers.js, in Node and in the browser. Texts are embedded one by one: quantised models choose their number range
 * by batch, so in a batch a vector would depend on its neighbours, and shards would not be reproducible.
 */
import { pipeline } from '@huggingface/transformers';
import { AppError, abortError } from '../../errors.ts';
import { finishBatch } from '../embedder.ts';
import type { Embedder } from '../embedder.ts';
import type { EmbedderRow } from '../models.ts';
import { nextTurn } from '../next-turn.ts';

export interface OnnxEmbedderOptions {
  /** The model folder's name under `env.localModelPath`; default the row's id. */
  readonly folder?: string;
  /** `cpu` in Node. */
  readonly device: 'webgpu' | 'wasm' | 'cpu';
  readonly dtype: 'fp32' | 'fp16' | 'q8' | 'q4' | 'q4f16';
  /** Watches over each run of the model (`ort.ts`). */
  readonly guard?: <T>(work: Promise<T>) => Promise<T>;
}

/** Where the model files come from is the caller's to set up (`ort.ts` in a worker, `env.localModelPath` in Node). */
export async function openOnnxEmbedder(row: EmbedderRow, options: OnnxEmbedderOptions): Promise<Embedder> {
  const extract = await pipeline('feature-extraction', options.folder ?? row.id, { device: options.device, dtype: options.dtype });
  const guard = options.guard ?? ((work) => work);
  return {
    info: { id: row.id, dimensions: row.dimensions, queryPrefix: row.queryPrefix, label: row.label, device: options.device, dtype: options.dtype },
    async embed(texts, kind, signal) {
      const values = new Float32Array(texts.length * row.dimensions);
      for (const [i, text] of texts.entries()) {
        // The runtime computes on this thread; a turn of the event loop lets a stop message in.
        await nextTurn();
        if (signal.aborted) throw abortError();
        const pooled: Promise<{ readonly data: ArrayLike<number> }> = extract(kind === 'query' ? row.queryPrefix + text : text, { pooling: row.pooling === 'cls' ? 'cls' : 'mean' });
        const output = await guard(pooled);
        if (output.data.length !== row.dimensions) {
          throw new AppError('embed/wrong-model', {
            expected: row.id,
            expectedDimensions: row.dimensions,
            actual: 'another model',
            actualDimensions: output.data.length,
          });
        }
        values.set(output.data, i * row.dimensions);
      }
      return finishBatch(values, texts.length, row.dimensions);
    },
    async dispose() {
      await extract.dispose();
    },
  };
}
