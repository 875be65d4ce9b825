import { describe, expect, it } from 'vitest';
import type { AgentEvent, AgentEventBody } from '../../../src/agent/events.ts';
import {
  distinctAnswers, effectiveSize, evidenceGain, isInformative, marginalise, trajectoriesOf, vote, weightsOf,
} from '../../../src/agent/trajectories.ts';
import { toyPassages, toyQuestion } from '../../fixtures/toy.ts';

const near = (actual: readonly number[], expected: readonly number[], digits = 3): void => {
  expect(actual).toHaveLength(expected.length);
  actual.forEach((value, i) => expect(value).toBeCloseTo(expected[i]!, digits));
};

/** The defect of the released trainer (METHODS §3.7): loss over the sum of losses. */
const released = (means: readonly number[]): number[] => means.map((mean) => mean / means.reduce((sum, other) => sum + other, 0));

describe('METHODS §14.3: weights and effective size', () => {
  const means = [-0.4, -0.9, -2.3];
  const logps = means.map((mean) => ({ sum: mean * 6, tokens: 6 }));

  it('gives the worked example by mean and by sum', () => {
    const byMean = weightsOf(logps, { alpha: 1 });
    near(byMean, [0.569, 0.345, 0.085]);
    expect(effectiveSize(byMean)).toBeCloseTo(2.22, 2);
    const bySum = weightsOf(logps);
    near(bySum, [0.953, 0.047, 0.00001]);
    expect(effectiveSize(bySum)).toBeCloseTo(1.1, 2);
  });

  it('is not the released code: the worst trajectory has the least weight', () => {
    const wrong = released(means);
    near(wrong, [0.11, 0.25, 0.64], 2);
    expect(() => near(wrong, weightsOf(logps, { alpha: 1 }), 1)).toThrow();
    const right = weightsOf(logps, { alpha: 1 });
    expect(right.indexOf(Math.max(...right))).toBe(0);
    expect(wrong.indexOf(Math.max(...wrong))).toBe(2);
  });

  it('gives the toy case of Appendix A, flattens with τ and stands far-off values', () => {
    const toy = [-0.2, -1.6, -2.9].map((mean) => ({ sum: mean, tokens: 1 }));
    near(weightsOf(toy), [0.761, 0.188, 0.051]);
    expect(effectiveSize(weightsOf(toy))).toBeCloseTo(1.62, 2);
    near(weightsOf(toy, { tau: 1e9 }), [1 / 3, 1 / 3, 1 / 3]);
    near(weightsOf([{ sum: -2000, tokens: 9 }, { sum: -2001, tokens: 9 }]), [0.731, 0.269]);
    expect(weightsOf([])).toEqual([]);
  });

  it('tells which questions teach, and what the evidence added', () => {
    expect(isInformative([0.34, 0.33, 0.33], [false, false, false])).toBe(false);
    expect(isInformative([0.34, 0.33, 0.33], [false, true, false])).toBe(true);
    expect(isInformative([0.6, 0.2, 0.2], [false, false, false])).toBe(true);
    expect(evidenceGain({ sum: -0.5, tokens: 2 }, { sum: -4, tokens: 2 })).toBeCloseTo(3.5);
  });
});

describe('METHODS §14.18: marginalisation', () => {
  const p = (probability: number, tokens = 1) => ({ sum: Math.log(probability), tokens });

  it('sums over trajectories', () => {
    const [first, second] = marginalise(['Karr', 'Isk'], [[p(0.1), p(0.1), p(0.7)], [p(0.9), p(0.5), p(0.1)]]);
    expect(first).toMatchObject({ answer: 'Isk' });
    expect(first?.score).toBeCloseTo(0.5);
    expect(second?.score).toBeCloseTo(0.3);
    expect(first?.share).toBeCloseTo(0.625);
  });

  it('equals the share of votes when all scores are 0 or 1', () => {
    const said = ['Isk', 'Teshmoor', 'Isk', 'Isk'];
    const answers = distinctAnswers(said);
    const table = answers.map((answer) => said.map((other) => (other === answer ? p(1) : null)));
    const votes = vote(said.map((answer) => ({ answer, verified: 0 })));
    expect(marginalise(answers, table)).toEqual(votes);
    expect(votes.map(({ score }) => score)).toEqual([0.75, 0.25]);
  });

  it('with α = 1 a long answer is not put behind a short one for its length', () => {
    const rows = [[p(0.5 ** 4, 4)], [p(0.4, 1)]];
    expect(marginalise(['the long one', 'short'], rows)[0]?.answer).toBe('short');
    expect(marginalise(['the long one', 'short'], rows, { alpha: 1 })[0]?.answer).toBe('the long one');
  });

  it('votes: ties go to verified evidence, then to the shorter; silence has no vote; wordings of one answer are one', () => {
    expect(vote([{ answer: 'Karr', verified: 1 }, { answer: 'Isk', verified: 3 }])[0]?.answer).toBe('Isk');
    expect(vote([{ answer: 'the river Isk', verified: 1 }, { answer: 'Isk', verified: 1 }])[0]?.answer).toBe('Isk');
    expect(vote([{ answer: '', verified: 0 }, { answer: '', verified: 0 }])).toEqual([]);
    expect(vote([{ answer: 'The Isk.', verified: 0 }, { answer: 'isk', verified: 0 }])).toEqual([{ answer: 'isk', score: 1, share: 1 }]);
  });
});

describe('trajectories from events (METHODS §1.3)', () => {
  const hit = (i: number, rank: number) => ({ passage: toyPassages[i]!, score: 1, rank, paths: [], highlights: [], bestSentence: 0 });
  const search = (node: number, query: string, ...ids: number[]): AgentEventBody => ({
    kind: 'searched', node, query, hits: ids.map((id, i) => hit(id, i + 1)), newIds: [], usedDense: false, ms: 1,
  });
  const stream = (bodies: readonly AgentEventBody[]): AgentEvent[] => bodies.map((body, seq) => ({ runId: 'r', seq, atMs: seq * 10, ...body }));
  const context = { qid: 'q1', corpus: 'toy', seed: 5 };
  const quote = { passage: toyPassages[2]!, span: { start: 0, end: 8 }, quote: 'Teshmoor', node: 1 };
  const started: AgentEventBody = { kind: 'runStarted', question: toyQuestion, method: 'exsearch', model: 'm', corpora: [] };

  it('keeps sampled trajectories apart; what was seen counts within each', () => {
    const events = stream([
      started,
      { kind: 'trajectoryStarted', trajectory: 1, of: 3, seed: 13 },
      { kind: 'thought', node: 1, text: 'first the founder' },
      search(1, 'founder', 1, 0),
      search(1, 'founder born', 0),
      { kind: 'queryScored', node: 1, query: 'founder born', novel: false, useful: true, note: 'nothing new', refined: null },
      { kind: 'selected', node: 1, kept: ['d1'], dropped: [] },
      { kind: 'evidenceRecorded', node: 1, evidence: [quote] },
      { kind: 'nodeFinished', node: 1, status: 'answered', answer: 'Teshmoor', stop: 'answered' },
      { kind: 'llmCalled', purpose: 'think', node: 1, promptTokens: 100, cachedTokens: 40, outputTokens: 5, ms: 1 },
      { kind: 'trajectoryFinished', trajectory: 1, answer: 'Isk', logp: { sum: -1, mean: -0.5, tokens: 2, method: 'exact' } },
      { kind: 'trajectoryStarted', trajectory: 2, of: 3, seed: 14 },
      search(2, 'founder', 0),
      { kind: 'trajectoryFinished', trajectory: 2, answer: '', logp: null },
      { kind: 'llmCalled', purpose: 'score', node: null, promptTokens: 9, cachedTokens: null, outputTokens: 1, ms: 1 },
      { kind: 'answerFinished', answer: { short: 'Isk', sentences: [], citations: [], mode: 'cited' } },
    ]);
    const [first, second] = trajectoriesOf(events, context);
    expect(first).toMatchObject({ id: 'r/1', qid: 'q1', seed: 13, stop: 'answered', answer: 'Isk', answerLogp: { sum: -1 }, weight: null });
    expect(first?.steps.map((step) => step.kind)).toEqual(['think', 'search', 'search', 'select', 'record', 'answer']);
    expect(first?.steps.map((step) => step.t)).toEqual([1, 2, 3, 4, 5, 6]);
    expect(first?.steps[2]).toMatchObject({ docs: [{ id: 'd1', new: false }] });
    expect(first?.process).toEqual([{ t: 3, novel: 0, useful: 1, note: 'nothing new', refined: null }]);
    expect(first?.cost).toMatchObject({ llmCalls: 1, promptTokens: 100, cachedTokens: 40, searches: 2 });
    expect(first?.steps.at(-1)).toMatchObject({ text: 'Isk', cites: ['d3'] });
    expect(second).toMatchObject({ seed: 14, stop: 'not-found', answer: '' });
    expect(second?.steps[0]).toMatchObject({ docs: [{ id: 'd1', new: true }] });
    expect(second?.cost.llmCalls).toBe(0);
  });

  it('takes a run without samples as one trajectory, also when it breaks off', () => {
    const events = stream([started, search(0, 'isk', 2)]);
    expect(trajectoriesOf(events, context)).toMatchObject([{ seed: 5, stop: 'user', answer: '', steps: [{ kind: 'search', retriever: 'bm25' }] }]);
  });
});
