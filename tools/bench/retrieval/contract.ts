/**
 * What the retrieval benchmark's page, its workers and its Node side agree on. An engine is one module worker that serves `Engine` through `serveEngine`; Foray's own
 * and every peer's obey the same contract and are timed by the same code. Types only.
 */

export type Kind = 'vectors' | 'text';

export interface TextRow {
  readonly title: string;
  readonly text: string;
}

/** What an engine is built from; row i is passage i, and searches answer with these numbers. */
export interface VectorData {
  readonly count: number;
  readonly dimensions: number;
  /** Row-major unit vectors. */
  readonly rows: Float32Array<ArrayBuffer>;
}
export interface TextData {
  readonly count: number;
  readonly rows: readonly TextRow[];
}

/** A setting that trades time for recall; each is measured by itself. */
export interface Point {
  readonly label: string;
  readonly apply: () => void | Promise<void>;
}

export interface Engine<Data, Query> {
  /** Makes the index from the data, ready to be searched. */
  build(data: Data): Promise<void> | void;
  /** Keeps the index in the engine's own persistence (else in IndexedDB, in the form that its documentation names). Bytes kept; null: ask the browser. */
  save(): Promise<number | null>;
  /** Brings back what `save` kept, in a fresh worker. */
  open(source: DataSource): Promise<void>;
  /** Default: one point. */
  readonly points?: readonly Point[];
  /** The `k` best passages, best first. */
  search(query: Query, k: number): Promise<readonly number[]> | readonly number[];
  /** Further figures of the engine, after everything else. */
  extra?(): Promise<Readonly<Record<string, number>>>;
}

/** Where the files of the data lie, as addresses below the page, and how much of them is meant. */
export interface DataSource {
  readonly kind: Kind;
  readonly count: number;
  readonly dimensions: number;
  readonly rowsUrl: string;
  /** Bytes of `rowsUrl` that hold the first `count` rows. */
  readonly rowsBytes: number;
  readonly queriesUrl: string;
  readonly warmUp: number;
  readonly queries: number;
  /** Folder of the shard that Foray imports, built from the same rows. */
  readonly shardUrl: string;
  readonly shardId: string;
}

export interface BuildFigures {
  readonly buildMs: number;
  readonly saveMs: number;
  /** null: the engine does not know. */
  readonly bytes: number | null;
}

export interface OpenFigures {
  /** From the call until the first query is answered; the start of the worker is added by the page. */
  readonly openMs: number;
}

export interface PointFigures {
  readonly label: string;
  /** Milliseconds of each measured query. */
  readonly times: readonly number[];
  /** Passages found by each measured query. */
  readonly found: readonly (readonly number[])[];
}

export interface QueryFigures {
  readonly points: readonly PointFigures[];
  readonly extra: Readonly<Record<string, number>>;
}

export type EngineRequest =
  | { readonly op: 'build'; readonly source: DataSource }
  | { readonly op: 'open'; readonly source: DataSource }
  | { readonly op: 'query'; readonly source: DataSource; /** Time for each point. */ readonly budgetMs: number };

/** What `machine.ts` measures of the machine itself. */
export type MachineRequest =
  /** One thread reads a buffer of so many bytes with 128-bit loads. Answers with bytes a second, the best of several passes. */
  | { readonly op: 'bandwidth'; readonly bytes: number }
  /**
   * Puts the parts of Foray's shard into a database of its own, nothing else: as whole parts, or in the records that Foray's store uses. The parts are fetched
   * before, or in the measured time with `fetched` 'meanwhile': three at a time, each put as soon as it is there.
   */
  | { readonly op: 'put'; readonly source: DataSource; readonly records: 'parts' | 'blocks'; readonly fetched: 'before' | 'meanwhile' }
  /** Fetches the parts, three at a time, and keeps nothing. */
  | { readonly op: 'fetch'; readonly source: DataSource };

export interface PutFigures {
  readonly bytes: number;
  readonly ms: number;
}

export type EngineReply = { readonly ok: true; readonly value: unknown } | { readonly ok: false; readonly error: string } | { readonly ready: true };

/** Number of results that every query asks for. */
export const resultCount = 10;
