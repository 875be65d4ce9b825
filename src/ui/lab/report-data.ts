/** What a report is made from, and its decoder: summaries and items of one or two runs. Everything in it is data and shown as text. */
import { readRunFile, type ItemRecord } from '../../lab/record.ts';
import { summarise, type Summary } from '../../lab/summary.ts';

export interface ReportRun {
  readonly title: string;
  readonly summary: Summary;
  readonly items: readonly ItemRecord[];
  /** How it was made: command, machine, corpora. */
  readonly about: Readonly<Record<string, unknown>>;
}

export interface ReportData {
  readonly run: ReportRun;
  /** A second run to set beside the first. */
  readonly other: ReportRun | null;
}

export function reportRun(title: string, items: readonly ItemRecord[], about: ReportRun['about'] = {}): ReportRun {
  return { title, items, about, summary: summarise(items) };
}

/** The text of the data element of a report file; lines are checked like those of a run file. Summaries are worked out anew, so they cannot disagree with the items. */
export function decodeReport(text: string): ReportData {
  const value = JSON.parse(text) as { readonly runs?: readonly { readonly title?: unknown; readonly about?: unknown; readonly items?: unknown }[] };
  const runs = (value.runs ?? []).map(({ title, about, items }) => {
    const lines = Array.isArray(items) ? items.map((item) => JSON.stringify(item)).join('\n') : '';
    return reportRun(typeof title === 'string' ? title : '', readRunFile(`${lines}\n`).items, typeof about === 'object' && about !== null ? { ...about } : {});
  });
  const [run, other] = runs;
  if (run === undefined) throw new Error('The report holds no run.');
  return { run, other: other ?? null };
}

/** For a script element: no `<` in it can end that element. */
function encodeReport(runs: readonly Pick<ReportRun, 'title' | 'about' | 'items'>[]): string {
  return JSON.stringify({ runs: runs.map(({ title, about, items }) => ({ title, about, items })) }).replaceAll('<', '\\u003c');
}

/** Stands in the template where the data go. */
export const dataMark = '"foray-report-data"';

export function fillTemplate(template: string, runs: readonly Pick<ReportRun, 'title' | 'about' | 'items'>[]): string {
  const at = template.indexOf(dataMark);
  if (at < 0) throw new Error('The template of the report has no place for the data.');
  return template.slice(0, at) + encodeReport(runs) + template.slice(at + dataMark.length);
}
