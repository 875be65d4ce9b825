import { describe, expect, it } from 'vitest';
import type { AgentEvent, RunEdit } from '../../../src/agent/events.ts';
import { addEdit, affectedSteps, editedQuery, givenAnswer } from '../../../src/agent/edits.ts';
import { runMethod } from '../../../src/agent/harness.ts';
import { defaultSettings } from '../../../src/agent/settings.ts';
import { methodById } from '../../../src/agent/methods/registry.ts';
import { planFromSteps } from '../../../src/agent/plan.ts';
import { scriptedLlm, toyQuestion, toyRetriever, toyScript } from '../../fixtures/toy.ts';

const steps = ['Who founded Vale Glassworks?', 'Where was #1 born?', 'On which river is #2?'];
const plan = planFromSteps(steps, toyQuestion, 'llm');

async function run(edits: readonly RunEdit[]): Promise<readonly AgentEvent[]> {
  const method = methodById('foray');
  if (method === undefined) throw new Error('no method');
  const events: AgentEvent[] = [];
  const deps = { llm: scriptedLlm(toyScript), retriever: toyRetriever(), now: () => 0, settings: { ...defaultSettings, byCode: false }, revision: { from: 'before', edits } };
  for await (const event of runMethod('r', toyQuestion, method, deps, new AbortController().signal)) events.push(event);
  return events;
}

const of = <K extends AgentEvent['kind']>(events: readonly AgentEvent[], kind: K) => events.filter((event): event is Extract<AgentEvent, { kind: K }> => event.kind === kind);

describe('a run that goes on from edits', () => {
  it('tells them first and names the run that was changed', async () => {
    const edit: RunEdit = { stage: 'sub-answer', node: 1, before: 'Orrin Vale', after: 'Mira Lund' };
    const events = await run([edit]);
    expect(events.slice(0, 2).map((event) => event.kind)).toEqual(['runStarted', 'edited']);
    expect(of(events, 'edited')).toMatchObject([{ from: 'before', edit }]);
  });

  it('takes the answer that the person gave to a step into the steps that build on it, without searching for it', async () => {
    const events = await run([{ stage: 'sub-answer', node: 1, before: 'Orrin Vale', after: 'Mira Lund' }]);
    expect(of(events, 'searched').some((event) => event.node === 1)).toBe(false);
    expect(of(events, 'nodeFinished').find((event) => event.node === 1)).toMatchObject({ status: 'answered', answer: 'Mira Lund', stop: 'user' });
    expect(of(events, 'nodeStarted').find((event) => event.node === 2)?.question).toBe('Where was Mira Lund born?');
  });

  it('runs the query that the person wrote', async () => {
    const events = await run([{ stage: 'query', node: 1, before: 'Who founded Vale Glassworks?', after: 'founder glass lamps Vale' }]);
    expect(of(events, 'searched').find((event) => event.node === 1)?.query).toBe('founder glass lamps Vale');
  });

  it('shows no passage that the person took away, in that step only', async () => {
    const before = of(await run([]), 'searched');
    const [first] = before[0]?.hits ?? [];
    if (first === undefined) throw new Error('nothing found');
    const after = of(await run([{ stage: 'evidence', node: 1, dropped: [{ id: first.passage.id, title: first.passage.title }] }]), 'searched');
    expect(after.filter((event) => event.node === 1).flatMap((event) => event.hits.map((hit) => hit.passage.id))).not.toContain(first.passage.id);
    const others = (events: typeof before): string[] => events.filter((event) => event.node !== 1).flatMap((event) => event.hits.map((hit) => hit.passage.id));
    expect(others(after).some((id) => id === first.passage.id)).toBe(others(before).some((id) => id === first.passage.id));
  });

  it('runs the plan that the person wrote', async () => {
    const edited = planFromSteps(['Who founded Vale Glassworks?', 'Where was #1 born?'], toyQuestion, 'edited');
    const events = await run([{ stage: 'plan', before: plan, after: edited }]);
    expect(of(events, 'planEdited')).toMatchObject([{ plan: edited }]);
    expect(of(events, 'nodeStarted').map((event) => event.node).filter((node) => node > 0)).toEqual([1, 2]);
  });
});

describe('edits', () => {
  it('reach the edited step and what builds on it', () => {
    expect([...affectedSteps(plan, [{ stage: 'query', node: 2, before: 'a', after: 'b' }])]).toEqual([2, 3]);
    expect([...affectedSteps(plan, [])]).toEqual([]);
    const reworded = planFromSteps([steps[0] ?? '', 'In which town was #1 born?', steps[2] ?? ''], toyQuestion, 'edited');
    expect([...affectedSteps(reworded, [{ stage: 'plan', before: plan, after: reworded }])].sort()).toEqual([2, 3]);
  });

  it('of the same thing: the later one counts; a changed query can be changed again', () => {
    const first: RunEdit = { stage: 'sub-answer', node: 1, before: 'a', after: 'b' };
    const second: RunEdit = { stage: 'sub-answer', node: 1, before: 'b', after: 'c' };
    expect(addEdit([first], second)).toEqual([second]);
    expect(givenAnswer({ from: 'r', edits: [first, second] }, 1)).toBe('c');
    const revision = { from: 'r', edits: [{ stage: 'query', node: 1, before: 'a', after: 'b' }, { stage: 'query', node: 1, before: 'b', after: 'c' }] } as const;
    expect(editedQuery(revision, 1, ' A ')).toBe('c');
    expect(editedQuery(revision, 2, 'a')).toBe('a');
  });

  it('of steps that a new plan asks otherwise are void', () => {
    const kept: RunEdit = { stage: 'sub-answer', node: 1, before: 'a', after: 'b' };
    const lost: RunEdit = { stage: 'sub-answer', node: 2, before: 'a', after: 'b' };
    const after = planFromSteps([steps[0] ?? '', 'In which town was #1 born?', steps[2] ?? ''], toyQuestion, 'edited');
    const change: RunEdit = { stage: 'plan', before: plan, after };
    expect(addEdit([kept, lost], change)).toEqual([kept, change]);
  });
});
