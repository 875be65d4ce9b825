/** A table that a run filled against the right one from a file (WideSearch's scores, METHODS §4.9). Loaded when a file is chosen to compare with. */
import { csvRows, isFilled } from '../../csv.ts';
import { scoreAgainst, type Overlap, type PlainTable } from '../../lab/tables.ts';
import { visibleLine } from '../text/display.ts';
import { percent, Table } from './table.tsx';

export interface TableScoreProps {
  /** The right table as CSV; its first column names the row. */
  readonly gold: string;
  readonly ours: PlainTable;
}

export function TableScore({ gold, ours }: TableScoreProps) {
  const [head = [], ...rows] = csvRows(gold).filter(isFilled);
  if (head.length === 0 || rows.length === 0) return <p role="alert">That file holds no table: it needs a line of column names and at least one row.</p>;
  const { scores, missing } = scoreAgainst({ head, rows }, ours);
  const parts: readonly (readonly [string, Overlap])[] = [['Cells', scores.item], ['Rows, by their worst cell', scores.row]];
  return (
    <div data-testid="table-score">
      <Table
        caption="Beside the right table"
        rows={parts}
        columns={[
          { name: 'Of', cell: ([name]) => name },
          { name: 'Right of what is here, %', cell: ([, overlap]) => percent(overlap.precision) },
          { name: 'Found of what should be, %', cell: ([, overlap]) => percent(overlap.recall) },
          { name: 'F1, %', cell: ([, overlap]) => percent(overlap.f1) },
        ]}
      />
      <p role="status">{scores.success === 1 ? 'Complete and right.' : 'Not complete and right in all cells.'}</p>
      {missing.length === 0 ? null : (
        <p>
          Columns that are not here: <bdi>{visibleLine(missing.join(', '))}</bdi>. They count as wrong.
        </p>
      )}
    </div>
  );
}
