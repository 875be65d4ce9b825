/** What a report is made from, and its decoder: summaries and items of one or two runs. Everything in it is data and shown as text. */
import { readRunFile, type ItemRecord } from '../../lab/record.ts';
import { summarise, type Summary } from '../../lab/summary.ts';
import { decodeIterations, type IterationRecord } from '../../learning/record.ts';

export interface ReportRun {
  readonly title: string;
  readonly summary: Summary;
  readonly items: readonly ItemRecord[];
  /** How it was made: command, machine, corpora. */
  readonly about: Readonly<Record<string, unknown>>;
  /** Of learning; a run may have these, items, or both. */
  readonly iterations: readonly IterationRecord[];
}

/** What a file of a report holds of a run. */
export type WrittenRun = Omit<ReportRun, 'summary'>;

export interface ReportData {
  readonly run: ReportRun;
  /** A second run to set beside the first. */
  readonly other: ReportRun | null;
}

export function reportRun(title: string, items: readonly ItemRecord[], about: ReportRun['about'] = {}, iterations: readonly IterationRecord[] = []): ReportRun {
  return { title, items, about, iterations, summary: summarise(items) };
}

/** The text of the data element of a report file; lines are checked like those of a run file. Summaries are worked out anew, so they cannot disagree with the items. */
export function decodeReport(text: string): ReportData {
  const value = JSON.parse(text) as { readonly runs?: readonly { readonly title?: unknown; readonly about?: unknown; readonly items?: unknown;
    readonly iterations?: unknown }[] };
  const linesOf = (list: unknown): string => (Array.isArray(list) ? list.map((row) => `${JSON.stringify(row)}\n`).join('') : '');
  const runs = (value.runs ?? []).map(({ title, about, items, iterations }) =>
    reportRun(typeof title === 'string' ? title : '', readRunFile(linesOf(items)).items, typeof about === 'object' && about !== null ? { ...about } : {},
      decodeIterations(linesOf(iterations))));
  const [run, other] = runs;
  if (run === undefined) throw new Error('The report holds no run.');
  return { run, other: other ?? null };
}

/** For a script element: no `<` in it can end that element. */
function encodeReport(runs: readonly WrittenRun[]): string {
  return JSON.stringify({ runs: runs.map(({ title, about, items, iterations }) => ({ title, about, items, iterations })) }).replaceAll('<', '\\u003c');
}

/** Stands in the template where the data go. */
export const dataMark = '"foray-report-data"';

export function fillTemplate(template: string, runs: readonly WrittenRun[]): string {
  const at = template.indexOf(dataMark);
  if (at < 0) throw new Error('The template of the report has no place for the data.');
  return template.slice(0, at) + encodeReport(runs) + template.slice(at + dataMark.length);
}
