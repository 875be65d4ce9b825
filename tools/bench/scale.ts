/**
 * The library at scale: a synthetic shard of N passages (made-up words, clustered vectors) written part by part, then imported, reopened, searched and deleted in
 * Chromium.
 * Exported for the retrieval benchmark. Import is compared with raw puts of the same bytes, the exact scan with the memory's measured bandwidth, in the same run.
 */
import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium, type BrowserContext, type Page } from '@playwright/test';
import { build } from 'vite';
import { englishAnalysis } from '../../src/corpus/analysis.ts';
import { openKernel } from '../../src/corpus/kernel/kernel.ts';
import { createLexicalBuilder } from '../../src/corpus/lexical-builder.ts';
import { encodeLinks, encodeTitles, type TitleRow } from '../../src/corpus/links.ts';
import type { PassageRow } from '../../src/corpus/passages.ts';
import { encodePassages, formatVersion, manifestFile, serialiseManifest, sha256Hex, type PartKind, type ShardManifest, type ShardPart } from '../../src/corpus/shard.ts';
import { encodeVectors, openVectorSegment, quantise, type VectorSegment } from '../../src/corpus/vectors.ts';
import { launchOptions } from '../browser.mjs';
import { kernelBinaries, kernelModule } from '../kernel.ts';
import { createServer } from '../server.mjs';
import { root } from '../setup.mjs';
import { measureCandidates } from '../shard/recall.ts';
import type { VectorsPage } from './vectors-page/page.ts';

declare global {
  // Set by vectors-page/page.ts in the browser; named here for the functions given to `page.evaluate`.
  var bench: VectorsPage;
}

const dimensions = 384;
const partPassages = 16_000;
/** Passages of a document. */
const documentPassages = 10;
const wordsPerPassage = 20;

/** Uniform numbers from 0 to 1, the same for the same seed. */
function uniform(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

/** Unit vectors around centres, 100 passages a centre: noise 0.8 times as long as the centre. Rows of the same `passages` share their centres; `row` seeds the noise. */
export function syntheticVectors(passages: number): (row: number, isQuery?: boolean) => Float32Array {
  const random = uniform(7);
  const table = Float32Array.from({ length: 1 << 16 }, () => Math.sqrt(-2 * Math.log(random() + 1e-9)) * Math.cos(2 * Math.PI * random()));
  const clusters = Math.max(10, Math.round(passages / 100));
  const common = Float32Array.from({ length: dimensions }, (_, i) => 0.3 * Math.sin(1 + i));
  return (row, isQuery = false) => {
    const draw = uniform(Math.imul(row + 1, 0x9e3779b1) ^ (isQuery ? 0x5bd1e995 : 0));
    draw();
    const cluster = Math.floor(draw() * clusters);
    const centre = Math.imul(cluster + 1, 0x85ebca6b) >>> 0;
    // Steps that are odd visit the whole table: neighbouring rows read other numbers in another order.
    const step = (Math.floor(draw() * 32_000) << 1) | 1;
    const start = Math.floor(draw() * 65_536);
    const values = new Float32Array(dimensions);
    let sum = 0;
    for (let i = 0; i < dimensions; i++) {
      const x = (common[i] ?? 0) + (table[(centre + i * ((centre >>> 15) | 1)) & 65_535] ?? 0) + 0.8 * (table[(start + i * step) & 65_535] ?? 0);
      values[i] = x;
      sum += x * x;
    }
    const norm = Math.sqrt(sum);
    for (let i = 0; i < dimensions; i++) values[i] = (values[i] ?? 0) / norm;
    return values;
  };
}

/** Writes the shard into `folder`; memory holds one part. `id` names it. */
export async function writeSyntheticShard(folder: string, id: string, passages: number, signal: AbortSignal): Promise<ShardManifest> {
  await mkdir(folder, { recursive: true });
  const parts: ShardPart[] = [];
  const put = async (kind: PartKind, bytes: Uint8Array, first: number, count: number): Promise<void> => {
    signal.throwIfAborted();
    const file = `${kind}-${String(parts.filter((part) => part.kind === kind).length).padStart(4, '0')}.bin`;
    await writeFile(join(folder, file), bytes);
    parts.push({ kind, file, bytes: bytes.length, sha256: await sha256Hex(bytes), first, count });
  };
  const random = uniform(3);
  const syllables = ['ba', 'de', 'ki', 'lo', 'mu', 'na', 'po', 'ra', 'se', 'ti', 'vu', 'za'];
  const word = (n: number): string => {
    let text = '';
    for (let rest = n + 12; rest > 0; rest = Math.floor(rest / 12)) text += syllables[rest % 12] ?? '';
    return text;
  };
  const vectorOf = syntheticVectors(passages);
  let tokens = 0;
  let titles: TitleRow[] = [];
  let firstDocument = 0;
  for (let first = 0; first < passages; first += partPassages) {
    const count = Math.min(partPassages, passages - first);
    const builder = createLexicalBuilder();
    const rows: PassageRow[] = [];
    const values = new Float32Array(count * dimensions);
    for (let r = 0; r < count; r++) {
      const ordinal = first + r;
      const document = Math.floor(ordinal / documentPassages);
      // Squared: frequent words are much more frequent than rare ones.
      const text = `${Array.from({ length: wordsPerPassage }, () => word(Math.floor(random() ** 2 * 30_000))).join(' ')}.`;
      const row = { docId: `d${document}`, n: (ordinal % documentPassages) + 1, title: `Record ${document}`, section: '', text, sentenceEnds: [text.length], page: null };
      rows.push(row);
      builder.add(row);
      tokens += wordsPerPassage + 2;
      values.set(vectorOf(ordinal), r * dimensions);
      if (ordinal % documentPassages === 0) {
        titles.push({ docId: row.docId, title: row.title, first: ordinal, passages: Math.min(documentPassages, passages - ordinal), aliases: [] });
      }
    }
    await put('passages', encodePassages(rows, first), first, count);
    await put('lexical', builder.finish(), first, count);
    await put('links', encodeLinks(rows.map(() => [])), first, count);
    await put('vectors', encodeVectors(quantise(values, dimensions)), first, count);
    if (titles.length >= 40_000 || first + count === passages) {
      await put('titles', encodeTitles(titles, firstDocument), firstDocument, titles.length);
      firstDocument += titles.length;
      titles = [];
    }
  }
  async function* segments(): AsyncGenerator<VectorSegment> {
    for (const { kind, file, first } of parts) {
      if (kind === 'vectors') yield openVectorSegment(Uint8Array.from(await readFile(join(folder, file))), 'minilm', first, file);
    }
  }
  const sample = passages > 200_000 ? 60 : 200;
  const vectors = await measureCandidates(segments, await openKernel(await kernelBinaries()), { dimensions, passages, sample });
  const manifest: ShardManifest = {
    format: 'foray-shard', version: formatVersion, id, name: `Synthetic ${passages}`, language: 'en', licence: 'CC0-1.0', attribution: '', source: 'made up',
    counts: { documents: firstDocument, passages, links: 0 }, bm25: { k1: 1.2, b: 0.75 }, analysis: { name: englishAnalysis.name }, averageLength: tokens / passages,
    embedder: { id: 'minilm', dimensions, queryPrefix: '' }, golden: [], vectors, parts,
  };
  await writeFile(join(folder, manifestFile), serialiseManifest(manifest));
  return manifest;
}

interface ScaleFigures {
  readonly passages: number;
  readonly shardMB: number;
  readonly candidates: number;
  /** As measured by the builder with passages as queries. */
  readonly builderRecall: number;
  readonly importMs: number;
  readonly importMBps: number;
  readonly rawMBps: number;
  /** Import rate as a share of the raw rate, median of the rounds; to be at least .6. */
  readonly importShare: number;
  readonly reopenWordsMs: number;
  readonly reopenVectorsMs: number;
  /** Through the worker, with the texts of 10 hits. */
  readonly searchP50: number;
  readonly searchP95: number;
  readonly readPassagesP50: number;
  readonly kernel: {
    readonly variant: string;
    readonly memoryMB: number;
    readonly bandwidthGBps: number;
    /** Time of an exact pass as a multiple of reading as many bytes right after it: median over the queries. */
    readonly exactOverBandwidth: number;
    readonly runs: readonly { readonly candidates: number | null; readonly p50: number; readonly p95: number; readonly recall10: number }[];
  } | null;
  readonly bothShardsP50: number | null;
  readonly deleteMs: number;
  /** Largest resident size of any renderer process so far; null where the system does not tell. */
  readonly rendererPeakMB: number | null;
}

export interface ScaleOptions {
  readonly passages: number;
  /** Where the shard is written or found; null: a temporary folder. */
  readonly folder: string | null;
  readonly queries: number;
  /** Also the kernel by itself, and exact recall: another copy of the vectors in the page's memory, so not where memory is measured. */
  readonly withKernel: boolean;
}

const say = (line: string): void => void process.stderr.write(`${line}\n`);
const percentile = (values: readonly number[], share: number): number =>
  [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * share))] ?? NaN;
const rounded = (x: number, digits = 2): number => Number(x.toFixed(digits));

/** Builds the page of `vectors-page/` into `out`. */
export async function buildVectorsPage(out: string): Promise<void> {
  await build({
    configFile: false,
    root: join(root, 'tools', 'bench', 'vectors-page'),
    base: './',
    logLevel: 'error',
    plugins: [kernelModule()],
    worker: { format: 'es', plugins: () => [kernelModule()] },
    build: { target: 'es2023', outDir: out, emptyOutDir: true, chunkSizeWarningLimit: 8000 },
  });
}

/** One run: everything that `ScaleFigures` names, in one browser with a fresh profile. */
async function measureScale(options: ScaleOptions, signal: AbortSignal): Promise<ScaleFigures> {
  const { passages, queries: queryCount } = options;
  const work = await mkdtemp(join(tmpdir(), 'foray-scale-'));
  const folder = options.folder ?? join(work, 'shard');
  let context: BrowserContext | null = null;
  let server: { readonly url: string; close(): Promise<void> } | null = null;
  try {
    const kept = await readFile(join(folder, manifestFile), 'utf8').catch(() => null);
    say(kept === null ? `Writing ${passages} passages …` : `Shard in ${folder}.`);
    const manifest: ShardManifest = kept === null ? await writeSyntheticShard(folder, 'scale', passages, signal) : (JSON.parse(kept) as ShardManifest);
    await writeSyntheticShard(join(work, 'second'), 'second', Math.min(20_000, passages), signal);
    await buildVectorsPage(join(work, 'dist'));
    const site = await createServer({ dist: join(work, 'dist'), models: [], shards: { scale: folder, second: join(work, 'second') } });
    server = site;
    context = await chromium.launchPersistentContext(join(work, 'profile'), launchOptions());
    await context.addInitScript('globalThis.__name = (value) => value;');
    const page = await context.newPage();
    page.setDefaultTimeout(0);
    await page.goto(site.url);
    await page.waitForFunction(() => 'bench' in globalThis);

    const shardBytes = manifest.parts.reduce((sum, part) => sum + part.bytes, 0);
    const vectorOf = syntheticVectors(passages);
    const queries = Array.from({ length: queryCount }, (_, i) => Array.from(vectorOf(i, true)));
    // At most about 150 MB of raw puts: the rate does not depend on more.
    const share = Math.max(1, Math.ceil(shardBytes / 150e6));
    const sample = manifest.parts.filter((_, i) => i % share === 0).map(({ file }) => `shards/scale/${file}`);
    const imports: { importMs: number; rawMBps: number; share: number }[] = [];
    // In turn, so that whatever else the machine does meets both alike; a large shard is imported once.
    const rounds = passages > 200_000 ? 1 : 3;
    for (let round = 0; round < rounds; round++) {
      say(`Raw puts and import, ${round + 1} of ${rounds} …`);
      if (round > 0) await page.evaluate(() => bench.corpus.call('deleteCorpus', { id: 'scale' }, { silenceSeconds: Infinity }));
      const before = await page.evaluate((urls) => bench.rawPut(urls), sample);
      const ms = await page.evaluate(() => bench.importShard('shards/scale/'));
      const after = await page.evaluate((urls) => bench.rawPut(urls), sample);
      const rate = (before.bytes + after.bytes) / 1e3 / (before.ms + after.ms);
      imports.push({ importMs: ms, rawMBps: rate, share: shardBytes / 1e3 / ms / rate });
    }
    const median = (pick: (one: (typeof imports)[number]) => number): number => percentile(imports.map(pick), 0.5);
    const importMs = median((one) => one.importMs);
    say('Reopening …');
    const reopened = await page.evaluate(([query]) => bench.reopen(query ?? [], 'balo', 'scale'), queries.slice(0, 1));
    say('Searching …');
    const searches = await searchAll(page, queries, ['scale']);
    const reads = await page.evaluate((id) => bench.readPassages(id, 60, 5), 'scale');
    await page.evaluate(() => bench.importShard('shards/second/'));
    await page.evaluate(([query]) => bench.reopen(query ?? [], 'balo', 'second'), queries.slice(0, 1));
    const both = await searchAll(page, queries.slice(0, 20));
    const rendererPeakMB = await rendererPeak();
    let kernel: ScaleFigures['kernel'] = null;
    if (options.withKernel) {
      say('The kernel by itself …');
      kernel = await kernelFigures(page, manifest, queries);
    }
    say('Deleting …');
    const deleteMs = await page.evaluate(async () => {
      const started = performance.now();
      await bench.corpus.call('deleteCorpus', { id: 'scale' }, { silenceSeconds: Infinity });
      return performance.now() - started;
    });
    const after = await searchAll(page, queries.slice(0, 1));
    if (after[0]?.ids.some((id) => id.startsWith('scale/')) !== false) throw new Error('a deleted shard is still found');
    return {
      passages, shardMB: rounded(shardBytes / 1e6, 1), candidates: manifest.vectors?.candidates ?? 0, builderRecall: manifest.vectors?.recall ?? 0,
      importMs: Math.round(importMs), importMBps: rounded(shardBytes / 1e3 / importMs, 1), rawMBps: rounded(median((one) => one.rawMBps), 1),
      importShare: rounded(median((one) => one.share)),
      reopenWordsMs: Math.round(reopened.wordsMs), reopenVectorsMs: Math.round(reopened.vectorsMs),
      searchP50: rounded(percentile(searches.map(({ ms }) => ms), 0.5)),
      searchP95: rounded(percentile(searches.map(({ ms }) => ms), 0.95)),
      readPassagesP50: rounded(percentile(reads, 0.5)), kernel, bothShardsP50: rounded(percentile(both.map(({ ms }) => ms), 0.5)),
      deleteMs: Math.round(deleteMs), rendererPeakMB,
    };
  } finally {
    await context?.close().catch(() => undefined);
    await server?.close();
    await rm(work, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  }
}

async function searchAll(page: Page, queries: readonly (readonly number[])[], corpora?: readonly string[]): Promise<{ ms: number; ids: readonly string[] }[]> {
  return page.evaluate(
    async ({ vectors, only }) => {
      const answers = [];
      for (const query of vectors) answers.push(await bench.searchByVector(query, 10, only));
      return answers;
    },
    { vectors: queries, only: corpora },
  );
}

async function kernelFigures(page: Page, manifest: ShardManifest, queries: readonly (readonly number[])[]): Promise<NonNullable<ScaleFigures['kernel']>> {
  const files = manifest.parts.filter(({ kind }) => kind === 'vectors').map(({ file, first }) => ({ url: `shards/scale/${file}`, first }));
  const measured = manifest.vectors;
  if (measured === undefined) throw new Error('the shard has no measured candidates');
  const steps = [...new Set([200, 500, 2000, measured.candidates])].sort((a, b) => a - b);
  const seen = await page.evaluate(
    ({ parts, mean, vectors, candidates }) => bench.kernelOf(parts, mean, vectors, candidates),
    { parts: files, mean: measured.mean, vectors: queries, candidates: [null, ...steps] },
  );
  const exact = seen.runs[0];
  const runs = seen.runs.map(({ candidates, ms, found }) => {
    const shared = found.reduce((sum, list, i) => sum + list.filter((ordinal) => exact?.found[i]?.includes(ordinal)).length, 0);
    return { candidates, p50: rounded(percentile(ms, 0.5), 3), p95: rounded(percentile(ms, 0.95), 3), recall10: rounded(shared / (10 * queries.length), 3) };
  });
  const codesGB = (manifest.counts.passages * dimensions) / 1e9;
  const ratios = (seen.runs[0]?.ms ?? []).map((ms, i) => ms / (seen.readMs[i] ?? NaN));
  return {
    variant: seen.variant, memoryMB: rounded(seen.bytes / 1e6, 1), bandwidthGBps: rounded((codesGB / percentile(seen.readMs, 0.5)) * 1e3, 1),
    exactOverBandwidth: rounded(percentile(ratios, 0.5)), runs,
  };
}

/** Largest resident set of the browser's renderer processes, from the system's process table. */
async function rendererPeak(): Promise<number | null> {
  if (process.platform !== 'linux') return null;
  let peak = 0;
  for (const entry of await readdir('/proc').catch(() => [])) {
    if (!/^\d+$/.test(entry)) continue;
    const command = await readFile(`/proc/${entry}/cmdline`, 'utf8').catch(() => '');
    if (!command.includes('--type=renderer') || !command.includes('foray-scale-')) continue;
    const status = await readFile(`/proc/${entry}/status`, 'utf8').catch(() => '');
    peak = Math.max(peak, Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024);
  }
  return peak === 0 ? null : Math.round(peak);
}

/** `npm run bench -- scale`: prints the figures, ends with one JSON line. */
export async function runScaleBench(options: ScaleOptions, signal: AbortSignal): Promise<string> {
  return JSON.stringify(await measureScale(options, signal));
}
