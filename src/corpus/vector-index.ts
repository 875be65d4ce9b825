/**
 * Rows of int8 vectors in the memory of one kernel instance, searched in two steps: the bits of all rows first, then the int8 codes of the best candidates; or
 * exactly, all codes in one pass. Pure. Rows are kept in the order they came, so that ties go to the earlier one; rows of zeros are left out and never found.
 */
import type { Kernel, KernelInstance } from './kernel/kernel.ts';
import { centredBits } from './vectors.ts';
import type { QuantisedRows } from './vectors.ts';

export interface VectorHits {
  readonly count: number;
  /** As given to `append`. */
  readonly ordinals: Uint32Array;
  /** Estimated cosine, best first (ties: earlier row first); of a query of another length, the dot product. */
  readonly scores: Float32Array;
}

export interface VectorIndexOptions {
  readonly dimensions: number;
  /** What bits are relative to: the mean vector of the rows. Default: zero, until `centre` is called. */
  readonly mean?: Float32Array;
  /** Rows that are expected; more may come. */
  readonly capacity?: number;
  /** False: only bits are kept, and `search` is not possible; rows come as `appendBits`. Default true. */
  readonly keepsCodes?: boolean;
}

export interface VectorIndex {
  readonly dimensions: number;
  /** Rows that can be found. */
  readonly count: number;
  /** Memory held, in bytes. */
  readonly bytes: number;
  /** Another number after each change of the rows. */
  readonly version: number;
  readonly mean: Float32Array;
  /** Row i stands for the ordinal `first` + i. */
  append(rows: QuantisedRows, first: number): void;
  /** Bits as `bitsOf` gave them, `bitBytes(dimensions)` a row; `isRow` tells which rows have a vector. */
  appendBits(bits: Uint8Array, isRow: (row: number) => boolean, first: number): void;
  /** Takes out rows whose ordinal is at least `first` and below `end`. */
  remove(first: number, end: number): void;
  /** Measures the mean of the rows and derives all bits anew. */
  centre(): void;
  /** The bits of the last `rows` rows, as `appendBits` takes them. */
  bitsOf(rows: number): Uint8Array<ArrayBuffer>;
  /**
   * The `k` best rows for a query of `dimensions` numbers. `candidates`: rows whose codes are looked at after their bits; null: all, by an exact pass.
   * A query of zeros, of other length or with a value that is not finite finds nothing.
   */
  search(query: Float32Array, k: number, candidates: number | null): VectorHits;
  /** The rows themselves, for a scorer elsewhere: valid until the next change. `stride`: bytes a row, padded with zeros. */
  rows(): { readonly codes: Int8Array<ArrayBuffer>; readonly stride: number; readonly count: number };
  /** The `k` best by dot products with all rows, from a query of this `step` (`codeQuery`). */
  bestOf(dots: Int32Array, step: number, k: number): VectorHits;
  /** Ordinals of the `candidates` rows whose bits are nearest, in row order. */
  nearest(query: Float32Array, candidates: number): Uint32Array<ArrayBuffer>;
}

/** A query as 12-bit numbers, padded with zeros to `stride`: value ≈ step × code. Step 0: of another length, all zeros, or with a value that is not finite. */
export function codeQuery(query: Float32Array, dimensions: number, stride: number): { readonly codes: Int16Array<ArrayBuffer>; readonly step: number } {
  const codes = new Int16Array(stride);
  if (query.length !== dimensions) return { codes, step: 0 };
  let largest = 0;
  for (const x of query) {
    if (!Number.isFinite(x)) return { codes, step: 0 };
    largest = Math.max(largest, Math.abs(x));
  }
  if (largest === 0) return { codes, step: 0 };
  for (let i = 0; i < dimensions; i++) codes[i] = Math.round(((query[i] ?? 0) / largest) * queryRange);
  return { codes, step: largest / queryRange };
}

/** Bytes of the bits of one row. */
export const bitBytes = (dimensions: number): number => Math.ceil(dimensions / 128) * 16;

/** Rows that are scored with the fine query, for `k` results. */
const fineRows = (k: number): number => 4 * k + 64;

const queryRange = 2047;
const coarseRange = 63;
const pageBytes = 65_536;
const maxBytes = 65_536 * pageBytes;

interface Layout {
  readonly rows: number;
  readonly list: number;
  readonly scales: number;
  readonly sums: number;
  readonly bits: number;
  readonly codes: number;
  readonly query: number;
  readonly split: number;
  readonly coarse: number;
  readonly asked: number;
  readonly mean: number;
  readonly counts: number;
  readonly listRows: number;
  readonly listValues: number;
  readonly listOut: number;
  readonly end: number;
}

export function createVectorIndex(kernel: Kernel, options: VectorIndexOptions): VectorIndex {
  const { dimensions, keepsCodes = true } = options;
  const stride = Math.ceil(dimensions / 16) * 16;
  const bitStride = bitBytes(dimensions);
  const maxDistance = bitStride * 8;
  const machine: KernelInstance = kernel.instance();
  const mean = options.mean?.slice() ?? new Float32Array(dimensions);
  let ordinals = new Uint32Array(Math.max(16, options.capacity ?? 0));
  let count = 0;
  let version = 0;

  /** Small areas first, so that they stay where they are; then the lists of a search; then the rows. */
  function plan(rows: number, list: number): Layout {
    let at = 64;
    const place = (bytes: number): number => {
      const here = at;
      at += Math.ceil(bytes / 64) * 64;
      return here;
    };
    const areas = {
      query: place(stride * 2), split: place(stride * 2), coarse: place(stride), asked: place(Math.max(48, bitStride)), mean: place(stride * 4),
      counts: place((maxDistance + 1) * 4),
      listRows: place(list * 4), listValues: place(list * 4), listOut: place(list * 4),
      scales: place(keepsCodes ? rows * 4 : 0), sums: place(keepsCodes ? rows * 4 : 0), bits: place(rows * bitStride), codes: place(keepsCodes ? rows * stride : 0),
    };
    return { ...areas, rows, list, end: at };
  }

  let layout = plan(Math.max(16, options.capacity ?? 0), 64);
  claim(layout.end);
  writeMean();

  function claim(bytes: number): void {
    if (bytes > maxBytes) throw new RangeError(`${bytes} bytes of vectors do not fit into one index`);
    const missing = bytes - machine.memory.buffer.byteLength;
    if (missing > 0) machine.memory.grow(Math.ceil(missing / pageBytes));
  }

  /** Moves the rows to where a larger layout wants them, the last area first. */
  function relayout(rows: number, list: number): void {
    const next = plan(rows, list);
    claim(next.end);
    const bytes = new Uint8Array(machine.memory.buffer);
    const move = (from: number, to: number, length: number): void => void bytes.copyWithin(to, from, from + length);
    if (keepsCodes) move(layout.codes, next.codes, count * stride);
    move(layout.bits, next.bits, count * bitStride);
    if (keepsCodes) {
      move(layout.sums, next.sums, count * 4);
      move(layout.scales, next.scales, count * 4);
    }
    layout = next;
  }

  function reserve(rows: number): void {
    if (rows > layout.rows) relayout(Math.max(rows, Math.ceil(layout.rows * 1.5)), layout.list);
    if (rows > ordinals.length) {
      const next = new Uint32Array(Math.max(rows, layout.rows));
      next.set(ordinals);
      ordinals = next;
    }
  }

  function writeMean(): void {
    // Nothing is above infinity: bits of padding stay zero.
    const area = new Float32Array(machine.memory.buffer, layout.mean, stride).fill(Infinity);
    area.set(mean);
  }

  function derive(from: number): void {
    machine.derive(layout.codes, stride, layout.scales, layout.mean, from, count, layout.sums, layout.bits, bitStride);
  }

  /** Puts the query into memory in every form that the kernel reads. Returns the step of its 12-bit form, 0 for one that finds nothing. */
  function writeQuery(query: Float32Array): number {
    const { codes: fine, step } = codeQuery(query, dimensions, stride);
    if (step === 0 || count === 0) return 0;
    const { buffer } = machine.memory;
    new Int16Array(buffer, layout.query, stride).set(fine);
    const split = new Uint8Array(buffer, layout.split, 2 * stride).fill(0);
    const coarse = new Uint8Array(buffer, layout.coarse, stride).fill(coarseRange + 1);
    const asked = new Uint8Array(buffer, layout.asked, bitStride).fill(0);
    for (let i = 0; i < stride; i++) {
      const x = query[i] ?? 0;
      const code = fine[i] ?? 0;
      split[i] = (code + queryRange + 1) & 127;
      split[stride + i] = (code + queryRange + 1) >> 7;
      coarse[i] = Math.round((x / (step * queryRange)) * coarseRange) + coarseRange + 1;
      if (i < dimensions && x > (mean[i] ?? 0)) asked[i >> 3] = (asked[i >> 3] ?? 0) | (1 << (i & 7));
    }
    return step;
  }

  /** Lists candidates in `listRows`. */
  function listNearest(wanted: number): number {
    const capacity = 2 * wanted + 1024;
    if (layout.list < capacity) relayout(layout.rows, capacity);
    return machine.nearest(layout.bits, count, bitStride, layout.asked, wanted, layout.listRows, layout.listValues, capacity, layout.counts, maxDistance);
  }

  function listAll(k: number): number {
    // The pass over all rows reads a coarser query; the best of it, and some more, are then scored with the fine one.
    const wanted = Math.min(count, fineRows(k));
    if (layout.list < wanted) relayout(layout.rows, wanted);
    return machine.scan(layout.codes, count, stride, layout.scales, layout.sums, layout.coarse, wanted, layout.listRows, layout.listValues);
  }

  /** As with all rows: many candidates are first thinned out by the coarse query. */
  function listBest(candidates: number, k: number): number {
    const listed = listNearest(candidates);
    const wanted = fineRows(k);
    if (listed <= 2 * wanted) return listed;
    return machine.thin(layout.codes, stride, layout.scales, layout.sums, layout.coarse, listed, wanted, layout.listRows, layout.listValues);
  }

  const nothing: VectorHits = { count: 0, ordinals: new Uint32Array(0), scores: new Float32Array(0) };
  return {
    dimensions,
    mean,
    get count() {
      return count;
    },
    get bytes() {
      return machine.memory.buffer.byteLength + ordinals.byteLength;
    },
    get version() {
      return version;
    },
    append(rows, first) {
      version++;
      if (rows.dimensions !== dimensions || !keepsCodes) throw new RangeError(`rows of ${rows.dimensions} dimensions for an index of ${dimensions}`);
      reserve(count + rows.count);
      const before = count;
      const { buffer } = machine.memory;
      const scales = new Float32Array(buffer, layout.scales, layout.rows);
      const codes = new Int8Array(buffer, layout.codes, layout.rows * stride);
      // Without padding and gaps the codes come over in one copy.
      if (stride === dimensions && rows.scales.every((scale) => scale > 0)) {
        codes.set(rows.codes, count * stride);
        scales.set(rows.scales, count);
        for (let r = 0; r < rows.count; r++) ordinals[count++] = first + r;
      } else {
        for (let r = 0; r < rows.count; r++) {
          const scale = rows.scales[r] ?? 0;
          if (!(scale > 0)) continue;
          codes.set(rows.codes.subarray(r * dimensions, (r + 1) * dimensions), count * stride);
          codes.fill(0, count * stride + dimensions, (count + 1) * stride);
          scales[count] = scale;
          ordinals[count++] = first + r;
        }
      }
      derive(before);
    },
    appendBits(bits, isRow, first) {
      version++;
      const rows = Math.floor(bits.length / bitStride);
      reserve(count + rows);
      const area = new Uint8Array(machine.memory.buffer, layout.bits, layout.rows * bitStride);
      for (let r = 0; r < rows; r++) {
        if (!isRow(r)) continue;
        area.set(bits.subarray(r * bitStride, (r + 1) * bitStride), count * bitStride);
        ordinals[count++] = first + r;
      }
    },
    remove(first, end) {
      version++;
      const bytes = new Uint8Array(machine.memory.buffer);
      const close = (area: number, width: number, from: number, to: number): void => void bytes.copyWithin(area + from * width, area + to * width, area + count * width);
      for (let from = 0; from < count; ) {
        const isGone = (row: number): boolean => row < count && (ordinals[row] ?? 0) >= first && (ordinals[row] ?? 0) < end;
        if (!isGone(from)) {
          from++;
          continue;
        }
        let to = from + 1;
        while (isGone(to)) to++;
        if (keepsCodes) {
          close(layout.codes, stride, from, to);
          close(layout.scales, 4, from, to);
          close(layout.sums, 4, from, to);
        }
        close(layout.bits, bitStride, from, to);
        ordinals.copyWithin(from, to, count);
        count -= to - from;
      }
    },
    centre() {
      const sums = new Float64Array(dimensions);
      const scales = new Float32Array(machine.memory.buffer, layout.scales, count);
      const codes = new Int8Array(machine.memory.buffer, layout.codes, count * stride);
      for (let r = 0; r < count; r++) {
        const scale = scales[r] ?? 0;
        for (let i = 0; i < dimensions; i++) sums[i] = (sums[i] ?? 0) + (codes[r * stride + i] ?? 0) * scale;
      }
      for (let i = 0; i < dimensions; i++) mean[i] = count === 0 ? 0 : (sums[i] ?? 0) / count;
      writeMean();
      derive(0);
    },
    bitsOf: (rows) => new Uint8Array(machine.memory.buffer, layout.bits + (count - rows) * bitStride, rows * bitStride).slice(),
    search(query, k, candidates) {
      const wanted = Math.min(Math.max(0, Math.floor(k)), count);
      const step = wanted === 0 || !keepsCodes ? 0 : writeQuery(query);
      if (step === 0) return nothing;
      const listed = candidates === null || candidates >= count ? listAll(wanted) : listBest(Math.max(wanted, Math.floor(candidates)), wanted);
      machine.dots(layout.codes, stride, layout.sums, layout.listRows, listed, layout.query, layout.split, layout.listOut);
      const { buffer } = machine.memory;
      const scales = new Float32Array(buffer, layout.scales, count);
      return best(new Uint32Array(buffer, layout.listRows, listed), new Int32Array(buffer, layout.listOut, listed), scales, step, ordinals, wanted);
    },
    rows: () => ({ codes: new Int8Array(machine.memory.buffer, layout.codes, count * stride), stride, count }),
    bestOf(dots, step, k) {
      const wanted = step === 0 ? 0 : Math.min(Math.max(0, Math.floor(k)), count);
      const all = Uint32Array.from({ length: wanted === 0 ? 0 : count }, (_, row) => row);
      return best(all, dots, new Float32Array(machine.memory.buffer, layout.scales, count), step, ordinals, wanted);
    },
    nearest(query, candidates) {
      const wanted = Math.min(Math.max(0, Math.floor(candidates)), count);
      if (wanted === 0 || writeQuery(query) === 0) return new Uint32Array(0);
      const listed = listNearest(wanted);
      return new Uint32Array(machine.memory.buffer, layout.listRows, listed).map((row) => ordinals[row] ?? 0);
    },
  };
}

/** The bits of rows by the kernel: what `centredBits` computes. */
export function deriveBits(kernel: Kernel, rows: QuantisedRows, mean: Float32Array): Uint8Array<ArrayBuffer> {
  const index = createVectorIndex(kernel, { dimensions: rows.dimensions, mean, capacity: rows.count });
  index.append(rows, 0);
  // Rows of zeros are not in the index: then the plain way, which has a place for each.
  return index.count === rows.count ? index.bitsOf(rows.count) : centredBits(rows, mean);
}

/** The `k` best of listed rows. `k` is small, so insertion is cheaper than a heap. */
function best(rows: Uint32Array, dots: Int32Array, scales: Float32Array, step: number, ordinals: Uint32Array, k: number): VectorHits {
  const places = new Uint32Array(k);
  const scores = new Float32Array(k);
  let found = 0;
  for (let i = 0; i < rows.length; i++) {
    const row = rows[i] ?? 0;
    const score = Math.fround((dots[i] ?? 0) * (scales[row] ?? 0) * step);
    const last = found === k ? k - 1 : found;
    if (found === k && !isBefore(score, row, scores[last] ?? 0, places[last] ?? 0)) continue;
    let at = found === k ? k - 1 : found++;
    while (at > 0 && isBefore(score, row, scores[at - 1] ?? 0, places[at - 1] ?? 0)) {
      scores[at] = scores[at - 1] ?? 0;
      places[at] = places[at - 1] ?? 0;
      at--;
    }
    scores[at] = score;
    places[at] = row;
  }
  return { count: found, ordinals: places.subarray(0, found).map((row) => ordinals[row] ?? 0), scores: scores.subarray(0, found) };
}

const isBefore = (score: number, row: number, otherScore: number, otherRow: number): boolean => score > otherScore || (score === otherScore && row < otherRow);
