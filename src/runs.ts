/**
 * Runs of a searcher: starts a method over a question, keeps its events and finished calls in the log on this device, takes a run up again that a closed page broke
 * off, and goes on from a run that the person changed. One run at a time in a page; a run that goes on in another tab is left alone.
 */
import * as v from 'valibot';
import { decodeCachedCall, recallingLlm, type CachedCall, type CallCache } from './agent/calls.ts';
import type { AgentEvent, Plan } from './agent/events.ts';
import { editedPlan, type Revision } from './agent/edits.ts';
import { decodeEvents } from './agent/event-log.ts';
import type { AgentDeps } from './agent/harness.ts';
import { defaultSettings, settingsOn, type AgentSettings } from './agent/settings.ts';
import { assertValid } from './agent/plan.ts';
import type { AskOptions, BrokenRun, History, Run } from './api.ts';
import type { Retriever } from './corpus/retriever.ts';
import type { CorpusWorkerApi } from './corpus/worker-api.ts';
import type { Host } from './engine/host.ts';
import type { Llm } from './engine/llm.ts';
import { abortError, AppError, toWire } from './errors.ts';
import type { Adapter } from './learning/adapter.ts';
import { learnedOf, type PartValues } from './learning/parts.ts';
import { effectOf, type Profile } from './learning/profile.ts';

export interface RunsOptions {
  readonly corpus: Pick<Host<CorpusWorkerApi>, 'call'>;
  /** The library's search with a learned adapter over query vectors; null: as they are. */
  readonly retrieverWith: (adapter: Adapter | null) => Retriever;
  /** What was learned on this device and is switched on, and the person's profile. */
  readonly learned: () => Promise<{ readonly values: Partial<PartValues>; readonly profile: Profile | null }>;
  readonly liveLlm: () => Llm | null;
  /** A second model that plans and writes queries; null: one model does both. */
  readonly livePlanner: () => Llm | null;
  /** Called when a method is about to use the engine. */
  readonly onStart: (method: string) => void;
  /** Milliseconds since 1970, for the history. */
  readonly today: () => number;
  /** null: there are none, and nothing is known of other tabs. */
  readonly locks: Pick<LockManager, 'request'> | null;
}

export interface Runs {
  readonly ask: (question: string, options?: AskOptions) => Run;
  readonly resume: (id: string) => Run;
  readonly history: History;
  /** Takes the one place for runs until the returned function is called; throws `run/busy`. */
  readonly occupy: () => () => void;
}

const lockName = (id: string): string => `foray-run-${id}`;

/** What is stored of the options, so that the run goes on as it was begun. */
type StoredOptions = Omit<AskOptions, 'planPauseMs' | 'completions' | 'experiment' | 'retriever'> & { readonly holdsPlan: boolean };
const storedOptions = v.object({
  method: v.optional(v.string()),
  seed: v.optional(v.number()),
  corpora: v.optional(v.array(v.string())),
  table: v.optional(v.object({ columns: v.array(v.string()), rows: v.array(v.string()) })),
  settings: v.optional(v.record(v.string(), v.unknown())),
  holdsPlan: v.fallback(v.boolean(), false),
});

/** Settings of another version are taken field by field, where they are of the kind that is expected now. */
function knownSettings(values: Readonly<Record<string, unknown>>): Partial<AgentSettings> {
  const fits = (value: unknown, model: unknown): boolean =>
    Array.isArray(model) ? Array.isArray(value) && value.every((item) => typeof item === typeof model[0]) : typeof value === typeof model && (typeof value !== 'number' || Number.isFinite(value));
  return Object.fromEntries(Object.entries(defaultSettings).flatMap(([name, model]) => (fits(values[name], model) ? [[name, values[name]]] : [])));
}

interface EarlierRun {
  readonly events: readonly AgentEvent[];
  readonly calls: ReadonlyMap<string, CachedCall>;
  readonly options: StoredOptions;
}

export function createRuns(options: RunsOptions): Runs {
  const { corpus, locks } = options;
  let running: string | null = null;

  async function earlierRun(id: string): Promise<EarlierRun | null> {
    const [rows, calls] = await Promise.all([corpus.call('run', { id }), corpus.call('calls', { run: id })]);
    if (rows === null) return null;
    const events = decodeEvents(rows);
    const parsed = v.safeParse(storedOptions, (rows[0] as unknown as { readonly options?: unknown } | undefined)?.options ?? {});
    const { method, seed, corpora, table, settings, holdsPlan } = parsed.success ? parsed.output : { holdsPlan: false };
    const revision = revisionOf(events);
    const began = events[0]?.kind === 'runStarted' ? events[0] : undefined;
    return {
      events,
      calls: decodeCalls(calls),
      options: {
        holdsPlan,
        ...(began === undefined ? {} : { method: method ?? began.method }),
        ...(seed === undefined ? {} : { seed }),
        ...(corpora === undefined ? {} : { corpora }),
        ...(table === undefined ? {} : { table }),
        ...(settings === undefined ? {} : { settings: knownSettings(settings) }),
        ...(revision === null ? {} : { revision }),
      },
    };
  }

  function start(id: string, question: string, given: AskOptions, isResumed: boolean): Run {
    const controller = new AbortController();
    const { signal } = controller;
    const hold = createPlanHold();
    let reused = 0;

    async function* events(): AsyncGenerator<AgentEvent, void, undefined> {
      const fail = (error: AppError): AgentEvent => ({
        runId: id, seq: 0, atMs: 0, kind: 'runFailed', error: toWire(error),
        cost: { llmCalls: 0, promptTokens: 0, cachedTokens: 0, outputTokens: 0, searches: 0, wallMs: 0, overheadMs: 0 },
      });
      if (running !== null) {
        yield fail(new AppError('run/busy'));
        return;
      }
      running = id;
      const free = await claim(locks, lockName(id));
      try {
        const source = isResumed ? id : (given.revision?.from ?? null);
        const earlier = source === null ? null : await earlierRun(source);
        if (source !== null && earlier === null) {
          yield fail(new AppError('run/gone'));
          return;
        }
        const asked: AskOptions = isResumed
          ? { ...earlier?.options, ...(earlier?.options.holdsPlan === true ? { planPauseMs: Infinity } : {}) }
          : { ...earlier?.options, ...given, settings: { ...earlier?.options.settings, ...given.settings } };
        const began = isResumed ? earlier?.events.find((event) => event.kind === 'runStarted') : undefined;
        const text = began?.kind === 'runStarted' ? began.question : question;
        const llm = options.liveLlm();
        // The methods come with the first question: the first screen needs none of them.
        const [{ methodById }, { runMethod }] = await Promise.all([import('./agent/methods/registry.ts'), import('./agent/harness.ts')]);
        const method = methodById(asked.method ?? (llm === null ? 'extractive' : 'foray'));
        if (method === undefined) {
          yield fail(new AppError('run/unknown-method', { method: asked.method ?? '' }));
          return;
        }
        options.onStart(method.id);
        hold.begin(text, asked.planPauseMs ?? 0);
        const calls = storedCalls(corpus, id, earlier?.calls ?? new Map(), () => reused++);
        const planner = options.livePlanner();
        const { completions, experiment } = given;
        const { values, profile } = await options.learned();
        const base = settingsOn(llm?.info.device ?? null);
        const effect = effectOf(profile, base);
        const deps: AgentDeps = {
          llm: llm === null || completions === undefined ? llm : recallingLlm(llm, completions),
          ...(planner === null ? {} : { planner }),
          retriever: given.retriever ?? options.retrieverWith(values.adapter ?? null),
          now: () => performance.now(),
          // What was asked for in so many words goes before what the profile says.
          settings: { ...base, ...effect?.settings, ...(asked.seed === undefined ? {} : { seed: asked.seed }), ...asked.settings },
          learned: learnedOf(values),
          ...(effect === null ? {} : { profileNotice: effect.notice }),
          ...(effect === null || effect.terms.length === 0 ? {} : { profileTerms: effect.terms }),
          calls,
          ...(asked.corpora === undefined ? {} : { corpora: asked.corpora }),
          ...(asked.table === undefined ? {} : { table: asked.table }),
          ...(hold.pauseMs > 0 && editedPlan(asked.revision) === null ? { holdPlan: hold.hold } : {}),
          ...(asked.revision === undefined ? {} : { revision: asked.revision }),
        };
        const told = isResumed ? (earlier?.events ?? []) : [];
        for (const event of told) yield event;
        const { planPauseMs: _, revision: __, completions: _c, experiment: _e, retriever: _r, ...rest } = asked;
        const changed = experiment === undefined ? deps : (await import('./lab/experiment.ts')).withExperiment(deps, experiment);
        const kept: StoredOptions = { ...rest, method: method.id, holdsPlan: hold.pauseMs > 0 };
        yield* record(id, text, kept, runMethod(id, text, method, changed, signal, told));
      } finally {
        running = null;
        free();
      }
    }

    return {
      id,
      events: events(),
      stop: () => controller.abort(abortError()),
      editPlan: (plan) => hold.edit(plan),
      approvePlan: () => hold.approve(),
      reusedCalls: () => reused,
    };
  }

  /** Passes the events through and keeps them in the log, so that the run can be opened again, or gone on with, after the page was closed. */
  async function* record(id: string, label: string, stored: StoredOptions, source: AsyncIterable<AgentEvent>): AsyncGenerator<AgentEvent, void, undefined> {
    const startedAt = options.today();
    let batch: AgentEvent[] = [];
    let writable = true;
    const flush = async (): Promise<void> => {
      const toWrite = batch.map((event) => (event.kind === 'runStarted' ? { ...event, options: stored } : event));
      batch = [];
      if (!writable || toWrite.length === 0) return;
      try {
        await corpus.call('appendRun', { id, label: label.slice(0, 200), startedAt, events: toWrite });
      } catch (error) {
        if (!(error instanceof AppError)) throw error;
        // Without room the session goes on in memory; the library's notice tells it (FAULTS S2).
        writable = false;
      }
    };
    let lastWrite = performance.now();
    for await (const event of source) {
      if (event.kind !== 'answerDelta') batch.push(event);
      yield event;
      // The beginning is written at once: a run can only be taken up again if the log knows of it.
      if (event.kind === 'runStarted' || performance.now() - lastWrite > 2000) {
        lastWrite = performance.now();
        await flush();
      }
    }
    await flush();
  }

  const history: History = {
    list: () => corpus.call('runs', undefined),
    async events(id) {
      const stored = await corpus.call('run', { id });
      return stored === null ? null : decodeEvents(stored);
    },
    remove: (id) => corpus.call('deleteRun', { id }),
    async broken() {
      const [newest] = await corpus.call('runs', undefined);
      if (newest === undefined || newest.id === running) return null;
      // A page that was just reloaded may still be letting go of its run; one that is alive does not.
      let free = await claim(locks, lockName(newest.id), true);
      for (let tries = 0; free === null && tries < 4; tries++) {
        await new Promise((resolve) => setTimeout(resolve, 400));
        free = await claim(locks, lockName(newest.id), true);
      }
      if (free === null) return null;
      free();
      const earlier = await earlierRun(newest.id);
      return earlier === null ? null : brokenRun(newest.id, earlier);
    },
    async close(id) {
      const rows = await corpus.call('run', { id });
      const last = rows?.at(-1);
      if (last === undefined) return;
      const cost = { llmCalls: 0, promptTokens: 0, cachedTokens: 0, outputTokens: 0, searches: 0, wallMs: 0, overheadMs: 0 };
      const event: AgentEvent = { runId: id, seq: last.seq + 1, atMs: 0, kind: 'runFinished', stop: 'user', cost };
      await corpus.call('appendRun', { id, label: '', startedAt: 0, events: [event] });
    },
  };

  return {
    ask: (question, askOptions = {}) => start(crypto.randomUUID(), question, askOptions, false),
    resume: (id) => start(id, '', {}, true),
    history,
    occupy() {
      if (running !== null) throw new AppError('run/busy');
      const mine = `learning-${crypto.randomUUID()}`;
      running = mine;
      return () => {
        if (running === mine) running = null;
      };
    },
  };
}

function brokenRun(id: string, { events, options: { holdsPlan } }: EarlierRun): BrokenRun | null {
  const [first] = events;
  const last = events.at(-1);
  if (first?.kind !== 'runStarted' || last === undefined || last.kind === 'runFinished' || last.kind === 'runFailed') return null;
  return { id, question: first.question, method: first.method, model: first.model, holdsPlan, usedDense: events.some((event) => event.kind === 'searched' && event.usedDense) };
}

/** The edits that a run was begun with. */
function revisionOf(events: readonly AgentEvent[]): Revision | null {
  const edited = events.filter((event) => event.kind === 'edited');
  const [first] = edited;
  return first === undefined ? null : { from: first.from, edits: edited.map((event) => event.edit) };
}

function decodeCalls(rows: readonly unknown[]): ReadonlyMap<string, CachedCall> {
  const calls = new Map<string, CachedCall>();
  for (const row of rows) {
    const { key, call } = (row ?? {}) as { readonly key?: unknown; readonly call?: unknown };
    const decoded = typeof key === 'string' ? decodeCachedCall(call) : null;
    if (typeof key === 'string' && decoded !== null) calls.set(key, decoded);
  }
  return calls;
}

/** Calls of this run, over those of the run that it goes on from. What is used from there is stored with this run as well, so that each run is whole by itself. */
function storedCalls(corpus: RunsOptions['corpus'], run: string, earlier: ReadonlyMap<string, CachedCall>, onReuse: () => void): CallCache {
  const own = new Map<string, CachedCall>();
  let writable = true;
  const cache: CallCache = {
    async get(key) {
      const here = own.get(key);
      if (here !== undefined) return here;
      const before = earlier.get(key);
      if (before === undefined) return null;
      if (before.kind === 'generate' || before.kind === 'score') onReuse();
      await cache.put(key, before);
      return before;
    },
    async put(key, call) {
      own.set(key, call);
      if (!writable) return;
      try {
        await corpus.call('saveCall', { run, key, call });
      } catch (error) {
        if (!(error instanceof AppError)) throw error;
        // The run goes on without; after a reload it begins anew.
        writable = false;
      }
    },
  };
  return cache;
}

type Locks = RunsOptions['locks'];

/** Holds a lock until the returned function is called. `ifFree`: null where another page holds it. Without locks nothing is held and nothing is waited for. */
function claim(locks: Locks, name: string): Promise<() => void>;
function claim(locks: Locks, name: string, ifFree: true): Promise<(() => void) | null>;
async function claim(locks: Locks, name: string, ifFree = false): Promise<(() => void) | null> {
  if (locks === null) return () => {};
  return new Promise((resolve, reject) => {
    locks
      .request(name, { ifAvailable: ifFree }, (lock) => {
        if (lock === null && ifFree) {
          resolve(null);
          return undefined;
        }
        return new Promise<void>((free) => resolve(free));
      })
      .catch(reject);
  });
}

interface PlanHold {
  readonly pauseMs: number;
  readonly hold: (plan: Plan, signal: AbortSignal) => Promise<Plan>;
  begin(question: string, pauseMs: number): void;
  edit(plan: Plan): void;
  approve(): void;
}

/** Holds a proposed plan until it is approved, the pause is over, or the run is stopped. An edit restarts nothing: it replaces what will run. */
function createPlanHold(): PlanHold {
  let question = '';
  let pauseMs = 0;
  let current: Plan | null = null;
  let release: (() => void) | null = null;
  return {
    get pauseMs() {
      return pauseMs;
    },
    begin(text, ms) {
      question = text;
      pauseMs = ms;
    },
    async hold(plan, signal) {
      current = plan;
      await new Promise<void>((resolve, reject) => {
        const stop = (): void => reject(abortError());
        if (signal.aborted) stop();
        signal.addEventListener('abort', stop, { once: true });
        const timer = Number.isFinite(pauseMs) ? setTimeout(resolve, pauseMs) : undefined;
        release = () => {
          clearTimeout(timer);
          signal.removeEventListener('abort', stop);
          resolve();
        };
      });
      release = null;
      return current;
    },
    edit(plan) {
      if (release === null) throw new AppError('run/plan-invalid', { reason: 'the plan is not waiting for changes' });
      const edited: Plan = { ...plan, source: 'edited' };
      assertValid(edited, question);
      current = edited;
    },
    approve() {
      release?.();
    },
  };
}
