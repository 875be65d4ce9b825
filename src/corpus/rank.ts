/**
 * Learned ranking of candidates: what is known of each (features), the weights of a linear model over that, and the score. Pure; no text is read.
 * Two stages with the same features: the first takes the strength of a linking passage from the fused score, the second from what a truncated personalised
 * PageRank makes of the first stage's scores, so that strength travels several links. The weights are learned by `npm run bench -- recall --learn` and may come
 * with a shard; `generalWeights` serve all others.
 */
import * as v from 'valibot';
import { generalWeightsData } from './rank-weights.ts';

/**
 * In the order of the weights. All lie between 0 and about 1; `seed` is a passage among the best that links to the candidate (out) or that it links to (in),
 * strength the seed's score as a share of the best.
 */
export const featureNames = [
  'words', // BM25 as a share of the best
  'wordsRank', // 11 / (10 + rank), 0 outside the list
  'wordsScore', // BM25 / 30
  'meaning', // similarity, 1 for the best and 0 for the last of the list
  'meaningRank',
  'named', // 1 where its document's title stands in the question
  'coverage', // of the question's words, by inverse document frequency
  'titleCoverage', // terms of its title that stand in the question
  'lead', // the first passage of its document
  'documentBest', // words as a share of the best candidate of its document
  'hub', // log2(1 + passages that link to its document) / 8
  'strength', // its own
  'strengthRank', // 3 / (2 + rank)
  'outBest', // strongest seed
  'outSum', // strengths, each divided by the root of the number of its links
  'outShared', // the largest of these
  'outRank', // 3 / (2 + rank) of the best seed
  'outNamed', // best seed named in the question, by the root of the number of its links
  'outCoverage', // coverage of the seed that covers most
  'outTogether', // strength × coverage of seed and candidate together
  'outResidual', // strength × coverage of what the seed leaves over
  'outNew', // coverage of what the seed leaves over
  'outWords', // strength × words
  'outMeaning', // strength × meaning
  'outSibling', // strength × words as a share of the best that the seed links to
  'inBest',
  'inSum',
  'inShared',
  'inTogether',
  'inResidual',
  'inSibling',
] as const;
export type FeatureName = (typeof featureNames)[number];
export const featureCount = featureNames.length;

const stageSchema = v.partial(v.object(Object.fromEntries(featureNames.map((name) => [name, v.pipe(v.number(), v.finite(), v.minValue(-100), v.maxValue(100))]))));
const stagesSchema = v.strictTuple([stageSchema, stageSchema]);

/** Weights by feature name: names that are missing weigh 0, names that are not known are passed over. */
export const rankWeightsSchema = v.object({
  /** What they were learned on, for the person who reads the manifest. */
  learnedOn: v.pipe(v.string(), v.maxLength(500)),
  /** For searches by words alone. */
  words: stagesSchema,
  /** For searches by words and meaning. */
  hybrid: stagesSchema,
});

export type RankWeights = v.InferOutput<typeof rankWeightsSchema>;

/** Learned on the train splits of 2WikiMultihopQA, HotpotQA and MuSiQue, own corpora and their union together. */
export const generalWeights: RankWeights = v.parse(rankWeightsSchema, generalWeightsData);

/** One stage as an array in the order of `featureNames`. */
export function weightArray(stage: RankWeights['words'][number]): Float64Array {
  return Float64Array.from(featureNames, (name) => stage[name] ?? 0);
}

/** A passage that may be an answer, by its number over all sources. */
export interface CandidateFacts {
  readonly ordinal: number;
  /** BM25, and as a share of the best. */
  readonly score: number;
  readonly words: number;
  /** From 1; 0 outside the list. */
  readonly wordsRank: number;
  readonly meaning: number;
  readonly meaningRank: number;
  readonly isNamed: boolean;
  /** Bit sets over the question's terms: which occur in it, which in its title. */
  readonly terms: number;
  readonly titleTerms: number;
  /** Tokens of its title. */
  readonly titleLength: number;
  /** Whether it is the first of its document; the document by its first passage. */
  readonly isLead: boolean;
  readonly document: number;
  /** Passages that link to its document. */
  readonly incoming: number;
}

/** A link between two candidates, as found from the seed. */
export interface CandidateLink {
  /** Ordinal of the seed. */
  readonly from: number;
  readonly to: number;
  /** `out`: the seed links to the candidate's document. */
  readonly direction: 'out' | 'in';
  /** 1 / √(links that the seed has in this direction). */
  readonly dilution: number;
  /** Words of the candidate as a share of the best that the seed links to. */
  readonly sibling: number;
}

const at = Object.fromEntries(featureNames.map((name, i) => [name, i])) as Readonly<Record<FeatureName, number>>;

function bits(set: number): number {
  let count = 0;
  for (let rest = set; rest !== 0; rest &= rest - 1) count++;
  return count;
}

/**
 * The feature matrix, row by row in the order of `candidates`. `strengths`: by row, not negative; `termWeights`: of the question's terms, at most 31.
 * Links from or to a passage that is no candidate are passed over.
 */
export function features(
  candidates: readonly CandidateFacts[],
  strengths: Float64Array,
  links: readonly CandidateLink[],
  termWeights: readonly number[],
): Float64Array {
  const matrix = new Float64Array(candidates.length * featureCount);
  const total = termWeights.reduce((sum, weight) => sum + weight, 0) || 1;
  const known = new Map<number, number>();
  const covered = (set: number): number => {
    let value = known.get(set);
    if (value === undefined) {
      value = 0;
      for (let i = 0; i < termWeights.length; i++) if ((set >>> i) & 1) value += termWeights[i] ?? 0;
      known.set(set, (value /= total));
    }
    return value;
  };
  const rows = new Map(candidates.map(({ ordinal }, i) => [ordinal, i]));
  const ranks = new Float64Array(candidates.length);
  const order = candidates.map((_, i) => i).sort((a, b) => (strengths[b] ?? 0) - (strengths[a] ?? 0) || a - b);
  order.forEach((row, i) => (ranks[row] = 3 / (3 + i)));
  const best = Math.max(1e-9, strengths[order[0] ?? 0] ?? 0);

  const bestOf = new Map<number, number>();
  for (const { document, words } of candidates) bestOf.set(document, Math.max(words, bestOf.get(document) ?? 0));
  candidates.forEach((c, row) => {
    const bestWords = bestOf.get(c.document) ?? 0;
    const base = row * featureCount;
    matrix[base + at.words] = c.words;
    matrix[base + at.wordsRank] = c.wordsRank > 0 ? 11 / (10 + c.wordsRank) : 0;
    matrix[base + at.wordsScore] = Math.min(2, c.score / 30);
    matrix[base + at.meaning] = c.meaning;
    matrix[base + at.meaningRank] = c.meaningRank > 0 ? 11 / (10 + c.meaningRank) : 0;
    matrix[base + at.named] = c.isNamed ? 1 : 0;
    matrix[base + at.coverage] = covered(c.terms);
    matrix[base + at.titleCoverage] = Math.min(1, bits(c.titleTerms) / Math.max(1, c.titleLength));
    matrix[base + at.lead] = c.isLead ? 1 : 0;
    matrix[base + at.documentBest] = bestWords > 0 ? c.words / bestWords : 1;
    matrix[base + at.hub] = Math.log2(1 + c.incoming) / 8;
    matrix[base + at.strength] = (strengths[row] ?? 0) / best;
    matrix[base + at.strengthRank] = ranks[row] ?? 0;
  });
  const raise = (row: number, feature: number, value: number): void => {
    const place = row * featureCount + feature;
    if (value > (matrix[place] ?? 0)) matrix[place] = value;
  };
  const add = (row: number, feature: number, value: number): void => {
    const place = row * featureCount + feature;
    matrix[place] = Math.min(4, (matrix[place] ?? 0) + value);
  };
  for (const { from, to, direction, dilution, sibling } of links) {
    const row = rows.get(to);
    const seedRow = rows.get(from);
    if (row === undefined || seedRow === undefined) continue;
    const seed = candidates[seedRow] as CandidateFacts;
    const target = candidates[row] as CandidateFacts;
    const strength = (strengths[seedRow] ?? 0) / best;
    const fresh = covered(target.terms & ~seed.terms);
    const together = strength * covered(target.terms | seed.terms);
    if (direction === 'out') {
      raise(row, at.outBest, strength);
      add(row, at.outSum, strength * dilution);
      raise(row, at.outShared, strength * dilution);
      raise(row, at.outRank, ranks[seedRow] ?? 0);
      if (seed.isNamed) raise(row, at.outNamed, dilution);
      raise(row, at.outCoverage, covered(seed.terms));
      raise(row, at.outTogether, together);
      raise(row, at.outResidual, strength * fresh);
      raise(row, at.outNew, fresh);
      raise(row, at.outWords, strength * target.words);
      raise(row, at.outMeaning, strength * target.meaning);
      raise(row, at.outSibling, strength * sibling);
    } else {
      raise(row, at.inBest, strength);
      add(row, at.inSum, strength * dilution);
      raise(row, at.inShared, strength * dilution);
      raise(row, at.inTogether, together);
      raise(row, at.inResidual, strength * fresh);
      raise(row, at.inSibling, strength * sibling);
    }
  }
  return matrix;
}

/** The linear model's score of each row of a feature matrix. */
export function scoreRows(matrix: Float64Array, weights: Float64Array): Float64Array {
  const scores = new Float64Array(matrix.length / featureCount);
  for (let row = 0; row < scores.length; row++) {
    let sum = 0;
    for (let f = 0; f < featureCount; f++) sum += (weights[f] ?? 0) * (matrix[row * featureCount + f] ?? 0);
    scores[row] = sum;
  }
  return scores;
}

/** Scores as shares of the best one, which has 1. They come of a logistic model, so differences count, and half of each keeps the others visible. */
export function strengths(scores: Float64Array): Float64Array {
  const best = scores.reduce((most, score) => Math.max(most, score), -Infinity);
  return scores.map((score) => Math.exp((score - best) / 2));
}

/**
 * Personalised PageRank by truncated power iteration (Page et al. 1999; HippoRAG 2 uses it over passages): mass restarts at `restart` with probability 1 − damping
 * and else moves along an edge in proportion to its weight; mass at a node without edges restarts. Sums to 1 for a `restart` with any mass.
 */
export function personalisedPageRank(
  nodes: number,
  edges: readonly { readonly from: number; readonly to: number; readonly weight: number }[],
  restart: Float64Array,
  damping: number,
  steps: number,
): Float64Array {
  const mass = restart.reduce((sum, value) => sum + value, 0);
  if (!(mass > 0)) return new Float64Array(nodes);
  const start = restart.map((value) => value / mass);
  const outgoing = new Float64Array(nodes);
  for (const { from, weight } of edges) outgoing[from] = (outgoing[from] ?? 0) + weight;
  let current = start.slice();
  for (let step = 0; step < steps; step++) {
    const next = new Float64Array(nodes);
    let moved = 0;
    for (const { from, to, weight } of edges) {
      const flow = (damping * (current[from] ?? 0) * weight) / (outgoing[from] || 1);
      next[to] = (next[to] ?? 0) + flow;
      moved += flow;
    }
    for (let i = 0; i < nodes; i++) next[i] = (next[i] ?? 0) + (1 - moved) * (start[i] ?? 0);
    current = next;
  }
  return current;
}
