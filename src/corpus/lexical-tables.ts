/**
 * The tables of a word index segment (`lexical-format.ts`), for its reader: opening and what is checked on the way, and the walk over postings that checks all of them.
 * Pure.
 */
import { AppError } from '../errors.ts';
import { blockPostings, headerWords, layout, magic, olderEntryBytes, olderVersion, readEntries, version, type Entries } from './lexical-format.ts';

/** Where the postings of a term lie. */
export interface PostingList {
  /** Byte range of the postings and the first entry of the block table, -1 without blocks. */
  readonly start: number;
  readonly end: number;
  readonly postings: number;
  readonly first: number;
  readonly blocks: number;
}

/** Gets the frequencies of one posting by field. */
export type PostingVisitor = (ordinal: number, text: number, title: number, section: number) => void;

export interface LexicalTables {
  readonly passages: number;
  readonly terms: number;
  /** Postings as announced. */
  readonly postingCount: number;
  readonly titleTokens: number;
  readonly sectionTokens: number;
  readonly textTokens: number;
  readonly bytes: number;
  readonly textLengths: Uint16Array;
  readonly titleLengths: Uint8Array;
  readonly sectionLengths: Uint8Array;
  readonly termOffsets: Uint32Array;
  readonly postingOffsets: Uint32Array;
  readonly frequencies: Uint32Array;
  readonly maxima: Uint32Array;
  readonly blocks: Uint32Array;
  readonly titleOrder: Uint32Array;
  readonly wordTerms: Uint32Array;
  readonly termText: Uint8Array;
  readonly postings: Uint8Array;
  readonly wordOffsets: Uint32Array;
  readonly wordText: Uint8Array;
  /** A `shard/part-invalid` that names the part. */
  readonly bad: (reason: string) => AppError;
}

/** A word is shorter in characters; one that is longer in bytes is no word. */
const maxWordBytes = 1024;

/** The frequency that one of the maxima allows: the highest stands for greater ones. */
const most = (maximum: number): number => (maximum === 255 ? 0xffffffff : maximum);

/**
 * Opens the tables on `bytes` (kept, and copied only if not aligned to 4). Throws `shard/part-invalid` naming `name` when header, length and entries do not fit together.
 */
export function openTables(bytes: Uint8Array, name: string): LexicalTables {
  const bad = (reason: string): AppError => new AppError('shard/part-invalid', { part: name, reason });
  if (bytes.length < 8) throw bad('it is too short for a word index');
  const data = bytes.byteOffset % 4 === 0 ? bytes : bytes.slice();
  const table = (offset: number, count: number): Uint32Array => new Uint32Array(data.buffer, data.byteOffset + offset, count);
  const [found, has] = table(0, 2);
  if (found !== magic) throw bad('it is not a word index');
  if (has !== version && has !== olderVersion) throw bad(`its word index has version ${has}, this app reads ${version}: the shard must be built anew`);
  if (bytes.length < headerWords * 4) throw bad('it is too short for a word index');
  const header = table(0, headerWords);
  const h = (i: number): number => header[i] ?? 0;
  const sizes = {
    passages: h(2), terms: h(3), termBytes: h(7), postingBytes: h(8), blocks: h(10), titles: h(11), words: h(12), wordBytes: h(13),
    entryBytes: has === version ? h(14) : olderEntryBytes(h(3)),
  };
  const { passages, terms, termBytes, postingBytes, wordBytes } = sizes;
  const at = layout(sizes);
  if (at.total !== data.length) throw bad('its tables do not fit its length');
  const older = (): Entries => ({
    termOffsets: table(at.entries, terms + 1),
    postingOffsets: table(at.entries + 4 * (terms + 1), terms + 1),
    frequencies: table(at.entries + 8 * (terms + 1), terms),
  });
  const entries = has === version ? readEntries(data.subarray(at.entries, at.entries + sizes.entryBytes), sizes) : older();
  if (entries === null) throw bad('the entries of its terms do not fit its tables');
  return {
    passages,
    terms,
    postingCount: h(9),
    titleTokens: h(4),
    sectionTokens: h(5),
    textTokens: h(6),
    bytes: data.length,
    textLengths: new Uint16Array(data.buffer, data.byteOffset + at.textLengths, passages),
    titleLengths: data.subarray(at.titleLengths, at.titleLengths + passages),
    sectionLengths: data.subarray(at.sectionLengths, at.sectionLengths + passages),
    ...entries,
    maxima: table(at.maxima, terms),
    blocks: table(at.blocks, 3 * sizes.blocks),
    titleOrder: table(at.titleOrder, sizes.titles),
    wordTerms: table(at.wordTerms, sizes.words),
    wordOffsets: table(at.wordOffsets, sizes.words + 1),
    wordText: data.subarray(at.wordText, at.wordText + wordBytes),
    termText: data.subarray(at.termText, at.termText + termBytes),
    postings: data.subarray(at.postings, at.postings + postingBytes),
    bad,
  };
}

/** Throws `shard/part-invalid` for a list that is not within the tables. */
export function postingList({ passages, terms, postingOffsets, frequencies, blocks, postings, bad }: LexicalTables, term: number): PostingList {
  const offset = postingOffsets[term] ?? 0;
  const end = postingOffsets[term + 1] ?? 0;
  const count = frequencies[term] ?? 0;
  if (!(term >= 0 && term < terms) || end > postings.length || end <= offset || count === 0 || count > passages || count > end - offset) {
    throw bad(`its entry for term ${term} is not valid`);
  }
  if (count <= blockPostings) return { start: offset, end, postings: count, first: -1, blocks: 1 };
  const first = (postings[offset] ?? 0) + (postings[offset + 1] ?? 0) * 2 ** 8 + (postings[offset + 2] ?? 0) * 2 ** 16 + (postings[offset + 3] ?? 0) * 2 ** 24;
  const number = Math.ceil(count / blockPostings);
  if (3 * (first + number) > blocks.length) throw bad(`its blocks of term ${term} are not there`);
  return { start: offset, end, postings: count, first, blocks: number };
}

/** The n-th frequent word. Throws `shard/part-invalid`. */
export function wordAt({ terms, wordTerms, wordOffsets, wordText, bad }: LexicalTables, n: number): { readonly word: string; readonly term: number } {
  const start = wordOffsets[n] ?? 0;
  const end = wordOffsets[n + 1] ?? 0;
  const term = wordTerms[n] ?? terms;
  if (term >= terms || end < start || end > wordText.length || end - start > maxWordBytes) throw bad(`its word ${n} is not valid`);
  return { word: new TextDecoder().decode(wordText.subarray(start, end)), term };
}

/**
 * Checks the postings of the terms `from` to `to` - 1, their maxima and their blocks, and hands each to `visit`, ordinals of a term ascending.
 * Throws `shard/part-invalid`.
 *
 * An import walks every posting of a shard, so nothing is called or made for a single one, and the function stands outside of the segments: as a closure of each it
 * would be compiled for each.
 */
export function walkPostings(tables: LexicalTables, from: number, to: number, visit: PostingVisitor | null): void {
  const { passages, textLengths, maxima, blocks, postings, bad } = tables;
  for (let term = from; term < to; term++) {
    const { start, end, postings: count, first } = postingList(tables, term);
    const ofTerm = maxima[term] ?? 0;
    let p = start + (first < 0 ? 0 : 4);
    let ordinal = -1;
    for (let block = 0, left = count; left > 0; block++, left -= blockPostings) {
      const entry = 3 * (first + block);
      if (first >= 0 && p !== start + (blocks[entry + 1] ?? 0)) throw bad(`block ${block} of its term ${term} is not where it should be`);
      // What both the term's maxima and the block's allow.
      const ofBlock = first < 0 ? ofTerm : (blocks[entry + 2] ?? 0);
      const mostText = most(Math.min(ofTerm & 0xff, ofBlock & 0xff));
      const mostTitle = most(Math.min((ofTerm >>> 8) & 0xff, (ofBlock >>> 8) & 0xff));
      const mostSection = most(Math.min((ofTerm >>> 16) & 0xff, (ofBlock >>> 16) & 0xff));
      const leastLength = Math.max(ofTerm >>> 24, ofBlock >>> 24);
      let isOver = false;
      for (let i = Math.min(left, blockPostings); i > 0; i--) {
        let byte = postings[p++] ?? 0;
        let coded = byte & 0x7f;
        for (let shift = 7; byte >= 0x80; shift += 7) {
          byte = postings[p++] ?? 0;
          if (shift === 28 && byte > 0x0f) throw bad(`its postings of term ${term} have a number of more than 32 bits`);
          coded |= (byte & 0x7f) << shift;
        }
        ordinal += (coded >>> 1) + 1;
        if (ordinal >= passages) throw bad(`its postings of term ${term} point outside`);
        let text = 1;
        let title = 0;
        let section = 0;
        if ((coded & 1) === 0) {
          const packed = postings[p++] ?? 0;
          text = packed & 15;
          title = (packed >> 4) & 3;
          section = packed >> 6;
          if (text === 15 || title === 3 || section === 3) {
            for (let field = 0; field < 3; field++) {
              if (field === 0 ? text !== 15 : field === 1 ? title !== 3 : section !== 3) continue;
              let rest = 0;
              byte = 0x80;
              for (let shift = 0; byte >= 0x80; shift += 7) {
                byte = postings[p++] ?? 0;
                if (shift === 28 && byte > 0x0f) throw bad(`its postings of term ${term} have a number of more than 32 bits`);
                rest |= (byte & 0x7f) << shift;
              }
              if (field === 0) text += rest >>> 0;
              else if (field === 1) title += rest >>> 0;
              else section += rest >>> 0;
            }
          }
        }
        isOver ||= text > mostText || title > mostTitle || section > mostSection || (textLengths[ordinal] ?? 0) < leastLength;
        if (visit !== null) visit(ordinal, text, title, section);
      }
      if (isOver || (first >= 0 && blocks[entry] !== ordinal)) throw bad(`its block table does not fit the postings of term ${term}`);
    }
    // Behind the end lie postings of the next term, so what is cut off is found here too.
    if (p !== end) throw bad(`its postings of term ${term} do not fill their place`);
  }
}
