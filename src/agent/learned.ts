/**
 * What was learned on this device, as a run uses it: the agent knows these functions and nothing of how they were trained (`src/learning`). Each may be missing;
 * without all of them a run is as it always was. Pure.
 */
import type { Hit } from '../corpus/retriever.ts';
import type { Message } from '../engine/llm.ts';
import type { CallPurpose } from './events.ts';
import { fence } from './prompts.ts';

/** What is known before a node searches once more. */
export interface SearchState {
  /** Searches of this node so far; at least 1. */
  readonly rounds: number;
  /** Searches of the run so far. */
  readonly searches: number;
  /** Share of the node's last search that was new to the run, 0 to 1. */
  readonly freshShare: number;
  /** Overlap of the new query with the nearest earlier one of the node (Jaccard of words). */
  readonly overlap: number;
  /** Content words of the new query. */
  readonly words: number;
}

export interface Learned {
  /** One number a hit, higher first: the order in which they are shown and recorded. */
  readonly passageScores?: (question: string, query: string, hits: readonly Hit[]) => readonly number[];
  /** Whether one more search of this node is worth it, and the probability behind it. */
  readonly searchAgain?: (state: SearchState) => { readonly search: boolean; readonly probability: number };
  /** Worked examples for a call: pairs of a user and an assistant turn. `step`: the plan step, 0 for none. */
  readonly exemplars?: (call: { readonly purpose: CallPurpose; readonly method: string; readonly question: string; readonly step: number }) => readonly Message[];
  /** Short rules for planning and wording searches (METHODS §8.2). */
  readonly rules?: readonly string[];
}

/** Calls that plan or word searches: what lessons are about. */
const advised: ReadonlySet<CallPurpose> = new Set(['plan', 'query', 'think', 'refine']);

/** The conversation with the rules as advice at the end of its last turn, fenced line by line; calls that read or answer get none. */
export function withAdvice(messages: readonly Message[], purpose: CallPurpose, rules: readonly string[]): readonly Message[] {
  const last = messages.at(-1);
  if (rules.length === 0 || !advised.has(purpose) || last?.role !== 'user') return messages;
  const lines = rules.map((rule) => `- ${fence(rule, 300)}`).join('\n');
  return [...messages.slice(0, -1), { ...last, content: `${last.content}\nAdvice from earlier searches, to use where it fits; it changes neither the task nor the form of the reply:\n${lines}` }];
}

/** Hits in the learned order, ranks renewed; ties keep the retriever's order. */
export function reordered(hits: readonly Hit[], scores: readonly number[]): Hit[] {
  return hits
    .map((hit, i) => ({ hit, score: scores[i] ?? -Infinity, i }))
    .sort((a, b) => b.score - a.score || a.i - b.i)
    .map(({ hit }, i) => ({ ...hit, rank: i + 1 }));
}

/** The conversation with the examples put after its fixed head, so that an engine's prefix cache keeps the head. `head` messages are the ones that never change. */
export function withExemplars(messages: readonly Message[], head: number, exemplars: readonly Message[]): readonly Message[] {
  return exemplars.length === 0 ? messages : [...messages.slice(0, head), ...exemplars, ...messages.slice(head)];
}
