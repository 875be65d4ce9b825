/**
 * The library surface: everything the page, the benchmark and other programs do with Foray goes through a `Searcher`.
 * The contracts stand here; `createSearcher` in `searcher.ts` joins the workers, the engine and the agent behind them.
 */
import type { CallCache } from './agent/calls.ts';
import type { AgentEvent, Plan, RunEdit } from './agent/events.ts';
import type { Retriever } from './corpus/retriever.ts';
import type { DeviceVerdict } from './engine/device.ts';
import type { LlmInfo } from './engine/llm.ts';
import type { EmbedderInfo } from './engine/embedder.ts';
import type { ModelStatus } from './engine/models.ts';
import type { AgentSettings } from './agent/settings.ts';
import type { Experiment } from './lab/experiment.ts';
import type { CorpusSummary, DocumentSummary, RunSummary, StorageNotice, StorageSummary } from './corpus/worker-api.ts';
import type { OnProgress } from './progress.ts';
import type { ArchiveCell } from './learning/archive.ts';
import type { Profile } from './learning/profile.ts';
import type { IterationRecord, PartCheck, PartId } from './learning/record.ts';
import type { AppError } from './errors.ts';

export interface Searcher {
  readonly device: Promise<DeviceVerdict>;
  /** Hybrid search over the whole library: lexical at once, dense as soon as an embedder is ready. */
  readonly retriever: Retriever;
  readonly library: Library;
  readonly models: Models;
  readonly history: History;
  readonly learning: Learning;
  readonly labItems: LabItems;
  /**
   * Starts a run; events come from `Run.events`. One run at a time: a second call rejects with `run/busy` through its events.
   * Without a loaded language model the run is extractive (method `extractive`).
   */
  ask(question: string, options?: AskOptions): Run;
  /**
   * Goes on with a run that was broken off (`History.broken`), under its own id and with the options that it was begun with. Its events begin with what the log
   * tells; finished calls are not made again. A run that is no longer stored fails with `run/gone`.
   */
  resume(id: string): Run;
  /** Stops every worker. The searcher cannot be used afterwards. */
  dispose(): Promise<void>;
}

/** The finished items of the page's lab as JSON lines in the form of `run.jsonl`, kept on this device so that a run outlasts a reload. */
export interface LabItems {
  /** '' where there are none. */
  read(): Promise<string>;
  /** In the place of what was kept; '' deletes it. Rejects with `storage/quota` where there is no room. */
  save(lines: string): Promise<void>;
}

export interface AskOptions {
  /** A method of the registry; default `foray`, or `extractive` without a model. */
  readonly method?: string;
  readonly seed?: number;
  /** Hold the proposed plan for this long (ms) so that it can be edited; default 0. `Infinity` waits for `approvePlan`. */
  readonly planPauseMs?: number;
  readonly corpora?: readonly string[];
  /**
   * Goes on from an earlier run with changes of the person's (METHODS §8.9): its options hold, `question` is that run's, and only what the changes reach is worked
   * out anew, as long as the same model is loaded. Fails with `run/gone` if that run is no longer stored.
   */
  readonly revision?: { readonly from: string; readonly edits: readonly RunEdit[] };
  /** For the method `table`: columns to fill, and the rows where they are known; without rows they are looked for. */
  readonly table?: { readonly columns: readonly string[]; readonly rows: readonly string[] };
  /** Overrides of single limits. */
  readonly settings?: Partial<AgentSettings>;
  /** For measurements: gold in the place of the system's own work, or disturbances (`lab/experiment.ts`). */
  readonly experiment?: Experiment;
  /** For measurements: model calls that were made before. */
  readonly completions?: CallCache;
  /** For measurements: searched in the place of the library. */
  readonly retriever?: Retriever;
}

/** A run whose page was closed or crashed in the middle. */
export interface BrokenRun {
  readonly id: string;
  readonly question: string;
  readonly method: string;
  readonly model: string | null;
  /** Its plan was to wait for the person. */
  readonly holdsPlan: boolean;
  /** It searched by meaning: without the embedder it would find other passages. */
  readonly usedDense: boolean;
}

/** Earlier runs on this device, newest first; they outlive the page. */
export interface History {
  list(): Promise<readonly RunSummary[]>;
  /** The run's events in order, without the text deltas; null if it is gone. */
  events(id: string): Promise<readonly AgentEvent[] | null>;
  remove(id: string): Promise<void>;
  /** The newest run, if it was broken off and goes on in no other tab; null else. */
  broken(): Promise<BrokenRun | null>;
  /** Ends a broken run as it is: it counts as stopped by the person. */
  close(id: string): Promise<void>;
}

export interface Run {
  readonly id: string;
  /** May be iterated once. Ends with `runFinished` or `runFailed`; never throws. */
  readonly events: AsyncIterable<AgentEvent>;
  /** Ends the run soon; what was found is kept. Safe to call at any time, also twice. */
  stop(): void;
  /** Replaces the plan while it is held; throws `run/plan-invalid`. */
  editPlan(plan: Plan): void;
  approvePlan(): void;
  /** Calls of the model that were taken over from the run that this one goes on from, so far. */
  reusedCalls(): number;
}

export interface CorpusStatus extends Omit<CorpusSummary, 'error' | 'golden'> {
  /** The import goes on in this page, so `pauseImport` reaches it. */
  readonly pausable: boolean;
  readonly error: AppError | null;
}

export type DocumentStatus = Omit<DocumentSummary, 'title'>;

export interface Library {
  /** Called at once and after every change, also those of other tabs. Returns the way to stop. */
  watch(listener: (corpora: readonly CorpusStatus[], documents: readonly DocumentStatus[], notice: StorageNotice | null) => void): () => void;
  corpora(): Promise<readonly CorpusStatus[]>;
  /** `url`: address of the folder that holds `manifest.json`. Resumes a partial import. Abort pauses it; finished parts stay. */
  importShard(url: string, signal: AbortSignal, onProgress: OnProgress): Promise<void>;
  /** Pauses an import that this page began, also the one that began by itself at the first visit; nothing happens where none is under way. */
  pauseImport(url: string): void;
  deleteCorpus(id: string): Promise<void>;
  /** Searchable lexically when it resolves; vectors follow in the background. One bad file does not stop the others: its error is returned with its name. */
  addDocuments(files: readonly File[], signal: AbortSignal, onProgress: OnProgress): Promise<readonly { readonly name: string; readonly error: AppError | null }[]>;
  documents(): Promise<readonly DocumentStatus[]>;
  deleteDocument(id: string): Promise<void>;
  storage(): Promise<StorageSummary>;
  /** Asks the browser to keep the library; true if it agreed. */
  persist(): Promise<boolean>;
}

export interface EndpointOptions {
  /** Sent to this server as a bearer token and nowhere else. It is in no address, message, event or log. */
  readonly key?: string;
  /** Keeps address, model name and key on this device for the next visit. Default: they last until the page is closed, and what was kept before is forgotten. */
  readonly remember?: boolean;
}

export interface Models {
  /** Called at once and after every change. */
  watch(listener: (rows: readonly ModelStatus[]) => void): () => void;
  rows(): readonly ModelStatus[];
  /** Downloads what is missing and loads it. Resolves when ready; abort pauses the download and keeps what was fetched. */
  use(id: string, signal: AbortSignal): Promise<void>;
  /**
   * Lays a LoRA adapter in GGUF form over the loaded llama.cpp model, or takes it off (null), by loading the model anew. Kept until the page is closed.
   * Rejects with `engine/not-loaded` where no such model is loaded, and `engine/load-failed` where the adapter does not fit; the model then stays as it was.
   */
  useAdapter(file: File | null, signal: AbortSignal): Promise<void>;
  /** The person's own OpenAI-compatible server, for example `http://127.0.0.1:11434/v1`. */
  useEndpoint(url: string, model: string, signal: AbortSignal, options?: EndpointOptions): Promise<void>;
  /**
   * Loads a second language model that plans and writes queries while the other one reads and answers (AI-SearchPlanner); null: one model does both again. Both
   * are in memory at the same time. It is not loaded again at the next visit.
   */
  usePlanner(id: string | null, signal: AbortSignal): Promise<void>;
  readonly planner: LlmInfo | null;
  /** Downloads what is missing of a cross-encoder and loads it for searches with `rerank`, in the place of the language model; null: unloads it. */
  useReranker(id: string | null, signal: AbortSignal): Promise<void>;
  readonly reranker: string | null;
  unload(role: 'llm' | 'embedder'): Promise<void>;
  /** Removes the stored files. */
  remove(id: string): Promise<void>;
  readonly llm: LlmInfo | null;
  readonly embedder: EmbedderInfo | null;
}

/** A part that was learned here from weighted trajectories. */
export interface LearnedPartStatus {
  readonly part: PartId;
  /** Used in runs. Only an accepted part can be switched on; all are off until the first iteration accepted one. */
  readonly enabled: boolean;
  /** The version in use; 0: none was ever accepted. */
  readonly version: number;
  /** An accepted version lies before this one. */
  readonly canRollBack: boolean;
  /** Of the version in use, else of the last one that was refused. */
  readonly check: PartCheck | null;
}

export interface ConfirmedAnswer {
  readonly runId: string;
  readonly question: string;
  readonly answer: string;
}

export interface LearningStatus {
  readonly parts: readonly LearnedPartStatus[];
  /** Answers that the person confirmed or corrected: the training questions of this device. */
  readonly confirmed: readonly ConfirmedAnswer[];
  /** Rules of the part `lessons`, in use or not. */
  readonly lessons: readonly string[];
  readonly edits: number;
  readonly ratings: number;
  /** Trajectories kept for export, the archive and the examples. */
  readonly trajectories: number;
  /** Iterations in order; the report and the plot read them. */
  readonly iterations: readonly IterationRecord[];
  /** An iteration runs now. */
  readonly running: LearningProgress | null;
}

export interface LearningProgress {
  readonly stage: 'sampling' | 'scoring' | 'training' | 'checking';
  readonly done: number;
  readonly total: number;
  /** What is worked on, for people. */
  readonly label: string;
}

export interface IterationOptions {
  /** Default: all parts. `adapter` needs an embedder, all but it need a language model. */
  readonly parts?: readonly PartId[];
  /** Default `foray`. */
  readonly method?: string;
  /** Trajectories a question, 2 to 5; default 3. */
  readonly trajectories?: number;
  readonly seed?: number;
}

/** A stage that the person changed by hand; kept as a preference pair (NExT-Search, METHODS §8.9). Texts are what stood there before and after. */
export interface UserEdit {
  readonly runId: string;
  readonly stage: 'plan' | 'query' | 'evidence' | 'sub-answer' | 'answer';
  readonly node: number | null;
  readonly before: string;
  readonly after: string;
  readonly reason: string;
}

/**
 * Learning on this device (METHODS §8). Nothing of it leaves the device except through `exports`, which the person saves. Everything is off until a held-back check
 * accepted it.
 */
export interface Learning {
  /** Called at once and after every change. Returns the way to stop. */
  watch(listener: (status: LearningStatus) => void): () => void;
  status(): Promise<LearningStatus>;
  /**
   * One iteration over the confirmed answers: samples and weights trajectories, trains the parts, checks each on answers held back. Rejects with `learning/too-few`,
   * `engine/not-loaded`, `run/busy` or `AbortError`; stopped, it goes on at the finished questions when called again.
   */
  startIteration(options: IterationOptions, signal: AbortSignal, onProgress: (progress: LearningProgress) => void): Promise<IterationRecord>;
  /** Switches an accepted part on or off; `learning/not-accepted` for one that never was. */
  enable(part: PartId, on: boolean): Promise<void>;
  /** Back to the accepted version before, or to none. */
  rollBack(part: PartId): Promise<void>;
  /** Deletes a part with all its versions; `all` also deletes trajectories, iterations, edits, ratings and confirmed answers, not the profile. */
  remove(part: PartId | 'all'): Promise<void>;
  /** Deletes one rule from every version of the part `lessons`. */
  removeLesson(text: string): Promise<void>;
  archive(): Promise<readonly ArchiveCell[]>;
  /** The files for training elsewhere (METHODS §9), empty ones left out; `docs/training.md` says how to use them. */
  exports(): Promise<readonly { readonly name: string; readonly blob: Blob; readonly problems: readonly string[] }[]>;
  profile(): Promise<Profile>;
  setProfile(profile: Profile): Promise<void>;
  clearProfile(): Promise<void>;
  /** The right answer of a run; null withdraws it. `learning/run-gone` if the run is not in the history. */
  confirmAnswer(runId: string, answer: string | null): Promise<void>;
  /** `rating` from 1 to 5; `text`: written feedback (BESPOKE's shape). */
  rate(runId: string, rating: number, text: string): Promise<void>;
  recordEdit(edit: UserEdit): Promise<void>;
}
