/**
 * Builds the word index of some passages: one segment (`lexical-format.ts`), the same bytes for the same rows. Pure.
 */
import { completionKey, eachWord, isStopTerm, termOf } from './analysis.ts';
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
  private data = new Uint32Array(1 << 12);
  push(value: number): void {
    if (this.length === this.data.length) {
      const larger = new Uint32Array(this.data.length * 2);
      larger.set(this.data);
      this.data = larger;
    }
    this.data[this.length++] = value;
  }
  at(index: number): number {
    return this.data[index] ?? 0;
  }
  increment(index: number): void {
    this.data[index] = (this.data[index] ?? 0) + 1;
  }
  view(): Uint32Array {
    return this.data.subarray(0, this.length);
  }
}

class ByteSink {
  length = 0;
  private data = new Uint8Array(1 << 16);
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
  word(value: number): void {
    for (let shift = 0; shift < 32; shift += 8) this.byte((value >>> shift) & 0xff);
  }
  view(): Uint8Array {
    return this.data.subarray(0, this.length);
  }
}

/** What was counted while passages were added. */
interface Counted {
  readonly passages: number;
  readonly terms: ReadonlyMap<string, number>;
  /** By word: its term's id plus 1 (0: none), and how often it occurs. */
  readonly words: ReadonlyMap<string, number>;
  readonly wordTerms: Uint32Array;
  readonly wordCounts: Uint32Array;
  /** One entry a posting, by passage: term id, passage, packed frequencies. */
  readonly entryTerms: Uint32Array;
  readonly entryPassages: Uint32Array;
  readonly entryCounts: Uint32Array;
  /** Text, title, section. */
  readonly lengths: readonly [Uint32Array, Uint32Array, Uint32Array];
  readonly tokens: readonly [number, number, number];
  /** Title and the first passage that has it. */
  readonly titles: readonly (readonly [string, number])[];
}

export function createLexicalBuilder(): LexicalBuilder {
  const terms = new Map<string, number>();
  const words = new Map<string, number>(); // words repeat; folding, stemming and the look into `terms` do not have to
  const wordTerms = new Words();
  const wordCounts = new Words();
  const entryTerms = new Words();
  const entryPassages = new Words();
  const entryCounts = new Words(); // text (16 bits), title (8), section (8) frequency
  const lengths = [new Words(), new Words(), new Words()] as const;
  const tokens: [number, number, number] = [0, 0, 0];
  const titles: [string, number][] = [];
  let counts = new Uint32Array(1 << 12); // by term: packed frequencies within the passage at hand
  let touched: number[] = [];
  let passages = 0;

  /** The term's id plus 1; 0 where nothing of the word is left. */
  function idOf(word: string): number {
    const term = termOf(word);
    if (term === '') return 0;
    let id = terms.get(term);
    if (id === undefined) {
      id = terms.size;
      terms.set(term, id);
      if (id >= counts.length) {
        const larger = new Uint32Array(counts.length * 2);
        larger.set(counts);
        counts = larger;
      }
    }
    return id + 1;
  }

  function count(text: string, field: 0 | 1 | 2): void {
    const shift = field === 0 ? 0 : field === 1 ? 16 : 24;
    const limit = field === 0 ? 0xffff : 0xff;
    let found = 0;
    eachWord(text, (start, end) => {
      const word = text.slice(start, end);
      let id: number;
      if (word.length > maxMemoLength) {
        id = idOf(word);
      } else {
        let slot = words.get(word);
        if (slot === undefined) {
          slot = words.size;
          words.set(word, slot);
          wordTerms.push(idOf(word));
          wordCounts.push(0);
        }
        wordCounts.increment(slot);
        id = wordTerms.at(slot);
      }
      if (id === 0) return;
      found++;
      id--;
      const packed = counts[id] ?? 0;
      if (packed === 0) touched.push(id);
      if (((packed >>> shift) & limit) < limit) counts[id] = packed + (1 << shift);
    });
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
      for (const id of touched) {
        entryTerms.push(id);
        entryPassages.push(passages);
        entryCounts.push(counts[id] ?? 0);
        counts[id] = 0;
      }
      touched = [];
      if (titles.at(-1)?.[0] !== fields.title) titles.push([fields.title, passages]);
      passages++;
    },
    finish() {
      return encodeSegment({
        passages,
        terms,
        words,
        wordTerms: wordTerms.view(),
        wordCounts: wordCounts.view(),
        entryTerms: entryTerms.view(),
        entryPassages: entryPassages.view(),
        entryCounts: entryCounts.view(),
        lengths: [lengths[0].view(), lengths[1].view(), lengths[2].view()],
        tokens,
        titles,
      });
    },
  };
}

/** Greatest frequencies by field and least text length of some postings, each at most 255. */
class Maxima {
  text = 0;
  title = 0;
  section = 0;
  length = 255;
  add(packed: number, length: number): void {
    this.text = Math.max(this.text, Math.min(255, packed & 0xffff));
    this.title = Math.max(this.title, (packed >>> 16) & 0xff);
    this.section = Math.max(this.section, packed >>> 24);
    this.length = Math.min(this.length, length);
  }
  packed(): number {
    return (this.text | (this.title << 8) | (this.section << 16) | (this.length << 24)) >>> 0;
  }
}

function encodeSegment(counted: Counted): Uint8Array<ArrayBuffer> {
  const { passages, entryTerms, entryPassages, entryCounts, lengths } = counted;
  const encoder = new TextEncoder();
  const dictionary = sortedTerms(counted.terms, encoder);
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

  const sink = new ByteSink();
  const blocks = new Words();
  const postingOffsets = new Uint32Array(terms + 1);
  const frequencies = new Uint32Array(terms);
  const maxima = new Uint32Array(terms);
  const numbers = new Uint32Array(terms); // by id: place in the dictionary
  dictionary.forEach(({ id }, place) => {
    const from = starts[id] ?? 0;
    const to = starts[id + 1] ?? 0;
    const start = sink.length;
    numbers[id] = place;
    const hasBlocks = to - from > blockPostings;
    if (hasBlocks) sink.word(blocks.length / 3);
    const whole = new Maxima();
    let block = new Maxima();
    let blockStart = sink.length - start;
    let previous = -1;
    for (let s = from; s < to; s++) {
      const e = sorted[s] ?? 0;
      const passage = entryPassages[e] ?? 0;
      const packed = entryCounts[e] ?? 0;
      const length = lengths[0][passage] ?? 0;
      writePosting(sink, passage - previous - 1, packed);
      previous = passage;
      whole.add(packed, length);
      if (!hasBlocks) continue;
      block.add(packed, length);
      if ((s - from + 1) % blockPostings === 0 || s === to - 1) {
        blocks.push(passage);
        blocks.push(blockStart);
        blocks.push(block.packed());
        block = new Maxima();
        blockStart = sink.length - start;
      }
    }
    postingOffsets[place + 1] = sink.length;
    frequencies[place] = to - from;
    maxima[place] = whole.packed();
  });

  const order = titleOrder(counted.titles);
  const words = frequentWords(counted, frequencies, numbers);
  const wordText = words.map(({ word }) => encoder.encode(word));
  const termBytes = dictionary.reduce((sum, { bytes }) => sum + bytes.length, 0);
  const wordBytes = wordText.reduce((sum, bytes) => sum + bytes.length, 0);
  const postings = sink.view();
  const sizes = { passages, terms, termBytes, postingBytes: postings.length, blocks: blocks.length / 3, titles: order.length, words: words.length, wordBytes };
  const at = layout(sizes);
  const out = new Uint8Array(at.total);
  const table = (offset: number, count: number): Uint32Array => new Uint32Array(out.buffer, offset, count);
  table(0, headerWords).set([
    magic, version, passages, terms, counted.tokens[1], counted.tokens[2], counted.tokens[0], termBytes, postings.length, entryTerms.length,
    sizes.blocks, order.length, words.length, wordBytes, 0, 0,
  ]);
  new Uint16Array(out.buffer, at.textLengths, passages).set(lengths[0].map((n) => Math.min(n, 0xffff)));
  out.set(lengths[1].map((n) => Math.min(n, 0xff)), at.titleLengths);
  out.set(lengths[2].map((n) => Math.min(n, 0xff)), at.sectionLengths);
  putTexts(out, dictionary.map(({ bytes }) => bytes), table(at.termOffsets, terms + 1), at.termText);
  table(at.postingOffsets, terms + 1).set(postingOffsets);
  table(at.frequencies, terms).set(frequencies);
  table(at.maxima, terms).set(maxima);
  table(at.blocks, blocks.length).set(blocks.view());
  table(at.titleOrder, order.length).set(order);
  table(at.wordTerms, words.length).set(words.map(({ term }) => term));
  putTexts(out, wordText, table(at.wordOffsets, words.length + 1), at.wordText);
  out.set(postings, at.postings);
  return out;
}

function writePosting(sink: ByteSink, distance: number, packed: number): void {
  if (packed === 1) {
    sink.varint(distance * 2 + 1);
    return;
  }
  const text = packed & 0xffff;
  const title = (packed >>> 16) & 0xff;
  const section = packed >>> 24;
  sink.varint(distance * 2);
  sink.byte(Math.min(text, 15) | (Math.min(title, 3) << 4) | (Math.min(section, 3) << 6));
  if (text >= 15) sink.varint(text - 15);
  if (title >= 3) sink.varint(title - 3);
  if (section >= 3) sink.varint(section - 3);
}

function putTexts(out: Uint8Array, texts: readonly Uint8Array[], offsets: Uint32Array, from: number): void {
  let end = 0;
  texts.forEach((bytes, i) => {
    out.set(bytes, from + end);
    end += bytes.length;
    offsets[i + 1] = end;
  });
}

/** Terms in the order of their UTF-8 bytes. */
function sortedTerms(terms: ReadonlyMap<string, number>, encoder: TextEncoder): { readonly bytes: Uint8Array; readonly id: number }[] {
  // Code units sort like UTF-8 but for surrogates, which stand for higher code points than E000-FFFF.
  const moved = (c: string): string => String.fromCharCode(c < '\ue000' ? c.charCodeAt(0) + 0x2000 : c.charCodeAt(0) - 0x800);
  const key = (term: string): string => (/[\ud800-\uffff]/.test(term) ? term.replace(/[\ud800-\uffff]/g, moved) : term);
  const rows = Array.from(terms, ([term, id]) => ({ term: key(term), id, plain: term }));
  rows.sort((a, b) => (a.term < b.term ? -1 : a.term > b.term ? 1 : 0));
  return rows.map(({ plain, id }) => ({ bytes: encoder.encode(plain), id }));
}

/** First passages of the distinct titles, in the order of their folded forms. */
function titleOrder(titles: readonly (readonly [string, number])[]): number[] {
  const rows = titles.map(([title, passage]) => ({ key: completionKey(title), passage })).filter(({ key }) => key !== '');
  rows.sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : a.passage - b.passage));
  return rows.filter(({ key }, i) => key !== rows[i - 1]?.key).map(({ passage }) => passage);
}

/** The commonest form of each frequent term, in the order of their folded forms. */
function frequentWords(counted: Counted, frequencies: Uint32Array, numbers: Uint32Array): { readonly word: string; readonly term: number }[] {
  const best = new Map<number, { word: string; count: number }>();
  let slot = 0;
  for (const [word] of counted.words) {
    const id = (counted.wordTerms[slot] ?? 0) - 1;
    const count = counted.wordCounts[slot] ?? 0;
    slot++;
    if (id < 0 || (frequencies[numbers[id] ?? 0] ?? 0) < minWordPassages) continue;
    const known = best.get(id);
    if (known === undefined || count > known.count || (count === known.count && word > known.word)) best.set(id, { word, count });
  }
  const rows = [...best]
    .filter(([, { word }]) => word.length >= minWordLength && /^\p{L}+$/u.test(word) && !isStopTerm(termOf(word)))
    .map(([id, { word }]) => ({ word, key: completionKey(word), term: numbers[id] ?? 0 }))
    .sort((a, b) => (frequencies[b.term] ?? 0) - (frequencies[a.term] ?? 0) || a.term - b.term)
    .slice(0, maxWords);
  return rows.sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : a.term - b.term));
}
