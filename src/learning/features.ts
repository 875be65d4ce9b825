/**
 * What the passage selector and the search gate look at, as numbers; the same functions build training examples and serve a run. Pure.
 */
import { contentWords, jaccard, stemOf } from '../agent/evidence.ts';
import type { SearchState } from '../agent/learned.ts';
import type { Hit } from '../corpus/retriever.ts';
import type { LogisticExample } from './logistic.ts';
import type { Sample } from './samples.ts';

export const selectorFeatures = [
  'reciprocalRank', 'scoreShare', 'lexicalShare', 'similarity', 'titleNamed', 'linkOut', 'linkIn', 'queryCoverage', 'questionCoverage', 'titleInQuery', 'length',
] as const;

/** A row of `selectorFeatures` for each hit of one search, in order. `question` is the whole question, `query` what was searched. */
export function selectorRows(question: string, query: string, hits: readonly Hit[]): number[][] {
  const pathScore = (hit: Hit, kind: 'lexical' | 'dense'): number => hit.paths.reduce((best, path) => (path.kind === kind ? Math.max(best, path.score) : best), 0);
  const best = Math.max(...hits.map((hit) => hit.score), Number.MIN_VALUE);
  const bestLexical = Math.max(...hits.map((hit) => pathScore(hit, 'lexical')), Number.MIN_VALUE);
  const stems = (text: string): Set<string> => new Set(contentWords(text).map(stemOf));
  const [ofQuery, ofQuestion] = [stems(query), stems(question)];
  const covered = (wanted: ReadonlySet<string>, by: ReadonlySet<string>): number =>
    wanted.size === 0 ? 0 : [...wanted].filter((word) => by.has(word)).length / wanted.size;
  return hits.map((hit) => {
    const { title, text } = hit.passage;
    const words = stems(`${title} ${text}`);
    return [
      1 / hit.rank,
      hit.score / best,
      pathScore(hit, 'lexical') / bestLexical,
      pathScore(hit, 'dense'),
      hit.paths.some((path) => path.kind === 'title') ? 1 : 0,
      hit.paths.some((path) => path.kind === 'link' && path.direction === 'out') ? 1 : 0,
      hit.paths.some((path) => path.kind === 'link' && path.direction === 'in') ? 1 : 0,
      covered(ofQuery, words),
      covered(ofQuestion, words),
      covered(stems(title), ofQuery),
      Math.log1p(text.length / 100),
    ];
  });
}

export const gateFeatures = ['rounds', 'searches', 'freshShare', 'overlap', 'words'] as const;

export function gateRow(state: SearchState): number[] {
  return [state.rounds, state.searches, state.freshShare, state.overlap, state.words];
}

/**
 * An example for every further search of a node: did it bring a passage, new to the run, that evidence was then taken from? Weighted by the trajectory's weight
 * (1 where there is none).
 */
export function gateExamples(sample: Sample): LogisticExample[] {
  const examples: LogisticExample[] = [];
  const tried = new Map<number | null, string[]>();
  let searches = 0;
  const lastFresh = new Map<number | null, number>();
  sample.steps.forEach((step, i) => {
    if (step.kind !== 'search') return;
    const earlier = tried.get(step.node) ?? [];
    if (earlier.length > 0) {
      const fresh = new Set(step.docs.filter((doc) => doc.new).map((doc) => doc.id));
      const useful = sample.steps.slice(i + 1).some((later) => later.kind === 'record' && later.node === step.node && later.evidence.some((item) => fresh.has(item.doc)));
      const state: SearchState = {
        rounds: earlier.length, searches, freshShare: lastFresh.get(step.node) ?? 0,
        overlap: Math.max(...earlier.map((query) => jaccard(query, step.query))), words: contentWords(step.query).length,
      };
      examples.push({ x: gateRow(state), y: useful ? 1 : 0, weight: sample.weight ?? 1 });
    }
    tried.set(step.node, [...earlier, step.query]);
    searches++;
    lastFresh.set(step.node, step.docs.length === 0 ? 0 : step.docs.filter((doc) => doc.new).length / step.docs.length);
  });
  return examples;
}
