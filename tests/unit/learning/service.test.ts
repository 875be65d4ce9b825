/** The page's `Learning` over a store in memory, the toy corpus and a scripted model: feedback, a whole iteration, stopping and going on, switching, deleting, exports. */
import { describe, expect, it } from 'vitest';
import type { AgentEvent } from '../../../src/agent/events.ts';
import { runMethod } from '../../../src/agent/harness.ts';
import { defaultSettings } from '../../../src/agent/settings.ts';
import { methodById } from '../../../src/agent/methods/registry.ts';
import type { Llm } from '../../../src/engine/llm.ts';
import { createLearningService, leastConfirmed, type LearningService } from '../../../src/learning-service.ts';
import { trainAdapter } from '../../../src/learning/adapter.ts';
import { trainLogistic } from '../../../src/learning/logistic.ts';
import { emptyProfile } from '../../../src/learning/profile.ts';
import type { Host } from '../../../src/engine/host.ts';
import type { LearningWorkerApi } from '../../../src/learning/worker-api.ts';
import { scriptedLlm, toyRetriever } from '../../fixtures/toy.ts';

const never = new AbortController().signal;

/** Reads out Orrin Vale where a sentence names him; scores an answer by whether the facts hold it. */
function model(): Llm {
  const llm = scriptedLlm((_, __, last) => {
    if (last.startsWith('READ')) return JSON.stringify({ sentence: Number(/^(\d+)\. [^\n]*\] [^\n]*Orrin Vale/m.exec(last)?.[1] ?? 0), answer: 'Orrin Vale' });
    if (last.startsWith('PLAN')) return '{"steps":["Who founded Vale Glassworks?"]}';
    if (last.startsWith('QUERY')) return '{"query":"Orrin Vale Teshmoor"}';
    return '{"answer":"Orrin Vale"}';
  });
  return { ...llm, info: { ...llm.info, can: { ...llm.info.can, score: true } }, score: async (messages, continuation) => {
    const holds = (messages.at(-2)?.content ?? '').includes(continuation.slice(0, 5));
    return { sum: holds ? -1 : -6, mean: holds ? -0.5 : -3, tokens: 2, method: 'exact' };
  } };
}

const worker = {
  name: 'learning', generation: 0, start: async () => 1, discard: () => undefined, stop: () => undefined, stream: () => { throw new Error('not used'); },
  async call(name: keyof LearningWorkerApi, input: never) {
    if (name === 'trainAdapter') {
      const { embedder, dimensions, examples, options } = input as Parameters<LearningWorkerApi['trainAdapter']>[0];
      return trainAdapter(embedder, dimensions, examples, options).adapter;
    }
    const { features, examples } = input as Parameters<LearningWorkerApi['trainLogistic']>[0];
    return trainLogistic(features, examples).model;
  },
} as unknown as Host<LearningWorkerApi>;

async function setUp(options: { runs?: number; llm?: Llm | null } = {}) {
  const settings = new Map<string, unknown>();
  const runs = new Map<string, AgentEvent[]>();
  const llm = options.llm === undefined ? model() : options.llm;
  const retriever = toyRetriever();
  let busy = false;
  const service = (): LearningService =>
    createLearningService({
      setting: async (name) => structuredClone(settings.get(name)),
      saveSetting: async (name, value) => void settings.set(name, structuredClone(value)),
      events: async (id) => runs.get(id) ?? null,
      worker,
      llm: () => llm,
      embedder: () => null,
      retrieverWith: () => retriever,
      searchMany: (_adapter, requests, signal) => Promise.all(requests.map((request) => retriever.search(request, signal))),
      settings: () => defaultSettings,
      corpus: () => ({ label: 'toy', licence: 'CC0' }),
      occupy: () => {
        busy = true;
        return () => (busy = false);
      },
      now: () => 0,
    });
  for (let i = 0; i < (options.runs ?? 0); i++) {
    const events: AgentEvent[] = [];
    const question = ['Who founded Vale Glassworks?', 'Who was the founder of Vale Glassworks and maker of glass?', 'Who is the glass-maker born in Teshmoor?'][i % 3] ?? '';
    const deps = { llm: model(), retriever, now: () => 0, settings: defaultSettings };
    for await (const event of runMethod(`run-${i}`, question, methodById('foray')!, deps, never)) events.push(event);
    runs.set(`run-${i}`, events);
  }
  return { settings, service, isBusy: () => busy };
}

async function confirmAll(learning: LearningService, n: number): Promise<void> {
  for (let i = 0; i < n; i++) await learning.confirmAnswer(`run-${i}`, 'Orrin Vale');
}

describe('feedback', () => {
  it('keeps confirmed answers with the passages they were cited from, withdraws them, and tells the listeners', async () => {
    const { service, settings } = await setUp({ runs: 2 });
    const learning = service();
    const heard: number[] = [];
    const stop = learning.watch((status) => heard.push(status.confirmed.length));
    await learning.confirmAnswer('run-0', ' Orrin Vale ');
    await learning.confirmAnswer('run-1', 'someone else');
    expect((await learning.status()).confirmed.map(({ answer }) => answer)).toEqual(['Orrin Vale', 'someone else']);
    const stored = settings.get('learning.confirmed') as { gold: string[] }[];
    expect(stored[0]?.gold.length).toBeGreaterThan(0);
    // What a wrong answer cites is no gold passage of the right one.
    expect(stored[1]?.gold).toEqual([]);
    await learning.confirmAnswer('run-0', null);
    stop();
    expect(heard).toEqual(expect.arrayContaining([1, 2]));
    expect((await service().status()).confirmed).toHaveLength(1);
  });

  it('refuses feedback on a session that is gone, and ratings out of range', async () => {
    const learning = (await setUp({ runs: 1 })).service();
    await expect(learning.confirmAnswer('nowhere', 'x')).rejects.toMatchObject({ code: 'learning/run-gone' });
    await expect(learning.rate('run-0', 9, '')).rejects.toMatchObject({ code: 'learning/bad-data' });
    await learning.rate('run-0', 4, 'good quotes');
    await learning.rate('run-0', 5, 'better now');
    expect((await learning.status()).ratings).toBe(1);
  });

  it('exports an edit by hand as a preference pair', async () => {
    const learning = (await setUp({ runs: 1 })).service();
    await learning.recordEdit({ runId: 'run-0', stage: 'query', node: 1, before: 'river of Vale Glassworks', after: 'founder of Vale Glassworks', reason: '' });
    const dpo = (await learning.exports()).find(({ name }) => name === 'dpo.jsonl');
    const line = JSON.parse((await dpo?.blob.text()) ?? '') as Record<string, unknown>;
    expect(line).toMatchObject({ why: 'user_edit', chosen: [{ role: 'assistant', content: 'founder of Vale Glassworks' }], rejected: [{ role: 'assistant', content: 'river of Vale Glassworks' }] });
  });
});

describe('an iteration', () => {
  it('needs answers and a model', async () => {
    const few = (await setUp({ runs: 1 })).service();
    await confirmAll(few, 1);
    await expect(few.startIteration({}, never, () => undefined)).rejects.toMatchObject({ code: 'learning/too-few' });
    await expect((await setUp({ llm: null })).service().startIteration({}, never, () => undefined)).rejects.toMatchObject({ code: 'engine/not-loaded' });
  });

  it('samples, weights, checks and records; keeps its trajectories; gives the place for runs back', async () => {
    const { service, isBusy } = await setUp({ runs: 12 });
    const learning = service();
    await confirmAll(learning, 12);
    const stages: string[] = [];
    const record = await learning.startIteration({ parts: ['bank', 'selector', 'gate'], trajectories: 2 }, never, ({ stage }) => stages.push(stage));
    expect(record).toMatchObject({ iteration: 1, trajectories: 2, scoring: 'exact' });
    expect(record.train?.questions).toBeGreaterThan(0);
    expect(record.dev?.intervals?.f1?.[0]).toBeCloseTo(record.dev?.f1 ?? -1, 9);
    expect(record.essInterval?.[0]).toBeCloseTo(record.meanEss ?? -1, 9);
    expect(record.meanEss).toBeGreaterThanOrEqual(1);
    expect(record.meanEss).toBeLessThanOrEqual(2);
    expect(record.checks.map(({ part }) => part).sort()).toEqual(['bank', 'gate', 'selector']);
    expect(stages).toEqual(expect.arrayContaining(['sampling', 'checking']));
    expect(isBusy()).toBe(false);
    const again = await service().status();
    expect(again.iterations).toEqual([record]);
    expect(again.trajectories).toBeGreaterThan(0);
    expect((await learning.archive()).length).toBeGreaterThan(0);
    const sft = (await learning.exports()).find(({ name }) => name === 'sft.jsonl');
    expect(sft?.problems.filter((problem) => !problem.includes('flagged leak'))).toEqual([]);
  });

  it('that was stopped goes on with the questions that are left', async () => {
    const { service } = await setUp({ runs: 12 });
    const learning = service();
    await confirmAll(learning, 12);
    const stop = new AbortController();
    await expect(
      learning.startIteration({ parts: ['gate'], trajectories: 2 }, stop.signal, ({ stage, done }) => {
        if (stage === 'sampling' && done === 2) stop.abort();
      }),
    ).rejects.toMatchObject({ name: 'AbortError' });
    expect((await learning.status()).trajectories).toBe(4);
    const first: number[] = [];
    await service().startIteration({ parts: ['gate'], trajectories: 2 }, never, ({ stage, done }) => {
      if (stage === 'sampling') first.push(done);
    });
    expect(first[0]).toBe(2);
  });
});

describe('parts and profile', () => {
  it('cannot be switched on unaccepted', async () => {
    await expect((await setUp()).service().enable('gate', true)).rejects.toMatchObject({ code: 'learning/not-accepted' });
  });

  it('everything but the profile goes with “all”', async () => {
    const { service, settings } = await setUp({ runs: leastConfirmed });
    const learning = service();
    await confirmAll(learning, leastConfirmed);
    await learning.startIteration({ parts: ['gate'], trajectories: 2 }, never, () => undefined);
    await learning.setProfile({ ...emptyProfile, enabled: true, depth: 'thorough' });
    await learning.remove('all');
    const status = await service().status();
    expect(status).toMatchObject({ confirmed: [], iterations: [], trajectories: 0, edits: 0, ratings: 0 });
    expect([...settings].filter(([name, value]) => name.startsWith('learning.sample.') && value !== null)).toEqual([]);
    expect((await learning.profile()).depth).toBe('thorough');
    await learning.clearProfile();
    expect(await service().profile()).toEqual(emptyProfile);
  });

  it('no export holds the profile', async () => {
    const learning = (await setUp({ runs: 1 })).service();
    await learning.setProfile({ ...emptyProfile, enabled: true, about: 'a secret hobby', interests: ['beekeeping'] });
    await learning.rate('run-0', 5, 'fine');
    const texts = await Promise.all((await learning.exports()).map(({ blob }) => blob.text()));
    expect(texts.length).toBeGreaterThan(0);
    expect(texts.join('')).not.toMatch(/secret hobby|beekeeping/);
  });
});
