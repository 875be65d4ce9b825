/**
 * Joins workers, engine and agent to the `Searcher` of `api.ts`. The main thread coordinates here: it embeds queries, feeds the embedding of own documents,
 * runs the agent loop, and hands everything else to the workers.
 */
import { settingsOn } from './agent/settings.ts';
import { prefix } from './agent/prompts.ts';
import type { CorpusStatus, DocumentStatus, Library, Searcher } from './api.ts';
import { permittedLocks } from './corpus/locks.ts';
import { searchReranked } from './corpus/rerank.ts';
import type { Retriever, SearchRequest, SearchResult } from './corpus/retriever.ts';
import type { AskedSearch } from './corpus/search.ts';
import { spawnCorpusWorker, type CorpusSummary, type CorpusWorkerApi, type LibrarySnapshot } from './corpus/worker-api.ts';
import { probeDevice } from './engine/device.ts';
import { checkGoldenVectors, type Embedder, type EmbedderInfo } from './engine/embedder.ts';
import { createHost } from './engine/host.ts';
import { complete, type Llm } from './engine/llm.ts';
import { spawnEmbedWorker, spawnLlmWorker, type EmbedWorkerApi, type LlmWorkerApi } from './engine/worker-api.ts';
import { abortError, AppError, fromWire, isAbort } from './errors.ts';
import type { Adapter } from './learning/adapter.ts';
import { adapted } from './learning/parts.ts';
import { spawnLearningWorker, type LearningWorkerApi } from './learning/worker-api.ts';
import { lateLearningService } from './late-learning.ts';
import { createModelService, decodeLocalModels, type LocalModels } from './model-service.ts';
import { createRuns } from './runs.ts';

export interface SearcherOptions {
  /** Absolute address of the page's folder, with a closing slash. */
  readonly base: string;
  /** Shard to import when the library has never held one; null: none. */
  readonly firstShard: string | null;
  /** Load what was in use at the last visit; false after a crash loop. */
  readonly restoresModels?: boolean;
  /** Reads a JSON file beside the page; null if it is not there. */
  readonly readJson: (path: string) => Promise<unknown>;
}

/** Passages per background batch. The embedder takes turns text by text, so a question never waits for a batch; larger ones spare calls and transactions. */
const embeddingBatch = 16;

export function createSearcher(options: SearcherOptions): Searcher {
  const corpus = createHost<CorpusWorkerApi>({ name: 'corpus', spawn: spawnCorpusWorker });
  // A CPU engine hears a stop only between prompt batches; ended earlier, the worker would take the loaded model with it.
  const llmHost = createHost<LlmWorkerApi>({ name: 'llm', spawn: spawnLlmWorker, graceSeconds: 10 });
  const plannerHost = createHost<LlmWorkerApi>({ name: 'planner', spawn: spawnLlmWorker, graceSeconds: 10 });
  const embedHost = createHost<EmbedWorkerApi>({ name: 'embed', spawn: spawnEmbedWorker });
  const lifetime = new AbortController();

  let snapshot: LibrarySnapshot = { corpora: [], documents: [], notice: null };
  const libraryListeners = new Set<(snapshot: LibrarySnapshot) => void>();
  /** Imports of this page by the address of their shard. */
  const imports = new Map<string, AbortController>();
  const status = (item: CorpusSummary): CorpusStatus => corpusStatus(item, models.embedder, item.state === 'importing' && imports.has(item.sourceUrl));
  const device = probeDevice(() => llmHost.call('probe', null), () => corpus.call('probeVectors', undefined));
  const localModels: Promise<LocalModels> = options.readJson('models/index.json').then(decodeLocalModels);

  const models = createModelService({
    base: options.base,
    corpus,
    llmHost,
    plannerHost,
    embedHost,
    device,
    localModels,
    goldenOf: async (embedder) => (await corpus.call('library', undefined)).corpora.find((item) => item.embedder === embedder && item.golden.length > 0)?.golden ?? [],
    onLlm: (llm) => void warmUp(llm),
    onEmbedder: () => {
      for (const listener of libraryListeners) listener(snapshot);
      void embedDocuments();
    },
  });

  let warming: AbortController | null = null;
  /**
   * A CPU reads the head that all prompts share for many seconds (FACTS: prompt work dominates). It is read once while the person still types; the engine's
   * prefix cache keeps it. A question that comes meanwhile waits no longer than it would have read the same head itself.
   */
  async function warmUp(llm: Llm): Promise<void> {
    if (llm.info.device !== 'wasm' || !llm.info.can.prefixCache) return;
    warming?.abort(abortError());
    const controller = new AbortController();
    warming = controller;
    try {
      await complete(llm, { messages: [...prefix, { role: 'user', content: 'PLAN' }], maxTokens: 1 }, AbortSignal.any([controller.signal, lifetime.signal]));
    } catch (error) {
      // The first question meets the same failure and tells it.
      if (!(error instanceof AppError) && !isAbort(error)) throw error;
    } finally {
      if (warming === controller) warming = null;
    }
  }

  // The worker may die and come back: the watch starts again until the searcher is disposed of.
  void (async () => {
    while (!lifetime.signal.aborted) {
      try {
        for await (const next of corpus.stream('watch', undefined, { signal: lifetime.signal, silenceSeconds: Infinity })) {
          const before = snapshot;
          snapshot = next;
          for (const listener of libraryListeners) listener(next);
          if (next.documents.some((document) => document.embedded < document.passages)) void embedDocuments();
          void checkNewShards(before.corpora, next.corpora);
        }
      } catch (error) {
        if (lifetime.signal.aborted) return;
        if (!(error instanceof AppError)) throw error;
        await new Promise((resolve) => setTimeout(resolve, 500));
      }
    }
  })();

  /** A shard that was made with the live embedder brings its own golden vectors: the device must reproduce them. */
  async function checkNewShards(before: readonly CorpusSummary[], now: readonly CorpusSummary[]): Promise<void> {
    const embedder = models.liveEmbedder;
    if (embedder === null) return;
    for (const item of now) {
      const known = before.some((other) => other.id === item.id && other.state === 'complete');
      if (known || item.state !== 'complete' || item.embedder !== embedder.info.id) continue;
      try {
        await checkGoldenVectors(embedder, item.golden, lifetime.signal);
      } catch (error) {
        if (error instanceof AppError && error.code === 'embed/mismatch') models.rejectEmbedder(error);
        else if (!isAbort(error) && !(error instanceof AppError)) throw error;
      }
    }
  }

  let embedding = false;
  /** Embeds own documents in the background until none waits; starts again when documents or an embedder come. */
  async function embedDocuments(): Promise<void> {
    if (embedding) return;
    embedding = true;
    try {
      for (let embedder = models.liveEmbedder; embedder !== null && !lifetime.signal.aborted; embedder = models.liveEmbedder) {
        const { id, dimensions } = embedder.info;
        const batch = await corpus.call('nextUnembedded', { embedder: id, dimensions, limit: embeddingBatch });
        if (batch === null) break;
        const { values } = await embedder.embed(batch.texts, 'passage', lifetime.signal);
        await corpus.call('storeVectors', { document: batch.document, first: batch.first, embedder: id, dimensions, values });
      }
    } catch (error) {
      // The documents stay searchable by words; the next change of library or model tries again.
      if (error instanceof AppError && error.code === 'engine/not-finite') models.rejectEmbedder(error);
      else if (!isAbort(error) && !(error instanceof AppError)) throw error;
    } finally {
      embedding = false;
    }
  }

  async function embedQuery(embedder: Embedder, text: string, signal: AbortSignal): Promise<Float32Array | null> {
    try {
      return (await embedder.embed([text], 'query', signal)).values;
    } catch (error) {
      if (isAbort(error) || !(error instanceof AppError)) throw error;
      // Searching by words goes on; the model's row says what happened.
      models.rejectEmbedder(error);
      return null;
    }
  }

  async function vectorOf(adapter: Adapter | null, request: SearchRequest, signal: AbortSignal): Promise<AskedSearch['vector']> {
    const embedder = request.dense === false ? null : models.liveEmbedder;
    const plain = embedder === null ? null : await embedQuery(embedder, request.text, signal);
    return embedder === null || plain === null ? null : { embedder: embedder.info.id, values: adapted(adapter, embedder.info.id, plain) };
  }

  /** A search has no state: after a death the new worker answers it from storage (FAULTS W1). */
  async function withSecondTry<T>(search: () => Promise<T>): Promise<T> {
    try {
      return await search();
    } catch (error) {
      if (error instanceof AppError && error.code === 'engine/worker-died') return search();
      throw error;
    }
  }

  async function searchWith(adapter: Adapter | null, request: SearchRequest, signal: AbortSignal): Promise<SearchResult> {
    const vector = await vectorOf(adapter, request, signal);
    return withSecondTry(() => corpus.call('search', { request, vector }, { signal }));
  }

  /** As `searchWith`, for requests that are all at hand. */
  async function searchManyWith(adapter: Adapter | null, requests: readonly SearchRequest[], signal: AbortSignal): Promise<readonly SearchResult[]> {
    const asked: AskedSearch[] = [];
    for (const request of requests) asked.push({ request, vector: await vectorOf(adapter, request, signal) });
    return withSecondTry(() => corpus.call('searchMany', { asked }, { signal }));
  }

  /** The library's search with a learned adapter over query vectors of its embedder; null: as they are. */
  const retrieverWith = (adapter: Adapter | null): Retriever => ({
    search: async (request, signal) => {
      const find = (plain: SearchRequest): Promise<SearchResult> => searchWith(adapter, plain, signal);
      if (request.rerank !== true) return find(request);
      const judge = models.liveLlm;
      const reranker = (await models.rerankerAtHand(signal)) ?? (judge === null ? null : (await import('./engine/reranker.ts')).listwiseReranker(judge));
      return reranker === null ? find(request) : searchReranked(request, find, reranker, () => performance.now(), signal);
    },
    passage: (id) => corpus.call('passage', { id }),
    neighbours: (id) => corpus.call('neighbours', { id }),
    frequencies: (terms) => corpus.call('frequencies', { terms }),
    complete: (prefix, limit) => corpus.call('complete', { prefix, limit }),
  });
  const retriever = retrieverWith(null);

  const library: Library = {
    watch(listener) {
      const tell = (next: LibrarySnapshot): void => listener(next.corpora.map(status), next.documents, next.notice);
      libraryListeners.add(tell);
      tell(snapshot);
      return () => libraryListeners.delete(tell);
    },
    corpora: async () => (await corpus.call('library', undefined)).corpora.map(status),
    documents: async () => (await corpus.call('library', undefined)).documents satisfies readonly DocumentStatus[],
    async importShard(url, signal, onProgress) {
      const address = new URL(url.endsWith('/') ? url : `${url}/`, options.base).href;
      const controller = new AbortController();
      imports.set(address, controller);
      try {
        await corpus.call('importShard', { url: address }, { signal: AbortSignal.any([signal, controller.signal]), onProgress, silenceSeconds: Infinity });
      } finally {
        if (imports.get(address) === controller) imports.delete(address);
      }
    },
    pauseImport: (url) => imports.get(url)?.abort(abortError()),
    deleteCorpus: (id) => corpus.call('deleteCorpus', { id }),
    async addDocuments(files, signal, onProgress) {
      const results = await corpus.call('addDocuments', { files }, { signal, onProgress, silenceSeconds: 300 });
      return results.map(({ name, error }) => ({ name, error: error === null ? null : appError(fromWire(error)) }));
    },
    deleteDocument: (id) => corpus.call('deleteDocument', { id }),
    storage: () => corpus.call('storage', undefined),
    persist: () => navigator.storage.persist(),
  };

  void (async () => {
    await importFirstShard();
    if (options.restoresModels !== false) await models.restore();
  })();

  async function importFirstShard(): Promise<void> {
    if (options.firstShard === null) return;
    if (!(await isLibraryNew())) return;
    try {
      await library.importShard(options.firstShard, lifetime.signal, () => {});
    } catch (error) {
      // The library shows the partial shard with its error and a resume button.
      if (!(error instanceof AppError) && !isAbort(error)) throw error;
      return;
    }
    await corpus.call('saveSetting', { name: 'firstShard', value: 'offered' }).catch((error: unknown) => {
      if (!(error instanceof AppError)) throw error;
    });
  }

  /** True when the library has never held anything. A worker that does not start (no connection, a crash) is asked again, as the watch does. */
  async function isLibraryNew(): Promise<boolean> {
    for (;;) {
      try {
        const { corpora } = await corpus.call('library', undefined);
        return corpora.length === 0 && (await corpus.call('setting', { name: 'firstShard' })) !== 'offered';
      } catch (error) {
        if (isAbort(error) || lifetime.signal.aborted) return false;
        if (!(error instanceof AppError)) throw error;
        if (!error.code.startsWith('engine/worker-')) return false;
        await new Promise((resolve) => setTimeout(resolve, 500));
      }
    }
  }

  const runs = createRuns({
    corpus,
    retrieverWith,
    learned: () => learning.forRun(),
    liveLlm: () => models.liveLlm,
    livePlanner: () => models.livePlanner,
    onStart: (method) => {
      if (method !== 'foray') warming?.abort(abortError());
    },
    today: () => Date.now(),
    locks: permittedLocks(navigator.locks),
  });

  const learningHost = createHost<LearningWorkerApi>({ name: 'learning', spawn: spawnLearningWorker, idleSeconds: 60 });
  const learning = lateLearningService({
    setting: (name) => corpus.call('setting', { name }),
    saveSetting: (name, value) => corpus.call('saveSetting', { name, value }),
    events: (id) => runs.history.events(id),
    worker: learningHost,
    llm: () => models.liveLlm,
    embedder: () => models.liveEmbedder,
    retrieverWith,
    searchMany: searchManyWith,
    settings: () => settingsOn(models.liveLlm?.info.device ?? null),
    corpus() {
      const open = snapshot.corpora.filter(({ state }) => state === 'complete');
      const licences = new Set(open.map(({ kind, licence }) => (kind === 'own' ? 'own documents' : licence)));
      return { label: open.map(({ id }) => id).sort().join('+'), licence: [...licences].join('; ') };
    },
    occupy: runs.occupy,
    now: () => performance.now(),
  });

  return {
    device,
    retriever,
    library,
    models,
    history: runs.history,
    learning,
    labItems: {
      async read() {
        const kept = await corpus.call('setting', { name: 'labItems' });
        return typeof kept === 'string' ? kept : '';
      },
      save: (lines) => corpus.call('saveSetting', { name: 'labItems', value: lines }),
    },
    ask: runs.ask,
    resume: runs.resume,
    async dispose() {
      lifetime.abort(abortError());
      for (const host of [llmHost, plannerHost, embedHost, learningHost, corpus]) host.stop();
    },
  };
}

function corpusStatus(summary: CorpusSummary, live: EmbedderInfo | null, pausable: boolean): CorpusStatus {
  const { golden, error, ...fields } = summary;
  const rest = { ...fields, pausable };
  if (error !== null) return { ...rest, error: appError(fromWire(error)) };
  const isOther = summary.kind === 'shard' && summary.embedder !== null && live !== null && live.id !== summary.embedder;
  if (!isOther) return { ...rest, error: null };
  // The shard stays searchable by words; the message names the embedder to load.
  const detail = { expected: summary.embedder ?? '', expectedDimensions: golden[0]?.vector.length ?? '?', actual: live.id, actualDimensions: live.dimensions };
  return { ...rest, error: new AppError('embed/wrong-model', detail) };
}

function appError(error: Error): AppError {
  return error instanceof AppError ? error : new AppError('engine/protocol', { what: error.message });
}
