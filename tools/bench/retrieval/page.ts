/**
 * The page of the retrieval benchmark: starts one engine's worker and carries requests to it, and measures what Foray does through its real corpus worker: import,
 * reopening, whole searches, reading passages. Driven from Node through `globalThis.retrieval`.
 */
import type { CorpusWorkerApi } from '../../../src/corpus/worker-api.ts';
import { spawnCorpusWorker } from '../../../src/corpus/worker-api.ts';
import { createHost } from '../../../src/engine/host.ts';
import type { PlotPoint } from './draw.ts';
import { resultCount, type DataSource, type EngineReply, type EngineRequest, type MachineRequest, type PointFigures } from './contract.ts';

export interface CorpusFigures {
  readonly importMs: number;
}

export interface RetrievalPage {
  /** Spawns the engine's worker (the first time) and sends it one request. Rejects with the worker's error. `startMs`: from the spawn until the worker answered. */
  ask(script: string, request: EngineRequest | MachineRequest): Promise<{ readonly startMs: number; readonly value: unknown }>;
  importShard(source: DataSource): Promise<CorpusFigures>;
  /** A fresh corpus worker, until the first search answers with hits. */
  reopen(source: DataSource): Promise<{ readonly openMs: number }>;
  /** Whole searches, answers with their passages; by words or by vectors only, without links. `-1` stands for a passage that is not of the data. */
  searches(source: DataSource, budgetMs: number): Promise<PointFigures>;
  /** Milliseconds for ten random passages, side by side, again and again. */
  readPassages(source: DataSource, rounds: number): Promise<readonly number[]>;
  deleteShard(source: DataSource): Promise<{ readonly deleteMs: number }>;
  storedBytes(): Promise<number | null>;
  /** What the browser itself counts for the page and its workers; null where it does not tell. */
  memoryBytes(): Promise<number | null>;
  /** File name → SVG. */
  draw(points: readonly PlotPoint[]): Promise<Readonly<Record<string, string>>>;
}

declare global {
  var retrieval: RetrievalPage | undefined;
}

const workers = new Map<string, { readonly worker: Worker; readonly startMs: Promise<number> }>();
const corpus = createHost<CorpusWorkerApi>({ name: 'corpus', spawn: spawnCorpusWorker, silenceSeconds: 3600 });
const signal = new AbortController().signal;

function workerOf(script: string): { readonly worker: Worker; readonly startMs: Promise<number> } {
  const known = workers.get(script);
  if (known !== undefined) return known;
  const started = performance.now();
  const worker = new Worker(new URL(script, location.href), { type: 'module' });
  const startMs = new Promise<number>((resolve, reject) => {
    worker.addEventListener('message', () => resolve(performance.now() - started), { once: true });
    worker.addEventListener('error', (event) => reject(new Error(event.message || `${script} could not be loaded`)), { once: true });
  });
  const entry = { worker, startMs };
  workers.set(script, entry);
  return entry;
}

async function ask(script: string, request: EngineRequest | MachineRequest): Promise<{ readonly startMs: number; readonly value: unknown }> {
  const { worker, startMs } = workerOf(script);
  const start = await startMs;
  return new Promise((resolve, reject) => {
    const leave = (): void => {
      worker.removeEventListener('message', onMessage);
      worker.removeEventListener('error', onError);
    };
    const onMessage = ({ data }: MessageEvent<EngineReply>): void => {
      leave();
      if ('ready' in data) return;
      if (data.ok) resolve({ startMs: start, value: data.value });
      else reject(new Error(data.error));
    };
    const onError = (event: ErrorEvent): void => {
      leave();
      reject(new Error(event.message || 'the worker failed'));
    };
    worker.addEventListener('message', onMessage);
    worker.addEventListener('error', onError);
    worker.postMessage(request);
  });
}

async function queriesOf(source: DataSource): Promise<(string | Float32Array)[]> {
  const response = await fetch(source.queriesUrl);
  if (source.kind === 'text') return ((await response.json()) as string[]).slice(0, source.warmUp + source.queries);
  const all = new Float32Array(await response.arrayBuffer());
  return Array.from({ length: source.warmUp + source.queries }, (_, i) => all.slice(i * source.dimensions, (i + 1) * source.dimensions));
}

async function search(source: DataSource, query: string | Float32Array): Promise<{ readonly found: number[]; readonly usedDense: boolean }> {
  const isText = typeof query === 'string';
  const { hits, usedDense } = await corpus.call('search', {
    request: { text: isText ? query : '', k: resultCount, links: false, dense: !isText, corpora: [source.shardId] },
    vector: isText ? null : { embedder: 'minilm', values: query },
  });
  return { found: hits.map(({ passage }) => Number(/^[pv](\d+)$/.exec(passage.docId)?.[1] ?? -1)), usedDense };
}

globalThis.retrieval = {
  ask,
  async importShard(source) {
    await corpus.start(signal);
    await corpus.call('library', undefined);
    const started = performance.now();
    await corpus.call('importShard', { url: new URL(source.shardUrl, location.href).href });
    return { importMs: performance.now() - started };
  },
  async reopen(source) {
    const [first] = await queriesOf({ ...source, warmUp: 1, queries: 0 });
    if (first === undefined) throw new Error('no query');
    const started = performance.now();
    for (;;) {
      const { found, usedDense } = await search(source, first);
      // Vectors join behind the word index: until then a search by vector finds nothing.
      if (found.length > 0 && (source.kind === 'text' || usedDense)) return { openMs: performance.now() - started };
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  },
  async searches(source, budgetMs) {
    const queries = await queriesOf(source);
    const times: number[] = [];
    const found: number[][] = [];
    for (const query of queries.slice(0, source.warmUp)) await search(source, query);
    const measuring = performance.now();
    for (const query of queries.slice(source.warmUp)) {
      const started = performance.now();
      const answer = await search(source, query);
      times.push(performance.now() - started);
      found.push(answer.found);
      if (times.length >= 5 && performance.now() - measuring > budgetMs) break;
    }
    return { label: 'whole search', times, found };
  },
  async readPassages(source, rounds) {
    const prefix = source.kind === 'text' ? 'p' : 'v';
    const times: number[] = [];
    let state = 12345;
    for (let round = 0; round < rounds; round++) {
      const ids = Array.from({ length: 10 }, () => {
        state = (Math.imul(state, 1103515245) + 12345) >>> 0;
        return `${source.shardId}/${prefix}${Math.floor((state / 2 ** 32) * source.count)}`;
      });
      const started = performance.now();
      const passages = await Promise.all(ids.map((id) => corpus.call('passage', { id })));
      times.push(performance.now() - started);
      if (passages.filter((passage) => passage !== null).length < 8) throw new Error('passages of the shard are missing');
    }
    return times;
  },
  async deleteShard(source) {
    const started = performance.now();
    await corpus.call('deleteCorpus', { id: source.shardId });
    return { deleteMs: performance.now() - started };
  },
  storedBytes: async () => (await navigator.storage.estimate()).usage ?? null,
  async memoryBytes() {
    const measure = (performance as Performance & { measureUserAgentSpecificMemory?: () => Promise<{ readonly bytes: number }> }).measureUserAgentSpecificMemory;
    return measure === undefined ? null : (await measure.call(performance)).bytes;
  },
  draw: async (points) => (await import('./draw.ts')).draw(points),
};
