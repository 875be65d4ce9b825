/** Tables of a report, and the words that its parts share. */
import type { ComponentChildren } from 'preact';
import type { FailureClass } from '../../lab/diagnosis.ts';
import type { Interval } from '../../lab/statistics.ts';

export const failureNames: Readonly<Record<FailureClass, string>> = {
  right: 'Right', form: 'Wording of the answer', plan: 'Plan', retrieval: 'Retrieval', reading: 'Reading', failed: 'Broke off', unknown: 'Not told by the data',
};

export const percent = (value: number | null | undefined): string => (value === null || value === undefined || Number.isNaN(value) ? '–' : (value * 100).toFixed(1));
export const decimal = (value: number | null | undefined, digits = 1): string => (value === null || value === undefined ? '–' : value.toFixed(digits));
export const interval = (value: Interval | null): string => (value === null ? '–' : `${percent(value[0])} (${percent(value[1])} to ${percent(value[2])})`);

export const probability = (p: number | null): string => (p === null ? '–' : p < 0.001 ? '< 0.001' : p.toFixed(3));

export interface Column<R> {
  readonly name: string;
  readonly title?: string;
  readonly cell: (row: R) => ComponentChildren;
}

/** A table that may be scrolled sideways by keyboard as well. The first column names the row. */
export function Table<R>({ caption, columns, rows }: { readonly caption: string; readonly columns: readonly Column<R>[]; readonly rows: readonly R[] }) {
  return (
    <div class="table-scroll" tabIndex={0} role="region" aria-label={caption}>
      <table>
        <caption>{caption}</caption>
        <thead>
          <tr>{columns.map(({ name, title }) => <th key={name} scope="col" title={title}>{name}</th>)}</tr>
        </thead>
        <tbody>
          {rows.map((row, i) => (
            <tr key={i}>
              {columns.map(({ name, cell }, c) => (c === 0 ? <th key={name} scope="row">{cell(row)}</th> : <td key={name}>{cell(row)}</td>))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
