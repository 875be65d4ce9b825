/** FAULTS D1-D7, S1, S3, S7, S8, S11 and W3 of shard import, with real files over HTTP into IndexedDB. */
import fc from 'fast-check';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createTabChannel, importShard } from '../../src/corpus/import.ts';
import type { ImportTools } from '../../src/corpus/import.ts';
import { createLibrary } from '../../src/corpus/library.ts';
import type { Library } from '../../src/corpus/library.ts';
import { encodeVectors, quantise } from '../../src/corpus/vectors.ts';
import type { Progress } from '../../src/progress.ts';
import { cutAfter, startServer, testNet } from '../fixtures/server.ts';
import type { TestServer } from '../fixtures/server.ts';
import { buildShardFixture, placeDocuments, withManifest, withPart } from '../fixtures/shard.ts';
import type { ShardFixture } from '../fixtures/shard.ts';
import { freshFactory, limitQuota, openTestStore } from '../fixtures/storage.ts';

const never = new AbortController().signal;

let shard: ShardFixture;
let server: TestServer;
let factory: IDBFactory;
beforeAll(async () => {
  shard = await buildShardFixture({ documents: placeDocuments(40), partPassages: 30 });
  expect(shard.manifest.parts.length).toBeGreaterThan(8);
});
beforeEach(async () => {
  server = await startServer();
  factory = freshFactory();
});
afterEach(() => server.close());

const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0)) close();
});

/** One tab: its own connection and channel, the database and the locks shared. */
function openTab(locks: Pick<LockManager, 'request'> | null = null): ImportTools & { library: () => Library } {
  const { store } = openTestStore(factory);
  const broadcast = new BroadcastChannel('foray-test');
  (broadcast as BroadcastChannel & { unref(): void }).unref();
  closers.push(() => broadcast.close());
  const tools = { store, net: testNet(server.origin), locks, channel: createTabChannel(broadcast) };
  return { ...tools, library: () => createLibrary(tools) };
}

const url = (): string => `${server.origin}/shards/toy/`;
const serve = (fixture: ShardFixture): void => server.put('/shards/toy/', fixture.files);
const importIt = (tools: ImportTools, signal = never, onProgress: (p: Progress) => void = () => {}): Promise<string> => importShard(url(), tools, signal, onProgress);
const fetched = (): string[] => server.requests.map((r) => r.path.split('/').at(-1) ?? '').filter((name) => name.endsWith('.bin'));

/** Every stored byte of a shard, to compare two imports. */
async function dump(tools: ImportTools): Promise<unknown> {
  const [row] = await tools.store.corpora();
  if (row === undefined) return null;
  const parts = [...(await tools.store.parts(row.id, row.digest))].sort((a, b) => a.file.localeCompare(b.file));
  const places = parts.flatMap(({ file, blocks }) => blocks.map((_, block) => ({ id: row.id, digest: row.digest, file, block })));
  return { row: { ...row, order: 0 }, parts, blocks: await tools.store.blocks(places) };
}

describe('import', () => {
  it('brings in every part, once, and is then searchable; again it fetches the manifest only', async () => {
    serve(shard);
    const tab = openTab();
    const seen: Progress[] = [];
    expect(await importIt(tab, never, (p) => seen.push(p))).toBe('toy');
    const total = shard.manifest.parts.reduce((sum, part) => sum + part.bytes, 0);
    expect(seen.at(-1)).toMatchObject({ phase: 'done', done: total, total, unit: 'bytes' });
    expect(fetched().sort()).toEqual(shard.manifest.parts.map((part) => part.file).sort());
    const found = await tab.library().search({ text: 'railway Corvane', k: 3 }, null, never);
    expect(found.hits[0]?.passage).toMatchObject({ corpus: 'toy' });
    expect(found.searched).toBe(shard.rows.length);
    server.requests.length = 0;
    await importIt(tab, never, (p) => seen.push(p));
    expect(fetched()).toEqual([]);
    expect(seen.at(-1)).toMatchObject({ phase: 'done', done: total });
  });

  it('a passage tells which passages it links to, which link to it, and its neighbours in the document', async () => {
    serve(shard);
    const library = openTab().library();
    await library.importShard(url(), never, () => {});
    await library.settled();
    const around = await library.neighbours('toy/place-1');
    expect(around).toMatchObject({ out: [{ id: 'toy/place-2', title: 'Corvane' }], previous: null, next: null });
    expect(around?.in.map((ref) => ref.title)).toContain('Aldmoor');
    expect(around?.in.map((ref) => ref.title)).not.toContain('Brackwater');
    for (const { id, title } of [...(around?.out ?? []), ...(around?.in ?? [])]) expect((await library.passage(id))?.title).toBe(title);
    expect(await library.neighbours('toy/place-33#1')).toMatchObject({ previous: null, next: { id: 'toy/place-33#2', title: 'Brackwater 33', section: 'History' } });
    expect(await library.neighbours('toy/place-99#1')).toBeNull();
  });

  it.each(['toy', 'toy/', 'toy/manifest.json', 'toy/?x=1#y'])('finds the folder of …/%s', async (path) => {
    serve(shard);
    expect(await importShard(`${server.origin}/shards/${path}`, openTab(), never, () => {})).toBe('toy');
  });

  it('S3/W3: broken off at any part it is resumable, not searched, and ends as if nothing had happened', async () => {
    serve(shard);
    const clean = openTab();
    await importIt(clean);
    const expected = await dump(clean);
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: shard.manifest.parts.length - 1 }), async (after) => {
        factory = freshFactory();
        const tab = openTab();
        const stop = new AbortController();
        server.fault = (seen) => {
          if (seen.path.endsWith('.bin') && fetched().length > after) stop.abort();
          return false;
        };
        server.requests.length = 0;
        await expect(importIt(tab, stop.signal)).rejects.toMatchObject({ name: 'AbortError' });
        server.fault = null;
        const first = new Set((await tab.store.parts('toy', (await tab.store.corpora())[0]?.digest ?? '')).map((part) => part.file));
        expect(first.size).toBeLessThan(shard.manifest.parts.length);
        expect((await tab.library().snapshot()).corpora).toMatchObject([{ id: 'toy', state: 'partial' }]);
        expect((await tab.library().search({ text: 'railway', k: 3 }, null, never)).hits).toEqual([]);
        server.requests.length = 0;
        const next = openTab(); // another session
        await importIt(next);
        expect(fetched().filter((file) => first.has(file))).toEqual([]);
        expect(await dump(next)).toEqual(expected);
      }),
      { numRuns: 6 },
    );
  });

  it('D1: a part whose connection breaks goes on within the part', async () => {
    serve(shard);
    const { file } = shard.manifest.parts.find((part) => part.bytes > 1000) ?? { file: '' };
    let broken = 0;
    server.fault = (seen, response, served) => {
      if (!seen.path.endsWith(file) || served === undefined || broken++ > 0) return false;
      cutAfter(500, response, served, seen);
      return true;
    };
    const tab = openTab();
    await importIt(tab);
    expect(server.requests.filter((r) => r.path.endsWith(file)).map((r) => r.range)).toEqual([null, 'bytes=500-']);
    expect((await tab.store.corpora())[0]?.state).toBe('complete');
  });

  it('D1: a part that is short on the server is named with both sizes, and nothing of it is kept', async () => {
    const part = shard.manifest.parts[1];
    if (part === undefined) throw new Error('no part');
    serve(await withPart(shard, part.file, (bytes) => bytes.slice(0, -7)));
    const tab = openTab();
    await expect(importIt(tab)).rejects.toMatchObject({ code: 'shard/truncated', detail: { part: part.file, got: part.bytes - 7, expected: part.bytes } });
    expect((await tab.store.corpora())[0]?.state).toBe('partial');
    serve(shard);
    server.requests.length = 0;
    await importIt(tab);
    expect(fetched()).toEqual([part.file]);
  });

  it.each(['titles', 'passages', 'lexical', 'links', 'vectors'])('D2: one flipped bit anywhere in a %s part is found, and only that part is fetched again', async (kind) => {
    const part = shard.manifest.parts.findLast((other) => other.kind === kind);
    if (part === undefined) throw new Error(`no ${kind}`);
    await fc.assert(
      fc.asyncProperty(fc.nat(part.bytes - 1), fc.nat(7), async (at, bit) => {
        factory = freshFactory();
        serve(
          await withPart(shard, part.file, (bytes) => {
            bytes[at] = (bytes[at] ?? 0) ^ (1 << bit);
            return bytes;
          }),
        );
        const tab = openTab();
        await expect(importIt(tab)).rejects.toMatchObject({ code: 'shard/checksum', retryable: true, detail: { part: part.file } });
        expect((await tab.library().search({ text: 'railway', k: 3 }, null, never)).hits).toEqual([]);
        serve(shard);
        server.requests.length = 0;
        await importIt(tab);
        expect(fetched()).toEqual([part.file]);
        expect((await tab.library().search({ text: 'railway', k: 3 }, null, never)).hits).not.toEqual([]);
      }),
      { numRuns: 4 },
    );
  });

  it('a well-signed part with broken contents is refused before it is stored', async () => {
    for (const kind of ['titles', 'passages', 'lexical', 'links', 'vectors'] as const) {
      const part = shard.manifest.parts.find((other) => other.kind === kind);
      if (part === undefined) throw new Error(`no ${kind}`);
      factory = freshFactory();
      serve(await withPart(shard, part.file, (bytes) => bytes.fill(0xff, 4), true));
      const tab = openTab();
      await expect(importIt(tab), kind).rejects.toMatchObject({ code: 'shard/part-invalid', detail: { part: part.file } });
      const library = tab.library();
      expect((await library.search({ text: 'railway', k: 3 }, null, never)).hits).toEqual([]);
      expect((await tab.store.corpora())[0]?.state).toBe('partial');
    }
  });

  it('D3: vectors of another size are refused with both numbers', async () => {
    const part = shard.manifest.parts.find((other) => other.kind === 'vectors');
    if (part === undefined) throw new Error('no vectors');
    serve(await withPart(shard, part.file, () => encodeVectors(quantise(new Float32Array(part.count * 7).fill(0.3), 7)), true));
    await expect(importIt(openTab())).rejects.toMatchObject({ code: 'shard/dimensions', detail: { got: 7, expected: 8 } });
  });

  it.each([
    [2, 'shard/version'],
    [0, 'shard/version'],
    [undefined, 'shard/manifest'],
    ['1', 'shard/manifest'],
  ])('D4: format version %s gives %s and stores nothing', async (version, code) => {
    serve(withManifest(shard, (manifest) => ({ ...manifest, version })));
    const tab = openTab();
    await expect(importIt(tab)).rejects.toMatchObject({ code });
    expect(await tab.store.corpora()).toEqual([]);
  });

  it.each<[string, (manifest: ShardFixture['manifest']) => unknown]>([
    ['a path outside', (m) => ({ ...m, parts: m.parts.map((p, i) => (i === 0 ? { ...p, file: '../../secret.bin' } : p)) })],
    ['an absolute address', (m) => ({ ...m, parts: m.parts.map((p, i) => (i === 0 ? { ...p, file: 'https://elsewhere.example/x.bin' } : p)) })],
    ['a file listed twice', (m) => ({ ...m, parts: m.parts.map((p, i) => (i === 1 ? { ...p, file: m.parts[0]?.file } : p)) })],
    ['a huge part', (m) => ({ ...m, parts: m.parts.map((p, i) => (i === 0 ? { ...p, bytes: 5e9 } : p)) })],
    ['a huge count', (m) => ({ ...m, counts: { ...m.counts, passages: 4e9 } })],
    ['a count that is not the sum', (m) => ({ ...m, counts: { ...m.counts, passages: m.counts.passages + 1 } })],
    ['a negative size', (m) => ({ ...m, parts: m.parts.map((p, i) => (i === 0 ? { ...p, bytes: -1 } : p)) })],
    ['the id of own documents', (m) => ({ ...m, id: 'own' })],
    ['an id with a slash', (m) => ({ ...m, id: 'a/b' })],
  ])('D5: a manifest with %s is refused; no part is fetched, nothing stored', async (_what, change) => {
    serve(withManifest(shard, change));
    const tab = openTab();
    await expect(importIt(tab)).rejects.toMatchObject({ code: 'shard/manifest' });
    expect(fetched()).toEqual([]);
    expect(await tab.store.corpora()).toEqual([]);
  });

  it('D5: a part larger than announced is cut off and refused', async () => {
    const part = shard.manifest.parts[0];
    if (part === undefined) throw new Error('no part');
    serve(await withPart(shard, part.file, (bytes) => new Uint8Array([...bytes, ...new Uint8Array(1_000_000)])));
    await expect(importIt(openTab())).rejects.toMatchObject({ code: 'shard/checksum', detail: { part: part.file } });
  });

  it.each(['ftp://example.org/s/', 'javascript:alert(1)', 'data:application/json,{}', 'http://elsewhere.example/s/', 'https://user:pass@example.org/s/', 'nothing', 'file:///etc/'])(
    'D5: the address %s is refused without a request',
    async (address) => {
      const tab = openTab();
      let asked = 0;
      const net = { ...tab.net, fetch: async () => { asked++; return new Response('{}'); } };
      await expect(importShard(address, { ...tab, net }, never, () => {})).rejects.toMatchObject({ code: 'shard/not-a-shard' });
      expect(asked).toBe(0);
    },
  );

  it('D6: an empty shard and a shard of one passage of 1 MB work', async () => {
    serve(await buildShardFixture({ documents: [] }));
    const tab = openTab();
    await importIt(tab);
    expect((await tab.library().search({ text: 'anything', k: 3 }, null, never)).hits).toEqual([]);
    expect((await tab.library().snapshot()).corpora).toMatchObject([{ state: 'complete', passages: 0, error: null }]);
    factory = freshFactory();
    const text = `Slate ${'x'.repeat(1_000_000)}.`;
    serve(await buildShardFixture({ documents: [{ docId: 'big', title: 'Big', sections: [{ heading: '', text }] }] }));
    const other = openTab();
    await importIt(other);
    const found = await other.library().search({ text: 'slate', k: 3 }, null, never);
    expect(found.hits[0]?.passage.docId).toBe('big');
  });

  it.each<[string, () => void]>([
    ['a web page', () => server.files.set('/shards/toy/manifest.json', { bytes: new TextEncoder().encode('<!doctype html><title>x</title>'), type: 'text/html' })],
    ['a web page called JSON', () => server.files.set('/shards/toy/manifest.json', { bytes: new TextEncoder().encode('<html></html>'), type: 'application/json' })],
    ['other JSON', () => server.files.set('/shards/toy/manifest.json', { bytes: new TextEncoder().encode('{"name":"x"}') })],
    ['an archive', () => server.files.set('/shards/toy/manifest.json', { bytes: new Uint8Array([0x50, 0x4b, 3, 4, 0xff, 0xfe, 0, 0]) })],
    ['nothing', () => server.files.delete('/shards/toy/manifest.json')],
    ['a flood', () => server.files.set('/shards/toy/manifest.json', { bytes: new Uint8Array(9 * 2 ** 20).fill(32) })],
  ])('D7: %s in the place of a shard is told as such', async (_what, put) => {
    put();
    const tab = openTab();
    await expect(importIt(tab)).rejects.toMatchObject({ code: 'shard/not-a-shard' });
    expect(await tab.store.corpora()).toEqual([]);
  });

  it('N2: a missing part is final and named; the rest stays for a later try', async () => {
    serve(shard);
    const part = shard.manifest.parts.at(-1);
    server.files.delete(`/shards/toy/${part?.file ?? ''}`);
    const library = openTab().library();
    await expect(library.importShard(url(), never, () => {})).rejects.toMatchObject({ code: 'shard/part-missing', detail: { part: part?.file, status: 404 } });
    expect((await library.snapshot()).corpora).toMatchObject([{ id: 'toy', state: 'failed', error: { code: 'shard/part-missing' } }]);
    serve(shard);
    await library.importShard(url(), never, () => {});
    expect((await library.snapshot()).corpora).toMatchObject([{ id: 'toy', state: 'complete', error: null }]);
  });

  it('S1: without room the import stops with its reason, keeps whole parts, and goes on when there is room', async () => {
    serve(shard);
    const tab = openTab();
    const quota = limitQuota(40_000);
    await expect(importIt(tab)).rejects.toMatchObject({ code: 'storage/quota', detail: { neededMB: 1 } }).finally(() => quota.restore());
    const [row] = await tab.store.corpora();
    expect(row?.state).toBe('partial');
    const kept = (await tab.store.parts('toy', row?.digest ?? '')).map((part) => part.file);
    expect(kept.length).toBeGreaterThan(0);
    server.requests.length = 0;
    await importIt(tab);
    expect(fetched().filter((file) => kept.includes(file))).toEqual([]);
    expect((await tab.store.corpora())[0]?.state).toBe('complete');
  });

  it('a shard that changed on the server is fetched anew; the old one is searched until the new one is whole', async () => {
    serve(shard);
    const tab = openTab();
    const library = tab.library();
    await library.importShard(url(), never, () => {});
    const changed = await buildShardFixture({ documents: [...placeDocuments(40), { docId: 'new', title: 'Zinnober', sections: [{ heading: '', text: 'Zinnober is red.' }] }], partPassages: 30 });
    serve(changed);
    const stop = new AbortController();
    server.fault = (seen) => {
      if (seen.path.includes('vectors-0001')) stop.abort();
      return false;
    };
    await expect(library.importShard(url(), stop.signal, () => {})).rejects.toMatchObject({ name: 'AbortError' });
    server.fault = null;
    expect((await library.search({ text: 'railway Aldmoor', k: 1 }, null, never)).hits).toHaveLength(1);
    expect((await library.search({ text: 'Zinnober', k: 1 }, null, never)).hits).toHaveLength(0);
    await library.importShard(url(), never, () => {});
    expect((await library.search({ text: 'Zinnober', k: 1 }, null, never)).hits).toHaveLength(1);
    expect(await tab.store.corpora()).toHaveLength(1);
  });

  it('rows of a finished shard that the browser lost make it fail visibly, and importing again repairs it', async () => {
    serve(shard);
    const tab = openTab();
    await importIt(tab);
    const db = await new Promise<IDBDatabase>((resolve) => {
      const request = factory.open('foray');
      request.onsuccess = () => resolve(request.result);
    });
    const [row] = await tab.store.corpora();
    const tx = db.transaction('parts', 'readwrite');
    tx.objectStore('parts').delete(['toy', row?.digest ?? '', 'lexical-0000.bin']);
    await new Promise((resolve) => (tx.oncomplete = resolve));
    db.close();
    const library = openTab().library();
    expect((await library.snapshot()).corpora).toMatchObject([{ state: 'failed', error: { code: 'shard/part-missing' } }]);
    await library.importShard(url(), never, () => {});
    expect((await library.snapshot()).corpora).toMatchObject([{ state: 'complete', error: null }]);
    expect((await library.search({ text: 'railway', k: 1 }, null, never)).hits).toHaveLength(1);
  });
});

describe('two tabs', () => {
  /** One lock manager for both, like the browser's. */
  function sharedLocks(): Pick<LockManager, 'request'> {
    let last: Promise<unknown> = Promise.resolve();
    return {
      request: (async (_name: string, a: LockOptions | LockGrantedCallback<unknown>, b?: LockGrantedCallback<unknown>) => {
        const options = typeof a === 'function' ? {} : a;
        const callback = typeof a === 'function' ? a : b;
        const before = last;
        let release = (): void => {};
        last = new Promise<void>((resolve) => (release = resolve));
        await before;
        try {
          if (options.signal?.aborted === true) throw options.signal.reason;
          return await callback?.(null);
        } finally {
          release();
        }
      }),
    };
  }

  it('S7: the same shard is fetched and stored once; the second tab shows the progress of the first', async () => {
    serve(shard);
    const locks = sharedLocks();
    const [one, two] = [openTab(locks), openTab(locks)];
    const waiting: Progress[] = [];
    let isFirstDone = false;
    // The answers take a moment, so that the second tab comes while the first works.
    server.fault = (seen, response, file) => {
      if (!seen.path.endsWith('.bin')) return false;
      setTimeout(() => response.writeHead(200, { 'Content-Length': file?.bytes.length ?? 0 }).end(file?.bytes), 200);
      return true;
    };
    const first = importIt(one).then(() => (isFirstDone = true));
    const second = importIt(two, never, (p) => {
      if (!isFirstDone) waiting.push(p);
    });
    await Promise.all([first, second]);
    expect(fetched().sort()).toEqual(shard.manifest.parts.map((part) => part.file).sort());
    expect(waiting.some((p) => p.phase === 'downloading' && p.total !== null)).toBe(true);
    expect(await one.store.corpora()).toHaveLength(1);
  });

  it('S7: the library of the other tab lists the import and its end', async () => {
    serve(shard);
    const [one, two] = [openTab(), openTab()];
    const library = two.library();
    const stop = new AbortController();
    const states: string[] = [];
    const watching = (async () => {
      for await (const snapshot of library.watch(stop.signal)) {
        states.push(snapshot.corpora[0]?.state ?? 'none');
        if (states.at(-1) === 'complete') stop.abort();
      }
    })().catch((error: unknown) => {
      if (!stop.signal.aborted) throw error;
    });
    await one.library().importShard(url(), never, () => {});
    await watching;
    expect(states.at(-1)).toBe('complete');
    expect((await library.search({ text: 'railway', k: 1 }, null, never)).hits).toHaveLength(1);
  });

  it('S8: two different shards wait for each other and both come in', async () => {
    serve(shard);
    server.put('/shards/other/', (await buildShardFixture({ id: 'other' })).files);
    const locks = sharedLocks();
    const [one, two] = [openTab(locks), openTab(locks)];
    await Promise.all([importIt(one), importShard(`${server.origin}/shards/other/`, two, never, () => {})]);
    expect((await one.store.corpora()).map(({ id, state }) => [id, state])).toEqual([['toy', 'complete'], ['other', 'complete']]);
  });

  it('a shard deleted in one tab while the other imports it stays deleted', async () => {
    serve(shard);
    const [one, two] = [openTab(), openTab()];
    let deleted: Promise<void> | null = null;
    server.fault = (seen, response, file) => {
      if (!seen.path.includes('vectors-0000')) return false;
      deleted ??= two.store.deleteCorpus('toy');
      void deleted.then(() => response.writeHead(200).end(file?.bytes));
      return true;
    };
    await expect(importIt(one)).rejects.toMatchObject({ code: 'shard/not-found' });
    expect(await two.store.corpora()).toEqual([]);
    expect(await two.store.parts('toy', '')).toEqual([]);
  });

  it('S11: a search that runs while its shard is deleted ends without hits that are gone', async () => {
    serve(shard);
    const tab = openTab();
    const library = tab.library();
    await library.importShard(url(), never, () => {});
    await tab.store.deleteCorpus('toy'); // the texts are gone, the index is still open
    const found = await library.search({ text: 'railway', k: 5 }, null, never);
    expect(found.hits).toEqual([]);
    await library.deleteCorpus('toy');
    expect((await library.snapshot()).corpora).toEqual([]);
    expect(await library.passage('toy/place-0#1')).toBeNull();
  });
});
