/**
 * `npm run bench -- agent|page|native-server`: measurements anyone can repeat. Progress goes to stderr, the result to stdout; its last line is one line of JSON.
 * Exit code 0: done; 1: it could not be done, with the reason; 2: wrong usage; 130: stopped (the same command goes on).
 */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import * as v from 'valibot';
import type { AgentSettings } from '../src/agent/harness.ts';
import { AppError, isAbort } from '../src/errors.ts';
import { runAgentBench } from './bench/agent.ts';
import { runPageBench } from './bench/page-figures.ts';
import { root } from './setup.mjs';
import { embedderIds, type EmbedderId } from './shard/embed.ts';

const usage = `Usage:
  npm run bench -- agent [--questions FILE] [--passages FILE|union | --shard DIR] [--methods foray,rag,direct] [--llm LLM] [--limit N] [--seed S] [--out DIR]
                         [--embedder none|${embedderIds.join('|')}] [--split NAME] [--dataset NAME] [--timeout SECONDS] [--settings JSON] [--visible]
    Asks questions in the built page, each with each method. Without --questions: the demo questions (split report) on the demo shard.
    LLM: wllama:FILE.gguf, wllama:ID, webllm:ID, transformers:ID, http:URL#MODEL, scripted:FILE.json or none (default: wllama:smollm2-135m).
    FILE: JSON lines, plain or .gz, as described in bench/README.md. A run that was stopped goes on with the same command.
    Writes run.jsonl, summary.json and config.json to DIR (default bench/results/tmp/DATASET).
  npm run bench -- page [--passages FILE|union] [--embedder wordllama] [--repeats 5] [--profile [DIR]]
    Bytes of the shell, time to the first hit on a warm start, import speed.
    agent and page take --dist DIR: a built page other than dist/, which is built when it is outdated.
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

const settingsSchema = v.partial(
  v.strictObject({
    depths: v.array(v.number()),
    retrieve: v.number(),
    maxLlmCalls: v.number(),
    maxSearches: v.number(),
    maxWallMs: v.number(),
    evidenceTokens: v.number(),
    temperature: v.number(),
    dense: v.boolean(),
    links: v.boolean(),
  }),
);

function settingsOf(value: string | undefined): Partial<AgentSettings> {
  if (value === undefined) return {};
  let json: unknown;
  try {
    json = JSON.parse(value);
  } catch {
    throw new UsageError('--settings is a JSON object');
  }
  const parsed = v.safeParse(settingsSchema, json);
  if (!parsed.success) throw new UsageError(`--settings: ${parsed.issues.map((issue) => `${v.getDotPath(issue) ?? ''} ${issue.message}`).join('; ')}`);
  const { output } = parsed;
  return Object.fromEntries(Object.entries(output).filter(([, setting]) => setting !== undefined));
}

async function agent(args: string[], signal: AbortSignal): Promise<string> {
  const { values } = parseArgs({
    args,
    options: {
      questions: text, passages: text, shard: text, methods: text, llm: text, limit: text, seed: text, out: text, embedder: text, split: text, dataset: text,
      timeout: text, settings: text, visible: flag, dist: text,
    },
  });
  if (values.passages !== undefined && values.shard !== undefined) throw new UsageError('give --passages or --shard, not both');
  const llm = values.llm ?? 'wllama:smollm2-135m';
  const methods = (values.methods ?? (llm === 'none' ? 'extractive' : 'foray,rag,direct')).split(',').filter((method) => method !== '');
  if (methods.length === 0 || new Set(methods).size !== methods.length) throw new UsageError('--methods is a list of different names');
  return runAgentBench(
    {
      questions: values.questions ?? null,
      passages: values.passages ?? null,
      shard: values.shard ?? null,
      methods,
      llm,
      embedder: embedderOf(values.embedder, 'none'),
      limit: whole(values.limit, 'limit', Number.MAX_SAFE_INTEGER, 1),
      seed: whole(values.seed, 'seed', 13, 0),
      out: values.out ?? join(root, 'bench', 'results', 'tmp', values.dataset ?? (values.questions === undefined ? 'demo' : 'run')),
      split: values.split ?? null,
      dataset: values.dataset ?? null,
      timeoutSeconds: whole(values.timeout, 'timeout', 1800, 1),
      settings: settingsOf(values.settings),
      isVisible: values.visible === true,
      dist: values.dist ?? null,
    },
    signal,
  );
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
    else if (command === 'page') process.stdout.write(`${await page(rest, stop.signal)}\n`);
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
