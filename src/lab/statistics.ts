/**
 * Intervals and tests for comparing runs (METHODS §7). Pure; everything random is seeded, so a figure is the same on every machine.
 */

export const defaultResamples = 10_000;
export const defaultSeed = 13;

/** [mean, low, high]. */
export type Interval = readonly [mean: number, low: number, high: number];

/** Uniform integers below `n` (n ≤ 2^32) from a 32-bit state (mulberry32). */
export function createRandom(seed: number): { integer(n: number): number; bit(): 0 | 1 } {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (t ^ (t >>> 14)) >>> 0;
  };
  return {
    integer: (n) => Math.floor((next() / 4294967296) * n),
    bit: () => ((next() >>> 31) as 0 | 1),
  };
}

/** A new array in seeded random order (Fisher–Yates). */
export function shuffled<T>(items: readonly T[], seed: number): T[] {
  const random = createRandom(seed);
  const keyed = [...items];
  for (let i = keyed.length - 1; i > 0; i--) {
    const j = random.integer(i + 1);
    const [a, b] = [keyed[i], keyed[j]];
    keyed[i] = b as T;
    keyed[j] = a as T;
  }
  return keyed;
}

export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

export interface ResampleOptions {
  readonly resamples?: number;
  readonly seed?: number;
  /** Default .95. */
  readonly level?: number;
}

/** Percentile bootstrap of a mean over questions; null without values. One value, or equal values, give a point. */
export function bootstrapMean(values: readonly number[], { resamples = defaultResamples, seed = defaultSeed, level = 0.95 }: ResampleOptions = {}): Interval | null {
  const n = values.length;
  if (n === 0) return null;
  const source = Float64Array.from(values);
  const random = createRandom(seed);
  const means = new Float64Array(resamples);
  for (let b = 0; b < resamples; b++) {
    let sum = 0;
    for (let i = 0; i < n; i++) sum += source[random.integer(n)] ?? 0;
    means[b] = sum / n;
  }
  means.sort();
  return [mean(values), quantile(means, (1 - level) / 2), quantile(means, (1 + level) / 2)];
}

/** Linear interpolation between order statistics; `sorted` ascending and not empty. */
export function quantile(sorted: ArrayLike<number>, q: number): number {
  const at = q * (sorted.length - 1);
  const low = Math.floor(at);
  const a = sorted[low] ?? Number.NaN;
  const b = sorted[Math.min(low + 1, sorted.length - 1)] ?? Number.NaN;
  return a + (b - a) * (at - low);
}

/** Two systems on the same questions: interval of the mean of a − b, resampling questions jointly. */
export function pairedBootstrap(a: readonly number[], b: readonly number[], options: ResampleOptions = {}): Interval | null {
  return bootstrapMean(differences(a, b), options);
}

/**
 * Two-sided p of the mean difference under random sign flips. With up to 20 questions that differ all 2^d patterns are counted; beyond, `resamples`
 * are drawn and the observed one is added to them, so that p is never 0.
 */
export function pairedPermutation(a: readonly number[], b: readonly number[], { resamples = defaultResamples, seed = defaultSeed }: ResampleOptions = {}): number {
  const d = differences(a, b).filter((value) => value !== 0);
  const observed = Math.abs(d.reduce((sum, value) => sum + value, 0));
  // Sums of the same values in another order may differ in the last bits.
  const atLeast = observed - 1e-9 * Math.max(1, observed);
  if (d.length === 0) return 1;
  if (d.length <= 20) {
    let count = 0;
    const patterns = 2 ** d.length;
    for (let pattern = 0; pattern < patterns; pattern++) {
      let sum = 0;
      for (let i = 0; i < d.length; i++) sum += ((pattern >>> i) & 1) === 1 ? (d[i] ?? 0) : -(d[i] ?? 0);
      if (Math.abs(sum) >= atLeast) count++;
    }
    return count / patterns;
  }
  const random = createRandom(seed);
  let count = 1;
  for (let r = 0; r < resamples; r++) {
    let sum = 0;
    for (const value of d) sum += random.bit() === 1 ? value : -value;
    if (Math.abs(sum) >= atLeast) count++;
  }
  return count / (resamples + 1);
}

function differences(a: readonly number[], b: readonly number[]): number[] {
  if (a.length !== b.length) throw new RangeError(`paired samples differ in length: ${a.length} and ${b.length}`);
  return a.map((value, i) => value - (b[i] ?? 0));
}

/** McNemar's exact test of discordant counts: `b` right only here, `c` right only there. Two-sided. */
export function mcNemarExact(b: number, c: number): number {
  const n = b + c;
  if (n === 0) return 1;
  let sum = 0;
  // Terms by logarithm: 2^n overflows from 1,024 discordant pairs on.
  let logTerm = -n * Math.LN2;
  for (let i = 0; i <= Math.min(b, c); i++) {
    sum += Math.exp(logTerm);
    logTerm += Math.log(n - i) - Math.log(i + 1);
  }
  return Math.min(1, 2 * sum);
}

export interface HolmRow {
  readonly p: number;
  /** Adjusted p: compare with α directly. */
  readonly adjusted: number;
  readonly rejected: boolean;
}

/** Holm's step-down over several comparisons; the rows keep the order of `ps`. */
export function holm(ps: readonly number[], alpha = 0.05): HolmRow[] {
  const m = ps.length;
  const order = ps.map((p, index) => ({ p, index })).sort((x, y) => x.p - y.p);
  const rows: HolmRow[] = ps.map((p) => ({ p, adjusted: 1, rejected: false }));
  let running = 0;
  let open = true;
  for (const [i, { p, index }] of order.entries()) {
    running = Math.max(running, Math.min(1, p * (m - i)));
    open = open && p <= alpha / (m - i);
    rows[index] = { p, adjusted: running, rejected: open };
  }
  return rows;
}

/** Wilson's interval of a proportion, for small samples (n < 50); null without trials. */
export function wilson(successes: number, trials: number, z = 1.959963984540054): Interval | null {
  if (trials === 0) return null;
  const p = successes / trials;
  const centre = (p + (z * z) / (2 * trials)) / (1 + (z * z) / trials);
  const half = (z / (1 + (z * z) / trials)) * Math.sqrt((p * (1 - p)) / trials + (z * z) / (4 * trials * trials));
  return [p, Math.max(0, centre - half), Math.min(1, centre + half)];
}
