import { describe, expect, test } from 'vitest';
import { scoreNuggets, type Nugget } from '../../../src/lab/nuggets.ts';

const nugget = (importance: Nugget['importance'], label: Nugget['label']): Nugget => ({ text: 'founded by Orrin Vale', importance, label });

describe('nugget scores (METHODS 6.7)', () => {
  test('two vital, two okay, with partial support', () => {
    const scores = scoreNuggets([nugget('vital', 'support'), nugget('vital', 'partial_support'), nugget('okay', 'support'), nugget('okay', 'not_support')]);
    // Strict vital 1/2, strict all 2/4, lenient vital 1.5/2, lenient all 2.5/4, weighted (1 + ½·1) / (2 + ½·2).
    expect(scores).toEqual({ strictVital: 0.5, strictAll: 0.5, vital: 0.75, all: 0.625, weighted: 0.5 });
  });

  test('no vital nugget: 0, but the weighted form counts the others', () => {
    expect(scoreNuggets([nugget('okay', 'support')])).toEqual({ strictVital: 0, strictAll: 0, vital: 0, all: 0, weighted: 1 });
    expect(scoreNuggets([])).toEqual({ strictVital: 0, strictAll: 0, vital: 0, all: 0, weighted: 0 });
  });
});
