/**
 * SmartSearch (METHODS §4.1, §8.5): every query gets a scorecard (new? useful?) with a note; a query that fails is refined, at most twice a round, and the results
 * of both count.
 */
import type { Hit } from '../../corpus/retriever.ts';
import { closingAnswer, conclude, refine, withinBudget } from '../actions.ts';
import type { Method, Tools } from '../harness.ts';
import { readFact, readPerRound, runLoop, type Round } from './loop.ts';
import type { ReadFact } from './read.ts';

/** More known documents among the results than this make a query redundant. */
const mostKnown = 3;
const mostRefinements = 2;

export const smartsearch: Method = {
  id: 'smartsearch',
  label: 'SmartSearch',
  description: 'Scores each query for novelty and use, and rewrites those that fail.',
  needsLlm: true,
  kind: 'method',
  source: 'SmartSearch (arXiv 2601.04888)',
  differences: 'Untrained, and without the gold answer: a query is useful if a verbatim quote of its results answers the sub-question. No separate scorer model.',
  run: async (tools) => {
    const { facts, stop } = await runLoop(tools, { rounds: 6, record: scoredRecord, find: firstSearch });
    let short = '';
    const limited = await withinBudget(async () => void (short = await closingAnswer(tools, tools.question, facts)));
    return conclude(tools, short, facts, limited ? 'budget' : stop);
  },
};

async function firstSearch(tools: Tools, { node, question }: Round): Promise<readonly Hit[] | null> {
  const { hits, repeated } = await tools.search(node, question, { acrossNodes: true });
  return repeated ? null : hits.slice(0, readPerRound);
}

/** Reads the results, judges the query by them, and tries again in other words while nothing useful came. */
async function scoredRecord(tools: Tools, round: Round, first: readonly Hit[]): Promise<ReadFact | null> {
  const { node } = round;
  const earlier = new Set(tools.state.searches.slice(0, -1).flatMap((made) => made.ids));
  let query = round.question;
  let hits = first;
  for (let attempt = 0; ; attempt++) {
    const known = hits.filter((hit) => earlier.has(hit.passage.id)).length;
    const novel = known <= mostKnown;
    const fact = hits.length === 0 ? null : await readFact(tools, round, hits);
    const useful = fact !== null;
    const note = `${novel ? '' : `${known} of ${hits.length} passages were known already. `}${useful ? 'A quote answers the question.' : 'No passage states the answer.'}`;
    const again = !useful && attempt < mostRefinements;
    const refined = again ? await refine(tools, node, round.question, query, note) : null;
    tools.emit({ kind: 'queryScored', node, query, novel, useful, note, refined });
    if (refined === null) return fact;
    for (const hit of hits) earlier.add(hit.passage.id);
    const next = await tools.search(node, refined);
    if (next.repeated) return null;
    query = refined;
    // The union is read; what is new comes first.
    const before = hits;
    hits = [...next.hits, ...before.filter((hit) => !next.hits.some((other) => other.passage.id === hit.passage.id))].slice(0, readPerRound * 2);
  }
}
