/**
 * Exact int8 search for many queries at once: on a WebGPU device where a probe shows that it pays, else by the kernel. Both give the same integers, so the same
 * hits. The device is handed in; nobody here asks for an adapter.
 */
import { codeQuery, createVectorIndex } from '../vector-index.ts';
import type { VectorHits, VectorIndex } from '../vector-index.ts';
import type { Kernel, KernelVariant } from './kernel.ts';

/** Which kernel searches vectors here, and what a batch costs with it and on the graphics device. */
export interface VectorVerdict {
  readonly kernel: KernelVariant;
  /** Milliseconds for the probe's batch; null without a device to compare with, or where it failed. */
  readonly gpuMs: number | null;
  readonly wasmMs: number | null;
  /** What batches use. */
  readonly batch: 'gpu' | 'wasm';
}

export interface BatchScorer {
  /** Dot products, query after query, a number a row; `queries` as `codeQuery` gives them. Rejects when the device is lost. */
  dots(queries: readonly Int16Array[]): Promise<Int32Array<ArrayBuffer>>;
  dispose(): void;
}

/** Rows uploaded as one buffer: within the smallest limit that WebGPU promises (128 MiB a binding). */
const chunkBytes = 64 * 2 ** 20;
const workgroup = 64;

const shader = /* wgsl */ `
struct Shape { rows: u32, words: u32 }
@group(0) @binding(0) var<storage, read> codes: array<u32>;
@group(0) @binding(1) var<storage, read> queries: array<i32>;
@group(0) @binding(2) var<storage, read_write> sums: array<i32>;
@group(0) @binding(3) var<uniform> shape: Shape;

@compute @workgroup_size(${workgroup})
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= shape.rows) { return; }
  var sum = 0i;
  let row = id.x * shape.words;
  let query = id.y * shape.words * 4u;
  for (var w = 0u; w < shape.words; w++) {
    let four = bitcast<i32>(codes[row + w]);
    let at = query + w * 4u;
    sum += extractBits(four, 0u, 8u) * queries[at] + extractBits(four, 8u, 8u) * queries[at + 1u]
      + extractBits(four, 16u, 8u) * queries[at + 2u] + extractBits(four, 24u, 8u) * queries[at + 3u];
  }
  sums[id.y * shape.rows + id.x] = sum;
}`;

/** Uploads the rows of an index as they are now. Rejects where the device cannot hold or run them. */
export async function createGpuScorer(device: GPUDevice, index: VectorIndex): Promise<BatchScorer> {
  const { codes, stride, count } = index.rows();
  device.pushErrorScope('validation');
  device.pushErrorScope('out-of-memory');
  const pipeline = device.createComputePipeline({ layout: 'auto', compute: { module: device.createShaderModule({ code: shader }), entryPoint: 'main' } });
  const perChunk = Math.max(1, Math.floor(chunkBytes / stride));
  const chunks: { first: number; rows: number; codes: GPUBuffer; shape: GPUBuffer }[] = [];
  for (let first = 0; first < count; first += perChunk) {
    const rows = Math.min(perChunk, count - first);
    const buffer = device.createBuffer({ size: rows * stride, usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST });
    device.queue.writeBuffer(buffer, 0, codes, first * stride, rows * stride);
    const shape = device.createBuffer({ size: 8, usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST });
    device.queue.writeBuffer(shape, 0, Uint32Array.of(rows, stride / 4));
    chunks.push({ first, rows, codes: buffer, shape });
  }
  const dispose = (): void => {
    for (const chunk of chunks) {
      chunk.codes.destroy();
      chunk.shape.destroy();
    }
  };
  for (const fault of [await device.popErrorScope(), await device.popErrorScope()]) {
    if (fault === null) continue;
    dispose();
    throw new Error(`the graphics device cannot score vectors: ${fault.message}`);
  }
  return {
    async dots(queries) {
      const results = new Int32Array(queries.length * count);
      if (results.length === 0) return results;
      const asked = new Int32Array(queries.length * stride);
      queries.forEach((query, i) => asked.set(query, i * stride));
      const queryBuffer = device.createBuffer({ size: asked.byteLength, usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST });
      device.queue.writeBuffer(queryBuffer, 0, asked);
      try {
        for (const { first, rows, codes: codeBuffer, shape } of chunks) {
          const size = queries.length * rows * 4;
          const out = device.createBuffer({ size, usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC });
          const back = device.createBuffer({ size, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
          const entries = [codeBuffer, queryBuffer, out, shape].map((buffer, binding) => ({ binding, resource: { buffer } }));
          const encoder = device.createCommandEncoder();
          const pass = encoder.beginComputePass();
          pass.setPipeline(pipeline);
          pass.setBindGroup(0, device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries }));
          pass.dispatchWorkgroups(Math.ceil(rows / workgroup), queries.length);
          pass.end();
          encoder.copyBufferToBuffer(out, 0, back, 0, size);
          device.queue.submit([encoder.finish()]);
          await back.mapAsync(GPUMapMode.READ);
          const sums = new Int32Array(back.getMappedRange());
          queries.forEach((_, q) => results.set(sums.subarray(q * rows, (q + 1) * rows), q * count + first));
          back.unmap();
          for (const buffer of [out, back]) buffer.destroy();
        }
      } finally {
        queryBuffer.destroy();
      }
      return results;
    },
    dispose,
  };
}

/**
 * The exact `k` best rows for each query. `scorer` null: by the kernel, one query after the other; likewise where the rows change while the scorer works.
 * Queries that find nothing have no hits.
 */
export async function searchBatch(index: VectorIndex, queries: readonly Float32Array[], k: number, scorer: BatchScorer | null): Promise<VectorHits[]> {
  const byKernel = (): VectorHits[] => queries.map((query) => index.search(query, k, null));
  if (scorer === null) return byKernel();
  const { version } = index;
  const { stride, count } = index.rows();
  const coded = queries.map((query) => codeQuery(query, index.dimensions, stride));
  const sums = await scorer.dots(coded.map(({ codes }) => codes));
  if (index.version !== version) return byKernel();
  return coded.map(({ step }, q) => index.bestOf(sums.subarray(q * count, (q + 1) * count), step, k));
}

const probeRows = 20_000;
const probeQueries = 16;
const probeDimensions = 384;

/**
 * Times one batch both ways on made-up rows, after one to warm up; the device's time holds the upload of the rows, which each batch needs. `now` in milliseconds.
 * A device that fails or gives other hits is not used.
 */
export async function probeVectors(kernel: Kernel, device: GPUDevice | null, now: () => number, rows = probeRows): Promise<VectorVerdict> {
  if (device === null) return { kernel: kernel.variant, gpuMs: null, wasmMs: null, batch: 'wasm' };
  const index = createVectorIndex(kernel, { dimensions: probeDimensions });
  const codes = Int8Array.from({ length: rows * probeDimensions }, (_, i) => (Math.imul(i, 0x9e3779b1) >> 24) | 1);
  index.append({ dimensions: probeDimensions, count: rows, scales: new Float32Array(rows).fill(0.005), codes }, 0);
  const queries = Array.from({ length: probeQueries }, (_, q) => Float32Array.from({ length: probeDimensions }, (_value, i) => Math.sin((q + 1) * (i + 1))));
  const time = async (work: () => Promise<VectorHits[]>): Promise<{ ms: number; hits: VectorHits[] }> => {
    await work();
    const started = now();
    const hits = await work();
    return { ms: now() - started, hits };
  };
  const wasm = await time(() => searchBatch(index, queries, 10, null));
  const verdict = { kernel: kernel.variant, wasmMs: wasm.ms, gpuMs: null, batch: 'wasm' } as const;
  try {
    const gpu = await time(() => searchOnDevice(device, index, queries, 10));
    const isSame = gpu.hits.every(({ ordinals }, q) => ordinals.every((ordinal, i) => ordinal === wasm.hits[q]?.ordinals[i]));
    return { ...verdict, gpuMs: isSame ? gpu.ms : null, batch: isSame && gpu.ms < wasm.ms ? 'gpu' : 'wasm' };
  } catch {
    // A device that cannot do it is no fault: the verdict says that batches stay with the kernel.
    return verdict;
  }
}

async function searchOnDevice(device: GPUDevice, index: VectorIndex, queries: readonly Float32Array[], k: number): Promise<VectorHits[]> {
  const scorer = await createGpuScorer(device, index);
  try {
    return await searchBatch(index, queries, k, scorer);
  } finally {
    scorer.dispose();
  }
}

/** Exact searches for several queries, by what the probe found to be faster here. */
export interface BatchSearch {
  /** The probe, made once. */
  verdict(): Promise<VectorVerdict>;
  /** As `searchBatch`. Batches with less work than the probe's stay with the kernel. */
  search(index: VectorIndex, queries: readonly Float32Array[], k: number): Promise<VectorHits[]>;
}

/** By the kernel alone. */
export const kernelBatches: Pick<BatchSearch, 'search'> = { search: (index, queries, k) => searchBatch(index, queries, k, null) };

/** `requestDevice` is asked once. A device that is lost or fails later is let go of; the kernel answers from then on. */
export function createBatchSearch(kernel: Promise<Kernel>, requestDevice: () => Promise<GPUDevice | null>, now: () => number, rows = probeRows): BatchSearch {
  let probed: Promise<VectorVerdict> | null = null;
  let device: GPUDevice | null = null;
  const probe = async (): Promise<VectorVerdict> => {
    const found = await requestDevice();
    const verdict = await probeVectors(await kernel, found, now, rows);
    if (verdict.batch === 'gpu') device = found;
    else found?.destroy();
    return verdict;
  };
  const verdict = (): Promise<VectorVerdict> => (probed ??= probe());
  return {
    verdict,
    async search(index, queries, k) {
      await verdict();
      if (device !== null && queries.length * index.count >= probeQueries * rows) {
        try {
          return await searchOnDevice(device, index, queries, k);
        } catch {
          // Lost, or out of memory: the kernel gives the same hits.
          device.destroy();
          device = null;
        }
      }
      return searchBatch(index, queries, k, null);
    },
  };
}
