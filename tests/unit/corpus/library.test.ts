import { describe, expect, it } from 'vitest';
import { createTabChannel } from '../../../src/corpus/import.ts';
import { createLibrary } from '../../../src/corpus/library.ts';
import type { Library } from '../../../src/corpus/library.ts';
import { createStore } from '../../../src/corpus/store.ts';
import type { LibrarySnapshot } from '../../../src/corpus/worker-api.ts';
import { testNet } from '../../fixtures/server.ts';
import { toyVector } from '../../fixtures/shard.ts';
import { freshFactory, openTestStore } from '../../fixtures/storage.ts';

const never = new AbortController().signal;
const file = (name: string, content: string): File => new File([content], name);
const find = async (library: Library, text: string, k = 5) => (await library.search({ text, k }, null, never)).hits;

function open(factory: IDBFactory = freshFactory()): Library {
  const { store } = openTestStore(factory);
  return createLibrary({ store, net: testNet('https://example.org'), locks: null, channel: createTabChannel(null) });
}

/** Embeds everything that waits, as the page does. */
async function embedAll(library: Library, embedder: string, dimensions: number, limit: number): Promise<number> {
  for (let rounds = 0; ; rounds++) {
    const batch = await library.nextUnembedded(embedder, dimensions, limit);
    if (batch === null) return rounds;
    const values = new Float32Array(batch.texts.flatMap((text) => toyVector(text, dimensions)));
    await library.storeVectors({ document: batch.document, first: batch.first, embedder, dimensions, values });
  }
}

const long = (topic: string, sentences: number): string => Array.from({ length: sentences }, (_, i) => `Sentence ${i} tells about ${topic} at length and in detail.`).join(' ');

describe('own documents', () => {
  it('are found by words at once, cited with their file, and after a restart', async () => {
    const factory = freshFactory();
    const library = open(factory);
    const added = await library.addDocuments([file('kiln notes.txt', 'The kiln at Aldmoor burned peat.'), file('mill.md', '# The mill\n\nIts wheel was oak.')], never, () => {});
    expect(added).toEqual([{ name: 'kiln notes.txt', id: 'kiln notes.txt', error: null }, { name: 'mill.md', id: 'mill.md', error: null }]);
    for (const session of [library, open(factory)]) {
      const [hit] = await find(session, 'peat');
      expect(hit?.passage).toMatchObject({ id: 'own/kiln notes.txt', corpus: 'own', docId: 'kiln notes.txt', title: 'kiln notes', text: 'The kiln at Aldmoor burned peat.' });
      expect((await find(session, 'oak wheel'))[0]?.passage).toMatchObject({ title: 'The mill', section: 'The mill' });
      expect(await session.passage('own/kiln notes.txt')).toEqual(hit?.passage);
      expect((await session.snapshot()).corpora).toMatchObject([{ id: 'own', kind: 'own', state: 'complete', documents: 2, passages: 2, embedded: 0, embedder: null }]);
    }
  });

  it('whose word index is of an older version are indexed anew from their passages, once', async () => {
    const factory = freshFactory();
    const text = long('slate', 120);
    await open(factory).addDocuments([file('a.txt', text), file('b.txt', 'Peat.')], never, () => {});
    const { store } = openTestStore(factory);
    const place = { id: 'own', digest: 'a.txt', file: 'lexical.bin', block: 0 };
    const [fresh] = await store.blocks([place]);
    const part = (await store.parts('own', 'a.txt')).find(({ file: name }) => name === 'lexical.bin');
    if (fresh === null || fresh === undefined || part === undefined) throw new Error('no index');
    const old = fresh.slice();
    old[4] = 1;
    await store.replaceDocumentPart('a.txt', part, [old]);
    for (let session = 0; session < 2; session++) {
      const library = open(factory);
      expect((await find(library, 'slate', 50)).length).toBe((await library.snapshot()).documents[0]?.passages);
      expect((await find(library, 'peat')).length).toBe(1);
      expect((await store.blocks([place]))[0]).toEqual(fresh);
    }
    await store.replaceDocumentPart('gone.txt', part, [old]);
    expect(await store.parts('own', 'gone.txt')).toEqual([]);
  });

  it('gives every passage of a long document by its id', async () => {
    const library = open();
    await library.addDocuments([file('a #1 50%.txt', long('slate', 120))], never, () => {});
    const { documents } = await library.snapshot();
    expect(documents[0]).toMatchObject({ id: 'a 1 50%.txt', name: 'a #1 50%.txt' });
    expect(documents[0]?.passages).toBeGreaterThan(3);
    const hits = await find(library, 'slate', 50);
    expect(hits).toHaveLength(documents[0]?.passages ?? 0);
    for (const { passage } of hits) expect(await library.passage(passage.id)).toEqual(passage);
    expect(await library.passage('own/a 1 50%.txt#99')).toBeNull();
    expect(await library.passage('own/nothing.txt')).toBeNull();
    expect(await library.passage('nonsense')).toBeNull();
  });

  it('tell the passages before and after one, and null for what is gone', async () => {
    const library = open();
    await library.addDocuments([file('a.txt', long('slate', 120)), file('b.txt', 'Peat.')], never, () => {});
    const ref = (n: number) => ({ id: `own/a.txt#${n}`, title: 'a', section: '' });
    expect(await library.neighbours('own/a.txt#1')).toMatchObject({ previous: null, next: ref(2) });
    expect(await library.neighbours('own/a.txt#2')).toMatchObject({ out: [], in: [], previous: ref(1), next: ref(3) });
    const last = (await library.snapshot()).documents[0]?.passages ?? 0;
    expect(await library.neighbours(`own/a.txt#${last}`)).toMatchObject({ previous: ref(last - 1), next: null });
    expect(await library.neighbours('own/b.txt')).toMatchObject({ previous: null, next: null });
    expect(await library.neighbours('own/b.txt#2')).toBeNull();
  });

  it('link to each other by their titles, also after a restart, and no longer when one is deleted', async () => {
    const factory = freshFactory();
    const library = open(factory);
    await library.addDocuments([file('Aldmoor Kiln.txt', 'It burned peat from the fen.'), file('visit.txt', 'The potter praised Aldmoor Kiln.')], never, () => {});
    const kiln = { id: 'own/Aldmoor Kiln.txt', title: 'Aldmoor Kiln', section: '' };
    for (const session of [library, open(factory)]) {
      await session.settled();
      expect(await session.neighbours('own/visit.txt')).toMatchObject({ out: [kiln], in: [] });
      expect(await session.neighbours(kiln.id)).toMatchObject({ out: [], in: [{ id: 'own/visit.txt' }] });
      expect((await find(session, 'whom did the potter praise')).map((hit) => hit.passage.title)).toEqual(['visit', 'Aldmoor Kiln']);
    }
    await library.deleteDocument('visit.txt');
    await library.settled();
    expect(await library.neighbours(kiln.id)).toMatchObject({ out: [], in: [] });
  });

  it('one bad file does not stop the others', async () => {
    const library = open();
    const added = await library.addDocuments([file('a.txt', 'Slate.'), file('b.exe', 'x'), file('c.txt', ''), file('d.pdf', 'hello'), file('e.txt', 'Peat.')], never, () => {});
    expect(added.map(({ error }) => (error?.kind === 'app' ? error.code : null))).toEqual([null, 'document/unsupported', 'document/empty', 'document/unreadable', null]);
    expect((await library.snapshot()).documents.map((d) => d.id)).toEqual(['a.txt', 'e.txt']);
  });

  it('takes the same file once, and another file of the same name beside it', async () => {
    const library = open();
    const ids = async (content: string) => (await library.addDocuments([file('a.txt', content)], never, () => {}))[0]?.id;
    expect([await ids('Slate.'), await ids('Slate.'), await ids('Peat.')]).toEqual(['a.txt', 'a.txt', 'a (2).txt']);
    expect((await find(library, 'peat'))[0]?.passage.docId).toBe('a (2).txt');
  });

  it('leave no trace when they are deleted, one by one or together', async () => {
    const factory = freshFactory();
    const library = open(factory);
    await library.addDocuments(['one', 'two', 'three'].map((name) => file(`${name}.txt`, `Slate in ${name}.`)), never, () => {});
    await embedAll(library, 'toy', 8, 10);
    await library.deleteDocument('two.txt');
    for (const session of [library, open(factory)]) {
      expect((await find(session, 'slate')).map((hit) => hit.passage.docId).sort()).toEqual(['one.txt', 'three.txt']);
      expect(await session.passage('own/two.txt')).toBeNull();
    }
    await expect(library.deleteDocument('two.txt')).rejects.toMatchObject({ code: 'document/not-found' });
    await library.deleteCorpus('own');
    expect(await library.snapshot()).toEqual({ corpora: [], documents: [], notice: null });
    expect(await find(library, 'slate')).toEqual([]);
    await expect(library.deleteCorpus('nothing')).rejects.toMatchObject({ code: 'shard/not-found' });
  });

  it('tell how many passages have a term, and complete a question with their titles', async () => {
    const library = open();
    expect(await library.frequencies(['slate'])).toEqual({ passages: 0, documents: [0] });
    expect(await library.complete('How did the ki', 5)).toEqual([]);
    await library.addDocuments([file('kiln notes.txt', 'Slate kilns. Slate again.'), file('mill.txt', 'The mill ground slate.')], never, () => {});
    expect(await library.frequencies(['Slates', 'kiln', 'slate mill', 'peat', 'the', '?'])).toEqual({ passages: 2, documents: [2, 1, 1, 0, 1, 0] });
    expect(await library.complete('How did the ki', 5)).toEqual(['kiln notes']);
    await library.deleteDocument('kiln notes.txt');
    expect(await library.frequencies(['slate'])).toEqual({ passages: 1, documents: [1] });
    expect(await library.complete('How did the ki', 5)).toEqual([]);
  });

  it('work in memory where nothing can be stored', async () => {
    const library: Library = createLibrary({
      store: createStore({ indexedDB: null, onNotice: (notice) => library.noticed(notice) }),
      net: testNet('https://example.org'),
      locks: null,
      channel: createTabChannel(null),
    });
    await library.addDocuments([file('a.txt', 'Slate.')], never, () => {});
    expect((await find(library, 'slate'))[0]?.passage.docId).toBe('a.txt');
    expect((await library.snapshot()).notice).toBe('memory-only');
  });

  it('stop being added when told to, and keep those that are done', async () => {
    const library = open();
    const stop = new AbortController();
    const adding = library.addDocuments([file('a.txt', 'Slate.'), file('b.txt', 'Peat.')], stop.signal, (p) => {
      if (p.item === 'b.txt') stop.abort();
    });
    await expect(adding).rejects.toMatchObject({ name: 'AbortError' });
    expect((await library.snapshot()).documents.map((d) => d.id)).toEqual(['a.txt']);
  });
});

describe('embedding in the background', () => {
  it('hands out every passage once, in batches, and finds by meaning as it goes', async () => {
    const factory = freshFactory();
    const library = open(factory);
    await library.addDocuments([file('a.txt', long('slate', 200)), file('b.txt', 'Peat burns.')], never, () => {});
    const total = (await library.snapshot()).corpora[0]?.passages ?? 0;
    const first = await library.nextUnembedded('toy', 8, 4);
    expect(first).toMatchObject({ document: 'a.txt', first: 0, left: total });
    expect(first?.texts[0]).toMatch(/^a\nSentence 0 /);
    expect(await embedAll(library, 'toy', 8, 4)).toBe(Math.ceil((total - 1) / 4) + 1);
    for (const session of [library, open(factory)]) {
      const { corpora, documents } = await session.snapshot();
      expect(corpora[0]).toMatchObject({ embedded: total, embedder: 'toy' });
      expect(documents.every((d) => d.embedded === d.passages)).toBe(true);
      const query = { embedder: 'toy', values: new Float32Array(toyVector('b\nPeat burns.', 8)) };
      const found = await session.search({ text: 'zzz', k: 1 }, query, never);
      expect(found.usedDense).toBe(true);
      expect(found.hits[0]?.passage.docId).toBe('b.txt');
      expect((await session.search({ text: 'zzz', k: 1 }, { ...query, embedder: 'other' }, never)).usedDense).toBe(false);
      expect((await session.search({ text: 'zzz', k: 1 }, { ...query, values: new Float32Array(9) }, never)).usedDense).toBe(false);
    }
  });

  it('goes on after a restart where it stopped', async () => {
    const factory = freshFactory();
    const one = open(factory);
    await one.addDocuments([file('a.txt', long('slate', 200))], never, () => {});
    const batch = await one.nextUnembedded('toy', 8, 5);
    await one.storeVectors({ document: 'a.txt', first: 0, embedder: 'toy', dimensions: 8, values: new Float32Array((batch?.texts ?? []).flatMap((t) => toyVector(t, 8))) });
    expect(await open(factory).nextUnembedded('toy', 8, 5)).toMatchObject({ first: 5 });
  });

  it('starts over for another embedder, whose vectors take the place of the old ones', async () => {
    const library = open();
    await library.addDocuments([file('a.txt', long('slate', 100))], never, () => {});
    await embedAll(library, 'toy', 8, 3);
    expect(await library.nextUnembedded('toy', 8, 3)).toBeNull();
    expect(await library.nextUnembedded('other', 4, 3)).toMatchObject({ first: 0 });
    await embedAll(library, 'other', 4, 3);
    const { corpora } = await library.snapshot();
    expect(corpora[0]).toMatchObject({ embedder: 'other', embedded: corpora[0]?.passages });
    expect(await library.nextUnembedded('toy', 8, 3)).toMatchObject({ first: 0 });
  });

  it('drops what comes late, and refuses numbers that are not finite', async () => {
    const library = open();
    await library.addDocuments([file('a.txt', long('slate', 100))], never, () => {});
    const batch = (document: string, first: number, values: Float32Array) => library.storeVectors({ document, first, embedder: 'toy', dimensions: 8, values });
    await batch('gone.txt', 0, new Float32Array(8).fill(0.5));
    await batch('a.txt', 3, new Float32Array(8).fill(0.5)); // not the next one
    await expect(batch('a.txt', 0, new Float32Array(8).fill(Number.NaN))).rejects.toMatchObject({ code: 'engine/not-finite' });
    await expect(batch('a.txt', 0, new Float32Array(7))).rejects.toMatchObject({ code: 'engine/protocol' });
    expect((await library.snapshot()).documents[0]?.embedded).toBe(0);
  });

  it('two sessions that embed at the same time end with each passage once', async () => {
    const factory = freshFactory();
    const [one, two] = [open(factory), open(factory)];
    await one.addDocuments([file('a.txt', long('slate', 150))], never, () => {});
    await Promise.all([embedAll(one, 'toy', 8, 3), embedAll(two, 'toy', 8, 5)]);
    const { documents } = await open(factory).snapshot();
    expect(documents[0]?.embedded).toBe(documents[0]?.passages);
  });
});

describe('watching', () => {
  it('tells the state at once and after each change, until it is stopped', async () => {
    const library = open();
    const stop = new AbortController();
    const seen: LibrarySnapshot[] = [];
    const watching = (async () => {
      for await (const snapshot of library.watch(stop.signal)) {
        seen.push(snapshot);
        if (snapshot.documents.length === 1) stop.abort();
      }
    })().then(() => null, (error: unknown) => error);
    await library.addDocuments([file('a.txt', 'Slate.')], never, () => {});
    expect(await watching).toMatchObject({ name: 'AbortError' });
    expect(seen[0]).toEqual({ corpora: [], documents: [], notice: null });
    expect(seen.at(-1)?.documents.map((d) => d.id)).toEqual(['a.txt']);
  });
});
