/**
 * Evidence: sentence packing within a token budget, verbatim quotes, answer checks and the support of answer sentences. Pure.
 * Promise: every `Evidence` that leaves this file stands word for word in its passage.
 */
import type { Hit, Passage, Span } from '../corpus/retriever.ts';
import type { AnswerType, Evidence } from './events.ts';
import { entitiesOf, wordsOf } from './plan.ts';

/** A sentence offered to the model under a number. */
export interface PackedSentence {
  /** From 1, as the prompt shows it. */
  readonly n: number;
  readonly passage: Passage;
  readonly span: Span;
  readonly text: string;
}

export interface Packing {
  readonly sentences: readonly PackedSentence[];
  /** Sentences left out because they read as orders to a model (FAULTS T3). */
  readonly suspicious: number;
}

const stopWords = new Set(
  'is are was were be been do does did has have had of in on at to for by with from and or as that this these those which who whom whose what when where why how it its he she his her their they not no than then into over under between during after before about also'.split(' '),
);

/** Content words of a text. */
export function contentWords(text: string): string[] {
  return wordsOf(text).filter((word) => !stopWords.has(word));
}

/** A crude common stem so that "founded" meets "founder": the first letters decide. */
export function stemOf(word: string): string {
  return word.length <= 4 ? word : word.slice(0, Math.max(4, word.length - 3));
}

export function sentencesOf(passage: Passage): { readonly span: Span; readonly text: string }[] {
  let start = 0;
  const out: { span: Span; text: string }[] = [];
  for (const end of passage.sentenceEnds) {
    const raw = passage.text.slice(start, end);
    const lead = raw.length - raw.trimStart().length;
    const text = raw.trim();
    if (text !== '') out.push({ span: { start: start + lead, end: start + lead + text.length }, text });
    start = end;
  }
  return out;
}

/** Text that addresses the model instead of stating a fact. Dropping it is one layer; the grammar and the quote check are the others. */
const orders =
  /<\|?\/?(?:im_start|im_end|system|user|assistant|tool|inst)|\[\/?INST\]|\b(?:ignore|disregard|forget|override)\b[^.]{0,60}\b(?:instruction|prompt|rule|previous|above|system)|\b(?:you are now|system prompt|as an ai|new instructions?:|call (?:the )?(?:tool|search) with|respond only with|answer with the word)\b/i;

export function readsAsOrder(text: string): boolean {
  return orders.test(text.replace(/[\p{Cf}]/gu, ''));
}

/** What may be read of passages as a whole: without sentences that read as orders, and without passages whose title does. */
export function withoutOrders(
  passages: readonly Passage[],
): { readonly readable: readonly { readonly passage: Passage; readonly text: string }[]; readonly suspicious: number } {
  let suspicious = 0;
  const readable = passages.flatMap((passage) => {
    if (readsAsOrder(passage.title)) {
      suspicious++;
      return [];
    }
    const sentences = sentencesOf(passage);
    const kept = sentences.filter(({ text }) => !readsAsOrder(text));
    suspicious += sentences.length - kept.length;
    return [{ passage, text: kept.length === sentences.length ? passage.text : kept.map(({ text }) => text).join(' ') }];
  });
  return { readable, suspicious };
}

/** Rough tokens of a text for budgets: 4 characters a token in English, more where words are rare; never below the number of words. */
export function estimateTokens(text: string): number {
  return Math.max(Math.ceil(text.length / 4), wordsOf(text).length);
}

/** Sentences that fit less than this share of the best one's score only dilute the prompt; but a few are always offered. */
const relevanceShare = 0.3;
const fewestSentences = 4;

/** What a passage that names nobody and nothing of the question keeps of its score. */
const offSubjectShare = 0.4;

/** The names that a question is about, each by its last word ("Hansen" stands for "Theophil Hansen"). */
export function subjectsOf(question: string): readonly string[] {
  return entitiesOf(question).flatMap((name) => wordsOf(name).at(-1) ?? []).filter((word) => !/^\d+$/.test(word));
}

/** True where a passage or its title names at least one of the subjects, or where there are none. */
export function speaksOf(passage: Passage, subjects: readonly string[]): boolean {
  if (subjects.length === 0) return true;
  const words = new Set(wordsOf(`${passage.title} ${passage.text}`));
  return subjects.some((subject) => words.has(subject));
}

/**
 * The sentences that fit a query best, within `tokenBudget`: every passage competes with its sentences, scored by overlap with the query weighted by rarity
 * among the candidates, plus a share for the passage's rank. A chosen sentence that opens with a pronoun brings the one before it. Order: passage rank, then position.
 */
export function packSentences(hits: readonly Hit[], query: string, tokenBudget: number, perPassage = 3, firstNumber = 1): Packing {
  const wanted = new Set(contentWords(query).map(stemOf));
  const candidates: { hit: Hit; index: number; span: Span; text: string; words: Set<string> }[] = [];
  let suspicious = 0;
  for (const hit of hits) {
    // The title stands before each sentence in a prompt.
    const isDoubtful = readsAsOrder(hit.passage.title);
    sentencesOf(hit.passage).forEach(({ span, text }, index) => {
      if (isDoubtful || readsAsOrder(text)) suspicious++;
      else candidates.push({ hit, index, span, text, words: new Set(contentWords(text).map(stemOf)) });
    });
  }
  const frequency = new Map<string, number>();
  for (const { words } of candidates) for (const word of words) if (wanted.has(word)) frequency.set(word, (frequency.get(word) ?? 0) + 1);
  const weightOf = (word: string): number => Math.log(1 + candidates.length / (frequency.get(word) ?? candidates.length));
  const total = [...wanted].reduce((sum, word) => sum + weightOf(word), 0) || 1;
  const subjects = subjectsOf(query);
  const aside = new Set(hits.filter((hit) => !speaksOf(hit.passage, subjects)).map((hit) => hit.passage.id));
  const scored = candidates.map((candidate) => {
    const titleWords = new Set(contentWords(candidate.hit.passage.title).map(stemOf));
    let overlap = 0;
    for (const word of wanted) {
      if (candidate.words.has(word)) overlap += weightOf(word);
      else if (titleWords.has(word)) overlap += 0.6 * weightOf(word);
    }
    const lead = candidate.index === 0 ? 0.12 : 0;
    const share = aside.has(candidate.hit.passage.id) ? offSubjectShare : 1;
    return { ...candidate, score: share * (overlap / total + 0.5 / (candidate.hit.rank + 1) + lead) };
  });
  scored.sort((a, b) => b.score - a.score || a.hit.rank - b.hit.rank || a.index - b.index);

  const chosen = new Set<(typeof scored)[number]>();
  const perPassageCount = new Map<string, number>();
  let left = tokenBudget;
  const costOf = (text: string): number => estimateTokens(text) + 8;
  const weakest = (scored[0]?.score ?? 0) * relevanceShare;
  for (const candidate of scored) {
    if (candidate.score < weakest && chosen.size >= fewestSentences) break;
    const id = candidate.hit.passage.id;
    const count = perPassageCount.get(id) ?? 0;
    if (count >= perPassage || chosen.has(candidate)) continue;
    const cost = costOf(candidate.text);
    if (cost > left) {
      if (chosen.size === 0) {
        chosen.add(candidate);
        break;
      }
      continue;
    }
    chosen.add(candidate);
    perPassageCount.set(id, count + 1);
    left -= cost;
    if (candidate.index > 0 && /^(?:he|she|it|they|his|her|its|their|this|these)\b/i.test(candidate.text)) {
      const before = scored.find((other) => other.hit.passage.id === id && other.index === candidate.index - 1);
      if (before !== undefined && !chosen.has(before) && costOf(before.text) <= left) {
        chosen.add(before);
        left -= costOf(before.text);
      }
    }
  }
  const sentences = [...chosen]
    .sort((a, b) => a.hit.rank - b.hit.rank || a.index - b.index)
    .map(({ hit, span, text }, i) => ({ n: firstNumber + i, passage: hit.passage, span, text }));
  return { sentences, suspicious };
}

/** Lower case, no accents, no punctuation, single spaces: the form in which an answer is looked for in a quote. */
function plain(text: string): string {
  return ` ${wordsOf(text).join(' ')} `;
}

/** True where the answer's words stand in the text in this order. Yes and no are never checked by words. */
export function occursIn(answer: string, text: string): boolean {
  const needle = plain(answer);
  return needle.trim() !== '' && plain(text).includes(needle);
}

const numberWords = /\b(?:zero|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|dozen|hundred|thousand|million|billion|once|twice)\b/i;
const months = /\b(?:january|february|march|april|may|june|july|august|september|october|november|december|century|spring|summer|autumn|winter)\b/i;

/** The check before an answer is put into a later step (METHODS §8.3): has it the form that was asked for? */
export function fitsType(answer: string, type: AnswerType): boolean {
  switch (type) {
    case 'yes-no':
      return /^(?:yes|no)$/i.test(answer.trim());
    case 'number':
      return /\d/.test(answer) || numberWords.test(answer);
    case 'date':
      return /\d/.test(answer) || months.test(answer);
    case 'person':
      return /\p{Lu}|\p{Lo}/u.test(answer) && !/^\d+$/.test(answer.trim());
    case 'place':
      return /\p{L}/u.test(answer) && !/^\d+$/.test(answer.trim());
    case 'organisation':
    case 'work':
    case 'other':
      return answer.trim() !== '';
  }
}

/** An answer short enough to be put into another question: its first noun phrase, without article, trailing clause or full stop. */
export function shortAnswer(answer: string): string {
  let text = answer.trim().replace(/\s+/g, ' ').replace(/^["“«']+|["”»']+$/gu, '').replace(/[.;]+$/, '');
  if (wordsOf(text).length > 8) text = (text.split(/,\s|\s(?:who|which|that|where|because|and then)\s|[;:(]/)[0] ?? text).trim();
  return text.split(' ').slice(0, 16).join(' ');
}

const unknown = /^(?:unknown|none|n\/?a|not (?:found|given|known|stated|mentioned|available|specified)|no answer|i (?:do not|don't) know|0|-|null|\?)?[.]?$/i;

export function isUnknown(answer: string): boolean {
  return unknown.test(answer.trim());
}

/** The evidence of a packed sentence: its text verbatim, by construction of the span. */
export function evidenceOf(sentence: PackedSentence, node: number): Evidence {
  return { passage: sentence.passage, span: sentence.span, quote: sentence.passage.text.slice(sentence.span.start, sentence.span.end), node };
}

/** Evidence from a quote that a model wrote: found word for word in the passage, or null (quote validity, METHODS §6.8). */
export function verbatim(passage: Passage, quote: string, node: number): Evidence | null {
  const text = quote.trim();
  if (text === '') return null;
  const start = passage.text.indexOf(text);
  return start < 0 ? null : { passage, span: { start, end: start + text.length }, quote: text, node };
}

/**
 * Whether the cited quotes carry a sentence: all its numbers and names, and at least half of its content words, stand in the quotes, their titles, or the
 * accepted sub-answers. A word check, no proof of entailment; it catches what small models invent.
 */
export function isSupported(sentence: string, evidence: readonly Evidence[]): boolean {
  if (evidence.length === 0) return false;
  const pool = evidence.map((item) => `${item.passage.title} ${item.quote}`).join(' ');
  const have = new Set(wordsOf(pool).map(stemOf));
  const names = sentence.match(/\p{Lu}[\p{L}\p{M}'’-]+|\d[\d.,]*/gu) ?? [];
  const [first, ...rest] = names;
  const firstWord = wordsOf(sentence)[0] ?? '';
  const checked = first !== undefined && wordsOf(first)[0] === firstWord && stopWords.has(firstWord) ? rest : names;
  if (checked.some((name) => wordsOf(name).some((word) => !stopWords.has(word) && !have.has(stemOf(word))))) return false;
  const content = contentWords(sentence).map(stemOf);
  return content.length > 0 && content.filter((word) => have.has(word)).length * 2 >= content.length;
}

/** Token overlap of two queries, for the repetition stop (METHODS §8.3). */
export function jaccard(a: string, b: string): number {
  const left = new Set(contentWords(a));
  const right = new Set(contentWords(b));
  if (left.size === 0 && right.size === 0) return 1;
  let both = 0;
  for (const word of left) if (right.has(word)) both++;
  return both / (left.size + right.size - both);
}
