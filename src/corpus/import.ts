/**
 * Shard import: manifest, parts, completion. Promise: a shard is absent, partial (resumable, not searched) or complete and verified; every part is checked
 * before it is stored, in a transaction of its own; one row written last makes the shard searchable. Over all tabs one import runs at a time.
 */
import * as v from 'valibot';
import { AppError, isAbort } from '../errors.ts';
import { createProgressMeter } from '../progress.ts';
import type { OnProgress, Progress } from '../progress.ts';
import { downloadBytes } from './download.ts';
import type { Net } from './download.ts';
import { scalarKernel } from './kernel/kernel.ts';
import type { Kernel } from './kernel/kernel.ts';
import { checkPart, manifestFile, maxManifestBytes, parseManifest, readPassageDirectory, sha256Hex, verifyPart } from './shard.ts';
import type { ShardManifest, ShardPart } from './shard.ts';
import type { PartRow, Store } from './store.ts';
import { deriveBits } from './vector-index.ts';
import { splitVectors } from './vectors.ts';

/** The name under which own documents appear next to the shards. */
export const ownCorpus = 'own';
/** Parts on their way at the same time: the next ones travel while one is checked and stored. */
const parallelParts = 3;

const progressSchema = v.object({
  phase: v.picklist(['waiting', 'downloading', 'verifying', 'storing', 'reading', 'indexing', 'embedding', 'loading', 'paused', 'done']),
  item: v.string(),
  done: v.number(),
  total: v.nullable(v.number()),
  unit: v.picklist(['bytes', 'passages', 'files']),
  rate: v.nullable(v.number()),
  secondsLeft: v.nullable(v.number()),
});
const messageSchema = v.variant('kind', [
  v.object({ kind: v.literal('changed') }),
  v.object({ kind: v.literal('import'), id: v.string(), name: v.string(), /** null: it ended. */ progress: v.nullable(progressSchema) }),
]);
/** What tabs tell each other: the library changed, or an import advances. */
export type TabMessage = v.InferOutput<typeof messageSchema>;

export interface TabChannel {
  /** Reaches the other tabs, not this one. */
  post(message: TabMessage): void;
  /** Returns the way to stop. */
  listen(listener: (message: TabMessage) => void): () => void;
}

/** null: no other tab hears or is heard. Messages that cannot be decoded are dropped. */
export function createTabChannel(broadcast: BroadcastChannel | null): TabChannel {
  const listeners = new Set<(message: TabMessage) => void>();
  broadcast?.addEventListener('message', (event: MessageEvent<unknown>) => {
    const parsed = v.safeParse(messageSchema, event.data);
    if (parsed.success) for (const listener of listeners) listener(parsed.output);
  });
  return {
    post: (message) => broadcast?.postMessage(message),
    listen(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

export interface ImportTools {
  readonly store: Store;
  readonly net: Net;
  /** null: no coordination between tabs. */
  readonly locks: Pick<LockManager, 'request'> | null;
  readonly channel: TabChannel;
  /** What searches vectors; default: plain JavaScript. */
  readonly kernel?: Promise<Kernel>;
  /** See `vectorBudgetBytes`, the default for a device of unknown memory. */
  readonly vectorBudgetBytes?: number;
}

/** Told once the manifest is known; its answer wraps the rest of the import: what it returns is called with each progress, and at the end with null. */
export type OnIdentified = (id: string, name: string) => (progress: Progress | null) => void;

/**
 * Imports the shard in the folder `url`, or finishes what an earlier import left. Resolves with its id when it is complete; at once if it was already.
 * Rejects with `shard/*`, `download/*`, `storage/*` or `AbortError`; finished parts stay in all cases.
 */
export async function importShard(
  url: string,
  tools: ImportTools,
  signal: AbortSignal,
  onProgress: OnProgress,
  onIdentified: OnIdentified = () => () => {},
): Promise<string> {
  const folder = shardFolder(url, tools.net.origin);
  const text = await fetchManifest(folder, tools.net, signal, onProgress);
  const manifest = parseManifest(text, folder.href);
  if (manifest.id === ownCorpus) throw new AppError('shard/manifest', { reason: `the id "${ownCorpus}" is reserved` });
  const digest = (await sha256Hex(new TextEncoder().encode(text))).slice(0, 16);
  const tell = onIdentified(manifest.id, manifest.name);
  const report = (progress: Progress): void => {
    onProgress(progress);
    tell(progress);
  };
  const work = async (): Promise<void> => {
    const announce = throttled(250, tools.net.now, (progress: Progress | null) =>
      tools.channel.post({ kind: 'import', id: manifest.id, name: manifest.name, progress }),
    );
    try {
      await importParts(folder, { text, manifest, digest }, tools, signal, (progress) => {
        report(progress);
        announce(progress);
      });
    } finally {
      tools.channel.post({ kind: 'import', id: manifest.id, name: manifest.name, progress: null });
      tools.channel.post({ kind: 'changed' });
    }
  };
  try {
    if (tools.locks === null) await work();
    else {
      report({ phase: 'waiting', item: manifest.name, done: 0, total: null, unit: 'bytes', rate: null, secondsLeft: null });
      const stopListening = tools.channel.listen((message) => {
        if (message.kind === 'import' && message.id === manifest.id && message.progress !== null) report(message.progress);
      });
      await tools.locks
        .request('foray-import', { signal }, () => {
          stopListening();
          return work();
        })
        .finally(stopListening);
    }
  } finally {
    tell(null);
  }
  return manifest.id;
}

function shardFolder(url: string, origin: string): URL {
  const refuse = (reason: string): AppError => new AppError('shard/not-a-shard', { what: url.slice(0, 200), reason });
  let folder: URL;
  try {
    folder = new URL(url);
  } catch {
    throw refuse('its address cannot be read');
  }
  if (folder.origin !== origin && folder.protocol !== 'https:') throw refuse('its address must lie on this site or begin with https');
  if (folder.username !== '' || folder.password !== '') throw refuse('its address must not hold a password');
  folder.hash = '';
  folder.search = '';
  if (folder.pathname.endsWith(`/${manifestFile}`)) folder.pathname = folder.pathname.slice(0, -manifestFile.length);
  if (!folder.pathname.endsWith('/')) folder.pathname += '/';
  return folder;
}

async function fetchManifest(folder: URL, net: Net, signal: AbortSignal, onProgress: OnProgress): Promise<string> {
  const refuse = (reason: string, cause?: unknown): AppError => new AppError('shard/not-a-shard', { what: folder.href, reason }, { cause });
  let bytes: Uint8Array;
  try {
    const target = { name: manifestFile, bytes: null, sha256: null, maxBytes: maxManifestBytes };
    bytes = await downloadBytes(target, new URL(manifestFile, folder).href, net, signal, onProgress);
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    switch (error.code) {
      case 'download/not-found':
        throw refuse(`there is no ${manifestFile} (status ${String(error.detail['status'])})`, error);
      case 'download/not-expected':
        throw refuse('a web page came in its place', error);
      case 'download/size':
        throw refuse(`its ${manifestFile} is too large`, error);
      default:
        throw error;
    }
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (error) {
    throw refuse(`its ${manifestFile} is not text`, error);
  }
}

async function importParts(
  folder: URL,
  shard: { readonly text: string; readonly manifest: ShardManifest; readonly digest: string },
  { store, net, kernel }: ImportTools,
  signal: AbortSignal,
  onProgress: OnProgress,
): Promise<void> {
  const { manifest, digest } = shard;
  const { id } = manifest;
  signal.throwIfAborted();
  const total = manifest.parts.reduce((sum, part) => sum + part.bytes, 0);
  const stored = new Set((await store.parts(id, digest)).map((part) => part.file));
  const isWhole = manifest.parts.every((part) => stored.has(part.file));
  const known = (await store.corpora()).find((row) => row.id === id && row.digest === digest);
  const meter = createProgressMeter('bytes', net.now);
  if (known?.state === 'complete') {
    if (isWhole) return onProgress(meter.update(total, { phase: 'done', item: manifest.name, total }));
    // The browser lost rows of a finished shard: nothing of it can be trusted.
    await store.deleteCorpus(id);
    stored.clear();
  }
  await store.beginImport({ id, digest, url: folder.href, manifest: shard.text });

  let finished = 0;
  for (const part of manifest.parts) if (stored.has(part.file)) finished += part.bytes;
  const arrived = new Map<string, number>();
  const report = (phase: Progress['phase'], item: string, countdown: number | null = null): void => {
    const done = finished + [...arrived.values()].reduce((sum, n) => sum + n, 0);
    const progress = meter.update(done, { phase, item, total });
    onProgress(phase === 'waiting' ? { ...progress, rate: null, secondsLeft: countdown } : progress);
  };
  report('downloading', manifest.name);

  const todo = manifest.parts.filter((part) => !stored.has(part.file));
  const stop = new AbortController();
  const both = AbortSignal.any([signal, stop.signal]);
  let damaged: AppError | null = null;
  const fetchNext = async (): Promise<void> => {
    for (let part = todo.shift(); part !== undefined; part = todo.shift()) {
      const { file } = part;
      try {
        const bytes = await fetchPart(folder, part, net, both, (progress) => {
          arrived.set(file, progress.done);
          report(progress.phase === 'waiting' && progress.secondsLeft !== null ? 'waiting' : 'downloading', file, progress.secondsLeft);
        });
        report('verifying', file);
        await verifyPart(bytes, part);
        checkPart(bytes, part, manifest, { deep: true });
        report('storing', file);
        both.throwIfAborted();
        await store.putPart(id, digest, ...rowsOf(bytes, part, manifest.vectors?.mean, await kernel));
        arrived.delete(file);
        finished += part.bytes;
        report('storing', file);
      } catch (error) {
        arrived.delete(file);
        // A damaged part stops nothing: the others are fetched now, so that the next try fetches this one only.
        if (!(error instanceof AppError) || (error.code !== 'shard/checksum' && error.code !== 'shard/truncated')) throw error;
        damaged ??= error;
      }
    }
  };
  const results = await Promise.allSettled(
    Array.from({ length: parallelParts }, () =>
      fetchNext().catch((error: unknown) => {
        stop.abort();
        throw error;
      }),
    ),
  );
  if (signal.aborted) signal.throwIfAborted();
  const errors = results.flatMap((result) => (result.status === 'rejected' ? [result.reason as unknown] : []));
  const failure = errors.find((error) => !isAbort(error)) ?? errors[0];
  if (failure !== undefined) throw failure instanceof Error ? failure : new Error('the import failed', { cause: failure });
  if (damaged !== null) throw damaged as AppError;
  await store.completeImport(id, digest);
  report('done', manifest.name);
}

async function fetchPart(folder: URL, part: ShardPart, net: Net, signal: AbortSignal, onProgress: OnProgress): Promise<Uint8Array<ArrayBuffer>> {
  try {
    const target = { name: part.file, bytes: part.bytes, isExact: true, sha256: null, maxBytes: part.bytes };
    return await downloadBytes(target, new URL(part.file, folder).href, net, signal, onProgress);
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    const { got } = error.detail;
    if (error.code === 'download/not-found') throw new AppError('shard/part-missing', { part: part.file, status: error.detail['status'] ?? '?' }, { cause: error });
    if (error.code !== 'download/size') throw error;
    if (typeof got === 'number' && got > part.bytes) throw new AppError('shard/checksum', { part: part.file }, { cause: error });
    throw new AppError('shard/truncated', { part: part.file, got: got ?? '?', expected: part.bytes }, { cause: error });
  }
}

/** A part as the store keeps it: passages block by block, vectors in a head and blocks of rows where the shard states their mean, everything else whole. */
export function rowsOf(
  bytes: Uint8Array<ArrayBuffer>,
  part: Omit<ShardPart, 'sha256'>,
  mean?: readonly number[],
  kernel: Kernel = scalarKernel,
): [PartRow, readonly Uint8Array[]] {
  const { file, kind, first, count } = part;
  if (kind === 'vectors' && mean !== undefined) {
    const { blocks, places } = splitVectors(bytes, first, Float32Array.from(mean), file, (rows, centre) => deriveBits(kernel, rows, centre));
    return [{ file, kind, first, count, blocks: places, bytes: bytes.length }, blocks];
  }
  const directory = kind === 'passages' ? readPassageDirectory(bytes, bytes.length, file) : null;
  const blocks = directory?.map((block) => bytes.subarray(block.offset, block.offset + block.length)) ?? [bytes];
  const places = directory?.map((block) => ({ first: block.first, count: block.count })) ?? [{ first, count }];
  return [{ file, kind, first, count, blocks: places, bytes: bytes.length }, blocks];
}

/** At most one call in `ms`; the last one may be left out. */
function throttled<T>(ms: number, now: () => number, call: (value: T) => void): (value: T) => void {
  let last = -Infinity;
  return (value) => {
    if (now() - last < ms) return;
    last = now();
    call(value);
  };
}
