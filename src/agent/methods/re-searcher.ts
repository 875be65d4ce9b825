/**
 * RE-Searcher (METHODS §4.2): a goal before each search, a verdict on it afterwards. Each query is also asked in two other wordings; where the results hardly
 * overlap the query is fragile, and the wordings are fused.
 */
import type { Hit } from '../../corpus/retriever.ts';
import { ask, closingAnswer, conclude, passageLines, withinBudget } from '../actions.ts';
import { contentWords } from '../evidence.ts';
import type { Method, Tools } from '../harness.ts';
import { entitiesOf } from '../plan.ts';
import { goalInstruction, goalSchema, reflectInstruction, reflectSchema, section, task } from '../prompts-actions.ts';
import { readPerRound, runLoop, type Round } from './loop.ts';

/** Below this share of common results the wordings are fused. */
const fragile = 0.3;

export const reSearcher: Method = {
  id: 're-searcher',
  label: 'RE-Searcher',
  description: 'States the goal of each search, then reflects whether it was reached; fuses wordings where results depend on them.',
  needsLlm: true,
  kind: 'method',
  source: 'RE-Searcher (arXiv 2509.26048)',
  differences: 'Untrained; goal and reflection are prompts of their own. The two paraphrases are templates (key words, names), and fusing them below an overlap of .3 is ours.',
  limitFactor: () => 3,
  run: async (tools) => {
    const goals = new Map<number, string>();
    const { facts, stop } = await runLoop(tools, {
      rounds: 6,
      before: async (own, { node, question }) => {
        const written = await ask(own, 'goal', node, goalSchema, task('GOAL', goalInstruction, section('Question', 'question', question)), 60);
        const goal = written?.goal.trim() ?? question;
        goals.set(node, goal);
        own.emit({ kind: 'goalSet', node, goal });
      },
      find: searchWordings,
      after: async (own, { node }, hits) => {
        const { lines } = passageLines(own, hits.map((hit) => hit.passage));
        const sections = [section('Goal', 'note', goals.get(node) ?? ''), section('Passages', 'passages', ...lines)];
        const verdict = await ask(own, 'reflect', node, reflectSchema, task('REFLECT', reflectInstruction, ...sections), 70);
        own.emit({ kind: 'reflected', node, satisfied: verdict?.satisfied === true, why: verdict?.why ?? '' });
        return verdict?.satisfied === true ? '' : `The goal was not reached: ${verdict?.why ?? 'no verdict'}`;
      },
    });
    let short = '';
    const limited = await withinBudget(async () => void (short = await closingAnswer(tools, tools.question, facts)));
    return conclude(tools, short, facts, limited ? 'budget' : stop);
  },
};

/** The question as key words, and as its names with its last content words: two wordings that no model has to write. */
function paraphrases(question: string): readonly string[] {
  const words = contentWords(question);
  const names = entitiesOf(question);
  return [words.join(' '), [...names, ...words.slice(-2)].join(' ')];
}

/** Share of common ids of the first `k` (Jaccard); 1 where both are empty. */
export function overlap(a: readonly Hit[], b: readonly Hit[], k = readPerRound): number {
  const left = new Set(a.slice(0, k).map((hit) => hit.passage.id));
  const right = new Set(b.slice(0, k).map((hit) => hit.passage.id));
  const both = [...left].filter((id) => right.has(id)).length;
  return left.size + right.size === 0 ? 1 : both / (left.size + right.size - both);
}

/** Reciprocal-rank fusion with the usual constant (METHODS §13). */
export function fuse(lists: readonly (readonly Hit[])[]): readonly Hit[] {
  const scores = new Map<string, { readonly hit: Hit; score: number }>();
  for (const list of lists) {
    list.forEach((hit, i) => {
      const known = scores.get(hit.passage.id) ?? { hit, score: 0 };
      known.score += 1 / (60 + i + 1);
      scores.set(hit.passage.id, known);
    });
  }
  return [...scores.values()].sort((a, b) => b.score - a.score).map(({ hit, score }, i) => ({ ...hit, score, rank: i + 1 }));
}

async function searchWordings(tools: Tools, { node, question }: Round): Promise<readonly Hit[] | null> {
  const { hits, repeated } = await tools.search(node, question, { acrossNodes: true });
  if (repeated) return null;
  const lists: (readonly Hit[])[] = [hits];
  for (const wording of paraphrases(question)) {
    // The wordings have the same words by design, so the rule against repetitions does not apply to them.
    const other = await tools.search(node, wording, { evenIfRepeated: true });
    const share = overlap(hits, other.hits);
    tools.emit({
      kind: 'queryScored', node, query: wording, novel: share < 1, useful: null, refined: null,
      note: `Another wording shares ${Math.round(share * 100)} % of the first ${readPerRound} results${share < fragile ? ': the query is fragile, results are fused' : ''}.`,
    });
    if (share < fragile) lists.push(other.hits);
  }
  return (lists.length === 1 ? hits : fuse(lists)).slice(0, readPerRound);
}
