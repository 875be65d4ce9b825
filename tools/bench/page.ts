/**
 * Drives the built page in Chromium through `window.foray`: opens it, installs a shard, loads models, asks. A page or browser that is lost is replaced at the next
 * question; the library lives in a browser profile of its own, so that nothing has to be installed twice.
 */
import { cp, lstat, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative, sep } from 'node:path';
import { chromium, type BrowserContext, type Page } from '@playwright/test';
import type { CachedCall, CallCache } from '../../src/agent/calls.ts';
import type { AgentEvent } from '../../src/agent/events.ts';
import type { AgentSettings } from '../../src/agent/settings.ts';
import type { CorpusStatus, Searcher } from '../../src/api.ts';
import type { Experiment } from '../../src/lab/experiment.ts';
import type { Request } from '../../src/lab/runner.ts';
import { abortError } from '../../src/errors.ts';
import { launchOptions } from '../browser.mjs';

/** What the page is to have ready before a question is asked. */
export interface PageSetup {
  /** Address of the built page. */
  readonly url: string;
  /** Address of a shard's folder, and its id: installed where it is not there. */
  readonly shard: { readonly url: string; readonly id: string } | null;
  /** What is searched. */
  readonly corpora: readonly string[];
  /** A Chromium user-data folder that a copy is made of; it stays as it is. null: an empty one. */
  readonly profile: string | null;
  readonly llm: { readonly kind: 'row'; readonly id: string } | { readonly kind: 'endpoint'; readonly url: string; readonly model: string } | null;
  /** A catalogue id. */
  readonly embedder: string | null;
  /** Completions made before; null: every call goes to the model. */
  readonly store: CallCache | null;
  readonly say: (line: string) => void;
  readonly isVisible: boolean;
}

/** What really runs, as the page tells it. */
export interface PageFacts {
  readonly model: string | null;
  readonly backend: string | null;
  readonly env: Readonly<Record<string, string | number | boolean | null>>;
}

declare global {
  var foray: Searcher | undefined;
  /** Bound by Playwright. */
  var forayBenchEvents: ((run: string, events: readonly AgentEvent[]) => Promise<void>) | undefined;
  var forayBenchStop: (() => void) | undefined;
  /** Bound by Playwright: reads a stored completion, or stores one. */
  var forayBenchCompletion: ((key: string, call: CachedCall | null) => Promise<CachedCall | null>) | undefined;
}

/** The page has this long to stop a run before it is closed. */
const stopSeconds = 15;

export interface PageDriver {
  /** Opens the page and prepares it, if that is not done. */
  prepare(signal: AbortSignal): Promise<PageFacts>;
  /** Yields the run's events while it goes on. Throws if the page is lost; `AbortError` after `signal` stopped the run. */
  ask(request: Request, signal: AbortSignal): AsyncGenerator<AgentEvent, void, undefined>;
  /** How many pages were lost so far. */
  readonly lost: number;
  /** The page that is open; for faults in tests and for profiles. */
  readonly page: Page | null;
  close(): Promise<void>;
}

/** A corpus of a library, as its label needs it. */
export type LibraryCorpus = Pick<CorpusStatus, 'id' | 'documents' | 'passages' | 'embedder'>;

/** The complete corpora of the library in `setup.profile`. */
export async function readLibrary(setup: PageSetup, signal: AbortSignal): Promise<readonly LibraryCorpus[]> {
  const driver = createPageDriver({ ...setup, llm: null, embedder: null });
  try {
    await driver.prepare(signal);
    const all = await driver.page?.evaluate(async () => globalThis.foray?.library.corpora().then((corpora) =>
      corpora.filter(({ state }) => state === 'complete').map(({ id, documents, passages, embedder }) => ({ id, documents, passages, embedder }))));
    return all ?? [];
  } finally {
    await driver.close();
  }
}

/** Not copied: what belongs to a running browser, caches, and the page as an earlier version left it for use without a network. */
const passing = /^(?:Singleton.*|.*Cache|Crashpad|Service Worker|BrowserMetrics.*)$/;

async function makeProfile(from: string | null): Promise<string> {
  const lock = from === null ? null : await lstat(join(from, 'SingletonLock')).catch(() => null);
  if (lock !== null) throw new Error(`${from} is in use: close the browser that it belongs to.`);
  const folder = await mkdtemp(join(tmpdir(), 'foray-bench-'));
  if (from !== null) await cp(from, folder, { recursive: true, filter: (path) => !relative(from, path).split(sep).some((part) => passing.test(part)) });
  return folder;
}

/** Runs in the page before it: begins as after several crashes, so that neither the models of the last visit come by themselves nor an import goes on. */
function startSafely(): void {
  try {
    sessionStorage.setItem('foray.starts', JSON.stringify([Date.now(), Date.now()]));
  } catch {
    // An empty page has no storage and no library.
  }
}

export function createPageDriver(setup: PageSetup): PageDriver {
  let profile: string | null = null;
  let context: BrowserContext | null = null;
  let page: Page | null = null;
  let facts: PageFacts | null = null;
  let lost = 0;
  let runs = 0;
  const sinks = new Map<string, (events: readonly AgentEvent[]) => void>();

  async function openContext(): Promise<BrowserContext> {
    if (context !== null) return context;
    profile ??= await makeProfile(setup.profile);
    const next = await chromium.launchPersistentContext(profile, { ...launchOptions(), headless: !setup.isVisible, viewport: { width: 1200, height: 900 } });
    next.on('close', () => {
      if (context === next) context = null;
    });
    // The TypeScript runner marks functions with a helper that the page lacks.
    await next.addInitScript('globalThis.__name = (value) => value;');
    if (setup.profile !== null) await next.addInitScript(startSafely);
    await next.exposeFunction('forayBenchEvents', (run: string, events: readonly AgentEvent[]) => sinks.get(run)?.(events));
    const { store } = setup;
    if (store !== null) await next.exposeFunction('forayBenchCompletion',
      async (key: string, call: CachedCall | null) => (call === null ? store.get(key) : (await store.put(key, call), null)));
    context = next;
    return next;
  }

  /** A browser that just died may still look alive: then a new one is started. */
  async function newPage(): Promise<Page> {
    try {
      return await (await openContext()).newPage();
    } catch {
      await closeContext();
      return (await openContext()).newPage();
    }
  }

  async function openPage(signal: AbortSignal): Promise<Page> {
    if (page !== null && facts !== null) return page;
    const opened = page ?? (await newPage());
    if (page === null) {
      page = opened;
      const gone = (): void => {
        if (page !== opened) return;
        page = null;
        facts = null;
        lost++;
      };
      opened.on('crash', gone);
      opened.on('close', gone);
    }
    try {
      facts = await unlessLost(opened, signal, preparePage(opened));
    } catch (error) {
      await drop(opened);
      throw error;
    }
    return opened;
  }

  async function preparePage(target: Page): Promise<PageFacts> {
    await target.goto(setup.url);
    await target.waitForFunction(() => globalThis.foray !== undefined, undefined, { timeout: 60_000 });
    const { shard, llm, embedder } = setup;
    if (shard !== null) {
      setup.say(`Shard ${shard.id} …`);
      await target.evaluate(async ({ url, id }) => {
        const searcher = globalThis.foray;
        if (searcher === undefined) throw new Error('the page has no searcher');
        const have = await searcher.library.corpora();
        if (have.some((corpus) => corpus.id === id && corpus.state === 'complete')) return;
        await searcher.library.importShard(url, new AbortController().signal, () => undefined);
      }, shard);
    }
    if (embedder !== null) setup.say(`Embedder ${embedder} …`);
    if (llm !== null) setup.say(`Model ${llm.kind === 'row' ? llm.id : `${llm.model} at ${llm.url}`} …`);
    return target.evaluate(
      async (wanted) => {
        const searcher = globalThis.foray;
        if (searcher === undefined) throw new Error('the page has no searcher');
        const signal = new AbortController().signal;
        if (wanted.embedder !== null) await searcher.models.use(wanted.embedder, signal);
        if (wanted.llm?.kind === 'row') await searcher.models.use(wanted.llm.id, signal);
        if (wanted.llm?.kind === 'endpoint') await searcher.models.useEndpoint(wanted.llm.url, wanted.llm.model, signal);
        const verdict = await searcher.device;
        const info = searcher.models.llm;
        return {
          model: info?.modelId ?? null,
          backend: info?.backend ?? null,
          env: {
            ua: navigator.userAgent,
            gpu: verdict.gpu === null ? null : verdict.gpu.description || `${verdict.gpu.vendor} ${verdict.gpu.architecture}`,
            isolated: verdict.isolated,
            cores: verdict.cores,
            device: info?.device ?? null,
            threads: info?.threads ?? null,
            contextTokens: info?.contextTokens ?? null,
            embedder: searcher.models.embedder?.id ?? null,
            embedderDevice: searcher.models.embedder?.device ?? null,
          },
        };
      },
      { llm, embedder },
    );
  }

  async function drop(target: Page): Promise<void> {
    if (page === target) {
      page = null;
      facts = null;
      lost++;
    }
    // A page that hangs does not close by itself; then the whole browser goes.
    const closed = await Promise.race([target.close().then(() => true, () => true), new Promise<boolean>((done) => setTimeout(() => done(false), 5000))]);
    if (!closed) await closeContext();
  }

  async function closeContext(): Promise<void> {
    const old = context;
    context = null;
    await old?.close().catch(() => undefined);
  }

  return {
    get lost() {
      return lost;
    },
    get page() {
      return page;
    },
    async prepare(signal) {
      await openPage(signal);
      if (facts === null) throw new Error('the page was lost while it was prepared');
      return facts;
    },
    async *ask(request, signal) {
      const target = await openPage(signal);
      const run = String(++runs);
      const ready: AgentEvent[] = [];
      let wake = (): void => undefined;
      sinks.set(run, (events) => {
        ready.push(...events);
        wake();
      });
      const stop = (): void => {
        target.evaluate(() => globalThis.forayBenchStop?.()).catch(() => undefined);
        setTimeout(() => {
          if (!finished) void drop(target);
        }, stopSeconds * 1000).unref();
      };
      let finished = false;
      let failure: Error | null = null;
      const work = unlessLost(target, null, target.evaluate(runInPage,
        { run, question: request.text, method: request.cell.method, seed: request.cell.seed, corpora: setup.corpora, settings: request.cell.setting.agent,
        experiment: request.experiment }))
        .catch((error: unknown) => {
          failure = error instanceof Error ? error : new Error(String(error));
        })
        .finally(() => {
          finished = true;
          wake();
        });
      if (signal.aborted) stop();
      signal.addEventListener('abort', stop, { once: true });
      try {
        for (;;) {
          for (let event = ready.shift(); event !== undefined; event = ready.shift()) yield event;
          if (finished) break;
          await new Promise<void>((resume) => (wake = resume));
        }
        await work;
        if (signal.aborted) throw abortError();
        if (failure !== null) throw failure as Error;
      } finally {
        signal.removeEventListener('abort', stop);
        sinks.delete(run);
      }
    },
    async close() {
      page = null;
      facts = null;
      await closeContext();
      if (profile !== null) await rm(profile, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 }).catch(() => undefined);
    },
  };
}

/** Rejects as soon as the page crashes or closes: an evaluation in it would wait for ever. */
async function unlessLost<T>(page: Page, signal: AbortSignal | null, work: Promise<T>): Promise<T> {
  let leave = (): void => undefined;
  const gone = new Promise<never>((_, reject) => {
    const crashed = (): void => reject(new Error('the page crashed'));
    const closed = (): void => reject(new Error('the page was closed'));
    const aborted = (): void => reject(abortError());
    page.on('crash', crashed);
    page.on('close', closed);
    signal?.addEventListener('abort', aborted, { once: true });
    if (signal?.aborted === true) aborted();
    leave = () => {
      page.off('crash', crashed);
      page.off('close', closed);
      signal?.removeEventListener('abort', aborted);
    };
  });
  try {
    return await Promise.race([work, gone]);
  } finally {
    leave();
    work.catch(() => undefined);
  }
}

interface RunRequest {
  readonly run: string;
  readonly experiment: Experiment | null;
  readonly question: string;
  readonly method: string;
  readonly seed: number;
  readonly corpora: readonly string[];
  readonly settings: Partial<AgentSettings>;
}

/** Runs in the page. Events go out in batches, so that a page that dies leaves what it had done. */
async function runInPage({ run, question, method, seed, corpora, settings, experiment }: RunRequest): Promise<void> {
  const searcher = globalThis.foray;
  const send = globalThis.forayBenchEvents;
  if (searcher === undefined || send === undefined) throw new Error('the page has no searcher');
  const completion = globalThis.forayBenchCompletion;
  const completions = completion === undefined ? undefined : { get: (key: string) => completion(key, null),
    put: async (key: string, call: CachedCall) => void (await completion(key, call)) };
  const asked = searcher.ask(question, {
    method, seed, settings, corpora, ...(experiment === null ? {} : { experiment }),
    ...(completions === undefined ? {} : { completions }),
  });
  globalThis.forayBenchStop = () => asked.stop();
  let batch: AgentEvent[] = [];
  let sentAt = performance.now();
  for await (const event of asked.events) {
    if (event.kind === 'answerDelta') continue;
    batch.push(event);
    if (performance.now() - sentAt < 1000) continue;
    const sending = batch;
    batch = [];
    sentAt = performance.now();
    // Not awaited: the run must not wait for the recorder. Calls of one page arrive in order.
    void send(run, sending);
  }
  await send(run, batch);
}
