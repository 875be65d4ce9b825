import { describe, expect, it } from 'vitest';
import type { AgentEvent, AgentEventBody } from '../../../src/agent/events.ts';
import {
  anyOf, budgetLine, curatedLimit, emptyState, evidenceGraph, foraging, historyLines, reduceState, refusedNote, repeating, scentOf, summaryOf, withoutNew, type RunState,
  type StopRule,
} from '../../../src/agent/state.ts';
import { all, collect, startRun } from '../../fixtures/agent-run.ts';
import { passage, toyPassages, toyQuestion } from '../../fixtures/toy.ts';

const many = Array.from({ length: 30 }, (_, i) => passage(`p${i}`, `Page ${i}`, `Text of page ${i}.`));
const stream = (...bodies: readonly AgentEventBody[]): AgentEvent[] => bodies.map((body, seq) => ({ runId: 'r', seq, atMs: seq * 10, ...body }));
const stateOf = (events: readonly AgentEvent[]): RunState => events.reduce<RunState>(reduceState, emptyState);
const searched = (node: number, query: string, passages: readonly (typeof many)[number][], newIds: readonly string[] = []): AgentEventBody => ({
  kind: 'searched', node, query, newIds, usedDense: false, ms: 1, hits: passages.map((item, i) => ({ passage: item, score: 1, rank: i + 1, paths: [], highlights: [], bestSentence: 0 })),
});
const recorded = (item: (typeof many)[number], node = 1): AgentEventBody => ({ kind: 'evidenceRecorded', node, evidence: [{ passage: item, span: { start: 0, end: 4 }, quote: item.text.slice(0, 4), node }] });

describe('state of a run from its events (METHODS §4.7)', () => {
  it('keeps the pool, marks by what is known of a passage, and lets the least important leave first', () => {
    const events = stream(
      searched(1, 'first', many.slice(0, 5)),
      recorded(many[4]!),
      { kind: 'selected', node: 1, kept: ['p1'], dropped: ['p0', 'p3'] },
      ...[5, 8, 11, 14, 17].map((at) => searched(2, `from ${at}`, many.slice(at, at + 3))),
    );
    const state = stateOf(events);
    expect(state.pool.size).toBe(20);
    expect(state.curated).toHaveLength(curatedLimit);
    expect(state.curated.slice(0, 2).map(({ passage: item, importance }) => [item.id, importance])).toEqual([['p4', 'very_high'], ['p1', 'high']]);
    expect(state.curated.map(({ passage: item }) => item.id)).not.toContain('p0');
  });

  it('never lowers evidence to a leftover of a selection', () => {
    const state = stateOf(stream(searched(1, 'q', many.slice(0, 2)), recorded(many[0]!), { kind: 'selected', node: 1, kept: ['p1'], dropped: ['p0'] }));
    expect(state.curated[0]).toMatchObject({ importance: 'very_high', passage: { id: 'p0' } });
  });

  it('finds bridges and singletons', () => {
    const state = stateOf(stream({ kind: 'runStarted', question: toyQuestion, method: 'm', model: null, corpora: [] }, searched(1, 'q', toyPassages.slice(0, 3))));
    const { bridges, singletons } = evidenceGraph(state);
    expect(bridges).toContainEqual({ entity: 'Teshmoor', passages: ['d1', 'd3'] });
    expect(bridges.map(({ entity }) => entity)).toContain('Orrin Vale');
    expect(singletons).toContain('Isk');
    expect(singletons).not.toContain('Vale Glassworks');
    expect(summaryOf(state, { callsLeft: 1, searchesLeft: 2, msLeft: 3 })).toMatchObject({ pool: 3, budget: { callsLeft: 1 } });
  });

  it('remembers verdicts, refusals, nodes and what was spent', () => {
    const state = stateOf(stream(
      { kind: 'nodeStarted', node: 1, question: 'Who?' },
      { kind: 'verified', claim: 'The Isk flows.', ok: false, missing: 'flows' },
      { kind: 'queryScored', node: 1, query: 'again', novel: false, useful: null, note: refusedNote, refined: null },
      { kind: 'llmCalled', purpose: 'read', node: 1, promptTokens: 1, cachedTokens: 0, outputTokens: 1, ms: 1 },
      { kind: 'nodeFinished', node: 1, status: 'answered', answer: 'Orrin Vale', stop: 'answered' },
    ));
    expect(state.verdicts.get('isk flows')).toEqual({ ok: false, missing: 'flows' });
    expect(state.refused).toEqual([{ node: 1, query: 'again' }]);
    expect(state.nodes.get(1)).toEqual({ question: 'Who?', status: 'answered', answer: 'Orrin Vale' });
    expect(state.spent).toEqual({ llmCalls: 1, searches: 0 });
  });

  it('is what the run itself holds: events rebuild it', async () => {
    const events = await collect(startRun('foray').events);
    const told = all(events, 'stateChanged').at(-1);
    const { budget, ...rest } = summaryOf(stateOf(events), told.budget);
    expect(told).toMatchObject(rest);
    expect(budget.searchesLeft).toBe(24 - 3);
    expect(all(events, 'stateChanged')).toHaveLength(all(events, 'searched').length + all(events, 'evidenceRecorded').length);
  });

  it('tells the budget and the yield of past queries in few words', () => {
    const limits = { maxLlmCalls: 10, maxSearches: 10 };
    expect(budgetLine({ callsLeft: 10, searchesLeft: 10, msLeft: 1 }, limits)).toBe('Left: 10 searches, 10 steps.');
    expect(budgetLine({ callsLeft: 1, searchesLeft: 9, msLeft: 1 }, limits)).toContain('answer now');
    const state = stateOf(stream(searched(1, 'one', many.slice(0, 3), ['p0', 'p1']), recorded(many[0]!), searched(1, 'two', [])));
    expect(historyLines(state, 1, 100)).toEqual(['one (3 found, 2 new, 1 recorded)', 'two (0 found, 0 new, 0 recorded)']);
    expect(historyLines(state, 1, 10)).toEqual(['two (0 found, 0 new, 0 recorded)']);
    expect(historyLines(state, 2, 100)).toEqual([]);
  });
});

describe('stop rules (METHODS §4.11, §8.3)', () => {
  it('stop without new passages, on repetition, and combine: the first that stops says why', () => {
    const twoEmpty = stateOf(stream(searched(1, 'a', many.slice(0, 2)), searched(1, 'b', many.slice(0, 2)), searched(1, 'c', [])));
    expect(withoutNew()(twoEmpty, 1)).toBe('no-new-passages');
    expect(withoutNew()(twoEmpty, 2)).toBe(null);
    expect(withoutNew(3)(twoEmpty, 1)).toBe(null);
    const refusal: AgentEventBody = { kind: 'queryScored', node: 1, query: 'a', novel: false, useful: null, note: refusedNote, refined: null };
    expect(repeating()(stateOf(stream(refusal)), 1)).toBe(null);
    expect(repeating()(stateOf(stream(refusal, refusal)), 1)).toBe('repetition');
    expect(repeating()(stateOf(stream(refusal, refusal)), 2)).toBe(null);
    const always: StopRule = () => 'not-found';
    expect(anyOf(repeating(), withoutNew(), always)(twoEmpty, 1)).toBe('no-new-passages');
    expect(anyOf(repeating(), always)(twoEmpty, 1)).toBe('not-found');
    expect(anyOf()(twoEmpty, 1)).toBe(null);
  });

  it('leaves a patch when its scent falls below its mean (METHODS §4.10)', () => {
    const relevant = (): boolean => true;
    const rich = stateOf(stream(searched(1, 'a', many.slice(0, 4)), searched(1, 'b', many.slice(4, 8)), searched(1, 'c', many.slice(8, 12))));
    expect(scentOf(rich, 1, relevant)).toEqual([1, 1, 1]);
    expect(foraging(relevant)(rich, 1)).toBe(null);
    const poor = stateOf(stream(searched(1, 'a', many.slice(0, 4)), searched(1, 'b', many.slice(1, 5)), searched(1, 'c', many.slice(0, 4))));
    expect(scentOf(poor, 1, relevant)).toEqual([1, 0.25, 0]);
    expect(foraging(relevant)(poor, 1)).toBe('no-new-passages');
    expect(scentOf(poor, 1, (item) => item.id === 'p4')).toEqual([0, 0.25, 0]);
  });
});
