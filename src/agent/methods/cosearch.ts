/**
 * CoSearch (METHODS §4.13): retrieve fifty, rank them list-wise, show five to the reasoner; and tell how many of the fifty that hold the answer were not among
 * the five.
 */
import type { Hit } from '../../corpus/retriever.ts';
import { ask, closingAnswer, conclude, withinBudget } from '../actions.ts';
import { occursIn, packSentences, sentencesOf, withoutOrders } from '../evidence.ts';
import type { Method, Tools } from '../harness.ts';
import { section, sectionTokens, selectInstruction, selectSchema, task } from '../prompts-actions.ts';
import { readPerRound, runLoop, type Round } from './loop.ts';

const retrieved = 50;

export const cosearch: Method = {
  id: 'cosearch',
  label: 'CoSearch',
  description: 'Retrieves fifty passages, ranks them, and reads five.',
  needsLlm: true,
  kind: 'method',
  source: 'CoSearch (arXiv 2604.17555)',
  differences: 'The ranker is the loaded re-ranker, if any, and then the same model choosing list-wise from one line a passage; neither is trained together with the reasoner.',
  run: async (tools) => {
    const { facts, stop } = await runLoop(tools, {
      rounds: 6,
      find: rankFifty,
      after: async (own, { node, question }, hits, fact) => {
        tellMissed(own, node, question, hits, fact?.answer ?? '');
        return '';
      },
    });
    let short = '';
    const limited = await withinBudget(async () => void (short = await closingAnswer(tools, tools.question, facts)));
    return conclude(tools, short, facts, limited ? 'budget' : stop);
  },
};

async function rankFifty(tools: Tools, { node, question }: Round): Promise<readonly Hit[] | null> {
  const { hits, repeated } = await tools.search(node, question, { k: retrieved, rerank: true, acrossNodes: true });
  if (repeated) return null;
  if (hits.length <= readPerRound) return hits;
  // One line a passage: fifty whole ones fit no small context.
  const { readable } = withoutOrders(hits.map((hit) => hit.passage));
  const lines = readable.map(({ passage }, i) => {
    const hit = hits.find((one) => one.passage.id === passage.id);
    const best = hit === undefined ? undefined : packSentences([hit], question, 1, 1).sentences[0];
    return `[${i + 1}] ${passage.title}: ${(best?.text ?? sentencesOf(passage)[0]?.text ?? '').slice(0, Math.floor((sectionTokens.passages * 4) / retrieved) - 20)}`;
  });
  const messages = task('SELECT', selectInstruction, section('Question', 'question', question), section('Passages', 'passages', ...lines));
  const picked = await ask(tools, 'select', node, selectSchema(readable.length, readPerRound), messages, 40);
  const chosen = [...new Set(picked?.keep ?? [])].flatMap((n) => hits.find((hit) => hit.passage.id === readable[n - 1]?.passage.id) ?? []);
  // A ranking orders; it does not leave places empty.
  const kept = [...chosen, ...hits.filter((hit) => !chosen.includes(hit))].slice(0, readPerRound);
  tools.emit({ kind: 'selected', node, kept: kept.map((hit) => hit.passage.id), dropped: hits.filter((hit) => !kept.includes(hit)).map((hit) => hit.passage.id) });
  return kept;
}

function tellMissed(tools: Tools, node: number, question: string, kept: readonly Hit[], answer: string): void {
  const found = tools.state.searches.findLast((made) => made.node === node);
  if (found === undefined) return;
  const read = new Set(kept.map((hit) => hit.passage.id));
  const missed = answer === '' ? null : found.ids.filter((id) => !read.has(id) && occursIn(answer, tools.pool.get(id)?.text ?? '')).length;
  const note = missed === null
    ? `Nothing that answers was among the ${read.size} of ${found.ids.length} passages that were read.`
    : `${missed} of the ${found.ids.length} passages found hold the answer and were not among the ${read.size} read.`;
  tools.emit({ kind: 'queryScored', node, query: question, novel: found.fresh.length > 0, useful: answer !== '', note, refined: null });
}
