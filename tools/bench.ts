/**
 * `npm run bench -- agent|learn|page|recall|retrieval|selftest|threads|native-server`: measurements anyone can repeat. Progress goes to stderr, the result to stdout;
 * its last line is one line of JSON.
 * Exit code 0: done; 1: it could not be done, with the reason; 2: wrong usage; 130: stopped (the same command goes on).
 */
import { spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { AppError, isAbort } from '../src/errors.ts';
import { budgetSettings, decodeMatrix, oracleSettings, robustnessSettings } from '../src/lab/matrix.ts';
import { runAgentBench } from './bench/agent.ts';
import { runPageBench } from './bench/page-figures.ts';
import { root } from './setup.mjs';
import { embedderIds, type EmbedderId } from './shard/embed.ts';

const usage = `Usage:
  npm run bench -- agent [--config FILE] [--questions FILE,…] [--corpus FILE|DIR|union|context|demo|library[/ID],…] [--methods foray,rag,direct] [--llm LLM,…] [--limit N] [--seed S]
                         [--seeds S,…] [--embedder none|${embedderIds.join('|')}] [--settings JSON] [--oracles] [--robustness] [--budgets 0,1,2,4] [--timeout SECONDS] [--tokens N]
                         [--pages N] [--shard I/N] [--in-process] [--cache] [--retry-failed] [--out DIR] [--split NAME] [--dataset NAME] [--dist DIR] [--visible] [--quiet]
                         [--profile DIR [--origin URL]]
    Asks questions in the built page (or in this process), each with each method, model, corpus, setting and seed. Without --questions: the demo questions (split
    report) on the demo shard. LLM: wllama:FILE.gguf, wllama:ID, webllm:ID, transformers:ID, http:URL#MODEL, scripted:FILE.json or none (default: wllama:smollm2-135m).
    FILE: official files of HotpotQA, 2Wiki, MuSiQue, Bamboogle, rows as in docs/lab.md, CSV; plain or .gz. A run that was stopped goes on with the same command.
    Writes run.jsonl, summary.json and config.json to DIR (default bench/results/tmp/DATASET).
  npm run bench -- report DIR [DIR] [--out FILE.html] [--title TEXT]
    One self-contained HTML file from the folder of a run; with a second folder the two side by side.
  npm run bench -- selftest
    The toy case of METHODS Appendix A through the real loop: prints its known figures and compares them.
  npm run bench -- methods [--write] [--table FILE.md] [--results SUMMARY.json,…]
    The registry as one line of JSON. --write renews docs/methods.md, its measured column from the summaries of agent runs; --table writes these as tables with
    intervals and paired tests, each below the command that made it.
  npm run bench -- page [--passages FILE|union] [--embedder wordllama] [--repeats 5] [--profile [DIR]]
    Bytes of the shell, time to the first hit on a warm start, import speed.
    agent and page take --dist DIR: a built page other than dist/, which is built when it is outdated.
  npm run bench -- learn --questions TRAIN --dev DEV --passages FILE [--llm http:URL#MODEL|none] [--iterations N] [--parts bank,adapter,selector,gate] [--method foray]
                         [--trajectories 3] [--limit N] [--dev-limit N] [--embedder none|${embedderIds.join('|')}] [--alpha 0] [--tau 1] [--seed S] [--settings JSON]
                         [--adapter JSON] [--out DIR]
    Iterations of learning; without a model adapter and selector are trained from gold passages. Writes iterations.jsonl, parts.json and the exports to DIR.
  npm run bench -- recall --questions FILE --passages FILE|union [--embedder none|${embedderIds.join('|')}] [--limit N] [--seed S] [--out DIR]
                         [--rerank http:URL#MODEL|cross-encoder:FOLDER] [--cache] [--analysis]
    Support recall and all-gold@10 of each ingredient of the search, in Node. FILE as for agent. --rerank adds the re-ranking stage; --cache keeps the model's answers,
    so that a stopped run goes on. --analysis: instead, BM25 alone with and without stemming, with other weights of titles and sections, without phrases.
  npm run bench -- recall --learn FILE.json --set QUESTIONS,PASSAGES|union,EMBEDDER|none [--set …] [--limit N]
    Learns the weights of the ranking from train splits and writes them; prints what cross-validation says of them.
  npm run bench -- retrieval [--n 10000,100000,1000000] [--out DIR] [--peers LIST] [--kinds vectors,text] [--data DIR] [--report]
    Foray's retrieval and that of other engines, side by side; the peers are installed by npm ci --prefix bench --ignore-scripts.
  npm run bench -- scale [--passages 1000000] [--folder DIR] [--queries 60] [--no-kernel] [--real FOLDER]
    A synthetic shard: import against raw IndexedDB, reopening, vector search, deletion, memory. DIR: where the shard is kept between runs.
    --real: instead, recall@10 on the cached MiniLM vectors in FOLDER.
  npm run bench -- threads [--rows 100000,1000000] [--repeats 100]
    The vector search on one thread and on two, side by side, in Node.
  npm run bench -- native-server --model FILE.gguf [--port 8089] [--threads 2] [--context 4096] [--slots 3] [--modules DIR]
    An OpenAI-compatible server around native llama.cpp, for --llm http:. Install it first: npm i --prefix bench --ignore-scripts
`;

class UsageError extends Error {}

const text = { type: 'string' } as const;
const flag = { type: 'boolean' } as const;

function whole(value: string | undefined, name: string, fallback: number, least: number): number {
  if (value === undefined) return fallback;
  const number = Number(value);
  if (!Number.isInteger(number) || number < least) throw new UsageError(`--${name} is a whole number of at least ${least}`);
  return number;
}

function embedderOf(value: string | undefined, fallback: EmbedderId | 'none'): EmbedderId | 'none' {
  const found = [...embedderIds, 'none' as const].find((id) => id === (value ?? fallback));
  if (found === undefined) throw new UsageError(`--embedder is one of none, ${embedderIds.join(', ')}`);
  return found;
}

function jsonOf(value: string, what: string): unknown {
  try {
    return JSON.parse(value) as unknown;
  } catch {
    throw new UsageError(`${what} is not JSON`);
  }
}

function listOf(value: string): string[] {
  return value.split(',').map((item) => item.trim()).filter((item) => item !== '');
}

/** A configuration file, JSON or TypeScript (its default export). */
async function configOf(file: string): Promise<Record<string, unknown>> {
  const path = resolve(file);
  const value: unknown = /\.[cm]?[jt]s$/.test(path) ? ((await import(pathToFileURL(path).href)) as { default?: unknown }).default : jsonOf(await readFile(path,
    'utf8'), file);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new UsageError(`${file} holds no object`);
  return { ...value };
}

/** Flags go before what the file says. */
async function agent(args: string[], signal: AbortSignal): Promise<string> {
  const { values } = parseArgs({
    args,
    options: {
      config: text, questions: text, corpus: text, methods: text, llm: text, limit: text, seed: text, seeds: text, out: text, embedder: text, split: text, dataset: text,
      timeout: text, tokens: text, settings: text, visible: flag, dist: text, pages: text, shard: text, cache: flag, oracles: flag, robustness: flag, budgets: text,
      'in-process': flag, 'retry-failed': flag, quiet: flag, profile: text, origin: text,
    },
  });
  const file = values.config === undefined ? {} : await configOf(values.config);
  const models = values.llm === undefined ? ((file['models'] as string[] | undefined) ?? ['wllama:smollm2-135m']) : listOf(values.llm);
  const questions = values.questions === undefined ? null : listOf(values.questions);
  const agentSettings = values.settings === undefined ? {} : jsonOf(values.settings, '--settings');
  const extra = [
    ...(values.oracles === true ? oracleSettings : []),
    ...(values.robustness === true ? robustnessSettings() : []),
    ...(values.budgets === undefined ? [] : budgetSettings(listOf(values.budgets).map((budget) => whole(budget, 'budgets', 0, 0)))),
  ].map(({ name, agent: limits, experiment }) => ({ name, agent: { ...(agentSettings as object), ...limits }, ...experiment }));
  const settings = [
    ...((file['settings'] as unknown[] | undefined) ?? (extra.length > 0 || values.settings !== undefined ? [{ name: 'default', agent: agentSettings }] : [])),
    ...extra,
  ];
  const optional = (name: string, value: number | undefined): Record<string, number> => (value === undefined ? {} : { [name]: value });
  const number = (name: 'limit' | 'timeout' | 'tokens' | 'pages',
    least: number): number | undefined => (values[name] === undefined ? undefined : whole(values[name], name, 0, least));
  const matrix = decodeMatrix(
    {
      corpora: ['demo'], questions: [{ file: 'demo' }], methods: models.every((model) => model === 'none') ? ['extractive'] : ['foray', 'rag', 'direct'],
      ...file,
      models,
      ...(questions === null ? {} : { questions: questions.map((name) => ({ file: name, ...(values.dataset === undefined ? {} : { dataset: values.dataset }),
        ...(values.split === undefined ? {} : { split: values.split }) })) }),
      ...(values.corpus === undefined ? {} : { corpora: listOf(values.corpus) }),
      ...(values.methods === undefined ? {} : { methods: listOf(values.methods) }),
      ...(values.embedder === undefined ? {} : { embedder: embedderOf(values.embedder, 'none') }),
      ...(values.seed === undefined ? {} : { sample: whole(values.seed, 'seed', 13, 0), seeds: [whole(values.seed, 'seed', 13, 0)] }),
      ...(values.seeds === undefined ? {} : { seeds: listOf(values.seeds).map((seed) => whole(seed, 'seeds', 13, 0)) }),
      ...optional('limit', number('limit', 1)),
      ...optional('timeoutSeconds', number('timeout', 1)),
      ...optional('maxTokens', number('tokens', 1)),
      ...optional('pages', number('pages', 1)),
      ...(values.cache === undefined ? {} : { cache: values.cache }),
      settings,
    },
    values.config ?? 'The command line',
  );
  const [first] = matrix.questions;
  if (questions !== null && values.corpus === undefined && file['corpora'] === undefined) throw new UsageError('give the corpus of these questions: --corpus FILE, a shard folder, union or context');
  const name = values.dataset ?? first?.dataset ?? (first?.file === 'demo' ? 'demo' : 'run');
  return runAgentBench(
    {
      matrix, out: values.out ?? join(root, 'bench', 'results', 'tmp', name), inProcess: values['in-process'] === true, retryFailed: values['retry-failed'] === true,
      share: values.shard === undefined ? null : shareOption(values.shard), isVisible: values.visible === true, dist: values.dist ?? null,
      library: values.profile === undefined ? null : { profile: values.profile, origin: values.origin ?? 'http://127.0.0.1:4173/' }, isQuiet: values.quiet === true,
    },
    signal,
  );
}

/** `2/4`: the second of four shares. */
function shareOption(value: string): { index: number; of: number } {
  const [, index, of] = (/^(\d+)\/(\d+)$/.exec(value) ?? []).map(Number);
  if (index === undefined || of === undefined || index < 1 || index > of) throw new UsageError('--shard names a share, as in 2/4; a shard folder is given by --corpus');
  return { index, of };
}

async function report(args: string[]): Promise<string> {
  const { values, positionals } = parseArgs({ args, allowPositionals: true, options: { out: text, title: text } });
  if (positionals.length < 1 || positionals.length > 2) throw new UsageError('name the folder of one run, or of two to compare');
  return (await import('./bench/report.ts')).writeReport(positionals, values.out ?? null, values.title ?? null);
}

async function page(args: string[], signal: AbortSignal): Promise<string> {
  // `--profile` may stand alone.
  const at = args.indexOf('--profile');
  const next = at < 0 ? undefined : args[at + 1];
  const folder = at < 0 ? null : next === undefined || next.startsWith('--') ? join(root, 'bench', 'results', 'tmp', 'traces') : next;
  const rest = at < 0 ? args : args.filter((_, i) => i !== at && !(i === at + 1 && folder === next));
  const { values } = parseArgs({ args: rest, options: { passages: text, embedder: text, repeats: text, dist: text } });
  const repeats = whole(values.repeats, 'repeats', 5, 1);
  return runPageBench({ passages: values.passages ?? null, embedder: embedderOf(values.embedder, 'none'), profile: folder, repeats, dist: values.dist ?? null }, signal);
}

async function recall(args: string[], signal: AbortSignal): Promise<string> {
  const { values } = parseArgs({
    args,
    options: {
      questions: text, passages: text, embedder: text, limit: text, seed: text, out: text, learn: text, set: { type: 'string', multiple: true }, analysis: flag, rerank: text, cache: flag,
    },
  });
  const { runLearning, runRecallBench } = await import('./bench/recall.ts');
  const log = (line: string): void => void process.stderr.write(`${line}\n`);
  const limit = whole(values.limit, 'limit', Number.MAX_SAFE_INTEGER, 1);
  const seed = whole(values.seed, 'seed', 13, 0);
  if (values.learn !== undefined) {
    const sets = (values.set ?? []).map((set) => {
      const [questions, passages, embedder, ...more] = set.split(',');
      if (questions === undefined || passages === undefined || more.length > 0) throw new UsageError('--set is QUESTIONS,PASSAGES,EMBEDDER');
      return { questions, passages, embedder: embedderOf(embedder, 'none') };
    });
    if (sets.length === 0) throw new UsageError('give at least one --set');
    return runLearning({ sets, limit, seed, out: values.learn }, signal, log);
  }
  if (values.questions === undefined || values.passages === undefined) throw new UsageError('give --questions and --passages');
  if (values.analysis === true && (values.rerank !== undefined || values.embedder !== undefined)) throw new UsageError('--analysis compares BM25 alone: without --embedder and --rerank');
  const embedder = embedderOf(values.embedder, 'none');
  const rerank = values.rerank === undefined ? null : { spec: values.rerank, keepsCalls: values.cache === true };
  return runRecallBench(
    { questions: values.questions, passages: values.passages, embedder, limit, seed, analysis: values.analysis === true, rerank, out: values.out ?? null },
    signal,
    log,
  );
}

async function retrieval(args: string[], signal: AbortSignal): Promise<string> {
  const { values } = parseArgs({ args, options: { n: text, out: text, peers: text, kinds: text, data: text, report: flag } });
  const { dataFolder, engineIds, runRetrievalBench } = await import('./bench/retrieval.ts');
  const list = (value: string): string[] => value.split(',').filter((part) => part !== '');
  const sizes = list(values.n ?? '10000,100000').map((part) => whole(part, 'n', 0, 100));
  const peers = values.peers === undefined ? null : list(values.peers);
  const unknown = peers?.find((id) => !engineIds.includes(id));
  if (unknown !== undefined) throw new UsageError(`--peers: ${unknown} is none of ${engineIds.join(', ')}`);
  const all = ['text', 'vectors'] as const;
  const kinds = values.kinds === undefined ? all : all.filter((kind) => list(values.kinds ?? '').includes(kind));
  if (kinds.length === 0 || sizes.length === 0) throw new UsageError('--kinds is vectors, text or both; --n is a list of numbers');
  const out = values.out ?? join(root, 'bench', 'results', 'tmp', 'retrieval');
  const data = values.data ?? dataFolder;
  return runRetrievalBench({ sizes, out, peers, kinds, data, measures: values.report !== true, command: ['npm run bench -- retrieval', ...args].join(' ') }, signal);
}

async function scale(args: string[], signal: AbortSignal): Promise<string> {
  const { values } = parseArgs({ args, options: { passages: text, folder: text, queries: text, 'no-kernel': flag, real: text } });
  if (values.real !== undefined) {
    const { measureRealRecall } = await import('./bench/vector-recall.ts');
    return JSON.stringify(await measureRealRecall(values.real, 'minilm', 384, whole(values.queries, 'queries', 200, 1), signal));
  }
  const { runScaleBench } = await import('./bench/scale.ts');
  const passages = whole(values.passages, 'passages', 1_000_000, 100);
  const queries = whole(values.queries, 'queries', 60, 1);
  return runScaleBench({ passages, folder: values.folder ?? null, queries, withKernel: values['no-kernel'] !== true }, signal);
}

async function threads(args: string[], signal: AbortSignal): Promise<string> {
  const { values } = parseArgs({ args, options: { rows: text, repeats: text } });
  const sizes = listOf(values.rows ?? '100000,1000000').map((size) => whole(size, 'rows', 0, 2));
  return JSON.stringify(await (await import('./bench/threads.ts')).measureThreads(sizes, whole(values.repeats, 'repeats', 100, 1), signal));
}

function nativeServer(args: readonly string[]): Promise<number> {
  return new Promise((done) => {
    const child = spawn(process.execPath, [join(root, 'bench', 'native-server.mjs'), ...args], { stdio: 'inherit' });
    for (const name of ['SIGINT', 'SIGTERM'] as const) process.on(name, () => child.kill(name));
    child.on('close', (code) => done(code ?? 0));
  });
}

async function main(args: readonly string[]): Promise<number> {
  const [command, ...rest] = args;
  if (command === 'native-server') return nativeServer(rest);
  const stop = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    process.once(name, () => {
      process.stderr.write('Stopping; the same command goes on.\n');
      stop.abort();
    });
  }
  try {
    if (command === 'agent') process.stdout.write(`${await agent(rest, stop.signal)}\n`);
    else if (command === 'methods') process.stdout.write(`${await (await import('./bench/methods.ts')).methodsCommand(rest)}\n`);
    else if (command === 'learn') process.stdout.write(`${await (await import('./bench/learn.ts')).learnCommand(rest, stop.signal)}\n`);
    else if (command === 'report') process.stdout.write(`${await report(rest)}\n`);
    else if (command === 'selftest') {
      const { line, isRight } = await (await import('./bench/selftest.ts')).runSelftest();
      process.stdout.write(`${line}\n`);
      return isRight ? 0 : 1;
    } else if (command === 'page') process.stdout.write(`${await page(rest, stop.signal)}\n`);
    else if (command === 'scale') process.stdout.write(`${await scale(rest, stop.signal)}\n`);
    else if (command === 'threads') process.stdout.write(`${await threads(rest, stop.signal)}\n`);
    else if (command === 'recall') process.stdout.write(`${await recall(rest, stop.signal)}\n`);
    else if (command === 'retrieval') process.stdout.write(`${await retrieval(rest, stop.signal)}\n`);
    else throw new UsageError(command === undefined ? 'what is to be measured?' : `there is no ${command}`);
    return 0;
  } catch (error) {
    if (error instanceof UsageError || (error instanceof TypeError && 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS'))) {
      process.stderr.write(`${error.message}\n${usage}`);
      return 2;
    }
    if (isAbort(error) || stop.signal.aborted) return 130;
    process.stderr.write(`${error instanceof AppError || error instanceof Error ? error.message : String(error)}\n`);
    if (process.env['FORAY_DEBUG'] !== undefined && error instanceof Error) process.stderr.write(`${error.stack ?? ''}\n`);
    return 1;
  }
}

process.exitCode = await main(process.argv.slice(2));
