/**
 * The closed union of events that a run yields, and the plan, evidence and answer shapes in them. Page, history and benchmark consume the same events.
 * Plain data only: every event survives structured clone and JSON.
 */
import type { WireError } from '../errors.ts';
import type { Hit, Passage, Span } from '../corpus/retriever.ts';

export type AnswerType = 'person' | 'place' | 'date' | 'number' | 'yes-no' | 'organisation' | 'work' | 'other';
export type NodeStatus = 'open' | 'running' | 'answered' | 'degraded' | 'failed' | 'skipped';

/** A sub-question. `q` may hold `#j`, replaced by the short answer of node j before execution (METHODS §1.2). */
export interface PlanNode {
  readonly id: number;
  readonly q: string;
  /** Exactly the ids of the placeholders in `q`. */
  readonly deps: readonly number[];
  readonly answerType: AnswerType;
}

export interface Plan {
  readonly nodes: readonly PlanNode[];
  readonly final: { readonly deps: readonly number[]; readonly op: 'answer' | 'compare' };
  /** Which rung of the repair ladder gave it (METHODS §8.3). */
  readonly source: 'router' | 'comparison-form' | 'llm' | 'llm-fixed' | 'llm-repaired' | 'single-step' | 'edited' | 'gold';
}

/** A quote that stands word for word in its passage: `passage.text.slice(span.start, span.end) === quote`. */
export interface Evidence {
  readonly passage: Passage;
  readonly span: Span;
  readonly quote: string;
  readonly node: number;
}

export interface AnswerSentence {
  readonly text: string;
  /** Citation numbers, from 1. */
  readonly cites: readonly number[];
  /** False: no cited quote carries this sentence; the page marks it. */
  readonly supported: boolean;
}

export interface Citation {
  readonly n: number;
  readonly evidence: Evidence;
}

export interface Answer {
  /** The short answer; '' when nothing was found. */
  readonly short: string;
  readonly sentences: readonly AnswerSentence[];
  readonly citations: readonly Citation[];
  /** `extractive`: sentences copied from passages, no model; `closed-book`: from the model's memory, nothing cited; `not-found`: the corpus does not hold it. */
  readonly mode: 'cited' | 'extractive' | 'closed-book' | 'not-found';
}

export interface Cost {
  readonly llmCalls: number;
  readonly promptTokens: number;
  readonly cachedTokens: number;
  readonly outputTokens: number;
  readonly searches: number;
  readonly wallMs: number;
  /** Time in neither model nor search. */
  readonly overheadMs: number;
}

export type StopReason = 'answered' | 'not-found' | 'budget' | 'repetition' | 'no-new-passages' | 'user' | 'error';
export type CallPurpose = 'route' | 'plan' | 'plan-repair' | 'read' | 'query' | 'verify' | 'answer';

export type AgentEventBody =
  | { readonly kind: 'runStarted'; readonly question: string; readonly method: string; readonly model: string | null; readonly corpora: readonly string[] }
  | { readonly kind: 'notice'; readonly code: 'question-trimmed' | 'plan-fallback' | 'backend-fallback' | 'resumed' | 'no-corpus' | 'injection-ignored'; readonly text: string }
  | { readonly kind: 'planProposed'; readonly plan: Plan }
  | { readonly kind: 'planEdited'; readonly plan: Plan }
  | { readonly kind: 'nodeStarted'; readonly node: number; /** placeholders substituted */ readonly question: string }
  | { readonly kind: 'searched'; readonly node: number; readonly query: string; readonly hits: readonly Hit[]; /** ids not seen before in this run */ readonly newIds: readonly string[]; readonly usedDense: boolean; readonly ms: number }
  | { readonly kind: 'evidenceRecorded'; readonly node: number; readonly evidence: readonly Evidence[] }
  | { readonly kind: 'evidenceRejected'; readonly node: number; readonly quote: string; readonly reason: 'answer-not-in-quote' | 'unknown-passage' | 'wrong-type' | 'off-subject' }
  | { readonly kind: 'nodeFinished'; readonly node: number; readonly status: NodeStatus; readonly answer: string; readonly stop: StopReason }
  | { readonly kind: 'llmCalled'; readonly purpose: CallPurpose; readonly node: number | null; readonly promptTokens: number; readonly cachedTokens: number | null; readonly outputTokens: number; readonly ms: number }
  | { readonly kind: 'answerStarted' }
  /** Text to append to what is shown of the final answer. */
  | { readonly kind: 'answerDelta'; readonly text: string }
  | { readonly kind: 'answerFinished'; readonly answer: Answer }
  | { readonly kind: 'runFinished'; readonly stop: StopReason; readonly cost: Cost }
  | { readonly kind: 'runFailed'; readonly error: WireError; readonly cost: Cost };

/** `seq` counts from 0 without gaps; a run ends with exactly one `runFinished` or `runFailed`. `atMs` is since the run's start, by the injected clock. */
export type AgentEvent = { readonly runId: string; readonly seq: number; readonly atMs: number } & AgentEventBody;
