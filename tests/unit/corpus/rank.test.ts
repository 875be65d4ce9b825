import { describe, expect, it } from 'vitest';
import * as v from 'valibot';
import { fuseRanks, shares } from '../../../src/corpus/fusion.ts';
import {
  featureCount, featureNames, features, generalWeights, personalisedPageRank, rankWeightsSchema, scoreRows, strengths, weightArray, type CandidateFacts, type CandidateLink, type FeatureName,
} from '../../../src/corpus/rank.ts';

function random(seed: number): () => number {
  let state = seed;
  return () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32;
}

describe('reciprocal rank fusion', () => {
  const list = (...ordinals: number[]) => ordinals.map((ordinal, i) => ({ ordinal, score: 10 - i }));

  it('is the formula: the sum of 1 / (k + rank), scaled to 1 for the first of all lists', () => {
    const fused = fuseRanks([list(7, 3, 5), list(3, 7)], [1, 1], 60);
    expect(fused.get(7)).toBeCloseTo((61 / 2) * (1 / 61 + 1 / 62), 12);
    expect(fused.get(3)).toBeCloseTo((61 / 2) * (1 / 62 + 1 / 61), 12);
    expect(fused.get(5)).toBeCloseTo((61 / 2) * (1 / 63), 12);
    expect(fuseRanks([list(4), list(4)], [0.3, 0.7], 60).get(4)).toBeCloseTo(1, 12);
  });

  it('an empty list takes no part', () => {
    expect(fuseRanks([list(4), []], [0.3, 0.7], 60).get(4)).toBeCloseTo(1, 12);
    expect(fuseRanks([[], []], [1, 1], 60).size).toBe(0);
  });

  it('shares run from 0 at the floor to 1, and are 1 where all are equal', () => {
    expect([...shares([{ ordinal: 1, score: 9 }, { ordinal: 2, score: 6 }, { ordinal: 3, score: 5 }], 5).values()]).toEqual([1, 0.25, 0]);
    expect([...shares([{ ordinal: 1, score: 5 }, { ordinal: 2, score: 5 }], 5).values()]).toEqual([1, 1]);
  });
});

describe('personalised PageRank', () => {
  it('equals the power of a dense matrix', () => {
    const next = random(11);
    for (let trial = 0; trial < 40; trial++) {
      const n = 1 + Math.floor(next() * 12);
      const edges = Array.from({ length: Math.floor(next() * 3 * n) }, () => ({ from: Math.floor(next() * n), to: Math.floor(next() * n), weight: 0.1 + next() }));
      const restart = Float64Array.from({ length: n }, () => (next() < 0.4 ? next() : 0));
      const mass = restart.reduce((a, b) => a + b, 0);
      const start = Array.from(restart, (x) => (mass > 0 ? x / mass : 0));
      const damping = 0.2 + 0.7 * next();
      // M[i][j]: what flows from j to i in a step; what does not move restarts.
      const weight = Array.from({ length: n }, () => new Array<number>(n).fill(0));
      for (const e of edges) weight[e.to]![e.from]! += e.weight;
      const total = Array.from({ length: n }, (_, j) => weight.reduce((sum, row) => sum + row[j]!, 0));
      const matrix = weight.map((row, i) => row.map((w, j) => (total[j]! > 0 ? (damping * w) / total[j]! + (1 - damping) * start[i]! : start[i]!)));
      let expected = [...start];
      for (let step = 0; step < 5; step++) expected = matrix.map((row) => row.reduce((sum, w, j) => sum + w * expected[j]!, 0));
      const found = personalisedPageRank(n, edges, restart, damping, 5);
      for (let i = 0; i < n; i++) expect(found[i]).toBeCloseTo(expected[i]!, 10);
      if (mass > 0) expect(found.reduce((a, b) => a + b, 0)).toBeCloseTo(1, 10);
    }
  });

  it('without a place to restart there is no mass', () => {
    expect([...personalisedPageRank(3, [{ from: 0, to: 1, weight: 1 }], new Float64Array(3), 0.5, 4)]).toEqual([0, 0, 0]);
  });
});

describe('features', () => {
  const fact = (ordinal: number, change: Partial<CandidateFacts> = {}): CandidateFacts => ({
    ordinal, score: 0, words: 0, wordsRank: 0, meaning: 0, meaningRank: 0, isNamed: false, terms: 0, titleTerms: 0, titleLength: 1, isLead: true, document: ordinal, incoming: 0, ...change,
  });
  const link = (from: number, to: number, direction: 'out' | 'in' = 'out', change: Partial<CandidateLink> = {}): CandidateLink => ({ from, to, direction, dilution: 1, sibling: 1, ...change });
  const of = (matrix: Float64Array, row: number, name: FeatureName): number => matrix[row * featureCount + featureNames.indexOf(name)] ?? NaN;

  it('tell what the seed leaves over of the question, and who links', () => {
    // Terms of weight 1, 2, 3: the seed has the first two, the candidate the last.
    const candidates = [fact(10, { words: 1, terms: 0b011 }), fact(20, { words: 0.2, terms: 0b100 })];
    const matrix = features(candidates, Float64Array.of(0.5, 0.1), [link(10, 20, 'out', { dilution: 0.5, sibling: 0.8 }), link(10, 99), link(98, 20)], [1, 2, 3]);
    expect(of(matrix, 0, 'coverage')).toBeCloseTo(0.5);
    expect(of(matrix, 1, 'coverage')).toBeCloseTo(0.5);
    expect(of(matrix, 1, 'outBest')).toBe(1);
    expect(of(matrix, 1, 'outResidual')).toBeCloseTo(0.5);
    expect(of(matrix, 1, 'outTogether')).toBeCloseTo(1);
    expect(of(matrix, 1, 'outShared')).toBeCloseTo(0.5);
    expect(of(matrix, 1, 'outSibling')).toBeCloseTo(0.8);
    expect(of(matrix, 1, 'inBest')).toBe(0);
    expect(of(matrix, 0, 'outBest')).toBe(0);
    expect(of(matrix, 1, 'strength')).toBeCloseTo(0.2);
  });

  it('do not depend on the order of links, and stay within bounds', () => {
    const next = random(5);
    for (let trial = 0; trial < 30; trial++) {
      const n = 2 + Math.floor(next() * 10);
      const candidates = Array.from({ length: n }, (_, i) =>
        fact(3 * i, { words: next(), score: 60 * next(), terms: Math.floor(next() * 2 ** 31), titleTerms: 3, titleLength: 2, isNamed: next() < 0.3, incoming: Math.floor(next() * 200), wordsRank: i }),
      );
      const weights = Array.from({ length: 31 }, () => next());
      const links = Array.from({ length: 40 }, () => link(3 * Math.floor(next() * n), 3 * Math.floor(next() * n), next() < 0.5 ? 'out' : 'in', { dilution: next(), sibling: next() }));
      const some = Float64Array.from(candidates, () => next());
      const matrix = features(candidates, some, links, weights);
      const turned = features(candidates, some, [...links].reverse(), weights);
      matrix.forEach((value, i) => {
        expect(turned[i]).toBeCloseTo(value, 12);
        expect(value).toBeGreaterThanOrEqual(0);
        expect(value).toBeLessThanOrEqual(4);
      });
    }
  });

  it('are scored by the sum of weight × feature; strengths are shares of the best', () => {
    const matrix = features([fact(1, { words: 0.5 }), fact(2, { words: 1, isNamed: true })], Float64Array.of(0, 0), [], []);
    const scores = scoreRows(matrix, weightArray({ words: 2, named: 3 }));
    expect([...scores]).toEqual([1, 5]);
    expect([...strengths(scores)]).toEqual([Math.exp(-2), 1]);
  });
});

describe('weights', () => {
  it('the general ones are sound and use no feature that is not there', () => {
    expect(generalWeights.learnedOn).not.toBe('');
    for (const stage of [...generalWeights.words, ...generalWeights.hybrid]) {
      expect(Object.keys(stage).every((name) => (featureNames as readonly string[]).includes(name))).toBe(true);
      expect(weightArray(stage).every(Number.isFinite)).toBe(true);
      expect(weightArray(stage).some((weight) => weight !== 0)).toBe(true);
    }
  });

  it.each<[string, unknown]>([
    ['a number that is none', { learnedOn: '', words: [{ words: 'x' }, {}], hybrid: [{}, {}] }],
    ['a weight beyond all measure', { learnedOn: '', words: [{ words: 1e9 }, {}], hybrid: [{}, {}] }],
    ['a missing stage', { learnedOn: '', words: [{}], hybrid: [{}, {}] }],
    ['nothing', null],
  ])('refuse %s', (_what, value) => {
    expect(v.safeParse(rankWeightsSchema, value).success).toBe(false);
  });

  it('pass over names of another version', () => {
    const read = v.parse(rankWeightsSchema, { learnedOn: 'x', words: [{ words: 1, telepathy: 2 }, {}], hybrid: [{}, {}] });
    expect([...weightArray(read.words[0])]).toEqual(featureNames.map((name) => (name === 'words' ? 1 : 0)));
  });
});
