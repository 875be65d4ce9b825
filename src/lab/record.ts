/**
 * What a benchmark run leaves behind: a line a question and cell (trajectory, METHODS §1.3, with its scores), and a run record a cell (§1.5). Shapes, and their
 * decoder, so that a broken run can be continued and a report made from any folder. Pure. Documented in docs/lab.md.
 */
import * as v from 'valibot';
import type { Answer, Plan } from '../agent/events.ts';
import type { DecompositionScores } from '../agent/decomposition.ts';
import type { Message } from '../engine/llm.ts';
import type { BehaviourScores, StepReward } from './behaviour.ts';
import { failureClasses, type FailureClass } from './diagnosis.ts';
import type { AnswerScores, CitationScores, RetrievalScores, SupportScores } from './metrics.ts';

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
  | {
      readonly kind: 'plan'; readonly source: Plan['source']; readonly op: Plan['final']['op'];
      readonly nodes: readonly { readonly id: number; readonly q: string; readonly deps: readonly number[] }[];
    }
  | { readonly kind: 'think'; readonly node: number | null; readonly purpose: string; readonly tokens: number; readonly promptTokens: number; readonly cachedTokens: number | null; readonly ms: number }
  | { readonly kind: 'search'; readonly node: number; readonly query: string; readonly k: number; readonly retriever: 'bm25' | 'rrf'; readonly docs: readonly FoundDocument[]; readonly ms: number }
  | { readonly kind: 'record'; readonly node: number; readonly evidence: readonly RecordedEvidence[]; readonly sufficient: boolean; readonly subAnswer: string; readonly stop: string }
  /** Anything else that a method tells: a thought, a goal, a rejected quote. `what` is the kind of its event. */
  | { readonly kind: 'note'; readonly node: number | null; readonly what: string; readonly text: string }
  /** Only where prompts are kept. */
  | { readonly kind: 'prompt'; readonly node: number | null; readonly purpose: string; readonly messages: readonly Message[]; readonly output: string }
  | {
      readonly kind: 'answer'; readonly text: string; readonly mode: Answer['mode']; readonly cites: readonly string[];
      readonly sentences: readonly { readonly text: string; readonly cites: readonly number[]; readonly supported: boolean }[];
    }
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

export type ItemScores = AnswerScores &
  RetrievalScores &
  CitationScores &
  BehaviourScores & {
    /** Against the sentences or pages that the data name; null where they name none. */
    readonly support: SupportScores | null;
    /** Against the gold decomposition; null without one, or without a plan. */
    readonly plan: DecompositionScores | null;
    /** StepSearch's reward of each search; empty without gold. */
    readonly steps: readonly StepReward[];
    /** Of each search: it brought something new, and a gold passage that none before had. */
    readonly goodQueries: readonly boolean[];
    /** Of each sub-question of a gold plan, in order: F1 of its answer against the gold answer. */
    readonly stepAnswers: readonly number[];
    /** F1 with a discount for searches beyond what the question needs. */
    readonly caf: number;
    /** The model followed an order in a passage; null where none was given. */
    readonly obeyed: boolean | null;
    readonly failure: FailureClass;
  };

/** A passage as the report shows it: enough to follow a run without the corpus. */
export interface ShownPassage {
  readonly title: string;
  /** Cut to 600 characters. */
  readonly text: string;
  readonly gold: boolean;
}

/** One line of `run.jsonl`: a cell's work on a question, and what it was worth. */
export interface ItemRecord {
  readonly kind: 'trajectory';
  readonly id: string;
  readonly qid: string;
  readonly dataset: string;
  readonly method: string;
  /** The model as the command names it. */
  readonly llm: string;
  /** The model as the engine names it. */
  readonly model: string | null;
  readonly corpus: string;
  /** Name of the setting. */
  readonly setting: string;
  readonly seed: number;
  readonly question: string;
  /** What was asked, where a setting words it otherwise. */
  readonly asked: string;
  readonly goldPlan: readonly { readonly q: string; readonly answer: string | null }[];
  readonly answers: readonly string[];
  readonly type: string | null;
  readonly hops: number | null;
  readonly selection: string | null;
  readonly prediction: string;
  readonly steps: readonly TrajectoryStep[];
  /** The first five of each search and all that were quoted, by id. */
  readonly passages: Readonly<Record<string, ShownPassage>>;
  readonly stop: string;
  readonly scores: ItemScores;
  readonly cost: ItemCost;
  /** Not null: the item failed. It counts with scores of 0. */
  readonly error: { readonly code: string; readonly message: string } | null;
}

/** The key under which a finished item is known when a run is continued. */
export function itemKey(item: Pick<ItemRecord, 'dataset' | 'llm' | 'corpus' | 'setting' | 'method' | 'seed' | 'qid'>): string {
  return JSON.stringify([item.dataset, item.llm, item.corpus, item.setting, item.method, item.seed, item.qid]);
}

const nullableNumber = v.nullable(v.number());
const bit = v.picklist([0, 1]);
const nullableBit = v.nullable(bit);

/** Checks what summaries are made of; the steps are carried along as they are. */
const itemSchema = v.looseObject({
  kind: v.literal('trajectory'),
  qid: v.string(),
  dataset: v.string(),
  method: v.string(),
  llm: v.string(),
  corpus: v.string(),
  setting: v.string(),
  seed: v.number(),
  question: v.string(),
  prediction: v.string(),
  answers: v.array(v.string()),
  passages: v.record(v.string(), v.object({ title: v.string(), text: v.string(), gold: v.boolean() })),
  type: v.nullable(v.string()),
  selection: v.nullable(v.string()),
  steps: v.array(v.looseObject({ t: v.number(), kind: v.string() })),
  scores: v.looseObject({
    em: bit, f1: v.number(), acc: bit, accSubstring: bit, emFolded: bit, words: v.number(),
    recall5: nullableNumber, recall10: nullableNumber, all5: nullableBit, all10: nullableBit, hit5: nullableBit,
    trajectory: nullableNumber, allTrajectory: nullableBit, trajectory5: nullableNumber, curated: nullableNumber, dropped: nullableNumber,
    quotes: v.number(), quoteValidity: nullableNumber, bySearch: v.array(v.number()), noveltyBySearch: v.array(v.number()), goodQueries: v.array(v.boolean()),
    steps: v.array(v.object({ gain: v.number(), redundancy: v.number(), reward: v.number() })), stepAnswers: v.array(v.number()), caf: v.number(),
    obeyed: v.nullable(v.boolean()), failure: v.picklist(failureClasses),
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
  readonly split: string;
  readonly backend: string | null;
  readonly quant: string | null;
  readonly embedder: string | null;
  readonly temperature: number;
  readonly maxTurns: number;
  readonly k: number;
  readonly sample: number;
  readonly env: Readonly<Record<string, string | number | boolean | null>>;
}

/** One evaluation cell on one set of questions. Values of `agg` are [mean, low, high]. */
export interface RunRecord {
  readonly kind: 'run';
  readonly runId: string;
  readonly method: string;
  readonly model: string | null;
  readonly backend: string | null;
  readonly quant: string | null;
  readonly dataset: string;
  readonly split: string;
  readonly setting: string;
  readonly seed: number;
  /** `ids`: SHA-256 of the question ids, sorted, one a line. */
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

/** `items`: of one cell and data set. */
export function runRecordOf(items: readonly ItemRecord[], agg: RunRecord['agg'], settings: RunSettings, idsHash: string): RunRecord | null {
  const [first] = items;
  if (first === undefined) return null;
  return {
    kind: 'run',
    runId: settings.runId,
    method: first.method,
    model: first.model,
    backend: settings.backend,
    quant: settings.quant,
    dataset: first.dataset,
    split: settings.split,
    setting: first.setting,
    seed: first.seed,
    subset: { n: items.length, seed: settings.sample, ids: `sha256:${idsHash}` },
    corpus: first.corpus,
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
