/**
 * The page's state and what the person can do: signals around the pure views, and the calls to the searcher behind every button. No markup here and no DOM, so
 * that a test can drive it. Promises: one run at a time, Stop works at every moment, the last question asked wins, no failure goes unsaid.
 */
import { batch, computed, effect, signal, type ReadonlySignal } from '@preact/signals';
import { addEdit } from '../agent/edits.ts';
import type { Plan, RunEdit } from '../agent/events.ts';
import type { Method } from '../agent/harness.ts';
import type { BrokenRun, CorpusStatus, DocumentStatus, EndpointOptions, Searcher, UserEdit } from '../api.ts';
import type { SearchResult } from '../corpus/retriever.ts';
import type { RunSummary, StorageNotice, StorageSummary } from '../corpus/worker-api.ts';
import type { DeviceVerdict } from '../engine/device.ts';
import type { ModelStatus } from '../engine/models.ts';
import { abortError, AppError, isAbort } from '../errors.ts';
import { cutText, maxQuestionCharacters, type Launch } from '../launch.ts';
import type { Progress } from '../progress.ts';
import { createLearning } from './learning-state.ts';
import { createPassages } from './passages.ts';
import { readPreferences, savePreferences, type Preferences, type PreferenceStorage } from './preferences.ts';
import { createRunControl } from './run-control.ts';
import { listed, settingsOf } from './run-options.ts';
import { replayRun, type RunView } from './state.ts';

export const views = ['ask', 'library', 'history', 'learning', 'lab', 'settings'] as const;
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
  /** Reads a file of text beside the page; null if it is not there. For the lab. */
  readonly readText?: (path: string) => Promise<string | null>;
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

interface Fault {
  readonly id: number;
  readonly text: string;
  /** For a report; '' where the text says it all. */
  readonly detail: string;
}

/** The second model, which plans. */
interface PlannerView {
  readonly chosen: string | null;
  readonly isLoading: boolean;
  readonly error: string;
}

export interface ImportView {
  readonly url: string;
  readonly progress: Progress | null;
  readonly error: AppError | null;
  readonly isActive: boolean;
}

interface DocumentsView {
  readonly progress: Progress | null;
  readonly isActive: boolean;
  readonly failures: readonly { readonly name: string; readonly message: string }[];
}

const previewDelayMs = 120;
const previewPassages = 8;
const offeredCompletions = 6;

export type App = ReturnType<typeof createApp>;

export function createApp(options: AppOptions) {
  const { searcher, now } = options;

  // ---------------------------------------------------------------- what is shown
  const view = signal<View>('ask');
  const isChoosingMethod = signal(false);
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
  const models = signal<readonly ModelStatus[]>([]);
  const hasLlm = computed(() => models.value.some((row) => row.role === 'llm' && row.state === 'ready'));
  const control = createRunControl({ now, report, onEnd: refreshHistory });
  const { runs, shownId, setRun } = control;
  /** All methods; empty until they have come, which is soon after the page. */
  const methods = signal<readonly Method[]>([]);
  const hasMethods = import('../agent/methods/registry.ts').then((registry) => {
    methods.value = registry.methods;
  });
  guard(hasMethods);
  const methodById = (id: string): Method | undefined => methods.value.find((item) => item.id === id);
  /** Of the address: it holds until another method is chosen, and is not remembered. */
  const methodOfAddress = signal(options.launch.method);
  /** The method that the next question is asked with. Without a language model only those that need none can run. */
  const method = computed(() => {
    const chosen = methodById(methodOfAddress.value) ?? methodById(preferences.value.method) ?? methodById('foray');
    return hasLlm.value || chosen?.needsLlm === false ? chosen : methodById('extractive');
  });
  /** Columns and rows as the person types them, for the method that fills a table. */
  const tableColumns = signal('');
  const tableRows = signal('');
  function chooseMethod(id: string): void {
    batch(() => {
      methodOfAddress.value = '';
      setPreferences({ method: id });
    });
  }

  /** Asks what is in the box. While another question is being answered, that one is stopped first; the same question again changes nothing. */
  async function ask(text: string = draft.value): Promise<void> {
    const question = cutText(text, maxQuestionCharacters).trim();
    if (question === '') {
      draftNotice.value = new AppError('question/empty').message;
      return;
    }
    if (control.liveQuestion() === question) return;
    batch(() => {
      view.value = 'ask';
      draft.value = question;
      draftNotice.value = '';
    });
    dismissBroken();
    const holdsPlan = preferences.value.checkPlan && searcher.models.llm !== null;
    await control.begin(question, holdsPlan, () => {
      void showPassages(question, 0).catch(report);
      const { effort, wishes } = preferences.value;
      const chosen = method.value;
      const columns = listed(tableColumns.value, 12);
      return searcher.ask(question, {
        settings: settingsOf(effort, wishes),
        ...(chosen === undefined ? {} : { method: chosen.id }),
        ...(chosen?.id === 'table' && columns.length > 0 ? { table: { columns, rows: listed(tableRows.value, 40) } } : {}),
        ...(holdsPlan ? { planPauseMs: Infinity } : {}),
      });
      // Without the list (no connection at the first visit) the searcher's own default answers.
    }, hasMethods.catch(() => undefined));
  }

  /** Goes on from a run with a change of the person's: what the change does not reach is not worked out again. */
  async function revise(from: RunView, edit: RunEdit, reason = ''): Promise<void> {
    view.value = 'ask';
    void learning.recordEdit(userEdit(from, edit, reason));
    const edits = addEdit(from.search.edits, edit);
    await control.begin(from.question, false, () => searcher.ask(from.question, { revision: { from: from.id, edits } }));
  }

  const learning = createLearning({ learning: searcher.learning, report });

  /** The right answer of a run; where it differs from the one given, that is a change like any other. */
  async function correctAnswer(run: RunView, right: string): Promise<boolean> {
    const before = run.answer?.short ?? '';
    if (before !== right && before !== '') await learning.recordEdit({ runId: run.id, stage: 'answer', node: null, before, after: right, reason: '' });
    return learning.confirmAnswer(run.id, right);
  }

  // ---------------------------------------------------------------- a run that a closed page broke off
  const broken = signal<BrokenRun | null>(null);
  function dismissBroken(): void {
    const left = broken.peek();
    if (left === null) return;
    broken.value = null;
    guard(searcher.history.close(left.id).then(refreshHistory));
  }
  async function resumeBroken(): Promise<void> {
    const left = broken.peek();
    if (left === null) return;
    batch(() => {
      broken.value = null;
      view.value = 'ask';
      draft.value = left.question;
      preview.value = null;
    });
    await control.begin(left.question, left.holdsPlan, () => searcher.resume(left.id));
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
    control.forget(id);
    refreshHistory();
  }

  // ---------------------------------------------------------------- models
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

  const planner = signal<PlannerView>({ chosen: null, isLoading: false, error: '' });
  async function usePlanner(id: string | null): Promise<void> {
    planner.value = { chosen: id, isLoading: true, error: '' };
    let error = '';
    try {
      await withController('planner', (stopped) => searcher.models.usePlanner(id, stopped));
    } catch (thrown) {
      if (thrown instanceof AppError) error = thrown.message;
      else report(thrown);
    } finally {
      planner.value = { chosen: searcher.models.planner?.modelId ?? null, isLoading: false, error };
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
  const storage = signal<StorageSummary | null>(null);
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
  guard(
    searcher.history.broken().then((found) => {
      // A question that was asked meanwhile comes first.
      if (!control.isLive() && shownId.peek() === null) broken.value = found;
    }),
  );
  // It goes on by itself as soon as everything is as it was, unless the person has turned to something else.
  stops.push(
    effect(() => {
      const left = broken.value;
      const ready = models.value.filter((row) => row.state === 'ready').length;
      if (left === null || options.isSafeStart === true || view.value !== 'ask' || draft.value !== options.launch.question || shownId.value !== null) return;
      const hasModel = left.model === null ? methodById(left.method)?.needsLlm === false : ready > 0 && searcher.models.llm?.modelId === left.model;
      if (hasModel && (!left.usedDense || searcher.models.embedder !== null)) void resumeBroken().catch(report);
    }),
  );

  /** The person's own server, while it answers the questions: then the page must not say that nothing leaves the device. */
  const endpoint: ReadonlySignal<ModelStatus | null> = computed(() => models.value.find((row) => row.source === 'endpoint' && row.state === 'ready') ?? null);

  /** False while a reload would lose something of the person's. */
  const mayReload = (): boolean => !control.isLive() && draft.peek() === options.launch.question && controllers.size === 0 && view.peek() === 'ask';

  function dispose(): void {
    for (const stopWatching of stops) stopWatching();
    previewing?.abort(abortError());
    for (const controller of controllers.values()) controller.abort(abortError());
    control.stop();
    learning.stopLearning();
    clearTimeout(storageTimer);
  }

  /** What the end of the question may become; nothing where no corpus is complete. */
  async function completions(beforeCaret: string): Promise<readonly string[]> {
    try {
      return await searcher.retriever.complete(beforeCaret, offeredCompletions);
    } catch (error) {
      // The question can be typed without help; what is wrong with the library is told there.
      if (isAbort(error) || error instanceof AppError) return [];
      throw error;
    }
  }

  return {
    completions,
    ...createPassages(searcher),
    ...learning, correctAnswer,
    view, modelPanel, isChoosingMethod, planner, usePlanner, preferences, setPreferences, faults, report, dismissFault, update, safeStart,
    draft, draftNotice, setDraft, examples, preview,
    ...control, ask, revise, newQuestion, methods, method, chooseMethod, tableColumns, tableRows, broken, dismissBroken, resumeBroken,
    stored, refreshHistory, openRun, removeRun,
    models, device, loading, endpoint, endpointError, hasLlm, useModel, useEndpoint, cancelModel, unloadModel, removeModel,
    corpora, documents, notice, storage, persistRefused, imports, adding, importShard, pauseImport, dismissImport, addDocuments, stopAdding, dismissFailures,
    deleteCorpus, deleteDocument, persist, refreshStorage,
    firstShard: new URL(options.firstShard, options.base).href,
    lab: { searcher, readText: options.readText ?? (async () => null), demoQuestions: `${options.firstShard}questions.json`, now },
    mayReload, dispose,
  };
}

/** A change as the preference pair that it is: what stood there, and what the person put in its place. */
function userEdit(run: RunView, edit: RunEdit, reason: string): UserEdit {
  const of = (stage: UserEdit['stage'], node: number | null, before: string, after: string): UserEdit => ({ runId: run.id, stage, node, before, after, reason: reason.trim() });
  switch (edit.stage) {
    case 'plan': {
      const lines = (plan: Plan): string => plan.nodes.map((node) => node.q).join('\n');
      return of('plan', null, lines(edit.before), lines(edit.after));
    }
    case 'query':
    case 'sub-answer':
      return of(edit.stage, edit.node, edit.before, edit.after);
    case 'evidence': {
      const found = run.nodes.find((node) => node.id === edit.node)?.searches.flatMap((search) => search.hits.slice(0, 10).map((hit) => hit.passage.title)) ?? [];
      const before = [...new Set(found)];
      const dropped = new Set(edit.dropped.map((passage) => passage.title));
      return of('evidence', edit.node, before.join('\n'), before.filter((title) => !dropped.has(title)).join('\n'));
    }
  }
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
