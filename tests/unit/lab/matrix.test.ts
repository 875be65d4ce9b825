import { describe, expect, test } from 'vitest';
import { AppError } from '../../../src/errors.ts';
import { budgetSettings, cellsOf, decodeMatrix, plainSetting, robustnessSettings, settingsOf, shareOf } from '../../../src/lab/matrix.ts';

const least = { questions: [{ file: 'dev.jsonl' }], methods: ['foray'], models: ['none'], corpora: ['demo'] };

function faultOf(value: unknown): string {
  try {
    decodeMatrix(value, 'lab.json');
  } catch (error) {
    if (error instanceof AppError) return `${error.code}: ${String(error.detail['reason'])}`;
    throw error;
  }
  return '';
}

describe('a configuration', () => {
  test('has defaults for all but the axes', () => {
    expect(decodeMatrix(least, 'lab.json')).toMatchObject({ seeds: [13], sample: 13, embedder: 'none', pages: 1, cache: false, timeoutSeconds: 1800, settings: [] });
  });

  test.each([
    [{ ...least, methods: [] }, 'methods'],
    [{ ...least, pages: 0 }, 'pages'],
    [{ ...least, settings: [{ name: 'a', agent: { maxSearches: 'many' } }] }, 'settings.0.agent.maxSearches'],
    [{ ...least, settings: [{ name: 'a', noise: 2 }] }, 'settings.0.noise'],
    [{ ...least, settings: [{ name: 'a', oracle: 'everything' }] }, 'settings.0.oracle'],
    [{ ...least, questions: [{ dataset: 'x' }] }, 'questions.0.file'],
    [{ ...least, modells: ['none'] }, 'modells'],
    [{ ...least, methods: ['foray', 'foray'] }, 'methods: foray stands there twice'],
    [null, 'the file'],
  ])('%j: the message names the field', (value, field) => {
    expect(faultOf(value)).toMatch(/^lab\/bad-config: /);
    expect(faultOf(value)).toContain(field);
  });

  test('settings part limits of the loop from experiments', () => {
    const { settings } = decodeMatrix({ ...least, settings: [{ name: 'a', agent: { maxSearches: 2 }, noise: 0.5 }] }, 'lab.json');
    expect(settingsOf({ settings })).toEqual([{ name: 'a', agent: { maxSearches: 2 }, experiment: { noise: 0.5 } }]);
    expect(settingsOf({ settings: [] })).toEqual([plainSetting]);
  });
});

describe('cells', () => {
  test('every combination once, those of one model together', () => {
    const cells = cellsOf({ methods: ['a', 'b'], models: ['m', 'n'], corpora: ['c'], settings: [plainSetting, ...budgetSettings([1])], seeds: [1, 2] });
    expect(cells.length).toBe(16);
    expect(new Set(cells.map((cell) => JSON.stringify(cell))).size).toBe(16);
    expect(cells.slice(0, 8).every((cell) => cell.llm === 'm')).toBe(true);
  });

  test('shares part the work: nothing twice, nothing left', () => {
    const items = Array.from({ length: 10 }, (_, i) => i);
    expect([1, 2, 3].flatMap((index) => shareOf(items, index, 3)).toSorted((a, b) => a - b)).toEqual(items);
    expect(shareOf(items, 2, 3)).toEqual([1, 4, 7]);
  });

  test('the robustness settings: a noise curve after ZeroSearch up to one half, rewordings, orders, missing gold', () => {
    expect(robustnessSettings(2).map((setting) => setting.experiment)).toEqual([
      { noise: (4 ** 0.5 - 1) / 3 / 2 }, { noise: 0.5 }, { paraphrase: 'request' }, { paraphrase: 'keywords' }, { inject: true }, { withhold: true },
    ]);
  });
});
