/**
 * The layout of a word index segment, for its builder and its reader. Pure.
 *
 * 16 header words (u32): magic, version, passages, terms, tokens in titles, in sections, in texts, bytes of term text, bytes of postings, postings, blocks, titles,
 * words, bytes of word text, bytes of entries, 0. Then, each padded to 4 bytes:
 * text lengths u16[passages], title lengths u8[passages], section lengths u8[passages] (all saturating); entries: bytes of text of every term, bytes of postings of
 * every term, document frequency of every term, a varint each; maxima u32[terms]; blocks u32[3 × blocks]; title order u32[titles] (ordinals of the first passages of
 * distinct titles, sorted by their folded forms); words: terms u32[words], text offsets u32[words + 1] (sorted by their folded forms); word text, term text (UTF-8,
 * terms sorted by bytes), postings.
 *
 * Version 2, which is read as well, has 0 for the bytes of entries, and tables for them: term text offsets u32[terms + 1], posting offsets u32[terms + 1], document
 * frequencies u32[terms].
 *
 * Maxima, of a term and of a block: text, title, section frequency and least text length, a byte each, low byte first, at most 255.
 * A posting: varint of (ordinal delta << 1 | plain). plain = occurs once, in the text only. Else a byte: text frequency (4 bits), title (2), section (2), where the
 * highest value of a field means that a varint with the frequency less that value follows, in the order text, title, section.
 * A term with more than 128 postings has blocks of 128: its postings begin with a u32, the number of its first block; a block is the last ordinal, the offset of
 * its first posting from the term's offset, and the maxima. Deltas run on through the blocks.
 */
export const magic = 0x58454c46; // 'FLEX'
export const version = 3;
export const olderVersion = 2;
export const headerWords = 16;
export const blockPostings = 128;

export interface SegmentSizes {
  readonly passages: number;
  readonly terms: number;
  readonly termBytes: number;
  readonly postingBytes: number;
  readonly blocks: number;
  readonly titles: number;
  readonly words: number;
  readonly wordBytes: number;
  readonly entryBytes: number;
}

/** Byte offsets of the tables. */
export interface SegmentLayout {
  readonly textLengths: number;
  readonly titleLengths: number;
  readonly sectionLengths: number;
  readonly entries: number;
  readonly maxima: number;
  readonly blocks: number;
  readonly titleOrder: number;
  readonly wordTerms: number;
  readonly wordOffsets: number;
  readonly wordText: number;
  readonly termText: number;
  readonly postings: number;
  readonly total: number;
}

const padded = (n: number): number => Math.ceil(n / 4) * 4; // no bit operations: untrusted counts may exceed 31 bits

export function layout(sizes: SegmentSizes): SegmentLayout {
  const { passages, terms, termBytes, postingBytes, blocks, titles, words, wordBytes, entryBytes } = sizes;
  let end = headerWords * 4;
  const take = (bytes: number): number => {
    const start = end;
    end += padded(bytes);
    return start;
  };
  return {
    textLengths: take(2 * passages),
    titleLengths: take(passages),
    sectionLengths: take(passages),
    entries: take(entryBytes),
    maxima: take(4 * terms),
    blocks: take(12 * blocks),
    titleOrder: take(4 * titles),
    wordTerms: take(4 * words),
    wordOffsets: take(4 * (words + 1)),
    wordText: take(wordBytes),
    termText: take(termBytes),
    postings: take(postingBytes),
    total: end,
  };
}

/** Bytes of the tables that stand for the entries in version 2. */
export function olderEntryBytes(terms: number): number {
  return 4 * (3 * terms + 2);
}

/** By term: where its text and its postings begin (one more offset than terms), and its document frequency. */
export interface Entries {
  readonly termOffsets: Uint32Array;
  readonly postingOffsets: Uint32Array;
  readonly frequencies: Uint32Array;
}

/** Fills `out` from `first` on with the varints at byte `from`; returns the byte after them, which may lie behind the end, or -1 if one does not fit into 32 bits. */
function readVarints(bytes: Uint8Array, from: number, out: Uint32Array, first: number): number {
  let p = from;
  for (let i = first; i < out.length; i++) {
    let byte = bytes[p++] ?? 0;
    let value = byte & 0x7f;
    for (let shift = 7; byte >= 0x80; shift += 7) {
      byte = bytes[p++] ?? 0;
      if (shift === 28 && byte > 0x0f) return -1;
      value |= (byte & 0x7f) << shift;
    }
    out[i] = value;
  }
  return p;
}

/** Makes offsets of lengths in place: each number becomes the sum of those up to it. Returns the last sum, which may exceed 32 bits. */
function sumUp(numbers: Uint32Array): number {
  let sum = 0;
  for (let i = 0; i < numbers.length; i++) {
    sum += numbers[i] ?? 0;
    numbers[i] = sum;
  }
  return sum;
}

/** Decodes the entries; null if they are cut off, have bytes left or do not sum up to the bytes of term text and of postings. */
export function readEntries(bytes: Uint8Array, { terms, termBytes, postingBytes }: SegmentSizes): Entries | null {
  if (3 * terms > bytes.length) return null; // before anything is allocated
  const termOffsets = new Uint32Array(terms + 1);
  const postingOffsets = new Uint32Array(terms + 1);
  const frequencies = new Uint32Array(terms);
  let p = readVarints(bytes, 0, termOffsets, 1);
  if (p >= 0) p = readVarints(bytes, p, postingOffsets, 1);
  if (p >= 0) p = readVarints(bytes, p, frequencies, 0);
  if (p !== bytes.length || sumUp(termOffsets) !== termBytes || sumUp(postingOffsets) !== postingBytes) return null;
  return { termOffsets, postingOffsets, frequencies };
}
