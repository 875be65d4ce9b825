/** The library page: the demo shard comes by itself and stays; imports are paused, resumed and deleted; what is stored is shown. */
import { expect, importShard, isReady, search, shardRow, test } from '../fixtures/page.ts';
import { buildShardFixture, placeDocuments } from '../fixtures/shard.ts';

test('the demo shard comes by itself at the first visit, and a later visit fetches nothing of it @journey', async ({ serve, visit }) => {
  const site = await serve();
  const page = await visit(site);
  expect(site.parts().length).toBeGreaterThan(4);
  await expect(page.getByTestId('status-shard')).toContainText('Foray demo');
  await page.getByTestId('question-box').fill('a bridge over a river');
  await expect(page.getByTestId('result').first()).toBeVisible();
  site.requests.length = 0;
  await page.reload();
  await isReady(page);
  await page.getByTestId('question-box').fill('a bridge over a river');
  await expect(page.getByTestId('result').first()).toBeVisible();
  expect(site.requests.map(({ path }) => path).filter((path) => path.startsWith('shards/') && !path.endsWith('questions.json'))).toEqual([]);

  await page.getByRole('link', { name: 'Library' }).click();
  const row = shardRow(page, 'Foray demo');
  await expect(row).toContainText(/\d{3} documents, \d{3} passages, vectors by minilm/);
  await expect(row).toContainText('CC0-1.0');
  await expect(page.getByTestId('library')).toContainText(/[\d.]+ [kM]B used/);
  await expect(page.getByTestId('library')).toContainText('Nothing you ask and nothing in your library leaves this device');
});

test('an import is paused and resumed by hand, and nothing that came is fetched twice @journey', async ({ serve, visit }) => {
  const shard = await buildShardFixture({ id: 'long', documents: placeDocuments(60), partPassages: 40 });
  const site = await serve();
  const address = site.put('long', shard.files);
  const page = await visit(site, { path: '#library' });
  site.requests.length = 0;
  // Each part takes its time.
  site.fault = (seen, response, served) => {
    if (!seen.path.startsWith('shards/long/') || !seen.path.endsWith('.bin') || served === undefined) return false;
    response.writeHead(200, { 'Content-Type': 'application/octet-stream', 'Content-Length': served.bytes.length });
    setTimeout(() => response.end(served.bytes), 250);
    return true;
  };
  await page.getByLabel('Address of a shard’s folder').fill(address);
  await page.getByRole('button', { name: 'Import', exact: true }).click();
  const row = shardRow(page, 'Shard long');
  await expect(row).toHaveAttribute('data-state', 'importing');
  await expect(row).toContainText(/Downloading.* of [\d.]+ kB/);
  await expect.poll(() => site.parts().length).toBeGreaterThan(6);
  await row.getByRole('button', { name: 'Pause' }).click();
  await expect(row).toHaveAttribute('data-state', 'partial');
  await expect(row).toContainText('Paused, not searched yet');
  expect(await search(page, 'railway', { corpora: ['long'] })).toEqual([]);
  site.fault = null;
  await page.reload();
  await isReady(page);
  await expect(row).toHaveAttribute('data-state', 'partial');
  await row.getByRole('button', { name: 'Resume' }).click();
  await expect(row).toHaveAttribute('data-state', 'complete');
  // At most the three parts that were on their way when it was paused came twice.
  expect(site.parts().length).toBeLessThanOrEqual(shard.manifest.parts.length + 3);
  expect((await search(page, 'railway', { corpora: ['long'] })).length).toBeGreaterThan(0);
});

test('what is deleted stays deleted, also after a reload, and the demo shard can be brought back @journey', async ({ serve, visit }) => {
  const site = await serve();
  const page = await visit(site, { path: '#library' });
  expect(await importShard(page, site.put('toy', (await buildShardFixture()).files))).toBeNull();
  const demo = shardRow(page, 'Foray demo');
  await demo.getByRole('button', { name: /^Delete/ }).click();
  await demo.getByRole('button', { name: 'Keep' }).click();
  await expect(demo).toHaveAttribute('data-state', 'complete');
  for (const name of ['Foray demo', 'Shard toy']) {
    await shardRow(page, name).getByRole('button', { name: /^Delete/ }).click();
    await shardRow(page, name).getByRole('button', { name: 'Delete for good' }).click();
    await expect(shardRow(page, name)).toHaveCount(0);
  }
  await expect(page.getByTestId('library')).toContainText('No shard is stored on this device');
  expect(await search(page, 'bridge over a river')).toEqual([]);
  await page.reload();
  await isReady(page);
  await page.waitForTimeout(500);
  await expect(page.getByTestId('shard-row')).toHaveCount(0);
  await page.getByRole('button', { name: 'Import the demo shard' }).click();
  await expect(demo).toHaveAttribute('data-state', 'complete');
  expect((await search(page, 'bridge over a river')).length).toBeGreaterThan(2);
});
