import { describe, expect, it } from 'vitest';
import { noteEnd, noteStart, type StartStorage } from '../../src/safe-start.ts';

function storage(initial?: string): StartStorage & { value: string | null } {
  const self = {
    value: initial ?? null,
    getItem: () => self.value,
    setItem: (_: string, value: string) => {
      self.value = value;
    },
  };
  return self;
}

describe('a start after a crash loop', () => {
  it('is safe from the third start in a minute that no proper end came before', () => {
    const tab = storage();
    expect([noteStart(tab, 0), noteStart(tab, 20_000), noteStart(tab, 59_000), noteStart(tab, 60_500)]).toEqual([false, false, true, true]);
  });

  it('is an ordinary one after a reload by hand, or a minute later', () => {
    const tab = storage();
    for (let i = 0; i < 6; i++) {
      expect(noteStart(tab, i * 1000)).toBe(false);
      noteEnd(tab);
    }
    const other = storage();
    expect([noteStart(other, 0), noteStart(other, 30_000), noteStart(other, 61_000), noteStart(other, 125_000)]).toEqual([false, false, false, false]);
  });

  it.each(['no json', '{"a":1}', '[null,"x",1e999]', `[${'1,'.repeat(2000)}1]`])('takes %.20s for no marks', (text) => {
    expect(noteStart(storage(text), 5)).toBe(false);
  });

  it('needs no storage', () => {
    const broken: StartStorage = {
      getItem: () => {
        throw new Error('forbidden');
      },
      setItem: () => {
        throw new Error('full');
      },
    };
    expect([noteStart(null, 0), noteStart(broken, 0)]).toEqual([false, false]);
    noteEnd(broken);
    noteEnd(null);
  });
});
