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

/** Sample standard deviation; 0 with fewer than two values. */
export function standardDeviation(values: readonly number[]): number {
  if (values.length < 2) return 0;
  const centre = mean(values);
  return Math.sqrt(values.reduce((sum, value) => sum + (value - centre) ** 2, 0) / (values.length - 1));
}

/** Chance that at least one of k samples is right, from c right ones of n: 1 − C(n−c, k) / C(n, k). */
export function passAtK(n: number, c: number, k: number): number {
  if (k < 1 || k > n || c < 0 || c > n) throw new RangeError(`pass@k of ${c} right ones of ${n} with k = ${k}`);
  let miss = 1;
  for (let i = 0; i < k; i++) miss *= Math.max(0, n - c - i) / (n - i);
  return 1 - miss;
}

/**
 * Wilcoxon's signed-rank test of a − b, two-sided. Zero differences are left out, ties share their mean rank. Exact (all sign patterns of the ranks) up to 25
 * differences, beyond the normal approximation with tie and continuity correction. null where nothing differs.
 */
export function wilcoxonSignedRank(a: readonly number[], b: readonly number[]): { readonly n: number; readonly w: number; readonly p: number } | null {
  const d = differences(a, b).filter((value) => value !== 0);
  const n = d.length;
  if (n === 0) return null;
  const order = d.map((value, i) => ({ size: Math.abs(value), i })).sort((x, y) => x.size - y.size);
  const ranks = new Float64Array(n);
  let ties = 0;
  for (let from = 0; from < n; ) {
    let to = from;
    while (to < n && Math.abs((order[to]?.size ?? 0) - (order[from]?.size ?? 0)) < 1e-12) to++;
    for (let i = from; i < to; i++) ranks[order[i]?.i ?? 0] = (from + 1 + to) / 2;
    ties += (to - from) ** 3 - (to - from);
    from = to;
  }
  const sumOf = (holds: (value: number) => boolean): number => d.reduce((sum, value, i) => sum + (holds(value) ? (ranks[i] ?? 0) : 0), 0);
  const w = Math.min(sumOf((value) => value > 0), sumOf((value) => value < 0));
  if (n <= 25) {
    // Ranks may be halves: everything is counted in half ranks.
    const most = n * (n + 1);
    const counts = new Float64Array(most + 1);
    counts[0] = 1;
    for (const rank of ranks) {
      const half = Math.round(rank * 2);
      for (let s = most; s >= half; s--) counts[s] = (counts[s] ?? 0) + (counts[s - half] ?? 0);
    }
    let below = 0;
    for (let s = 0; s <= Math.round(w * 2); s++) below += counts[s] ?? 0;
    return { n, w, p: Math.min(1, (2 * below) / 2 ** n) };
  }
  const centre = (n * (n + 1)) / 4;
  const spread = Math.sqrt((n * (n + 1) * (2 * n + 1)) / 24 - ties / 48);
  const z = Math.min(0, w - centre + 0.5) / spread;
  return { n, w, p: Math.min(1, 2 * normalBelow(z)) };
}

/** Φ(z) by the complementary error function of Numerical Recipes (relative error below 1.2e-7). */
export function normalBelow(z: number): number {
  const x = Math.abs(z) / Math.SQRT2;
  const t = 1 / (1 + x / 2);
  const series = -1.26551223 + t * (1.00002368 + t * (0.37409196 + t * (0.09678418 + t * (-0.18628806 + t * (0.27886807 +
    t * (-1.13520398 + t * (1.48851587 + t * (-0.82215223 + t * 0.17087277))))))));
  const tail = (t * Math.exp(-x * x + series)) / 2;
  return z < 0 ? tail : 1 - tail;
}

/** Agreement of two raters beyond chance; null without items, or where both always say the same one thing. */
export function cohenKappa(a: readonly string[], b: readonly string[]): number | null {
  if (a.length !== b.length) throw new RangeError(`ratings differ in number: ${a.length} and ${b.length}`);
  const n = a.length;
  if (n === 0) return null;
  const agreed = a.filter((label, i) => label === b[i]).length / n;
  let chance = 0;
  for (const label of new Set([...a, ...b])) chance += (a.filter((other) => other === label).length / n) * (b.filter((other) => other === label).length / n);
  return chance === 1 ? null : (agreed - chance) / (1 - chance);
}

export interface CalibrationBin {
  readonly n: number;
  readonly confidence: number;
  readonly accuracy: number;
}

/** Expected calibration error over equal bins of confidence (10 by default); bins without items have n = 0. null without items. */
export function calibration(items: readonly { readonly confidence: number; readonly isRight: boolean }[],
  bins = 10): { readonly ece: number; readonly bins: readonly CalibrationBin[] } | null {
  if (items.length === 0) return null;
  const groups: (typeof items)[number][][] = Array.from({ length: bins }, () => []);
  for (const item of items) groups[Math.min(bins - 1, Math.max(0, Math.floor(item.confidence * bins)))]?.push(item);
  const rows = groups.map((group) => ({
    n: group.length,
    confidence: group.length === 0 ? 0 : mean(group.map((item) => item.confidence)),
    accuracy: group.length === 0 ? 0 : mean(group.map((item) => (item.isRight ? 1 : 0))),
  }));
  return { ece: rows.reduce((sum, row) => sum + (row.n / items.length) * Math.abs(row.confidence - row.accuracy), 0), bins: rows };
}

export interface Duel {
  readonly winner: string;
  readonly loser: string;
  /** A draw counts half for each. */
  readonly isDraw: boolean;
}

export interface Strength {
  readonly name: string;
  /** Bradley–Terry strength on the Elo scale: 400 points are odds of 10 to 1; the mean over all is 1000. */
  readonly score: number;
  readonly low: number;
  readonly high: number;
  readonly duels: number;
}

/** Bradley–Terry strengths from pairwise judgements, with percentile bootstrap over the duels. A phantom draw against the average keeps perfect records finite. */
export function bradleyTerry(duels: readonly Duel[], { resamples = 1000, seed = defaultSeed, level = 0.95 }: ResampleOptions = {}): Strength[] {
  const names = [...new Set(duels.flatMap(({ winner, loser }) => [winner, loser]))].sort();
  const point = strengths(duels, names);
  const random = createRandom(seed);
  const samples = names.map(() => [] as number[]);
  for (let r = 0; r < resamples; r++) {
    const drawn = duels.map(() => duels[random.integer(duels.length)] as Duel);
    strengths(drawn, names).forEach((score, i) => samples[i]?.push(score));
  }
  return names
    .map((name, i): Strength => {
      const sorted = Float64Array.from(samples[i] ?? []).sort();
      return {
        name, score: point[i] ?? 1000, low: quantile(sorted, (1 - level) / 2), high: quantile(sorted, (1 + level) / 2),
        duels: duels.filter(({ winner, loser }) => winner === name || loser === name).length,
      };
    })
    .sort((x, y) => y.score - x.score);
}

/** Minorise–maximise iteration of Hunter (2004). */
function strengths(duels: readonly Duel[], names: readonly string[]): number[] {
  const index = new Map(names.map((name, i) => [name, i]));
  const wins = names.map(() => 0.5);
  const met = new Map<number, number>();
  const n = names.length;
  for (const { winner, loser, isDraw } of duels) {
    const w = index.get(winner) ?? 0;
    const l = index.get(loser) ?? 0;
    wins[w] = (wins[w] ?? 0) + (isDraw ? 0.5 : 1);
    wins[l] = (wins[l] ?? 0) + (isDraw ? 0.5 : 0);
    met.set(w * n + l, (met.get(w * n + l) ?? 0) + 1);
  }
  let p = names.map(() => 1);
  for (let round = 0; round < 200; round++) {
    const next = names.map((_, i) => {
      let sum = 1 / ((p[i] ?? 1) + 1);
      for (let j = 0; j < n; j++) {
        const games = (met.get(i * n + j) ?? 0) + (met.get(j * n + i) ?? 0);
        if (j !== i && games > 0) sum += games / ((p[i] ?? 1) + (p[j] ?? 1));
      }
      return (wins[i] ?? 0) / sum;
    });
    const centre = Math.exp(mean(next.map(Math.log)));
    const scaled = next.map((value) => value / centre);
    const change = Math.max(...scaled.map((value, i) => Math.abs(value - (p[i] ?? 1))));
    p = scaled;
    if (change < 1e-9) break;
  }
  return p.map((value) => 1000 + 400 * Math.log10(value));
}
