/**
 * HierSearch for a library (METHODS §4.4): the person's own documents are asked first, then the shards. Where both answer and disagree the conflict is told and
 * the own documents win. What is read is refined: sentences' passages close to the question, and of the rest those close to the conclusion.
 */
import type { Hit, Passage } from '../../corpus/retriever.ts';
import { closingAnswer, conclude, finishNode, think, withinBudget, type KnownFact } from '../actions.ts';
import { wordSimilarity } from '../decomposition.ts';
import type { Method, Tools } from '../harness.ts';
import { answerKey } from '../trajectories.ts';
import { readFact, readPerRound } from './loop.ts';
import type { ReadFact } from './read.ts';

const rounds = 6;
/** Shares kept by likeness to the question, and of the rest by likeness to the conclusion (METHODS §4.4: β .3). */
const alpha = 0.5;
const beta = 0.3;

export const localFirst: Method = {
  id: 'local-first',
  label: 'Own documents first',
  description: 'Asks your own documents first, then the shards, and tells where they disagree.',
  needsLlm: true,
  kind: 'method',
  source: 'HierSearch (arXiv 2508.08088)',
  differences: 'Untrained; shards stand where the paper has the web. The refiner works on passages with the loaded embedder, or by words without one.',
  limitFactor: () => 2,
  run: async (tools) => {
    const facts: KnownFact[] = [];
    let short = '';
    const limited = await withinBudget(async () => {
      for (let node = 1; node <= rounds; node++) {
        const step = await think(tools, node, tools.question, facts, facts.length < node - 1 ? 'The last look-up found nothing.' : '');
        if (step.done && facts.length > 0) break;
        tools.emit({ kind: 'nodeStarted', node, question: step.query });
        const fact = await askBoth(tools, node, step.query, facts);
        finishNode(tools, node, fact, 'not-found');
        if (fact !== null) facts.push({ ...fact, question: step.query });
      }
      short = await closingAnswer(tools, tools.question, facts);
    });
    return conclude(tools, short, facts, limited ? 'budget' : 'answered');
  },
};

async function askBoth(tools: Tools, node: number, question: string, facts: readonly KnownFact[]): Promise<ReadFact | null> {
  const similarity = tools.deps.similarity ?? wordSimilarity;
  const conclusion = facts.map((fact) => fact.answer).join(' ');
  const read = (hits: readonly Hit[]): Promise<ReadFact | null> | null =>
    hits.length === 0 ? null : readFact(tools, { node, question, facts }, refined(hits, question, conclusion, similarity).slice(0, readPerRound));
  const own = await tools.search(node, question, { corpora: ['own'] });
  if (own.repeated) return null;
  const local = await read(own.hits);
  const others = await tools.search(node, question, { evenIfRepeated: true });
  const shard = await read(others.hits.filter((hit) => hit.passage.corpus !== 'own'));
  if (local !== null && shard !== null && answerKey(local.answer) !== answerKey(shard.answer)) {
    tools.emit({ kind: 'conflictFound', node, answers: [{ answer: local.answer, source: 'own' }, { answer: shard.answer, source: 'shard' }] });
  }
  return local ?? shard;
}

/**
 * The knowledge refiner: the best `alpha` share by likeness to what is asked next, then the best `beta` share of the rest by likeness to what was concluded;
 * at least one passage. Order of the search is kept.
 */
export function refined(hits: readonly Hit[], question: string, conclusion: string, similarity: (a: string, b: string) => number): readonly Hit[] {
  const textOf = ({ title, text }: Passage): string => `${title} ${text}`;
  const best = (list: readonly Hit[], to: string, share: number): readonly Hit[] => {
    const scored = list.map((hit) => ({ hit, score: similarity(textOf(hit.passage), to) })).sort((a, b) => b.score - a.score);
    return scored.slice(0, Math.ceil(list.length * share)).map(({ hit }) => hit);
  };
  const first = best(hits, question, alpha);
  const rest = hits.filter((hit) => !first.includes(hit));
  const second = conclusion === '' ? [] : best(rest, conclusion, beta);
  const kept = hits.filter((hit) => first.includes(hit) || second.includes(hit));
  return kept.length === 0 ? hits.slice(0, 1) : kept;
}
