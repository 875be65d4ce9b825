/** `npm run bench -- methods`: the registry as one line of JSON, and docs/methods.md made from it with what agent runs measured. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import * as v from 'valibot';
import { methods } from '../../src/agent/methods/registry.ts';
import { root } from '../setup.mjs';
import { methodsTable, tableSummarySchema, type TableSummary } from './methods-table.ts';

/** Resolves with the line for stdout. */
export async function methodsCommand(args: string[]): Promise<string> {
  const { values } = parseArgs({ args, options: { write: { type: 'boolean' }, results: { type: 'string' }, table: { type: 'string' } } });
  const files = (values.results ?? '').split(',').filter((file) => file !== '');
  const summaries = await Promise.all(files.map(async (file) => v.parse(tableSummarySchema, JSON.parse(await readFile(file, 'utf8')))));
  if (values.write === true) await writeFile(join(root, 'docs', 'methods.md'), methodsPage(summaries));
  if (values.table !== undefined) await writeFile(values.table, methodsTable(summaries));
  return JSON.stringify(methods.map(({ id, label, source, kind }) => ({ id, title: label, source, kind })));
}

/** The page in full; the same registry and summaries give the same text. */
function methodsPage(summaries: readonly TableSummary[]): string {
  const measured = (id: string): string => {
    const cells = new Map<string, { readonly n: number; readonly text: string }>();
    const systems = summaries.flatMap((summary) => Object.values(summary.systems).filter(({ method }) => method === id));
    for (const { dataset, llm, setting, n, em, f1, llmCalls, promptTokens } of systems) {
      const where = [dataset, llm.replace(/^.*[#:]/, ''), ...(setting === 'default' ? [] : [setting])].join(', ');
      // Of the same measured twice the larger counts.
      if (n <= (cells.get(where)?.n ?? 0)) continue;
      cells.set(where, { n, text: `${where}: EM ${percent(em)}, F1 ${percent(f1)} (n ${n}; ${llmCalls.toFixed(1)} calls, ${Math.round(promptTokens)} prompt tokens)` });
    }
    return cells.size === 0 ? 'not measured yet' : [...cells.values()].map(({ text }) => text).join('; ');
  };
  const rows = (kinds: readonly string[]): string =>
    methods
      .filter(({ kind }) => kinds.includes(kind))
      .map(({ id, label, source, description, differences }) => `| \`${id}\` | **${label}**: ${description} | ${source} | ${differences} | ${measured(id)} |`)
      .join('\n');
  const header = '| id | what it does | source | what differs from the source | measured |\n|---|---|---|---|---|';
  return `# Methods

Every method runs in the same harness over the same tools, corpus, retriever and model, and yields the same events; the page and \`npm run bench -- agent --methods ID,…\` offer all of them.
None is trained here: what is re-implemented are the procedures at run time and the objectives as metrics, so no figure below is a reproduction of a paper's.

This page is written by \`npm run bench -- methods --write --results SUMMARY.json,…\`, from the registry and from summaries that \`npm run bench -- agent\` leaves: those in
\`bench/results/methods\`. Side by side, with intervals and paired tests: [bench/results/methods.md](../bench/results/methods.md). Rows of a few questions say what a method costs, not how good it is.

## The default

${header}
${rows(['default'])}

## Methods

${header}
${rows(['method'])}

## Baselines

${header}
${rows(['baseline'])}

## What holds for all

- Limits on model calls, searches and time; methods that work through a question several times have the limits as many times.
- Prompts are packed into fixed budgets a section and fit a context of 4096 tokens. Output is constrained by a grammar, except where a baseline's published format is free text; that
  is parsed tolerantly, and the run tells by which rule the answer was taken.
- Passages are quoted data. Sentences that read as orders to a model are left out, in every method.
- A quote stands word for word in its passage. Answers of the free-text baselines are given as they are, cited only where a passage that was read holds them.
- A run that was broken off goes on from its event log; finished model calls and searches are not repeated.
- ReAct, Search-o1 and the like were published for much larger models than a browser runs: their rows say what they do with a small one, not what they are worth with a large one.
`;
}

function percent(share: number): string {
  return (share * 100).toFixed(1);
}
