/**
 * SIRA (METHODS §4.6): one well-specified word search in place of several rounds. The model names words that a good passage would use; those that occur
 * nowhere, or in too many passages, are dropped by their document frequency; the words of the question keep their full weight.
 */
import { ask, closingAnswer, conclude, withinBudget, type KnownFact } from '../actions.ts';
import { contentWords, stemOf } from '../evidence.ts';
import type { Method } from '../harness.ts';
import { expandInstruction, expandSchema, section, task } from '../prompts-actions.ts';
import type { TermFrequencies } from '../../corpus/retriever.ts';
import { answerTypeOf } from '../plan.ts';
import { Reader } from './read.ts';

/** METHODS §4.6: share of the corpus above which a term says nothing, for large and for small corpora, and the weight of what is added. */
const mostShare = { large: 0.05, small: 0.2 } as const;
const smallCorpus = 5000;
const weight = 0.5;
const read = 8;

export interface ExpansionTerm {
  readonly term: string;
  readonly documents: number;
  readonly kept: boolean;
}

/** Terms kept: 0 < DF ≤ τ·|C|. Words of the question are never among the expansion, so they are never dropped either. */
export function filterTerms(terms: readonly string[], question: string, { passages, documents }: TermFrequencies): readonly ExpansionTerm[] {
  const asked = new Set(contentWords(question).map(stemOf));
  const most = (passages < smallCorpus ? mostShare.small : mostShare.large) * passages;
  return terms.flatMap((term, i) => {
    if (contentWords(term).every((word) => asked.has(stemOf(word)))) return [];
    const count = documents[i] ?? 0;
    return [{ term, documents: count, kept: count > 0 && count <= most }];
  });
}

export const sira: Method = {
  id: 'sira',
  label: 'SIRA',
  description: 'Expands the question once by words that the index confirms, and searches once.',
  needsLlm: true,
  kind: 'method',
  source: 'SIRA, Superintelligent Retrieval Agent (arXiv 2605.06647)',
  differences: 'Expansion of the query only: documents are not enriched at indexing time. τ .05 (.2 below 5,000 passages) and weight .5 are ours; the paper’s were not readable.',
  run: async (tools) => {
    const facts: KnownFact[] = [];
    let short = '';
    const limited = await withinBudget(async () => {
      const { question } = tools;
      tools.emit({ kind: 'nodeStarted', node: 1, question });
      const written = await ask(tools, 'expand', 1, expandSchema, task('EXPAND', expandInstruction, section('Question', 'question', question)), 200);
      const proposed = [...new Set((written?.terms ?? []).map((term) => term.trim()).filter((term) => term !== ''))];
      const terms = filterTerms(proposed, question, await tools.frequencies(proposed));
      tools.emit({ kind: 'expanded', node: 1, query: question, terms, weight });
      const { hits } = await tools.search(1, question, { terms: terms.filter(({ kept }) => kept).map(({ term }) => ({ text: term, weight })), rerank: true });
      const fact = await new Reader(tools, 1, question, answerTypeOf(question), tools.settings.evidenceTokens * 2).read(hits.slice(0, read));
      if (fact !== null) facts.push({ ...fact, question });
      tools.emit({ kind: 'nodeFinished', node: 1, status: fact === null ? 'failed' : 'answered', answer: fact?.answer ?? '', stop: fact === null ? 'not-found' : 'answered' });
      short = fact?.answer ?? (await closingAnswer(tools, question, facts));
    });
    return conclude(tools, short, facts, limited ? 'budget' : 'answered');
  },
};
