/**
 * Trajectories (METHODS §1.3), derived from a run's events, and the mathematics over several of one question (§3.2, §8.1): importance weights from answer
 * likelihoods, effective sample size, evidence gain, marginalisation of the answer, votes. Pure.
 */
import type { AgentEvent, Answer, AnswerLogp, CallPurpose, Cost, Plan, StopReason } from './events.ts';
import type { Passage } from '../corpus/retriever.ts';
import type { Message } from '../engine/llm.ts';
import { wordsOf } from './plan.ts';

/** `t` counts from 1 over the steps of a trajectory. */
export type TrajectoryStep = { readonly t: number; readonly node: number | null } & (
  | { readonly kind: 'plan'; readonly plan: Plan }
  | { readonly kind: 'think'; readonly text: string }
  | {
      readonly kind: 'search';
      readonly query: string;
      readonly k: number;
      readonly retriever: 'bm25' | 'rrf';
      /** `new`: not seen before in this trajectory. */
      readonly docs: readonly { readonly id: string; readonly rank: number; readonly score: number; readonly new: boolean }[];
      readonly ms: number;
    }
  /** The ranking action: passage ids, best first. */
  | { readonly kind: 'select'; readonly kept: readonly string[]; readonly dropped: readonly string[] }
  | {
      readonly kind: 'record';
      /** What was looked up, earlier answers put in. */
      readonly question: string;
      /** `text` stands word for word in passage `doc` at `span` (UTF-16 offsets, end exclusive). */
      readonly evidence: readonly { readonly doc: string; readonly span: readonly [start: number, end: number]; readonly text: string }[];
      readonly sufficient: boolean;
      readonly subAnswer: string;
    }
  /** Only in runs that keep their prompts. */
  | { readonly kind: 'call'; readonly purpose: CallPurpose; readonly messages: readonly Message[]; readonly output: string }
  | { readonly kind: 'answer'; readonly text: string; readonly cites: readonly string[] }
);

/** The verdict on a query (METHODS §8.5); `t` is its search step. */
export interface ProcessNote {
  readonly t: number;
  readonly novel: 0 | 1;
  readonly useful: 0 | 1 | null;
  readonly note: string;
  readonly refined: string | null;
}

export interface Trajectory {
  /** `<run id>/<number from 1>`. */
  readonly id: string;
  readonly qid: string;
  readonly question: string;
  readonly method: string;
  readonly seed: number;
  readonly steps: readonly TrajectoryStep[];
  readonly stop: StopReason;
  readonly answer: string;
  readonly answerLogp: AnswerLogp | null;
  /** Set by whoever weighs the trajectories of a question; sums to 1 over them. */
  readonly weight: number | null;
  readonly process: readonly ProcessNote[];
  readonly cost: Pick<Cost, 'llmCalls' | 'promptTokens' | 'cachedTokens' | 'outputTokens' | 'searches' | 'wallMs'>;
  readonly model: string | null;
  readonly corpus: string;
}

export interface TrajectoryContext {
  readonly qid: string;
  /** Name and content hash of what was searched. */
  readonly corpus: string;
  /** The seed of a run that samples no trajectories. */
  readonly seed: number;
}

type DistributiveOmit<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never;

/**
 * The trajectories of a run, in order. A run that samples none is one trajectory itself. Steps before the first sampled trajectory belong to none, steps
 * after the last one (the marginalisation) neither. A log that breaks off gives what it holds, with stop `user`.
 */
export function trajectoriesOf(events: readonly AgentEvent[], context: TrajectoryContext): Trajectory[] {
  const isSampled = events.some((event) => event.kind === 'trajectoryStarted');
  const head = events.find((event) => event.kind === 'runStarted');
  const end = events.findLast((event) => event.kind === 'runFinished' || event.kind === 'runFailed');
  const stop: StopReason = end === undefined ? 'user' : end.kind === 'runFinished' ? end.stop : 'error';
  const common = { qid: context.qid, question: head?.question ?? '', method: head?.method ?? '', model: head?.model ?? null, corpus: context.corpus, weight: null };
  const runId = events[0]?.runId ?? '';
  if (!isSampled) return [{ id: `${runId}/1`, seed: context.seed, stop, ...common, ...pathOf(events) }];

  const found: Trajectory[] = [];
  events.forEach((event, from) => {
    if (event.kind !== 'trajectoryStarted') return;
    const to = events.findIndex((other, i) => i > from && other.kind === 'trajectoryFinished' && other.trajectory === event.trajectory);
    const path = pathOf(events.slice(from, to < 0 ? events.length : to + 1));
    found.push({ id: `${runId}/${event.trajectory}`, seed: event.seed, stop: to < 0 ? stop : path.answer === '' ? 'not-found' : 'answered', ...common, ...path });
  });
  return found;
}

function pathOf(events: readonly AgentEvent[]): Pick<Trajectory, 'steps' | 'answer' | 'answerLogp' | 'process' | 'cost'> {
  const steps: TrajectoryStep[] = [];
  const process: ProcessNote[] = [];
  const seen = new Set<string>();
  const questions = new Map<number, string>();
  const waiting = new Map<number, Extract<TrajectoryStep, { kind: 'record' }>['evidence'][number][]>();
  const cost = { llmCalls: 0, promptTokens: 0, cachedTokens: 0, outputTokens: 0, searches: 0, wallMs: (events.at(-1)?.atMs ?? 0) - (events[0]?.atMs ?? 0) };
  let answer = '';
  let answerLogp: AnswerLogp | null = null;
  const push = (step: DistributiveOmit<TrajectoryStep, 't'>): void => {
    steps.push({ t: steps.length + 1, ...step });
  };
  const record = (node: number, sufficient: boolean, subAnswer: string): void => {
    push({ kind: 'record', node, question: questions.get(node) ?? '', evidence: waiting.get(node) ?? [], sufficient, subAnswer });
    waiting.delete(node);
  };
  const finish = (text: string, cites: readonly string[]): void => {
    for (const node of [...waiting.keys()]) record(node, true, '');
    answer = text;
    push({ kind: 'answer', node: null, text, cites: [...new Set(cites)] });
  };

  for (const event of events) {
    switch (event.kind) {
      case 'planProposed':
      case 'planEdited':
        push({ kind: 'plan', node: null, plan: event.plan });
        break;
      case 'nodeStarted':
        questions.set(event.node, event.question);
        break;
      case 'thought':
        push({ kind: 'think', node: event.node, text: event.text });
        break;
      case 'searched':
        cost.searches++;
        push({
          kind: 'search', node: event.node, query: event.query, k: event.hits.length, retriever: event.usedDense ? 'rrf' : 'bm25', ms: event.ms,
          docs: event.hits.map(({ passage, rank, score }) => ({ id: passage.id, rank, score, new: !seen.has(passage.id) })),
        });
        for (const { passage } of event.hits) seen.add(passage.id);
        break;
      case 'queryScored': {
        const search = steps.findLast((step) => step.kind === 'search' && step.node === event.node && step.query === event.query);
        const useful = event.useful === null ? null : event.useful ? 1 : 0;
        process.push({ t: search?.t ?? steps.length, novel: event.novel ? 1 : 0, useful, note: event.note, refined: event.refined });
        break;
      }
      case 'selected':
        push({ kind: 'select', node: event.node, kept: event.kept, dropped: event.dropped });
        break;
      case 'evidenceRecorded': {
        const evidence = event.evidence.map(({ passage, span, quote }) => ({ doc: passage.id, span: [span.start, span.end] as const, text: quote }));
        waiting.set(event.node, [...(waiting.get(event.node) ?? []), ...evidence]);
        break;
      }
      case 'nodeFinished':
        record(event.node, event.status === 'answered', event.answer);
        break;
      case 'prompted':
        push({ kind: 'call', node: event.node, purpose: event.purpose, messages: event.messages, output: event.output });
        break;
      case 'llmCalled':
        cost.llmCalls++;
        cost.promptTokens += event.promptTokens;
        cost.cachedTokens += event.cachedTokens ?? 0;
        cost.outputTokens += event.outputTokens;
        break;
      case 'trajectoryFinished':
        finish(event.answer, steps.flatMap((step) => (step.kind === 'record' ? step.evidence.map(({ doc }) => doc) : [])));
        answerLogp = event.logp;
        break;
      case 'answerFinished':
        finish(shortOf(event.answer), event.answer.citations.map(({ evidence }) => evidence.passage.id));
        break;
      default:
        break;
    }
  }
  return { steps, answer, answerLogp, process, cost };
}

function shortOf(answer: Answer): string {
  return answer.short !== '' || answer.mode !== 'extractive' ? answer.short : answer.sentences.map(({ text }) => text).join(' ');
}

/** Every passage that a run found, by id. */
export function passagesOf(events: readonly AgentEvent[]): Map<string, Passage> {
  return new Map(events.flatMap((event) => (event.kind === 'searched' ? event.hits.map(({ passage }) => [passage.id, passage] as const) : [])));
}

// --- Weights (METHODS §3.2) ----------------------------------------------------------------------------------------------------------------

export interface LikelihoodOptions {
  /** 0: the sum of the log-probabilities, as in the paper; 1: their mean, as in the authors' code. */
  readonly alpha?: number;
  readonly tau?: number;
}

type Likelihood = Pick<AnswerLogp, 'sum' | 'tokens'>;

/** ℓ = Σ log p / len^α / τ. */
export function logLikelihood({ sum, tokens }: Likelihood, { alpha = 0, tau = 1 }: LikelihoodOptions = {}): number {
  return sum / Math.max(1, tokens) ** alpha / tau;
}

/** w(z_k) = softmax over the trajectories of ONE question; they sum to 1. Empty for none. */
export function weightsOf(logps: readonly Likelihood[], options: LikelihoodOptions = {}): number[] {
  return softmax(logps.map((logp) => logLikelihood(logp, options)));
}

export function softmax(values: readonly number[]): number[] {
  const most = Math.max(...values);
  const powers = values.map((value) => Math.exp(value - most));
  const total = powers.reduce((sum, power) => sum + power, 0);
  return powers.map((power) => power / total);
}

/** 1 / Σ w²: how many trajectories the weights amount to, from 1 to K. */
export function effectiveSize(weights: readonly number[]): number {
  return 1 / weights.reduce((sum, weight) => sum + weight * weight, 0);
}

/** METHODS §8.1: a question whose trajectories are all equally good or bad teaches nothing. `isRight`: exact match of each trajectory's answer. */
export function isInformative(weights: readonly number[], isRight: readonly boolean[]): boolean {
  return isRight.some(Boolean) || Math.max(...weights) >= 1.5 / weights.length;
}

/** log p(y | x, z) − log p(y | x): how much the evidence helped, in nats; removes what the model knew by heart. */
export function evidenceGain(withEvidence: Likelihood, closedBook: Likelihood): number {
  return withEvidence.sum - closedBook.sum;
}

// --- Marginalisation (METHODS §8.1 b) --------------------------------------------------------------------------------------------------------

export interface WeightedAnswer {
  readonly answer: string;
  readonly score: number;
  /** Of the sum of all scores: agreement between trajectories, no probability of truth. */
  readonly share: number;
}

/** S(y) = (1/K) Σ_k p(y | x, z_k)^(1/len^α), best first. `table[y][k]`: answer y after trajectory k; null counts as probability 0. */
export function marginalise(answers: readonly string[], table: readonly (readonly (Likelihood | null)[])[], options: LikelihoodOptions = {}): WeightedAnswer[] {
  const scores = answers.map((_, y) => {
    const row = table[y] ?? [];
    return row.length === 0 ? 0 : row.reduce((sum, logp) => sum + (logp === null ? 0 : Math.exp(logLikelihood(logp, options))), 0) / row.length;
  });
  return ranked(answers, scores);
}

export interface Vote {
  readonly answer: string;
  /** Sub-answers of the trajectory that stand in a quote. */
  readonly verified: number;
}

/** The fallback without log-probabilities: shares are votes; ties go to more verified evidence, then to the shorter answer. Silence does not vote. */
export function vote(votes: readonly Vote[]): WeightedAnswer[] {
  const groups = new Map<string, Vote[]>();
  for (const one of votes) if (one.answer !== '') groups.set(answerKey(one.answer), [...(groups.get(answerKey(one.answer)) ?? []), one]);
  const verified = (group: readonly Vote[]): number => group.reduce((sum, one) => sum + one.verified, 0);
  const shortest = (group: readonly Vote[]): string => group.map(({ answer }) => answer).sort((a, b) => a.length - b.length)[0] ?? '';
  const order = [...groups.values()].sort((a, b) => b.length - a.length || verified(b) - verified(a) || shortest(a).length - shortest(b).length);
  return ranked(order.map(shortest), order.map((group) => group.length / votes.length));
}

function ranked(answers: readonly string[], scores: readonly number[]): WeightedAnswer[] {
  const total = scores.reduce((sum, score) => sum + score, 0);
  return answers
    .map((answer, i) => ({ answer, score: scores[i] ?? 0, share: total === 0 ? 0 : (scores[i] ?? 0) / total }))
    .sort((a, b) => b.score - a.score);
}

/** Distinct answers in order of first use, by their words; silence is none. */
export function distinctAnswers(answers: readonly string[]): string[] {
  const seen = new Map<string, string>();
  for (const answer of answers) if (answer !== '' && !seen.has(answerKey(answer))) seen.set(answerKey(answer), answer);
  return [...seen.values()];
}

/** Answers with the same words are the same answer; case, accents, articles and punctuation do not count. */
export function answerKey(answer: string): string {
  return wordsOf(answer).join(' ');
}
