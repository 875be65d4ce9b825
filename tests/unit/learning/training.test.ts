/** The trained parts: gradients against finite differences, likelihood that rises to a known optimum, the same result for the same seed. */
import { describe, expect, it } from 'vitest';
import { adapterDefaults, adapterGradient, adaptQuery, createAdapter, trainAdapter, type Adapter, type AdapterExample } from '../../../src/learning/adapter.ts';
import { logisticGradient, logLoss, probability, trainLogistic, type LogisticExample, type LogisticModel } from '../../../src/learning/logistic.ts';
import { createRandom } from '../../../src/learning/random.ts';

function unit(values: readonly number[]): Float32Array {
  const length = Math.hypot(...values);
  return Float32Array.from(values, (value) => value / length);
}

function examples(count: number, dimensions: number, seed: number): AdapterExample[] {
  const random = createRandom(seed);
  const vector = (): Float32Array => unit(Array.from({ length: dimensions }, () => random.normal()));
  return Array.from({ length: count }, (_, i) => ({ query: vector(), positives: i % 2 === 0 ? [vector()] : [vector(), vector()], negatives: [vector(), vector()], weight: 0.25 + random.uniform() }));
}

describe('the query adapter', () => {
  it('starts as the identity and gives unit vectors', () => {
    const query = unit([1, 2, 3, 4]);
    expect([...adaptQuery(createAdapter('e', 4, 2, 7), query)].map((x) => x.toFixed(6))).toEqual([...query].map((x) => x.toFixed(6)));
    const moved: Adapter = { ...createAdapter('e', 4, 2, 7), b: Float32Array.from([0.5, 0, 0, -1]) };
    expect(Math.hypot(...adaptQuery(moved, query))).toBeCloseTo(1, 5);
  });

  it('has the gradient that finite differences show', () => {
    const batch = examples(4, 5, 3);
    const start = createAdapter('e', 5, 2, 11);
    const random = createRandom(5);
    // Away from the start, so that the decay and U count.
    const adapter: Adapter = { ...start, u: start.u.map(() => random.normal() * 0.3), v: start.v.map((x) => x + random.normal() * 0.1), b: start.b.map(() => random.normal() * 0.2) };
    const options = { temperature: 0.5, decay: 0.1 };
    const gradient = adapterGradient(adapter, start, batch, options);
    const step = 2 ** -8;
    for (const name of ['u', 'v', 'b'] as const) {
      for (let i = 0; i < adapter[name].length; i++) {
        const at = (delta: number): number => {
          const values = adapter[name].slice();
          values[i] = values[i]! + delta;
          return adapterGradient({ ...adapter, [name]: values }, start, batch, options).loss;
        };
        const numeric = (at(step) - at(-step)) / (2 * step);
        expect(Math.abs(numeric - gradient[name][i]!), `${name}[${i}]`).toBeLessThan(2e-3 * Math.max(1, Math.abs(numeric)));
      }
    }
  });

  it('learns a known turn of the space: what was far comes first', () => {
    // Each query points along one axis, its passage along the next: the best adapter maps axis i to axis i+1.
    const axis = (i: number): Float32Array => unit(Array.from({ length: 8 }, (_, j) => (j === i % 8 ? 1 : 0.02)));
    const batch = Array.from({ length: 8 }, (_, i): AdapterExample => ({ query: axis(i), positives: [axis(i + 1)], negatives: [axis(i), axis(i + 3)], weight: 1 }));
    const { adapter, losses } = trainAdapter('e', 8, batch, { ...adapterDefaults, rank: 8, epochs: 150, rate: 0.1, decay: 1e-4, temperature: 0.2 });
    expect(losses.at(-1)!).toBeLessThan(losses[0]! / 4);
    for (const { query, positives } of batch) {
      const out = adaptQuery(adapter, query);
      const similarity = (vector: Float32Array): number => out.reduce((sum, value, i) => sum + value * vector[i]!, 0);
      const all = Array.from({ length: 8 }, (_, i) => axis(i));
      expect([...all].sort((a, b) => similarity(b) - similarity(a))[0]).toEqual(positives[0]);
    }
  });

  it('gives the same numbers for the same seed, others for another, and leaves out examples without weight', () => {
    const batch = examples(12, 6, 1);
    const train = (seed: number, list = batch): number[] => [...trainAdapter('e', 6, list, { ...adapterDefaults, rank: 2, epochs: 4, seed }).adapter.u];
    expect(train(1)).toEqual(train(1));
    expect(train(1)).not.toEqual(train(2));
    expect(train(1, [...batch, { ...batch[0]!, weight: 0 }])).toEqual(train(1));
    expect(trainAdapter('e', 6, [], adapterDefaults).losses).toEqual([]);
  });

  it('follows the weights: the same query with two answers goes where the weight is', () => {
    const query = unit([1, 1, 0.1]);
    const [a, b] = [unit([1, 0, 0]), unit([0, 1, 0])];
    const train = (forA: number, forB: number): Float32Array =>
      adaptQuery(
        trainAdapter('e', 3, [{ query, positives: [a], negatives: [b], weight: forA }, { query, positives: [b], negatives: [a], weight: forB }], { ...adapterDefaults, rank: 1, epochs: 60, decay: 0.001 }).adapter,
        query,
      );
    expect(train(0.9, 0.1)[0]!).toBeGreaterThan(train(0.1, 0.9)[0]! + 0.05);
  });
});

describe('logistic regression', () => {
  const random = createRandom(9);
  const sample = Array.from({ length: 60 }, (): LogisticExample => {
    const x = [random.normal() * 3 + 1, random.normal(), 7];
    return { x, y: x[0]! - 2 * x[1]! + random.normal() > 1 ? 1 : 0, weight: 0.1 + random.uniform() };
  });

  it('has the gradient that finite differences show', () => {
    const model: LogisticModel = { features: ['a', 'b', 'c'], weights: [0.4, -0.7, 0.2], bias: 0.3, means: [1, 0, 7], scales: [3, 1, 1] };
    const gradient = logisticGradient(model, sample, 0.05);
    const step = 1e-5;
    const loss = (change: Partial<LogisticModel>): number => logisticGradient({ ...model, ...change }, sample, 0.05).loss;
    expect((loss({ bias: model.bias + step }) - loss({ bias: model.bias - step })) / (2 * step)).toBeCloseTo(gradient.bias, 6);
    model.weights.forEach((weight, i) => {
      const at = (delta: number): number => loss({ weights: model.weights.map((other, j) => (j === i ? weight + delta : other)) });
      expect((at(step) - at(-step)) / (2 * step)).toBeCloseTo(gradient.weights[i]!, 6);
    });
  });

  it('raises the likelihood at every pass, finds the signs, and gives a constant feature nothing', () => {
    const { model, losses } = trainLogistic(['a', 'b', 'c'], sample);
    for (let i = 1; i < losses.length; i++) expect(losses[i]!).toBeLessThanOrEqual(losses[i - 1]! + 1e-12);
    expect(model.weights[0]!).toBeGreaterThan(0);
    expect(model.weights[1]!).toBeLessThan(0);
    expect(Math.abs(model.weights[2]!)).toBeLessThan(1e-9);
    expect(logLoss(model, sample)).toBeLessThan(0.45);
  });

  it('without features predicts the weighted share', () => {
    const { model } = trainLogistic([], [{ x: [], y: 1, weight: 3 }, { x: [], y: 0, weight: 1 }], { epochs: 2000, rate: 1, decay: 0 });
    expect(probability(model, [])).toBeCloseTo(0.75, 3);
  });

  it('stays finite far from the border', () => {
    const model: LogisticModel = { features: ['a'], weights: [1], bias: 0, means: [0], scales: [1] };
    expect(logLoss(model, [{ x: [1e4], y: 0, weight: 1 }])).toBeCloseTo(1e4);
    expect(logLoss(model, [{ x: [-1e4], y: 0, weight: 1 }])).toBe(0);
  });
});

describe('EM on a problem with a known optimum', () => {
  it('raises the likelihood of the answers at every iteration until the right trajectories have it all', () => {
    // A policy chooses one of three queries; the second explains the answer best. E-step: w ∝ p(z) p(y|z) over all z; M-step: p(z) = mean of w (exact GEM).
    const likelihood = [[0.1, 0.7, 0.2], [0.2, 0.6, 0.1], [0.05, 0.8, 0.3]];
    let policy = [1 / 3, 1 / 3, 1 / 3];
    const value = (): number => likelihood.reduce((sum, row) => sum + Math.log(row.reduce((p, l, z) => p + policy[z]! * l, 0)), 0);
    const values = [value()];
    for (let iteration = 0; iteration < 30; iteration++) {
      const weights = likelihood.map((row) => {
        const joint = row.map((l, z) => policy[z]! * l);
        const total = joint.reduce((a, b) => a + b, 0);
        return joint.map((j) => j / total);
      });
      policy = policy.map((_, z) => weights.reduce((sum, row) => sum + row[z]!, 0) / weights.length);
      values.push(value());
    }
    for (let i = 1; i < values.length; i++) expect(values[i]!).toBeGreaterThanOrEqual(values[i - 1]!);
    expect(policy[1]!).toBeGreaterThan(0.999);
  });

  it('the selector trained on likelihood weights finds the feature that the likely trajectories share, and on the released code’s weights it does not', () => {
    // Trajectory 1 is likely and used passages with the feature; trajectory 3 is unlikely and used the others.
    const meanNll = [0.4, 0.9, 2.3];
    const right = meanNll.map((nll) => Math.exp(-nll)).map((p, _, all) => p / all.reduce((a, b) => a + b, 0));
    const wrong = meanNll.map((nll) => nll / meanNll.reduce((a, b) => a + b, 0));
    const train = (weights: number[]): number =>
      trainLogistic(['f'], weights.flatMap((weight, k): LogisticExample[] => [{ x: [1], y: k === 0 ? 1 : 0, weight }, { x: [0], y: k === 2 ? 1 : 0, weight }])).model.weights[0]!;
    expect(right.map((w) => Number(w.toFixed(3)))).toEqual([0.569, 0.345, 0.085]);
    expect(train(right)).toBeGreaterThan(0.5);
    expect(train(wrong)).toBeLessThan(0);
  });
});
