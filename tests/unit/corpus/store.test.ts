import { afterEach, describe, expect, it } from 'vitest';
import { createStore } from '../../../src/corpus/store.ts';
import type { FileRow, PartRow, Store, VectorRow } from '../../../src/corpus/store.ts';
import { freshFactory, limitQuota, openTestStore } from '../../fixtures/storage.ts';

const part = (file: string, sizes: readonly number[] = [10]): PartRow => ({
  file,
  kind: 'passages',
  first: 0,
  count: sizes.length,
  blocks: sizes.map((_, i) => ({ first: i, count: 1 })),
  bytes: sizes.reduce((sum, size) => sum + size, 0),
});
const bytesOf = (size: number, fill = 1): Uint8Array<ArrayBuffer> => new Uint8Array(size).fill(fill);
const shard = (id: string, digest: string) => ({ id, digest, url: 'https://example.org/s/', manifest: '{}' });
const document = (id: string) => ({ id, name: id, title: id, type: 'text' as const, sha256: id, bytes: 1, pages: null, passages: 3 });
const file = (path: string, change: Partial<FileRow> = {}): FileRow => ({
  model: 'm', path, bytes: 6, received: 0, parts: 0, sha256: null, etag: '"1"', source: 'https://example.org/', complete: false, ...change,
});

const quotas: { restore(): void }[] = [];
afterEach(() => {
  for (const quota of quotas.splice(0)) quota.restore();
});

/** The same promises hold with and without a browser's storage. */
const kinds: readonly [string, () => Store][] = [
  ['IndexedDB', () => openTestStore().store],
  ['memory', () => createStore({ indexedDB: null })],
];

describe.each(kinds)('store in %s', (_kind, open) => {
  it('keeps an import partial until its last transaction', async () => {
    const store = open();
    await store.beginImport(shard('a', 'v1'));
    await store.putPart('a', 'v1', part('p.bin', [2, 3]), [bytesOf(2, 7), bytesOf(3, 8)]);
    expect(await store.corpora()).toMatchObject([{ id: 'a', digest: 'v1', state: 'partial' }]);
    await store.completeImport('a', 'v1');
    expect(await store.corpora()).toMatchObject([{ id: 'a', digest: 'v1', state: 'complete' }]);
    expect(await store.parts('a', 'v1')).toEqual([part('p.bin', [2, 3])]);
    const place = { id: 'a', digest: 'v1', file: 'p.bin' };
    expect(await store.blocks([{ ...place, block: 1 }, { ...place, block: 2 }, { ...place, block: 0 }])).toEqual([bytesOf(3, 8), null, bytesOf(2, 7)]);
  });

  it('replaces a complete version only when the new one is complete', async () => {
    const store = open();
    for (const digest of ['v1', 'v2', 'v3']) {
      await store.beginImport(shard('a', digest));
      await store.putPart('a', digest, part('p.bin'), [bytesOf(1)]);
      if (digest === 'v1') await store.completeImport('a', digest);
    }
    // v2 was never finished: v3 took its place, v1 is still searchable.
    expect((await store.corpora()).map(({ digest, state }) => [digest, state])).toEqual([['v1', 'complete'], ['v3', 'partial']]);
    expect(await store.parts('a', 'v2')).toEqual([]);
    await store.completeImport('a', 'v3');
    expect((await store.corpora()).map(({ digest, state }) => [digest, state])).toEqual([['v3', 'complete']]);
    expect(await store.parts('a', 'v1')).toEqual([]);
    expect(await store.blocks([{ id: 'a', digest: 'v1', file: 'p.bin', block: 0 }])).toEqual([null]);
  });

  it('deletes one shard whole and no other whose id begins alike', async () => {
    const store = open();
    for (const id of ['a', 'a-b', 'ab']) {
      await store.beginImport(shard(id, 'v'));
      await store.putPart(id, 'v', part('p.bin'), [bytesOf(1)]);
    }
    await store.deleteCorpus('a');
    expect((await store.corpora()).map((row) => row.id)).toEqual(['a-b', 'ab']);
    expect(await store.parts('a', 'v')).toEqual([]);
    expect(await store.blocks(['a', 'a-b', 'ab'].map((id) => ({ id, digest: 'v', file: 'p.bin', block: 0 })))).toEqual([null, bytesOf(1), bytesOf(1)]);
  });

  it('refuses a part of an import that was deleted meanwhile, and keeps nothing of it', async () => {
    const store = open();
    await store.beginImport(shard('a', 'v'));
    await store.deleteCorpus('a');
    await expect(store.putPart('a', 'v', part('p.bin'), [bytesOf(1)])).rejects.toMatchObject({ code: 'shard/not-found' });
    expect(await store.parts('a', 'v')).toEqual([]);
  });

  it('stores a block that is a view without the buffer behind it', async () => {
    const store = open();
    await store.beginImport(shard('a', 'v'));
    await store.putPart('a', 'v', part('p.bin', [4]), [bytesOf(1000).subarray(8, 12)]);
    const [block] = await store.blocks([{ id: 'a', digest: 'v', file: 'p.bin', block: 0 }]);
    expect(block?.buffer.byteLength).toBe(4);
  });

  it('adds and removes own documents with everything that belongs to them', async () => {
    const store = open();
    const parts = [{ part: part('passages.bin'), blocks: [bytesOf(4)] }];
    await store.addDocument(document('one'), parts);
    await store.addDocument(document('two'), parts);
    const row: VectorRow = { document: 'one', embedder: 'e', dimensions: 2, first: 0, count: 1, bytes: bytesOf(3) };
    expect(await store.replaceVectors(row, [])).toBe(true);
    expect((await store.documents()).map((d) => d.id)).toEqual(['one', 'two']);
    await store.deleteDocument('one');
    expect((await store.documents()).map((d) => d.id)).toEqual(['two']);
    expect(await store.vectors('one')).toEqual([]);
    expect(await store.parts('own', 'one')).toEqual([]);
    expect(await store.parts('own', 'two')).toHaveLength(1);
    expect(await store.replaceVectors(row, [])).toBe(false);
  });

  it('rolls a transaction back whole when something in it fails', async () => {
    const store = open();
    const broken = { part: part('p.bin'), blocks: [null as unknown as Uint8Array] };
    await expect(store.addDocument(document('one'), [{ part: part('q.bin'), blocks: [bytesOf(1)] }, broken])).rejects.toThrow(TypeError);
    expect(await store.documents()).toEqual([]);
    expect(await store.parts('own', 'one')).toEqual([]);
    await store.addDocument(document('one'), []);
    expect(await store.documents()).toHaveLength(1);
  });

  it('takes vectors only on the state they were made for', async () => {
    const store = open();
    await store.addDocument(document('one'), []);
    const row = (first: number, count: number, embedder = 'e'): VectorRow => ({ document: 'one', embedder, dimensions: 2, first, count, bytes: bytesOf(count) });
    expect(await store.replaceVectors(row(0, 1), [])).toBe(true);
    expect(await store.replaceVectors(row(0, 2), [])).toBe(false); // another tab was faster
    expect(await store.replaceVectors(row(0, 2), [row(0, 1)])).toBe(true); // joined with what was there
    expect(await store.replaceVectors(row(2, 1), [row(0, 2)])).toBe(true);
    expect((await store.vectors('one')).map(({ first, count }) => [first, count])).toEqual([[0, 2], [2, 1]]);
    expect(await store.replaceVectors(row(0, 3, 'other'), [row(0, 2), row(2, 1)])).toBe(true);
    expect((await store.vectors('one')).map(({ embedder, count }) => [embedder, count])).toEqual([['other', 3]]);
  });

  it('appends file parts in order and gives them back as one', async () => {
    const store = open();
    await store.beginFile(file('w.bin'));
    await store.appendFile(file('w.bin', { received: 3, parts: 1 }), new Blob([bytesOf(3, 1)]));
    await store.appendFile(file('w.bin', { received: 6, parts: 2 }), new Blob([bytesOf(3, 2)]));
    await expect(store.appendFile(file('w.bin', { received: 9, parts: 2 }), new Blob([bytesOf(3)]))).rejects.toMatchObject({ code: 'download/network' });
    await store.completeFile(file('w.bin', { received: 6, parts: 2 }));
    expect(await store.file('m', 'w.bin')).toMatchObject({ complete: true, received: 6 });
    const parts = await store.fileParts('m', 'w.bin');
    expect(new Uint8Array(await new Blob([...parts]).arrayBuffer())).toEqual(new Uint8Array([1, 1, 1, 2, 2, 2]));
    await store.deleteModel('m');
    expect(await store.files()).toEqual([]);
    expect(await store.fileParts('m', 'w.bin')).toEqual([]);
  });

  it('keeps runs in the order they began, appends batches and skips what it has', async () => {
    const store = open();
    const event = (runId: string, seq: number) => ({ runId, seq, kind: 'x', extra: { deep: [seq] } });
    await store.appendRun({ id: 'r1', startedAt: 50, label: 'one' }, [event('r1', 0), event('r1', 1)]);
    await store.appendRun({ id: 'r2', startedAt: 10, label: 'two' }, [event('r2', 0)]);
    await store.appendRun({ id: 'r1', startedAt: 99, label: 'ignored' }, [event('r1', 1), event('r1', 4)]);
    await expect(store.appendRun({ id: 'r1', startedAt: 0, label: '' }, [event('r1', 9), event('r1', 8)])).rejects.toMatchObject({ code: 'engine/protocol' });
    await expect(store.appendRun({ id: 'r1', startedAt: 0, label: '' }, [event('r2', 9)])).rejects.toMatchObject({ code: 'engine/protocol' });
    expect((await store.runs()).map(({ id, label, startedAt, events }) => [id, label, startedAt, events])).toEqual([['r2', 'two', 10, 1], ['r1', 'one', 50, 3]]);
    expect(await store.run('r1')).toEqual([event('r1', 0), event('r1', 1), event('r1', 4)]);
    await store.saveCall('r1', 'k', { kind: 'generate' });
    await store.saveCall('r1', 'k', { kind: 'score' });
    expect(await store.calls('r1')).toEqual([{ key: 'k', call: { kind: 'score' } }]);
    await store.deleteRun('r1');
    expect(await store.calls('r1')).toEqual([]);
    expect(await store.run('r1')).toBeNull();
    expect(await store.run('r2')).toHaveLength(1);
  });

  it('keeps settings apart by name', async () => {
    const store = open();
    await store.saveSetting('theme', { dark: true });
    expect(await store.setting('theme')).toEqual({ dark: true });
    expect(await store.setting('them')).toBeUndefined();
    await expect(store.saveSetting('bad', () => 1)).rejects.toMatchObject({ name: 'DataCloneError' });
    expect(await store.setting('theme')).toEqual({ dark: true });
  });
});

describe('finished calls', () => {
  it('stay with the newest runs only', async () => {
    const { store } = openTestStore();
    for (let n = 1; n <= 22; n++) {
      await store.appendRun({ id: `r${n}`, startedAt: n, label: '' }, [{ runId: `r${n}`, seq: 0, kind: 'runStarted' }]);
      await store.saveCall(`r${n}`, 'k', n);
    }
    const left = await Promise.all(Array.from({ length: 22 }, async (_, i) => (await store.calls(`r${i + 1}`)).length));
    expect(left).toEqual([0, 0, ...Array.from({ length: 20 }, () => 1)]);
    expect(await store.run('r1')).toHaveLength(1);
  });
});

describe('store and its connection', () => {
  it('S12: works in memory and says so where the browser stores nothing', async () => {
    const notices: unknown[] = [];
    const blocked = { open: () => { throw new DOMException('denied', 'SecurityError'); } } as unknown as IDBFactory;
    const store = createStore({ indexedDB: blocked, onNotice: (notice) => notices.push(notice) });
    expect(await store.available()).toBe(false);
    await store.saveSetting('a', 1);
    expect(await store.setting('a')).toBe(1);
    expect(notices).toEqual(['memory-only']);
  });

  it('S10: refuses a library of a newer version and changes nothing in it', async () => {
    const { factory, store } = openTestStore(freshFactory(), 7);
    await store.saveSetting('a', 1);
    await store.close();
    const old = openTestStore(factory, 6);
    await expect(old.store.setting('a')).rejects.toMatchObject({ code: 'storage/newer' });
    await expect(old.store.saveSetting('a', 2)).rejects.toMatchObject({ code: 'storage/newer' });
    expect(old.notices).toContain('newer');
    expect(await openTestStore(factory, 7).store.setting('a')).toBe(1);
  });

  it('S9: lets a newer tab upgrade, then stops reading and writing', async () => {
    const old = openTestStore(freshFactory(), 1);
    await old.store.saveSetting('a', 1);
    const newer = openTestStore(old.factory, 2);
    expect(await newer.store.setting('a')).toBe(1);
    expect(old.notices.at(-1)).toBe('newer');
    await expect(old.store.saveSetting('a', 2)).rejects.toMatchObject({ code: 'storage/newer' });
    expect(await newer.store.setting('a')).toBe(1);
  });

  it('S5: after a deletion from outside it starts empty, says so and goes on', async () => {
    const { store, factory, notices } = openTestStore();
    await store.saveSetting('a', 1);
    await new Promise((resolve, reject) => {
      const request = factory.deleteDatabase('foray');
      request.onsuccess = resolve;
      request.onerror = reject;
    });
    expect(await store.setting('a')).toBeUndefined();
    expect(notices.at(-1)).toBe('cleared');
    await store.saveSetting('a', 3);
    expect(await store.setting('a')).toBe(3);
  });

  it('S6: opens a lost connection again once and repeats the call', async () => {
    const factory = freshFactory();
    const opened: IDBDatabase[] = [];
    const spy = new Proxy(factory, {
      get(target, key) {
        if (key !== 'open') return Reflect.get(target, key) as unknown;
        return (...args: Parameters<IDBFactory['open']>) => {
          const request = target.open(...args);
          request.addEventListener('success', () => opened.push(request.result));
          return request;
        };
      },
    });
    const { store } = openTestStore(spy);
    await store.saveSetting('a', 1);
    opened.at(-1)?.close(); // transaction() now throws InvalidStateError
    expect(await store.setting('a')).toBe(1);
    expect(opened).toHaveLength(2);
  });

  it('S1: a full store rejects with its size, keeps what was finished and drops the open part whole', async () => {
    const { store } = openTestStore();
    await store.beginImport(shard('a', 'v'));
    await store.putPart('a', 'v', part('p0.bin', [100_000]), [bytesOf(100_000)]);
    quotas.push(limitQuota(1_500_000));
    const big = part('p1.bin', [1_000_000, 1_000_000]);
    await expect(store.putPart('a', 'v', big, [bytesOf(1_000_000), bytesOf(1_000_000)])).rejects.toMatchObject({
      code: 'storage/quota',
      detail: { neededMB: 2, what: 'a: p1.bin' },
    });
    for (const quota of quotas.splice(0)) quota.restore();
    expect((await store.parts('a', 'v')).map((row) => row.file)).toEqual(['p0.bin']);
    expect(await store.blocks([{ id: 'a', digest: 'v', file: 'p1.bin', block: 0 }])).toEqual([null]);
    await store.putPart('a', 'v', big, [bytesOf(1_000_000), bytesOf(1_000_000)]);
    expect(await store.parts('a', 'v')).toHaveLength(2);
  });

  it('counts rows that cannot be decoded as absent', async () => {
    const { store, factory } = openTestStore();
    await store.beginImport(shard('a', 'v'));
    await store.beginImport(shard('b', 'v'));
    const db = await new Promise<IDBDatabase>((resolve, reject) => {
      const request = factory.open('foray');
      request.onsuccess = () => resolve(request.result);
      request.onerror = reject;
    });
    const tx = db.transaction(['corpora', 'blocks'], 'readwrite');
    tx.objectStore('corpora').put({ id: 'b', state: 'finished' }, ['b', 'v']);
    tx.objectStore('blocks').put('text', ['a', 'v', 'p.bin', 0]);
    await new Promise((resolve) => (tx.oncomplete = resolve));
    db.close();
    expect((await store.corpora()).map((row) => row.id)).toEqual(['a']);
    expect(await store.blocks([{ id: 'a', digest: 'v', file: 'p.bin', block: 0 }])).toEqual([null]);
  });
});
