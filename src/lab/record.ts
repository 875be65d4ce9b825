/**
 * What a benchmark run leaves behind: a line a question and method (trajectory, METHODS §1.3, with its scores), a run record a method (§1.5), and the summary.
 * Pure: builds them from the events of a run, and decodes the lines again so that a broken run can be continued.
 */
import * as v from 'valibot';
import type { AgentEvent, Answer, Cost, Evidence, Plan } from '../agent/events.ts';
import type { Passage } from '../corpus/retriever.ts';
import type { WireError } from '../errors.ts';
import type { Question } from './datasets.ts';
import {
  scoreAnswer, scoreBehaviour, scoreCitations, scoreRetrieval,
  type AnswerScores, type BehaviourScores, type CitationScores, type RetrievalScores,
} from './metrics.ts';

// --- Items ---------------------------------------------------------------------------------------------------------------------------------

export interface FoundDocument {
  readonly id: string;
  readonly rank: number;
  readonly score: number;
  readonly new: boolean;
}

/** A verbatim quote: `text` stands in passage `doc` at `span`. */
export interface RecordedEvidence {
  readonly doc: string;
  readonly span: readonly [start: number, end: number];
  readonly text: string;
}

/** `t` counts from 1 over the steps of a trajectory. */
export type TrajectoryStep = { readonly t: number } & (
  | { readonly kind: 'plan'; readonly source: Plan['source']; readonly nodes: readonly { readonly id: number; readonly q: string; readonly deps: readonly number[] }[] }
  | { readonly kind: 'think'; readonly node: number | null; readonly purpose: string; readonly tokens: number; readonly promptTokens: number; readonly cachedTokens: number | null; readonly ms: number }
  | { readonly kind: 'search'; readonly node: number; readonly query: string; readonly k: number; readonly retriever: 'bm25' | 'rrf'; readonly docs: readonly FoundDocument[]; readonly ms: number }
  | { readonly kind: 'record'; readonly node: number; readonly evidence: readonly RecordedEvidence[]; readonly sufficient: boolean; readonly subAnswer: string; readonly stop: string }
  | { readonly kind: 'answer'; readonly text: string; readonly mode: Answer['mode']; readonly cites: readonly string[] }
);

export interface ItemCost {
  readonly llmCalls: number;
  readonly promptTokens: number;
  readonly cachedTokens: number;
  readonly outTokens: number;
  readonly searches: number;
  readonly wallMs: number;
  readonly overheadMs: number;
  /** Sub-questions that were worked on. */
  readonly nodes: number;
}

export type ItemScores = AnswerScores & RetrievalScores & CitationScores & BehaviourScores;

/** One line of `run.jsonl`: a method's work on a question, and what it was worth. */
export interface ItemRecord {
  readonly kind: 'trajectory';
  readonly id: string;
  readonly qid: string;
  readonly dataset: string;
  readonly method: string;
  readonly seed: number;
  readonly model: string | null;
  readonly corpus: string;
  readonly question: string;
  readonly answers: readonly string[];
  readonly type: string | null;
  readonly hops: number | null;
  readonly selection: string | null;
  readonly prediction: string;
  readonly steps: readonly TrajectoryStep[];
  readonly stop: string;
  readonly scores: ItemScores;
  readonly cost: ItemCost;
  /** Not null: the item failed. It counts with scores of 0. */
  readonly error: { readonly code: string; readonly message: string } | null;
}

export interface ItemContext {
  readonly seed: number;
  readonly method: string;
  readonly model: string | null;
  /** Name and content hash of what was searched. */
  readonly corpus: string;
}

/** What a run over a question amounts to. `failure`: why it was cut short (page lost, timed out), else what the events say. */
export function itemOf(question: Question, context: ItemContext, events: readonly AgentEvent[], failure: WireError | null = null): ItemRecord {
  const steps: TrajectoryStep[] = [];
  const push = (step: DistributiveOmit<TrajectoryStep, 't'>): void => {
    steps.push({ t: steps.length + 1, ...step });
  };
  const searches: { query: string; passages: Passage[] }[] = [];
  const evidenceByNode = new Map<number, Evidence[]>();
  const evidence: Evidence[] = [];
  const nodes = new Set<number>();
  let answer: Answer | null = null;
  let cost = costSoFar(events);
  let stop: string = 'error';
  let error = failure;
  let model = context.model;

  const flushEvidence = (node: number, sufficient: boolean, subAnswer: string, why: string): void => {
    push({ kind: 'record', node, evidence: (evidenceByNode.get(node) ?? []).map(recordedEvidence), sufficient, subAnswer, stop: why });
    evidenceByNode.delete(node);
  };

  for (const event of events) {
    switch (event.kind) {
      case 'runStarted':
        model = event.model ?? model;
        break;
      case 'planProposed':
      case 'planEdited':
        push({ kind: 'plan', source: event.plan.source, nodes: event.plan.nodes.map(({ id, q, deps }) => ({ id, q, deps })) });
        break;
      case 'nodeStarted':
        nodes.add(event.node);
        break;
      case 'searched': {
        const fresh = new Set(event.newIds);
        searches.push({ query: event.query, passages: event.hits.map((hit) => hit.passage) });
        push({
          kind: 'search', node: event.node, query: event.query, k: event.hits.length, retriever: event.usedDense ? 'rrf' : 'bm25',
          docs: event.hits.map(({ passage, rank, score }) => ({ id: passage.id, rank, score: Number(score.toPrecision(5)), new: fresh.has(passage.id) })),
          ms: round(event.ms),
        });
        break;
      }
      case 'evidenceRecorded':
        evidence.push(...event.evidence);
        evidenceByNode.set(event.node, [...(evidenceByNode.get(event.node) ?? []), ...event.evidence]);
        break;
      case 'nodeFinished':
        flushEvidence(event.node, event.status === 'answered', event.answer, event.stop);
        break;
      case 'llmCalled':
        push({
          kind: 'think', node: event.node, purpose: event.purpose, tokens: event.outputTokens, promptTokens: event.promptTokens,
          cachedTokens: event.cachedTokens, ms: round(event.ms),
        });
        break;
      case 'answerFinished':
        // Evidence of methods without sub-questions.
        for (const node of [...evidenceByNode.keys()]) flushEvidence(node, true, '', 'answered');
        answer = event.answer;
        push({ kind: 'answer', text: predictionOf(event.answer), mode: event.answer.mode, cites: [...new Set(event.answer.citations.map((citation) => citation.evidence.passage.id))] });
        break;
      case 'runFinished':
        stop = event.stop;
        cost = event.cost;
        break;
      case 'runFailed':
        error ??= event.error;
        cost = event.cost;
        break;
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
      case 'trajectoryStarted':
      case 'trajectoryFinished':
      case 'trajectoriesWeighted':
      case 'treeExpanded':
      case 'tableStarted':
      case 'cellFilled':
      case 'conflictFound':
      case 'prompted':
      case 'edited':
      case 'notice':
      case 'evidenceRejected':
      case 'answerStarted':
      case 'answerDelta':
        break;
    }
  }
  const last = events.at(-1)?.kind;
  if (error === null && (last !== 'runFinished' || answer === null)) {
    error = { kind: 'bug', name: 'Error', message: `the run ended without an answer (${last ?? 'no events'}, ${stop})`, stack: '' };
  }

  const prediction = answer === null ? '' : predictionOf(answer);
  const kept = [...evidence, ...(answer?.citations ?? []).map((citation) => citation.evidence)].map((item) => item.passage);
  const scored = scoreAnswer(prediction, question.answers);
  return {
    kind: 'trajectory',
    id: events[0]?.runId ?? '',
    qid: question.id,
    dataset: question.dataset,
    method: context.method,
    seed: context.seed,
    model,
    corpus: context.corpus,
    question: question.question,
    answers: question.answers,
    type: question.type,
    hops: question.hops,
    selection: question.selection,
    prediction,
    steps,
    stop: error === null ? stop : 'error',
    scores: {
      // Silence is the right answer to an unanswerable question; a crash is not.
      ...(error === null ? scored : { ...scored, em: 0, f1: 0, precision: 0, recall: 0, acc: 0, accSubstring: 0, emFolded: 0 }),
      ...scoreRetrieval(searches.map(({ passages }) => passages), kept, question),
      ...scoreCitations(answer, evidence),
      ...scoreBehaviour(searches.map(({ query, passages }) => ({ query, ids: passages.map((passage) => passage.id) }))),
    },
    cost: {
      llmCalls: cost.llmCalls, promptTokens: cost.promptTokens, cachedTokens: cost.cachedTokens, outTokens: cost.outputTokens, searches: cost.searches,
      wallMs: round(cost.wallMs), overheadMs: round(cost.overheadMs), nodes: nodes.size,
    },
    error: error === null ? null : describe(error),
  };
}

/** What a run that never reported its cost had used up by its last event. */
function costSoFar(events: readonly AgentEvent[]): Cost {
  const calls = events.filter((event) => event.kind === 'llmCalled');
  const searches = events.filter((event) => event.kind === 'searched');
  const total = (pick: (call: (typeof calls)[number]) => number): number => calls.reduce((sum, call) => sum + pick(call), 0);
  const wallMs = events.at(-1)?.atMs ?? 0;
  const waited = total((call) => call.ms) + searches.reduce((sum, search) => sum + search.ms, 0);
  return {
    llmCalls: calls.length, promptTokens: total((call) => call.promptTokens), cachedTokens: total((call) => call.cachedTokens ?? 0),
    outputTokens: total((call) => call.outputTokens), searches: searches.length, wallMs, overheadMs: Math.max(0, wallMs - waited),
  };
}

type DistributiveOmit<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never;

/** Where there is no short answer but copied sentences, they are what was answered. */
function predictionOf(answer: Answer): string {
  return answer.short !== '' || answer.mode !== 'extractive' ? answer.short : answer.sentences.map((sentence) => sentence.text).join(' ');
}

function recordedEvidence({ passage, span, quote }: Evidence): RecordedEvidence {
  return { doc: passage.id, span: [span.start, span.end], text: quote };
}

function describe(error: WireError): { code: string; message: string } {
  switch (error.kind) {
    case 'app':
      return { code: error.code, message: error.message };
    case 'abort':
      return { code: 'abort', message: 'The run was stopped.' };
    case 'bug':
      return { code: 'bug', message: `${error.name}: ${error.message}` };
  }
}

function round(ms: number): number {
  return Math.round(ms * 100) / 100;
}

/** The key under which a finished item is known when a run is continued. */
export function itemKey(item: { readonly method: string; readonly seed: number; readonly qid: string }): string {
  return JSON.stringify([item.method, item.seed, item.qid]);
}

const nullableNumber = v.nullable(v.number());
const bit = v.picklist([0, 1]);
const nullableBit = v.nullable(bit);

/** Checks what summaries are made of; the steps are carried along as they are. */
const itemSchema = v.looseObject({
  kind: v.literal('trajectory'),
  qid: v.string(),
  method: v.string(),
  seed: v.number(),
  type: v.nullable(v.string()),
  selection: v.nullable(v.string()),
  steps: v.array(v.looseObject({ t: v.number(), kind: v.string() })),
  scores: v.looseObject({
    em: bit, f1: v.number(), acc: bit, accSubstring: bit, emFolded: bit, words: v.number(),
    recall5: nullableNumber, recall10: nullableNumber, all5: nullableBit, all10: nullableBit, hit5: nullableBit,
    trajectory: nullableNumber, allTrajectory: nullableBit, trajectory5: nullableNumber, curated: nullableNumber, dropped: nullableNumber,
    quotes: v.number(), quoteValidity: nullableNumber,
  }),
  cost: v.object({
    llmCalls: v.number(), promptTokens: v.number(), cachedTokens: v.number(), outTokens: v.number(), searches: v.number(), wallMs: v.number(), overheadMs: v.number(),
    nodes: v.number(),
  }),
  error: v.nullable(v.object({ code: v.string(), message: v.string() })),
});

/**
 * The finished items of a `run.jsonl`, each once (the first counts). Run records are left out, for they are written anew at the end. The last line may be torn
 * by a kill: it is dropped. Any other line that is not an item is returned in `bad`, by line number.
 */
export function readRunFile(text: string): { readonly items: ItemRecord[]; readonly bad: readonly number[] } {
  const items = new Map<string, ItemRecord>();
  const bad: number[] = [];
  const lines = text.split('\n');
  for (const [i, line] of lines.entries()) {
    if (line.trim() === '') continue;
    const value = parseLine(line);
    const parsed = v.safeParse(itemSchema, value);
    if (parsed.success) {
      const item = value as ItemRecord;
      if (!items.has(itemKey(item))) items.set(itemKey(item), item);
    } else if (!v.is(v.looseObject({ kind: v.literal('run') }), value) && i < lines.length - 1) {
      bad.push(i + 1);
    }
  }
  return { items: [...items.values()], bad };
}

function parseLine(line: string): unknown {
  try {
    return JSON.parse(line) as unknown;
  } catch {
    return undefined;
  }
}

// --- Run record ----------------------------------------------------------------------------------------------------------------------------

/** What a run was made with; everything that a figure depends on. */
export interface RunSettings {
  readonly runId: string;
  readonly dataset: string;
  readonly split: string;
  readonly model: string | null;
  readonly backend: string | null;
  readonly quant: string | null;
  readonly corpus: string;
  readonly embedder: string | null;
  readonly seed: number;
  readonly temperature: number;
  readonly maxTurns: number;
  readonly k: number;
  /** SHA-256 of the question ids, sorted, one a line. */
  readonly idsHash: string;
  readonly env: Readonly<Record<string, string | number | boolean | null>>;
}

/** One evaluation cell: a method on a set of questions. Values of `agg` are [mean, low, high]. */
export interface RunRecord {
  readonly kind: 'run';
  readonly runId: string;
  readonly method: string;
  readonly model: string | null;
  readonly backend: string | null;
  readonly quant: string | null;
  readonly dataset: string;
  readonly split: string;
  readonly subset: { readonly n: number; readonly seed: number; readonly ids: string };
  readonly corpus: string;
  readonly retriever: string;
  readonly k: number;
  readonly maxTurns: number;
  readonly temperature: number;
  readonly perItem: readonly {
    readonly id: string; readonly em: number; readonly f1: number; readonly acc: number; readonly recall5: number | null; readonly supportRecall: number | null;
    readonly failed: boolean; readonly cost: ItemCost;
  }[];
  readonly agg: Readonly<Record<string, readonly [number, number, number] | null>>;
  readonly env: RunSettings['env'];
}

export function runRecordOf(method: string, items: readonly ItemRecord[], agg: RunRecord['agg'], settings: RunSettings): RunRecord {
  return {
    kind: 'run',
    runId: settings.runId,
    method,
    model: settings.model,
    backend: settings.backend,
    quant: settings.quant,
    dataset: settings.dataset,
    split: settings.split,
    subset: { n: items.length, seed: settings.seed, ids: `sha256:${settings.idsHash}` },
    corpus: settings.corpus,
    retriever: settings.embedder === null ? 'bm25+links' : `rrf(bm25,${settings.embedder})+links`,
    k: settings.k,
    maxTurns: settings.maxTurns,
    temperature: settings.temperature,
    perItem: items.map(({ qid, scores, cost, error }) => ({
      id: qid, em: scores.em, f1: scores.f1, acc: scores.acc, recall5: scores.recall5, supportRecall: scores.trajectory, failed: error !== null, cost,
    })),
    agg,
    env: settings.env,
  };
}
