/**
 * A cross-encoder as ONNX through transformers.js: question and passage go through the model together, and its single logit says how well they fit (Nogueira & Cho 2019,
 * METHODS §4.7). Pairs are scored one by one: a quantised model chooses its number range by batch, and a score must not depend on its neighbours.
 */
import { AutoModelForSequenceClassification, AutoTokenizer } from '@huggingface/transformers';
import { AppError, abortError } from '../../errors.ts';
import type { RerankerRow } from '../models.ts';
import { nextTurn } from '../next-turn.ts';
import type { OpenedReranker } from '../reranker.ts';

export interface CrossEncoderOptions {
  /** The model folder's name under `env.localModelPath`; default the row's id. */
  readonly folder?: string;
  /** `cpu` in Node. */
  readonly device: 'webgpu' | 'wasm' | 'cpu';
  readonly dtype: 'fp32' | 'fp16' | 'q8' | 'q4' | 'q4f16';
  /** Watches over each run of the model (`ort.ts`). */
  readonly guard?: <T>(work: Promise<T>) => Promise<T>;
}

interface Encoded {
  readonly input_ids: unknown;
}

type Tokenize = (text: string, options: { readonly text_pair: string; readonly truncation: true; readonly max_length: number }) => Encoded;
type Run = (input: Encoded) => Promise<{ readonly logits: { readonly dims: readonly number[]; readonly data: ArrayLike<number> } }>;

/** Where the model files come from is the caller's to set up, as for `onnx-embedder.ts`. */
export async function openCrossEncoder(row: RerankerRow, options: CrossEncoderOptions): Promise<OpenedReranker> {
  const folder = options.folder ?? row.id;
  const tokenizer = await AutoTokenizer.from_pretrained(folder);
  const model = await AutoModelForSequenceClassification.from_pretrained(folder, { device: options.device, dtype: options.dtype });
  const tokenize: Tokenize = tokenizer;
  const run: Run = model;
  const guard = options.guard ?? ((work) => work);
  return {
    id: row.id,
    device: options.device,
    async score(question, passages, signal) {
      const scores: number[] = [];
      for (const { title, text } of passages) {
        // The runtime computes on this thread; a turn of the event loop lets a stop message in.
        await nextTurn();
        if (signal.aborted) throw abortError();
        const { logits } = await guard(run(tokenize(question, { text_pair: `${title}. ${text}`, truncation: true, max_length: row.maxTokens })));
        const [score] = Array.from(logits.data);
        if (score === undefined || logits.data.length !== 1) {
          throw new AppError('engine/load-failed', { model: row.label, backend: 'transformers.js', reason: `it gives ${logits.data.length} scores a pair, not one` });
        }
        if (!Number.isFinite(score)) throw new AppError('engine/not-finite', { what: row.label });
        scores.push(score);
      }
      return scores;
    },
    async dispose() {
      await model.dispose();
    },
  };
}
