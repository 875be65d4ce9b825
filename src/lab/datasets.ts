/**
 * Questions and passages as the benchmark uses them, and the decoders of the files that hold them: HotpotQA, 2WikiMultihopQA, MuSiQue and Bamboogle as published,
 * normalised rows, the demo questions, and a person's own CSV or JSON lines. Pure: the caller reads and decompresses the file. A row that is not what it claims to
 * be is an `AppError` that names file and line.
 */
import * as v from 'valibot';
import { csvRows, isFilled } from '../csv.ts';
import { AppError } from '../errors.ts';
import type { GoldPassage, SupportFact } from './metrics.ts';

/** How a question came into its file; `by-availability` favours what a retriever finds, so the two are reported apart. */
export type Selection = 'complete' | 'by-availability';

export interface GoldStep {
  readonly id: number;
  /** May hold `#j`. */
  readonly q: string;
  /** null: not answerable. */
  readonly answer: string | null;
}

export interface Question {
  readonly id: string;
  readonly dataset: string;
  readonly question: string;
  /** The answer and its aliases; none: the corpus does not hold the answer. */
  readonly answers: readonly string[];
  readonly type: string | null;
  readonly hops: number | null;
  readonly gold: readonly GoldPassage[];
  /** Sentences (HotpotQA, 2Wiki) or whole paragraphs (MuSiQue) that carry the answer; empty where the data name none. */
  readonly facts: readonly SupportFact[];
  readonly goldPlan: readonly GoldStep[];
  readonly selection: Selection | null;
  readonly split: string | null;
}

export interface PassageRecord {
  readonly id: string;
  readonly title: string;
  readonly text: string;
  /** End offsets of the sentences, in UTF-16 units of `text`; null where the data name none. */
  readonly sentenceEnds: readonly number[] | null;
}

/** What a file of questions holds; official files bring the passages that their questions were asked over. */
export interface QuestionFile {
  readonly questions: readonly Question[];
  /** Empty where the file holds questions only. */
  readonly passages: readonly PassageRecord[];
}

const nonEmpty = v.pipe(v.string(), v.minLength(1));
const fact = v.tuple([v.string(), v.pipe(v.number(), v.integer(), v.minValue(0))]);
const triple = v.tuple([v.string(), v.string(), v.string()]);
/** A test split is published without answers: nothing could be scored. */
const published = v.pipe(v.optional(v.string(), ''), v.minLength(1, 'the row has no answer, as in a test split; take train or dev'));

const normalisedQuestion = v.object({
  id: nonEmpty,
  question: nonEmpty,
  answer: v.string(),
  aliases: v.optional(v.array(v.string()), []),
  type: v.optional(v.nullable(v.string()), null),
  hops: v.optional(v.nullable(v.number()), null),
  supporting_titles: v.optional(v.array(v.string()), []),
  supporting_facts: v.optional(v.array(fact), []),
  supporting_passage_ids: v.optional(v.array(v.string()), []),
  decomposition: v.optional(v.array(v.object({ question: v.string(), answer: v.string() })), []),
  evidences: v.optional(v.array(triple), []),
  selection: v.optional(v.nullable(v.picklist(['complete', 'by-availability'])), null),
});

const demoQuestion = v.object({
  id: nonEmpty,
  question: nonEmpty,
  answers: v.array(v.string()),
  type: v.optional(v.nullable(v.string()), null),
  hops: v.optional(v.nullable(v.number()), null),
  gold_plan: v.optional(v.array(v.object({ id: v.number(), q: v.string(), answer: v.nullable(v.string()) })), []),
  support: v.optional(v.array(v.object({ title: v.string(), quote: v.optional(v.string(), '') })), []),
  split: v.optional(v.nullable(v.string()), null),
});

/** HotpotQA and 2WikiMultihopQA; `level`, `entity_ids`, `evidences_id` and `answer_id` are not needed. */
const hotpotQuestion = v.object({
  _id: nonEmpty,
  question: nonEmpty,
  answer: published,
  type: v.optional(v.nullable(v.string()), null),
  supporting_facts: v.optional(v.array(fact), []),
  context: v.array(v.tuple([v.string(), v.array(v.string())])),
  evidences: v.optional(v.array(triple), []),
});

/** HotpotQA as tables of columns (Parquet) hold it: `id`, and lists side by side. */
const hotpotColumns = v.object({
  id: nonEmpty,
  context: v.pipe(v.object({ title: v.array(v.string()), sentences: v.array(v.array(v.string())) }),
    v.check(({ title, sentences }) => title.length === sentences.length, 'titles and sentences differ in number')),
  supporting_facts: v.optional(v.pipe(v.object({ title: v.array(v.string()), sent_id: v.array(v.number()) }),
    v.check(({ title, sent_id: at }) => title.length === at.length, 'titles and sentence numbers differ in number'))),
});

const musiqueQuestion = v.object({
  id: nonEmpty,
  question: nonEmpty,
  answer: published,
  answer_aliases: v.optional(v.array(v.string()), []),
  answerable: v.optional(v.boolean(), true),
  paragraphs: v.array(v.object({ idx: v.number(), title: v.string(), paragraph_text: v.string(), is_supporting: v.optional(v.boolean(), false) })),
  question_decomposition: v.optional(v.array(v.object({ question: v.string(), answer: v.string() })), []),
});

/** Bamboogle, or any list of questions and answers. */
const answerList = v.union([v.string(), v.number(), v.array(v.string())], 'it must be a text, a number or a list of texts');
const pair = v.object({ Question: nonEmpty, Answer: answerList });
const ownPair = v.object({ question: nonEmpty, answer: answerList, id: v.optional(v.union([nonEmpty, v.number()])),
  type: v.optional(v.nullable(v.string())), hops: v.optional(v.nullable(v.pipe(v.number(), v.integer(), v.minValue(1)))) });

const passageRow = v.object({
  id: nonEmpty,
  title: v.string(),
  text: v.string(),
  sent_ends: v.optional(v.array(v.pipe(v.number(), v.integer(), v.minValue(0)))),
});

/**
 * JSON lines, a JSON array of rows, an object with `questions`, or CSV with a head (`question`, `answer`; optional `id`, `type`, `hops`; several answers are parted
 * by `|`). The format of a row is told by its fields. Ids must be unique. `name` is the file's, for messages; `dataset` names the set.
 */
export function decodeQuestionFile(text: string, name: string, dataset: string): QuestionFile {
  const body = text.replace(/^\uFEFF/, '');
  const rows: readonly Row[] = /\.csv$/i.test(name) || (!/^\s*[[{]/.test(body) && /^[^\n]*question/i.test(body)) ? tableRows(body, name) : rowsOf(body, name);
  const passages = new Map<string, PassageRecord>();
  const questions = rows.map((row, i) => questionOf(row.value, { name, row, dataset, number: i + 1, passages }));
  checkUnique(questions, rows, name);
  return { questions, passages: [...passages.values()] };
}

/** Only the questions of `decodeQuestionFile`. */
export function decodeQuestions(text: string, name: string, dataset: string): readonly Question[] {
  return decodeQuestionFile(text, name, dataset).questions;
}

/** JSON lines `{id, title, text, sent_ends?}`. */
export function decodePassages(text: string, name: string): PassageRecord[] {
  const rows = rowsOf(text.replace(/^\uFEFF/, ''), name);
  const passages = rows.map((row): PassageRecord => {
    const { id, title, text: body, sent_ends: ends } = decodeRow(passageRow, row, name, 'a passage');
    return { id, title, text: body, sentenceEnds: ends === undefined ? null : utf16Offsets(body, ends) };
  });
  checkUnique(passages, rows, name);
  return passages;
}

/** The files count code points; a character beyond the basic plane takes two UTF-16 units. */
function utf16Offsets(text: string, codePointOffsets: readonly number[]): number[] {
  const units = [0];
  for (const character of text) units.push((units.at(-1) ?? 0) + character.length);
  return units.length === text.length + 1 ? [...codePointOffsets] : codePointOffsets.map((offset) => units[offset] ?? text.length);
}

/** A row of a file, and where it stands: a line of JSON lines, a row of an array or a table (whose head is row 1). */
interface Row {
  readonly value: unknown;
  readonly unit: 'Line' | 'Row';
  readonly line: number;
}

interface RowPlace {
  readonly name: string;
  readonly row: Row;
  readonly dataset: string;
  /** From 1; stands in for an id where the file has none. */
  readonly number: number;
  readonly passages: Map<string, PassageRecord>;
}

function questionOf(value: unknown, place: RowPlace): Question {
  const fields: Readonly<Record<string, unknown>> = typeof value === 'object' && value !== null ? { ...value } : {};
  const decoded = <S extends v.GenericSchema>(schema: S, what: string): v.InferOutput<S> => decodeRow(schema, place.row, place.name, what);
  if ('paragraphs' in fields) return fromMusique(decoded(musiqueQuestion, 'a MuSiQue question'), place);
  if ('context' in fields && '_id' in fields) return fromHotpot(decoded(hotpotQuestion, 'a HotpotQA or 2Wiki question'), place);
  if ('context' in fields && 'id' in fields) return fromHotpotColumns(fields, decoded(hotpotColumns, 'a HotpotQA question'), place);
  if ('Question' in fields) return fromPair(decoded(pair, 'a question with its answer'), place);
  if ('answers' in fields) return fromDemo(decoded(demoQuestion, 'a question'), place);
  if (normalisedFields.some((field) => field in fields)) return fromNormalised(decoded(normalisedQuestion, 'a question'), place);
  const { question, answer, id, type, hops } = decoded(ownPair, 'a question with its answer');
  return { ...fromPair({ Question: question, Answer: answer }, place), ...(id === undefined ? {} : { id: String(id) }), type: type ?? null, hops: hops ?? null };
}

/** Any of them tells a normalised row from one's own question with its answer. */
const normalisedFields = ['aliases', 'supporting_passage_ids', 'supporting_titles', 'supporting_facts', 'decomposition', 'evidences', 'selection'] as const;

function fromNormalised(row: v.InferOutput<typeof normalisedQuestion>, { dataset }: RowPlace): Question {
  const gold: GoldPassage[] =
    row.supporting_passage_ids.length > 0
      ? row.supporting_passage_ids.map((id) => ({ kind: 'id', id }))
      : row.supporting_titles.map((title) => ({ kind: 'page', title, quote: '' }));
  return {
    id: row.id, dataset, question: row.question, type: row.type, hops: row.hops,
    answers: answersOf(row.answer, row.aliases),
    gold,
    facts: row.supporting_facts.length > 0 ? row.supporting_facts.map(([title, sentence]) => ({ title,
      sentence })) : row.decomposition.length > 0 ? row.supporting_titles.map(wholePage) : [],
    goldPlan: row.decomposition.length > 0 ? row.decomposition.map((step, i) => ({ id: i + 1, q: step.question, answer: step.answer })) : planOfTriples(row.evidences),
    selection: row.selection,
    split: null,
  };
}

function fromDemo(row: v.InferOutput<typeof demoQuestion>, { dataset }: RowPlace): Question {
  return {
    id: row.id, dataset, question: row.question, type: row.type, hops: row.hops,
    answers: row.answers,
    gold: row.support.map(({ title, quote }) => ({ kind: 'page', title, quote })),
    facts: [...new Set(row.support.map(({ title }) => title))].map(wholePage),
    goldPlan: row.gold_plan.map(({ id, q, answer }) => ({ id, q, answer })),
    selection: null,
    split: row.split,
  };
}

function fromHotpotColumns(fields: Readonly<Record<string, unknown>>, columns: v.InferOutput<typeof hotpotColumns>, place: RowPlace): Question {
  const facts = columns.supporting_facts;
  const value = {
    ...fields, _id: columns.id,
    context: columns.context.title.map((title, i) => [title, columns.context.sentences[i]]),
    supporting_facts: facts?.title.map((title, i) => [title, facts.sent_id[i]]),
  };
  return fromHotpot(decodeRow(hotpotQuestion, { ...place.row, value }, place.name, 'a HotpotQA question'), place);
}

function fromHotpot(row: v.InferOutput<typeof hotpotQuestion>, { dataset, passages }: RowPlace): Question {
  for (const [title, sentences] of row.context) {
    const text = sentences.join('').trim();
    if (text === '') continue;
    const ends: number[] = [];
    let at = -(sentences.join('').length - sentences.join('').trimStart().length);
    for (const sentence of sentences) {
      at += sentence.length;
      const end = Math.min(text.length, at);
      if (end > (ends.at(-1) ?? 0)) ends.push(end);
    }
    keepPassage(passages, title, text, ends);
  }
  const sentenceAt = (title: string, index: number): string => (row.context.find(([other]) => other === title)?.[1][index] ?? '').trim();
  const evidences = planOfTriples(row.evidences);
  return {
    id: row._id, dataset, question: row.question, type: row.type,
    hops: evidences.length > 0 ? evidences.length : new Set(row.supporting_facts.map(([title]) => title)).size || null,
    answers: answersOf(row.answer, []),
    gold: row.supporting_facts.map(([title, index]) => ({ kind: 'page', title, quote: sentenceAt(title, index) })),
    facts: row.supporting_facts.map(([title, sentence]) => ({ title, sentence })),
    goldPlan: evidences,
    selection: 'complete',
    split: null,
  };
}

function fromMusique(row: v.InferOutput<typeof musiqueQuestion>, { dataset, passages }: RowPlace): Question {
  for (const { title, paragraph_text: text } of row.paragraphs) keepPassage(passages, title, text, null);
  const support = row.paragraphs.filter((paragraph) => paragraph.is_supporting);
  return {
    // MuSiQue-Full asks a question twice under one id: with its passages, and without one of them.
    id: row.answerable ? row.id : `${row.id}/unanswerable`, dataset, question: row.question,
    type: /^(\d+hop\d?)/.exec(row.id)?.[1] ?? null,
    hops: row.question_decomposition.length || null,
    answers: row.answerable ? answersOf(row.answer, row.answer_aliases) : [],
    gold: support.map(({ title, paragraph_text: text }) => ({ kind: 'page', title, quote: text.slice(0, 80).replace(/\s\S*$/, '') })),
    facts: support.map(({ title }) => wholePage(title)),
    goldPlan: row.question_decomposition.map((step, i) => ({ id: i + 1, q: step.question, answer: step.answer })),
    selection: 'complete',
    split: null,
  };
}

/** Several paragraphs of one page are passages of their own; the same one in several questions is one. */
function keepPassage(passages: Map<string, PassageRecord>, title: string, text: string, sentenceEnds: readonly number[] | null): void {
  let id = title;
  for (let n = 2; passages.has(id) && passages.get(id)?.text !== text; n++) id = `${title} (${n})`;
  passages.set(id, { id, title, text, sentenceEnds });
}

function fromPair(row: v.InferOutput<typeof pair>, { dataset, number }: RowPlace): Question {
  const answers = Array.isArray(row.Answer) ? row.Answer : String(row.Answer).split('|');
  return {
    id: `${dataset}-${number}`, dataset, question: row.Question, type: null, hops: null, answers: answers.map((answer) => answer.trim()).filter((answer) => answer !== ''),
    gold: [], facts: [], goldPlan: [], selection: null, split: null,
  };
}

function answersOf(answer: string, aliases: readonly string[]): string[] {
  return [answer, ...aliases].filter((text) => text.trim() !== '');
}

function wholePage(title: string): SupportFact {
  return { title, sentence: null };
}

/** 2Wiki's triples as steps: a subject that is an earlier object becomes a reference. A reconstruction: the data set publishes no sub-questions. */
function planOfTriples(triples: readonly (readonly [string, string, string])[]): GoldStep[] {
  return triples.map(([subject, relation, object], i) => {
    const from = triples.slice(0, i).findIndex(([, , earlier]) => earlier === subject);
    return { id: i + 1, q: `${from < 0 ? subject : `#${from + 1}`} >> ${relation}`, answer: object };
  });
}

function tableRows(text: string, name: string): Row[] {
  const [head, ...rows] = csvRows(text);
  const columns = (head ?? []).map((column) => column.trim().toLowerCase());
  const column = (title: string): number => columns.indexOf(title);
  const [question, answer] = [column('question'), Math.max(column('answer'), column('answers'))];
  if (question < 0 || answer < 0) throw new AppError('lab/bad-row',
    { file: name, unit: 'Row', line: 1, what: 'the head of a table', reason: 'it needs the columns question and answer' });
  return rows.flatMap((cells, i) => {
    if (!isFilled(cells)) return [];
    const cell = (title: string): string => cells[column(title)]?.trim() ?? '';
    const value = {
      question: cells[question]?.trim() ?? '',
      answer: (cells[answer] ?? '').split('|'),
      ...(cell('id') === '' ? {} : { id: cell('id') }),
      ...(cell('type') === '' ? {} : { type: cell('type') }),
      ...(cell('hops') === '' ? {} : { hops: Number(cell('hops')) }),
    };
    return [{ value, unit: 'Row', line: i + 2 }];
  });
}

function rowsOf(text: string, name: string): Row[] {
  const whole = wholeJson(text);
  if (whole !== undefined) {
    const list = Array.isArray(whole) ? whole : typeof whole === 'object' && whole !== null && 'questions' in whole && Array.isArray(whole.questions) ? whole.questions : [whole];
    return (list as unknown[]).map((value, i) => ({ value, unit: 'Row', line: i + 1 }));
  }
  const rows: Row[] = [];
  for (const [i, raw] of text.split('\n').entries()) {
    if (raw.trim() === '') continue;
    try {
      rows.push({ value: JSON.parse(raw) as unknown, unit: 'Line', line: i + 1 });
    } catch {
      throw new AppError('lab/bad-row', { file: name, unit: 'Line', line: i + 1, what: 'JSON', reason: 'it cannot be parsed' });
    }
  }
  return rows;
}

/** undefined: the text is not one JSON value (it is JSON lines, or broken). */
function wholeJson(text: string): unknown {
  if (!/^\s*[[{]/.test(text)) return undefined;
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

function decodeRow<S extends v.GenericSchema>(schema: S, { value, unit, line }: Row, file: string, what: string): v.InferOutput<S> {
  const parsed = v.safeParse(schema, value);
  if (parsed.success) return parsed.output;
  const reason = parsed.issues.map((issue) => `${v.getDotPath(issue) ?? 'row'}: ${issue.message}`).slice(0, 3).join('; ');
  throw new AppError('lab/bad-row', { file, unit, line, what, reason });
}

/** `records` come from `rows`, in the same order. */
function checkUnique(records: readonly { readonly id: string }[], rows: readonly Row[], file: string): void {
  const seen = new Set<string>();
  for (const [i, { id }] of records.entries()) {
    const { unit, line } = rows[i] ?? { unit: 'Row', line: i + 1 };
    if (seen.has(id)) throw new AppError('lab/bad-row', { file, unit, line, what: 'a new row', reason: `the id ${id} stands there twice` });
    seen.add(id);
  }
}
