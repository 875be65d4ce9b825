/**
 * Joins ranked lists of different kinds into one score per passage (METHODS §8.6). Pure.
 */

export interface RankedEntry {
  readonly ordinal: number;
  /** Best first; comparable within its list only. */
  readonly score: number;
}

/** `rank`: reciprocal rank fusion; `score`: weighted shares of each list's best score. */
export type FusionMethod = 'rank' | 'score';

/**
 * Reciprocal rank fusion (Cormack, Clarke & Büttcher 2009): the sum over the lists of weight / (k + rank), ranks from 1; scaled so that the first of every
 * list has 1. A list that is empty takes no part.
 */
export function fuseRanks(lists: readonly (readonly RankedEntry[])[], weights: readonly number[], k: number): Map<number, number> {
  const fused = new Map<number, number>();
  const total = lists.reduce((sum, list, i) => sum + (list.length > 0 ? (weights[i] ?? 1) : 0), 0);
  lists.forEach((list, i) => {
    const weight = (weights[i] ?? 1) / (total || 1);
    list.forEach(({ ordinal }, at) => fused.set(ordinal, (fused.get(ordinal) ?? 0) + (weight * (k + 1)) / (k + at + 1)));
  });
  return fused;
}

/** Scores of one list as shares of its best: 1 for the best, 0 for `floor`. A list of equal scores has 1 throughout. */
export function shares(list: readonly RankedEntry[], floor: number): Map<number, number> {
  const range = (list[0]?.score ?? 0) - floor;
  return new Map(list.map(({ ordinal, score }) => [ordinal, range > 0 ? Math.max(0, (score - floor) / range) : 1]));
}
