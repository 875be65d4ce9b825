import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, test } from 'vitest';
import { createLexicalBuilder } from '../../../src/corpus/lexical-builder.ts';
import { openLexicalSegment } from '../../../src/corpus/lexical.ts';
import { createMentionMatcher, encodeLinks, encodeTitles, openLinks, openTitles } from '../../../src/corpus/links.ts';
import { chunkDocument, toPassage, type PassageRow } from '../../../src/corpus/passages.ts';
import type { Passage, SearchRequest } from '../../../src/corpus/retriever.ts';
import type { RankWeights } from '../../../src/corpus/rank.ts';
import { documentSource, search, searchMany, type AskedSearch, type SearchContext, type SearchSource } from '../../../src/corpus/search.ts';
import { decodePassageBlock, parseManifest, readPassageDirectory } from '../../../src/corpus/shard.ts';
import { kernelBatches } from '../../../src/corpus/kernel/batch.ts';
import { scalarKernel } from '../../../src/corpus/kernel/kernel.ts';
import { vectorSetOf } from '../../../src/corpus/vector-set.ts';
import { openVectorSegment, quantise, vectorSegment } from '../../../src/corpus/vectors.ts';

interface Library {
  readonly sources: SearchSource[];
  readonly rows: Map<string, PassageRow[]>;
}

/** Links by title mention, one lexical segment. */
function sourceOf(key: string, articles: readonly (readonly [title: string, ...texts: string[]])[]): { source: SearchSource; rows: PassageRow[] } {
  const documents = articles.map(([title, ...texts]) => chunkDocument({ docId: title, title, sections: texts.map((text, i) => ({ heading: '', text, page: i + 1 })) }));
  const rows = documents.flat();
  const words = createLexicalBuilder();
  for (const r of rows) words.add(r);
  let first = 0;
  const titles = documents.map((d) => {
    const row = { docId: d[0]?.docId ?? '', title: d[0]?.title ?? '', first, passages: d.length, aliases: [] };
    first += d.length;
    return row;
  });
  const matcher = createMentionMatcher(titles.map((t) => t.title));
  const links = documents.flatMap((d, own) => d.map((r) => matcher.documentsIn(r.text).filter((x) => x !== own)));
  const source: SearchSource = {
    key,
    corpus: key,
    titles: openTitles([{ bytes: encodeTitles(titles, 0), name: 't' }]),
    lexical: [openLexicalSegment(words.finish(), 'l')],
    vectors: [],
    links: openLinks([{ bytes: encodeLinks(links), name: 'k' }], rows.length, titles.length),
  };
  return { source, rows };
}

function contextOf(library: Library, change: Partial<SearchContext> = {}): SearchContext {
  return {
    vector: null,
    fetchPassages: (wanted) =>
      Promise.resolve(
        wanted.map(({ source, ordinal }): Passage | null => {
          const row = library.rows.get(source.key)?.[ordinal];
          return row === undefined ? null : toPassage(row, source.corpus);
        }),
      ),
    now: () => 0,
    signal: new AbortController().signal,
    ...change,
  };
}

const film = sourceOf('films', [
  ['Silver Tide', 'Silver Tide is a film that was directed by Ora Lind and shown in 1961.'],
  ['Ora Lind', 'Ora Lind grew up in Halden and made her first pictures there.', 'Late in life she taught at a school for sailors.'],
  ['Halden', 'Halden is a harbour town with an old fortress on a hill.'],
  ['Green Tide', 'Green Tide is a song about the sea.'],
]);
const town = sourceOf('towns', [['Oslo', 'Oslo has a fortress by the harbour.'], ['Bergen', 'Bergen lies between hills.']]);
const library: Library = { sources: [film.source, town.source], rows: new Map([['films', film.rows], ['towns', town.rows]]) };
const run = (text: string, change: Partial<SearchRequest> = {}, context = contextOf(library)) => search({ text, k: 10, ...change }, library.sources, context);
const titlesOf = (result: Awaited<ReturnType<typeof search>>): string[] => result.hits.map((h) => h.passage.title);

describe('search', () => {
  test('finds by words, ranks from 1, marks terms and the best sentence', async () => {
    const result = await run('fortress on a hill', { links: false });
    expect(result.hits[0]).toMatchObject({ rank: 1, passage: { id: 'films/Halden' }, bestSentence: 0, paths: [{ kind: 'lexical', rank: 1 }] });
    expect(result.hits[0]?.highlights.map((s) => result.hits[0]?.passage.text.slice(s.start, s.end))).toEqual(['fortress', 'hill']);
    expect(result.hits.map((h) => h.rank)).toEqual(result.hits.map((_, i) => i + 1));
    expect(result.hits.map((h) => h.score)).toEqual(result.hits.map((h) => h.score).sort((a, b) => b - a));
    expect(result).toMatchObject({ searched: 7, usedDense: false });
  });

  test('passages with the quoted words go first; if none has them they are words like others', async () => {
    const hits = (await run('film or song or harbour "late in life she"', { k: 2 })).hits;
    expect(hits[0]?.passage.id).toBe('films/Ora Lind#2');
    expect(hits).toHaveLength(2);
    expect(hits[0]?.score).toBeGreaterThanOrEqual(hits[1]?.score ?? 0);
    expect(titlesOf(await run('"harbour fortress"', { k: 3 }))).toEqual(titlesOf(await run('harbour fortress', { k: 3 })));
  });

  test('a phrase in a question brings two passages to the front; a query that is a phrase, all that have it', async () => {
    const { source, rows } = sourceOf('bells', [
      ...[1, 2, 3, 4].map((i) => [`Tower ${i}`, `Tower ${i} has a bell of iron and stands in a field.`] as const),
      ['Founder', 'The founder of the iron bell, the bell founder, lived here: a founder of bells.'],
    ]);
    const bells: Library = { sources: [source], rows: new Map([['bells', rows]]) };
    const titles = async (text: string): Promise<string[]> => titlesOf(await search({ text, k: 5, links: false }, bells.sources, contextOf(bells)));
    expect(await titles('Which founder made the "bell of iron"?')).toEqual(['Tower 1', 'Tower 2', 'Founder', 'Tower 3', 'Tower 4']);
    expect((await titles('founder bell iron'))[0]).toBe('Founder');
    expect((await titles('the "bell of iron"')).at(-1)).toBe('Founder');
  });

  test('a link brings what no word does, and says from where', async () => {
    const question = 'Who made the film shown in 1961?';
    expect(titlesOf(await run(question, { links: false }))).not.toContain('Halden');
    const result = await run(question);
    const director = result.hits.find((h) => h.passage.id === 'films/Ora Lind#1');
    expect(director?.paths).toContainEqual({ kind: 'link', from: 'films/Silver Tide', fromTitle: 'Silver Tide', direction: 'out' });
    const back = (await run('sailors school taught')).hits.find((h) => h.passage.title === 'Silver Tide');
    expect(back?.paths).toContainEqual({ kind: 'link', from: 'films/Ora Lind#2', fromTitle: 'Ora Lind', direction: 'in' });
  });

  test('a document named in the question is found by its title', async () => {
    const result = await run('What is Green Tide?');
    expect(result.hits[0]).toMatchObject({ passage: { title: 'Green Tide' } });
    expect(result.hits[0]?.paths).toContainEqual({ kind: 'title' });
    expect((await run('green song')).hits[0]?.paths.some((p) => p.kind === 'title')).toBe(false);
  });

  test('several corpora are searched with common statistics, or only those asked for', async () => {
    expect(titlesOf(await run('fortress harbour')).sort()).toEqual(expect.arrayContaining(['Halden', 'Oslo']));
    const only = await run('fortress harbour', { corpora: ['towns'] });
    expect(only.searched).toBe(2);
    expect(only.hits.every((h) => h.passage.corpus === 'towns')).toBe(true);
    expect((await run('fortress', { corpora: [] })).hits).toEqual([]);
  });

  test('a dropped source leaves no hits and no dangling ids', async () => {
    const rest = await search({ text: 'fortress harbour', k: 10 }, [town.source], contextOf(library));
    expect(rest.hits.map((h) => h.passage.id)).toEqual(['towns/Oslo']);
  });

  test('a passage that is gone is left out and the ranks close up', async () => {
    const gone = contextOf({ ...library, rows: new Map([['towns', town.rows]]) });
    const result = await run('fortress harbour', {}, gone);
    expect(result.hits.map((h) => [h.rank, h.passage.id])).toEqual([[1, 'towns/Oslo']]);
  });

  test.each(['', '   ', '😀', 'zzzzqqq', '\0', '"; DROP TABLE', '__proto__', '(', 'a'.repeat(100_000)])('a question that fits nothing gives no hits: %j', async (text) => {
    expect((await run(text.slice(0, 100_000))).hits).toEqual([]);
  });

  test('k bounds the hits', async () => {
    expect((await run('harbour fortress tide film', { k: 2 })).hits).toHaveLength(2);
    expect((await run('harbour', { k: 0 })).hits).toEqual([]);
  });

  test('is stopped before and after the texts are fetched', async () => {
    const stop = new AbortController();
    const fetched = contextOf(library, {
      signal: stop.signal,
      fetchPassages: (wanted) => {
        stop.abort();
        return Promise.resolve(wanted.map(() => null));
      },
    });
    await expect(run('harbour', {}, fetched)).rejects.toMatchObject({ name: 'AbortError' });
    await expect(run('harbour', {}, fetched)).rejects.toMatchObject({ name: 'AbortError' });
  });

  test('a hit that nearly repeats a better one says so and stays in the list', async () => {
    const text = 'The mill by the river was built of slate in the year of the great flood and burned down twice.';
    const twins = sourceOf('twins', [['One', text], ['Two', `${text.slice(0, -1)}!`], ['Three', 'The mill had an oak wheel.']]);
    const only = { sources: [twins.source], rows: new Map([['twins', twins.rows]]) };
    const { hits } = await search({ text: 'mill slate flood', k: 5 }, only.sources, contextOf(only));
    expect(hits.map((h) => [h.passage.title, h.repeats])).toEqual([['One', undefined], ['Two', 'twins/One'], ['Three', undefined]]);
  });

  test('the weights of a source rank its passages; among several sources with links the general ones do', async () => {
    const ranking: RankWeights = { learnedOn: 'x', words: [{ words: -1 }, { words: -1 }], hybrid: [{}, {}] };
    const turned: SearchSource = { ...film.source, ranking };
    const titles = async (sources: readonly SearchSource[]) => titlesOf(await search({ text: 'fortress on a hill in a harbour town', k: 10 }, sources, contextOf(library)));
    const plain = await titles([film.source]);
    expect(plain[0]).toBe('Halden');
    expect((await titles([turned]))[0]).not.toBe('Halden');
    expect(await titles([turned, town.source])).toEqual(await titles([film.source, town.source]));
  });

  test('equal passages keep the order of the sources', async () => {
    const twins = ['a', 'b'].map((key) => sourceOf(key, [['Same', 'Same text about rivers.']]));
    const both = { sources: twins.map((t) => t.source), rows: new Map(twins.map((t) => [t.source.key, t.rows])) };
    const result = await search({ text: 'rivers', k: 5 }, both.sources, contextOf(both));
    expect(result.hits.map((h) => h.passage.corpus)).toEqual(['a', 'b']);
  });
});

describe('documents by their best passage', () => {
  const filler = (word: string, n: number): string => Array.from({ length: n }, (_, i) => `Line ${i} of ${word} goes on here and there.`).join(' ');
  const long = sourceOf('long', [
    ['Slate', `Quarry quarry. ${filler('roofs', 20)}`, `The quarry of Aldmoor gave slate. ${filler('tiles', 20)}`, `A quarry. ${filler('walls', 20)}`],
    ['Peat', `A quarry stood near. ${filler('fuel', 20)}`],
  ]);
  const library: Library = { sources: [long.source], rows: new Map([['long', long.rows]]) };
  const ids = async (more: Partial<SearchRequest>, text = 'quarry slate', sources = library.sources): Promise<string[]> =>
    (await search({ text, k: 5, ...more }, sources, contextOf(library))).hits.map((hit) => hit.passage.id);

  test.each([{ links: false }, {}])('each once, in the order of their best passages, %j', async (more) => {
    const plain = await ids({ ...more, k: 20 });
    const grouped = await ids({ ...more, groupBy: 'document' });
    expect(plain.length).toBeGreaterThan(2);
    const best = ['Slate', 'Peat'].map((title) => plain.find((id) => id.startsWith(`long/${title}`)));
    expect(grouped).toEqual(best);
    expect(await ids({ ...more, groupBy: 'document', k: 1 })).toEqual(best.slice(0, 1));
  });

  test('a phrase decides which passage is the best of its document', async () => {
    const text = 'quarry "line 3 of walls"';
    const [first] = await ids({}, text);
    const grouped = await ids({ groupBy: 'document' }, text);
    expect(grouped[0]).toBe(first);
    expect(new Set(grouped.map((id) => id.replace(/#.*/, ''))).size).toBe(grouped.length);
    expect(grouped).toHaveLength(2);
  });

  test('documents of several sources with the same name stay apart', async () => {
    const rows = chunkDocument({ docId: 'Slate', title: 'Slate', sections: [{ heading: '', text: 'A quarry of slate.', page: 1 }] });
    const words = createLexicalBuilder();
    for (const row of rows) words.add(row);
    const own = documentSource('own', { id: 'Slate', title: 'Slate', name: 'Slate', passages: rows.length }, openLexicalSegment(words.finish(), 'Slate'), []);
    library.rows.set('own/Slate', rows);
    const grouped = await ids({ groupBy: 'document' }, 'quarry slate', [long.source, own]);
    expect(grouped.map((id) => id.replace(/#.*/, '')).sort()).toEqual(['long/Peat', 'long/Slate', 'own/Slate']);
  });
});

describe('meaning', () => {
  // Two dimensions: the sea and the mountains.
  const vectors = (values: readonly number[], first = 0, embedder = 'e') => ({ set: vectorSetOf([vectorSegment(quantise(Float32Array.from(values), 2), embedder, first)], scalarKernel), first: 0 });
  const withVectors: SearchSource = { ...town.source, vectors: [vectors([1, 0, 0, 1])] };
  const partial: SearchSource = { ...film.source, vectors: [vectors([0.8, 0.6], 4)] };
  const mountains = { embedder: 'e', values: Float32Array.from([0.1, 0.995]) };
  const dense = (sources: readonly SearchSource[], text: string, change: Partial<SearchRequest> = {}, vector = mountains) =>
    search({ text, k: 10, ...change }, sources, contextOf(library, { vector }));

  test('finds what shares no word', async () => {
    const result = await dense([withVectors], 'peaks');
    expect(result.usedDense).toBe(true);
    expect(result.hits[0]).toMatchObject({ passage: { title: 'Bergen' } });
    expect(result.hits[0]?.paths[0]).toMatchObject({ kind: 'dense', rank: 1 });
    expect(result.hits[0]?.score).toBeGreaterThan(result.hits[1]?.score ?? 0);
  });

  test('words and meaning together: both paths are told', async () => {
    const result = await dense([withVectors], 'hills');
    expect(result.hits[0]?.paths.map((p) => p.kind)).toEqual(['lexical', 'dense']);
  });

  test('only vectors of the same embedder and size are compared', async () => {
    expect((await dense([withVectors], 'peaks', {}, { ...mountains, embedder: 'other' })).usedDense).toBe(false);
    expect((await dense([withVectors], 'peaks', {}, { embedder: 'e', values: Float32Array.from([1, 0, 0]) })).usedDense).toBe(false);
    expect((await dense([withVectors], 'peaks', { dense: false })).usedDense).toBe(false);
  });

  test('a source may have vectors for some passages only', async () => {
    const result = await dense([partial, withVectors], 'zzzz', { links: false }, { embedder: 'e', values: Float32Array.from([0.8, 0.6]) });
    expect(result.hits.map((h) => h.passage.id)).toEqual(['films/Green Tide', 'towns/Oslo', 'towns/Bergen']);
  });
});

describe('several at once', () => {
  const vectors = (values: readonly number[], embedder: string) => ({ set: vectorSetOf([vectorSegment(quantise(Float32Array.from(values), 2), embedder, 0)], scalarKernel), first: 0 });
  const sources: SearchSource[] = [{ ...film.source, vectors: [vectors([1, 0, 0, 1, 0.6, 0.8, 0.8, 0.6], 'e')] }, { ...town.source, vectors: [vectors([1, 0, 0, 1], 'other')] }];
  const sea = { embedder: 'e', values: Float32Array.from([1, 0.1]) };
  const asked: AskedSearch[] = [
    { request: { text: 'fortress', k: 5 }, vector: sea },
    { request: { text: 'the sea', k: 3, links: false }, vector: { embedder: 'e', values: Float32Array.from([0.1, 1]) } },
    { request: { text: 'hills', k: 5 }, vector: { embedder: 'other', values: Float32Array.from([0, 1]) } },
    { request: { text: '"harbour town"', k: 5, dense: false }, vector: sea },
    { request: { text: 'Silver Tide', k: 5, corpora: ['towns'] }, vector: sea },
    { request: { text: 'Oslo', k: 5 }, vector: null },
    { request: { text: 'Oslo', k: 5 }, vector: { embedder: 'e', values: new Float32Array(3) } },
  ];
  const single = () => Promise.all(asked.map(({ request, vector }) => search(request, sources, contextOf(library, { vector }))));

  test('each result is that of its own search', async () => {
    expect(await searchMany(asked, sources, contextOf(library), kernelBatches)).toEqual(await single());
    expect(await searchMany([], sources, contextOf(library), kernelBatches)).toEqual([]);
  });

  test('the queries for one set go to the batch together, and its hits are what is ranked', async () => {
    const batches: number[] = [];
    const batch = { search: (...[index, queries, k]: Parameters<typeof kernelBatches.search>) => (batches.push(queries.length), kernelBatches.search(index, queries, k)) };
    expect(await searchMany(asked, sources, contextOf(library), batch)).toEqual(await single());
    expect(batches).toEqual([3, 1]);
    const blind = { search: async (...[, queries]: Parameters<typeof kernelBatches.search>) => queries.map(() => ({ count: 0, ordinals: new Uint32Array(0), scores: new Float32Array(0) })) };
    const [first] = await searchMany(asked, sources, contextOf(library), blind);
    expect(first?.hits.flatMap(({ paths }) => paths).filter(({ kind }) => kind === 'dense')).toEqual([]);
  });

  test('a stop ends all of them', async () => {
    const stop = new AbortController();
    const batch = { search: (...args: Parameters<typeof kernelBatches.search>) => (stop.abort(), kernelBatches.search(...args)) };
    await expect(searchMany(asked, sources, contextOf(library, { signal: stop.signal }), batch)).rejects.toThrow(expect.objectContaining({ name: 'AbortError' }));
  });
});

test('an own document is a source by itself', async () => {
  const rows = chunkDocument({ docId: 'doc-1', title: 'notes.txt', sections: [{ heading: '', text: 'The spare key hangs behind the clock.' }] });
  const words = createLexicalBuilder();
  for (const r of rows) words.add(r);
  const own = documentSource('own', { id: 'doc-1', title: 'notes.txt', name: 'notes.txt', passages: rows.length }, openLexicalSegment(words.finish(), 'notes.txt'), []);
  const all = { sources: [film.source, own], rows: new Map([...library.rows, ['own/doc-1', rows]]) };
  const result = await search({ text: 'Where is the spare key?', k: 3 }, all.sources, contextOf(all));
  expect(result.hits[0]?.passage).toMatchObject({ id: 'own/doc-1', corpus: 'own', title: 'notes.txt' });
});

describe('the demo shard', () => {
  const folder = new URL('../../../public/shards/demo/', import.meta.url);
  let demo: Library;
  let questions: { type: string; question: string; support: { passage: string; quote: string; sentence: number }[] }[];

  beforeAll(() => {
    const manifest = parseManifest(readFileSync(new URL('manifest.json', folder), 'utf8'), 'demo');
    const parts = (kind: string): { bytes: Uint8Array; name: string; first: number }[] =>
      manifest.parts.filter((p) => p.kind === kind).map((p) => ({ bytes: new Uint8Array(readFileSync(new URL(p.file, folder))), name: p.file, first: p.first }));
    const { passages, documents } = manifest.counts;
    const source: SearchSource = {
      key: 'demo',
      corpus: 'demo',
      titles: openTitles(parts('titles')),
      lexical: parts('lexical').map((p) => openLexicalSegment(p.bytes, p.name)),
      vectors: [{ set: vectorSetOf(parts('vectors').map((p) => openVectorSegment(p.bytes, manifest.embedder?.id ?? '', p.first, p.name)), scalarKernel), first: 0 }],
      links: openLinks(parts('links'), passages, documents),
    };
    const rows = parts('passages').flatMap((p) =>
      readPassageDirectory(p.bytes, p.bytes.length, p.name).flatMap((b) => decodePassageBlock(p.bytes.subarray(b.offset, b.offset + b.length), b, p.name)),
    );
    demo = { sources: [source], rows: new Map([['demo', rows]]) };
    questions = JSON.parse(readFileSync(new URL('questions.json', folder), 'utf8')) as typeof questions;
  });

  test('has its questions, and every support quote stands in the passage and sentence it names', () => {
    expect(questions.length).toBeGreaterThanOrEqual(60);
    const rows = demo.rows.get('demo') ?? [];
    for (const s of questions.flatMap((q) => q.support)) {
      const row = rows[demo.sources[0]?.titles.ordinalOf(s.passage.slice('demo/'.length)) ?? -1];
      expect(row?.text).toContain(s.quote);
      expect(row?.text.slice(0, row.sentenceEnds[s.sentence])).toContain(s.quote);
    }
  });

  test('along links a search finds more of the support among the first five, and all of it among the first ten for most questions', async () => {
    const measure = async (links: boolean): Promise<{ recall5: number; all10: number }> => {
      const asked = questions.filter((q) => q.support.length > 0);
      let recall5 = 0;
      let all10 = 0;
      for (const q of asked) {
        const { hits } = await search({ text: q.question, k: 10, links }, demo.sources, contextOf(demo));
        const found = (k: number): number => q.support.filter((s) => hits.slice(0, k).some((h) => h.passage.id === s.passage)).length / q.support.length;
        recall5 += found(5) / asked.length;
        if (found(10) === 1) all10 += 1 / asked.length;
      }
      return { recall5, all10 };
    };
    const along = await measure(true);
    expect(along.recall5).toBeGreaterThan((await measure(false)).recall5);
    expect(along.all10).toBeGreaterThan(0.75);
  }, 60_000);
});
