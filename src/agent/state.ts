/**
 * The state of a run outside the model (Harness-1, METHODS §4.7, §8.8): candidate pool, curated set with importance, evidence graph, verification cache,
 * history of searches with their yield. Built from events alone, so that a reload rebuilds it from the log. Pure.
 */
import type { Passage } from '../corpus/retriever.ts';
import type { AgentEventBody, Cost, Evidence, Importance, NodeStatus, Plan, StateSummary } from './events.ts';
import { estimateTokens, readsAsOrder, sentencesOf } from './evidence.ts';
import { entitiesOf, wordsOf } from './plan.ts';

/** METHODS §13: what a small context can show. */
export const curatedLimit = 12;
/** The best hits of a search that are kept before anything was read (Harness-1 keeps 8 of 30). */
const keptUnread = 3;
const graphLimit = 12;

const ranks: Readonly<Record<Importance, number>> = { very_high: 3, high: 2, fair: 1, low: 0 };

export interface CuratedPassage {
  readonly passage: Passage;
  readonly importance: Importance;
  readonly node: number;
}

export interface SearchMade {
  readonly node: number;
  readonly query: string;
  readonly results: number;
  /** Ids not seen before in the run. */
  readonly fresh: readonly string[];
  readonly ids: readonly string[];
}

export interface NodeState {
  readonly question: string;
  readonly status: NodeStatus;
  readonly answer: string;
}

export interface RunState {
  readonly question: string;
  readonly plan: Plan | null;
  readonly nodes: ReadonlyMap<number, NodeState>;
  /** Every passage found, in order of finding. Near-duplicates stay (METHODS §11 trap 14). */
  readonly pool: ReadonlyMap<string, Passage>;
  /** Most important first; among equals the earlier one. */
  readonly curated: readonly CuratedPassage[];
  readonly evidence: readonly Evidence[];
  /** Claim, by its words, to the verdict. */
  readonly verdicts: ReadonlyMap<string, { readonly ok: boolean; readonly missing: string | null }>;
  readonly searches: readonly SearchMade[];
  /** Refused repetitions. */
  readonly refused: readonly { readonly node: number; readonly query: string }[];
  readonly spent: Pick<Cost, 'llmCalls' | 'searches'>;
}

export const emptyState: RunState = {
  question: '', plan: null, nodes: new Map(), pool: new Map(), curated: [], evidence: [], verdicts: new Map(), searches: [], refused: [],
  spent: { llmCalls: 0, searches: 0 },
};

/** The note of a `queryScored` event for a query that was not run again. */
export const refusedNote = 'The same words were searched before; the query was not run again.';

export function reduceState(state: RunState, event: AgentEventBody): RunState {
  switch (event.kind) {
    case 'runStarted':
      return { ...state, question: event.question };
    case 'planProposed':
    case 'planEdited':
      return { ...state, plan: event.plan };
    case 'nodeStarted':
      return withNode(state, event.node, { question: event.question, status: 'running', answer: '' });
    case 'nodeFinished':
      return withNode(state, event.node, { question: state.nodes.get(event.node)?.question ?? '', status: event.status, answer: event.answer });
    case 'searched': {
      const pool = new Map(state.pool);
      for (const { passage } of event.hits) pool.set(passage.id, passage);
      const made = { node: event.node, query: event.query, results: event.hits.length, fresh: event.newIds, ids: event.hits.map(({ passage }) => passage.id) };
      const found = { ...state, pool, searches: [...state.searches, made], spent: { ...state.spent, searches: state.spent.searches + 1 } };
      return curate(found, event.hits.slice(0, keptUnread).map(({ passage }) => ({ passage, importance: 'fair', node: event.node })), 'raise');
    }
    case 'selected':
      return curate(
        state,
        [...marked(state, event.kept, 'high', event.node), ...marked(state, event.dropped, 'low', event.node).filter(({ passage }) => isCurated(state, passage.id))],
        'set',
      );
    case 'evidenceRecorded': {
      const kept = event.evidence.map(({ passage }): CuratedPassage => ({ passage, importance: 'very_high', node: event.node }));
      return curate({ ...state, evidence: [...state.evidence, ...event.evidence] }, kept, 'raise');
    }
    case 'verified':
      return { ...state, verdicts: new Map(state.verdicts).set(claimKey(event.claim), { ok: event.ok, missing: event.missing }) };
    case 'queryScored':
      return event.note === refusedNote ? { ...state, refused: [...state.refused, { node: event.node, query: event.query }] } : state;
    case 'llmCalled':
      return { ...state, spent: { ...state.spent, llmCalls: state.spent.llmCalls + 1 } };
    default:
      return state;
  }
}

/** Whether an event can change what `summaryOf` tells, budget aside. */
export function changesState(event: AgentEventBody): boolean {
  return event.kind === 'searched' || event.kind === 'selected' || event.kind === 'evidenceRecorded';
}

export function claimKey(claim: string): string {
  return wordsOf(claim).join(' ');
}

function withNode(state: RunState, id: number, node: NodeState): RunState {
  return { ...state, nodes: new Map(state.nodes).set(id, node) };
}

function isCurated(state: RunState, id: string): boolean {
  return state.curated.some(({ passage }) => passage.id === id);
}

function marked(state: RunState, ids: readonly string[], importance: Importance, node: number): CuratedPassage[] {
  return ids.flatMap((id) => {
    const passage = state.pool.get(id);
    return passage === undefined ? [] : [{ passage, importance, node }];
  });
}

/** `raise` never lowers what was recorded; `set` follows a judgement, but evidence stays evidence. Over the limit the least important, latest ones leave. */
function curate(state: RunState, added: readonly CuratedPassage[], how: 'raise' | 'set'): RunState {
  const curated = [...state.curated];
  for (const item of added) {
    const at = curated.findIndex(({ passage }) => passage.id === item.passage.id);
    const known = curated[at];
    if (known === undefined) curated.push(item);
    else if (how === 'set' ? known.importance !== 'very_high' : ranks[item.importance] > ranks[known.importance]) curated[at] = item;
  }
  curated.sort((a, b) => ranks[b.importance] - ranks[a.importance]);
  return { ...state, curated: curated.slice(0, curatedLimit) };
}

const entities = new WeakMap<Passage, readonly string[]>();

/** Names, years and dates of a passage (its title included), by their words. */
function namesIn(passage: Passage): readonly string[] {
  let names = entities.get(passage);
  if (names === undefined) {
    // Sentence by sentence, so that no name runs over a full stop. A single capital word that opens a sentence is no name unless the title has it.
    // What reads as an order gives no names either: they are shown to the model.
    const title = readsAsOrder(passage.title) ? [] : entitiesOf(`x ${passage.title}`);
    const sentences = sentencesOf(passage).filter(({ text }) => !readsAsOrder(text));
    const inText = sentences.flatMap(({ text }) => entitiesOf(`x ${text}`).filter((name) => name.includes(' ') || !text.startsWith(name)));
    const byKey = new Map([...title, ...inText].map((name) => [claimKey(name), name]));
    names = [...byKey].filter(([key]) => key.length > 2).map(([, name]) => name);
    entities.set(passage, names);
  }
  return names;
}

/** The evidence graph over the curated set: bridges join at least two passages, singletons are names of one alone that the question does not hold. */
export function evidenceGraph(state: RunState): Pick<StateSummary, 'bridges' | 'singletons'> {
  const holders = new Map<string, { readonly entity: string; readonly passages: string[] }>();
  for (const { passage } of state.curated) {
    for (const entity of namesIn(passage)) {
      const known = holders.get(claimKey(entity));
      if (known === undefined) holders.set(claimKey(entity), { entity, passages: [passage.id] });
      else known.passages.push(passage.id);
    }
  }
  const asked = new Set(wordsOf(state.question));
  const all = [...holders.values()];
  return {
    bridges: all.filter(({ passages }) => passages.length > 1).sort((a, b) => b.passages.length - a.passages.length).slice(0, graphLimit),
    singletons: all
      .filter(({ entity, passages }) => passages.length === 1 && !wordsOf(entity).every((word) => asked.has(word)))
      .slice(0, graphLimit)
      .map(({ entity }) => entity),
  };
}

export function summaryOf(state: RunState, budget: StateSummary['budget']): StateSummary {
  return {
    pool: state.pool.size,
    curated: state.curated.map(({ passage, importance, node }) => ({ id: passage.id, title: passage.title, importance, node })),
    ...evidenceGraph(state),
    budget,
  };
}

/** METHODS §4.7: told to the model, so that it uses what is left sparingly. */
export function budgetLine({ callsLeft, searchesLeft }: StateSummary['budget'], limits: { readonly maxLlmCalls: number; readonly maxSearches: number }): string {
  const used = 1 - Math.min(callsLeft / limits.maxLlmCalls, searchesLeft / limits.maxSearches);
  const warning = used >= 0.9 ? ' Almost nothing is left: answer now.' : used >= 0.75 ? ' Little is left.' : used >= 0.6 ? ' More than half is used.' : '';
  return `Left: ${searchesLeft} searches, ${callsLeft} steps.${warning}`;
}

/** Past queries of a node with their yield, the latest ones that fit. */
export function historyLines(state: RunState, node: number | null, tokens: number): readonly string[] {
  const recorded = new Set(state.evidence.map(({ passage }) => passage.id));
  const lines: string[] = [];
  let left = tokens;
  for (const search of state.searches.filter((made) => node === null || made.node === node).toReversed()) {
    const line = `${search.query} (${search.results} found, ${search.fresh.length} new, ${search.ids.filter((id) => recorded.has(id)).length} recorded)`;
    left -= estimateTokens(line);
    if (left < 0) break;
    lines.unshift(line);
  }
  return lines;
}

// --- Stop rules (METHODS §4.11, §8.3) -------------------------------------------------------------------------------------------------------

/** Why to stop working on a node, or null to go on. Pure, so that rules combine. */
export type StopRule = (state: RunState, node: number) => 'no-new-passages' | 'repetition' | 'not-found' | null;

/** The first rule that fires. */
export function anyOf(...rules: readonly StopRule[]): StopRule {
  return (state, node) => {
    for (const rule of rules) {
      const stop = rule(state, node);
      if (stop !== null) return stop;
    }
    return null;
  };
}

function searchesOf(state: RunState, node: number): readonly SearchMade[] {
  return state.searches.filter((made) => made.node === node);
}

/** The last `times` searches of the node brought nothing that its earlier ones had not. */
export function withoutNew(times = 2): StopRule {
  return (state, node) => {
    const own = searchesOf(state, node);
    const seen = new Set<string>();
    const fresh = own.map(({ ids }) => {
      const count = ids.filter((id) => !seen.has(id)).length;
      for (const id of ids) seen.add(id);
      return count;
    });
    return own.length > times && fresh.slice(-times).every((count) => count === 0) ? 'no-new-passages' : null;
  };
}

/** The node asked for the same words again (Jaccard ≥ .8, refused) so many times. */
export function repeating(times = 2): StopRule {
  return (state, node) => (state.refused.filter((refusal) => refusal.node === node).length >= times ? 'repetition' : null);
}

/**
 * Information foraging (InForage, METHODS §4.10; the rule is the marginal-value theorem, our reconstruction): leave when the share of new and relevant
 * passages over the last two searches falls below the mean share of the node's searches so far. `isRelevant` judges a passage.
 */
export function foraging(isRelevant: (passage: Passage) => boolean): StopRule {
  return (state, node) => {
    const gains = scentOf(state, node, isRelevant);
    if (gains.length < 3) return null;
    const recent = gains.slice(-2).reduce((sum, gain) => sum + gain, 0) / 2;
    return recent < gains.reduce((sum, gain) => sum + gain, 0) / gains.length ? 'no-new-passages' : null;
  };
}

/** For each search of a node the share of its passages that are relevant and were not seen by the node before. */
export function scentOf(state: RunState, node: number, isRelevant: (passage: Passage) => boolean): readonly number[] {
  const seen = new Set<string>();
  return searchesOf(state, node).map(({ ids }) => {
    const gained = ids.filter((id) => {
      const passage = state.pool.get(id);
      return !seen.has(id) && passage !== undefined && isRelevant(passage);
    }).length;
    for (const id of ids) seen.add(id);
    return ids.length === 0 ? 0 : gained / ids.length;
  });
}
