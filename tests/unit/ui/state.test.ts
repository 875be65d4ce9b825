import { describe, expect, it } from 'vitest';
import type { AgentEvent, AgentEventBody, Cost } from '../../../src/agent/events.ts';
import { runMethod } from '../../../src/agent/harness.ts';
import { defaultSettings } from '../../../src/agent/settings.ts';
import { methodById } from '../../../src/agent/methods/registry.ts';
import { AppError, toWire } from '../../../src/errors.ts';
import { liveNode, reduceRun, releasePlan, replayRun, stageOf, startRun, stepsDone, type RunView } from '../../../src/ui/state.ts';
import { collect, startRun as startAgent } from '../../fixtures/agent-run.ts';
import { bridgePlan, fakeEvidence, fakeSearch } from '../../fixtures/fake-searcher.ts';
import { anyScript } from '../../fixtures/method-scripts.ts';
import { scriptedLlm, toyQuestion, toyRetriever, toyScript } from '../../fixtures/toy.ts';

const cost: Cost = { llmCalls: 4, promptTokens: 900, cachedTokens: 300, outputTokens: 60, searches: 3, wallMs: 5000, overheadMs: 12 };

function events(...bodies: readonly AgentEventBody[]): AgentEvent[] {
  return bodies.map((body, seq) => ({ runId: 'r', seq, atMs: seq, ...body }));
}

function play(bodies: readonly AgentEventBody[], holdsPlan = false): RunView {
  return events(...bodies).reduce(reduceRun, startRun('r', 'q', holdsPlan));
}

const started: AgentEventBody = { kind: 'runStarted', question: 'the question', method: 'foray', model: 'm', corpora: [] };
const planned: AgentEventBody = { kind: 'planProposed', plan: bridgePlan };
const { hits } = fakeSearch({ text: 'Vale Glassworks founder', k: 4 });
const searched: AgentEventBody = { kind: 'searched', node: 1, query: 'Vale Glassworks founder', hits, newIds: hits.map((hit) => hit.passage.id), usedDense: true, ms: 3 };
const evidence = fakeEvidence('Vale Glassworks', 'It was founded in 1871 by Orrin Vale, who had learned to blow glass on barges.', 1);

async function realRun(method: string, stopAfter = Infinity): Promise<AgentEvent[]> {
  const found = methodById(method);
  if (found === undefined) throw new Error(`no method ${method}`);
  const controller = new AbortController();
  const llm = method === 'extractive' ? null : scriptedLlm(toyScript);
  const out: AgentEvent[] = [];
  for await (const event of runMethod('r', toyQuestion, found, { llm, retriever: toyRetriever(), now: () => performance.now(), settings: { ...defaultSettings, byCode: false } }, controller.signal)) {
    out.push(event);
    if (out.length === stopAfter) controller.abort();
  }
  return out;
}

describe('a run of the real agent', () => {
  it('fills the plan step by step and ends with the answer and its cost', async () => {
    const log = await realRun('foray');
    const run = log.reduce(reduceRun, startRun('r', toyQuestion, false));
    expect(run.outcome).toBe('finished');
    expect(run.question).toBe(toyQuestion);
    expect(run.nodes.map((node) => [node.id, node.status, node.answer])).toEqual([
      [1, 'answered', 'Orrin Vale'],
      [2, 'answered', 'Teshmoor'],
      [3, 'answered', 'Isk'],
    ]);
    expect(run.nodes[1]?.question).toBe('Where was Orrin Vale born?');
    for (const node of run.nodes) {
      expect(node.searches).toHaveLength(1);
      expect(node.evidence).toHaveLength(1);
    }
    expect(run.answer?.short).toBe('Isk');
    expect(run.streamed.startsWith('Isk')).toBe(true);
    expect(run.cost).toEqual(log.at(-1)?.kind === 'runFinished' ? (log.at(-1) as { cost: Cost }).cost : null);
    expect(stageOf(run)).toBe('Answer ready');
  });

  it('keeps the finished steps of a plan that grows while it is carried out', async () => {
    const log = await collect(startAgent('mindsearch', { script: anyScript('mindsearch') }).events);
    expect(log.filter((event) => event.kind === 'planEdited').length).toBeGreaterThan(0);
    const run = replayRun('run-1', toyQuestion, log);
    expect(run.nodes.map((node) => [node.question, node.status, node.answer, node.searches.length > 0])).toEqual([
      ['Who founded Vale Glassworks?', 'answered', 'Orrin Vale', true],
      ['Where was Orrin Vale born?', 'answered', 'Teshmoor', true],
      ['On which river is Teshmoor?', 'answered', 'Isk', true],
    ]);
  });

  it('counts calls and searches while it goes on exactly as the agent does at the end', async () => {
    const log = await realRun('foray');
    const live = log.slice(0, -1).reduce(reduceRun, startRun('r', toyQuestion, false));
    const end = log.reduce(reduceRun, startRun('r', toyQuestion, false));
    for (const key of ['llmCalls', 'promptTokens', 'cachedTokens', 'outputTokens', 'searches'] as const) expect(live.cost[key]).toBe(end.cost[key]);
  });

  it('without a model shows the question as a whole', async () => {
    const run = replayRun('r', toyQuestion, await realRun('extractive'));
    expect(run.plan).toBeNull();
    expect(run.nodes.map((node) => [node.id, node.status])).toEqual([[0, 'answered']]);
    expect(run.answer?.mode).toBe('extractive');
    expect(stageOf(run)).toBe('Best sentences found');
  });

  it.each([3, 4, 6, 9])('stopped after %d events keeps what was found and leaves nothing running', async (count) => {
    const run = replayRun('r', toyQuestion, await realRun('foray', count));
    expect(run.outcome).toBe('stopped');
    expect(run.nodes.some((node) => node.status === 'open' || node.status === 'running')).toBe(false);
    expect(stageOf(run)).toBe('Stopped');
  });
});

describe('reduceRun', () => {
  it('ignores events of other runs, repeated events and events after the end', () => {
    const [first, second] = events(started, planned);
    if (first === undefined || second === undefined) throw new Error('no events');
    const run = [first, second].reduce(reduceRun, startRun('r', 'q', false));
    expect(reduceRun(run, { ...second, seq: 9, runId: 'other' })).toBe(run);
    expect(reduceRun(run, second)).toBe(run);
    const ended = reduceRun(run, { runId: 'r', seq: 2, atMs: 2, kind: 'runFinished', stop: 'answered', cost });
    expect(reduceRun(ended, { runId: 'r', seq: 3, atMs: 3, kind: 'answerDelta', text: 'late' })).toBe(ended);
  });

  it('holds the plan only where the person asked for it, until it is released or replaced', () => {
    expect(play([started, planned]).phase).toBe('working');
    const held = play([started, planned], true);
    expect(held.phase).toBe('held');
    expect(stageOf(held)).toBe('The plan is waiting for you');
    expect(releasePlan(held).phase).toBe('working');
    const edited = { ...bridgePlan, nodes: bridgePlan.nodes.slice(0, 1), final: { deps: [1], op: 'answer' as const }, source: 'edited' as const };
    const run = play([started, planned, { kind: 'planEdited', plan: edited }], true);
    expect(run.phase).toBe('working');
    expect(run.nodes.map((node) => node.id)).toEqual([1]);
  });

  it('tells the step it works on and follows it', () => {
    const run = play([started, planned, { kind: 'nodeStarted', node: 1, question: 'Who founded Vale Glassworks?' }]);
    expect(stageOf(run)).toBe('Step 1 of 3: searching');
    expect(liveNode(run)).toBe(1);
    const reading = play([started, planned, { kind: 'nodeStarted', node: 1, question: 'x' }, searched]);
    expect(stageOf(reading)).toBe('Step 1 of 3: reading what was found');
    const next = play([started, planned, { kind: 'nodeStarted', node: 1, question: 'x' }, { kind: 'nodeFinished', node: 1, status: 'answered', answer: 'Orrin Vale', stop: 'answered' }]);
    expect(stepsDone(next)).toEqual({ done: 1, total: 3 });
    expect(liveNode(next)).toBe(1);
  });

  it('keeps refused quotes with their reason', () => {
    const run = play([started, planned, { kind: 'evidenceRecorded', node: 1, evidence: [evidence] }, { kind: 'evidenceRejected', node: 1, quote: 'made up', reason: 'off-subject' }]);
    expect(run.nodes[0]?.evidence).toEqual([evidence]);
    expect(run.nodes[0]?.rejected).toEqual([{ quote: 'made up', reason: 'off-subject' }]);
  });

  it('adds the whole question as a step of its own when the plan was not enough', () => {
    const run = play([started, planned, { ...searched, node: 0 }]);
    expect(run.nodes.map((node) => node.id)).toEqual([1, 2, 3, 0]);
    expect(run.nodes.at(-1)?.question).toBe('the question');
    expect(stepsDone(run).total).toBe(3);
  });

  it('keeps the partial answer, the plan and the passages of a run that failed', () => {
    const error = toWire(new AppError('engine/worker-died', { worker: 'llm' }));
    const run = play([started, planned, { kind: 'nodeStarted', node: 1, question: 'x' }, searched, { kind: 'answerStarted' }, { kind: 'answerDelta', text: 'half an' }, { kind: 'runFailed', error, cost }]);
    expect(run.outcome).toBe('failed');
    expect(run.streamed).toBe('half an');
    expect(run.error).toEqual(error);
    expect(run.nodes[0]?.searches[0]?.hits).toHaveLength(hits.length);
    expect(run.nodes[0]?.status).toBe('skipped');
  });

  it('says not found where the answer says so', () => {
    const run = play([started, { kind: 'answerFinished', answer: { short: '', sentences: [], citations: [], mode: 'not-found' } }, { kind: 'runFinished', stop: 'not-found', cost }]);
    expect(stageOf(run)).toBe('Nothing found that answers the question');
  });

  it('does not change the view it was given', () => {
    const before = play([started, planned]);
    const copy = structuredClone(before);
    events(started, planned, searched).slice(2).reduce(reduceRun, before);
    expect(before).toEqual(copy);
  });
});

describe('replayRun', () => {
  it('ends a log that breaks off as stopped', () => {
    const run = replayRun('r', 'q', events(started, planned, { kind: 'nodeStarted', node: 1, question: 'x' }));
    expect(run.outcome).toBe('stopped');
    expect(run.nodes.map((node) => node.status)).toEqual(['skipped', 'skipped', 'skipped']);
  });
});
