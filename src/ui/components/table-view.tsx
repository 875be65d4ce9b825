/** A table that a run fills: every value that rests on a quote is a button to its passage. The whole table leaves as CSV. */
import { useEffect, useState } from 'preact/hooks';
import type { App } from '../app.ts';
import type { RunView } from '../state.ts';
import { cellKey, tableAsCsv, tableProgress, type TableView as Table } from '../table-state.ts';
import { visibleLine } from '../text/display.ts';
import { formatCount, plural } from '../text/format.ts';
import { TableScore } from './later.ts';
import '../styles/table.css';

/** `name.csv` from a question. */
function csvName(question: string): string {
  const words = question.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, '-').replace(/^-+|-+$/g, '').slice(0, 60);
  return `${words === '' ? 'table' : words}.csv`;
}

export function TableView({ app, run, table }: { readonly app: App; readonly run: RunView; readonly table: Table }) {
  const { filled, total } = tableProgress(table);
  const isLive = run.phase !== 'ended';
  return (
    <section class="table-view" data-testid="table" aria-labelledby="table-heading">
      <div class="section-head">
        <h2 id="table-heading">Table</h2>
        <p class="section-note figures">
          {plural(table.rows.length, 'row')}, {formatCount(filled)} of {plural(total, 'cell')} filled{isLive ? '. It goes on' : ''}
        </p>
      </div>
      <div class="table-scroll" role="region" aria-label="Rows and columns" tabIndex={0}>
        <table>
          <thead>
            <tr>
              <th scope="col">Name</th>
              {table.columns.map((column, index) => (
                <th key={index} scope="col">
                  <bdi>{visibleLine(column)}</bdi>
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {table.rows.map((key, row) => (
              <tr key={row}>
                <th scope="row">
                  <bdi>{visibleLine(key)}</bdi>
                </th>
                {table.columns.map((_, column) => (
                  <td key={column}>
                    <Cell app={app} table={table} row={row} column={column} isLive={isLive} />
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <div class="row actions">
        <CsvLink table={table} name={csvName(run.question)} />
        <p class="section-note">A value that is a button shows the passage it rests on.</p>
      </div>
      <Compare table={table} />
    </section>
  );
}

interface CellProps {
  readonly app: App;
  readonly table: Table;
  readonly row: number;
  readonly column: number;
  readonly isLive: boolean;
}

function Cell({ app, table, row, column, isLive }: CellProps) {
  const cell = table.cells.get(cellKey(row, column));
  const value = visibleLine(cell?.value ?? '');
  if (value === '') {
    const isOpen = cell === undefined && isLive;
    return (
      <span class="table-empty">
        <span aria-hidden="true">{isOpen ? '…' : '–'}</span>
        <span class="visually-hidden">{isOpen ? 'not looked for yet' : 'not found'}</span>
      </span>
    );
  }
  const evidence = cell?.evidence ?? null;
  if (evidence === null) return <bdi>{value}</bdi>;
  return (
    <button type="button" class="table-value" onClick={() => app.showPassage(evidence.passage.id, evidence)}>
      <bdi>{value}</bdi>
      <span class="visually-hidden">, show the passage</span>
    </button>
  );
}

/** Against a table that is known to be right. */
function Compare({ table }: { readonly table: Table }) {
  const [gold, setGold] = useState<string | null>(null);
  const rows = table.rows.map((key, row) => [key, ...table.columns.map((_, column) => table.cells.get(cellKey(row, column))?.value ?? '')]);
  return (
    <details class="more">
      <summary>Compare with the right table</summary>
      <p>
        <label>
          A CSV file, its first column the names <input type="file" accept=".csv,text/csv" onChange={(event) => void event.currentTarget.files?.[0]?.text().then(setGold)} />
        </label>
      </p>
      {gold === null ? null : <TableScore gold={gold} ours={{ head: ['Name', ...table.columns], rows }} />}
    </details>
  );
}

/** A link to the file, made anew when the table changes; nothing is sent anywhere. */
function CsvLink({ table, name }: { readonly table: Table; readonly name: string }) {
  const [url, setUrl] = useState<string | null>(null);
  useEffect(() => {
    // The mark in front makes spreadsheets read UTF-8.
    const made = URL.createObjectURL(new Blob(['\uFEFF', tableAsCsv(table)], { type: 'text/csv' }));
    setUrl(made);
    return () => URL.revokeObjectURL(made);
  }, [table]);
  return url === null ? null : (
    <a class="button button-plain" href={url} download={name}>
      Save as CSV
    </a>
  );
}
