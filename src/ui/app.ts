/**
 * The page's state and what the person can do: signals around the pure views, and the calls to the searcher behind every button. No markup here and no DOM, so
 * that a test can drive it. Promises: one run at a time, Stop works at every moment, the last question asked wins, no failure goes unsaid.
 */
import { batch, computed, effect, signal, type ReadonlySignal } from '@preact/signals';
import type { Plan } from '../agent/events.ts';
import type { CorpusStatus, DocumentStatus, EndpointOptions, Run, Searcher, StorageStatus } from '../api.ts';
import type { SearchResult } from '../corpus/retriever.ts';
import type { RunSummary, StorageNotice } from '../corpus/worker-api.ts';
import type { DeviceVerdict } from '../engine/device.ts';
import type { ModelStatus } from '../engine/models.ts';
import { abortError, AppError, isAbort } from '../errors.ts';
import { cutText, maxQuestionCharacters, type Launch } from '../launch.ts';
import type { Progress } from '../progress.ts';
import { createPassages } from './passages.ts';
import { effortSettings, readPreferences, savePreferences, type Preferences, type PreferenceStorage } from './preferences.ts';
import { reduceRun, releasePlan, replayRun, startRun, type RunView } from './state.ts';

export const views = ['ask', 'library', 'history', 'settings'] as const;
export type View = (typeof views)[number];

export interface AppOptions {
  readonly searcher: Searcher;
  /** Absolute address of the page's folder, with a closing slash. */
  readonly base: string;
  /** Address of the demo shard, relative to `base`. */
  readonly firstShard: string;
  readonly launch: Launch;
  readonly storage: PreferenceStorage | null;
  /** The page was ended abruptly several times in a row, so nothing was loaded this time. */
  readonly isSafeStart?: boolean;
  /** Reads a JSON file beside the page; null if it is not there. */
  readonly readJson: (path: string) => Promise<unknown>;
  /** Milliseconds, monotonic. */
  readonly now: () => number;
}

/** Passages found for a question as a whole, by words first. */
export interface Preview {
  readonly query: string;
  readonly result: SearchResult | null;
  readonly error: AppError | null;
  readonly isSearching: boolean;
}

export interface Fault {
  readonly id: number;
  readonly text: string;
  /** For a report; '' where the text says it all. */
  readonly detail: string;
}

export interface ImportView {
  readonly url: string;
  readonly progress: Progress | null;
  readonly error: AppError | null;
  readonly isActive: boolean;
}

export interface DocumentsView {
  readonly progress: Progress | null;
  readonly isActive: boolean;
  readonly failures: readonly { readonly name: string; readonly message: string }[];
}

/** Streaming text is rendered at most this often. */
const renderMs = 84;
const previewDelayMs = 120;
const previewPassages = 8;
/** Runs of this session that can be opened again without the store; older ones are read from it. */
const keptRuns = 40;

export type App = ReturnType<typeof createApp>;

export function createApp(options: AppOptions) {
  const { searcher, now } = options;

  // ---------------------------------------------------------------- what is shown
  const view = signal<View>('ask');
  const modelPanel = signal<'llm' | 'embedder' | null>(null);
  const preferences = signal<Preferences>(readPreferences(options.storage));
  const faults = signal<readonly Fault[]>([]);
  const update = signal<(() => void) | null>(null);
  const safeStart = signal(options.isSafeStart === true);
  let faultCount = 0;

  /** Says what went wrong; an abort is no fault. */
  function report(error: unknown): void {
    if (isAbort(error)) return;
    const text = error instanceof AppError ? error.message : 'Something unexpected went wrong. Your question and your library are kept; reload the page if it does not go on.';
    say(text, error instanceof AppError ? '' : error instanceof Error ? `${error.name}: ${error.message}` : String(error));
  }
  function say(text: string, detail = ''): void {
    if (faults.value.some((fault) => fault.text === text && fault.detail === detail)) return;
    faults.value = [...faults.value, { id: ++faultCount, text, detail }].slice(-5);
  }
  const dismissFault = (id: number): void => {
    faults.value = faults.value.filter((fault) => fault.id !== id);
  };
  const guard = (work: Promise<unknown>): void => void work.catch(report);

  function setPreferences(change: Partial<Preferences>): void {
    preferences.value = { ...preferences.value, ...change };
    savePreferences(options.storage, preferences.value);
  }

  // ---------------------------------------------------------------- the question
  const draft = signal(options.launch.question);
  const draftNotice = signal(options.launch.isTrimmed ? trimmedNotice() : '');
  const examples = signal<readonly string[]>([]);

  function setDraft(text: string): void {
    const isTooLong = text.length > maxQuestionCharacters;
    batch(() => {
      draft.value = cutText(text, maxQuestionCharacters);
      draftNotice.value = isTooLong ? trimmedNotice() : '';
    });
  }

  guard(
    options.readJson(`${options.firstShard}questions.json`).then((value) => {
      examples.value = exampleQuestions(value, 4);
    }),
  );

  // ---------------------------------------------------------------- passages for the question as a whole
  const preview = signal<Preview | null>(null);
  let previewing: AbortController | null = null;

  /** By words at once, by meaning as well as soon as an embedder is there. The last call wins. */
  async function showPassages(text: string, delayMs: number): Promise<void> {
    const query = text.trim().slice(0, 1000);
    const before = preview.peek();
    const isComplete = before?.isSearching === true || before?.result?.usedDense === true || searcher.models.embedder === null;
    if (before?.query === query && before.error === null && isComplete) return;
    previewing?.abort(abortError());
    const controller = new AbortController();
    previewing = controller;
    const { signal: stop } = controller;
    if (query === '') {
      preview.value = null;
      return;
    }
    try {
      await pause(delayMs, stop);
      preview.value = { query, result: preview.peek()?.result ?? null, error: null, isSearching: true };
      const byWords = await searcher.retriever.search({ text: query, k: previewPassages, dense: false }, stop);
      if (stop.aborted) return;
      preview.value = { query, result: byWords, error: null, isSearching: searcher.models.embedder !== null };
      if (searcher.models.embedder === null) return;
      await pause(200, stop);
      const both = await searcher.retriever.search({ text: query, k: previewPassages }, stop);
      if (!stop.aborted) preview.value = { query, result: both, error: null, isSearching: false };
    } catch (error) {
      if (stop.aborted || isAbort(error)) return;
      if (!(error instanceof AppError)) throw error;
      preview.value = { query, result: preview.peek()?.result ?? null, error, isSearching: false };
    }
  }

  // ---------------------------------------------------------------- runs
  const runs = signal<ReadonlyMap<string, RunView>>(new Map());
  const shownId = signal<string | null>(null);
  const liveId = signal<string | null>(null);
  const isStopping = signal(false);
  const elapsedMs = signal(0);
  const planError = signal<string | null>(null);
  const shown = computed(() => (shownId.value === null ? null : (runs.value.get(shownId.value) ?? null)));
  let live: { readonly run: Run; readonly question: string; readonly done: Promise<void> } | null = null;
  let asked = 0;

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

  /** Asks what is in the box. While another question is being answered, that one is stopped first; the same question again changes nothing. */
  async function ask(text: string = draft.value): Promise<void> {
    const question = cutText(text, maxQuestionCharacters).trim();
    if (question === '') {
      draftNotice.value = new AppError('question/empty').message;
      return;
    }
    if (live !== null && live.question === question && !isStopping.value) return;
    const turn = ++asked;
    batch(() => {
      view.value = 'ask';
      draft.value = question;
      draftNotice.value = '';
    });
    if (live !== null) {
      stop();
      await live.done;
    }
    if (turn !== asked) return;
    void showPassages(question, 0).catch(report);
    const holdsPlan = preferences.value.checkPlan && searcher.models.llm !== null;
    const run = searcher.ask(question, { settings: effortSettings[preferences.value.effort], ...(holdsPlan ? { planPauseMs: Infinity } : {}) });
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
    let waiting: Parameters<typeof reduceRun>[1][] = [];
    let timer: ReturnType<typeof setTimeout> | undefined;
    const render = (): void => {
      clearTimeout(timer);
      timer = undefined;
      const current = runs.peek().get(run.id);
      if (current !== undefined && waiting.length > 0) setRun(waiting.reduce(reduceRun, current));
      waiting = [];
    };
    try {
      for await (const event of run.events) {
        waiting.push(event);
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
      refreshHistory();
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

  /** An empty box and the first screen. A run under way goes on and can be opened from the bar. */
  function newQuestion(): void {
    batch(() => {
      view.value = 'ask';
      shownId.value = null;
      draft.value = '';
      draftNotice.value = '';
      preview.value = null;
    });
  }

  // Passages appear while a question is typed, before anything else is ready. Over an answer they would only distract.
  effect(() => {
    const text = draft.value;
    if (shownId.value === null) void showPassages(text, previewDelayMs).catch(report);
  });

  // ---------------------------------------------------------------- history
  const stored = signal<readonly RunSummary[]>([]);
  function refreshHistory(): void {
    guard(
      searcher.history.list().then((list) => {
        stored.value = list;
      }),
    );
  }

  function show(run: RunView): void {
    batch(() => {
      setRun(run);
      shownId.value = run.id;
      draft.value = run.question;
      draftNotice.value = '';
      preview.value = null;
      view.value = 'ask';
    });
  }

  /** From this session's memory, else from the store. */
  async function openRun(id: string, label: string): Promise<void> {
    const known = runs.value.get(id);
    if (known !== undefined) {
      show(known);
      return;
    }
    const events = await searcher.history.events(id);
    if (events === null) {
      say('This run is no longer stored on this device.');
      refreshHistory();
      return;
    }
    show(replayRun(id, label, events));
  }

  async function removeRun(id: string): Promise<void> {
    await searcher.history.remove(id);
    const next = new Map(runs.value);
    next.delete(id);
    batch(() => {
      runs.value = next;
      if (shownId.value === id) shownId.value = null;
    });
    refreshHistory();
  }

  // ---------------------------------------------------------------- models
  const models = signal<readonly ModelStatus[]>([]);
  const device = signal<DeviceVerdict | null>(null);
  /** Rows whose download or start this page began: only those can be cancelled here. */
  const loading = signal<ReadonlySet<string>>(new Set());
  const endpointError = signal<string | null>(null);
  const controllers = new Map<string, AbortController>();

  async function withController(id: string, work: (signal: AbortSignal) => Promise<void>): Promise<void> {
    if (controllers.has(id)) return;
    const controller = new AbortController();
    controllers.set(id, controller);
    loading.value = new Set(controllers.keys());
    try {
      await work(controller.signal);
    } finally {
      controllers.delete(id);
      loading.value = new Set(controllers.keys());
    }
  }

  async function useModel(id: string): Promise<void> {
    try {
      await withController(id, (stopped) => searcher.models.use(id, stopped));
    } catch (error) {
      // The row itself says what failed; only what no row can say goes to the top of the page.
      if (isAbort(error)) return;
      if (!(error instanceof AppError) || searcher.models.rows().find((row) => row.id === id)?.state !== 'failed') report(error);
    }
  }

  const endpointKey = 'endpoint';
  /** Resolves with whether the server is in use now. */
  async function useEndpoint(url: string, model: string, options: EndpointOptions = {}): Promise<boolean> {
    endpointError.value = null;
    let isUsed = false;
    try {
      await withController(endpointKey, async (stopped) => {
        await searcher.models.useEndpoint(url, model, stopped, options);
        isUsed = true;
      });
    } catch (error) {
      if (error instanceof AppError) endpointError.value = error.message;
      else report(error);
    }
    return isUsed;
  }

  const cancelModel = (id: string): void => controllers.get(id)?.abort(abortError());
  const unloadModel = (role: 'llm' | 'embedder'): void => guard(searcher.models.unload(role));
  const removeModel = (id: string): void => guard(searcher.models.remove(id));

  // ---------------------------------------------------------------- library
  const corpora = signal<readonly CorpusStatus[]>([]);
  const documents = signal<readonly DocumentStatus[]>([]);
  const notice = signal<StorageNotice | null>(null);
  const storage = signal<StorageStatus | null>(null);
  const persistRefused = signal(false);
  const imports = signal<ReadonlyMap<string, ImportView>>(new Map());
  const adding = signal<DocumentsView>({ progress: null, isActive: false, failures: [] });
  let storageTimer: ReturnType<typeof setTimeout> | undefined;

  function refreshStorage(delayMs = 0): void {
    clearTimeout(storageTimer);
    storageTimer = setTimeout(() => {
      guard(
        searcher.library.storage().then((status) => {
          storage.value = status;
        }),
      );
    }, delayMs);
  }

  const setImport = (next: ImportView): void => {
    imports.value = new Map(imports.value).set(next.url, next);
  };

  /** Also resumes. What failed stays in `imports` with its reason until it is tried again or dismissed. */
  async function importShard(address: string): Promise<void> {
    const url = folderAddress(address, options.base);
    if (imports.value.get(url)?.isActive === true) return;
    setImport({ url, progress: null, error: null, isActive: true });
    const forget = (): void => {
      const next = new Map(imports.value);
      next.delete(url);
      imports.value = next;
    };
    try {
      await withController(url, (stopped) =>
        searcher.library.importShard(url, stopped, (progress) => setImport({ url, progress, error: null, isActive: true })),
      );
      forget();
    } catch (error) {
      if (error instanceof AppError) setImport({ url, progress: null, error, isActive: false });
      else {
        forget();
        report(error);
      }
    } finally {
      refreshStorage();
    }
  }

  const pauseImport = (url: string): void => {
    controllers.get(url)?.abort(abortError());
    searcher.library.pauseImport(url);
  };
  function dismissImport(url: string): void {
    const next = new Map(imports.value);
    next.delete(url);
    imports.value = next;
  }

  const documentsKey = 'documents';
  async function addDocuments(files: readonly File[]): Promise<void> {
    if (files.length === 0 || controllers.has(documentsKey)) return;
    adding.value = { progress: null, isActive: true, failures: [] };
    let failures: DocumentsView['failures'] = [];
    try {
      await withController(documentsKey, async (stopped) => {
        const results = await searcher.library.addDocuments(files, stopped, (progress) => (adding.value = { progress, isActive: true, failures: [] }));
        failures = results.flatMap(({ name, error }) => (error === null ? [] : [{ name, message: error.message }]));
      });
    } catch (error) {
      if (error instanceof AppError) failures = [{ name: '', message: error.message }];
      else report(error);
    } finally {
      adding.value = { progress: null, isActive: false, failures };
      refreshStorage();
    }
  }
  const stopAdding = (): void => controllers.get(documentsKey)?.abort(abortError());
  const dismissFailures = (): void => {
    adding.value = { ...adding.value, failures: [] };
  };

  const deleteCorpus = (id: string): void => guard(searcher.library.deleteCorpus(id).finally(() => refreshStorage()));
  const deleteDocument = (id: string): void => guard(searcher.library.deleteDocument(id).finally(() => refreshStorage()));
  function persist(): void {
    guard(
      searcher.library.persist().then((agreed) => {
        persistRefused.value = !agreed;
        refreshStorage();
      }),
    );
  }

  const stops = [
    searcher.models.watch((rows) => (models.value = rows)),
    searcher.library.watch((nextCorpora, nextDocuments, nextNotice) => {
      const before = corpora.peek().filter((corpus) => corpus.state === 'complete').length;
      batch(() => {
        corpora.value = nextCorpora;
        documents.value = nextDocuments;
        notice.value = nextNotice;
      });
      refreshStorage(500);
      // What was typed before the library was there is searched now.
      if (nextCorpora.filter((corpus) => corpus.state === 'complete').length !== before && preview.peek() !== null) {
        const { query } = preview.peek() ?? { query: '' };
        preview.value = null;
        void showPassages(query, 0).catch(report);
      }
    }),
  ];
  guard(
    searcher.device.then((verdict) => {
      device.value = verdict;
    }),
  );
  refreshHistory();

  /** The person's own server, while it answers the questions: then the page must not say that nothing leaves the device. */
  const endpoint: ReadonlySignal<ModelStatus | null> = computed(() => models.value.find((row) => row.source === 'endpoint' && row.state === 'ready') ?? null);
  const hasLlm = computed(() => models.value.some((row) => row.role === 'llm' && row.state === 'ready'));

  /** False while a reload would lose something of the person's. */
  const mayReload = (): boolean => live === null && draft.peek() === options.launch.question && controllers.size === 0 && view.peek() === 'ask';

  function dispose(): void {
    for (const stopWatching of stops) stopWatching();
    previewing?.abort(abortError());
    for (const controller of controllers.values()) controller.abort(abortError());
    stop();
    clearTimeout(storageTimer);
  }

  return {
    ...createPassages(searcher),
    view, modelPanel, preferences, setPreferences, faults, report, dismissFault, update, safeStart,
    draft, draftNotice, setDraft, examples, preview,
    runs, shown, shownId, liveId, isStopping, elapsedMs, planError, ask, stop, runPlan, newQuestion,
    stored, refreshHistory, openRun, removeRun,
    models, device, loading, endpoint, endpointError, hasLlm, useModel, useEndpoint, cancelModel, unloadModel, removeModel,
    corpora, documents, notice, storage, persistRefused, imports, adding, importShard, pauseImport, dismissImport, addDocuments, stopAdding, dismissFailures,
    deleteCorpus, deleteDocument, persist, refreshStorage,
    firstShard: new URL(options.firstShard, options.base).href,
    mayReload, dispose,
  };
}

function trimmedNotice(): string {
  return `A question may have ${maxQuestionCharacters.toLocaleString('en')} characters. Only its beginning was kept.`;
}

/**
 * The address of the folder that holds `manifest.json`, absolute, with a closing slash, as the library keeps it. What is no address is left as it is: the library
 * refuses it.
 */
export function folderAddress(address: string, base: string): string {
  const folder = address.trim().replace(/manifest\.json(?:[?#].*)?$/, '');
  const closed = folder.endsWith('/') ? folder : `${folder}/`;
  return URL.canParse(closed, base) ? new URL(closed, base).href : closed;
}

/** Up to `count` questions of the `tune` split, spread over the file. Anything else than a list of questions gives none. */
export function exampleQuestions(value: unknown, count: number): string[] {
  if (!Array.isArray(value)) return [];
  const usable = value.flatMap((row: unknown) => {
    if (typeof row !== 'object' || row === null) return [];
    const { question, split, answers } = row as Record<string, unknown>;
    const isAnswerable = !Array.isArray(answers) || answers.length > 0;
    return typeof question === 'string' && question.length > 0 && question.length <= 160 && split === 'tune' && isAnswerable ? [question] : [];
  });
  const step = Math.max(1, Math.floor(usable.length / count));
  return usable.filter((_, index) => index % step === 0).slice(0, count);
}

function pause(ms: number, stop: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    stop.throwIfAborted();
    const timer = setTimeout(resolve, ms);
    stop.addEventListener('abort', () => {
      clearTimeout(timer);
      reject(abortError());
    }, { once: true });
  });
}
