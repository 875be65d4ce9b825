/**
 * The models of a searcher: status rows, download, load, fallback, unload. Owns which language model and which embedder are live.
 * Promise: a row's state always says what is true now; a failed load leaves the other models as they were, and says what was tried instead.
 */
import * as v from 'valibot';
import { AppError, isAbort } from './errors.ts';
import type { Models } from './api.ts';
import type { CorpusWorkerApi } from './corpus/worker-api.ts';
import { loadEmbedder, loadLlm, loadReranker } from './engine/clients.ts';
import type { DeviceVerdict } from './engine/device.ts';
import { checkGoldenVectors, type Embedder, type GoldenVector } from './engine/embedder.ts';
import type { Host } from './engine/host.ts';
import type { Llm, LlmBackendId } from './engine/llm.ts';
import { catalogue, obstacle, recommend, rerankerRows, type LlmRow, type ModelRow, type ModelStatus, type RerankerRow } from './engine/models.ts';
import type { OpenedReranker, Reranker } from './engine/reranker.ts';
import type { EmbedWorkerApi, LlmLoadRequest, LlmWorkerApi, ModelBlobs } from './engine/worker-api.ts';
import type { Progress } from './progress.ts';

/** `models/index.json` beside the page: complete local copies by catalogue id, and rows that the server adds. */
export interface LocalModels {
  readonly ids: ReadonlySet<string>;
  readonly extra: readonly LlmRow[];
}

const fileSchema = v.object({ path: v.string(), bytes: v.number(), sha256: v.nullable(v.string()), hubUrl: v.nullable(v.string()) });
const backends = ['webllm', 'wllama', 'transformers', 'http', 'scripted'] as const satisfies readonly LlmBackendId[];
const localModelsSchema = v.object({
  models: v.array(v.object({ id: v.string() })),
  extra: v.optional(
    v.array(
      v.object({
        id: v.string(),
        label: v.string(),
        licence: v.string(),
        sizeBytes: v.number(),
        memoryMB: v.number(),
        files: v.array(fileSchema),
        role: v.literal('llm'),
        backend: v.picklist(backends),
        contextTokens: v.number(),
        parametersMillions: v.number(),
        needs: v.array(v.picklist(['webgpu', 'shader-f16'])),
        note: v.string(),
      }),
    ),
    [],
  ),
});

/** What the server beside the page offers. Anything but a valid index means: no local copies. */
export function decodeLocalModels(value: unknown): LocalModels {
  const parsed = v.safeParse(localModelsSchema, value);
  if (!parsed.success) return { ids: new Set(), extra: [] };
  return { ids: new Set(parsed.output.models.map((model) => model.id)), extra: parsed.output.extra };
}

export interface ModelServiceOptions {
  readonly base: string;
  readonly corpus: Host<CorpusWorkerApi>;
  readonly llmHost: Host<LlmWorkerApi>;
  readonly plannerHost: Host<LlmWorkerApi>;
  readonly embedHost: Host<EmbedWorkerApi>;
  readonly device: Promise<DeviceVerdict>;
  readonly localModels: Promise<LocalModels>;
  /** Golden vectors of installed corpora, by embedder id: a device that gives other vectors must not search them. */
  readonly goldenOf: (embedder: string) => Promise<readonly GoldenVector[]>;
  /** Told when a language model is ready. */
  readonly onLlm: (llm: Llm) => void;
  /** Told when the embedder changes. */
  readonly onEmbedder: (embedder: Embedder | null) => void;
}

export interface ModelService extends Models {
  readonly liveLlm: Llm | null;
  readonly livePlanner: Llm | null;
  readonly liveEmbedder: Embedder | null;
  /** The loaded cross-encoder; one whose files are on this device is loaded for it. null: there is none, or it does not start. Rejects with `AbortError`. */
  rerankerAtHand(signal: AbortSignal): Promise<Reranker | null>;
  /** Resolves when the rows are filled in. */
  readonly started: Promise<void>;
  /** Loads what was in use when the page was last open, from storage only. */
  restore(): Promise<void>;
  /** Takes the embedder out of use and says why. */
  rejectEmbedder(error: AppError): void;
}

const endpointId = 'endpoint';
/** Kept only where the person asked for it. */
const endpointSchema = v.object({ url: v.string(), model: v.string(), key: v.optional(v.string()) });
const choiceSchema = v.object({ llm: v.nullable(v.string()), embedder: v.nullable(v.string()) });

export function createModelService(options: ModelServiceOptions): ModelService {
  const { corpus } = options;
  const listeners = new Set<(rows: readonly ModelStatus[]) => void>();
  const rowsById = new Map<string, ModelRow>();
  const statuses = new Map<string, ModelStatus>();
  let llm: Llm | null = null;
  let planner: Llm | null = null;
  let embedder: Embedder | null = null;
  let reranker: OpenedReranker | null = null;
  let hasFailedToRerank = false;
  const loaded: { llm: string | null; embedder: string | null } = { llm: null, embedder: null };

  const rows = (): readonly ModelStatus[] => [...statuses.values()];
  const publish = (): void => {
    for (const listener of listeners) listener(rows());
  };
  const change = (id: string, part: Partial<ModelStatus>): void => {
    const status = statuses.get(id);
    if (status === undefined) return;
    statuses.set(id, { ...status, ...part });
    publish();
  };

  const started = (async () => {
    const [verdict, local, stored] = await Promise.all([options.device, options.localModels, corpus.call('storedModels', undefined).catch(() => [])]);
    const hasHub = (row: ModelRow): boolean => row.files.length === 0 || row.files.some((file) => file.hubUrl !== null);
    const offered = [...local.extra, ...catalogue.filter((row) => hasHub(row) || local.ids.has(row.id))];
    for (const row of offered) rowsById.set(row.id, row);
    const pick = recommend(verdict, offered);
    for (const row of offered) {
      const problem = obstacle(row, verdict);
      const files = stored.find((model) => model.id === row.id)?.files ?? [];
      const isStored = row.files.length > 0 && row.files.every((file) => files.some((have) => have.path === file.path && have.complete));
      const isLocal = local.ids.has(row.id) || local.extra.some((extra) => extra.id === row.id);
      statuses.set(row.id, {
        id: row.id,
        role: row.role,
        backend: row.role === 'llm' ? row.backend : 'embedder',
        label: row.label,
        note: row.note,
        licence: row.licence,
        sizeBytes: row.sizeBytes,
        memoryMB: row.memoryMB,
        needs: row.role === 'llm' ? row.needs : [],
        source: isStored ? 'stored' : isLocal ? 'local' : 'hub',
        state: problem !== null ? 'unavailable' : isStored ? 'stored' : files.length > 0 ? 'paused' : 'absent',
        reason: problem?.message ?? '',
        error: null,
        progress: null,
        recommended: false,
      });
    }
    // What can be loaded without the hub comes before what the device could run at best.
    const reachable = recommend(verdict, offered.filter((row) => statuses.get(row.id)?.source !== 'hub'));
    for (const id of [reachable.llm ?? pick.llm, reachable.embedder ?? pick.embedder]) if (id !== null) change(id, { recommended: true });
    publish();
  })();

  const remember = async (): Promise<void> => {
    const choice = { llm: loaded.llm === endpointId ? null : loaded.llm, embedder: loaded.embedder };
    await corpus.call('saveSetting', { name: 'models', value: choice }).catch((error: unknown) => {
      // The session goes on; the library's notice tells that nothing can be stored (FAULTS S2).
      if (!(error instanceof AppError)) throw error;
    });
  };

  /** null: forget it. */
  const rememberEndpoint = async (endpoint: v.InferOutput<typeof endpointSchema> | null): Promise<void> => {
    await corpus.call('saveSetting', { name: 'endpoint', value: endpoint }).catch((error: unknown) => {
      if (!(error instanceof AppError)) throw error;
    });
  };

  const ready = (role: 'llm' | 'embedder', id: string, label?: string): void => {
    const before = loaded[role];
    loaded[role] = id;
    if (before !== null && before !== id) change(before, { state: rowsById.get(before)?.files.length === 0 ? 'absent' : 'stored', progress: null });
    change(id, { state: 'ready', progress: null, error: null, reason: label ?? '' });
  };

  async function loadCrossEncoder(row: RerankerRow, signal: AbortSignal): Promise<OpenedReranker> {
    const { threads } = await options.device;
    return loadReranker(options.embedHost, { modelId: row.id, files: await fetchFiles(row, signal), device: 'auto', threads }, signal);
  }

  async function fetchFiles(row: Pick<ModelRow, 'id' | 'files'>, signal: AbortSignal): Promise<ModelBlobs> {
    const model = { id: row.id, files: row.files };
    if (!(await corpus.call('hasModel', { model }))) {
      change(row.id, { state: 'downloading', progress: null, error: null, reason: '' });
      await corpus.call('ensureModel', { model, base: options.base }, { signal, onProgress: (progress) => change(row.id, { progress }), silenceSeconds: Infinity });
    }
    change(row.id, { source: 'stored' });
    const blobs: Record<string, Blob> = {};
    for (const file of row.files) {
      const blob = await corpus.call('modelBlob', { id: row.id, path: file.path });
      if (blob === null) throw new AppError('download/not-found', { file: `${row.id}/${file.path}`, status: 'missing' });
      blobs[file.path] = blob;
    }
    return blobs;
  }

  async function load(row: ModelRow, signal: AbortSignal): Promise<void> {
    const verdict = await options.device;
    const blobs = await fetchFiles(row, signal);
    change(row.id, { state: 'loading', progress: null, error: null });
    const onProgress = (progress: Progress): void => change(row.id, { progress });
    if (row.role === 'embedder') {
      const next = await loadEmbedder(options.embedHost, { modelId: row.id, files: blobs, device: 'auto', threads: verdict.threads }, signal, onProgress);
      await checkGoldenVectors(next, await options.goldenOf(row.id), signal);
      embedder = next;
      ready('embedder', row.id);
      options.onEmbedder(next);
      return;
    }
    llm = null;
    llm = await loadLlm(options.llmHost, await loadRequest(row, blobs), signal, onProgress);
    ready('llm', row.id);
    options.onLlm(llm);
  }

  /** The person's own LoRA adapter, until the page is closed. */
  let adapter: File | null = null;

  async function loadRequest(row: LlmRow, blobs: ModelBlobs): Promise<LlmLoadRequest> {
    const verdict = await options.device;
    const isAdapted = adapter !== null && row.backend === 'wllama';
    const script: unknown = row.backend === 'scripted' ? JSON.parse((await blobs[row.files[0]?.path ?? '']?.text()) ?? 'null') : undefined;
    return {
      backend: row.backend,
      modelId: row.id,
      label: isAdapted ? `${row.label} + ${adapter?.name ?? ''}` : row.label,
      files: isAdapted && adapter !== null ? { ...blobs, 'adapter.lora.gguf': adapter } : blobs,
      contextTokens: Math.min(row.contextTokens, 4096),
      threads: verdict.threads,
      useGpu: verdict.gpu !== null && !verdict.gpu.software,
      ...(script === undefined ? {} : { script }),
    };
  }

  /** Other backends whose files are at hand already: falling back must not start a download that nobody asked for. */
  function fallbacks(failed: ModelRow): ModelRow[] {
    if (failed.role !== 'llm') return [];
    return [...rowsById.values()].filter((row): row is LlmRow => {
      const status = statuses.get(row.id);
      return (
        row.role === 'llm' && row.backend !== failed.backend && row.backend !== 'scripted' && row.files.length > 0 &&
        (status?.source === 'stored' || status?.source === 'local') && status.state !== 'unavailable'
      );
    });
  }

  const settle = (row: ModelRow, error: unknown): void => {
    if (isAbort(error)) change(row.id, { state: statuses.get(row.id)?.source === 'stored' ? 'stored' : 'paused', progress: null });
    else if (error instanceof AppError) change(row.id, { state: 'failed', progress: null, error, reason: error.message });
    else change(row.id, { state: 'failed', progress: null, reason: String(error) });
  };

  const service: ModelService = {
    started,
    get liveLlm() {
      return llm;
    },
    get livePlanner() {
      return planner;
    },
    get planner() {
      return planner?.info ?? null;
    },
    get liveEmbedder() {
      return embedder;
    },
    get llm() {
      return llm?.info ?? null;
    },
    get embedder() {
      return embedder?.info ?? null;
    },
    rows,
    watch(listener) {
      listeners.add(listener);
      listener(rows());
      return () => listeners.delete(listener);
    },
    async use(id, signal) {
      await started;
      const row = rowsById.get(id);
      if (row === undefined) throw new AppError('download/not-found', { file: id, status: 'unknown model' });
      const status = statuses.get(id);
      if (status?.state === 'unavailable') throw new AppError('device/limits', { model: row.label, reason: status.reason });
      if (loaded[row.role] === id && status?.state === 'ready') return;
      try {
        await load(row, signal);
      } catch (error) {
        settle(row, error);
        if (isAbort(error) || !(error instanceof AppError) || error.code !== 'engine/load-failed') throw error;
        for (const other of fallbacks(row)) {
          try {
            await load(other, signal);
            change(other.id, { reason: `In place of ${row.label}, which could not be started: ${error.message}` });
            await remember();
            return;
          } catch (next) {
            settle(other, next);
            if (isAbort(next)) throw next;
          }
        }
        throw error;
      }
      await remember();
    },
    async useAdapter(file, signal) {
      await started;
      const row = loaded.llm === null ? undefined : rowsById.get(loaded.llm);
      if (row?.role !== 'llm' || row.backend !== 'wllama') throw new AppError('engine/not-loaded');
      const before = adapter;
      adapter = file;
      try {
        await load(row, signal);
      } catch (error) {
        // The model goes on without the new adapter; what was wrong with it is told.
        adapter = before;
        await load(row, signal).catch((again: unknown) => settle(row, again));
        throw error;
      }
    },
    async useEndpoint(url, model, signal, { key, remember: keeps = false } = {}) {
      await started;
      const endpoint = { url, model, ...(key === undefined || key === '' ? {} : { key }) };
      const label = `${model} at ${url}`;
      statuses.set(endpointId, {
        id: endpointId, role: 'llm', backend: 'http', label, note: 'Your own server. Questions and passages are sent to it.', licence: '', sizeBytes: 0, memoryMB: 0,
        needs: [], source: 'endpoint', state: 'loading', reason: '', error: null, progress: null, recommended: false,
      });
      publish();
      try {
        llm = await loadLlm(
          options.llmHost,
          { backend: 'http', modelId: model, label, files: {}, contextTokens: 8192, threads: 1, useGpu: false, endpoint },
          signal,
          (progress) => change(endpointId, { progress }),
        );
        ready('llm', endpointId);
        await rememberEndpoint(keeps ? endpoint : null);
      } catch (error) {
        if (error instanceof AppError) change(endpointId, { state: 'failed', error, reason: error.message });
        else change(endpointId, { state: 'failed', reason: String(error) });
        throw error;
      }
    },
    async usePlanner(id, signal) {
      await started;
      const before = planner;
      planner = null;
      await before?.dispose();
      if (id === null) {
        options.plannerHost.stop();
        publish();
        return;
      }
      const row = rowsById.get(id);
      if (row === undefined || row.role !== 'llm') throw new AppError('download/not-found', { file: id, status: 'unknown model' });
      const state = statuses.get(id)?.state;
      try {
        const blobs = await fetchFiles(row, signal);
        planner = await loadLlm(options.plannerHost, await loadRequest(row, blobs), signal, (progress) => change(id, { progress }));
      } catch (error) {
        settle(row, error);
        throw error;
      }
      // The row speaks of the model that answers; as a planner the same files only lie ready.
      change(id, { state: state === 'ready' ? 'ready' : row.files.length === 0 ? 'absent' : 'stored', progress: null, error: null });
    },
    get reranker() {
      return reranker?.id ?? null;
    },
    async useReranker(id, signal) {
      const before = reranker;
      reranker = null;
      hasFailedToRerank = false;
      await before?.dispose();
      if (id === null) return;
      const row = rerankerRows.find((other) => other.id === id);
      if (row === undefined) throw new AppError('download/not-found', { file: id, status: 'unknown model' });
      reranker = await loadCrossEncoder(row, signal);
    },
    async rerankerAtHand(signal) {
      if (reranker !== null || hasFailedToRerank) return reranker;
      for (const row of rerankerRows) {
        if (!(await corpus.call('hasModel', { model: { id: row.id, files: row.files } }))) continue;
        try {
          reranker = await loadCrossEncoder(row, signal);
          break;
        } catch (error) {
          if (isAbort(error) || !(error instanceof AppError)) throw error;
          // The language model re-ranks in its place, as where none is stored; `useReranker` tells why.
          hasFailedToRerank = true;
        }
      }
      return reranker;
    },
    async unload(role) {
      const id = loaded[role];
      const live = role === 'llm' ? llm : embedder;
      if (role === 'llm') llm = null;
      else {
        embedder = null;
        options.onEmbedder(null);
      }
      loaded[role] = null;
      await live?.dispose();
      // Memory of an engine is given back for certain only when its worker ends.
      if (role === 'llm') options.llmHost.stop();
      else options.embedHost.stop();
      if (id === endpointId) {
        statuses.delete(endpointId);
        await rememberEndpoint(null);
      } else if (id !== null) change(id, { state: rowsById.get(id)?.files.length === 0 ? 'absent' : 'stored', progress: null, reason: '' });
      publish();
      await remember();
    },
    async remove(id) {
      const row = rowsById.get(id);
      if (row === undefined) return;
      if (loaded[row.role] === id) await service.unload(row.role);
      await corpus.call('removeModel', { id });
      const { ids, extra } = await options.localModels;
      change(id, { state: 'absent', source: ids.has(id) || extra.some((other) => other.id === id) ? 'local' : 'hub', progress: null, error: null, reason: '' });
    },
    async restore() {
      await started;
      // A model that no longer loads shows so in its row; the page works without it.
      const tolerate = (error: unknown): void => {
        if (!(error instanceof AppError)) throw error;
      };
      const { signal } = new AbortController();
      const choice = v.safeParse(choiceSchema, await corpus.call('setting', { name: 'models' }).catch(() => null));
      for (const id of choice.success ? [choice.output.embedder, choice.output.llm] : []) {
        if (id !== null && statuses.get(id)?.state === 'stored') await service.use(id, signal).catch(tolerate);
      }
      const kept = v.safeParse(endpointSchema, await corpus.call('setting', { name: 'endpoint' }).catch(() => null));
      if (!kept.success || loaded.llm !== null) return;
      const { url, model, key } = kept.output;
      await service.useEndpoint(url, model, signal, { remember: true, ...(key === undefined ? {} : { key }) }).catch(tolerate);
    },
    rejectEmbedder(error) {
      const id = loaded.embedder;
      embedder = null;
      loaded.embedder = null;
      options.onEmbedder(null);
      if (id !== null) change(id, { state: 'failed', error, reason: error.message });
    },
  };
  return service;
}
