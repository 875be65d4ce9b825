import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodePreferences, defaultPreferences, readPreferences, savePreferences, type Preferences, type PreferenceStorage } from '../../../src/ui/preferences.ts';

describe('preferences', () => {
  it.each([null, '', 'nonsense', '[]', 'null', '7', '{"theme":"neon","checkPlan":"yes","effort":3}', '{"__proto__":{"theme":"dark"}}', `"${'x'.repeat(20_000)}"`])('%s gives the defaults', (text) => {
    expect(decodePreferences(text)).toEqual(defaultPreferences);
  });

  it('come back as they were stored, field by field', () => {
    const stored = new Map<string, string>();
    const storage: PreferenceStorage = { getItem: (key) => stored.get(key) ?? null, setItem: (key, value) => void stored.set(key, value) };
    const wishes = { ...defaultPreferences.wishes, rounds: 2, seed: 7, links: false };
    const preferences: Preferences = { theme: 'dark', checkPlan: true, effort: 'thorough', method: 'ircot', wishes };
    expect(savePreferences(storage, preferences)).toBe(true);
    expect(readPreferences(storage)).toEqual(preferences);
    expect(decodePreferences('{"method":"<b>","wishes":{"rounds":99,"shown":2.5,"samples":"3","dense":0,"links":false}}')).toEqual({
      ...defaultPreferences,
      wishes: { ...defaultPreferences.wishes, links: false },
    });
    expect(decodePreferences('{"theme":"light","effort":"endless"}')).toEqual({ ...defaultPreferences, theme: 'light' });
  });

  it('bear a storage that is not there or refuses', () => {
    const refusing: PreferenceStorage = {
      getItem: () => {
        throw new DOMException('no', 'SecurityError');
      },
      setItem: () => {
        throw new DOMException('full', 'QuotaExceededError');
      },
    };
    for (const storage of [null, refusing]) {
      expect(readPreferences(storage)).toEqual(defaultPreferences);
      expect(savePreferences(storage, defaultPreferences)).toBe(false);
    }
  });

  it('are well formed whatever was stored', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
        expect(Object.keys(decodePreferences(text)).sort()).toEqual(['checkPlan', 'effort', 'method', 'theme', 'wishes']);
      }),
    );
  });
});
