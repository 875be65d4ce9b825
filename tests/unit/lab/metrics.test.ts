import { describe, expect, test } from 'vitest';
import fc from 'fast-check';
import type { Answer, Evidence } from '../../../src/agent/events.ts';
import {
  allSupport, answerHit, bestOverlap, containsAnswer, containsSubstring, exactMatch, foldAccents, isGold, isVerbatim, normaliseAnswer, scoreAnswer,
  groupSufficiency, ndcg, reciprocalRank, scoreCitations, scoreRetrieval, scoreSupport, supportRecall, tokenOverlap,
} from '../../../src/lab/metrics.ts';

import { passage, toyPassages } from '../../fixtures/toy.ts';

describe('normalisation (METHODS 6.1)', () => {
  test.each([
    ['The  Beatles!', 'beatles'],
    ['the-cat', 'thecat'],
    ['A man, an hour & the end', 'man hour end'],
    ["O'Neill's", 'oneills'],
    ['theatre of another art', 'theatre of another art'],
    // A letter with an accent is a letter: no word border after it.
    ['éa théa', 'éa théa'],
    ['a naïve an', 'naïve'],
    ['Beyoncé', 'beyoncé'],
    ['the', ''],
    ['  \u00a0 ', ''],
    ['a_b', 'ab'],
    ['12 – 13', '12 – 13'],
  ])('%j becomes %j', (input, expected) => {
    expect(normaliseAnswer(input)).toBe(expected);
  });

  test('no article, no double and no outer space is left, whatever comes in', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        const once = normaliseAnswer(text);
        expect(once).toBe(once.trim());
        expect(once).not.toMatch(/\s{2}/);
        expect(once).not.toMatch(/(?:^| )(?:a|an|the)(?: |$)/);
      }),
    );
  });

  test('accents are folded only in the variant', () => {
    expect(foldAccents('Beyoncé Ångström')).toBe('Beyonce Angstrom');
    expect(scoreAnswer('Beyonce', ['Beyoncé'])).toMatchObject({ em: 0, emFolded: 1 });
  });
});

describe('answers (METHODS 6.2, 14.1)', () => {
  test('EM over aliases', () => {
    expect(exactMatch('The river Isk.', ['Isk', 'river Isk'])).toBe(1);
    expect(exactMatch('Iskar', ['Isk', 'river Isk'])).toBe(0);
  });

  test('F1 counts tokens as a multiset', () => {
    // Prediction {kearney, nebraska}, gold {kearney}: P 1/2, R 1.
    expect(tokenOverlap('Kearney, Nebraska', 'Kearney')).toEqual({ precision: 0.5, recall: 1, f1: 2 / 3 });
    expect(tokenOverlap('new new york', 'New York')).toEqual({ precision: 2 / 3, recall: 1, f1: 0.8 });
    expect(tokenOverlap('Karr', 'Isk').f1).toBe(0);
  });

  test('the best alias counts', () => {
    expect(bestOverlap('river Isk', ['Isk', 'river Isk']).f1).toBe(1);
  });

  test('yes, no and noanswer match only themselves', () => {
    expect(tokenOverlap('yes', 'yes').f1).toBe(1);
    expect(tokenOverlap('yes it is', 'yes').f1).toBe(0);
    expect(tokenOverlap('no', 'no one').f1).toBe(0);
    expect(tokenOverlap('noanswer', 'noanswer here').f1).toBe(0);
    expect(tokenOverlap('Yes.', 'yes').f1).toBe(1);
  });

  test('empty texts match only each other, and no gold answer asks for silence', () => {
    expect(tokenOverlap('', '').f1).toBe(1);
    expect(tokenOverlap('the', '').f1).toBe(1);
    expect(tokenOverlap('', 'Isk').f1).toBe(0);
    expect(tokenOverlap('Isk', '').f1).toBe(0);
    expect(scoreAnswer('', [])).toMatchObject({ em: 1, f1: 1, acc: 1, accSubstring: 1, words: 0 });
    expect(scoreAnswer('Isk', [])).toMatchObject({ em: 0, f1: 0, acc: 0, accSubstring: 0, words: 1 });
  });

  test('containment by tokens does not find "art" in "part"', () => {
    expect(containsAnswer('a part of it', ['art'])).toBe(0);
    expect(containsSubstring('a part of it', ['art'])).toBe(1);
    expect(containsAnswer('born in Kearney, Nebraska in 1970', ['Kearney Nebraska'])).toBe(1);
    expect(containsAnswer('Nebraska Kearney', ['Kearney Nebraska'])).toBe(0);
    expect(containsAnswer('', ['Isk'])).toBe(0);
  });

  test('an answer that is right is right by every measure, and F1 lies between 0 and 1', () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), (prediction, gold) => {
        const scores = scoreAnswer(prediction, [gold]);
        expect(scores.f1).toBeGreaterThanOrEqual(0);
        expect(scores.f1).toBeLessThanOrEqual(1);
        if (scores.em === 1) expect(scores).toMatchObject({ f1: 1, acc: 1, accSubstring: 1, emFolded: 1 });
        if (scores.acc === 1) expect(scores.accSubstring).toBe(1);
        expect(scoreAnswer(gold, [gold]).em).toBe(1);
      }),
    );
  });
});

describe('retrieval (METHODS 6.4)', () => {
  const [d1, d2, d3, d4, d5] = toyPassages as [typeof toyPassages[0], typeof toyPassages[0], typeof toyPassages[0], typeof toyPassages[0], typeof toyPassages[0]];
  const gold = [{ kind: 'id', id: 'd1' }, { kind: 'id', id: 'd3' }] as const;

  test('the three trajectories of the toy case reach 2, 1 and 0 of 2', () => {
    const z1 = [[d2, d1], [d1, d2], [d3]];
    const z2 = [[d2, d4], [d1, d2]];
    const z3 = [[d4, d5], [d5]];
    const question = { gold, answers: ['Isk', 'river Isk'], type: 'bridge' };
    expect([z1, z2, z3].map((searches) => scoreRetrieval(searches, [], question).trajectory)).toEqual([1, 0.5, 0]);
    expect(scoreRetrieval(z1, [d1], question)).toMatchObject({ recall5: 0.5, all5: 0, allTrajectory: 1, curated: 0.5, dropped: 0.5 });
    expect(scoreRetrieval(z1, [d1, d3], question)).toMatchObject({ curated: 1, dropped: 0 });
    // Without a search nothing was found, but there is no first search to judge.
    expect(scoreRetrieval([], [], question)).toMatchObject({ trajectory: 0, allTrajectory: 0, recall5: null, all10: null, hit5: null, curated: 0 });
    // The sixth of a search was found, but hardly shown.
    expect(scoreRetrieval([[d2, d2, d2, d2, d2, d1], [d3]], [], question)).toMatchObject({ trajectory: 1, trajectory5: 0.5 });
  });

  test('recall and all-gold at k', () => {
    expect(supportRecall([d2, d1, d4, d3], gold, 2)).toBe(0.5);
    expect(supportRecall([d2, d1, d4, d3], gold, 4)).toBe(1);
    expect(allSupport([d2, d1, d4, d3], gold, 3)).toBe(0);
    expect(allSupport([d2, d1, d4, d3], gold, 4)).toBe(1);
    expect(supportRecall([d1], [])).toBeNull();
    expect(allSupport([d1], [])).toBeNull();
  });

  test('any passage of a gold document counts; another document of the same title does not', () => {
    const cut = { ...d1, id: 'shard/2w-1#3', docId: '2w-1' };
    expect(isGold(cut, { kind: 'id', id: '2w-1' })).toBe(true);
    expect(isGold(cut, { kind: 'id', id: '2w-12' })).toBe(false);
    expect(isGold(cut, { kind: 'id', id: '2w-' })).toBe(false);
    expect(isGold({ ...cut, docId: 'hp-9', id: 'shard/hp-9' }, { kind: 'id', id: '2w-1' })).toBe(false);
  });

  test('a page with a quote counts only where the quote stands', () => {
    expect(isGold(d1, { kind: 'page', title: 'Orrin Vale', quote: 'He was the founder of\nVale Glassworks.' })).toBe(true);
    expect(isGold(d1, { kind: 'page', title: 'Orrin Vale', quote: 'He was the baker.' })).toBe(false);
    expect(isGold(d2, { kind: 'page', title: 'Orrin Vale', quote: '' })).toBe(false);
    expect(isGold(d1, { kind: 'page', title: 'Orrin Vale', quote: '' })).toBe(true);
  });

  test('answer hit@k is left open for yes/no answers, comparisons and unanswerable questions', () => {
    expect(answerHit([d2, d3], ['Isk'], 'bridge', 2)).toBe(1);
    expect(answerHit([d2, d3], ['Isk'], 'bridge', 1)).toBe(0);
    expect(answerHit([d2, d3], ['yes'], null, 2)).toBeNull();
    expect(answerHit([d2, d3], ['Isk'], 'bridge_comparison', 2)).toBeNull();
    expect(answerHit([d2, d3], [], null, 2)).toBeNull();
  });
});

describe('quotes and citations (METHODS 6.8, 14.15)', () => {
  const source = passage('d3', 'Teshmoor', 'Teshmoor is a town on the river Isk.');
  const quote: Evidence = { passage: source, span: { start: 0, end: 8 }, quote: 'Teshmoor', node: 1 };

  test('a quote is verbatim or it is not', () => {
    expect(isVerbatim(quote)).toBe(true);
    expect(isVerbatim({ ...quote, quote: 'teshmoor' })).toBe(false);
    expect(isVerbatim({ ...quote, span: { start: 1, end: 9 } })).toBe(false);
    expect(isVerbatim({ ...quote, span: { start: 3, end: 3 }, quote: '' })).toBe(false);
  });

  test('shares over quotes and sentences', () => {
    const answer: Answer = {
      short: 'Isk', mode: 'cited',
      sentences: [{ text: 'Isk', cites: [1], supported: true }, { text: 'It is long.', cites: [], supported: false }, { text: 'x', cites: [1], supported: false }],
      citations: [{ n: 1, evidence: quote }],
    };
    expect(scoreCitations(answer, [{ ...quote, quote: 'Teshmore' }])).toEqual({
      quotes: 2, quoteValidity: 0.5, sentences: 3, citations: 1, citedSentences: 2 / 3, supportedSentences: 0.5, citationRecall: 1 / 3, grounded: 0,
    });
    expect(scoreCitations(null, [])).toEqual({ quotes: 0, quoteValidity: null, sentences: 0, citations: 0, citedSentences: null, supportedSentences: null, citationRecall: null, grounded: null });
  });
});

describe('ranking measures', () => {
  const [d1, d2, d3, d4] = toyPassages;
  const gold = [{ kind: 'id', id: 'd1' }, { kind: 'id', id: 'd3' }] as const;

  test('nDCG: gold at ranks 2 and 3 of two', () => {
    const best = 1 + 1 / Math.log2(3);
    expect(ndcg([d2!, d1!, d3!], gold, 10)).toBeCloseTo((1 / Math.log2(3) + 1 / 2) / best);
    expect(ndcg([d1!, d3!], gold, 10)).toBe(1);
    expect(ndcg([d2!, d1!, d3!], gold, 1)).toBe(0);
    expect(ndcg([d1!], [], 10)).toBeNull();
    // The same gold document twice counts once.
    expect(ndcg([d1!, { ...d1!, id: 'd1#2' }], gold, 10)).toBeCloseTo(1 / best);
  });

  test('reciprocal rank', () => {
    expect(reciprocalRank([d2!, d4!, d3!], gold)).toBeCloseTo(1 / 3);
    expect(reciprocalRank([d2!], gold)).toBe(0);
    expect(reciprocalRank([d2!], [])).toBeNull();
  });

  test('what stands below rank 5, and the union after each search', () => {
    const filler = Array.from({ length: 6 }, (_, i) => passage(`x${i}`, `X ${i}`, 'Nothing.'));
    const scores = scoreRetrieval([[d1!, ...filler, d3!], [d3!]], [d1!], { gold, answers: ['Isk'], type: null });
    expect(scores).toMatchObject({ below5: 0.5, bySearch: [1, 1], mrr: 1 });
    expect(scoreRetrieval([[d1!], [d2!], [d3!]], [], { gold, answers: [], type: null }).bySearch).toEqual([0.5, 0.5, 1]);
  });
});

describe('supporting facts (METHODS 6.3)', () => {
  const gold = [{ title: 'A', sentence: 0 }, { title: 'B', sentence: 2 }];
  const answer = { em: 1 as const, precision: 1, recall: 0.5 };

  test('sets of sentences, jointly with the answer', () => {
    const scores = scoreSupport([{ title: 'A', sentence: 0 }, { title: 'B', sentence: 1 }, { title: 'C', sentence: 0 }], gold, answer);
    expect(scores).toMatchObject({ spEm: 0, spPrecision: 1 / 3, spRecall: 1 / 2, jointEm: 0 });
    expect(scores.spF1).toBeCloseTo(0.4);
    // P = 1·1/3, R = ½·½.
    expect(scores.jointF1).toBeCloseTo((2 * (1 / 3) * 0.25) / (1 / 3 + 0.25));
  });

  test('equal sets in any order, twice named facts, empty sides', () => {
    expect(scoreSupport([...gold, gold[0]!].toReversed(), gold, { em: 1, precision: 1, recall: 1 })).toMatchObject({ spEm: 1, spF1: 1, jointEm: 1, jointF1: 1 });
    expect(scoreSupport([], gold, answer)).toMatchObject({ spEm: 0, spF1: 0, jointF1: 0 });
    expect(scoreSupport([], [], answer)).toMatchObject({ spEm: 1, spF1: 1, jointEm: 1 });
    expect(scoreSupport([{ title: 'A', sentence: null }], [{ title: 'A', sentence: null }], answer).spEm).toBe(1);
  });

  test('group sufficiency asks for both twins', () => {
    expect(groupSufficiency([{ answerable: true, unanswerable: true }, { answerable: true, unanswerable: false }])).toBe(0.5);
    expect(groupSufficiency([])).toBeNull();
  });
});
