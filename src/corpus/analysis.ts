/**
 * Text analysis: words, their index terms, and the terms of a query. Pure, and the same in Node and every browser, so that an index built in one is searched in
 * the other. There are two analyses, which cut text into the same words: `english-1` stems them, `words-1` does not.
 */

/** Names by which manifests call the analyses; a shard whose manifest names another one cannot be searched by words with this code. */
export const analysisNames = ['english-1', 'words-1'] as const;
export type AnalysisName = (typeof analysisNames)[number];

/** How words become index terms. */
export interface Analysis {
  readonly name: AnalysisName;
  /** The index term of one word; '' if nothing is left of it. */
  readonly termOf: (word: string) => string;
  /** Whether a term is so common that a question is not searched by it. */
  readonly isStopTerm: (term: string) => boolean;
}

const maxTermLength = 64;
const maxQueryTerms = 128;
const maxQueryLength = 20_000;

/** An index term and where its word stands in the text (UTF-16, half-open). */
export interface Token {
  readonly term: string;
  readonly start: number;
  readonly end: number;
}

const other = 1;
const letter = 2;
const digit = 3;
const dense = 4; // a letter of a script that is written without spaces
const classes = new Uint8Array(0x10000); // memo of classify(); 0 = not yet known
const densePattern = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}\p{Script=Myanmar}]/u;

function classify(code: number): number {
  const known = code < 0x10000 ? classes[code] : 0;
  if (known !== undefined && known !== 0) return known;
  const char = String.fromCodePoint(code);
  let kind = other;
  if (/\p{N}/u.test(char)) kind = digit;
  else if (/[\p{L}\p{M}]/u.test(char)) kind = densePattern.test(char) ? dense : letter;
  if (code < 0x10000) classes[code] = kind;
  return kind;
}

/** For exact matching of words: 0 = no word character, 1 = letter, mark or digit, 2 = a letter that is a word by itself (scripts without spaces). */
export function wordKind(code: number): 0 | 1 | 2 {
  const kind = classify(code);
  return kind === other ? 0 : kind === dense ? 2 : 1;
}

/** Soft hyphens, zero-width and direction signs: they are not seen, so they do not end a word. */
function isInvisible(code: number): boolean {
  return code === 0xad || (code >= 0x200b && code <= 0x200f) || (code >= 0x202a && code <= 0x202e) || (code >= 0x2060 && code <= 0x2069) || code === 0xfeff;
}

function isApostrophe(code: number): boolean {
  return code === 0x27 || code === 0x2019 || code === 0x2bc;
}

/**
 * Calls `visit` for each word. Words are runs of letters, marks and digits; inside a word an apostrophe between letters, a point or comma between digits,
 * the points of an acronym (U.S.A.) and invisible signs are kept. Scripts without spaces are cut by `Intl.Segmenter`.
 */
export function eachWord(text: string, visit: (start: number, end: number) => void): void {
  const length = text.length;
  let at = 0;
  while (at < length) {
    const code = text.codePointAt(at) ?? 0;
    const kind = classify(code);
    if (kind === other) {
      at += code > 0xffff ? 2 : 1;
      continue;
    }
    const start = at;
    if (kind === dense) {
      while (at < length) {
        const next = text.codePointAt(at) ?? 0;
        const nextKind = classify(next);
        if (nextKind !== dense && (nextKind !== letter || !/\p{M}/u.test(String.fromCodePoint(next)))) break;
        at += next > 0xffff ? 2 : 1;
      }
      eachDenseWord(text.slice(start, at), start, visit);
      continue;
    }
    // Most words are a run of letters with a space behind it: the rules below are for what follows another sign.
    let previous = kind;
    let since = start; // behind the last point, to tell an acronym from the end of a sentence
    at += code > 0xffff ? 2 : 1;
    // Not read behind the end: where that has given NaN once, compiled code is slower for every unit (by a sixth of an index build).
    let unit = at < length ? text.charCodeAt(at) : 0;
    for (let next = classes[unit]; next === letter || next === digit; next = classes[unit]) {
      previous = next;
      at++;
      unit = at < length ? text.charCodeAt(at) : 0;
    }
    if (unit === 0x20) {
      visit(start, at);
      continue;
    }
    let points = 0;
    while (at < length) {
      const next = text.codePointAt(at) ?? 0;
      const nextKind = classify(next);
      if (nextKind === letter || nextKind === digit) {
        previous = nextKind;
        at += next > 0xffff ? 2 : 1;
        continue;
      }
      if (nextKind === dense || at + 1 >= length) break;
      if (isInvisible(next)) {
        let seen = at + 1;
        while (isInvisible(text.charCodeAt(seen))) seen++;
        const afterwards = classify(text.codePointAt(seen) ?? 0);
        if (afterwards !== letter && afterwards !== digit) break;
        at = seen;
        continue;
      }
      const after = classify(text.codePointAt(at + 1) ?? 0);
      if (next === 0x2e && previous === letter && after === letter && oneLetter.test(text.slice(since, at)) && isSingleLetter(text, at + 1)) {
        since = at + 1;
        points++;
      } else if (!(isApostrophe(next) && previous === letter && after === letter) && !((next === 0x2e || next === 0x2c) && previous === digit && after === digit)) {
        break;
      }
      at++;
    }
    visit(start, at);
    if (points > 0 && text.charCodeAt(at) === 0x2e) at++;
  }
}

/** Cuts a run of a script without spaces. It is cut in its composed form, so that decomposed text gives the same words; places are those of the text as given. */
function eachDenseWord(run: string, offset: number, visit: (start: number, end: number) => void): void {
  const composed = run.normalize('NFC');
  const places = [0]; // by offset in the composed run: offset in the run
  if (composed !== run) {
    let at = 0;
    for (const cluster of run.match(/\P{M}\p{M}*|\p{M}+/gu) ?? []) {
      at += cluster.length;
      for (let i = cluster.normalize('NFC').length; i > 0; i--) places.push(at);
    }
  }
  const place = (at: number): number => offset + (composed === run ? at : (places[at] ?? run.length));
  for (const piece of denseSegmenter().segment(composed)) {
    if (piece.isWordLike === true) visit(place(piece.index), place(piece.index + piece.segment.length));
  }
}

/** A letter with whatever marks stand on it: composed and decomposed text are the same. */
const oneLetter = /^\p{L}\p{M}*$/u;
const nextLetter = /\p{L}\p{M}*/uy;

/** True if the letter at `at` is followed by a point or by no word character: the next letter of an acronym. */
function isSingleLetter(text: string, at: number): boolean {
  nextLetter.lastIndex = at;
  if (!nextLetter.test(text)) return false;
  const end = nextLetter.lastIndex;
  return end >= text.length || (classify(text.codePointAt(end) ?? 0) === other && !isApostrophe(text.charCodeAt(end)));
}

let segmenter: Intl.Segmenter | undefined;
function denseSegmenter(): Intl.Segmenter {
  segmenter ??= new Intl.Segmenter('en', { granularity: 'word' });
  return segmenter;
}

const folds: ReadonlyMap<string, string> = new Map([
  ['ß', 'ss'], ['æ', 'ae'], ['œ', 'oe'], ['ø', 'o'], ['đ', 'd'], ['ð', 'd'], ['þ', 'th'], ['ł', 'l'], ['ı', 'i'], ['ħ', 'h'], ['ŧ', 't'],
]);

/** Text by which letters are compared: compatibility forms, case and diacritics do not count, and a few letters are spelled out (ß → ss). */
function foldLetters(text: string): string {
  if (isAscii(text)) return text.toLowerCase();
  const folded = text.normalize('NFKC').toLowerCase().normalize('NFD').replace(/[\u0300-\u036f]/g, '').normalize('NFC');
  return /[^\0-\x7f]/.test(folded) ? folded.replace(/[ßæœøđðþłıħŧ]/g, (c) => folds.get(c) ?? c) : folded;
}

function isAscii(text: string): boolean {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) > 0x7f) return false;
  return true;
}

/** By what titles and words are compared while a question is typed: letters folded, white space as single spaces. */
export function completionKey(text: string): string {
  return foldLetters(text).replace(/\s+/g, ' ').trimStart();
}

/** A word compatibility-folded, lower case, without diacritics, apostrophes and digit commas; '' if nothing is left. */
function foldWord(word: string): string {
  let folded = foldLetters(word);
  if (/^[a-z]+$/.test(folded)) return folded.length > maxTermLength ? folded.slice(0, maxTermLength) : folded;
  folded = folded.replace(/['’ʼ]s$/, '').replace(/['’ʼ,]/g, '');
  if (!/^\d+\.\d/.test(folded)) folded = folded.replaceAll('.', '');
  return folded.replace(/[^\p{L}\p{M}\p{N}.]/gu, '').slice(0, maxTermLength);
}

const vowel = /[aeiouy]/;
const shortEnd = /[^aeiou][aeiouy][^aeiouwxy]$/;

/** Number of vowel-consonant sequences of a word: the `m` of the Porter stemmer. */
function measure(word: string): number {
  return (word.match(/[aeiouy]+[^aeiouy]+/g) ?? []).length;
}

/** Nouns whose plural in -ies does not come from -y. */
const endsInIe: ReadonlySet<string> = new Set(
  'movie calorie zombie cookie rookie prairie sortie genie selfie hippie birdie collie pixie brownie hoodie goalie bookie magpie necktie eyrie lingerie reverie menagerie'.split(' '),
);

/** Plural, -ed, -ing and final -e of English words; other words, short words and numbers stay. */
function stem(word: string): string {
  if (word.length < 4 || !/^[a-z]+$/.test(word)) return word;
  let w = word;
  if (w.endsWith('s')) {
    if (w.endsWith('ies')) w = w.length > 4 && !endsInIe.has(w.slice(0, -1)) ? `${w.slice(0, -3)}y` : w.slice(0, -1);
    else if (/(?:ss|x|ch|sh|zz|o)es$/.test(w) && w.length > 4) w = w.slice(0, -2);
    else if (!/(?:ss|us|is)$/.test(w)) w = w.slice(0, -1);
  }
  let cut = '';
  if (w.endsWith('ied')) return w.length > 4 ? `${w.slice(0, -3)}y` : w.slice(0, -1);
  if (w.endsWith('ed') && !w.endsWith('eed')) cut = w.slice(0, -2);
  else if (w.endsWith('ing')) cut = w.slice(0, -3);
  if (cut.length >= 2 && vowel.test(cut)) {
    w = cut;
    if (/(?:at|bl|iz)$/.test(w)) w += 'e';
    else if (/([^aeioulsz])\1$/.test(w)) w = w.slice(0, -1);
    else if (measure(w) === 1 && shortEnd.test(w)) w += 'e';
  }
  if (w.endsWith('e') && !w.endsWith('ie') && w.length > 4) {
    const base = w.slice(0, -1);
    const m = measure(base);
    if (m > 1 || (m === 1 && !shortEnd.test(base))) w = base;
  }
  return w;
}

const stopWords =
  'a an the of in on at to for from by with as is are was were be been being am do does did has have had and or but which who whom whose what when where ' +
  'why how that this these those it its he she his her him they them their there than then also into';

function createAnalysis(name: AnalysisName, termOf: Analysis['termOf']): Analysis {
  const stopTerms: ReadonlySet<string> = new Set(stopWords.split(' ').map(termOf));
  return { name, termOf, isStopTerm: (term) => stopTerms.has(term) };
}

/** Folded words, lightly stemmed as English. */
export const englishAnalysis = createAnalysis('english-1', (word) => stem(foldWord(word)));
/** Folded words as they stand: for other languages, and where exact words matter. */
export const wordsAnalysis = createAnalysis('words-1', foldWord);

export function analysisOf(name: AnalysisName): Analysis {
  return name === 'words-1' ? wordsAnalysis : englishAnalysis;
}

/** The index term of one word in `english-1`. */
export const { termOf, isStopTerm } = englishAnalysis;

/** Terms of a text with their places, in order. */
export function tokenize(text: string, analysis: Analysis = englishAnalysis): Token[] {
  const tokens: Token[] = [];
  eachWord(text, (start, end) => {
    const term = analysis.termOf(text.slice(start, end));
    if (term !== '') tokens.push({ term, start, end });
  });
  return tokens;
}

/** Terms of a text, in order, with repeats. All analyses give the same number of terms for the same text. */
export function analyse(text: string, analysis: Analysis = englishAnalysis): string[] {
  return tokenize(text, analysis).map((t) => t.term);
}

/** The distinct terms that a question is searched by: no stop words, unless there is nothing else; of a giant text only the head counts. */
export function queryTerms(text: string, analysis: Analysis = englishAnalysis): string[] {
  const terms = [...new Set(analyse(text.slice(0, maxQueryLength), analysis))];
  const content = terms.filter((t) => !analysis.isStopTerm(t));
  return (content.length > 0 ? content : terms).slice(0, maxQueryTerms);
}

/**
 * Query terms with their factors: those of the question count 1, those of each expansion its weight more (SIRA, arXiv 2605.06647, METHODS §4.6:
 * score(d) = BM25(q, d) + w · BM25(q_exp, d)). Expansions without a finite positive weight are left out.
 */
export function weightedQueryTerms(
  text: string,
  expansions: readonly { readonly text: string; readonly weight: number }[],
  analysis: Analysis = englishAnalysis,
): Map<string, number> {
  const factors = new Map(queryTerms(text, analysis).map((term) => [term, 1]));
  for (const { text: words, weight } of expansions.slice(0, maxQueryTerms)) {
    if (!Number.isFinite(weight) || weight <= 0) continue;
    for (const term of queryTerms(words, analysis)) if (factors.has(term) || factors.size < 2 * maxQueryTerms) factors.set(term, (factors.get(term) ?? 0) + weight);
  }
  return factors;
}

const maxPhrases = 8;
const quoted = /"([^"]*)"|\u201c([^\u201c\u201d]+)\u201d/g;

/** The terms of each phrase that stands in quotation marks, in order; a quoted single word is a phrase of one term. */
export function quotedPhrases(text: string, analysis: Analysis = englishAnalysis): string[][] {
  const phrases = Array.from(text.slice(0, maxQueryLength).matchAll(quoted), ([, straight, curly]) => analyse(straight ?? curly ?? '', analysis));
  return phrases.filter((terms) => terms.length > 0).slice(0, maxPhrases);
}

/** Whether a query says nothing outside quotation marks, stop words apart. */
export function isAllPhrases(text: string): boolean {
  return analyse(text.slice(0, maxQueryLength).replace(quoted, ' ')).every(isStopTerm);
}

/** Whether the terms follow one another in the text. */
export function hasPhrase(text: string, phrase: readonly string[], analysis: Analysis = englishAnalysis): boolean {
  const terms = analyse(text, analysis);
  return terms.some((_, i) => phrase.every((term, j) => terms[i + j] === term));
}
