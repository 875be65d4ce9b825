/** The static embedder in a worker: word pieces by the tokenizer of transformers.js, vectors by `static-vectors.ts`. */
import { PreTrainedTokenizer } from '@huggingface/transformers';
import { AppError, abortError } from '../../errors.ts';
import { finishBatch } from '../embedder.ts';
import type { Embedder } from '../embedder.ts';
import type { EmbedderRow } from '../models.ts';
import { openStaticVectors, poolTokens } from '../static-vectors.ts';
import type { ModelBlobs } from '../worker-api.ts';

/** Throws `engine/load-failed` for files that are not the model's. */
export async function openStaticEmbedder(row: EmbedderRow, files: ModelBlobs): Promise<Embedder> {
  const bad = (reason: string, cause?: unknown): AppError => new AppError('engine/load-failed', { model: row.label, backend: 'static vectors', reason }, { cause });
  const weights = files['model.safetensors'];
  const definition = files['tokenizer.json'];
  if (weights === undefined || definition === undefined) throw bad('a file is missing');
  const vectors = openStaticVectors(new Uint8Array(await weights.arrayBuffer()), row.label);
  if (vectors.dimensions !== row.dimensions) throw bad(`its vectors have ${vectors.dimensions} dimensions`);
  let tokenizer: PreTrainedTokenizer;
  try {
    tokenizer = new PreTrainedTokenizer(JSON.parse(await definition.text()) as object, {});
  } catch (error) {
    throw bad('its tokenizer cannot be read', error);
  }
  return {
    info: { id: row.id, dimensions: row.dimensions, queryPrefix: row.queryPrefix, label: row.label, device: 'cpu', dtype: 'fp16' },
    async embed(texts, kind, signal) {
      if (signal.aborted) throw abortError();
      const values = new Float32Array(texts.length * row.dimensions);
      for (const [i, text] of texts.entries()) {
        const ids = tokenizer.encode(kind === 'query' ? row.queryPrefix + text : text, { add_special_tokens: false });
        values.set(poolTokens(vectors, ids), i * row.dimensions);
      }
      return finishBatch(values, texts.length, row.dimensions);
    },
    dispose: async () => {},
  };
}
