/**
 * Titles and links: the table of a corpus' documents, which titles stand in a text, and the graph from passages to the documents they point to. Pure.
 * Tables are flat buffers that are checked when opened; strings are decoded only when asked for.
 */
import { AppError } from '../errors.ts';
import { analyse, isStopTerm, tokenize, wordKind } from './analysis.ts';
import { passageId } from './passages.ts';

export interface TitleRow {
  readonly docId: string;
  readonly title: string;
  /** Ordinal of the document's first passage; its passages follow one another. */
  readonly first: number;
  readonly passages: number;
  /** Other names (redirects). */
  readonly aliases: readonly string[];
}

/** Documents are numbered from 0 over all `titles` parts of a corpus. */
export interface TitleTable {
  readonly documents: number;
  readonly passages: number;
  docId(document: number): string;
  title(document: number): string;
  aliases(document: number): readonly string[];
  first(document: number): number;
  /** Number of its passages. */
  count(document: number): number;
  /** The document that a passage belongs to. */
  documentOf(ordinal: number): number;
  /** The public id of a passage. */
  idOf(corpus: string, ordinal: number): string;
  /** -1: no such document. */
  findDocument(docId: string): number;
  /** The passage that `<docId>` or `<docId>#<n>` names, or -1. */
  ordinalOf(rest: string): number;
  /** Documents whose title or other name stands in the question, longest names first where they overlap, in the order of the question. */
  titlesIn(question: string): number[];
}

/** Titles carried by more documents than this are too vague to be a link. */
const maxSharedTitle = 5;
const maxTitleTerms = 12;
const maxQuestionLength = 20_000;

/** A title without its disambiguating parenthesis: `Mercury (planet)` → `Mercury`. */
export function plainTitle(title: string): string {
  const plain = title.replace(/\s*\([^()]*\)\s*$/, '').trim();
  return plain === '' ? title.trim() : plain;
}

/** Whether a plain title may be looked for in running text: not a single word that is short, a common word or without a capital. */
export function isLinkable(plain: string): boolean {
  if (/[\s-]/.test(plain)) return /\p{L}/u.test(plain);
  const letters = plain.match(/\p{L}/gu)?.length ?? 0;
  const isDense = wordKind(plain.codePointAt(0) ?? 0) === 2;
  if (isDense) return letters >= 2;
  return letters >= 4 && /\p{Lu}/u.test(plain) && !analyse(plain).every(isStopTerm);
}

// ---------------------------------------------------------------------------------------------- titles part
// 8 header words (u32): magic, version, documents, first document, bytes of text, name keys, 0, 0. Then u32 tables: first passage [documents + 1],
// text offsets [3 × documents + 1] (id, title, other names joined by line feeds), hashes of ids sorted [documents] and their documents [documents],
// hashes of names sorted [keys] and their documents [keys]; then the text (UTF-8).
const titlesMagic = 0x54495446; // 'FTIT'
const version = 1;
const headerWords = 8;

/** FNV-1a over UTF-16 code units, unsigned. */
function hash(text: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  return h >>> 0;
}

/** What names are compared by in a question: folded, stemmed terms. */
function nameKey(name: string): string {
  return analyse(plainTitle(name)).join(' ');
}

/** One `titles` part. `rows` follow one another, in passages too. */
export function encodeTitles(rows: readonly TitleRow[], firstDocument: number): Uint8Array<ArrayBuffer> {
  const encoder = new TextEncoder();
  const documents = rows.length;
  const strings = rows.flatMap((r) => [r.docId, r.title, r.aliases.join('\n')]).map((s) => encoder.encode(s));
  const textBytes = strings.reduce((sum, s) => sum + s.length, 0);
  const byHash = (pairs: { key: number; document: number }[]): { key: number; document: number }[] =>
    pairs.sort((a, b) => a.key - b.key || a.document - b.document);
  const ids = byHash(rows.map((r, document) => ({ key: hash(r.docId), document })));
  const names = byHash(
    rows.flatMap((r, document) => {
      const keys = new Set([r.title, ...r.aliases].filter((name) => isLinkable(plainTitle(name))).map(nameKey));
      keys.delete('');
      return [...keys].map((key) => ({ key: hash(key), document }));
    }),
  );
  const words = headerWords + (documents + 1) + (3 * documents + 1) + 2 * documents + 2 * names.length;
  const out = new Uint8Array(4 * words + textBytes);
  const table = new Uint32Array(out.buffer, 0, words);
  table.set([titlesMagic, version, documents, firstDocument, textBytes, names.length, 0, 0]);
  let at = headerWords;
  for (const r of rows) table[at++] = r.first;
  const last = rows.at(-1);
  table[at++] = last === undefined ? 0 : last.first + last.passages;
  let end = 0;
  table[at++] = 0;
  for (const s of strings) {
    out.set(s, 4 * words + end);
    end += s.length;
    table[at++] = end;
  }
  for (const pairs of [ids, names]) {
    for (const p of pairs) table[at++] = p.key;
    for (const p of pairs) table[at++] = p.document;
  }
  return out;
}

interface TitlesPart {
  readonly firstDocument: number;
  readonly documents: number;
  readonly firstPassages: Uint32Array;
  readonly offsets: Uint32Array;
  readonly text: Uint8Array;
  readonly idHashes: Uint32Array;
  readonly idDocuments: Uint32Array;
  readonly nameHashes: Uint32Array;
  readonly nameDocuments: Uint32Array;
}

function openTitlesPart(bytes: Uint8Array, name: string): TitlesPart {
  const bad = (reason: string): AppError => new AppError('shard/part-invalid', { part: name, reason });
  if (bytes.length < 4 * headerWords) throw bad('it is too short for a title table');
  const data = bytes.byteOffset % 4 === 0 ? bytes : bytes.slice();
  const [found, has, documents = 0, firstDocument = 0, textBytes = 0, names = 0] = new Uint32Array(data.buffer, data.byteOffset, headerWords);
  if (found !== titlesMagic) throw bad('it is not a title table');
  if (has !== version) throw bad(`its title table has version ${has}`);
  const words = headerWords + (documents + 1) + (3 * documents + 1) + 2 * documents + 2 * names;
  if (4 * words + textBytes !== data.length) throw bad('its tables do not fit its length');
  const table = new Uint32Array(data.buffer, data.byteOffset, words);
  let at = headerWords;
  const take = (count: number): Uint32Array => table.subarray(at, (at += count));
  const part: TitlesPart = {
    firstDocument,
    documents,
    firstPassages: take(documents + 1),
    offsets: take(3 * documents + 1),
    idHashes: take(documents),
    idDocuments: take(documents),
    nameHashes: take(names),
    nameDocuments: take(names),
    text: data.subarray(4 * words),
  };
  for (let d = 0; d < documents; d++) {
    if ((part.firstPassages[d + 1] ?? 0) <= (part.firstPassages[d] ?? 0)) throw bad(`its document ${d} has no passages`);
  }
  for (let i = 0; i < 3 * documents; i++) if ((part.offsets[i + 1] ?? 0) < (part.offsets[i] ?? 0)) throw bad('its text offsets are not in order');
  if (part.offsets[0] !== 0 || part.offsets[3 * documents] !== textBytes) throw bad('its text offsets do not fit its text');
  for (const list of [part.idDocuments, part.nameDocuments]) for (const d of list) if (d >= documents) throw bad('it names a document outside');
  return part;
}

/** Calls `visit` for each slot whose hash equals `key`; stops when `visit` returns true. */
function eachMatch(hashes: Uint32Array, key: number, visit: (slot: number) => boolean | undefined): void {
  let low = 0;
  let high = hashes.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((hashes[middle] ?? 0) < key) low = middle + 1;
    else high = middle;
  }
  for (let i = low; i < hashes.length && hashes[i] === key; i++) if (visit(i) === true) return;
}

/**
 * Opens the `titles` parts of one corpus, in order (buffers are kept). Throws `shard/part-invalid` when a part is not sound or does not continue the one before.
 * `firstDocument`: the number of the first part's first document, for checking a part by itself; a table for use starts at 0.
 */
export function openTitles(parts: readonly { readonly bytes: Uint8Array; readonly name: string }[], firstDocument = 0): TitleTable {
  const opened: TitlesPart[] = [];
  let documents = firstDocument;
  let passages = 0;
  for (const { bytes, name } of parts) {
    const part = openTitlesPart(bytes, name);
    const isContinued = opened.length > 0 || firstDocument === 0;
    if (part.firstDocument !== documents || (isContinued && part.documents > 0 && part.firstPassages[0] !== passages)) {
      throw new AppError('shard/part-invalid', { part: name, reason: 'it does not continue the part before' });
    }
    documents += part.documents;
    passages = part.documents > 0 ? (part.firstPassages[part.documents] ?? 0) : passages;
    opened.push(part);
  }
  const decoder = new TextDecoder();
  const partOf = (document: number): TitlesPart => {
    let low = 0;
    let high = opened.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if ((opened[middle]?.firstDocument ?? 0) <= document) low = middle;
      else high = middle - 1;
    }
    const part = opened[low];
    if (part === undefined || document < 0 || document >= documents) throw new RangeError(`no document ${document}`);
    return part;
  };
  const string = (document: number, field: 0 | 1 | 2): string => {
    const part = partOf(document);
    const i = 3 * (document - part.firstDocument) + field;
    return decoder.decode(part.text.subarray(part.offsets[i] ?? 0, part.offsets[i + 1] ?? 0));
  };
  const first = (document: number): number => {
    const part = partOf(document);
    return part.firstPassages[document - part.firstDocument] ?? 0;
  };
  const count = (document: number): number => {
    const part = partOf(document);
    const d = document - part.firstDocument;
    return (part.firstPassages[d + 1] ?? 0) - (part.firstPassages[d] ?? 0);
  };
  const aliases = (document: number): readonly string[] => {
    const joined = string(document, 2);
    return joined === '' ? [] : joined.split('\n');
  };

  function documentOf(ordinal: number): number {
    if (ordinal < 0 || ordinal >= passages) throw new RangeError(`no passage ${ordinal}`);
    let low = 0;
    let high = documents - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if (first(middle) <= ordinal) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  function findDocument(docId: string): number {
    let found = -1;
    for (const part of opened) {
      eachMatch(part.idHashes, hash(docId), (slot) => {
        const document = part.firstDocument + (part.idDocuments[slot] ?? 0);
        if (string(document, 0) !== docId) return false;
        found = document;
        return true;
      });
      if (found >= 0) return found;
    }
    return -1;
  }

  /** Documents with a name that has this key; `words` is how it is written in the question. */
  function named(key: string, words: string, contentTerms: number): number[] {
    const found: number[] = [];
    const wanted = hash(key);
    for (const part of opened) {
      eachMatch(part.nameHashes, wanted, (slot) => {
        const document = part.firstDocument + (part.nameDocuments[slot] ?? 0);
        // In other letters than the title's only names of several telling words count: "the wall" is not "The Wall".
        const fits = [string(document, 1), ...aliases(document)].some(
          (name) => nameKey(name) === key && isLinkable(plainTitle(name)) && (contentTerms >= 2 || plainTitle(name) === words),
        );
        if (fits) found.push(document);
        return false;
      });
    }
    return found;
  }

  return {
    documents,
    passages,
    docId: (d) => string(d, 0),
    title: (d) => string(d, 1),
    aliases,
    first,
    count,
    documentOf,
    idOf(corpus, ordinal) {
      const d = documentOf(ordinal);
      return passageId(corpus, string(d, 0), count(d) === 1 ? 0 : ordinal - first(d) + 1);
    },
    findDocument,
    ordinalOf(rest) {
      const whole = findDocument(rest);
      if (whole >= 0 && count(whole) === 1) return first(whole);
      const mark = rest.lastIndexOf('#');
      if (mark <= 0 || !/^[1-9]\d{0,8}$/.test(rest.slice(mark + 1))) return -1;
      const d = findDocument(rest.slice(0, mark));
      const n = Number(rest.slice(mark + 1));
      return d >= 0 && count(d) > 1 && n <= count(d) ? first(d) + n - 1 : -1;
    },
    titlesIn(question) {
      const text = question.slice(0, maxQuestionLength);
      const tokens = tokenize(text);
      const found: number[] = [];
      let i = 0;
      while (i < tokens.length) {
        let step = 1;
        for (let size = Math.min(maxTitleTerms, tokens.length - i); size > 0; size--) {
          const run = tokens.slice(i, i + size);
          const content = run.filter((t) => !isStopTerm(t.term)).length;
          if (content === 0) continue;
          const words = text.slice(run[0]?.start ?? 0, run.at(-1)?.end ?? 0);
          const documentsHere = named(run.map((t) => t.term).join(' '), words, content);
          if (documentsHere.length === 0 || documentsHere.length > maxSharedTitle) continue;
          found.push(...documentsHere);
          step = size;
          break;
        }
        i += step;
      }
      return [...new Set(found)];
    },
  };
}

// ---------------------------------------------------------------------------------------------- mentions

export interface MentionMatcher {
  /** Documents whose plain title stands in the text word for word, ascending. Linear in the text. */
  documentsIn(text: string): number[];
}

/** Words and single other signs of a text, without white space. */
function eachSign(text: string, visit: (sign: string) => void): void {
  let at = 0;
  while (at < text.length) {
    const code = text.codePointAt(at) ?? 0;
    const width = code > 0xffff ? 2 : 1;
    const kind = wordKind(code);
    let end = at + width;
    if (kind === 1) while (end < text.length && wordKind(text.codePointAt(end) ?? 0) === 1) end += (text.codePointAt(end) ?? 0) > 0xffff ? 2 : 1;
    if (kind !== 0 || !/\s/.test(text.charAt(at))) visit(text.slice(at, end));
    at = end;
  }
}

/** An open-addressing map from (node, sign) to node, in typed arrays: the edges of the trie. */
class Edges {
  private capacity = 1 << 12;
  private used = 0;
  private nodes = new Int32Array(this.capacity).fill(-1);
  private signs = new Int32Array(this.capacity);
  private targets = new Int32Array(this.capacity);

  private slot(node: number, sign: number): number {
    let at = (Math.imul(node, 0x9e3779b1) ^ Math.imul(sign, 0x85ebca6b)) >>> 0;
    at = (at ^ (at >>> 15)) & (this.capacity - 1);
    while (this.nodes[at] !== -1 && (this.nodes[at] !== node || this.signs[at] !== sign)) at = (at + 1) & (this.capacity - 1);
    return at;
  }
  get(node: number, sign: number): number {
    const at = this.slot(node, sign);
    return this.nodes[at] === -1 ? -1 : (this.targets[at] ?? -1);
  }
  set(node: number, sign: number, target: number): void {
    if (this.used * 2 >= this.capacity) {
      const { nodes, signs, targets } = this;
      this.capacity *= 2;
      this.nodes = new Int32Array(this.capacity).fill(-1);
      this.signs = new Int32Array(this.capacity);
      this.targets = new Int32Array(this.capacity);
      for (let i = 0; i < nodes.length; i++) {
        if (nodes[i] !== -1) this.place(nodes[i] ?? 0, signs[i] ?? 0, targets[i] ?? 0);
      }
    }
    this.place(node, sign, target);
    this.used++;
  }
  private place(node: number, sign: number, target: number): void {
    const at = this.slot(node, sign);
    this.nodes[at] = node;
    this.signs[at] = sign;
    this.targets[at] = target;
  }
}

/** Builds the trie of all linkable titles. `titles`: title by document number. */
export function createMentionMatcher(titles: Iterable<string>): MentionMatcher {
  const signIds = new Map<string, number>();
  const edges = new Edges();
  const byNode = new Map<number, number[]>(); // documents whose title ends at the node
  let nodes = 1;
  let document = 0;
  for (const title of titles) {
    const plain = plainTitle(title);
    if (isLinkable(plain)) {
      let node = 0;
      eachSign(plain, (sign) => {
        let id = signIds.get(sign);
        if (id === undefined) signIds.set(sign, (id = signIds.size));
        let next = edges.get(node, id);
        if (next === -1) edges.set(node, id, (next = nodes++));
        node = next;
      });
      const list = byNode.get(node);
      if (list === undefined) byNode.set(node, [document]);
      else list.push(document);
    }
    document++;
  }
  return {
    documentsIn(text) {
      const signs: number[] = [];
      eachSign(text, (sign) => signs.push(signIds.get(sign) ?? -1));
      const found = new Set<number>();
      for (let i = 0; i < signs.length; ) {
        let node = 0;
        let longest = 0;
        let here: readonly number[] = [];
        for (let j = i; j < signs.length; j++) {
          const sign = signs[j] ?? -1;
          node = sign === -1 ? -1 : edges.get(node, sign);
          if (node === -1) break;
          const documents = byNode.get(node);
          if (documents !== undefined && documents.length <= maxSharedTitle) {
            longest = j - i + 1;
            here = documents;
          }
        }
        for (const d of here) found.add(d);
        i += Math.max(1, longest);
      }
      return [...found].sort((a, b) => a - b);
    },
  };
}

// ---------------------------------------------------------------------------------------------- links part
// 4 header words (u32): magic, version, passages, links; then for each passage a varint count and that many varints: ascending document numbers, each coded as
// the distance from the one before (from -1), less 1.
const linksMagic = 0x4b4e4c46; // 'FLNK'
const linksHeaderBytes = 16;

/** One `links` part: for each passage the ascending, distinct documents it points to. */
export function encodeLinks(rows: readonly (readonly number[])[]): Uint8Array<ArrayBuffer> {
  const data: number[] = [];
  const varint = (value: number): void => {
    let rest = value;
    while (rest > 0x7f) {
      data.push((rest & 0x7f) | 0x80);
      rest >>>= 7;
    }
    data.push(rest);
  };
  let links = 0;
  for (const row of rows) {
    varint(row.length);
    links += row.length;
    let previous = -1;
    for (const document of row) {
      if (document <= previous) throw new RangeError('links must be ascending and distinct');
      varint(document - previous - 1);
      previous = document;
    }
  }
  const out = new Uint8Array(linksHeaderBytes + data.length);
  new Uint32Array(out.buffer, 0, 4).set([linksMagic, version, rows.length, links]);
  out.set(data, linksHeaderBytes);
  return out;
}

export interface LinkGraph {
  readonly links: number;
  /** Documents that a passage points to, ascending. A view: do not change it. */
  out(ordinal: number): Int32Array;
  /** Passages that point to a document, ascending. A view: do not change it. */
  in(document: number): Int32Array;
}

/** Decodes the `links` parts of one corpus, in order, and builds the reverse lists. Throws `shard/part-invalid`. */
export function openLinks(
  parts: readonly { readonly bytes: Uint8Array; readonly name: string }[],
  passages: number,
  documents: number,
): LinkGraph {
  let total = 0;
  let covered = 0;
  for (const { bytes, name } of parts) {
    const { passages: here, links } = linksHeader(bytes, name);
    covered += here;
    total += links;
  }
  if (covered !== passages) throw new AppError('shard/part-invalid', { part: parts.at(-1)?.name ?? 'links', reason: 'its links do not cover all passages' });
  const outStarts = new Int32Array(passages + 1);
  const outDocuments = new Int32Array(total);
  const inStarts = new Int32Array(documents + 1);
  let ordinal = 0;
  let written = 0;
  for (const { bytes, name } of parts) {
    const bad = (reason: string): AppError => new AppError('shard/part-invalid', { part: name, reason });
    const { passages: here, links } = linksHeader(bytes, name);
    const limit = written + links;
    let p = linksHeaderBytes;
    const varint = (): number => {
      let value = 0;
      for (let shift = 0; shift < 32; shift += 7) {
        if (p >= bytes.length) throw bad('its links are cut off');
        const byte = bytes[p++] ?? 0;
        value += (byte & 0x7f) * 2 ** shift;
        if (byte < 0x80) return value;
      }
      throw bad('its links are not well formed');
    };
    for (let i = 0; i < here; i++) {
      const count = varint();
      if (written + count > limit) throw bad('it has more links than announced');
      let document = -1;
      for (let j = 0; j < count; j++) {
        document += varint() + 1;
        if (document >= documents) throw bad('a link points outside');
        outDocuments[written++] = document;
        inStarts[document + 1] = (inStarts[document + 1] ?? 0) + 1;
      }
      outStarts[++ordinal] = written;
    }
    if (written !== limit || p !== bytes.length) throw bad('its links do not fill it');
  }
  for (let d = 0; d < documents; d++) inStarts[d + 1] = (inStarts[d + 1] ?? 0) + (inStarts[d] ?? 0);
  const inPassages = new Int32Array(total);
  const next = inStarts.slice();
  for (let o = 0; o < passages; o++) {
    for (let i = outStarts[o] ?? 0; i < (outStarts[o + 1] ?? 0); i++) {
      const d = outDocuments[i] ?? 0;
      const slot = next[d] ?? 0;
      inPassages[slot] = o;
      next[d] = slot + 1;
    }
  }
  return {
    links: total,
    out: (o) => outDocuments.subarray(outStarts[o] ?? 0, outStarts[o + 1] ?? 0),
    in: (d) => inPassages.subarray(inStarts[d] ?? 0, inStarts[d + 1] ?? 0),
  };
}

function linksHeader(bytes: Uint8Array, name: string): { readonly passages: number; readonly links: number } {
  const bad = (reason: string): AppError => new AppError('shard/part-invalid', { part: name, reason });
  if (bytes.length < linksHeaderBytes) throw bad('it is too short for links');
  const view = new DataView(bytes.buffer, bytes.byteOffset, linksHeaderBytes);
  if (view.getUint32(0, true) !== linksMagic) throw bad('it holds no links');
  if (view.getUint32(4, true) !== version) throw bad(`its links have version ${view.getUint32(4, true)}`);
  const passages = view.getUint32(8, true);
  const links = view.getUint32(12, true);
  if (passages + links > bytes.length - linksHeaderBytes) throw bad('its counts do not fit its length');
  return { passages, links };
}
