import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { planFromSteps, singleStep } from '../../../src/agent/plan.ts';
import { addStep, changeStep, checkDraft, draftOf, isChanged, moveStep, removeStep, type PlanDraft } from '../../../src/ui/plan-draft.ts';
import { answerNode, layoutPlan, railGutter, railLanes } from '../../../src/ui/plan-graph.ts';
import { bridgePlan, comparePlan } from '../../fixtures/fake-searcher.ts';

/** Plans whose references all point backwards. */
const plans = fc
  .array(fc.array(fc.nat(5), { maxLength: 3 }), { minLength: 1, maxLength: 6 })
  .map((rows) => planFromSteps(rows.map((refs, i) => `step ${i} ${i === 0 ? '' : refs.map((ref) => `#${(ref % i) + 1}`).join(' ')}`), 'the question', 'edited'));

describe('layoutPlan', () => {
  it('puts a chain in one column and parallel steps side by side', () => {
    expect(layoutPlan(bridgePlan)).toMatchObject({ breadth: 1, layers: 4 });
    const graph = layoutPlan(comparePlan);
    expect(graph.breadth).toBe(2);
    expect(graph.cells.map(({ id, layer }) => [id, layer])).toEqual([[1, 0], [2, 0], [3, 1], [4, 1], [answerNode, 2]]);
    expect(graph.edges).toEqual([{ from: 1, to: 3 }, { from: 2, to: 4 }, { from: 3, to: answerNode }, { from: 4, to: answerNode }]);
  });

  it('puts every step once, below all it needs, within the grid', () => {
    fc.assert(
      fc.property(plans, (plan) => {
        const graph = layoutPlan(plan);
        const layer = new Map(graph.cells.map((cell) => [cell.id, cell.layer]));
        expect(graph.cells).toHaveLength(plan.nodes.length + 1);
        expect(layer.size).toBe(plan.nodes.length + 1);
        for (const { from, to } of graph.edges) expect(layer.get(from) ?? 99).toBeLessThan(layer.get(to) ?? -1);
        const taken = new Set(graph.cells.map((cell) => `${cell.layer}:${cell.column}`));
        expect(taken.size).toBe(graph.cells.length);
        for (const { column } of graph.cells) {
          expect(column).toBeGreaterThanOrEqual(1);
          expect(column + 1).toBeLessThanOrEqual(graph.breadth * 2);
        }
      }),
    );
  });

  it('leaves out references that lead nowhere', () => {
    const plan = singleStep('q', 'router');
    const broken = { ...plan, nodes: plan.nodes.map((node) => ({ ...node, deps: [7, 1] })), final: { deps: [1, 9], op: 'answer' as const } };
    expect(layoutPlan(broken).edges).toEqual([{ from: 1, to: answerNode }]);
  });

  it('gives lines that run side by side lanes of their own', () => {
    fc.assert(
      fc.property(plans, (plan) => {
        const graph = layoutPlan(plan);
        const lanes = railLanes(graph);
        const row = new Map(graph.cells.map((cell, index) => [cell.id, index]));
        graph.edges.forEach((a, i) => {
          graph.edges.forEach((b, j) => {
            const overlap = (row.get(a.from) ?? 0) < (row.get(b.to) ?? 0) && (row.get(b.from) ?? 0) < (row.get(a.to) ?? 0);
            if (i !== j && overlap && a.to !== b.to) expect(lanes[i]).not.toBe(lanes[j]);
          });
        });
        expect(railGutter(lanes)).toBeGreaterThan(0);
      }),
    );
  });
});

const question = 'On which river is the birthplace of the founder of Vale Glassworks?';
const texts = (draft: PlanDraft): string[] => draft.steps.map((step) => step.text);

describe('a plan under the editor', () => {
  it('is valid and unchanged as it comes', () => {
    const draft = draftOf(bridgePlan);
    expect(checkDraft(draft, question).faults).toEqual([]);
    expect(isChanged(draft, bridgePlan)).toBe(false);
  });

  it('keeps references on their step when steps move', () => {
    const draft = moveStep(draftOf(comparePlan), 0, 1);
    expect(texts(draft)).toEqual(['Who founded Isk Glassworks?', 'Who founded Vale Glassworks?', 'When was #2 born?', 'When was #1 born?']);
    expect(checkDraft(draft, question).faults).toEqual([]);
    expect(moveStep(draft, 0, -1)).toBe(draft);
    expect(moveStep(draft, 3, 1)).toBe(draft);
  });

  it('says so when a step comes before what it needs', () => {
    const { faults } = checkDraft(moveStep(draftOf(bridgePlan), 0, 1), question);
    expect(faults.join(' ')).toContain('Step 1 refers to #2, which does not come before it.');
  });

  it('renumbers what follows a removed step and asks for lost references to be written anew', () => {
    const draft = removeStep(draftOf(bridgePlan), 0);
    expect(texts(draft)).toEqual(['Where was #? born?', 'On which river does #1 lie?']);
    expect(checkDraft(draft, question).faults).toContain('Step 1 refers to a step that was removed (#?).');
    expect(checkDraft(changeStep(draft, 0, 'Where was Orrin Vale born?'), question).faults).toEqual([]);
  });

  it('refuses an empty, a repeated and an unused step, and more steps than the agent takes', () => {
    const added = addStep(draftOf(bridgePlan));
    expect(checkDraft(added, question).faults).toContain('Step 4 is empty.');
    expect(checkDraft(changeStep(added, 3, 'Who founded Vale Glassworks?'), question).faults.join(' ')).toContain('Step 4 repeats an earlier step.');
    let draft = added;
    for (let i = 0; i < 5; i++) draft = addStep(draft);
    expect(draft.steps).toHaveLength(6);
    expect(checkDraft({ steps: [], nextKey: 0 }, question).faults).toContain('The plan has no steps.');
  });

  it('moves and back again change nothing', () => {
    fc.assert(
      fc.property(plans, fc.nat(5), (plan, index) => {
        const draft = draftOf(plan);
        const there = moveStep(draft, index, 1);
        if (there !== draft) expect(texts(moveStep(there, index + 1, -1))).toEqual(texts(draft));
      }),
    );
  });
});
