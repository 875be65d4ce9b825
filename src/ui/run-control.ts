/**
 * Runs as the page follows them: one is under way at most, Stop works at every moment, the last one asked for wins. Signals and calls, no markup.
 */
import { batch, computed, signal } from '@preact/signals';
import type { AgentEvent, Plan } from '../agent/events.ts';
import type { Run } from '../api.ts';
import { AppError } from '../errors.ts';
import { reduceRun, releasePlan, startRun, type RunView } from './state.ts';

/** Streaming text is rendered at most this often. */
const renderMs = 84;
/** Runs of this session that can be opened again without the store; older ones are read from it. */
const keptRuns = 40;

export interface RunControlOptions {
  /** Milliseconds, monotonic. */
  readonly now: () => number;
  readonly report: (error: unknown) => void;
  readonly onEnd: () => void;
}

export function createRunControl({ now, report, onEnd }: RunControlOptions) {
  const runs = signal<ReadonlyMap<string, RunView>>(new Map());
  const shownId = signal<string | null>(null);
  const liveId = signal<string | null>(null);
  const isStopping = signal(false);
  const elapsedMs = signal(0);
  const planError = signal<string | null>(null);
  const shown = computed(() => (shownId.value === null ? null : (runs.value.get(shownId.value) ?? null)));
  let live: { readonly run: Run; readonly question: string; readonly done: Promise<void> } | null = null;
  let asked = 0;
  /** Asked for, and not begun yet. */
  let waiting: string | null = null;

  const setRun = (run: RunView): void => {
    const next = new Map(runs.peek());
    next.delete(run.id);
    next.set(run.id, run);
    for (const id of next.keys()) {
      if (next.size <= keptRuns) break;
      if (id !== shownId.peek()) next.delete(id);
    }
    runs.value = next;
  };

  /**
   * Ends what is under way, then begins and follows the run that `make` gives; resolves at its end. `ready` is awaited first. Where another one was asked for
   * meanwhile, nothing begins.
   */
  async function begin(question: string, holdsPlan: boolean, make: () => Run, ready?: Promise<unknown>): Promise<void> {
    const turn = ++asked;
    waiting = question;
    if (live !== null) {
      stop();
      await live.done;
    }
    await ready;
    if (turn !== asked) return;
    waiting = null;
    const run = make();
    batch(() => {
      setRun(startRun(run.id, question, holdsPlan));
      shownId.value = run.id;
      liveId.value = run.id;
      isStopping.value = false;
      elapsedMs.value = 0;
      planError.value = null;
    });
    const done = follow(run);
    live = { run, question, done };
    await done;
  }

  async function follow(run: Run): Promise<void> {
    const started = now();
    const clock = setInterval(() => (elapsedMs.value = now() - started), 250);
    let unseen: AgentEvent[] = [];
    let timer: ReturnType<typeof setTimeout> | undefined;
    const render = (): void => {
      clearTimeout(timer);
      timer = undefined;
      const current = runs.peek().get(run.id);
      if (current !== undefined && unseen.length > 0) setRun({ ...unseen.reduce(reduceRun, current), reusedCalls: run.reusedCalls() });
      unseen = [];
    };
    try {
      for await (const event of run.events) {
        unseen.push(event);
        if (event.kind === 'answerDelta') timer ??= setTimeout(render, renderMs);
        else render();
      }
    } catch (error) {
      report(error);
    } finally {
      render();
      clearInterval(clock);
      const last = runs.peek().get(run.id);
      batch(() => {
        // A stream that ends without its last event (a fault of ours) must not leave a run that seems to go on.
        if (last !== undefined && last.outcome === null) setRun({ ...last, phase: 'ended', outcome: 'stopped' });
        elapsedMs.value = now() - started;
        liveId.value = null;
        isStopping.value = false;
      });
      live = null;
      onEnd();
    }
  }

  function stop(): void {
    if (live === null) return;
    isStopping.value = true;
    live.run.stop();
  }

  /** Lets the held plan run, changed or not. A plan that is refused stays open with the reason. */
  function runPlan(edited: Plan | null): void {
    const id = liveId.value;
    if (live === null || id === null) return;
    try {
      if (edited !== null) live.run.editPlan(edited);
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      planError.value = error.message;
      return;
    }
    planError.value = null;
    const run = runs.value.get(id);
    if (run !== undefined) setRun(releasePlan(run));
    live.run.approvePlan();
  }

  function forget(id: string): void {
    const next = new Map(runs.value);
    next.delete(id);
    batch(() => {
      runs.value = next;
      if (shownId.value === id) shownId.value = null;
    });
  }

  return {
    runs, shown, shownId, liveId, isStopping, elapsedMs, planError, setRun, begin, stop, runPlan, forget,
    /** The question under way that nobody has stopped; null: none. */
    liveQuestion: (): string | null => waiting ?? (live === null || isStopping.value ? null : live.question),
    isLive: (): boolean => live !== null,
  };
}
