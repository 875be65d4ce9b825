/**
 * Transfers: one resumable, verified download used for shard parts and model files, and the store of model files built on it. With the HTTP language model
 * the only caller of fetch. Promise: bytes are never mixed from two versions of a file, nothing unverified counts as complete, an abort pauses.
 */
import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex } from '@noble/hashes/utils.js';
import { AppError, abortError, isAbort } from '../errors.ts';
import type { ErrorCode } from '../errors.ts';
import { createProgressMeter } from '../progress.ts';
import type { OnProgress, ProgressMeter } from '../progress.ts';
import type { FileRow, Store } from './store.ts';
import type { ModelFileSpec, ModelFilesSpec, StoredModel } from './worker-api.ts';

/** What is committed at a time: a break loses less than this. */
const partBytes = 8 * 2 ** 20;
const defaultStallMs = 30_000;
const maxWaitMs = 60_000;
const firstWaitMs = 1000;
/** Tries in a row that bring no byte before a source is given up. */
const maxFruitlessTries = 5;

/** The outside world, injected so that tests need no waiting. */
export interface Net {
  readonly fetch: (url: string, init: RequestInit) => Promise<Response>;
  /** Milliseconds, monotonic. */
  readonly now: () => number;
  /** Rejects with `AbortError`. */
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>;
  /** Origin of the page; conditions on other origins would need their consent. */
  readonly origin: string;
  /** Longest silence of a server before the connection is given up; default 30,000. */
  readonly stallMs?: number;
}

export function browserNet(origin: string): Net {
  return { fetch: (url, init) => fetch(url, init), now: () => performance.now(), sleep, origin };
}

function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(abortError());
    const onAbort = (): void => {
      clearTimeout(timer);
      reject(abortError());
    };
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', onAbort);
      resolve();
    }, ms);
    signal.addEventListener('abort', onAbort, { once: true });
  });
}

export interface Target {
  /** For messages and progress. */
  readonly name: string;
  /** Announced size; null if unknown. Binding when `sha256` is given or `isExact`. */
  readonly bytes: number | null;
  /** The size is binding and the caller verifies the content. */
  readonly isExact?: boolean;
  /** Lower-case hex; null: cannot be verified here. */
  readonly sha256: string | null;
  /** No more than this is accepted, whatever the server sends. */
  readonly maxBytes: number;
}

/** What was kept of a file so far. */
export interface Kept {
  readonly received: number;
  readonly etag: string | null;
  readonly source: string;
}

/** Where the bytes go. Calls come one at a time. */
export interface Sink {
  /** null: nothing kept. */
  load(): Promise<Kept | null>;
  /** The kept bytes in order, for the checksum. */
  read(): AsyncIterable<Uint8Array>;
  reset(start: Kept): Promise<void>;
  append(bytes: Uint8Array<ArrayBuffer>, kept: Kept): Promise<void>;
}

/**
 * Brings `target` into `sink`, from the first of `sources` that has it. Resumes what the sink kept if it is still the same file (ETag, or the checksum at
 * the end). Rejects with `download/*` or what the sink throws, or with `AbortError`; what was fetched stays in the sink except after `download/checksum`,
 * `download/size` and `download/not-expected`. The sink's content is verified when it resolves; marking it complete is the caller's part.
 */
export async function downloadFile(target: Target, sources: readonly string[], sink: Sink, net: Net, signal: AbortSignal, onProgress: OnProgress): Promise<void> {
  const meter = createProgressMeter('bytes', net.now);
  onProgress(meter.update(0, { phase: 'waiting', item: target.name, total: target.bytes }));
  let failure = new AppError('download/not-found', { file: target.name, status: 0 });
  for (const source of sources) {
    try {
      await fromSource(target, source, sink, net, signal, meter, onProgress);
      return;
    } catch (error) {
      if (!(error instanceof AppError) || !error.code.startsWith('download/')) throw error;
      // A missing local copy is no news where the hub's answer comes after it.
      failure = error;
    }
  }
  throw failure;
}

/** The bytes of one try, or why there were none. */
type Outcome = { readonly kind: 'done' } | { readonly kind: 'again'; readonly error: AppError; readonly waitMs: number | null };

async function fromSource(
  target: Target,
  source: string,
  sink: Sink,
  net: Net,
  signal: AbortSignal,
  meter: ProgressMeter,
  onProgress: OnProgress,
): Promise<void> {
  let kept = await sink.load();
  if (kept !== null && !canResume(kept)) kept = null;
  let hash = sha256.create();
  if (kept !== null && target.sha256 !== null) {
    for await (const bytes of sink.read()) {
      signal.throwIfAborted();
      hash.update(bytes);
      onProgress(meter.update(kept.received, { phase: 'verifying' }));
    }
  }

  const restart = async (etag: string | null): Promise<Kept> => {
    hash = sha256.create();
    const fresh = { received: 0, etag, source };
    await sink.reset(fresh);
    return fresh;
  };
  const discard = async (code: ErrorCode, detail: Record<string, string | number>): Promise<never> => {
    await restart(null);
    throw new AppError(code, { file: target.name, ...detail });
  };

  const isOwnOrigin = new URL(source).origin === net.origin;
  let fruitless = 0;
  for (;;) {
    signal.throwIfAborted();
    if (kept !== null && !canResume(kept)) kept = null;
    if (kept !== null && isWhole(kept)) break;
    const before: number = kept?.received ?? 0;
    const outcome = await attempt();
    if (outcome.kind === 'done') break;
    fruitless = (kept?.received ?? 0) > before ? 0 : fruitless + 1;
    if (fruitless >= maxFruitlessTries) throw outcome.error;
    await wait(outcome.waitMs ?? Math.min(maxWaitMs, firstWaitMs * 2 ** Math.max(0, fruitless - 1)));
  }
  if (target.sha256 !== null && bytesToHex(hash.digest()) !== target.sha256) await discard('download/checksum', {});
  onProgress(meter.update(kept?.received ?? 0, { phase: 'done' }));

  function isWhole(state: Kept): boolean {
    return target.bytes !== null && isBinding() && state.received === target.bytes;
  }
  /** Without a checksum, bytes of another source or of an unknown version cannot be told apart from this file's. */
  function canResume(state: Kept): boolean {
    return target.sha256 !== null || target.isExact === true || (state.source === source && state.etag !== null);
  }
  function isBinding(): boolean {
    return target.sha256 !== null || target.isExact === true;
  }

  async function wait(ms: number): Promise<void> {
    const until = net.now() + ms;
    for (;;) {
      const left = until - net.now();
      onProgress({ ...meter.update(kept?.received ?? 0, { phase: 'waiting' }), rate: null, secondsLeft: Math.max(0, Math.ceil(left / 1000)) });
      if (left <= 0) return;
      await net.sleep(Math.min(left, 1000), signal);
    }
  }

  async function attempt(): Promise<Outcome> {
    const offset: number = kept?.received ?? 0;
    const headers: Record<string, string> = {};
    if (offset > 0) {
      headers['Range'] = `bytes=${offset}-`;
      // If-Range on another origin would need a preflight that download hosts refuse; there the ETag of the answer and the checksum decide.
      if (isOwnOrigin && kept?.source === source && kept.etag?.startsWith('"') === true) headers['If-Range'] = kept.etag;
    }
    const stall = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const watch = (): void => {
      clearTimeout(timer);
      timer = setTimeout(() => stall.abort(), net.stallMs ?? defaultStallMs);
    };
    try {
      watch();
      const response = await net.fetch(source, { headers, signal: AbortSignal.any([signal, stall.signal]), cache: 'no-store', credentials: 'omit' });
      const final = await judge(response, offset);
      if (final !== null) return final;
      return await receive(response, offset, watch);
    } catch (error) {
      if (signal.aborted) throw abortError();
      if (error instanceof AppError) throw error;
      if (!isAbort(error) && !(error instanceof TypeError)) throw error;
      const reason = stall.signal.aborted
        ? 'the server stopped sending'
        : offset === 0 && !isOwnOrigin
          ? 'no connection, or the server does not allow this page to read it (CORS)'
          : 'no connection';
      return { kind: 'again', error: new AppError('download/network', { file: target.name, reason }, { cause: error }), waitMs: null };
    } finally {
      clearTimeout(timer);
      if (!signal.aborted) stall.abort();
    }
  }

  /** Throws what is final, says when to try again, and leaves a usable body to `receive` (null). */
  async function judge(response: Response, offset: number): Promise<Outcome | null> {
    const { status } = response;
    if (status === 416) {
      // The file ends where we stand or earlier; if it were whole, it would not have been asked for.
      kept = await restart(null);
      return { kind: 'again', error: new AppError('download/size', { file: target.name, got: offset, expected: target.bytes ?? '?' }), waitMs: 0 };
    }
    if (status === 408 || status === 425 || status === 429 || status >= 500) {
      const error = new AppError('download/status', { file: target.name, status });
      return { kind: 'again', error, waitMs: retryAfterMs(response.headers) };
    }
    if (status !== 200 && status !== 206) throw new AppError('download/not-found', { file: target.name, status });
    if (/\b(text\/html|application\/xhtml)/i.test(response.headers.get('Content-Type') ?? '')) throw new AppError('download/not-expected', { file: target.name });

    const etag = response.headers.get('ETag');
    if (status === 206 && offset > 0) {
      const range = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(response.headers.get('Content-Range') ?? '');
      const isOther = etag !== null && kept?.etag !== null && etag !== kept?.etag && kept?.source === source;
      const isElsewhere = range !== null && Number(range[1]) !== offset;
      if (isOther || isElsewhere) {
        kept = await restart(null);
        return { kind: 'again', error: new AppError('download/network', { file: target.name, reason: 'the file changed' }), waitMs: 0 };
      }
    } else {
      // No Range support, or the file changed: everything comes from the start.
      kept = await restart(etag);
    }
    return null;
  }

  async function receive(response: Response, offset: number, watch: () => void): Promise<Outcome> {
    const announced = Number(response.headers.get('Content-Length') ?? Number.NaN);
    const isCoded = response.headers.get('Content-Encoding') !== null;
    const start = response.status === 206 ? offset : 0;
    let state: Kept = { received: start, etag: response.headers.get('ETag') ?? kept?.etag ?? null, source };
    let total = start;
    let buffer: Uint8Array<ArrayBuffer>[] = [];
    let buffered = 0;
    const commit = async (): Promise<void> => {
      if (buffered === 0) return;
      const part = join(buffer, buffered);
      buffer = [];
      buffered = 0;
      // What is verified elsewhere is not hashed here: in JavaScript that costs more than storing it.
      if (target.sha256 !== null) hash.update(part);
      const next = { ...state, received: state.received + part.length };
      await sink.append(part, next);
      state = next;
      kept = next;
    };
    const limit = Math.min(target.maxBytes, isBinding() && target.bytes !== null ? target.bytes : Infinity);
    const reader = response.body?.getReader();
    try {
      for (;;) {
        const next = await reader?.read();
        if (next === undefined || next.done) break;
        watch();
        if (total === 0 && looksLikePage(next.value)) await discard('download/not-expected', {});
        total += next.value.length;
        if (total > limit) {
          buffered = 0;
          await discard('download/size', { got: total, expected: target.bytes ?? limit });
        }
        buffer.push(next.value);
        buffered += next.value.length;
        if (buffered >= partBytes) {
          await commit();
          signal.throwIfAborted();
        }
        onProgress(meter.update(total, { phase: 'downloading' }));
      }
      await commit();
    } catch (error) {
      void reader?.cancel().catch(() => {});
      await commit();
      throw error;
    }
    if (isBinding() && target.bytes !== null && total < target.bytes) {
      const error = new AppError('download/size', { file: target.name, got: total, expected: target.bytes });
      // The server gave all it announced: the file itself is short, and asking again brings nothing.
      if (!isCoded && announced === total - start && start === 0) await discard('download/size', { got: total, expected: target.bytes });
      return { kind: 'again', error, waitMs: null };
    }
    if (!isCoded && Number.isFinite(announced) && total - start < announced) {
      return { kind: 'again', error: new AppError('download/network', { file: target.name, reason: 'it ended early' }), waitMs: null };
    }
    kept = state;
    return { kind: 'done' };
  }
}

function join(chunks: readonly Uint8Array<ArrayBuffer>[], length: number): Uint8Array<ArrayBuffer> {
  const [only] = chunks;
  if (chunks.length === 1 && only !== undefined) return only;
  const all = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    all.set(chunk, at);
    at += chunk.length;
  }
  return all;
}

/** A portal or an error page served with status 200 and a wrong type. */
function looksLikePage(bytes: Uint8Array): boolean {
  const start = new TextDecoder('latin1').decode(bytes.subarray(0, 256)).replace(/^(ï»¿)?\s*(<!--[\s\S]*?-->\s*)*/, '');
  return /^<(!doctype html|html|head)\b/i.test(start);
}

/** `Retry-After` in seconds or as a date by the server's own clock; null if it says nothing usable. Capped, so that a server cannot hold us for hours. */
function retryAfterMs(headers: Headers): number | null {
  const value = headers.get('Retry-After')?.trim() ?? '';
  const ms = /^\d+$/.test(value) ? Number(value) * 1000 : Date.parse(value) - Date.parse(headers.get('Date') ?? '');
  return Number.isFinite(ms) ? Math.min(Math.max(ms, 0), maxWaitMs) : null;
}

/** Fetches a small file whole into memory. Errors as `downloadFile`. */
export async function downloadBytes(target: Target, source: string, net: Net, signal: AbortSignal, onProgress: OnProgress): Promise<Uint8Array<ArrayBuffer>> {
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  let kept: Kept | null = null;
  const sink: Sink = {
    load: async () => kept,
    async *read() {
      yield* chunks;
    },
    async reset(start) {
      chunks.length = 0;
      kept = start;
    },
    async append(bytes, state) {
      chunks.push(bytes);
      kept = state;
    },
  };
  await downloadFile(target, [source], sink, net, signal, onProgress);
  return join(chunks, chunks.reduce((sum, chunk) => sum + chunk.length, 0));
}

export interface ModelFiles {
  /** Fetches what is missing, file by file: beside the page first, then from the hub. Progress counts the bytes of all files. Abort pauses. */
  ensure(model: ModelFilesSpec, base: string, signal: AbortSignal, onProgress: OnProgress): Promise<void>;
  blob(model: string, path: string): Promise<Blob | null>;
  has(model: ModelFilesSpec): Promise<boolean>;
  remove(model: string): Promise<void>;
  list(): Promise<readonly StoredModel[]>;
}

/** `locks`: one download per model over all tabs; null: no coordination. */
export function createModelFiles(store: Store, net: Net, locks: Pick<LockManager, 'request'> | null): ModelFiles {
  const isStored = (row: FileRow | null | undefined, file: ModelFileSpec): boolean => row?.complete === true && row.sha256 === file.sha256;

  async function ensureAll(model: ModelFilesSpec, base: string, signal: AbortSignal, onProgress: OnProgress): Promise<void> {
    const total = model.files.reduce((sum, file) => sum + file.bytes, 0);
    const meter = createProgressMeter('bytes', net.now);
    let before = 0;
    for (const file of model.files) {
      signal.throwIfAborted();
      if (!/^([\w-][\w.-]*\/)*[\w-][\w.-]*$/.test(file.path) || !/^[\w-][\w.-]*$/.test(model.id)) throw new AppError('download/not-found', { file: file.path, status: 'bad name' });
      if (!isStored(await store.file(model.id, file.path), file)) {
        const sources = [new URL(`models/${model.id}/${file.path}`, base).href, ...(file.hubUrl === null ? [] : [file.hubUrl])];
        const sink = fileSink(store, model.id, file);
        // The announced size of an unverified file is a hint only: mirrors differ in line ends and formatting.
        const target = { name: file.path, bytes: file.bytes, sha256: file.sha256, maxBytes: file.sha256 === null ? Math.max(4 * file.bytes, 16e6) : file.bytes };
        await downloadFile(target, sources, sink, net, signal, (progress) => {
          const all = meter.update(before + progress.done, { phase: progress.phase === 'done' ? 'downloading' : progress.phase, item: file.path, total });
          onProgress(progress.phase === 'waiting' ? { ...all, rate: progress.rate, secondsLeft: progress.secondsLeft } : all);
        });
        const row = await store.file(model.id, file.path);
        if (row !== null) await store.completeFile(row);
      }
      before += file.bytes;
    }
    onProgress(meter.update(total, { phase: 'done', total }));
  }

  return {
    async ensure(model, base, signal, onProgress) {
      onProgress({ phase: 'waiting', item: model.id, done: 0, total: null, unit: 'bytes', rate: null, secondsLeft: null });
      if (locks === null) return ensureAll(model, base, signal, onProgress);
      await locks.request(`foray-model-${model.id}`, { signal }, () => ensureAll(model, base, signal, onProgress));
    },
    async blob(model, path) {
      const row = await store.file(model, path);
      if (row?.complete !== true) return null;
      const parts = await store.fileParts(model, path);
      const blob = new Blob([...parts]);
      return parts.length === row.parts && blob.size === row.received ? blob : null;
    },
    async has(model) {
      const rows = await store.files(model.id);
      return model.files.every((file) => isStored(rows.find((row) => row.path === file.path), file));
    },
    remove: (model) => store.deleteModel(model),
    async list() {
      const models = new Map<string, { path: string; bytes: number; complete: boolean }[]>();
      for (const row of await store.files()) {
        const files = models.get(row.model) ?? [];
        files.push({ path: row.path, bytes: row.received, complete: row.complete });
        models.set(row.model, files);
      }
      return [...models].map(([id, files]) => ({ id, files }));
    },
  };
}

function fileSink(store: Store, model: string, file: ModelFileSpec): Sink {
  let row: FileRow | null = null;
  return {
    async load() {
      row = await store.file(model, file.path);
      // Another checksum is another file, and a complete one that was asked for again is not trusted.
      if (row === null || row.sha256 !== file.sha256 || row.complete || row.received === 0) return null;
      return { received: row.received, etag: row.etag, source: row.source };
    },
    async *read() {
      for (const part of await store.fileParts(model, file.path)) yield new Uint8Array(await part.arrayBuffer());
    },
    async reset(start) {
      row = { model, path: file.path, bytes: file.bytes, received: 0, parts: 0, sha256: file.sha256, etag: start.etag, source: start.source, complete: false };
      await store.beginFile(row);
    },
    async append(bytes, kept) {
      if (row === null) throw new Error('append before load or reset');
      const next: FileRow = { ...row, received: kept.received, parts: row.parts + 1, etag: kept.etag, source: kept.source };
      await store.appendFile(next, new Blob([bytes]));
      row = next;
    },
  };
}
