/** The static embedder in a worker: word pieces by the tokenizer of transformers.js, vectors by `static-vectors.ts`. */
import { PreTrainedTokenizer } from '@huggingface/transformers';
import * as v from 'valibot';
import { AppError, abortError } from '../../errors.ts';
import { finishBatch } from '../embedder.ts';
import type { Embedder } from '../embedder.ts';
import type { EmbedderRow } from '../models.ts';
import { openStaticVectors, poolTokens } from '../static-vectors.ts';
import type { ModelBlobs } from '../worker-api.ts';

/** Where a tokenizer file names the piece that stands for all unknown ones. */
const unknownSchema = v.object({ model: v.object({ unk_token: v.pipe(v.string(), v.minLength(1)) }) });

/** Throws `engine/load-failed` for files that are not the model's. */
export async function openStaticEmbedder(row: EmbedderRow, files: ModelBlobs): Promise<Embedder> {
  const bad = (reason: string, cause?: unknown): AppError => new AppError('engine/load-failed', { model: row.label, backend: 'static vectors', reason }, { cause });
  const weights = files['model.safetensors'];
  const definition = files['tokenizer.json'];
  if (weights === undefined || definition === undefined) throw bad('a file is missing');
  const vectors = openStaticVectors(new Uint8Array(await weights.arrayBuffer()), row.label);
  if (vectors.dimensions !== row.dimensions) throw bad(`its vectors have ${vectors.dimensions} dimensions`);
  let tokenizer: PreTrainedTokenizer;
  let unknown: number | null;
  try {
    const json = JSON.parse(await definition.text()) as object;
    tokenizer = new PreTrainedTokenizer(json, {});
    const parsed = v.safeParse(unknownSchema, json);
    unknown = parsed.success ? (tokenizer.encode(parsed.output.model.unk_token, { add_special_tokens: false })[0] ?? null) : null;
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
        // A piece that the vocabulary lacks says nothing (Model2Vec leaves it out as well); a text of nothing else keeps it, for want of better.
        const known = ids.filter((id) => id !== unknown);
        values.set(poolTokens(vectors, known.length > 0 ? known : ids), i * row.dimensions);
      }
      return finishBatch(values, texts.length, row.dimensions);
    },
    dispose: async () => {},
  };
}
