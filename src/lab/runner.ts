/**
 * Runs cells over questions. Pure: questions are asked through a function, items go out through another, the clock comes in.
 * Promises: a question that fails counts as failed and the run goes on; an item that is finished already is not asked again; none is asked twice.
 */
import type { AgentEvent } from '../agent/events.ts';
import { AppError, abortError, isAbort, toWire } from '../errors.ts';
import type { Question } from './datasets.ts';
import { experimentFor, wordingOf, type Experiment } from './experiment.ts';
import { itemOf } from './item.ts';
import type { Cell } from './matrix.ts';
import { itemKey, type ItemRecord } from './record.ts';

export interface Task {
  readonly question: Question;
  readonly cell: Cell;
}

/** A task as it is carried out. */
export interface Request extends Task {
  /** The question as the setting words it. */
  readonly text: string;
  /** null: nothing is changed about the run. */
  readonly experiment: Experiment | null;
}

/**
 * Runs one question; may throw (the page was lost), and then the item counts as failed. `signal` ends it early; what it yields until then is kept.
 * `worker`: number of the page or process that does it, from 0; one has only one request at a time.
 */
export type Ask = (request: Request, worker: number, signal: AbortSignal) => AsyncIterable<AgentEvent>;

export interface LabProgress {
  readonly done: number;
  readonly total: number;
  readonly failed: number;
  /** From the mean time of this session's items, method by method; null before each method has one. */
  readonly secondsLeft: number | null;
  readonly last: ItemRecord;
}

export interface LabOptions {
  /** In order; items are returned in the same order. */
  readonly tasks: readonly Task[];
  readonly model: string | null;
  readonly ask: Ask;
  /** How many are asked at once. Default 1. */
  readonly workers?: number;
  /** A question that takes longer fails with `lab/timeout`. Default: no limit. */
  readonly itemSeconds?: number;
  /** A question that uses up more prompt and output tokens fails with `lab/over-budget`. */
  readonly itemTokens?: number;
  /** Items of an earlier, broken run. */
  readonly done?: readonly ItemRecord[];
  /** Called for every new item; the worker waits for it, so that a finished item is on disk before it begins the next. */
  readonly onItem: (item: ItemRecord) => Promise<void> | void;
  readonly onProgress?: (progress: LabProgress) => void;
  /** Milliseconds, monotonic. */
  readonly now: () => number;
}

/**
 * The tasks of cells × questions, question by question, so that a run that is cut short still compares the same questions. Cells that ask for gold which
 * a question lacks leave it out.
 */
export function tasksOf(questions: readonly Question[], cells: readonly Cell[]): Task[] {
  return questions.flatMap((question) => cells.filter((cell) => experimentFor(question, cell.setting.experiment,
    cell.seed) !== null).map((cell) => ({ question, cell })));
}

/** The key that the item of a task will have. */
export function taskKey({ question, cell }: Task): string {
  return itemKey({ dataset: question.dataset, qid: question.id, llm: cell.llm, corpus: cell.corpus, setting: cell.setting.name, method: cell.method, seed: cell.seed });
}

/** All items of the tasks, earlier ones included. Rejects only when `signal` is aborted or `onItem` rejects. */
export async function runLab(options: LabOptions, signal: AbortSignal): Promise<ItemRecord[]> {
  const earlier = new Map((options.done ?? []).map((item) => [itemKey(item), item]));
  const tasks = options.tasks.map((task) => ({ task, key: taskKey(task) }));
  const finished = new Map(tasks.flatMap(({ key }) => {
    const item = earlier.get(key);
    return item === undefined ? [] : [[key, item] as const];
  }));
  const open = tasks.filter(({ key }) => !finished.has(key));
  const waiting = new Map<string, number>();
  for (const { task } of open) waiting.set(task.cell.method, (waiting.get(task.cell.method) ?? 0) + 1);
  const times = new Map<string, { sum: number; n: number }>();
  const workers = Math.max(1, options.workers ?? 1);
  let failed = [...finished.values()].filter((item) => item.error !== null).length;
  let next = 0;
  // One worker that cannot go on (the disk is full) ends all.
  const stop = new AbortController();
  const all = AbortSignal.any([signal, stop.signal]);

  async function work(worker: number): Promise<void> {
    for (let entry = open[next++]; entry !== undefined; entry = open[next++]) {
      all.throwIfAborted();
      const { task, key } = entry;
      const started = options.now();
      const item = await runItem(task, worker, options, all);
      await options.onItem(item);
      finished.set(key, item);
      if (item.error !== null) failed++;
      const { method } = task.cell;
      const time = times.get(method) ?? { sum: 0, n: 0 };
      times.set(method, { sum: time.sum + options.now() - started, n: time.n + 1 });
      waiting.set(method, (waiting.get(method) ?? 1) - 1);
      options.onProgress?.({ done: finished.size, total: tasks.length, failed, secondsLeft: secondsLeft(waiting, times, workers), last: item });
    }
  }

  const working = Array.from({ length: workers }, (_, worker) =>
    work(worker).catch((error: unknown) => {
      stop.abort(abortError());
      throw error;
    }),
  );
  const outcomes = await Promise.allSettled(working);
  signal.throwIfAborted();
  const broken = outcomes.filter((outcome) => outcome.status === 'rejected').map(({ reason }) => reason as unknown);
  if (broken.length > 0) throw broken.find((reason) => !isAbort(reason)) ?? broken[0];
  return tasks.flatMap(({ key }) => finished.get(key) ?? []);
}

async function runItem(task: Task, worker: number, options: LabOptions, signal: AbortSignal): Promise<ItemRecord> {
  const { question, cell } = task;
  const { itemSeconds: seconds, itemTokens: tokens } = options;
  const text = wordingOf(question.question, cell.setting.experiment.paraphrase);
  const late = seconds === undefined ? null : AbortSignal.timeout(seconds * 1000);
  const spent = new AbortController();
  const events: AgentEvent[] = [];
  let used = 0;
  let failure: AppError | null = null;
  const itemSignal = AbortSignal.any([signal, spent.signal, ...(late === null ? [] : [late])]);
  const isPlain = Object.values(cell.setting.experiment).every((value) => value === undefined);
  try {
    const experiment = isPlain ? null : experimentFor(question, cell.setting.experiment, cell.seed);
    for await (const event of options.ask({ ...task, text, experiment }, worker, itemSignal)) {
      events.push(event);
      if (event.kind === 'llmCalled') used += event.promptTokens + event.outputTokens;
      if (tokens !== undefined && used > tokens && !spent.signal.aborted) spent.abort(abortError());
    }
  } catch (error) {
    signal.throwIfAborted();
    if (!isAbort(error) || !itemSignal.aborted) failure = error instanceof AppError ? error : new AppError('lab/page-lost', { reason: reasonOf(error) });
  }
  signal.throwIfAborted();
  if (events.at(-1)?.kind !== 'runFailed') {
    if (late?.aborted === true) failure = new AppError('lab/timeout', { seconds: seconds ?? 0 });
    else if (spent.signal.aborted) failure = new AppError('lab/over-budget', { tokens: tokens ?? 0 });
  }
  return itemOf(question, { cell, model: options.model, asked: text }, events, failure === null ? null : toWire(failure));
}

function reasonOf(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split('\n', 1)[0] ?? '';
}

function secondsLeft(waiting: ReadonlyMap<string, number>, times: ReadonlyMap<string, { sum: number; n: number }>, workers: number): number | null {
  let ms = 0;
  for (const [method, count] of waiting) {
    if (count === 0) continue;
    const time = times.get(method);
    if (time === undefined) return null;
    ms += (count * time.sum) / time.n;
  }
  return ms / 1000 / workers;
}
