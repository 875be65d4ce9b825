/** The embedding worker's service: which device is chosen, what is proven before use, what it falls back to. The static model is the real one where it is there. */
import { existsSync, openAsBlob } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openStaticEmbedder } from '../../../src/engine/backends/static-embedder.ts';
import { createEmbedService } from '../../../src/engine/embed-service.ts';
import type { EmbedBackends } from '../../../src/engine/embed-service.ts';
import { finishBatch } from '../../../src/engine/embedder.ts';
import type { Embedder } from '../../../src/engine/embedder.ts';
import { goldenVectors } from '../../../src/engine/golden.ts';
import type { EmbedderLoadRequest } from '../../../src/engine/worker-api.ts';
import { AppError } from '../../../src/errors.ts';

const call = { signal: new AbortController().signal, progress: () => {}, transfer: () => {} };
const hardware = { vendor: 'nvidia', architecture: '', description: '', software: false, f16: true, subgroupMinSize: 32, maxBufferBytes: 1, maxStorageBindingBytes: 1 };
const request = (change: Partial<EmbedderLoadRequest> = {}): EmbedderLoadRequest => ({
  modelId: 'minilm',
  files: { 'onnx/model_quantized.onnx': new Blob(['x']) },
  device: 'auto',
  threads: 1,
  ...change,
});
const codeOf = (promise: Promise<unknown>): Promise<string> => promise.then(() => 'resolved', (error: unknown) => (error instanceof AppError ? error.code : String(error)));

/** An embedder that knows the golden texts by heart, or turns their vectors by a quarter, or gives NaN. */
function fake(device: 'webgpu' | 'wasm', how: 'right' | 'rotated' | 'nan' = 'right'): Embedder & { disposed: boolean } {
  const golden = goldenVectors('minilm');
  return {
    disposed: false,
    info: { id: 'minilm', dimensions: 384, queryPrefix: '', label: 'fake', device, dtype: 'q8' },
    async embed(texts) {
      const values = new Float32Array(texts.length * 384);
      for (const [i, text] of texts.entries()) {
        const vector = golden.find((one) => one.text === text)?.vector ?? golden[0]?.vector ?? [];
        vector.forEach((x, at) => (values[i * 384 + (how === 'rotated' ? (at + 96) % 384 : at)] = how === 'nan' ? Number.NaN : x));
      }
      return finishBatch(values, texts.length, 384);
    },
    async dispose() {
      this.disposed = true;
    },
  };
}

function createWorld(open: (device: 'webgpu' | 'wasm') => Embedder, gpu: typeof hardware | null = hardware) {
  const tried: string[] = [];
  const opened: Embedder[] = [];
  const backends: EmbedBackends = {
    onnx: async (_row, _request, device) => {
      tried.push(device);
      const embedder = open(device);
      opened.push(embedder);
      return embedder;
    },
    crossEncoder: async () => {
      throw new Error('no cross-encoder here');
    },
    static: (row, load) => openStaticEmbedder(row, load.files),
    golden: async (id) => goldenVectors(id),
    probe: async () => (gpu === null ? { gpu: null, error: 'device/no-adapter' } : { gpu, error: null }),
  };
  return { service: createEmbedService(backends), tried, opened };
}

describe('embed service', () => {
  it('uses WebGPU on a hardware adapter, WASM on a software one or none', async () => {
    for (const [gpu, device] of [[hardware, 'webgpu'], [{ ...hardware, software: true }, 'wasm'], [null, 'wasm']] as const) {
      const { service, tried } = createWorld((d) => fake(d), gpu);
      expect((await service.load(request(), call)).device).toBe(device);
      expect(tried).toEqual([device]);
    }
  });

  it('does not put 16-bit arithmetic on an adapter without it', async () => {
    const { service, tried } = createWorld((d) => fake(d), { ...hardware, f16: false });
    await service.load(request({ files: { 'onnx/model_q4f16.onnx': new Blob(['x']) } }), call);
    expect(tried).toEqual(['wasm']);
  });

  it('falls back to WASM when the vectors of WebGPU are wrong, not finite, or do not come', async () => {
    const ways = [
      (d: 'webgpu' | 'wasm') => fake(d, d === 'webgpu' ? 'rotated' : 'right'),
      (d: 'webgpu' | 'wasm') => fake(d, d === 'webgpu' ? 'nan' : 'right'),
      (d: 'webgpu' | 'wasm') => {
        if (d === 'webgpu') throw new Error('shader compilation failed');
        return fake(d);
      },
    ];
    for (const way of ways) {
      const { service, opened, tried } = createWorld(way);
      expect((await service.load(request(), call)).device).toBe('wasm');
      expect(tried).toEqual(['webgpu', 'wasm']);
      expect((opened[0] as { disposed?: boolean }).disposed ?? true).toBe(opened.length === 2);
    }
  });

  it('refuses an embedder that is wrong everywhere, and then holds none', async () => {
    const { service } = createWorld((d) => fake(d, 'rotated'));
    expect(await codeOf(service.load(request(), call))).toBe('embed/mismatch');
    expect(await codeOf(service.embed({ texts: ['x'], kind: 'query' }, call))).toBe('engine/not-loaded');
    expect(await codeOf(createWorld((d) => fake(d, 'nan')).service.load(request(), call))).toBe('engine/not-finite');
  });

  it('does not fall back from a device that was asked for by name', async () => {
    const { service, tried } = createWorld((d) => fake(d, 'rotated'));
    expect(await codeOf(service.load(request({ device: 'webgpu' }), call))).toBe('embed/mismatch');
    expect(tried).toEqual(['webgpu']);
  });

  it('refuses a model that is not in the catalogue', async () => {
    expect(await codeOf(createWorld((d) => fake(d)).service.load(request({ modelId: 'unknown' }), call))).toBe('engine/load-failed');
  });

  const folder = join(process.env['FORAY_MODELS'] ?? join(homedir(), '.cache', 'foray', 'models'), 'wordllama-256');
  it.skipIf(!existsSync(folder))('runs the real static model from blobs, proven by its golden vectors', async () => {
    const { service } = createWorld((d) => fake(d));
    const files = { 'tokenizer.json': await openAsBlob(join(folder, 'tokenizer.json')), 'model.safetensors': await openAsBlob(join(folder, 'model.safetensors')) };
    expect(await service.load(request({ modelId: 'wordllama', files }), call)).toMatchObject({ device: 'cpu', dimensions: 256 });
    const { values, rows } = await service.embed({ texts: ['a red car', 'the crimson automobile', 'monetary policy'], kind: 'passage' }, call);
    const cosine = (a: number, b: number): number => values.slice(a * 256, a * 256 + 256).reduce((sum, x, i) => sum + x * (values[b * 256 + i] ?? 0), 0);
    expect(rows).toBe(3);
    expect(cosine(0, 1)).toBeGreaterThan(cosine(0, 2) + 0.2);
    expect(await codeOf(service.load(request({ modelId: 'wordllama', files: { ...files, 'tokenizer.json': new Blob(['{']) } }), call))).toBe('engine/load-failed');
  }, 30_000);
});
