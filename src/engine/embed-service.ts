/**
 * What the embedding worker does, without the worker: chooses the device, proves the vectors by golden ones before anyone sees them, falls back to the CPU.
 * Calls run side by side, text by text, so that a question never waits for a whole batch of passages.
 */
import { AppError, abortError } from '../errors.ts';
import { createProgressMeter } from '../progress.ts';
import { probeGpu } from './device.ts';
import type { GpuProbe } from './device.ts';
import { checkGoldenVectors } from './embedder.ts';
import type { Embedder, GoldenVector } from './embedder.ts';
import { embedderRow, rerankerRows } from './models.ts';
import type { EmbedderRow, RerankerRow } from './models.ts';
import { checkReranker } from './reranker.ts';
import type { OpenedReranker } from './reranker.ts';
import type { EmbedderLoadRequest, EmbedWorkerApi, RerankerLoadRequest } from './worker-api.ts';

type Device = 'webgpu' | 'wasm';

export interface EmbedBackends {
  /** Opens the ONNX model on one device; rejects where that device cannot run it. */
  readonly onnx: (row: EmbedderRow, request: EmbedderLoadRequest, device: 'webgpu' | 'wasm') => Promise<Embedder>;
  readonly static: (row: EmbedderRow, request: EmbedderLoadRequest) => Promise<Embedder>;
  /** Opens a cross-encoder on one device; rejects where that device cannot run it. */
  readonly crossEncoder: (row: RerankerRow, request: RerankerLoadRequest, device: Device) => Promise<OpenedReranker>;
  readonly golden: (id: string) => Promise<readonly GoldenVector[]>;
  readonly probe?: () => Promise<GpuProbe>;
}

export function createEmbedService(backends: EmbedBackends): EmbedWorkerApi {
  let loaded: Embedder | null = null;
  let reranker: OpenedReranker | null = null;
  const probe = backends.probe ?? (() => probeGpu());

  const dispose = async (): Promise<void> => {
    const old = loaded;
    loaded = null;
    await old?.dispose();
  };

  const disposeReranker = async (): Promise<void> => {
    const old = reranker;
    reranker = null;
    await old?.dispose();
  };

  /** The devices to try for a transformer, best first. */
  const devices = async (request: EmbedderLoadRequest | RerankerLoadRequest): Promise<readonly Device[]> => {
    if (request.device !== 'auto') return [request.device];
    const { gpu } = await probe();
    if (gpu === null || gpu.software) return ['wasm'];
    // These load on an adapter without shader-f16 and fail, or give wrong numbers, at the first run.
    const needsF16 = Object.keys(request.files).some((path) => /_(q4f16|fp16)\.onnx$/.test(path));
    return !needsF16 || gpu.f16 ? ['webgpu', 'wasm'] : ['wasm'];
  };

  return {
    async load(request, call) {
      await dispose();
      const row = embedderRow(request.modelId);
      if (row === undefined) throw new AppError('engine/load-failed', { model: request.modelId, backend: 'the embedder', reason: 'it is not in the catalogue' });
      const meter = createProgressMeter('bytes', () => performance.now());
      const total = Object.values(request.files).reduce((sum, blob) => sum + blob.size, 0);
      call.progress(meter.update(0, { phase: 'loading', item: row.label, total }));
      const golden = request.golden ?? (await backends.golden(row.id));
      const attempts: readonly Device[] = row.kind === 'static' ? ['wasm'] : await devices(request);
      let failure: unknown = null;
      for (const device of attempts) {
        let embedder: Embedder | null = null;
        try {
          embedder = row.kind === 'static' ? await backends.static(row, request) : await backends.onnx(row, request, device);
          // On a software adapter a text takes seconds: one is proof enough.
          await checkGoldenVectors(embedder, request.device === 'webgpu' ? golden.slice(0, 1) : golden, call.signal);
          if (call.signal.aborted) throw abortError();
          loaded = embedder;
          call.progress(meter.update(total, { phase: 'done' }));
          return embedder.info;
        } catch (error) {
          await embedder?.dispose().catch(() => {});
          if (call.signal.aborted) throw abortError();
          failure = error;
        }
      }
      throw loadFailure(failure, row.label);
    },
    async embed({ texts, kind }, call) {
      if (loaded === null) throw new AppError('engine/not-loaded');
      const batch = await loaded.embed(texts, kind, call.signal);
      call.transfer([batch.values.buffer]);
      return batch;
    },
    unload: dispose,
    async loadReranker(request, { signal }) {
      await disposeReranker();
      const row = rerankerRows.find(({ id }) => id === request.modelId);
      if (row === undefined) throw new AppError('engine/load-failed', { model: request.modelId, backend: 'the re-ranker', reason: 'it is not in the catalogue' });
      let failure: unknown = null;
      for (const device of await devices(request)) {
        let opened: OpenedReranker | null = null;
        try {
          opened = await backends.crossEncoder(row, request, device);
          await checkReranker(opened, signal);
          if (signal.aborted) throw abortError();
          reranker = opened;
          return { id: opened.id, device: opened.device };
        } catch (error) {
          await opened?.dispose().catch(() => {});
          if (signal.aborted) throw abortError();
          failure = error;
        }
      }
      throw loadFailure(failure, row.label);
    },
    async rerank({ question, passages }, { signal }) {
      if (reranker === null) throw new AppError('engine/not-loaded');
      return reranker.score(question, passages, signal);
    },
    unloadReranker: disposeReranker,
  };
}

function loadFailure(failure: unknown, model: string): AppError {
  if (failure instanceof AppError) return failure;
  const reason = failure instanceof Error ? failure.message.slice(0, 300) : String(failure);
  return new AppError('engine/load-failed', { model, backend: 'transformers.js', reason }, { cause: failure });
}
