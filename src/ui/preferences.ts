/** What the page remembers of the person's wishes. Shape-checked when read; where nothing can be stored the wishes last until the page is closed. */
import { defaultWishes, wishLimits, type NumberWish, type RunWishes } from './run-options.ts';

export const themes = ['system', 'light', 'dark'] as const;
export const efforts = ['quick', 'normal', 'thorough'] as const;

export interface Preferences {
  readonly theme: (typeof themes)[number];
  /** Hold every proposed plan until the person lets it run. */
  readonly checkPlan: boolean;
  readonly effort: (typeof efforts)[number];
  /** Id of the method to ask with; '' or one that is not there: the default. */
  readonly method: string;
  readonly wishes: RunWishes;
}

export const defaultPreferences: Preferences = { theme: 'system', checkPlan: false, effort: 'normal', method: '', wishes: defaultWishes };

/** The part of Web Storage that is used; it may throw at any time. */
export type PreferenceStorage = Pick<Storage, 'getItem' | 'setItem'>;

const key = 'foray.preferences';

/** Garbage, wrong types and unknown values give the default, field by field. */
export function decodePreferences(text: string | null): Preferences {
  let value: unknown = null;
  if (text !== null && text.length < 10_000) {
    try {
      value = JSON.parse(text) as unknown;
    } catch {
      value = null;
    }
  }
  const fields: Record<string, unknown> = typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  const one = <T extends string>(field: string, allowed: readonly T[], otherwise: T): T => allowed.find((item) => item === fields[field]) ?? otherwise;
  return {
    theme: one('theme', themes, defaultPreferences.theme),
    checkPlan: fields['checkPlan'] === true,
    effort: one('effort', efforts, defaultPreferences.effort),
    method: typeof fields['method'] === 'string' && /^[a-z0-9-]{1,40}$/.test(fields['method']) ? fields['method'] : '',
    wishes: decodeWishes(fields['wishes']),
  };
}

function decodeWishes(value: unknown): RunWishes {
  const fields: Record<string, unknown> = typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  const whole = (name: NumberWish): number | null => {
    const { min, max } = wishLimits[name];
    const found = fields[name];
    return typeof found === 'number' && Number.isInteger(found) && found >= min && found <= max ? found : null;
  };
  return {
    rounds: whole('rounds'), shown: whole('shown'), retrieve: whole('retrieve'), samples: whole('samples'), seed: whole('seed'),
    dense: fields['dense'] !== false, links: fields['links'] !== false,
  };
}

export function readPreferences(storage: PreferenceStorage | null): Preferences {
  try {
    return decodePreferences(storage?.getItem(key) ?? null);
  } catch {
    return defaultPreferences;
  }
}

/** False: it could not be stored. */
export function savePreferences(storage: PreferenceStorage | null, preferences: Preferences): boolean {
  try {
    if (storage === null) return false;
    storage.setItem(key, JSON.stringify(preferences));
    return true;
  } catch {
    return false;
  }
}
