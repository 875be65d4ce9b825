/** Measures one engine, or the machine, in a browser of its own: fresh profile, one page for building, another one for reopening and queries. */
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium, type BrowserContext, type Page } from '@playwright/test';
import { abortError, isAbort } from '../../../src/errors.ts';
import { quantile } from '../../../src/lab/statistics.ts';
import { launchOptions } from '../../browser.mjs';
import { resultCount, type BuildFigures, type DataSource, type EngineRequest, type MachineRequest, type OpenFigures, type PointFigures, type PutFigures, type QueryFigures } from './contract.ts';
import type { PreparedData } from './data.ts';
import { machineScript, scriptOf, type EngineEntry } from './engines.ts';
import { recallOf, type ExactAnswer } from './reference.ts';
import { chosenPoint } from './recall-target.ts';
import type { RetrievalPage } from './page.ts';
import type { MachineFigures, PointRow, RowFigures } from './rows.ts';

/** A stage that failed, and how. */
export class StageError extends Error {
  constructor(
    readonly stage: string,
    reason: string,
  ) {
    super(`${stage}: ${reason}`);
  }
}

const queryBudgetMs = 30_000;

/** A browser whose only page is replaced at will; storage lasts from page to page. */
class Browser {
  private page: Page | null = null;

  private constructor(
    private readonly url: string,
    private readonly profile: string,
    private readonly context: BrowserContext,
    private readonly signal: AbortSignal,
  ) {}

  static async open(url: string, signal: AbortSignal): Promise<Browser> {
    const profile = await mkdtemp(join(tmpdir(), 'foray-retrieval-'));
    const { executablePath, args } = launchOptions();
    const context = await chromium.launchPersistentContext(profile, {
      executablePath,
      // Memory is measured at once instead of at the next big collection, and collected before.
      args: [...args, '--enable-blink-features=ForceEagerMeasureMemory', '--js-flags=--expose-gc'],
    });
    await context.addInitScript('globalThis.__name = (value) => value;');
    return new Browser(url, profile, context, signal);
  }

  async freshPage(): Promise<void> {
    const old = this.page ?? this.context.pages()[0] ?? null;
    this.page = await this.context.newPage();
    await old?.close();
    await this.page.goto(this.url);
    await this.page.waitForFunction(() => globalThis.retrieval !== undefined);
  }

  /** One call of the page's `retrieval` object. Rejects with `StageError` when it fails, takes longer than `seconds` or takes the page with it. */
  async call<K extends keyof RetrievalPage>(
    stage: string,
    seconds: number,
    method: K,
    ...args: Parameters<RetrievalPage[K]>
  ): Promise<Awaited<ReturnType<RetrievalPage[K]>>> {
    const { page, signal } = this;
    if (page === null) throw new Error('no page');
    let leave = (): void => undefined;
    const broken = new Promise<never>((_, reject) => {
      const crashed = (): void => reject(new StageError(stage, 'the page ran out of memory and crashed'));
      const aborted = (): void => reject(abortError());
      const timer = setTimeout(() => reject(new StageError(stage, `not done after ${seconds} s`)), seconds * 1000);
      page.on('crash', crashed);
      signal.addEventListener('abort', aborted, { once: true });
      leave = () => {
        clearTimeout(timer);
        page.off('crash', crashed);
        signal.removeEventListener('abort', aborted);
      };
    });
    const work = page.evaluate(
      async ({ name, values }) => {
        const api = globalThis.retrieval as unknown as Record<string, (...values: unknown[]) => Promise<unknown>>;
        return (await api[name]?.(...values)) as never;
      },
      { name: method, values: args },
    ) as Promise<Awaited<ReturnType<RetrievalPage[K]>>>;
    try {
      return await Promise.race([work, broken]);
    } catch (error) {
      if (error instanceof StageError || isAbort(error)) throw error;
      throw new StageError(stage, firstLine(error));
    } finally {
      leave();
      work.catch(() => undefined);
    }
  }

  async ask<T>(stage: string, seconds: number, script: string, request: EngineRequest | MachineRequest): Promise<{ startMs: number; value: T }> {
    const { startMs, value } = await this.call(stage, seconds, 'ask', script, request);
    return { startMs, value: value as T };
  }

  memory(): Promise<{ now: number; peak: number } | null> {
    return rendererMemory(this.profile);
  }

  async close(): Promise<void> {
    await this.context.close().catch(() => undefined);
    await rm(this.profile, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 }).catch(() => undefined);
  }
}

function firstLine(error: unknown): string {
  const text = (error instanceof Error ? error.message : String(error)).split('\n')[0] ?? '';
  return text.replace(/^page\.evaluate: (?:Error: )?/, '').slice(0, 300);
}

/** Resident bytes, now and at the peak, of the largest page process of a profile's browser; Linux only. */
async function rendererMemory(profile: string): Promise<{ now: number; peak: number } | null> {
  const processes = new Map<string, { parent: string; command: string; now: number; peak: number }>();
  for (const pid of (await readdir('/proc').catch(() => [])).filter((name) => /^\d+$/.test(name))) {
    const [status, command] = await Promise.all([readFile(`/proc/${pid}/status`, 'utf8').catch(() => ''), readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')]);
    const field = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status)?.[1] ?? 0);
    processes.set(pid, { parent: String(field('PPid')), command: command.replaceAll('\0', ' '), now: field('VmRSS') * 1024, peak: field('VmHWM') * 1024 });
  }
  const isOurs = (pid: string, depth = 0): boolean => {
    const process = processes.get(pid);
    if (process === undefined || depth > 8) return false;
    return process.command.includes(`--user-data-dir=${profile}`) || isOurs(process.parent, depth + 1);
  };
  const pages = [...processes].filter(([pid, { command }]) => command.includes('--type=renderer') && isOurs(pid)).map(([, process]) => process);
  const largest = pages.sort((a, b) => b.now - a.now)[0];
  return largest === undefined ? null : { now: largest.now, peak: largest.peak };
}

const megabytes = (bytes: number | null | undefined): number | null => (bytes == null ? null : Math.round(bytes / 1e6));

function pointRow(figures: PointFigures, exact: readonly ExactAnswer[], plain: readonly ExactAnswer[] | null): PointRow {
  const times = figures.times.toSorted((a, b) => a - b);
  const against = (answers: readonly ExactAnswer[]): number => {
    const recalls = figures.found.map((found, i) => recallOf(found, answers[i] ?? { best: [], tied: [] }, resultCount));
    return recalls.reduce((sum, recall) => sum + recall, 0) / Math.max(1, recalls.length);
  };
  return {
    label: figures.label,
    p50: quantile(times, 0.5),
    p95: quantile(times, 0.95),
    recall10: against(exact),
    recall10Plain: plain === null ? null : against(plain),
    queries: times.length,
  };
}

/** Throws `StageError` where the engine does not get through. */
export async function measureEngine(entry: EngineEntry, data: PreparedData, url: string, signal: AbortSignal): Promise<RowFigures> {
  const browser = await Browser.open(url, signal);
  try {
    return entry.package === null ? await measureForay(entry, data, browser) : await measurePeer(entry, data, browser);
  } finally {
    await browser.close();
  }
}

async function measurePeer(entry: EngineEntry, { source, exact, exactPlain }: PreparedData, browser: Browser): Promise<RowFigures> {
  const script = scriptOf(entry);
  const seconds = entry.limitSeconds;
  await browser.freshPage();
  const empty = await browser.call('start', 60, 'storedBytes');
  const { value: built } = await browser.ask<BuildFigures>('build', seconds, script, { op: 'build', source });
  const peak = await browser.memory();
  const stored = await browser.call('build', 60, 'storedBytes');
  await browser.freshPage();
  const { startMs, value: opened } = await browser.ask<OpenFigures>('reopen', seconds, script, { op: 'open', source });
  const { value: queried } = await browser.ask<QueryFigures>('query', seconds, script, { op: 'query', source, budgetMs: queryBudgetMs });
  const points = queried.points.map((point) => pointRow(point, exact, exactPlain));
  return {
    ...chosenPoint(points),
    buildMs: built.buildMs,
    saveMs: built.saveMs,
    reopenMs: startMs + opened.openMs,
    bytes: built.bytes ?? Math.max(0, (stored ?? 0) - (empty ?? 0)),
    ...(await memoryOf(browser, peak)),
    points,
    extra: queried.extra,
  };
}

async function memoryOf(browser: Browser, peak: { peak: number } | null): Promise<Pick<RowFigures, 'memoryMB' | 'peakMB' | 'heapMB'>> {
  const heap = await browser.call('memory', 15, 'memoryBytes').catch(() => null);
  const now = await browser.memory();
  return { memoryMB: megabytes(now?.now), peakMB: megabytes(peak?.peak), heapMB: megabytes(heap) };
}

/** Import, reopening, whole searches and reading through the corpus worker; the search by itself like a peer's. */
async function measureForay(entry: EngineEntry, { source, exact, exactPlain, shardBytes }: PreparedData, browser: Browser): Promise<RowFigures> {
  const script = scriptOf(entry);
  const seconds = entry.limitSeconds;
  await browser.freshPage();
  const { value: built } = await browser.ask<BuildFigures>('build', seconds, script, { op: 'build', source });
  await browser.freshPage();
  const { importMs } = await browser.call('import', seconds, 'importShard', source);
  const peak = await browser.memory();
  await browser.freshPage();
  const { openMs } = await browser.call('reopen', seconds, 'reopen', source);
  const whole = pointRow(await browser.call('whole search', seconds, 'searches', source, queryBudgetMs), exact, exactPlain);
  const reads = [...(await browser.call('passages', seconds, 'readPassages', source, 60))].sort((a, b) => a - b);
  const memory = await memoryOf(browser, peak);
  await browser.freshPage();
  await browser.ask<OpenFigures>('open', seconds, script, { op: 'open', source });
  const { value: queried } = await browser.ask<QueryFigures>('query', seconds, script, { op: 'query', source, budgetMs: queryBudgetMs });
  const points = queried.points.map((point) => pointRow(point, exact, exactPlain));
  const { deleteMs } = await browser.call('delete', seconds, 'deleteShard', source);
  return {
    ...chosenPoint(points),
    buildMs: source.kind === 'text' ? built.buildMs : importMs,
    saveMs: 0,
    reopenMs: openMs,
    bytes: built.bytes ?? shardBytes,
    ...memory,
    points,
    extra: {
      ...queried.extra,
      importMs,
      shardBytes,
      importMBps: shardBytes / 1e6 / (importMs / 1000),
      encodeMs: built.buildMs,
      wholeP50: whole.p50,
      wholeP95: whole.p95,
      wholeRecall10: whole.recall10,
      tenPassagesP50: quantile(reads, 0.5),
      tenPassagesP95: quantile(reads, 0.95),
      deleteMs,
    },
  };
}

/** `scanBytes`: the size of the buffer that a scan of the data would read. */
export async function measureMachine(source: DataSource, scanBytes: number, url: string, signal: AbortSignal): Promise<MachineFigures> {
  const browser = await Browser.open(url, signal);
  try {
    await browser.freshPage();
    const { value: bandwidth } = await browser.ask<number>('memory bandwidth', 120, machineScript, { op: 'bandwidth', bytes: scanBytes });
    const rate = async (what: string, request: MachineRequest): Promise<number> => {
      await browser.freshPage();
      const { value } = await browser.ask<PutFigures>(what, 300, machineScript, request);
      return value.bytes / 1e6 / (value.ms / 1000);
    };
    return {
      bandwidthMBps: bandwidth / 1e6,
      putPartsMBps: await rate('putting into IndexedDB', { op: 'put', source, records: 'parts', fetched: 'before' }),
      putBlocksMBps: await rate('putting into IndexedDB', { op: 'put', source, records: 'blocks', fetched: 'before' }),
      fetchMBps: await rate('fetching', { op: 'fetch', source }),
      fetchAndPutMBps: await rate('fetching and putting into IndexedDB', { op: 'put', source, records: 'parts', fetched: 'meanwhile' }),
    };
  } finally {
    await browser.close();
  }
}
