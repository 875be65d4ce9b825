import { describe, expect, test } from 'vitest';
import fc from 'fast-check';
import { AppError } from '../../../src/errors.ts';
import { createMentionMatcher, encodeLinks, encodeTitles, isLinkable, openLinks, openTitles, plainTitle, type TitleRow } from '../../../src/corpus/links.ts';

function rowsOf(documents: readonly { docId: string; title: string; passages?: number; aliases?: readonly string[] }[]): TitleRow[] {
  let first = 0;
  return documents.map(({ docId, title, passages = 1, aliases = [] }) => {
    const row = { docId, title, first, passages, aliases };
    first += passages;
    return row;
  });
}

const rows = rowsOf([
  { docId: 'a', title: 'Marie Curie', passages: 3, aliases: ['Maria Skłodowska'] },
  { docId: 'b#2', title: 'Mercury (planet)' },
  { docId: 'c', title: 'The Wall', passages: 2 },
  { docId: 'd', title: 'Capital' },
  { docId: 'e', title: 'New York' },
  { docId: 'f', title: 'New York City' },
]);
const table = openTitles([
  { bytes: encodeTitles(rows.slice(0, 2), 0), name: 'titles-0000.bin' },
  { bytes: encodeTitles(rows.slice(2), 2), name: 'titles-0001.bin' },
]);

describe('the titles table', () => {
  test('gives documents, passages and ids over several parts', () => {
    expect([table.documents, table.passages]).toEqual([6, 9]);
    expect(rows.map((_, d) => [table.docId(d), table.title(d), table.first(d), table.count(d)])).toEqual(rows.map((r) => [r.docId, r.title, r.first, r.passages]));
    expect(table.aliases(0)).toEqual(['Maria Skłodowska']);
    expect(Array.from({ length: 9 }, (_, o) => table.documentOf(o))).toEqual([0, 0, 0, 1, 2, 2, 3, 4, 5]);
    expect(table.idOf('w', 1)).toBe('w/a#2');
    expect(table.idOf('w', 3)).toBe('w/b#2');
  });

  test('finds the passage an id names, also where the document id looks like a number', () => {
    for (let o = 0; o < table.passages; o++) expect(table.ordinalOf(table.idOf('w', o).slice(2))).toBe(o);
    for (const gone of ['a', 'a#0', 'a#4', 'a#01', 'a#x', 'zz', 'zz#1', '', '#1', 'b', 'd#1']) expect(table.ordinalOf(gone)).toBe(-1);
    expect(() => table.documentOf(9)).toThrow(RangeError);
  });

  test('survives any ids and titles', () => {
    const text = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 });
    const document = fc.record({ docId: text, title: text, passages: fc.integer({ min: 1, max: 4 }) });
    fc.assert(
      fc.property(fc.uniqueArray(document, { selector: (d) => d.docId }), fc.nat(10), (documents, cut) => {
        const all = rowsOf(documents);
        const parts = [all.slice(0, cut), all.slice(cut)].filter((p) => p.length > 0);
        let first = 0;
        const opened = openTitles(
          parts.map((p, i) => {
            const part = { bytes: encodeTitles(p, first), name: `p${i}` };
            first += p.length;
            return part;
          }),
        );
        all.forEach((r, d) => {
          expect(opened.findDocument(r.docId)).toBe(d);
          expect(opened.title(d)).toBe(r.title);
        });
      }),
    );
  });

  test.each([
    ['Where was Marie Curie born?', [0]],
    ['where was marie curie born', [0]],
    ['Did Maria Sklodowska live in New York City?', [0, 5]],
    ['Did she live in New York', [4]],
    ['How hot is Mercury?', [1]],
    ['how hot is mercury?', []],
    ['what is the capital of France', []],
    ['Who wrote the wall of fame', []],
    ['Who made The Wall?', [2]],
    ['', []],
  ])('titles in %j', (question, expected) => {
    expect(table.titlesIn(question)).toEqual(expected);
  });

  test('ids with the same hash are told apart', () => {
    const both = openTitles([{ bytes: encodeTitles(rowsOf([{ docId: 'djwpo', title: 'A' }, { docId: 'd10ho0', title: 'B' }]), 0), name: 't' }]);
    expect(['djwpo', 'd10ho0'].map((id) => both.findDocument(id))).toEqual([0, 1]);
    const one = openTitles([{ bytes: encodeTitles(rowsOf([{ docId: 'djwpo', title: 'A' }]), 0), name: 't' }]);
    expect(one.findDocument('d10ho0')).toBe(-1);
  });

  test('a lookup table that names a document outside is refused', () => {
    const bytes = encodeTitles(rowsOf([{ docId: 'a', title: 'Ada Stone' }]), 0);
    const text = bytes.length - 'aAda Stone'.length;
    for (const at of [text - 4, text - 12]) {
      const damaged = bytes.slice();
      damaged[at] = 1;
      expect(() => openTitles([{ bytes: damaged, name: 't' }])).toThrow(/outside/);
    }
  });

  test('a title that more than five documents share names none', () => {
    const shared = (count: number): number =>
      openTitles([{ bytes: encodeTitles(rowsOf(Array.from({ length: count }, (_, i) => ({ docId: `${i}`, title: `John Smith (${i})` }))), 0), name: 't' }]).titlesIn('Who was John Smith?').length;
    expect([shared(5), shared(6)]).toEqual([5, 0]);
  });

  test('damage anywhere is refused or harmless', () => {
    const bytes = encodeTitles(rows, 0);
    let refused = 0;
    for (let at = 0; at < bytes.length; at++) {
      const damaged = bytes.slice();
      damaged[at] = (damaged[at] ?? 0) ^ 0x80;
      try {
        const opened = openTitles([{ bytes: damaged, name: 'x' }]);
        opened.titlesIn('Marie Curie in New York City');
        opened.ordinalOf('a#2');
        for (let o = 0; o < Math.min(20, opened.passages); o++) opened.idOf('w', o);
      } catch (error) {
        if (!(error instanceof RangeError)) expect((error as AppError).code).toBe('shard/part-invalid');
        refused++;
      }
    }
    expect(refused).toBeGreaterThan(20);
    expect(() => openTitles([{ bytes: bytes.slice(0, -1), name: 'x' }])).toThrow(AppError);
    expect(() => openTitles([{ bytes: encodeTitles(rows, 3), name: 'x' }])).toThrow(AppError);
  });
});

describe('mentions', () => {
  test.each(['It', 'war', 'Cat', '1984', 'That', 'iPod'.toLowerCase()])('%s alone is not looked for', (title) => {
    expect(isLinkable(title)).toBe(false);
  });
  test.each(['Rome', 'the wall', 'X-ray', 'IPod'])('%s is looked for', (title) => {
    expect(isLinkable(title)).toBe(true);
  });
  test('only a closing parenthesis is dropped', () => {
    expect(['Mercury (planet)', '(What) Now', '(All)'].map(plainTitle)).toEqual(['Mercury', '(What) Now', '(All)']);
  });

  const matcher = createMentionMatcher(['New York', 'New York City', 'Rome', "Rock 'n' Roll", 'Mercury (planet)', 'Mercury (element)', 'Łódź']);
  test.each([
    ['She left New York City for Rome.', [1, 2]],
    ['She left New York. City life.', [0]],
    ['Romeo and new york', []],
    ["The age of Rock 'n' Roll", [3]],
    ['Rock n Roll', []],
    ['Mercury rises', [4, 5]],
    ['in Łódź,', [6]],
    ['Rome\nRome', [2]],
    ['', []],
  ])('%j', (text, expected) => {
    expect(matcher.documentsIn(text)).toEqual(expected);
  });

  test('agrees with a plain search for every title', () => {
    const names = ['Ada', 'Adam West', 'West', 'West End', 'End Game', 'Game Boy Color'].map((n) => `${n}x`);
    const one = createMentionMatcher(names);
    const pieces = fc.constantFrom(...names, 'and', 'Adam', 'Westx', 'Boy', '.', 'x');
    fc.assert(
      fc.property(fc.array(pieces, { maxLength: 12 }), (words) => {
        const text = words.join(' ');
        for (const d of one.documentsIn(text)) expect(` ${text} `).toContain(` ${names[d] ?? '?'} `);
        // A title that stands alone between other words is always found.
        names.forEach((name, d) => expect(one.documentsIn(`so ${name} then`)).toContain(d));
      }),
    );
  });

  test('titles carried by more than five documents are passed over', () => {
    expect(createMentionMatcher(Array<string>(6).fill('Rome')).documentsIn('in Rome')).toEqual([]);
    expect(createMentionMatcher(Array<string>(5).fill('Rome')).documentsIn('in Rome')).toEqual([0, 1, 2, 3, 4]);
  });
});

describe('the link graph', () => {
  const graphArbitrary = fc.integer({ min: 1, max: 300 }).chain((documents) =>
    fc.record({
      documents: fc.constant(documents),
      rows: fc.array(fc.uniqueArray(fc.nat(documents - 1), { maxLength: 6 }).map((r) => r.sort((a, b) => a - b)), { maxLength: 20 }),
      cut: fc.nat(20),
    }),
  );

  test('forward and backward lists say the same', () => {
    fc.assert(
      fc.property(graphArbitrary, ({ documents, rows: links, cut }) => {
        const parts = [links.slice(0, cut), links.slice(cut)].map((r, i) => ({ bytes: encodeLinks(r), name: `l${i}` }));
        const graph = openLinks(parts, links.length, documents);
        expect(links.map((_, o) => Array.from(graph.out(o)))).toEqual(links);
        for (let d = 0; d < documents; d++) expect(Array.from(graph.in(d))).toEqual(links.flatMap((r, o) => (r.includes(d) ? [o] : [])));
        expect(graph.links).toBe(links.flat().length);
      }),
    );
  });

  const bytes = encodeLinks([[0, 5, 9], [], [2]]);
  test.each([
    ['cut', bytes.slice(0, -1), 3, 10],
    ['longer', Uint8Array.from([...bytes, 0]), 3, 10],
    ['fewer passages than the shard', bytes, 4, 10],
    ['a document outside', bytes, 3, 9],
    ['a huge count', Uint8Array.from(bytes, (b, i) => (i === 15 ? 0x7f : b)), 3, 10],
    ['an endless number', Uint8Array.from(bytes, (b, i) => (i >= 16 ? 0xff : b)), 3, 10],
  ])('is refused: %s', (_, damaged, passages, documents) => {
    expect(() => openLinks([{ bytes: damaged, name: 'l' }], passages, documents)).toThrow(AppError);
  });
});
