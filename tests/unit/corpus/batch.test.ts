/** Batches of queries: the choice between kernel and graphics device, and what a device that fails leads to. The shader itself is tested in tests/e2e/vectors.spec.ts. */
import { describe, expect, test } from 'vitest';
import { probeVectors, searchBatch } from '../../../src/corpus/kernel/batch.ts';
import type { BatchScorer } from '../../../src/corpus/kernel/batch.ts';
import { scalarKernel } from '../../../src/corpus/kernel/kernel.ts';
import { codeQuery, createVectorIndex } from '../../../src/corpus/vector-index.ts';
import { quantise } from '../../../src/corpus/vectors.ts';
import { clusteredRows } from '../../fixtures/vectors.ts';

const dimensions = 20;
const index = createVectorIndex(scalarKernel, { dimensions });
index.append(quantise(clusteredRows({ count: 90, dimensions, seed: 1, clusters: 4 }), dimensions), 5);

/** What the shader computes, in plain code. */
const scorer: BatchScorer = {
  dots: async (queries) => {
    const { codes, stride, count } = index.rows();
    return Int32Array.from({ length: queries.length * count }, (_, i) => {
      const query = queries[Math.floor(i / count)] ?? new Int16Array(stride);
      return query.reduce((sum, x, j) => sum + x * (codes[(i % count) * stride + j] ?? 0), 0);
    });
  },
  dispose: () => {},
};

describe('searchBatch', () => {
  test('gives the hits of single searches, whoever computes the sums', async () => {
    const queries = Array.from({ length: 6 }, (_, q) => clusteredRows({ count: 1, dimensions, seed: 50 + q, clusters: 4 }));
    const single = queries.map((query) => index.search(query, 7, null));
    expect(await searchBatch(index, queries, 7, null)).toEqual(single);
    expect(await searchBatch(index, queries, 7, scorer)).toEqual(single);
  });

  test('a query that finds nothing has no hits, beside one that does', async () => {
    const sound = clusteredRows({ count: 1, dimensions, seed: 3, clusters: 4 });
    const found = await searchBatch(index, [new Float32Array(dimensions), sound, new Float32Array(3).fill(1), sound.map(() => NaN)], 4, scorer);
    expect(found.map(({ count }) => count)).toEqual([0, 4, 0, 0]);
    expect(await searchBatch(index, [], 4, scorer)).toEqual([]);
  });
});

describe('codeQuery', () => {
  test('errs by half a step at most, and is zero in the padding', () => {
    const query = clusteredRows({ count: 1, dimensions, seed: 8, clusters: 2 });
    const { codes, step } = codeQuery(query, dimensions, 32);
    query.forEach((x, i) => expect(Math.abs((codes[i] ?? 0) * step - x)).toBeLessThanOrEqual(step / 2 + 1e-7));
    expect(Array.from(codes.subarray(dimensions))).toEqual(Array.from({ length: 12 }, () => 0));
  });
});

describe('the probe', () => {
  test('without a device measures nothing and stays with the kernel', async () => {
    expect(await probeVectors(scalarKernel, null, () => 0)).toEqual({ kernel: 'scalar', gpuMs: null, wasmMs: null, batch: 'wasm' });
  });

  test('a device that fails leaves batches with the kernel', async () => {
    const broken = { pushErrorScope: () => undefined, createShaderModule: () => { throw new Error('lost'); } } as unknown as GPUDevice;
    let clock = 0;
    const verdict = await probeVectors(scalarKernel, broken, () => (clock += 5), 50);
    expect(verdict).toEqual({ kernel: 'scalar', gpuMs: null, wasmMs: 5, batch: 'wasm' });
  });
});
