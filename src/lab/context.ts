/** The passages that a file of questions brings along, searched by themselves: the closed corpus of the official files, without installing anything. */
import { indexInMemory, memoryRetriever } from '../corpus/memory.ts';
import type { Retriever } from '../corpus/retriever.ts';
import type { PassageRecord } from './datasets.ts';

export interface ContextOptions {
  /** Milliseconds. */
  readonly now: () => number;
  /** Lets others have the thread. */
  readonly pause: () => Promise<void>;
  readonly signal: AbortSignal;
}

/** Of the corpus `context`; by words and links, as a shard of the same passages without vectors. Rejects with `AbortError`. */
export async function contextRetriever(passages: readonly PassageRecord[], { now, pause, signal }: ContextOptions): Promise<Retriever> {
  const documents = passages.map(({ id, title, text }) => ({ docId: id, title, sections: [{ heading: '', text }] }));
  return memoryRetriever(await indexInMemory('context', documents, pause, signal), { now });
}
