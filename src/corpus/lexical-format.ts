/**
 * The layout of a word index segment, for its builder and its reader. Pure.
 *
 * 16 header words (u32): magic, version, passages, terms, tokens in titles, in sections, in texts, bytes of term text, bytes of postings, postings, blocks, titles,
 * words, bytes of word text, 0, 0. Then, each padded to 4 bytes:
 * text lengths u16[passages], title lengths u8[passages], section lengths u8[passages] (all saturating); term text offsets u32[terms + 1], posting offsets
 * u32[terms + 1], document frequencies u32[terms], maxima u32[terms]; blocks u32[3 × blocks]; title order u32[titles] (ordinals of the first passages of distinct
 * titles, sorted by their folded forms); words: terms u32[words], text offsets u32[words + 1] (sorted by their folded forms); word text, term text (UTF-8, terms
 * sorted by bytes), postings.
 *
 * Maxima, of a term and of a block: text, title, section frequency and least text length, a byte each, low byte first, at most 255.
 * A posting: varint of (ordinal delta << 1 | plain). plain = occurs once, in the text only. Else a byte: text frequency (4 bits), title (2), section (2), where the
 * highest value of a field means that a varint with the frequency less that value follows, in the order text, title, section.
 * A term with more than 128 postings has blocks of 128: its postings begin with a u32, the number of its first block; a block is the last ordinal, the offset of
 * its first posting from the term's offset, and the maxima. Deltas run on through the blocks.
 */
export const magic = 0x58454c46; // 'FLEX'
export const version = 2;
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
}

/** Byte offsets of the tables. */
export interface SegmentLayout {
  readonly textLengths: number;
  readonly titleLengths: number;
  readonly sectionLengths: number;
  readonly termOffsets: number;
  readonly postingOffsets: number;
  readonly frequencies: number;
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
  const { passages, terms, termBytes, postingBytes, blocks, titles, words, wordBytes } = sizes;
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
    termOffsets: take(4 * (terms + 1)),
    postingOffsets: take(4 * (terms + 1)),
    frequencies: take(4 * terms),
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

/** Tells whether a posting exceeds what packed maxima (text, title, section, shortest text) promise of it. */
export function isBeyond(packed: number, text: number, title: number, section: number, length: number): boolean {
  const isOver = Math.min(text, 255) > (packed & 0xff) || Math.min(title, 255) > ((packed >>> 8) & 0xff) || Math.min(section, 255) > ((packed >>> 16) & 0xff);
  return isOver || Math.min(length, 255) < packed >>> 24;
}

export interface VarintReader {
  /** Byte after the number that was read last. */
  readonly next: number;
  /** The number that begins at byte `from` and lies before byte `end`, 7 bits a byte, the lowest first; -1 if it is cut off or does not fit into 32 bits. */
  read(from: number, end: number): number;
}

export function varintReader(bytes: Uint8Array): VarintReader {
  let next = 0;
  return {
    get next() {
      return next;
    },
    read(from, end) {
      let value = 0;
      for (let p = from, shift = 0; p < end && shift < 32; shift += 7) {
        const byte = bytes[p++] ?? 0;
        value += (byte & 0x7f) * 2 ** shift;
        if (byte >= 0x80) continue;
        next = p;
        return value > 0xffffffff ? -1 : value;
      }
      return -1;
    },
  };
}
