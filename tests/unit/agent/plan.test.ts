import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { NodeStatus, Plan } from '../../../src/agent/events.ts';
import { answerTypeOf, entitiesOf, faultsOf, fixSteps, inventedEntities, isComparison, looksOneHop, planFromSteps, readyNodes, substitute } from '../../../src/agent/plan.ts';

const question = 'On which river is the birthplace of the founder of Vale Glassworks?';
const good = planFromSteps(['Who founded Vale Glassworks?', 'Where was #1 born?', 'On which river is #2?'], question, 'llm');

describe('validity (METHODS §1.2, §14.5)', () => {
  it('accepts the gold plan', () => {
    expect(faultsOf(good, question)).toEqual([]);
    expect(good.nodes.map((node) => node.deps)).toEqual([[], [1], [2]]);
    expect(good.final).toEqual({ deps: [3], op: 'answer' });
  });

  const broken: readonly (readonly [string, Plan])[] = [
    ['refers to #3', planFromSteps(['Who founded A #3?', 'Where was #1 born?', 'On which river is #2?'], question, 'llm')],
    ['refers to #1', planFromSteps(['Who founded #1?', 'Where was #1 born?'], question, 'llm')],
    ['the limit is 6', planFromSteps(Array.from({ length: 7 }, (_, i) => `What is thing ${i}?`), question, 'llm')],
    ['only repeats the question', planFromSteps([question, 'Where was #1 born?'], question, 'llm')],
    ['repeats an earlier step', planFromSteps(['Who founded A?', 'who founded a?'], question, 'llm')],
    ['is empty', planFromSteps(['Who founded A?', ' '], question, 'llm')],
    ['cannot be understood on its own', planFromSteps(['Who founded A?', 'Where was he born?'], question, 'llm')],
    ['has no steps', planFromSteps([], question, 'llm')],
    ['carries the number 5', { ...good, nodes: good.nodes.map((node, i) => (i === 1 ? { ...node, id: 5 } : node)) }],
    ['dependencies of step 3', { ...good, nodes: good.nodes.map((node, i) => (i === 2 ? { ...node, deps: [1] } : node)) }],
    ['is not used', { ...good, final: { deps: [2], op: 'answer' } }],
    ['does not exist', { ...good, final: { deps: [9], op: 'answer' } }],
    ['depends on no step', { ...good, final: { deps: [], op: 'answer' } }],
  ];
  for (const [reason, plan] of broken) it(`refuses a plan that ${reason}`, () => expect(faultsOf(plan, question).join('; ')).toContain(reason));

  it('the mechanical repair always gives a plan without structural faults', () => {
    const step = fc.oneof(fc.string({ maxLength: 40 }), fc.constantFrom('Who founded A?', 'Where was #1 born?', 'What is #9?', '2. When did #2 end?', '#3', question, ''));
    fc.assert(
      fc.property(fc.array(step, { maxLength: 12 }), (steps) => {
        const plan = planFromSteps(fixSteps(steps, question), question, 'llm-fixed');
        for (const fault of faultsOf(plan, question)) expect(fault).toMatch(/no steps|understood on its own|depends on no step|repeats|is empty/);
        for (const node of plan.nodes) for (const dep of node.deps) expect(dep).toBeLessThan(node.id);
      }),
    );
  });
});

describe('substitution', () => {
  it('puts #12 in before #1, and whole numbers only', () => {
    const plan = planFromSteps([...Array.from({ length: 12 }, (_, i) => `What is ${i}?`), 'Where did #1 meet #12?'], question, 'llm');
    const answers = new Map([
      [1, 'Ann'],
      [12, 'Bob'],
    ]);
    expect(substitute(plan.nodes[12] as Plan['nodes'][number], plan, answers)).toEqual({ text: 'Where did Ann meet Bob?', degraded: false });
  });

  it('marks a step whose parent has no answer and puts in its wording', () => {
    expect(substitute(good.nodes[1] as Plan['nodes'][number], good, new Map())).toEqual({ text: 'Where was [founded Vale Glassworks] born?', degraded: true });
  });

  it('does not read an answer as a placeholder or a replacement pattern', () => {
    expect(substitute(good.nodes[1] as Plan['nodes'][number], good, new Map([[1, '$& #2']])).text).toBe('Where was $& #2 born?');
  });
});

describe('ready nodes', () => {
  it('follow the dependencies, and a failed parent still lets its child run', () => {
    const status = new Map<number, NodeStatus>();
    expect(readyNodes(good, status).map((node) => node.id)).toEqual([1]);
    status.set(1, 'running');
    expect(readyNodes(good, status)).toEqual([]);
    status.set(1, 'failed');
    expect(readyNodes(good, status).map((node) => node.id)).toEqual([2]);
  });
});

describe('reading the question', () => {
  it('finds names, years and quoted strings, and not the first word', () => {
    expect(entitiesOf('Where was the director of the film "Salt Harbour" and Mira Lund of Karr born in 1840?')).toEqual(['Salt Harbour', 'Mira Lund of Karr', '1840']);
  });

  it('tells invented names', () => {
    expect(inventedEntities('Where was Quorlak born?', question)).toEqual(['Quorlak']);
    expect(inventedEntities('Who founded Vale Glassworks?', question)).toEqual([]);
  });

  it.each([
    ['Which was finished earlier, the Norrow Bridge or the Tarn Viaduct?', true],
    ['Are Karr and Teshmoor in the same country?', true],
    ['Where was the founder of Vale Glassworks born?', false],
  ])('comparison: %s', (text, expected) => expect(isComparison(text)).toBe(expected));

  it.each([
    ['Who founded Vale Glassworks?', true],
    ['What is the capital of Norway?', true],
    ['Where was the founder of the company that made the lamps of Karr born?', false],
    ['Who is older, Ann or Bob?', false],
  ])('one hop: %s', (text, expected) => expect(looksOneHop(text)).toBe(expected));

  it.each([
    ['Who founded it?', 'person'],
    ['When was it built?', 'date'],
    ['In which year did it open?', 'date'],
    ['How many people live there?', 'number'],
    ['Is it old?', 'yes-no'],
    ['Where is it?', 'place'],
    ['On which river does it lie?', 'place'],
    ['What did he play?', 'other'],
  ])('answer type: %s', (text, expected) => expect(answerTypeOf(text)).toBe(expected));
});
