/**
 * An archive of diverse good trajectories (MAP-Elites; METHODS §8.4): cells of hops × dominant move × style of the first query; each keeps the trajectory that
 * explains its answer best. Examples drawn from it differ in kind, not only in luck. Pure.
 */
import { hopsOf, moveOf, moves, queriesOf, queryStyleOf, queryStyles, type Move, type QueryStyle, type Sample } from './samples.ts';

export interface ArchiveCell {
  /** 1 to 4; 4 stands for four and more. */
  readonly hops: number;
  readonly move: Move;
  readonly style: QueryStyle;
  readonly trajectory: Pick<Sample, 'id' | 'qid' | 'question' | 'answer' | 'method'> & { readonly queries: readonly string[] };
  /** Mean log-likelihood a token of the right answer: comparable between questions, as weights within a question are not. */
  readonly quality: number;
  /** Trajectories that competed for the cell. */
  readonly visits: number;
}

const maxHops = 4;

/** Cells in reading order, empty ones left out. Trajectories without a search or a likelihood have no place. Equal quality keeps the earlier one. */
export function buildArchive(trajectories: readonly Sample[]): ArchiveCell[] {
  const cells = new Map<string, ArchiveCell>();
  for (const trajectory of trajectories) {
    const queries = queriesOf(trajectory);
    const first = queries[0];
    if (first === undefined || trajectory.answerLogp === null) continue;
    const quality = trajectory.answerLogp.mean;
    const place = { hops: Math.min(maxHops, hopsOf(trajectory)), move: moveOf(trajectory.question), style: queryStyleOf(first) };
    const key = JSON.stringify(Object.values(place));
    const held = cells.get(key);
    const visits = (held?.visits ?? 0) + 1;
    if (held !== undefined && held.quality >= quality) {
      cells.set(key, { ...held, visits });
      continue;
    }
    const { id, qid, question, answer, method } = trajectory;
    cells.set(key, { ...place, trajectory: { id, qid, question, answer, method, queries }, quality, visits });
  }
  const order = (cell: ArchiveCell): number => (cell.hops * moves.length + moves.indexOf(cell.move)) * queryStyles.length + queryStyles.indexOf(cell.style);
  return [...cells.values()].sort((a, b) => order(a) - order(b));
}
