/**
 * Table mode (A-MapReduce, METHODS §4.9): columns are stated, rows are found in passages or given, every cell is looked up on its own with its quote. A broken
 * table goes on with the cells that are missing, since finished calls are not repeated.
 */
import { ask, conclude, finishNode, passageLines, withinBudget, type KnownFact } from '../actions.ts';
import { occursIn } from '../evidence.ts';
import type { Method, Tools } from '../harness.ts';
import { rowsInstruction, rowsSchema, section, tableInstruction, tableSchema, task } from '../prompts-actions.ts';
import { readFact, readPerRound } from './loop.ts';

const mostRows = 12;
const readForRows = 15;

export const table: Method = {
  id: 'table',
  label: 'Table',
  description: 'Fills a table: a row for each thing, a quote for each cell.',
  needsLlm: true,
  kind: 'method',
  source: 'A-MapReduce (arXiv 2602.01331)',
  differences: 'Cells are looked up one after another by one model, not by eight workers; there is no memory of earlier allocations. A cell is filled only with a verbatim quote.',
  limitFactor: () => 4,
  run: async (tools) => {
    const facts: KnownFact[] = [];
    let node = 0;
    const limited = await withinBudget(async () => {
      const { columns, rows } = await frame(tools);
      tools.emit({ kind: 'tableStarted', columns, rows });
      for (const [row, name] of rows.entries()) {
        for (const [column, wanted] of columns.entries()) {
          node++;
          const question = `What is the ${wanted} of ${name}?`;
          tools.emit({ kind: 'nodeStarted', node, question });
          const fact = await cell(tools, node, question);
          finishNode(tools, node, fact, 'not-found');
          tools.emit({ kind: 'cellFilled', row, column, value: fact?.answer ?? '', evidence: fact?.evidence[0] ?? null });
          if (fact !== null) facts.push({ ...fact, question });
        }
      }
    });
    const names = facts.map((fact) => fact.answer).join('; ');
    return conclude(tools, names, facts, limited ? 'budget' : 'answered');
  },
};

/** The person's own columns and rows where given, else the model's columns and the names that passages hold. */
async function frame(tools: Tools): Promise<{ readonly columns: readonly string[]; readonly rows: readonly string[] }> {
  const { table: given } = tools.deps;
  if (given !== undefined && given.rows.length > 0) return given;
  const read = await ask(tools, 'plan', null, tableSchema, task('TABLE', tableInstruction, section('Question', 'question', tools.question)), 120);
  const columns = given?.columns ?? read?.columns ?? ['answer'];
  const { hits } = await tools.search(0, tools.question);
  const { lines, shown } = passageLines(tools, hits.slice(0, readForRows).map((hit) => hit.passage));
  const sections = [section('Question', 'question', tools.question), section('Kind', 'note', read?.kind ?? 'thing'), section('Passages', 'passages', ...lines)];
  const named = await ask(tools, 'plan', null, rowsSchema, task('ROWS', rowsInstruction, ...sections), 240);
  // A name that no passage holds is an invention.
  const rows = [...new Set(named?.names ?? [])].filter((name) => shown.some((passage) => occursIn(name, `${passage.title} ${passage.text}`)));
  return { columns, rows: rows.slice(0, mostRows) };
}

/** Two tries a cell: the question, then its words with the row's name quoted. */
async function cell(tools: Tools, node: number, question: string): ReturnType<typeof readFact> {
  const { hits } = await tools.search(node, question);
  const round = { node, question, facts: [] };
  const fact = await readFact(tools, round, hits.slice(0, readPerRound));
  if (fact !== null || hits.length <= readPerRound) return fact;
  return readFact(tools, round, hits.slice(readPerRound, readPerRound * 3));
}
