import { describe, expect, test } from 'vitest';
import fc from 'fast-check';
import { AppError } from '../../../src/errors.ts';
import { encodeVectors, openVectorSegment, quantise, scanVectors, vectorSegment } from '../../../src/corpus/vectors.ts';

/** Reproducible unit vectors. */
function unitRows(count: number, dimensions: number, seed: number): Float32Array {
  let state = seed >>> 0;
  const random = (): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
  const values = new Float32Array(count * dimensions);
  for (let r = 0; r < count; r++) {
    let sum = 0;
    for (let i = 0; i < dimensions; i++) {
      const x = Math.sqrt(-2 * Math.log(random() + 1e-9)) * Math.cos(2 * Math.PI * random());
      values[r * dimensions + i] = x;
      sum += x * x;
    }
    for (let i = 0; i < dimensions; i++) values[r * dimensions + i] = (values[r * dimensions + i] ?? 0) / Math.sqrt(sum);
  }
  return values;
}

const dot = (a: Float32Array, b: Float32Array): number => a.reduce((sum, x, i) => sum + x * (b[i] ?? 0), 0);

describe('quantise', () => {
  test('a value errs by half a step at most', () => {
    fc.assert(
      fc.property(fc.array(fc.float({ min: -1, max: 1, noNaN: true }), { minLength: 8, maxLength: 8 }), (values) => {
        const { scales, codes } = quantise(Float32Array.from(values), 8);
        const scale = scales[0] ?? 0;
        values.forEach((x, i) => expect(Math.abs((codes[i] ?? 0) * scale - x)).toBeLessThanOrEqual(scale / 2 + 1e-6));
      }),
    );
  });

  test('rows that are zero or not finite are left out of every search', () => {
    const values = Float32Array.from([0, 0, 1, 0, NaN, 1, Infinity, 0]);
    const segment = vectorSegment(quantise(values, 2), 'e', 0);
    expect(Array.from(segment.scales).map((s) => s > 0)).toEqual([false, true, false, false]);
    expect(Array.from(scanVectors([segment], Float32Array.from([1, 0]), 4).rows)).toEqual([1]);
  });
});

describe('scanVectors', () => {
  const dimensions = 67; // not a multiple of the unrolled step
  const values = unitRows(700, dimensions, 7);
  const rows = quantise(values, dimensions);

  test('finds the nearest rows and their cosines', () => {
    const queries = unitRows(40, dimensions, 99);
    let shared = 0;
    for (let q = 0; q < 40; q++) {
      const query = queries.slice(q * dimensions, (q + 1) * dimensions);
      const exact = Array.from({ length: 700 }, (_, r) => ({ r, score: dot(values.subarray(r * dimensions, (r + 1) * dimensions), query) }));
      exact.sort((a, b) => b.score - a.score);
      const found = scanVectors([vectorSegment(rows, 'e', 0)], query, 10);
      shared += exact.slice(0, 10).filter((e) => found.rows.includes(e.r)).length;
      found.rows.forEach((r, i) => expect(found.scores[i]).toBeCloseTo(exact.find((e) => e.r === r)?.score ?? 9, 1.9));
      expect([...found.scores]).toEqual([...found.scores].sort((a, b) => b - a));
    }
    expect(shared / 400).toBeGreaterThan(0.97);
  });

  test('the split into segments makes no difference', () => {
    const query = unitRows(1, dimensions, 5);
    const whole = scanVectors([vectorSegment(rows, 'e', 0)], query, 20);
    const split = [0, 300, 301].map((from, i) => vectorSegment(quantise(values.slice(from * dimensions, ([300, 301, 700][i] ?? 0) * dimensions), dimensions), 'e', from));
    const found = scanVectors(split, query, 20);
    expect(Array.from(found.rows, (r, i) => r + (split[found.segment[i] ?? 0]?.first ?? 0))).toEqual(Array.from(whole.rows));
    expect(found.scores).toEqual(whole.scores);
  });

  test('more wanted than there are, none wanted, other dimensions, unusable queries', () => {
    const segment = vectorSegment(rows, 'e', 0);
    expect(scanVectors([segment], unitRows(1, dimensions, 1), 9999).count).toBe(700);
    expect(scanVectors([segment], unitRows(1, dimensions, 1), 0).count).toBe(0);
    expect(scanVectors([segment], unitRows(1, 8, 1), 5).count).toBe(0);
    expect(scanVectors([segment], new Float32Array(dimensions), 5).count).toBe(0);
    expect(scanVectors([segment], new Float32Array(dimensions).fill(NaN), 5).count).toBe(0);
  });
});

describe('the vectors part', () => {
  const bytes = encodeVectors(quantise(unitRows(5, 6, 3), 6));

  test('comes back as it was, also from an unaligned view', () => {
    const shifted = new Uint8Array(bytes.length + 3);
    shifted.set(bytes, 3);
    for (const view of [bytes, shifted.subarray(3)]) {
      const segment = openVectorSegment(view, 'minilm', 40, 'v.bin');
      const { scales, codes } = quantise(unitRows(5, 6, 3), 6);
      expect(segment).toMatchObject({ embedder: 'minilm', first: 40, dimensions: 6, count: 5 });
      expect(segment.scales).toEqual(scales);
      expect(segment.codes).toEqual(codes);
    }
  });

  test.each([
    ['cut', bytes.slice(0, -1)],
    ['empty', new Uint8Array(0)],
    ['another magic', Uint8Array.from(bytes, (b, i) => (i === 0 ? 0 : b))],
    ['another version', Uint8Array.from(bytes, (b, i) => (i === 4 ? 9 : b))],
    ['no dimensions', Uint8Array.from(bytes, (b, i) => (i === 8 ? 0 : b))],
    ['a huge count', Uint8Array.from(bytes, (b, i) => (i === 15 ? 0xff : b))],
    ['a scale that is no number', Uint8Array.from(bytes, (b, i) => (i >= 16 && i < 20 ? 0xff : b))],
  ])('is refused: %s', (_, damaged) => {
    expect(() => openVectorSegment(damaged, 'e', 0, 'v.bin')).toThrow(AppError);
  });
});
