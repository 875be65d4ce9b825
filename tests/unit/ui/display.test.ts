import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Hit } from '../../../src/corpus/retriever.ts';
import { fileOf, markedPieces, pathLabels, placeOf, snippetOf, visibleLine, visibleText } from '../../../src/ui/text/display.ts';
import { fakePassage } from '../../fixtures/fake-searcher.ts';

describe('visibleText', () => {
  it.each([
    ['plain', 'plain'],
    ['a\u202Egnp.exe', 'a[U+202E]gnp.exe'],
    ['\u2066x\u2069', '[U+2066]x[U+2069]'],
    ['hid\u{E0041}\u{E0042}den', 'hid[U+E0041]den'],
    ['zero\u200Bwidth\uFEFF\u2060', 'zerowidth'],
    ['soft\u00ADhyphen', 'softhyphen'],
    ['nul\u0000 bell\u0007', 'nul bell'],
    ['line\nbreak\ttab', 'line\nbreak\ttab'],
    ['half \uD83D pair', 'half \uFFFD pair'],
    ['می\u200Cخواهم', 'می\u200Cخواهم'],
    ['👩\u200D🚀', '👩\u200D🚀'],
    ['a \u200D b', 'a  b'],
    ['<b>&amp;</b>', '<b>&amp;</b>'],
  ])('%j is shown as %j', (text, shown) => {
    expect(visibleText(text)).toBe(shown);
  });

  it('leaves no control, override or filler in any text', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        expect(visibleText(text)).not.toMatch(/[\u0000-\u0008\u000B-\u001F\u007F-\u009F\u200B\u202A-\u202E\u2060\u2066-\u2069\uFEFF]/u);
        expect(visibleText(text).isWellFormed()).toBe(true);
      }),
    );
  });

  it('puts a line on one line', () => {
    expect(visibleLine('  a\n\n b\u202E ')).toBe('a b[U+202E]');
  });
});

describe('markedPieces', () => {
  it('marks by the offsets of the original, before characters are replaced', () => {
    const text = 'a\u202Eb quote c';
    const start = text.indexOf('quote');
    expect(markedPieces(text, [{ start, end: start + 5 }])).toEqual([
      { text: 'a[U+202E]b ', isMarked: false },
      { text: 'quote', isMarked: true },
      { text: ' c', isMarked: false },
    ]);
  });

  it('bears spans that overlap, are unordered, empty or reach out of the text', () => {
    expect(markedPieces('abcdef', [{ start: 4, end: 99 }, { start: 1, end: 3 }, { start: 2, end: 3 }, { start: 3, end: 3 }, { start: -5, end: -1 }])).toEqual([
      { text: 'a', isMarked: false },
      { text: 'bc', isMarked: true },
      { text: 'd', isMarked: false },
      { text: 'ef', isMarked: true },
    ]);
  });

  it('loses and doubles nothing', () => {
    const span = fc.record({ start: fc.integer({ min: -3, max: 60 }), end: fc.integer({ min: -3, max: 60 }) });
    fc.assert(
      fc.property(fc.string({ maxLength: 50 }), fc.array(span, { maxLength: 8 }), (text, spans) => {
        expect(markedPieces(text, spans).map((piece) => piece.text).join('')).toBe(visibleText(text));
      }),
    );
  });
});

function hit(text: string, bestSentence: number, words: readonly string[] = [], more: Partial<Hit> = {}): Hit {
  const highlights = words.map((word) => ({ start: text.indexOf(word), end: text.indexOf(word) + word.length }));
  return { passage: fakePassage('d', 'D', text), score: 1, rank: 1, paths: [{ kind: 'lexical', rank: 1, score: 1 }], highlights, bestSentence, ...more };
}

const joined = (pieces: readonly { text: string }[]): string => pieces.map((piece) => piece.text).join('');

describe('snippetOf', () => {
  const text = 'First comes one sentence. Then the river Isk is named here. Third sentence follows. And a fourth one ends it.';

  it('shows the best sentence with the words marked', () => {
    const pieces = snippetOf(hit(text, 1, ['river', 'Isk']), 60);
    expect(joined(pieces)).toContain('Then the river Isk is named here.');
    expect(pieces.filter((piece) => piece.isMarked).map((piece) => piece.text)).toEqual(['river', 'Isk']);
    expect(joined(pieces).startsWith('… ')).toBe(true);
    expect(joined(pieces).endsWith(' …')).toBe(true);
  });

  it('shows all of a passage that fits, without an ellipsis', () => {
    expect(joined(snippetOf(hit(text, 2)))).toBe(text);
  });

  it('cuts a sentence that is too long at a word', () => {
    const long = `${'word '.repeat(100)}end.`;
    const shown = joined(snippetOf(hit(long, 0), 100));
    expect(shown.length).toBeLessThanOrEqual(103);
    expect(shown).toMatch(/word …$/);
  });

  it('bears any sentence number', () => {
    for (const n of [-1, 4, 99]) expect(joined(snippetOf(hit(text, n), 40)).length).toBeGreaterThan(0);
  });
});

describe('where and how', () => {
  it('names section and page', () => {
    expect(placeOf({ section: '', page: null })).toBe('');
    expect(fileOf({ corpus: 'own', docId: 'scan_1.pdf', title: 'Clocks' })).toBe('scan_1.pdf');
    expect(fileOf({ corpus: 'own', docId: 'clocks.pdf', title: 'clocks' })).toBe('');
    expect(fileOf({ corpus: 'demo', docId: 'clocks.pdf', title: 'Clocks' })).toBe('');
    expect(placeOf({ section: 'Life', page: 3 })).toBe('Life, page 3');
  });

  it('names every way a passage was found once', () => {
    const paths: Hit['paths'] = [
      { kind: 'lexical', rank: 1, score: 1 },
      { kind: 'dense', rank: 2, score: 1 },
      { kind: 'lexical', rank: 3, score: 1 },
      { kind: 'link', from: 'a', fromTitle: 'Orrin \u202EVale', direction: 'out' },
      { kind: 'link', from: 'b', fromTitle: 'Karr', direction: 'in' },
    ];
    expect(pathLabels(hit('x', 0, [], { paths }))).toEqual(['words', 'meaning', 'link from Orrin [U+202E]Vale', '1 more link']);
  });
});
