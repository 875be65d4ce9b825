/**
 * `npm run bench -- page`: what the page itself costs. Bytes of the shell, time from opening the page to the first result with the shard installed, and the speed
 * of importing a shard; each in real Chromium on the built site. Optionally traces of all threads, for Chromium's performance panel.
 */
import { readFile, writeFile, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { availableParallelism, loadavg, tmpdir } from 'node:os';
import { join, posix, resolve } from 'node:path';
import { gzipSync } from 'node:zlib';
import { chromium, type BrowserContext, type CDPSession, type Page } from '@playwright/test';
import { launchOptions } from '../browser.mjs';
import { root } from '../setup.mjs';
import { openCorpus, unionFiles, type ShardFolder } from './corpora.ts';
import { openSite } from './site.ts';

export interface PageFiguresOptions {
  /** A passages file or `union`; null: the union where the data are there, else the demo shard. */
  readonly passages: string | null;
  readonly embedder: 'none' | 'wordllama' | 'minilm' | 'bge-small';
  /** Where traces go; null: none are taken. */
  readonly profile: string | null;
  readonly repeats: number;
  /** A built page; null: dist/, built if it is outdated. */
  readonly dist: string | null;
}

const say = (line: string): void => void process.stderr.write(`${line}\n`);
const query = 'river in the town where the founder of the glass works was born';

export async function runPageBench(options: PageFiguresOptions, signal: AbortSignal): Promise<string> {
  const shard: ShardFolder = await openCorpus(options.passages ?? (unionFiles() === null ? 'demo' : 'union'), [], options.embedder, signal, say);
  say(`Shard ${shard.label}: ${shard.passages} passages, ${(shard.bytes / 1e6).toFixed(1)} MB.`);
  if (options.profile !== null) await mkdir(options.profile, { recursive: true });

  const requests: string[] = [];
  const site = await openSite(options.dist, {
    shards: { bench: shard.folder },
    intercept: (_request, _response, path) => {
      requests.push(path === '' ? 'index.html' : path);
      return false;
    },
  });
  const shardUrl = new URL('shards/bench/', site.url).href;
  const profileFolder = await mkdtemp(join(tmpdir(), 'foray-bench-'));
  let context: BrowserContext | null = null;
  try {
    const dist = resolve(options.dist ?? join(root, 'dist'));
    const shell = await shellFiles(dist);
    context = await launch(profileFolder);

    // First load, with an empty profile: everything that is fetched before anybody asks for an engine.
    const first = await openPage(context, site.url);
    await settled(requests);
    const fetched = [...new Set(requests)].filter((path) => !path.startsWith('shards/') && !path.startsWith('models/'));
    const firstLoad = await Promise.all(fetched.map(async (path) => ({ path, gzip: await gzipBytes(dist, path).catch(() => 0) })));

    say('Importing …');
    const trace = options.profile === null ? null : await startTrace(context, first);
    const importMs = await first.evaluate(async (url) => {
      const searcher = globalThis.foray;
      if (searcher === undefined) throw new Error('the page has no searcher');
      const started = performance.now();
      await searcher.library.importShard(url, new AbortController().signal, () => undefined);
      return performance.now() - started;
    }, shardUrl);
    await trace?.stop(join(options.profile ?? '', 'import.trace.json'));
    await first.close();

    say('Warm starts …');
    const warm: number[] = [];
    for (let i = 0; i < options.repeats; i++) warm.push(await firstHit(context, site.url, shard.id, null));
    await context.close();
    context = await launch(profileFolder);
    const restarted = await firstHit(context, site.url, shard.id, options.profile === null ? null : join(options.profile, 'warm-start.trace.json'));

    const importSeconds = importMs / 1000;
    const result = {
      shellGzipKB: kilobytes(shell.reduce((sum, file) => sum + file.gzip, 0)),
      firstHitMs: Math.round(median(warm)),
      importSeconds: Number(importSeconds.toFixed(2)),
      importMBps: Number((shard.bytes / 1e6 / importSeconds).toFixed(1)),
      passages: shard.passages,
    };
    const detail = {
      ...result,
      shellFiles: shell.map(({ path, gzip }) => ({ path, gzipKB: kilobytes(gzip) })),
      firstLoadGzipKB: kilobytes(firstLoad.reduce((sum, file) => sum + file.gzip, 0)),
      firstLoadFiles: firstLoad.map(({ path, gzip }) => ({ path, gzipKB: kilobytes(gzip) })),
      firstHitAllMs: warm.map(Math.round),
      firstHitRestartedBrowserMs: Math.round(restarted),
      documents: shard.documents,
      shardMB: Number((shard.bytes / 1e6).toFixed(1)),
      shard: shard.label,
      embedder: shard.embedder,
      // Other work on the machine makes every time here longer.
      loadAverage: Number((loadavg()[0] ?? 0).toFixed(2)),
      cores: availableParallelism(),
    };
    process.stdout.write(`${JSON.stringify(detail, null, 1)}\n`);
    return JSON.stringify(result);
  } finally {
    await context?.close().catch(() => undefined);
    await site.close();
    await rm(profileFolder, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 }).catch(() => undefined);
  }
}

async function launch(profile: string): Promise<BrowserContext> {
  const context = await chromium.launchPersistentContext(profile, launchOptions());
  await context.addInitScript('globalThis.__name = (value) => value;');
  return context;
}

async function openPage(context: BrowserContext, url: string): Promise<Page> {
  const page = await context.newPage();
  await page.goto(url);
  await page.waitForFunction(() => globalThis.foray !== undefined, undefined, { timeout: 60_000 });
  return page;
}

/** Milliseconds from the start of the navigation to the first lexical hit. The page asks as soon as it can, and again until the library answers. */
async function firstHit(context: BrowserContext, url: string, corpus: string, tracePath: string | null): Promise<number> {
  const page = await context.newPage();
  const trace = tracePath === null ? null : await startTrace(context, page);
  try {
    await page.goto(url, { waitUntil: 'commit' });
    await page.waitForFunction(() => globalThis.foray !== undefined, undefined, { timeout: 60_000, polling: 5 });
    return await page.evaluate(
      async ({ text, id }) => {
        const searcher = globalThis.foray;
        if (searcher === undefined) throw new Error('the page has no searcher');
        while (performance.now() < 60_000) {
          const { hits } = await searcher.retriever.search({ text, k: 10, dense: false, corpora: [id] }, new AbortController().signal);
          if (hits.length > 0) return performance.now();
          await new Promise((resolve) => setTimeout(resolve, 5));
        }
        throw new Error('no hit within 60 s');
      },
      { text: query, id: corpus },
    );
  } finally {
    await trace?.stop(tracePath ?? '');
    await page.close();
  }
}

/** Waits until nothing was requested for two seconds. */
async function settled(requests: readonly string[]): Promise<void> {
  let seen = -1;
  while (seen !== requests.length) {
    seen = requests.length;
    await new Promise((resolve) => setTimeout(resolve, 2000));
  }
}

// --- Shell ---------------------------------------------------------------------------------------------------------------------------------

interface ShellFile {
  readonly path: string;
  readonly gzip: number;
}

/** index.html and what it cannot start without: its scripts with their static imports, its style sheets, the web manifest. */
async function shellFiles(dist: string): Promise<ShellFile[]> {
  const html = await readFile(join(dist, 'index.html'), 'utf8');
  const linked = [...html.matchAll(/\b(?:src|href)="(?:\.\/)?([^":]+\.(?:js|css|webmanifest))"/g)].flatMap((match) => match[1] ?? []);
  const paths = new Set(['index.html']);
  const queue = [...linked];
  for (let path = queue.shift(); path !== undefined; path = queue.shift()) {
    if (paths.has(path)) continue;
    paths.add(path);
    if (path.endsWith('.js')) queue.push(...staticImports(await readFile(join(dist, path), 'utf8'), path));
  }
  return Promise.all([...paths].map(async (path) => ({ path, gzip: await gzipBytes(dist, path) })));
}

/** Static imports of a built module; `import()` is what the shell does without. */
function staticImports(code: string, from: string): string[] {
  const found = [...code.matchAll(/\b(?:import|from)\s*["'](\.{1,2}\/[^"']+\.js)["']/g)].flatMap((match) => match[1] ?? []);
  return found.map((specifier) => posix.join(posix.dirname(from), specifier));
}

async function gzipBytes(dist: string, path: string): Promise<number> {
  return gzipSync(await readFile(join(dist, path)), { level: 9 }).length;
}

function kilobytes(bytes: number): number {
  return Number((bytes / 1000).toFixed(1));
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? (sorted[middle] ?? 0) : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2;
}

// --- Traces --------------------------------------------------------------------------------------------------------------------------------

const traceCategories = ['devtools.timeline', 'v8.execute', 'blink.user_timing', 'disabled-by-default-v8.cpu_profiler', 'loading', 'IndexedDB', 'worker'];

/** A trace of all threads of the page. */
async function startTrace(context: BrowserContext, page: Page): Promise<{ stop(path: string): Promise<void> }> {
  const session: CDPSession = await context.newCDPSession(page);
  const events: unknown[] = [];
  session.on('Tracing.dataCollected', ({ value }) => void events.push(...(value as readonly unknown[])));
  await session.send('Tracing.start', { transferMode: 'ReportEvents', traceConfig: { includedCategories: traceCategories } });
  return {
    async stop(path) {
      const complete = new Promise<void>((done) => session.once('Tracing.tracingComplete', () => done()));
      await session.send('Tracing.end');
      await complete;
      await writeFile(path, JSON.stringify({ traceEvents: events }));
      say(`Trace: ${path}`);
    },
  };
}
