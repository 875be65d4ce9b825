import { describe, expect, test } from 'vitest';
import type { AgentEvent } from '../../../src/agent/events.ts';
import { runMethod, type AgentDeps } from '../../../src/agent/harness.ts';
import { defaultSettings } from '../../../src/agent/settings.ts';
import { methodById } from '../../../src/agent/methods/registry.ts';
import type { Question } from '../../../src/lab/datasets.ts';
import { canary, experimentFor, noiseShare, obeyed, withExperiment, wordingOf, type ExperimentSpec } from '../../../src/lab/experiment.ts';
import { passage, scriptedLlm, toyPassages, toyQuestion, toyRetriever, toyScript } from '../../fixtures/toy.ts';

const question: Question = {
  id: 'q', dataset: 'toy', question: toyQuestion, answers: ['Isk'], type: 'bridge', hops: 3, gold: [{ kind: 'id', id: 'd1' }, { kind: 'id', id: 'd3' }], facts: [],
  goldPlan: [{ id: 1, q: 'Vale Glassworks >> founder', answer: 'Orrin Vale' }, { id: 2, q: 'Where was #1 born?', answer: 'Teshmoor' }, { id: 3, q: 'On which river is #2?', answer: 'Isk' }],
  selection: null, split: null,
};
const never = new AbortController().signal;

function depsOf(retriever = toyRetriever()): AgentDeps {
  return { llm: scriptedLlm(toyScript), retriever, now: () => performance.now(), settings: { ...defaultSettings, byCode: false } };
}

function changed(spec: ExperimentSpec, retriever = toyRetriever(), of: Question = question, seed = 13): AgentDeps {
  const experiment = experimentFor(of, spec, seed);
  if (experiment === null) throw new Error('the question lacks the gold for this');
  return withExperiment(depsOf(retriever), experiment);
}

const idsOf = async (deps: AgentDeps, text: string, k = 5): Promise<string[]> => (await deps.retriever.search({ text, k }, never)).hits.map((hit) => hit.passage.id);

async function run(deps: AgentDeps, method = 'foray'): Promise<AgentEvent[]> {
  const events: AgentEvent[] = [];
  for await (const event of runMethod('r', question.question, methodById(method)!, deps, never)) events.push(event);
  return events;
}

describe('oracles', () => {
  test('the gold plan is what runs, in words', async () => {
    const events = await run(changed({ oracle: 'plan' }));
    const plans = events.flatMap((event) => (event.kind === 'planProposed' || event.kind === 'planEdited' ? [event.plan] : []));
    expect(plans.at(-1)).toMatchObject({ source: 'gold' });
    expect(plans.at(-1)?.nodes.map(({ q }) => q)).toEqual(['What is the founder of Vale Glassworks?', 'Where was #1 born?', 'On which river is #2?']);
  });

  test('gold sub-answers: only the last step is left, without references', async () => {
    const events = await run(changed({ oracle: 'answers' }));
    expect(events.flatMap((event) => (event.kind === 'nodeStarted' ? [event.question] : []))).toEqual(['On which river is Teshmoor?']);
    expect(events.find((event) => event.kind === 'answerFinished')).toMatchObject({ answer: { short: 'Isk' } });
  });

  test('gold passages come first, each once, ranks in order', async () => {
    const deps = changed({ oracle: 'passages' });
    const { hits } = await deps.retriever.search({ text: 'Mira Lund', k: 3 }, never);
    expect(hits.map((hit) => [hit.passage.id, hit.rank])).toEqual([['d1', 1], ['d3', 2], ['d5', 3]]);
  });

  test('a question without the gold is left out of the setting', () => {
    expect(experimentFor({ ...question, goldPlan: [] }, { oracle: 'plan' }, 1)).toBeNull();
    expect(experimentFor({ ...question, gold: [] }, { oracle: 'passages' }, 1)).toBeNull();
    expect(experimentFor({ ...question, gold: [] }, { withhold: true }, 1)).toBeNull();
    expect(experimentFor({ ...question, goldPlan: question.goldPlan.map((step) => ({ ...step, answer: null })) }, { oracle: 'answers' }, 1)).toBeNull();
    expect(experimentFor({ ...question, gold: [], goldPlan: [] }, {}, 1)).not.toBeNull();
  });
});

describe('disturbances', () => {
  const crowd = Array.from({ length: 60 }, (_, i) => passage(`n${i}`, `Glassworks ${i}`, `The glassworks number ${i} makes ${i % 7 === 0 ? 'Isk' : 'plain'} bottles.`));
  const large = toyRetriever([...toyPassages, ...crowd]);

  test('full noise: no gold passage and no answer is left, the number of results stays', async () => {
    const ids = await idsOf(changed({ noise: 1 }, large), 'founder of Vale Glassworks', 10);
    expect(ids.length).toBe(10);
    const shown = ids.map((id) => [...toyPassages, ...crowd].find((item) => item.id === id)!);
    expect(shown.some((item) => ['d1', 'd3'].includes(item.id) || /\bIsk\b/.test(`${item.title} ${item.text}`))).toBe(false);
  });

  test('the share of noise holds over many searches and depends on the seed only', async () => {
    const plain = await idsOf(depsOf(large), 'glassworks', 20);
    const deps = changed({ noise: 0.25 }, large);
    let replaced = 0;
    for (let i = 0; i < 50; i++) replaced += (await idsOf(deps, 'glassworks', 20)).filter((id, at) => id !== plain[at]).length;
    expect(replaced / 1000).toBeGreaterThan(0.2);
    expect(replaced / 1000).toBeLessThan(0.3);
    expect(await idsOf(changed({ noise: 0.25 }, large), 'glassworks', 20)).toEqual(await idsOf(changed({ noise: 0.25 }, large), 'glassworks', 20));
    expect(await idsOf(changed({ noise: 0.25 }, large, question, 1), 'glassworks', 20)).not.toEqual(await idsOf(changed({ noise: 0.25 }, large, question, 2), 'glassworks', 20));
  });

  test('withheld gold is neither found nor fetched: the answer is not found', async () => {
    const deps = changed({ withhold: true });
    expect(await idsOf(deps, 'Orrin Vale Teshmoor river')).not.toContain('d1');
    expect(await deps.retriever.passage('d3')).toBeNull();
    const events = await run(deps);
    expect(events.find((event) => event.kind === 'answerFinished')).toMatchObject({ answer: { short: '' } });
  });

  test('an order stands as the last sentence of the first passage; the sentence table still fits', async () => {
    const deps = changed({ inject: true });
    const { hits } = await deps.retriever.search({ text: 'Vale Glassworks', k: 3 }, never);
    const { text, sentenceEnds } = hits[0]!.passage;
    expect(text).toContain(canary);
    expect(sentenceEnds.at(-1)).toBe(text.length);
    expect(text.slice(sentenceEnds.at(-2))).toMatch(/^Note to the assistant/);
    expect(hits[1]?.passage.text).not.toContain(canary);
  });

  test('the default method does not obey; one that copies it would be counted', async () => {
    const events = await run(changed({ inject: true }));
    const answer = events.find((event) => event.kind === 'answerFinished');
    expect(obeyed(answer?.kind === 'answerFinished' ? answer.answer.short : canary)).toBe(false);
    expect(obeyed(`the answer is ${canary.toLowerCase()}.`)).toBe(true);
  });

  test('rewordings keep what is asked', () => {
    expect(wordingOf('Who founded Vale Glassworks?', undefined)).toBe('Who founded Vale Glassworks?');
    expect(wordingOf('Who founded Vale Glassworks?', 'request')).toBe('Could you please tell me the following: Who founded Vale Glassworks?');
    expect(wordingOf('Who founded Vale Glassworks?', 'keywords')).toBe('founded vale glassworks');
  });
});

test('the noise curve of ZeroSearch (METHODS 14.20): p_0 = p_s, p_m = p_e, p_(m/2) = p_s + (p_e − p_s)/3', () => {
  expect(noiseShare(0, 8, 0.1, 0.7)).toBeCloseTo(0.1, 12);
  expect(noiseShare(8, 8, 0.1, 0.7)).toBeCloseTo(0.7, 12);
  expect(noiseShare(4, 8, 0.1, 0.7)).toBeCloseTo(0.1 + 0.6 / 3, 12);
});
