/**
 * Why an answer is wrong, as far as the gold of the data set tells (METHODS §6.6): the first thing that broke, so that one sees what to mend next. Pure.
 */
import type { AnswerScores, RetrievalScores } from './metrics.ts';

/**
 * `form`: the answer is there, but not as the data word it · `plan`: gold was not found, and a gold step has no counterpart in the plan · `retrieval`: gold was not
 * found · `reading`: all gold was found and the answer is wrong · `failed`: the run broke · `unknown`: wrong, and the data do not tell where.
 */
export const failureClasses = ['right', 'form', 'plan', 'retrieval', 'reading', 'failed', 'unknown'] as const;
export type FailureClass = (typeof failureClasses)[number];

export interface Symptoms {
  readonly answer: Pick<AnswerScores, 'em' | 'emFolded' | 'acc' | 'f1'>;
  readonly retrieval: Pick<RetrievalScores, 'trajectory'>;
  /** Share of the gold steps that the plan covers (hard matching); null without a gold plan or without a plan. */
  readonly planCoverage: number | null;
  /** A found passage holds an answer; for data that name no gold passages. null where that says nothing (yes, no, comparisons). */
  readonly answerSeen: boolean | null;
  readonly hasFailed: boolean;
  /** False: the data say that there is no answer. */
  readonly isAnswerable: boolean;
}

export function failureOf({ answer, retrieval, planCoverage, answerSeen, hasFailed, isAnswerable }: Symptoms): FailureClass {
  if (hasFailed) return 'failed';
  if (answer.em === 1) return 'right';
  // An answer was made up where there is none.
  if (!isAnswerable) return 'reading';
  if (answer.emFolded === 1 || answer.acc === 1 || answer.f1 >= 0.6) return 'form';
  if (retrieval.trajectory !== null) {
    if (retrieval.trajectory === 1) return 'reading';
    return planCoverage !== null && planCoverage < 1 ? 'plan' : 'retrieval';
  }
  if (answerSeen === null) return 'unknown';
  return answerSeen ? 'reading' : 'retrieval';
}
