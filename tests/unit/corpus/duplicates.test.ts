import { describe, expect, it } from 'vitest';
import { gramsOf, likeness, permutations, repeats, signatureOf } from '../../../src/corpus/duplicates.ts';

function randomWords(seed: number, count: number): string[] {
  let state = seed;
  return Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return `w${(state >>> 8) % 5000}`;
  });
}

function jaccard(a: string, b: string): number {
  const [x, y] = [gramsOf(a), gramsOf(b)];
  const both = [...x].filter((gram) => y.has(gram)).length;
  return both / (x.size + y.size - both);
}

describe('MinHash', () => {
  it('estimates the share of common 5-grams within the error of 64 permutations', () => {
    let squares = 0;
    let bias = 0;
    let worst = 0;
    const pairs = 300;
    for (let n = 0; n < pairs; n++) {
      const words = randomWords(n + 1, 120);
      const changed = [...words.slice(0, 120 - (n % 100)), ...randomWords(n + 5000, n % 100)];
      const [a, b] = [words.join(' '), changed.join(' ')];
      const exact = jaccard(a, b);
      const error = likeness(signatureOf(a), signatureOf(b)) - exact;
      bias += error / pairs;
      squares += error ** 2 / pairs;
      worst = Math.max(worst, Math.abs(error));
    }
    // Largest standard error of 64 draws: √(.25 / 64) = .0625.
    expect(Math.sqrt(squares)).toBeLessThan(0.0625);
    expect(Math.abs(bias)).toBeLessThan(0.015);
    expect(worst).toBeLessThan(0.25);
  });

  it('is 1 for the same words, 0 for texts without a common run, and the same each time', () => {
    const text = 'The mill at Aldmoor was built of slate in the year of the flood.';
    expect(likeness(signatureOf(text), signatureOf('the MILL at aldmoor, was built of slate in the year of the flood'))).toBe(1);
    expect(likeness(signatureOf(text), signatureOf('Nothing here is like the other passage in any way at all.'))).toBeLessThan(0.1);
    expect(signatureOf(text)).toEqual(signatureOf(text));
    expect(signatureOf(text)).toHaveLength(permutations);
  });

  it.each(['', '   ', '😀'])('a text without words repeats nothing: %j', (text) => {
    expect(repeats([text, text])).toEqual([-1, -1]);
  });

  it('folds into the first of its kind only', () => {
    const words = randomWords(7, 200);
    const near = [...words.slice(0, 198), 'x', 'y'].join(' ');
    expect(repeats([words.join(' '), 'something else altogether', near, words.join(' '), 'short', 'short'])).toEqual([-1, -1, 0, 0, -1, 4]);
  });
});
