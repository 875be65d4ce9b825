/**
 * Harness-1's loop (METHODS §4.7, §8.8): the model chooses one tool a turn; what it has seen, kept, checked and tried is held outside and shown anew each turn
 * within fixed token budgets, so that the context does not grow with the run.
 */
import type { Passage } from '../../corpus/retriever.ts';
import { ask, conclude, followLinks, grep, passageLines, supportIn, verify, withinBudget } from '../actions.ts';
import { isUnknown, packSentences, shortAnswer, withoutOrders } from '../evidence.ts';
import type { Method, Tools } from '../harness.ts';
import { actInstruction, actSchema, section, sectionTokens, task, type ToolName } from '../prompts-actions.ts';
import { budgetLine, evidenceGraph, historyLines } from '../state.ts';

const turns = 20;
const shown = 10;
/** Sentences that stand for a passage in a list (Harness-1 compresses by BM25 to 4). */
const snippetCharacters = 240;

export const toolLoop: Method = {
  id: 'harness',
  label: 'Harness-1',
  description: 'The model chooses tools turn by turn; pool, curated set, evidence graph and budget live outside of it.',
  needsLlm: true,
  kind: 'method',
  source: 'Harness-1 (arXiv 2606.02373)',
  differences: 'Untrained model, 20 turns, a curated set of 12, one query a search instead of up to five; near-duplicates are left to the search. The model chooses under a grammar.',
  run: async (tools) => {
    const seen: Passage[] = [];
    let note = '';
    let short = '';
    const node = 1;
    tools.emit({ kind: 'nodeStarted', node, question: tools.question });
    const limited = await withinBudget(async () => {
      for (let turn = 1; turn <= turns; turn++) {
        const lines = listed(tools, seen);
        const act = await ask(tools, 'act', node, actSchema, render(tools, lines, note), 120);
        if (act === null) {
          note = 'The last reply was no tool call.';
          continue;
        }
        if (act.thought.trim() !== '') tools.emit({ kind: 'thought', node, text: act.thought.trim() });
        const argument = act.argument.trim();
        if (act.tool === 'answer') {
          short = isUnknown(shortAnswer(argument)) ? '' : shortAnswer(argument);
          break;
        }
        note = await use(tools, node, act.tool, argument, seen);
      }
    });
    const evidence = short === '' ? null : supportIn(tools, node, short, [...tools.state.curated.map(({ passage }) => passage), ...tools.pool.values()]);
    tools.emit({ kind: 'nodeFinished', node, status: short === '' ? 'failed' : 'answered', answer: short, stop: short === '' ? 'not-found' : 'answered' });
    const facts = evidence === null ? [] : [{ question: tools.question, answer: short, evidence: [evidence] }];
    return conclude(tools, short, facts, limited ? 'budget' : 'answered');
  },
};

/** The passages that can be named by number: the latest ones seen. */
function listed(tools: Tools, seen: readonly Passage[]): readonly Passage[] {
  return withoutOrders(seen.slice(-shown)).readable.map(({ passage }) => passage).filter((passage) => tools.pool.has(passage.id));
}

function render(tools: Tools, seen: readonly Passage[], note: string): ReturnType<typeof task> {
  const { state } = tools;
  const { bridges, singletons } = evidenceGraph(state);
  const kept = passageLines(tools, state.curated.filter(({ importance }) => importance !== 'fair' && importance !== 'low').map(({ passage }) => passage), sectionTokens.state);
  const snippets = seen.map((passage, i) => `[${i + 1}] ${passage.title}: ${snippetOf(passage, tools.question)}`);
  return task(
    'ACT', actInstruction, section('Question', 'question', tools.question), section('Budget', 'note', budgetLine(tools.budget(), tools.limits)),
    section('Kept', 'state', ...kept.lines), section('Seen', 'state', ...snippets),
    section('Names', 'note', [...bridges.map(({ entity }) => entity), ...singletons].slice(0, 12).join(', ')),
    section('Tried', 'history', ...historyLines(state, null, sectionTokens.history)), section('Last', 'note', note),
  );
}

function snippetOf(passage: Passage, question: string): string {
  const hit = { passage, score: 1, rank: 1, paths: [], highlights: [], bestSentence: 0 };
  return packSentences([hit], question, 60, 2).sentences.map(({ text }) => text).join(' ').slice(0, snippetCharacters);
}

/** Carries a choice out; gives what the next turn is told of it. */
async function use(tools: Tools, node: number, tool: Exclude<ToolName, 'answer'>, argument: string, seen: Passage[]): Promise<string> {
  const add = (passages: readonly Passage[]): void => {
    for (const passage of passages.toReversed()) {
      const at = seen.findIndex((known) => known.id === passage.id);
      if (at >= 0) seen.splice(at, 1);
      seen.push(passage);
    }
  };
  const numbered = listed(tools, seen)[Number(/\d+/.exec(argument)?.[0] ?? 0) - 1];
  switch (tool) {
    case 'search': {
      const { hits, fresh, repeated } = await tools.search(node, argument === '' ? tools.question : argument);
      add(hits.slice(0, shown).map((hit) => hit.passage));
      return repeated ? `"${argument}" was searched before; choose other words or another tool.` : `${hits.length} passages found, ${fresh.length} new.`;
    }
    case 'grep': {
      const hits = await grep(tools, node, argument);
      add(hits.slice(0, shown).map((hit) => hit.passage));
      return `${hits.length} passages hold "${argument}".`;
    }
    case 'read':
      if (numbered === undefined) return 'There is no passage of that number.';
      tools.emit({ kind: 'selected', node, kept: [numbered.id], dropped: [] });
      return 'The passage is among those kept, in full.';
    case 'links': {
      if (numbered === undefined) return 'There is no passage of that number.';
      const linked = await followLinks(tools, node, numbered.id);
      add(linked);
      return `${linked.length} passages are linked from ${numbered.title}.`;
    }
    case 'keep':
      if (numbered === undefined) return 'There is no passage of that number.';
      tools.emit({ kind: 'selected', node, kept: [numbered.id], dropped: [] });
      return `${numbered.title} is kept.`;
    case 'verify': {
      const passages = tools.state.curated.slice(0, 5).map(({ passage }) => passage);
      return (await verify(tools, node, argument, passages)) ? `Verified: ${argument}` : `Not verified: ${argument}`;
    }
  }
}
