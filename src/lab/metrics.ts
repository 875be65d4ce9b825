/**
 * What a run is worth, per question: answer scores (EM, F1, containment), retrieval of the gold passages, quotes and citations, and search behaviour.
 * Pure. Scores are fractions from 0 to 1; `null` means "not defined here" and stays out of every mean. Definitions follow METHODS §6.
 */
import type { Answer, Evidence } from '../agent/events.ts';

/** A retrieved passage, as far as the measures need it. */
export interface FoundPassage {
  readonly id: string;
  readonly docId: string;
  readonly title: string;
  readonly text: string;
}

/** A passage that carries the answer: known by its id, or by its page and a quote where the data name no ids. */
export type GoldPassage =
  | { readonly kind: 'id'; readonly id: string }
  | { readonly kind: 'page'; readonly title: string; /** '' where the data name the page only */ readonly quote: string };

// --- Answers -------------------------------------------------------------------------------------------------------------------------------

/** Python's `string.punctuation`. */
const punctuation = /[!"#$%&'()*+,\-./:;<=>?@[\\\]^_`{|}~]/g;
/** `\b` of JavaScript knows ASCII letters only, so the word borders are spelled out. */
const articles = /(?<![\p{L}\p{N}_])(?:a|an|the)(?![\p{L}\p{N}_])/gu;

/** Lower case, no ASCII punctuation, no articles, single spaces; in this order ("the-cat" gives "thecat"). Accents stay. */
export function normaliseAnswer(text: string): string {
  return text
    .toLowerCase()
    .replace(punctuation, '')
    .replace(articles, ' ')
    .split(/[\s\x1c-\x1f\x85]+/)
    .filter((word) => word !== '')
    .join(' ');
}

/** The same without accents, for a variant that is reported apart. */
export function foldAccents(text: string): string {
  return text.normalize('NFD').replace(/\p{M}/gu, '').normalize('NFC');
}

export function answerTokens(text: string): string[] {
  const normal = normaliseAnswer(text);
  return normal === '' ? [] : normal.split(' ');
}

/** No gold answer stands for "not answerable": then the empty prediction is the right one. */
function goldsOf(answers: readonly string[]): readonly string[] {
  return answers.length === 0 ? [''] : answers;
}

export function exactMatch(prediction: string, answers: readonly string[]): 0 | 1 {
  const normal = normaliseAnswer(prediction);
  return goldsOf(answers).some((answer) => normaliseAnswer(answer) === normal) ? 1 : 0;
}

export interface TokenOverlap {
  readonly precision: number;
  readonly recall: number;
  readonly f1: number;
}

const nothingShared: TokenOverlap = { precision: 0, recall: 0, f1: 0 };
const closedAnswers: ReadonlySet<string> = new Set(['yes', 'no', 'noanswer']);

/** Token overlap with one answer. HotpotQA's rule: yes, no and noanswer match only themselves. Empty texts match only each other. */
export function tokenOverlap(prediction: string, answer: string): TokenOverlap {
  const left = normaliseAnswer(prediction);
  const right = normaliseAnswer(answer);
  if (left !== right && (closedAnswers.has(left) || closedAnswers.has(right))) return nothingShared;
  const predicted = answerTokens(prediction);
  const gold = answerTokens(answer);
  if (predicted.length === 0 || gold.length === 0) return predicted.length === gold.length ? { precision: 1, recall: 1, f1: 1 } : nothingShared;
  const counts = new Map<string, number>();
  for (const token of gold) counts.set(token, (counts.get(token) ?? 0) + 1);
  let shared = 0;
  for (const token of predicted) {
    const left = counts.get(token) ?? 0;
    if (left > 0) {
      shared++;
      counts.set(token, left - 1);
    }
  }
  if (shared === 0) return nothingShared;
  const precision = shared / predicted.length;
  const recall = shared / gold.length;
  return { precision, recall, f1: (2 * precision * recall) / (precision + recall) };
}

/** Best overlap over the aliases, by F1. */
export function bestOverlap(prediction: string, answers: readonly string[]): TokenOverlap {
  return goldsOf(answers)
    .map((answer) => tokenOverlap(prediction, answer))
    .reduce((best, next) => (next.f1 > best.f1 ? next : best));
}

/** Containment: the tokens of an answer stand in the prediction, in order and side by side ("art" is not in "part"). */
export function containsAnswer(prediction: string, answers: readonly string[]): 0 | 1 {
  const tokens = answerTokens(prediction);
  return goldsOf(answers).some((answer) => containsTokens(tokens, answerTokens(answer))) ? 1 : 0;
}

/** Containment as KILT and FlashRAG count it: the normalised answer is a substring of the normalised prediction. */
export function containsSubstring(prediction: string, answers: readonly string[]): 0 | 1 {
  const normal = normaliseAnswer(prediction);
  return goldsOf(answers)
    .map(normaliseAnswer)
    .some((answer) => (answer === '' ? normal === '' : normal.includes(answer)))
    ? 1
    : 0;
}

function containsTokens(tokens: readonly string[], wanted: readonly string[]): boolean {
  if (wanted.length === 0) return tokens.length === 0;
  for (let start = 0; start + wanted.length <= tokens.length; start++) {
    if (wanted.every((token, i) => tokens[start + i] === token)) return true;
  }
  return false;
}

export interface AnswerScores {
  readonly em: 0 | 1;
  readonly f1: number;
  readonly precision: number;
  readonly recall: number;
  /** Containment by tokens. */
  readonly acc: 0 | 1;
  readonly accSubstring: 0 | 1;
  /** EM after accents are folded on both sides. */
  readonly emFolded: 0 | 1;
  /** Words of the prediction: containment rewards long answers. */
  readonly words: number;
}

export function scoreAnswer(prediction: string, answers: readonly string[]): AnswerScores {
  return {
    em: exactMatch(prediction, answers),
    ...bestOverlap(prediction, answers),
    acc: containsAnswer(prediction, answers),
    accSubstring: containsSubstring(prediction, answers),
    emFolded: exactMatch(foldAccents(prediction), answers.map(foldAccents)),
    words: prediction.trim() === '' ? 0 : prediction.trim().split(/\s+/).length,
  };
}

// --- Retrieval -----------------------------------------------------------------------------------------------------------------------------

/** A gold id counts when the passage has it or belongs to the document that has it (a long document is cut into several passages). */
export function isGold(passage: FoundPassage, gold: GoldPassage): boolean {
  if (gold.kind === 'id') return passage.id === gold.id || passage.docId === gold.id;
  return plain(passage.title) === plain(gold.title) && (gold.quote === '' || plain(passage.text).includes(plain(gold.quote)));
}

function plain(text: string): string {
  return text.normalize('NFC').replace(/\s+/g, ' ').trim();
}

/** Share of the gold passages among the first k; null without gold. */
export function supportRecall(ranked: readonly FoundPassage[], gold: readonly GoldPassage[], k = Infinity): number | null {
  if (gold.length === 0) return null;
  const shown = ranked.slice(0, k);
  return gold.filter((item) => shown.some((passage) => isGold(passage, item))).length / gold.length;
}

/** 1 if every gold passage is among the first k; null without gold. */
export function allSupport(ranked: readonly FoundPassage[], gold: readonly GoldPassage[], k = Infinity): 0 | 1 | null {
  const recall = supportRecall(ranked, gold, k);
  return recall === null ? null : recall === 1 ? 1 : 0;
}

/** 1 if some passage of the first k contains an answer. Null where that says nothing: yes/no answers, no answer, comparisons. */
export function answerHit(ranked: readonly FoundPassage[], answers: readonly string[], type: string | null, k: number): 0 | 1 | null {
  if (answers.length === 0 || answers.some((answer) => closedAnswers.has(normaliseAnswer(answer))) || (type?.includes('comparison') ?? false)) return null;
  return ranked.slice(0, k).some((passage) => containsAnswer(`${passage.title} ${passage.text}`, answers) === 1) ? 1 : 0;
}

/** Discounted gain of the gold passages among the first k, against the best order; several passages of one gold document count once. null without gold. */
export function ndcg(ranked: readonly FoundPassage[], gold: readonly GoldPassage[], k: number): number | null {
  if (gold.length === 0) return null;
  const open = new Set(gold);
  let gained = 0;
  for (const [i, passage] of ranked.slice(0, k).entries()) {
    const item = [...open].find((other) => isGold(passage, other));
    if (item === undefined) continue;
    open.delete(item);
    gained += 1 / Math.log2(i + 2);
  }
  let best = 0;
  for (let i = 0; i < Math.min(k, gold.length); i++) best += 1 / Math.log2(i + 2);
  return gained / best;
}

/** 1 / rank of the first gold passage; 0 where none was found, null without gold. */
export function reciprocalRank(ranked: readonly FoundPassage[], gold: readonly GoldPassage[]): number | null {
  if (gold.length === 0) return null;
  const at = ranked.findIndex((passage) => gold.some((item) => isGold(passage, item)));
  return at < 0 ? 0 : 1 / (at + 1);
}

export interface RetrievalScores {
  /** Of the first search of the run; null where there was none. */
  readonly recall5: number | null;
  readonly recall10: number | null;
  readonly all5: 0 | 1 | null;
  readonly all10: 0 | 1 | null;
  readonly hit5: 0 | 1 | null;
  /** Support recall of everything that the run found, over all steps, at the depth that it searched to. */
  readonly trajectory: number | null;
  readonly allTrajectory: 0 | 1 | null;
  /** The same over the first five passages of each search: about what a model was shown. */
  readonly trajectory5: number | null;
  /** Support recall of the passages that evidence was recorded from or that were cited. */
  readonly curated: number | null;
  /** Found, but not kept: trajectory − curated. */
  readonly dropped: number | null;
  /** Of the first search. */
  readonly ndcg10: number | null;
  readonly mrr: number | null;
  /** Of the first search: share of the gold that stands below rank 5 of all that was fetched (at most 50): what re-ranking could still gain. */
  readonly below5: number | null;
  /** Support recall of the union after each search. */
  readonly bySearch: readonly number[];
}

/** `searches`: the ranked passages of each search, in order; `kept`: passages with evidence. */
export function scoreRetrieval(
  searches: readonly (readonly FoundPassage[])[],
  kept: readonly FoundPassage[],
  question: { readonly gold: readonly GoldPassage[]; readonly answers: readonly string[]; readonly type: string | null },
): RetrievalScores {
  const { gold, answers, type } = question;
  const [first] = searches;
  const all = searches.flat();
  const trajectory = supportRecall(all, gold);
  const curated = supportRecall(kept, gold);
  return {
    recall5: first === undefined ? null : supportRecall(first, gold, 5),
    recall10: first === undefined ? null : supportRecall(first, gold, 10),
    all5: first === undefined ? null : allSupport(first, gold, 5),
    all10: first === undefined ? null : allSupport(first, gold, 10),
    hit5: first === undefined ? null : answerHit(first, answers, type, 5),
    trajectory,
    allTrajectory: allSupport(all, gold),
    trajectory5: supportRecall(searches.flatMap((passages) => passages.slice(0, 5)), gold),
    curated,
    dropped: trajectory === null || curated === null ? null : Math.max(0, trajectory - curated),
    ndcg10: first === undefined ? null : ndcg(first, gold, 10),
    mrr: first === undefined ? null : reciprocalRank(first, gold),
    below5: first === undefined || gold.length === 0 ? null : (supportRecall(first, gold, 50) ?? 0) - (supportRecall(first, gold, 5) ?? 0),
    bySearch: gold.length === 0 ? [] : searches.map((_, i) => supportRecall(searches.slice(0, i + 1).flat(), gold) ?? 0),
  };
}

// --- Supporting facts ----------------------------------------------------------------------------------------------------------------------

/** A sentence of a page (HotpotQA, 2Wiki), or a whole page or paragraph where `sentence` is null (MuSiQue). */
export interface SupportFact {
  readonly title: string;
  /** From 0. */
  readonly sentence: number | null;
}

export interface SupportScores {
  readonly spEm: 0 | 1;
  readonly spPrecision: number;
  readonly spRecall: number;
  readonly spF1: number;
  readonly jointEm: 0 | 1;
  readonly jointF1: number;
}

/** Sets of facts against each other, and jointly with the answer (HotpotQA's evaluation; METHODS §6.3): P = P_ans·P_sp, R = R_ans·R_sp. Two empty sets agree. */
export function scoreSupport(predicted: readonly SupportFact[], gold: readonly SupportFact[],
  answer: { readonly em: 0 | 1; readonly precision: number; readonly recall: number }): SupportScores {
  const keyOf = ({ title, sentence }: SupportFact): string => `${plain(title)}\n${sentence ?? ''}`;
  const left = new Set(predicted.map(keyOf));
  const right = new Set(gold.map(keyOf));
  const both = [...left].filter((key) => right.has(key)).length;
  const areEmpty = left.size === 0 && right.size === 0;
  const spPrecision = areEmpty ? 1 : left.size === 0 ? 0 : both / left.size;
  const spRecall = areEmpty ? 1 : right.size === 0 ? 0 : both / right.size;
  const spEm = left.size === right.size && both === left.size ? 1 : 0;
  return {
    spEm, spPrecision, spRecall, spF1: harmonic(spPrecision, spRecall),
    jointEm: answer.em === 1 && spEm === 1 ? 1 : 0,
    jointF1: harmonic(answer.precision * spPrecision, answer.recall * spRecall),
  };
}

export function harmonic(precision: number, recall: number): number {
  return precision + recall === 0 ? 0 : (2 * precision * recall) / (precision + recall);
}

/** MuSiQue's group sufficiency: an answerable question and its unanswerable twin count only if both are right. */
export function groupSufficiency(pairs: readonly { readonly answerable: boolean; readonly unanswerable: boolean }[]): number | null {
  return share(pairs, (pair) => pair.answerable && pair.unanswerable);
}

// --- Quotes and citations ------------------------------------------------------------------------------------------------------------------

export interface CitationScores {
  readonly quotes: number;
  /** Share of quotes that stand word for word in their passage at their place; null without quotes. */
  readonly quoteValidity: number | null;
  readonly sentences: number;
  readonly citations: number;
  /** Share of the answer's sentences that carry a citation; null without sentences. */
  readonly citedSentences: number | null;
  /** Citation precision: share of the cited sentences that code found supported by their quotes; null without cited sentences. Not an entailment judgement. */
  readonly supportedSentences: number | null;
  /** Citation recall: share of all sentences that carry a citation which supports them; null without sentences. */
  readonly citationRecall: number | null;
  /** The short answer stands, word for word, in a cited quote or its title; null where nothing is cited or the answer is yes, no or empty. */
  readonly grounded: 0 | 1 | null;
}

export function isVerbatim({ passage, span, quote }: Pick<Evidence, 'span' | 'quote'> & { readonly passage: { readonly text: string } }): boolean {
  return quote !== '' && passage.text.slice(span.start, span.end) === quote;
}

export function scoreCitations(answer: Answer | null, evidence: readonly Evidence[]): CitationScores {
  const quotes = [...evidence, ...(answer?.citations ?? []).map((citation) => citation.evidence)];
  const sentences = answer?.sentences ?? [];
  const cited = sentences.filter((sentence) => sentence.cites.length > 0);
  return {
    quotes: quotes.length,
    quoteValidity: share(quotes, isVerbatim),
    sentences: sentences.length,
    citations: answer?.citations.length ?? 0,
    citedSentences: share(sentences, (sentence) => sentence.cites.length > 0),
    supportedSentences: share(cited, (sentence) => sentence.supported),
    citationRecall: share(sentences, (sentence) => sentence.cites.length > 0 && sentence.supported),
    grounded: groundedness(answer),
  };
}

function groundedness(answer: Answer | null): 0 | 1 | null {
  if (answer === null || answer.citations.length === 0 || closedAnswers.has(normaliseAnswer(answer.short)) || normaliseAnswer(answer.short) === '') return null;
  return answer.citations.some(({ evidence }) => containsAnswer(`${evidence.passage.title} ${evidence.quote}`, [answer.short]) === 1) ? 1 : 0;
}

function share<T>(items: readonly T[], holds: (item: T) => boolean): number | null {
  return items.length === 0 ? null : items.filter(holds).length / items.length;
}
