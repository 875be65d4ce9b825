import { describe, expect, test } from 'vitest';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { decodePassages, decodeQuestions } from '../../../src/lab/datasets.ts';
import { AppError } from '../../../src/errors.ts';

const normalised = {
  id: 'q1', question: 'Who?', answer: 'Isk', aliases: ['river Isk'], type: 'bridge', hops: 2, supporting_titles: ['A'], supporting_passage_ids: ['p1', 'p2'],
  decomposition: [{ question: 'A >> b', answer: 'c', title: 'A', passage_id: 'p1' }], selection: 'by-availability', gold: 'official',
};

const codeOf = (run: () => unknown): unknown => {
  try {
    run();
  } catch (error) {
    return error instanceof AppError ? { code: error.code, line: error.detail['line'] } : error;
  }
  return null;
};

describe('questions', () => {
  test('a normalised row', () => {
    expect(decodeQuestions(`${JSON.stringify(normalised)}\n`, 'dev.jsonl', 'toy')).toEqual([
      {
        id: 'q1', dataset: 'toy', question: 'Who?', answers: ['Isk', 'river Isk'], type: 'bridge', hops: 2, gold: [{ kind: 'id', id: 'p1' }, { kind: 'id', id: 'p2' }],
        facts: [{ title: 'A', sentence: null }], goldPlan: [{ id: 1, q: 'A >> b', answer: 'c' }], selection: 'by-availability', split: null,
      },
    ]);
  });

  test('titles stand in where the row names no passage ids', () => {
    const [question] = decodeQuestions(JSON.stringify({ ...normalised, supporting_passage_ids: [] }), 'f', 'toy');
    expect(question?.gold).toEqual([{ kind: 'page', title: 'A', quote: '' }]);
  });

  test('demo rows: lines, an array, an object with questions', () => {
    const row = { id: 'd1', question: 'Who?', answers: [], type: 'unanswerable', hops: 1, gold_plan: [{ id: 1, q: 'Who?', answer: null, deps: [] }], support: [{ title: 'A', section: '', quote: 'x' }], split: 'report' };
    const expected = [{ id: 'd1', dataset: 'demo', question: 'Who?', answers: [], type: 'unanswerable', hops: 1, gold: [{ kind: 'page', title: 'A', quote: 'x' }], facts: [{ title: 'A', sentence: null }], goldPlan: [{ id: 1, q: 'Who?', answer: null }], selection: null, split: 'report' }];
    for (const text of [JSON.stringify(row), JSON.stringify([row]), JSON.stringify({ version: 1, questions: [row] })]) expect(decodeQuestions(text, 'f', 'demo')).toEqual(expected);
  });

  test('bad rows are named by file and line', () => {
    const good = JSON.stringify(normalised);
    expect(codeOf(() => decodeQuestions(`${good}\n\n{"id":"q2"`, 'dev.jsonl', 'toy'))).toEqual({ code: 'lab/bad-row', line: 3 });
    expect(codeOf(() => decodeQuestions(`${good}\n{"id":"q2","question":"Why?"}`, 'dev.jsonl', 'toy'))).toEqual({ code: 'lab/bad-row', line: 2 });
    expect(codeOf(() => decodeQuestions(`${good}\n${good}`, 'dev.jsonl', 'toy'))).toEqual({ code: 'lab/bad-row', line: 2 });
    expect(codeOf(() => decodeQuestions('<!doctype html>', 'dev.jsonl', 'toy'))).toEqual({ code: 'lab/bad-row', line: 1 });
    expect(codeOf(() => decodeQuestions(JSON.stringify({ ...normalised, selection: 'other' }), 'dev.jsonl', 'toy'))).toEqual({ code: 'lab/bad-row', line: 1 });
  });

  test('an empty file holds no questions', () => {
    expect(decodeQuestions('\n', 'f', 'toy')).toEqual([]);
  });
});

describe('passages', () => {
  test('sentence ends come as UTF-16 offsets', () => {
    // Code points: "𝄞a." ends at 3, "b." at 6; the clef takes two units.
    const [plain, astral] = decodePassages(
      `{"id":"1","title":"T","text":"a. b.","sent_ends":[2,5]}\n{"id":"2","title":"T","text":"𝄞a. b.","sent_ends":[3,6]}`,
      'passages.jsonl',
    );
    expect(plain?.sentenceEnds).toEqual([2, 5]);
    expect(astral?.sentenceEnds).toEqual([4, 7]);
    expect('𝄞a. b.'.slice(0, 4)).toBe('𝄞a.');
  });
});

const data = new URL('../../../../shared/data/qa/', import.meta.url);
describe.skipIf(!existsSync(data))('the benchmark data beside the checkout', () => {
  const read = (path: string): string => gunzipSync(readFileSync(new URL(path, data))).toString('utf8');

  test.each([
    ['hotpotqa', 500, 100],
    ['2wikimultihopqa', 500, 500],
    ['musique', 500, 310],
  ])('%s: %d dev and %d train questions, each gold passage there', (name, dev, train) => {
    const questions = [...decodeQuestions(read(`${name}/dev.jsonl.gz`), `${name}/dev`, name), ...decodeQuestions(read(`${name}/train.jsonl.gz`), `${name}/train`, name)];
    expect(questions.length).toBe(dev + train);
    const ids = new Set(decodePassages(read(`${name}/passages.jsonl.gz`), `${name}/passages`).map((passage) => passage.id));
    expect(questions.every((question) => question.answers.length > 0 && question.gold.length > 0)).toBe(true);
    expect(questions.flatMap((question) => question.gold).filter((gold) => gold.kind === 'id' && ids.has(gold.id)).length).toBe(questions.flatMap((question) => question.gold).length);
  });

  test('bamboogle has no gold passages', () => {
    const questions = decodeQuestions(read('bamboogle/dev.jsonl.gz'), 'bamboogle/dev', 'bamboogle');
    expect(questions.length).toBe(75);
    expect(questions.every((question) => question.gold.length === 0)).toBe(true);
  });
});

test('the demo questions decode', () => {
  const folder = new URL('../../../tools/demo-shard/', import.meta.url);
  const questions = readdirSync(folder)
    .filter((name) => name.endsWith('.questions.jsonl'))
    .flatMap((name) => decodeQuestions(readFileSync(new URL(name, folder), 'utf8'), name, 'demo'));
  expect(questions.length).toBeGreaterThanOrEqual(60);
  expect(new Set(questions.map((question) => question.split))).toEqual(new Set(['tune', 'report']));
  expect(questions.filter((question) => question.answers.length === 0).every((question) => question.type === 'unanswerable')).toBe(true);
});
