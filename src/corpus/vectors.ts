/**
 * Search by meaning: int8 quantisation of unit vectors, the `vectors` part and the exact scan. Pure.
 * A row is scale × int8 values; a row of zeros (scale 0) stands for a passage without a vector and is never found.
 */
import { AppError } from '../errors.ts';

export interface QuantisedRows {
  readonly dimensions: number;
  readonly count: number;
  /** One a row: value ≈ scale × code. */
  readonly scales: Float32Array;
  /** Row-major codes, -127..127. */
  readonly codes: Int8Array;
}

/** Quantises row-major float vectors, each row by its own largest magnitude. Rows with a value that is not finite become zero rows. */
export function quantise(values: Float32Array, dimensions: number): QuantisedRows {
  const count = dimensions > 0 ? Math.floor(values.length / dimensions) : 0;
  const scales = new Float32Array(count);
  const codes = new Int8Array(count * dimensions);
  for (let r = 0; r < count; r++) {
    const from = r * dimensions;
    let largest = 0;
    for (let i = from; i < from + dimensions; i++) {
      const magnitude = Math.abs(values[i] ?? 0);
      if (!(magnitude <= largest)) largest = magnitude;
      if (!Number.isFinite(largest)) break;
    }
    if (!Number.isFinite(largest) || largest === 0) continue;
    scales[r] = largest / 127;
    for (let i = from; i < from + dimensions; i++) codes[i] = Math.round(((values[i] ?? 0) / largest) * 127);
  }
  return { dimensions, count, scales, codes };
}

const magic = 0x43455646; // 'FVEC'
const version = 1;
const headerBytes = 16;
const maxDimensions = 4096;

/** One `vectors` part: magic, version, dimensions, count (u32 each), the scales (f32), the codes (int8). */
export function encodeVectors(rows: QuantisedRows): Uint8Array<ArrayBuffer> {
  const { dimensions, count, scales, codes } = rows;
  const out = new Uint8Array(headerBytes + 4 * count + codes.length);
  new Uint32Array(out.buffer, 0, 4).set([magic, version, dimensions, count]);
  new Float32Array(out.buffer, headerBytes, count).set(scales);
  new Int8Array(out.buffer, headerBytes + 4 * count).set(codes);
  return out;
}

/** Vectors of the passages `first .. first + count - 1` of a source. */
export interface VectorSegment extends QuantisedRows {
  /** Id of the embedder that made them. */
  readonly embedder: string;
  readonly first: number;
}

export function vectorSegment(rows: QuantisedRows, embedder: string, first: number): VectorSegment {
  return { ...rows, embedder, first };
}

/** Opens a part on its bytes (kept; copied only if not aligned to 4). Throws `shard/part-invalid` naming `name`. */
export function openVectorSegment(bytes: Uint8Array, embedder: string, first: number, name: string): VectorSegment {
  const bad = (reason: string): AppError => new AppError('shard/part-invalid', { part: name, reason });
  if (bytes.length < headerBytes) throw bad('it is too short for vectors');
  const data = bytes.byteOffset % 4 === 0 ? bytes : bytes.slice();
  const [found, has, dimensions = 0, count = 0] = new Uint32Array(data.buffer, data.byteOffset, 4);
  if (found !== magic) throw bad('it holds no vectors');
  if (has !== version) throw bad(`its vectors have version ${has}`);
  if (dimensions < 1 || dimensions > maxDimensions) throw bad(`its vectors have ${dimensions} dimensions`);
  if (data.length !== headerBytes + count * (4 + dimensions)) throw bad('its count does not fit its length');
  const scales = new Float32Array(data.buffer, data.byteOffset + headerBytes, count);
  for (const scale of scales) if (!(scale >= 0 && scale < 1e6)) throw bad('a scale is not a number');
  const codes = new Int8Array(data.buffer, data.byteOffset + headerBytes + 4 * count, count * dimensions);
  return { embedder, first, dimensions, count, scales, codes };
}

export interface VectorResult {
  readonly count: number;
  /** Index into the segments as given. */
  readonly segment: Int32Array;
  /** Row in that segment. */
  readonly rows: Int32Array;
  /** Estimated cosine, best first (ties: earlier row first). */
  readonly scores: Float32Array;
}

/**
 * The `k` rows most similar to a unit-length query, by an exact scan. Segments of other dimensions are passed over.
 * The query is coded with 12 bits, so the estimate errs by the rows' own int8 rounding only.
 */
export function scanVectors(segments: readonly VectorSegment[], query: Float32Array, k: number): VectorResult {
  const dimensions = query.length;
  let largest = 0;
  for (const v of query) largest = Math.max(largest, Math.abs(v));
  const isUsable = Number.isFinite(largest) && largest > 0;
  const size = isUsable ? Math.max(0, Math.floor(k)) : 0;
  const step = largest / 2047;
  const coded = new Int16Array(dimensions);
  for (let i = 0; i < dimensions; i++) coded[i] = Math.round((query[i] ?? 0) / step);

  // Kept rows in order, best first: k is small, so insertion is cheaper than a heap.
  const segment = new Int32Array(size);
  const rows = new Int32Array(size);
  const scores = new Float32Array(size);
  let count = 0;
  for (let s = 0; s < segments.length && size > 0; s++) {
    const part = segments[s];
    if (part === undefined || part.dimensions !== dimensions) continue;
    const { codes, scales } = part;
    for (let r = 0; r < part.count; r++) {
      const scale = scales[r] ?? 0;
      if (scale === 0) continue;
      const score = dot(codes, r * dimensions, coded) * scale * step;
      if (count === size && !(score > (scores[size - 1] ?? 0))) continue;
      let at = count < size ? count++ : size - 1;
      while (at > 0 && score > (scores[at - 1] ?? 0)) {
        scores[at] = scores[at - 1] ?? 0;
        rows[at] = rows[at - 1] ?? 0;
        segment[at] = segment[at - 1] ?? 0;
        at--;
      }
      scores[at] = score;
      rows[at] = r;
      segment[at] = s;
    }
  }
  return { count, segment: segment.subarray(0, count), rows: rows.subarray(0, count), scores: scores.subarray(0, count) };
}

/** Integer dot product of a row with the coded query: at most 127 × 2047 × 4096 < 2^31, so four running sums stay exact. */
function dot(codes: Int8Array, from: number, query: Int16Array): number {
  const length = query.length;
  let a = 0;
  let b = 0;
  let c = 0;
  let d = 0;
  let i = 0;
  for (; i + 3 < length; i += 4) {
    a = (a + Math.imul(codes[from + i] as number, query[i] as number)) | 0;
    b = (b + Math.imul(codes[from + i + 1] as number, query[i + 1] as number)) | 0;
    c = (c + Math.imul(codes[from + i + 2] as number, query[i + 2] as number)) | 0;
    d = (d + Math.imul(codes[from + i + 3] as number, query[i + 3] as number)) | 0;
  }
  for (; i < length; i++) a = (a + Math.imul(codes[from + i] as number, query[i] as number)) | 0;
  return a + b + c + d;
}
