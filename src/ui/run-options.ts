/** How a question is pursued: the chosen method and the wishes for a run, and which of them a method heeds. Pure. */
import type { RunEdit } from '../agent/events.ts';
import type { Method } from '../agent/harness.ts';
import type { AgentSettings } from '../agent/settings.ts';
import type { Preferences } from './preferences.ts';

export const methodKinds: Readonly<Record<Method['kind'], readonly [title: string, about: string]>> = {
  default: ['Default', 'What the measurements say is best for small models.'],
  method: ['Methods from papers', 'Published ways of searching in several steps, run here without training.'],
  baseline: ['Plain baselines', 'Simple ways to compare with.'],
};

/** A wish for a run; null: as the effort says. */
export interface RunWishes {
  /** Rounds of search for each step. */
  readonly rounds: number | null;
  /** Passages that the model sees in the first round. */
  readonly shown: number | null;
  /** Passages found by a search. */
  readonly retrieve: number | null;
  /** Ways to the answer, where a method takes several. */
  readonly samples: number | null;
  readonly seed: number | null;
  readonly dense: boolean;
  readonly links: boolean;
}

export const defaultWishes: RunWishes = { rounds: null, shown: null, retrieve: null, samples: null, seed: null, dense: true, links: true };

export type NumberWish = 'rounds' | 'shown' | 'retrieve' | 'samples' | 'seed';

export const wishLimits: Readonly<Record<NumberWish, { readonly min: number; readonly max: number; readonly label: string; readonly about: string }>> = {
  rounds: { min: 1, max: 6, label: 'Rounds', about: 'How often a step may search before it is given up.' },
  shown: { min: 1, max: 20, label: 'Passages read', about: 'How many passages the model sees in the first round; later rounds show more.' },
  retrieve: { min: 5, max: 50, label: 'Passages found', about: 'How many passages a search brings.' },
  samples: { min: 2, max: 5, label: 'Ways', about: 'How many ways to the answer are tried.' },
  seed: { min: 0, max: 999_999, label: 'Seed', about: 'The same seed gives the same run.' },
};

export const effortLabels: Readonly<Record<Preferences['effort'], readonly [word: string, about: string]>> = {
  quick: ['Quick', 'One search for each step, few model calls.'],
  normal: ['Normal', 'Up to three rounds of search for each step.'],
  thorough: ['Thorough', 'More rounds and more passages. On a CPU this takes long.'],
};

/** `quick`, `normal` and `thorough` as overrides of the agent's limits. `normal` overrides nothing. */
const effortSettings: Readonly<Record<Preferences['effort'], Partial<AgentSettings>>> = {
  quick: { depths: [5], maxLlmCalls: 10, maxSearches: 10, samples: 2 },
  normal: {},
  thorough: { depths: [8, 12, 16, 20], maxLlmCalls: 40, maxSearches: 40, samples: 5 },
};

const deepest = 30;

/** Overrides for one run. The budget grows with the rounds, so that they can be used. */
export function settingsOf(effort: Preferences['effort'], wishes: RunWishes): Partial<AgentSettings> {
  const base = effortSettings[effort];
  const { rounds, shown, retrieve, samples, seed, dense, links } = wishes;
  const given = base.depths ?? [5, 10, 15];
  const first = shown ?? given[0] ?? 5;
  const hasDepths = rounds !== null || shown !== null;
  const depths = Array.from({ length: rounds ?? given.length }, (_, round) => Math.min(deepest, first + 5 * round));
  const most = 24 + 8 * Math.max(0, (rounds ?? 0) - 3);
  const budget = most === 24 ? {} : { maxLlmCalls: Math.max(base.maxLlmCalls ?? 0, most), maxSearches: Math.max(base.maxSearches ?? 0, most) };
  return {
    ...base,
    ...(hasDepths ? { depths, ...budget } : {}),
    // What is shown must have been found.
    ...(retrieve === null ? {} : { retrieve: Math.max(retrieve, hasDepths ? (depths[0] ?? 0) : 0) }),
    ...(samples === null ? {} : { samples }),
    ...(seed === null ? {} : { seed }),
    ...(dense ? {} : { dense }),
    ...(links ? {} : { links }),
  };
}

/** The controls that change anything for a method. */
export interface Heeds {
  readonly effort: boolean;
  readonly rounds: boolean;
  readonly search: boolean;
  readonly samples: boolean;
  readonly seed: boolean;
  readonly planner: boolean;
}

/** Methods that try several ways, and so sample. */
const sampling = new Set(['exsearch', 'apex-consistent', 'best-of']);

export function heeds(method: Method): Heeds {
  return {
    effort: method.kind !== 'baseline',
    rounds: method.id === 'foray',
    search: method.id !== 'direct',
    samples: sampling.has(method.id),
    seed: sampling.has(method.id),
    planner: method.id === 'search-planner',
  };
}

/** Methods with a plan that they carry out as the person changes it, and those of them that take the person's answer to a step as well. */
const planning = new Set(['foray', 'apex', 'apex-consistent', 'opera', 'mindsearch']);
const answering = new Set(['foray', 'apex', 'apex-consistent', 'opera']);

/** Which changes to a step a method acts on. Queries and passages pass through the tools that all methods share. */
export function heedsEdit(methodId: string, stage: RunEdit['stage']): boolean {
  return stage === 'plan' ? planning.has(methodId) : stage === 'sub-answer' ? answering.has(methodId) : true;
}

/** Parts of a list that a person typed, each once: by lines, or by commas where it is one line. */
export function listed(text: string, most: number): readonly string[] {
  const parts = text.includes('\n') ? text.split('\n') : text.split(',');
  return [...new Set(parts.map((part) => part.replace(/\s+/g, ' ').trim().slice(0, 100)).filter((part) => part !== ''))].slice(0, most);
}
