/**
 * The think → search → select → record loop of ExSearch (METHODS §3.3) with the places where its relatives differ: how is searched, what is read, what is
 * looked at before and after a round, when it stops. One node a round.
 */
import type { Hit } from '../../corpus/retriever.ts';
import type { StopReason } from '../events.ts';
import { finishNode, think, withinBudget, type KnownFact, type Thought } from '../actions.ts';
import { contentWords } from '../evidence.ts';
import type { Tools } from '../harness.ts';
import { answerTypeOf } from '../plan.ts';
import type { StopRule } from '../state.ts';
import { Reader, type ReadFact } from './read.ts';

export interface Round {
  readonly node: number;
  /** What is looked up. */
  readonly question: string;
  /** Facts of the rounds before. */
  readonly facts: readonly KnownFact[];
}

export interface LoopPolicy {
  readonly rounds: number;
  /** Numbers the rounds' nodes from here; default 1. */
  readonly firstNode?: number;
  readonly think?: (tools: Tools, node: number, facts: readonly KnownFact[], note: string) => Promise<Thought>;
  /** Between thinking and searching. */
  readonly before?: (tools: Tools, round: Round) => Promise<void>;
  /** What is read of a search; default: its five best passages. null: the query was refused as a repetition. */
  readonly find?: (tools: Tools, round: Round) => Promise<readonly Hit[] | null>;
  /** In place of reading `hits` for one fact. */
  readonly record?: (tools: Tools, round: Round, hits: readonly Hit[]) => Promise<ReadFact | null>;
  /** What is told to the next thought. */
  readonly after?: (tools: Tools, round: Round, hits: readonly Hit[], fact: ReadFact | null) => Promise<string>;
  readonly stop?: StopRule;
}

export interface LoopResult {
  readonly facts: readonly KnownFact[];
  readonly stop: StopReason;
  /** The node of the next round, were there one. */
  readonly nextNode: number;
}

/** Passages that a round reads (METHODS §3.5). */
export const readPerRound = 5;

export async function runLoop(tools: Tools, policy: LoopPolicy): Promise<LoopResult> {
  const facts: KnownFact[] = [];
  const first = policy.firstNode ?? 1;
  let node = first;
  let stop: StopReason = 'answered';
  let note = '';
  let refusals = 0;
  const limited = await withinBudget(async () => {
    for (; node < first + policy.rounds; node++) {
      const step = await (policy.think ?? ((own, at, known, why) => think(own, at, own.question, known, why)))(tools, node, facts, note);
      if (step.done && facts.length > 0) return;
      const round: Round = { node, question: step.query, facts: [...facts] };
      await policy.before?.(tools, round);
      tools.emit({ kind: 'nodeStarted', node, question: step.query });
      const hits = await (policy.find ?? searchBest)(tools, round);
      if (hits === null) {
        finishNode(tools, node, null, 'repetition');
        note = `"${step.query}" was searched before. Ask something else.`;
        if (++refusals < 2) continue;
        stop = 'repetition';
        node++;
        return;
      }
      const fact = await (policy.record ?? readFact)(tools, round, hits);
      note = fact === null ? `Nothing was found on "${step.query}".` : '';
      if (policy.after !== undefined) note = `${note} ${await policy.after(tools, round, hits, fact)}`.trim();
      finishNode(tools, node, fact, 'not-found');
      if (fact !== null) facts.push({ ...fact, question: step.query });
      const rule = policy.stop?.(tools.state, node) ?? null;
      if (rule !== null) {
        stop = rule;
        node++;
        return;
      }
    }
    if (facts.length === 0) stop = 'not-found';
  });
  return { facts, stop: limited ? 'budget' : stop, nextNode: node + (limited ? 1 : 0) };
}

export async function searchBest(tools: Tools, { node, question }: Round): Promise<readonly Hit[] | null> {
  const { hits, repeated } = await tools.search(node, question, { acrossNodes: true });
  return repeated ? null : hits.slice(0, readPerRound);
}

/** One fact with its verbatim quote from the best sentences of the passages. */
export function readFact(tools: Tools, { node, question }: Round, hits: readonly Hit[]): Promise<ReadFact | null> {
  return new Reader(tools, node, question, answerTypeOf(question)).read(hits);
}

/** Whether a passage speaks of what is asked: at least half of the content words. */
export function speaksTo(question: string): (passage: { readonly title: string; readonly text: string }) => boolean {
  const wanted = contentWords(question);
  return ({ title, text }) => {
    const words = new Set(contentWords(`${title} ${text}`));
    return wanted.filter((word) => words.has(word)).length * 2 >= wanted.length;
  };
}
