/**
 * The exemplar bank (P-RAG's and A-MapReduce's memory; METHODS §8.2): calls of the trajectories that explained their answers best, shown again as worked examples to
 * calls of the same kind, chosen by likeness of question and state. Pure.
 */
import * as v from 'valibot';
import { estimateTokens, jaccard } from '../agent/evidence.ts';
import type { CallPurpose } from '../agent/events.ts';
import type { Message } from '../engine/llm.ts';
import { AppError } from '../errors.ts';
import { hopsOf, moveOf, moves, type Sample } from './samples.ts';

/** Tokens of all examples shown in one call. */
export const exampleBudget = 400;
/** A single example is at most this long, so that two fit. */
const longest = 200;
const perCall = 2;
/** Examples kept; the best of each purpose, move and step come first. */
export const bankLimit = 64;

const exemplarSchema = v.object({
  purpose: v.string(),
  method: v.string(),
  qid: v.string(),
  question: v.string(),
  move: v.picklist(moves),
  hops: v.number(),
  /** The plan step it belongs to, from 1; 0 where it belongs to none. */
  step: v.number(),
  turn: v.string(),
  output: v.string(),
  tokens: v.number(),
  /** Mean log-likelihood a token of the right answer. */
  quality: v.number(),
});
export type Exemplar = v.InferOutput<typeof exemplarSchema>;

export function decodeBank(value: unknown): readonly Exemplar[] {
  const parsed = v.safeParse(v.array(exemplarSchema), value);
  if (parsed.success) return parsed.output;
  throw new AppError('learning/bad-data', { what: 'the stored examples', reason: parsed.issues[0].message });
}

/**
 * The bank of a set of weighted samples: of each question the trajectory with the highest weight, if its answer is right. Calls whose turn is too long to show
 * (passages) are left out. Deterministic.
 */
export function buildBank(samples: readonly Sample[]): Exemplar[] {
  const best = new Map<string, Sample>();
  for (const sample of samples) {
    if (sample.em === 0 || sample.answerLogp === null) continue;
    const held = best.get(sample.qid);
    if (held === undefined || (sample.weight ?? 0) > (held.weight ?? 0)) best.set(sample.qid, sample);
  }
  const exemplars = [...best.values()].flatMap((sample) => {
    const found = new Map<string, Exemplar>();
    for (const step of sample.steps) {
      const asked = step.kind === 'call' ? (step.messages.at(-1)?.content ?? '') : '';
      if (step.kind !== 'call' || asked === '' || step.output === '') continue;
      const { turn, output } = shortened(asked, step.output);
      const tokens = estimateTokens(turn) + estimateTokens(output);
      if (tokens > longest) continue;
      const at = step.node ?? 0;
      // The last call of its kind is the one that the trajectory went on from.
      found.set(`${step.purpose} ${at}`, {
        purpose: step.purpose, method: sample.method, qid: sample.qid, question: sample.question, move: moveOf(sample.question), hops: hopsOf(sample), step: at,
        turn, output, tokens, quality: sample.answerLogp?.mean ?? 0,
      });
    }
    return [...found.values()];
  });
  const kinds = new Map<string, Exemplar[]>();
  for (const exemplar of exemplars.sort((a, b) => b.quality - a.quality || (a.qid < b.qid ? -1 : 1))) {
    const key = `${exemplar.purpose} ${exemplar.move} ${exemplar.step}`;
    kinds.set(key, [...(kinds.get(key) ?? []), exemplar]);
  }
  // Round after round the best of each kind: a bank of one kind only would help with that kind only.
  const kept: Exemplar[] = [];
  for (let round = 0; kept.length < bankLimit && [...kinds.values()].some((list) => list.length > round); round++) {
    for (const list of kinds.values()) {
      const next = list[round];
      if (next !== undefined && kept.length < bankLimit) kept.push(next);
    }
  }
  return kept;
}

/**
 * A reading of many numbered sentences as a reading of three: the one that was cited and its neighbours, numbered anew. Other calls, and readings that cite
 * nothing that was offered, stay as they are (and are then mostly too long to keep).
 */
function shortened(turn: string, output: string): { readonly turn: string; readonly output: string } {
  const cited = Number(/"sentence":\s*(\d+)/.exec(output)?.[1] ?? 0);
  const lines = turn.split('\n');
  const at = lines.findIndex((line) => line.startsWith(`${cited}. `));
  if (cited === 0 || at < 0) return { turn, output };
  const isNumbered = (line: string): boolean => /^\d+\. /.test(line);
  const near = lines.flatMap((line, i) => (isNumbered(line) && Math.abs(i - at) <= 1 ? [i] : []));
  const kept = lines.flatMap((line, i) => (!isNumbered(line) ? [line] : near.includes(i) ? [line.replace(/^\d+/, String(near.indexOf(i) + 1))] : []));
  return { turn: kept.join('\n'), output: output.replace(/("sentence":\s*)\d+/, `$1${near.indexOf(at) + 1}`) };
}

export interface BankState {
  readonly purpose: CallPurpose;
  readonly method: string;
  readonly question: string;
  /** 0 where the call belongs to no step. */
  readonly step: number;
}

/** At most two examples and 400 tokens, the most alike last (nearest to the question); never one of the same question. */
export function chooseExemplars(bank: readonly Exemplar[], state: BankState): Exemplar[] {
  const move = moveOf(state.question);
  const likeness = (exemplar: Exemplar): number =>
    jaccard(exemplar.question, state.question) + (exemplar.move === move ? 0.5 : 0) + (exemplar.step === state.step ? 0.25 : 0);
  const ranked = bank
    .filter((exemplar) => exemplar.purpose === state.purpose && exemplar.method === state.method && jaccard(exemplar.question, state.question) < 0.95)
    .map((exemplar) => ({ exemplar, value: likeness(exemplar) }))
    .sort((a, b) => b.value - a.value || b.exemplar.quality - a.exemplar.quality);
  const chosen: Exemplar[] = [];
  let tokens = 0;
  for (const { exemplar } of ranked) {
    if (chosen.length === perCall) break;
    if (tokens + exemplar.tokens > exampleBudget || chosen.some((other) => other.qid === exemplar.qid)) continue;
    chosen.push(exemplar);
    tokens += exemplar.tokens;
  }
  return chosen.reverse();
}

/** The examples as turns of a conversation, to stand before the turn that asks. The turns were fenced when they were first written. */
export function exemplarMessages(exemplars: readonly Exemplar[]): Message[] {
  return exemplars.flatMap(({ turn, output }): Message[] => [
    { role: 'user', content: turn },
    { role: 'assistant', content: output },
  ]);
}
