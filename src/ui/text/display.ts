/**
 * Untrusted text as it is shown: marks laid over it, snippets, and characters that could deceive made visible. Pure.
 * Promise: what leaves this file is plain text for text nodes; offsets are applied to the original before any character is replaced.
 */
import type { Hit, Passage, Span } from '../../corpus/retriever.ts';

export interface Piece {
  readonly text: string;
  readonly isMarked: boolean;
}

const deceptive = /[\u202A-\u202E\u2066-\u2069]|[\u{E0000}-\u{E007F}]+/gu;
const invisible = /[\u00AD\u034F\u061C\u115F\u1160\u17B4\u17B5\u180E\u200B\u2060-\u2064\u206A-\u206F\u3164\uFEFF\uFFA0]/gu;
// Joiners shape letters and emoji, so they stay there and go everywhere else.
const looseJoiner = /(?<![\p{L}\p{M}\p{Emoji}\uFE0F])[\u200C\u200D]|[\u200C\u200D](?![\p{L}\p{M}\p{Emoji}])/gu;
const control = /[\p{Cc}]/gu;

/**
 * Direction overrides and hidden tag characters become a visible name, invisible fillers and control characters go (line breaks and tabs stay), half surrogate
 * pairs become the replacement character.
 */
export function visibleText(text: string): string {
  return text
    .toWellFormed()
    .replace(deceptive, (found) => `[U+${(found.codePointAt(0) ?? 0).toString(16).toUpperCase()}]`)
    .replace(invisible, '')
    .replace(looseJoiner, '')
    .replace(control, (found) => (found === '\n' || found === '\t' ? found : ''));
}

/** For one line: as `visibleText`, with all white space as single spaces. */
export function visibleLine(text: string): string {
  return visibleText(text).replace(/\s+/g, ' ').trim();
}

/** The text in pieces, those inside a span marked. Spans may overlap, be unordered or reach out of the text. */
export function markedPieces(text: string, spans: readonly Span[], from = 0, to = text.length): Piece[] {
  const pieces: Piece[] = [];
  const push = (start: number, end: number, isMarked: boolean): void => {
    const shown = visibleText(text.slice(start, end));
    const last = pieces.at(-1);
    if (shown === '') return;
    if (last !== undefined && last.isMarked === isMarked) pieces[pieces.length - 1] = { text: last.text + shown, isMarked };
    else pieces.push({ text: shown, isMarked });
  };
  let at = from;
  for (const span of [...spans].sort((a, b) => a.start - b.start)) {
    const start = Math.max(at, span.start);
    const end = Math.min(to, span.end);
    if (!(end > start)) continue;
    push(at, start, false);
    push(start, end, true);
    at = end;
  }
  push(at, to, false);
  return pieces;
}

const snippetCharacters = 260;

/** The best sentence of a hit with as many of its neighbours as fit, query words marked; cut at words with an ellipsis where a sentence is too long. */
export function snippetOf(hit: Hit, limit = snippetCharacters): Piece[] {
  const { text, sentenceEnds } = hit.passage;
  const ends = sentenceEnds.length > 0 ? sentenceEnds : [text.length];
  const startOf = (index: number): number => (index <= 0 ? 0 : (ends[index - 1] ?? 0));
  let first = Math.min(Math.max(0, hit.bestSentence), ends.length - 1);
  let last = first;
  const length = (a: number, b: number): number => (ends[b] ?? text.length) - startOf(a);
  while (last + 1 < ends.length && length(first, last + 1) <= limit) last++;
  while (first > 0 && length(first - 1, last) <= limit) first--;
  const from = startOf(first) + (/^\s*/.exec(text.slice(startOf(first)))?.[0].length ?? 0);
  const end = Math.min(ends[last] ?? text.length, text.length);
  let to = end;
  if (to - from > limit) {
    const cut = text.slice(from, from + limit);
    to = from + Math.max(cut.lastIndexOf(' '), Math.floor(limit / 2));
  }
  const pieces = markedPieces(text, hit.highlights, from, to);
  if (from > 0 && first > 0) pieces.unshift({ text: '… ', isMarked: false });
  if (to < text.trimEnd().length) pieces.push({ text: ' …', isMarked: false });
  return pieces;
}

/** The file that an own document came from, where its title does not tell it; '' else. */
export function fileOf(passage: Pick<Passage, 'corpus' | 'docId' | 'title'>): string {
  const { corpus, docId, title } = passage;
  return corpus !== 'own' || title === docId || title === docId.replace(/\.[^.]+$/, '') ? '' : visibleLine(docId);
}

/** `Title › Section, page 3`: where a passage stands, on one line. */
export function placeOf(passage: { readonly section: string; readonly page: number | null }): string {
  return [visibleLine(passage.section), passage.page === null ? '' : `page ${passage.page}`].filter((part) => part !== '').join(', ');
}

/** How a passage was found, shortest form: `words`, `meaning`, `title`, `link from X`. Each once; of several links the first by name, the others by number. */
export function pathLabels(hit: Hit): string[] {
  const links = hit.paths.filter((path) => path.kind === 'link');
  const shown = hit.paths.filter((path) => path.kind !== 'link' || path === links[0]);
  const labels = shown.map((path) => {
    switch (path.kind) {
      case 'lexical':
        return 'words';
      case 'dense':
        return 'meaning';
      case 'title':
        return 'title';
      case 'rerank':
        return path.before === hit.rank ? 're-ranked' : `re-ranked from ${path.before}`;
      case 'link':
        return `${path.direction === 'out' ? 'link from' : 'links to'} ${visibleLine(path.fromTitle)}`;
    }
  });
  return [...new Set([...labels, ...(links.length > 1 ? [`${links.length - 1} more ${links.length === 2 ? 'link' : 'links'}`] : [])])];
}
