import { describe, expect, it } from 'vitest';
import type { AgentEvent, AgentEventBody } from '../../../src/agent/events.ts';
import { hasSearchState, noSearchState, treeRows } from '../../../src/ui/search-state.ts';
import { reduceRun, replayRun, startRun, type RunView } from '../../../src/ui/state.ts';
import { cellKey, csvField, tableAsCsv, tableProgress } from '../../../src/ui/table-state.ts';
import { bridgePlan, fakeEvidence, fakeSearch } from '../../fixtures/fake-searcher.ts';

function play(...bodies: readonly AgentEventBody[]): RunView {
  const events = bodies.map((body, seq): AgentEvent => ({ runId: 'r', seq, atMs: seq, ...body }));
  return events.reduce(reduceRun, startRun('r', 'q', false));
}

const { hits } = fakeSearch({ text: 'Vale Glassworks', k: 3 });
const searched: AgentEventBody = { kind: 'searched', node: 1, query: 'Vale Glassworks', hits, newIds: hits.map((hit) => hit.passage.id), usedDense: false, ms: 1 };

describe('the state of a search', () => {
  it('is empty for a run that tells none', () => {
    expect(hasSearchState(play({ kind: 'planProposed', plan: bridgePlan }, searched).search)).toBe(false);
    expect(hasSearchState(noSearchState)).toBe(false);
  });

  it('keeps the last summary and every verdict', () => {
    const summary = { pool: 2, curated: [], bridges: [], singletons: [], budget: { callsLeft: 4, searchesLeft: 3, msLeft: 10 } };
    const run = play(
      { kind: 'stateChanged', ...summary },
      { kind: 'stateChanged', ...summary, pool: 5 },
      { kind: 'queryScored', node: 1, query: 'a', novel: true, useful: false, note: '', refined: 'b' },
      { kind: 'queryScored', node: 1, query: 'b', novel: true, useful: true, note: '', refined: null },
    );
    expect(run.search.summary).toEqual({ ...summary, pool: 5 });
    expect(run.search.verdicts.map((verdict) => verdict.useful)).toEqual([false, true]);
    expect(hasSearchState(run.search)).toBe(true);
  });

  it('ties a reflection to the last goal of its step, and bears one without a goal', () => {
    const run = play(
      { kind: 'goalSet', node: 1, goal: 'a founder' },
      { kind: 'goalSet', node: 2, goal: 'a place' },
      { kind: 'reflected', node: 1, satisfied: false, why: 'no name' },
      { kind: 'reflected', node: 1, satisfied: true, why: 'named' },
      { kind: 'reflected', node: 3, satisfied: true, why: 'x' },
    );
    expect(run.search.goals.map((goal) => [goal.node, goal.goal, goal.reflections.length])).toEqual([[1, 'a founder', 2], [2, 'a place', 0], [3, '', 1]]);
  });

  it('keeps the steps of each trajectory with it, and shows those of the last', () => {
    const run = play(
      { kind: 'trajectoryStarted', trajectory: 1, of: 3, seed: 1 },
      { kind: 'planProposed', plan: bridgePlan },
      searched,
      { kind: 'trajectoryFinished', trajectory: 1, answer: 'Isk', logp: { sum: -2, mean: -0.2, tokens: 10, method: 'exact' } },
      { kind: 'trajectoryStarted', trajectory: 2, of: 3, seed: 2 },
      { kind: 'nodeStarted', node: 1, question: 'another way' },
    );
    expect(run.search.trajectories.map((item) => item.answer)).toEqual(['Isk', null]);
    expect(run.search.trajectories[0]?.nodes.map((node) => node.searches.length)).toEqual([1, 0, 0]);
    expect(run.nodes.map((node) => node.question)).toEqual(['another way']);
  });

  it('names the run and the edits that it goes on from', () => {
    const run = play({ kind: 'edited', from: 'before', edit: { stage: 'sub-answer', node: 1, before: 'a', after: 'b' } });
    expect(run.search).toMatchObject({ revisionOf: 'before', edits: [{ stage: 'sub-answer' }] });
  });

  it('lists a tree branch by branch, and bears loops and lost parents', () => {
    const at = (state: number, parent: number | null, value: number) => ({ state, parent, depth: 0, value, query: `q${state}` });
    const rows = treeRows([at(1, null, 0.2), at(2, 1, 0.4), at(3, 1, 0.9), at(4, 3, 0.5), at(5, 99, 0.1)]);
    expect(rows.map((row) => [row.state, row.depth, row.isBest])).toEqual([[1, 0, false], [3, 1, true], [4, 2, false], [2, 1, false], [5, 0, false]]);
    expect(treeRows([at(1, 2, 0.1), at(2, 1, 0.3)]).map((row) => row.state).sort()).toEqual([1, 2]);
  });
});

describe('a table', () => {
  const evidence = fakeEvidence('Karr', 'Karr is a hill town', 1);
  const run = play(
    { kind: 'tableStarted', columns: ['River', 'Bridges'], rows: ['Karr', 'Teshmoor'] },
    { kind: 'cellFilled', row: 0, column: 1, value: '3', evidence },
    { kind: 'cellFilled', row: 1, column: 0, value: '=HYPERLINK("x")', evidence: null },
    { kind: 'cellFilled', row: 7, column: 1, value: 'outside', evidence: null },
  );

  it('fills, and takes nothing that lies outside', () => {
    expect(run.table?.cells.get(cellKey(0, 1))).toEqual({ value: '3', evidence });
    expect(run.table === null ? null : tableProgress(run.table)).toEqual({ filled: 2, total: 4 });
    expect(play({ kind: 'cellFilled', row: 0, column: 0, value: 'x', evidence: null }).table).toBeNull();
  });

  it('keeps what was filled when rows are added', () => {
    const grown = reduceRun(run, { runId: 'r', seq: 9, atMs: 9, kind: 'tableStarted', columns: ['River', 'Bridges'], rows: ['Karr', 'Teshmoor', 'Isk'] });
    expect(grown.table?.rows).toHaveLength(3);
    expect(grown.table?.cells.size).toBe(2);
  });

  it('leaves as CSV with its sources, and no spreadsheet takes a value for a formula', () => {
    if (run.table === null) throw new Error('no table');
    expect(tableAsCsv(run.table)).toBe(
      'Name,River,Bridges,Bridges (source)\r\nKarr,,3,Karr: Karr is a hill town\r\nTeshmoor,"\'=HYPERLINK(""x"")",,\r\n',
    );
  });

  it.each([
    ['=1+1', "'=1+1"],
    ['+cmd', "'+cmd"],
    ['-cmd', "'-cmd"],
    ['@x', "'@x"],
    ['\t=1', "'=1"],
    ['\r=1', "'=1"],
    ['＝1', "'＝1"],
    ['-12.5', '-12.5'],
    ['+3', '+3'],
    ['a "b", c', '"a ""b"", c"'],
    ['a;b', '"a;b"'],
    ['1871', '1871'],
    ['two\nlines', 'two lines'],
    ['\u202Egnp', '[U+202E]gnp'],
  ])('writes %j as %j', (text, field) => {
    expect(csvField(text)).toBe(field);
  });

  it('is there again in the history', () => {
    const log = [{ runId: 'r', seq: 0, atMs: 0, kind: 'tableStarted', columns: ['a'], rows: ['x'] }] as const;
    expect(replayRun('r', 'q', log).table?.rows).toEqual(['x']);
  });
});
