/** FAULTS N1–N4: offline at the first and at later visits, refusals and waits, servers without ranges, files that change under way. */
import { localModels } from '../../tools/models.ts';
import { corpus, expect, importShard, isReady, models, search, shardRow, test, useModel } from '../fixtures/page.ts';
import { cutAfter } from '../fixtures/server.ts';
import { buildShardFixture, placeDocuments } from '../fixtures/shard.ts';

const long = () => buildShardFixture({ id: 'long', documents: placeDocuments(40), partPassages: 40 });

test('N1: offline right after the first load: the page stands, says that nothing is there yet, and goes on by itself @fault', async ({ serve, visit }) => {
  const site = await serve();
  site.fault = (seen, response) => {
    if (!seen.path.startsWith('shards/')) return false;
    response.destroy();
    return true;
  };
  const page = await visit(site, { waitsForDemo: false });
  await expect(page.getByTestId('status-shard')).toContainText(/Waiting|No shard yet|Importing/);
  await page.getByTestId('question-box').fill('a bridge over a river');
  await expect(page.getByTestId('results')).toContainText('Nothing is in the library yet');
  await expect.poll(() => site.requests.filter(({ path }) => path === 'shards/demo/manifest.json').length).toBeGreaterThan(1);
  site.fault = null;
  await expect.poll(async () => (await corpus(page, 'demo'))?.state, { timeout: 30_000 }).toBe('complete');
  await expect(page.getByTestId('result').first()).toBeVisible();
});

test('N1: offline at a later visit everything that was used works, also the embedding model and its wasm @fault', async ({ serve, visit }) => {
  const local = (await localModels()).filter(({ id }) => id === 'minilm');
  test.skip(local.length === 0, 'the model minilm is not on this machine');
  const site = await serve({ models: local });
  const page = await visit(site);
  await expect.poll(() => page.evaluate(() => navigator.serviceWorker.controller !== null)).toBe(true);
  expect(await useModel(page, 'minilm')).toBeNull();
  await site.close();
  await page.context().setOffline(true);
  await page.reload();
  await isReady(page);
  expect(await page.evaluate(() => navigator.onLine)).toBe(false);
  await page.getByTestId('question-box').fill('a bridge over a river');
  await expect(page.getByTestId('result').first()).toBeVisible();
  await expect.poll(async () => (await models(page)).find(({ id }) => id === 'minilm')?.state, { timeout: 60_000 }).toBe('ready');
  const hits = await search(page, 'crossing of a stream made of steel', { dense: true });
  expect(hits.some(({ paths }) => paths.some(({ kind }) => kind === 'dense'))).toBe(true);
});

test('N2: 404 and 403 are final; 429 and 503 wait as long as the server says, visibly, and can be cancelled @fault', async ({ serve, visit }) => {
  const shard = await long();
  const site = await serve();
  const address = site.put('long', shard.files);
  const page = await visit(site, { path: '#library' });
  const file = shard.manifest.parts.at(-1)?.file ?? '';
  const row = shardRow(page, 'Shard long');
  for (const status of [404, 403]) {
    site.requests.length = 0;
    site.fault = (seen, response) => {
      if (!seen.path.endsWith(`long/${file}`)) return false;
      response.writeHead(status).end();
      return true;
    };
    const failure = await importShard(page, address);
    expect(failure).toMatchObject({ code: 'shard/part-missing' });
    expect(failure?.message).toContain(`${file} could not be found (status ${status})`);
    expect(site.requests.filter(({ path }) => path.endsWith(`long/${file}`))).toHaveLength(1);
    await expect(row).not.toHaveAttribute('data-state', 'complete');
  }

  site.fault = (seen, response) => {
    if (!seen.path.endsWith(`long/${file}`)) return false;
    response.writeHead(503, { 'Retry-After': '40' }).end();
    return true;
  };
  await row.getByRole('button', { name: 'Resume' }).click();
  await expect(row).toContainText(/Waiting.*(?:40|3\d) s left/);
  await row.getByRole('button', { name: 'Pause' }).click();
  await expect(row).toHaveAttribute('data-state', 'partial');

  const waits = [429, 503, 500];
  site.requests.length = 0;
  site.fault = (seen, response) => {
    const status = seen.path.endsWith(`long/${file}`) ? waits.shift() : undefined;
    if (status === undefined) return false;
    response.writeHead(status, status === 500 ? {} : { 'Retry-After': '1' }).end();
    return true;
  };
  const started = Date.now();
  await row.getByRole('button', { name: 'Resume' }).click();
  await expect(row).toHaveAttribute('data-state', 'complete');
  expect(Date.now() - started).toBeGreaterThan(2500);
  expect(site.parts()).toEqual([file, file, file, file]);
});

test('N3: a server that ignores ranges: the part comes anew and whole, never a mixture @fault', async ({ serve, visit }) => {
  const shard = await long();
  const site = await serve();
  const address = site.put('long', shard.files);
  const page = await visit(site);
  const file = shard.manifest.parts.find((part) => part.kind === 'passages')?.file ?? '';
  let breaks = 0;
  for (const [path, served] of site.files) site.files.set(path, { ...served, ranges: false });
  site.fault = (seen, response, served) => {
    if (!seen.path.endsWith(`long/${file}`) || served === undefined || breaks++ > 0) return false;
    cutAfter(1000, response, served, seen);
    return true;
  };
  expect(await importShard(page, address)).toBeNull();
  expect(site.requests.filter(({ path }) => path.endsWith(`long/${file}`)).map(({ range }) => range)).toEqual([null, expect.stringMatching(/^bytes=/)]);
  expect((await search(page, 'railway', { corpora: ['long'] })).length).toBeGreaterThan(0);
});

test('N4: a file that changes between two parts is fetched anew as a whole @fault', async ({ serve, visit }) => {
  const version = (say: string): Uint8Array => new TextEncoder().encode(JSON.stringify({ otherwise: { say }, responses: [{ when: 'x', say: say.repeat(2_000_000) }] }));
  const [first, second] = [version('1'), version('2')];
  const site = await serve({ script: { responses: [] } });
  const path = 'models/script/script.json';
  site.files.set(path, { bytes: first, etag: '"one"', type: 'application/json' });
  const page = await visit(site);
  let breaks = 0;
  site.fault = (seen, response, served) => {
    if (seen.path !== path || served === undefined || breaks++ > 0) return false;
    response.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': first.length, ETag: '"one"' });
    response.write(first.subarray(0, 1_000_000), () =>
      setTimeout(() => {
        site.files.set(path, { bytes: second, etag: '"two"', type: 'application/json' });
        response.destroy();
      }, 50),
    );
    return true;
  };
  expect(await useModel(page, 'script')).toBeNull();
  const asked = site.requests.filter((request) => request.path === path);
  expect(asked.map(({ range, ifRange }) => ({ range, ifRange }))).toEqual([{ range: null, ifRange: null }, { range: expect.stringMatching(/^bytes=\d+-$/), ifRange: '"one"' }]);
  const stored = await page.evaluate(async () => {
    const database = await new Promise<IDBDatabase>((resolve) => {
      const request = indexedDB.open('foray');
      request.onsuccess = () => resolve(request.result);
    });
    const parts = await new Promise<Blob[]>((resolve) => {
      const request = database.transaction('fileParts').objectStore('fileParts').getAll();
      request.onsuccess = () => resolve(request.result as Blob[]);
    });
    database.close();
    return new Blob(parts).text();
  });
  expect(stored === new TextDecoder().decode(second)).toBe(true);
});
