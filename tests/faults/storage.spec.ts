/** FAULTS S1–S5, S7–S10, S12: quota, closed and crashed tabs, two tabs, other versions, no storage; real IndexedDB in the built page. */
import { createHash } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import type { ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BrowserContext, Page } from '@playwright/test';
import { ask, askInPage, corpora, corpus, eventsOf, expect, importShard, models, modelRow, search, shardRow, storedDigests, test, useModel } from '../fixtures/page.ts';
import type { Site } from '../fixtures/page.ts';
import { buildShardFixture, placeDocuments } from '../fixtures/shard.ts';
import type { ShardFixture } from '../fixtures/shard.ts';

/** A shard of about 3 MB in words that compress badly. */
function largeShard(): Promise<ShardFixture> {
  let state = 7;
  const word = (): string => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state.toString(36);
  };
  const documents = Array.from({ length: 60 }, (_, i) => ({
    docId: `heap-${i}`,
    title: `Heap ${i}`,
    sections: [{ heading: '', text: Array.from({ length: 400 }, () => `Slate ${Array.from({ length: 12 }, word).join(' ')}.`).join(' ') }],
  }));
  return buildShardFixture({ id: 'heap', documents, partPassages: 700 });
}

/**
 * Limits what the site may store, in bytes; null gives all room back. The browser looks at the limit seldom while there is much room, so the first limit must
 * stand before the page is opened. It holds as long as the session that set it.
 */
async function limitRoom(context: BrowserContext, site: Site, quotaSize: number | null): Promise<void> {
  const page = context.pages()[0] ?? (await context.newPage());
  const client = await context.newCDPSession(page);
  await client.send('Storage.overrideQuotaForOrigin', { origin: new URL(site.url).origin, ...(quotaSize === null ? {} : { quotaSize }) });
}

/** Sends every part below `prefix` after the first `free` ones byte by byte. */
function holdParts(site: Site, prefix: string, free: number): { readonly held: readonly ServerResponse[]; release(): void } {
  const held: ServerResponse[] = [];
  let asked = 0;
  site.fault = (seen, response, served) => {
    if (!seen.path.startsWith(prefix) || !seen.path.endsWith('.bin') || served === undefined || asked++ < free) return false;
    held.push(response);
    response.writeHead(200, { 'Content-Type': 'application/octet-stream', 'Content-Length': served.bytes.length });
    let at = 0;
    const timer = setInterval(() => {
      if (response.destroyed) clearInterval(timer);
      else response.write(served.bytes.subarray(at, ++at));
    }, 100);
    return true;
  };
  return {
    held,
    release() {
      site.fault = null;
      for (const response of held) response.destroy();
    },
  };
}

/** A page of the site without the app: for a second program on the same storage. */
async function bareTab(site: Site, context: BrowserContext): Promise<Page> {
  const page = await context.newPage();
  await page.goto(new URL('manifest.webmanifest', site.url).href);
  return page;
}

test('S1: no room left during an import: finished parts stay, the reason is said, and it goes on when there is room @fault', async ({ serve, visit, profile }) => {
  const shard = await largeShard();
  const site = await serve();
  const address = site.put('heap', shard.files);
  const context = await profile();
  await limitRoom(context, site, 6_000_000);
  const page = await visit(site, { context, path: '#library' });
  await page.getByLabel('Address of a shard’s folder').fill(address);
  await page.getByRole('button', { name: 'Import', exact: true }).click();
  const row = shardRow(page, 'Shard heap');
  await expect(row).toHaveAttribute('data-state', 'partial');
  await expect(row.getByRole('alert')).toContainText(/no room left for .* MB needed\).*Delete something/);
  expect(await importShard(page, address)).toMatchObject({ code: 'storage/quota' });
  const kept = Object.keys(await storedDigests(page, 'heap')).filter((key) => key.startsWith('["parts"')).length;
  expect(kept).toBeGreaterThan(0);
  expect(kept).toBeLessThan(shard.manifest.parts.length);
  expect(await search(page, 'slate', { corpora: ['heap'] })).toEqual([]);
  // What needs no room goes on: a question, although its record cannot be kept.
  await limitRoom(context, site, 1);
  expect(eventsOf(await ask(page, 'a bridge over a river'), 'runFinished')).toHaveLength(1);

  await limitRoom(context, site, null);
  site.requests.length = 0;
  await row.getByRole('button', { name: 'Resume' }).click();
  await expect(row).toHaveAttribute('data-state', 'complete');
  expect(site.parts().length).toBe(shard.manifest.parts.length - kept);
  expect((await search(page, 'slate', { corpora: ['heap'] })).length).toBeGreaterThan(0);
});

test('S1: no room left during a model download: what came stays and is not fetched again @fault', async ({ serve, visit, profile }) => {
  const folder = await mkdtemp(join(tmpdir(), 'foray-model-'));
  const text = JSON.stringify({ responses: [], otherwise: { say: 'x' }, pad: 'p'.repeat(20_000_000) });
  await writeFile(join(folder, 'script.json'), text);
  const sha256 = createHash('sha256').update(text).digest('hex');
  const site = await serve({ extra: [modelRow('large', [{ path: 'script.json', bytes: text.length, sha256, file: join(folder, 'script.json') }])] });
  const context = await profile();
  await limitRoom(context, site, 16_000_000);
  const page = await visit(site, { context });
  expect(await useModel(page, 'large')).toMatchObject({ code: 'storage/quota', message: expect.stringMatching(/Delete something in the Library/) });
  expect((await models(page)).find(({ id }) => id === 'large')).toMatchObject({ state: 'failed', error: 'storage/quota' });
  await limitRoom(context, site, null);
  site.requests.length = 0;
  expect(await useModel(page, 'large')).toBeNull();
  const fetched = site.requests.filter(({ path }) => path === 'models/large/script.json');
  expect(fetched.map(({ range }) => range)).toEqual([expect.stringMatching(/^bytes=8388608-$/)]);
  await rm(folder, { recursive: true });
});

test('S3: the tab is closed in mid-import: the next one finds it resumable and unsearched, and ends it @fault', async ({ serve, visit }) => {
  const shard = await buildShardFixture({ id: 'long', documents: placeDocuments(60), partPassages: 40 });
  const site = await serve();
  const address = site.put('long', shard.files);
  const first = await visit(site);
  site.requests.length = 0;
  const hold = holdParts(site, 'shards/long/', 6);
  void importShard(first, address).catch(() => {});
  await expect.poll(() => hold.held.length).toBeGreaterThan(0);
  await expect.poll(async () => (await corpus(first, 'long'))?.progress?.done ?? 0).toBeGreaterThan(0);
  await first.close();
  hold.release();

  const next = await visit(site, { path: '#library' });
  await expect(shardRow(next, 'Shard long')).toHaveAttribute('data-state', 'partial');
  expect(await search(next, 'railway glassblower', { corpora: ['long'] })).toEqual([]);
  const kept = Object.keys(await storedDigests(next, 'long')).filter((key) => key.startsWith('["parts"')).length;
  expect(kept).toBeGreaterThan(0);
  site.requests.length = 0;
  await shardRow(next, 'Shard long').getByRole('button', { name: 'Resume' }).click();
  await expect(shardRow(next, 'Shard long')).toHaveAttribute('data-state', 'complete');
  expect(site.parts().length).toBe(shard.manifest.parts.length - kept);
});

test('S7: two tabs import one shard: fetched and stored once, progress in both; S4: if one crashes, the other goes on @fault', async ({ serve, visit }) => {
  const shard = await buildShardFixture({ id: 'long', documents: placeDocuments(60), partPassages: 40 });
  const site = await serve();
  const address = site.put('long', shard.files);
  const first = await visit(site, { path: '#library' });
  const second = await visit(site, { path: '#library' });
  site.requests.length = 0;
  const hold = holdParts(site, 'shards/long/', 4);
  const one = importShard(first, address).catch(() => 'crashed');
  await expect.poll(() => hold.held.length).toBeGreaterThan(0);
  const two = importShard(second, address);
  for (const page of [first, second]) await expect(shardRow(page, 'Shard long')).toHaveAttribute('data-state', 'importing');
  await expect.poll(async () => (await corpus(second, 'long'))?.progress?.done ?? 0).toBeGreaterThan(0);
  const crashed = first.waitForEvent('crash');
  void first.goto('chrome://crash').catch(() => {});
  await crashed;
  hold.release();
  expect(await two).toBeNull();
  expect(await one).toBe('crashed');
  await expect(shardRow(second, 'Shard long')).toHaveAttribute('data-state', 'complete');
  // What was under way in the lost tab came twice, nothing else.
  const counts = new Map<string, number>();
  for (const part of site.parts()) counts.set(part, (counts.get(part) ?? 0) + 1);
  expect([...counts.keys()].sort()).toEqual(shard.manifest.parts.map((part) => part.file).sort());
  expect([...counts.values()].filter((count) => count > 1).length).toBeLessThanOrEqual(3);

  const third = await visit(site, { path: '#library' });
  expect(await importShard(second, site.put('other', (await buildShardFixture({ id: 'other' })).files))).toBeNull();
  await expect(shardRow(third, 'Shard other')).toHaveAttribute('data-state', 'complete');
});

test('S7, S8: the same and different shards from two tabs all come in, each part once @fault', async ({ serve, visit }) => {
  const [a, b] = [await buildShardFixture({ id: 'north', documents: placeDocuments(40), partPassages: 40 }), await buildShardFixture({ id: 'south', documents: placeDocuments(30), partPassages: 40 })];
  const site = await serve();
  const [north, south] = [site.put('north', a.files), site.put('south', b.files)];
  const first = await visit(site);
  const second = await visit(site);
  site.requests.length = 0;
  expect(await Promise.all([importShard(first, north), importShard(second, south), importShard(second, north), importShard(first, south)])).toEqual([null, null, null, null]);
  expect(site.parts().length).toBe(a.manifest.parts.length + b.manifest.parts.length);
  for (const page of [first, second]) {
    await expect.poll(async () => (await corpora(page)).map(({ id, state }) => `${id} ${state}`).sort()).toEqual(['demo complete', 'north complete', 'south complete']);
    expect((await search(page, 'railway', { corpora: ['south'] })).length).toBeGreaterThan(0);
  }
});

test('S5: the browser clears the library while it is open: said, no crash, and it can be filled again @fault', async ({ serve, visit, profile }) => {
  const site = await serve();
  const context = await profile();
  const page = await visit(site, { context });
  const client = await context.newCDPSession(page);
  await client.send('Storage.clearDataForOrigin', { origin: new URL(site.url).origin, storageTypes: 'indexeddb' });
  await expect(page.getByTestId('notice').filter({ hasText: 'The browser removed the library' })).toBeVisible();
  await expect.poll(async () => (await corpora(page)).length).toBe(0);
  expect(await importShard(page, new URL('shards/demo/', site.url).href)).toBeNull();
  expect((await search(page, 'bridge over a river')).length).toBeGreaterThan(2);
});

test('S9: a newer version in another tab: this one stops writing, says so, and does not reload by itself @fault', async ({ serve, visit, context }) => {
  const site = await serve();
  const page = await visit(site);
  const address = site.put('toy', (await buildShardFixture()).files);
  let loads = 0;
  page.on('framenavigated', () => loads++);
  const newer = await bareTab(site, context);
  const opened = await newer.evaluate(
    () =>
      new Promise<number>((resolve, reject) => {
        const request = indexedDB.open('foray', 99);
        request.onsuccess = () => {
          resolve(request.result.version);
        };
        request.onerror = () => reject(request.error ?? new Error('not opened'));
      }),
  );
  expect(opened).toBe(99);
  const notice = page.getByTestId('notice').filter({ hasText: 'newer version of Foray' });
  await expect(notice).toBeVisible();
  await expect(notice.getByRole('button', { name: 'Reload' })).toBeVisible();
  expect(await importShard(page, address)).toMatchObject({ code: 'storage/newer' });
  await page.waitForTimeout(1000);
  expect(loads).toBe(0);
});

test('S10: data of a newer version is neither read wrongly nor rewritten @fault', async ({ serve, visit, context }) => {
  const site = await serve();
  const newer = await bareTab(site, context);
  await newer.evaluate(
    () =>
      new Promise<void>((resolve, reject) => {
        const request = indexedDB.open('foray', 7);
        request.onupgradeneeded = () => {
          request.result.createObjectStore('corpora').put({ strange: true }, ['x', 'y']);
          request.result.createObjectStore('future').put('kept', 'mark');
        };
        request.onsuccess = () => {
          request.result.close();
          resolve();
        };
        request.onerror = () => reject(request.error ?? new Error('not made'));
      }),
  );
  const page = await visit(site, { waitsForDemo: false });
  await expect(page.getByTestId('notice').filter({ hasText: 'newer version of Foray' }).first()).toBeVisible();
  expect(await importShard(page, new URL('shards/demo/', site.url).href)).toMatchObject({ code: 'storage/newer' });
  await askInPage(page, 'a bridge over a river');
  await expect(page.getByRole('alert').first()).toContainText('newer version of Foray');
  const left = await newer.evaluate(
    () =>
      new Promise<unknown>((resolve, reject) => {
        const request = indexedDB.open('foray');
        request.onsuccess = () => {
          const { result } = request;
          const asked = result.transaction(['future', 'corpora']).objectStore('future').get('mark');
          asked.onsuccess = () => resolve({ version: result.version, stores: [...result.objectStoreNames], mark: asked.result as unknown });
        };
        request.onerror = () => reject(request.error ?? new Error('gone'));
      }),
  );
  expect(left).toEqual({ version: 7, stores: ['corpora', 'future'], mark: 'kept' });
});

test('S12: a browser that forbids all storage: the demo shard works from memory, and what is lost is said @fault', async ({ serve, visit, profile }) => {
  const site = await serve();
  const context = await profile({ profile: { default_content_setting_values: { cookies: 2 } } });
  const page = await visit(site, { context });
  expect(await page.evaluate(async () => new Promise((resolve) => {
    try {
      const request = indexedDB.open('probe');
      request.onsuccess = () => resolve('opened');
      request.onerror = () => resolve('refused');
    } catch {
      resolve('refused');
    }
  }))).toBe('refused');
  await expect(page.getByTestId('notice').filter({ hasText: 'does not allow storing data here' })).toBeVisible();
  expect((await search(page, 'bridge over a river')).length).toBeGreaterThan(2);
  await askInPage(page, 'a bridge over a river');
  await expect(page.getByTestId('answer')).toHaveAttribute('data-mode', 'extractive');
});
