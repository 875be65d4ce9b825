/**
 * `npm run bench -- agent`: methods over questions in the built page. Every item is on disk before the next begins, so that a run that was killed goes on with the
 * same command; what a figure depends on is kept in config.json, and a folder is never continued with anything else.
 */
import { createHash, randomUUID } from 'node:crypto';
import { mkdir, open, readFile, rename, writeFile } from 'node:fs/promises';
import { cpus, release, type } from 'node:os';
import { join, relative, resolve } from 'node:path';
import * as v from 'valibot';
import { defaultSettings, type AgentSettings } from '../../src/agent/harness.ts';
import { methodById, methods as allMethods } from '../../src/agent/methods/registry.ts';
import { readRunFile, runRecordOf, type ItemRecord, type RunSettings } from '../../src/lab/record.ts';
import { aggregatesOf, runLab, summarise, summaryLine, type LabProgress } from '../../src/lab/runner.ts';
import type { Progress } from '../../src/progress.ts';
import { root } from '../setup.mjs';
import type { EmbedderId } from '../shard/embed.ts';
import { hashIds, loadQuestions, namesOf, openShard, shardOf, unionFiles, type ShardFolder } from './corpora.ts';
import { createPageDriver } from './page.ts';
import { chooseLlm, openSite } from './site.ts';

export interface AgentOptions {
  /** null: the demo questions. */
  readonly questions: string | null;
  /** A passages file, or `union`. */
  readonly passages: string | null;
  readonly shard: string | null;
  readonly methods: readonly string[];
  readonly llm: string;
  readonly embedder: EmbedderId | 'none';
  readonly limit: number;
  readonly seed: number;
  readonly out: string;
  readonly split: string | null;
  readonly dataset: string | null;
  readonly timeoutSeconds: number;
  readonly settings: Partial<AgentSettings>;
  readonly isVisible: boolean;
  /** A built page; null: dist/, built if it is outdated. */
  readonly dist: string | null;
}

/** What may not differ when a run is continued. Methods and the number of questions may grow. */
const configSchema = v.object({
  format: v.literal(1),
  runId: v.string(),
  questions: v.string(),
  dataset: v.string(),
  split: v.string(),
  corpus: v.string(),
  embedder: v.string(),
  llm: v.string(),
  llmHash: v.nullable(v.string()),
  seed: v.number(),
  settings: v.record(v.string(), v.unknown()),
});
type Config = v.InferOutput<typeof configSchema>;

const demoShard = join(root, 'public', 'shards', 'demo');
const say = (line: string): void => void process.stderr.write(`${line}\n`);

/** Resolves with the line for stdout. */
export async function runAgentBench(options: AgentOptions, signal: AbortSignal): Promise<string> {
  for (const id of options.methods) {
    if (methodById(id) === undefined) throw new Error(`There is no method ${id}; there are ${allMethods.map((method) => method.id).join(', ')}.`);
    if (options.llm === 'none' && methodById(id)?.needsLlm === true) throw new Error(`The method ${id} needs a language model: give --llm.`);
  }
  const llm = await chooseLlm(options.llm);
  const questionsFile = options.questions ?? join(demoShard, 'questions.json');
  const names = options.questions === null ? { dataset: 'demo', split: 'report' } : namesOf(options.questions);
  const dataset = options.dataset ?? names.dataset;
  const split = options.split ?? names.split;
  const questions = await loadQuestions(questionsFile, dataset, options.questions === null ? split : options.split, options.limit, options.seed);
  if (questions.length === 0) throw new Error(`${questionsFile} holds no questions${options.split === null ? '' : ` of the split ${options.split}`}.`);
  const shard = await corpusOf(options, signal);
  if (options.embedder !== 'none' && shard.embedder !== options.embedder) {
    say(`The shard was made with the embedder ${shard.embedder ?? 'none'}, not ${options.embedder}: searching goes by words only.`);
  }

  const config: Config = {
    format: 1,
    runId: randomUUID(),
    questions: `sha256:${createHash('sha256').update(await readFile(questionsFile)).digest('hex')}`,
    dataset,
    split,
    corpus: shard.label,
    embedder: options.embedder,
    llm: options.llm.startsWith('wllama:') || options.llm.startsWith('scripted:') ? (llm.page?.kind === 'row' ? llm.page.id : options.llm) : options.llm,
    llmHash: llm.hash,
    seed: options.seed,
    settings: { ...options.settings },
  };
  const out = resolve(options.out);
  await mkdir(out, { recursive: true });
  const { runId } = await continueOrBegin(out, config);
  const runFile = join(out, 'run.jsonl');
  const before = readRunFile(await readFile(runFile, 'utf8').catch(() => ''));
  if (before.bad.length > 0) say(`run.jsonl: ${before.bad.length} lines are not items and are left out (first: line ${before.bad[0]}).`);
  // Without the records at its end and a line that was torn.
  await replaceFile(runFile, linesOf(before.items));
  if (before.items.length > 0) say(`Going on: ${before.items.length} items are there already.`);

  const site = await openSite(options.dist, { shards: { bench: shard.folder }, extra: llm.extra });
  const driver = createPageDriver({
    url: site.url,
    shard: { url: new URL('shards/bench/', site.url).href, id: shard.id },
    llm: llm.page,
    embedder: options.embedder === 'none' ? null : options.embedder,
    settings: options.settings,
    say,
    isVisible: options.isVisible,
  });
  const file = await open(runFile, 'a');
  let items: ItemRecord[];
  let facts;
  try {
    facts = await driver.prepare(signal);
    say(`${questions.length} questions of ${dataset}, methods ${options.methods.join(', ')}, ${shard.passages} passages, model ${facts.model ?? 'none'} (${facts.backend ?? '–'}).`);
    items = await runLab(
      {
        questions,
        methods: options.methods,
        seed: options.seed,
        model: facts.model,
        corpus: shard.label,
        ask: (question, method, seed, itemSignal) => driver.ask(question.question, method, seed, itemSignal),
        itemSeconds: options.timeoutSeconds,
        done: before.items,
        onItem: async (item) => {
          await file.appendFile(`${JSON.stringify(item)}\n`);
          await file.datasync();
        },
        onProgress: (progress) => say(progressLine(progress)),
        now: () => performance.now(),
      },
      signal,
    );
  } finally {
    await file.close();
    await driver.close();
    await site.close();
  }

  const settings: RunSettings = {
    runId,
    dataset,
    split,
    model: facts.model,
    backend: facts.backend,
    quant: llm.quant,
    corpus: shard.label,
    embedder: typeof facts.env['embedder'] === 'string' && shard.embedder === facts.env['embedder'] ? shard.embedder : null,
    seed: options.seed,
    temperature: options.settings.temperature ?? defaultSettings.temperature,
    maxTurns: options.settings.maxLlmCalls ?? defaultSettings.maxLlmCalls,
    k: options.settings.retrieve ?? defaultSettings.retrieve,
    idsHash: hashIds(questions),
    env: { ...facts.env, os: `${type()} ${release()}`, cpu: cpus()[0]?.model ?? null, node: process.versions.node, pagesLost: driver.lost },
  };
  const summary = summarise(items, options.methods);
  const records = Object.entries(summary.methods).map(([method, row]) => {
    const own = items.filter((item) => item.method === method);
    return runRecordOf(method, own, aggregatesOf(row), settings);
  });
  const kept = [...new Map([...before.items, ...items].map((item) => [JSON.stringify([item.method, item.seed, item.qid]), item])).values()];
  await replaceFile(runFile, linesOf([...kept, ...records]));
  const command = `npm run bench -- ${process.argv.slice(2).map((arg) => (/^[\w./:,=#@+-]+$/.test(arg) ? arg : `'${arg}'`)).join(' ')}`;
  const run = { ...settings, questions: questions.length, passages: shard.passages, settings: options.settings, command };
  await replaceFile(join(out, 'summary.json'), `${JSON.stringify({ ...summary, run }, null, 1)}\n`);
  say(`Written: ${relative(process.cwd(), out) || '.'}/run.jsonl and summary.json`);
  return summaryLine(summary);
}

async function corpusOf(options: AgentOptions, signal: AbortSignal): Promise<ShardFolder> {
  if (options.shard !== null) return openShard(options.shard);
  if (options.passages === null) {
    if (options.questions !== null) throw new Error('Give the corpus of these questions: --passages FILE, --passages union or --shard DIR.');
    return openShard(demoShard);
  }
  return openPassages(options.passages, options.embedder, signal);
}

/** `union` or a file. */
export async function openPassages(passages: string, embedder: EmbedderId | 'none', signal: AbortSignal): Promise<ShardFolder> {
  const union = passages === 'union' ? unionFiles() : null;
  if (passages === 'union' && union === null) throw new Error('--passages union needs the benchmark data in ../shared/data, which are not there.');
  let last = -Infinity;
  const onProgress = ({ phase, item, done, total, secondsLeft }: Progress): void => {
    if (performance.now() - last < 3000) return;
    last = performance.now();
    say(`Shard: ${phase} ${item} ${done}${total === null ? '' : ` of ${total}`}${secondsLeft === null ? '' : `, ${duration(secondsLeft)} left`}`);
  };
  return shardOf(union ?? [resolve(passages)], union === null ? namesOf(passages).dataset : 'union', embedder, signal, onProgress);
}

async function continueOrBegin(out: string, config: Config): Promise<Config> {
  const path = join(out, 'config.json');
  const text = await readFile(path, 'utf8').catch(() => null);
  if (text === null) {
    await replaceFile(path, `${JSON.stringify(config, null, 1)}\n`);
    return config;
  }
  const stored = v.parse(configSchema, JSON.parse(text));
  const differing = (Object.keys(config) as (keyof Config)[]).filter((key) => key !== 'runId' && JSON.stringify(stored[key]) !== JSON.stringify(config[key]));
  if (differing.length > 0) {
    const list = differing.map((key) => `${key} (${JSON.stringify(stored[key])} there, ${JSON.stringify(config[key])} now)`).join(', ');
    throw new Error(`${out} holds another run: it differs in ${list}. Give another --out, or delete that folder.`);
  }
  return stored;
}

function linesOf(rows: readonly unknown[]): string {
  return rows.map((row) => `${JSON.stringify(row)}\n`).join('');
}

async function replaceFile(path: string, text: string): Promise<void> {
  const part = `${path}.part`;
  await writeFile(part, text);
  await rename(part, path);
}

function progressLine({ done, total, failed, secondsLeft, last }: LabProgress): string {
  const left = secondsLeft === null ? '' : `, ${duration(secondsLeft)} left`;
  const scores = `EM ${last.scores.em} F1 ${last.scores.f1.toFixed(2)} ${JSON.stringify(last.prediction.slice(0, 60))}`;
  const outcome = last.error === null ? scores : `failed: ${last.error.message}`;
  return `${done}/${total}${failed === 0 ? '' : ` (${failed} failed)`}${left} | ${last.method} ${last.qid} ${(last.cost.wallMs / 1000).toFixed(1)} s ${outcome}`;
}

export function duration(seconds: number): string {
  return seconds < 90 ? `${Math.ceil(seconds)} s` : seconds < 5400 ? `${Math.ceil(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}
