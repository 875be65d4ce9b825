/** Exports for training elsewhere: masked retrieval (METHODS §14 item 4), pairs, groups, order, and the checks that refuse an unsound file. */
import { describe, expect, it } from 'vitest';
import {
  dpoRecords, grpoRecords, jsonLines, leaks, problemsOfDpo, problemsOfGrpo, problemsOfSft, rankRecords, sftRecord, sftRecords, trecRun, type SftMessage,
} from '../../../src/learning/exports.ts';
import { toySamples } from './fixture.ts';

const gold = (): readonly string[] => ['Isk'];
const sft = sftRecords(toySamples, gold);

describe('weighted SFT', () => {
  it('masks every retrieved span: passages stand in tool turns without loss, and nowhere else', () => {
    for (const { messages } of sft) {
      const loss = messages.filter((message) => message.loss);
      expect(loss.length).toBeGreaterThan(0);
      expect(loss.every(({ role }) => role === 'assistant')).toBe(true);
      expect(messages.filter(({ role }) => role === 'tool').every((message) => !message.loss)).toBe(true);
      const learned = loss.map(({ content }) => content).join('\n');
      for (const { text } of Object.values(toySamples[0]!.passages)) for (const sentence of text.split('. ')) expect(learned).not.toContain(sentence);
    }
    expect(sft[0]!.messages.find(({ role }) => role === 'tool')?.content).toContain('Vale Glassworks, founded by Orrin Vale');
  });

  it('has one record a trajectory, weights that sum to 1 a question, licence and gain', () => {
    expect(sft).toHaveLength(3);
    expect(sft.reduce((sum, { weight }) => sum + weight, 0)).toBeCloseTo(1, 6);
    expect(sft[0]!.meta).toMatchObject({ licence: 'CC0', em: 1, leak: false });
    expect(sft[0]!.meta.evidenceGain).toBeCloseTo(5.8);
    // The third trajectory drifted to another work whose name holds the answer, before any passage did.
    expect(sft.map(({ meta }) => meta.leak)).toEqual([false, false, true]);
    expect(problemsOfSft(sft)).toEqual(['1 of 3 trajectories name the answer before a passage did (flagged leak)']);
    expect(jsonLines(sft).trimEnd().split('\n').map((line) => JSON.parse(line) as unknown)).toEqual(sft);
  });

  it('refuses lost or wrong weights, double ids, no licence, and loss on what the model did not write', () => {
    expect(problemsOfSft(sft.slice(1)).join()).toContain('not to 1');
    expect(problemsOfSft([{ ...sft[0]!, weight: Number.NaN }]).join()).toContain('finite');
    expect(problemsOfSft([sft[0]!, sft[0]!]).join()).toContain('twice');
    expect(problemsOfSft([{ ...sft[0]!, weight: 1, meta: { ...sft[0]!.meta, licence: ' ' } }]).join()).toContain('licence');
    const messages = sft[0]!.messages.map((message): SftMessage => (message.role === 'tool' ? { ...message, loss: true } : message));
    expect(problemsOfSft([{ ...sft[0]!, weight: 1, messages }]).join()).toContain('did not write');
  });

  it('flags a trajectory that names the answer before a passage did, but not what the question names, and not yes', () => {
    const say = (role: SftMessage['role'], content: string): SftMessage => ({ role, content, loss: role === 'assistant' });
    expect(leaks([say('user', 'Which river?'), say('assistant', 'search: river Isk'), say('tool', 'The Isk flows.')], ['Isk'])).toBe(true);
    expect(leaks([say('user', 'Which river?'), say('assistant', 'search: river'), say('tool', 'The Isk flows.'), say('assistant', 'answer: Isk')], ['Isk'])).toBe(false);
    expect(leaks([say('user', 'Is the Isk longer than the Tarn?'), say('assistant', 'search: Isk length')], ['Isk'])).toBe(false);
    expect(leaks([say('user', 'Same town?'), say('assistant', 'answer: yes')], ['yes'])).toBe(false);
    // Part of a word is not the answer.
    expect(leaks([say('user', 'Which river?'), say('assistant', 'search: Iskander')], ['Isk'])).toBe(false);
    const leaking = { ...toySamples[0]!, steps: toySamples[0]!.steps.map((step) => (step.kind === 'search' ? { ...step, query: 'river Isk' } : step)) };
    expect(sftRecord(leaking, ['Isk']).meta.leak).toBe(true);
    expect(problemsOfSft(sftRecords([{ ...leaking, weight: 1 }], gold)).join()).toContain('flagged leak');
  });
});

describe('preference pairs', () => {
  const pairs = dpoRecords(toySamples, [{ id: 'run/edit-1', question: 'Where?', stage: 'plan', node: null, before: '1. a', after: '1. b', reason: '' }]);

  it('prefer the refined query, the right answer and plan, fewer useless queries, and what the person wrote', () => {
    const of = (why: string) => pairs.filter((pair) => pair.why === why);
    expect(of('more_good_queries')).toMatchObject([{ chosen: [{ content: 'founder of Vale Glassworks birthplace' }], rejected: [{ content: 'river of Vale Glassworks' }] }]);
    expect(of('correct>wrong').map(({ chosen, rejected }) => [chosen[0]?.content.slice(0, 3), rejected[0]?.content])).toEqual([['1. ', expect.stringContaining('Isk Glassworks')], ['Isk', 'Karr']]);
    expect(of('user_edit')).toMatchObject([{ chosen: [{ content: '1. b' }], rejected: [{ content: '1. a' }], qid: 'run/edit-1' }]);
    expect(problemsOfDpo(pairs)).toEqual([]);
    expect(problemsOfDpo([{ ...pairs[0]!, rejected: pairs[0]!.chosen }])).toHaveLength(1);
  });

  it('leave out edits that changed nothing', () => {
    expect(dpoRecords([], [{ id: 'x', question: 'q', stage: 'query', node: 1, before: 'same ', after: ' same', reason: '' }])).toEqual([]);
  });
});

describe('groups, order and runs', () => {
  it('give advantages of mean 0 in a group, and no group where all rewards are the same', () => {
    const [group] = grpoRecords(toySamples);
    expect(group!.group.map(({ reward }) => reward)).toEqual([1, 0, 0]);
    expect(group!.group.reduce((sum, { advantage }) => sum + advantage, 0)).toBeCloseTo(0);
    expect(group!.group[0]!.advantage).toBeCloseTo(Math.SQRT2, 4);
    expect(grpoRecords(toySamples.slice(1))).toEqual([]);
    expect(problemsOfGrpo([{ ...group!, group: [{ ...group!.group[0]!, advantage: Number.NaN }] }])).toHaveLength(1);
  });

  it('put passages that evidence was taken from first', () => {
    const first = rankRecords(toySamples).find(({ query }) => query === 'Orrin Vale born');
    expect(first?.order).toEqual([1, 2]);
    const second = rankRecords([{ ...toySamples[0]!, steps: [{ t: 1, node: 1, kind: 'search', query: 'q', k: 2, retriever: 'bm25', ms: 0, docs: toySamples[0]!.steps.find((s) => s.kind === 'search')!.docs }, { t: 2, node: 1, kind: 'record', question: '', sufficient: true, subAnswer: 'x', evidence: [{ doc: 'toy/d1', span: [0, 1], text: 'O' }] }] }]);
    expect(second[0]?.order).toEqual([2, 1]);
  });

  it('are readable by trec_eval: six columns, ranks from 1, falling scores, no passage twice', () => {
    const lines = trecRun([toySamples[0]!], 'foray run').split('\n').map((line) => line.split(' '));
    expect(lines.every((columns) => columns.length === 6 && columns[1] === 'Q0' && columns[5] === 'foray_run')).toBe(true);
    expect(lines.map((columns) => Number(columns[3]))).toEqual([1, 2, 3]);
    expect(new Set(lines.map((columns) => columns[2])).size).toBe(3);
  });
});
