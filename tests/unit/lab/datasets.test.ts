import { describe, expect, test } from 'vitest';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { decodePassages, decodeQuestionFile, decodeQuestions } from '../../../src/lab/datasets.ts';
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

describe('files as they are published', () => {
  const textOf = (name: string): string => readFileSync(new URL(`../../fixtures/questions/${name}`, import.meta.url), 'utf8');
  const fileOf = (name: string, dataset = 'set') => decodeQuestionFile(textOf(name), name, dataset);
  const messageOf = (run: () => unknown): string => {
    try {
      run();
    } catch (error) {
      if (error instanceof AppError) return error.message;
      throw error;
    }
    throw new Error('it was read');
  };

  test('HotpotQA: an array of rows; sentences that carry the answer, the paragraphs as passages with their sentence ends', () => {
    const { questions, passages } = fileOf('hotpotqa.json', 'hotpotqa');
    expect(questions).toEqual([
      {
        id: '5ad0f00055429900000000a1', dataset: 'hotpotqa', question: 'In which town was the builder of the Varn lighthouse born?', answers: ['Tolmen'], type: 'bridge', hops: 2,
        gold: [{ kind: 'page', title: 'Varn lighthouse', quote: 'The Varn lighthouse was built by Ilse Brandt in 1871.' },
          { kind: 'page', title: 'Ilse Brandt', quote: 'She was born in Tolmen, near the coast.' }],
        facts: [{ title: 'Varn lighthouse', sentence: 0 }, { title: 'Ilse Brandt', sentence: 1 }], goldPlan: [], selection: 'complete', split: null,
      },
      expect.objectContaining({
        id: '5ad0f00055429900000000a2', answers: ['no'], type: 'comparison', hops: 2,
        // The published data name sentences that are not there.
        gold: [{ kind: 'page', title: 'Varn lighthouse', quote: 'It stands on a rock.' }, { kind: 'page', title: 'Odder lighthouse', quote: 'The Odder lighthouse stands on a dune.' },
          { kind: 'page', title: 'Odder lighthouse', quote: '' }],
      }),
    ]);
    expect(passages).toEqual([
      { id: 'Varn lighthouse', title: 'Varn lighthouse', text: 'The Varn lighthouse was built by Ilse Brandt in 1871. It stands on a rock.', sentenceEnds: [53, 74] },
      { id: 'Ilse Brandt', title: 'Ilse Brandt', text: 'Ilse Brandt was an engineer. She was born in Tolmen, near the coast.', sentenceEnds: [28, 68] },
      { id: 'Varn', title: 'Varn', text: 'Varn is an island with a ferry.', sentenceEnds: [31] },
      { id: 'Odder lighthouse', title: 'Odder lighthouse', text: 'The Odder lighthouse stands on a dune.', sentenceEnds: [38] },
    ]);
  });

  test('HotpotQA in columns, as a table exports it, is the same question', () => {
    const [array, columns] = [fileOf('hotpotqa.json'), fileOf('hotpotqa-columns.jsonl')];
    expect(columns.questions).toEqual(array.questions.slice(0, 1));
    expect(columns.passages).toEqual(array.passages.slice(0, 3));
  });

  test('2WikiMultihopQA: the evidence triples are the gold plan, with references', () => {
    const { questions, passages } = fileOf('2wikimultihopqa.json', '2wiki');
    expect(questions.map(({ id, answers, type, hops }) => ({ id, answers, type, hops }))).toEqual([
      { id: '8f1a3c0a0bda11eba7f7acde48001122', answers: ['Odder'], type: 'compositional', hops: 2 },
      { id: '8f1a3c0a0bda11eba7f7acde48001123', answers: ['Ninth Winter'], type: 'bridge_comparison', hops: 4 },
    ]);
    expect(questions[0]?.goldPlan).toEqual([{ id: 1, q: 'The Salt Road >> director', answer: 'Maud Ferrin' }, { id: 2, q: '#1 >> place of birth', answer: 'Odder' }]);
    expect(questions[1]?.goldPlan.map(({ q }) => q)).toEqual(['The Salt Road >> director', 'Ninth Winter >> director', '#1 >> date of birth', '#2 >> date of birth']);
    expect(questions[0]?.facts).toEqual([{ title: 'The Salt Road', sentence: 1 }, { title: 'Maud Ferrin', sentence: 0 }]);
    // Another text under a title that is there already is a passage of its own.
    expect(passages.map(({ id, title }) => [id, title])).toEqual([
      ['The Salt Road', 'The Salt Road'], ['Maud Ferrin', 'Maud Ferrin'], ['Salt road (trade)', 'Salt road (trade)'], ['Ninth Winter', 'Ninth Winter'],
      ['Maud Ferrin (2)', 'Maud Ferrin'], ['Tor Halvik', 'Tor Halvik'],
    ]);
  });

  test('MuSiQue: aliases, decomposition, hops from the id; the unanswerable twin has an id of its own and no answer', () => {
    const { questions, passages } = fileOf('musique_full.jsonl', 'musique');
    expect(questions).toEqual([
      {
        id: '2hop__101_202', dataset: 'musique', question: 'Which river flows through the home town of Ilse Brandt?', answers: ['Isk', 'river Isk', 'the Isk'], type: '2hop', hops: 2,
        gold: [{ kind: 'page', title: 'Ilse Brandt', quote: 'Ilse Brandt was an engineer who built' }, { kind: 'page', title: 'Tolmen', quote: 'Tolmen lies on the river' }],
        facts: [{ title: 'Ilse Brandt', sentence: null }, { title: 'Tolmen', sentence: null }],
        goldPlan: [{ id: 1, q: 'Ilse Brandt >> home town', answer: 'Tolmen' }, { id: 2, q: 'Which river flows through #1 ?', answer: 'Isk' }], selection: 'complete', split: null,
      },
      expect.objectContaining({ id: '2hop__101_202/unanswerable', answers: [], hops: 2 }),
      expect.objectContaining({ id: '3hop1__7_8_9', answers: ['Ana Lind'], type: '3hop1', hops: 3 }),
    ]);
    expect(passages.map(({ id, title }) => [id, title])).toEqual([
      ['Ilse Brandt', 'Ilse Brandt'], ['Tolmen', 'Tolmen'], ['Tolmen (2)', 'Tolmen'], ['Ninth Winter', 'Ninth Winter'], ['Tor Halvik', 'Tor Halvik'], ['Karsund', 'Karsund'],
    ]);
  });

  test('Bamboogle: the table and the lines are the same questions, numbered, without gold', () => {
    const { questions, passages } = fileOf('bamboogle.csv', 'bamboogle');
    const rest = { dataset: 'bamboogle', type: null, hops: null, gold: [], facts: [], goldPlan: [], selection: null, split: null };
    expect(questions).toEqual([
      { id: 'bamboogle-1', question: 'Who was mayor of Karsund when the Odder bridge opened?', answers: ['Ana Lind'], ...rest },
      { id: 'bamboogle-2', question: 'In which year was the founder of "Salt & Sons", of Odder, born?', answers: ['1890'], ...rest },
    ]);
    expect(fileOf('bamboogle.jsonl', 'bamboogle').questions).toEqual(questions);
    expect(passages).toEqual([]);
  });

  test('own questions: a table with several answers, none, and a line break in a cell; lines with lists and numbers', () => {
    expect(fileOf('own.csv', 'own').questions.map(({ id, question, answers, type, hops }) => ({ id, question, answers, type, hops }))).toEqual([
      { id: 'isk', question: 'Which river flows\nthrough Tolmen?', answers: ['Isk', 'river Isk'], type: 'bridge', hops: 2 },
      { id: 'own-2', question: 'Who is the king of Varn?', answers: [], type: 'unanswerable', hops: null },
    ]);
    expect(fileOf('own.jsonl', 'own').questions.map(({ id, answers, type, hops }) => ({ id, answers, type, hops }))).toEqual([
      { id: '7', answers: ['Isk', 'river Isk'], type: 'bridge', hops: 2 }, { id: 'own-2', answers: ['1934'], type: null, hops: null },
    ]);
  });

  type Rows = Record<string, unknown>[];
  const changed = (name: string, change: (rows: Rows) => void): string => {
    const isArray = name.endsWith('.json');
    const rows = (isArray ? JSON.parse(textOf(name)) : textOf(name).split('\n').filter((line) => line !== '').map((line) => JSON.parse(line) as unknown)) as Rows;
    change(rows);
    return isArray ? JSON.stringify(rows) : rows.map((row) => JSON.stringify(row)).join('\n');
  };

  test.each<[name: string, change: (rows: Rows) => void, message: RegExp]>([
    ['hotpotqa.json', (rows) => void (rows[1]!['supporting_facts'] = [['Odder lighthouse', 'first']]), /^Row 2 of hotpotqa\.json is not a HotpotQA or 2Wiki question: supporting_facts\.0\.1:/],
    ['hotpotqa.json', (rows) => void (rows[1]!['context'] = [['Odder lighthouse', 'one text']]), /^Row 2 of hotpotqa\.json .*context\.0\.1:/],
    ['hotpotqa.json', (rows) => void delete rows[0]!['answer'], /^Row 1 of hotpotqa\.json .*no answer, as in a test split/],
    ['hotpotqa.json', (rows) => void (rows[1]!['_id'] = rows[0]!['_id']), /^Row 2 of hotpotqa\.json .*5ad0f00055429900000000a1 stands there twice/],
    ['hotpotqa-columns.jsonl', (rows) => void (rows[0]!['context'] = { title: ['a', 'b'], sentences: [['a.']] }), /^Row 1 of .*context: titles and sentences differ in number/],
    ['hotpotqa-columns.jsonl', (rows) => void (rows[0]!['supporting_facts'] = { title: ['a'], sent_id: [] }), /^Row 1 of .*supporting_facts: titles and sentence numbers differ in number/],
    ['2wikimultihopqa.json', (rows) => void (rows[1]!['evidences'] = [['The Salt Road', 'director']]), /^Row 2 of 2wikimultihopqa\.json .*evidences\.0\.2:/],
    ['musique_full.jsonl', (rows) => void delete rows[2]!['answer'], /^Line 3 of musique_full\.jsonl is not a MuSiQue question: answer: the row has no answer/],
    ['musique_full.jsonl', (rows) => void (rows[2]!['paragraphs'] = [{ idx: 0, title: 'x' }]), /^Line 3 of .*paragraphs\.0\.paragraph_text:/],
    ['musique_full.jsonl', (rows) => void (rows[1]!['answerable'] = true), /^Line 2 of .*2hop__101_202 stands there twice/],
    ['bamboogle.jsonl', (rows) => void delete rows[1]!['Answer'], /^Line 2 of bamboogle\.jsonl is not a question with its answer: Answer:/],
    ['own.jsonl', (rows) => void (rows[1]!['answer'] = { text: 'x' }), /^Line 2 of own\.jsonl .*answer: it must be a text, a number or a list of texts/],
  ])('%s: a broken row is named (%#)', (name, change, message) => {
    expect(messageOf(() => decodeQuestionFile(changed(name, change), name, 'set'))).toMatch(message);
  });

  test('tables: the head, an empty question and a number that is none are named', () => {
    expect(messageOf(() => decodeQuestionFile('text,label\na,b\n', 'own.csv', 'set'))).toMatch(/^Row 1 of own\.csv is not the head of a table: it needs the columns question and answer/);
    expect(messageOf(() => decodeQuestionFile('question,answer\nWho?,Ana\n,Isk\n', 'own.csv', 'set'))).toMatch(/^Row 3 of own\.csv .*question:/);
    expect(messageOf(() => decodeQuestionFile('question,answer,hops\nWho?,Ana,two\n', 'own.csv', 'set'))).toMatch(/^Row 2 of own\.csv .*hops:/);
  });

  test('an array that breaks off is no JSON', () => {
    expect(messageOf(() => decodeQuestionFile(textOf('hotpotqa.json').slice(0, -40), 'hotpotqa.json', 'set'))).toMatch(/^Line 1 of hotpotqa\.json is not JSON/);
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
