/**
 * Builds the word index of some passages: one segment (`lexical-format.ts`), the same bytes for the same rows. Pure.
 * Words are looked up by their code units in the text, without a string each: a corpus has a hundred times as many words as distinct ones.
 */
import { completionKey, eachWord, englishAnalysis, type Analysis } from './analysis.ts';
import { blockPostings, headerWords, layout, magic, version } from './lexical-format.ts';

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

/** Words that a segment offers as completions, at most, and the least of letters and passages that they have. */
const maxWords = 4096;
const minWordLength = 4;
const minWordPassages = 3;
/** Longer words are analysed each time they occur. */
const maxMemoLength = 64;

/** A growable u32 list. */
class Words {
  length = 0;
  data = new Uint32Array(1 << 12);
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

/** A growable list of bytes. */
class Bytes {
  length = 0;
  data = new Uint8Array(1 << 16);
  /** Makes room for `count` more. */
  reserve(count: number): void {
    if (this.length + count <= this.data.length) return;
    const larger = new Uint8Array(Math.max(this.data.length * 2, this.length + count));
    larger.set(this.data);
    this.data = larger;
  }
  add(text: string, encoder: TextEncoder): void {
    this.reserve(3 * text.length);
    this.length += encoder.encodeInto(text, this.data.subarray(this.length)).written;
  }
  view(): Uint8Array {
    return this.data.subarray(0, this.length);
  }
}

/** The distinct words of a segment, numbered in the order in which they came: an open hash table of their code units. */
class WordTable {
  readonly words: string[] = [];
  private units = new Uint16Array(1 << 16);
  private readonly starts = new Words();
  private used = 0;
  private slots = new Int32Array(1 << 13); // number plus 1; 0 = free
  constructor() {
    this.starts.push(0);
  }

  /** The number of the word text[start, end); a new one is the number of words so far. */
  numberOf(text: string, start: number, end: number): number {
    let hash = 0x811c9dc5;
    for (let i = start; i < end; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
    const mask = this.slots.length - 1;
    const { data } = this.starts;
    const { units, slots } = this;
    for (let slot = (hash ^ (hash >>> 15)) & mask; ; slot = (slot + 1) & mask) {
      const number = (slots[slot] ?? 0) - 1;
      if (number < 0) return this.put(text.slice(start, end), slot);
      const from = data[number] ?? 0;
      if ((data[number + 1] ?? 0) - from !== end - start) continue;
      let i = 0;
      while (start + i < end && units[from + i] === text.charCodeAt(start + i)) i++;
      if (start + i === end) return number;
    }
  }

  private put(word: string, slot: number): number {
    const number = this.words.length;
    this.words.push(word);
    if (this.used + word.length > this.units.length) {
      const larger = new Uint16Array(this.units.length * 2);
      larger.set(this.units);
      this.units = larger;
    }
    for (let i = 0; i < word.length; i++) this.units[this.used + i] = word.charCodeAt(i);
    this.used += word.length;
    this.starts.push(this.used);
    this.slots[slot] = number + 1;
    if (2 * this.words.length > this.slots.length) this.grow();
    return number;
  }

  private grow(): void {
    const slots = new Int32Array(this.slots.length * 4);
    const mask = slots.length - 1;
    for (let number = 0; number < this.words.length; number++) {
      let hash = 0x811c9dc5;
      for (let i = this.starts.data[number] ?? 0; i < (this.starts.data[number + 1] ?? 0); i++) hash = Math.imul(hash ^ (this.units[i] ?? 0), 0x01000193);
      let slot = (hash ^ (hash >>> 15)) & mask;
      while ((slots[slot] ?? 0) > 0) slot = (slot + 1) & mask;
      slots[slot] = number + 1;
    }
    this.slots = slots;
  }
}

/** What was counted while passages were added. */
interface Counted {
  readonly analysis: Analysis;
  readonly passages: number;
  /** UTF-8 of the terms by id, and where each begins; one more offset than terms. */
  readonly termText: Uint8Array;
  readonly termStarts: Uint32Array;
  readonly words: readonly string[];
  /** By word: its term's id plus 1 (0: none), and how often it occurs. */
  readonly wordTerms: Uint32Array;
  readonly wordCounts: Uint32Array;
  /** One entry a posting, by passage: term id, packed frequencies; where the entries of each passage end. */
  readonly entryTerms: Uint32Array;
  readonly entryCounts: Uint32Array;
  readonly entryEnds: Uint32Array;
  /** Text, title, section. */
  readonly lengths: readonly [Uint32Array, Uint32Array, Uint32Array];
  readonly tokens: readonly [number, number, number];
  /** Title and the first passage that has it. */
  readonly titles: readonly (readonly [string, number])[];
}

export function createLexicalBuilder(analysis: Analysis = englishAnalysis): LexicalBuilder {
  const encoder = new TextEncoder();
  const terms = new Map<string, number>();
  const termText = new Bytes();
  const termStarts = new Words();
  termStarts.push(0);
  const words = new WordTable();
  const wordTerms = new Words();
  const wordCounts = new Words();
  const entryTerms = new Words();
  const entryCounts = new Words(); // text (16 bits), title (8), section (8) frequency
  const entryEnds = new Words();
  const lengths = [new Words(), new Words(), new Words()] as const;
  const tokens: [number, number, number] = [0, 0, 0];
  const titles: [string, number][] = [];
  let counts = new Uint32Array(1 << 12); // by term: packed frequencies within the passage at hand
  const touched = new Words();
  let passages = 0;

  /** The term's id plus 1; 0 where nothing of the word is left. */
  function idOf(word: string): number {
    const term = analysis.termOf(word);
    if (term === '') return 0;
    let id = terms.get(term);
    if (id === undefined) {
      id = terms.size;
      terms.set(term, id);
      termText.add(term, encoder);
      termStarts.push(termText.length);
      if (id >= counts.length) {
        const larger = new Uint32Array(counts.length * 2);
        larger.set(counts);
        counts = larger;
      }
    }
    return id + 1;
  }

  // One visitor for all fields, with its state outside: a closure a field would be compiled for each.
  let source = '';
  let one = 1;
  let shift = 0;
  let limit = 0xffff;
  let found = 0;
  function visit(start: number, end: number): void {
    let id: number;
    if (end - start > maxMemoLength) {
      id = idOf(source.slice(start, end));
    } else {
      const word = words.numberOf(source, start, end);
      if (word === wordTerms.length) {
        wordTerms.push(idOf(words.words[word] ?? ''));
        wordCounts.push(0);
      }
      wordCounts.data[word] = (wordCounts.data[word] ?? 0) + 1;
      id = wordTerms.data[word] ?? 0;
    }
    if (id === 0) return;
    found++;
    id--;
    const packed = counts[id] ?? 0;
    if (packed === 0) touched.push(id);
    if (((packed >>> shift) & limit) < limit) counts[id] = packed + one;
  }

  function count(text: string, field: 0 | 1 | 2): void {
    source = text;
    shift = field === 0 ? 0 : field === 1 ? 16 : 24;
    one = 2 ** shift;
    limit = field === 0 ? 0xffff : 0xff;
    found = 0;
    eachWord(text, visit);
    lengths[field].push(found);
    tokens[field] += found;
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
      for (let i = 0; i < touched.length; i++) {
        const id = touched.data[i] ?? 0;
        entryTerms.push(id);
        entryCounts.push(counts[id] ?? 0);
        counts[id] = 0;
      }
      touched.length = 0;
      entryEnds.push(entryTerms.length);
      if (titles.at(-1)?.[0] !== fields.title) titles.push([fields.title, passages]);
      passages++;
    },
    finish() {
      return encodeSegment({
        analysis,
        passages,
        termText: termText.view(),
        termStarts: termStarts.view(),
        words: words.words,
        wordTerms: wordTerms.view(),
        wordCounts: wordCounts.view(),
        entryTerms: entryTerms.view(),
        entryCounts: entryCounts.view(),
        entryEnds: entryEnds.view(),
        lengths: [lengths[0].view(), lengths[1].view(), lengths[2].view()],
        tokens,
        titles,
      });
    },
  };
}

/** Of two packed maxima (`lexical-format.ts`): the greater frequencies and the smaller length. */
function widest(a: number, b: number): number {
  const text = Math.max(a & 0xff, b & 0xff);
  const title = Math.max((a >>> 8) & 0xff, (b >>> 8) & 0xff);
  const section = Math.max((a >>> 16) & 0xff, (b >>> 16) & 0xff);
  return (text | (title << 8) | (section << 16) | (Math.min(a >>> 24, b >>> 24) << 24)) >>> 0;
}

const noMaxima = 0xff000000;

/** Most bytes of a posting: four varints of 32 bits and a byte. */
const maxPostingBytes = 21;

function encodeSegment(counted: Counted): Uint8Array<ArrayBuffer> {
  const { passages, entryTerms, entryCounts, entryEnds, lengths, termStarts } = counted;
  const terms = termStarts.length - 1;
  const dictionary = sortedTerms(counted.termText, termStarts);
  // A counting sort by term keeps the passages of each term in order.
  const starts = new Uint32Array(terms + 1);
  for (let e = 0; e < entryTerms.length; e++) {
    const next = (entryTerms[e] ?? 0) + 1;
    starts[next] = (starts[next] ?? 0) + 1;
  }
  for (let i = 0; i < terms; i++) starts[i + 1] = (starts[i + 1] ?? 0) + (starts[i] ?? 0);
  const sortedPassages = new Uint32Array(entryTerms.length);
  const sortedCounts = new Uint32Array(entryTerms.length);
  const fill = starts.slice();
  for (let passage = 0, e = 0; passage < passages; passage++) {
    for (const end = entryEnds[passage] ?? 0; e < end; e++) {
      const id = entryTerms[e] ?? 0;
      const slot = fill[id] ?? 0;
      sortedPassages[slot] = passage;
      sortedCounts[slot] = entryCounts[e] ?? 0;
      fill[id] = slot + 1;
    }
  }

  const sink = new Bytes();
  const blocks = new Words();
  const postingSizes = new Uint32Array(terms);
  const frequencies = new Uint32Array(terms);
  const maxima = new Uint32Array(terms);
  const numbers = new Uint32Array(terms); // by id: place in the dictionary
  for (let place = 0; place < terms; place++) {
    const id = dictionary[place] ?? 0;
    const from = starts[id] ?? 0;
    const to = starts[id + 1] ?? 0;
    const start = sink.length;
    numbers[id] = place;
    sink.reserve(4 + (to - from) * maxPostingBytes);
    const { data } = sink;
    let p = start;
    const hasBlocks = to - from > blockPostings;
    if (hasBlocks) for (let shift = 0, first = blocks.length / 3; shift < 32; shift += 8) data[p++] = (first >>> shift) & 0xff;
    let whole = noMaxima;
    let block = noMaxima;
    let blockStart = p - start;
    let previous = -1;
    for (let s = from; s < to; s++) {
      const passage = sortedPassages[s] ?? 0;
      const packed = sortedCounts[s] ?? 0;
      const distance = passage - previous - 1;
      previous = passage;
      if (packed === 1 && distance < 64) data[p++] = distance * 2 + 1;
      else p = writePosting(data, p, distance, packed);
      const text = packed & 0xffff;
      const short = (Math.min(text, 255) | ((packed >>> 16) << 8) | (Math.min(lengths[0][passage] ?? 0, 255) << 24)) >>> 0;
      block = widest(block, short);
      if (!hasBlocks || ((s - from + 1) % blockPostings !== 0 && s !== to - 1)) continue;
      blocks.push(passage);
      blocks.push(blockStart);
      blocks.push(block);
      whole = widest(whole, block);
      block = noMaxima;
      blockStart = p - start;
    }
    sink.length = p;
    postingSizes[place] = p - start;
    frequencies[place] = to - from;
    maxima[place] = hasBlocks ? whole : block;
  }

  const order = titleOrder(counted.titles);
  const words = frequentWords(counted, frequencies, numbers);
  const encoder = new TextEncoder();
  const wordText = new Bytes();
  const wordOffsets = new Uint32Array(words.length + 1);
  words.forEach(({ word }, i) => {
    wordText.add(word, encoder);
    wordOffsets[i + 1] = wordText.length;
  });
  const entries = encodeEntries(termStarts, dictionary, postingSizes, frequencies);
  const termBytes = counted.termText.length;
  const sizes = {
    passages, terms, termBytes, postingBytes: sink.length, blocks: blocks.length / 3, titles: order.length, words: words.length, wordBytes: wordText.length,
    entryBytes: entries.length,
  };
  const at = layout(sizes);
  const out = new Uint8Array(at.total);
  const table = (offset: number, count: number): Uint32Array => new Uint32Array(out.buffer, offset, count);
  table(0, headerWords).set([
    magic, version, passages, terms, counted.tokens[1], counted.tokens[2], counted.tokens[0], termBytes, sink.length, entryTerms.length,
    sizes.blocks, order.length, words.length, wordText.length, entries.length, 0,
  ]);
  new Uint16Array(out.buffer, at.textLengths, passages).set(lengths[0].map((n) => Math.min(n, 0xffff)));
  out.set(lengths[1].map((n) => Math.min(n, 0xff)), at.titleLengths);
  out.set(lengths[2].map((n) => Math.min(n, 0xff)), at.sectionLengths);
  putTerms(out, counted, dictionary, at.termText);
  out.set(entries, at.entries);
  table(at.maxima, terms).set(maxima);
  table(at.blocks, blocks.length).set(blocks.view());
  table(at.titleOrder, order.length).set(order);
  table(at.wordTerms, words.length).set(words.map(({ term }) => term));
  table(at.wordOffsets, words.length + 1).set(wordOffsets);
  out.set(wordText.view(), at.wordText);
  out.set(sink.view(), at.postings);
  return out;
}

function writeVarint(out: Uint8Array, at: number, value: number): number {
  let p = at;
  let rest = value;
  while (rest > 0x7f) {
    out[p++] = (rest & 0x7f) | 0x80;
    rest >>>= 7;
  }
  out[p++] = rest;
  return p;
}

/** Most bytes of a varint of 32 bits. */
const maxVarintBytes = 5;

function encodeEntries(termStarts: Uint32Array, dictionary: Uint32Array, postingSizes: Uint32Array, frequencies: Uint32Array): Uint8Array {
  const out = new Uint8Array(3 * dictionary.length * maxVarintBytes);
  let p = 0;
  for (const id of dictionary) p = writeVarint(out, p, (termStarts[id + 1] ?? 0) - (termStarts[id] ?? 0));
  for (const size of postingSizes) p = writeVarint(out, p, size);
  for (const frequency of frequencies) p = writeVarint(out, p, frequency);
  return out.subarray(0, p);
}

/** Returns the place after the posting. */
function writePosting(out: Uint8Array, at: number, distance: number, packed: number): number {
  if (packed === 1) return writeVarint(out, at, distance * 2 + 1);
  const text = packed & 0xffff;
  const title = (packed >>> 16) & 0xff;
  const section = packed >>> 24;
  let p = writeVarint(out, at, distance * 2);
  out[p++] = Math.min(text, 15) | (Math.min(title, 3) << 4) | (Math.min(section, 3) << 6);
  if (text >= 15) p = writeVarint(out, p, text - 15);
  if (title >= 3) p = writeVarint(out, p, title - 3);
  if (section >= 3) p = writeVarint(out, p, section - 3);
  return p;
}

function putTerms(out: Uint8Array, { termText, termStarts }: Counted, dictionary: Uint32Array, from: number): void {
  let end = from;
  for (let place = 0; place < dictionary.length; place++) {
    const id = dictionary[place] ?? 0;
    for (let i = termStarts[id] ?? 0; i < (termStarts[id + 1] ?? 0); i++) out[end++] = termText[i] ?? 0;
  }
}

/** Bytes of a term that its sorting key holds; the other half of the key's 64 bits is the term's id. */
const keyBytes = 4;

/** Ids of the terms in the order of their UTF-8 bytes: sorted natively by their first bytes, then those that begin alike among themselves. */
function sortedTerms(text: Uint8Array, starts: Uint32Array): Uint32Array {
  const terms = starts.length - 1;
  const halves = new Uint32Array(2 * terms); // low word first: the order of bytes on every platform that typed arrays of parts are read on
  for (let id = 0; id < terms; id++) {
    const start = starts[id] ?? 0;
    const end = starts[id + 1] ?? 0;
    let key = 0;
    for (let i = 0; i < keyBytes; i++) key = (key << 8) | (start + i < end ? (text[start + i] ?? 0) : 0);
    halves[2 * id] = id;
    halves[2 * id + 1] = key;
  }
  new BigUint64Array(halves.buffer).sort();
  const order = new Uint32Array(terms);
  for (let i = 0; i < terms; i++) order[i] = halves[2 * i] ?? 0;
  const compare = (a: number, b: number): number => {
    const [startA, startB] = [starts[a] ?? 0, starts[b] ?? 0];
    const [sizeA, sizeB] = [(starts[a + 1] ?? 0) - startA, (starts[b + 1] ?? 0) - startB];
    const shorter = Math.min(sizeA, sizeB);
    for (let i = keyBytes; i < shorter; i++) {
      const difference = (text[startA + i] ?? 0) - (text[startB + i] ?? 0);
      if (difference !== 0) return difference;
    }
    return sizeA - sizeB;
  };
  for (let from = 0, to = 0; from < terms; from = to) {
    for (to = from + 1; to < terms && halves[2 * to + 1] === halves[2 * from + 1]; ) to++;
    if (to - from > 1) order.subarray(from, to).sort(compare);
  }
  return order;
}

/** First passages of the distinct titles, in the order of their folded forms. */
function titleOrder(titles: readonly (readonly [string, number])[]): number[] {
  const rows = titles.map(([title, passage]) => ({ key: completionKey(title), passage })).filter(({ key }) => key !== '');
  rows.sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : a.passage - b.passage));
  return rows.filter(({ key }, i) => key !== rows[i - 1]?.key).map(({ passage }) => passage);
}

/** The commonest form of each frequent term, in the order of their folded forms. */
function frequentWords(
  { analysis, words, wordTerms, wordCounts }: Counted,
  frequencies: Uint32Array,
  numbers: Uint32Array,
): { readonly word: string; readonly term: number }[] {
  const best = new Int32Array(numbers.length).fill(-1); // by term id: number of the word
  const count = (word: number): number => wordCounts[word] ?? 0;
  words.forEach((word, number) => {
    const id = (wordTerms[number] ?? 0) - 1;
    if (id < 0 || (frequencies[numbers[id] ?? 0] ?? 0) < minWordPassages) return;
    const known = best[id] ?? -1;
    if (known < 0 || count(number) > count(known) || (count(number) === count(known) && word > (words[known] ?? ''))) best[id] = number;
  });
  const rows: { word: string; key: string; term: number }[] = [];
  best.forEach((number, id) => {
    const word = words[number] ?? '';
    if (word.length >= minWordLength && /^\p{L}+$/u.test(word) && !analysis.isStopTerm(analysis.termOf(word))) rows.push({ word, key: '', term: numbers[id] ?? 0 });
  });
  rows.sort((a, b) => (frequencies[b.term] ?? 0) - (frequencies[a.term] ?? 0) || a.term - b.term);
  return rows
    .slice(0, maxWords)
    .map((row) => ({ ...row, key: completionKey(row.word) }))
    .sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : a.term - b.term));
}
