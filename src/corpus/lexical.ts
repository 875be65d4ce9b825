/**
 * Search by words: the BM25 segment (builder and reader) and the search over several segments with common statistics. Pure.
 * A segment is one flat buffer: opening it checks the tables and decodes nothing; only the posting lists of a query's terms are ever read.
 * Statistics are sums over the open segments, so shards and own documents combine, and a removed segment leaves no trace.
 */
import { AppError } from '../errors.ts';
import { analyse, eachWord, termOf } from './analysis.ts';

// ---------------------------------------------------------------------------------------------- segment: layout
// 12 header words (u32): magic, version, passages, terms, tokens in titles, in sections, in texts, bytes of term text, bytes of postings, postings, 0, 0.
// The last two are kept for block maxima (early termination). Then, each padded to 4 bytes:
// text lengths u16[passages], title lengths u8[passages], section lengths u8[passages] (all saturating), term text offsets u32[terms + 1],
// posting offsets u32[terms + 1], document frequencies u32[terms], maxima u8[4 × terms] (text, title, section frequency; least text length), term text, postings.
// A posting: varint of (ordinal delta << 1 | plain). plain = occurs once, in the text only. Else a byte: text frequency (4 bits), title (2), section (2),
// where the highest value of a field means that a varint with the frequency less that value follows, in the order text, title, section.
const magic = 0x58454c46; // 'FLEX'
const version = 1;
const headerWords = 12;

const padded = (n: number): number => Math.ceil(n / 4) * 4; // no bit operations: untrusted counts may exceed 31 bits

interface Layout {
  readonly textLengths: number;
  readonly titleLengths: number;
  readonly sectionLengths: number;
  readonly termOffsets: number;
  readonly postingOffsets: number;
  readonly frequencies: number;
  readonly maxima: number;
  readonly termText: number;
  readonly postings: number;
  readonly total: number;
}

function layout(passages: number, terms: number, termBytes: number, postingBytes: number): Layout {
  const textLengths = headerWords * 4;
  const titleLengths = textLengths + padded(2 * passages);
  const sectionLengths = titleLengths + padded(passages);
  const termOffsets = sectionLengths + padded(passages);
  const postingOffsets = termOffsets + 4 * (terms + 1);
  const frequencies = postingOffsets + 4 * (terms + 1);
  const maxima = frequencies + 4 * terms;
  const termText = maxima + 4 * terms;
  const postings = termText + padded(termBytes);
  return { textLengths, titleLengths, sectionLengths, termOffsets, postingOffsets, frequencies, maxima, termText, postings, total: postings + padded(postingBytes) };
}

// ---------------------------------------------------------------------------------------------- segment: builder

export interface LexicalFields {
  readonly title: string;
  readonly section: string;
  readonly text: string;
}

export interface LexicalBuilder {
  /** Passages added so far. */
  readonly passages: number;
  /** Postings so far; a shard builder closes a part by it (about 2.3 bytes each). */
  readonly postings: number;
  add(fields: LexicalFields): void;
  /** The segment's bytes; the builder is spent afterwards. */
  finish(): Uint8Array<ArrayBuffer>;
}

/** A growable u32 list. */
class Words {
  length = 0;
  private data = new Uint32Array(1 << 12);
  push(value: number): void {
    if (this.length === this.data.length) {
      const larger = new Uint32Array(this.data.length * 2);
      larger.set(this.data);
      this.data = larger;
    }
    this.data[this.length++] = value;
  }
  view(): Uint32Array {
    return this.data.subarray(0, this.length);
  }
}

class ByteSink {
  length = 0;
  private data = new Uint8Array(1 << 12);
  byte(value: number): void {
    if (this.length === this.data.length) {
      const larger = new Uint8Array(this.data.length * 2);
      larger.set(this.data);
      this.data = larger;
    }
    this.data[this.length++] = value;
  }
  varint(value: number): void {
    let rest = value;
    while (rest > 0x7f) {
      this.byte((rest & 0x7f) | 0x80);
      rest >>>= 7;
    }
    this.byte(rest);
  }
  view(): Uint8Array {
    return this.data.subarray(0, this.length);
  }
}

export function createLexicalBuilder(): LexicalBuilder {
  const ids = new Map<string, number>();
  const memo = new Map<string, string>(); // word → term; words repeat, folding and stemming do not have to
  const entryTerms = new Words();
  const entryPassages = new Words();
  const entryCounts = new Words(); // text (16 bits), title (8), section (8) frequency
  const lengths: [Words, Words, Words] = [new Words(), new Words(), new Words()];
  const sums = [0, 0, 0];
  let counts = new Uint32Array(1 << 10); // by term: packed frequencies within the passage at hand
  let touched: number[] = [];
  let passages = 0;

  function count(text: string, field: 0 | 1 | 2): void {
    const shift = field === 0 ? 0 : field === 1 ? 16 : 24;
    const limit = field === 0 ? 0xffff : 0xff;
    let tokens = 0;
    eachWord(text, (start, end) => {
      const word = text.slice(start, end);
      let term = memo.get(word);
      if (term === undefined) {
        term = termOf(word);
        if (memo.size > 200_000) memo.clear();
        memo.set(word, term);
      }
      if (term === '') return;
      tokens++;
      let id = ids.get(term);
      if (id === undefined) {
        id = ids.size;
        ids.set(term, id);
        if (id >= counts.length) {
          const larger = new Uint32Array(counts.length * 2);
          larger.set(counts);
          counts = larger;
        }
      }
      const packed = counts[id] ?? 0;
      if (packed === 0) touched.push(id);
      if (((packed >>> shift) & limit) < limit) counts[id] = packed + (1 << shift);
    });
    lengths[field].push(tokens);
    sums[field] = (sums[field] ?? 0) + tokens;
  }

  return {
    get passages() {
      return passages;
    },
    get postings() {
      return entryTerms.length;
    },
    add(fields) {
      count(fields.text, 0);
      count(fields.title, 1);
      count(fields.section, 2);
      for (const id of touched) {
        entryTerms.push(id);
        entryPassages.push(passages);
        entryCounts.push(counts[id] ?? 0);
        counts[id] = 0;
      }
      touched = [];
      passages++;
    },
    finish() {
      return encodeSegment(ids, entryTerms.view(), entryPassages.view(), entryCounts.view(), lengths, sums, passages);
    },
  };
}

function encodeSegment(
  ids: ReadonlyMap<string, number>,
  entryTerms: Uint32Array,
  entryPassages: Uint32Array,
  entryCounts: Uint32Array,
  lengths: readonly [Words, Words, Words],
  sums: readonly number[],
  passages: number,
): Uint8Array<ArrayBuffer> {
  const encoder = new TextEncoder();
  const dictionary = [...ids].map(([term, id]) => ({ bytes: encoder.encode(term), id })).sort((a, b) => compareBytes(a.bytes, b.bytes));
  const terms = dictionary.length;
  // A counting sort by term keeps the passages of each term in order.
  const starts = new Uint32Array(terms + 1);
  for (const id of entryTerms) starts[id + 1] = (starts[id + 1] ?? 0) + 1;
  for (let i = 0; i < terms; i++) starts[i + 1] = (starts[i + 1] ?? 0) + (starts[i] ?? 0);
  const sorted = new Uint32Array(entryTerms.length);
  const fill = starts.slice();
  for (let e = 0; e < entryTerms.length; e++) {
    const id = entryTerms[e] ?? 0;
    const slot = fill[id] ?? 0;
    sorted[slot] = e;
    fill[id] = slot + 1;
  }
  const textLengths = lengths[0].view();
  const sink = new ByteSink();
  const offsets = new Uint32Array(terms + 1);
  const frequencies = new Uint32Array(terms);
  const maxima = new Uint8Array(4 * terms);
  dictionary.forEach(({ id }, position) => {
    const from = starts[id] ?? 0;
    const to = starts[id + 1] ?? 0;
    let previous = -1;
    let maxText = 0;
    let maxTitle = 0;
    let maxSection = 0;
    let minLength = 255;
    for (let s = from; s < to; s++) {
      const e = sorted[s] ?? 0;
      const passage = entryPassages[e] ?? 0;
      const packed = entryCounts[e] ?? 0;
      const text = packed & 0xffff;
      const title = (packed >>> 16) & 0xff;
      const section = packed >>> 24;
      const delta = passage - previous - 1;
      previous = passage;
      if (packed === 1) {
        sink.varint(delta * 2 + 1);
      } else {
        sink.varint(delta * 2);
        sink.byte(Math.min(text, 15) | (Math.min(title, 3) << 4) | (Math.min(section, 3) << 6));
        if (text >= 15) sink.varint(text - 15);
        if (title >= 3) sink.varint(title - 3);
        if (section >= 3) sink.varint(section - 3);
      }
      maxText = Math.max(maxText, Math.min(255, text));
      maxTitle = Math.max(maxTitle, title);
      maxSection = Math.max(maxSection, section);
      minLength = Math.min(minLength, textLengths[passage] ?? 0);
    }
    offsets[position + 1] = sink.length;
    frequencies[position] = to - from;
    maxima.set([maxText, maxTitle, maxSection, minLength], 4 * position);
  });
  const termBytes = dictionary.reduce((sum, d) => sum + d.bytes.length, 0);
  const postings = sink.view();
  const at = layout(passages, terms, termBytes, postings.length);
  const out = new Uint8Array(at.total);
  new Uint32Array(out.buffer, 0, headerWords).set([
    magic, version, passages, terms, sums[1] ?? 0, sums[2] ?? 0, sums[0] ?? 0, termBytes, postings.length, entryTerms.length, 0, 0,
  ]);
  new Uint16Array(out.buffer, at.textLengths, passages).set(textLengths.map((n) => Math.min(n, 0xffff)));
  out.set(lengths[1].view().map((n) => Math.min(n, 0xff)), at.titleLengths);
  out.set(lengths[2].view().map((n) => Math.min(n, 0xff)), at.sectionLengths);
  const termOffsets = new Uint32Array(out.buffer, at.termOffsets, terms + 1);
  let end = 0;
  dictionary.forEach(({ bytes }, position) => {
    out.set(bytes, at.termText + end);
    end += bytes.length;
    termOffsets[position + 1] = end;
  });
  new Uint32Array(out.buffer, at.postingOffsets, terms + 1).set(offsets);
  new Uint32Array(out.buffer, at.frequencies, terms).set(frequencies);
  out.set(maxima, at.maxima);
  out.set(postings, at.postings);
  return out;
}

function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const shorter = Math.min(a.length, b.length);
  for (let i = 0; i < shorter; i++) {
    const difference = (a[i] ?? 0) - (b[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}

// ---------------------------------------------------------------------------------------------- segment: reader

export interface LexicalSegment {
  /** For error messages. */
  readonly name: string;
  readonly passages: number;
  readonly terms: number;
  readonly postings: number;
  readonly bytes: number;
  /** Sums of tokens over the passages. */
  readonly titleTokens: number;
  readonly sectionTokens: number;
  readonly textTokens: number;
  readonly textLengths: Uint16Array;
  readonly titleLengths: Uint8Array;
  readonly sectionLengths: Uint8Array;
  /** The term's number in this segment, or -1. `term` in UTF-8. */
  find(term: Uint8Array): number;
  documentFrequency(term: number): number;
  /** Upper bounds over the term's postings (saturating at 255), for early termination. */
  maxima(term: number): { readonly text: number; readonly title: number; readonly section: number; readonly minLength: number };
  /** Calls `visit` for each posting, ordinals ascending. Throws `shard/part-invalid` where the list is not well formed. */
  eachPosting(term: number, visit: (ordinal: number, text: number, title: number, section: number) => void): void;
  /** Adds the term's BM25 contribution to `scores[base + ordinal]`: the hot loop of a search. */
  accumulate(term: number, weight: number, norms: Float32Array, boosts: LexicalParameters, scores: Float32Array, base: number): void;
  /** k1 × (1 - b + b × length / mean length) by passage; kept for the last statistics that were asked for. */
  norms(parameters: LexicalParameters, averageLength: number): Float32Array;
}

/**
 * Opens a segment on `bytes` (kept, and copied only if not aligned to 4). Throws `shard/part-invalid` naming `name` when tables and length do not fit together.
 */
export function openLexicalSegment(bytes: Uint8Array, name: string): LexicalSegment {
  const bad = (reason: string): AppError => new AppError('shard/part-invalid', { part: name, reason });
  if (bytes.length < headerWords * 4) throw bad('it is too short for a word index');
  const data = bytes.byteOffset % 4 === 0 ? bytes : bytes.slice();
  const words = (offset: number, count: number): Uint32Array => new Uint32Array(data.buffer, data.byteOffset + offset, count);
  const header = words(0, headerWords);
  const h = (i: number): number => header[i] ?? 0;
  if (h(0) !== magic) throw bad('it is not a word index');
  if (h(1) !== version) throw bad(`its word index has version ${h(1)}`);
  const passages = h(2);
  const terms = h(3);
  const postingBytes = h(8);
  const at = layout(passages, terms, h(7), postingBytes);
  if (at.total !== data.length) throw bad('its tables do not fit its length');
  const textLengths = new Uint16Array(data.buffer, data.byteOffset + at.textLengths, passages);
  const titleLengths = data.subarray(at.titleLengths, at.titleLengths + passages);
  const sectionLengths = data.subarray(at.sectionLengths, at.sectionLengths + passages);
  const termOffsets = words(at.termOffsets, terms + 1);
  const postingOffsets = words(at.postingOffsets, terms + 1);
  const frequencies = words(at.frequencies, terms);
  for (let t = 0; t < terms; t++) {
    const ends = (termOffsets[t + 1] ?? 0) > (termOffsets[t] ?? 0) && (postingOffsets[t + 1] ?? 0) > (postingOffsets[t] ?? 0);
    const frequency = frequencies[t] ?? 0;
    if (!ends || frequency === 0 || frequency > passages) throw bad(`its entry for term ${t} is not valid`);
  }
  if (termOffsets[0] !== 0 || postingOffsets[0] !== 0 || termOffsets[terms] !== h(7) || postingOffsets[terms] !== postingBytes) {
    throw bad('its term table is not complete');
  }
  const termText = data.subarray(at.termText, at.termText + h(7));
  const postings = data.subarray(at.postings, at.postings + postingBytes);
  let cached = { key: '', norms: new Float32Array(0) };

  function read(
    term: number,
    visit: (ordinal: number, text: number, title: number, section: number) => void,
  ): void {
    const frequency = frequencies[term] ?? 0;
    const end = postingOffsets[term + 1] ?? 0;
    let p = postingOffsets[term] ?? 0;
    let ordinal = -1;
    const varint = (): number => {
      let value = 0;
      let shift = 0;
      while (p < end && shift < 32) {
        const byte = postings[p++] ?? 0;
        value += (byte & 0x7f) * 2 ** shift;
        if (byte < 0x80) return value;
        shift += 7;
      }
      throw bad(`its postings of term ${term} are cut off`);
    };
    for (let i = 0; i < frequency; i++) {
      const coded = varint();
      ordinal += Math.floor(coded / 2) + 1;
      if (ordinal >= passages) throw bad(`its postings of term ${term} point outside`);
      if (coded % 2 === 1) {
        visit(ordinal, 1, 0, 0);
        continue;
      }
      const packed = postings[p++] ?? 0;
      let text = packed & 15;
      let title = (packed >> 4) & 3;
      let section = packed >> 6;
      if (text === 15) text += varint();
      if (title === 3) title += varint();
      if (section === 3) section += varint();
      visit(ordinal, text, title, section);
    }
    if (p !== end) throw bad(`its postings of term ${term} are too long`);
  }

  return {
    name,
    passages,
    terms,
    postings: h(9),
    bytes: data.length,
    titleTokens: h(4),
    sectionTokens: h(5),
    textTokens: h(6),
    textLengths,
    titleLengths,
    sectionLengths,
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
    documentFrequency: (term) => frequencies[term] ?? 0,
    maxima: (term) => ({
      text: data[at.maxima + 4 * term] ?? 0,
      title: data[at.maxima + 4 * term + 1] ?? 0,
      section: data[at.maxima + 4 * term + 2] ?? 0,
      minLength: data[at.maxima + 4 * term + 3] ?? 0,
    }),
    eachPosting: read,
    accumulate(term, weight, norms, boosts, scores, base) {
      // The common posting (once, in the text, near the last one) is decoded inline; anything else goes the checked way of `read`.
      const { titleBoost, sectionBoost } = boosts;
      const gain = weight * (boosts.k1 + 1);
      const frequency = frequencies[term] ?? 0;
      const end = postingOffsets[term + 1] ?? 0;
      let p = postingOffsets[term] ?? 0;
      let ordinal = -1;
      for (let i = 0; i < frequency; i++) {
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
        let frequencyHere = 1;
        if ((coded & 1) === 0) {
          const packed = postings[p++] ?? 0;
          frequencyHere = packed & 15;
          let title = (packed >> 4) & 3;
          let section = packed >> 6;
          if (frequencyHere === 15 || title === 3 || section === 3) {
            for (let field = 0; field < 3; field++) {
              if (field === 0 ? frequencyHere !== 15 : field === 1 ? title !== 3 : section !== 3) continue;
              let value = 0;
              let shift = 0;
              let byte = 0x80;
              while (byte >= 0x80 && shift < 32) {
                byte = postings[p++] ?? 0;
                value |= (byte & 0x7f) << shift;
                shift += 7;
              }
              if (field === 0) frequencyHere += value;
              else if (field === 1) title += value;
              else section += value;
            }
          }
          frequencyHere += titleBoost * title + sectionBoost * section;
        }
        if (p > end || ordinal >= passages) throw bad(`its postings of term ${term} are not valid`);
        scores[base + ordinal] = (scores[base + ordinal] ?? 0) + (gain * frequencyHere) / (frequencyHere + (norms[ordinal] ?? 1));
      }
    },
    norms(parameters, averageLength) {
      const { k1, b, titleBoost, sectionBoost } = parameters;
      const key = `${k1} ${b} ${titleBoost} ${sectionBoost} ${averageLength}`;
      if (cached.key === key) return cached.norms;
      const norms = new Float32Array(passages);
      const slope = averageLength > 0 ? (k1 * b) / averageLength : 0;
      for (let i = 0; i < passages; i++) {
        const length = (textLengths[i] ?? 0) + titleBoost * (titleLengths[i] ?? 0) + sectionBoost * (sectionLengths[i] ?? 0);
        norms[i] = k1 * (1 - b) + slope * length;
      }
      cached = { key, norms };
      return norms;
    },
  };
}

// ---------------------------------------------------------------------------------------------- search

/** Of a longer text only the head is looked up (UTF-16 units). */
const maxFrequencyText = 1000;

/** Term frequencies of the fields are added with these weights before saturation, lengths likewise (simple BM25F). */
export interface LexicalParameters {
  readonly k1: number;
  readonly b: number;
  readonly titleBoost: number;
  readonly sectionBoost: number;
}

export const lexicalDefaults: LexicalParameters = { k1: 1.2, b: 0.75, titleBoost: 1, sectionBoost: 1 };

export interface LexicalResult {
  readonly count: number;
  /** The best passages, best first (ties: lower ordinal first); ordinals run through the segments in the order given. */
  readonly ordinals: Int32Array;
  readonly scores: Float32Array;
  /** BM25 score of every passage, 0 where no term occurs. */
  readonly all: Float32Array;
  /** Inverse document frequency times factor of each query term that occurs. */
  readonly weights: ReadonlyMap<string, number>;
}

/** BM25 over several segments with common statistics. `terms`: distinct terms, or term → factor of its share. `k` best passages; fewer if fewer match. */
export function searchLexical(
  segments: readonly LexicalSegment[],
  terms: readonly string[] | ReadonlyMap<string, number>,
  k: number,
  parameters: LexicalParameters = lexicalDefaults,
): LexicalResult {
  let passages = 0;
  let tokens = 0;
  for (const s of segments) {
    passages += s.passages;
    tokens += s.textTokens + parameters.titleBoost * s.titleTokens + parameters.sectionBoost * s.sectionTokens;
  }
  const all = new Float32Array(passages);
  const weights = new Map<string, number>();
  const average = passages > 0 ? tokens / passages : 0;
  const encoder = new TextEncoder();
  const factors = terms instanceof Map ? (terms as ReadonlyMap<string, number>) : new Map((terms as readonly string[]).map((term) => [term, 1]));
  for (const [term, factor] of factors) {
    const bytes = encoder.encode(term);
    const places = segments.map((s) => s.find(bytes));
    const frequency = segments.reduce((sum, s, i) => sum + ((places[i] ?? -1) < 0 ? 0 : s.documentFrequency(places[i] ?? 0)), 0);
    if (frequency === 0) continue;
    const weight = factor * Math.log(1 + (passages - frequency + 0.5) / (frequency + 0.5));
    weights.set(term, weight);
    let base = 0;
    segments.forEach((s, i) => {
      const place = places[i] ?? -1;
      if (place >= 0) s.accumulate(place, weight, s.norms(parameters, average), parameters, all, base);
      base += s.passages;
    });
  }
  return { ...topPassages(all, k), all, weights };
}

/** For each text the number of passages that contain its rarest term; 0 for a text without terms. Linear in the texts, logarithmic in the dictionaries. */
export function documentFrequencies(segments: readonly LexicalSegment[], texts: readonly string[]): number[] {
  const encoder = new TextEncoder();
  const frequency = (term: string): number => {
    const bytes = encoder.encode(term);
    return segments.reduce((sum, s) => {
      const place = s.find(bytes);
      return place < 0 ? sum : sum + s.documentFrequency(place);
    }, 0);
  };
  return texts.map((text) => {
    const terms = analyse(text.slice(0, maxFrequencyText));
    return terms.length === 0 ? 0 : Math.min(...terms.map(frequency));
  });
}

/** The `k` highest positive scores, best first; ties go to the lower index. */
export function topPassages(scores: Float32Array, k: number): { count: number; ordinals: Int32Array; scores: Float32Array } {
  const size = Math.max(0, Math.min(Math.floor(k), scores.length));
  const heapAt = new Int32Array(size);
  const heap = new Float32Array(size); // a min-heap: the worst kept one on top
  let count = 0;
  const isWorse = (scoreA: number, atA: number, scoreB: number, atB: number): boolean => scoreA < scoreB || (scoreA === scoreB && atA > atB);
  const sink = (start: number): void => {
    let i = start;
    for (;;) {
      let least = i;
      for (const child of [2 * i + 1, 2 * i + 2]) {
        if (child < count && isWorse(heap[child] ?? 0, heapAt[child] ?? 0, heap[least] ?? 0, heapAt[least] ?? 0)) least = child;
      }
      if (least === i) return;
      swap(i, least);
      i = least;
    }
  };
  const swap = (a: number, b: number): void => {
    const score = heap[a] ?? 0;
    const at = heapAt[a] ?? 0;
    heap[a] = heap[b] ?? 0;
    heapAt[a] = heapAt[b] ?? 0;
    heap[b] = score;
    heapAt[b] = at;
  };
  let floor = 0; // scores up to this one cannot enter
  for (let i = 0; i < scores.length && size > 0; i++) {
    const score = scores[i] ?? 0;
    if (!(score > floor)) continue;
    if (count < size) {
      let at = count++;
      heap[at] = score;
      heapAt[at] = i;
      while (at > 0) {
        const parent = (at - 1) >> 1;
        if (!isWorse(heap[at] ?? 0, heapAt[at] ?? 0, heap[parent] ?? 0, heapAt[parent] ?? 0)) break;
        swap(at, parent);
        at = parent;
      }
    } else {
      heap[0] = score;
      heapAt[0] = i;
      sink(0);
    }
    if (count === size) floor = heap[0] ?? 0;
  }
  const found = count;
  while (count > 1) {
    count--;
    swap(0, count);
    sink(0);
  }
  return { count: found, ordinals: heapAt.subarray(0, found), scores: heap.subarray(0, found) };
}
