/** FAULTS D1–D5, D7: damaged, lying and foreign shards, imported by the built page. */
import { gzipSync } from 'node:zlib';
import { encodeVectors, quantise } from '../../src/corpus/vectors.ts';
import type { ShardManifest } from '../../src/corpus/shard.ts';
import { corpora, corpus, expect, importShard, search, shardRow, test } from '../fixtures/page.ts';
import { cutAfter } from '../fixtures/server.ts';
import { buildShardFixture, placeDocuments, withManifest, withPart } from '../fixtures/shard.ts';
import type { ShardFixture } from '../fixtures/shard.ts';

const text = (value: string): Uint8Array => new TextEncoder().encode(value);
const partOf = (shard: ShardFixture, kind: string): string => shard.manifest.parts.find((part) => part.kind === kind)?.file ?? '';
const toy = (id: string): Promise<ShardFixture> => buildShardFixture({ id, documents: placeDocuments(24), partPassages: 40 });

test('D1: a part whose connection breaks goes on within the part @fault', async ({ serve, visit }) => {
  const shard = await toy('cut');
  const site = await serve();
  const address = site.put('cut', shard.files);
  const page = await visit(site);
  const file = partOf(shard, 'passages');
  let breaks = 0;
  site.fault = (seen, response, served) => {
    if (!seen.path.endsWith(`cut/${file}`) || served === undefined || breaks++ > 0) return false;
    cutAfter(1000, response, served, seen);
    return true;
  };
  expect(await importShard(page, address)).toBeNull();
  const ranges = site.requests.filter(({ path }) => path.endsWith(`cut/${file}`)).map(({ range }) => range);
  expect(ranges).toEqual([null, expect.stringMatching(/^bytes=[1-9]\d*-$/)]);
  expect((await search(page, 'railway', { corpora: ['cut'] })).length).toBeGreaterThan(0);
});

test('D1, D2: a truncated or altered part of any kind is named and never searchable; only it is fetched again @fault', async ({ serve, visit }) => {
  const site = await serve();
  const page = await visit(site, { path: '#library' });
  for (const kind of ['truncated', 'titles', 'passages', 'lexical', 'links', 'vectors']) {
    const id = `bad-${kind}`;
    const sound = await toy(id);
    const file = partOf(sound, kind === 'truncated' ? 'passages' : kind);
    const bad = await withPart(sound, file, (bytes) => {
      if (kind === 'truncated') return bytes.slice(0, bytes.length - 100);
      const at = Math.floor(bytes.length / 2);
      bytes[at] = (bytes[at] ?? 0) ^ 1;
      return bytes;
    });
    const address = site.put(id, bad.files);
    const failure = await importShard(page, address);
    expect(failure, kind).toMatchObject({ code: kind === 'truncated' ? 'shard/truncated' : 'shard/checksum' });
    expect(failure?.message, kind).toContain(file);
    expect((await corpus(page, id))?.state, kind).toBe('partial');
    expect(await search(page, 'railway glassblower', { corpora: [id] }), kind).toEqual([]);
    await expect(shardRow(page, `Shard ${id}`).getByRole('alert')).toContainText(file);
    site.put(id, sound.files);
    site.requests.length = 0;
    await shardRow(page, `Shard ${id}`).getByRole('button', { name: 'Resume' }).click();
    await expect(shardRow(page, `Shard ${id}`)).toHaveAttribute('data-state', 'complete');
    expect(site.parts(), kind).toEqual([file]);
    expect((await search(page, 'railway glassblower', { corpora: [id] })).length, kind).toBeGreaterThan(0);
  }
});

test('D3: vectors of another size than announced are refused with both numbers @fault', async ({ serve, visit }) => {
  const shard = await toy('seven');
  const file = partOf(shard, 'vectors');
  const { count } = shard.manifest.parts.find((part) => part.file === file)!;
  const site = await serve();
  const page = await visit(site);
  const seven = await withPart(shard, file, () => encodeVectors(quantise(new Float32Array(count * 7).fill(1 / Math.sqrt(7)), 7)), true);
  const failure = await importShard(page, site.put('seven', seven.files));
  expect(failure?.code).toBe('shard/dimensions');
  expect(failure?.message).toMatch(/have 7 dimensions.*announces 8/);
  expect(await search(page, 'railway', { corpora: ['seven'] })).toEqual([]);
});

test('D4, D5: other versions and manifests that lie are refused before anything is fetched or stored @fault', async ({ serve, visit }) => {
  const shard = await toy('liar');
  const site = await serve();
  const page = await visit(site);
  const withFile = (manifest: ShardManifest, file: string): unknown => ({ ...manifest, parts: manifest.parts.map((part, i) => (i === 0 ? { ...part, file } : part)) });
  const lies: readonly [string, string, (manifest: ShardManifest) => unknown][] = [
    ['shard/version', 'a newer version', (m) => ({ ...m, version: 2 })],
    ['shard/version', 'version 0', (m) => ({ ...m, version: 0 })],
    ['shard/manifest', 'no version', ({ version: _, ...m }) => m],
    ['shard/manifest', 'a version in words', (m) => ({ ...m, version: 'one' })],
    ['shard/manifest', 'a path upwards', (m) => withFile(m, '../demo/vectors-0000.bin')],
    ['shard/manifest', 'an absolute address', (m) => withFile(m, 'https://example.org/x.bin')],
    ['shard/manifest', 'an absolute path', (m) => withFile(m, '/index.html')],
    ['shard/manifest', 'a huge number of passages', (m) => ({ ...m, counts: { ...m.counts, passages: 4e15 } })],
    ['shard/manifest', 'a huge part', (m) => ({ ...m, parts: m.parts.map((part) => ({ ...part, bytes: 9e12 })) })],
    ['shard/manifest', 'a part listed twice', (m) => ({ ...m, parts: [...m.parts, ...m.parts.slice(0, 1)] })],
    ['shard/manifest', 'the reserved id', (m) => ({ ...m, id: 'own' })],
    ['shard/manifest', 'an id with a path', (m) => ({ ...m, id: '../demo' })],
    ['shard/manifest', 'more passages than its parts hold', (m) => ({ ...m, counts: { ...m.counts, passages: m.counts.passages + 1 } })],
  ];
  for (const [code, what, change] of lies) {
    const address = site.put('liar', withManifest(shard, change).files);
    site.requests.length = 0;
    const failure = await importShard(page, address);
    expect(failure?.code, what).toBe(code);
    expect(site.requests.map(({ path }) => path), what).toEqual(['shards/liar/manifest.json']);
  }
  expect((await importShard(page, site.put('liar', withManifest(shard, (m) => ({ ...m, version: 2 })).files)))?.message).toMatch(/format version 2; this app reads version 1/);
  expect((await corpora(page)).map(({ id }) => id)).toEqual(['demo']);
});

test('D7: a web page, other JSON or an archive instead of a shard, and a bomb instead of a part @fault', async ({ serve, visit }) => {
  const shard = await toy('bomb');
  const site = await serve();
  const page = await visit(site, { path: '#library' });
  const strange: readonly [string, Uint8Array, string][] = [
    ['a web page', text('<!doctype html><title>Sign in</title>'), 'text/html'],
    ['a web page called JSON', text('<html><body>Sign in</body></html>'), 'application/json'],
    ['other JSON', text('{"name":"x","version":"1.0.0"}'), 'application/json'],
    ['an archive', new Uint8Array([0x50, 0x4b, 3, 4, 0xff, 0xfe, 0, 0]), 'application/zip'],
    ['too much', text(`{"format":"foray-shard","pad":"${'x'.repeat(9_000_000)}"}`), 'application/json'],
  ];
  for (const [what, bytes, type] of strange) {
    site.files.set('shards/strange/manifest.json', { bytes, type });
    expect((await importShard(page, new URL('shards/strange/', site.url).href))?.code, what).toBe('shard/not-a-shard');
  }
  expect((await importShard(page, new URL('shards/nowhere/', site.url).href))?.code).toBe('shard/not-a-shard');
  // Said on the page as well, where the address was entered.
  await page.getByLabel('Address of a shard’s folder').fill('shards/strange/');
  await page.getByRole('button', { name: 'Import', exact: true }).click();
  await expect(page.getByRole('alert').filter({ hasText: 'is not a Foray shard' })).toBeVisible();

  const file = partOf(shard, 'vectors');
  const address = site.put('bomb', shard.files);
  site.fault = (seen, response) => {
    if (!seen.path.endsWith(`bomb/${file}`)) return false;
    response.writeHead(200, { 'Content-Type': 'application/octet-stream', 'Content-Encoding': 'gzip' }).end(gzipSync(new Uint8Array(64_000_000)));
    return true;
  };
  expect(await importShard(page, address)).toMatchObject({ code: 'shard/checksum' });
  site.fault = (seen, response) => {
    if (!seen.path.endsWith(`bomb/${file}`)) return false;
    response.writeHead(200, { 'Content-Type': 'text/html' }).end('<!doctype html><title>Sign in</title>');
    return true;
  };
  expect(await importShard(page, address)).toMatchObject({ code: 'download/not-expected' });
  expect((await corpus(page, 'bomb'))?.state).toBe('partial');
  site.fault = null;
  expect(await importShard(page, address)).toBeNull();
});
