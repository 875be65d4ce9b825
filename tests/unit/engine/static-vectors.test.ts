import { describe, expect, test } from 'vitest';
import { AppError } from '../../../src/errors.ts';
import { openStaticVectors, poolTokens } from '../../../src/engine/static-vectors.ts';

/** A safetensors file with one matrix; `skew` shifts the matrix off its natural alignment. */
function file(dtype: 'F16' | 'F32', rows: number, dimensions: number, data: Uint8Array, skew = 0, header?: string): Uint8Array {
  const text = header ?? JSON.stringify({ __metadata__: {}, 'embedding.weight': { dtype, shape: [rows, dimensions], data_offsets: [0, data.length] } });
  const head = new TextEncoder().encode(text + ' '.repeat((8 - (text.length % 8)) % 8 + skew));
  const out = new Uint8Array(8 + head.length + data.length);
  new DataView(out.buffer).setBigUint64(0, BigInt(head.length), true);
  out.set(head, 8);
  out.set(data, 8 + head.length);
  return out;
}

const floats = (...values: number[]): Uint8Array => new Uint8Array(Float32Array.from(values).buffer);
const halves = (...bits: number[]): Uint8Array => new Uint8Array(Uint16Array.from(bits).buffer);

function vectorOf(bytes: Uint8Array, token: number): number[] {
  const vectors = openStaticVectors(bytes, 'm');
  const sum = new Float32Array(vectors.dimensions);
  expect(vectors.addTo(sum, token)).toBe(true);
  return [...sum];
}

describe('openStaticVectors', () => {
  test('reads 32- and 16-bit matrices, aligned or not', () => {
    for (const skew of [0, 1]) {
      expect(vectorOf(file('F32', 2, 2, floats(1, 2, 3, 4), skew), 1)).toEqual([3, 4]);
      // 1, -2, largest (65504), smallest subnormal, least normal, 0.333…
      expect(vectorOf(file('F16', 1, 6, halves(0x3c00, 0xc000, 0x7bff, 0x0001, 0x0400, 0x3555), skew), 0)).toEqual([1, -2, 65504, 2 ** -24, 2 ** -14, 0.333251953125]);
    }
  });

  test('a token outside the vocabulary adds nothing', () => {
    const vectors = openStaticVectors(file('F32', 2, 2, floats(1, 2, 3, 4)), 'm');
    for (const token of [2, -1, NaN]) expect(vectors.addTo(new Float32Array(2), token)).toBe(false);
  });

  const good = floats(1, 2, 3, 4);
  const shaped = (shape: unknown, offsets: unknown, dtype = 'F32'): string => JSON.stringify({ w: { dtype, shape, data_offsets: offsets } });
  test.each([
    ['empty', new Uint8Array(0)],
    ['a web page', new TextEncoder().encode('<!doctype html><html></html>')],
    ['cut', file('F32', 2, 2, good).slice(0, -1)],
    ['no matrix', file('F32', 2, 2, good, 0, '{}')],
    ['two matrices', file('F32', 2, 2, good, 0, JSON.stringify({ a: {}, b: {} }))],
    ['another number type', file('F32', 2, 2, good, 0, shaped([2, 2], [0, 16], 'I8'))],
    ['a shape that does not fit', file('F32', 2, 2, good, 0, shaped([3, 2], [0, 16]))],
    ['a huge shape', file('F32', 2, 2, good, 0, shaped([2 ** 40, 2], [0, 16]))],
    ['offsets outside', file('F32', 2, 2, good, 0, shaped([2, 2], [16, 32]))],
    ['a null', file('F32', 2, 2, good, 0, 'null')],
  ])('is refused: %s', (_, bytes) => {
    expect(() => openStaticVectors(bytes, 'm')).toThrow(AppError);
  });
});

test('a text is the unit-length mean of its tokens; unknown tokens count for nothing', () => {
  const vectors = openStaticVectors(file('F32', 3, 2, floats(3, 0, 0, 4, 9, 9)), 'm');
  const pooled = poolTokens(vectors, [0, 1, 77]);
  expect([...pooled]).toEqual([expect.closeTo(0.6, 6), expect.closeTo(0.8, 6)]);
  expect([...poolTokens(vectors, [])]).toEqual([0, 0]);
});
