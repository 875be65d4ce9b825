/** The index against float64 brute force, and every build of the kernel against the plain one. */
import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { openKernel, scalarKernel } from '../../../src/corpus/kernel/kernel.ts';
import type { Kernel, KernelVariant } from '../../../src/corpus/kernel/kernel.ts';
import { bitBytes, createVectorIndex } from '../../../src/corpus/vector-index.ts';
import { quantise } from '../../../src/corpus/vectors.ts';
import type { QuantisedRows } from '../../../src/corpus/vectors.ts';
import { kernelBinaries } from '../../../tools/kernel.ts';
import { clusteredRows } from '../../fixtures/vectors.ts';

const kernels = new Map<KernelVariant, Kernel>();
beforeAll(async () => {
  const binaries = await kernelBinaries();
  for (const variant of ['relaxed', 'simd', 'scalar'] as const) kernels.set(variant, await openKernel(binaries, [variant]));
}, 60_000);

const simd = (): Kernel => kernels.get('simd') ?? scalarKernel;

/** The `k` best rows by float64 dot product of the dequantised rows; ties to earlier rows. */
function bruteForce(rows: QuantisedRows, query: Float32Array, k: number): { row: number; score: number }[] {
  const all = Array.from(rows.scales, (scale, row) => {
    let sum = 0;
    for (let i = 0; i < rows.dimensions; i++) sum += (rows.codes[row * rows.dimensions + i] ?? 0) * (query[i] ?? 0);
    return { row, score: sum * scale, scale };
  });
  return all.filter(({ scale }) => scale > 0).sort((a, b) => b.score - a.score || a.row - b.row).slice(0, k);
}

const small = fc.record({
  dimensions: fc.integer({ min: 1, max: 150 }),
  count: fc.integer({ min: 0, max: 60 }),
  seed: fc.integer({ min: 1, max: 1 << 30 }),
  k: fc.integer({ min: 1, max: 70 }),
  candidates: fc.option(fc.integer({ min: 1, max: 80 }), { nil: null }),
});

describe('the builds of the kernel', () => {
  test('this Node runs the SIMD build, so that the comparisons below compare something', () => {
    expect(kernels.get('simd')?.variant).toBe('simd');
    expect(kernels.get('scalar')?.variant).toBe('scalar');
  });

  test('agree bit for bit: candidates, order and scores', () => {
    fc.assert(
      fc.property(small, ({ dimensions, count, seed, k, candidates }) => {
        const rows = quantise(clusteredRows({ count, dimensions, seed, clusters: 5 }), dimensions);
        const query = clusteredRows({ count: 1, dimensions, seed: seed + 1, clusters: 5 });
        const results = [...kernels.values()].map((kernel) => {
          const index = createVectorIndex(kernel, { dimensions });
          index.append(rows, 7);
          index.centre();
          return { ...index.search(query, k, candidates), near: index.nearest(query, candidates ?? 3), bits: index.bitsOf(index.count) };
        });
        for (const result of results) expect(result).toEqual(results.at(-1));
      }),
      { numRuns: 150 },
    );
  });

  test('agree at the extremes: codes of -128 and 127, the largest queries, 4096 dimensions, equal rows', () => {
    const dimensions = 4096;
    const codes = new Int8Array(6 * dimensions).map((_, i) => [-128, 127, -127, 1, 127, -128][Math.floor(i / dimensions)] ?? 0);
    const rows: QuantisedRows = { dimensions, count: 6, scales: new Float32Array(6).fill(0.001), codes };
    for (const sign of [1, -1]) {
      const query = new Float32Array(dimensions).fill(sign);
      const expected = bruteForce(rows, query, 6);
      for (const kernel of kernels.values()) {
        const index = createVectorIndex(kernel, { dimensions });
        index.append(rows, 0);
        const found = index.search(query, 6, null);
        expect(Array.from(found.ordinals)).toEqual(expected.map(({ row }) => row));
        found.scores.forEach((score, i) => expect(score).toBeCloseTo(expected[i]?.score ?? NaN, 2));
      }
    }
  });

  test('a list of candidates that overflows many times keeps the nearest rows, ties to the earlier ones', () => {
    const dimensions = 16;
    const count = 30_000;
    const rows = quantise(clusteredRows({ count, dimensions, seed: 5, clusters: 50 }), dimensions);
    const query = clusteredRows({ count: 1, dimensions, seed: 6, clusters: 50 });
    const lists = [...kernels.values()].map((kernel) => {
      const index = createVectorIndex(kernel, { dimensions });
      index.append(rows, 0);
      return [1, 10, 500, 29_999, 30_000, 40_000].map((candidates) => Array.from(index.nearest(query, candidates)));
    });
    for (const list of lists) expect(list).toEqual(lists.at(-1));
    expect(lists[0]?.map((list) => list.length)).toEqual([1, 10, 500, 29_999, 30_000, 30_000]);
  });

  test('a build that computes wrongly is not used', async () => {
    // The dot product of this module is always 0: an engine that validates an instruction and misreads it looks like that.
    const binaries = await kernelBinaries();
    const real = WebAssembly.Instance;
    class Broken {
      readonly exports: Record<string, unknown>;
      constructor(module: WebAssembly.Module) {
        this.exports = { ...new real(module).exports, dots: () => undefined };
      }
    }
    WebAssembly.Instance = Broken as unknown as typeof WebAssembly.Instance;
    try {
      expect((await openKernel(binaries)).variant).toBe('scalar');
    } finally {
      WebAssembly.Instance = real;
    }
  });
});

describe('search', () => {
  test('the exact pass gives what float64 gives, within the rounding of the query', () => {
    fc.assert(
      fc.property(small, ({ dimensions, count, seed, k }) => {
        const rows = quantise(clusteredRows({ count, dimensions, seed, clusters: 4 }), dimensions);
        const query = clusteredRows({ count: 1, dimensions, seed: seed + 1, clusters: 4 });
        const index = createVectorIndex(simd(), { dimensions });
        index.append(rows, 0);
        const expected = bruteForce(rows, query, k);
        const found = index.search(query, k, null);
        expect(found.count).toBe(expected.length);
        // The query is read with 12 bits: rows nearer than that may change places.
        found.scores.forEach((score, i) => expect(Math.abs(score - (expected[i]?.score ?? NaN))).toBeLessThan(2e-3));
      }),
      { numRuns: 150 },
    );
  });

  test('two steps find at least 98 of 100 of the exact pass on clustered rows, and centring balances the bits', () => {
    const [dimensions, count] = [128, 8000];
    const rows = quantise(clusteredRows({ count, dimensions, seed: 11, clusters: 80, offset: 0.6 }), dimensions);
    const index = createVectorIndex(simd(), { dimensions });
    index.append(rows, 0);
    /** Mean over the dimensions of how far the share of set bits is from a half. */
    const imbalance = (): number => {
      const bits = index.bitsOf(count);
      const set = new Float64Array(dimensions);
      for (let r = 0; r < count; r++) for (let i = 0; i < dimensions; i++) set[i] = (set[i] ?? 0) + (((bits[r * bitBytes(dimensions) + (i >> 3)] ?? 0) >> (i & 7)) & 1);
      return set.reduce((sum, x) => sum + Math.abs(x / count - 0.5), 0) / dimensions;
    };
    const before = imbalance();
    index.centre();
    expect(imbalance()).toBeLessThan(before / 3);
    let shared = 0;
    for (let q = 0; q < 50; q++) {
      const query = clusteredRows({ count: 1, dimensions, seed: 1000 + q, clusters: 80, offset: 0.6 });
      const expected = new Set(bruteForce(rows, query, 10).map(({ row }) => row));
      shared += index.search(query, 10, 600).ordinals.filter((row) => expected.has(row)).length;
    }
    expect(shared / 500).toBeGreaterThanOrEqual(0.98);
  });

  test('many candidates are thinned out alike by every build, and lose next to nothing of the exact pass', () => {
    const [dimensions, count] = [64, 5000];
    const rows = quantise(clusteredRows({ count, dimensions, seed: 21, clusters: 100 }), dimensions);
    const indexes = [...kernels.values()].map((kernel) => {
      const index = createVectorIndex(kernel, { dimensions });
      index.append(rows, 0);
      return index;
    });
    let shared = 0;
    for (let q = 0; q < 20; q++) {
      const query = clusteredRows({ count: 1, dimensions, seed: 2000 + q, clusters: 100 });
      for (const candidates of [209, 210, 2003, 4999]) {
        const [first, ...others] = indexes.map((index) => index.search(query, 10, candidates));
        for (const other of others) expect([Array.from(other.ordinals), Array.from(other.scores)]).toEqual([Array.from(first?.ordinals ?? []), Array.from(first?.scores ?? [])]);
      }
      const exact = new Set(indexes[0]?.search(query, 10, null).ordinals);
      shared += indexes[0]?.search(query, 10, 4999).ordinals.filter((row) => exact.has(row)).length ?? 0;
    }
    expect(shared).toBeGreaterThanOrEqual(199);
  });

  test('rows of zeros are passed over; ordinals stay theirs', () => {
    const values = Float32Array.from([0, 0, 1, 0, NaN, 1, 0.6, 0.8]);
    for (const kernel of kernels.values()) {
      const index = createVectorIndex(kernel, { dimensions: 2 });
      index.append(quantise(values, 2), 100);
      expect(index.count).toBe(2);
      expect(Array.from(index.search(Float32Array.from([1, 0]), 9, null).ordinals)).toEqual([101, 103]);
      expect(Array.from(index.search(Float32Array.from([1, 0]), 9, 1).ordinals)).toEqual([101, 103]);
    }
  });

  test('an empty index, no wish, other lengths and unusable queries find nothing', () => {
    const index = createVectorIndex(simd(), { dimensions: 8 });
    expect(index.search(new Float32Array(8).fill(1), 5, null).count).toBe(0);
    index.append(quantise(clusteredRows({ count: 5, dimensions: 8, seed: 1, clusters: 2 }), 8), 0);
    expect(index.search(new Float32Array(8).fill(1), 0, null).count).toBe(0);
    expect(index.search(new Float32Array(7).fill(1), 5, 3).count).toBe(0);
    expect(index.search(new Float32Array(8), 5, 3).count).toBe(0);
    expect(index.search(new Float32Array(8).fill(NaN), 5, null).count).toBe(0);
    expect(index.nearest(new Float32Array(8).fill(Infinity), 5)).toHaveLength(0);
    expect(() => index.append(quantise(new Float32Array(9).fill(1), 9), 0)).toThrow(RangeError);
  });
});

describe('growth and deletion', () => {
  test('rows that come and go leave what a fresh index of the rest has', () => {
    const operation = fc.record({ size: fc.integer({ min: 0, max: 40 }), cut: fc.option(fc.tuple(fc.integer({ min: 0, max: 200 }), fc.integer({ min: 0, max: 60 })), { nil: null }) });
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 8 }), fc.integer({ min: 1, max: 40 }), (operations, dimensions) => {
        const index = createVectorIndex(simd(), { dimensions });
        let kept: { ordinal: number; rows: QuantisedRows }[] = [];
        let next = 0;
        for (const { size, cut } of operations) {
          const rows = quantise(clusteredRows({ count: size, dimensions, seed: next + 1, clusters: 3 }), dimensions);
          index.append(rows, next);
          for (let r = 0; r < size; r++) {
            kept.push({ ordinal: next + r, rows: { dimensions, count: 1, scales: rows.scales.slice(r, r + 1), codes: rows.codes.slice(r * dimensions, (r + 1) * dimensions) } });
          }
          next += size;
          if (cut === null) continue;
          index.remove(cut[0], cut[0] + cut[1]);
          kept = kept.filter(({ ordinal }) => ordinal < cut[0] || ordinal >= cut[0] + cut[1]);
        }
        const fresh = createVectorIndex(simd(), { dimensions });
        for (const { ordinal, rows } of kept) fresh.append(rows, ordinal);
        const query = clusteredRows({ count: 1, dimensions, seed: 99, clusters: 3 });
        expect(index.count).toBe(fresh.count);
        expect(index.search(query, 10, null)).toEqual(fresh.search(query, 10, null));
        expect(index.search(query, 10, 12)).toEqual(fresh.search(query, 10, 12));
      }),
      { numRuns: 60 },
    );
  });

  test('an index of bits alone lists the same candidates', () => {
    const dimensions = 200;
    const rows = quantise(clusteredRows({ count: 300, dimensions, seed: 3, clusters: 4 }), dimensions);
    const whole = createVectorIndex(simd(), { dimensions });
    whole.append(rows, 0);
    whole.centre();
    const light = createVectorIndex(simd(), { dimensions, mean: whole.mean, keepsCodes: false });
    light.appendBits(whole.bitsOf(300), (row) => (rows.scales[row] ?? 0) > 0, 0);
    const query = clusteredRows({ count: 1, dimensions, seed: 4, clusters: 4 });
    expect(light.nearest(query, 40)).toEqual(whole.nearest(query, 40));
    expect(light.search(query, 5, null).count).toBe(0);
    expect(bitBytes(dimensions)).toBe(32);
  });
});
