/** Worker life: results, streams, aborts, death, silence, back-pressure. The worker is a real message channel served by the real `serve`. */
import { describe, expect, expectTypeOf, it } from 'vitest';
import { AppError, abortError, isAbort } from '../../../src/errors.ts';
import { createHost } from '../../../src/engine/host.ts';
import type { Host, HostOptions, WorkerLike } from '../../../src/engine/host.ts';
import { serve } from '../../../src/engine/serve.ts';
import type { ServedCall } from '../../../src/engine/serve.ts';
import { frameWindow } from '../../../src/engine/wire.ts';

/** Web Locks for one name at a time, enough for the liveness lock. */
function createLocks() {
  const queues = new Map<string, (() => void)[]>();
  return {
    release(name: string) {
      const queue = queues.get(name) ?? [];
      queue.shift();
      queue[0]?.();
    },
    names: () => [...queues.keys()],
    manager: {
      request: ((name: string, a: unknown, b?: unknown) => {
        const granted = (b ?? a) as () => unknown;
        const options = (b === undefined ? {} : a) as { signal?: AbortSignal };
        const queue = queues.get(name) ?? [];
        queues.set(name, queue);
        return new Promise<unknown>((resolve, reject) => {
          options.signal?.addEventListener('abort', () => reject(abortError()));
          queue.push(() => resolve(granted()));
          if (queue.length === 1) queue[0]?.();
        });
      }) as LockManager['request'],
    },
  };
}

function createApi() {
  const seen = { produced: 0, aborted: 0, calls: [] as string[] };
  const api = {
    async double(input: { n: number }) {
      seen.calls.push(`double ${input.n}`);
      return input.n * 2;
    },
    async fail(input: { how: 'app' | 'bug' | 'uncloneable' }): Promise<unknown> {
      if (input.how === 'app') throw new AppError('engine/context-full', { tokens: 9, limit: 8 });
      if (input.how === 'bug') throw new TypeError('a bug');
      return () => {};
    },
    async hang(input: { heedsAbort: boolean }, call: ServedCall): Promise<string> {
      await new Promise<void>((_, reject) => {
        call.signal.addEventListener('abort', () => {
          seen.aborted++;
          if (input.heedsAbort) reject(abortError());
        });
      });
      return 'never';
    },
    async withProgress(input: { steps: number }, call: ServedCall<{ done: number }>): Promise<string> {
      for (let i = 1; i <= input.steps; i++) {
        call.progress({ done: i });
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
      return 'done';
    },
    async buffer(input: { bytes: number }, call: ServedCall): Promise<{ data: Uint8Array<ArrayBuffer> }> {
      const data = new Uint8Array(input.bytes).fill(7);
      call.transfer([data.buffer]);
      return { data };
    },
    async *count(input: { to: number }, call: ServedCall): AsyncGenerator<number> {
      call.signal.addEventListener('abort', () => seen.aborted++);
      for (let i = 0; i < input.to; i++) {
        seen.produced++;
        yield i;
      }
    },
    async *failsAfter(input: { items: number }): AsyncGenerator<number> {
      for (let i = 0; i < input.items; i++) yield i;
      throw new AppError('engine/empty-output');
    },
  };
  return { api, seen };
}

type Api = ReturnType<typeof createApi>['api'];

function createFixture(options: Partial<HostOptions> = {}) {
  const { api, seen } = createApi();
  const locks = createLocks();
  const spawned: { terminated: boolean; emit: (type: string, fields?: object) => void; locks: string[] }[] = [];
  const faults: AppError[] = [];
  const host: Host<Api> = createHost<Api>({
    name: 'test',
    locks: locks.manager,
    onFault: (fault) => faults.push(fault),
    spawn: () => {
      const { port1, port2 } = new MessageChannel();
      const before = locks.names();
      serve(api, { endpoint: port2, locks: locks.manager });
      const state = {
        terminated: false,
        emit: (type: string, fields: object = {}) => port1.dispatchEvent(Object.assign(new Event(type), fields)),
        locks: locks.names().filter((name) => !before.includes(name)),
      };
      spawned.push(state);
      port1.start();
      const worker: WorkerLike = {
        postMessage: (message: unknown, transfer?: Transferable[]) => port1.postMessage(message, (transfer ?? []) as never),
        addEventListener: port1.addEventListener.bind(port1) as WorkerLike['addEventListener'],
        removeEventListener: port1.removeEventListener.bind(port1) as WorkerLike['removeEventListener'],
        terminate() {
          state.terminated = true;
          port1.close();
          port2.close();
        },
      };
      return worker;
    },
    ...options,
  });
  const kill = (index: number): void => {
    for (const name of spawned[index]?.locks ?? []) locks.release(name);
  };
  return { host, seen, spawned, faults, kill };
}

const code = (error: unknown): string => (error instanceof AppError ? error.code : isAbort(error) ? 'abort' : String(error));
const codeOf = (promise: Promise<unknown>): Promise<string> => promise.then(() => 'resolved', code);
const tick = (ms = 20): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

describe('host: calls', () => {
  it('spawns at the first call, once', async () => {
    const { host, spawned } = createFixture();
    expect(spawned.length).toBe(0);
    expect(await Promise.all([1, 2, 3].map((n) => host.call('double', { n })))).toEqual([2, 4, 6]);
    expect(spawned.length).toBe(1);
    expect(host.generation).toBe(1);
    host.stop();
  });

  it('carries expected failures with code and detail, and bugs with name and message', async () => {
    const { host } = createFixture();
    await expect(host.call('fail', { how: 'app' })).rejects.toMatchObject({ code: 'engine/context-full', detail: { tokens: 9, limit: 8 } });
    await expect(host.call('fail', { how: 'bug' })).rejects.toMatchObject({ name: 'TypeError', message: 'a bug' });
    expect(await host.call('double', { n: 4 })).toBe(8);
    host.stop();
  });

  it('turns a message that cannot be copied into engine/protocol, in both directions', async () => {
    const { host } = createFixture();
    expect(await codeOf(host.call('double', { n: (() => 1) as unknown as number }))).toBe('engine/protocol');
    expect(await codeOf(host.call('fail', { how: 'uncloneable' }))).toBe('engine/protocol');
    expect(await host.call('double', { n: 1 })).toBe(2);
    host.stop();
  });

  it('refuses a method that is not served, also an inherited one', async () => {
    const { host } = createFixture();
    expect(await codeOf(host.call('toString' as 'double', { n: 1 }))).toBe('engine/protocol');
    host.stop();
  });

  it('reports progress, the last value included', async () => {
    const { host } = createFixture();
    const seen: number[] = [];
    expect(await host.call('withProgress', { steps: 5 }, { onProgress: (p) => seen.push(p.done) })).toBe('done');
    expect(seen.at(-1)).toBe(5);
    expect(seen).toEqual([...seen].sort((a, b) => a - b));
    host.stop();
  });

  it('hands buffers over', async () => {
    const { host } = createFixture();
    const { data } = await host.call('buffer', { bytes: 1000 });
    expect(data.length).toBe(1000);
    expect(data[999]).toBe(7);
    host.stop();
  });
});

describe('host: streams', () => {
  it('gives every item in order', async () => {
    const { host } = createFixture();
    const items: number[] = [];
    for await (const item of host.stream('count', { to: 500 })) items.push(item);
    expect(items).toEqual(Array.from({ length: 500 }, (_, i) => i));
    host.stop();
  });

  it('gives what came before an error, then the error', async () => {
    const { host } = createFixture();
    const items: number[] = [];
    const outcome = codeOf(
      (async () => {
        for await (const item of host.stream('failsAfter', { items: 3 })) items.push(item);
      })(),
    );
    expect(await outcome).toBe('engine/empty-output');
    expect(items).toEqual([0, 1, 2]);
    host.stop();
  });

  it('holds a producer whose reader is slow', async () => {
    const { host, seen } = createFixture();
    const stream = host.stream('count', { to: 100_000 })[Symbol.asyncIterator]();
    await stream.next();
    await tick(50);
    expect(seen.produced).toBeLessThanOrEqual(4 * frameWindow);
    await stream.return?.();
    host.stop();
  });

  it('stops the producer when the reader leaves early', async () => {
    const { host, seen, spawned } = createFixture();
    for await (const item of host.stream('count', { to: 1_000_000 })) if (item === 10) break;
    expect(await host.call('double', { n: 1 })).toBe(2);
    expect(seen.aborted).toBe(1);
    expect(seen.produced).toBeLessThan(1000);
    expect(spawned.length).toBe(1);
    host.stop();
  });
});

describe('host: aborts', () => {
  it('rejects at once, tells the worker, and the next call uses the same worker', async () => {
    const { host, seen, spawned } = createFixture();
    const stop = new AbortController();
    const outcome = codeOf(host.call('hang', { heedsAbort: true }, { signal: stop.signal }));
    await tick();
    stop.abort();
    expect(await outcome).toBe('abort');
    expect(await host.call('double', { n: 3 })).toBe(6);
    expect(seen.aborted).toBe(1);
    expect(spawned.length).toBe(1);
    host.stop();
  });

  it('terminates a worker that ignores the abort, after the grace time; the next call waits for its successor', async () => {
    const { host, spawned, faults } = createFixture({ graceSeconds: 0.05 });
    const stop = new AbortController();
    const outcome = codeOf(host.call('hang', { heedsAbort: false }, { signal: stop.signal }));
    await tick();
    stop.abort();
    expect(await outcome).toBe('abort');
    expect(await host.call('double', { n: 3 })).toBe(6);
    expect(spawned.map((s) => s.terminated)).toEqual([true, false]);
    expect(faults).toEqual([]);
    host.stop();
  });

  it('does not start a worker for a call that is aborted already', async () => {
    const { host, spawned } = createFixture();
    expect(await codeOf(host.call('double', { n: 1 }, { signal: AbortSignal.abort() }))).toBe('abort');
    expect(spawned.length).toBe(0);
  });

  it('rejects pending calls with AbortError on stop, and works again afterwards', async () => {
    const { host } = createFixture();
    const outcome = codeOf(host.call('hang', { heedsAbort: true }));
    await tick();
    host.stop();
    expect(await outcome).toBe('abort');
    expect(await host.call('double', { n: 2 })).toBe(4);
    host.stop();
  });
});

describe('host: death', () => {
  it('rejects every pending call with engine/worker-died when the lock is freed, and respawns at the next call', async () => {
    const { host, kill, faults, spawned } = createFixture();
    const outcomes = [codeOf(host.call('hang', { heedsAbort: true })), codeOf(host.call('hang', { heedsAbort: true }))];
    await tick();
    kill(0);
    expect(await Promise.all(outcomes)).toEqual(['engine/worker-died', 'engine/worker-died']);
    expect(faults.map((f) => f.code)).toEqual(['engine/worker-died']);
    expect(await host.call('double', { n: 5 })).toBe(10);
    expect(host.generation).toBe(2);
    expect(spawned[0]?.terminated).toBe(true);
    host.stop();
  });

  it('respawns silently when an idle worker died', async () => {
    const { host, kill, faults } = createFixture();
    await host.call('double', { n: 1 });
    kill(0);
    await tick();
    expect(await host.call('double', { n: 2 })).toBe(4);
    expect(host.generation).toBe(2);
    expect(faults).toEqual([]);
    host.stop();
  });

  it('replaces a worker with an uncaught error', async () => {
    const { host, spawned } = createFixture();
    const outcome = codeOf(host.call('hang', { heedsAbort: true }));
    await tick();
    spawned[0]?.emit('error', { message: 'boom' });
    expect(await outcome).toBe('engine/worker-died');
    expect(await host.call('double', { n: 2 })).toBe(4);
    host.stop();
  });

  it('calls an error before the first answer engine/worker-load', async () => {
    const { host, spawned } = createFixture();
    const outcome = codeOf(host.call('double', { n: 1 }));
    spawned[0]?.emit('error');
    expect(await outcome).toBe('engine/worker-load');
    host.stop();
  });

  it('calls a worker that never starts to answer engine/worker-load', async () => {
    const channel = new MessageChannel();
    const host = createHost<Api>({
      name: 'mute',
      locks: null,
      startSeconds: 0.05,
      spawn: () => Object.assign(channel.port1 as unknown as WorkerLike, { terminate: () => channel.port1.close() }),
    });
    expect(await codeOf(host.call('double', { n: 1 }))).toBe('engine/worker-load');
  });

  it('replaces a worker that falls silent', async () => {
    const { host, spawned, faults } = createFixture();
    expect(await codeOf(host.call('hang', { heedsAbort: true }, { silenceSeconds: 0.05 }))).toBe('engine/worker-silent');
    expect(spawned[0]?.terminated).toBe(true);
    expect(faults.map((f) => f.code)).toEqual(['engine/worker-silent']);
    expect(await host.call('double', { n: 2 })).toBe(4);
    host.stop();
  });

  it('does not take a slow reader for a silent worker', async () => {
    const { host } = createFixture({ silenceSeconds: 0.05 });
    let items = 0;
    for await (const _ of host.stream('count', { to: frameWindow * 3 })) if (++items === 1) await tick(150);
    expect(items).toBe(frameWindow * 3);
    host.stop();
  });

  it('stops an idle worker and respawns it', async () => {
    const { host, spawned } = createFixture({ idleSeconds: 0.03 });
    await host.call('double', { n: 1 });
    await tick(80);
    expect(spawned[0]?.terminated).toBe(true);
    expect(await host.call('double', { n: 1 })).toBe(2);
    host.stop();
  });

  it('ignores junk on the port', async () => {
    const { host, spawned } = createFixture();
    await host.call('double', { n: 1 });
    for (const data of ['junk', 1, null, { id: 'x', type: 'RAW', value: 3 }, { type: 'APPLY', path: ['open'] }]) spawned[0]?.emit('message', { data });
    expect(await host.call('double', { n: 2 })).toBe(4);
    host.stop();
  });
});

describe('host: types', () => {
  it('derives inputs, outputs, items and progress from the served methods', () => {
    const check = (host: Host<Api>): void => {
      expectTypeOf(host.call('double', { n: 1 })).toEqualTypeOf<Promise<number>>();
      expectTypeOf(host.stream('count', { to: 1 })).toEqualTypeOf<AsyncIterable<number>>();
      void host.call('withProgress', { steps: 1 }, { onProgress: (p) => expectTypeOf(p).toEqualTypeOf<{ done: number }>() });
      // @ts-expect-error a stream is not a call
      void host.call('count', { to: 1 });
      // @ts-expect-error a call is not a stream
      void host.stream('double', { n: 1 });
      // @ts-expect-error wrong input
      void host.call('double', { n: '1' });
      // @ts-expect-error not served
      void host.call('triple', { n: 1 });
    };
    expect(check).toBeTypeOf('function');
  });
});
