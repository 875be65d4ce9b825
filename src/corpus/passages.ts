/**
 * Passages: cutting a document into pieces of 100-180 words on sentence borders, their identity, and what of them fits a query. Pure and deterministic.
 * Every passage text is the concatenation of its sentences; a sentence is cut only where it alone exceeds a passage, and a passage never crosses a page border.
 */
import { tokenize, type Analysis } from './analysis.ts';
import type { Passage, Span } from './retriever.ts';

export interface SourceSection {
  /** '' for the lead. */
  readonly heading: string;
  /** Plain text; line breaks separate paragraphs. */
  readonly text: string;
  /** Page number (from 1) that the whole section stands on; absent or null in an unpaged document. */
  readonly page?: number | null;
}

export interface SourceDocument {
  readonly docId: string;
  readonly title: string;
  readonly sections: readonly SourceSection[];
}

/** A passage as a corpus stores it: a `Passage` without the corpus. */
export interface PassageRow {
  readonly docId: string;
  /** 0 if the document has one passage, else from 1. */
  readonly n: number;
  readonly title: string;
  readonly section: string;
  readonly text: string;
  readonly sentenceEnds: readonly number[];
  readonly page: number | null;
}

export const passageWords = { min: 100, max: 180 } as const;

export function passageId(corpus: string, docId: string, n: number): string {
  return n === 0 ? `${corpus}/${docId}` : `${corpus}/${docId}#${n}`;
}

/** Splits an id at its corpus; `rest` is `<docId>` or `<docId>#<n>`, which only the corpus' own table can tell apart. null: not a passage id. */
export function parsePassageId(id: string): { readonly corpus: string; readonly rest: string } | null {
  const slash = id.indexOf('/');
  return slash <= 0 || slash === id.length - 1 ? null : { corpus: id.slice(0, slash), rest: id.slice(slash + 1) };
}

export function toPassage(row: PassageRow, corpus: string): Passage {
  const { docId, n, title, section, text, sentenceEnds, page } = row;
  return { id: passageId(corpus, docId, n), corpus, docId, title, section, text, sentenceEnds, page };
}

/** What of a passage goes through the embedder, in shards and own documents alike. */
export function embeddedText(row: Pick<PassageRow, 'title' | 'section' | 'text'>): string {
  return row.section === '' ? `${row.title}\n${row.text}` : `${row.title}: ${row.section}\n${row.text}`;
}

// ---------------------------------------------------------------------------------------------- sentences

/** Abbreviations that never end a sentence, those that do not before a number, and those that do only if a word follows that usually begins a sentence. */
const neverLast = new Set('mr mrs ms dr prof messrs mme mlle vs cf viz i.e e.g'.split(' '));
const beforeNumber = new Set('no nos vol vols p pp fig figs art ch sec'.split(' '));
const seldomLast = new Set(
  ('st sts mt ft gen col maj capt cmdr lt sgt cpl pvt adm rev hon gov sen rep pres supt fr sr sra ca approx asst assoc dept inc ltd co corp bros jr etc al est ' +
    'ave blvd rd hwy jan feb mar apr jun jul aug sep sept oct nov dec univ ed eds llc plc esq ph.d m.d b.a m.a a.m p.m')
    .split(' '),
);
const starters = new Set(
  ('the he she it they we his her its their this that these those a an in on at as after before since from by for with when while during although however ' +
    'there here some many most both one two all no but and or if you who what where')
    .split(' '),
);

let segmenter: Intl.Segmenter | undefined;

/** End offsets (exclusive, without the white space that follows) of the sentences of `text`; the last one equals `text.length` for trimmed text. */
export function splitSentences(text: string): number[] {
  segmenter ??= new Intl.Segmenter('en', { granularity: 'sentence' });
  const ends: number[] = [];
  for (const { index, segment } of segmenter.segment(text)) {
    const body = segment.trimEnd();
    if (body.trimStart() === '') continue;
    const last = ends.at(-1);
    if (last !== undefined && !endsSentence(text, last, index)) ends.pop();
    ends.push(index + body.length);
  }
  if (ends.length > 0) ends[ends.length - 1] = text.length;
  return ends;
}

/** Whether the sentence that stops at `end` really does, given that the next segment starts at `next`. */
function endsSentence(text: string, end: number, next: number): boolean {
  if (/[\n\r\u2028\u2029]/.test(text.slice(end, next))) return true;
  const following = text.slice(next, next + 40);
  if (/^[\p{Ll},;:)\]]/u.test(following)) return false;
  if (text[end - 1] !== '.') return true;
  const before = /(\S+)\.$/.exec(text.slice(Math.max(0, end - 24), end))?.[1] ?? '';
  const word = before.replace(/^["'“‘([]+/, '');
  const lower = word.toLowerCase();
  if (neverLast.has(lower)) return false;
  if (beforeNumber.has(lower)) return !/^\p{N}/u.test(following);
  const isInitial = /^\p{Lu}$/u.test(word) || /^(?:\p{L}\.)+\p{L}$/u.test(word) || /-\p{Lu}$/u.test(word);
  if (!isInitial && !seldomLast.has(lower)) return true;
  const first = /^[^\p{L}\p{N}]*([\p{L}\p{N}]+)/u.exec(following)?.[1] ?? '';
  return starters.has(first.toLowerCase());
}

/** The sentences of a passage as trimmed ranges of its text. */
export function sentenceSpans(text: string, ends: readonly number[]): Span[] {
  let from = 0;
  return ends.map((end) => {
    let start = from;
    while (start < end && /\s/.test(text.charAt(start))) start++;
    from = end;
    return { start, end };
  });
}

// ---------------------------------------------------------------------------------------------- chunking

interface Sentence {
  readonly text: string;
  readonly words: number;
  /** What stands between it and the sentence before: '\n' at the start of a paragraph. */
  readonly gap: ' ' | '\n' | '';
}

interface Unit {
  readonly heading: string;
  readonly page: number | null;
  readonly sentences: Sentence[];
  words: number;
}

/** White space runs become one space, blank lines go, control characters and lone surrogates are removed or replaced. */
function cleanText(text: string): string {
  return text
    .replace(/\r\n?|[\u2028\u2029\v\f]/g, '\n')
    .replace(/[\0-\x08\x0e-\x1f\x7f-\x9f]/g, '')
    .replace(/\p{Surrogate}/gu, '\ufffd')
    .replace(/[^\S\n]+/g, ' ')
    .replace(/ ?\n[ \n]*/g, '\n')
    .trim();
}

const spaceless = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}\p{Script=Myanmar}]/gu;

/** Words by white space; text without spaces and giant words count by their characters. */
function countWords(text: string): number {
  let words = 0;
  let inside = false;
  let isWide = false;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code > 0xdff) isWide = true;
    const isSpace = code === 32 || code === 10 || code === 0xa0;
    if (!isSpace && !inside) words++;
    inside = !isSpace;
  }
  if (isWide) words += Math.floor((text.match(spaceless)?.length ?? 0) / 2);
  return Math.max(words, Math.ceil(text.length / 12));
}

function sentencesOf(text: string): Sentence[] {
  const clean = cleanText(text);
  if (clean === '') return [];
  const out: Sentence[] = [];
  let from = 0;
  for (const { start, end } of sentenceSpans(clean, splitSentences(clean))) {
    const isNewLine = clean.slice(from, start).includes('\n');
    from = end;
    const body = clean.slice(start, end);
    const words = countWords(body);
    const pieces = words > passageWords.max ? cutLong(body, words) : [body];
    pieces.forEach((piece, i) => {
      const gap = out.length === 0 ? '' : i === 0 && isNewLine ? '\n' : ' ';
      out.push({ text: piece, words: countWords(piece), gap });
    });
  }
  return out;
}

/** Cuts a sentence that exceeds a passage into even pieces at white space, or anywhere where there is none. */
function cutLong(text: string, words: number): string[] {
  const pieces: string[] = [];
  const size = Math.ceil(text.length / Math.ceil(words / (passageWords.max - 10)));
  let at = 0;
  while (at < text.length) {
    let end = Math.min(text.length, at + size);
    if (end < text.length) {
      const space = text.lastIndexOf(' ', end);
      if (space > at + size / 2) end = space;
      else if (/[\udc00-\udfff]/.test(text.charAt(end))) end++;
    }
    const piece = text.slice(at, end).trim();
    if (piece !== '') pieces.push(piece);
    at = end;
  }
  return pieces;
}

/**
 * Cuts a document into passages. Sections of 100 words or more stand alone (cut evenly above 180); shorter neighbours on the same page are joined under the
 * heading of the first, the other headings kept as lines of the text. A document without text gives none.
 */
export function chunkDocument(document: SourceDocument): PassageRow[] {
  const units: Unit[] = [];
  let open: Unit | null = null; // short sections being joined
  for (const section of document.sections) {
    const heading = cleanText(section.heading).replaceAll('\n', ' ');
    const page = section.page ?? null;
    const sentences = sentencesOf(section.text);
    const words = sentences.reduce((sum, s) => sum + s.words, 0);
    if (words === 0) continue;
    const isShort = words < passageWords.min;
    if (open !== null && (!isShort || open.page !== page || open.words + words > passageWords.max)) open = null;
    if (open === null) {
      const unit: Unit = { heading, page, sentences: [...sentences], words };
      units.push(unit);
      if (isShort) open = unit;
      continue;
    }
    if (heading !== '' && heading !== open.heading) open.sentences.push({ text: heading, words: countWords(heading), gap: '\n' });
    sentences.forEach((s, i) => open?.sentences.push(i === 0 ? { ...s, gap: '\n' } : s));
    open.words += words;
    if (open.words >= passageWords.min) open = null;
  }
  const pieces = units.flatMap((unit) => partition(unit.sentences).map((sentences) => ({ unit, sentences })));
  const title = cleanText(document.title).replaceAll('\n', ' ');
  return pieces.map(({ unit, sentences }, i) => {
    const { text, ends } = join(sentences);
    return { docId: document.docId, n: pieces.length === 1 ? 0 : i + 1, title, section: unit.heading, text, sentenceEnds: ends, page: unit.page };
  });
}

/** Splits sentences into the fewest pieces of at most 180 words, as even as the sentence borders allow. */
function partition(sentences: readonly Sentence[]): (readonly Sentence[])[] {
  const total = sentences.reduce((sum, s) => sum + s.words, 0);
  for (let pieces = Math.ceil(total / passageWords.max); pieces < sentences.length; pieces++) {
    const out: Sentence[][] = [[]];
    let done = 0;
    for (const s of sentences) {
      const border = (total * out.length) / pieces;
      const last = out.at(-1) ?? [];
      // The sentence opens the next piece if its middle lies beyond the border.
      if (last.length > 0 && out.length < pieces && done + s.words / 2 > border) out.push([s]);
      else last.push(s);
      done += s.words;
    }
    if (out.every((piece) => piece.reduce((sum, s) => sum + s.words, 0) <= passageWords.max)) return out;
  }
  return sentences.map((s) => [s]);
}

function join(sentences: readonly Sentence[]): { text: string; ends: number[] } {
  let text = '';
  const ends: number[] = [];
  for (const s of sentences) {
    text += text === '' ? s.text : (s.gap === '' ? ' ' : s.gap) + s.text;
    ends.push(text.length);
  }
  return { text, ends };
}

// ---------------------------------------------------------------------------------------------- what fits a query

/**
 * Where query terms stand in a passage, and which sentence holds most of them. `weights`: term (as `queryTerms` gives it) → inverse document frequency.
 * Highlights are in order and do not overlap; without any match the best sentence is the first.
 */
export function highlight(
  text: string,
  sentenceEnds: readonly number[],
  weights: ReadonlyMap<string, number>,
  analysis?: Analysis,
): { readonly highlights: readonly Span[]; readonly bestSentence: number } {
  const highlights: Span[] = [];
  let sentence = 0;
  let seen = new Set<string>();
  let sum = 0;
  let best = { sentence: 0, sum: 0 };
  for (const { term, start, end } of tokenize(text, analysis)) {
    while (sentence < sentenceEnds.length - 1 && start >= (sentenceEnds[sentence] ?? 0)) {
      sentence++;
      seen = new Set();
      sum = 0;
    }
    const weight = weights.get(term);
    if (weight === undefined) continue;
    highlights.push({ start, end });
    if (seen.has(term)) continue;
    seen.add(term);
    sum += weight;
    if (sum > best.sum) best = { sentence, sum };
  }
  return { highlights, bestSentence: best.sentence };
}
