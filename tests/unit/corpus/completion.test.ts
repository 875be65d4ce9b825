import { describe, expect, it } from 'vitest';
import { createLexicalBuilder } from '../../../src/corpus/lexical-builder.ts';
import { openLexicalSegment } from '../../../src/corpus/lexical.ts';
import { completions } from '../../../src/corpus/completion.ts';
import { encodeLinks, encodeTitles, openLinks, openTitles } from '../../../src/corpus/links.ts';

function source(titles: readonly string[], links: readonly (readonly number[])[] | null = null, text = '') {
  const words = createLexicalBuilder();
  for (const title of titles) words.add({ title, section: '', text });
  const rows = titles.map((title, first) => ({ docId: `d${first}`, title, first, passages: 1, aliases: [] }));
  return {
    titles: openTitles([{ bytes: encodeTitles(rows, 0), name: 'titles' }]),
    lexical: [openLexicalSegment(words.finish(), 'words')],
    links: links === null ? null : openLinks([{ bytes: encodeLinks(links), name: 'links' }], titles.length, titles.length),
  };
}

describe('completions', () => {
  const films = source(['The Great Gatsby', 'Great Expectations', 'Grease', 'Gréta', 'The Greatest', 'Straße', 'Ｗｉｄｅ', '東京物語']);

  it.each([
    ['Who directed The Great Ga', ['The Great Gatsby']],
    ['the great', ['The Greatest', 'The Great Gatsby', 'Great Expectations']],
    ['who wrote GRE', ['Gréta', 'Grease', 'Great Expectations']],
    ['gréta', []],
    ['gre\u0301t', ['Gréta']],
    ['STRAS', ['Straße']],
    ['wid', ['Ｗｉｄｅ']],
    ['東京', ['東京物語']],
    ['great  ex', ['Great Expectations']],
    ['great ', ['Great Expectations']],
    ['g', []],
    ['', []],
    ['xyz', []],
    ['the great?', []],
  ])('%j gives %j', (text, expected) => {
    expect(completions([films], text, 5)).toEqual(expected);
  });

  it('puts what many link to first, keeps the limit and names a title of two sources once', () => {
    const linked = source(['Great Bend', 'Great Yarmouth', 'Great Ayton'], [[1], [], [1]]);
    expect(completions([linked], 'great', 2)).toEqual(['Great Yarmouth', 'Great Bend']);
    expect(completions([linked, source(['great yarmouth', 'Great Dane'])], 'great', 9)).toEqual(['Great Yarmouth', 'Great Bend', 'Great Dane', 'Great Ayton']);
    expect(completions([linked], 'great', 0)).toEqual([]);
    expect(completions([], 'great', 5)).toEqual([]);
  });

  it('offers frequent words in their commonest form after the titles', () => {
    const films = source(['Reel', 'Direct', 'Lamp', 'Mole'], null, 'Directors directed films; directors of Directory. the then');
    expect(completions([films], 'who dire', 9)).toEqual(['Direct', 'directed', 'directors', 'Directory']);
    expect(completions([films, source(['A', 'B', 'C'], null, 'direction')], 'dire', 3)).toEqual(['Direct', 'directed', 'directors']);
    expect(completions([films], 'the', 9)).toEqual([]);
    expect(completions([source(['A', 'B'], null, 'seldom')], 'seld', 9)).toEqual([]);
  });
});
