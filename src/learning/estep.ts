/**
 * The E-step (ExSearch, arXiv 2505.20128; METHODS §3.2, §8.1a): samples K trajectories of each question whose answer is known and weights each by how well it
 * explains that answer, w(z) ∝ p(y | x, z). Pure over interfaces: how a run is made and how answers are compared come in. One question at a time, so that a stopped
 * E-step goes on at the next question.
 */
import * as v from 'valibot';
import type { AnswerLogp } from '../agent/events.ts';
import { answerTurn, prefix, type Fact } from '../agent/prompts.ts';
import { effectiveSize, isInformative, logLikelihood, softmax, type LikelihoodOptions } from '../agent/trajectories.ts';
import { jsonSchemaOf } from '../engine/constrained.ts';
import { complete, type Llm, type Message } from '../engine/llm.ts';
import { factsOf, type Sample } from './samples.ts';

export interface TrainQuestion {
  readonly id: string;
  readonly question: string;
  /** The answer and its aliases; at least one. */
  readonly answers: readonly string[];
}

export interface EStepOptions extends LikelihoodOptions {
  /** Trajectories a question (METHODS §13: 3, at most 5). */
  readonly trajectories: number;
  /** Trajectory k of a question runs with seed + k. */
  readonly seed: number;
}

export interface EStepDeps {
  /** Runs the method once with this seed at temperature .8; one sample, or several where the method samples by itself. */
  readonly run: (question: TrainQuestion, seed: number, signal: AbortSignal) => Promise<readonly Sample[]>;
  readonly llm: Llm;
  readonly scoreAnswer: (prediction: string, answers: readonly string[]) => { readonly em: 0 | 1; readonly f1: number };
  readonly supportRecall: (question: TrainQuestion, sample: Sample) => number | null;
}

/** A question with its weighted trajectories. */
export interface WeightedQuestion {
  readonly qid: string;
  /** `weight` is set and sums to 1. */
  readonly samples: readonly Sample[];
  /** Effective sample size, from 1 to the number of samples. */
  readonly ess: number;
  /** False: all trajectories are equally good or bad, so the M-step leaves the question out. */
  readonly informative: boolean;
  /** The least exact of the scores it rests on; null: nothing could be scored and the weights come from F1. */
  readonly scoring: AnswerLogp['method'] | null;
}

/** Yields each question as it is done; `isDone` names those to pass over. Rejects with what `run` or the model rejects with. */
export async function* eStep(
  questions: readonly TrainQuestion[], deps: EStepDeps, options: EStepOptions, isDone: (qid: string) => boolean, signal: AbortSignal,
): AsyncGenerator<WeightedQuestion, void, undefined> {
  for (const question of questions) {
    if (isDone(question.id)) continue;
    signal.throwIfAborted();
    const samples: Sample[] = [];
    for (let k = 0; samples.length < options.trajectories; k++) {
      const fresh = await deps.run(question, options.seed + k, signal);
      if (fresh.length === 0) break;
      samples.push(...fresh.slice(0, options.trajectories - samples.length));
    }
    if (samples.length > 0) yield await weigh(question, samples, deps, options, signal);
  }
}

/** Scores and weights the trajectories of one question. */
async function weigh(question: TrainQuestion, samples: readonly Sample[], deps: EStepDeps, options: EStepOptions, signal: AbortSignal): Promise<WeightedQuestion> {
  const priorLogp = await scoreGold(deps.llm, question, [], signal);
  const scored: Sample[] = [];
  for (const sample of samples) {
    const answerLogp = await scoreGold(deps.llm, question, factsOf(sample), signal);
    scored.push({ ...sample, ...deps.scoreAnswer(sample.answer, question.answers), supportRecall: deps.supportRecall(question, sample), answerLogp, priorLogp });
  }
  const canWeigh = scored.every((sample) => sample.answerLogp !== null);
  // Without any likelihood the answer's F1 is the reward: reward-weighted, and marked so.
  const scoreOf = ({ answerLogp, f1 }: Sample): number => (canWeigh && answerLogp !== null ? logLikelihood(answerLogp, options) : Math.log(Math.max(1e-3, f1)));
  const weights = softmax(scored.map(scoreOf));
  const methods = scored.flatMap((sample) => (sample.answerLogp === null ? [] : [sample.answerLogp.method]));
  return {
    qid: question.id,
    samples: scored.map((sample, k) => ({ ...sample, weight: weights[k] ?? 0 })),
    ess: effectiveSize(weights),
    informative: isInformative(weights, scored.map((sample) => sample.em === 1)),
    scoring: canWeigh ? (methods.includes('verify') ? 'verify' : methods.includes('topn') ? 'topn' : 'exact') : null,
  };
}

/** The opening of the answer's field: the continuation begins after it and ends with the closing delimiter, so that no short answer is favoured (Appendix B). */
const opening = '{"answer":"';

/** The closing request after a trajectory, and the continuation that states `answer`. */
export function closingPrompt(question: string, facts: readonly Fact[], answer: string): { readonly messages: readonly Message[]; readonly continuation: string } {
  const messages: readonly Message[] = [...prefix, answerTurn(question, facts), { role: 'assistant', content: opening }];
  return { messages, continuation: `${JSON.stringify(answer).slice(1, -1)}"}` };
}

/** log p(right answer | question, facts), the best alias counting; by the model's own verdict where the engine has no probabilities; null if it has no verdict either. */
export async function scoreGold(llm: Llm, question: TrainQuestion, facts: readonly Fact[], signal: AbortSignal): Promise<AnswerLogp | null> {
  let best: AnswerLogp | null = null;
  for (const answer of question.answers) {
    const { messages, continuation } = closingPrompt(question.question, facts, answer);
    const score = llm.info.can.score ? await llm.score(messages, continuation, signal) : null;
    if (score !== null && (best === null || score.sum > best.sum)) best = score;
  }
  return best ?? (await verifyGold(llm, question, facts, signal));
}

const verdictSchema = v.object({ follows: v.boolean() });

/** Self-verification (Appendix B's last resort): does the answer follow from the facts? A yes counts as .9, a no as .1; marked `verify`. */
async function verifyGold(llm: Llm, question: TrainQuestion, facts: readonly Fact[], signal: AbortSignal): Promise<AnswerLogp | null> {
  const turn = answerTurn(question.question, facts).content;
  const ask = `${turn}\nProposed answer: ${question.answers[0] ?? ''}\nDoes the proposed answer follow from the facts alone? Reply {"follows":true} or {"follows":false}.`;
  const result = await complete(llm, { messages: [{ role: 'user', content: ask }], schema: jsonSchemaOf(verdictSchema), maxTokens: 12, temperature: 0 }, signal);
  const said = /\btrue\b/.test(result.text) ? 0.9 : /\bfalse\b/.test(result.text) ? 0.1 : null;
  return said === null ? null : { sum: Math.log(said), mean: Math.log(said), tokens: 1, method: 'verify' };
}
