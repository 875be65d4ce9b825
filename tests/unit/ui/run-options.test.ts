import { describe, expect, it } from 'vitest';
import { methodById, methods } from '../../../src/agent/methods/registry.ts';
import { planFromSteps } from '../../../src/agent/plan.ts';
import { defaultWishes, heeds, heedsEdit, listed, settingsOf } from '../../../src/ui/run-options.ts';
import { all, collect, startRun } from '../../fixtures/agent-run.ts';
import { anyScript, questionFor } from '../../fixtures/method-scripts.ts';

describe('settings of a run', () => {
  it('are the agent’s own where nothing is wished', () => {
    expect(settingsOf('normal', defaultWishes)).toEqual({});
  });

  it('follow the effort, and single wishes go before it', () => {
    expect(settingsOf('quick', defaultWishes).depths).toEqual([5]);
    expect(settingsOf('quick', { ...defaultWishes, rounds: 2, samples: 4 })).toMatchObject({ depths: [5, 10], samples: 4 });
    expect(settingsOf('normal', { ...defaultWishes, shown: 3 }).depths).toEqual([3, 8, 13]);
    expect(settingsOf('normal', { ...defaultWishes, dense: false, links: false, seed: 5 })).toEqual({ dense: false, links: false, seed: 5 });
  });

  it('let more rounds make more calls, and find at least what is shown', () => {
    const settings = settingsOf('normal', { ...defaultWishes, rounds: 6, shown: 20, retrieve: 5 });
    expect(settings.depths).toEqual([20, 25, 30, 30, 30, 30]);
    expect(settings.maxLlmCalls).toBe(48);
    expect(settings.retrieve).toBe(20);
  });

  it('are offered where the method heeds them', () => {
    const of = (id: string) => heeds(methodById(id) ?? methods[0]!);
    expect(of('direct')).toMatchObject({ search: false, rounds: false, samples: false });
    expect(of('rag')).toMatchObject({ search: true, rounds: false });
    expect(of('exsearch')).toMatchObject({ rounds: false, samples: true, seed: true });
    expect(of('search-planner').planner).toBe(true);
    expect(of('foray')).toMatchObject({ search: true, rounds: true, effort: true });
  });
});

// Methods of several trajectories have no one run to go on from: their steps are not offered for change.
const single = methods.filter(({ id, needsLlm }) => needsLlm && !['exsearch', 'best-of'].includes(id));

describe('changes to a step are offered where the method acts on them', () => {
  it.each(single.map(({ id }) => id))('%s: the answer of a step', async (id) => {
    const before = await collect(startRun(id, { question: questionFor(id), script: anyScript(id) }).events);
    const revision = { from: 'before', edits: [{ stage: 'sub-answer', node: 1, before: 'Orrin Vale', after: 'Mira Lund' } as const] };
    const after = await collect(startRun(id, { question: questionFor(id), script: anyScript(id), deps: { revision } }).events);
    const hasSteps = all(before, 'planProposed').some(({ plan }) => plan.nodes.length > 1);
    const isHeeded = all(after, 'nodeFinished').some(({ node, answer }) => node === 1 && answer === 'Mira Lund');
    expect(isHeeded).toBe(hasSteps && heedsEdit(id, 'sub-answer'));
  });

  it.each(single.map(({ id }) => id))('%s: the plan', async (id) => {
    const before = await collect(startRun(id, { question: questionFor(id), script: anyScript(id) }).events);
    const [proposed] = all(before, 'planProposed');
    const plan = planFromSteps(['Who is the founder of Vale Glassworks?', 'Where was #1 born?'], questionFor(id), 'edited');
    const revision = { from: 'before', edits: [{ stage: 'plan', before: proposed?.plan ?? plan, after: plan } as const] };
    const after = await collect(startRun(id, { question: questionFor(id), script: anyScript(id), deps: { revision } }).events);
    const isHeeded = all(after, 'nodeStarted').some(({ node, question }) => node === 1 && question === 'Who is the founder of Vale Glassworks?');
    expect(isHeeded).toBe(proposed !== undefined && heedsEdit(id, 'plan'));
  });
});

it.each([
  ['river, year ,, river', ['river', 'year']],
  ['Karr, the hill town\nTeshmoor\n\n', ['Karr, the hill town', 'Teshmoor']],
  ['', []],
  ['a,b,c,d', ['a', 'b', 'c']],
])('a list typed as %j is %j', (text, parts) => {
  expect(listed(text, 3)).toEqual(parts);
});
