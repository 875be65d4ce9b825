/** Links of own documents: by exact title mention, both ways, growing and shrinking one document at a time. */
import { beforeEach, describe, expect, it } from 'vitest';
import { createLexicalBuilder } from '../../../src/corpus/lexical-builder.ts';
import { openLexicalSegment } from '../../../src/corpus/lexical.ts';
import { encodeTitles, openTitles } from '../../../src/corpus/links.ts';
import { createOwnLinks, type OwnLinks } from '../../../src/corpus/own-links.ts';
import { chunkDocument, toPassage, type PassageRow } from '../../../src/corpus/passages.ts';
import type { SearchRequest } from '../../../src/corpus/retriever.ts';
import { documentSource, passagesAround, search, type SearchSource } from '../../../src/corpus/search.ts';

const rows = new Map<string, readonly PassageRow[]>();
let reads: string[] = [];
let links: OwnLinks;

const rowsOf = (docId: string, title: string, text: string): PassageRow[] => chunkDocument({ docId, title, sections: [{ heading: '', text, page: 1 }] });

function indexed(list: readonly PassageRow[]): Uint8Array {
  const words = createLexicalBuilder();
  for (const row of list) words.add(row);
  return words.finish();
}

function own(title: string, text: string): SearchSource {
  const list = rowsOf(title, title, text);
  const key = `own/${title}`;
  rows.set(key, list);
  return { ...documentSource('own', { id: title, title, name: title, passages: list.length }, openLexicalSegment(indexed(list), title), []), far: links.of(key) };
}

function shard(key: string, articles: readonly (readonly [string, string])[]): SearchSource {
  const documents = articles.map(([title, text]) => rowsOf(title, title, text));
  const list = documents.flat();
  rows.set(key, list);
  const titles = articles.map(([title], first) => ({ docId: title, title, first, passages: 1, aliases: [] }));
  return {
    key, corpus: key, titles: openTitles([{ bytes: encodeTitles(titles, 0), name: 't' }]), lexical: [openLexicalSegment(indexed(list), 'l')], vectors: [], links: null,
    far: links.of(key),
  };
}

const read = (source: SearchSource, ordinals: readonly number[]) => {
  reads.push(source.key);
  return Promise.resolve(ordinals.map((ordinal) => rows.get(source.key)?.[ordinal]?.text ?? null));
};

function around(source: SearchSource, sources: readonly SearchSource[]): { out: string[]; in: string[] } {
  const found = passagesAround(source, 0, sources);
  const names = (list: typeof found.out): string[] => list.map(({ source: other, ordinal }) => other.titles.title(other.titles.documentOf(ordinal)));
  return { out: names(found.out), in: names(found.in) };
}

async function find(text: string, sources: readonly SearchSource[], more: Partial<SearchRequest> = {}) {
  const fetchPassages = (wanted: readonly { readonly source: SearchSource; readonly ordinal: number }[]) =>
    Promise.resolve(wanted.map(({ source, ordinal }) => { const row = rows.get(source.key)?.[ordinal]; return row === undefined ? null : toPassage(row, source.corpus); }));
  return (await search({ text, k: 10, ...more }, sources, { vector: null, fetchPassages, now: () => 0, signal: new AbortController().signal })).hits;
}

beforeEach(() => {
  rows.clear();
  reads = [];
  links = createOwnLinks(read, () => Promise.resolve());
});

describe('links of own documents', () => {
  it('go both ways among documents and between them and a shard, by the title as it is written', async () => {
    const kiln = own('Aldmoor Kiln', 'The kiln was fired with peat from Brack Fen.');
    const visit = own('Visit notes', 'In May we saw Aldmoor Kiln and wrote it down. The brack fen was dry.');
    const places = shard('places', [['Brack Fen', 'A fen in the north.'], ['Stone bridge', 'Stone from Aldmoor Kiln stands in it.'], ['Oak', 'A tree. An aldmoor kiln by another name.']]);
    const sources = [places, kiln, visit];
    await links.update([kiln, visit], [places]);
    expect(around(kiln, sources)).toEqual({ out: ['Brack Fen'], in: ['Stone bridge', 'Visit notes'].sort() });
    expect(around(visit, sources)).toEqual({ out: ['Aldmoor Kiln'], in: [] });
    expect(around(places, sources)).toEqual({ out: [], in: ['Aldmoor Kiln'] });
  });

  it('are followed by a search, which says along which', async () => {
    const visit = own('Visit notes', 'The potter of Lowick praised Aldmoor Kiln.');
    const kiln = own('Aldmoor Kiln', 'It was built of slate in 1802.');
    const other = own('Salt', 'Salt is white.');
    const sources = [visit, kiln, other];
    const text = 'what did the potter of Lowick praise';
    expect((await find(text, sources)).map((hit) => hit.passage.title)).toEqual(['Visit notes']);
    await links.update(sources, []);
    const hits = await find(text, sources);
    expect(hits.map((hit) => hit.passage.title)).toEqual(['Visit notes', 'Aldmoor Kiln']);
    expect(hits[1]?.paths).toEqual([{ kind: 'link', from: 'own/Visit notes', fromTitle: 'Visit notes', direction: 'out' }]);
    // Of a source that takes no part nothing is found.
    expect(await find(text, [visit])).toHaveLength(1);
  });

  it('come and go one document at a time, and what was compared is not read again', async () => {
    const kiln = own('Aldmoor Kiln', 'Near Brack Fen.');
    const notes = own('Visit notes', 'We saw Aldmoor Kiln.');
    const places = shard('places', [['Brack Fen', 'A fen.'], ['Bridge End', 'By Aldmoor Kiln.']]);
    await links.update([kiln, notes], [places]);
    reads = [];
    const diary = own('Field diary', 'Aldmoor Kiln again, as in Visit notes.');
    await links.update([kiln, notes, diary], [places]);
    expect(new Set(reads)).toEqual(new Set(['own/Field diary']));
    expect(around(kiln, [places, kiln, notes, diary]).in.sort()).toEqual(['Bridge End', 'Field diary', 'Visit notes']);
    reads = [];
    await links.update([kiln, diary], [places]);
    expect(reads).toEqual([]);
    expect(around(kiln, [places, kiln, notes, diary])).toEqual({ out: ['Brack Fen'], in: ['Bridge End', 'Field diary'] });
    expect(around(diary, [places, kiln, notes, diary]).out).toEqual(['Aldmoor Kiln']);
    await links.update([kiln, diary], []);
    expect(around(kiln, [places, kiln, diary])).toEqual({ out: [], in: ['Field diary'] });
    await links.update([], []);
    expect(around(kiln, [places, kiln, diary])).toEqual({ out: [], in: [] });
  });

  it('begin a comparison anew that could not be finished', async () => {
    let fails = true;
    links = createOwnLinks((source, ordinals) => (fails && source.key === 'own/B notes' ? Promise.reject(new Error('storage')) : read(source, ordinals)), () => Promise.resolve());
    const [a, b] = [own('A notes', 'See B notes.'), own('B notes', 'See A notes.')];
    await expect(links.update([a, b], [])).rejects.toThrow('storage');
    fails = false;
    await links.update([a, b], []);
    expect(around(a, [a, b])).toEqual({ out: ['B notes'], in: ['B notes'] });
  });

  it('are none for titles that say little', async () => {
    const [a, b] = [own('notes', 'It tells of the kiln.'), own('Kiln', 'Nothing but notes.')];
    const c = own('Diary', 'The Kiln and the notes.');
    await links.update([a, b, c], []);
    expect(around(b, [a, b, c])).toEqual({ out: [], in: ['Diary'] });
    expect(around(a, [a, b, c])).toEqual({ out: [], in: [] });
  });
});
