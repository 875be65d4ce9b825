/**
 * The mathematics of a static embedder: token vectors read from a safetensors file, a text's vector as the normalised mean of its tokens' vectors.
 * Pure: reading files and cutting text into tokens is the caller's work. The file is untrusted; every offset in it is checked.
 */
import * as v from 'valibot';
import { AppError } from '../errors.ts';

export interface StaticVectors {
  /** Tokens in the vocabulary. */
  readonly rows: number;
  readonly dimensions: number;
  /** Adds the vector of a token to `sum`; false if there is no such token. */
  addTo(sum: Float32Array, token: number): boolean;
}

const maxHeaderBytes = 1 << 20;
const tensorSchema = v.object({
  dtype: v.picklist(['F16', 'F32']),
  shape: v.tuple([v.pipe(v.number(), v.integer(), v.minValue(1)), v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(4096))]),
  data_offsets: v.tuple([v.pipe(v.number(), v.integer(), v.minValue(0)), v.pipe(v.number(), v.integer(), v.minValue(0))]),
});

/** Opens the one matrix of a safetensors file (F16 or F32; kept on `bytes`). Throws `engine/load-failed` naming `model`. */
export function openStaticVectors(bytes: Uint8Array, model: string): StaticVectors {
  const bad = (reason: string): AppError => new AppError('engine/load-failed', { model, backend: 'static vectors', reason });
  if (bytes.length < 8) throw bad('its file is too short');
  const headerBytes = Number(new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0, true));
  if (headerBytes > maxHeaderBytes || 8 + headerBytes > bytes.length) throw bad('its file has no readable header');
  let header: unknown;
  try {
    header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + headerBytes)));
  } catch {
    throw bad('its file has no readable header');
  }
  const tensors = typeof header === 'object' && header !== null ? Object.entries(header).filter(([name]) => name !== '__metadata__') : [];
  const parsed = v.safeParse(tensorSchema, tensors.length === 1 ? tensors[0]?.[1] : undefined);
  if (!parsed.success) throw bad('its file does not hold one matrix of 16- or 32-bit numbers');
  const { dtype, shape: [rows, dimensions], data_offsets: [start, end] } = parsed.output;
  const width = dtype === 'F16' ? 2 : 4;
  const from = 8 + headerBytes + start;
  if (end - start !== rows * dimensions * width || 8 + headerBytes + end > bytes.length) throw bad('its matrix does not fit its file');
  const data = (bytes.byteOffset + from) % width === 0 ? bytes.subarray(from, from + end - start) : bytes.slice(from, from + end - start);
  if (dtype === 'F32') {
    const values = new Float32Array(data.buffer, data.byteOffset, rows * dimensions);
    return { rows, dimensions, addTo: (sum, token) => add(sum, token, rows, dimensions, (i) => values[i] ?? 0) };
  }
  const values = new Uint16Array(data.buffer, data.byteOffset, rows * dimensions);
  const floats = halfTable();
  return { rows, dimensions, addTo: (sum, token) => add(sum, token, rows, dimensions, (i) => floats[values[i] ?? 0] ?? 0) };
}

function add(sum: Float32Array, token: number, rows: number, dimensions: number, at: (index: number) => number): boolean {
  if (!(token >= 0 && token < rows)) return false;
  const from = token * dimensions;
  for (let i = 0; i < dimensions; i++) sum[i] = (sum[i] ?? 0) + at(from + i);
  return true;
}

/** The value of every 16-bit float: 256 KB once, instead of widening the whole matrix. */
function halfTable(): Float32Array {
  const table = new Float32Array(0x10000);
  for (let bits = 0; bits < table.length; bits++) {
    const exponent = (bits >> 10) & 31;
    const fraction = bits & 1023;
    const size = exponent === 0 ? fraction * 2 ** -24 : exponent === 31 ? (fraction === 0 ? Infinity : NaN) : (1 + fraction / 1024) * 2 ** (exponent - 15);
    table[bits] = bits & 0x8000 ? -size : size;
  }
  return table;
}

/** Unit-length mean of the tokens' vectors; a zero vector where no token is known. */
export function poolTokens(vectors: StaticVectors, tokens: Iterable<number>): Float32Array {
  const sum = new Float32Array(vectors.dimensions);
  for (const token of tokens) vectors.addTo(sum, token);
  let square = 0;
  for (const x of sum) square += x * x;
  const norm = Math.sqrt(square);
  if (norm > 0) for (let i = 0; i < sum.length; i++) sum[i] = (sum[i] ?? 0) / norm;
  return sum;
}
