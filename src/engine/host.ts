/**
 * Worker life on the main thread: spawn at the first call, notice death, carry aborts and errors, restart, stop when idle. The main side's only importer of
 * comlink. Promise: no call outlives its worker; each ends in a result, an `AppError` or an `AbortError`, and the next call finds a fresh worker.
 */
import { transfer, wrap } from 'comlink';
import type { Endpoint } from 'comlink';
import { AppError, abortError, fromWire, isAbort } from '../errors.ts';
import { decodeFrames } from './wire.ts';
import type { CallName, Frame, Input, Item, Output, ProgressOf, StreamName, WirePort } from './wire.ts';

/** The part of `Worker` that is used. */
export interface WorkerLike extends Endpoint {
  terminate(): void;
}

export interface HostOptions {
  /** Names the worker in messages: `llm`, `embed`, `corpus`. */
  readonly name: string;
  readonly spawn: () => WorkerLike;
  /** Default `navigator.locks`; null: death is noticed by errors and silence only. */
  readonly locks?: Pick<LockManager, 'request'> | null;
  /** Longest time from spawn until the worker answers; then `engine/worker-load`. Default 60. */
  readonly startSeconds?: number;
  /** Longest time in which a worker may end a stopped call before it is terminated. Default 3. */
  readonly graceSeconds?: number;
  /** Longest silence of a call that names none itself. Default 300. */
  readonly silenceSeconds?: number;
  /** Without calls for so long the worker is stopped (its memory is freed); null (the default): never. */
  readonly idleSeconds?: number | null;
  /** Told of each death, load failure or silence that hit a call, and of uncaught errors in the worker. */
  readonly onFault?: (error: AppError) => void;
}

export interface CallOptions<P = never> {
  readonly signal?: AbortSignal;
  readonly onProgress?: (value: P) => void;
  /** No frame for so long: `engine/worker-silent`, and the worker is replaced. `Infinity`: never. */
  readonly silenceSeconds?: number;
  /** Objects of `input` that are handed over instead of copied. */
  readonly transfer?: readonly Transferable[];
}

/** The main thread's handle on a worker that serves `Api` (see `serve.ts`). */
export interface Host<Api> {
  readonly name: string;
  /** Counts the workers spawned so far; a change tells that the state inside the worker (a loaded model) is gone. */
  readonly generation: number;
  /** Spawns the worker if there is none and resolves with its generation when it answers. */
  start(signal?: AbortSignal): Promise<number>;
  call<M extends CallName<Api>>(method: M, input: Input<Api, M>, options?: CallOptions<ProgressOf<Api, M>>): Promise<Output<Api, M>>;
  /** Leaving the loop early stops the call in the worker. */
  stream<M extends StreamName<Api>>(method: M, input: Input<Api, M>, options?: CallOptions<ProgressOf<Api, M>>): AsyncIterable<Item<Api, M>>;
  /** Gives the worker up as if it had died: pending calls reject with `engine/worker-died`, the next one finds a new worker. */
  discard(): void;
  /** Ends the worker now; pending calls reject with `AbortError`. A later call spawns a new one. */
  stop(): void;
}

/** One worker from spawn to end. */
interface Life {
  readonly generation: number;
  readonly worker: WorkerLike;
  readonly port: { [K in keyof WirePort]: (...args: Parameters<WirePort[K]>) => Promise<unknown> };
  readonly lockRequest: AbortController;
  ready: Promise<void>;
  isReady: boolean;
  ended: Error | null;
  /** Rejections of everything that waits for this worker. */
  readonly waiting: Set<(error: Error) => void>;
  /** Stopped calls that the worker has not ended yet; new calls wait for them. */
  readonly draining: Set<Promise<void>>;
  calls: number;
}

export function createHost<Api extends object>(options: HostOptions): Host<Api> {
  const { name } = options;
  const locks = options.locks === undefined ? (globalThis.navigator?.locks ?? null) : options.locks;
  const graceMs = (options.graceSeconds ?? 3) * 1000;
  const startMs = (options.startSeconds ?? 60) * 1000;
  let generation = 0;
  let nextCall = 1;
  let current: Life | null = null;
  let idleTimer: ReturnType<typeof setTimeout> | undefined;

  function end(life: Life, error: Error): void {
    if (life.ended !== null) return;
    life.ended = error;
    if (current === life) current = null;
    life.lockRequest.abort();
    life.worker.terminate();
    for (const reject of [...life.waiting]) reject(error);
    life.waiting.clear();
    if (life.calls > 0 && error instanceof AppError) options.onFault?.(error);
  }

  function spawn(): Life {
    clearTimeout(idleTimer);
    const worker = options.spawn();
    const life: Life = {
      generation: ++generation,
      worker,
      port: wrap<WirePort>(worker),
      lockRequest: new AbortController(),
      ready: Promise.resolve(),
      isReady: false,
      ended: null,
      waiting: new Set(),
      draining: new Set(),
      calls: 0,
    };
    worker.addEventListener('error', (event) => {
      const message = 'message' in event && typeof event.message === 'string' ? event.message : '';
      const cause = new Error(message === '' ? 'no message' : message);
      end(life, new AppError(life.isReady ? 'engine/worker-died' : 'engine/worker-load', { worker: name }, { cause }));
    });
    worker.addEventListener('messageerror', () => end(life, new AppError('engine/protocol', { what: `an unreadable message from ${name}` })));
    life.ready = wait(life, life.port.hello(), undefined, startMs, 'engine/worker-load').then((lock) => {
      life.isReady = true;
      if (typeof lock === 'string' && locks !== null) {
        // Granted means that the holder is gone: no event tells of a worker that closed itself or was killed.
        locks
          .request(lock, { signal: life.lockRequest.signal }, () => end(life, new AppError('engine/worker-died', { worker: name })))
          .catch(() => {});
      }
    });
    life.ready.catch(() => {});
    return life;
  }

  /** Settles with `promise`, or rejects at the worker's end, at the abort, or after `silentMs` without an answer (which ends the worker). */
  function wait<T>(
    life: Life,
    promise: Promise<T>,
    signal: AbortSignal | undefined,
    silentMs: number,
    silentCode: 'engine/worker-load' | 'engine/worker-silent' = 'engine/worker-silent',
  ): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (life.ended !== null) return reject(life.ended);
      if (signal?.aborted === true) return reject(abortError());
      const timer = Number.isFinite(silentMs)
        ? setTimeout(() => end(life, new AppError(silentCode, { worker: name, seconds: Math.round(silentMs / 1000) })), silentMs)
        : undefined;
      const release = (): void => {
        clearTimeout(timer);
        life.waiting.delete(fail);
        signal?.removeEventListener('abort', onAbort);
      };
      const fail = (error: Error): void => {
        release();
        reject(error);
      };
      const onAbort = (): void => fail(abortError());
      life.waiting.add(fail);
      signal?.addEventListener('abort', onAbort);
      promise.then(
        (value) => {
          release();
          resolve(value);
        },
        (error: unknown) => fail(new AppError('engine/protocol', { what: `${name}: ${error instanceof Error ? error.message : String(error)}` }, { cause: error })),
      );
    });
  }

  /** A worker that answers and has no stopped call left to finish. */
  async function ready(signal: AbortSignal | undefined): Promise<Life> {
    for (;;) {
      if (signal?.aborted === true) throw abortError();
      const life = (current ??= spawn());
      life.calls++;
      await wait(life, life.ready.catch(() => {}), signal, Infinity).finally(() => life.calls--);
      if (life.draining.size === 0) return life;
      await wait(life, Promise.all(life.draining), signal, Infinity).catch((error: unknown) => {
        // The stopped call took its worker along: go on with the next one.
        if (isAbort(error) && signal?.aborted === true) throw error;
      });
    }
  }

  /** Cancels a call and reads it to its end, so that the worker is idle afterwards, or terminates the worker after the grace time. */
  function drain(life: Life, id: number, inFlight: Promise<unknown>): void {
    if (life.ended !== null) return;
    const error = abortError();
    const timer = setTimeout(() => end(life, new AppError('engine/worker-died', { worker: name }, { cause: error })), graceMs);
    const finished = (async () => {
      void life.port.cancel(id).catch(() => {});
      let answer = inFlight;
      while (!hasEnded(decodeFrames(await wait(life, answer, undefined, Infinity)))) answer = life.port.pull(id);
    })()
      .catch(() => {})
      .finally(() => {
        clearTimeout(timer);
        life.draining.delete(finished);
      });
    life.draining.add(finished);
  }

  /** Yields progress and item frames, then the result frame; throws what the error frame carries. */
  async function* run(method: string, input: unknown, call: CallOptions): AsyncGenerator<Frame, void, undefined> {
    const life = await ready(call.signal);
    const silentMs = (call.silenceSeconds ?? options.silenceSeconds ?? 300) * 1000;
    const id = nextCall++;
    clearTimeout(idleTimer);
    life.calls++;
    let ended = false;
    let answer: Promise<unknown> = Promise.resolve();
    try {
      const value = call.transfer === undefined || call.transfer.length === 0 ? input : transfer(input as object, [...call.transfer]);
      answer = life.port.open(id, method, value);
      for (;;) {
        const frames = decodeFrames(await wait(life, answer, call.signal, silentMs));
        ended = hasEnded(frames);
        if (!ended) answer = life.port.pull(id);
        for (const frame of frames) {
          if (frame.kind === 'error') throw fromWire(frame.error);
          yield frame;
        }
        if (ended) return;
      }
    } finally {
      if (!ended) drain(life, id, answer);
      else answer.catch(() => {});
      life.calls--;
      restartIdleTimer(life);
    }
  }

  function restartIdleTimer(life: Life): void {
    const seconds = options.idleSeconds ?? null;
    clearTimeout(idleTimer);
    if (seconds === null || life.calls > 0 || life.ended !== null) return;
    idleTimer = setTimeout(() => {
      if (life.calls === 0) end(life, abortError());
    }, seconds * 1000);
  }

  return {
    name,
    get generation() {
      return generation;
    },
    async start(signal) {
      return (await ready(signal)).generation;
    },
    async call<M extends CallName<Api>>(method: M, input: Input<Api, M>, call: CallOptions<ProgressOf<Api, M>> = {}) {
      for await (const frame of run(method, input, call)) {
        if (frame.kind === 'progress') call.onProgress?.(frame.value as ProgressOf<Api, M>);
        else if (frame.kind === 'result') return frame.value as Output<Api, M>;
      }
      throw new AppError('engine/protocol', { what: `${name}.${method} ended without a result` });
    },
    async *stream<M extends StreamName<Api>>(method: M, input: Input<Api, M>, call: CallOptions<ProgressOf<Api, M>> = {}) {
      for await (const frame of run(method, input, call)) {
        if (frame.kind === 'progress') call.onProgress?.(frame.value as ProgressOf<Api, M>);
        else if (frame.kind === 'item') yield frame.value as Item<Api, M>;
      }
    },
    discard() {
      clearTimeout(idleTimer);
      if (current !== null) end(current, new AppError('engine/worker-died', { worker: name }));
    },
    stop() {
      clearTimeout(idleTimer);
      if (current !== null) end(current, abortError());
    },
  };
}

function hasEnded(frames: readonly Frame[]): boolean {
  const last = frames.at(-1);
  return last?.kind === 'result' || last?.kind === 'error';
}
