/**
 * WideSearch's table scores (METHODS §4.9): rows are joined by key, a row is worth its worst cell. Pure and without a judge: columns are compared exactly, as
 * near numbers, as near dates, or as addresses. Aligning column names is the caller's affair.
 */
import { numberValue } from '../agent/compare.ts';
import { normaliseAnswer } from './metrics.ts';

export type CellMetric =
  | { readonly kind: 'exact' }
  /** Relative to the gold value; 0 asks for equality. */
  | { readonly kind: 'number'; readonly tolerance: number }
  /** At most `days` apart; 31 in the paper. */
  | { readonly kind: 'date'; readonly days: number }
  | { readonly kind: 'url' };

export interface TableColumn {
  readonly name: string;
  readonly metric: CellMetric;
  /** Rows are joined by all key columns. */
  readonly isKey?: boolean;
}

/** Column name to cell; a missing cell counts as ''. */
export type TableRow = Readonly<Record<string, string>>;

export interface Overlap {
  readonly precision: number;
  readonly recall: number;
  readonly f1: number;
}

export interface TableScores {
  /** Over cells. */
  readonly item: Overlap;
  /** Over rows; a row counts as its worst cell. */
  readonly row: Overlap;
  /** 1: every row is there, none too many, all cells right. */
  readonly success: 0 | 1;
}

/** Throws a RangeError without a key column. */
export function scoreTable(predicted: readonly TableRow[], gold: readonly TableRow[], columns: readonly TableColumn[]): TableScores {
  const keys = columns.filter((column) => column.isKey === true);
  if (keys.length === 0) throw new RangeError('a table needs a key column to join its rows');
  const ours = byKey(predicted, keys);
  const theirs = byKey(gold, keys);
  let cells = 0;
  let rows = 0;
  for (const [key, row] of theirs) {
    const found = ours.get(key);
    if (found === undefined) continue;
    const scores = columns.map(({ name, metric, isKey }): number => (isKey === true ? 1 : scoreCell(found[name] ?? '', row[name] ?? '', metric)));
    cells += scores.reduce((sum, score) => sum + score, 0);
    rows += Math.min(...scores);
  }
  const item = overlapOf(cells, ours.size * columns.length, theirs.size * columns.length);
  const row = overlapOf(rows, ours.size, theirs.size);
  return { item, row, success: theirs.size > 0 && ours.size === theirs.size && rows === theirs.size ? 1 : 0 };
}

/** A table as a file holds it; the first column names the row. */
export interface PlainTable {
  readonly head: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

/**
 * A table against the right one: columns are joined by name and rows by the first column. What a column of the right table holds (numbers, dates, addresses, else
 * words) decides how its cells are compared. `missing`: columns of the right table that the other has not; their cells count as wrong.
 */
export function scoreAgainst(gold: PlainTable, ours: PlainTable): { readonly scores: TableScores; readonly missing: readonly string[] } {
  const names = gold.head.map((name, i) => (i === 0 ? 'key' : `${i} ${name}`));
  const columns = names.map((name, i): TableColumn => ({ name, metric: i === 0 ? { kind: 'exact' } : metricOf(gold.rows.map((row) => row[i] ?? '')), isKey: i === 0 }));
  const places = gold.head.map((name, i) => (i === 0 ? 0 : ours.head.findIndex((other, at) => at > 0 && normaliseAnswer(other) === normaliseAnswer(name))));
  const rowOf = (row: readonly string[], at: readonly number[]): TableRow => Object.fromEntries(names.map((name, i) => [name, row[at[i] ?? -1] ?? '']));
  const scores = scoreTable(ours.rows.map((row) => rowOf(row, places)), gold.rows.map((row) => rowOf(row, names.map((_, i) => i))), columns);
  return { scores, missing: gold.head.filter((_, i) => places[i] === -1) };
}

function metricOf(values: readonly string[]): CellMetric {
  const told = values.map((value) => value.trim()).filter((value) => value !== '');
  const all = (holds: (value: string) => boolean): boolean => told.length > 0 && told.every(holds);
  if (all((value) => /^https?:\/\//i.test(value))) return { kind: 'url' };
  if (all((value) => dayOf(value) !== null && /[a-z]{3}|-\d/i.test(value))) return { kind: 'date', days: 0 };
  return all((value) => numberValue(value) !== null) ? { kind: 'number', tolerance: 0 } : { kind: 'exact' };
}

function overlapOf(hits: number, predicted: number, gold: number): Overlap {
  const precision = predicted === 0 ? 0 : hits / predicted;
  const recall = gold === 0 ? 0 : hits / gold;
  return { precision, recall, f1: precision + recall === 0 ? 0 : (2 * precision * recall) / (precision + recall) };
}

/** Of rows with the same key the first counts. */
function byKey(rows: readonly TableRow[], keys: readonly TableColumn[]): Map<string, TableRow> {
  const joined = new Map<string, TableRow>();
  for (const row of rows) {
    const key = JSON.stringify(keys.map(({ name, metric }) => (metric.kind === 'url' ? address(row[name] ?? '') : normaliseAnswer(row[name] ?? ''))));
    if (!joined.has(key)) joined.set(key, row);
  }
  return joined;
}

/** 1 or 0. Where a value cannot be read as the metric asks, only equal wording counts. */
export function scoreCell(predicted: string, gold: string, metric: CellMetric): 0 | 1 {
  const isEqual = normaliseAnswer(predicted) === normaliseAnswer(gold);
  switch (metric.kind) {
    case 'exact':
      return isEqual ? 1 : 0;
    case 'number': {
      const [ours, theirs] = [numberValue(predicted), numberValue(gold)];
      if (ours === null || theirs === null) return isEqual ? 1 : 0;
      return Math.abs(ours - theirs) <= metric.tolerance * Math.abs(theirs) + 1e-12 ? 1 : 0;
    }
    case 'date': {
      const [ours, theirs] = [dayOf(predicted), dayOf(gold)];
      if (ours === null || theirs === null) return isEqual ? 1 : 0;
      return Math.abs(ours - theirs) <= metric.days ? 1 : 0;
    }
    case 'url':
      return address(predicted) === address(gold) && address(gold) !== '' ? 1 : 0;
  }
}

const months = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'];

/** Days since 1 March of year 0 (proleptic Gregorian); null for no date. A missing month or day counts as the first. */
export function dayOf(text: string): number | null {
  const iso = /\b(\d{4})-(\d{1,2})(?:-(\d{1,2}))?\b/.exec(text);
  if (iso !== null) return dayNumber(Number(iso[1]), Number(iso[2]), Number(iso[3] ?? 1));
  const year = /\b(\d{4})\b/.exec(text);
  if (year === null) return null;
  const name = /\b(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\b/i.exec(text);
  const month = name === null ? 1 : months.indexOf((name[1] ?? '').toLowerCase()) + 1;
  const day = name === null ? null : /\b([12]?\d|3[01])(?:st|nd|rd|th)?\b/.exec(text.replace(year[0], ' '));
  return dayNumber(Number(year[1]), month, day === null ? 1 : Number(day[1]));
}

function dayNumber(year: number, month: number, day: number): number | null {
  if (month < 1 || month > 12 || day < 1 || day > 31) return null;
  const y = month <= 2 ? year - 1 : year;
  const m = (month + 9) % 12;
  return 365 * y + Math.floor(y / 4) - Math.floor(y / 100) + Math.floor(y / 400) + Math.floor((153 * m + 2) / 5) + day - 1;
}

/** Without scheme, "www.", fragment and a slash at the end; the host in lower case. */
function address(text: string): string {
  const bare = text.trim().replace(/^[a-z][a-z0-9+.-]*:\/\//i, '').replace(/^www\./i, '').replace(/#.*$/, '').replace(/\/+$/, '');
  const slash = bare.indexOf('/');
  return slash < 0 ? bare.toLowerCase() : `${bare.slice(0, slash).toLowerCase()}${bare.slice(slash)}`;
}

/** avg@n and max@n of a score over repeated runs of one question; null for none. */
export function overRuns(scores: readonly number[]): { readonly mean: number; readonly max: number } | null {
  return scores.length === 0 ? null : { mean: scores.reduce((sum, score) => sum + score, 0) / scores.length, max: Math.max(...scores) };
}
