/**
 * Search by meaning: int8 quantisation of unit vectors, the `vectors` part, and how a part is stored. Pure.
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

/** Makes the bits of rows: `centredBits`, or the kernel's way (`vector-index.ts`), tens of times faster. */
export type DeriveBits = (rows: QuantisedRows, mean: Float32Array) => Uint8Array<ArrayBuffer>;

/** One bit a dimension, 16 bytes a row for each 128 dimensions begun: set where a value is above the mean. What the kernel derives, for parts that are stored. */
export function centredBits(rows: QuantisedRows, mean: Float32Array): Uint8Array<ArrayBuffer> {
  const { dimensions, count, scales, codes } = rows;
  const width = Math.ceil(dimensions / 128) * 16;
  const bits = new Uint8Array(count * width);
  for (let r = 0; r < count; r++) {
    const scale = scales[r] ?? 0;
    for (let i = 0; i < dimensions; i++) {
      const at = r * width + (i >> 3);
      if (Math.fround((codes[r * dimensions + i] ?? 0) * scale) > (mean[i] ?? 0)) bits[at] = (bits[at] ?? 0) | (1 << (i & 7));
    }
  }
  return bits;
}

/** Bytes of a stored block at most. Chromium keeps values over 64 KiB as files of their own, which are three times as slow to read one by one. */
const blockBytes = 60 * 1024;

/**
 * A part as the store keeps it: block 0 holds the header, the scales and the bits, the others codes, at most `blockBytes` each, so that single rows can be read where
 * the whole does not fit into memory. Bytes of a part that `openVectorSegment` accepts.
 */
export function splitVectors(
  bytes: Uint8Array,
  first: number,
  mean: Float32Array,
  name: string,
  derive: DeriveBits = centredBits,
): { blocks: Uint8Array[]; places: { first: number; count: number }[] } {
  const rows = openVectorSegment(bytes, '', first, name);
  const { dimensions, count, scales, codes } = rows;
  const bits = derive(rows, mean);
  const head = new Uint8Array(headerBytes + 4 * count + bits.length);
  new Uint32Array(head.buffer, 0, 4).set([magic, version, dimensions, count]);
  new Float32Array(head.buffer, headerBytes, count).set(scales);
  head.set(bits, headerBytes + 4 * count);
  const blocks: Uint8Array[] = [head];
  const places = [{ first, count }];
  const blockRows = Math.max(1, Math.floor(blockBytes / dimensions));
  for (let from = 0; from < count; from += blockRows) {
    const size = Math.min(blockRows, count - from);
    blocks.push(new Uint8Array(codes.buffer, codes.byteOffset + from * dimensions, size * dimensions));
    places.push({ first: first + from, count: size });
  }
  return { blocks, places };
}

/** Opens block 0 of a stored part. Throws `shard/part-invalid` naming `name`. */
export function openVectorHead(bytes: Uint8Array, dimensions: number, count: number, name: string): { readonly scales: Float32Array; readonly bits: Uint8Array } {
  const width = Math.ceil(dimensions / 128) * 16;
  const data = bytes.byteOffset % 4 === 0 ? bytes : bytes.slice();
  const isWhole = data.length === headerBytes + count * (4 + width);
  const [found, has, rowDimensions, rows] = isWhole ? new Uint32Array(data.buffer, data.byteOffset, 4) : [];
  if (found !== magic || has !== version || rowDimensions !== dimensions || rows !== count) {
    throw new AppError('shard/part-invalid', { part: name, reason: 'its stored beginning does not fit it' });
  }
  return { scales: new Float32Array(data.buffer, data.byteOffset + headerBytes, count), bits: data.subarray(headerBytes + 4 * count) };
}

/** The rows of `b` after those of `a`, of the same dimensions. */
export function joinRows(a: QuantisedRows, b: QuantisedRows): QuantisedRows {
  const codes = new Int8Array(a.codes.length + b.codes.length);
  codes.set(a.codes);
  codes.set(b.codes, a.codes.length);
  const scales = new Float32Array(a.scales.length + b.scales.length);
  scales.set(a.scales);
  scales.set(b.scales, a.scales.length);
  return { dimensions: a.dimensions, count: a.count + b.count, scales, codes };
}
