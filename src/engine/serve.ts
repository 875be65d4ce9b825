/**
 * The worker's half of `host.ts`: `serve(api)` exposes an object of methods to the main thread. Every call ends in exactly one result or error frame,
 * also when a method throws, answers with something that cannot be copied, or ignores its signal.
 */
import { expose, transfer } from 'comlink';
import type { Endpoint } from 'comlink';
import { AppError, abortError, toWire } from '../errors.ts';
import { frameWindow } from './wire.ts';
import type { Frame, ServedCall, WirePort } from './wire.ts';

export type { ServedCall } from './wire.ts';

interface OpenCall {
  frames: Frame[];
  transfers: Transferable[];
  ended: boolean;
  readonly controller: AbortController;
  /** Wakes the reader that waits for frames. */
  wakeReader: (() => void) | null;
  /** Wakes the producer that waits for room. */
  wakeProducer: (() => void) | null;
}

export interface ServeOptions {
  /** Default: the worker's own global scope. */
  readonly endpoint?: Endpoint;
  /** Default: `navigator.locks` where it is there. */
  readonly locks?: Pick<LockManager, 'request'> | null;
}

/**
 * Serves `api` until the worker ends. Each method has the form `(input, call) => Promise<R>` or `(input, call) => AsyncIterable<E>`, with plain data in and out.
 */
export function serve<Api extends object>(api: Api, options: ServeOptions = {}): void {
  const calls = new Map<number, OpenCall>();
  const locks = options.locks === undefined ? (globalThis.navigator?.locks ?? null) : options.locks;
  const lockName = locks === null ? Promise.resolve(null) : holdLock(locks);

  const take = async (id: number, call: OpenCall): Promise<readonly Frame[]> => {
    if (call.frames.length === 0 && !call.ended) await new Promise<void>((resolve) => (call.wakeReader = resolve));
    call.wakeReader = null;
    const { frames, transfers } = call;
    call.frames = [];
    call.transfers = [];
    if (call.ended) calls.delete(id);
    call.wakeProducer?.();
    return transfers.length === 0 ? frames : transfer(frames, transfers);
  };

  const port: WirePort = {
    hello: () => lockName,
    async open(id, method, input) {
      const call: OpenCall = { frames: [], transfers: [], ended: false, controller: new AbortController(), wakeReader: null, wakeProducer: null };
      calls.set(id, call);
      void run(api, method, input, call);
      return take(id, call);
    },
    async pull(id) {
      const call = calls.get(id);
      if (call === undefined) throw new Error(`no open call ${id}`);
      return take(id, call);
    },
    cancel(id) {
      const call = calls.get(id);
      call?.controller.abort(abortError());
      call?.wakeProducer?.();
    },
  };
  if (options.endpoint === undefined) expose(port);
  else expose(port, options.endpoint);
}

async function run(api: object, method: string, input: unknown, call: OpenCall): Promise<void> {
  const { signal } = call.controller;
  const push = (frame: Frame): void => {
    const last = call.frames.at(-1);
    if (frame.kind === 'progress' && last?.kind === 'progress') call.frames.pop();
    call.frames.push(frame);
    call.wakeReader?.();
  };
  const served: ServedCall<unknown> = {
    signal,
    progress: (value) => {
      if (!call.ended) push({ kind: 'progress', value });
    },
    transfer: (objects) => call.transfers.push(...objects),
  };
  let last: Frame;
  try {
    const fn: unknown = Object.hasOwn(api, method) ? (api as Record<string, unknown>)[method] : undefined;
    if (typeof fn !== 'function') throw new AppError('engine/protocol', { what: `no method ${method}` });
    const answer: unknown = (fn as (input: unknown, call: ServedCall<unknown>) => unknown).call(api, input, served);
    if (isAsyncIterable(answer)) {
      for await (const value of answer) {
        push({ kind: 'item', value });
        if (call.frames.length >= frameWindow && !signal.aborted) await new Promise<void>((resolve) => (call.wakeProducer = resolve));
        call.wakeProducer = null;
        if (signal.aborted) throw abortError();
      }
      last = { kind: 'result', value: undefined };
    } else last = { kind: 'result', value: await answer };
  } catch (error) {
    last = { kind: 'error', error: toWire(error) };
  }
  call.ended = true;
  push(last);
}

/** Holds a lock of a random name for good, and tells its name once it is held: whoever is granted it next knows that this thread is gone. */
function holdLock(locks: Pick<LockManager, 'request'>): Promise<string | null> {
  const name = `foray-worker-${crypto.randomUUID()}`;
  return new Promise((resolve) => {
    locks
      .request(name, () => {
        resolve(name);
        return new Promise<never>(() => {});
      })
      .catch(() => resolve(null));
  });
}

function isAsyncIterable(value: unknown): value is AsyncIterable<unknown> {
  return typeof value === 'object' && value !== null && Symbol.asyncIterator in value;
}
