/**
 * The data of the retrieval benchmark, made once and kept: real MiniLM embeddings as far as they are at hand and clustered noise beyond,
 * the passages of ../shared/data and recombinations of their sentences beyond, real questions, the exact answers, and the shards that Foray imports. The first n rows
 * of a file are the data of size n, so a larger size never changes a smaller one.
 */
import { createHash } from 'node:crypto';
import { createWriteStream, existsSync } from 'node:fs';
import { mkdir, open, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { once } from 'node:events';
import * as v from 'valibot';
import { chunkDocument, splitSentences } from '../../../src/corpus/passages.ts';
import { parseManifest } from '../../../src/corpus/shard.ts';
import { goldenVectors } from '../../../src/engine/golden.ts';
import { decodePassages, decodeQuestions } from '../../../src/lab/datasets.ts';
import { createRandom, shuffled } from '../../../src/lab/statistics.ts';
import { root } from '../../setup.mjs';
import { buildShard } from '../../shard/builder.ts';
import { hasEmbedder, openNodeEmbedder, type NodeEmbedder } from '../../shard/embed.ts';
import { readText, unionFiles } from '../corpora.ts';
import { resultCount, type DataSource, type Kind, type TextRow } from './contract.ts';
import { exactBm25, exactNeighbours, type ExactAnswer } from './reference.ts';

export const dimensions = 384;
const warmUp = 20;
const measured = 200;
const seed = 20;

const answers = v.array(v.object({ best: v.array(v.number()), tied: v.array(v.number()) }));

const vectorMeta = v.object({ rows: v.number(), real: v.number(), queries: v.picklist(['questions', 'noise']) });
const textMeta = v.object({
  rows: v.number(),
  real: v.number(),
  source: v.string(),
  /** Bytes of the file after so many rows. */
  offsets: v.record(v.string(), v.number()),
});

/** Data of one kind and size, ready to be served. */
export interface PreparedData {
  readonly source: DataSource;
  /** In words: what of it is real. */
  readonly label: string;
  /** How many of the `source.count` rows are real. */
  readonly real: number;
  /** Of the measured queries, in order. Text has two references: Foray's analysis and plain words. */
  readonly exact: readonly ExactAnswer[];
  readonly exactPlain: readonly ExactAnswer[] | null;
  readonly shardBytes: number;
}

export interface DataContext {
  readonly folder: string;
  readonly say: (line: string) => void;
  readonly signal: AbortSignal;
}

async function readJson<S extends v.GenericSchema>(file: string, schema: S): Promise<v.InferOutput<S> | null> {
  const text = await readFile(file, 'utf8').catch(() => null);
  if (text === null) return null;
  const parsed = v.safeParse(schema, JSON.parse(text));
  return parsed.success ? parsed.output : null;
}

async function writeWhole(file: string, content: string | Uint8Array): Promise<void> {
  await writeFile(`${file}.new`, content);
  await rename(`${file}.new`, file);
}

/** Prepares sizes of one kind; `largest` is the largest that will be asked for. */
export async function prepare(kind: Kind, count: number, largest: number, context: DataContext): Promise<PreparedData> {
  await mkdir(context.folder, { recursive: true });
  return kind === 'vectors' ? prepareVectors(count, largest, context) : prepareText(count, largest, context);
}

// ---------------------------------------------------------------------------------------------- vectors

async function prepareVectors(count: number, largest: number, context: DataContext): Promise<PreparedData> {
  const { folder, say, signal } = context;
  const meta = await ensureVectors(largest, context);
  const rowsFile = join(folder, 'vectors.f32');
  const queriesFile = join(folder, 'queries.f32');
  const rowsBytes = count * dimensions * 4;
  const exactFile = join(folder, `exact-vectors-${count}.json`);
  // A million rows: half as many queries keep the exact answers within a minute.
  const asked = count > 200_000 ? measured / 2 : measured;
  let exact: ExactAnswer[] | null = await readJson(exactFile, answers);
  if (exact?.length !== asked) {
    say(`Exact neighbours among ${count} vectors …`);
    const queries = await floatsOf(queriesFile, warmUp * dimensions, asked * dimensions);
    exact = await exactNeighbours(blocksOf(rowsFile, count, signal), queries, dimensions, resultCount);
    await writeWhole(exactFile, JSON.stringify(exact));
  }
  const shardId = `bench-vectors-${count}`;
  const shard = join(folder, shardId);
  await ensureShard(shard, shardId, join(folder, `${shardId}.jsonl`), context, {
    count,
    async write(out) {
      for (let i = 0; i < count; i++) await out(`${JSON.stringify({ id: `v${i}`, title: `v${i}`, text: `Row ${i}.` })}\n`);
    },
    embedder: () => storedEmbedder(rowsFile),
  });
  return {
    source: {
      kind: 'vectors', count, dimensions, rowsUrl: 'shards/data/vectors.f32', rowsBytes, queriesUrl: 'shards/data/queries.f32', warmUp, queries: asked, shardUrl: `shards/data/${shardId}/`, shardId,
    },
    label:
      meta.real >= count
        ? `${count} MiniLM embeddings of real passages`
        : `${meta.real} MiniLM embeddings of real passages, ${count - meta.real} rows of clustered noise (mixtures of two ${meta.real > 0 ? 'real rows' : 'random centres'} and Gaussian noise)`,
    real: Math.min(meta.real, count),
    exact,
    exactPlain: null,
    shardBytes: await folderBytes(shard),
  };
}

async function* blocksOf(file: string, count: number, signal: AbortSignal): AsyncGenerator<Float32Array> {
  const step = 20_000;
  for (let at = 0; at < count; at += step) {
    signal.throwIfAborted();
    yield await floatsOf(file, at * dimensions, Math.min(step, count - at) * dimensions);
  }
}

async function floatsOf(file: string, first: number, length: number): Promise<Float32Array> {
  const handle = await open(file, 'r');
  try {
    const bytes = new Uint8Array(length * 4);
    const { bytesRead } = await handle.read(bytes, 0, bytes.length, first * 4);
    if (bytesRead !== bytes.length) throw new Error(`${file} is shorter than expected: delete its folder`);
    return new Float32Array(bytes.buffer);
  } finally {
    await handle.close();
  }
}

/** A source of numbers that is the same on every machine (xorshift128, Marsaglia 2003). */
function createNoise(from: number): { uniform(): number; gaussian(): number } {
  let [a, b, c, d] = [from | 0 || 1, 0x9e3779b9, 0x243f6a88, 0xb7e15162];
  const uniform = (): number => {
    let t = d;
    const s = a;
    d = c;
    c = b;
    b = s;
    t ^= t << 11;
    t ^= t >>> 8;
    a = t ^ s ^ (s >>> 19);
    return (a >>> 0) / 2 ** 32;
  };
  // Sum of four uniforms: near enough to a normal distribution, and fast.
  const gaussian = (): number => (uniform() + uniform() + uniform() + uniform() - 2) * Math.sqrt(3);
  return { uniform, gaussian };
}

/** Makes or lengthens `vectors.f32`. What is there stays: exact answers and results depend on it. */
async function ensureVectors(rows: number, context: DataContext): Promise<v.InferOutput<typeof vectorMeta>> {
  const { folder, say, signal } = context;
  const file = join(folder, 'vectors.f32');
  const metaFile = join(folder, 'vectors.json');
  const queriesFile = join(folder, 'queries.f32');
  let meta = await readJson(metaFile, vectorMeta);
  if (meta === null) {
    const real = await realVectors();
    say(`${real.length / dimensions} real embeddings are at hand.`);
    await writeWhole(file, new Uint8Array(real.buffer, real.byteOffset, real.byteLength));
    const queries = await questionVectors(context);
    await writeWhole(queriesFile, new Uint8Array((queries ?? noiseRows(warmUp + measured, new Float32Array(0), 7)).buffer));
    meta = { rows: real.length / dimensions, real: real.length / dimensions, queries: queries === null ? 'noise' : 'questions' };
    await writeWhole(metaFile, JSON.stringify(meta));
  }
  if (meta.rows >= rows) return meta;
  say(`Clustered noise: rows ${meta.rows} to ${rows} …`);
  const real = await floatsOf(file, 0, meta.real * dimensions);
  const handle = await open(file, 'r+');
  try {
    const step = 10_000;
    for (let at = meta.rows; at < rows; at += step) {
      signal.throwIfAborted();
      // Whole steps from the first noise row on, so that the rows do not depend on the sizes that were asked for before.
      const block = noiseRows(step, real, at);
      await handle.write(new Uint8Array(block.buffer), 0, block.byteLength, at * dimensions * 4);
      meta = { ...meta, rows: at + step };
    }
  } finally {
    await handle.close();
  }
  await writeWhole(metaFile, JSON.stringify(meta));
  return meta;
}

/** Unit rows: two centres mixed, and noise of a third of their length. Without real rows the centres are random themselves. */
function noiseRows(count: number, real: Float32Array, from: number): Float32Array<ArrayBuffer> {
  const noise = createNoise(seed + from);
  let centres = real;
  if (centres.length === 0) {
    const own = createNoise(seed);
    centres = Float32Array.from({ length: 256 * dimensions }, () => own.gaussian() / Math.sqrt(dimensions));
  }
  const available = centres.length / dimensions;
  const out = new Float32Array(count * dimensions);
  for (let r = 0; r < count; r++) {
    const a = Math.floor(noise.uniform() * available) * dimensions;
    const b = Math.floor(noise.uniform() * available) * dimensions;
    const share = 0.2 + 0.6 * noise.uniform();
    const spread = 0.35 / Math.sqrt(dimensions);
    let sum = 0;
    for (let i = 0; i < dimensions; i++) {
      const x = (centres[a + i] ?? 0) + share * (centres[b + i] ?? 0) + spread * noise.gaussian();
      out[r * dimensions + i] = x;
      sum += x * x;
    }
    const scale = 1 / Math.sqrt(sum);
    for (let i = 0; i < dimensions; i++) out[r * dimensions + i] = (out[r * dimensions + i] ?? 0) * scale;
  }
  return out;
}

/**
 * The MiniLM embeddings that shard builds left in their caches, in the order of their keys (hashes, so a random order). The caches hold 8-bit codes: what rounding
 * took is put back as noise of the same width, or an engine that rounds the same way would be exact by construction.
 */
async function realVectors(): Promise<Float32Array<ArrayBuffer>> {
  const keyBytes = 16;
  const record = keyBytes + 4 + dimensions;
  const found = new Map<string, Buffer>();
  for (const folder of [join(homedir(), '.cache', 'foray', 'vectors'), join(root, '.cache', 'vectors')]) {
    for (const name of (await readdir(folder).catch(() => [])).filter((n) => n.startsWith(`minilm-${dimensions}-`) && n.endsWith('.vec')).sort()) {
      const bytes = await readFile(join(folder, name));
      for (let at = 0; at + record <= bytes.length; at += record) found.set(bytes.toString('latin1', at, at + keyBytes), bytes.subarray(at + keyBytes, at + record));
    }
  }
  const usable = [...found].filter(([, bytes]) => bytes.readFloatLE(0) > 0).sort(([a], [b]) => (a < b ? -1 : 1));
  const noise = createNoise(seed);
  const out = new Float32Array(usable.length * dimensions);
  usable.forEach(([, bytes], r) => {
    let sum = 0;
    for (let i = 0; i < dimensions; i++) {
      const x = bytes.readInt8(4 + i) + noise.uniform() - 0.5;
      out[r * dimensions + i] = x;
      sum += x * x;
    }
    for (let i = 0; i < dimensions; i++) out[r * dimensions + i] = (out[r * dimensions + i] ?? 0) / Math.sqrt(sum);
  });
  return out;
}

/** Real questions through MiniLM; null where the model is not on this machine. */
async function questionVectors({ say }: DataContext): Promise<Float32Array | null> {
  if (!(await hasEmbedder('minilm'))) return null;
  say('Embedding the questions …');
  const embedder = await openNodeEmbedder('minilm');
  try {
    const out = new Float32Array((warmUp + measured) * dimensions);
    const all = await questions();
    for (let i = 0; i < warmUp + measured; i++) out.set(await embedder.embed(all[i % all.length] ?? ''), i * dimensions);
    return out;
  } finally {
    await embedder.dispose();
  }
}

/** Hands the builder the rows of the file, found by the number in the text `v17\nRow 17.`. */
async function storedEmbedder(file: string): Promise<NodeEmbedder> {
  const handle = await open(file, 'r');
  const step = 4096;
  let block = { first: -1, values: new Float32Array(0) };
  return {
    spec: { id: 'minilm', dimensions, queryPrefix: '' },
    async embed(text) {
      const row = /^v(\d+)\n/.exec(text)?.[1];
      // The builder's own golden texts: a real vector of the same model stands in, since nobody compares it here.
      if (row === undefined) return Float32Array.from(goldenVectors('minilm')[0]?.vector ?? []);
      const first = Math.floor(Number(row) / step) * step;
      if (block.first !== first) {
        const bytes = new Uint8Array(step * dimensions * 4);
        await handle.read(bytes, 0, bytes.length, first * dimensions * 4);
        block = { first, values: new Float32Array(bytes.buffer) };
      }
      return block.values.slice((Number(row) - first) * dimensions, (Number(row) - first + 1) * dimensions);
    },
    dispose: () => handle.close(),
  };
}

// ---------------------------------------------------------------------------------------------- text

const qaFolder = resolve(root, '..', 'shared', 'data', 'qa');
const questionFiles = ['hotpotqa', '2wikimultihopqa', 'musique'].map((name) => join(qaFolder, name, 'dev.jsonl.gz'));
const demoFolder = join(root, 'tools', 'demo-shard');

/** Questions of the development sets in turn; where the data are not beside the checkout, those of the demo shard. */
async function questions(): Promise<string[]> {
  const isThere = questionFiles.every((file) => existsSync(file));
  const files = isThere ? questionFiles : (await readdir(demoFolder)).filter((name) => name.endsWith('.questions.jsonl')).sort().map((name) => join(demoFolder, name));
  const sets = await Promise.all(files.map(async (file) => shuffled(decodeQuestions(await readText(file), file, 'bench'), seed).map(({ question }) => question)));
  const longest = Math.max(...sets.map((set) => set.length));
  return Array.from({ length: longest }, (_, i) => sets.flatMap((set) => set[i] ?? [])).flat();
}

/** At least `wanted` of them, or all there are. */
async function realPassages(wanted: number): Promise<{ rows: TextRow[]; source: string }> {
  const union = unionFiles();
  const documents: { id: string; title: string; text: string }[] = [];
  if (union !== null) for (const file of union) documents.push(...decodePassages(await readText(file), file));
  else {
    for (const name of (await readdir(demoFolder)).filter((file) => file.endsWith('.md')).sort()) {
      for (const part of (await readFile(join(demoFolder, name), 'utf8')).split(/^# /m).slice(1)) {
        const [title = '', ...rest] = part.split('\n');
        documents.push({ id: title, title, text: rest.join('\n').replace(/^#+ .*$/gm, '').trim() });
      }
    }
  }
  // Cut as every shard is, so that each engine has the very same passages.
  const rows: TextRow[] = [];
  for (const { id, title, text } of shuffled(documents, seed)) {
    if (rows.length >= wanted) break;
    for (const row of chunkDocument({ docId: id, title, sections: [{ heading: '', text }] })) rows.push({ title: row.title, text: row.text });
  }
  return { rows, source: union === null ? 'the demo shard' : 'the five passage files of ../shared/data' };
}

async function ensureText(count: number, rows: number, { folder, say, signal }: DataContext): Promise<v.InferOutput<typeof textMeta>> {
  const file = join(folder, 'passages.jsonl');
  const metaFile = join(folder, 'passages.json');
  const known = await readJson(metaFile, textMeta);
  if (known !== null && known.rows >= rows && known.offsets[String(count)] !== undefined) return known;
  const target = Math.max(rows, known?.rows ?? 0);
  const { rows: real, source } = await realPassages(target);
  say(`Passages: ${Math.min(real.length, target)} real, ${Math.max(0, target - real.length)} recombined …`);
  const sentences = target > real.length ? real.map(({ text }) => splitSentences(text).map((end, i, ends) => text.slice(i === 0 ? 0 : ends[i - 1], end).trim())) : [];
  const offsets: Record<string, number> = {};
  const out = createWriteStream(`${file}.new`);
  let bytes = 0;
  for (let i = 0; i < target; i++) {
    if (i % 10_000 === 0) signal.throwIfAborted();
    const line = `${JSON.stringify(real[i] ?? recombined(i, real, sentences))}\n`;
    bytes += Buffer.byteLength(line);
    if (!out.write(line)) await once(out, 'drain');
    if (i + 1 === count || (i + 1) % 1000 === 0) offsets[String(i + 1)] = bytes;
  }
  out.end();
  await once(out, 'close');
  await rename(`${file}.new`, file);
  const meta = { rows: target, real: real.length, source, offsets: { ...known?.offsets, ...offsets } };
  await writeWhole(metaFile, JSON.stringify(meta));
  return meta;
}

/** Three to six sentences of different passages under the title of one of them. */
function recombined(i: number, real: readonly TextRow[], sentences: readonly (readonly string[])[]): TextRow {
  const random = createRandom(seed + i);
  const parts: string[] = [];
  for (let n = 3 + random.integer(4); n > 0; n--) {
    const from = sentences[random.integer(sentences.length)] ?? [];
    parts.push(from[random.integer(Math.max(1, from.length))] ?? '');
  }
  const title = `${real[random.integer(real.length)]?.title ?? ''} (${i})`;
  // What is longer than a passage would become two in the shard.
  return { title, text: chunkDocument({ docId: title, title, sections: [{ heading: '', text: parts.join(' ') }] })[0]?.text ?? title };
}

async function* rowsOf(file: string, count: number): AsyncGenerator<TextRow> {
  const handle = await open(file, 'r');
  let i = 0;
  try {
    for await (const line of handle.readLines()) {
      if (i++ === count) return;
      yield v.parse(v.object({ title: v.string(), text: v.string() }), JSON.parse(line));
    }
  } finally {
    await handle.close();
  }
}

async function prepareText(count: number, largest: number, context: DataContext): Promise<PreparedData> {
  const { folder, say } = context;
  const meta = await ensureText(count, largest, context);
  const file = join(folder, 'passages.jsonl');
  const all = await questions();
  const asked = Array.from({ length: warmUp + measured }, (_, i) => all[i % all.length] ?? '');
  await writeWhole(join(folder, 'questions.json'), JSON.stringify(asked));
  const exactFile = join(folder, `exact-text-${count}.json`);
  const bothAnswers = v.object({ foray: answers, plain: answers, key: v.string() });
  // Exact answers hold for these questions and this analysis only.
  const key = createHash('sha256').update(JSON.stringify([asked, meta.real >= count ? count : meta.real])).update(await readFile(join(root, 'src', 'corpus', 'analysis.ts'))).digest('hex');
  let exact = await readJson(exactFile, bothAnswers);
  if (exact?.key !== key) {
    say(`Exact BM25 over ${count} passages …`);
    const rows: TextRow[] = [];
    for await (const row of rowsOf(file, count)) rows.push(row);
    const measuredQuestions = asked.slice(warmUp);
    exact = { key, foray: exactBm25(rows, measuredQuestions, 'foray', resultCount), plain: exactBm25(rows, measuredQuestions, 'plain', resultCount) };
    await writeWhole(exactFile, JSON.stringify(exact));
  }
  const shardId = `bench-text-${count}`;
  const shard = join(folder, shardId);
  await ensureShard(shard, shardId, join(folder, `${shardId}.jsonl`), context, {
    count,
    async write(out) {
      let i = 0;
      for await (const { title, text } of rowsOf(file, count)) await out(`${JSON.stringify({ id: `p${i++}`, title, text })}\n`);
    },
    embedder: null,
  });
  return {
    source: {
      kind: 'text', count, dimensions: 0, rowsUrl: 'shards/data/passages.jsonl', rowsBytes: meta.offsets[String(count)] ?? 0, queriesUrl: 'shards/data/questions.json', warmUp, queries: measured,
      shardUrl: `shards/data/${shardId}/`, shardId,
    },
    label: meta.real >= count ? `${count} passages of ${meta.source}` : `${meta.real} passages of ${meta.source}, ${count - meta.real} made of their sentences in new combinations`,
    real: Math.min(meta.real, count),
    exact: exact.foray,
    exactPlain: exact.plain,
    shardBytes: await folderBytes(shard),
  };
}

// ---------------------------------------------------------------------------------------------- shards

interface ShardInput {
  readonly count: number;
  readonly write: (out: (line: string) => Promise<void>) => Promise<void>;
  readonly embedder: (() => Promise<NodeEmbedder>) | null;
}

/** The shard in `folder`, built by the real builder unless its sources are those of the last build. */
async function ensureShard(folder: string, id: string, input: string, { say, signal }: DataContext, { count, write, embedder }: ShardInput): Promise<void> {
  const stamp = `${folder}.key`;
  const key = await builderKey();
  if ((await readFile(stamp, 'utf8').catch(() => '')) === key && existsSync(join(folder, 'manifest.json'))) return;
  say(`Building the shard ${id} …`);
  await rm(folder, { recursive: true, force: true });
  const out = createWriteStream(input);
  await write(async (line) => {
    if (!out.write(line)) await once(out, 'drain');
  });
  out.end();
  await once(out, 'close');
  const stored = embedder === null ? null : await embedder();
  await buildShard(
    {
      input, out: folder, id, name: id, language: 'en', licence: 'see the data', attribution: 'see the data', source: 'retrieval benchmark', embedder: stored === null ? 'none' : 'minilm',
      vectorsCache: null,
    },
    { signal, onProgress: () => undefined, now: () => performance.now(), ...(stored === null ? {} : { embedder: stored }) },
  );
  await rm(input, { force: true });
  const { counts } = parseManifest(await readFile(join(folder, 'manifest.json'), 'utf8'), id);
  if (counts.passages !== count) throw new Error(`the shard ${id} has ${counts.passages} passages instead of ${count}: rows and passages would not be the same`);
  await writeWhole(stamp, key);
}

/** Another builder, analysis or format makes another shard. */
async function builderKey(): Promise<string> {
  const hash = createHash('sha256');
  const sources = [...(await sourcesIn(join(root, 'src', 'corpus'))), ...(await sourcesIn(join(root, 'tools', 'shard')))];
  for (const file of sources.filter((name) => !/(?:library|store|download|import|search|worker-api|retriever|locks)\.ts$/.test(name))) hash.update(file.slice(root.length)).update(await readFile(file));
  return hash.digest('hex');
}

async function sourcesIn(folder: string): Promise<string[]> {
  return (await readdir(folder)).filter((name) => name.endsWith('.ts')).sort().map((name) => join(folder, name));
}

async function folderBytes(folder: string): Promise<number> {
  let sum = 0;
  for (const name of await readdir(folder)) sum += (await stat(join(folder, name))).size;
  return sum;
}
