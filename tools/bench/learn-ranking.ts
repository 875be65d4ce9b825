/**
 * Learns the weights of `src/corpus/rank.ts`: a pairwise logistic loss weighted by what a swap would change in NDCG (LambdaRank: Burges 2010), full-batch Adam,
 * features scaled to unit deviation. Deterministic. Every set of questions weighs the same, however many it has.
 */
import { featureCount, featureNames, type RankWeights } from '../../src/corpus/rank.ts';
import { rank, rankingDefaults, type RankingParameters, type SearchSource } from '../../src/corpus/search.ts';

export interface LearningQuestion {
  /** Name of its set. */
  readonly set: string;
  readonly text: string;
  readonly source: SearchSource;
  readonly vector: { readonly embedder: string; readonly values: Float32Array } | null;
  /** For each gold passage, the ordinals that count for it. */
  readonly gold: readonly (readonly number[])[];
}

type Stage = RankWeights['words'][number];

/** Candidates of one question as the model saw them. */
interface Rows {
  readonly matrix: Float64Array;
  readonly isGold: readonly boolean[];
  readonly goldCount: number;
  readonly share: number;
}

/** Negatives that are compared with each gold passage: the best by the current scores. */
const hardest = 30;

export interface FitOptions {
  readonly steps: number;
  readonly rate: number;
  readonly l2: number;
}

const fitDefaults: FitOptions = { steps: 120, rate: 0.08, l2: 3e-4 };

/** Weights in the order of `featureNames`. */
function fitStage(questions: readonly Rows[], { steps, rate, l2 }: FitOptions): Stage {
  const scale = deviations(questions);
  const weights = new Float64Array(featureCount);
  const mean = new Float64Array(featureCount);
  const square = new Float64Array(featureCount);
  const total = questions.reduce((sum, { share }) => sum + share, 0) || 1;
  for (let step = 1; step <= steps; step++) {
    const gradient = weights.map((weight) => l2 * weight);
    for (const question of questions) addGradient(question, weights, scale, gradient, total);
    for (let f = 0; f < featureCount; f++) {
      const g = gradient[f] ?? 0;
      mean[f] = 0.9 * (mean[f] ?? 0) + 0.1 * g;
      square[f] = 0.99 * (square[f] ?? 0) + 0.01 * g * g;
      weights[f] = (weights[f] ?? 0) - (rate * ((mean[f] ?? 0) / (1 - 0.9 ** step))) / (Math.sqrt((square[f] ?? 0) / (1 - 0.99 ** step)) + 1e-8);
    }
  }
  const stage: Stage = {};
  featureNames.forEach((name, f) => {
    const weight = rounded((weights[f] ?? 0) / (scale[f] ?? 1));
    if (weight !== 0) stage[name] = weight;
  });
  return stage;
}

function rounded(value: number): number {
  return Math.round(value * 1000) / 1000;
}

function deviations(questions: readonly Rows[]): Float64Array {
  const sums = new Float64Array(featureCount);
  const squares = new Float64Array(featureCount);
  let rows = 0;
  for (const { matrix } of questions) {
    rows += matrix.length / featureCount;
    for (let i = 0; i < matrix.length; i++) {
      const f = i % featureCount;
      const value = matrix[i] ?? 0;
      sums[f] = (sums[f] ?? 0) + value;
      squares[f] = (squares[f] ?? 0) + value * value;
    }
  }
  // A feature that never differs has nothing to say: it stays at 0.
  return sums.map((sum, f) => Math.max(0.02, Math.sqrt(Math.max(0, (squares[f] ?? 0) / rows - (sum / rows) ** 2))));
}

function addGradient({ matrix, isGold, goldCount, share }: Rows, weights: Float64Array, scale: Float64Array, gradient: Float64Array, total: number): void {
  const count = isGold.length;
  const scores = new Float64Array(count);
  for (let row = 0; row < count; row++) {
    let sum = 0;
    for (let f = 0; f < featureCount; f++) sum += ((weights[f] ?? 0) * (matrix[row * featureCount + f] ?? 0)) / (scale[f] ?? 1);
    scores[row] = sum;
  }
  const order = Array.from(scores.keys()).sort((a, b) => (scores[b] ?? 0) - (scores[a] ?? 0) || a - b);
  const discount = (position: number): number => 1 / Math.log2(2 + position);
  let ideal = 0;
  for (let i = 0; i < goldCount; i++) ideal += discount(i);
  const positions = new Map(order.map((row, position) => [row, position]));
  const negatives = order.filter((row) => isGold[row] !== true).slice(0, hardest);
  for (const gold of order) {
    if (isGold[gold] !== true) continue;
    for (const other of negatives) {
      const change = Math.abs(discount(positions.get(gold) ?? 0) - discount(positions.get(other) ?? 0)) / ideal + 0.02;
      const pull = (change * share) / (total * (1 + Math.exp((scores[gold] ?? 0) - (scores[other] ?? 0))));
      for (let f = 0; f < featureCount; f++) {
        const difference = ((matrix[gold * featureCount + f] ?? 0) - (matrix[other * featureCount + f] ?? 0)) / (scale[f] ?? 1);
        gradient[f] = (gradient[f] ?? 0) - pull * difference;
      }
    }
  }
}

/** The feature rows of each question in one stage, with these weights so far. */
function collect(questions: readonly LearningQuestion[], stage: 0 | 1, weights: RankWeights, base: RankingParameters): Rows[] {
  const sizes = new Map<string, number>();
  for (const { set } of questions) sizes.set(set, (sizes.get(set) ?? 0) + 1);
  return questions.map(({ set, text, source, vector, gold }) => {
    const wanted = new Set(gold.flat());
    let rows: Rows = { matrix: new Float64Array(0), isGold: [], goldCount: 1, share: 0 };
    let seen = 0;
    rank({ text, k: 1 }, [source], vector, { ...base, weights }, {
      stage(candidates, matrix) {
        if (seen++ !== stage) return;
        const share = questions.length / sizes.size / (sizes.get(set) ?? 1);
        rows = { matrix, isGold: candidates.map(({ ordinal }) => wanted.has(ordinal)), goldCount: gold.length, share };
      },
    });
    return rows;
  });
}

/** Learns the stages of one kind of search, one after the other: the second sees what the first makes of the candidates. */
export function learnStages(questions: readonly LearningQuestion[], base: RankingParameters = rankingDefaults, options: FitOptions = fitDefaults): [Stage, Stage] {
  const draft = (stages: [Stage, Stage]): RankWeights => ({ learnedOn: '', words: stages, hybrid: stages });
  const first = fitStage(collect(questions, 0, draft([{}, {}]), base), options);
  const second = fitStage(collect(questions, 1, draft([first, {}]), base), options);
  return [first, second];
}

/** Weights for each fold, learned on the others: question i is in fold i mod `folds`. */
export function crossLearn(questions: readonly LearningQuestion[], folds: number): [Stage, Stage][] {
  return Array.from({ length: folds }, (_, fold) => learnStages(questions.filter((_question, i) => i % folds !== fold)));
}
