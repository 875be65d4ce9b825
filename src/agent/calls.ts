/**
 * Finished calls by their content, so that a run that is taken up again repeats none (METHODS §8.8), and a long comparison pays for each model call once.
 * Where the entries are kept is the caller's affair (`CallCache`); `decodeCachedCall` is the door for what comes back from there.
 */
import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex, utf8ToBytes } from '@noble/hashes/utils.js';
import * as v from 'valibot';
import type { Neighbours, Passage, Retriever, SearchResult, TermFrequencies } from '../corpus/retriever.ts';
import type { ContinuationScore, GenerateResult, Llm } from '../engine/llm.ts';

interface CachedValues {
  readonly generate: GenerateResult;
  readonly score: ContinuationScore | null;
  readonly search: SearchResult;
  readonly passage: Passage | null;
  readonly neighbours: Neighbours | null;
  readonly frequencies: TermFrequencies;
}

export type CachedCall = { readonly [K in keyof CachedValues]: { readonly kind: K; readonly value: CachedValues[K] } }[keyof CachedValues];

/** Keys are 64 hexadecimal digits. `put` resolves when the entry is safe; values survive structured clone and JSON. Both may reject with `AppError`. */
export interface CallCache {
  get(key: string): Promise<CachedCall | null>;
  put(key: string, call: CachedCall): Promise<void>;
}

/** The same content gives the same key, whatever the order of its properties; undefined properties do not count. */
export function callKey(kind: CachedCall['kind'], content: unknown): string {
  return bytesToHex(sha256(utf8ToBytes(`${kind}\n${canonical(content)}`)));
}

function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null';
  const entries = Object.entries(value).filter(([, item]) => item !== undefined);
  return `{${entries.sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, item]) => `${JSON.stringify(key)}:${canonical(item)}`).join(',')}}`;
}

async function recall<K extends keyof CachedValues>(cache: CallCache, kind: K, content: unknown, work: () => Promise<CachedValues[K]>): Promise<CachedValues[K]> {
  const key = callKey(kind, content);
  const known = await cache.get(key);
  if (known?.kind === kind) return known.value as CachedValues[K];
  const value = await work();
  await cache.put(key, { kind, value } as CachedCall);
  return value;
}

/** The model, except that what was generated or scored before is not generated again. Silence and failures are not kept. */
export function recallingLlm(llm: Llm, cache: CallCache): Llm {
  const engine = { backend: llm.info.backend, model: llm.info.modelId };
  return {
    info: llm.info,
    async *generate(request, signal) {
      signal.throwIfAborted();
      const key = callKey('generate', { engine, request });
      const known = await cache.get(key);
      if (known?.kind === 'generate') {
        signal.throwIfAborted();
        yield { kind: 'text', delta: known.value.text };
        yield { kind: 'finished', result: known.value };
        return;
      }
      for await (const event of llm.generate(request, signal)) {
        if (event.kind === 'finished' && event.result.text.trim() !== '') await cache.put(key, { kind: 'generate', value: event.result });
        yield event;
      }
    },
    score: (messages, continuation, signal) => recall(cache, 'score', { engine, messages, continuation }, () => llm.score(messages, continuation, signal)),
    countTokens: (text) => llm.countTokens(text),
    dispose: () => llm.dispose(),
  };
}

/** The corpus as a run saw it: entries belong to `scope` (the run), since a library changes between runs. */
export function recallingRetriever(retriever: Retriever, cache: CallCache, scope: string): Retriever {
  return {
    search: (request, signal) => recall(cache, 'search', { scope, request }, () => retriever.search(request, signal)),
    passage: (id) => recall(cache, 'passage', { scope, id }, () => retriever.passage(id)),
    neighbours: (id) => recall(cache, 'neighbours', { scope, id }, () => retriever.neighbours(id)),
    frequencies: (terms) => recall(cache, 'frequencies', { scope, terms }, () => retriever.frequencies(terms)),
    complete: (prefix, limit) => retriever.complete(prefix, limit),
  };
}

// --- Decoding -------------------------------------------------------------------------------------------------------------------------------

const number = v.number();
const text = v.string();
const span = v.object({ start: number, end: number });
const passage = v.looseObject({
  id: text, corpus: text, docId: text, title: text, section: text, text, sentenceEnds: v.array(number), page: v.nullable(number),
});
const path = v.looseObject({ kind: text });
const hit = v.looseObject({ passage, score: number, rank: number, paths: v.array(path), highlights: v.array(span), bestSentence: number });
const ref = v.object({ id: text, title: text, section: text });
const usage = v.object({ promptTokens: number, cachedTokens: v.nullable(number), outputTokens: number });
const cachedCallSchema = v.variant('kind', [
  v.object({
    kind: v.literal('generate'),
    value: v.object({
      text, finish: v.picklist(['stop', 'length']), usage, logprobs: v.nullable(v.array(v.object({ token: text, logprob: number }))),
      prefillMs: v.nullable(number), decodeMs: v.nullable(number),
    }),
  }),
  v.object({ kind: v.literal('score'), value: v.nullable(v.object({ sum: number, mean: number, tokens: number, method: v.picklist(['exact', 'topn']) })) }),
  v.object({ kind: v.literal('search'), value: v.object({ hits: v.array(hit), searched: number, usedDense: v.boolean(), ms: number }) }),
  v.object({ kind: v.literal('passage'), value: v.nullable(passage) }),
  v.object({ kind: v.literal('neighbours'), value: v.nullable(v.object({ out: v.array(ref), in: v.array(ref), previous: v.nullable(ref), next: v.nullable(ref) })) }),
  v.object({ kind: v.literal('frequencies'), value: v.object({ passages: number, documents: v.array(number) }) }),
]);

/** What a store gave back, or null where it is no entry: then the call is made again. */
export function decodeCachedCall(value: unknown): CachedCall | null {
  const parsed = v.safeParse(cachedCallSchema, value);
  // How a hit was found is told in kinds that this file does not own: they are passed through.
  return parsed.success ? (parsed.output as unknown as CachedCall) : null;
}
