import { describe, expect, test } from 'vitest';
import fc from 'fast-check';
import { termOf } from '../../../src/corpus/analysis.ts';
import { chunkDocument, highlight, parsePassageId, passageId, passageWords, sentenceSpans, splitSentences, toPassage } from '../../../src/corpus/passages.ts';

const sentences = (text: string): string[] => sentenceSpans(text, splitSentences(text)).map((s) => text.slice(s.start, s.end));
const wordsOf = (text: string): number => text.split(/\s+/).filter((w) => w !== '').length;
const sentence = (words: number, seed = 'word'): string => `${Array.from({ length: words }, (_, i) => (i === 0 ? 'The' : `${seed}${i}`)).join(' ')}.`;
const prose = (count: number, words: number): string => Array.from({ length: count }, (_, i) => sentence(words, `s${i}w`)).join(' ');

describe('splitSentences', () => {
  test.each([
    ['He came to St. Louis in 1904. It was hot.', ['He came to St. Louis in 1904.', 'It was hot.']],
    ['Gerald R. Ford was born in Omaha. J. R. R. Tolkien was not.', ['Gerald R. Ford was born in Omaha.', 'J. R. R. Tolkien was not.']],
    ['Dr. Curie met Mr. Becquerel. They spoke.', ['Dr. Curie met Mr. Becquerel.', 'They spoke.']],
    ['She lived in the U.S. Navy yard. He lived in the U.S. The war ended.', ['She lived in the U.S. Navy yard.', 'He lived in the U.S.', 'The war ended.']],
    ['It was made by Apple Inc. The device sold well.', ['It was made by Apple Inc.', 'The device sold well.']],
    ['Motor Sales Inc. (TMS) was founded. Pi is 3.14 or so.', ['Motor Sales Inc. (TMS) was founded.', 'Pi is 3.14 or so.']],
    ['See No. 5 and p. 12 there. The answer was no. He left.', ['See No. 5 and p. 12 there.', 'The answer was no.', 'He left.']],
    ['“Stop!” he said. “Why?” she asked.', ['“Stop!” he said.', '“Why?” she asked.']],
    ['First line\nSecond line. Third', ['First line', 'Second line.', 'Third']],
    ['彼は来た。彼女は去った。', ['彼は来た。', '彼女は去った。']],
    ['', []],
    ['no end', ['no end']],
  ])('%j', (text, expected) => {
    expect(sentences(text)).toEqual(expected);
  });

  test('ends ascend and the last one is the end of the text', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', maxLength: 300 }), (raw) => {
        const text = raw.trim();
        const ends = splitSentences(text);
        expect(ends.at(-1) ?? 0).toBe(text.length);
        expect(ends.every((e, i) => e > (ends[i - 1] ?? 0))).toBe(true);
      }),
    );
  });
});

describe('chunkDocument', () => {
  test('a long section becomes even passages of 100-180 words that end with sentences', () => {
    for (const count of [10, 13, 19, 31, 50]) {
      const rows = chunkDocument({ docId: 'd', title: 'T', sections: [{ heading: 'H', text: prose(count, 21) }] });
      expect(rows.map((r) => r.text).join(' ')).toBe(prose(count, 21));
      for (const row of rows) {
        expect(wordsOf(row.text)).toBeGreaterThanOrEqual(84); // 190 words give two of 95: the least that is possible
        expect(wordsOf(row.text)).toBeLessThanOrEqual(passageWords.max);
        expect(row.text.endsWith('.')).toBe(true);
        expect(row.section).toBe('H');
      }
      const sizes = rows.map((r) => wordsOf(r.text));
      expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(42);
      expect(rows.map((r) => r.n)).toEqual(rows.map((_, i) => i + 1));
    }
  });

  test('a section of 100 words stands alone, shorter neighbours are joined under the first heading', () => {
    const rows = chunkDocument({
      docId: 'd',
      title: 'T',
      sections: [
        { heading: '', text: prose(5, 20) },
        { heading: 'Youth', text: prose(2, 20) },
        { heading: 'Work', text: prose(3, 20) },
        { heading: 'Later', text: prose(6, 20) },
      ],
    });
    expect(rows.map((r) => r.section)).toEqual(['', 'Youth', 'Later']);
    expect(rows[1]?.text).toBe(`${prose(2, 20)}\nWork\n${prose(3, 20)}`);
    expect(sentenceSpans(rows[1]?.text ?? '', rows[1]?.sentenceEnds ?? []).map((s) => rows[1]?.text.slice(s.start, s.end))).toContain('Work');
  });

  test('joining never exceeds a passage', () => {
    const rows = chunkDocument({ docId: 'd', title: 'T', sections: Array.from({ length: 9 }, (_, i) => ({ heading: `H${i}`, text: prose(1, 95) })) });
    expect(rows.map((r) => [r.section, r.text])).toEqual(Array.from({ length: 9 }, (_, i) => [`H${i}`, prose(1, 95)]));
  });

  test('a passage never crosses a page, however short the pages are', () => {
    const sections = [1, 2, 3].map((page) => ({ heading: '', text: `Text of page ${page}.`, page }));
    const rows = chunkDocument({ docId: 'd', title: 'T', sections });
    expect(rows.map((r) => [r.page, r.text])).toEqual([[1, 'Text of page 1.'], [2, 'Text of page 2.'], [3, 'Text of page 3.']]);
  });

  test('a sentence is cut only where it alone exceeds a passage', () => {
    const rows = chunkDocument({ docId: 'd', title: 'T', sections: [{ heading: '', text: `${sentence(500)} ${sentence(90)}` }] });
    expect(rows.map((r) => r.text).join(' ')).toBe(`${sentence(500)} ${sentence(90)}`);
    expect(Math.max(...rows.map((r) => wordsOf(r.text)))).toBeLessThanOrEqual(passageWords.max);
  });

  test('a megabyte without spaces and text without spaces between words end in bounded passages', () => {
    const giant = chunkDocument({ docId: 'd', title: 'T', sections: [{ heading: '', text: 'x'.repeat(1_000_000) }] });
    expect(Math.max(...giant.map((r) => r.text.length))).toBeLessThanOrEqual(passageWords.max * 12);
    expect(giant.map((r) => r.text).join('').length).toBe(1_000_000);
    const chinese = chunkDocument({ docId: 'd', title: 'T', sections: [{ heading: '', text: '山河湖海天地。'.repeat(400) }] });
    expect(Math.max(...chinese.map((r) => r.text.length))).toBeLessThanOrEqual(2 * passageWords.max + 100);
  });

  test('one passage has number 0, no text gives none', () => {
    expect(chunkDocument({ docId: 'd', title: ' A\nB ', sections: [{ heading: '', text: 'Short.' }] })).toEqual([
      { docId: 'd', n: 0, title: 'A B', section: '', text: 'Short.', sentenceEnds: [6], page: null },
    ]);
    expect(chunkDocument({ docId: 'd', title: 'T', sections: [{ heading: 'H', text: ' \n\0 ' }] })).toEqual([]);
  });

  test('no word is lost and sentence ends are exact, whatever the text', () => {
    const text = fc.array(fc.oneof(fc.string({ unit: 'grapheme', maxLength: 12 }), fc.constantFrom('The end. ', 'Mr. X ', '\n', 'word '.repeat(60), '\ud800')), { maxLength: 40 });
    fc.assert(
      fc.property(fc.array(fc.record({ heading: fc.constantFrom('', 'A', 'B'), text: text.map((t) => t.join('')), page: fc.constantFrom(null, 1, 2) }), { maxLength: 5 }), (sections) => {
        const rows = chunkDocument({ docId: 'd', title: 'T', sections });
        const kept = rows.map((r) => r.text).join('').replace(/[\s\p{C}]/gu, '');
        for (const row of rows) {
          expect(row.sentenceEnds.at(-1)).toBe(row.text.length);
          expect(row.sentenceEnds.every((e, i) => e > (row.sentenceEnds[i - 1] ?? 0))).toBe(true);
          expect(row.text.trim()).toBe(row.text);
        }
        const headings = rows.length; // joined headings may add their letters, nothing else may
        const source = sections.map((s) => s.text.replace(/\p{Surrogate}/gu, '\ufffd').replace(/[\s\p{C}]/gu, '')).join('');
        expect(kept.length - source.length).toBeGreaterThanOrEqual(0);
        expect(kept.length - source.length).toBeLessThanOrEqual(sections.length + headings);
      }),
    );
  });

  test('is deterministic', () => {
    const document = { docId: 'd', title: 'T', sections: [{ heading: '', text: prose(40, 17) }] };
    expect(chunkDocument(document)).toEqual(chunkDocument(document));
  });
});

describe('highlight', () => {
  const text = 'Curie was born in Warsaw. She studied physics. In Paris she met Pierre Curie, who studied crystals.';
  const ends = splitSentences(text);

  test('marks terms in every form and picks the sentence with the greatest weight', () => {
    const { highlights, bestSentence } = highlight(text, ends, new Map([[termOf('Curie'), 1], ['study', 1.5], ['crystal', 2]]));
    expect(highlights.map((h) => text.slice(h.start, h.end))).toEqual(['Curie', 'studied', 'Curie', 'studied', 'crystals']);
    expect(bestSentence).toBe(2);
  });

  test('a term counts once a sentence', () => {
    const repeated = 'Rome Rome Rome Rome. Rome and Oslo.';
    expect(highlight(repeated, splitSentences(repeated), new Map([['rome', 1], ['oslo', 0.5]])).bestSentence).toBe(1);
  });

  test('without a match there is nothing to mark', () => {
    expect(highlight(text, ends, new Map([['zebra', 1]]))).toEqual({ highlights: [], bestSentence: 0 });
  });
});

test('ids name corpus, document and passage', () => {
  expect(passageId('demo', 'Marie Curie', 0)).toBe('demo/Marie Curie');
  expect(passageId('demo', 'a/b', 3)).toBe('demo/a/b#3');
  expect(parsePassageId('demo/a/b#3')).toEqual({ corpus: 'demo', rest: 'a/b#3' });
  for (const bad of ['', 'demo', 'demo/', '/x']) expect(parsePassageId(bad)).toBeNull();
  const row = { docId: 'x', n: 2, title: 'X', section: '', text: 'T.', sentenceEnds: [2], page: null };
  expect(toPassage(row, 'own')).toMatchObject({ id: 'own/x#2', corpus: 'own', text: 'T.' });
});
