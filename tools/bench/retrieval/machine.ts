/** What the machine and the browser can do at best: memory bandwidth of one thread, and putting bytes into IndexedDB with nothing else done. */
import { rowsOf } from '../../../src/corpus/import.ts';
import type { ShardManifest } from '../../../src/corpus/shard.ts';
import type { EngineReply, MachineRequest, PutFigures } from './contract.ts';
import { fetchManifest, fetchPart, fetchParts, type FetchedPart } from './shard-parts.ts';

/**
 * A WebAssembly module with one function `read(from: i32, end: i32): i64` over its exported memory `memory`: adds up 64-bit words with four 128-bit loads a turn.
 * Scalar JavaScript cannot read as fast as memory delivers.
 */
export function readerModule(pages: number): Uint8Array<ArrayBuffer> {
  const leb = (n: number): number[] => (n < 128 ? [n] : [(n & 127) | 128, ...leb(n >>> 7)]);
  const section = (id: number, body: readonly number[]): number[] => [id, ...leb(body.length), ...body];
  const name = (text: string): number[] => [text.length, ...new TextEncoder().encode(text)];
  const get = (local: number): number[] => [0x20, local];
  const add = [0xfd, 0xce, 0x01]; // i64x2.add
  const lane = (n: number): number[] => [0xfd, 0x1d, n]; // i64x2.extract_lane
  const load = (local: number, offset: number): number[] => [...get(local), ...get(0), 0xfd, 0x00, 0x04, offset, ...add, 0x21, local]; // v128.load
  const code = [
    1, 4, 0x7b, // four locals of type v128
    0x03, 0x40, // loop
    ...[0, 1, 2, 3].flatMap((i) => load(2 + i, 16 * i)),
    ...get(0), 0x41, 0xc0, 0x00, 0x6a, 0x22, 0, // from += 64
    ...get(1), 0x49, 0x0d, 0, 0x0b, // while from < end
    ...get(2), ...get(3), ...add, ...get(4), ...get(5), ...add, ...add, 0x21, 2,
    ...get(2), ...lane(0), ...get(2), ...lane(1), 0x7c, 0x0b,
  ];
  return Uint8Array.from([
    0, 0x61, 0x73, 0x6d, 1, 0, 0, 0,
    ...section(1, [1, 0x60, 2, 0x7f, 0x7f, 1, 0x7e]),
    ...section(3, [1, 0]),
    ...section(5, [1, 0, ...leb(pages)]),
    ...section(7, [2, ...name('memory'), 2, 0, ...name('read'), 0, 0]),
    ...section(10, [1, ...leb(code.length), ...code]),
  ]);
}

async function bandwidth(bytes: number): Promise<number> {
  const size = Math.ceil(bytes / 65536) * 65536;
  const { instance } = await WebAssembly.instantiate(readerModule(size / 65536));
  const { memory, read } = instance.exports as unknown as { readonly memory: WebAssembly.Memory; readonly read: (from: number, end: number) => bigint };
  new Uint8Array(memory.buffer).fill(1);
  let best = Infinity;
  const passes = Math.max(8, Math.ceil(2e9 / size));
  for (let i = 0; i < passes; i++) {
    const started = performance.now();
    const sum = read(0, size);
    best = Math.min(best, performance.now() - started);
    if (sum === 0n) throw new Error('nothing was read');
  }
  return size / (best / 1000);
}

const settled = <T>(request: IDBRequest<T>): Promise<T> =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error ?? new Error('the request failed'));
  });

/** Three at a time, as Foray's import has them. */
async function inLanes<T>(items: readonly T[], work: (item: T, at: number) => Promise<void>): Promise<void> {
  let next = 0;
  const lane = async (): Promise<void> => {
    for (let at = next++; ; at = next++) {
      const item = items[at];
      if (item === undefined) return;
      await work(item, at);
    }
  };
  await Promise.all([lane(), lane(), lane()]);
}

const byteCount = (manifest: ShardManifest): number => manifest.parts.reduce((sum, { bytes }) => sum + bytes, 0);

async function fetchOnly({ source }: Extract<MachineRequest, { op: 'fetch' }>): Promise<PutFigures> {
  const manifest = await fetchManifest(source);
  const started = performance.now();
  await inLanes(manifest.parts, async (part) => void (await fetchPart(source, part)));
  return { bytes: byteCount(manifest), ms: performance.now() - started };
}

async function put({ source, records, fetched }: Extract<MachineRequest, { op: 'put' }>): Promise<PutFigures> {
  const manifest = await fetchManifest(source);
  const recordsOf = ({ part, bytes }: FetchedPart): readonly Uint8Array[] =>
    records === 'parts' ? [bytes] : rowsOf(bytes, part, manifest.vectors?.mean)[1].map((block) => block.slice());
  const before: (readonly Uint8Array[])[] = [];
  if (fetched === 'before') for await (const part of fetchParts(source, manifest, null)) before.push(recordsOf(part));
  const name = 'bench-put';
  await settled(indexedDB.deleteDatabase(name));
  const opening = indexedDB.open(name, 1);
  opening.onupgradeneeded = () => opening.result.createObjectStore('blocks');
  const database = await settled(opening);
  const started = performance.now();
  await inLanes(manifest.parts, async (part, at) => {
    const blocks = before[at] ?? recordsOf(await fetchPart(source, part));
    await new Promise<void>((resolve, reject) => {
      const transaction = database.transaction('blocks', 'readwrite');
      transaction.oncomplete = () => resolve();
      transaction.onabort = () => reject(transaction.error ?? new Error('the transaction was aborted'));
      blocks.forEach((block, i) => transaction.objectStore('blocks').put(block, [at, i]));
    });
  });
  const ms = performance.now() - started;
  database.close();
  await settled(indexedDB.deleteDatabase(name));
  return { bytes: byteCount(manifest), ms };
}

async function answer(request: MachineRequest): Promise<unknown> {
  switch (request.op) {
    case 'bandwidth':
      return bandwidth(request.bytes);
    case 'put':
      return put(request);
    case 'fetch':
      return fetchOnly(request);
  }
}

if (typeof self !== 'undefined' && 'postMessage' in self) {
  self.addEventListener('message', ({ data }: MessageEvent<MachineRequest>) => {
    answer(data).then(
      (value) => self.postMessage({ ok: true, value } satisfies EngineReply),
      (error: unknown) => self.postMessage({ ok: false, error: error instanceof Error ? error.message : String(error) } satisfies EngineReply),
    );
  });
  self.postMessage({ ready: true } satisfies EngineReply);
}
