/**
 * `npm run bench -- retrieval`: Foray's retrieval and that of other engines for the browser, side by side in Chromium, on the same passages and queries. Every row is
 * on disk as soon as it is measured; a run that was stopped goes on with the same command, and single engines can be measured again into the same folder.
 */
import { createHash, randomUUID } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { availableParallelism, cpus, loadavg } from 'node:os';
import { join } from 'node:path';
import * as v from 'valibot';
import { isAbort } from '../../src/errors.ts';
import type { Kind } from './retrieval/contract.ts';
import { root } from '../setup.mjs';
import { dimensions, prepare, type PreparedData } from './retrieval/data.ts';
import { engines, openRetrievalSite, versionOf, type EngineEntry } from './retrieval/engines.ts';
import { measureEngine, measureMachine, StageError } from './retrieval/measure.ts';
import { drawPlots } from './retrieval/plots.ts';
import { report, resultLine } from './retrieval/report.ts';
import { rowSchema, type Row } from './retrieval/rows.ts';

export interface RetrievalBenchOptions {
  readonly sizes: readonly number[];
  readonly out: string;
  /** Ids of engines; null: all. */
  readonly peers: readonly string[] | null;
  readonly kinds: readonly Kind[];
  /** False: only the report is made anew, from the rows that are there. */
  readonly measures: boolean;
  /** Where data are made and kept. */
  readonly data: string;
  /** The command, for the report. */
  readonly command: string;
}

/** Where the data lie unless another folder is named. */
export const dataFolder = join(root, '.cache', 'bench-retrieval');
export const engineIds: readonly string[] = [...new Set(engines.map(({ id }) => id))];

const say = (line: string): void => void process.stderr.write(`${line}\n`);
const runSchema = v.object({ run: v.string(), command: v.string(), finished: v.boolean() });

/** Resolves with the line that ends the output. */
export async function runRetrievalBench(options: RetrievalBenchOptions, signal: AbortSignal): Promise<string> {
  const rowsFolder = join(options.out, 'rows');
  await mkdir(rowsFolder, { recursive: true });
  const ownRun = options.measures ? await beginRun(options) : ((await knownRun(options.out))?.run ?? 'none');
  const chosen: { entry: EngineEntry; version: string | null }[] = [];
  for (const entry of engines) {
    if ((options.peers === null || options.peers.includes(entry.id)) && options.kinds.includes(entry.kind)) chosen.push({ entry, version: await versionOf(entry) });
  }
  const site = await openRetrievalSite(chosen.filter(({ version }) => version !== null).map(({ entry }) => entry), options.data, signal);
  try {
    for (const count of options.measures ? options.sizes : []) {
      for (const kind of options.kinds) {
        const data = await prepare(kind, count, Math.max(...options.sizes), { folder: options.data, say, signal });
        await measureOnce(rowsFolder, ownRun, { kind, n: count, engine: 'machine', version: null }, data, async () => ({
          machine: await measureMachine(data.source, kind === 'vectors' ? count * dimensions : 64 * 2 ** 20, site.url, signal),
        }));
        for (const { entry, version } of chosen.filter((candidate) => candidate.entry.kind === kind)) {
          await measureOnce(rowsFolder, ownRun, { kind, n: count, engine: entry.id, version }, data, async () => {
            if (version === null) return { error: 'its package is not installed: npm ci --prefix bench --ignore-scripts' };
            const hopeless = await foreseen(rowsFolder, ownRun, entry, count);
            if (hopeless !== null) return { error: hopeless };
            return { figures: await measureEngine(entry, data, site.url, signal) };
          });
        }
      }
    }
    const measured = await readRows(rowsFolder);
    const before = options.measures || measured.length > 0 ? null : await knownReport(options.out);
    const rows = before?.rows ?? measured;
    const plots = await drawPlots(rows, site.url, options.out);
    const run = before?.run ?? ownRun;
    const command = options.measures ? options.command : (before?.command ?? (await knownRun(options.out))?.command ?? options.command);
    await writeFile(join(options.out, 'retrieval.md'), report(rows, { run, command, plots }));
    const line = resultLine(rows);
    await writeFile(join(options.out, 'retrieval.json'), `${JSON.stringify({ run, command, result: JSON.parse(line) as unknown, rows }, null, 1)}\n`);
    if (options.measures) await writeFile(join(options.out, 'run.json'), JSON.stringify({ run, command, finished: true } satisfies v.InferOutput<typeof runSchema>));
    return line;
  } finally {
    await site.close();
  }
}

async function knownRun(out: string): Promise<v.InferOutput<typeof runSchema> | null> {
  const text = await readFile(join(out, 'run.json'), 'utf8').catch(() => null);
  const known = text === null ? null : v.safeParse(runSchema, JSON.parse(text));
  return known?.success === true ? known.output : null;
}

const reportSchema = v.object({ run: v.string(), command: v.string(), rows: v.array(rowSchema) });

/** A report whose rows are not beside it any more, as in a fresh checkout. */
async function knownReport(out: string): Promise<v.InferOutput<typeof reportSchema> | null> {
  const text = await readFile(join(out, 'retrieval.json'), 'utf8').catch(() => null);
  const known = text === null ? null : v.safeParse(reportSchema, JSON.parse(text));
  return known?.success === true ? known.output : null;
}

/** The id of the run: that of a run with the same command that was stopped, else a new one. Rows of different runs are told apart by it. */
async function beginRun({ out, command }: RetrievalBenchOptions): Promise<string> {
  const file = join(out, 'run.json');
  const known = await knownRun(out);
  if (known !== null && !known.finished && known.command === command) {
    say(`Going on with run ${known.run}.`);
    return known.run;
  }
  const run = createHash('sha256').update(randomUUID()).digest('hex').slice(0, 8);
  await writeFile(file, JSON.stringify({ run, command, finished: false } satisfies v.InferOutput<typeof runSchema>));
  return run;
}

type Place = Pick<Row, 'kind' | 'n' | 'engine' | 'version'>;
const fileOf = ({ kind, n, engine }: Pick<Row, 'kind' | 'n' | 'engine'>): string => `${kind}-${n}-${engine}.json`;

/** Measures unless this run has the row already. An engine that fails is a row with the reason. */
async function measureOnce(folder: string, run: string, place: Place, data: PreparedData, measure: () => Promise<Row['result']>): Promise<void> {
  const known = await readRow(join(folder, fileOf(place)));
  if (known?.run === run) return;
  say(`${place.kind} ${place.n}: ${place.engine} …`);
  const loadBefore = loadavg()[0] ?? 0;
  const started = performance.now();
  let result: Row['result'];
  try {
    result = await measure();
  } catch (error) {
    if (isAbort(error) || !(error instanceof StageError)) throw error;
    result = { error: error.message };
  }
  const row: Row = {
    ...place,
    run,
    measuredAt: new Date().toISOString(),
    data: data.label,
    real: data.real,
    load: Number(loadBefore.toFixed(2)),
    cores: availableParallelism(),
    cpu: cpus()[0]?.model ?? 'unknown',
    result,
  };
  const file = join(folder, fileOf(place));
  await writeFile(`${file}.new`, JSON.stringify(row, null, 1));
  await rename(`${file}.new`, file);
  const told = 'error' in result ? result.error : 'figures' in result ? `p50 ${result.figures.p50.toFixed(3)} ms, recall ${result.figures.recall10.toFixed(3)}` : 'done';
  say(`  ${told} (${((performance.now() - started) / 1000).toFixed(0)} s)`);
}

/** Why an engine need not be tried at this size: a smaller size of this run says that it would not get through. */
async function foreseen(folder: string, run: string, entry: EngineEntry, count: number): Promise<string | null> {
  const own = (await readRows(folder)).filter((row) => row.run === run && row.kind === entry.kind && row.engine === entry.id && row.n < count);
  const smaller = own.sort((a, b) => b.n - a.n)[0];
  if (smaller === undefined || entry.package === null) return null;
  if ('error' in smaller.result) return `not tried: it failed with ${smaller.n} passages (${smaller.result.error})`;
  if (!('figures' in smaller.result)) return null;
  const seconds = (smaller.result.figures.buildMs / 1000) * (count / smaller.n);
  return seconds > 1.5 * entry.limitSeconds ? `not tried: building would take about ${Math.round(seconds)} s or more (limit ${entry.limitSeconds} s), by its time for ${smaller.n} passages` : null;
}

async function readRow(file: string): Promise<Row | null> {
  const text = await readFile(file, 'utf8').catch(() => null);
  if (text === null) return null;
  const parsed = v.safeParse(rowSchema, JSON.parse(text));
  if (parsed.success) return parsed.output;
  // Of an older form of the benchmark: it would be mixed with rows that mean something else.
  await rm(file);
  return null;
}

async function readRows(folder: string): Promise<Row[]> {
  const rows = [];
  for (const name of (await readdir(folder)).filter((file) => file.endsWith('.json')).sort()) {
    const row = await readRow(join(folder, name));
    if (row !== null) rows.push(row);
  }
  return rows;
}
