/** Which setting of an engine stands for it. Pure. */
import type { PointRow } from './rows.ts';

/** Recall that a setting must reach to count as accurate. */
export const accurate = 0.98;

/** The setting that stands for the engine: the fastest accurate one, else the most accurate. */
export function chosenPoint(points: readonly PointRow[]): PointRow {
  const [best] = [...points].sort((a, b) => {
    const isAccurate = Number(b.recall10 >= accurate) - Number(a.recall10 >= accurate);
    return isAccurate || (a.recall10 >= accurate ? a.p50 - b.p50 : b.recall10 - a.recall10);
  });
  if (best === undefined) throw new Error('an engine without settings');
  return best;
}
