/**
 * AI-SearchPlanner (METHODS §4.3): one model decides what to search and when to stop, another one answers once from what was found. A round more must gain more
 * in the answerer's confidence than it costs.
 */
import { closingAnswer, conclude, valueOf, withinBudget } from '../actions.ts';
import type { Method } from '../harness.ts';
import { runLoop, searchBest } from './loop.ts';

const rounds = 6;

export const searchPlanner: Method = {
  id: 'search-planner',
  label: 'AI-SearchPlanner',
  description: 'A small model plans and searches; the main model judges and answers. A slider sets what a round may cost.',
  needsLlm: true,
  kind: 'method',
  source: 'AI-SearchPlanner (arXiv 2508.20368)',
  differences: 'Untrained planner. Utility is P(enough) less costWeight a round; the paper trains on the generator’s gain. Without a second model one plays both parts.',
  run: async (tools) => {
    const { planner, settings } = tools.deps;
    const searcher = planner === undefined ? tools : tools.with({ llm: planner });
    let value = 0;
    let isWorthwhile = true;
    const { facts, stop } = await runLoop(searcher, {
      rounds,
      find: async (own, round) => (isWorthwhile ? searchBest(own, round) : null),
      after: async (_, { node, question, facts: before }, __, fact) => {
        if (fact === null) return '';
        const next = await valueOf(tools, node, tools.question, [...before, { ...fact, question }]);
        // Confidence may rise late: only a round that gains nothing once the answer is likely ends the search.
        isWorthwhile = next < 0.5 || next - value >= settings.costWeight;
        value = next;
        return isWorthwhile ? '' : 'Enough is known.';
      },
      stop: () => (isWorthwhile ? null : 'not-found'),
    });
    let short = '';
    const limited = await withinBudget(async () => void (short = await closingAnswer(tools, tools.question, facts)));
    return conclude(tools, short, facts, limited ? 'budget' : short === '' ? stop : 'answered');
  },
};
