import { describe, expect, it } from 'vitest';
import type { AgentEvent } from '../../../src/agent/events.ts';
import { decodeEvent, decodeEvents } from '../../../src/agent/event-log.ts';
import { runMethod } from '../../../src/agent/harness.ts';
import { defaultSettings } from '../../../src/agent/settings.ts';
import { methodById } from '../../../src/agent/methods/registry.ts';
import { AppError, toWire } from '../../../src/errors.ts';
import { bridgePlan, fakeEvidence } from '../../fixtures/fake-searcher.ts';
import { scriptedLlm, toyQuestion, toyRetriever, toyScript } from '../../fixtures/toy.ts';

async function realLog(): Promise<AgentEvent[]> {
  const method = methodById('foray');
  if (method === undefined) throw new Error('no method');
  const log: AgentEvent[] = [];
  const deps = { llm: scriptedLlm(toyScript), retriever: toyRetriever(), now: () => 0, settings: { ...defaultSettings, byCode: false } };
  for await (const event of runMethod('r', toyQuestion, method, deps, new AbortController().signal)) log.push(event);
  return log;
}

const throughStorage = (value: unknown): unknown => structuredClone(JSON.parse(JSON.stringify(value)) as unknown);

describe('a stored log', () => {
  it('of the real agent comes back as it was', async () => {
    const log = await realLog();
    expect(log.length).toBeGreaterThan(8);
    expect(decodeEvents(throughStorage(log))).toEqual(log);
  });

  it('of every further kind comes back as it was', () => {
    const evidence = fakeEvidence('Karr', 'Karr is a hill town', 2);
    const bodies: unknown[] = [
      { kind: 'stateChanged', pool: 3, curated: [{ id: 'a', title: 'A', importance: 'very_high', node: 1 }], bridges: [{ entity: 'Isk', passages: ['a', 'b'] }], singletons: ['Karr'], budget: { callsLeft: 3, searchesLeft: 2, msLeft: 10 } },
      { kind: 'thought', node: null, text: 'x' },
      { kind: 'goalSet', node: 1, goal: 'g' },
      { kind: 'reflected', node: 1, satisfied: false, why: 'w' },
      { kind: 'selected', node: 1, kept: ['a'], dropped: ['b'] },
      { kind: 'expanded', node: 1, query: 'q', terms: [{ term: 't', documents: 4, kept: true }], weight: 0.4 },
      { kind: 'queryScored', node: 1, query: 'q', novel: true, useful: null, note: 'n', refined: 'r' },
      { kind: 'gated', search: true, reason: 'r', confidence: 0.2 },
      { kind: 'verified', claim: 'c', ok: false, missing: 'm' },
      { kind: 'linkFollowed', node: 1, from: 'a', to: ['b'] },
      { kind: 'trajectoryStarted', trajectory: 1, of: 3, seed: 13 },
      { kind: 'trajectoryFinished', trajectory: 1, answer: 'x', logp: { sum: -1, mean: -0.5, tokens: 2, method: 'exact' } },
      { kind: 'trajectoriesWeighted', scores: [{ answer: 'x', score: 0.4, share: 1 }], ess: 1.6 },
      { kind: 'treeExpanded', state: 1, parent: null, depth: 0, value: 0.3, query: 'q' },
      { kind: 'tableStarted', columns: ['a', 'b'], rows: ['x'] },
      { kind: 'cellFilled', row: 0, column: 1, value: 'v', evidence },
      { kind: 'conflictFound', node: 1, answers: [{ answer: 'x', source: 'own' }, { answer: 'y', source: 'shard' }] },
      { kind: 'prompted', purpose: 'read', node: 1, messages: [{ role: 'user', content: 'c' }], output: 'o' },
      { kind: 'edited', from: 'r0', edit: { stage: 'plan', before: bridgePlan, after: bridgePlan } },
      { kind: 'edited', from: 'r0', edit: { stage: 'evidence', node: 1, dropped: [{ id: 'a', title: 'A' }] } },
      { kind: 'runFailed', error: toWire(new AppError('run/busy')), cost: { llmCalls: 0, promptTokens: 0, cachedTokens: 0, outputTokens: 0, searches: 0, wallMs: 0, overheadMs: 0 } },
    ];
    const log = bodies.map((body, seq) => ({ runId: 'r', seq, atMs: seq, ...(body as object) }));
    expect(decodeEvents(throughStorage(log))).toEqual(log);
  });

  it('loses only what this version cannot read', async () => {
    const log = await realLog();
    const [first, second, ...rest] = log;
    const damaged = [first, { ...second, kind: 'fromTheFuture' }, { ...rest[0], plan: 'three' }, null, 7, 'x', ...rest.slice(1)];
    const decoded = decodeEvents(throughStorage(damaged));
    expect(decoded.map((event) => event.seq)).toEqual([0, ...rest.slice(1).map((event) => event.seq)]);
  });

  it.each([{ kind: 'toString', runId: 'r', seq: 1, atMs: 0 }, { kind: '__proto__', runId: 'r', seq: 1, atMs: 0 }, { kind: 'answerStarted', runId: 'r', seq: -1, atMs: 0 }, { kind: 'answerStarted', seq: 1, atMs: 0 }])(
    'takes %o for no event',
    (value) => {
      expect(decodeEvent(value)).toBeNull();
    },
  );

  it('that is no list is empty', () => {
    expect(decodeEvents({ length: 2 })).toEqual([]);
  });

  it('keeps no field that the event does not have', () => {
    expect(decodeEvent({ kind: 'answerDelta', runId: 'r', seq: 1, atMs: 0, text: 'x', calls: [1] })).toEqual({ kind: 'answerDelta', runId: 'r', seq: 1, atMs: 0, text: 'x' });
  });
});
