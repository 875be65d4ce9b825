/** The learning worker in the browser: the same numbers as the same code gives here, progress pass by pass, and a stop that is heard between two passes. */
import { adapterDefaults, trainAdapter, type AdapterExample } from '../../src/learning/adapter.ts';
import { trainLogistic } from '../../src/learning/logistic.ts';
import { createRandom } from '../../src/learning/random.ts';
import { expect, test } from './engine-page/fixture.ts';

const dimensions = 16;

function vectors(count: number, seed: number): number[][] {
  const random = createRandom(seed);
  return Array.from({ length: count }, () => {
    const values = Array.from({ length: dimensions }, () => random.normal());
    const length = Math.hypot(...values);
    return values.map((value) => value / length);
  });
}

test('trains as anywhere else, tells its passes, stops when told', async ({ enginePage: page }) => {
  const rows = vectors(120, 3);
  const options = { ...adapterDefaults, rank: 2, epochs: 5 };
  const points = vectors(50, 5).map((x) => ({ x, y: (x[0] ?? 0) > 0 ? (1 as const) : (0 as const), weight: 1 }));
  const seen = await page.evaluate(
    async ({ rows: lists, options: settings, points: examples, dimensions: size }) => {
      const list = lists.map((values) => Float32Array.from(values));
      const batch = Array.from({ length: 40 }, (_, i) => ({ query: list[3 * i]!, positives: [list[3 * i + 1]!], negatives: [list[3 * i + 2]!], weight: 1 }));
      const { learningHost } = engine;
      const passes: number[] = [];
      const adapter = await learningHost.call('trainAdapter', { embedder: 'e', dimensions: size, examples: batch, options: settings }, { onProgress: ({ epoch }) => passes.push(epoch) });
      const model = await learningHost.call('trainLogistic', { features: Array.from({ length: size }, (_, i) => `f${i}`), examples });
      const stop = new AbortController();
      const long = learningHost.call('trainAdapter', { embedder: 'e', dimensions: size, examples: batch, options: { ...settings, epochs: 1e6 } }, {
        signal: stop.signal,
        onProgress: ({ epoch }) => {
          if (epoch >= 2) stop.abort();
        },
      });
      const stopped = await long.then(() => 'ended', (error: unknown) => (error instanceof Error || error instanceof DOMException ? error.name : String(error)));
      const again = await learningHost.call('trainLogistic', { features: [], examples: [{ x: [], y: 1, weight: 1 }] });
      return { u: [...adapter.u], b: [...adapter.b], passes, weights: model.weights, stopped, alive: again.bias > 0, faults: engine.faults };
    },
    { rows, options, points, dimensions },
  );
  const list = rows.map((values) => Float32Array.from(values));
  const batch = Array.from({ length: 40 }, (_, i): AdapterExample => ({ query: list[3 * i]!, positives: [list[3 * i + 1]!], negatives: [list[3 * i + 2]!], weight: 1 }));
  const here = trainAdapter('e', dimensions, batch, options).adapter;
  // Two engines may differ in the last bits of exp: equal to nine digits.
  const same = (found: readonly number[], wanted: ArrayLike<number>): void => {
    expect(found).toHaveLength(wanted.length);
    found.forEach((value, i) => expect(value).toBeCloseTo(wanted[i] ?? NaN, 9));
  };
  same(seen.u, here.u);
  same(seen.b, here.b);
  same(seen.weights, trainLogistic(Array.from({ length: dimensions }, (_, i) => `f${i}`), points).model.weights);
  expect(seen.passes.at(-1)).toBe(5);
  expect(seen.stopped).toBe('AbortError');
  expect(seen.alive).toBe(true);
  expect(seen.faults).toEqual([]);
});
