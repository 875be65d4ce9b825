/**
 * A whole corpus in memory behind the `Retriever` contract, without a worker or a store: a shard that a tool has read, or passages that a measurement brings along.
 * The same index, links and search as everywhere. Pure.
 */
import { createLexicalBuilder } from './lexical-builder.ts';
import { openLexicalSegment, type LexicalSegment } from './lexical.ts';
import { completions } from './completion.ts';
import { documentFrequencies } from './frequencies.ts';
import { createMentionMatcher, encodeLinks, encodeTitles, openLinks, openTitles } from './links.ts';
import { chunkDocument, parsePassageId, toPassage, type PassageRow, type SourceDocument } from './passages.ts';
import type { Passage, PassageRef, Retriever } from './retriever.ts';
import { passagesAround, search, type SearchContext, type SearchSource, type SourcePassage } from './search.ts';

export interface MemoryCorpus {
  readonly source: SearchSource;
  /** In ordinal order. */
  readonly rows: readonly PassageRow[];
}

/** Passages in one word index; more would make it slow to build and larger than a part of a shard. */
const segmentPassages = 16_384;
/** Documents between two pauses. */
const batch = 200;

/**
 * Indexes documents by words, and links by mention of a title. `id`: of the corpus. `pause` lets others have the thread; it is asked for again and again.
 * Document ids must be unique. Rejects with `AbortError`.
 */
export async function indexInMemory(id: string, documents: readonly SourceDocument[], pause: () => Promise<void>, signal: AbortSignal): Promise<MemoryCorpus> {
  const rows: PassageRow[] = [];
  const titles: { docId: string; title: string; first: number; passages: number; aliases: string[] }[] = [];
  const lexical: LexicalSegment[] = [];
  let words = createLexicalBuilder();
  const close = (): void => {
    lexical.push(openLexicalSegment(words.finish(), id));
    words = createLexicalBuilder();
  };
  for (const [i, document] of documents.entries()) {
    if (i % batch === 0) await pause();
    signal.throwIfAborted();
    const pieces = chunkDocument(document);
    const [head] = pieces;
    if (head === undefined) continue;
    titles.push({ docId: document.docId, title: head.title, first: rows.length, passages: pieces.length, aliases: [] });
    for (const piece of pieces) {
      words.add(piece);
      rows.push(piece);
    }
    if (words.passages >= segmentPassages) close();
  }
  if (words.passages > 0 || lexical.length === 0) close();
  const matcher = createMentionMatcher(titles.map(({ title }) => title));
  const links: number[][] = [];
  for (const [own, { first, passages }] of titles.entries()) {
    if (own % batch === 0) await pause();
    signal.throwIfAborted();
    for (const { text } of rows.slice(first, first + passages)) links.push(matcher.documentsIn(text).filter((document) => document !== own));
  }
  const source: SearchSource = {
    key: id, corpus: id, lexical, vectors: [], ranking: null,
    titles: openTitles([{ bytes: encodeTitles(titles, 0), name: id }]),
    links: openLinks([{ bytes: encodeLinks(links), name: id }], rows.length, titles.length),
  };
  return { source, rows };
}

export interface MemoryRetrieverOptions {
  /** The unit-length vector of a query; without it searching goes by words only. */
  readonly vectorOf?: (text: string) => Promise<SearchContext['vector']>;
  /** Milliseconds. */
  readonly now: () => number;
}

export function memoryRetriever({ source, rows }: MemoryCorpus, { vectorOf, now }: MemoryRetrieverOptions): Retriever {
  const id = source.corpus;
  const passageAt = (ordinal: number): Passage | null => {
    const row = rows[ordinal];
    return row === undefined ? null : toPassage(row, id);
  };
  const ordinalOf = (passageId: string): number => {
    const parsed = parsePassageId(passageId);
    return parsed?.corpus === id ? source.titles.ordinalOf(parsed.rest) : -1;
  };
  const refAt = (ordinal: number): PassageRef[] => {
    const passage = passageAt(ordinal);
    return passage === null ? [] : [{ id: passage.id, title: passage.title, section: passage.section }];
  };
  return {
    async search(request, signal) {
      const vector = vectorOf === undefined || request.dense === false ? null : await vectorOf(request.text);
      return search(request, [source], { vector, fetchPassages: async (wanted) => wanted.map(({ ordinal }) => passageAt(ordinal)), now, signal });
    },
    passage: async (passageId) => passageAt(ordinalOf(passageId)),
    async neighbours(passageId) {
      const ordinal = ordinalOf(passageId);
      if (ordinal < 0) return null;
      const around = passagesAround(source, ordinal, [source]);
      const refOf = (place: SourcePassage | null): PassageRef | null => (place === null ? null : (refAt(place.ordinal)[0] ?? null));
      return {
        out: around.out.flatMap((place) => refAt(place.ordinal)),
        in: around.in.flatMap((place) => refAt(place.ordinal)),
        previous: refOf(around.previous),
        next: refOf(around.next),
      };
    },
    frequencies: async (terms) => ({ passages: rows.length, documents: documentFrequencies(source.lexical, terms) }),
    complete: async (prefix, limit) => completions([source], prefix, limit),
  };
}
