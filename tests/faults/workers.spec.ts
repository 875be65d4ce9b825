/** FAULTS W1–W5: workers that die, throw or cannot be loaded, in the built page. */
import { readdir, stat } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import type { ServerResponse } from 'node:http';
import { buildShardFixture, placeDocuments } from '../fixtures/shard.ts';
import {
  askInPage, corpus, eventsOf, expect, importShard, killWorker, models, search, shardRow, storedDigests, test, throwInWorker, useModel, workerOf,
} from '../fixtures/page.ts';
import type { Site } from '../fixtures/page.ts';
import { bornQuestion, bothQuestion, designerQuestion, taleScript, taleShard } from '../fixtures/tale.ts';
import type { Page } from '@playwright/test';

/** A page with the tale and a model that follows `change`. */
async function withTale(serve: () => Promise<Site>, visit: (site: Site) => Promise<Page>): Promise<Page> {
  const site = await serve();
  const address = site.put('tale', (await taleShard()).files);
  const page = await visit(site);
  expect(await importShard(page, address)).toBeNull();
  expect(await useModel(page, 'script')).toBeNull();
  return page;
}

/** The stored events of the newest run. */
async function lastRun(page: Page) {
  const stored = async () => {
    const [run] = await page.evaluate(() => globalThis.foray!.history.list());
    return run === undefined ? [] : ((await page.evaluate((id) => globalThis.foray!.history.events(id), run.id)) ?? []);
  };
  await expect.poll(async () => (await stored()).at(-1)?.kind).toMatch(/^run(?:Finished|Failed)$/);
  return stored();
}

/** The built file of a worker. A module of the page may have the same name; the worker, which holds its libraries, is the larger one. */
async function workerFile(name: string): Promise<string> {
  const folder = fileURLToPath(new URL('../../dist/assets/', import.meta.url));
  const files = (await readdir(folder)).filter((file) => file.startsWith(`${name}-`) && file.endsWith('.js'));
  const sizes = await Promise.all(files.map(async (file) => ({ file, bytes: (await stat(`${folder}${file}`)).size })));
  const [largest] = sizes.sort((a, b) => b.bytes - a.bytes);
  return `assets/${largest?.file ?? ''}`;
}

/** Waits until the second step has searched, and its reading is under way. */
async function midStep(page: Page): Promise<void> {
  await expect(page.locator('[data-testid=plan-node][data-node="2"]')).toHaveAttribute('data-status', 'running');
  await expect(page.getByTestId('cost')).toContainText('2 searches');
  await page.waitForTimeout(300);
}

/** Links join a search a moment after its word index. */
const words = { links: false };

test('W1: a worker killed while idle is replaced, and nobody sees it @fault', async ({ serve, visit }) => {
  const page = await withTale(() => serve({ script: taleScript() }), visit);
  const before = await search(page, 'bridge over a river', words);
  expect(before.length).toBeGreaterThan(2);
  await killWorker(page, 'corpus');
  expect(await search(page, 'bridge over a river', words)).toEqual(before);
  await killWorker(page, 'llm');
  await askInPage(page, designerQuestion);
  await expect(page.getByTestId('answer')).toHaveAttribute('data-state', 'final');
  await expect(page.getByTestId('answer')).toContainText('Ilse Varga');
  await expect(page.getByTestId('notice')).toHaveCount(0);
});

test('W2: a worker killed in mid-answer costs its step only @fault', async ({ serve, visit }) => {
  const page = await withTale(() => serve({ script: taleScript({ born: { delayMs: 2500 } }) }), visit);
  await askInPage(page, bornQuestion);
  await expect(page.locator('[data-testid=plan-node][data-node="1"]')).toHaveAttribute('data-status', 'answered');
  await midStep(page);
  await killWorker(page, 'llm');
  await expect(page.getByTestId('notice').filter({ hasText: 'The step is run again' })).toBeVisible();
  await expect(page.getByTestId('answer')).toHaveAttribute('data-state', 'final');
  await expect(page.getByTestId('answer')).toContainText('4 May 1871');

  const events = await lastRun(page);
  expect(eventsOf(events, 'notice').map(({ code }) => code)).toEqual(['resumed']);
  expect(eventsOf(events, 'nodeStarted').map(({ node }) => node)).toEqual([1, 2]);
  expect(eventsOf(events, 'llmCalled').map(({ purpose }) => purpose)).toEqual(['plan', 'read', 'read', 'read']);
  expect(eventsOf(events, 'runFinished')).toMatchObject([{ stop: 'answered' }]);
});

test('W2: after a second death the run ends with its reason, keeps what it found, and the next question works @fault', async ({ serve, visit }) => {
  const page = await withTale(() => serve({ script: taleScript({ born: { delayMs: 200, then: 'die' } }) }), visit);
  await askInPage(page, bornQuestion);
  await expect(page.getByRole('alert').filter({ hasText: 'The llm worker stopped unexpectedly' })).toBeVisible();
  await expect(page.getByTestId('question-box')).toHaveValue(bornQuestion);
  const first = page.locator('[data-testid=plan-node][data-node="1"]');
  await expect(first).toHaveAttribute('data-status', 'answered');
  await expect(first).toContainText('Ilse Varga');
  expect(eventsOf(await lastRun(page), 'runFailed')).toMatchObject([{ error: { kind: 'app', code: 'engine/worker-died' } }]);

  await askInPage(page, designerQuestion);
  await expect(page.getByTestId('answer')).toHaveAttribute('data-mode', 'cited');
  await expect(page.getByTestId('answer')).toContainText('Ilse Varga');
});

test('W2: what was written of the answer stays and is marked when the worker dies over it twice @fault', async ({ serve, visit }) => {
  const page = await withTale(() => serve({ script: taleScript({ both: { say: '{"answer":"Ilse Varga and', pieceMs: 120, pieceLength: 4, then: 'die' } }) }), visit);
  await askInPage(page, bothQuestion);
  const answer = page.getByTestId('answer');
  await expect(answer).toHaveAttribute('data-state', 'partial');
  // Written once, although it was begun twice.
  await expect(answer.locator('.answer-short')).toHaveText('Ilse Varga and');
  await expect(answer).toContainText('The answer breaks off here');
  await expect(page.getByRole('alert').filter({ hasText: 'stopped unexpectedly' })).toBeVisible();
  await expect(page.locator('[data-testid=plan-node][data-status=answered]')).toHaveCount(2);
});

test('W3: an import whose worker is killed is paused, and its resumption ends as a clean import does @fault', async ({ serve, visit, browser }) => {
  const shard = await buildShardFixture({ id: 'long', documents: placeDocuments(60), partPassages: 40 });
  const site = await serve();
  const address = site.put('long', shard.files);
  const page = await visit(site);
  const held: ServerResponse[] = [];
  site.requests.length = 0;
  site.fault = (seen, response) => {
    if (!seen.path.startsWith('shards/long/') || site.parts().length <= 7) return false;
    held.push(response);
    return true;
  };
  const ended = importShard(page, address);
  await expect.poll(() => held.length).toBeGreaterThan(0);
  await expect.poll(async () => (await corpus(page, 'long'))?.progress?.done ?? 0).toBeGreaterThan(0);
  await killWorker(page, 'corpus');
  expect(await ended).toMatchObject({ code: 'engine/worker-died' });
  for (const response of held) response.destroy();
  site.fault = null;

  await page.goto(`${site.url}#library`);
  await expect(shardRow(page, 'Shard long')).toHaveAttribute('data-state', 'partial');
  expect(await search(page, 'railway glassblower', { corpora: ['long'] })).toEqual([]);
  const kept = Object.keys(await storedDigests(page, 'long')).filter((key) => key.startsWith('["parts"'));
  expect(kept.length).toBeGreaterThan(0);
  expect(kept.length).toBeLessThan(shard.manifest.parts.length);
  site.requests.length = 0;
  await shardRow(page, 'Shard long').getByRole('button', { name: 'Resume' }).click();
  await expect(shardRow(page, 'Shard long')).toHaveAttribute('data-state', 'complete');
  expect(site.parts().length).toBe(shard.manifest.parts.length - kept.length);
  expect((await search(page, 'railway glassblower', { corpora: ['long'] })).length).toBeGreaterThan(0);

  const other = await browser.newContext();
  const clean = await visit(site, { context: other });
  expect(await importShard(clean, address)).toBeNull();
  expect(await storedDigests(page, 'long')).toEqual(await storedDigests(clean, 'long'));
  await other.close();
});

test('W4: an uncaught error in a worker replaces it; the search and the answer under way come once @fault', async ({ serve, visit }) => {
  const page = await withTale(() => serve({ script: taleScript({ born: { delayMs: 2000 } }) }), visit);
  const first = workerOf(page, 'corpus');
  await throwInWorker(page, 'corpus');
  await expect.poll(() => page.workers().includes(first!)).toBe(false);
  expect((await search(page, 'bridge over a river', words)).length).toBeGreaterThan(2);

  await askInPage(page, bornQuestion);
  await midStep(page);
  await throwInWorker(page, 'llm');
  await expect(page.getByTestId('answer')).toContainText('4 May 1871');
  // Longer than the reading that was broken off would have taken.
  await page.waitForTimeout(2200);
  const events = await lastRun(page);
  expect(eventsOf(events, 'notice').map(({ code }) => code)).toEqual(['resumed']);
  expect(eventsOf(events, 'answerFinished')).toHaveLength(1);
  expect(eventsOf(events, 'runFinished')).toHaveLength(1);
});

for (const [what, status, type] of [['missing', 404, 'text/plain'], ['served as a page', 200, 'text/html']] as const) {
  test(`W5: the language model's worker is ${what}: search goes on, Retry brings it @fault`, async ({ serve, visit }) => {
    const site = await serve({ script: taleScript() });
    const worker = await workerFile('llm');
    site.fault = (seen, response) => {
      if (seen.path !== worker) return false;
      response.writeHead(status, { 'Content-Type': type }).end('<!doctype html><title>x</title>');
      return true;
    };
    const page = await visit(site);
    expect((await search(page, 'bridge over a river')).length).toBeGreaterThan(2);
    expect(await useModel(page, 'script')).toMatchObject({ code: 'engine/worker-load' });
    expect((await models(page)).find(({ id }) => id === 'script')).toMatchObject({ state: 'failed', error: 'engine/worker-load' });
    // Without a model the question is answered with sentences.
    await askInPage(page, designerQuestion);
    await expect(page.getByTestId('answer')).toHaveAttribute('data-mode', 'extractive');
    site.fault = null;
    const slot = page.getByTestId('status-llm');
    await expect(slot).toContainText('could not be loaded');
    await slot.getByRole('button', { name: 'Retry' }).click();
    await expect(slot).toHaveAttribute('data-state', 'ready');
  });
}

test('W5: the corpus worker is missing: the page says so, and the next search brings it @fault', async ({ serve, visit }) => {
  const site = await serve();
  site.fault = (seen, response) => {
    if (!/^assets\/corpus-[\w-]+\.js$/.test(seen.path)) return false;
    response.writeHead(404).end();
    return true;
  };
  const page = await visit(site, { waitsForDemo: false });
  await page.getByTestId('question-box').fill('a bridge over a river');
  await expect(page.getByTestId('notice').filter({ hasText: 'The corpus worker could not be loaded' }).first()).toBeVisible();
  site.fault = null;
  await expect.poll(async () => (await corpus(page, 'demo').catch(() => undefined))?.state, { timeout: 30_000 }).toBe('complete');
  await page.getByTestId('question-box').fill('a bridge over a wide river');
  await expect(page.getByTestId('result').first()).toBeVisible();
});
