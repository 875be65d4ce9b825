/**
 * The acceptance test that stands in for GEM's monotonicity (METHODS §8.2): a part is kept only if the lower bound of the paired difference on held-back examples
 * is not below its threshold, and trained parts only if they help on average. Pure; the interval comes in, so that figures agree with the lab's.
 */
import type { PartCheck, PartId } from './record.ts';

/** Paired bootstrap of after − before: [mean, low, high]; null without pairs. */
export type PairedInterval = (after: readonly number[], before: readonly number[]) => readonly [number, number, number] | null;

/** Lower bound that is still accepted: one point of F1 or of support recall. */
export const pointThreshold = -0.01;
/** Fewer pairs than this say nothing. */
export const leastPairs = 5;

export interface HeldBack {
  readonly part: PartId;
  readonly metric: PartCheck['metric'];
  readonly supervision: PartCheck['supervision'];
  /** Examples that it was trained on. */
  readonly trained: number;
  /** By held-back question, the same order; higher is better (log loss comes in negated). */
  readonly before: readonly number[];
  readonly after: readonly number[];
  /** Right answers on the same questions: a part that lowers their share is refused, whatever its metric says. */
  readonly accuracy?: { readonly before: readonly number[]; readonly after: readonly number[] };
}

/** Parts that a model reads may change nothing on the few questions held back and still be kept; trained ones must help. */
const mayBringNothing: ReadonlySet<PartId> = new Set(['bank', 'lessons']);

export function checkPart(held: HeldBack, interval: PairedInterval): PartCheck {
  const { part, metric, supervision, trained, before, after } = held;
  const mean = (values: readonly number[]): number | null => (values.length === 0 ? null : values.reduce((sum, value) => sum + value, 0) / values.length);
  const enough = after.length >= leastPairs && after.length === before.length;
  const difference = enough ? interval(after, before) : null;
  const base = { part, metric, supervision, trained, heldBack: after.length, before: mean(before), after: mean(after), threshold: pointThreshold };
  const refuse = (reason: string): PartCheck => ({ ...base, difference: difference === null ? null : [...difference], accepted: false, reason });
  if (trained === 0) return refuse('nothing to learn from');
  if (difference === null) return refuse(`${after.length} held-back examples are too few to tell`);
  if (difference[1] < pointThreshold) return refuse('it may be worse: the lower bound lies below the threshold');
  const right = (values: readonly number[] = []): number => values.reduce((sum, value) => sum + value, 0);
  if (right(held.accuracy?.after) < right(held.accuracy?.before)) return refuse('fewer held-back questions are answered rightly');
  if (!mayBringNothing.has(part) && difference[0] <= 0) return refuse('it brings nothing on average');
  return { ...base, difference: [...difference], accepted: true, reason: 'not worse on held-back examples' };
}

/** Splits by a hash of the id, so that a question stays on its side whenever more come. `share` is the part held back. */
export function splitHeldBack<T>(items: readonly T[], idOf: (item: T) => string, share = 0.34): { readonly train: T[]; readonly held: T[] } {
  const isHeld = (item: T): boolean => hash(idOf(item)) < share;
  return { train: items.filter((item) => !isHeld(item)), held: items.filter(isHeld) };
}

/** FNV-1a to [0, 1), mixed once more because close ids give close low bits. */
function hash(text: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return ((h ^ (h >>> 16)) >>> 0) / 4294967296;
}
