/**
 * The personal profile (PDR, arXiv 2605.10530; METHODS §4.17): what the person wrote about themselves, and what it changes in a run: depth, the words of
 * queries, when to stop. Off unless switched on; plain text that can be read, edited and deleted; it stays on this device and is no part of any export. Pure.
 */
import * as v from 'valibot';
import type { AgentSettings } from '../agent/settings.ts';

const profileSchema = v.object({
  enabled: v.boolean(),
  /** Free words for the person themselves; shown, never sent to a model. */
  about: v.pipe(v.string(), v.maxLength(2000)),
  /** Words that lean a query their way where a question leaves it open; at most 12 of at most 40 characters. */
  interests: v.pipe(v.array(v.pipe(v.string(), v.trim(), v.minLength(1), v.maxLength(40))), v.maxLength(12)),
  depth: v.picklist(['quick', 'normal', 'thorough']),
  queryStyle: v.picklist(['as-written', 'keywords', 'with-interests']),
  stop: v.picklist(['early', 'normal', 'late']),
});
export type Profile = v.InferOutput<typeof profileSchema>;

export const emptyProfile: Profile = { enabled: false, about: '', interests: [], depth: 'normal', queryStyle: 'as-written', stop: 'normal' };

/** What is stored, or null where it is missing or cannot be read. */
export function decodeProfile(value: unknown): Profile | null {
  const parsed = v.safeParse(profileSchema, value);
  return parsed.success ? parsed.output : null;
}

export interface ProfileEffect {
  readonly settings: Partial<AgentSettings>;
  /** Extra words of every search, each with a factor below 1, so that the question's own words always lead. */
  readonly terms: readonly { readonly text: string; readonly weight: number }[];
  /** For the event log: what the profile changed in this run. */
  readonly notice: string;
}

/** The factor of a word of interest in a query. */
export const interestWeight = 0.15;

/** null: the profile is off or changes nothing. */
export function effectOf(profile: Profile | null, base: AgentSettings): ProfileEffect | null {
  if (profile === null || !profile.enabled) return null;
  const said: string[] = [];
  let settings: Partial<AgentSettings> = {};
  if (profile.depth === 'quick') {
    settings = { depths: base.depths.slice(0, 1), maxSearches: Math.max(1, Math.round(base.maxSearches / 3)) };
    said.push('fewer and shallower searches');
  } else if (profile.depth === 'thorough') {
    const last = base.depths.at(-1) ?? 5;
    settings = { depths: [...base.depths, last + 5], retrieve: Math.max(base.retrieve, last + 5), maxSearches: base.maxSearches * 2 };
    said.push('more and deeper searches');
  }
  if (profile.stop === 'early') {
    settings = { ...settings, maxLlmCalls: Math.max(4, Math.round(base.maxLlmCalls / 2)) };
    said.push('an early stop');
  } else if (profile.stop === 'late') {
    settings = { ...settings, maxLlmCalls: base.maxLlmCalls * 2 };
    said.push('a late stop');
  }
  const terms = profile.queryStyle === 'with-interests' ? profile.interests.map((text) => ({ text, weight: interestWeight })) : [];
  if (terms.length > 0) said.push(`queries that lean to ${profile.interests.join(', ')}`);
  return said.length === 0 ? null : { settings, terms, notice: `Your profile was used: ${said.join('; ')}.` };
}
