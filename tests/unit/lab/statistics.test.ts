import { describe, expect, test } from 'vitest';
import fc from 'fast-check';
import {
  bootstrapMean, bradleyTerry, calibration, cohenKappa, createRandom, holm, mcNemarExact, normalBelow, pairedBootstrap, pairedPermutation, passAtK, quantile, shuffled, standardDeviation, wilcoxonSignedRank, wilson, type Duel,
} from '../../../src/lab/statistics.ts';

/** `ones` ones among `n`. */
function binary(n: number, ones: number): number[] {
  return Array.from({ length: n }, (_, i) => (i < ones ? 1 : 0));
}

describe('bootstrap (METHODS 7, 14.11)', () => {
  // The half-widths of METHODS §7, in points.
  test.each([
    [125, 0.4, 8.6],
    [500, 0.4, 4.3],
    [1000, 0.4, 3.0],
  ])('n=%d, p=%d: the half-width is %d points', (n, p, points) => {
    const [mean, low, high] = bootstrapMean(binary(n, Math.round(n * p))) ?? [NaN, NaN, NaN];
    expect(mean).toBeCloseTo(p, 12);
    expect(Math.abs(((high - low) / 2) * 100 - points)).toBeLessThan(0.25);
  });

  test('is the same again with the same seed, and another with another', () => {
    const values = Array.from({ length: 60 }, (_, i) => (i * 37) % 11);
    expect(bootstrapMean(values)).toEqual(bootstrapMean(values));
    expect(bootstrapMean(values, { seed: 1 })).not.toEqual(bootstrapMean(values, { seed: 2 }));
  });

  test('edges: nothing, one value, equal values', () => {
    expect(bootstrapMean([])).toBeNull();
    expect(bootstrapMean([0.3], { resamples: 50 })).toEqual([0.3, 0.3, 0.3]);
    expect(bootstrapMean([1, 1, 1, 1], { resamples: 50 })).toEqual([1, 1, 1]);
  });

  test('the interval holds the mean', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 1 }), { minLength: 5, maxLength: 40 }), (values) => {
        const [mean, low, high] = bootstrapMean(values, { resamples: 2000 }) ?? [NaN, NaN, NaN];
        expect(low).toBeLessThanOrEqual(mean + 1e-9);
        expect(high).toBeGreaterThanOrEqual(mean - 1e-9);
      }),
      { numRuns: 30 },
    );
  });

  test('pairing removes what both share', () => {
    const a = Array.from({ length: 200 }, (_, i) => (i % 10) / 10 + 0.05);
    const b = Array.from({ length: 200 }, (_, i) => (i % 10) / 10);
    const [mean, low, high] = pairedBootstrap(a, b, { resamples: 1000 }) ?? [NaN, NaN, NaN];
    expect([mean, low, high].every((value) => Math.abs(value - 0.05) < 1e-9)).toBe(true);
    expect(() => pairedBootstrap([1], [1, 2])).toThrow(RangeError);
  });

  test('quantiles interpolate', () => {
    expect(quantile([1, 2, 3, 4], 0)).toBe(1);
    expect(quantile([1, 2, 3, 4], 1)).toBe(4);
    expect(quantile([1, 2, 3, 4], 0.5)).toBe(2.5);
    expect(quantile([10], 0.3)).toBe(10);
  });
});

describe('permutation', () => {
  test('five differences of one sign: 2 of 32 patterns', () => {
    expect(pairedPermutation([1, 1, 1, 1, 1], [0, 0, 0, 0, 0])).toBe(2 / 32);
    expect(pairedPermutation([0, 0, 0, 0, 0], [1, 1, 1, 1, 1])).toBe(2 / 32);
  });

  test('ties stay out; without a difference p is 1', () => {
    expect(pairedPermutation([1, 1, 1, 0.5, 0.5], [0, 0, 0, 0.5, 0.5])).toBe(2 / 8);
    expect(pairedPermutation([0.2, 0.7], [0.2, 0.7])).toBe(1);
  });

  test('on binary scores, drawn sign flips agree with the exact sign test', () => {
    // 30 discordant, 20 to 10: exact two-sided .0987.
    const a = [...binary(30, 20), ...binary(10, 5)];
    const b = [...binary(30, 20).map((x) => 1 - x), ...binary(10, 5)];
    expect(mcNemarExact(20, 10)).toBeCloseTo(0.0987, 4);
    expect(pairedPermutation(a, b)).toBeGreaterThan(0.085);
    expect(pairedPermutation(a, b)).toBeLessThan(0.113);
  });

  test('never 0', () => {
    expect(pairedPermutation(binary(100, 100), binary(100, 0), { resamples: 99 })).toBe(1 / 100);
  });
});

describe('McNemar, Holm, Wilson', () => {
  test('McNemar by the formula', () => {
    expect(mcNemarExact(1, 9)).toBeCloseTo((2 * (1 + 10)) / 1024, 12);
    expect(mcNemarExact(9, 1)).toBeCloseTo(0.021484375, 12);
    expect(mcNemarExact(5, 5)).toBe(1);
    expect(mcNemarExact(0, 0)).toBe(1);
    expect(mcNemarExact(0, 6)).toBeCloseTo(2 / 64, 12);
  });

  test('McNemar does not overflow', () => {
    const p = mcNemarExact(1000, 1200);
    expect(p).toBeGreaterThan(1e-6);
    expect(p).toBeLessThan(1e-4);
  });

  test('Holm steps down and stops at the first that fails', () => {
    expect(holm([0.01, 0.04, 0.03]).map((row) => Number(row.adjusted.toFixed(4)))).toEqual([0.03, 0.06, 0.06]);
    expect(holm([0.01, 0.04, 0.03]).map((row) => row.rejected)).toEqual([true, false, false]);
    // .03 is over .05/2, so .04 is not rejected either, though it is under .05.
    expect(holm([0.03, 0.04]).map((row) => row.rejected)).toEqual([false, false]);
    expect(holm([0.02, 0.04]).map((row) => row.rejected)).toEqual([true, true]);
    expect(holm([])).toEqual([]);
  });

  test('Wilson for 8 of 10 and the edges', () => {
    const [p, low, high] = wilson(8, 10) ?? [NaN, NaN, NaN];
    expect(p).toBe(0.8);
    expect(low).toBeCloseTo(0.4902, 4);
    expect(high).toBeCloseTo(0.9433, 4);
    expect(wilson(0, 20)?.[1]).toBe(0);
    expect(wilson(0, 20)?.[2]).toBeCloseTo(0.1611, 4);
    expect(wilson(0, 0)).toBeNull();
  });
});

describe('randomness', () => {
  test('a shuffle keeps every item and depends on the seed only', () => {
    const items = Array.from({ length: 500 }, (_, i) => i);
    expect([...shuffled(items, 13)].sort((a, b) => a - b)).toEqual(items);
    expect(shuffled(items, 13)).toEqual(shuffled(items, 13));
    expect(shuffled(items, 13)).not.toEqual(shuffled(items, 14));
    expect(shuffled(items, 13)).not.toEqual(items);
  });

  test('integers are spread evenly', () => {
    const random = createRandom(7);
    const counts = new Array<number>(10).fill(0);
    for (let i = 0; i < 100_000; i++) {
      const n = random.integer(10);
      counts[n] = (counts[n] ?? 0) + 1;
    }
    for (const count of counts) expect(Math.abs(count - 10_000)).toBeLessThan(500);
  });
});

describe('Wilcoxon signed rank', () => {
  test('exact: ten pairs of a textbook example', () => {
    // Differences 15 −7 5 20 0 −9 17 −12 5 −10: zero left out, the two 5s share rank 1.5; W+ = 7 + 1.5 + 9 + 8 + 1.5 = 27, W− = 3 + 4 + 6 + 5 = 18.
    const a = [125, 115, 130, 140, 140, 115, 140, 125, 140, 135];
    const b = [110, 122, 125, 120, 140, 124, 123, 137, 135, 145];
    const result = wilcoxonSignedRank(a, b);
    expect(result).toMatchObject({ n: 9, w: 18 });
    // Both tails by counting all 2^9 sign patterns of the nine ranks.
    const ranks = [7, 3, 1.5, 9, 4, 8, 6, 1.5, 5];
    let below = 0;
    for (let pattern = 0; pattern < 512; pattern++) if (ranks.reduce((sum, rank, i) => sum + (((pattern >> i) & 1) === 1 ? rank : 0), 0) <= 18) below++;
    expect(result?.p).toBeCloseTo((2 * below) / 512, 12);
  });

  test('six differences of one sign: p = 2 / 2^6', () => {
    expect(wilcoxonSignedRank([1, 2, 3, 4, 5, 6], [0, 0, 0, 0, 0, 0])).toEqual({ n: 6, w: 0, p: 2 / 64 });
  });

  test('many pairs: the normal approximation with continuity correction', () => {
    // d = 1…30 with every third negative: W− = 3 + 6 + … + 30 = 165, μ = 232.5, σ² = 30·31·61/24.
    const d = Array.from({ length: 30 }, (_, i) => (i % 3 === 2 ? -(i + 1) : i + 1));
    const result = wilcoxonSignedRank(d, d.map(() => 0));
    expect(result?.w).toBe(165);
    expect(result?.p).toBeCloseTo(2 * normalBelow((165 - 232.5 + 0.5) / Math.sqrt((30 * 31 * 61) / 24)), 10);
    expect(normalBelow(-1.959963984540054)).toBeCloseTo(0.025, 6);
    expect(normalBelow(1)).toBeCloseTo(0.8413447, 6);
  });

  test('nothing differs', () => expect(wilcoxonSignedRank([1, 2], [1, 2])).toBeNull());
});

test('pass@k', () => {
  expect(passAtK(5, 2, 1)).toBeCloseTo(0.4);
  // 1 − C(3,2)/C(5,2) = 1 − 3/10.
  expect(passAtK(5, 2, 2)).toBeCloseTo(0.7);
  expect(passAtK(5, 2, 4)).toBe(1);
  expect(passAtK(5, 0, 5)).toBe(0);
  expect(() => passAtK(3, 1, 4)).toThrow(RangeError);
});

test('standard deviation of a sample', () => {
  expect(standardDeviation([2, 4, 4, 4, 5, 5, 7, 9])).toBeCloseTo(Math.sqrt(32 / 7));
  expect(standardDeviation([3])).toBe(0);
});

describe('Cohen’s kappa', () => {
  test('a table of 50: 20 yes-yes, 15 no-no, 5 and 10 apart', () => {
    const a = [...Array<string>(25).fill('yes'), ...Array<string>(25).fill('no')];
    const b = [...Array<string>(20).fill('yes'), ...Array<string>(5).fill('no'), ...Array<string>(10).fill('yes'), ...Array<string>(15).fill('no')];
    // Agreement .7, by chance .5·.6 + .5·.4 = .5: κ = .4.
    expect(cohenKappa(a, b)).toBeCloseTo(0.4, 12);
  });

  test('open where chance alone agrees', () => {
    expect(cohenKappa(['a', 'a'], ['a', 'a'])).toBeNull();
    expect(cohenKappa([], [])).toBeNull();
    expect(cohenKappa(['a', 'b'], ['b', 'a'])).toBe(-1);
  });
});

test('expected calibration error over ten bins', () => {
  const items = [
    ...Array.from({ length: 4 }, (_, i) => ({ confidence: 0.95, isRight: i < 3 })),
    ...Array.from({ length: 6 }, (_, i) => ({ confidence: 0.25, isRight: i < 3 })),
  ];
  // .4·|.95 − .75| + .6·|.25 − .5| = .08 + .15.
  const result = calibration(items);
  expect(result?.ece).toBeCloseTo(0.23, 12);
  expect(result?.bins.map(({ n }) => n)).toEqual([0, 0, 6, 0, 0, 0, 0, 0, 0, 4]);
  expect(calibration([{ confidence: 1, isRight: true }])?.ece).toBe(0);
  expect(calibration([])).toBeNull();
});

describe('Bradley–Terry', () => {
  const duel = (winner: string, loser: string): Duel => ({ winner, loser, isDraw: false });

  test('two systems: odds of three to one are 400·log10(3) points apart, save for the two phantom draws', () => {
    const duels = [...Array.from({ length: 300 }, () => duel('a', 'b')), ...Array.from({ length: 100 }, () => duel('b', 'a'))];
    const [first, second] = bradleyTerry(duels, { resamples: 200 });
    expect(first?.name).toBe('a');
    expect((first?.score ?? 0) - (second?.score ?? 0)).toBeCloseTo(400 * Math.log10(3), -0.5);
    expect(((first?.score ?? 0) + (second?.score ?? 0)) / 2).toBeCloseTo(1000, 6);
    expect(first?.low).toBeLessThan(first?.score ?? 0);
    expect(first?.high).toBeGreaterThan(first?.score ?? 0);
    expect(first?.low).toBeGreaterThan(second?.high ?? 0);
  });

  test('draws are equal, a perfect record stays finite, order is transitive', () => {
    const drawn = bradleyTerry([{ winner: 'a', loser: 'b', isDraw: true }], { resamples: 20 });
    expect(drawn.map(({ score }) => Math.round(score))).toEqual([1000, 1000]);
    const chain = bradleyTerry([...Array.from({ length: 10 }, () => duel('a', 'b')), ...Array.from({ length: 10 }, () => duel('b', 'c'))], { resamples: 20 });
    expect(chain.map(({ name }) => name)).toEqual(['a', 'b', 'c']);
    expect(chain.every(({ score }) => Number.isFinite(score))).toBe(true);
    expect(bradleyTerry([])).toEqual([]);
  });
});
