/** Limits and switches of a run (METHODS §13). Apart from the harness, so that the page can show them without it. */
import type { LlmInfo } from '../engine/llm.ts';

/** METHODS §13, with the token limits that a CPU can bear. */
export interface AgentSettings {
  /** Passages shown to the model in rounds 1, 2, 3… of a sub-question (OPERA's depth schedule). Its length is the number of rounds. */
  readonly depths: readonly number[];
  /** Passages retrieved per search. */
  readonly retrieve: number;
  readonly maxLlmCalls: number;
  readonly maxSearches: number;
  readonly maxWallMs: number;
  /** Tokens of packed sentences per reading. */
  readonly evidenceTokens: number;
  /**
   * How the question is read as a whole (a single step, a plan that failed, the last reading over what the steps gathered): five whole passages, about a thousand
   * tokens, or packed sentences where prompt work is dear; then there is no last reading.
   */
  readonly wholeReading: 'passages' | 'sentences';
  /** Plans of plain forms and facts in known forms are made and read by code, before any model is asked. */
  readonly byCode: boolean;
  /** Characters of a question that are kept. */
  readonly maxQuestionCharacters: number;
  readonly temperature: number;
  readonly seed: number;
  readonly dense: boolean;
  readonly links: boolean;
  /** Sampled trajectories or plans of one question, where a method samples (METHODS §13: 3, at most 5). */
  readonly samples: number;
  /** Temperature of what is sampled. */
  readonly sampleTemperature: number;
  /** Exponent of an answer's length in its likelihood, and temperature of the likelihoods (METHODS §3.2). */
  readonly alpha: number;
  readonly tau: number;
  /** What a round of search may cost in confidence of the answer, 0 (thorough) to 1 (quick); METHODS §4.3. */
  readonly costWeight: number;
  /** Tell whole prompts and outputs as events (`prompted`); logs grow tenfold. */
  readonly keepPrompts: boolean;
}

export const defaultSettings: AgentSettings = {
  depths: [5, 10, 15],
  retrieve: 20,
  maxLlmCalls: 24,
  maxSearches: 24,
  maxWallMs: 30 * 60_000,
  evidenceTokens: 320,
  wholeReading: 'sentences',
  byCode: true,
  maxQuestionCharacters: 4000,
  temperature: 0,
  seed: 13,
  dense: true,
  links: true,
  samples: 3,
  sampleTemperature: 0.8,
  alpha: 0,
  tau: 1,
  costWeight: 0.05,
  keepPrompts: false,
};

/** The defaults where the model runs. Prompt work is what a CPU has least of (FACTS): a GPU or a server reads twice as much evidence a step. */
export function settingsOn(device: LlmInfo['device'] | null): AgentSettings {
  return device === 'wasm' ? defaultSettings : { ...defaultSettings, evidenceTokens: defaultSettings.evidenceTokens * 2, wholeReading: 'passages' };
}
