/** The table of a run in table mode, from its events, and its CSV form. Pure. */
import type { AgentEvent, Evidence } from './events.ts';

export interface TableCell {
  /** '' where nothing was found. */
  readonly value: string;
  /** The quote that carries the value. */
  readonly evidence: Evidence | null;
}

export interface AnswerTable {
  readonly columns: readonly string[];
  readonly rows: readonly {
    readonly name: string;
    /** One a column; null: not looked up yet. */
    readonly cells: readonly (TableCell | null)[];
  }[];
}

/** null where the run has no table (yet). A table that is being filled, or was broken off, has cells of null. */
export function tableOf(events: readonly AgentEvent[]): AnswerTable | null {
  const started = events.findLast((event) => event.kind === 'tableStarted');
  if (started === undefined) return null;
  const cells = new Map<string, TableCell>();
  for (const event of events) if (event.kind === 'cellFilled') cells.set(`${event.row} ${event.column}`, { value: event.value, evidence: event.evidence });
  return { columns: started.columns, rows: started.rows.map((name, row) => ({ name, cells: started.columns.map((_, column) => cells.get(`${row} ${column}`) ?? null) })) };
}

/**
 * RFC 4180 with a first column for the rows' names and, with `provenance`, the passage of each value beside it. Text from documents that a spreadsheet would
 * take for a formula is put behind an apostrophe.
 */
export function csvOf(table: AnswerTable, provenance = false): string {
  const head = ['name', ...table.columns.flatMap((column) => (provenance ? [column, `${column} (passage)`] : [column]))];
  const body = table.rows.map(({ name, cells }) => [name, ...cells.flatMap((cell) => (provenance ? [cell?.value ?? '', cell?.evidence?.passage.id ?? ''] : [cell?.value ?? '']))]);
  return [head, ...body].map((row) => `${row.map(field).join(',')}\r\n`).join('');
}

function field(text: string): string {
  const safe = /^[=+\-@\t\r]/.test(text) && !/^[+-]?\d[\d.,]*$/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replace(/"/g, '""')}"` : safe;
}
