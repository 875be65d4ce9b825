/**
 * Completion of a question while it is typed: titles that begin with its last words, then frequent words that begin with its last one. Pure.
 * The word indexes hold both in the order of their folded forms, so that nothing is sorted or decoded beforehand.
 */
import { completionKey, eachWord } from './analysis.ts';
import type { LexicalSegment } from './lexical.ts';
import type { LinkGraph, TitleTable } from './links.ts';

interface CompletionSource {
  readonly titles: TitleTable;
  readonly lexical: readonly LexicalSegment[];
  readonly links: LinkGraph | null;
}

/** Words back from the caret that may begin a title. */
const maxWordsBack = 8;
/** Characters that must be typed of a title, and of a word. */
const minTypedOfTitle = 2;
const minTypedOfWord = 3;
/** Entries with the same beginning that are compared with each other, in each index. */
const maxCompared = 200;
const maxTextLength = 1000;

/**
 * Completions of the last words of `text` (a question up to the caret), best first, distinct: titles that continue the most words first, then by number of links
 * to the document, then the shorter one; then words by the passages that have them. What is typed in full already is not offered.
 */
export function completions(sources: readonly CompletionSource[], text: string, limit: number): string[] {
  const tail = text.slice(-maxTextLength);
  const starts: number[] = [];
  eachWord(tail, (start) => starts.push(start));
  const found = new Map<string, string>(); // folded → as written
  const offer = (rows: readonly Row[], typed: string): void => {
    for (const { key, shown } of rows) if (key !== typed.trimEnd() && !found.has(key)) found.set(key, shown);
  };
  for (const start of starts.slice(-maxWordsBack)) {
    const typed = completionKey(tail.slice(start));
    if (found.size < limit && typed.length >= minTypedOfTitle) offer(titlesFrom(sources, typed), typed);
  }
  const typed = completionKey(tail.slice(starts.at(-1) ?? tail.length));
  if (found.size < limit && typed.length >= minTypedOfWord) offer(wordsFrom(sources, typed), typed);
  return [...found.values()].slice(0, Math.max(0, limit));
}

interface Row {
  readonly key: string;
  readonly shown: string;
  readonly weight: number;
}

const better = (a: Row, b: Row): number => b.weight - a.weight || a.key.length - b.key.length || (a.key < b.key ? -1 : 1);

/** Calls `visit` for the entries whose key begins with `typed`. The order is not trusted: an unsorted table only finds less. */
function eachFrom(count: number, keyAt: (n: number) => string, typed: string, visit: (n: number, key: string) => void): void {
  let low = 0;
  let high = count;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (keyAt(middle) < typed) low = middle + 1;
    else high = middle;
  }
  for (let n = low; n < Math.min(count, low + maxCompared); n++) {
    const key = keyAt(n);
    if (!key.startsWith(typed)) return;
    visit(n, key);
  }
}

function titlesFrom(sources: readonly CompletionSource[], typed: string): Row[] {
  const rows: Row[] = [];
  for (const { titles, lexical, links } of sources) {
    let base = 0;
    for (const segment of lexical) {
      const first = base;
      const documentAt = (n: number): number => titles.documentOf(first + segment.titleAt(n));
      eachFrom(segment.titles, (n) => completionKey(titles.title(documentAt(n))), typed, (n, key) => {
        const document = documentAt(n);
        rows.push({ key, shown: titles.title(document), weight: links === null ? 0 : links.in(document).length });
      });
      base += segment.passages;
    }
  }
  return rows.sort(better);
}

function wordsFrom(sources: readonly CompletionSource[], typed: string): Row[] {
  const rows = new Map<string, Row>();
  for (const segment of sources.flatMap(({ lexical }) => lexical)) {
    eachFrom(segment.words, (n) => completionKey(segment.wordAt(n).word), typed, (n, key) => {
      const { word, term } = segment.wordAt(n);
      const known = rows.get(key);
      rows.set(key, { key, shown: known?.shown ?? word, weight: (known?.weight ?? 0) + segment.documentFrequency(term) });
    });
  }
  return [...rows.values()].sort(better);
}
