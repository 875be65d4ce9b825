/**
 * The contract between the main thread and the corpus worker: what `workers/corpus.ts` serves (see `engine/serve.ts`) and the page calls through a `Host`.
 * Plain data only. Expected failures arrive as `AppError`, a stopped call as `AbortError`; an abort pauses a transfer and keeps what was fetched.
 */
import type { WireError } from '../errors.ts';
import type { ServedCall } from '../engine/wire.ts';
import type { Progress } from '../progress.ts';
import type { VectorVerdict } from './kernel/batch.ts';
import type { AskedSearch } from './search.ts';
import type { Neighbours, Passage, SearchRequest, SearchResult, TermFrequencies } from './retriever.ts';

/** A shard, or the person's own documents together (`kind: 'own'`, id `own`, listed while there is at least one document). */
export interface CorpusSummary {
  readonly id: string;
  readonly kind: 'shard' | 'own';
  readonly name: string;
  readonly language: string;
  readonly licence: string;
  readonly attribution: string;
  /** `complete` is searchable; `partial` is resumable and not searched; `importing`: in this tab or another; `failed`: stored but not usable, see `error`. */
  readonly state: 'complete' | 'partial' | 'importing' | 'failed';
  readonly documents: number;
  readonly passages: number;
  /** Passages that have vectors. */
  readonly embedded: number;
  readonly bytes: number;
  /** Catalogue id of the embedder of its vectors; null without vectors. */
  readonly embedder: string | null;
  readonly sourceUrl: string;
  readonly progress: Progress | null;
  readonly error: WireError | null;
  /** Texts with the vectors that a sound embedder gives for them; empty without vectors and for own documents. */
  readonly golden: readonly { readonly text: string; readonly vector: readonly number[] }[];
}

export type DocumentType = 'text' | 'markdown' | 'html' | 'pdf';

export interface DocumentSummary {
  /** The `docId` of its passages. */
  readonly id: string;
  readonly name: string;
  readonly title: string;
  readonly type: DocumentType;
  readonly bytes: number;
  readonly pages: number | null;
  readonly passages: number;
  readonly embedded: number;
}

export interface LibrarySnapshot {
  readonly corpora: readonly CorpusSummary[];
  readonly documents: readonly DocumentSummary[];
  readonly notice: StorageNotice | null;
}

/** What the person must know about the store. `cleared`: the browser removed the library while it was open; `newer`: another tab runs a newer version. */
export type StorageNotice = 'memory-only' | 'newer' | 'blocked' | 'cleared';

export interface StorageSummary {
  /** The browser's estimate; not a promise. */
  readonly usedBytes: number | null;
  readonly quotaBytes: number | null;
  readonly persisted: boolean;
  /** False: the browser allows no storage (private window); the library lives in memory until the page is closed. */
  readonly available: boolean;
}

/** Passages of one document that have no vectors of the asked embedder yet. */
export interface UnembeddedBatch {
  readonly document: string;
  /** Ordinal in the document of the first text. */
  readonly first: number;
  readonly texts: readonly string[];
  /** Passages of all documents that wait, these included. */
  readonly left: number;
}

export interface ModelFileSpec {
  /** Path inside the model's folder; segments of letters, digits, `.`, `_`, `-`. */
  readonly path: string;
  readonly bytes: number;
  readonly sha256: string | null;
  readonly hubUrl: string | null;
}

export interface ModelFilesSpec {
  readonly id: string;
  readonly files: readonly ModelFileSpec[];
}

export interface StoredModel {
  readonly id: string;
  readonly files: readonly { readonly path: string; readonly bytes: number; readonly complete: boolean }[];
}

/** One event of a run, as far as the store looks into it. The other fields are kept as they are. */
export interface StoredEvent {
  readonly runId: string;
  /** Ascending within a run; a run may leave some out. */
  readonly seq: number;
  readonly kind: string;
}

export interface RunSummary {
  readonly id: string;
  /** Counts up from run to run on this device; the list is sorted by it, newest first. */
  readonly order: number;
  /** Epoch milliseconds as the page gave it; for display only. */
  readonly startedAt: number;
  readonly label: string;
  readonly events: number;
}

export interface CorpusWorkerApi {
  /** Yields the state at once and after every change, also those of other tabs, until stopped. Call it with `silenceSeconds: Infinity`. */
  watch(input: undefined, call: ServedCall): AsyncIterable<LibrarySnapshot>;
  library(): Promise<LibrarySnapshot>;

  /** `vector`: the query's embedding; corpora of another embedder are searched by words only. Waits for the word indexes, never for vectors or links. */
  search(
    input: { readonly request: SearchRequest; readonly vector: { readonly embedder: string; readonly values: Float32Array } | null },
    call: ServedCall,
  ): Promise<SearchResult>;
  /** Each result is that of `search`; a stop ends all. For callers that have many queries at hand: nobody waits for others to come. */
  searchMany(input: { readonly asked: readonly AskedSearch[] }, call: ServedCall): Promise<readonly SearchResult[]>;
  passage(input: { readonly id: string }): Promise<Passage | null>;
  /** Waits for the word indexes, never for links: before these are open there are only the adjacent passages. */
  neighbours(input: { readonly id: string }): Promise<Neighbours | null>;
  frequencies(input: { readonly terms: readonly string[] }): Promise<TermFrequencies>;
  complete(input: { readonly prefix: string; readonly limit: number }): Promise<readonly string[]>;

  /** `url`: absolute address of the folder with `manifest.json` (same origin, or https). Resumes; waits for its turn while another import runs. */
  importShard(input: { readonly url: string }, call: ServedCall<Progress>): Promise<{ readonly id: string }>;
  /** Removes a shard whole, also a partial one; `own` removes all own documents. */
  deleteCorpus(input: { readonly id: string }): Promise<void>;
  /** One bad file does not stop the others. Searchable by words when it resolves. */
  addDocuments(
    input: { readonly files: readonly File[] },
    call: ServedCall<Progress>,
  ): Promise<readonly { readonly name: string; readonly id: string | null; readonly error: WireError | null }[]>;
  deleteDocument(input: { readonly id: string }): Promise<void>;

  /** The next passages of own documents to embed, all of one document; null when every one has vectors of this embedder. */
  nextUnembedded(input: { readonly embedder: string; readonly dimensions: number; readonly limit: number }): Promise<UnembeddedBatch | null>;
  /** `values`: row-major unit vectors of the passages `first`, `first + 1`, … A batch of a deleted or already embedded passage is dropped silently. */
  storeVectors(input: {
    readonly document: string;
    readonly first: number;
    readonly embedder: string;
    readonly dimensions: number;
    readonly values: Float32Array;
  }): Promise<void>;

  /** Which kernel searches vectors, and whether a graphics device does batches (`searchMany`) faster: measured once, on made-up rows. */
  probeVectors(): Promise<VectorVerdict>;

  /** `persist()` is not here: browsers offer it to pages only (`navigator.storage.persist()` on the main thread). */
  storage(): Promise<StorageSummary>;

  /** Fetches what is missing of a model: first from `<base>models/<id>/<path>`, then from the hub. `base`: absolute URL of the page's folder. */
  ensureModel(input: { readonly model: ModelFilesSpec; readonly base: string }, call: ServedCall<Progress>): Promise<void>;
  /** True if every file is there, complete and verified. */
  hasModel(input: { readonly model: ModelFilesSpec }): Promise<boolean>;
  /** The file as a Blob over the stored parts (nothing is read into memory); null if it is not complete. */
  modelBlob(input: { readonly id: string; readonly path: string }): Promise<Blob | null>;
  removeModel(input: { readonly id: string }): Promise<void>;
  storedModels(): Promise<readonly StoredModel[]>;

  /** Appends events of a run, in order of `seq` (those that are stored already are skipped); the first call creates it, and only its `label` and `startedAt` count. */
  appendRun(input: { readonly id: string; readonly label: string; readonly startedAt: number; readonly events: readonly StoredEvent[] }): Promise<void>;
  runs(): Promise<readonly RunSummary[]>;
  /** All events in order; null if there is no such run. */
  run(input: { readonly id: string }): Promise<readonly StoredEvent[] | null>;
  deleteRun(input: { readonly id: string }): Promise<void>;
  /** Keeps a finished call of a run under its key; safe when it resolves. Only the newest runs keep theirs. */
  saveCall(input: { readonly run: string; readonly key: string; readonly call: unknown }): Promise<void>;
  /** `{key, call}` of all finished calls of a run. Decode them: another version may have written them. */
  calls(input: { readonly run: string }): Promise<readonly unknown[]>;

  /** undefined if it was never set. Decode what comes back: it may have been written by another version. */
  setting(input: { readonly name: string }): Promise<unknown>;
  saveSetting(input: { readonly name: string; readonly value: unknown }): Promise<void>;
}

export const spawnCorpusWorker = (): Worker => new Worker(new URL('../../workers/corpus.ts', import.meta.url), { type: 'module', name: 'corpus' });
