import { describe, expect, test } from 'vitest';
import {
  budgetCurve, costAwareF1, ctar, entityScores, gatedF1, moveOf, overlapOf, scoreBehaviour, searchEfficiency, searchQuality, selfKnowledge, stepRewards, tfIdfCloseness, type SearchStep,
} from '../../../src/lab/behaviour.ts';
import { toyPassages } from '../../fixtures/toy.ts';

const step = (query: string, ...ids: string[]): SearchStep => ({
  query, passages: ids.map((id) => toyPassages.find((passage) => passage.id === id) ?? { id, title: id, text: '' }),
});
/** z1 of METHODS Appendix A. */
const z1 = [step('founder Vale Glassworks', 'd2', 'd1'), step('Orrin Vale born', 'd1', 'd2'), step('Teshmoor river', 'd3')];

describe('repetition and novelty', () => {
  test('queries like an earlier one, and new passages', () => {
    const scores = scoreBehaviour([step('founder of Vale Glassworks', 'd2', 'd1'), step('Founder of the Vale Glassworks?', 'd1', 'd2'), step('Teshmoor river', 'd3', 'd1')]);
    expect(scores.repetition).toBeCloseTo(1 / 3);
    expect(scores.novelty).toBeCloseTo((1 + 0 + 0.5) / 3);
    expect(scores.noveltyBySearch).toEqual([1, 0, 0.5]);
    expect(scores.uniquePassages).toBe(3);
  });

  test('without searches nothing is claimed', () => {
    expect(scoreBehaviour([])).toMatchObject({ repetition: null, novelty: null, uniquePassages: 0, ctar: null });
    expect(scoreBehaviour([step('x')])).toMatchObject({ repetition: null, novelty: null, uniquePassages: 0, ctar: null });
  });
});

describe('CTAR (METHODS 4.11)', () => {
  test('Appendix A, z1 step 3: of {teshmoor, river} only teshmoor was seen before', () => {
    expect(ctar(z1, 2)).toBe(1 / 2);
  });

  test('undefined for the first search and where no term is new', () => {
    expect(ctar(z1, 0)).toBeNull();
    expect(ctar([step('Vale Glassworks', 'd2'), step('Glassworks Vale')], 1)).toBeNull();
  });

  test('passages of all earlier searches count', () => {
    expect(ctar([step('harbour lamps', 'd2'), step('Karr', 'd5'), step('Orrin lamps')], 2)).toBe(1);
  });
});

test('kinds of moves', () => {
  expect(moveOf('Vale Glassworks', 'Vale Glassworks founder')).toBe('specialise');
  expect(moveOf('Vale Glassworks founder birthplace', 'Vale Glassworks')).toBe('generalise');
  expect(moveOf('founder of Vale Glassworks', 'Vale Glassworks founder')).toBe('repeat');
  expect(moveOf('Vale Glassworks', 'Teshmoor river')).toBe('shift');
});

describe('step rewards (METHODS 5.10)', () => {
  const exact = (passage: { id: string }, gold: string): number => (passage.id === gold ? 1 : 0);

  test('a second identical search gains nothing and is all redundancy: −1 (acceptance test 9)', () => {
    const [first, second] = stepRewards([step('a', 'd1', 'd2'), step('a', 'd1', 'd2')], ['d1'], exact);
    expect(first).toEqual({ gain: 1, redundancy: 0, reward: 1 });
    expect(second).toEqual({ gain: 0, redundancy: 1, reward: -1 });
  });

  test('z1 of Appendix A: half the gold, then nothing new, then the other half', () => {
    expect(stepRewards(z1, ['d1', 'd3'], exact)).toEqual([
      { gain: 0.5, redundancy: 0, reward: 0.5 },
      { gain: 0, redundancy: 1, reward: -1 },
      { gain: 0.5, redundancy: 0, reward: 0.5 },
    ]);
  });

  test('closeness below 1 counts by what it adds to the best so far', () => {
    const near = new Map([['d1', 0.4], ['d2', 0.7]]);
    const [first, second] = stepRewards([step('a', 'd1'), step('b', 'd2')], ['g'], (passage) => near.get(passage.id) ?? 0);
    expect(first?.gain).toBeCloseTo(0.4);
    expect(second?.gain).toBeCloseTo(0.3);
  });

  test('without gold there is none', () => expect(stepRewards(z1, [], exact)).toEqual([]));

  test('TF-IDF: a text is 1 to itself, 0 to one that shares no word', () => {
    const near = tfIdfCloseness(['harbour lamps of Karr', 'river Isk', 'harbour wall']);
    expect(near('river Isk', 'river Isk')).toBeCloseTo(1);
    expect(near('river Isk', 'harbour wall')).toBe(0);
    // idf(harbour) = ln(1 + 3/2), idf of the others = ln 4.
    const [h, r] = [Math.log(2.5), Math.log(4)];
    expect(near('harbour lamps of Karr', 'harbour wall')).toBeCloseTo((h * h) / (Math.hypot(h, r, r) * Math.hypot(h, r)));
  });
});

describe('what searching costs', () => {
  test('cost-aware F1: e^(−.1) for one search too many, nothing for saving', () => {
    expect(costAwareF1(0.8, 3, 2)).toBeCloseTo(0.8 * Math.exp(-0.1));
    expect(costAwareF1(0.8, 1, 2)).toBe(0.8);
  });

  test('gated F1: nothing without quotes, or where one does not stand', () => {
    expect([gatedF1(0.8, 1), gatedF1(0.8, 0.5), gatedF1(0.8, null)]).toEqual([0.8, 0, 0]);
  });

  test('SE: mean of F1 a search', () => {
    expect(searchEfficiency([{ f1: 1, searches: 2 }, { f1: 0.5, searches: 0 }, { f1: 0, searches: 4 }])).toBeCloseTo((0.5 + 0.5 + 0) / 3);
    expect(searchEfficiency([])).toBeNull();
  });

  test('SQ: right with good queries only, or wrong with at least one', () => {
    const items = [{ isRight: true, good: [true, true] }, { isRight: true, good: [true, false] }, { isRight: false, good: [false, true] }, { isRight: false, good: [false] }];
    expect(searchQuality(items)).toBe(0.5);
  });

  test('over- and under-search, self-knowledge (METHODS 4.5)', () => {
    const items = [
      { searched: true, closedBookRight: true }, { searched: true, closedBookRight: false }, { searched: false, closedBookRight: true }, { searched: false, closedBookRight: false },
      { searched: true, closedBookRight: true },
    ];
    // One of two unsearched is right; one of three known was recognised: F1 = 2·(1/2·1/3)/(5/6) = .4.
    const scores = selfKnowledge(items);
    expect(scores).toMatchObject({ overSearch: 0.4, underSearch: 0.2, precision: 0.5, recall: 1 / 3 });
    expect(scores?.f1).toBeCloseTo(0.4);
    expect(selfKnowledge([])).toBeNull();
  });

  test('accuracy within a budget and the area under it', () => {
    const curve = budgetCurve([{ score: 1, searches: 0 }, { score: 1, searches: 2 }, { score: 0, searches: 1 }, { score: 1, searches: 9 }], 4);
    expect(curve?.accuracy).toEqual([0.25, 0.25, 0.5, 0.5, 0.5]);
    expect(curve?.area).toBeCloseTo((0.25 + 0.375 + 0.5 + 0.5) / 4);
    expect(budgetCurve([], 4)).toBeNull();
  });

  test('ISR and ISE (METHODS 4.21)', () => {
    expect(entityScores(['Orrin Vale', 'the Isk', 'Karr', 'Teshmoor'], ['isk', 'Orrin Vale', 'nobody', 'Isk'], 4)).toEqual({ isr: 0.5, ise: 0.5 });
    expect(entityScores([], ['a'], 1)).toBeNull();
  });

  test('overlap of two result lists', () => {
    expect(overlapOf(['a', 'b', 'c'], ['b', 'c', 'd'])).toBe(0.5);
    expect(overlapOf([], [])).toBe(1);
  });
});
