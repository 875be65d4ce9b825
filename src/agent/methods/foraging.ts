/** InForage (METHODS §4.10): a loop that leaves when the scent of new and relevant passages falls below its average, instead of after a fixed number of rounds. */
import type { Passage } from '../../corpus/retriever.ts';
import { closingAnswer, conclude, withinBudget } from '../actions.ts';
import type { Method } from '../harness.ts';
import { foraging as belowAverage, type StopRule } from '../state.ts';
import { runLoop, speaksTo } from './loop.ts';

const rounds = 8;

export const foraging: Method = {
  id: 'foraging',
  label: 'InForage',
  description: 'Searches on while new relevant passages keep coming, and leaves when they thin out.',
  needsLlm: true,
  kind: 'method',
  source: 'InForage, Scent of Knowledge (arXiv 2505.09316)',
  differences: 'Untrained. The paper rewards information gain in training; the stop at the marginal value is our reconstruction. A passage is relevant if it speaks of half of what is asked.',
  run: async (tools) => {
    const { facts, stop } = await runLoop(tools, { rounds, stop: acrossRounds(belowAverage(relevant(tools.question))) });
    let short = '';
    const limited = await withinBudget(async () => void (short = await closingAnswer(tools, tools.question, facts)));
    return conclude(tools, short, facts, limited ? 'budget' : short === '' ? stop : 'answered');
  },
};

function relevant(question: string): (passage: Passage) => boolean {
  return speaksTo(question);
}

/** Rounds are nodes of their own: their searches are one patch. */
function acrossRounds(rule: StopRule): StopRule {
  return (state, node) => rule({ ...state, searches: state.searches.map((made) => ({ ...made, node })) }, node);
}
