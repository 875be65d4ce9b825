import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { advantagesOf, edgeF1, goldPlan, matchSteps, planReward, scorePlan, selfConsistency, verbalise, type Matching } from '../../../src/agent/decomposition.ts';
import { planFromSteps } from '../../../src/agent/plan.ts';
import { toyQuestion } from '../../fixtures/toy.ts';

const table = [[0.9, 0.2, 0.1], [0.3, 0.8, 0.4]];
const sumOf = (similarities: readonly (readonly number[])[], matching: Matching): number =>
  matching.reduce<number>((sum, j, i) => sum + (j === null ? 0 : similarities[i]![j]!), 0);

/** All one-to-one assignments, by trying them. */
function bruteForce(similarities: readonly (readonly number[])[], golds: number, i = 0, used = 0): number {
  if (i === similarities.length) return 0;
  let best = bruteForce(similarities, golds, i + 1, used);
  for (let j = 0; j < golds; j++) if ((used & (1 << j)) === 0) best = Math.max(best, similarities[i]![j]! + bruteForce(similarities, golds, i + 1, used | (1 << j)));
  return best;
}

describe('METHODS §14.2: decomposition reward', () => {
  it('gives the worked example', () => {
    expect(planReward(table, 3)).toMatchObject({ precision: expect.closeTo(0.85) as number, reward: 0.68 });
    expect(planReward(table, 3).recall).toBeCloseTo(0.567, 3);
    expect(planReward(table, 3, { hard: 0.7 }).reward).toBe(0.8);
  });

  it('gives plan B of Appendix A', () => {
    expect(planReward([[1, 0, 0], [0, 0.1, 0.75]], 3).reward).toBeCloseTo(0.7);
  });

  it('matches as well as trying everything, for up to six steps on either side', () => {
    const rows = fc.integer({ min: 1, max: 6 }).chain((m) => fc.tuple(fc.constant(m), fc.array(fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: m, maxLength: m }), { minLength: 1, maxLength: 6 })));
    fc.assert(
      fc.property(rows, ([golds, similarities]) => {
        const matching = matchSteps(similarities, golds);
        const used = matching.filter((j) => j !== null);
        expect(new Set(used).size).toBe(used.length);
        expect(used.length).toBe(Math.min(golds, similarities.length));
        expect(sumOf(similarities, matching)).toBeCloseTo(bruteForce(similarities, golds), 9);
      }),
      { numRuns: 150 },
    );
  });

  it('does not depend on the order of the steps', () => {
    const swapped = [[0.4, 0.3, 0.8], [0.1, 0.9, 0.2]];
    expect(planReward(swapped, 3).reward).toBeCloseTo(planReward(table, 3).reward);
  });

  it('is 1 only for a perfect plan; splitting a step lowers precision, dropping one lowers recall', () => {
    const perfect = planReward([[1, 0], [0, 1]], 2);
    expect(perfect.reward).toBe(1);
    const split = planReward([[0.6, 0], [0.6, 0], [0, 1]], 2);
    expect(split.precision).toBeLessThan(perfect.precision);
    const dropped = planReward([[1, 0]], 2);
    expect(dropped.recall).toBeLessThan(perfect.recall);
    expect(dropped.precision).toBe(1);
    expect(planReward([], 2).reward).toBe(0);
    expect(planReward([[2], [-1]], 1).reward).toBeCloseTo(2 / 3);
  });

  it('prefers matches in order among equals', () => {
    expect(matchSteps([[0.5, 0.5], [0.5, 0.5]], 2)).toEqual([0, 1]);
    expect(() => matchSteps([[0]], 13)).toThrow(RangeError);
  });

  it('scores whole plans: an invalid one earns nothing, edges and number of steps count apart', () => {
    const gold = goldPlan(['Vale Glassworks >> founder', 'Where was #1 born?', 'On which river is #2?'], toyQuestion);
    expect(gold.nodes[0]?.q).toBe('What is the founder of Vale Glassworks?');
    expect(scorePlan(gold, gold, toyQuestion)).toEqual({ soft: 1, hard: 1, edgeF1: 1, countError: 0, valid: true });
    const shorter = planFromSteps(['What is the founder of Vale Glassworks?', 'On which river is the birthplace of #1?'], toyQuestion, 'llm');
    const scores = scorePlan(shorter, gold, toyQuestion);
    expect(scores).toMatchObject({ countError: -1, valid: true });
    expect(scores.soft).toBeGreaterThan(0.5);
    expect(scores.soft).toBeLessThan(1);
    const cyclic = { ...gold, nodes: gold.nodes.map((node) => (node.id === 1 ? { ...node, q: 'What is the founder of #3?', deps: [3] } : node)) };
    expect(scorePlan(cyclic, gold, toyQuestion)).toMatchObject({ soft: 0, hard: 0, valid: false });
  });

  it('compares dependency edges through the matching', () => {
    const gold = planFromSteps(['Who founded A?', 'Where was #1 born?', 'Which river is #2 on?'], toyQuestion, 'gold');
    const skips = planFromSteps(['Who founded A?', 'Where was #1 born?', 'Which river is #1 on?'], toyQuestion, 'llm');
    expect(edgeF1(skips, gold, [0, 1, 2])).toBeCloseTo(0.5);
    expect(edgeF1(skips, gold, [0, null, null])).toBe(0);
    const flat = planFromSteps(['Who founded A?', 'Who founded B?'], toyQuestion, 'llm');
    expect(edgeF1(flat, flat, [0, 1])).toBe(1);
  });

  it('puts relations into words', () => {
    expect(verbalise('Mira Lund >> place of birth')).toBe('What is the place of birth of Mira Lund?');
    expect(verbalise('Where was Mira Lund born?')).toBe('Where was Mira Lund born?');
    expect(verbalise('a >> b >> c')).toBe('a >> b >> c');
  });
});

describe('plan self-consistency (METHODS §8.4)', () => {
  const plan = (...steps: string[]) => planFromSteps(steps, toyQuestion, 'llm');

  it('takes the plan that is most like the others', () => {
    const common = plan('Who founded Vale Glassworks?', 'Where was #1 born?', 'On which river is #2?');
    const near = plan('Who is the founder of Vale Glassworks?', 'Where was #1 born?', 'On which river is #2?');
    const odd = plan('What is a lamp?', 'How old is #1?');
    const { medoid, consistency, advantages } = selfConsistency([odd, common, near]);
    expect(medoid).not.toBe(0);
    expect(consistency).toBeGreaterThan(0);
    expect(consistency).toBeLessThan(1);
    expect(advantages[0]).toBeLessThan(0);
    expect(selfConsistency([common, common, common])).toEqual({ medoid: 0, consistency: expect.closeTo(1) as number, advantages: [0, 0, 0] });
    expect(selfConsistency([odd]).medoid).toBe(0);
    expect(() => selfConsistency([])).toThrow(RangeError);
  });

  it('gives advantages of mean 0 and deviation 1', () => {
    const values = advantagesOf([0, 0.5, 1, 0.5]);
    expect(values.reduce((sum, value) => sum + value, 0)).toBeCloseTo(0);
    expect(values.reduce((sum, value) => sum + value * value, 0) / 4).toBeCloseTo(1);
  });
});
