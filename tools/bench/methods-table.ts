/** A public table of methods from the summaries of agent runs: one part a set and model, with intervals, paired tests and the commands that made it. */
import * as v from 'valibot';
import { holm, mcNemarExact, wilson } from '../../src/lab/statistics.ts';

const share = v.nullable(v.number());
const interval = v.nullable(v.tuple([v.number(), v.number(), v.number()]));

/** What is read of a `summary.json` (docs/lab.md). */
export const tableSummarySchema = v.object({
  systems: v.record(
    v.string(),
    v.object({
      method: v.string(), dataset: v.string(), llm: v.string(), setting: v.string(), n: v.number(), failed: v.number(),
      em: v.number(), f1: v.number(), acc: v.number(), supportRecall: share, quoteValidity: share,
      llmCalls: v.number(), promptTokens: v.number(), cachedTokens: share, searches: v.number(),
      intervals: v.object({ em: interval }),
    }),
  ),
  comparisons: v.array(v.object({
    a: v.string(), b: v.string(),
    em: v.object({ difference: interval, onlyA: v.number(), onlyB: v.number(), mcnemar: v.number(), holm: v.number() }),
  })),
  run: v.object({ command: v.string() }),
});
export type TableSummary = v.InferOutput<typeof tableSummarySchema>;

/** Of several summaries first all together, then the parts in their order; rows by EM, then F1. The same summaries give the same text. */
export function methodsTable(summaries: readonly TableSummary[]): string {
  return [...(summaries.length > 1 ? [together(summaries)] : []), ...summaries.map(part)].join('\n');
}

/** Questions of all summaries pooled by method: means weighted by questions, Wilson's interval, McNemar's test over the pairs of all of them. */
function together(summaries: readonly TableSummary[]): string {
  const labels = [...new Set(summaries.flatMap(({ systems }) => Object.keys(systems)))];
  const base = summaries[0]?.comparisons[0]?.a ?? null;
  const rows = labels.map((label) => {
    const own = summaries.flatMap(({ systems }) => systems[label] ?? []);
    const n = own.reduce((sum, row) => sum + row.n, 0);
    const pooled = (value: (row: (typeof own)[number]) => number): number => own.reduce((sum, row) => sum + value(row) * row.n, 0) / n;
    const pairs = summaries.flatMap(({ comparisons }) => comparisons.filter(({ a, b }) => a === base && b === label));
    const [onlyBase, onlyThis] = [pairs.reduce((sum, { em }) => sum + em.onlyA, 0), pairs.reduce((sum, { em }) => sum + em.onlyB, 0)];
    const failed = own.reduce((sum, row) => sum + row.failed, 0);
    return {
      label, n, failed, onlyBase, onlyThis, p: mcNemarExact(onlyBase, onlyThis), em: pooled(({ em }) => em), f1: pooled(({ f1 }) => f1),
      calls: pooled(({ llmCalls }) => llmCalls), tokens: pooled(({ promptTokens }) => promptTokens), searches: pooled(({ searches }) => searches),
    };
  }).toSorted((a, b) => b.em - a.em || b.f1 - a.f1);
  const others = rows.filter(({ label }) => label !== base);
  const adjusted = new Map(holm(others.map(({ p }) => p)).map(({ adjusted: value }, i) => [others[i]?.label, value]));
  const lines = rows.map((row) => {
    const [, low, high] = wilson(Math.round(row.em * row.n), row.n) ?? [];
    const versus = row.label === base ? ['this', ''] : [`${row.onlyThis}, ${row.onlyBase}`, `${probability(row.p)} (${probability(adjusted.get(row.label) ?? 1)})`];
    const name = `\`${row.label}\`${row.failed === 0 ? '' : `, ${row.failed} failed`}`;
    const cells = [name, row.n, `${points(row.em)} [${points(low ?? null)}, ${points(high ?? null)}]`, points(row.f1), row.calls.toFixed(1),
      Math.round(row.tokens).toLocaleString('en'), row.searches.toFixed(1), ...(base === null ? [] : versus)];
    return cells;
  });
  const head = ['method', 'n', 'EM [95 %]', 'F1', 'calls', 'prompt tokens', 'searches', ...(base === null ? [] : [`only this right, only \`${base}\``, 'p (Holm)'])];
  return ['## All together', '', ...tableLines(head, lines), ''].join('\n');
}

function part({ systems, comparisons, run }: TableSummary): string {
  const rows = Object.entries(systems).toSorted(([, a], [, b]) => b.em - a.em || b.f1 - a.f1);
  const [first] = rows;
  if (first === undefined) return '';
  const least = Math.min(...rows.map(([, { n }]) => n));
  const most = Math.max(...rows.map(([, { n }]) => n));
  const base = comparisons[0]?.a ?? null;
  const versus = (label: string): string => {
    const found = comparisons.find(({ a, b }) => a === base && b === label)?.em;
    if (found === undefined || found.difference === null) return label === base ? 'this' : '–';
    const [mean, low, high] = found.difference;
    return `${signed(-mean)} [${signed(-high)}, ${signed(-low)}], p ${probability(found.mcnemar)} (${probability(found.holm)})`;
  };
  const lines = rows.map(([label, row]) => {
    const em = row.intervals.em === null ? points(row.em) : `${points(row.em)} [${row.intervals.em.slice(1).map(points).join(', ')}]`;
    const cost = [row.llmCalls.toFixed(1), `${Math.round(row.promptTokens).toLocaleString('en')}${row.cachedTokens === null ? '' : `, ${Math.round(row.cachedTokens * 100)} %`}`, row.searches.toFixed(1)];
    const name = `\`${label}\`${most > least ? ` (n ${row.n})` : ''}${row.failed === 0 ? '' : `, ${row.failed} failed`}`;
    return [name, em, points(row.f1), points(row.acc), points(row.supportRecall), points(row.quoteValidity), ...cost, ...(base === null ? [] : [versus(label)])];
  });
  const head = ['method', 'EM [95 %]', 'F1', 'accuracy', 'support recall', 'quotes verbatim', 'calls', 'prompt tokens, of these cached', 'searches', ...(base === null ? [] : [`EM − \`${base}\` [95 %], p (Holm)`])];
  const model = first[1].llm.replace(/^.*[#:]/, '');
  return [
    `## ${first[1].dataset}, ${model}, ${least === most ? `n ${least}` : `n ${least} to ${most}`}`, '',
    '```sh', run.command, '```', '',
    ...tableLines(head, lines), '',
  ].join('\n');
}

function tableLines(head: readonly string[], rows: readonly (readonly (string | number)[])[]): string[] {
  return [`| ${head.join(' | ')} |`, `|${'---|'.repeat(head.length)}`, ...rows.map((cells) => `| ${cells.join(' | ')} |`)];
}

/** A share without its leading zero, as the other tables of results write it. */
function points(value: number | null): string {
  return value === null ? '–' : value.toFixed(3).replace(/^0\./, '.');
}

const probability = (p: number): string => (p < 0.001 ? '< .001' : points(p));

function signed(value: number): string {
  return `${value < 0 ? '−' : '+'}${points(Math.abs(value))}`;
}
