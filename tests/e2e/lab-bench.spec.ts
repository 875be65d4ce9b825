/**
 * The benchmark's own runner over the built page: a small matrix with the real SmolLM2 in two shares whose files are put together, two pages killed in mid-run and gone on
 * with, and a library that lies in a browser profile.
 */
import { spawn } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { chromium, expect, test } from '@playwright/test';
import { decodeMatrix } from '../../src/lab/matrix.ts';
import { readRunFile, type ItemRecord } from '../../src/lab/record.ts';
import type { Summary } from '../../src/lab/summary.ts';
import { readItems, runAgentBench, type AgentOptions } from '../../tools/bench/agent.ts';
import { writeReport } from '../../tools/bench/report.ts';
import { launchOptions } from '../../tools/browser.mjs';
import { localModels } from '../../tools/models.ts';
import { createServer } from '../../tools/server.mjs';
import { root } from '../../tools/setup.mjs';

const signal = new AbortController().signal;

let folder = '';
test.beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'foray-lab-bench-'));
});
test.afterAll(() => rm(folder, { recursive: true, force: true }));

function options(out: string, matrix: Readonly<Record<string, unknown>>, more: Partial<AgentOptions> = {}): AgentOptions {
  return {
    matrix: decodeMatrix({ questions: [{ file: 'demo' }], corpora: ['demo'], ...matrix }, 'the test'), out: join(folder, out), inProcess: false, retryFailed: false, share: null,
    isVisible: false, dist: join(root, 'dist'), library: null, isQuiet: true, ...more,
  };
}

async function summaryOf(out: string): Promise<Summary> {
  return JSON.parse(await readFile(join(folder, out, 'summary.json'), 'utf8')) as Summary;
}

const keyOf = ({ method, qid }: Pick<ItemRecord, 'method' | 'qid'>): string => `${method} ${qid}`;

test('real SmolLM2, two questions by two methods in two shares: every item finished, costs recorded, quotes verbatim; the report of both opens', async ({ page }, info) => {
  test.skip(!(await localModels()).some(({ id }) => id === 'smollm2-135m'), 'smollm2-135m is not on this machine (npm run models -- fetch smollm2-135m)');
  const matrix = { methods: ['rag', 'direct'], models: ['wllama:smollm2-135m'], limit: 2, timeoutSeconds: 120, settings: [{ name: 'small', agent: { retrieve: 2, evidenceTokens: 150 } }] };
  // Under a minute on two idle cores.
  test.setTimeout(400_000);
  for (const index of [1, 2]) await runAgentBench(options('real', matrix, { share: { index, of: 2 } }), signal);
  expect((await readdir(join(folder, 'real'))).filter((name) => name.startsWith('run.')).toSorted()).toEqual(['run.1-of-2.jsonl', 'run.2-of-2.jsonl']);
  const { items, bad } = await readItems(join(folder, 'real'));
  expect(bad).toBe(0);
  expect(items.map(({ error }) => error)).toEqual([null, null, null, null]);
  expect(new Set(items.map(keyOf)).size).toBe(4);
  for (const item of items) {
    expect(item).toMatchObject({ model: 'smollm2-135m', llm: 'wllama:smollm2-135m', setting: 'small' });
    expect(item.cost.llmCalls).toBeGreaterThan(0);
    expect(item.cost.promptTokens).toBeGreaterThan(20);
    expect(item.cost.outTokens).toBeGreaterThan(0);
    expect(item.cost.wallMs).toBeGreaterThan(item.cost.overheadMs);
    expect(item.cost.searches > 0, item.method).toBe(item.method === 'rag');
  }
  const quotes = items.flatMap((item) => item.steps.flatMap((step) => (step.kind === 'record' ? step.evidence.map((quote) => ({ ...quote, passage: item.passages[quote.doc]?.text ?? '' })) : [])));
  expect(quotes.length).toBeGreaterThan(0);
  // Passages are cut in the file; what is beyond the cut cannot be looked up.
  for (const { passage, text, span } of quotes) if (span[1] < passage.length) expect(passage.slice(...span)).toBe(text);
  // An answer that no passage carries comes without a quote; where there are quotes, all of them stand.
  for (const { scores, steps } of items) expect(scores.quoteValidity).toBe(steps.some((step) => step.kind === 'record' && step.evidence.length > 0) ? 1 : null);

  await page.goto(pathToFileURL(await writeReport([join(folder, 'real')], null, 'Two shares')).href);
  await expect(page.getByRole('heading', { name: 'Two shares' })).toBeVisible();
  await expect(page.getByText(/^4 runs over 2 questions, 2 systems/)).toBeVisible();
  await page.screenshot({ path: info.outputPath('report.png'), fullPage: true });
});

/** The command in a process of its own; killed as soon as that many items are on disk. */
async function command(out: string, killAfter: number | null): Promise<number | null> {
  const args = ['--import', 'tsx', join(root, 'tools', 'bench.ts'), 'agent', '--dist', join(root, 'dist'), '--llm', `scripted:${join(folder, 'script.json')}`, '--limit', '4', '--methods', 'rag,direct', '--pages', '2', '--quiet', '--out', join(folder, out)];
  const child = spawn(process.execPath, args, { cwd: root, stdio: 'ignore' });
  let isOver = false;
  const closed = new Promise<number | null>((done) => child.on('close', (code) => {
    isOver = true;
    done(code);
  }));
  while (killAfter !== null && !isOver) {
    const lines = (await readFile(join(folder, out, 'run.jsonl'), 'utf8').catch(() => '')).split('\n').length - 1;
    if (lines >= killAfter) child.kill('SIGKILL');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return closed;
}

test('two pages, kill -9 in mid-run: the same command goes on and ends with the items of an unbroken run', async () => {
  await writeFile(join(folder, 'script.json'), JSON.stringify({ responses: [], otherwise: { say: { sentence: 1, answer: 'the river' }, delayMs: 200 } }));
  expect(await command('broken', 3)).toBeNull();
  const before = readRunFile(await readFile(join(folder, 'broken', 'run.jsonl'), 'utf8')).items;
  expect(before.length).toBeGreaterThanOrEqual(3);
  expect(before.length).toBeLessThan(8);
  expect(await command('broken', null)).toBe(0);
  expect(await command('whole', null)).toBe(0);
  const [broken, whole] = [(await readItems(join(folder, 'broken'))).items, (await readItems(join(folder, 'whole'))).items];
  expect(broken.slice(0, before.length)).toEqual(before);
  // What was done is the same; only the times are others, and what a new page does not find in its prefix cache.
  const plain = (items: readonly ItemRecord[]): unknown => JSON.parse(JSON.stringify(items.toSorted((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1)),
    (key, value: unknown) => (/^(?:ms|wallMs|overheadMs|cachedTokens|id)$/.test(key) ? undefined : value)));
  expect(whole.length).toBe(8);
  expect(plain(broken)).toEqual(plain(whole));
  expect((await summaryOf('broken') as Summary & { run: { engines: { env: unknown }[] } }).run.engines[0]?.env).toMatchObject({ pages: 2, pagesLost: 0 });
});

test('a library in a browser profile is searched as a whole or one corpus of it; the profile stays as it was', async () => {
  const profile = join(folder, 'profile');
  const server = await createServer({ dist: join(root, 'dist') });
  const context = await chromium.launchPersistentContext(profile, launchOptions());
  try {
    const page = await context.newPage();
    await page.goto(server.url);
    await page.waitForFunction(async () => (await globalThis.foray?.library.corpora())?.some(({ id, state }) => id === 'demo' && state === 'complete') === true, undefined, { timeout: 60_000 });
    await page.evaluate(async () => {
      const file = new File(['# Varn lighthouse\n\nThe Varn lighthouse was built by Ilse Brandt, who was born in Tolmen.'], 'varn.md', { type: 'text/markdown' });
      await globalThis.foray!.library.addDocuments([file], new AbortController().signal, () => undefined);
    });
  } finally {
    await context.close();
    await server.close();
  }
  const library = { profile, origin: server.url };
  const files = async (): Promise<string[]> => (await readdir(join(profile, 'Default', 'IndexedDB'))).toSorted();
  const before = await files();
  await writeFile(join(folder, 'mine.csv'), 'question,answer\nWho built the Varn lighthouse?,Ilse Brandt\nWhere was Joseph Haydn born?,Rohrau\n');
  const matrix = { questions: [{ file: join(folder, 'mine.csv'), dataset: 'mine' }], methods: ['extractive'], models: ['none'], corpora: ['library', 'library/own'] };
  await runAgentBench(options('library', matrix, { library }), signal);
  const { items } = await readItems(join(folder, 'library'));
  const found = (label: RegExp): string[] => [...new Set(items.filter((item) => label.test(item.corpus)).flatMap((item) => Object.keys(item.passages).map((id) => id.split('/')[0] ?? '')))].toSorted();
  expect(items.map(({ error }) => error)).toEqual([null, null, null, null]);
  expect(found(/^library\(demo@\d+\+own@1\)$/)).toEqual(['demo', 'own']);
  expect(found(/^library\(own@1\)$/)).toEqual(['own']);
  expect(await files()).toEqual(before);
  await expect(runAgentBench(options('none', { ...matrix, corpora: ['library/else'] }, { library }), signal)).rejects.toThrow('does not have what --corpus library/else asks for; it holds demo, own');
  await expect(runAgentBench(options('none', { ...matrix, corpora: ['library'] }), signal)).rejects.toThrow('needs --profile');
});
