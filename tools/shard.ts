/**
 * `npm run shard -- build|verify|inspect`: makes and checks shards. Progress goes to stderr, results to stdout.
 * Exit code 0: done; 1: bad input or a faulty shard, one line each; 2: wrong usage; 130: stopped (the next call continues).
 */
import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import * as v from 'valibot';
import { analysisNames } from '../src/corpus/analysis.ts';
import { AppError, isAbort } from '../src/errors.ts';
import type { Progress } from '../src/progress.ts';
import { rankWeightsSchema, type RankWeights } from '../src/corpus/rank.ts';
import { buildShard, type BuildOptions } from './shard/builder.ts';
import { describeShard, verifyShard } from './shard/check.ts';
import { embedderIds } from './shard/embed.ts';
import { InputError } from './shard/input.ts';

const usage = `Usage:
  npm run shard -- build --input FILE|FOLDER --out DIR [--id ID] [--name NAME] [--language CODE] [--licence TEXT] [--attribution TEXT] [--source TEXT]
                         [--embedder ${embedderIds.join('|')}|none] [--vectors-cache DIR|none] [--analysis ${analysisNames.join('|')}] [--ranking FILE]
  npm run shard -- verify DIR
  npm run shard -- inspect DIR
--analysis words-1: words are not stemmed as English (other languages, exact words).
Input: JSON lines (id, title, text; .jsonl, .jsonl.gz), a MediaWiki dump (.xml, .xml.bz2, .xml.gz) or a folder of .md articles.
A build that was stopped goes on where it was when the same command is given again.
`;

class UsageError extends Error {}

function buildOptions(args: string[]): BuildOptions {
  const text = { type: 'string' } as const;
  const { values } = parseArgs({
    args,
    options: {
      input: text, out: text, id: text, name: text, language: text, licence: text, attribution: text, source: text, embedder: text, 'vectors-cache': text,
      analysis: text, ranking: text,
    },
  });
  const { input, out } = values;
  if (input === undefined || out === undefined) throw new UsageError('build needs --input and --out');
  const id = values.id ?? basename(resolve(out)).toLowerCase().replace(/[^a-z0-9-]+/g, '-').slice(0, 64);
  if (!/^[a-z0-9-]{1,64}$/.test(id)) throw new UsageError('--id may hold small letters, digits and hyphens, 64 at most');
  const embedder = [...embedderIds, 'none' as const].find((e) => e === (values.embedder ?? 'none'));
  if (embedder === undefined) throw new UsageError(`--embedder is one of ${embedderIds.join(', ')}, none`);
  const analysis = analysisNames.find((name) => name === (values.analysis ?? 'english-1'));
  if (analysis === undefined) throw new UsageError(`--analysis is one of ${analysisNames.join(', ')}`);
  const cache = values['vectors-cache'] ?? join(homedir(), '.cache', 'foray', 'vectors');
  return {
    input,
    out,
    id,
    name: values.name ?? id,
    language: values.language ?? null,
    licence: values.licence ?? 'not stated',
    attribution: values.attribution ?? '',
    source: values.source ?? basename(input),
    embedder,
    analysis,
    vectorsCache: cache === 'none' ? null : cache,
    ...(values.ranking === undefined ? {} : { ranking: rankingOf(values.ranking) }),
  };
}

/** Weights as `npm run bench -- recall --learn` writes them. */
function rankingOf(file: string): RankWeights {
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    throw new InputError(`${file} holds no weights: ${error instanceof Error ? error.message : String(error)}`);
  }
  const parsed = v.safeParse(rankWeightsSchema, value);
  if (!parsed.success) throw new InputError(`${file} holds no weights of the ranking: ${parsed.issues[0].message}`);
  return parsed.output;
}

/** Writes at most one line in two seconds, and the last one of each phase. */
function progressPrinter(): (progress: Progress) => void {
  let last = 0;
  return (p) => {
    const now = performance.now();
    if (now - last < 2000) return;
    last = now;
    const amount = p.unit === 'bytes' ? `${(p.done / 1e6).toFixed(1)}${p.total === null ? '' : ` of ${(p.total / 1e6).toFixed(1)}`} MB` : `${p.done} of ${p.total ?? '?'} passages`;
    const rate = p.rate === null ? '' : p.unit === 'bytes' ? `, ${(p.rate / 1e6).toFixed(2)} MB/s` : `, ${Math.round(p.rate)}/s`;
    const left = p.secondsLeft === null ? '' : `, ${timeLeft(p.secondsLeft)} left`;
    process.stderr.write(`${p.phase}: ${amount}${rate}${left} (${p.item})\n`);
  };
}

function timeLeft(seconds: number): string {
  return seconds < 90 ? `${Math.ceil(seconds)} s` : seconds < 5400 ? `${Math.ceil(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

async function main(args: string[]): Promise<number> {
  const [command, ...rest] = args;
  if (command === 'build') {
    const stop = new AbortController();
    process.once('SIGINT', () => stop.abort());
    process.once('SIGTERM', () => stop.abort());
    const options = buildOptions(rest);
    const started = performance.now();
    const { manifest, skipped, isResumed } = await buildShard(options, { signal: stop.signal, onProgress: progressPrinter(), now: () => performance.now() });
    const bytes = manifest.parts.reduce((sum, p) => sum + p.bytes, 0);
    process.stdout.write(
      `${options.out}: ${manifest.counts.documents} documents, ${manifest.counts.passages} passages, ${manifest.counts.links} links, ${skipped} items without text; ` +
        `${manifest.parts.length} parts, ${(bytes / 1e6).toFixed(1)} MB in ${((performance.now() - started) / 1000).toFixed(1)} s${isResumed ? ' (continued)' : ''}\n`,
    );
    return 0;
  }
  const [folder] = rest;
  if ((command !== 'verify' && command !== 'inspect') || folder === undefined || rest.length > 1) throw new UsageError(command === undefined ? 'say what to do' : `cannot do: ${args.join(' ')}`);
  if (command === 'inspect') {
    process.stdout.write(await describeShard(folder));
    return 0;
  }
  const faults = await verifyShard(folder);
  for (const fault of faults) process.stderr.write(`${fault}\n`);
  process.stdout.write(faults.length === 0 ? `${folder}: sound\n` : `${folder}: ${faults.length} fault${faults.length === 1 ? '' : 's'}\n`);
  return faults.length === 0 ? 0 : 1;
}

function isUsage(error: unknown): error is Error {
  return error instanceof UsageError || (error instanceof TypeError && 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS'));
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  if (isUsage(error)) {
    process.stderr.write(`${error.message}\n${usage}`);
    process.exitCode = 2;
  } else if (isAbort(error)) {
    process.stderr.write('stopped; give the same command again to go on\n');
    process.exitCode = 130;
  } else if (error instanceof InputError || error instanceof AppError || (error instanceof Error && 'code' in error)) {
    process.stderr.write(`${error.message}\n`);
    process.exitCode = 1;
  } else {
    throw error;
  }
}
