/**
 * Runs methods over questions and sums up. Pure: questions are asked through a function, items go out through another, the clock comes in.
 * Promises: a question that fails counts as failed and the run goes on; an item that is finished already is not asked again; items leave in order.
 */
import type { AgentEvent } from '../agent/events.ts';
import { AppError, isAbort, toWire } from '../errors.ts';
import type { Question } from './datasets.ts';
import { itemKey, itemOf, type ItemRecord, type RunRecord } from './record.ts';
import { bootstrapMean, defaultResamples, defaultSeed, holm, mcNemarExact, mean, pairedBootstrap, pairedPermutation, wilson, type Interval, type ResampleOptions } from './statistics.ts';

/** Runs one question; may throw (the page was lost), and then the item counts as failed. `signal` ends it early; what it yields until then is kept. */
export type Ask = (question: Question, method: string, seed: number, signal: AbortSignal) => AsyncIterable<AgentEvent>;

export interface LabProgress {
  readonly done: number;
  readonly total: number;
  readonly failed: number;
  /** From the mean time of this session's items, method by method; null before each method has one. */
  readonly secondsLeft: number | null;
  readonly last: ItemRecord;
}

export interface LabOptions {
  readonly questions: readonly Question[];
  readonly methods: readonly string[];
  readonly seed: number;
  readonly model: string | null;
  readonly corpus: string;
  readonly ask: Ask;
  /** A question that takes longer fails with `lab/timeout`. Default: no limit. */
  readonly itemSeconds?: number;
  /** Items of an earlier, broken run. */
  readonly done?: readonly ItemRecord[];
  /** Called for every new item; the run waits for it, so that a finished item is on disk before the next begins. */
  readonly onItem: (item: ItemRecord) => Promise<void> | void;
  readonly onProgress?: (progress: LabProgress) => void;
  /** Milliseconds, monotonic. */
  readonly now: () => number;
}

/** All items of `questions` × `methods`, earlier ones included, in the order of questions, then methods. Rejects only when `signal` is aborted or `onItem` rejects. */
export async function runLab(options: LabOptions, signal: AbortSignal): Promise<ItemRecord[]> {
  const { questions, methods, seed } = options;
  const earlier = new Map((options.done ?? []).map((item) => [itemKey(item), item]));
  const items: ItemRecord[] = [];
  const times = new Map<string, { sum: number; n: number }>();
  const waiting = new Map<string, number>();
  const todo = questions.flatMap((question) => methods.map((method) => ({ question, method, key: itemKey({ method, seed, qid: question.id }) })));
  for (const { method, key } of todo) if (!earlier.has(key)) waiting.set(method, (waiting.get(method) ?? 0) + 1);

  let failed = 0;
  for (const { question, method, key } of todo) {
    const known = earlier.get(key);
    if (known !== undefined) {
      items.push(known);
      if (known.error !== null) failed++;
      continue;
    }
    signal.throwIfAborted();
    const started = options.now();
    const item = await runItem(question, method, options, signal);
    await options.onItem(item);
    items.push(item);
    if (item.error !== null) failed++;
    const time = times.get(method) ?? { sum: 0, n: 0 };
    times.set(method, { sum: time.sum + options.now() - started, n: time.n + 1 });
    waiting.set(method, (waiting.get(method) ?? 1) - 1);
    options.onProgress?.({ done: items.length, total: todo.length, failed, secondsLeft: secondsLeft(waiting, times), last: item });
  }
  return items;
}

async function runItem(question: Question, method: string, options: LabOptions, signal: AbortSignal): Promise<ItemRecord> {
  const { seed, model, corpus, itemSeconds: seconds } = options;
  const late = seconds === undefined ? null : AbortSignal.timeout(seconds * 1000);
  const events: AgentEvent[] = [];
  let failure: AppError | null = null;
  try {
    for await (const event of options.ask(question, method, seed, late === null ? signal : AbortSignal.any([signal, late]))) events.push(event);
  } catch (error) {
    signal.throwIfAborted();
    if (!isAbort(error) || late?.aborted !== true) failure = error instanceof AppError ? error : new AppError('lab/page-lost', { reason: reasonOf(error) });
  }
  signal.throwIfAborted();
  if (late?.aborted === true && events.at(-1)?.kind !== 'runFailed') failure = new AppError('lab/timeout', { seconds: seconds ?? 0 });
  return itemOf(question, { seed, method, model, corpus }, events, failure === null ? null : toWire(failure));
}

function reasonOf(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split('\n', 1)[0] ?? '';
}

function secondsLeft(waiting: ReadonlyMap<string, number>, times: ReadonlyMap<string, { sum: number; n: number }>): number | null {
  let ms = 0;
  for (const [method, count] of waiting) {
    if (count === 0) continue;
    const time = times.get(method);
    if (time === undefined) return null;
    ms += (count * time.sum) / time.n;
  }
  return ms / 1000;
}

// --- Summary -------------------------------------------------------------------------------------------------------------------------------

export interface GroupSummary {
  readonly n: number;
  readonly em: number;
  readonly f1: number;
  readonly acc: number;
  readonly supportRecall: number | null;
  readonly allSupport: number | null;
  readonly intervals: { readonly em: Interval | null; readonly f1: Interval | null };
}

/** Means over questions; failed items count with scores of 0. Fractions from 0 to 1; null where nothing defines it. */
export interface MethodSummary {
  readonly n: number;
  readonly failed: number;
  readonly em: number;
  readonly f1: number;
  readonly acc: number;
  readonly accSubstring: number;
  readonly emFolded: number;
  readonly answerWords: number;
  /** Share of questions that got no answer text, failed ones left out. */
  readonly silent: number;
  /** Support recall over all that the run found, at the depth that it searched to. */
  readonly supportRecall: number | null;
  /** Over the first five passages of each search. */
  readonly supportRecall5: number | null;
  readonly allSupport: number | null;
  /** Of the first search. */
  readonly recall5: number | null;
  readonly recall10: number | null;
  readonly allSupport5: number | null;
  readonly allSupport10: number | null;
  readonly answerHit5: number | null;
  readonly curatedRecall: number | null;
  readonly foundButDropped: number | null;
  readonly quoteValidity: number | null;
  readonly quotes: number;
  readonly citations: number;
  readonly citedSentences: number | null;
  readonly supportedSentences: number | null;
  readonly repetition: number | null;
  readonly novelty: number | null;
  readonly llmCalls: number;
  readonly promptTokens: number;
  /** Share of the prompt tokens that came from the engine's prefix cache. */
  readonly cachedTokens: number;
  readonly outputTokens: number;
  readonly searches: number;
  readonly secondsPerQuestion: number;
  /** Time in neither model nor search, a step; a step is a model call or a search. */
  readonly overheadMsPerStep: number | null;
  readonly stops: Readonly<Record<string, number>>;
  readonly errors: Readonly<Record<string, number>>;
  readonly intervals: Readonly<Record<'em' | 'f1' | 'acc' | 'supportRecall' | 'secondsPerQuestion', Interval | null>>;
  /** Wilson's interval of EM, given below 50 questions. */
  readonly emWilson: Interval | null;
  readonly byType: Readonly<Record<string, GroupSummary>>;
  readonly bySelection: Readonly<Record<string, GroupSummary>>;
  readonly byHops: Readonly<Record<string, GroupSummary>>;
}

/** `a` against `b` on the questions that both worked on. Differences are a − b. */
export interface Comparison {
  readonly a: string;
  readonly b: string;
  readonly n: number;
  readonly em: { readonly difference: Interval | null; readonly onlyA: number; readonly onlyB: number; readonly mcnemar: number; readonly holm: number };
  readonly f1: { readonly difference: Interval | null; readonly permutation: number; readonly holm: number };
}

export interface Summary {
  readonly methods: Readonly<Record<string, MethodSummary>>;
  /** The first method against each other one. Holm over these comparisons, for EM and F1 apart. */
  readonly comparisons: readonly Comparison[];
  readonly statistics: { readonly resamples: number; readonly seed: number; readonly level: number };
}

export function summarise(items: readonly ItemRecord[], methods: readonly string[], options: ResampleOptions = {}): Summary {
  const byMethod = new Map(methods.map((method) => [method, items.filter((item) => item.method === method)]));
  return {
    methods: Object.fromEntries([...byMethod].filter(([, own]) => own.length > 0).map(([method, own]) => [method, summariseMethod(own, options)])),
    comparisons: compareAll(byMethod, options),
    statistics: { resamples: options.resamples ?? defaultResamples, seed: options.seed ?? defaultSeed, level: options.level ?? 0.95 },
  };
}

function summariseMethod(items: readonly ItemRecord[], options: ResampleOptions): MethodSummary {
  const over = (pick: (item: ItemRecord) => number): number => mean(items.map(pick));
  const defined = (pick: (item: ItemRecord) => number | null): number[] => items.map(pick).filter((value) => value !== null);
  const overDefined = (pick: (item: ItemRecord) => number | null): number | null => meanOrNull(defined(pick));
  const sum = (pick: (item: ItemRecord) => number): number => items.reduce((total, item) => total + pick(item), 0);
  const steps = sum(({ cost }) => cost.llmCalls + cost.searches);
  const quotes = sum(({ scores }) => scores.quotes);
  const answered = items.filter((item) => item.error === null);
  return {
    n: items.length,
    failed: items.length - answered.length,
    em: over(({ scores }) => scores.em),
    f1: over(({ scores }) => scores.f1),
    acc: over(({ scores }) => scores.acc),
    accSubstring: over(({ scores }) => scores.accSubstring),
    emFolded: over(({ scores }) => scores.emFolded),
    answerWords: over(({ scores }) => scores.words),
    silent: answered.length === 0 ? 0 : answered.filter((item) => item.scores.words === 0).length / answered.length,
    supportRecall: overDefined(({ scores }) => scores.trajectory),
    supportRecall5: overDefined(({ scores }) => scores.trajectory5),
    allSupport: overDefined(({ scores }) => scores.allTrajectory),
    recall5: overDefined(({ scores }) => scores.recall5),
    recall10: overDefined(({ scores }) => scores.recall10),
    allSupport5: overDefined(({ scores }) => scores.all5),
    allSupport10: overDefined(({ scores }) => scores.all10),
    answerHit5: overDefined(({ scores }) => scores.hit5),
    curatedRecall: overDefined(({ scores }) => scores.curated),
    foundButDropped: overDefined(({ scores }) => scores.dropped),
    quoteValidity: quotes === 0 ? null : sum(({ scores }) => (scores.quoteValidity ?? 0) * scores.quotes) / quotes,
    quotes: over(({ scores }) => scores.quotes),
    citations: over(({ scores }) => scores.citations),
    citedSentences: overDefined(({ scores }) => scores.citedSentences),
    supportedSentences: overDefined(({ scores }) => scores.supportedSentences),
    repetition: overDefined(({ scores }) => scores.repetition),
    novelty: overDefined(({ scores }) => scores.novelty),
    llmCalls: over(({ cost }) => cost.llmCalls),
    promptTokens: over(({ cost }) => cost.promptTokens),
    cachedTokens: sum(({ cost }) => cost.cachedTokens) / Math.max(1, sum(({ cost }) => cost.promptTokens)),
    outputTokens: over(({ cost }) => cost.outTokens),
    searches: over(({ cost }) => cost.searches),
    secondsPerQuestion: over(({ cost }) => cost.wallMs / 1000),
    overheadMsPerStep: steps === 0 ? null : sum(({ cost }) => cost.overheadMs) / steps,
    stops: counts(items.map((item) => item.stop)),
    errors: counts(items.flatMap((item) => (item.error === null ? [] : [item.error.code]))),
    intervals: {
      em: bootstrapMean(items.map(({ scores }) => scores.em), options),
      f1: bootstrapMean(items.map(({ scores }) => scores.f1), options),
      acc: bootstrapMean(items.map(({ scores }) => scores.acc), options),
      supportRecall: bootstrapMean(defined(({ scores }) => scores.trajectory), options),
      secondsPerQuestion: bootstrapMean(items.map(({ cost }) => cost.wallMs / 1000), options),
    },
    emWilson: items.length < 50 ? wilson(sum(({ scores }) => scores.em), items.length) : null,
    byType: groups(items, (item) => item.type, options),
    bySelection: groups(items, (item) => item.selection, options),
    byHops: groups(items, (item) => (item.hops === null ? null : String(item.hops)), options),
  };
}

function groups(items: readonly ItemRecord[], keyOf: (item: ItemRecord) => string | null, options: ResampleOptions): Record<string, GroupSummary> {
  const byKey = new Map<string, ItemRecord[]>();
  for (const item of items) {
    const key = keyOf(item);
    if (key !== null) byKey.set(key, [...(byKey.get(key) ?? []), item]);
  }
  return Object.fromEntries(
    [...byKey].sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, own]) => [
      key,
      {
        n: own.length,
        em: mean(own.map(({ scores }) => scores.em)),
        f1: mean(own.map(({ scores }) => scores.f1)),
        acc: mean(own.map(({ scores }) => scores.acc)),
        supportRecall: meanOrNull(own.map(({ scores }) => scores.trajectory).filter((value) => value !== null)),
        allSupport: meanOrNull(own.map(({ scores }) => scores.allTrajectory).filter((value) => value !== null)),
        intervals: {
          em: bootstrapMean(own.map(({ scores }) => scores.em), options),
          f1: bootstrapMean(own.map(({ scores }) => scores.f1), options),
        },
      },
    ]),
  );
}

function compareAll(byMethod: ReadonlyMap<string, readonly ItemRecord[]>, options: ResampleOptions): Comparison[] {
  const [first, ...others] = [...byMethod];
  if (first === undefined) return [];
  const [a, itemsA] = first;
  const raw = others.map(([b, itemsB]) => {
    const ofB = new Map(itemsB.map((item) => [JSON.stringify([item.seed, item.qid]), item]));
    const pairs = itemsA.flatMap((item) => {
      const other = ofB.get(JSON.stringify([item.seed, item.qid]));
      return other === undefined ? [] : [[item.scores, other.scores] as const];
    });
    const onlyA = pairs.filter(([x, y]) => x.em > y.em).length;
    const onlyB = pairs.filter(([x, y]) => x.em < y.em).length;
    const f1A = pairs.map(([x]) => x.f1);
    const f1B = pairs.map(([, y]) => y.f1);
    return {
      a, b, n: pairs.length, onlyA, onlyB,
      em: pairedBootstrap(pairs.map(([x]) => x.em), pairs.map(([, y]) => y.em), options),
      f1: pairedBootstrap(f1A, f1B, options),
      mcnemar: mcNemarExact(onlyA, onlyB),
      permutation: pairedPermutation(f1A, f1B, options),
    };
  });
  const holmEm = holm(raw.map((row) => row.mcnemar));
  const holmF1 = holm(raw.map((row) => row.permutation));
  return raw.map((row, i) => ({
    a: row.a, b: row.b, n: row.n,
    em: { difference: row.em, onlyA: row.onlyA, onlyB: row.onlyB, mcnemar: row.mcnemar, holm: holmEm[i]?.adjusted ?? 1 },
    f1: { difference: row.f1, permutation: row.permutation, holm: holmF1[i]?.adjusted ?? 1 },
  }));
}

/** The intervals that go into a run record. */
export function aggregatesOf(summary: MethodSummary): RunRecord['agg'] {
  return summary.intervals;
}

/** The one line that a benchmark run ends with. */
export function summaryLine(summary: Summary): string {
  const rows = Object.entries(summary.methods).map(([method, row]) => [
    method,
    {
      n: row.n, em: short(row.em), f1: short(row.f1), acc: short(row.acc), supportRecall: short(row.supportRecall), llmCalls: short(row.llmCalls),
      promptTokens: short(row.promptTokens), searches: short(row.searches), secondsPerQuestion: short(row.secondsPerQuestion),
    },
  ]);
  return JSON.stringify({ methods: Object.fromEntries(rows) as Record<string, unknown> });
}

function short(value: number | null): number | null {
  return value === null ? null : Number(value.toFixed(4));
}

function meanOrNull(values: readonly number[]): number | null {
  return values.length === 0 ? null : mean(values);
}

function counts(values: readonly string[]): Record<string, number> {
  const result: Record<string, number> = {};
  for (const value of values) result[value] = (result[value] ?? 0) + 1;
  return result;
}
