import { describe, expect, it } from 'vitest';
import { callKey, decodeCachedCall, type CachedCall, type CallCache } from '../../../src/agent/calls.ts';
import type { AgentEvent } from '../../../src/agent/events.ts';
import { methods } from '../../../src/agent/methods/registry.ts';
import { planFromSteps } from '../../../src/agent/plan.ts';
import { all, checkStream, collect, last, memoryCallCache, startRun } from '../../fixtures/agent-run.ts';
import { anyScript, questionFor } from '../../fixtures/method-scripts.ts';
import { toyQuestion, toyScript } from '../../fixtures/toy.ts';

/** A cache as a store has it: what comes back went through JSON and the decoder. */
function stored(): CallCache & { readonly entries: Map<string, string> } {
  const entries = new Map<string, string>();
  return {
    entries,
    async get(key) {
      const text = entries.get(key);
      return text === undefined ? null : decodeCachedCall(JSON.parse(text));
    },
    put: async (key, call) => void entries.set(key, JSON.stringify(call)),
  };
}

const fixed = (events: readonly AgentEvent[]) => events.map((event) => ({ ...event, atMs: 0, seq: 0 }));

describe('METHODS §14.17: a run is taken up again from its log', () => {
  it.each(methods.filter((method) => method.needsLlm).map((method) => method.id))('%s: cut at every event, the same answer and no call twice', async (id) => {
    const script = anyScript(id);
    const calls = stored();
    const whole = await collect(startRun(id, { question: questionFor(id), script, deps: { calls } }).events);
    checkStream(whole);
    const { answer } = last(whole, 'answerFinished');
    for (let cut = 0; cut < whole.length; cut++) {
      const again = startRun(id, { question: questionFor(id), script: () => new Error('called again'), deps: { calls }, earlier: whole.slice(0, cut) });
      const events = await collect(again.events);
      checkStream(events, cut);
      expect(last(events, 'runFinished').stop).toBe(last(whole, 'runFinished').stop);
      expect(all(events, 'answerFinished').at(-1)?.answer ?? answer).toEqual(answer);
      expect(again.llm.requests).toHaveLength(0);
      expect(again.retriever.queries).toHaveLength(0);
      const told = cut === 0 ? events : events.filter((event) => !(event.kind === 'notice' && event.code === 'resumed'));
      const plain = (list: readonly AgentEvent[]): string[] => fixed(list).filter(({ kind }) => !['llmCalled', 'searched', 'stateChanged', 'runFinished', 'answerDelta'].includes(kind)).map((event) => JSON.stringify(event));
      expect([...plain(whole.slice(0, cut)), ...plain(told)].sort()).toEqual(plain(whole).sort());
    }
    expect(await collect(startRun(id, { question: questionFor(id), deps: { calls }, earlier: whole }).events)).toEqual([]);
  });

  it('calls only what was not finished when the tab was closed', async () => {
    const calls = stored();
    const controller = new AbortController();
    const broken = startRun('foray', { deps: { calls }, signal: controller.signal });
    const log = await collect(broken.events, (event) => {
      if (event.kind === 'llmCalled' && event.purpose === 'read') controller.abort();
    });
    // A tab that is closed tells no end.
    const cut = log.filter((event) => event.kind !== 'runFinished');
    const resumed = startRun('foray', { deps: { calls }, earlier: cut });
    const events = await collect(resumed.events);
    expect(last(events, 'answerFinished').answer.short).toBe('Isk');
    expect(broken.llm.requests.length + resumed.llm.requests.length).toBe(4);
    expect(broken.retriever.queries.length + resumed.retriever.queries.length).toBe(3);
    expect(last(events, 'runFinished').cost).toMatchObject({ llmCalls: 4, searches: 3 });
    expect(events[0]).toMatchObject({ kind: 'notice', code: 'resumed', seq: cut.length });
  });

  it('goes on with the text of the answer where it stopped', async () => {
    const calls = stored();
    const whole = await collect(startRun('foray', { deps: { calls } }).events);
    const at = whole.findIndex((event) => event.kind === 'answerDelta');
    const text = (events: readonly AgentEvent[]): string => all(events, 'answerDelta').map((event) => event.text).join('');
    const rest = await collect(startRun('foray', { deps: { calls }, earlier: whole.slice(0, at + 1) }).events);
    expect(text(whole.slice(0, at + 1)) + text(rest)).toBe(text(whole));
  });

  it('asks nobody again about a plan that was edited, and keeps the time that was spent', async () => {
    const calls = stored();
    const edited = planFromSteps(['Who founded Vale Glassworks?'], toyQuestion, 'edited');
    const whole = await collect(startRun('foray', { deps: { calls, holdPlan: async () => edited } }).events);
    const after = whole.findIndex((event) => event.kind === 'planEdited') + 1;
    const asked: unknown[] = [];
    const earlier = whole.slice(0, after).map((event) => ({ ...event, atMs: 1e6 }));
    const events = await collect(startRun('foray', { deps: { calls, holdPlan: async (plan) => (asked.push(plan), plan) }, earlier }).events);
    expect(asked).toEqual([]);
    expect(last(events, 'answerFinished').answer.short).toBe('Orrin Vale');
    expect(last(events, 'runFinished').cost.wallMs).toBeGreaterThanOrEqual(1e6);
  });
});

describe('calls by content', () => {
  it('have one key whatever the order of properties, and another for other content', () => {
    expect(callKey('generate', { a: 1, b: [{ c: 2, d: undefined }] })).toBe(callKey('generate', { b: [{ c: 2 }], a: 1 }));
    expect(callKey('generate', { a: 1 })).not.toBe(callKey('generate', { a: 2 }));
    expect(callKey('generate', { a: 1 })).not.toBe(callKey('score', { a: 1 }));
    expect(callKey('generate', { a: 1 })).toMatch(/^[0-9a-f]{64}$/);
  });

  it('keep sampled calls with other seeds apart, and searches of other runs', async () => {
    const calls = memoryCallCache();
    await collect(startRun('foray', { deps: { calls } }).events);
    const size = calls.size();
    const other = startRun('foray', { deps: { calls }, settings: { seed: 14, temperature: 0.8 } });
    await collect(other.events);
    expect(other.llm.requests.length).toBeGreaterThan(0);
    expect(calls.size()).toBe(size + other.llm.requests.length);
  });

  it('do not keep silence', async () => {
    const calls = memoryCallCache();
    let silent = true;
    const script: typeof toyScript = (request, call, text) => {
      if (!text.startsWith('READ') || !silent) return toyScript(request, call, text);
      silent = false;
      return ' ';
    };
    expect(last(await collect(startRun('foray', { script, deps: { calls } }).events), 'answerFinished').answer.short).toBe('Isk');
  });

  it('come back from a store only whole', () => {
    const call: CachedCall = { kind: 'score', value: { sum: -1, mean: -0.5, tokens: 2, method: 'exact' } };
    expect(decodeCachedCall(structuredClone(call))).toEqual(call);
    for (const broken of [null, 'x', {}, { kind: 'score', value: { sum: '1' } }, { kind: 'search', value: { hits: [{}] } }, { kind: 'else', value: 1 }]) expect(decodeCachedCall(broken)).toBe(null);
  });
});
