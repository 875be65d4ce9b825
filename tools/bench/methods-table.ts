/** A public table of methods from the summaries of agent runs: one part a set and model, with intervals, paired tests and the commands that made it. */
import * as v from 'valibot';
import { methods } from '../../src/agent/methods/registry.ts';

const share = v.nullable(v.number());
const interval = v.nullable(v.tuple([v.number(), v.number(), v.number()]));

/** What is read of a `summary.json` (docs/lab.md). */
export const tableSummarySchema = v.object({
  systems: v.record(
    v.string(),
    v.object({
      method: v.string(), dataset: v.string(), llm: v.string(), setting: v.string(), corpus: v.string(), n: v.number(), failed: v.number(),
      em: v.number(), f1: v.number(), acc: v.number(), supportRecall: share, quoteValidity: share, silent: v.number(),
      llmCalls: v.number(), promptTokens: v.number(), cachedTokens: share, searches: v.number(),
      intervals: v.object({ em: interval }),
    }),
  ),
  comparisons: v.array(v.object({
    a: v.string(), b: v.string(), n: v.number(),
    em: v.object({ difference: interval, onlyA: v.number(), onlyB: v.number(), mcnemar: v.number(), holm: v.number() }),
  })),
  run: v.object({ command: v.string() }),
});
export type TableSummary = v.InferOutput<typeof tableSummarySchema>;

const order = new Map(methods.map(({ id }, i) => [id, i]));

/** The parts in the order of `summaries`; rows by EM, then F1. The same summaries give the same text. */
export function methodsTable(summaries: readonly TableSummary[]): string {
  return summaries.map(part).join('\n');
}

function part({ systems, comparisons, run }: TableSummary): string {
  const rows = Object.entries(systems).toSorted(([, a], [, b]) => b.em - a.em || b.f1 - a.f1 || (order.get(a.method) ?? 0) - (order.get(b.method) ?? 0));
  const [first] = rows;
  if (first === undefined) return '';
  const least = Math.min(...rows.map(([, { n }]) => n));
  const most = Math.max(...rows.map(([, { n }]) => n));
  const base = comparisons[0]?.a ?? null;
  const versus = (label: string): string => {
    const found = comparisons.find(({ a, b }) => a === base && b === label)?.em;
    if (found === undefined || found.difference === null) return label === base ? 'this' : '–';
    const [mean, low, high] = found.difference;
    return `${signed(-mean)} [${signed(-high)}, ${signed(-low)}], p ${points(found.mcnemar)} (${points(found.holm)})`;
  };
  const lines = rows.map(([label, row]) => {
    const em = row.intervals.em === null ? points(row.em) : `${points(row.em)} [${row.intervals.em.slice(1).map(points).join(', ')}]`;
    const cost = [row.llmCalls.toFixed(1), `${Math.round(row.promptTokens).toLocaleString('en')}${row.cachedTokens === null ? '' : `, ${Math.round(row.cachedTokens * 100)} %`}`, row.searches.toFixed(1)];
    const name = `\`${label}\`${most > least ? ` (n ${row.n})` : ''}${row.failed === 0 ? '' : `, ${row.failed} failed`}`;
    return `| ${[name, em, points(row.f1), points(row.acc), points(row.supportRecall), points(row.quoteValidity), ...cost, ...(base === null ? [] : [versus(label)])].join(' | ')} |`;
  });
  const head = ['method', 'EM [95 %]', 'F1', 'accuracy', 'support recall', 'quotes verbatim', 'calls', 'prompt tokens, of these cached', 'searches', ...(base === null ? [] : [`EM − \`${base}\` [95 %], p (Holm)`])];
  const model = first[1].llm.replace(/^.*[#:]/, '');
  return [
    `## ${first[1].dataset}, ${model}, ${least === most ? `n ${least}` : `n ${least} to ${most}`}`, '',
    '```sh', run.command, '```', '',
    `| ${head.join(' | ')} |`, `|${'---|'.repeat(head.length)}`, ...lines, '',
  ].join('\n');
}

/** A share without its leading zero, as the other tables of results write it. */
function points(value: number | null): string {
  return value === null ? '–' : value.toFixed(3).replace(/^0\./, '.');
}

function signed(value: number): string {
  return `${value < 0 ? '−' : '+'}${points(Math.abs(value))}`;
}
