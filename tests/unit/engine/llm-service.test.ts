/** The LLM worker's service over the real `serve`/`createHost` pair and the scripted backend: queueing, stopping, reloading after death. */
import { describe, expect, it } from 'vitest';
import { AppError, isAbort } from '../../../src/errors.ts';
import { createScriptedLlm } from '../../../src/engine/backends/scripted.ts';
import type { Script } from '../../../src/engine/backends/scripted.ts';
import { loadLlm } from '../../../src/engine/clients.ts';
import { createHost } from '../../../src/engine/host.ts';
import type { WorkerLike } from '../../../src/engine/host.ts';
import { complete } from '../../../src/engine/llm.ts';
import type { Llm } from '../../../src/engine/llm.ts';
import { createGate, createLlmService } from '../../../src/engine/llm-service.ts';
import { serve } from '../../../src/engine/serve.ts';
import type { LlmLoadRequest, LlmWorkerApi } from '../../../src/engine/worker-api.ts';

const never = new AbortController().signal;
const request = (script: Script): LlmLoadRequest => ({
  backend: 'scripted',
  modelId: 'script',
  label: 'Script',
  files: {},
  contextTokens: 4096,
  threads: 1,
  useGpu: false,
  script,
});
const ask = (content: string) => ({ messages: [{ role: 'user', content }], maxTokens: 50 }) as const;
const code = (error: unknown): string => (error instanceof AppError ? error.code : isAbort(error) ? 'abort' : String(error));
const codeOf = (promise: Promise<unknown>): Promise<string> => promise.then(() => 'resolved', code);

function createWorld() {
  let deaths = 0;
  let loads = 0;
  let kill = (): void => {};
  const host = createHost<LlmWorkerApi>({
    name: 'llm',
    locks: null,
    graceSeconds: 0.2,
    spawn: () => {
      const { port1, port2 } = new MessageChannel();
      port1.start();
      kill = () => port1.dispatchEvent(Object.assign(new Event('error'), { message: 'killed' }));
      const refuse = async (): Promise<never> => {
        throw new Error('not here');
      };
      const api = createLlmService({
        webllm: refuse,
        wllama: refuse,
        transformers: refuse,
        http: refuse,
        scripted: async () => async (load, { signal }) => {
          loads++;
          return createScriptedLlm(load.script, { modelId: load.modelId, label: load.label, signal, die: () => (deaths++, kill()) });
        },
      });
      serve(api, { endpoint: port2, locks: null });
      return Object.assign(port1 as unknown as WorkerLike, { terminate: () => (port1.close(), port2.close()) });
    },
  });
  return { host, kill: () => kill(), counts: () => ({ deaths, loads }) };
}

describe('llm service', () => {
  it('streams what the model says, with usage', async () => {
    const { host } = createWorld();
    const llm = await loadLlm(host, request({ responses: [{ say: 'one two three', pieceLength: 3 }] }), never, () => {});
    const deltas: string[] = [];
    const result = await complete(llm, ask('count'), never, (delta) => deltas.push(delta));
    expect(deltas).toEqual(['one', ' tw', 'o t', 'hre', 'e']);
    expect(result).toMatchObject({ text: 'one two three', finish: 'stop', usage: { cachedTokens: 0 } });
    expect(llm.info.backend).toBe('scripted');
    host.stop();
  });

  it('answers calls one after the other, in order', async () => {
    const { host } = createWorld();
    const llm = await loadLlm(host, request({ responses: ['a', 'b', 'c'].map((say) => ({ say: say.repeat(4), pieceLength: 1, pieceMs: 2 })) }), never, () => {});
    const seen: string[] = [];
    await Promise.all(['1', '2', '3'].map((q) => complete(llm, ask(q), never, (delta) => seen.push(delta))));
    expect(seen.join('')).toBe('aaaabbbbcccc');
    host.stop();
  });

  it('takes a waiting call out of the queue when it is stopped, and the engine never sees it', async () => {
    const { host } = createWorld();
    const llm = await loadLlm(host, request({ responses: [{ say: 'first', delayMs: 60 }, { say: 'second' }] }), never, () => {});
    const stop = new AbortController();
    const first = complete(llm, ask('1'), never);
    const waiting = codeOf(complete(llm, ask('2'), stop.signal));
    setTimeout(() => stop.abort(), 20);
    expect(await waiting).toBe('abort');
    expect((await first).text).toBe('first');
    expect((await complete(llm, ask('3'), never)).text).toBe('second');
    host.stop();
  });

  it('works again after a stopped answer', async () => {
    const { host, counts } = createWorld();
    const llm = await loadLlm(host, request({ responses: [{ say: 'x', then: 'hang' }, { say: 'fine' }] }), never, () => {});
    const stop = new AbortController();
    setTimeout(() => stop.abort(), 30);
    expect(await codeOf(complete(llm, ask('1'), stop.signal))).toBe('abort');
    expect((await complete(llm, ask('2'), never)).text).toBe('fine');
    expect(counts().loads).toBe(1);
    host.stop();
  });

  it('loads the model again in a new worker after its death, without being asked', async () => {
    const { host, counts } = createWorld();
    const llm = await loadLlm(host, request({ responses: [{ when: 'die', say: 'half', then: 'die' }], otherwise: { say: 'alive' } }), never, () => {});
    expect(await codeOf(complete(llm, ask('please die'), never))).toBe('engine/worker-died');
    expect((await complete(llm, ask('go on'), never)).text).toBe('alive');
    expect(await llm.countTokens('four words are here')).toBeGreaterThan(3);
    expect(counts()).toEqual({ deaths: 1, loads: 2 });
    host.stop();
  });

  it('loads once for several calls that find the worker gone', async () => {
    const { host, kill, counts } = createWorld();
    const llm = await loadLlm(host, request({ responses: [], otherwise: { say: 'yes' } }), never, () => {});
    kill();
    const answers = await Promise.all([1, 2, 3].map(() => complete(llm, ask('x'), never)));
    expect(answers.map((answer) => answer.text)).toEqual(['yes', 'yes', 'yes']);
    expect(counts().loads).toBe(2);
    host.stop();
  });

  it('says engine/not-loaded after it was disposed of, and holds nothing after a failed load', async () => {
    const { host } = createWorld();
    const llm = await loadLlm(host, request({ responses: [], otherwise: { say: 'yes' } }), never, () => {});
    await llm.dispose();
    expect(await codeOf(complete(llm, ask('x'), never))).toBe('engine/not-loaded');
    expect(await codeOf(loadLlm(host, request({ responses: [], failLoad: 'engine/load-failed' }), never, () => {}))).toBe('engine/load-failed');
    expect(await codeOf(host.call('countTokens', 'x'))).toBe('engine/not-loaded');
    host.stop();
  });

  it('gives a worker up whose graphics device is lost, and does without after the second loss', async () => {
    const { host } = createWorld();
    const loads: boolean[] = [];
    const spied: typeof host = {
      ...host,
      get generation() {
        return host.generation;
      },
      call: ((method: 'load', input: LlmLoadRequest, options: object) => {
        if (method === 'load') loads.push(input.useGpu);
        return host.call(method, input, options);
      }) as unknown as typeof host.call,
    };
    const script = { responses: [{ when: 'lose', say: 'x', fail: 'device/lost' as const }], otherwise: { say: 'fine' } };
    const llm = await loadLlm(spied, { ...request(script), useGpu: true }, never, () => {});
    for (let i = 0; i < 2; i++) {
      const other = codeOf(complete(llm, ask('wait'), never));
      expect(await codeOf(complete(llm, ask('lose'), never))).toBe('device/lost');
      expect(await other).toBe('resolved');
      expect((await complete(llm, ask('go on'), never)).text).toBe('fine');
    }
    expect(loads).toEqual([true, true, false]);
    expect(host.generation).toBe(3);
    host.stop();
  });

  it('carries the expected failures of a model', async () => {
    const { host } = createWorld();
    const llm = await loadLlm(host, request({ responses: [{ say: 'x', fail: 'engine/not-finite' }], contextTokens: 100 }), never, () => {});
    expect(await codeOf(complete(llm, ask('x'), never))).toBe('engine/not-finite');
    expect(await codeOf(complete(llm, ask('x'), never))).toBe('engine/empty-output');
    host.stop();
  });
});

describe('scripted model', () => {
  const say = async (llm: Llm, prompt: string): Promise<string> => (await complete(llm, ask(prompt), never)).text;

  it('answers by pattern any number of times, else in order, else with the last resort', async () => {
    const llm = await createScriptedLlm({ responses: [{ when: 'capital', say: { city: 'Paris' } }, { say: 'first' }, { say: 'second' }], otherwise: { say: 'enough' } });
    expect(await say(llm, 'the capital?')).toBe('{"city":"Paris"}');
    expect(await say(llm, 'x')).toBe('first');
    expect(await say(llm, 'the capital!')).toBe('{"city":"Paris"}');
    expect([await say(llm, 'y'), await say(llm, 'z')]).toEqual(['second', 'enough']);
  });

  it('counts the shared beginning of prompts as cached', async () => {
    const llm = await createScriptedLlm({ responses: [], otherwise: { say: 'x' } });
    const long = 'a shared beginning that goes on for a while. '.repeat(5);
    await complete(llm, ask(long), never);
    const { usage } = await complete(llm, ask(`${long} and more`), never);
    expect(usage.cachedTokens).toBeGreaterThan(50);
    expect(usage.cachedTokens ?? 0).toBeLessThan(usage.promptTokens);
  });

  it('refuses a script that is none', async () => {
    await expect(createScriptedLlm({ answers: [] })).rejects.toThrow();
  });
});

describe('gate', () => {
  it('lets as many in as it has places, and passes places on in order', async () => {
    const gate = createGate(2);
    const seen: number[] = [];
    const leaves = [await gate.enter(never), await gate.enter(never)];
    const third = gate.enter(never).then((leave) => (seen.push(3), leave));
    const fourth = gate.enter(never).then((leave) => (seen.push(4), leave));
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect(seen).toEqual([]);
    leaves[0]?.();
    leaves[0]?.();
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect(seen).toEqual([3]);
    (await third)();
    await fourth;
    expect(seen).toEqual([3, 4]);
  });
});
