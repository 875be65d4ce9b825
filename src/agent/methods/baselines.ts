/** The plainest comparisons (METHODS §5.1, §5.2) and the mode without any model. */
import type { AnswerSentence } from '../events.ts';
import { evidenceOf, isUnknown, packSentences, shortAnswer } from '../evidence.ts';
import { CitationList, type Method } from '../harness.ts';
import { answerSchema, directMessages } from '../prompts.ts';
import { answerByForm } from './foray.ts';
import { answerFromFacts, notFound, readPassages } from './read.ts';

/** One search, five whole passages, one call. */
export const rag: Method = {
  id: 'rag',
  label: 'Single-round RAG',
  description: 'One search with the question, five passages, one reading.',
  needsLlm: true,
  kind: 'baseline',
  source: 'Standard RAG, as in FlashRAG (arXiv 2405.13576)',
  differences: 'The output is constrained to a short answer and the number of its passage; the quote is checked in code.',
  run: async (tools) => {
    const { hits } = await tools.search(0, tools.question);
    tools.emit({ kind: 'answerStarted' });
    const fact = await readPassages(tools, 0, hits.slice(0, 5).map((hit) => hit.passage));
    if (fact === null) return { answer: notFound, stop: 'not-found' };
    tools.emit({ kind: 'answerDelta', text: fact.answer });
    return { answer: answerFromFacts(fact.answer, [{ ...fact, question: tools.question }]), stop: 'answered' };
  },
};

/** No search at all: what the model remembers. Labelled closed-book and cited by nothing. */
export const direct: Method = {
  id: 'direct',
  label: 'Closed book',
  description: 'The model alone, without searching. Nothing can be verified.',
  needsLlm: true,
  kind: 'baseline',
  source: 'Direct answering, as in Search-R1 (arXiv 2503.09516)',
  differences: 'The output is constrained to a short answer.',
  run: async (tools) => {
    tools.emit({ kind: 'answerStarted' });
    const decoded = await tools.json('answer', null, answerSchema, directMessages(tools.question), 64);
    const short = decoded.ok ? shortAnswer(decoded.value.answer) : '';
    if (isUnknown(short)) return { answer: notFound, stop: 'not-found' };
    tools.emit({ kind: 'answerDelta', text: short });
    return { answer: { short, sentences: [{ text: short, cites: [], supported: false }], citations: [], mode: 'closed-book' }, stop: 'answered' };
  },
};

/** Without any model: facts that passages state in known forms, else the best sentences of a hybrid search, word for word. Never an answer of its own making. */
export const extractive: Method = {
  id: 'extractive',
  label: 'Best sentences',
  description: 'Plain questions are answered from what passages state in known forms; for others it shows the sentences that fit best. No language model.',
  needsLlm: false,
  kind: 'baseline',
  source: 'Foray: the mode without a model',
  differences: 'No paper: sentences are copied from the passages, no answer is written.',
  run: async (given) => {
    // A model may be loaded all the same; this way does without it.
    const tools = given.with({ llm: null });
    const stated = await answerByForm(tools);
    if (stated !== null) return stated;
    const { hits } = await tools.search(0, tools.question);
    tools.emit({ kind: 'answerStarted' });
    const packed = packSentences(hits.slice(0, 8), tools.question, 200, 2).sentences.slice(0, 5);
    if (packed.length === 0) return { answer: notFound, stop: 'not-found' };
    const list = new CitationList();
    const sentences = packed.map((sentence): AnswerSentence => ({ text: sentence.text, cites: [list.cite(evidenceOf(sentence, 0))], supported: true }));
    tools.emit({ kind: 'evidenceRecorded', node: 0, evidence: packed.map((sentence) => evidenceOf(sentence, 0)) });
    return { answer: list.answer('', sentences, 'extractive'), stop: 'answered' };
  },
};
