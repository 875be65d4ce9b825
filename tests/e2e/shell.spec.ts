/**
 * The build as a static site: on a bare host under a sub-path, offline, across versions, and without a word to any other host.
 */
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Page } from '@playwright/test';
import { createServer } from '../../tools/server.mjs';
import { expect, test } from '../fixtures/test.ts';

type Server = Awaited<ReturnType<typeof createServer>>;

const servers: Server[] = [];
async function serve(options: Omit<Parameters<typeof createServer>[0], 'dist'> & { dist?: string } = {}): Promise<Server> {
  const server = await createServer({ dist: 'dist', base: '/some/where/', ...options });
  servers.push(server);
  return server;
}
test.afterEach(async () => {
  for (const server of servers.splice(0)) await server.close();
});

/** What went wrong in the page and how often it was loaded. */
function watch(page: Page): { readonly errors: string[]; loads: number } {
  const seen = { errors: [] as string[], loads: 0 };
  page.on('pageerror', (error) => seen.errors.push(error.message));
  page.on('console', (message) => {
    if (message.type() === 'error' && !/Failed to load resource/.test(message.text())) seen.errors.push(message.text());
  });
  page.on('framenavigated', (frame) => {
    if (frame === page.mainFrame() && frame.url() !== 'about:blank') seen.loads++;
  });
  return seen;
}

/** The question box: the page is there. */
const questionBox = (page: Page) => page.getByRole('textbox').first();
const isIsolated = (page: Page): Promise<boolean> => page.evaluate(() => crossOriginIsolated);
const isControlled = (page: Page): Promise<boolean> => page.evaluate(() => navigator.serviceWorker.controller !== null);
const cachedPaths = (page: Page): Promise<string[]> =>
  page.evaluate(async () => {
    const caches_ = await Promise.all((await caches.keys()).map((name) => caches.open(name)));
    return (await Promise.all(caches_.map((cache) => cache.keys()))).flat().map((request) => new URL(request.url).pathname);
  });

test('with headers: isolated at the first load, no reload, no error', async ({ page }) => {
  const seen = watch(page);
  const server = await serve();
  const response = await page.goto(server.url);
  expect(response?.headers()['cross-origin-embedder-policy']).toBe('require-corp');
  expect(response?.headers()['content-security-policy']).toContain("default-src 'none'");
  await expect(questionBox(page)).toBeVisible();
  expect(await isIsolated(page)).toBe(true);
  await expect.poll(() => isControlled(page)).toBe(true);
  await page.waitForTimeout(500);
  expect(seen).toEqual({ errors: [], loads: 1 });
});

test('on a bare host under a sub-path: isolated after one reload of its own, and not one more', async ({ page }) => {
  const seen = watch(page);
  const server = await serve({ headers: false });
  const response = await page.goto(server.url);
  expect(response?.headers()['cross-origin-embedder-policy']).toBeUndefined();
  await expect.poll(() => isIsolated(page).catch(() => false)).toBe(true);
  await expect(questionBox(page)).toBeVisible();
  await page.waitForTimeout(500);
  expect(seen).toEqual({ errors: [], loads: 2 });
  await page.reload();
  await expect(questionBox(page)).toBeVisible();
  expect(await isIsolated(page)).toBe(true);
  await page.waitForTimeout(500);
  expect(seen).toEqual({ errors: [], loads: 3 });
});

test('on a bare host: never a second reload where the first did not help @fault', async ({ page }) => {
  // A browser that gives no isolation whatever the headers say.
  await page.addInitScript(() => Object.defineProperty(globalThis, 'crossOriginIsolated', { value: false }));
  const seen = watch(page);
  const server = await serve({ headers: false });
  await page.goto(server.url);
  await expect.poll(() => seen.loads).toBe(2);
  await expect(questionBox(page)).toBeVisible();
  await page.waitForTimeout(1500);
  expect(seen.loads).toBe(2);
});

test('without a service worker script the page works and never reloads @fault', async ({ page }) => {
  const seen = watch(page);
  const server = await serve({
    headers: false,
    intercept: (_, response, path) => {
      if (path !== 'service-worker.js') return false;
      response.writeHead(404).end();
      return true;
    },
  });
  await page.goto(server.url);
  await expect(questionBox(page)).toBeVisible();
  await page.waitForTimeout(1000);
  expect(seen.loads).toBe(1);
  expect(seen.errors.filter((error) => !/404.*fetching the script/.test(error))).toEqual([]);
});

for (const headers of [true, false]) {
  test(`works offline after the first visit, ${headers ? 'with' : 'without'} headers of the host @fault`, async ({ page }) => {
    const server = await serve({ headers });
    await page.goto(server.url);
    await expect.poll(async () => (await isControlled(page).catch(() => false)) && (await isIsolated(page).catch(() => false))).toBe(true);
    await expect(questionBox(page)).toBeVisible();
    await server.close();
    const seen = watch(page);
    await page.reload();
    await expect(questionBox(page)).toBeVisible();
    expect(await isIsolated(page)).toBe(true);
    await page.goto(`${server.url}?q=x`);
    await expect(questionBox(page)).toBeVisible();
    expect(seen.errors).toEqual([]);
  });
}

test('keeps the shell and what was used, never models or shards, and lets ranges through', async ({ page }) => {
  const server = await serve();
  await page.goto(server.url);
  await expect.poll(() => isControlled(page)).toBe(true);
  const outcome = await page.evaluate(async () => {
    const part = await fetch('shards/demo/manifest.json', { headers: { range: 'bytes=0-9' } });
    const whole = await fetch('shards/demo/manifest.json');
    const models = await fetch('models/index.json');
    const ranged = await fetch('index.html', { headers: { range: 'bytes=0-9' } });
    const partBytes = (await part.arrayBuffer()).byteLength;
    const rangedBytes = (await ranged.arrayBuffer()).byteLength;
    return { part: [part.status, partBytes], whole: whole.status, models: models.status, ranged: [ranged.status, rangedBytes] };
  });
  expect(outcome).toEqual({ part: [206, 10], whole: 200, models: 200, ranged: [206, 10] });
  const paths = await cachedPaths(page);
  expect(paths).toContain('/some/where/index.html');
  expect(paths.filter((path) => path.endsWith('.js')).length).toBeGreaterThan(2);
  expect(paths.filter((path) => /\/(?:models|shards)\//.test(path))).toEqual([]);
});

test('asks no other host for anything, from any thread', async ({ outside }) => {
  const server = await serve({ headers: false });
  const context = await outside.context();
  const page = await context.newPage();
  await page.goto(server.url);
  await expect.poll(() => isControlled(page).catch(() => false)).toBe(true);
  await expect(questionBox(page)).toBeVisible();
  await page.waitForTimeout(1000);
  expect(outside.hosts).toEqual([]);
  // The recorder itself: an address that the policy allows does arrive there.
  await page.evaluate(() => fetch('https://huggingface.co/probe').catch(() => null));
  expect(outside.hosts).toEqual(['huggingface.co:443']);
  // One that the policy does not name does not.
  await page.evaluate(() => fetch('https://example.com/').catch(() => null));
  expect(outside.hosts).toEqual(['huggingface.co:443']);
});

test('a new version waits until the person wants it, and then comes whole', async ({ page }) => {
  const dist = join(await mkdtemp(join(tmpdir(), 'foray-dist-')), 'dist');
  await cp('dist', dist, { recursive: true });
  const server = await serve({ dist });
  await page.goto(server.url);
  await expect.poll(() => isControlled(page)).toBe(true);
  const seen = watch(page);

  const worker = await readFile(join(dist, 'service-worker.js'), 'utf8');
  const html = await readFile(join(dist, 'index.html'), 'utf8');
  const changed = worker.replace(/version:([`"'])[0-9a-f]{16}\1/, 'version:"0123456789abcdef"');
  expect(changed).not.toBe(worker);
  await writeFile(join(dist, 'service-worker.js'), changed);
  await writeFile(join(dist, 'index.html'), html.replace('<body>', '<body data-version="second">'));

  const version = (): Promise<string | null> => page.evaluate(() => document.body.getAttribute('data-version'));
  const notice = page.getByText('A new version is ready.');
  await page.evaluate(async () => (await navigator.serviceWorker.getRegistration())?.update());
  await expect(notice).toBeVisible();
  expect(seen.loads).toBe(0);
  await page.reload();
  await expect(notice).toBeVisible();
  expect(await version()).toBeNull();
  await notice.locator('..').getByRole('button', { name: /reload/i }).click();
  await expect.poll(() => version().catch(() => null)).toBe('second');
  await expect(questionBox(page)).toBeVisible();
  await expect(notice).toBeHidden();
  await expect.poll(async () => (await page.evaluate(() => caches.keys())).filter((name) => name.startsWith('foray-shell-'))).toEqual(['foray-shell-0123456789abcdef']);
  await rm(join(dist, '..'), { recursive: true, force: true });
});

test('the build names no CDN and no absolute path', async () => {
  const texts = (await readdir('dist', { recursive: true })).filter((path) => /\.(?:js|mjs|css|html|webmanifest)$/.test(path));
  expect(texts.length).toBeGreaterThan(5);
  for (const path of texts) {
    const text = await readFile(join('dist', path), 'utf8');
    expect.soft(/jsdelivr\.net|unpkg\.com|esm\.sh|cdnjs\.|skypack\.dev|googleapis\.com|gstatic\.com/.exec(text)?.[0], path).toBeUndefined();
  }
  const html = await readFile('dist/index.html', 'utf8');
  expect([...html.matchAll(/(?:src|href)="([^"]+)"/g)].map((match) => match[1]).filter((address) => !address?.startsWith('./') && !address?.startsWith('data:'))).toEqual([]);
  expect(html).not.toMatch(/<script(?![^>]*\bsrc=)[^>]*>/);
});
