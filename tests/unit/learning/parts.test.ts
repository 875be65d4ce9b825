/** Stored parts: versions come into use only by their check, go back, and what cannot be read counts as never learned. */
import { describe, expect, it } from 'vitest';
import { createAdapter, decodeAdapter } from '../../../src/learning/adapter.ts';
import { checkPart, leastPairs, pointThreshold, splitHeldBack } from '../../../src/learning/acceptance.ts';
import { adapted, decodePart, enabledValues, gateOf, latest, learnedOf, noParts, rolledBack, switched, withVersion } from '../../../src/learning/parts.ts';
import { gateFeatures } from '../../../src/learning/features.ts';
import { trainLogistic, type LogisticExample } from '../../../src/learning/logistic.ts';
import { pairedBootstrap } from '../../../src/lab/statistics.ts';
import type { PartCheck } from '../../../src/learning/record.ts';

const adapter = createAdapter('minilm', 4, 2, 1);
const held = (before: number[], after: number[]): PartCheck =>
  checkPart({ part: 'adapter', metric: 'supportRecall', supervision: 'gold-passages', trained: 10, before, after }, (a, b) => pairedBootstrap(a, b));
const alternating = Array.from({ length: 40 }, (_, i) => (i % 2 === 0 ? 1 : 0.5));

describe('the check of a part', () => {
  it('accepts what helps and says by how much', () => {
    const check = held(alternating, alternating.map((value, i) => (i % 4 === 1 ? 1 : value)));
    expect(check).toMatchObject({ accepted: true, heldBack: 40, before: 0.75 });
    expect(check.difference?.[0]).toBeCloseTo(0.125);
  });

  it('rolls back a part that was made worse on purpose', () => {
    const check = held(alternating, alternating.map((value) => value - 0.3));
    expect(check).toMatchObject({ accepted: false });
    expect(check.difference?.[1]).toBeLessThan(pointThreshold);
    const before = withVersion(noParts.adapter, { value: adapter, check: held(alternating, alternating.map((value, i) => (i % 4 === 1 ? 1 : value))) });
    const after = withVersion(before, { value: createAdapter('minilm', 4, 2, 9), check });
    expect(latest(after)).toBe(adapter);
    expect(after.refused).toBe(check);
    expect(after.enabled).toBe(true);
  });

  it('refuses what brings nothing, what was trained on nothing, and what too few examples speak for', () => {
    expect(held(alternating, alternating)).toMatchObject({ accepted: false, reason: 'it brings nothing on average' });
    expect(held([0, 0], [1, 1])).toMatchObject({ accepted: false, difference: null });
    expect(checkPart({ part: 'gate', metric: 'logLoss', supervision: 'trajectories', trained: 0, before: alternating, after: alternating.map((x) => x + 1) }, pairedBootstrap)).toMatchObject({ accepted: false, reason: 'nothing to learn from' });
    expect(leastPairs).toBeGreaterThan(2);
  });

  it('keeps a bank that changes nothing (the threshold is one point), and no bank that may lose more', () => {
    const bank = (after: number[]): PartCheck => checkPart({ part: 'bank', metric: 'f1', supervision: 'trajectories', trained: 5, before: alternating, after }, pairedBootstrap);
    expect(bank(alternating).accepted).toBe(true);
    expect(bank(alternating.map((value, i) => (i < 3 ? value - 0.5 : value))).accepted).toBe(false);
  });

  it('holds back the same questions whatever others come, about a third of them', () => {
    const ids = Array.from({ length: 300 }, (_, i) => `question-${i}`);
    const few = splitHeldBack(ids.slice(0, 30), (id) => id);
    const all = splitHeldBack(ids, (id) => id);
    expect(all.held).toEqual(expect.arrayContaining(few.held));
    expect(all.train).toEqual(expect.arrayContaining(few.train));
    expect(all.held.length).toBeGreaterThan(75);
    expect(all.held.length).toBeLessThan(130);
  });
});

describe('versions', () => {
  const good = held(alternating, alternating.map((value, i) => (i % 4 === 1 ? 1 : value)));

  it('go back one by one, and off with the last', () => {
    const second = createAdapter('minilm', 4, 2, 2);
    const two = withVersion(withVersion(noParts.adapter, { value: adapter, check: good }), { value: second, check: good });
    expect(latest(two)).toBe(second);
    expect(latest(rolledBack(two))).toBe(adapter);
    expect(rolledBack(rolledBack(two))).toMatchObject({ enabled: false, versions: [] });
  });

  it('switch on only after an accepted check', () => {
    expect(() => switched(noParts.gate, 'gate', true)).toThrowError(expect.objectContaining({ code: 'learning/not-accepted' }));
    const on = withVersion(noParts.adapter, { value: adapter, check: good });
    expect(enabledValues({ ...noParts, adapter: on })).toEqual({ adapter });
    expect(enabledValues({ ...noParts, adapter: switched(on, 'adapter', false) })).toEqual({});
  });

  it('come back from the store as they were, and damaged ones count as none', () => {
    const stored = structuredClone(withVersion(noParts.adapter, { value: adapter, check: good }));
    expect(decodePart('adapter', stored)).toEqual(stored);
    expect(decodePart('adapter', null)).toEqual(noParts.adapter);
    const damaged = { ...stored, versions: [{ value: { ...adapter, u: new Float32Array(3) }, check: good }] };
    expect(decodePart('adapter', damaged)).toEqual(noParts.adapter);
    expect(() => decodeAdapter({ ...adapter, u: new Float32Array([1, 2, 3, 4, 5, 6, 7, Number.NaN]) })).toThrowError(expect.objectContaining({ code: 'learning/bad-data' }));
    expect(decodePart('selector', { enabled: true, versions: [{ value: { features: ['other'], weights: [1], bias: 0, means: [0], scales: [1] }, check: good }], refused: null })).toEqual(noParts.selector);
  });
});

describe('in a run', () => {
  it('leaves vectors of another embedder alone', () => {
    const query = new Float32Array([1, 0, 0, 0]);
    expect(adapted(adapter, 'other', query)).toBe(query);
    expect(adapted(null, 'minilm', query)).toBe(query);
    expect([...adapted(adapter, 'minilm', query)]).toEqual([1, 0, 0, 0]);
  });

  it('the gate keeps nearly all useful searches of its training and stops the others', () => {
    const examples = Array.from({ length: 200 }, (_, i): LogisticExample => ({ x: [1, 2, (i % 20) / 20, 0.5, 4], y: i % 20 >= 10 ? 1 : 0, weight: 1 }));
    const gate = gateOf(trainLogistic(gateFeatures, examples).model, examples);
    const { searchAgain } = learnedOf({ gate });
    expect(searchAgain?.({ rounds: 1, searches: 2, freshShare: 0.9, overlap: 0.5, words: 4 }).search).toBe(true);
    expect(searchAgain?.({ rounds: 1, searches: 2, freshShare: 0.05, overlap: 0.5, words: 4 }).search).toBe(false);
  });

  it('gives nothing where nothing is switched on', () => {
    expect(learnedOf({})).toEqual({});
  });
});
