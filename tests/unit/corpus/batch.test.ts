/** Batches of queries: the choice between kernel and graphics device, and what a device that fails leads to. The shader itself is tested in tests/e2e/vectors.spec.ts. */
import { afterEach, describe, expect, test, vi } from 'vitest';
import { createBatchSearch, probeVectors, searchBatch } from '../../../src/corpus/kernel/batch.ts';
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

afterEach(() => vi.unstubAllGlobals());

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

  test('rows that change while the scorer works are searched by the kernel', async () => {
    const own = createVectorIndex(scalarKernel, { dimensions });
    own.append(quantise(clusteredRows({ count: 40, dimensions, seed: 2, clusters: 4 }), dimensions), 0);
    const query = clusteredRows({ count: 1, dimensions, seed: 51, clusters: 4 });
    const changing: BatchScorer = {
      dots: async ([asked]) => {
        const { codes, stride, count } = own.rows();
        const sums = Int32Array.from({ length: count }, (_, r) => (asked ?? new Int16Array(0)).reduce((sum, x, j) => sum + x * (codes[r * stride + j] ?? 0), 0));
        own.remove(0, 20);
        own.append(quantise(clusteredRows({ count: 20, dimensions, seed: 9, clusters: 4 }), dimensions), 100);
        return sums;
      },
      dispose: () => {},
    };
    const found = await searchBatch(own, [query], 10, changing);
    expect(found).toEqual([own.search(query, 10, null)]);
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

describe('batches', () => {
  const queries = Array.from({ length: 3 }, (_, q) => clusteredRows({ count: 1, dimensions, seed: 70 + q, clusters: 4 }));
  const single = queries.map((query) => index.search(query, 5, null));

  test('without a device are the kernel\'s, and the device is asked for once', async () => {
    let asked = 0;
    const batches = createBatchSearch(Promise.resolve(scalarKernel), async () => (asked++, null), () => 0, 4);
    expect(await batches.search(index, queries, 5)).toEqual(single);
    expect((await batches.verdict()).batch).toBe('wasm');
    expect(await batches.search(index, queries, 5)).toEqual(single);
    expect(asked).toBe(1);
  });

  test('a device that was faster is used for batches as large as the probe\'s, and no more after it failed', async () => {
    vi.stubGlobal('GPUBufferUsage', {});
    vi.stubGlobal('GPUMapMode', {});
    const device = fakeDevice();
    let clock = 0;
    // The probe reads the clock four times: 100 ms for the kernel, then 1 ms for the device.
    const times = [0, 100, 100, 101];
    const batches = createBatchSearch(Promise.resolve(scalarKernel), async () => device.device, () => times[clock++] ?? 0, 4);
    expect(await batches.verdict()).toEqual({ kernel: 'scalar', wasmMs: 100, gpuMs: 1, batch: 'gpu' });
    const probed = device.submitted();
    expect(await batches.search(index, queries, 5)).toEqual(single);
    expect(device.submitted()).toBe(probed + 1);
    const few = createVectorIndex(scalarKernel, { dimensions });
    few.append(quantise(clusteredRows({ count: 2, dimensions, seed: 1, clusters: 1 }), dimensions), 0);
    expect(await batches.search(few, queries, 2)).toEqual(queries.map((query) => few.search(query, 2, null)));
    expect(device.submitted()).toBe(probed + 1);
    device.fail();
    expect(await batches.search(index, queries, 5)).toEqual(single);
    expect(device.isDestroyed()).toBe(true);
    expect(await batches.search(index, queries, 5)).toEqual(single);
  });
});

/** As much of a graphics device as the scorer needs, computing what its shader says. */
function fakeDevice(): { device: GPUDevice; submitted: () => number; fail: () => void; isDestroyed: () => boolean } {
  type Buffer = { data: ArrayBuffer; destroy: () => void; mapAsync: () => Promise<void>; getMappedRange: () => ArrayBuffer; unmap: () => void };
  let submitted = 0;
  let isFailing = false;
  let isDestroyed = false;
  let bound: Buffer[] = [];
  const device = {
    pushErrorScope: () => undefined,
    popErrorScope: async () => null,
    createShaderModule: () => ({}),
    createComputePipeline: () => ({ getBindGroupLayout: () => ({}) }),
    createBuffer: ({ size }: { size: number }): Buffer => {
      if (isFailing) throw new Error('lost');
      const data = new ArrayBuffer(size);
      return { data, destroy: () => undefined, mapAsync: async () => undefined, getMappedRange: () => data, unmap: () => undefined };
    },
    createBindGroup: ({ entries }: { entries: { resource: { buffer: Buffer } }[] }) => (bound = entries.map(({ resource }) => resource.buffer)),
    createCommandEncoder: () => ({
      beginComputePass: () => ({ setPipeline: () => undefined, setBindGroup: () => undefined, dispatchWorkgroups: () => undefined, end: () => undefined }),
      copyBufferToBuffer: (_from: Buffer, _at: number, back: Buffer) => {
        const [codes, asked, , shape] = bound;
        const [rows = 0, words = 0] = new Uint32Array(shape!.data);
        const [row, query, sums] = [new Int8Array(codes!.data), new Int32Array(asked!.data), new Int32Array(back.data)];
        for (let i = 0; i < sums.length; i++) {
          let sum = 0;
          for (let j = 0; j < words * 4; j++) sum += (row[(i % rows) * words * 4 + j] ?? 0) * (query[Math.floor(i / rows) * words * 4 + j] ?? 0);
          sums[i] = sum;
        }
      },
      finish: () => ({}),
    }),
    queue: {
      writeBuffer: (buffer: Buffer, at: number, data: { buffer: ArrayBuffer; byteOffset: number; byteLength: number; BYTES_PER_ELEMENT: number }, from = 0, length?: number) => {
        const bytes = new Uint8Array(data.buffer, data.byteOffset + from * data.BYTES_PER_ELEMENT, length === undefined ? data.byteLength : length * data.BYTES_PER_ELEMENT);
        new Uint8Array(buffer.data, at).set(bytes);
      },
      submit: () => void submitted++,
    },
    destroy: () => (isDestroyed = true),
  };
  return { device: device as unknown as GPUDevice, submitted: () => submitted, fail: () => (isFailing = true), isDestroyed: () => isDestroyed };
}
