/**
 * `npm run bench -- threads`: does a second thread pay for the vector search? One thread with all rows against two with half of them each, the kernel and its settings
 * the same, query by query in turn. Threads wait on shared memory, so that handing over costs as little as it can. Rows are made up: times do not depend on them.
 */
import { isMainThread, Worker, workerData } from 'node:worker_threads';
import { openKernel } from '../../src/corpus/kernel/kernel.ts';
import { createVectorIndex } from '../../src/corpus/vector-index.ts';
import { kernelBinaries } from '../kernel.ts';

const dimensions = 384;
const batch = 10_000;
/** Candidates of the two-step search; null: the exact pass. */
const modes = [null, 500] as const;
const [asked, done, mode, kernelKind] = [0, 1, 2, 3];
const kinds = ['relaxed', 'simd', 'scalar'] as const;

interface ThreadData {
  readonly rows: number;
  readonly shared: SharedArrayBuffer;
}

async function serveThread({ rows, shared }: ThreadData): Promise<void> {
  const state = new Int32Array(shared);
  const kernel = await openKernel(await kernelBinaries());
  const index = createVectorIndex(kernel, { dimensions, capacity: rows });
  const codes = new Int8Array(batch * dimensions);
  const scales = new Float32Array(batch).fill(0.005);
  let seed = 1;
  for (let first = 0; first < rows; first += batch) {
    for (let i = 0; i < codes.length; i++) codes[i] = (seed = (Math.imul(seed, 1664525) + 1013904223) | 0) >> 24;
    index.append({ dimensions, count: Math.min(batch, rows - first), scales, codes }, first);
  }
  const query = Float32Array.from({ length: dimensions }, (_, i) => Math.sin(i * 1.7));
  Atomics.store(state, kernelKind, kinds.indexOf(kernel.variant));
  for (let turn = 0; ; turn++) {
    Atomics.store(state, done, turn);
    Atomics.notify(state, done);
    Atomics.wait(state, asked, turn);
    const chosen = Atomics.load(state, mode);
    if (chosen < 0) return;
    index.search(query, 10, modes[chosen] ?? null);
  }
}

interface Thread {
  ask(chosen: number): void;
  wait(): void;
  readonly kind: () => string;
}

function startThread(rows: number): Thread {
  const shared = new SharedArrayBuffer(16);
  const state = new Int32Array(shared);
  Atomics.store(state, done, -1);
  // A thread does not inherit the loader that reads TypeScript here.
  const source = `import('tsx/esm/api').then(({ register }) => { register(); return import(${JSON.stringify(import.meta.url)}); })`;
  new Worker(source, { eval: true, workerData: { rows, shared } satisfies ThreadData }).on('error', (error) => { throw error; });
  let turn = 0;
  return {
    ask(chosen) {
      Atomics.store(state, mode, chosen);
      Atomics.store(state, asked, ++turn);
      Atomics.notify(state, asked);
    },
    wait() {
      while (Atomics.load(state, done) !== turn) Atomics.wait(state, done, Atomics.load(state, done), 1000);
    },
    kind: () => kinds[Atomics.load(state, kernelKind)] ?? '?',
  };
}

export interface ThreadFigures {
  readonly rows: number;
  readonly search: 'exact' | 'two steps';
  readonly kernel: string;
  /** Milliseconds: least, and median. */
  readonly one: readonly [number, number];
  readonly two: readonly [number, number];
}

/** Blocks this thread while it measures. The threads of a size end before the next begins. */
export async function measureThreads(sizes: readonly number[], repeats: number, signal: AbortSignal): Promise<ThreadFigures[]> {
  const found: ThreadFigures[] = [];
  for (const rows of sizes) {
    const [whole, ...halves] = [rows, rows / 2, rows / 2].map((count) => startThread(count));
    if (whole === undefined) continue;
    // Workers start while this thread's loop runs.
    await new Promise((resolve) => setTimeout(resolve, 2000));
    for (const thread of [whole, ...halves]) thread.wait();
    const time = (threads: readonly Thread[], chosen: number): number => {
      const started = performance.now();
      for (const thread of threads) thread.ask(chosen);
      for (const thread of threads) thread.wait();
      return performance.now() - started;
    };
    modes.forEach((candidates, chosen) => {
      signal.throwIfAborted();
      const [one, two]: [number[], number[]] = [[], []];
      for (let i = -5; i < repeats; i++) {
        const pair = [time([whole], chosen), time(halves, chosen)] as const;
        if (i < 0) continue;
        one.push(pair[0]);
        two.push(pair[1]);
      }
      const figures = (times: number[]): [number, number] => {
        times.sort((a, b) => a - b);
        return [times[0] ?? NaN, times[times.length >> 1] ?? NaN];
      };
      found.push({ rows, search: candidates === null ? 'exact' : 'two steps', kernel: whole.kind(), one: figures(one), two: figures(two) });
    });
    for (const thread of [whole, ...halves]) thread.ask(-1);
  }
  return found;
}

if (!isMainThread && (workerData as Partial<ThreadData> | null)?.shared !== undefined) await serveThread(workerData as ThreadData);
