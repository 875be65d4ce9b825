/**
 * The archive of diverse good trajectories (MAP-Elites; METHODS §8.4) as a heat map: steps × kind of question, each place with its best run; below it these runs with
 * their searches, so that nothing hangs on colour.
 */
import type { ArchiveCell } from '../../learning/archive.ts';
import { visibleLine } from '../text/display.ts';
import { plural } from '../text/format.ts';

const moveNames: Readonly<Record<ArchiveCell['move'], string>> = { bridge: 'One leads to the next', compare: 'Comparing', count: 'Counting', enumerate: 'Listing' };
const styleNames: Readonly<Record<ArchiveCell['style'], string>> = { question: 'asked as a question', keywords: 'by key words', quoted: 'with a quoted phrase' };
const moveIds = Object.keys(moveNames) as readonly ArchiveCell['move'][];

/** How likely a token of the right answer was, as a share: comparable between questions, and between 0 and 1 for the shade. */
const likelihood = ({ quality }: ArchiveCell): number => Math.min(1, Math.exp(quality));

export function ArchiveMap({ cells }: { readonly cells: readonly ArchiveCell[] }) {
  if (cells.length === 0) return null;
  const steps = [...new Set(cells.map(({ hops }) => hops))].sort((a, b) => a - b);
  const stepName = (hops: number): string => (hops >= 4 ? '4 or more' : String(hops));
  return (
    <section class="panel" aria-labelledby="archive-heading" data-testid="archive">
      <h2 id="archive-heading">Kinds of runs</h2>
      <p class="slot-facts">The best of the kept runs of each kind. The figure is how likely the right answer was after it, a word part, from 0 to 1.</p>
      <div class="table-scroll" role="region" aria-label="Kinds of runs in a table" tabIndex={0}>
        <table class="figures archive-map">
          <thead>
            <tr>
              <th scope="col">Steps</th>
              {moveIds.map((move) => (
                <th key={move} scope="col">
                  {moveNames[move]}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {steps.map((hops) => (
              <tr key={hops}>
                <th scope="row">{stepName(hops)}</th>
                {moveIds.map((move) => (
                  <Place key={move} cells={cells.filter((cell) => cell.hops === hops && cell.move === move)} />
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <details class="more">
        <summary>Show these runs</summary>
        <ul class="rows">
          {cells.map((cell) => (
            <li key={cell.trajectory.id} class="library-row">
              <div class="library-main">
                <p>
                  <bdi>{visibleLine(cell.trajectory.question)}</bdi>
                </p>
                <p class="slot-facts">
                  {stepName(cell.hops)} {cell.hops === 1 ? 'step' : 'steps'}, first search {styleNames[cell.style]}, answer <bdi>{visibleLine(cell.trajectory.answer) || 'none'}</bdi>, {likelihood(cell).toFixed(2)}
                </p>
                <ol class="slot-facts">
                  {cell.trajectory.queries.map((query, index) => (
                    <li key={index}>
                      <bdi>{visibleLine(query)}</bdi>
                    </li>
                  ))}
                </ol>
              </div>
            </li>
          ))}
        </ul>
      </details>
    </section>
  );
}

/** The styles of a first search share a place: the best of them counts. */
function Place({ cells }: { readonly cells: readonly ArchiveCell[] }) {
  if (cells.length === 0) return <td class="soft">–</td>;
  const best = Math.max(...cells.map(likelihood));
  const visits = cells.reduce((sum, cell) => sum + cell.visits, 0);
  return (
    <td style={{ '--heat': best.toFixed(2) }}>
      {best.toFixed(2)} <span class="slot-facts">{plural(visits, 'run')}</span>
    </td>
  );
}
