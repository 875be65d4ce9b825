/**
 * A run as the page shows it, made from the run's events alone. Pure: `reduceRun` may be replayed over a stored log and gives the same view.
 * Events of other runs, and events that were seen already, change nothing.
 */
import type { AgentEvent, Answer, AnswerType, Cost, Evidence, NodeStatus, Plan, StopReason } from '../agent/events.ts';
import type { Hit } from '../corpus/retriever.ts';
import type { WireError } from '../errors.ts';
import { noSearchState, reduceSearch, type SearchState } from './search-state.ts';
import { reduceTable, type TableView } from './table-state.ts';

export interface SearchView {
  readonly query: string;
  readonly hits: readonly Hit[];
  readonly newCount: number;
  readonly usedDense: boolean;
  readonly ms: number;
}

export interface RejectedQuote {
  readonly quote: string;
  readonly reason: Extract<AgentEvent, { kind: 'evidenceRejected' }>['reason'];
}

export interface NodeView {
  /** 0: the question as a whole, searched without a plan or after it. */
  readonly id: number;
  /** With earlier answers put in, as soon as the step has started. */
  readonly question: string;
  readonly deps: readonly number[];
  readonly answerType: AnswerType;
  readonly status: NodeStatus;
  readonly answer: string;
  readonly stop: StopReason | null;
  readonly searches: readonly SearchView[];
  readonly evidence: readonly Evidence[];
  readonly rejected: readonly RejectedQuote[];
}

/** `starting`: nothing heard yet. `held`: the plan waits for the person. */
export type RunPhase = 'starting' | 'planning' | 'held' | 'working' | 'answering' | 'ended';
export type RunOutcome = 'finished' | 'stopped' | 'failed';

export interface NoticeView {
  readonly code: string;
  readonly text: string;
}

export interface RunView {
  readonly id: string;
  readonly question: string;
  readonly method: string;
  readonly model: string | null;
  /** The plan is held when it comes, until `releasePlan`. */
  readonly holdsPlan: boolean;
  readonly phase: RunPhase;
  readonly plan: Plan | null;
  /** Plan order; the whole question (id 0), if it was searched, last. */
  readonly nodes: readonly NodeView[];
  readonly notices: readonly NoticeView[];
  /** The final answer's text while it is being written; kept if the run breaks off. */
  readonly streamed: string;
  readonly search: SearchState;
  /** What the run fills in table mode. */
  readonly table: TableView | null;
  readonly answer: Answer | null;
  /** Running totals; times are 0 until the run has ended. */
  readonly cost: Cost;
  readonly outcome: RunOutcome | null;
  readonly stop: StopReason | null;
  readonly error: WireError | null;
  readonly lastSeq: number;
  /** Calls of the model taken over from the run that this one goes on from. */
  readonly reusedCalls: number;
}

const noCost: Cost = { llmCalls: 0, promptTokens: 0, cachedTokens: 0, outputTokens: 0, searches: 0, wallMs: 0, overheadMs: 0 };

export function startRun(id: string, question: string, holdsPlan: boolean): RunView {
  return {
    id, question, method: '', model: null, holdsPlan, phase: 'starting', plan: null, nodes: [], notices: [], streamed: '', search: noSearchState, table: null, answer: null, cost: noCost,
    outcome: null, stop: null, error: null, lastSeq: -1, reusedCalls: 0,
  };
}

/** The person let the held plan run. */
export function releasePlan(run: RunView): RunView {
  return run.phase === 'held' ? { ...run, phase: 'working' } : run;
}

/** A stored log as one view. A log that breaks off (the page was closed in the middle) ends as stopped. */
export function replayRun(id: string, question: string, events: readonly AgentEvent[]): RunView {
  const run = events.reduce(reduceRun, startRun(id, question, false));
  return run.outcome === null ? endRun(run, 'stopped') : run;
}

export function reduceRun(run: RunView, event: AgentEvent): RunView {
  if (event.runId !== run.id || event.seq <= run.lastSeq || run.phase === 'ended') return run;
  return { ...apply(run, event), lastSeq: event.seq };
}

function apply(run: RunView, event: AgentEvent): RunView {
  switch (event.kind) {
    case 'runStarted':
      return { ...run, question: event.question === '' ? run.question : event.question, method: event.method, model: event.model, phase: 'planning' };
    case 'notice':
      return { ...run, notices: [...run.notices, { code: event.code, text: event.text }] };
    case 'planProposed':
      return { ...withPlan(run, event.plan), phase: run.holdsPlan ? 'held' : 'working' };
    case 'planEdited':
      return { ...withPlan(run, event.plan), phase: 'working' };
    case 'nodeStarted':
      return changeNode(working(run), event.node, (node) => ({ ...node, question: event.question, status: 'running' }));
    case 'searched': {
      const search: SearchView = { query: event.query, hits: event.hits, newCount: event.newIds.length, usedDense: event.usedDense, ms: event.ms };
      const counted = { ...working(run), cost: { ...run.cost, searches: run.cost.searches + 1 } };
      return changeNode(counted, event.node, (node) => ({ ...node, status: node.status === 'open' ? 'running' : node.status, searches: [...node.searches, search] }));
    }
    case 'evidenceRecorded':
      return changeNode(run, event.node, (node) => ({ ...node, evidence: [...node.evidence, ...event.evidence] }));
    case 'evidenceRejected':
      return changeNode(run, event.node, (node) => ({ ...node, rejected: [...node.rejected, { quote: event.quote, reason: event.reason }] }));
    case 'nodeFinished':
      return changeNode(run, event.node, (node) => ({ ...node, status: event.status, answer: event.answer, stop: event.stop }));
    case 'llmCalled': {
      const { cost } = run;
      return {
        ...run,
        cost: {
          ...cost,
          llmCalls: cost.llmCalls + 1,
          promptTokens: cost.promptTokens + event.promptTokens,
          cachedTokens: cost.cachedTokens + (event.cachedTokens ?? 0),
          outputTokens: cost.outputTokens + event.outputTokens,
        },
      };
    }
    case 'answerStarted':
      return { ...run, phase: 'answering', streamed: '' };
    case 'answerDelta':
      return { ...run, phase: 'answering', streamed: run.streamed + event.text };
    case 'answerFinished':
      return { ...run, answer: event.answer };
    case 'trajectoryStarted':
      // Each trajectory has a plan and steps of its own; those before it are kept with it.
      return { ...run, plan: null, nodes: [], phase: 'planning', search: reduceSearch(run.search, event, run.nodes) };
    case 'stateChanged':
    case 'thought':
    case 'goalSet':
    case 'reflected':
    case 'selected':
    case 'expanded':
    case 'queryScored':
    case 'gated':
    case 'verified':
    case 'linkFollowed':
    case 'trajectoryFinished':
    case 'trajectoriesWeighted':
    case 'treeExpanded':
    case 'conflictFound':
    case 'edited':
      return { ...run, search: reduceSearch(run.search, event, run.nodes) };
    case 'tableStarted':
    case 'cellFilled':
      return { ...working(run), table: reduceTable(run.table, event) };
    case 'prompted':
      return run;
    case 'runFinished':
      return { ...endRun(run, event.stop === 'user' ? 'stopped' : 'finished'), stop: event.stop, cost: event.cost };
    case 'runFailed':
      return { ...endRun(run, 'failed'), stop: 'error', error: event.error, cost: event.cost };
  }
}

function working(run: RunView): RunView {
  return run.phase === 'answering' ? run : { ...run, phase: 'working' };
}

/** A plan that grows while it is carried out keeps what is known of the steps that it still asks in the same words. */
function withPlan(run: RunView, plan: Plan): RunView {
  const before = new Map(run.plan?.nodes.map((node) => [node.id, node.q]));
  const nodes = plan.nodes.map((node): NodeView => {
    const known = before.get(node.id) === node.q ? run.nodes.find(({ id }) => id === node.id) : undefined;
    return { ...(known ?? emptyNode(node.id, node.q)), deps: node.deps, answerType: node.answerType };
  });
  return { ...run, plan, nodes: [...nodes, ...run.nodes.filter(({ id }) => id === 0)] };
}

function emptyNode(id: number, question: string): NodeView {
  return { id, question, deps: [], answerType: 'other', status: 'open', answer: '', stop: null, searches: [], evidence: [], rejected: [] };
}

/** Work on a step that no plan names is work on the question as a whole: it gets a node when it first appears. */
function changeNode(run: RunView, id: number, change: (node: NodeView) => NodeView): RunView {
  const isKnown = run.nodes.some((node) => node.id === id);
  const nodes = isKnown ? run.nodes : [...run.nodes, emptyNode(id, run.question)];
  return { ...run, nodes: nodes.map((node) => (node.id === id ? change(node) : node)) };
}

/** Nothing runs any more. A step of the whole question that found what it looked for counts as answered; other unfinished steps as not run. */
function endRun(run: RunView, outcome: RunOutcome): RunView {
  const nodes = run.nodes.map((node): NodeView => {
    if (node.status !== 'open' && node.status !== 'running') return node;
    if (node.id !== 0 || outcome !== 'finished') return { ...node, status: 'skipped' };
    return { ...node, status: node.evidence.length > 0 || (run.answer !== null && run.answer.mode !== 'not-found') ? 'answered' : 'failed' };
  });
  return { ...run, phase: 'ended', outcome, nodes };
}

/** Steps of the plan that are settled, and all of them. */
export function stepsDone(run: RunView): { readonly done: number; readonly total: number } {
  const steps = run.nodes.filter((node) => node.id !== 0);
  return { done: steps.filter((node) => node.status !== 'open' && node.status !== 'running').length, total: steps.length };
}

/** The step to look at while the run goes on: the one that runs, else the last that was settled; null before any. */
export function liveNode(run: RunView): number | null {
  const running = run.nodes.find((node) => node.status === 'running');
  if (running !== undefined) return running.id;
  return run.nodes.findLast((node) => node.status !== 'open')?.id ?? null;
}

/** One short line on what is going on; the same words are announced to screen readers when they change. */
export function stageOf(run: RunView): string {
  const { done, total } = stepsDone(run);
  switch (run.phase) {
    case 'starting':
      return 'Starting';
    case 'planning':
      return run.model === null ? 'Searching' : 'Working out the plan';
    case 'held':
      return 'The plan is waiting for you';
    case 'working': {
      const running = run.nodes.find((node) => node.status === 'running');
      if (running === undefined) return 'Deciding what to do next';
      if (running.id === 0 || total <= 1) return running.searches.length === 0 || run.model === null ? 'Searching' : 'Reading what was found';
      return `Step ${Math.min(done + 1, total)} of ${total}: ${running.searches.length === 0 ? 'searching' : 'reading what was found'}`;
    }
    case 'answering':
      return 'Writing the answer';
    case 'ended':
      break;
  }
  if (run.outcome === 'failed') return 'The run broke off';
  if (run.outcome === 'stopped') return 'Stopped';
  if (run.answer === null || run.answer.mode === 'not-found') return 'Nothing found that answers the question';
  return run.answer.mode === 'extractive' ? 'Best sentences found' : 'Answer ready';
}

/** Why a finished run ended early, in words; '' where there is nothing to say. */
export function stopNote(stop: StopReason | null): string {
  switch (stop) {
    case 'budget':
      return 'The limit of calls, searches or time was reached, so this is what was known by then.';
    case 'repetition':
      return 'The model began to repeat itself, so the search was ended.';
    case 'no-new-passages':
      return 'Further searches brought nothing new.';
    case 'user':
      return 'Stopped by you. What was found is kept.';
    case 'answered':
    case 'not-found':
    case 'error':
    case null:
      return '';
  }
}
