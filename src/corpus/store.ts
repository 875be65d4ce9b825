/**
 * The store of record: schema, transactions and decoding of everything kept in IndexedDB. The only importer of idb.
 * Promise: each call is one transaction, whole or not at all; a lost connection is opened again once and the call repeated; where the browser stores
 * nothing, the same store works in memory. Failures are `AppError`s of the area `storage`; rows that cannot be decoded count as absent.
 */
import { wrap } from 'idb';
import type { IDBPDatabase, IDBPTransaction } from 'idb';
import * as v from 'valibot';
import { AppError } from '../errors.ts';
import type { StoredEvent } from './worker-api.ts';

const databaseName = 'foray';
const databaseVersion = 2;

const storeNames = ['corpora', 'parts', 'blocks', 'documents', 'vectors', 'files', 'fileParts', 'runs', 'runEvents', 'runCalls', 'settings'] as const;
/** Runs whose finished calls are kept, so that they can be changed and continued; the events of older ones stay. */
const keptCalls = 20;
type StoreName = (typeof storeNames)[number];
/** Keys are arrays; what belongs together shares a prefix. */
type Key = readonly (string | number)[];

const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const bytes = v.custom<Uint8Array<ArrayBuffer>>((value) => value instanceof Uint8Array);

const corpusRow = v.object({
  id: v.string(),
  /** Start of the manifest's SHA-256: tells versions of a shard apart. */
  digest: v.string(),
  url: v.string(),
  state: v.picklist(['partial', 'complete']),
  manifest: v.string(),
  order: count,
});
/** A version of a shard. Key: [id, digest]; an update is a second, partial row until it replaces the complete one. */
export type CorpusRow = v.InferOutput<typeof corpusRow>;

const partRow = v.object({
  file: v.string(),
  kind: v.picklist(['passages', 'lexical', 'vectors', 'links', 'titles']),
  first: count,
  count,
  /** Ordinal of the first passage and number of passages of each block. */
  blocks: v.array(v.object({ first: count, count })),
  bytes: count,
});
/** A verified part. Its bytes lie in `blocks`: the passage blocks one by one, other kinds as one block. */
export type PartRow = v.InferOutput<typeof partRow>;

const documentRow = v.object({
  id: v.string(),
  order: count,
  name: v.string(),
  title: v.string(),
  type: v.picklist(['text', 'markdown', 'html', 'pdf']),
  sha256: v.string(),
  bytes: count,
  pages: v.nullable(count),
  passages: count,
});
export type DocumentRow = v.InferOutput<typeof documentRow>;

const vectorRow = v.object({
  document: v.string(),
  embedder: v.string(),
  dimensions: count,
  first: count,
  count,
  bytes,
});
/** Vectors of `count` passages of an own document from ordinal `first`, in the coding of a `vectors` part. */
export type VectorRow = v.InferOutput<typeof vectorRow>;

const fileRow = v.object({
  model: v.string(),
  path: v.string(),
  /** Size as announced; null if nobody said. */
  bytes: v.nullable(count),
  received: count,
  parts: count,
  sha256: v.nullable(v.string()),
  etag: v.nullable(v.string()),
  source: v.string(),
  complete: v.boolean(),
});
/** A model file; its bytes are the Blobs [model, path, 0 .. parts-1] of `fileParts`. */
export type FileRow = v.InferOutput<typeof fileRow>;

const runRow = v.object({ id: v.string(), order: count, startedAt: v.number(), label: v.string(), events: count, /** `seq` after the last stored event. */ next: count });
export type RunRow = v.InferOutput<typeof runRow>;

const eventRow = v.looseObject({ runId: v.string(), seq: count, kind: v.string() });

export interface BlockPlace {
  readonly id: string;
  readonly digest: string;
  readonly file: string;
  readonly block: number;
}

export type StoreNotice = 'memory-only' | 'newer' | 'blocked' | 'cleared';

export interface StoreOptions {
  /** Default: the platform's; null: none, everything is kept in memory. */
  readonly indexedDB?: IDBFactory | null;
  /** The database version; raised in tests to play a newer app. */
  readonly version?: number;
  /** Told when the state of the connection changes; null: all is well again. */
  readonly onNotice?: (notice: StoreNotice | null) => void;
}

export interface Store {
  /** Opens the database; later calls give the same answer. False: the store works in memory only. Rejects with `storage/newer`. */
  available(): Promise<boolean>;
  close(): Promise<void>;

  corpora(): Promise<readonly CorpusRow[]>;
  /** Makes `row` the only partial version of its shard. An older partial version goes with its parts; a complete one stays. */
  beginImport(row: Omit<CorpusRow, 'state' | 'order'>): Promise<void>;
  /** Stores a verified part. Rejects with `shard/not-found` if the import was deleted meanwhile. */
  putPart(id: string, digest: string, part: PartRow, blocks: readonly Uint8Array[]): Promise<void>;
  parts(id: string, digest: string): Promise<readonly PartRow[]>;
  /** The one transaction that makes a shard searchable; an older complete version of it goes in the same transaction. */
  completeImport(id: string, digest: string): Promise<void>;
  deleteCorpus(id: string): Promise<void>;
  /** Blocks in the order asked; null for those that are gone. `digest` is the document's id where `id` is `own`. */
  blocks(wanted: readonly BlockPlace[]): Promise<readonly (Uint8Array<ArrayBuffer> | null)[]>;

  documents(): Promise<readonly DocumentRow[]>;
  addDocument(row: Omit<DocumentRow, 'order'>, parts: readonly { readonly part: PartRow; readonly blocks: readonly Uint8Array[] }[]): Promise<DocumentRow>;
  /** Puts a part in the place of the one with its name; nothing where the document is gone. */
  replaceDocumentPart(id: string, part: PartRow, blocks: readonly Uint8Array[]): Promise<void>;
  deleteDocument(id: string): Promise<void>;
  deleteDocuments(): Promise<void>;
  vectors(document: string): Promise<readonly VectorRow[]>;
  /** Puts `row` in the place of the vectors `from` of its document, if the document and all of `from` are still there; tells whether it did. */
  replaceVectors(row: VectorRow, from: readonly VectorRow[]): Promise<boolean>;

  files(model?: string): Promise<readonly FileRow[]>;
  file(model: string, path: string): Promise<FileRow | null>;
  /** Starts the file anew: what was there goes. */
  beginFile(row: FileRow): Promise<void>;
  /** Adds the next part; `row` is the state after it. */
  appendFile(row: FileRow, part: Blob): Promise<void>;
  completeFile(row: FileRow): Promise<void>;
  fileParts(model: string, path: string): Promise<readonly Blob[]>;
  deleteFile(model: string, path: string): Promise<void>;
  deleteModel(model: string): Promise<void>;

  /** Events that are stored already are skipped; events out of order are `engine/protocol`. */
  appendRun(row: Omit<RunRow, 'order' | 'events' | 'next'>, events: readonly StoredEvent[]): Promise<void>;
  runs(): Promise<readonly RunRow[]>;
  run(id: string): Promise<readonly StoredEvent[] | null>;
  deleteRun(id: string): Promise<void>;
  /** A finished call of a run, as it is. Calls of runs that are not among the newest `keptCalls` go when a new run begins to store some. */
  saveCall(run: string, key: string, call: unknown): Promise<void>;
  calls(run: string): Promise<readonly unknown[]>;

  setting(name: string): Promise<unknown>;
  saveSetting(name: string, value: unknown): Promise<void>;
}

/** One transaction. Writes are not awaited one by one: they succeed or fail together at its end. */
interface Tx {
  get(store: StoreName, key: Key): Promise<unknown>;
  list(store: StoreName, prefix: Key): Promise<readonly unknown[]>;
  put(store: StoreName, key: Key, value: unknown): void;
  /** Removes the key and all keys that begin with it. */
  remove(store: StoreName, prefix: Key): void;
}

interface Work {
  readonly stores: readonly StoreName[];
  readonly mode: 'readonly' | 'readwrite';
  /** For messages: what is being stored, and its size. */
  readonly what: string;
  readonly bytes: number;
  readonly strict?: boolean;
}

interface Engine {
  run<T>(work: Work, body: (tx: Tx) => Promise<T>): Promise<T>;
  close(): Promise<void>;
}

export function createStore(options: StoreOptions = {}): Store {
  const notify = options.onNotice ?? (() => {});
  let engine: Promise<Engine> | null = null;
  let isMemory = false;

  function open(): Promise<Engine> {
    engine ??= openEngine(options, notify).then(
      (opened) => opened,
      (error: unknown) => {
        if (error instanceof AppError) {
          engine = null;
          throw error;
        }
        isMemory = true;
        notify('memory-only');
        return memoryEngine();
      },
    );
    return engine;
  }
  const read = async <T>(stores: readonly StoreName[], body: (tx: Tx) => Promise<T>): Promise<T> =>
    (await open()).run({ stores, mode: 'readonly', what: 'reading', bytes: 0 }, body);
  const write = async <T>(stores: readonly StoreName[], what: string, size: number, body: (tx: Tx) => Promise<T>, strict = false): Promise<T> =>
    (await open()).run({ stores, mode: 'readwrite', what, bytes: size, strict }, body);

  const listAll = async <S extends v.GenericSchema>(tx: Tx, store: StoreName, prefix: Key, schema: S): Promise<v.InferOutput<S>[]> =>
    (await tx.list(store, prefix)).flatMap((value) => {
      const parsed = v.safeParse(schema, value);
      return parsed.success ? [parsed.output] : [];
    });
  const getOne = async <S extends v.GenericSchema>(tx: Tx, store: StoreName, key: Key, schema: S): Promise<v.InferOutput<S> | null> => {
    const parsed = v.safeParse(schema, await tx.get(store, key));
    return parsed.success ? parsed.output : null;
  };
  const nextOrder = (rows: readonly { readonly order: number }[]): number => rows.reduce((max, row) => Math.max(max, row.order), 0) + 1;
  const putBlocks = (tx: Tx, id: string, digest: string, part: PartRow, blocks: readonly Uint8Array[]): void => {
    tx.put('parts', [id, digest, part.file], part);
    // A view is stored with the whole buffer behind it, so each block is copied out first.
    blocks.forEach((block, n) => tx.put('blocks', [id, digest, part.file, n], block.byteLength === block.buffer.byteLength ? block : block.slice()));
  };

  return {
    async available() {
      await open();
      return !isMemory;
    },
    async close() {
      const opened = engine;
      engine = null;
      await (await opened)?.close();
    },

    corpora: () => read(['corpora'], async (tx) => (await listAll(tx, 'corpora', [], corpusRow)).sort((a, b) => a.order - b.order)),
    beginImport: (row) =>
      write(['corpora', 'parts', 'blocks'], row.id, row.manifest.length, async (tx) => {
        const rows = await listAll(tx, 'corpora', [], corpusRow);
        const known = rows.find((other) => other.id === row.id && other.digest === row.digest);
        for (const other of rows) {
          if (other.id !== row.id || other.state === 'complete' || other.digest === row.digest) continue;
          for (const store of ['corpora', 'parts', 'blocks'] as const) tx.remove(store, [row.id, other.digest]);
        }
        if (known?.state === 'complete') return;
        const order = known?.order ?? rows.find((other) => other.id === row.id)?.order ?? nextOrder(rows);
        tx.put('corpora', [row.id, row.digest], { ...row, state: 'partial', order } satisfies CorpusRow);
      }),
    putPart: (id, digest, part, blocks) =>
      write(['corpora', 'parts', 'blocks'], `${id}: ${part.file}`, part.bytes, async (tx) => {
        if ((await getOne(tx, 'corpora', [id, digest], corpusRow)) === null) throw new AppError('shard/not-found', { id });
        putBlocks(tx, id, digest, part, blocks);
      }),
    parts: (id, digest) => read(['parts'], (tx) => listAll(tx, 'parts', [id, digest], partRow)),
    completeImport: (id, digest) =>
      write(
        ['corpora', 'parts', 'blocks'],
        id,
        0,
        async (tx) => {
          const rows = await listAll(tx, 'corpora', [id], corpusRow);
          const row = rows.find((other) => other.digest === digest);
          if (row === undefined) throw new AppError('shard/not-found', { id });
          for (const other of rows) {
            if (other === row) continue;
            for (const store of ['corpora', 'parts', 'blocks'] as const) tx.remove(store, [id, other.digest]);
          }
          tx.put('corpora', [id, digest], { ...row, state: 'complete' } satisfies CorpusRow);
        },
        true,
      ),
    deleteCorpus: (id) =>
      write(['corpora', 'parts', 'blocks'], id, 0, async (tx) => {
        for (const store of ['corpora', 'parts', 'blocks'] as const) tx.remove(store, [id]);
      }),
    blocks: (wanted) =>
      read(['blocks'], (tx) =>
        Promise.all(
          wanted.map(async ({ id, digest, file, block }) => {
            const value = await tx.get('blocks', [id, digest, file, block]);
            return v.is(bytes, value) ? value : null;
          }),
        ),
      ),

    documents: () => read(['documents'], async (tx) => (await listAll(tx, 'documents', [], documentRow)).sort((a, b) => a.order - b.order)),
    addDocument: (row, parts) =>
      write(['documents', 'parts', 'blocks'], row.name, parts.reduce((sum, { part }) => sum + part.bytes, 0), async (tx) => {
        const stored: DocumentRow = { ...row, order: nextOrder(await listAll(tx, 'documents', [], documentRow)) };
        tx.put('documents', [row.id], stored);
        for (const { part, blocks } of parts) putBlocks(tx, 'own', row.id, part, blocks);
        return stored;
      }),
    replaceDocumentPart: (id, part, blocks) =>
      write(['documents', 'parts', 'blocks'], id, part.bytes, async (tx) => {
        if ((await getOne(tx, 'documents', [id], documentRow)) === null) return;
        tx.remove('blocks', ['own', id, part.file]);
        putBlocks(tx, 'own', id, part, blocks);
      }),
    deleteDocument: (id) =>
      write(['documents', 'parts', 'blocks', 'vectors'], id, 0, async (tx) => {
        tx.remove('documents', [id]);
        tx.remove('parts', ['own', id]);
        tx.remove('blocks', ['own', id]);
        tx.remove('vectors', [id]);
      }),
    deleteDocuments: () =>
      write(['documents', 'parts', 'blocks', 'vectors'], 'own documents', 0, async (tx) => {
        tx.remove('documents', []);
        tx.remove('parts', ['own']);
        tx.remove('blocks', ['own']);
        tx.remove('vectors', []);
      }),
    vectors: (document) => read(['vectors'], async (tx) => (await listAll(tx, 'vectors', [document], vectorRow)).sort((a, b) => a.first - b.first)),
    replaceVectors: (row, from) =>
      write(['documents', 'vectors'], `vectors of ${row.document}`, row.bytes.length, async (tx) => {
        if ((await getOne(tx, 'documents', [row.document], documentRow)) === null) return false;
        const present = await listAll(tx, 'vectors', [row.document], vectorRow);
        const same = (a: VectorRow, b: VectorRow): boolean => a.embedder === b.embedder && a.first === b.first && a.count === b.count;
        if (present.length !== from.length || !from.every((old) => present.some((other) => same(old, other)))) return false;
        const isOfOther = (old: VectorRow): boolean => old.embedder !== row.embedder || old.dimensions !== row.dimensions;
        const replaced = present.filter((old) => isOfOther(old) || (old.first >= row.first && old.first < row.first + row.count));
        for (const old of replaced) tx.remove('vectors', [row.document, old.embedder, old.first]);
        tx.put('vectors', [row.document, row.embedder, row.first], row);
        return true;
      }),

    files: (model) => read(['files'], (tx) => listAll(tx, 'files', model === undefined ? [] : [model], fileRow)),
    file: (model, path) => read(['files'], (tx) => getOne(tx, 'files', [model, path], fileRow)),
    beginFile: (row) =>
      write(['files', 'fileParts'], row.path, 0, async (tx) => {
        tx.remove('fileParts', [row.model, row.path]);
        tx.put('files', [row.model, row.path], row);
      }),
    appendFile: (row, part) =>
      write(['files', 'fileParts'], row.path, part.size, async (tx) => {
        const before = await getOne(tx, 'files', [row.model, row.path], fileRow);
        if (before === null || before.parts !== row.parts - 1) throw new AppError('download/network', { file: row.path, reason: 'it was removed meanwhile' });
        tx.put('fileParts', [row.model, row.path, row.parts - 1], part);
        tx.put('files', [row.model, row.path], row);
      }),
    completeFile: (row) => write(['files'], row.path, 0, async (tx) => tx.put('files', [row.model, row.path], { ...row, complete: true }), true),
    fileParts: (model, path) => read(['fileParts'], async (tx) => (await tx.list('fileParts', [model, path])).filter((value) => value instanceof Blob)),
    deleteFile: (model, path) =>
      write(['files', 'fileParts'], path, 0, async (tx) => {
        tx.remove('files', [model, path]);
        tx.remove('fileParts', [model, path]);
      }),
    deleteModel: (model) =>
      write(['files', 'fileParts'], model, 0, async (tx) => {
        tx.remove('files', [model]);
        tx.remove('fileParts', [model]);
      }),

    appendRun: (row, events) =>
      write(['runs', 'runEvents'], 'the history', 0, async (tx) => {
        const rows = await listAll(tx, 'runs', [], runRow);
        const known = rows.find((other) => other.id === row.id);
        const next = known?.next ?? 0;
        const fresh = events.filter((event) => event.seq >= next);
        const isInOrder = fresh.every((event, i) => event.runId === row.id && (i === 0 || event.seq > (fresh[i - 1]?.seq ?? 0)));
        if (!isInOrder) throw new AppError('engine/protocol', { what: `run events out of order after ${next}` });
        if (fresh.length > 0) tx.put('runEvents', [row.id, next], fresh);
        const total = (known?.events ?? 0) + fresh.length;
        tx.put('runs', [row.id], { ...(known ?? row), order: known?.order ?? nextOrder(rows), events: total, next: (fresh.at(-1)?.seq ?? next - 1) + 1 } satisfies RunRow);
      }),
    runs: () => read(['runs'], async (tx) => (await listAll(tx, 'runs', [], runRow)).sort((a, b) => b.order - a.order)),
    run: (id) =>
      read(['runs', 'runEvents'], async (tx) => {
        if ((await getOne(tx, 'runs', [id], runRow)) === null) return null;
        return (await listAll(tx, 'runEvents', [id], v.array(eventRow))).flat().sort((a, b) => a.seq - b.seq);
      }),
    deleteRun: (id) =>
      write(['runs', 'runEvents', 'runCalls'], 'the history', 0, async (tx) => {
        for (const store of ['runs', 'runEvents', 'runCalls'] as const) tx.remove(store, [id]);
      }),
    saveCall: (run, key, call) =>
      write(['runs', 'runCalls'], 'the history', 0, async (tx) => {
        if ((await tx.list('runCalls', [run])).length === 0) {
          const old = (await listAll(tx, 'runs', [], runRow)).sort((a, b) => b.order - a.order).slice(keptCalls);
          for (const { id } of old) tx.remove('runCalls', [id]);
        }
        tx.put('runCalls', [run, key], { key, call });
      }),
    calls: (run) => read(['runCalls'], (tx) => tx.list('runCalls', [run])),

    setting: (name) => read(['settings'], (tx) => tx.get('settings', [name])),
    saveSetting: (name, value) => write(['settings'], 'the settings', 0, async (tx) => tx.put('settings', [name], value)),
  };
}

const nameOf = (error: unknown): string => (typeof error === 'object' && error !== null && 'name' in error ? String(error.name) : '');

/** Rejects with `storage/newer`, or with whatever says that there is no storage here. */
async function openEngine(options: StoreOptions, notify: (notice: StoreNotice | null) => void): Promise<Engine> {
  const given = options.indexedDB === undefined ? globalThis.indexedDB : options.indexedDB;
  if (given === null || given === undefined) throw new Error('no IndexedDB');
  const factory: IDBFactory = given;
  let database: Promise<IDBPDatabase> | null = null;
  let isReplaced = false; // by a newer version in another tab
  let wasOpen = false;

  function connect(): Promise<IDBPDatabase> {
    if (isReplaced) return Promise.reject(new AppError('storage/newer'));
    if (database !== null) return database;
    let isNew = false;
    const request = async (): Promise<IDBPDatabase | undefined> => {
      const asked = factory.open(databaseName, options.version ?? databaseVersion);
      asked.addEventListener('upgradeneeded', () => {
        isNew = true;
        for (const name of storeNames) if (!asked.result.objectStoreNames.contains(name)) asked.result.createObjectStore(name);
      });
      asked.addEventListener('blocked', () => notify('blocked'));
      return wrap(asked);
    };
    const opening: Promise<IDBPDatabase> = request().then(
      (db) => {
        if (db === undefined) throw new Error('no database');
        db.addEventListener('versionchange', (event) => {
          // Whoever keeps an old connection open keeps the other tab from starting; a deletion (no version) may be followed by a new start.
          db.close();
          if (database === opening) database = null;
          isReplaced = event.newVersion !== null;
          notify(isReplaced ? 'newer' : 'cleared');
        });
        // The browser ended the connection: the next call opens it again.
        db.addEventListener('close', () => {
          if (database === opening) database = null;
        });
        notify(isNew && wasOpen ? 'cleared' : null);
        wasOpen = true;
        return db;
      },
      (error: unknown) => {
        if (database === opening) database = null;
        if (nameOf(error) !== 'VersionError') throw error;
        notify('newer');
        throw new AppError('storage/newer', {}, { cause: error });
      },
    );
    database = opening;
    return opening;
  }

  await connect();
  return {
    async run(work, body) {
      for (let attempt = 0; ; attempt++) {
        const opening = connect();
        let tx: IDBPTransaction<unknown, string[], 'readonly' | 'readwrite'>;
        let db: IDBPDatabase;
        try {
          db = await opening;
          tx = db.transaction([...work.stores], work.mode, { durability: work.strict === true ? 'strict' : 'relaxed' });
        } catch (error) {
          if (error instanceof AppError) throw error;
          if (database === opening) database = null;
          if (attempt === 0) continue;
          throw new AppError('storage/closed', {}, { cause: error });
        }
        const finished = tx.done.then(
          () => null,
          (error: unknown) => ({ error }),
        );
        try {
          const value = await body(transactionOf(tx));
          const failure = await finished;
          if (failure === null) return value;
          throw failure.error;
        } catch (error) {
          try {
            tx.abort();
          } catch {
            // It has ended already.
          }
          const failure = await finished;
          if (error instanceof AppError) throw error;
          const cause = failure?.error ?? error;
          const names = [nameOf(cause), nameOf(error)];
          if (names.includes('QuotaExceededError')) {
            throw new AppError('storage/quota', { what: work.what, neededMB: Math.max(1, Math.ceil(work.bytes / 1e6)) }, { cause });
          }
          // What the browser did not cause is a mistake of the caller.
          if (names.includes('DataCloneError') || !(error instanceof DOMException)) throw error;
          if (database === opening) database = null;
          db.close();
          if (attempt > 0) throw new AppError('storage/closed', {}, { cause });
        }
      }
    },
    async close() {
      const opened = database;
      database = null;
      (await opened?.catch(() => null))?.close();
    },
  };
}

function transactionOf(tx: IDBPTransaction<unknown, string[], 'readonly' | 'readwrite'>): Tx {
  // An array sorts after all numbers and strings, so this is the range of every key that begins with the prefix.
  const range = (prefix: Key): IDBKeyRange => IDBKeyRange.bound([...prefix], [...prefix, []]);
  const writable = (store: StoreName): { put(value: unknown, key: IDBValidKey): Promise<unknown>; delete(key: IDBKeyRange): Promise<void> } => {
    const { put, delete: remove } = tx.objectStore(store);
    if (put === undefined || remove === undefined) throw new Error(`write to ${store} in a read transaction`);
    const target = tx.objectStore(store);
    return { put: put.bind(target), delete: remove.bind(target) };
  };
  return {
    get: (store, key) => tx.objectStore(store).get([...key]),
    list: (store, prefix) => tx.objectStore(store).getAll(range(prefix)),
    put(store, key, value) {
      writable(store).put(value, [...key]).catch(() => {});
    },
    remove(store, prefix) {
      writable(store).delete(range(prefix)).catch(() => {});
    },
  };
}

/** The same store without a browser's help: maps, with an undo list for failed transactions. One transaction at a time. */
function memoryEngine(): Engine {
  const tables = new Map<StoreName, Map<string, { readonly key: Key; readonly value: unknown }>>(storeNames.map((name) => [name, new Map()]));
  const table = (name: StoreName): Map<string, { readonly key: Key; readonly value: unknown }> => {
    const found = tables.get(name);
    if (found === undefined) throw new Error(`no store ${name}`);
    return found;
  };
  const within = (store: StoreName, prefix: Key): [string, { readonly key: Key; readonly value: unknown }][] =>
    [...table(store)].filter(([, { key }]) => prefix.every((part, i) => key[i] === part)).sort(([, a], [, b]) => compareKeys(a.key, b.key));
  let last: Promise<unknown> = Promise.resolve();

  const transact = async <T>(body: (tx: Tx) => Promise<T>): Promise<T> => {
    const undo: (() => void)[] = [];
    const set = (store: StoreName, id: string, entry: { readonly key: Key; readonly value: unknown } | undefined): void => {
      const before = table(store).get(id);
      undo.push(() => (before === undefined ? table(store).delete(id) : table(store).set(id, before)));
      if (entry === undefined) table(store).delete(id);
      else table(store).set(id, entry);
    };
    try {
      return await body({
        get: async (store, key) => table(store).get(JSON.stringify(key))?.value,
        list: async (store, prefix) => within(store, prefix).map(([, { value }]) => value),
        put: (store, key, value) => set(store, JSON.stringify(key), { key, value: structuredClone(value) }),
        remove(store, prefix) {
          for (const [id] of within(store, prefix)) set(store, id, undefined);
        },
      });
    } catch (error) {
      for (const step of undo.reverse()) step();
      throw error;
    }
  };
  return {
    run(_work, body) {
      const result = last.then(() => transact(body));
      last = result.catch(() => {});
      return result;
    },
    close: async () => {},
  };
}

function compareKeys(a: Key, b: Key): number {
  for (let i = 0; i < Math.min(a.length, b.length); i++) {
    const x = a[i] ?? 0;
    const y = b[i] ?? 0;
    if (x === y) continue;
    if (typeof x !== typeof y) return typeof x === 'number' ? -1 : 1;
    return x < y ? -1 : 1;
  }
  return a.length - b.length;
}
