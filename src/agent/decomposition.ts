/**
 * How good a plan is against another one (METHODS §2.2, §6.6): soft and hard decomposition reward over an optimal one-to-one matching, dependency edges,
 * number of steps, validity; and the choice of one among several plans of the same question (§8.4). Pure: the similarity of two steps comes in as a function.
 * The handling of similarities is a reconstruction: APEX-Searcher's own was not readable.
 */
import type { Plan } from './events.ts';
import { faultsOf, planFromSteps, wordsOf } from './plan.ts';

/** Planned and gold step to a similarity; values outside 0…1 are clamped. */
export type Similarity = (planned: string, gold: string) => number;

/** METHODS §13. */
const defaultHardThreshold = 0.7;
const mostMatched = 12;

/** For each planned item the index of its gold item, or null. */
export type Matching = readonly (number | null)[];

/**
 * The one-to-one matching of largest similarity by dynamic programming over sets of gold items (METHODS Appendix B), O(n·2^m·m); m ≤ 12, else a RangeError.
 * Among equals the one that keeps the order of more pairs is taken, so that dependency edges compare stably.
 */
export function matchSteps(similarities: readonly (readonly number[])[], golds: number): Matching {
  if (golds > mostMatched) throw new RangeError(`at most ${mostMatched} gold steps can be matched, not ${golds}`);
  interface State {
    readonly sum: number;
    readonly inOrder: number;
    readonly taken: Matching;
  }
  let states = new Map<number, State>([[0, { sum: 0, inOrder: 0, taken: [] }]]);
  for (const row of similarities) {
    const next = new Map<number, State>();
    const offer = (mask: number, state: State): void => {
      const known = next.get(mask);
      const gain = known === undefined ? 1 : state.sum - known.sum;
      if (known === undefined || gain > 1e-12 || (gain > -1e-12 && state.inOrder > known.inOrder)) next.set(mask, state);
    };
    for (const [mask, state] of states) {
      offer(mask, { ...state, taken: [...state.taken, null] });
      for (let j = 0; j < golds; j++) {
        if ((mask & (1 << j)) !== 0) continue;
        const inOrder = state.inOrder + state.taken.filter((other) => other !== null && other < j).length;
        offer(mask | (1 << j), { sum: state.sum + clamp(row[j] ?? 0), inOrder, taken: [...state.taken, j] });
      }
    }
    states = next;
  }
  // A match of similarity 0 is as good as none for the sum, but a full matching is what the definition asks for.
  const matched = (state: State): number => state.taken.filter((j) => j !== null).length;
  const [best] = [...states.values()].sort((a, b) => (Math.abs(a.sum - b.sum) > 1e-12 ? b.sum - a.sum : matched(b) - matched(a) || b.inOrder - a.inOrder));
  return best?.taken ?? [];
}

export interface PlanReward {
  readonly precision: number;
  readonly recall: number;
  /** 2PR/(P+R), from 0 to 1. */
  readonly reward: number;
  readonly matching: Matching;
}

/** `soft`: similarities are summed; otherwise pairs at or above the threshold are counted. 0 where either side is empty. */
export function planReward(similarities: readonly (readonly number[])[], golds: number, variant: 'soft' | { readonly hard: number } = 'soft'): PlanReward {
  const planned = similarities.length;
  const matching = matchSteps(similarities, golds);
  if (planned === 0 || golds === 0) return { precision: 0, recall: 0, reward: 0, matching };
  let gained = 0;
  matching.forEach((j, i) => {
    const value = j === null ? 0 : clamp(similarities[i]?.[j] ?? 0);
    gained += variant === 'soft' ? value : j !== null && value >= variant.hard ? 1 : 0;
  });
  return { precision: gained / planned, recall: gained / golds, reward: (2 * gained) / (planned + golds), matching };
}

export interface DecompositionScores {
  readonly soft: number;
  readonly hard: number;
  /** Dependency edges after mapping planned steps to gold steps; 1 where neither plan has any. */
  readonly edgeF1: number;
  /** Planned less gold steps. */
  readonly countError: number;
  /** False: the plan breaks a rule of METHODS §1.2, and its rewards are 0. */
  readonly valid: boolean;
}

/** A plan against the gold plan of its question. Gold steps of the form `entity >> relation` are put into words first (METHODS §11 trap 16). */
export function scorePlan(plan: Plan, gold: Plan, question: string, similarity: Similarity = wordSimilarity, threshold = defaultHardThreshold): DecompositionScores {
  const table = similaritiesOf(plan, gold, similarity);
  const valid = faultsOf(plan, question).length === 0;
  const soft = planReward(table, gold.nodes.length);
  return {
    soft: valid ? soft.reward : 0,
    hard: valid ? planReward(table, gold.nodes.length, { hard: threshold }).reward : 0,
    edgeF1: edgeF1(plan, gold, soft.matching),
    countError: plan.nodes.length - gold.nodes.length,
    valid,
  };
}

function similaritiesOf(plan: Plan, gold: Plan, similarity: Similarity): number[][] {
  return plan.nodes.map((node) => gold.nodes.map((other) => similarity(verbalise(node.q), verbalise(other.q))));
}

/** F1 of `(parent, child)` edges, planned ids mapped to gold ids; an edge with an unmatched end counts against precision. */
export function edgeF1(plan: Plan, gold: Plan, matching: Matching): number {
  const edges = (from: Plan): string[] => from.nodes.flatMap((node) => node.deps.map((dep) => `${dep}>${node.id}`));
  const goldEdges = new Set(edges(gold));
  const plannedEdges = plan.nodes.flatMap((node) => node.deps.map((dep) => `${idOf(matching[dep - 1])}>${idOf(matching[node.id - 1])}`));
  if (goldEdges.size === 0 && plannedEdges.length === 0) return 1;
  const both = plannedEdges.filter((edge) => goldEdges.has(edge)).length;
  return both === 0 ? 0 : (2 * both) / (plannedEdges.length + goldEdges.size);
}

function idOf(index: number | null | undefined): string {
  return index === null || index === undefined ? '?' : String(index + 1);
}

/** "Vale Glassworks >> founder" becomes "What is the founder of Vale Glassworks?"; other steps stay. */
export function verbalise(step: string): string {
  const [entity, relation, ...rest] = step.split('>>').map((part) => part.trim());
  return entity === undefined || relation === undefined || relation === '' || rest.length > 0 ? step : `What is the ${relation} of ${entity}?`;
}

/** A gold plan from the steps of a dataset row. */
export function goldPlan(steps: readonly string[], question: string): Plan {
  return planFromSteps(steps.map(verbalise), question, 'gold');
}

/** Cosine of word counts, placeholders kept as words: the similarity where no embedder is at hand. */
export function wordSimilarity(a: string, b: string): number {
  const left = countsOf(a);
  const right = countsOf(b);
  let dot = 0;
  for (const [word, count] of left) dot += count * (right.get(word) ?? 0);
  const length = (counts: ReadonlyMap<string, number>): number => Math.sqrt([...counts.values()].reduce((sum, count) => sum + count * count, 0));
  return dot === 0 ? 0 : dot / (length(left) * length(right));
}

function countsOf(text: string): Map<string, number> {
  const counts = new Map<string, number>();
  for (const word of wordsOf(text.replace(/#(\d+)/g, ' ref$1 '))) counts.set(word, (counts.get(word) ?? 0) + 1);
  return counts;
}

export interface Consistency {
  /** Index of the plan that is most like the others; the first of equals. */
  readonly medoid: number;
  /** Mean soft reward over all pairs; 1 for a single plan. */
  readonly consistency: number;
  /** (r − mean) / std of each plan's mean reward against the others (GRPO's advantage); 0 where all are alike. */
  readonly advantages: readonly number[];
}

/** METHODS §8.4: below this the plans disagree too much to trust one of them. */
export const lowConsistency = 0.55;

/** Plan self-consistency over several plans of one question; throws a RangeError for none. */
export function selfConsistency(plans: readonly Plan[], similarity: Similarity = wordSimilarity): Consistency {
  if (plans.length === 0) throw new RangeError('no plans to choose from');
  if (plans.length === 1) return { medoid: 0, consistency: 1, advantages: [0] };
  const rewards = plans.map((plan, i) => {
    const others = plans.filter((_, j) => j !== i);
    return others.reduce((sum, other) => sum + planReward(similaritiesOf(plan, other, similarity), other.nodes.length).reward, 0) / others.length;
  });
  return { medoid: rewards.indexOf(Math.max(...rewards)), consistency: mean(rewards), advantages: advantagesOf(rewards) };
}

/** GRPO's group-relative advantage (METHODS §2.2). */
export function advantagesOf(rewards: readonly number[]): number[] {
  const centre = mean(rewards);
  const deviation = Math.sqrt(mean(rewards.map((reward) => (reward - centre) ** 2)));
  return rewards.map((reward) => (deviation < 1e-9 ? 0 : (reward - centre) / deviation));
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function clamp(value: number): number {
  return Math.min(1, Math.max(0, value));
}
