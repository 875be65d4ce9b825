import { describe, expect, test } from 'vitest';
import fc from 'fast-check';
import { AppError } from '../../../src/errors.ts';
import { analyse, englishAnalysis, hasPhrase, queryTerms, quotedPhrases, termOf, tokenize, weightedQueryTerms, wordsAnalysis, type Analysis } from '../../../src/corpus/analysis.ts';
import { blockPostings, layout, olderEntryBytes, olderVersion, readEntries, type SegmentSizes } from '../../../src/corpus/lexical-format.ts';
import { openTables, postingList, type PostingList } from '../../../src/corpus/lexical-tables.ts';
import { createTop } from '../../../src/corpus/lexical-top.ts';
import { createLexicalBuilder, type LexicalFields } from '../../../src/corpus/lexical-builder.ts';
import { documentFrequencies } from '../../../src/corpus/frequencies.ts';
import { defaultScheme, lexicalDefaults, openLexicalSegment, scoreLexical, searchLexical, type LexicalParameters } from '../../../src/corpus/lexical.ts';

function segmentOf(rows: readonly LexicalFields[], analysis?: Analysis): Uint8Array<ArrayBuffer> {
  const builder = createLexicalBuilder(analysis);
  for (const row of rows) builder.add(row);
  return builder.finish();
}

function sizesOf(segment: Uint8Array): SegmentSizes {
  const view = new DataView(segment.buffer, segment.byteOffset);
  const h = (i: number): number => view.getUint32(4 * i, true);
  const entryBytes = h(1) === olderVersion ? olderEntryBytes(h(3)) : h(14);
  return { passages: h(2), terms: h(3), termBytes: h(7), postingBytes: h(8), blocks: h(10), titles: h(11), words: h(12), wordBytes: h(13), entryBytes };
}

/** The same segment as version 2 has it: tables of u32 for the entries. */
function asOlder(segment: Uint8Array): Uint8Array<ArrayBuffer> {
  const sizes = sizesOf(segment);
  const at = layout(sizes);
  const { terms } = sizes;
  const entries = readEntries(segment.subarray(at.entries, at.entries + sizes.entryBytes), sizes);
  if (entries === null) throw new Error('not a sound segment');
  const tables = new Uint32Array(3 * terms + 2);
  tables.set(entries.termOffsets);
  tables.set(entries.postingOffsets, terms + 1);
  tables.set(entries.frequencies, 2 * terms + 2);
  const parts = [segment.subarray(0, at.entries), new Uint8Array(tables.buffer), segment.subarray(at.maxima)];
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  parts.reduce((end, part) => (out.set(part, end), end + part.length), 0);
  const view = new DataView(out.buffer);
  view.setUint32(4, olderVersion, true);
  view.setUint32(56, 0, true);
  return out;
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
    for (const text of ['É.T.A. Hoffmann', 'a É.', 'É.é.', 'U.S.É', 'o.É.x.']) expect(analyse(text.normalize('NFD')), text).toEqual(analyse(text));
  });

  test('tokens are ordered, do not overlap and stand where they say', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        let end = 0;
        const wrong = tokenize(text).filter((t) => {
          const isRight = t.start >= end && t.end > t.start && t.end <= text.length && t.term !== '';
          end = t.end;
          return !isRight;
        });
        expect(wrong).toEqual([]);
      }),
    );
  });

  test('without a stemmer words keep their endings, and there are as many terms', () => {
    expect(analyse('Curie’s laboratories, Łódź 1,500', wordsAnalysis)).toEqual(['curie', 'laboratories', 'lodz', '1500']);
    expect(queryTerms('Who does the filming?', wordsAnalysis)).toEqual(['filming']);
    fc.assert(fc.property(fc.string({ unit: 'grapheme' }), (text) => analyse(text, wordsAnalysis).length === analyse(text, englishAnalysis).length));
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

  test('phrases stand in quotation marks and are compared by terms', () => {
    expect(quotedPhrases('Who sang "the Green Tides" and “Red”, or "" or "unclosed')).toEqual([['the', 'green', 'tide'], ['red']]);
    expect(hasPhrase('It was the green tide.', ['the', 'green', 'tide'])).toBe(true);
    expect(hasPhrase('It was the tide, green.', ['green', 'tide'])).toBe(false);
    expect(hasPhrase('', ['a'])).toBe(false);
  });

  test('a giant question is bounded', () => {
    const giant = Array.from({ length: 200_000 }, (_, i) => `w${i}`).join(' ');
    expect(queryTerms(giant).length).toBeLessThanOrEqual(128);
  });
});

/** Numbers in [0, 1), the same for the same seed (mulberry32). */
function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** BM25 by the book: fields weighted before saturation, statistics over all rows. */
function reference(rows: readonly LexicalFields[], terms: ReadonlyMap<string, number>, p: LexicalParameters, schemeAt = (_row: number) => defaultScheme): number[] {
  const fields = rows.map((r) => ({ text: analyse(r.text), title: analyse(r.title), section: analyse(r.section) }));
  const length = fields.map((f) => f.text.length + p.titleBoost * f.title.length + p.sectionBoost * f.section.length);
  const mean = length.reduce((a, b) => a + b, 0) / rows.length;
  const count = (list: string[], term: string): number => list.filter((t) => t === term).length;
  return fields.map((f, i) => {
    let score = 0;
    for (const [term, factor] of terms) {
      const df = fields.filter((g) => [...g.text, ...g.title, ...g.section].includes(term)).length;
      const tf = count(f.text, term) + p.titleBoost * count(f.title, term) + p.sectionBoost * count(f.section, term);
      const { k1, b } = schemeAt(i);
      const norm = k1 * (1 - b + (b * (length[i] ?? 0)) / mean);
      if (tf > 0) score += (factor * Math.log(1 + (rows.length - df + 0.5) / (df + 0.5)) * tf * (k1 + 1)) / (tf + norm);
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
        const schemes = [defaultScheme, { ...defaultScheme, k1: 0.6, b: 0.3 }];
        const segments = parts.map((p, i) => openLexicalSegment(segmentOf(p), `part ${i}`, schemes[i]));
        const terms = weightedQueryTerms(query.join(' '), expansions);
        const found = scoreLexical(segments, terms, rows.length, parameters);
        const expected = reference(rows, terms, parameters, (row) => (row < (parts[0]?.length ?? 0) ? schemes[0] : schemes[1]) ?? defaultScheme);
        expected.forEach((score, i) => expect(Math.abs(found.scoreOf(i) - score)).toBeLessThanOrEqual(2e-7 * score));
        expect(found.count).toBe(expected.filter((s) => s > 0).length);
      }),
    );
  });

  test('ending early gives the passages and scores of the full evaluation, to the last bit', () => {
    const skewed = fc.tuple(fc.integer({ min: 1, max: 700 }), fc.integer(), fc.integer({ min: 1, max: 3 }));
    const query = fc.array(fc.record({ text: fc.nat(14).map((n) => `v${n}`), weight: fc.constantFrom(1, 0.5, 40) }), { minLength: 1, maxLength: 9 });
    let dirty = 0;
    fc.assert(
      fc.property(skewed, query, fc.integer({ min: 1, max: 130 }), fc.constantFrom(0.5, 1, 2.5), ([size, seed, parts], words, k, titleBoost) => {
        const random = randomOf(seed);
        // Word n stands in about one of 1.5^n passages, so that some lists have many blocks and some a few postings.
        const rows = Array.from({ length: size }, () => {
          const text = Array.from({ length: 15 }, (_, n) => (random() < 1.5 ** -n ? `v${n} `.repeat(1 + Math.floor(random() ** 4 * 20)) : '')).join('');
          return { title: random() < 0.2 ? `v${Math.floor(random() * 15)}` : '', section: random() < 0.1 ? 'v3' : '', text: text + 'x '.repeat(random() * 300) };
        });
        const step = Math.ceil(size / parts);
        const segments = Array.from({ length: parts }, (_, i) => openLexicalSegment(segmentOf(rows.slice(i * step, (i + 1) * step)), `part ${i}`));
        const terms = weightedQueryTerms('', words);
        const parameters = { ...lexicalDefaults, titleBoost, sectionBoost: 0.7 };
        const full = scoreLexical(segments, terms, k, parameters);
        // The arrays of a segment serve one search after the other.
        for (let round = 0; round < 2; round++) {
          const found = searchLexical(segments, terms, k, parameters);
          expect(Array.from(found.ordinals)).toEqual(Array.from(full.ordinals));
          expect(Array.from(found.scores)).toEqual(Array.from(full.scores));
          for (let i = 0; i < size; i += 7) expect(found.scoreOf(i)).toBe(full.scoreOf(i));
        }
        for (const segment of segments) dirty += segment.scratch().scores.some((score) => score !== 0) ? 1 : 0;
      }),
      { numRuns: 30 },
    );
    expect(dirty).toBe(0);
  }, 60_000);

  test('ending early by block maxima gives the full evaluation, to the last bit', () => {
    const random = randomOf(7);
    // Word n stands in about one of 1.7^n passages; a common one repeats in bursts, so that its blocks differ.
    const rows = Array.from({ length: 4000 }, (_, i) => {
      const burst = Math.floor(i / 100) % 5 === 0 ? 12 : 1;
      const text = Array.from({ length: 13 }, (_, n) => (random() < 1.7 ** -n ? `v${n} `.repeat(1 + Math.floor(random() ** 3 * burst)) : '')).join('');
      return { title: '', section: '', text: text + 'x '.repeat(random() * 60) };
    });
    const segment = openLexicalSegment(segmentOf(rows), 'x');
    for (let query = 0; query < 150; query++) {
      const terms = new Map(Array.from({ length: 2 + (query % 5) }, () => [`v${Math.floor(random() * 13)}`, random() < 0.3 ? 0.3 : 1]));
      const k = [1, 5, 20][query % 3] ?? 1;
      const full = scoreLexical([segment], terms, k);
      const found = searchLexical([segment], terms, k);
      expect(Array.from(found.ordinals)).toEqual(Array.from(full.ordinals));
      expect(Array.from(found.scores)).toEqual(Array.from(full.scores));
    }
  }, 20_000);

  test('each segment is searched by its own k1 and b, early or in full', () => {
    const rows = [{ title: '', section: '', text: `alpha ${'x '.repeat(50)}` }, { title: '', section: '', text: 'alpha alpha alpha' }];
    const schemes = [defaultScheme, { ...defaultScheme, k1: 0 }, { ...defaultScheme, b: 0 }];
    const segments = schemes.map((scheme, i) => openLexicalSegment(segmentOf(rows), `part ${i}`, scheme));
    for (const find of [searchLexical, scoreLexical]) {
      const score = find(segments, ['alpha'], 9).scoreOf;
      const idf = find(segments, ['alpha'], 9).weights().get('alpha') ?? 0;
      expect(score(0)).toBeLessThan(score(1));
      expect(score(2)).toBeCloseTo(idf, 6); // k1 = 0: neither frequency nor length counts
      expect(score(3)).toBeCloseTo(idf, 6);
      expect(score(4)).toBeCloseTo(idf, 6); // b = 0, one occurrence: 2.2 / (1 + 1.2)
      expect(score(5)).toBeCloseTo((idf * 3 * 2.2) / (3 + 1.2), 6);
    }
  });

  test('segments of two analyses are searched together, each by its own terms, with common frequencies', () => {
    const row = (text: string): LexicalFields => ({ title: '', section: '', text });
    const rows = [row('the film'), row('films and films'), row('a cinema')];
    const stemmed = openLexicalSegment(segmentOf(rows), 'stemmed');
    const exact = openLexicalSegment(segmentOf(rows, wordsAnalysis), 'exact', { ...defaultScheme, analysis: wordsAnalysis });
    const terms = (analysis: Analysis): Map<string, number> => weightedQueryTerms('Which films?', [{ text: 'cinemas', weight: 0.5 }], analysis);
    for (const find of [searchLexical, scoreLexical]) {
      const found = find([stemmed, exact], terms, 9);
      expect(Array.from(found.ordinals).sort()).toEqual([0, 1, 2, 4]);
      // Two stemmed passages with the word and one exact: three of six.
      expect(found.weights().get('film')).toBeCloseTo(Math.log(1 + 3.5 / 3.5), 6);
      expect(found.weights(wordsAnalysis)).toEqual(new Map([['films', found.weights().get('film')], ['cinemas', found.weights().get('cinema')]]));
      expect(found.forms('film', wordsAnalysis)).toEqual(['films']);
      expect(Array.from(find([exact], terms, 9).ordinals)).toEqual([1]);
      expect(Array.from(find([exact, stemmed], terms, 9).ordinals).sort()).toEqual([1, 3, 4, 5]);
    }
    expect(documentFrequencies([stemmed, exact], ['films', 'film cinemas', ''])).toEqual([3, 1, 0]);
  });

  test('absurd weights keep the order', () => {
    const segment = openLexicalSegment(segmentOf([{ title: '', section: '', text: 'alpha beta' }, { title: '', section: '', text: 'beta beta' }]), 'x');
    for (const weight of [1e-12, 1e12, 1e300]) {
      const found = searchLexical([segment], weightedQueryTerms('', [{ text: 'alpha', weight }, { text: 'beta', weight: weight / 100 }]), 2);
      expect(Array.from(found.ordinals)).toEqual([0, 1]);
    }
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

  test('a segment of version 2 gives what one of version 3 gives', () => {
    const random = randomOf(3);
    const rows = Array.from({ length: 500 }, (_, i) => {
      const words = Array.from({ length: 40 }, () => `w${Math.floor(random() ** 3 * 3000)}`);
      return { title: `Title ${i % 50}`, section: i % 3 === 0 ? 'w1' : '', text: words.join(' ') };
    });
    const bytes = segmentOf(rows);
    const older = asOlder(bytes);
    expect(bytes.length).toBeLessThan(older.length);
    const [a, b] = [openLexicalSegment(bytes, 'a'), openLexicalSegment(older, 'b')];
    b.check();
    for (let t = 0; t < a.terms; t++) {
      const seen: [number[][], number[][]] = [[], []];
      a.eachPosting(t, (...posting) => seen[0].push(posting));
      b.eachPosting(t, (...posting) => seen[1].push(posting));
      expect(seen[0]).toEqual(seen[1]);
      expect(seen[0].length).toBe(a.documentFrequency(t));
    }
    expect(Array.from({ length: a.words }, (_, n) => a.wordAt(n))).toEqual(Array.from({ length: b.words }, (_, n) => b.wordAt(n)));
    expect(Array.from({ length: a.titles }, (_, n) => a.titleAt(n))).toEqual(Array.from({ length: b.titles }, (_, n) => b.titleAt(n)));
    for (const text of ['w1 w7', 'title w2999 w0', 'w12 w13 w14 nothing']) {
      const { scores, ordinals } = searchLexical([a], queryTerms(text), 20);
      expect(scores.length).toBeGreaterThan(0);
      expect(searchLexical([b], queryTerms(text), 20)).toMatchObject({ scores, ordinals });
    }
  });

  test('a removed segment leaves no trace in the statistics', () => {
    const a = openLexicalSegment(segmentOf([{ title: '', section: '', text: 'alpha beta' }, { title: '', section: '', text: 'beta' }]), 'a');
    const b = openLexicalSegment(segmentOf([{ title: '', section: '', text: 'alpha' }]), 'b');
    const { scoreOf: _, forms: __, weights, ...alone } = searchLexical([a], ['alpha'], 5);
    const both = searchLexical([a, b], ['alpha'], 5);
    expect(both.scores[0]).not.toBe(alone.scores[0]);
    expect(searchLexical([a], ['alpha'], 5)).toMatchObject(alone);
    expect(searchLexical([a], ['alpha'], 5).weights()).toEqual(weights());
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
  const few = segmentOf(Array.from({ length: 40 }, (_, i) => ({ title: `t${i % 7}`, section: '', text: `alpha w${i} `.repeat(i + 1) })));
  const many = segmentOf(Array.from({ length: 400 }, (_, i) => ({ title: `t${i % 5}`, section: '', text: `alpha w${i % 3} ${i % 20 === 0 ? 'beta' : ''}` })));

  /** Every way of reading a segment; true if it was refused. */
  function isRefused(damaged: Uint8Array, deep: boolean): boolean {
    try {
      const segment = openLexicalSegment(damaged, 'x');
      if (deep) segment.check();
      for (const k of [1, 5]) {
        const found = searchLexical([segment], ['alpha', 'beta', 'w3', 't1'], k);
        expect(Array.from(found.ordinals).every((ordinal) => ordinal < segment.passages && found.scoreOf(ordinal) > 0)).toBe(true);
      }
      for (let n = 0; n < segment.titles; n++) segment.titleAt(n);
      for (let n = 0; n < segment.words; n++) segment.wordAt(n);
      return false;
    } catch (error) {
      expect(error).toBeInstanceOf(AppError);
      expect((error as AppError).code).toBe('shard/part-invalid');
      return true;
    }
  }

  test.each([['few passages', few, 7], ['blocks', many, 13]])('cut or flipped anywhere it gives results or shard/part-invalid, nothing else: %s', (_, bytes, step) => {
    let refused = 0;
    let tried = 0;
    for (let at = 0; at < bytes.length; at += step) {
      const damaged = bytes.slice();
      damaged[at] = (damaged[at] ?? 0) ^ (1 << Math.floor(at / step) % 8);
      isRefused(damaged, false);
      refused += isRefused(damaged, true) ? 1 : 0;
      tried++;
    }
    // What may be another value without a contradiction: lengths, letters of terms and words, numbers of words.
    expect(refused).toBeGreaterThan(tried / 4);
    for (let length = 0; length < bytes.length; length += 41) expect(isRefused(bytes.slice(0, length), false)).toBe(true);
  });

  test('random bytes behind a sound header neither hang nor throw anything else', () => {
    fc.assert(
      fc.property(fc.integer(), fc.constantFrom(few, many), (seed, bytes) => {
        const random = randomOf(seed);
        const damaged = bytes.slice();
        const from = 64 + Math.floor(random() * (bytes.length - 64));
        for (let at = from; at < Math.min(bytes.length, from + 200); at++) damaged[at] = random() * 256;
        isRefused(damaged, false);
        isRefused(damaged, true);
      }),
    );
  });

  test('maxima and blocks that do not fit the postings are found by the deep check', () => {
    const segment = openLexicalSegment(many, 'x');
    const alpha = segment.find(new TextEncoder().encode('alpha'));
    const at = layout(sizesOf(many));
    for (const [offset, reason] of [[at.maxima + 4 * alpha, /does not fit/], [at.blocks + 8, /does not fit/], [at.blocks, /does not fit/], [at.blocks + 16, /where it should be/]] as const) {
      const damaged = many.slice();
      damaged[offset] = (damaged[offset] ?? 0) ^ 1;
      expect(() => openLexicalSegment(damaged, 'x').eachPosting(alpha, () => undefined)).toThrow(reason);
      expect(() => openLexicalSegment(damaged, 'x').check()).toThrow(reason);
    }
  });

  /** Whether the postings of all terms are sound, told number by number as the format is written down. */
  function isSound(bytes: Uint8Array): boolean {
    const tables = openTables(bytes, 'x');
    const { terms, passages, postings, blocks, maxima, textLengths } = tables;
    const isWithin = (packed: number, frequencies: readonly number[], length: number): boolean =>
      frequencies.every((frequency, field) => Math.min(frequency, 255) <= ((packed >>> (8 * field)) & 0xff)) && Math.min(length, 255) >= packed >>> 24;
    for (let term = 0; term < terms; term++) {
      let list: PostingList;
      try {
        list = postingList(tables, term);
      } catch {
        return false;
      }
      let p = list.start + (list.first < 0 ? 0 : 4);
      const varint = (): number => {
        for (let value = 0, n = 0; n < 5 && p < list.end; n++) {
          const byte = postings[p++] ?? 0;
          value += (byte % 128) * 128 ** n;
          if (byte < 128) return value < 2 ** 32 ? value : NaN;
        }
        return NaN;
      };
      let ordinal = -1;
      for (let i = 0; i < list.postings; i++) {
        const block = 3 * (list.first + Math.floor(i / blockPostings));
        if (list.first >= 0 && i % blockPostings === 0 && p !== list.start + (blocks[block + 1] ?? 0)) return false;
        const coded = varint();
        ordinal += Math.floor(coded / 2) + 1;
        if (!(ordinal < passages)) return false;
        let frequencies = [1, 0, 0];
        if (coded % 2 === 0) {
          const packed = postings[p++] ?? 0;
          const short = [packed % 16, Math.floor(packed / 16) % 4, Math.floor(packed / 64)];
          frequencies = short.map((frequency, field) => (frequency === (field === 0 ? 15 : 3) ? frequency + varint() : frequency));
          if (frequencies.some(Number.isNaN)) return false;
        }
        const length = textLengths[ordinal] ?? 0;
        if (!isWithin(maxima[term] ?? 0, frequencies, length)) return false;
        if (list.first < 0) continue;
        if (!isWithin(blocks[block + 2] ?? 0, frequencies, length)) return false;
        if ((i === list.postings - 1 || (i + 1) % blockPostings === 0) && blocks[block] !== ordinal) return false;
      }
      if (p !== list.end) return false;
    }
    return true;
  }

  test('the check of a segment finds what reading its postings number by number finds, wherever a byte changes', () => {
    const rich = segmentOf(
      Array.from({ length: 300 }, (_, i) => ({ title: 'alpha '.repeat(i % 6), section: 'beta '.repeat(i % 5), text: `alpha ${'beta '.repeat(i % 20)} w${i % 90} ${'x '.repeat(i % 290)}` })),
    );
    const found = { sound: 0, refused: 0 };
    fc.assert(
      fc.property(fc.constantFrom(few, many, rich, asOlder(many)), fc.nat(), fc.integer({ min: 1, max: 255 }), (bytes, place, change) => {
        const at = layout(sizesOf(bytes));
        const damaged = bytes.slice();
        // Half of the changes among the postings, maxima and blocks, where the check has most to tell.
        const [from, to] = place % 2 === 0 ? [64, bytes.length] : place % 4 === 1 ? [at.postings, bytes.length] : [at.maxima, at.titleOrder];
        const byte = from + (Math.floor(place / 4) % Math.max(1, to - from));
        damaged[byte] = (damaged[byte] ?? 0) ^ change;
        const segment = ((): ReturnType<typeof openLexicalSegment> | null => {
          try {
            return openLexicalSegment(damaged, 'x');
          } catch (error) {
            expect((error as AppError).code).toBe('shard/part-invalid');
            return null;
          }
        })();
        if (segment === null) return;
        if (isSound(damaged)) {
          segment.check();
          found.sound++;
        } else {
          expect(() => segment.check()).toThrow(AppError);
          found.refused++;
        }
      }),
      { numRuns: 3000 },
    );
    expect(found.sound).toBeGreaterThan(300);
    expect(found.refused).toBeGreaterThan(300);
  }, 60_000);

  test('entries of terms that are cut off, too long or do not sum up are refused at opening', () => {
    const sizes = { ...sizesOf(few), terms: 2, termBytes: 300, postingBytes: 0xffffffff };
    const sound = [0xaa, 1, 0x82, 1, 0xfe, 0xff, 0xff, 0xff, 0x0f, 1, 0xff, 0xff, 0xff, 0xff, 0x0f, 9]; // 170 + 130; 2^32 - 2 + 1; 2^32 - 1, 9
    expect(readEntries(Uint8Array.from(sound), sizes)).toEqual({
      termOffsets: Uint32Array.of(0, 170, 300), postingOffsets: Uint32Array.of(0, 0xfffffffe, 0xffffffff), frequencies: Uint32Array.of(0xffffffff, 9),
    });
    for (let length = 0; length < sound.length; length++) expect(readEntries(Uint8Array.from(sound.slice(0, length)), sizes)).toBeNull();
    expect(readEntries(Uint8Array.from([...sound, 0]), sizes)).toBeNull();
    for (const [at, byte] of [[0, 0xab], [2, 0x83], [8, 0x10], [8, 0x8f], [9, 2], [14, 0x1f]] as const) {
      expect(readEntries(Uint8Array.from(sound.with(at, byte)), sizes), `byte ${at}`).toBeNull();
    }
    expect(readEntries(Uint8Array.from(sound), { ...sizes, terms: 0xffffffff })).toBeNull();
    // In a segment: one more byte of text for a term, one more of postings.
    const { entries } = layout(sizesOf(many));
    for (const at of [entries, entries + sizesOf(many).terms]) {
      const damaged = many.slice();
      damaged[at] = (damaged[at] ?? 0) + 1;
      expect(() => openLexicalSegment(damaged, 'x')).toThrow(/entries of its terms/);
    }
  });

  test('the entries of any segment are read as they were written', () => {
    fc.assert(
      fc.property(fc.array(fc.record({ word: fc.stringMatching(/^[a-z]{1,60}$/), times: fc.integer({ min: 1, max: 400 }) }), { maxLength: 30 }), (list) => {
        const rows = Array.from({ length: 400 }, (_, i) => ({ title: '', section: '', text: list.filter(({ times }) => i < times).map(({ word }) => word).join(' ') }));
        const segment = openLexicalSegment(segmentOf(rows, wordsAnalysis), 'x', { ...defaultScheme, analysis: wordsAnalysis });
        segment.check();
        const frequencies = new Map<string, number>();
        for (const { word, times } of list) frequencies.set(word, Math.max(times, frequencies.get(word) ?? 0));
        expect(segment.terms).toBe(frequencies.size);
        for (const [word, times] of frequencies) expect(segment.documentFrequency(segment.find(new TextEncoder().encode(word)))).toBe(times);
      }),
      { numRuns: 50 },
    );
  });

  test('an index of the version before says that the shard must be built anew', () => {
    const old = few.slice();
    old[4] = 1;
    expect(() => openLexicalSegment(old, 'x')).toThrow(/version 1, this app reads 3: the shard must be built anew/);
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
    for (const at of [8, 12, 28, 32, 40, 44, 48, 52, 56]) {
      const damaged = few.slice();
      new DataView(damaged.buffer).setUint32(at, 0x80000000, true);
      expect(() => openLexicalSegment(damaged, 'x')).toThrow(AppError);
    }
  });
});

test('the best passages are those of a full sort, ties to the lower ordinal, in whatever order they come', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 5 })), fc.nat(20), fc.integer(), (scores, k, seed) => {
      const rows = scores.map((score, ordinal) => ({ score, ordinal }));
      const expected = rows.filter((p) => p.score > 0).sort((a, b) => b.score - a.score || a.ordinal - b.ordinal).slice(0, k);
      const top = createTop(k);
      for (const { score, ordinal } of rows.toSorted((a, b) => Math.imul(a.ordinal + 1, seed | 1) - Math.imul(b.ordinal + 1, seed | 1))) {
        expect(top.offer(ordinal, score)).toBe(top.floor());
      }
      const found = top.finish(2);
      expect(Array.from(found.ordinals)).toEqual(expected.map((p) => p.ordinal));
      expect(Array.from(found.scores)).toEqual(expected.map((p) => p.score / 2));
    }),
  );
});
