import { describe, expect, it } from 'vitest';
import type { AgentEvent } from '../../src/agent/events.ts';
import type { CorpusWorkerApi } from '../../src/corpus/worker-api.ts';
import type { Llm } from '../../src/engine/llm.ts';
import { createRuns, type Runs } from '../../src/runs.ts';
import { createStore, type Store } from '../../src/corpus/store.ts';
import type { AskOptions } from '../../src/api.ts';
import { scriptedLlm, toyQuestion, toyRetriever, toyScript, type Script } from '../fixtures/toy.ts';

/** The part of the corpus worker that keeps runs, over a store that outlives the "page". */
function host(store: Store) {
  const api: Partial<CorpusWorkerApi> = {
    appendRun: ({ id, label, startedAt, events }) => store.appendRun({ id, label, startedAt }, structuredClone(events)),
    runs: () => store.runs(),
    run: ({ id }) => store.run(id),
    deleteRun: ({ id }) => store.deleteRun(id),
    saveCall: ({ run, key, call }) => store.saveCall(run, key, structuredClone(call)),
    calls: ({ run }) => store.calls(run),
  };
  const call = async (name: keyof CorpusWorkerApi, input: never): Promise<unknown> => {
    const found = api[name] as ((input: never) => Promise<unknown>) | undefined;
    if (found === undefined) throw new Error(`${name} is not expected here`);
    return found(input);
  };
  return { call: call as never };
}

const nothingLearned = async () => ({ values: {}, profile: null });

type Counted = Llm & { readonly requests: readonly unknown[] };

function page(store: Store, llm: Counted | null = scriptedLlm(toyScript)): Runs & { llm: Counted | null } {
  const runs = createRuns({ corpus: host(store), retrieverWith: () => toyRetriever(), learned: nothingLearned, liveLlm: () => llm, livePlanner: () => null, onStart: () => {}, today: () => 1, locks: null });
  return { ...runs, llm };
}

const newStore = (): Store => createStore({ indexedDB: null });

async function all(source: AsyncIterable<AgentEvent>): Promise<AgentEvent[]> {
  const events: AgentEvent[] = [];
  for await (const event of source) events.push(event);
  return events;
}

/** What is left when the page is closed: no more events are taken, nothing is told to the run. */
async function until(source: AsyncIterable<AgentEvent>, isLast: (event: AgentEvent) => boolean): Promise<void> {
  for await (const event of source) if (isLast(event)) return new Promise(() => {}).then(() => {});
}

/** The model never answers what matches: the page is closed while it waits. */
const hanging = (pattern: RegExp): Script => (request, call, last) => (pattern.test(last) ? new Promise<string>(() => {}) : toyScript(request, call, last));

const answerOf = (events: readonly AgentEvent[]) => events.flatMap((event) => (event.kind === 'answerFinished' ? [event.answer] : []))[0];
const searchedBy = (events: readonly AgentEvent[], node: number): string[] => events.flatMap((event) => (event.kind === 'searched' && event.node === node ? [event.query] : []));
const asks = (question: RegExp) => (request: unknown): boolean => {
  const { messages } = request as { readonly messages: readonly { readonly content: string }[] };
  return question.test(messages.at(-1)?.content ?? '');
};

/** In any turn: a conversation that goes on is the same list of messages. */
const asksAnywhere = (turn: RegExp) => (request: unknown): boolean => (request as { readonly messages: readonly { readonly content: string }[] }).messages.some(({ content }) => turn.test(content));

/** A run of the whole question, and the page on which it was broken off before the third step was read. */
async function brokenOff(store: Store, options: AskOptions = {}): Promise<{ readonly id: string; readonly llm: Counted }> {
  const before = page(store, scriptedLlm(hanging(/river is Teshmoor/)));
  const run = before.ask(toyQuestion, options);
  void until(run.events, (event) => event.kind === 'runFinished');
  const deadline = Date.now() + 5000;
  while (Date.now() < deadline && !before.llm!.requests.some(asks(/river is Teshmoor/))) await new Promise((resolve) => setTimeout(resolve, 5));
  // Whatever was finished by then is safe in the store.
  await new Promise((resolve) => setTimeout(resolve, 30));
  return { id: run.id, llm: before.llm! };
}

describe('a run that was broken off', () => {
  it('is found on the next visit, goes on to the same answer, and repeats no finished call', async () => {
    const whole = page(newStore());
    const expected = await all(whole.ask(toyQuestion).events);

    const store = newStore();
    const { id, llm } = await brokenOff(store);
    const after = page(store);
    expect(await after.history.broken()).toMatchObject({ id, question: toyQuestion, method: 'foray', model: 'scripted', usedDense: false });
    const run = after.resume(id);
    const events = await all(run.events);
    expect(run.id).toBe(id);
    expect(answerOf(events)).toEqual(answerOf(expected));
    // The one that hung was not finished.
    expect(llm.requests.length - 1 + after.llm!.requests.length).toBe(whole.llm!.requests.length);
    expect(run.reusedCalls()).toBe(llm.requests.length - 1);
    expect(events.map((event) => event.seq)).toEqual([...events.map((event) => event.seq)].sort((a, b) => a - b));
    expect(events.filter((event) => event.kind === 'runStarted')).toHaveLength(1);

    expect(await after.history.broken()).toBeNull();
    expect(answerOf((await after.history.events(id)) ?? [])).toEqual(answerOf(expected));
    expect(await after.history.list()).toHaveLength(1);
  });

  it('goes on with the settings and the method that it was begun with', async () => {
    const store = newStore();
    const { id } = await brokenOff(store, { method: 'foray', settings: { retrieve: 7 } });
    const retriever = toyRetriever();
    const asked: number[] = [];
    const runs = createRuns({
      corpus: host(store), liveLlm: () => scriptedLlm(() => '{"sentence":0,"answer":""}'), livePlanner: () => null, onStart: () => {}, today: () => 1, locks: null,
      retrieverWith: () => ({ ...retriever, search: (request, signal) => (asked.push(request.k), retriever.search(request, signal)) }), learned: nothingLearned,
    });
    await all(runs.resume(id).events);
    expect(asked.length).toBeGreaterThan(0);
    expect(new Set(asked)).toEqual(new Set([7]));
  });

  it('is not offered again once the person ended it', async () => {
    const store = newStore();
    const { id } = await brokenOff(store);
    const after = page(store);
    await after.history.close(id);
    expect(await after.history.broken()).toBeNull();
    expect((await after.history.events(id))?.at(-1)).toMatchObject({ kind: 'runFinished', stop: 'user' });
  });

  it('is left alone while it goes on in another tab', async () => {
    const store = newStore();
    await brokenOff(store);
    const held = { request: async (_name: string, _options: unknown, work: (lock: null) => unknown) => work(null) } as unknown as LockManager;
    const other = createRuns({ corpus: host(store), retrieverWith: () => toyRetriever(), learned: nothingLearned, liveLlm: () => null, livePlanner: () => null, onStart: () => {}, today: () => 1, locks: held });
    expect(await other.history.broken()).toBeNull();
  });
});

describe('a run that the person changed', () => {
  it('works out anew what the change reaches', async () => {
    const store = newStore();
    const first = page(store);
    const before = await all(first.ask(toyQuestion).events);
    const from = before[0]?.runId ?? '';

    const second = page(store);
    const run = second.ask(toyQuestion, { revision: { from, edits: [{ stage: 'sub-answer', node: 2, before: 'Teshmoor', after: 'Karr' }] } });
    const events = await all(run.events);
    expect(run.id).not.toBe(from);
    expect(searchedBy(events, 1)).toEqual(searchedBy(before, 1));
    expect(searchedBy(events, 2)).toEqual([]);
    expect(second.llm!.requests.some(asks(/river is Karr/))).toBe(true);
    expect(second.llm!.requests.some(asksAnywhere(/river is Teshmoor/))).toBe(false);
    expect(answerOf((await second.history.events(from)) ?? [])).toEqual(answerOf(before));
  });

  it('takes over what the change does not reach', async () => {
    const store = newStore();
    const before = await all(page(store).ask(toyQuestion).events);
    const second = page(store);
    const [query] = searchedBy(before, 1);
    const edit = { stage: 'query', node: 1, before: query ?? '', after: 'founder of Vale Glassworks' } as const;
    const run = second.ask(toyQuestion, { revision: { from: before[0]?.runId ?? '', edits: [edit] } });
    const events = await all(run.events);
    expect(searchedBy(events, 1)).toEqual(['founder of Vale Glassworks']);
    expect(answerOf(events)?.short).toBe('Isk');
    expect(run.reusedCalls()).toBeGreaterThanOrEqual(1);
    expect(second.llm!.requests.some(asksAnywhere(/river is Teshmoor/))).toBe(false);
  });

  it('asks the model nothing where nothing changes for it', async () => {
    const store = newStore();
    const [started] = await all(page(store).ask(toyQuestion).events);
    const again = page(store);
    const events = await all(again.ask(toyQuestion, { revision: { from: started?.runId ?? '', edits: [] } }).events);
    expect(answerOf(events)?.short).toBe('Isk');
    expect(again.llm!.requests).toEqual([]);
    // Each run is whole by itself: the one it came from may be deleted.
    await again.history.remove(started?.runId ?? '');
    const third = page(store);
    expect(answerOf(await all(third.ask(toyQuestion, { revision: { from: events[0]?.runId ?? '', edits: [] } }).events))?.short).toBe('Isk');
    expect(third.llm!.requests).toEqual([]);
  });

  it('of a run that is gone fails with a word on it', async () => {
    for (const run of [page(newStore()).ask('x', { revision: { from: 'nowhere', edits: [] } }), page(newStore()).resume('nowhere')]) {
      expect(await all(run.events)).toMatchObject([{ kind: 'runFailed', error: { code: 'run/gone' } }]);
    }
  });
});

it('a log that cannot be written does not stop the run', async () => {
  const { AppError } = await import('../../src/errors.ts');
  const full = { call: (async () => Promise.reject(new AppError('storage/quota', { what: 'x', neededMB: 1 }))) as never };
  const runs = createRuns({ corpus: full, retrieverWith: () => toyRetriever(), learned: nothingLearned, liveLlm: () => scriptedLlm(toyScript), livePlanner: () => null, onStart: () => {}, today: () => 1, locks: null });
  expect(answerOf(await all(runs.ask(toyQuestion).events))?.short).toBe('Isk');
});
