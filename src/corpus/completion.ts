/**
 * Completion of a question while it is typed: titles that begin with its last words. Pure.
 * The order of the titles is made at the first completion of a source and kept as long as the source's title table.
 */
import { eachWord, foldLetters } from './analysis.ts';
import type { LinkGraph, TitleTable } from './links.ts';

interface CompletionSource {
  readonly titles: TitleTable;
  readonly links: LinkGraph | null;
}

/** Words back from the caret that may begin a title. */
const maxWordsBack = 8;
/** Characters that must be typed of a title. */
const minTyped = 2;
/** Titles with the same beginning that are compared by how much links to them. */
const maxCompared = 500;
const maxTextLength = 1000;

/** How titles and questions are compared. */
function folded(text: string): string {
  return foldLetters(text).replace(/\s+/g, ' ').trimStart();
}

const orders = new WeakMap<TitleTable, { readonly keys: readonly string[]; readonly documents: Uint32Array }>();

function orderOf(titles: TitleTable): { readonly keys: readonly string[]; readonly documents: Uint32Array } {
  let order = orders.get(titles);
  if (order === undefined) {
    const rows = Array.from({ length: titles.documents }, (_, document) => ({ key: folded(titles.title(document)), document }));
    rows.sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : a.document - b.document));
    order = { keys: rows.map((row) => row.key), documents: Uint32Array.from(rows, (row) => row.document) };
    orders.set(titles, order);
  }
  return order;
}

/**
 * Completions of the last words of `text` (a question up to the caret), best first, distinct: those that continue the most words first, then by number of links
 * to the document, then the shorter title. What is typed in full already is not offered.
 */
export function completions(sources: readonly CompletionSource[], text: string, limit: number): string[] {
  const tail = text.slice(-maxTextLength);
  const starts: number[] = [];
  eachWord(tail, (start) => starts.push(start));
  const found = new Map<string, string>(); // folded title → title
  for (const start of starts.slice(-maxWordsBack)) {
    const typed = folded(tail.slice(start));
    if (typed.length < minTyped) continue;
    for (const { key, title } of titlesFrom(sources, typed)) {
      if (found.size >= limit) return [...found.values()];
      if (key !== typed.trimEnd() && !found.has(key)) found.set(key, title);
    }
  }
  return [...found.values()].slice(0, Math.max(0, limit));
}

function titlesFrom(sources: readonly CompletionSource[], typed: string): { key: string; title: string }[] {
  const rows: { key: string; title: string; links: number }[] = [];
  for (const { titles, links } of sources) {
    const { keys, documents } = orderOf(titles);
    let low = 0;
    let high = keys.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((keys[middle] ?? '') < typed) low = middle + 1;
      else high = middle;
    }
    for (let i = low; i < Math.min(keys.length, low + maxCompared); i++) {
      const key = keys[i] ?? '';
      if (!key.startsWith(typed)) break;
      const document = documents[i] ?? 0;
      rows.push({ key, title: titles.title(document), links: links === null ? 0 : links.in(document).length });
    }
  }
  return rows.sort((a, b) => b.links - a.links || a.key.length - b.key.length || (a.key < b.key ? -1 : 1));
}
