/**
 * Vectors as the library searches them: those of one shard, or of all own documents of one embedder. Within the memory budget the int8 rows are in the kernel's
 * memory; beyond it only their bits are, and the rows of the candidates are read from the store in one transaction. Reads through a callback; pure else.
 */
import { AppError } from '../errors.ts';
import type { BatchSearch } from './kernel/batch.ts';
import type { Kernel } from './kernel/kernel.ts';
import type { ShardManifest } from './shard.ts';
import { createVectorIndex } from './vector-index.ts';
import type { VectorHits, VectorIndex } from './vector-index.ts';
import { centredBits, openVectorHead, openVectorSegment } from './vectors.ts';
import type { VectorSegment } from './vectors.ts';

export interface VectorSet {
  /** Id of the embedder that made them. */
  readonly embedder: string;
  readonly dimensions: number;
  /** Bytes of memory held. */
  readonly bytes: number;
  /** The best `k` for a unit-length query; null where rows must be read first: then ask `searchStored`. */
  search(query: Float32Array, k: number): VectorHits | null;
  searchStored(query: Float32Array, k: number): Promise<VectorHits>;
  /** What `search` or `searchStored` gives for each query. `exact` takes over where all rows are to be read. */
  searchMany(queries: readonly Float32Array[], k: number, exact: Pick<BatchSearch, 'search'>): Promise<readonly VectorHits[]>;
}

/** A source's share in a set: passage 0 of the source has the ordinal `first` there. */
export interface SourceVectors {
  readonly set: VectorSet;
  readonly first: number;
}

/** Bytes that int8 rows may take in all: 512 MiB, less where the device says that it has less than 8 GiB. Bits, an eighth of that, always stay in memory. */
export function vectorBudgetBytes(memoryGiB: number | null): number {
  return Math.min(8, memoryGiB ?? 8) * 64 * 2 ** 20;
}

/** Candidates for a shard that states none (format 1 without `vectors`), on the safe side: 57,302 passages of Wikipedia in MiniLM's vectors ask for 304. */
const defaultCandidates = (count: number): number => 2000 + Math.ceil(count / 250);
/** Candidates whose rows are read from the store at most: each may cost one block. */
const storedCandidates = 512;
/** A pass over all rows costs less than scattered reads up to this many rows a candidate. */
const exactRowsPerCandidate = 10;

function memorySet(embedder: string, index: VectorIndex, candidates: () => number | null): VectorSet {
  /** null: an exact pass. */
  const listed = (k: number): number | null => {
    const wanted = candidates();
    // A list of k candidates out of which k are chosen would not be a choice.
    const least = wanted === null ? null : Math.max(wanted, 4 * k);
    return least === null || index.count <= least * exactRowsPerCandidate ? null : least;
  };
  const search = (query: Float32Array, k: number): VectorHits => index.search(query, k, listed(k));
  return {
    embedder,
    dimensions: index.dimensions,
    get bytes() {
      return index.bytes;
    },
    search,
    searchStored: (query, k) => Promise.resolve(search(query, k)),
    // Two steps cost a single query less than any device's answer takes to come back.
    searchMany: async (queries, k, exact) => (listed(k) === null ? exact.search(index, queries, k) : queries.map((query) => search(query, k))),
  };
}

/** A set over opened segments that lie in memory: for tools and tests, and wherever all of a shard is at hand. */
export function vectorSetOf(segments: readonly VectorSegment[], kernel: Kernel, measured: ShardManifest['vectors'] = undefined): VectorSet {
  const head = segments[0];
  const dimensions = head?.dimensions ?? 1;
  const count = segments.reduce((sum, segment) => sum + segment.count, 0);
  const index = createVectorIndex(kernel, { dimensions, capacity: count, ...(measured === undefined ? {} : { mean: Float32Array.from(measured.mean) }) });
  for (const segment of segments) if (segment.dimensions === dimensions) index.append(segment, segment.first);
  if (measured === undefined) index.centre();
  return memorySet(head?.embedder ?? '', index, () => measured?.candidates ?? defaultCandidates(index.count));
}

// ---------------------------------------------------------------------------------------------- shards

/** A stored `vectors` part: block 0 holds header, scales and bits, the others codes; or, stored by an older version, block 0 holds the whole part. */
export interface StoredVectorPart {
  readonly file: string;
  readonly first: number;
  readonly count: number;
  readonly blocks: readonly { readonly first: number; readonly count: number }[];
}

/** Blocks in the order asked, read in one transaction; null for those that are gone. */
export type ReadBlocks = (wanted: readonly { readonly file: string; readonly block: number }[]) => Promise<readonly (Uint8Array<ArrayBuffer> | null)[]>;

const lost = (file: string): AppError => new AppError('shard/part-missing', { part: file, status: 'lost by the browser' });

/** Opens the vectors of a shard, with the int8 rows where they fit into `budgetBytes`. One part at a time, so that memory holds no second copy of the whole. */
export async function openShardVectors(
  parts: readonly StoredVectorPart[],
  manifest: ShardManifest,
  kernel: Kernel,
  budgetBytes: number,
  read: ReadBlocks,
): Promise<VectorSet | null> {
  const { embedder, vectors: measured } = manifest;
  if (embedder === null || parts.length === 0) return null;
  const { dimensions } = embedder;
  const count = parts.reduce((sum, part) => sum + part.count, 0);
  const isInMemory = count * (dimensions + 8) <= budgetBytes;
  const mean = measured === undefined ? undefined : Float32Array.from(measured.mean);
  const index = createVectorIndex(kernel, { dimensions, capacity: count, keepsCodes: isInMemory, ...(mean === undefined ? {} : { mean }) });
  for (const part of parts) {
    const numbers = isInMemory ? part.blocks.map((_, block) => block) : [0];
    const blocks = await read(numbers.map((block) => ({ file: part.file, block })));
    const [head, ...codes] = blocks.map((bytes) => {
      if (bytes === null) throw lost(part.file);
      return bytes;
    });
    if (head === undefined) throw lost(part.file);
    if (part.blocks.length === 1) {
      const whole = openVectorSegment(head, embedder.id, part.first, part.file);
      if (isInMemory) index.append(whole, part.first);
      else index.appendBits(centredBits(whole, index.mean), (row) => (whole.scales[row] ?? 0) > 0, part.first);
      continue;
    }
    const { scales, bits } = openVectorHead(head, dimensions, part.count, part.file);
    if (!isInMemory) {
      index.appendBits(bits, (row) => (scales[row] ?? 0) > 0, part.first);
      continue;
    }
    codes.forEach((bytes, i) => {
      const place = part.blocks[i + 1];
      if (place === undefined || bytes.length !== place.count * dimensions) throw new AppError('shard/part-invalid', { part: part.file, reason: 'a block of it has another length' });
      const from = place.first - part.first;
      const rowCodes = new Int8Array(bytes.buffer, bytes.byteOffset, bytes.length);
      index.append({ dimensions, count: place.count, scales: scales.subarray(from, from + place.count), codes: rowCodes }, place.first);
    });
  }
  if (isInMemory && measured === undefined) index.centre();
  const candidates = measured?.candidates ?? defaultCandidates(index.count);
  return isInMemory ? memorySet(embedder.id, index, () => candidates) : storedSet(embedder.id, index, parts, Math.min(candidates, storedCandidates), read);
}

function storedSet(embedder: string, index: VectorIndex, parts: readonly StoredVectorPart[], candidates: number, read: ReadBlocks): VectorSet {
  const { dimensions } = index;
  const searchStored = async (query: Float32Array, k: number): Promise<VectorHits> => {
    const ordinals = index.nearest(query, Math.max(candidates, k));
    const rows = await readRows(ordinals, parts, dimensions, embedder, read);
    const hits = rows.map(({ scale, codes, ordinal }) => {
      let sum = 0;
      for (let i = 0; i < dimensions; i++) sum += (codes[i] ?? 0) * (query[i] ?? 0);
      return { ordinal, score: sum * scale };
    });
    hits.sort((a, b) => b.score - a.score || a.ordinal - b.ordinal);
    const best = hits.slice(0, k);
    return { count: best.length, ordinals: Uint32Array.from(best, (hit) => hit.ordinal), scores: Float32Array.from(best, (hit) => hit.score) };
  };
  return {
    embedder,
    dimensions,
    get bytes() {
      return index.bytes;
    },
    search: () => null,
    searchStored,
    async searchMany(queries, k) {
      // One after the other: each holds the blocks that it reads.
      const found: VectorHits[] = [];
      for (const query of queries) found.push(await searchStored(query, k));
      return found;
    },
  };
}

interface StoredRow {
  readonly ordinal: number;
  readonly scale: number;
  readonly codes: Int8Array;
}

/** The rows of ascending `ordinals`. Scales lie in the first block of each part, so that is read along. */
async function readRows(ordinals: Uint32Array, parts: readonly StoredVectorPart[], dimensions: number, embedder: string, read: ReadBlocks): Promise<StoredRow[]> {
  const wanted = new Map<string, { file: string; block: number }>();
  const want = (file: string, block: number): string => {
    const key = `${file}\n${block}`;
    if (!wanted.has(key)) wanted.set(key, { file, block });
    return key;
  };
  const places = Array.from(ordinals, (ordinal) => {
    const part = parts.findLast((other) => other.first <= ordinal);
    if (part === undefined) throw new RangeError(`no vector ${ordinal}`);
    const block = part.blocks.length === 1 ? 0 : part.blocks.findLastIndex((other, i) => i > 0 && other.first <= ordinal);
    return { ordinal, part, head: want(part.file, 0), block, codes: want(part.file, block) };
  });
  const blocks = await read([...wanted.values()]);
  const found = new Map([...wanted.keys()].map((key, i) => [key, blocks[i] ?? null]));
  const segments = new Map<string, { scales: Float32Array; codes: Int8Array | null }>();
  return places.map(({ ordinal, part, head, block, codes }) => {
    const bytes = found.get(codes) ?? null;
    const top = found.get(head) ?? null;
    if (bytes === null || top === null) throw lost(part.file);
    let opened = segments.get(part.file);
    if (opened === undefined) {
      const isWhole = part.blocks.length === 1;
      opened = isWhole ? openVectorSegment(top, embedder, part.first, part.file) : { ...openVectorHead(top, dimensions, part.count, part.file), codes: null };
      segments.set(part.file, opened);
    }
    const from = (ordinal - (part.blocks[block]?.first ?? 0)) * dimensions;
    const all = opened.codes ?? new Int8Array(bytes.buffer, bytes.byteOffset, bytes.length);
    return { ordinal, scale: opened.scales[ordinal - part.first] ?? 0, codes: all.subarray(from, from + dimensions) };
  });
}

// ---------------------------------------------------------------------------------------------- own documents

export interface DocumentVectors {
  /** Replaces the vectors of a document by `segments` (none: takes them out). Answers with what its source holds. */
  put(document: string, passages: number, segments: readonly VectorSegment[]): readonly SourceVectors[];
  /** Adds the rows that follow on those that are there; vectors of another embedder go. Rows that are there already are passed over. */
  add(document: string, passages: number, segment: VectorSegment): readonly SourceVectors[];
}

interface DocumentSet {
  readonly set: VectorSet;
  readonly index: VectorIndex;
  /** Where a document's ordinals begin, and up to which passage it has rows. */
  readonly places: Map<string, { readonly first: number; rows: number }>;
  next: number;
}

/** The vectors of all own documents, one set an embedder. Documents come and go without a rebuild; an exact pass over so few rows is quick. */
export function createDocumentVectors(kernel: Kernel): DocumentVectors {
  const sets = new Map<string, DocumentSet>();
  const keyOf = ({ embedder, dimensions }: VectorSegment): string => `${embedder}\n${dimensions}`;

  function setOf(segment: VectorSegment): DocumentSet {
    const key = keyOf(segment);
    const known = sets.get(key);
    if (known !== undefined) return known;
    const index = createVectorIndex(kernel, { dimensions: segment.dimensions });
    const created = { set: memorySet(segment.embedder, index, () => null), index, places: new Map(), next: 0 };
    sets.set(key, created);
    return created;
  }
  function take(document: string, passages: number, isTaken: (key: string) => boolean): void {
    for (const [key, { index, places }] of sets) {
      const place = places.get(document);
      if (place === undefined || !isTaken(key)) continue;
      index.remove(place.first, place.first + passages);
      places.delete(document);
      // The memory of an index does not shrink: an empty one is let go.
      if (places.size === 0) sets.delete(key);
    }
  }
  function append(document: string, passages: number, segment: VectorSegment): void {
    const known = setOf(segment);
    let place = known.places.get(document);
    if (place === undefined) {
      known.places.set(document, (place = { first: known.next, rows: 0 }));
      known.next += passages;
    }
    if (place.rows !== segment.first) return;
    known.index.append(segment, place.first + segment.first);
    place.rows += segment.count;
  }
  const holdings = (document: string): SourceVectors[] =>
    [...sets.values()].flatMap(({ set, places }) => {
      const place = places.get(document);
      return place === undefined ? [] : [{ set, first: place.first }];
    });
  return {
    put(document, passages, segments) {
      take(document, passages, () => true);
      for (const segment of segments) append(document, passages, segment);
      return holdings(document);
    },
    add(document, passages, segment) {
      take(document, passages, (key) => key !== keyOf(segment));
      append(document, passages, segment);
      return holdings(document);
    },
  };
}
