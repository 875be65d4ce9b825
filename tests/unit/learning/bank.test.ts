/** What is kept of good trajectories and how a run uses it: bank, archive, samples, gate examples, profile, records. */
import { describe, expect, it } from 'vitest';
import type { AgentEvent } from '../../../src/agent/events.ts';
import { runMethod, type AgentDeps } from '../../../src/agent/harness.ts';
import { defaultSettings } from '../../../src/agent/settings.ts';
import { methodById } from '../../../src/agent/methods/registry.ts';
import { buildArchive } from '../../../src/learning/archive.ts';
import { bankLimit, buildBank, chooseExemplars, exampleBudget, exemplarMessages, type Exemplar } from '../../../src/learning/bank.ts';
import { gateExamples, selectorFeatures, selectorRows } from '../../../src/learning/features.ts';
import { effectOf, emptyProfile, interestWeight } from '../../../src/learning/profile.ts';
import { decodeIteration, decodeIterations, type IterationRecord } from '../../../src/learning/record.ts';
import { decodeSample, factsOf, moveOf, queryStyleOf, samplesOf } from '../../../src/learning/samples.ts';
import { passage, scriptedLlm, toyQuestion, toyRetriever, toyScript } from '../../fixtures/toy.ts';
import { toySamples } from './fixture.ts';

const never = new AbortController().signal;

async function run(change: Partial<AgentDeps> = {}): Promise<{ events: AgentEvent[]; llm: ReturnType<typeof scriptedLlm>; retriever: ReturnType<typeof toyRetriever> }> {
  const llm = scriptedLlm(toyScript);
  const retriever = toyRetriever();
  const events: AgentEvent[] = [];
  const deps: AgentDeps = { llm, retriever, now: () => 0, settings: { ...defaultSettings, keepPrompts: true }, ...change };
  for await (const event of runMethod('r', toyQuestion, methodById('foray')!, deps, never)) events.push(event);
  return { events, llm, retriever };
}

describe('the exemplar bank', () => {
  it('stores the right trajectory of the toy case only', () => {
    const bank = buildBank(toySamples);
    expect(bank.map(({ purpose, qid, question }) => [purpose, qid, question])).toEqual([['plan', 'toy', toySamples[0]!.question]]);
    expect(buildBank(toySamples.slice(1))).toEqual([]);
  });

  const exemplar = (i: number, change: Partial<Exemplar> = {}): Exemplar => ({
    purpose: 'plan', method: 'foray', qid: `q${i}`, question: `Where was the founder of Mill number ${i} born?`, move: 'bridge', hops: 2, step: 0, turn: `PLAN ${i}`, output: '{}', tokens: 150, quality: -i, ...change,
  });

  it('shows at most two examples and 400 tokens, of the same kind of call and method, never of the same question', () => {
    const bank = [exemplar(1), exemplar(2), exemplar(3), exemplar(4, { purpose: 'query' }), exemplar(5, { method: 'exsearch' })];
    const state = { purpose: 'plan' as const, method: 'foray', question: 'Where was the founder of Mill number 3 born?', step: 0 };
    const chosen = chooseExemplars(bank, state);
    expect(chosen).toHaveLength(2);
    expect(chosen.map(({ qid }) => qid)).not.toContain('q3');
    expect(chosen.every(({ purpose, method }) => purpose === 'plan' && method === 'foray')).toBe(true);
    expect(chosen.reduce((sum, { tokens }) => sum + tokens, 0)).toBeLessThanOrEqual(exampleBudget);
    expect(chooseExemplars(bank.map((one) => ({ ...one, tokens: 250 })), state)).toHaveLength(1);
    expect(exemplarMessages(chosen)).toHaveLength(4);
  });

  it('prefers the same move and step, and puts the most alike last', () => {
    const compare = exemplar(7, { question: 'Which is older, Mill A or Mill B?', move: 'compare' });
    const chosen = chooseExemplars([exemplar(1), compare, exemplar(2)], { purpose: 'plan', method: 'foray', question: 'Which is older, the Tarn or the Isk?', step: 0 });
    expect(chosen.at(-1)).toBe(compare);
  });

  it('keeps kinds mixed when there are more than it holds', () => {
    const many = Array.from({ length: 100 }, (_, i) => ({ ...toySamples[0]!, id: `r${i}`, qid: `q${i}`, question: i < 90 ? `Where was the founder of Mill ${i} born?` : `Which is older, Mill ${i} or Hall ${i}?` }));
    const bank = buildBank(many);
    expect(bank.length).toBe(bankLimit);
    expect(bank.filter(({ move }) => move === 'compare')).toHaveLength(10);
  });

  it('keeps of a long reading the cited sentence and its neighbours, numbered anew', () => {
    const lines = Array.from({ length: 9 }, (_, i) => `${i + 1}. [Title ${i + 1}] ${'A sentence of the passage that says something at some length. '.repeat(3)}`);
    const call = { t: 1, node: 2, kind: 'call' as const, purpose: 'read' as const, messages: [{ role: 'user' as const, content: `READ\nQuestion: Where?\n${lines.join('\n')}` }], output: '{"sentence":4,"answer":"Teshmoor"}' };
    const [kept] = buildBank([{ ...toySamples[0]!, steps: [call] }]);
    expect(kept?.turn.split('\n').map((line) => line.slice(0, 12))).toEqual(['READ', 'Question: Wh', '1. [Title 3]', '2. [Title 4]', '3. [Title 5]']);
    expect(kept?.output).toBe('{"sentence":2,"answer":"Teshmoor"}');
    const uncited = { ...call, output: '{"sentence":0,"answer":""}' };
    expect(buildBank([{ ...toySamples[0]!, steps: [uncited] }])).toEqual([]);
  });

  it('stands in the conversation after the shared head, so that the head stays cached', async () => {
    const plain = await run();
    const exemplars = [{ role: 'user' as const, content: 'READ\nQuestion: worked' }, { role: 'assistant' as const, content: '{"sentence":1,"answer":"worked"}' }];
    const taught = await run({ learned: { exemplars: ({ purpose, method }) => (purpose === 'read' && method === 'foray' ? exemplars : []) } });
    // The reader goes on with the same list, so only what stands up to its turn is compared.
    const of = (requests: typeof plain.llm.requests) => {
      const messages = requests.find((request) => request.messages.some(({ content }) => content.startsWith('READ\nQuestion: On which')))!.messages;
      return messages.slice(0, messages.findLastIndex(({ content }) => content.startsWith('READ\nQuestion: On which')) + 1);
    };
    const [before, after] = [of(plain.llm.requests), of(taught.llm.requests)];
    expect(before.length).toBeGreaterThan(5);
    expect(after).toEqual([...before.slice(0, -1), ...exemplars, before.at(-1)]);
  });
});

describe('parts in a run', () => {
  it('the selector re-orders what is shown, and ranks are renewed', async () => {
    const { events } = await run({ learned: { passageScores: (_, __, hits) => hits.map((hit) => hit.rank) } });
    const { events: plain } = await run();
    const first = (list: AgentEvent[]): string[] => list.flatMap((event) => (event.kind === 'searched' ? [event.hits.map((hit) => hit.passage.id)] : []))[0] ?? [];
    expect(first(events)).toEqual(first(plain).reverse());
    const searched = events.find((event) => event.kind === 'searched');
    expect(searched?.kind === 'searched' ? searched.hits.map((hit) => hit.rank) : []).toEqual(first(plain).map((_, i) => i + 1));
  });

  it('the gate refuses a second search of a step and says so, never the first', async () => {
    const stubborn = scriptedLlm((_, call, last) => (last.startsWith('PLAN') ? '{"steps":["Who founded Vale Glassworks?"]}' : last.startsWith('QUERY') ? `{"query":"other words ${call} entirely ${call * 7}"}` : '{"sentence":0,"answer":""}'));
    const asked: number[] = [];
    const { events, retriever } = await run({ llm: stubborn, learned: { searchAgain: (state) => (asked.push(state.rounds), { search: false, probability: 0.02 }) } });
    expect(asked.length).toBeGreaterThan(0);
    expect(Math.min(...asked)).toBeGreaterThanOrEqual(1);
    expect(events.filter((event) => event.kind === 'gated')).not.toEqual([]);
    const nodes = events.flatMap((event) => (event.kind === 'searched' ? [event.node] : []));
    expect(new Set(nodes).size).toBe(nodes.length);
    expect(retriever.queries.length).toBe(nodes.length);
  });

  it('the profile is told, and its words go into searches below the question’s own', async () => {
    const requests: unknown[] = [];
    const retriever = toyRetriever();
    const { events } = await run({
      retriever: { ...retriever, search: (request, signal) => (requests.push(request.terms), retriever.search(request, signal)) },
      profileNotice: 'Your profile was used.', profileTerms: [{ text: 'glass', weight: interestWeight }],
    });
    expect(events.some((event) => event.kind === 'notice' && event.code === 'profile-used')).toBe(true);
    expect(requests.length).toBeGreaterThan(0);
    expect(requests.every((terms) => JSON.stringify(terms) === '[{"text":"glass","weight":0.15}]')).toBe(true);
  });
});

describe('samples', () => {
  it('of a real run hold facts, texts and calls without their common head, and survive storage', async () => {
    const { events } = await run();
    const [sample] = samplesOf(events, { qid: 'toy', seed: 13, corpus: 'toy', licence: 'CC0' });
    expect(factsOf(sample!).map(({ answer }) => answer)).toEqual(expect.arrayContaining(['Orrin Vale']));
    const calls = sample!.steps.flatMap((step) => (step.kind === 'call' ? [step] : []));
    expect(calls.length).toBeGreaterThan(0);
    expect(sample!.head.length).toBeGreaterThan(5);
    expect(calls.every((step) => step.messages.length >= 1 && step.messages[0]!.content !== sample!.head[0]!.content)).toBe(true);
    expect(decodeSample(JSON.parse(JSON.stringify(sample)))).toEqual(JSON.parse(JSON.stringify(sample)));
    expect(() => decodeSample({ ...sample, weight: 'much' })).toThrowError(expect.objectContaining({ code: 'learning/bad-data' }));
  });

  it('know moves and styles by form', () => {
    expect(['How many mills are there?', 'Which was finished first, A or B?', 'Are A and B from the same town?', 'Who founded Vale?', 'List the mills'].map(moveOf)).toEqual(['count', 'compare', 'compare', 'bridge', 'enumerate']);
    expect(['founder Vale', 'Who founded Vale?', '"Vale Glassworks" founder'].map(queryStyleOf)).toEqual(['keywords', 'question', 'quoted']);
  });

  it('teach the gate: a second search that brought the evidence was worth it', () => {
    const examples = toySamples.flatMap(gateExamples);
    expect(examples.map(({ y, weight }) => [y, weight])).toEqual([[1, 0.188]]);
    const useless = gateExamples({ ...toySamples[1]!, steps: toySamples[1]!.steps.filter((step) => step.kind !== 'record') });
    expect(useless.map(({ y }) => y)).toEqual([0]);
  });

  it('give a row of features a hit', () => {
    const hit = (title: string, text: string, rank: number) => ({ passage: passage(title, title, text), score: 2 / rank, rank, paths: [{ kind: 'lexical' as const, rank, score: 8 / rank }], highlights: [], bestSentence: 0 });
    const rows = selectorRows('Who founded Vale Glassworks?', 'founder Vale Glassworks', [hit('Vale Glassworks', 'founded by Orrin Vale', 1), hit('Karr', 'a town', 2)]);
    expect(rows.every((row) => row.length === selectorFeatures.length && row.every(Number.isFinite))).toBe(true);
    const coverageAt = selectorFeatures.indexOf('queryCoverage');
    expect(rows[0]![coverageAt]!).toBeGreaterThan(rows[1]![coverageAt]!);
  });
});

describe('the archive', () => {
  it('keeps the best of each cell and counts the others', () => {
    const cells = buildArchive(toySamples);
    // z1 has three hops; z2 one and z3 two, all bridges that begin with keywords.
    expect(cells.map(({ hops, move, style, visits }) => [hops, move, style, visits])).toEqual([[1, 'bridge', 'keywords', 1], [2, 'bridge', 'keywords', 1], [3, 'bridge', 'keywords', 1]]);
    const better = { ...toySamples[0]!, id: 'better', answerLogp: { sum: -0.1, mean: -0.1, tokens: 1, method: 'exact' as const } };
    const worse = { ...toySamples[0]!, id: 'worse', answerLogp: { sum: -9, mean: -9, tokens: 1, method: 'exact' as const } };
    for (const order of [[toySamples[0]!, better, worse], [better, worse, toySamples[0]!]]) {
      expect(buildArchive(order)).toMatchObject([{ visits: 3, quality: -0.1, trajectory: { id: 'better' } }]);
    }
    expect(buildArchive([{ ...toySamples[0]!, answerLogp: null }])).toEqual([]);
  });
});

describe('the profile', () => {
  it('changes nothing while it is off, or on and empty', () => {
    expect(effectOf(null, defaultSettings)).toBeNull();
    expect(effectOf({ ...emptyProfile, depth: 'thorough' }, defaultSettings)).toBeNull();
    expect(effectOf({ ...emptyProfile, enabled: true }, defaultSettings)).toBeNull();
  });

  it('changes depth, stop and words when on, and says what', () => {
    const quick = effectOf({ ...emptyProfile, enabled: true, depth: 'quick', stop: 'early' }, defaultSettings)!;
    expect(quick.settings.depths).toEqual([5]);
    expect(quick.settings.maxLlmCalls).toBe(12);
    expect(quick.notice).toContain('shallower');
    const thorough = effectOf({ ...emptyProfile, enabled: true, depth: 'thorough', interests: ['glass'], queryStyle: 'with-interests' }, defaultSettings)!;
    expect(thorough.settings.depths!.length).toBe(defaultSettings.depths.length + 1);
    expect(thorough.terms).toEqual([{ text: 'glass', weight: interestWeight }]);
    expect(thorough.notice).toContain('glass');
  });
});

describe('records', () => {
  const record: IterationRecord = {
    kind: 'iteration', version: 1, iteration: 1, model: 'm', method: 'foray', dataset: 'd', corpus: 'c', trajectories: 3, alpha: 0, tau: 1, seeds: [13], trainIds: 'a', devIds: 'b', train: null,
    devBefore: null, dev: { questions: 2, em: 0.5, f1: 0.6, supportRecall: null }, meanEss: 1.5, meanLogLikelihood: -2, meanEvidenceGain: 1, informative: 1, scoring: 'exact', checks: [],
    cost: { llmCalls: 1, promptTokens: 2, outputTokens: 3, wallMs: 4 },
  };

  it('are decoded line by line: the last of a number counts, a torn last line is dropped, another fault is told', () => {
    const second = { ...record, iteration: 2 };
    const text = `${JSON.stringify(second)}\n${JSON.stringify(record)}\n${JSON.stringify({ ...record, informative: 2 })}\n{"kind":"iter`;
    expect(decodeIterations(text)).toEqual([{ ...record, informative: 2 }, second]);
    expect(() => decodeIterations('nonsense\n{}')).toThrowError(expect.objectContaining({ code: 'learning/bad-data' }));
    expect(() => decodeIteration({ ...record, dev: { ...record.dev, em: 2 } })).toThrowError(expect.objectContaining({ code: 'learning/bad-data' }));
  });
});
