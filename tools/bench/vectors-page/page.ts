/**
 * A page that is nothing but the library, for `scale.ts` and the browser tests of vectors: the corpus worker, the kernel by itself, the store, and a raw IndexedDB
 * to compare with. Everything is within reach of `page.evaluate`.
 */
import { kernelBinaries } from 'virtual:foray-kernel';
import { createGpuScorer, probeVectors, searchBatch } from '../../../src/corpus/kernel/batch.ts';
import type { VectorVerdict } from '../../../src/corpus/kernel/batch.ts';
import { openKernel } from '../../../src/corpus/kernel/kernel.ts';
import { decodePassageBlock } from '../../../src/corpus/shard.ts';
import { createStore } from '../../../src/corpus/store.ts';
import { createVectorIndex } from '../../../src/corpus/vector-index.ts';
import { openVectorSegment, quantise } from '../../../src/corpus/vectors.ts';
import { spawnCorpusWorker } from '../../../src/corpus/worker-api.ts';
import type { CorpusWorkerApi } from '../../../src/corpus/worker-api.ts';
import { requestComputeDevice } from '../../../src/engine/device.ts';
import { createHost } from '../../../src/engine/host.ts';
import { bandwidthReader } from './reader.ts';

const corpus = createHost<CorpusWorkerApi>({ name: 'corpus', spawn: spawnCorpusWorker, startSeconds: 120 });

/** Milliseconds of the import. */
async function importShard(url: string): Promise<number> {
  const started = performance.now();
  await corpus.call('importShard', { url: new URL(url, location.href).href }, { silenceSeconds: Infinity });
  return performance.now() - started;
}

interface DenseAnswer {
  readonly ms: number;
  readonly usedDense: boolean;
  readonly ids: readonly string[];
}

/** By vector alone, through the worker; `ms` includes the way there and back, and the texts of the hits. */
async function searchByVector(values: readonly number[], k: number, corpora?: readonly string[]): Promise<DenseAnswer> {
  const request = { text: '', k, links: false, ...(corpora === undefined ? {} : { corpora }) };
  const started = performance.now();
  const result = await corpus.call('search', { request, vector: { embedder: 'minilm', values: Float32Array.from(values) } }, { silenceSeconds: Infinity });
  return { ms: performance.now() - started, usedDense: result.usedDense, ids: result.hits.map(({ passage }) => passage.id) };
}

/** A fresh worker: milliseconds until words answer, and until vectors do. */
async function reopen(query: readonly number[], words: string, id: string): Promise<{ wordsMs: number; vectorsMs: number }> {
  corpus.stop();
  const started = performance.now();
  await corpus.call('search', { request: { text: words, k: 10, corpora: [id] }, vector: null }, { silenceSeconds: Infinity });
  const wordsMs = performance.now() - started;
  for (;;) {
    const { usedDense } = await searchByVector(query, 10, [id]);
    if (usedDense) return { wordsMs, vectorsMs: performance.now() - started };
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Milliseconds to put the files of a shard into a fresh IndexedDB, one transaction and one record a part, with nothing else done. The bytes are fetched before. */
async function rawPut(urls: readonly string[]): Promise<{ ms: number; bytes: number }> {
  const name = 'raw';
  await new Promise<void>((resolve, reject) => {
    const asked = indexedDB.deleteDatabase(name);
    asked.onsuccess = () => resolve();
    asked.onerror = () => reject(new Error('the raw database cannot be deleted'));
  });
  const db = await new Promise<IDBDatabase>((resolve, reject) => {
    const asked = indexedDB.open(name, 1);
    asked.onupgradeneeded = () => void asked.result.createObjectStore('parts');
    asked.onsuccess = () => resolve(asked.result);
    asked.onerror = () => reject(new Error('no raw database'));
  });
  let ms = 0;
  let bytes = 0;
  for (const url of urls) {
    const part = new Uint8Array(await (await fetch(url)).arrayBuffer());
    const started = performance.now();
    await new Promise<void>((resolve, reject) => {
      const tx = db.transaction(['parts'], 'readwrite', { durability: 'relaxed' });
      tx.objectStore('parts').put(part, url);
      tx.oncomplete = () => resolve();
      tx.onerror = () => reject(new Error(`${url} was not stored`));
    });
    ms += performance.now() - started;
    bytes += part.length;
  }
  db.close();
  indexedDB.deleteDatabase(name);
  return { ms, bytes };
}

/** Milliseconds of reading and decoding 10 random passages, each time others. */
async function readPassages(id: string, times: number, seed: number): Promise<number[]> {
  const store = createStore();
  const row = (await store.corpora()).find((other) => other.id === id);
  if (row === undefined) throw new Error(`no shard ${id}`);
  const parts = (await store.parts(id, row.digest)).filter((part) => part.kind === 'passages');
  const places = parts.flatMap((part) => part.blocks.map((place, block) => ({ part, block, place })));
  let state = seed >>> 0;
  const random = (): number => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32;
  const all: number[] = [];
  for (let t = 0; t < times; t++) {
    const wanted = Array.from({ length: 10 }, () => places[Math.floor(random() * places.length)]).filter((place) => place !== undefined);
    const started = performance.now();
    const blocks = await store.blocks(wanted.map(({ part, block }) => ({ id, digest: row.digest, file: part.file, block })));
    wanted.forEach(({ part, place }, i) => {
      const bytes = blocks[i];
      if (bytes === null || bytes === undefined) throw new Error('a block is gone');
      decodePassageBlock(bytes, { offset: 0, length: bytes.length, ...place }, part.file);
    });
    all.push(performance.now() - started);
  }
  await store.close();
  return all;
}

/** The kernel by itself on the vectors of a shard: rows are fetched, not stored. Milliseconds a query, and the ordinals found. */
async function kernelOf(
  files: readonly { url: string; first: number }[],
  mean: readonly number[],
  queries: readonly (readonly number[])[],
  candidates: readonly (number | null)[],
): Promise<{
  variant: string;
  bytes: number;
  runs: { candidates: number | null; ms: number[]; found: number[][] }[];
  /** Milliseconds that reading as many bytes as the codes have takes, once a query. */
  readMs: number[];
}> {
  const kernel = await openKernel(kernelBinaries);
  const index = createVectorIndex(kernel, { dimensions: mean.length, mean: Float32Array.from(mean) });
  for (const { url, first } of files) index.append(openVectorSegment(new Uint8Array(await (await fetch(url)).arrayBuffer()), 'minilm', first, url), first);
  const vectors = queries.map((query) => Float32Array.from(query));
  for (const wanted of candidates) for (const query of vectors.slice(0, 5)) index.search(query, 10, wanted);
  const runs = candidates.map((wanted) => ({ candidates: wanted, ms: new Array<number>(), found: new Array<number[]>() }));
  const read = bandwidthReader(index.count * index.rows().stride);
  const readMs: number[] = [];
  // Query by query all ways in turn: whatever else the machine does meets them alike.
  for (const query of vectors) {
    for (const run of runs) {
      const started = performance.now();
      const { ordinals } = index.search(query, 10, run.candidates);
      run.ms.push(performance.now() - started);
      run.found.push(Array.from(ordinals));
    }
    readMs.push(read());
  }
  return { variant: kernel.variant, bytes: index.bytes, runs, readMs };
}

/** Unit vectors of own documents, as the page embeds them: rows of `texts.length` × `dimensions`. */
async function addDocuments(texts: readonly string[], dimensions: number): Promise<{ addMs: number; embedMs: number; deleteMs: number; left: number }> {
  const files = texts.map((text, i) => new File([text], `note ${i}.txt`, { type: 'text/plain' }));
  const started = performance.now();
  await corpus.call('addDocuments', { files }, { silenceSeconds: Infinity });
  const added = performance.now();
  for (let batch = await corpus.call('nextUnembedded', { embedder: 'minilm', dimensions, limit: 64 }); batch !== null; ) {
    const values = Float32Array.from({ length: batch.texts.length * dimensions }, (_, i) => Math.sin(i * 12.9898 + added) / Math.sqrt(dimensions / 2));
    await corpus.call('storeVectors', { document: batch.document, first: batch.first, embedder: 'minilm', dimensions, values });
    batch = await corpus.call('nextUnembedded', { embedder: 'minilm', dimensions, limit: 64 });
  }
  const embedded = performance.now();
  const { documents } = await corpus.call('library', undefined);
  for (const { id } of documents.slice(0, 10)) await corpus.call('deleteDocument', { id });
  const deleted = performance.now();
  const left = (await corpus.call('library', undefined)).documents.length;
  return { addMs: added - started, embedMs: embedded - added, deleteMs: (deleted - embedded) / 10, left };
}

/** Exact hits of a few queries by kernel and by WebGPU, the software adapter allowed, and the probe's verdict on it. null: no adapter. */
async function compareGpu(): Promise<{ wasm: number[][]; gpu: number[][]; verdict: VectorVerdict } | null> {
  const device = await requestComputeDevice(true);
  if (device === null) return null;
  const kernel = await openKernel(kernelBinaries);
  const dimensions = 50;
  const index = createVectorIndex(kernel, { dimensions });
  index.append(quantise(Float32Array.from({ length: 200 * dimensions }, (_, i) => Math.sin(i * 1.37) * Math.cos(i * 0.011)), dimensions), 3);
  const queries = Array.from({ length: 4 }, (_, q) => Float32Array.from({ length: dimensions }, (_value, i) => Math.sin(i * 2.1 + q)));
  const scorer = await createGpuScorer(device, index);
  const answers = [await searchBatch(index, queries, 5, null), await searchBatch(index, queries, 5, scorer)];
  const [wasm, gpu] = answers.map((hits) => hits.map(({ ordinals }) => Array.from(ordinals)));
  scorer.dispose();
  const verdict = await probeVectors(kernel, device, () => performance.now(), 500);
  device.destroy();
  return { wasm: wasm ?? [], gpu: gpu ?? [], verdict };
}

const bench = {
  compareGpu, corpus, importShard, searchByVector, reopen, rawPut, readPassages, kernelOf, addDocuments, openKernel, kernelBinaries, createVectorIndex, quantise,
};
export type VectorsPage = typeof bench;
Object.assign(globalThis, { bench });
