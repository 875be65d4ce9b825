/**
 * Steps that several methods share: reading numbered sentences for one fact with verbatim evidence (METHODS §3.3, §8.3), and putting a cited answer together.
 */
import type { Hit, Passage } from '../../corpus/retriever.ts';
import type { Message } from '../../engine/llm.ts';
import type { AgentEvent, Answer, AnswerSentence, AnswerType, Evidence } from '../events.ts';
import { evidenceOf, fitsType, isSupported, isUnknown, occursIn, packSentences, sentencesOf, shortAnswer, speaksOf, subjectsOf, withoutOrders, type PackedSentence } from '../evidence.ts';
import { CitationList, type Tools } from '../harness.ts';
import { prefix, ragMessages, ragSchema, readMoreTurn, readSchema, readTurn } from '../prompts.ts';

type Rejection = Extract<AgentEvent, { kind: 'evidenceRejected' }>['reason'];

/** A bare number is no height: a small model takes the next year for it. */
const asksForMeasure = /^how (?:high|tall|deep|wide|far|long|heavy)\b/i;

const asksOfLife = /\b(?:born|die|died|nationality|buried)\b/i;
const titleOf = (sentence: PackedSentence): string => sentence.passage.title.replace(/\s*\([^()]*\)\s*$/, '');

export interface ReadFact {
  readonly answer: string;
  readonly evidence: readonly Evidence[];
}

/** A conversation about one sub-question. Every reading appends to it, so the engine's prefix cache holds all that was read before. */
export class Reader {
  readonly #messages: Message[] = [...prefix];
  readonly #offered: PackedSentence[] = [];
  #rounds = 0;

  constructor(
    private readonly tools: Tools,
    private readonly node: number,
    private readonly question: string,
    private readonly type: AnswerType,
    private readonly evidenceTokens = tools.settings.evidenceTokens,
  ) {}

  get messages(): readonly Message[] {
    return this.#messages;
  }

  append(...messages: readonly Message[]): void {
    this.#messages.push(...messages);
  }

  /**
   * Offers the best sentences of the hits and asks for the one that states the answer. null: none does, or what was given does not stand up:
   * the answer must occur in a sentence that was offered and have the form the question asks for.
   */
  async read(hits: readonly Hit[], packingQuery = this.question): Promise<ReadFact | null> {
    const packing = packSentences(hits, packingQuery, this.evidenceTokens, 3, this.#offered.length + 1);
    tellOrders(this.tools, packing.suspicious);
    if (packing.sentences.length === 0) return null;
    this.#offered.push(...packing.sentences);
    this.#messages.push(this.#rounds++ === 0 ? readTurn(this.question, packing.sentences) : readMoreTurn(this.question, packing.sentences));
    const last = this.#offered.length;
    const decoded = await this.tools.json('read', this.node, readSchema(1, last), this.#messages, 80);
    this.#messages.push({ role: 'assistant', content: decoded.ok ? JSON.stringify(decoded.value) : '{"sentence":0,"answer":""}' });
    if (!decoded.ok) return null;
    return this.#accept(decoded.value.sentence, decoded.value.answer);
  }

  #accept(number: number, raw: string): ReadFact | null {
    const answer = shortAnswer(raw);
    if (isUnknown(answer)) return null;
    const reject = (reason: Rejection, quote: string): null => {
      this.tools.emit({ kind: 'evidenceRejected', node: this.node, quote, reason });
      return null;
    };
    if (!fitsType(answer, this.type) || (asksForMeasure.test(this.question) && !/\p{L}/u.test(answer))) return reject('wrong-type', answer);
    const cited = this.#offered.find((sentence) => sentence.n === number);
    if (this.type === 'yes-no') return cited === undefined ? reject('unknown-passage', answer) : this.#record(answer, cited);
    // The number may be off by a line; the fact counts if a sentence that was offered carries it, the cited one first.
    const inTitle = cited !== undefined && occursIn(answer, cited.passage.title) ? cited : undefined;
    const first = cited === undefined ? this.#offered : [cited, ...this.#offered];
    const carriers = first.filter((sentence) => occursIn(answer, sentence.text));
    if (carriers.length === 0 && inTitle === undefined) return reject('answer-not-in-quote', answer);
    // A city that stands in a passage which never names the person asked about says nothing of that person.
    const speaking = [...carriers, ...(inTitle === undefined ? [] : [inTitle])].filter((sentence) => speaksOf(sentence.passage, subjectsOf(this.question)));
    // Where the subject has its own passage, a date or a place of life that another passage gives is another's.
    const own = asksOfLife.test(this.question) ? this.#offered.filter((sentence) => occursIn(titleOf(sentence), this.question)) : [];
    const carrier = own.length === 0 ? speaking[0] : speaking.find((sentence) => own.some((other) => other.passage.id === sentence.passage.id));
    if (carrier === undefined) return reject('off-subject', answer);
    return this.#record(answer, carrier);
  }

  #record(answer: string, sentence: PackedSentence): ReadFact {
    const evidence = [evidenceOf(sentence, this.node)];
    this.tools.emit({ kind: 'evidenceRecorded', node: this.node, evidence });
    return { answer, evidence };
  }
}

/**
 * The single-round baseline's reading (METHODS §5.2): whole passages, numbered, one call. The quote is the sentence of the named passage that carries the
 * answer; null if the model knows none. An answer that no passage carries comes without evidence.
 */
export async function readPassages(tools: Tools, node: number, given: readonly Passage[]): Promise<ReadFact | null> {
  const { readable, suspicious } = withoutOrders(given);
  tellOrders(tools, suspicious);
  const passages = readable.map(({ passage }) => passage);
  if (passages.length === 0) return null;
  const decoded = await tools.json('read', node, ragSchema, ragMessages(tools.question, readable.map(({ passage, text }) => ({ title: passage.title, text }))), 80);
  const answer = decoded.ok ? shortAnswer(decoded.value.answer) : '';
  if (!decoded.ok || isUnknown(answer)) return null;
  const named = passages[decoded.value.passage - 1];
  const order = named === undefined ? passages : [named, ...passages.filter((passage) => passage !== named)];
  const isYesNo = /^(?:yes|no)$/i.test(answer);
  for (const passage of order) {
    const sentence = sentencesOf(passage).find(({ text }) => isYesNo || occursIn(answer, text));
    if (sentence === undefined) continue;
    const evidence = [evidenceOf({ n: 1, passage, ...sentence }, node)];
    tools.emit({ kind: 'evidenceRecorded', node, evidence });
    return { answer, evidence };
  }
  tools.emit({ kind: 'evidenceRejected', node, quote: answer, reason: 'answer-not-in-quote' });
  // The answer is given as the model gave it, and nothing is claimed to carry it.
  return { answer, evidence: [] };
}

function tellOrders(tools: Tools, suspicious: number): void {
  if (suspicious > 0) tools.emit({ kind: 'notice', code: 'injection-ignored', text: `${suspicious} sentence(s) that read as orders to the model were left out.` });
}

/** The answer with one sentence per fact, each carried by its own quotes: nothing is said that no quote says. */
export function answerFromFacts(short: string, facts: readonly { question: string; answer: string; evidence: readonly Evidence[] }[]): Answer {
  const list = new CitationList();
  const sentences = facts
    .filter((fact) => fact.answer !== '')
    .map((fact): AnswerSentence => ({
      text: statementOf(fact.question, fact.answer),
      cites: fact.evidence.map((item) => list.cite(item)),
      // A recorded answer stands in its quote; yes and no stand in none, so there the quote must at least speak of what was asked.
      supported: fact.evidence.length > 0 && (!/^(?:yes|no)$/i.test(fact.answer) || isSupported(fact.question, fact.evidence)),
    }));
  return list.answer(short, sentences, short === '' ? 'not-found' : 'cited');
}

function statementOf(question: string, answer: string): string {
  return `${question.replace(/\s*\?*\s*$/, '?')} ${answer.charAt(0).toUpperCase()}${answer.slice(1)}.`;
}

export const notFound: Answer = { short: '', sentences: [], citations: [], mode: 'not-found' };
