/**
 * The files of the benchmark on disk: questions and passages read and decompressed, and a shard built from passages, kept under .cache/shards by the content of
 * the passages and of the builder's own sources.
 */
import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream, existsSync } from 'node:fs';
import { mkdir, readdir, readFile, rename, stat, writeFile } from 'node:fs/promises';
import { basename, dirname, isAbsolute, join, relative, resolve, sep } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGunzip, gunzipSync } from 'node:zlib';
import { parseManifest } from '../../src/corpus/shard.ts';
import { decodeQuestionFile, type PassageRecord, type Question } from '../../src/lab/datasets.ts';
import { shuffled } from '../../src/lab/statistics.ts';
import type { Progress } from '../../src/progress.ts';
import { root } from '../setup.mjs';
import { buildShard } from '../shard/builder.ts';
import type { EmbedderId } from '../shard/embed.ts';

/** A shard folder that is complete. */
export interface ShardFolder {
  readonly folder: string;
  readonly id: string;
  /** `<id>@<hash of the manifest>`: names the content in a run record. */
  readonly label: string;
  readonly passages: number;
  readonly documents: number;
  readonly bytes: number;
  readonly embedder: string | null;
}

const qaFolder = resolve(root, '..', 'shared', 'data', 'qa');
const unionParts = ['2wikimultihopqa', 'bamboogle', 'distractors', 'hotpotqa', 'musique'];

/** The five passage files of the benchmark data; null where the data are not beside the checkout. */
export function unionFiles(): readonly string[] | null {
  const files = unionParts.map((name) => join(qaFolder, name, 'passages.jsonl.gz'));
  return files.every((file) => existsSync(file)) ? files : null;
}

/** Text of a file, decompressed where its name says so. */
export async function readText(file: string): Promise<string> {
  const bytes = await readFile(file);
  return (file.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString('utf8');
}

/** What a questions file is called in records: its folder and its name (`hotpotqa`, `dev`). */
export function namesOf(file: string): { readonly dataset: string; readonly split: string } {
  const split = basename(file).replace(/\.gz$/, '').replace(/\.(?:jsonl?|csv)$/, '').replace(/\.questions$/, '');
  return { dataset: basename(dirname(resolve(file))), split };
}

/**
 * A path as records name it, which may be published: relative to the checkout where it lies in it or in the shared data beside it, else the base name. Nothing is said of
 * the rest of this machine.
 */
export function portable(path: string): string {
  const near = relative(root, resolve(path)).split(sep).join('/');
  return isAbsolute(near) || (near.startsWith('..') && !near.startsWith('../shared/')) ? basename(path) : near || '.';
}

/** A command line with its files as `portable` names them. Values may be lists parted by commas, and files of models stand behind their backend. */
export function portableCommand(args: readonly string[]): string {
  const piece = (text: string): string => text.replace(/^((?:--[\w-]+=)?(?:(?:wllama|scripted):)?)((?:\/|\.{1,2}\/|[A-Za-z]:[\\/]).*)$/s, (_, head: string, path: string) => head + portable(path));
  const named = args.map((arg) => (/^[[{]/.test(arg) ? arg : arg.split(',').map(piece).join(',')));
  return named.map((arg) => (/^[\w./:,=#@+-]+$/.test(arg) ? arg : `'${arg}'`)).join(' ');
}

/** `split` keeps only the questions that name it, where the file's questions name any. The sample is the first `limit` after a seeded shuffle. */
export async function loadQuestions(file: string, dataset: string, split: string | null, limit: number, seed: number): Promise<Question[]> {
  const all = decodeQuestionFile(await readText(file), basename(file).replace(/\.gz$/, ''), dataset).questions;
  const own = split === null || all.every((question) => question.split === null) ? all : all.filter((question) => question.split === split);
  return shuffled(own, seed).slice(0, limit);
}

/** Which questions were asked, whatever their order. */
export function hashIds(questions: readonly Pick<Question, 'id'>[]): string {
  return createHash('sha256').update(questions.map((question) => question.id).sort().join('\n')).digest('hex');
}

/** Throws where there is no complete shard. */
export async function openShard(folder: string): Promise<ShardFolder> {
  const file = join(folder, 'manifest.json');
  const text = await readFile(file, 'utf8').catch(() => {
    throw new Error(`${folder} holds no shard: manifest.json is missing. Build one with npm run shard -- build, or name a passages file.`);
  });
  const manifest = parseManifest(text, file);
  return {
    folder: resolve(folder),
    id: manifest.id,
    label: `${manifest.id}@${createHash('sha256').update(text).digest('hex').slice(0, 16)}`,
    passages: manifest.counts.passages,
    documents: manifest.counts.documents,
    bytes: manifest.parts.reduce((sum, part) => sum + part.bytes, 0),
    embedder: manifest.embedder?.id ?? null,
  };
}

/**
 * A corpus as a command names it: a shard folder, a passages file, `demo` (the demo shard), `union` (all of the benchmark data), or `context` (the passages that the
 * question files bring with them, as the official files do).
 */
export async function openCorpus(name: string, questionFiles: readonly string[], embedder: EmbedderId | 'none', signal: AbortSignal, say: (line: string) => void): Promise<ShardFolder> {
  if (name === 'demo') return openShard(join(root, 'public', 'shards', 'demo'));
  let last = -Infinity;
  const onProgress = ({ phase, item, done, total, secondsLeft }: Progress): void => {
    if (performance.now() - last < 3000) return;
    last = performance.now();
    say(`Shard: ${phase} ${item} ${done}${total === null ? '' : ` of ${total}`}${secondsLeft === null ? '' : `, ${duration(secondsLeft)} left`}`);
  };
  if (name === 'union') {
    const union = unionFiles();
    if (union === null) throw new Error('The corpus union needs the benchmark data in ../shared/data, which are not there.');
    return shardOf(union, 'union', embedder, signal, onProgress);
  }
  if (name === 'context') {
    const files = await Promise.all(questionFiles.map(contextFile));
    return shardOf(files, 'context', embedder, signal, onProgress);
  }
  if ((await stat(name).catch(() => null))?.isDirectory() === true) return openShard(name);
  return shardOf([resolve(name)], namesOf(name).dataset, embedder, signal, onProgress);
}

/** The passages of a question file as a file of their own. */
async function contextFile(file: string): Promise<string> {
  const text = await readText(file);
  const { passages } = decodeQuestionFile(text, basename(file).replace(/\.gz$/, ''), namesOf(file).dataset);
  if (passages.length === 0) throw new Error(`${file} brings no passages: name a corpus (a passages file or a shard).`);
  const folder = join(root, '.cache', 'context');
  const target = join(folder, `${namesOf(file).dataset}-${createHash('sha256').update(text).digest('hex').slice(0, 16)}.jsonl`);
  if (existsSync(target)) return target;
  await mkdir(folder, { recursive: true });
  await writeFile(`${target}.part`, passages.map((passage) => `${JSON.stringify(passageLine(passage))}\n`).join(''));
  await rename(`${target}.part`, target);
  return target;
}

/** The input form of the shard builder, whose offsets count code points. */
function passageLine({ id, title, text, sentenceEnds }: PassageRecord): unknown {
  return { id, title, text, ...(sentenceEnds === null ? {} : { sent_ends: sentenceEnds.map((end) => [...text.slice(0, end)].length) }) };
}

export function duration(seconds: number): string {
  return seconds < 90 ? `${Math.ceil(seconds)} s` : seconds < 5400 ? `${Math.ceil(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

/** Builds the shard of one or more passage files, or takes the one that was built from the same. */
export async function shardOf(files: readonly string[], name: string, embedder: EmbedderId | 'none', signal: AbortSignal, onProgress: (progress: Progress) => void): Promise<ShardFolder> {
  const hash = createHash('sha256').update(`${embedder}\n`);
  for (const file of files) await pipeline(createReadStream(file), hash, { end: false });
  const source = `${name.toLowerCase().replace(/[^a-z0-9-]+/g, '-')}-${hash.copy().digest('hex').slice(0, 12)}`;
  for (const path of await builderSources()) hash.update(await readFile(path));
  const cache = join(root, '.cache', 'shards');
  const folder = join(cache, `${source}-${hash.digest('hex').slice(0, 12)}`);
  if (!existsSync(join(folder, 'manifest.json'))) {
    await mkdir(cache, { recursive: true });
    const [only, ...more] = files;
    const input = only !== undefined && more.length === 0 ? only : await concatenated(files, join(cache, `${source}.jsonl`));
    await buildShard(
      {
        input, out: folder, id: source, name, language: 'en', licence: 'see the data set', attribution: 'see the data set', source: files.map((file) => basename(file)).join(', '),
        embedder, vectorsCache: join(root, '.cache', 'vectors'),
      },
      { signal, onProgress, now: () => performance.now() },
    );
  }
  return openShard(folder);
}

/** A shard depends on the code that makes it: another chunker or index is another shard. */
async function builderSources(): Promise<string[]> {
  const core = ['passages', 'analysis', 'lexical-builder', 'lexical-format', 'links', 'vectors', 'shard'].map((name) => join(root, 'src', 'corpus', `${name}.ts`));
  const builder = (await readdir(join(root, 'tools', 'shard'))).filter((name) => name.endsWith('.ts')).map((name) => join(root, 'tools', 'shard', name));
  return [...core, ...builder.sort()];
}

async function concatenated(files: readonly string[], target: string): Promise<string> {
  if (existsSync(target)) return target;
  const part = `${target}.${process.pid}.part`;
  await pipeline(chunksOf(files), createWriteStream(part));
  await rename(part, target);
  return target;
}

async function* chunksOf(files: readonly string[]): AsyncGenerator<Buffer> {
  for (const file of files) {
    const bytes = createReadStream(file);
    for await (const chunk of file.endsWith('.gz') ? bytes.pipe(createGunzip()) : bytes) yield chunk as Buffer;
  }
}
