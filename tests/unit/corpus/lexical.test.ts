import { describe, expect, test } from 'vitest';
import fc from 'fast-check';
import { AppError } from '../../../src/errors.ts';
import { analyse, queryTerms, termOf, tokenize, weightedQueryTerms } from '../../../src/corpus/analysis.ts';
import { createLexicalBuilder, lexicalDefaults, openLexicalSegment, searchLexical, topPassages, type LexicalFields, type LexicalParameters } from '../../../src/corpus/lexical.ts';

function segmentOf(rows: readonly LexicalFields[]): Uint8Array<ArrayBuffer> {
  const builder = createLexicalBuilder();
  for (const row of rows) builder.add(row);
  return builder.finish();
}

describe('analysis', () => {
  test.each([
    ['Marie Curie’s laboratories', ['marie', 'curie', 'laboratory']],
    ["O'Brien and O’Brien", ['obrien', 'and', 'obrien']],
    ['the U.S.A. and J.R.R. Tolkien', ['the', 'usa', 'and', 'jrr', 'tolkien']],
    ['In the U.S. He went', ['in', 'the', 'us', 'he', 'went']],
    ['1,500 tonnes of 3.14 in 2,000,000', ['1500', 'tonn', 'of', '3.14', 'in', '2000000']],
    ['A b. C d', ['a', 'b', 'c', 'd']],
    ['Łódź, Saint-Lô, Æsir, straße, İstanbul', ['lodz', 'saint', 'lo', 'aesir', 'strass', 'istanbul']],
    ['Ｗｉｄｅ ﬁne', ['wide', 'fine']],
    ['日本語の文章', analyse('日本語の文章')],
    ['ca\u200Bf\u00ADé b\u2060ar \u202Edirection\u202C, word\u200B next', ['cafe', 'bar', 'direction', 'word', 'next']],
    ['__proto__ constructor a_b', ['proto', 'constructor', 'a', 'b']],
    ['😀 \0 \ud800 ‮ …', []],
  ])('%j', (text, terms) => {
    expect(analyse(text)).toEqual(terms);
  });

  test('scripts without spaces are cut into words', () => {
    const terms = analyse('彼は東京大学で物理学を学んだ');
    expect(terms.length).toBeGreaterThan(3);
    expect(terms).toContain('物理');
  });

  test.each([
    ['direct', ['directed', 'directing', 'directs']],
    ['name', ['named', 'names', 'naming']],
    ['plan', ['planned', 'planning', 'plans']],
    ['plane', ['planes']],
    ['marry', ['married', 'marries']],
    ['city', ['cities']],
    ['church', ['churches']],
    ['produce', ['produced', 'produces', 'producing']],
    ['create', ['created', 'creating', 'creates']],
    ['die', ['died', 'dies']],
    ['hero', ['heroes']],
    ['movie', ['movies']],
    ['continue', ['continued', 'continuing', 'continues']],
  ])('forms of %s share a term', (word, forms) => {
    for (const form of forms) expect(termOf(form)).toBe(termOf(word));
  });

  test.each([['king', 'k'], ['thing', 'th'], ['red', 'r'], ['bus', 'bu'], ['paris', 'pari'], ['glass', 'glas'], ['speed', 'spe'], ['spring', 'spr']])(
    '%s does not become %s',
    (word, wrong) => {
      expect(termOf(word)).not.toBe(wrong);
    },
  );

  test('composed and decomposed text give the same terms', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (text) => {
        expect(analyse(text.normalize('NFD'))).toEqual(analyse(text.normalize('NFC')));
      }),
    );
    expect(analyse('Cafe\u0301')).toEqual(['cafe']);
  });

  test('tokens are ordered, do not overlap and stand where they say', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        let end = 0;
        for (const t of tokenize(text)) {
          expect(t.start).toBeGreaterThanOrEqual(end);
          expect(t.end).toBeGreaterThan(t.start);
          expect(t.end).toBeLessThanOrEqual(text.length);
          expect(t.term).not.toBe('');
          end = t.end;
        }
      }),
    );
  });

  test('a question is searched without stop words, unless it has nothing else', () => {
    expect(queryTerms('Who was the director of the film?')).toEqual(['director', 'film']);
    expect(queryTerms('To be or not to be')).toEqual(['not']);
    expect(queryTerms('Who is he?')).toEqual(['who', 'is', 'he']);
    expect(queryTerms('  ')).toEqual([]);
  });

  test('expansions add their weight; what is no number adds nothing', () => {
    const expansions = [{ text: 'films cinema', weight: 0.5 }, { text: 'the cinema', weight: 0.25 }, ...[NaN, 0, -1, Infinity].map((weight) => ({ text: 'zero', weight }))];
    expect(weightedQueryTerms('Which film?', expansions)).toEqual(new Map([['film', 1.5], ['cinema', 0.75]]));
  });

  test('a giant question is bounded', () => {
    const giant = Array.from({ length: 200_000 }, (_, i) => `w${i}`).join(' ');
    expect(queryTerms(giant).length).toBeLessThanOrEqual(128);
  });
});

/** BM25 by the book: fields weighted before saturation, statistics over all rows. */
function reference(rows: readonly LexicalFields[], terms: ReadonlyMap<string, number>, p: LexicalParameters): number[] {
  const fields = rows.map((r) => ({ text: analyse(r.text), title: analyse(r.title), section: analyse(r.section) }));
  const length = fields.map((f) => f.text.length + p.titleBoost * f.title.length + p.sectionBoost * f.section.length);
  const mean = length.reduce((a, b) => a + b, 0) / rows.length;
  const count = (list: string[], term: string): number => list.filter((t) => t === term).length;
  return fields.map((f, i) => {
    let score = 0;
    for (const [term, factor] of terms) {
      const df = fields.filter((g) => [...g.text, ...g.title, ...g.section].includes(term)).length;
      const tf = count(f.text, term) + p.titleBoost * count(f.title, term) + p.sectionBoost * count(f.section, term);
      const norm = p.k1 * (1 - p.b + (p.b * (length[i] ?? 0)) / mean);
      if (tf > 0) score += (factor * Math.log(1 + (rows.length - df + 0.5) / (df + 0.5)) * tf * (p.k1 + 1)) / (tf + norm);
    }
    return score;
  });
}

const word = fc.constantFrom('alpha', 'beta', 'gamma', 'delta', 'omega', 'pi', '1984', 'Ä', '東京');
const field = fc.array(word, { maxLength: 40 }).map((w) => w.join(' '));
const rowsArbitrary = fc.array(fc.record({ title: field, section: field, text: field }), { minLength: 1, maxLength: 12 });

describe('BM25', () => {
  test('equals the formula, over any split into segments', () => {
    fc.assert(
      fc.property(rowsArbitrary, fc.array(word, { maxLength: 4 }), fc.nat(12), fc.constantFrom(0.5, 1, 2), fc.array(fc.record({ text: word, weight: fc.constantFrom(0.25, 0.5, 3) }), { maxLength: 3 }), (rows, query, cut, titleBoost, expansions) => {
        const parameters = { ...lexicalDefaults, titleBoost, sectionBoost: 1.5 };
        const parts = [rows.slice(0, cut), rows.slice(cut)].filter((p) => p.length > 0);
        const segments = parts.map((p, i) => openLexicalSegment(segmentOf(p), `part ${i}`));
        const terms = weightedQueryTerms(query.join(' '), expansions);
        const found = searchLexical(segments, terms, rows.length, parameters);
        const expected = reference(rows, terms, parameters);
        expect(found.all.length).toBe(rows.length);
        found.all.forEach((score, i) => expect(score).toBeCloseTo(expected[i] ?? 0, 4));
        expect(found.count).toBe(expected.filter((s) => s > 0).length);
      }),
    );
  });

  test('high frequencies in every field survive the coding', () => {
    const rows = [
      { title: 'pi '.repeat(7), section: 'pi '.repeat(300), text: 'pi '.repeat(5000) },
      { title: '', section: '', text: 'pi' },
      { title: 'pi', section: '', text: '' },
    ];
    const segment = openLexicalSegment(segmentOf(rows), 'x');
    const seen: number[][] = [];
    segment.eachPosting(segment.find(new TextEncoder().encode('pi')), (...posting) => seen.push(posting));
    expect(seen).toEqual([[0, 5000, 7, 255], [1, 1, 0, 0], [2, 0, 1, 0]]);
    expect(segment.maxima(0)).toEqual({ text: 255, title: 7, section: 255, minLength: 0 });
  });

  test('a removed segment leaves no trace in the statistics', () => {
    const a = openLexicalSegment(segmentOf([{ title: '', section: '', text: 'alpha beta' }, { title: '', section: '', text: 'beta' }]), 'a');
    const b = openLexicalSegment(segmentOf([{ title: '', section: '', text: 'alpha' }]), 'b');
    const alone = searchLexical([a], ['alpha'], 5);
    const both = searchLexical([a, b], ['alpha'], 5);
    expect(both.scores[0]).not.toBe(alone.scores[0]);
    expect(searchLexical([a], ['alpha'], 5)).toEqual(alone);
  });

  test('unknown terms, no terms, no passages', () => {
    const segment = openLexicalSegment(segmentOf([{ title: '', section: '', text: 'alpha' }]), 'x');
    expect(searchLexical([segment], ['nope'], 5).count).toBe(0);
    expect(searchLexical([segment], [], 5).count).toBe(0);
    expect(searchLexical([], ['alpha'], 5).count).toBe(0);
    expect(searchLexical([openLexicalSegment(segmentOf([]), 'empty')], ['alpha'], 5).count).toBe(0);
  });

  test('the same rows give the same bytes', () => {
    const rows = [{ title: 'A', section: 'b', text: 'c d e' }, { title: 'F', section: '', text: 'c c c' }];
    expect(segmentOf(rows)).toEqual(segmentOf(rows));
  });

  test('a segment opens on a view that is not aligned', () => {
    const bytes = segmentOf([{ title: 'Title', section: '', text: 'alpha beta' }]);
    const shifted = new Uint8Array(bytes.length + 1);
    shifted.set(bytes, 1);
    expect(searchLexical([openLexicalSegment(shifted.subarray(1), 'x')], ['beta'], 1).count).toBe(1);
  });
});

describe('a damaged segment', () => {
  const bytes = segmentOf(Array.from({ length: 40 }, (_, i) => ({ title: `t${i % 7}`, section: '', text: `alpha w${i} `.repeat(i + 1) })));

  test('cut or flipped anywhere it gives results or shard/part-invalid, nothing else', () => {
    let refused = 0;
    const attempt = (damaged: Uint8Array): void => {
      try {
        const segment = openLexicalSegment(damaged, 'x');
        for (let t = 0; t < segment.terms; t++) segment.eachPosting(t, () => undefined);
        searchLexical([segment], ['alpha', 'w3', 't1'], 5);
      } catch (error) {
        expect(error).toBeInstanceOf(AppError);
        expect((error as AppError).code).toBe('shard/part-invalid');
        refused++;
      }
    };
    for (let at = 0; at < bytes.length; at++) {
      const damaged = bytes.slice();
      damaged[at] = (damaged[at] ?? 0) ^ (1 << at % 8);
      attempt(damaged);
    }
    for (let length = 0; length < bytes.length; length += 3) attempt(bytes.slice(0, length));
    expect(refused).toBeGreaterThan(bytes.length / 2);
  });

  test('a posting that points outside is refused by every way of reading it', () => {
    const two = segmentOf([{ title: '', section: '', text: 'beta' }, { title: '', section: '', text: 'alpha' }]);
    const at = two.lastIndexOf(3); // alpha, the first term: distance 1, plain
    two[at] = 5;
    const segment = openLexicalSegment(two, 'x');
    expect(() => segment.eachPosting(0, () => undefined)).toThrow(/outside/);
    expect(() => searchLexical([segment], ['alpha'], 1)).toThrow(AppError);
  });

  test('counts that would wrap around 32 bits are refused', () => {
    const empty = segmentOf([]);
    new DataView(empty.buffer).setUint32(8, 0x40000000, true);
    expect(() => openLexicalSegment(empty, 'x')).toThrow(AppError);
  });

  test('huge announced counts allocate nothing', () => {
    for (const at of [8, 12, 28, 32]) {
      const damaged = bytes.slice();
      new DataView(damaged.buffer).setUint32(at, 0x80000000, true);
      expect(() => openLexicalSegment(damaged, 'x')).toThrow(AppError);
    }
  });
});

test('topPassages sorts like a full sort, ties to the lower ordinal', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 5 })), fc.nat(20), (values, k) => {
      const scores = Float32Array.from(values);
      const expected = values
        .map((score, ordinal) => ({ score, ordinal }))
        .filter((p) => p.score > 0)
        .sort((a, b) => b.score - a.score || a.ordinal - b.ordinal)
        .slice(0, k);
      const found = topPassages(scores, k);
      expect(Array.from(found.ordinals)).toEqual(expected.map((p) => p.ordinal));
      expect(Array.from(found.scores)).toEqual(expected.map((p) => p.score));
    }),
  );
});
