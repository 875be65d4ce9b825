/** A table that a run fills (METHODS §4.9), and the table as CSV. Pure. */
import type { AgentEvent, Evidence } from '../agent/events.ts';
import { visibleLine } from './text/display.ts';

export interface CellView {
  readonly value: string;
  /** null: the value rests on no quote. */
  readonly evidence: Evidence | null;
}

export interface TableView {
  /** What is looked up for each row; the row's name stands before them. */
  readonly columns: readonly string[];
  /** Keys in order. */
  readonly rows: readonly string[];
  /** By `cellKey`. */
  readonly cells: ReadonlyMap<string, CellView>;
}

export const cellKey = (row: number, column: number): string => `${row}:${column}`;

/** More than any table that a run makes: what a stored log can make the page draw is bounded. */
const maxCells = 20_000;

export function reduceTable(table: TableView | null, event: Extract<AgentEvent, { kind: 'tableStarted' | 'cellFilled' }>): TableView | null {
  if (event.kind === 'tableStarted') {
    // Rows that are found later come as a longer table; what was filled stays.
    return { columns: event.columns, rows: event.rows, cells: table?.cells ?? new Map() };
  }
  if (table === null || table.cells.size >= maxCells || event.row >= table.rows.length || event.column >= table.columns.length) return table;
  return { ...table, cells: new Map(table.cells).set(cellKey(event.row, event.column), { value: event.value, evidence: event.evidence }) };
}

/** Cells that hold a value, and all of them. */
export function tableProgress(table: TableView): { readonly filled: number; readonly total: number } {
  let filled = 0;
  for (const cell of table.cells.values()) if (cell.value !== '') filled++;
  return { filled, total: table.rows.length * table.columns.length };
}

/**
 * One CSV field. A spreadsheet takes text that begins with = + - @ (or a tab or carriage return) for a formula, so such text gets an apostrophe in front; numbers
 * stay numbers. Fullwidth forms count as well, since some programs fold them.
 */
export function csvField(text: string): string {
  const clean = visibleLine(text);
  const isNumber = /^[+-]?\d+(?:[.,]\d+)*$/.test(clean);
  const guarded = !isNumber && /^[=+\-@|%＝＋－＠]/.test(clean) ? `'${clean}` : clean;
  return /[",;\t\n\r]/.test(guarded) || guarded !== guarded.trim() ? `"${guarded.replaceAll('"', '""')}"` : guarded;
}

/** Header, rows, and behind every column one with the passages that its values rest on, if any do. Lines end with CR LF (RFC 4180). */
export function tableAsCsv(table: TableView): string {
  const valueOf = (row: number, column: number): CellView | undefined => table.cells.get(cellKey(row, column));
  const sourced = table.columns.map((_, column) => table.rows.some((_row, row) => (valueOf(row, column)?.evidence ?? null) !== null));
  const header = ['Name', ...table.columns.flatMap((name, column) => (sourced[column] === true ? [name, `${name} (source)`] : [name]))];
  const lines = table.rows.map((key, row) => [
    key,
    ...table.columns.flatMap((_, column) => {
      const cell = valueOf(row, column);
      const value = cell?.value ?? '';
      return sourced[column] === true ? [value, cell?.evidence == null ? '' : `${cell.evidence.passage.title}: ${cell.evidence.quote}`] : [value];
    }),
  ]);
  return [header, ...lines].map((line) => `${line.map(csvField).join(',')}\r\n`).join('');
}
