import { describe, expect, it } from 'vitest';
import { methodById, methods } from '../../../src/agent/methods/registry.ts';
import { defaultWishes, heeds, listed, settingsOf } from '../../../src/ui/run-options.ts';

describe('settings of a run', () => {
  it('are the agent’s own where nothing is wished', () => {
    expect(settingsOf('normal', defaultWishes)).toEqual({});
  });

  it('follow the effort, and single wishes go before it', () => {
    expect(settingsOf('quick', defaultWishes).depths).toEqual([5]);
    expect(settingsOf('quick', { ...defaultWishes, rounds: 2, samples: 4 })).toMatchObject({ depths: [5, 10], samples: 4 });
    expect(settingsOf('normal', { ...defaultWishes, shown: 3 }).depths).toEqual([3, 8, 13]);
    expect(settingsOf('normal', { ...defaultWishes, dense: false, links: false, seed: 5 })).toEqual({ dense: false, links: false, seed: 5 });
  });

  it('let more rounds make more calls, and find at least what is shown', () => {
    const settings = settingsOf('normal', { ...defaultWishes, rounds: 6, shown: 20, retrieve: 5 });
    expect(settings.depths).toEqual([20, 25, 30, 30, 30, 30]);
    expect(settings.maxLlmCalls).toBe(48);
    expect(settings.retrieve).toBe(20);
  });

  it('are offered where the method heeds them', () => {
    const of = (id: string) => heeds(methodById(id) ?? methods[0]!);
    expect(of('direct')).toMatchObject({ search: false, rounds: false, samples: false });
    expect(of('rag')).toMatchObject({ search: true, rounds: false });
    expect(of('exsearch')).toMatchObject({ rounds: false, samples: true, seed: true });
    expect(of('search-planner').planner).toBe(true);
    expect(of('foray')).toMatchObject({ search: true, rounds: true, effort: true });
  });
});

it.each([
  ['river, year ,, river', ['river', 'year']],
  ['Karr, the hill town\nTeshmoor\n\n', ['Karr, the hill town', 'Teshmoor']],
  ['', []],
  ['a,b,c,d', ['a', 'b', 'c']],
])('a list typed as %j is %j', (text, parts) => {
  expect(listed(text, 3)).toEqual(parts);
});
