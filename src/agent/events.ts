/**
 * The closed union of events that a run yields, and the plan, evidence and answer shapes in them. Page, history and benchmark consume the same events.
 * Plain data only: every event survives structured clone and JSON.
 */
import type { WireError } from '../errors.ts';
import type { Hit, Passage, Span } from '../corpus/retriever.ts';
import type { Message } from '../engine/llm.ts';

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
  readonly source: 'router' | 'form' | 'llm' | 'llm-fixed' | 'llm-repaired' | 'single-step' | 'edited' | 'gold';
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
export type CallPurpose =
  | 'route' | 'plan' | 'plan-repair' | 'read' | 'query' | 'verify' | 'answer'
  | 'think' | 'select' | 'record' | 'sufficient' | 'refine' | 'goal' | 'reflect' | 'gate' | 'expand' | 'value' | 'act' | 'score';

/** METHODS §4.7: how much a passage that was kept matters; the least important one leaves first when the set is full. */
export type Importance = 'very_high' | 'high' | 'fair' | 'low';

/** log p(answer | question, trajectory), METHODS Appendix B. `verify`: no token probabilities, only the model's own yes or no. */
export interface AnswerLogp {
  readonly sum: number;
  readonly mean: number;
  readonly tokens: number;
  readonly method: 'exact' | 'topn' | 'verify';
}

/** What a run holds outside the model (METHODS §4.7, §8.8). */
export interface StateSummary {
  /** Passages found so far. */
  readonly pool: number;
  /** Most important first. */
  readonly curated: readonly { readonly id: string; readonly title: string; readonly importance: Importance; readonly node: number }[];
  /** Names, years and dates that stand in at least two passages, with these passages. */
  readonly bridges: readonly { readonly entity: string; readonly passages: readonly string[] }[];
  /** Names of one kept passage alone: where a next step may lead. */
  readonly singletons: readonly string[];
  readonly budget: { readonly callsLeft: number; readonly searchesLeft: number; readonly msLeft: number };
}

/** What the person changed in an earlier run (METHODS §8.9). A run that goes on from it applies these in order. */
export type RunEdit =
  | { readonly stage: 'plan'; readonly before: Plan; readonly after: Plan }
  | { readonly stage: 'query'; readonly node: number; readonly before: string; readonly after: string }
  /** Passages that the person took away from a step. */
  | { readonly stage: 'evidence'; readonly node: number; readonly dropped: readonly { readonly id: string; readonly title: string }[] }
  | { readonly stage: 'sub-answer'; readonly node: number; readonly before: string; readonly after: string };

export type AgentEventBody =
  | { readonly kind: 'runStarted'; readonly question: string; readonly method: string; readonly model: string | null; readonly corpora: readonly string[] }
  | { readonly kind: 'notice'; readonly code: 'question-trimmed' | 'plan-fallback' | 'backend-fallback' | 'resumed' | 'no-corpus' | 'injection-ignored' | 'profile-used'; readonly text: string }
  /** Right after `runStarted`, one for each edit. `from`: id of the run that was changed. */
  | { readonly kind: 'edited'; readonly from: string; readonly edit: RunEdit }
  | { readonly kind: 'planProposed'; readonly plan: Plan }
  | { readonly kind: 'planEdited'; readonly plan: Plan }
  | { readonly kind: 'nodeStarted'; readonly node: number; /** placeholders substituted */ readonly question: string }
  | { readonly kind: 'searched'; readonly node: number; readonly query: string; readonly hits: readonly Hit[]; /** ids not seen before in this run */ readonly newIds: readonly string[]; readonly usedDense: boolean; readonly ms: number }
  | { readonly kind: 'evidenceRecorded'; readonly node: number; readonly evidence: readonly Evidence[] }
  | { readonly kind: 'evidenceRejected'; readonly node: number; readonly quote: string; readonly reason: 'answer-not-in-quote' | 'unknown-passage' | 'wrong-type' | 'off-subject' }
  | { readonly kind: 'nodeFinished'; readonly node: number; readonly status: NodeStatus; readonly answer: string; readonly stop: StopReason }
  | { readonly kind: 'llmCalled'; readonly purpose: CallPurpose; readonly node: number | null; readonly promptTokens: number; readonly cachedTokens: number | null; readonly outputTokens: number; readonly ms: number }
  | ({ readonly kind: 'stateChanged' } & StateSummary)
  /** A sentence of the model's own reasoning; text to show, never evidence. */
  | { readonly kind: 'thought'; readonly node: number | null; readonly text: string }
  /** RE-Searcher (METHODS §4.2): what a satisfying result would state. */
  | { readonly kind: 'goalSet'; readonly node: number; readonly goal: string }
  | { readonly kind: 'reflected'; readonly node: number; readonly satisfied: boolean; readonly why: string }
  /** List-wise selection: passage ids, best first. */
  | { readonly kind: 'selected'; readonly node: number; readonly kept: readonly string[]; readonly dropped: readonly string[] }
  /** SIRA (METHODS §4.6): terms with the number of passages that hold them. */
  | { readonly kind: 'expanded'; readonly node: number; readonly query: string; readonly terms: readonly { readonly term: string; readonly documents: number; readonly kept: boolean }[]; readonly weight: number }
  /** SmartSearch (METHODS §4.1). `useful` is null where nothing judged it. */
  | { readonly kind: 'queryScored'; readonly node: number; readonly query: string; readonly novel: boolean; readonly useful: boolean | null; readonly note: string; readonly refined: string | null }
  /** AdaSearch (METHODS §4.5): whether to search at all. `confidence`: mean token probability of the closed-book answers. */
  | { readonly kind: 'gated'; readonly search: boolean; readonly reason: string; readonly confidence: number | null }
  | { readonly kind: 'verified'; readonly claim: string; readonly ok: boolean; readonly missing: string | null }
  | { readonly kind: 'linkFollowed'; readonly node: number; readonly from: string; readonly to: readonly string[] }
  /** Trajectories count from 1. What happens until `trajectoryFinished` belongs to it. */
  | { readonly kind: 'trajectoryStarted'; readonly trajectory: number; /** most that may follow */ readonly of: number; readonly seed: number }
  | { readonly kind: 'trajectoryFinished'; readonly trajectory: number; readonly answer: string; readonly logp: AnswerLogp | null }
  /** METHODS §8.1: the answers over all trajectories. `ess` is null where the shares are votes. */
  | { readonly kind: 'trajectoriesWeighted'; readonly scores: readonly { readonly answer: string; readonly score: number; readonly share: number }[]; readonly ess: number | null; /** log p(answer | evidence) − log p(answer) of the chosen answer, a trajectory, in nats (METHODS §8.1) */ readonly gains?: readonly number[] }
  /** Best-first search (METHODS §4.15). */
  | { readonly kind: 'treeExpanded'; readonly state: number; readonly parent: number | null; readonly depth: number; readonly value: number; readonly query: string }
  /** Table mode (METHODS §4.9): `rows` are the keys, in order. */
  | { readonly kind: 'tableStarted'; readonly columns: readonly string[]; readonly rows: readonly string[] }
  | { readonly kind: 'cellFilled'; readonly row: number; readonly column: number; readonly value: string; readonly evidence: Evidence | null }
  /** HierSearch (METHODS §4.4): own documents and shards say different things. */
  | { readonly kind: 'conflictFound'; readonly node: number; readonly answers: readonly { readonly answer: string; readonly source: 'own' | 'shard' }[] }
  /** A whole prompt and what was said; only where `keepPrompts` is set. */
  | { readonly kind: 'prompted'; readonly purpose: CallPurpose; readonly node: number | null; readonly messages: readonly Message[]; readonly output: string }
  | { readonly kind: 'answerStarted' }
  /** Text to append to what is shown of the final answer. */
  | { readonly kind: 'answerDelta'; readonly text: string }
  | { readonly kind: 'answerFinished'; readonly answer: Answer }
  | { readonly kind: 'runFinished'; readonly stop: StopReason; readonly cost: Cost }
  | { readonly kind: 'runFailed'; readonly error: WireError; readonly cost: Cost };

/** `seq` counts from 0 without gaps; a run ends with exactly one `runFinished` or `runFailed`. `atMs` is since the run's start, by the injected clock. */
export type AgentEvent = { readonly runId: string; readonly seq: number; readonly atMs: number } & AgentEventBody;
