/**
 * How a run searched (METHODS §6.9, §4.1, §4.5, §4.11, §4.18, §4.21, §5.10): repetition, novelty, traceability of query terms, kinds of moves, gain and
 * redundancy of each step, over- and under-search, accuracy at a budget. Pure. `null`: not defined here, and kept out of every mean.
 */
import { contentWords, jaccard } from '../agent/evidence.ts';
import { answerTokens, harmonic } from './metrics.ts';

/** A search as the measures need it: what was asked, and what came back, best first. */
export interface SearchStep {
  readonly query: string;
  readonly passages: readonly { readonly id: string; readonly title: string; readonly text: string }[];
}

/** How a query departs from the one before: narrower, wider, the same again, or something else. */
export type Move = 'specialise' | 'generalise' | 'repeat' | 'shift';

export interface BehaviourScores {
  /** Share of queries whose words overlap (Jaccard ≥ .8) with an earlier query; null with fewer than two. */
  readonly repetition: number | null;
  /** Mean share of new passages a search; null without searches. */
  readonly novelty: number | null;
  readonly uniquePassages: number;
  /** Share of newly introduced query terms that stand in passages found before; mean over the searches after the first that introduce any. */
  readonly ctar: number | null;
  readonly moves: Readonly<Record<Move, number>>;
  /** Share of new passages of each search. */
  readonly noveltyBySearch: readonly number[];
}

export function scoreBehaviour(searches: readonly SearchStep[]): BehaviourScores {
  const words = searches.map(({ query }) => new Set(answerTokens(query)));
  const repeats = words.filter((set, i) => words.slice(0, i).some((earlier) => setJaccard(set, earlier) >= 0.8)).length;
  const seen = new Set<string>();
  const shares: number[] = [];
  for (const { passages } of searches) {
    const distinct = new Set(passages.map(({ id }) => id));
    const fresh = [...distinct].filter((id) => !seen.has(id));
    if (distinct.size > 0) shares.push(fresh.length / distinct.size);
    for (const id of fresh) seen.add(id);
  }
  const moves: Record<Move, number> = { specialise: 0, generalise: 0, repeat: 0, shift: 0 };
  for (const [i, { query }] of searches.entries()) {
    const before = searches[i - 1];
    if (before !== undefined) moves[moveOf(before.query, query)]++;
  }
  return {
    repetition: searches.length < 2 ? null : repeats / searches.length,
    novelty: meanOrNull(shares),
    uniquePassages: seen.size,
    ctar: meanOrNull(searches.flatMap((_, i) => ctar(searches, i) ?? [])),
    moves,
    noveltyBySearch: shares,
  };
}

/** CTAR of one search: new terms against the query before, traced to the passages of all earlier searches. null for the first search and without new terms. */
export function ctar(searches: readonly SearchStep[], index: number): number | null {
  const now = searches[index];
  const before = searches[index - 1];
  if (now === undefined || before === undefined) return null;
  const old = new Set(contentWords(before.query));
  const fresh = [...new Set(contentWords(now.query))].filter((word) => !old.has(word));
  if (fresh.length === 0) return null;
  const known = new Set(searches.slice(0, index).flatMap(({ passages }) => passages.flatMap(({ title, text }) => contentWords(`${title} ${text}`))));
  return fresh.filter((word) => known.has(word)).length / fresh.length;
}

export function moveOf(before: string, now: string): Move {
  if (jaccard(before, now) >= 0.8) return 'repeat';
  const old = new Set(contentWords(before));
  const next = new Set(contentWords(now));
  const kept = [...next].filter((word) => old.has(word)).length;
  if (kept > 0 && kept === old.size) return 'specialise';
  if (kept > 0 && kept === next.size) return 'generalise';
  return 'shift';
}

export interface StepReward {
  /** G_t: mean over the gold passages of what this search brings nearer than any before. */
  readonly gain: number;
  /** P_t: share of this search's passages that were seen before. */
  readonly redundancy: number;
  /** r_t = G_t − P_t. */
  readonly reward: number;
}

/** StepSearch's step reward (METHODS §5.10). `closeness`: of a passage to a gold passage, from 0 to 1. Empty without gold. */
export function stepRewards<G>(searches: readonly SearchStep[], gold: readonly G[], closeness: (passage: SearchStep['passages'][number], gold: G) => number): StepReward[] {
  if (gold.length === 0) return [];
  const best = gold.map(() => 0);
  const seen = new Set<string>();
  return searches.map(({ passages }) => {
    let gain = 0;
    gold.forEach((item, i) => {
      const now = Math.max(0, ...passages.map((passage) => closeness(passage, item)));
      gain += Math.max(0, now - (best[i] ?? 0));
      best[i] = Math.max(now, best[i] ?? 0);
    });
    const redundancy = passages.length === 0 ? 0 : passages.filter(({ id }) => seen.has(id)).length / passages.length;
    for (const { id } of passages) seen.add(id);
    gain /= gold.length;
    return { gain, redundancy, reward: gain - redundancy };
  });
}

/** Cosine of TF-IDF vectors over the given texts: the closeness of StepSearch. */
export function tfIdfCloseness(texts: readonly string[]): (a: string, b: string) => number {
  const frequency = new Map<string, number>();
  // The same passage comes in several searches; cutting its text into words is what costs.
  const countsOf = new Map<string, ReadonlyMap<string, number>>();
  const count = (text: string): ReadonlyMap<string, number> => {
    const known = countsOf.get(text);
    if (known !== undefined) return known;
    const counts = new Map<string, number>();
    for (const word of contentWords(text)) counts.set(word, (counts.get(word) ?? 0) + 1);
    countsOf.set(text, counts);
    return counts;
  };
  for (const text of texts) for (const word of count(text).keys()) frequency.set(word, (frequency.get(word) ?? 0) + 1);
  const cached = new Map<string, ReadonlyMap<string, number>>();
  const vectorOf = (text: string): ReadonlyMap<string, number> => {
    const known = cached.get(text);
    if (known !== undefined) return known;
    const weighted = new Map([...count(text)].map(([word, times]) => [word, times * Math.log(1 + texts.length / (frequency.get(word) ?? 1))]));
    const length = Math.sqrt([...weighted.values()].reduce((sum, value) => sum + value * value, 0)) || 1;
    const unit = new Map([...weighted].map(([word, value]) => [word, value / length]));
    cached.set(text, unit);
    return unit;
  };
  return (a, b) => {
    const right = vectorOf(b);
    let dot = 0;
    for (const [word, value] of vectorOf(a)) dot += value * (right.get(word) ?? 0);
    return Math.min(1, dot);
  };
}

/** Cost-aware F1 (our form, METHODS §4.18): F1·exp(−λ·(T − T_min)+). `searches`: T; `least`: what the question needs. */
export function costAwareF1(f1: number, searches: number, least: number, lambda = 0.1): number {
  return f1 * Math.exp(-lambda * Math.max(0, searches - least));
}

/**
 * F1 behind the gate of SearchLLM (METHODS §4.23): quality counts only where the bottom line holds. Here: the answer has quotes and every one of them stands word for
 * word in its passage; anything else is worth 0.
 */
export function gatedF1(f1: number, quoteValidity: number | null): number {
  return quoteValidity === 1 ? f1 : 0;
}

/** SmartSearch's SE: mean of F1 over the number of searches; a run without one counts as one. null without items. */
export function searchEfficiency(items: readonly { readonly f1: number; readonly searches: number }[]): number | null {
  return meanOrNull(items.map(({ f1, searches }) => f1 / Math.max(1, searches)));
}

/**
 * SmartSearch's SQ = (C_perfect + C_partial) / N, read as: right with good queries only, or wrong with at least one good query. A query is good when its search
 * brought something new and a gold passage that no earlier search had. `good`: of each search of an item.
 */
export function searchQuality(items: readonly { readonly isRight: boolean; readonly good: readonly boolean[] }[]): number | null {
  const counts = items.filter(({ isRight, good }) => (isRight ? good.length > 0 && good.every(Boolean) : good.some(Boolean)));
  return items.length === 0 ? null : counts.length / items.length;
}

export interface SelfKnowledge {
  /** Share of the questions that were searched though the closed-book answer is right. */
  readonly overSearch: number;
  /** Share that were not searched though it is wrong. */
  readonly underSearch: number;
  /** AdaSearch (METHODS §4.5): "answered without searching" predicts "the closed-book answer is right". */
  readonly precision: number;
  readonly recall: number;
  readonly f1: number;
}

export function selfKnowledge(items: readonly { readonly searched: boolean; readonly closedBookRight: boolean }[]): SelfKnowledge | null {
  if (items.length === 0) return null;
  const count = (holds: (item: (typeof items)[number]) => boolean): number => items.filter(holds).length;
  const hit = count((item) => !item.searched && item.closedBookRight);
  const claimed = count((item) => !item.searched);
  const known = count((item) => item.closedBookRight);
  const precision = claimed === 0 ? 0 : hit / claimed;
  const recall = known === 0 ? 0 : hit / known;
  return {
    overSearch: count((item) => item.searched && item.closedBookRight) / items.length,
    underSearch: count((item) => !item.searched && !item.closedBookRight) / items.length,
    precision, recall, f1: harmonic(precision, recall),
  };
}

export interface BudgetCurve {
  /** Share of the questions that are right within b searches, b = 0…B. */
  readonly accuracy: readonly number[];
  /** Area under it by the trapezium rule, divided by B: 1 if all is right without a search. */
  readonly area: number;
}

/** Accuracy within a budget (METHODS §6.9): a question counts from the number of searches on that its run took. A lower bound of what stopping there would give. */
export function budgetCurve(items: readonly { readonly score: number; readonly searches: number }[], most: number): BudgetCurve | null {
  if (items.length === 0 || most < 1) return null;
  const accuracy = Array.from({ length: most + 1 }, (_, b) => items.reduce((sum, item) => sum + (item.searches <= b ? item.score : 0), 0) / items.length);
  let area = 0;
  for (let b = 1; b <= most; b++) area += ((accuracy[b - 1] ?? 0) + (accuracy[b] ?? 0)) / 2;
  return { accuracy, area: area / most };
}

/** WebLeaper (METHODS §4.21): share of the required entities that were found, and entities a step. null without required entities or steps. */
export function entityScores(required: readonly string[], found: readonly string[], steps: number): { readonly isr: number; readonly ise: number } | null {
  const wanted = new Set(required.map((entity) => answerTokens(entity).join(' ')));
  if (wanted.size === 0 || steps < 1) return null;
  const got = new Set(found.map((entity) => answerTokens(entity).join(' ')).filter((entity) => wanted.has(entity)));
  return { isr: got.size / wanted.size, ise: got.size / steps };
}

/** Jaccard overlap of the ids of two result lists: 1 means that a rewording changed nothing. Two empty lists agree. */
export function overlapOf(a: readonly string[], b: readonly string[]): number {
  return setJaccard(new Set(a), new Set(b));
}

function setJaccard(a: ReadonlySet<string>, b: ReadonlySet<string>): number {
  const shared = [...a].filter((word) => b.has(word)).length;
  const union = a.size + b.size - shared;
  return union === 0 ? 1 : shared / union;
}

function meanOrNull(values: readonly number[]): number | null {
  return values.length === 0 ? null : values.reduce((sum, value) => sum + value, 0) / values.length;
}
