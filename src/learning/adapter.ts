/**
 * The query adapter: a small correction of query vectors of a frozen embedder, trained so that passages that proved useful come nearer. q' = unit(q + U Vᵀ q + b),
 * loss = weighted softmax cross-entropy of the useful passages among retrieved and in-batch ones (InfoNCE), plus a pull towards doing nothing. Plain gradient descent
 * with momentum over all examples in seeded batches. Passage vectors stay as they are, so no shard changes. Pure.
 */
import * as v from 'valibot';
import { AppError } from '../errors.ts';
import { createRandom } from './random.ts';

/** Parameters of q' = unit(q + U (Vᵀ q) + b). Matrices are row-major: `u` and `v` have `dimensions` rows of `rank` numbers. */
export interface Adapter {
  readonly embedder: string;
  readonly dimensions: number;
  readonly rank: number;
  readonly u: Float32Array;
  readonly v: Float32Array;
  readonly b: Float32Array;
}

/** One query with passages that help (at least one) and passages that were found and do not. Vectors have unit length. */
export interface AdapterExample {
  readonly query: Float32Array;
  readonly positives: readonly Float32Array[];
  readonly negatives: readonly Float32Array[];
  /** Importance; those of a question's trajectories sum to 1. */
  readonly weight: number;
}

export interface AdapterOptions {
  readonly rank: number;
  readonly epochs: number;
  readonly batch: number;
  readonly rate: number;
  readonly momentum: number;
  /** Divides similarities before the softmax. */
  readonly temperature: number;
  /** Weight of ½(|U|² + |V − V₀|² + |b|²) a query: keeps the correction small. */
  readonly decay: number;
  readonly seed: number;
}

export const adapterDefaults: AdapterOptions = { rank: 8, epochs: 30, batch: 32, rate: 0.05, momentum: 0.9, temperature: 0.05, decay: 0.01, seed: 13 };

/** Starts at the identity: U and b are 0, V is random. */
export function createAdapter(embedder: string, dimensions: number, rank: number, seed: number): Adapter {
  const random = createRandom(seed);
  const scale = 1 / Math.sqrt(dimensions);
  const start = Float32Array.from({ length: dimensions * rank }, () => random.normal() * scale);
  return { embedder, dimensions, rank, u: new Float32Array(dimensions * rank), v: start, b: new Float32Array(dimensions) };
}

/** The adapted vector, of unit length; the given one is left alone. */
export function adaptQuery(adapter: Adapter, query: Float32Array): Float32Array {
  return forward(adapter, query).out;
}

interface Forward {
  readonly hidden: Float32Array;
  readonly length: number;
  readonly out: Float32Array;
}

function forward({ dimensions, rank, u, v: right, b }: Adapter, query: Float32Array): Forward {
  const hidden = new Float32Array(rank);
  for (let i = 0; i < dimensions; i++) {
    const x = query[i] ?? 0;
    for (let r = 0; r < rank; r++) hidden[r] = (hidden[r] ?? 0) + (right[i * rank + r] ?? 0) * x;
  }
  const out = new Float32Array(dimensions);
  let square = 0;
  for (let i = 0; i < dimensions; i++) {
    let y = (query[i] ?? 0) + (b[i] ?? 0);
    for (let r = 0; r < rank; r++) y += (u[i * rank + r] ?? 0) * (hidden[r] ?? 0);
    out[i] = y;
    square += y * y;
  }
  const length = Math.sqrt(square) || 1;
  for (let i = 0; i < dimensions; i++) out[i] = (out[i] ?? 0) / length;
  return { hidden, length, out };
}

export interface AdapterGradient {
  readonly loss: number;
  readonly u: Float64Array;
  readonly v: Float64Array;
  readonly b: Float64Array;
}

/**
 * Loss and gradient over a batch: Σ w_i · mean over positives p of −log softmax(s_p) among p, the example's negatives and the positives of the other examples,
 * divided by Σ w, plus the decay. `start` is the adapter training began with.
 */
export function adapterGradient(
  adapter: Adapter, start: Adapter, batch: readonly AdapterExample[], options: Pick<AdapterOptions, 'temperature' | 'decay'>,
): AdapterGradient {
  const { dimensions, rank } = adapter;
  const gradient = { u: new Float64Array(dimensions * rank), v: new Float64Array(dimensions * rank), b: new Float64Array(dimensions) };
  const total = batch.reduce((sum, example) => sum + example.weight, 0) || 1;
  let loss = 0;
  for (const example of batch) {
    const { hidden, length, out } = forward(adapter, example.query);
    // The same passage may be useful to several questions of a batch; it is no negative then.
    const isOwn = (vector: Float32Array): boolean => example.positives.some((positive) => same(positive, vector));
    const others = [...example.negatives, ...batch.flatMap((other) => (other === example ? [] : other.positives.filter((vector) => !isOwn(vector))))];
    const similarity = (vector: Float32Array): number => dot(out, vector) / options.temperature;
    const otherScores = others.map(similarity);
    const dOut = new Float64Array(dimensions);
    for (const positive of example.positives) {
      const scores = [similarity(positive), ...otherScores];
      const highest = Math.max(...scores);
      const powers = scores.map((score) => Math.exp(score - highest));
      const sum = powers.reduce((a, p) => a + p, 0);
      const share = example.weight / total / example.positives.length;
      loss -= share * ((scores[0] ?? 0) - highest - Math.log(sum));
      for (const [j, vector] of [positive, ...others].entries()) {
        const g = (share * ((powers[j] ?? 0) / sum - (j === 0 ? 1 : 0))) / options.temperature;
        if (g === 0) continue;
        for (let i = 0; i < dimensions; i++) dOut[i] = (dOut[i] ?? 0) + g * (vector[i] ?? 0);
      }
    }
    // Through out = y / |y|.
    let along = 0;
    for (let i = 0; i < dimensions; i++) along += (dOut[i] ?? 0) * (out[i] ?? 0);
    const dHidden = new Float64Array(rank);
    for (let i = 0; i < dimensions; i++) {
      const dy = ((dOut[i] ?? 0) - along * (out[i] ?? 0)) / length;
      gradient.b[i] = (gradient.b[i] ?? 0) + dy;
      for (let r = 0; r < rank; r++) {
        const at = i * rank + r;
        gradient.u[at] = (gradient.u[at] ?? 0) + dy * (hidden[r] ?? 0);
        dHidden[r] = (dHidden[r] ?? 0) + dy * (adapter.u[at] ?? 0);
      }
    }
    for (let i = 0; i < dimensions; i++) {
      const x = example.query[i] ?? 0;
      for (let r = 0; r < rank; r++) gradient.v[i * rank + r] = (gradient.v[i * rank + r] ?? 0) + x * (dHidden[r] ?? 0);
    }
  }
  for (const [name, origin] of [['u', start.u], ['v', start.v], ['b', start.b]] as const) {
    const values = adapter[name];
    for (let i = 0; i < values.length; i++) {
      const away = (values[i] ?? 0) - (origin[i] ?? 0);
      loss += (options.decay / 2) * away * away;
      gradient[name][i] = (gradient[name][i] ?? 0) + options.decay * away;
    }
  }
  return { loss, ...gradient };
}

/** Trains from the identity, a pass at a time: yields the mean loss of each pass, returns the adapter. Deterministic by seed. */
export function* adapterEpochs(
  embedder: string, dimensions: number, examples: readonly AdapterExample[], options: AdapterOptions = adapterDefaults,
): Generator<number, Adapter, undefined> {
  const start = createAdapter(embedder, dimensions, options.rank, options.seed);
  const adapter: Adapter = { ...start, u: start.u.slice(), v: start.v.slice(), b: start.b.slice() };
  const speed = { u: new Float64Array(start.u.length), v: new Float64Array(start.v.length), b: new Float64Array(dimensions) };
  const random = createRandom(options.seed + 1);
  const usable = examples.filter((example) => example.weight > 0 && example.positives.length > 0);
  for (let epoch = 0; epoch < options.epochs && usable.length > 0; epoch++) {
    let sum = 0;
    const order = random.shuffled(usable);
    for (let from = 0; from < order.length; from += options.batch) {
      const batch = order.slice(from, from + options.batch);
      const gradient = adapterGradient(adapter, start, batch, options);
      sum += gradient.loss * batch.length;
      for (const name of ['u', 'v', 'b'] as const) {
        for (let i = 0; i < adapter[name].length; i++) {
          const step = options.momentum * (speed[name][i] ?? 0) - options.rate * (gradient[name][i] ?? 0);
          speed[name][i] = step;
          adapter[name][i] = (adapter[name][i] ?? 0) + step;
        }
      }
    }
    const loss = sum / order.length;
    if (!Number.isFinite(loss)) throw new AppError('engine/not-finite', { what: 'the training of the query adapter' });
    yield loss;
  }
  return adapter;
}

/** All passes at once. */
export function trainAdapter(
  embedder: string, dimensions: number, examples: readonly AdapterExample[], options: AdapterOptions = adapterDefaults,
): { readonly adapter: Adapter; readonly losses: readonly number[] } {
  const epochs = adapterEpochs(embedder, dimensions, examples, options);
  const losses: number[] = [];
  for (;;) {
    const next = epochs.next();
    if (next.done === true) return { adapter: next.value, losses };
    losses.push(next.value);
  }
}

function dot(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i] ?? 0) * (b[i] ?? 0);
  return sum;
}

function same(a: Float32Array, b: Float32Array): boolean {
  return a === b || (a.length === b.length && a.every((value, i) => value === b[i]));
}

const floats = v.custom<Float32Array>((value) => value instanceof Float32Array && value.every(Number.isFinite), 'finite numbers');
const natural = v.pipe(v.number(), v.integer(), v.minValue(1));
const adapterSchema = v.pipe(
  v.object({ embedder: v.string(), dimensions: natural, rank: natural, u: floats, v: floats, b: floats }),
  v.check(({ dimensions, rank, u, v: right, b }) => u.length === dimensions * rank && right.length === u.length && b.length === dimensions, 'sizes that do not agree'),
);

/** Decodes what is stored; throws `learning/bad-data`. */
export function decodeAdapter(value: unknown): Adapter {
  const parsed = v.safeParse(adapterSchema, value);
  if (parsed.success) return parsed.output;
  throw new AppError('learning/bad-data', { what: 'the stored query adapter', reason: parsed.issues[0].message });
}
