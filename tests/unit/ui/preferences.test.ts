import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodePreferences, defaultPreferences, readPreferences, savePreferences, type PreferenceStorage } from '../../../src/ui/preferences.ts';

describe('preferences', () => {
  it.each([null, '', 'nonsense', '[]', 'null', '7', '{"theme":"neon","checkPlan":"yes","effort":3}', '{"__proto__":{"theme":"dark"}}', `"${'x'.repeat(20_000)}"`])('%s gives the defaults', (text) => {
    expect(decodePreferences(text)).toEqual(defaultPreferences);
  });

  it('come back as they were stored, field by field', () => {
    const stored = new Map<string, string>();
    const storage: PreferenceStorage = { getItem: (key) => stored.get(key) ?? null, setItem: (key, value) => void stored.set(key, value) };
    expect(savePreferences(storage, { theme: 'dark', checkPlan: true, effort: 'thorough' })).toBe(true);
    expect(readPreferences(storage)).toEqual({ theme: 'dark', checkPlan: true, effort: 'thorough' });
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
        expect(Object.keys(decodePreferences(text)).sort()).toEqual(['checkPlan', 'effort', 'theme']);
      }),
    );
  });
});
