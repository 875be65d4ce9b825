/**
 * Questions and passages as the benchmark uses them, and the decoders of the files that hold them: the normalised rows of the four multi-hop sets and the
 * demo questions. Pure: the caller reads and decompresses the file. A line that is not what it claims to be is an `AppError` that names file and line.
 */
import * as v from 'valibot';
import { AppError } from '../errors.ts';
import type { GoldPassage } from './metrics.ts';

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

const nonEmpty = v.pipe(v.string(), v.minLength(1));

const normalisedQuestion = v.object({
  id: nonEmpty,
  question: nonEmpty,
  answer: v.string(),
  aliases: v.optional(v.array(v.string()), []),
  type: v.optional(v.nullable(v.string()), null),
  hops: v.optional(v.nullable(v.number()), null),
  supporting_titles: v.optional(v.array(v.string()), []),
  supporting_passage_ids: v.optional(v.array(v.string()), []),
  decomposition: v.optional(v.array(v.object({ question: v.string(), answer: v.string() })), []),
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

const questionRow = v.union([normalisedQuestion, demoQuestion]);

const passageRow = v.object({
  id: nonEmpty,
  title: v.string(),
  text: v.string(),
  sent_ends: v.optional(v.array(v.pipe(v.number(), v.integer(), v.minValue(0)))),
});

/** JSON lines, a JSON array of rows, or an object with `questions`. Ids must be unique. `name` is the file's, for messages; `dataset` names the set. */
export function decodeQuestions(text: string, name: string, dataset: string): Question[] {
  const rows = rowsOf(text, name).map(({ value, line }) => questionOf(decodeRow(questionRow, value, name, line, 'a question'), dataset));
  checkUnique(rows, name);
  return rows;
}

/** JSON lines `{id, title, text, sent_ends?}`. */
export function decodePassages(text: string, name: string): PassageRecord[] {
  const rows = rowsOf(text, name).map(({ value, line }): PassageRecord => {
    const { id, title, text: body, sent_ends: ends } = decodeRow(passageRow, value, name, line, 'a passage');
    return { id, title, text: body, sentenceEnds: ends === undefined ? null : utf16Offsets(body, ends) };
  });
  checkUnique(rows, name);
  return rows;
}

/** The files count code points; a character beyond the basic plane takes two UTF-16 units. */
function utf16Offsets(text: string, codePointOffsets: readonly number[]): number[] {
  const units = [0];
  for (const character of text) units.push((units.at(-1) ?? 0) + character.length);
  return units.length === text.length + 1 ? [...codePointOffsets] : codePointOffsets.map((offset) => units[offset] ?? text.length);
}

function questionOf(row: v.InferOutput<typeof questionRow>, dataset: string): Question {
  const common = { id: row.id, dataset, question: row.question, type: row.type, hops: row.hops };
  if ('answers' in row) {
    return {
      ...common,
      answers: row.answers,
      gold: row.support.map(({ title, quote }) => ({ kind: 'page', title, quote })),
      goldPlan: row.gold_plan.map(({ id, q, answer }) => ({ id, q, answer })),
      selection: null,
      split: row.split,
    };
  }
  const gold: GoldPassage[] =
    row.supporting_passage_ids.length > 0
      ? row.supporting_passage_ids.map((id) => ({ kind: 'id', id }))
      : row.supporting_titles.map((title) => ({ kind: 'page', title, quote: '' }));
  return {
    ...common,
    answers: [row.answer, ...row.aliases].filter((answer) => answer.trim() !== ''),
    gold,
    goldPlan: row.decomposition.map((step, i) => ({ id: i + 1, q: step.question, answer: step.answer })),
    selection: row.selection,
    split: null,
  };
}

function rowsOf(text: string, name: string): { value: unknown; line: number }[] {
  const body = text.replace(/^\uFEFF/, '');
  const whole = wholeJson(body);
  if (whole !== undefined) {
    const list = Array.isArray(whole) ? whole : typeof whole === 'object' && whole !== null && 'questions' in whole && Array.isArray(whole.questions) ? whole.questions : [whole];
    return (list as unknown[]).map((value, i) => ({ value, line: i + 1 }));
  }
  const rows: { value: unknown; line: number }[] = [];
  for (const [i, raw] of body.split('\n').entries()) {
    if (raw.trim() === '') continue;
    try {
      rows.push({ value: JSON.parse(raw) as unknown, line: i + 1 });
    } catch {
      throw new AppError('lab/bad-row', { file: name, line: i + 1, what: 'JSON', reason: 'it cannot be parsed' });
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

function decodeRow<S extends v.GenericSchema>(schema: S, value: unknown, file: string, line: number, what: string): v.InferOutput<S> {
  const parsed = v.safeParse(schema, value);
  if (parsed.success) return parsed.output;
  const reason = parsed.issues.map((issue) => `${v.getDotPath(issue) ?? 'row'}: ${issue.message}`).slice(0, 3).join('; ');
  throw new AppError('lab/bad-row', { file, line, what, reason });
}

function checkUnique(rows: readonly { readonly id: string }[], file: string): void {
  const seen = new Set<string>();
  for (const [i, { id }] of rows.entries()) {
    if (seen.has(id)) throw new AppError('lab/bad-row', { file, line: i + 1, what: 'a new row', reason: `the id ${id} stands there twice` });
    seen.add(id);
  }
}
