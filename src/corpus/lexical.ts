/**
 * Search by words: the reader of a word index segment and BM25 over several segments with common statistics. Pure.
 * Opening a segment decodes the entries of its terms (`lexical-tables.ts`); what else a query needs is checked when it is read, so no table is trusted.
 * Statistics are sums over the open segments, so shards and own documents combine, and a removed segment leaves no trace.
 */
import { englishAnalysis, wordsAnalysis, type Analysis } from './analysis.ts';
import { blockPostings } from './lexical-format.ts';
import { openTables, postingList, walkPostings, wordAt, type PostingList, type PostingVisitor } from './lexical-tables.ts';
import { createTop, type Top } from './lexical-top.ts';

/** How a shard wants its words to be searched. Applies at query time, to its segments; statistics are common to all. */
export interface LexicalScheme {
  readonly analysis: Analysis;
  readonly k1: number;
  readonly b: number;
}

export const defaultScheme: LexicalScheme = { analysis: englishAnalysis, k1: 1.2, b: 0.75 };

/** Term frequencies of the fields are added with these weights before saturation, lengths likewise (simple BM25F). Apply at query time. */
export interface LexicalParameters {
  readonly titleBoost: number;
  readonly sectionBoost: number;
}

export const lexicalDefaults: LexicalParameters = { titleBoost: 1, sectionBoost: 1 };

// ---------------------------------------------------------------------------------------------- segment

/** One query term in one segment, with everything but the passage put into numbers. Scores are whole numbers of a unit that the search chooses. */
export interface TermScorer {
  /** Place of the term in the segment's dictionary. */
  readonly term: number;
  readonly postings: number;
  /** No passage of the segment gains more. */
  readonly bound: number;
  /** Inverse document frequency × factor × (k1 + 1), in units. */
  readonly gain: number;
}

export interface LexicalSegment {
  /** For error messages. */
  readonly name: string;
  readonly scheme: LexicalScheme;
  readonly passages: number;
  readonly terms: number;
  readonly postings: number;
  readonly bytes: number;
  /** Sums of tokens over the passages. */
  readonly titleTokens: number;
  readonly sectionTokens: number;
  readonly textTokens: number;
  /** The term's number in this segment, or -1. `term` in UTF-8. */
  find(term: Uint8Array): number;
  documentFrequency(term: number): number;
  /** Calls `visit` for each posting, ordinals ascending, and checks the list, its maxima and its blocks on the way. Throws `shard/part-invalid`. */
  eachPosting(term: number, visit: PostingVisitor): void;
  /** Checks the postings of all terms as `eachPosting` does. Throws `shard/part-invalid`. */
  check(): void;
  /** Upper bounds over all postings of a term, at most 255 each. */
  maxima(term: number): { readonly text: number; readonly title: number; readonly section: number; readonly minLength: number };
  /** Distinct titles. */
  readonly titles: number;
  /** First passage with the n-th title in the order of folded titles. */
  titleAt(n: number): number;
  /** Frequent words. */
  readonly words: number;
  /** The n-th frequent word in the order of folded words: its commonest form and its term. */
  wordAt(n: number): { readonly word: string; readonly term: number };
  /** Prepares the reading below for these statistics; what depends on passage lengths is kept for the last ones. */
  scorer(term: number, gain: number, parameters: LexicalParameters, averageLength: number): TermScorer;
  /**
   * Adds the share of each posting to `scores[base + ordinal]`; passages that had no score yet are appended to `touched`, where there are `count` so far.
   * Returns the new count. null: nobody needs to know.
   */
  accumulate(scorer: TermScorer, scores: Int32Array, base: number, touched: Int32Array | null, count: number): number;
  /**
   * Adds the term's share to those of the first `count` `candidates` (ascending) that may still come above `floor` with this term and `rest` more;
   * keeps these only and returns their number. The scores of the others are not complete.
   */
  refine(scorer: TermScorer, scores: Int32Array, candidates: Int32Array, count: number, floor: number, rest: number): number;
  /** The term's share of one passage, 0 where it does not occur. */
  shareOf(scorer: TermScorer, ordinal: number): number;
  /** One array for the scores of a search over the segment, all 0: leave it so. */
  scratch(): { readonly scores: Int32Array; readonly touched: Int32Array };
}

/**
 * Opens a segment on `bytes` (kept, and copied only if not aligned to 4). Throws `shard/part-invalid` naming `name` when header and length do not fit together.
 */
export function openLexicalSegment(bytes: Uint8Array, name: string, scheme: LexicalScheme = defaultScheme): LexicalSegment {
  const { k1, b } = scheme;
  const tables = openTables(bytes, name);
  const { passages, terms, textLengths, titleLengths, sectionLengths, termOffsets, maxima, blocks, titleOrder, termText, postings, bad } = tables;
  const listOf = (term: number): PostingList => postingList(tables, term);
  const lastOf = (list: PostingList, block: number): number => (list.first < 0 ? passages - 1 : (blocks[3 * (list.first + block)] ?? 0));

  let statistics = { key: '', titleBoost: 0, sectionBoost: 0, flat: 0, slope: 0, codes: new Uint32Array(0) as Uint16Array | Uint32Array, norms: new Float64Array(0), once: new Float64Array(0) };
  let scratch: { scores: Int32Array; touched: Int32Array } | null = null;
  // The block that was decoded last: ordinals and weighted frequencies.
  const ordinals = new Int32Array(blockPostings);
  const weighted = new Float64Array(blockPostings);

  /** The first block whose last ordinal is not below `ordinal`, from block `from` on. */
  function blockFor(list: PostingList, ordinal: number, from: number): number {
    let low = from;
    let high = list.blocks - 1;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (lastOf(list, middle) < ordinal) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Decodes a block into `ordinals` and `weighted`; returns the number of its postings. */
  function decode(term: number, list: PostingList, block: number): number {
    const from = list.first < 0 ? 0 : (blocks[3 * (list.first + block) + 1] ?? 0);
    const previous = block === 0 ? -1 : lastOf(list, block - 1);
    if (list.start + from >= list.end || previous >= passages) throw bad(`block ${block} of its term ${term} is not valid`);
    const count = Math.min(blockPostings, list.postings - block * blockPostings);
    const end = decodePostings(term, list.start + from, list.end, count, previous);
    if (block === list.blocks - 1 ? end !== list.end : list.start + (blocks[3 * (list.first + block + 1) + 1] ?? 0) !== end) {
      throw bad(`block ${block} of its term ${term} does not fill its place`);
    }
    return count;
  }

  /** Decodes `count` postings from byte `start`; returns the byte after them. The common one (once, in the text, near the last one) is read inline. */
  function decodePostings(term: number, start: number, end: number, count: number, previous: number): number {
    const { titleBoost, sectionBoost } = statistics;
    let p = start;
    let ordinal = previous;
    for (let i = 0; i < count; i++) {
      let coded = postings[p++] ?? 0;
      if (coded >= 0x80) {
        coded &= 0x7f;
        let shift = 7;
        let byte = 0x80;
        while (byte >= 0x80 && shift < 32) {
          byte = postings[p++] ?? 0;
          coded |= (byte & 0x7f) << shift;
          shift += 7;
        }
      }
      ordinal += (coded >>> 1) + 1;
      let frequency = 1;
      if ((coded & 1) === 0) {
        const packed = postings[p++] ?? 0;
        frequency = packed & 15;
        let title = (packed >> 4) & 3;
        let section = packed >> 6;
        if (frequency === 15 || title === 3 || section === 3) {
          for (let field = 0; field < 3; field++) {
            if (field === 0 ? frequency !== 15 : field === 1 ? title !== 3 : section !== 3) continue;
            let value = 0;
            let shift = 0;
            let byte = 0x80;
            while (byte >= 0x80 && shift < 32) {
              byte = postings[p++] ?? 0;
              value |= (byte & 0x7f) << shift;
              shift += 7;
            }
            if (field === 0) frequency += value >>> 0;
            else if (field === 1) title += value >>> 0;
            else section += value >>> 0;
          }
        }
        frequency += titleBoost * title + sectionBoost * section;
      }
      if (p > end || ordinal >= passages) throw bad(`its postings of term ${term} are not valid`);
      ordinals[i] = ordinal;
      weighted[i] = frequency;
    }
    return p;
  }

  /** k1 × (1 - b + b × length / mean length) by passage, through a code for each length: few lengths differ, so the tables stay in the nearest cache. */
  function lengthNorms({ titleBoost, sectionBoost }: LexicalParameters, averageLength: number): Pick<typeof statistics, 'flat' | 'slope' | 'codes' | 'norms' | 'once'> {
    const flat = k1 * (1 - b);
    const slope = averageLength > 0 ? (k1 * b) / averageLength : 0;
    const known = new Map<number, number>();
    let codes: Uint16Array | Uint32Array = new Uint16Array(passages);
    for (let i = 0; i < passages; i++) {
      const length = (textLengths[i] ?? 0) + titleBoost * (titleLengths[i] ?? 0) + sectionBoost * (sectionLengths[i] ?? 0);
      let code = known.get(length);
      if (code === undefined) {
        code = known.size;
        known.set(length, code);
        if (code === 0x10000) codes = Uint32Array.from(codes);
      }
      codes[i] = code;
    }
    const norms = Float64Array.from(known.keys(), (length) => flat + slope * length);
    return { flat, slope, codes, norms, once: norms.map((norm) => 1 / (1 + norm)) };
  }

  /** A posting's share of the score: never 0, so that a score of 0 means that no term occurs. */
  function share(gain: number, frequency: number, ordinal: number): number {
    const code = statistics.codes[ordinal] ?? 0;
    return shareIn(gain, frequency, statistics.norms[code] ?? 1, statistics.once[code] ?? 0);
  }

  /** No posting with these maxima has a greater share. */
  function bound(gain: number, packed: number): number {
    const { titleBoost, sectionBoost, flat, slope } = statistics;
    const [text, title, section, length] = [packed & 0xff, (packed >>> 8) & 0xff, (packed >>> 16) & 0xff, packed >>> 24];
    // A frequency of 255 may stand for a greater one.
    if (text === 255 || title === 255 || section === 255) return Math.ceil(gain) + 1;
    const frequency = text + titleBoost * title + sectionBoost * section;
    return Math.ceil((gain * frequency) / (frequency + flat + slope * length)) + 1;
  }

  return {
    name,
    scheme,
    passages,
    terms,
    postings: tables.postingCount,
    bytes: tables.bytes,
    titleTokens: tables.titleTokens,
    sectionTokens: tables.sectionTokens,
    textTokens: tables.textTokens,
    titles: titleOrder.length,
    words: tables.wordTerms.length,
    find(term) {
      let low = 0;
      let high = terms - 1;
      while (low <= high) {
        const middle = (low + high) >>> 1;
        const start = termOffsets[middle] ?? 0;
        const size = (termOffsets[middle + 1] ?? 0) - start;
        const shorter = Math.min(size, term.length);
        let order = 0;
        for (let i = 0; i < shorter && order === 0; i++) order = (termText[start + i] ?? 0) - (term[i] ?? 0);
        if (order === 0) order = size - term.length;
        if (order === 0) return middle;
        if (order < 0) low = middle + 1;
        else high = middle - 1;
      }
      return -1;
    },
    documentFrequency: (term) => listOf(term).postings,
    maxima(term) {
      const packed = maxima[term] ?? 0;
      return { text: packed & 0xff, title: (packed >>> 8) & 0xff, section: (packed >>> 16) & 0xff, minLength: packed >>> 24 };
    },
    eachPosting: (term, visit) => walkPostings(tables, term, term + 1, visit),
    check: () => walkPostings(tables, 0, terms, null),
    titleAt(n) {
      const ordinal = titleOrder[n] ?? passages;
      if (ordinal >= passages) throw bad(`its title ${n} points outside`);
      return ordinal;
    },
    wordAt: (n) => wordAt(tables, n),
    scorer(term, gain, parameters, averageLength) {
      const { titleBoost, sectionBoost } = parameters;
      const key = `${titleBoost} ${sectionBoost} ${averageLength}`;
      if (statistics.key !== key) statistics = { key, titleBoost, sectionBoost, ...lengthNorms(parameters, averageLength) };
      return { term, postings: listOf(term).postings, gain, bound: bound(gain, maxima[term] ?? 0) };
    },
    accumulate({ term, gain }, scores, base, touched, count) {
      const list = listOf(term);
      const { codes, norms, once } = statistics;
      let end = list.start + (list.first < 0 ? 0 : 4);
      let previous = -1;
      let next = count;
      for (let left = list.postings; left > 0; left -= blockPostings) {
        const size = Math.min(left, blockPostings);
        end = decodePostings(term, end, list.end, size, previous);
        previous = ordinals[size - 1] ?? 0;
        for (let i = 0; i < size; i++) {
          const ordinal = ordinals[i] ?? 0;
          const code = codes[ordinal] ?? 0;
          const before = scores[base + ordinal] ?? 0;
          if (before === 0 && touched !== null) touched[next++] = ordinal;
          scores[base + ordinal] = before + shareIn(gain, weighted[i] ?? 1, norms[code] ?? 1, once[code] ?? 0);
        }
      }
      if (end !== list.end) throw bad(`its postings of term ${term} are too long`);
      return next;
    },
    refine({ term, gain, bound: most }, scores, candidates, count, floor, rest) {
      const list = listOf(term);
      let kept = 0;
      let block = -1;
      let size = 0;
      let i = 0;
      let blockBound = most;
      let ready = -1; // the block that is decoded
      for (let c = 0; c < count; c++) {
        const ordinal = candidates[c] ?? 0;
        const score = scores[ordinal] ?? 0;
        if (score + most + rest <= floor) continue;
        if (block < 0 || lastOf(list, block) < ordinal) {
          block = blockFor(list, ordinal, Math.max(0, block));
          if (list.first >= 0) blockBound = Math.min(most, bound(gain, blocks[3 * (list.first + block) + 2] ?? 0));
        }
        if (score + blockBound + rest <= floor) continue;
        candidates[kept++] = ordinal;
        if (lastOf(list, block) < ordinal) continue;
        if (ready !== block) {
          size = decode(term, list, block);
          ready = block;
          i = 0;
        }
        while (i < size && (ordinals[i] ?? 0) < ordinal) i++;
        if (i < size && ordinals[i] === ordinal) scores[ordinal] = score + share(gain, weighted[i] ?? 1, ordinal);
      }
      return kept;
    },
    shareOf({ term, gain }, ordinal) {
      const list = listOf(term);
      const block = blockFor(list, ordinal, 0);
      if (lastOf(list, block) < ordinal) return 0;
      const size = decode(term, list, block);
      for (let i = 0; i < size; i++) if (ordinals[i] === ordinal) return share(gain, weighted[i] ?? 1, ordinal);
      return 0;
    },
    scratch: () => (scratch ??= { scores: new Int32Array(passages), touched: new Int32Array(passages) }),
  };
}

/** Rounding to whole numbers makes sums exact in any order: early termination gives the very scores of the full evaluation. */
function shareIn(gain: number, frequency: number, norm: number, once: number): number {
  const share = frequency === 1 ? gain * once : (gain * frequency) / (frequency + norm);
  return Math.max(1, Math.floor(share + 0.5));
}

// ---------------------------------------------------------------------------------------------- search

export interface LexicalResult {
  readonly count: number;
  /** The best passages, best first (ties: lower ordinal first); ordinals run through the segments in the order given. */
  readonly ordinals: Int32Array;
  readonly scores: Float64Array;
  /** BM25 score of any passage, by ordinal; 0 where no term occurs. */
  scoreOf(ordinal: number): number;
  /** Inverse document frequency times factor of each query term that occurs, in the terms of an analysis; default that of the first segment. */
  readonly weights: (analysis?: Analysis) => ReadonlyMap<string, number>;
  /** What a term of the first segment's analysis is in another one: the terms of the same words of the query. */
  readonly forms: (term: string, analysis: Analysis) => readonly string[];
}

/** Distinct terms, or term → factor of its share; a function where segments of several analyses are searched. */
export type LexicalTerms = readonly string[] | ReadonlyMap<string, number> | ((analysis: Analysis) => ReadonlyMap<string, number>);

interface Prepared {
  readonly segment: LexicalSegment;
  /** Ordinal of its first passage. */
  readonly base: number;
  readonly scorers: readonly TermScorer[];
}

interface Query extends Pick<LexicalResult, 'weights' | 'forms'> {
  readonly passages: number;
  /** Units in a score of 1: as many as leave the sum of all shares within 31 bits. */
  readonly unit: number;
  readonly prepared: readonly Prepared[];
}

const greatestScore = 2 ** 30;

/** Term → factor by analysis, each asked for once. */
function factorsOf(terms: LexicalTerms): (analysis: Analysis) => ReadonlyMap<string, number> {
  if (typeof terms !== 'function') {
    const fixed = terms instanceof Map ? (terms as ReadonlyMap<string, number>) : new Map((terms as readonly string[]).map((term) => [term, 1]));
    return () => fixed;
  }
  const known = new Map<Analysis, ReadonlyMap<string, number>>();
  return (analysis) => {
    const found = known.get(analysis) ?? terms(analysis);
    known.set(analysis, found);
    return found;
  };
}

function prepare(segments: readonly LexicalSegment[], terms: LexicalTerms, parameters: LexicalParameters): Query {
  let passages = 0;
  let tokens = 0;
  for (const s of segments) {
    passages += s.passages;
    tokens += s.textTokens + parameters.titleBoost * s.titleTokens + parameters.sectionBoost * s.sectionTokens;
  }
  const average = passages > 0 ? tokens / passages : 0;
  const factors = factorsOf(terms);
  const encoder = new TextEncoder();
  const analyses = [...new Set(segments.map(({ scheme }) => scheme.analysis))];
  // Unstemmed terms stand for the words of the query: what the analyses make of the same word is counted together.
  const formsIn = (from: Analysis, term: string, to: Analysis): readonly string[] =>
    from === to ? [term] : [...new Set([...factors(wordsAnalysis).keys()].filter((word) => from.termOf(word) === term).map((word) => to.termOf(word)))];
  const weights = new Map<Analysis, Map<string, number>>(analyses.map((analysis) => [analysis, new Map()]));
  const found: { readonly places: readonly number[]; readonly weight: number }[] = [];
  const totals = new Map<Analysis, number>();
  for (const analysis of analyses) {
    for (const [term, factor] of factors(analysis)) {
      const forms = new Map(analyses.map((other) => [other, formsIn(analysis, term, other).map((form) => encoder.encode(form))]));
      let frequency = 0;
      const places = segments.map((s) => {
        const own = (forms.get(s.scheme.analysis) ?? []).map((form) => s.find(form));
        frequency += Math.max(0, ...own.map((place) => (place < 0 ? 0 : s.documentFrequency(place))));
        return s.scheme.analysis === analysis ? (own[0] ?? -1) : -1;
      });
      if (frequency === 0) continue;
      const weight = factor * Math.log(1 + (passages - frequency + 0.5) / (frequency + 0.5));
      weights.get(analysis)?.set(term, weight);
      found.push({ places, weight });
      totals.set(analysis, (totals.get(analysis) ?? 0) + weight);
    }
  }
  const total = Math.max(0, ...totals.values());
  const most = 1 + Math.max(0, ...segments.map(({ scheme }) => scheme.k1));
  const unit = total > 0 ? 2 ** Math.floor(Math.log2((greatestScore - 2 * found.length) / (total * most))) : 1;
  let base = 0;
  const prepared = segments.map((segment, s) => {
    const scorers: TermScorer[] = [];
    for (const { places, weight } of found) {
      const place = places[s] ?? -1;
      if (place >= 0) scorers.push(segment.scorer(place, weight * (segment.scheme.k1 + 1) * unit, parameters, average));
    }
    base += segment.passages;
    return { segment, base: base - segment.passages, scorers };
  });
  const first = analyses[0] ?? englishAnalysis;
  return {
    passages,
    unit,
    prepared,
    weights: (analysis = first) => weights.get(analysis) ?? new Map<string, number>(),
    forms: (term, analysis) => formsIn(first, term, analysis),
  };
}

/**
 * BM25 over several segments with common statistics. The `k` best passages; fewer if fewer match.
 * Ends early by MaxScore (Turtle & Flood 1995) term by term, with block maxima (Ding & Suel 2011) for what is left of each candidate: the passages and scores are
 * those of the full evaluation, to the last bit.
 */
export function searchLexical(
  segments: readonly LexicalSegment[],
  terms: LexicalTerms,
  k: number,
  parameters: LexicalParameters = lexicalDefaults,
): LexicalResult {
  const { passages, weights, forms, unit, prepared } = prepare(segments, terms, parameters);
  const best = createTop(Math.max(0, Math.min(Math.floor(k), passages)));
  for (const one of prepared) if (one.scorers.length > 0 && best.size > 0) searchSegment(one, best);
  const scoreOf = (ordinal: number): number => {
    const place = prepared.findLast(({ base }) => base <= ordinal);
    if (place === undefined || ordinal >= place.base + place.segment.passages) return 0;
    return place.scorers.reduce((sum, scorer) => sum + place.segment.shareOf(scorer, ordinal - place.base), 0) / unit;
  };
  return { ...best.finish(unit), weights, forms, scoreOf };
}

/** The same without early termination: the score of every passage is at hand afterwards. For searches that need many of them. */
export function scoreLexical(
  segments: readonly LexicalSegment[],
  terms: LexicalTerms,
  k: number,
  parameters: LexicalParameters = lexicalDefaults,
): LexicalResult {
  const { passages, weights, forms, unit, prepared } = prepare(segments, terms, parameters);
  const scores = new Int32Array(passages);
  for (const { segment, base, scorers } of prepared) for (const scorer of scorers) segment.accumulate(scorer, scores, base, null, 0);
  const best = createTop(Math.max(0, Math.min(Math.floor(k), passages)));
  let floor = 0;
  for (let i = 0; i < passages && best.size > 0; i++) {
    const score = scores[i] ?? 0;
    if (score > floor) floor = best.offer(i, score);
  }
  return { ...best.finish(unit), weights, forms, scoreOf: (ordinal) => (scores[ordinal] ?? 0) / unit };
}

/** Reading a candidate's posting costs about as much as adding so many postings in a row. */
const refineCost = 3;

function searchSegment({ segment, base, scorers }: Prepared, best: Top): void {
  const ordered = [...scorers].sort((a, b) => b.bound - a.bound);
  // By terms from the end: what they may add together, and their postings.
  const rest = [0];
  const work = [0];
  for (let i = ordered.length - 1; i >= 0; i--) {
    rest.unshift((rest[0] ?? 0) + (ordered[i]?.bound ?? 0));
    work.unshift((work[0] ?? 0) + (ordered[i]?.postings ?? 0));
  }
  let floor = best.floor();
  // Segments come in ascending order, so a passage that only equals the worst kept loses to it.
  if ((rest[0] ?? 0) <= floor) return;
  const { scores, touched } = segment.scratch();
  let count = 0;
  let i = 0;
  let isSparse = false;
  try {
    for (const [at, scorer] of ordered.entries()) {
      // Partial scores only grow: the k-th best of them is a floor, and a passage with none of the terms so far stays below it.
      if (count >= best.size && count * 2 < (work[at] ?? 0)) floor = Math.max(floor, partialFloor(scores, touched, count, best.size, rest[0] ?? 0));
      if ((rest[at] ?? 0) <= floor) break;
      count = segment.accumulate(scorer, scores, 0, touched, count);
      i = at + 1;
    }
    let kept = 0;
    if (i < ordered.length) {
      const left = rest[i] ?? 0;
      const candidates = touched.slice(0, count);
      for (let c = 0; c < count; c++) {
        const ordinal = candidates[c] ?? 0;
        if ((scores[ordinal] ?? 0) + left > floor) candidates[kept++] = ordinal;
      }
      const isCheaper = kept * refineCost * (ordered.length - i) < (work[i] ?? 0);
      if (isCheaper) candidates.subarray(0, kept).sort();
      for (const [at, scorer] of ordered.entries()) {
        if (at < i) continue;
        if (isCheaper) kept = segment.refine(scorer, scores, candidates, kept, floor, rest[at + 1] ?? 0);
        else segment.accumulate(scorer, scores, 0, null, 0);
      }
      offerAll(best, base, scores, candidates, kept);
      isSparse = isCheaper;
    } else {
      offerAll(best, base, scores, touched, count);
      isSparse = true;
    }
  } finally {
    if (isSparse && count * 8 < segment.passages) for (let c = 0; c < count; c++) scores[touched[c] ?? 0] = 0;
    else scores.fill(0);
  }
}

function offerAll(best: Top, base: number, scores: Int32Array, ordinals: Int32Array, count: number): void {
  let floor = best.floor();
  for (let i = 0; i < count; i++) {
    const ordinal = ordinals[i] ?? 0;
    const score = scores[ordinal] ?? 0;
    if (score >= floor) floor = best.offer(base + ordinal, score);
  }
}

const buckets = new Uint32Array(512);

/** A score that at least `k` of the `count` touched passages reach, less 1; by a histogram, so a little lower than it could be. `most`: no score is above. */
function partialFloor(scores: Int32Array, touched: Int32Array, count: number, k: number, most: number): number {
  const shift = Math.max(0, 32 - Math.clz32(most) - 9);
  buckets.fill(0);
  for (let i = 0; i < count; i++) {
    const bucket = (scores[touched[i] ?? 0] ?? 0) >>> shift;
    buckets[bucket] = (buckets[bucket] ?? 0) + 1;
  }
  let above = 0;
  for (let bucket = buckets.length - 1; bucket > 0; bucket--) {
    above += buckets[bucket] ?? 0;
    if (above >= k) return bucket * 2 ** shift - 1;
  }
  return 0;
}
