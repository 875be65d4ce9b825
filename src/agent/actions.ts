/**
 * What methods do with the tools (METHODS §4.7, §12): select, judge, write queries, refine, verify, look for phrases, follow links, answer. Each is one or no
 * model call under a grammar, told as events, and gives plain data back. What a passage says changes what is answered, never what is done next by itself.
 */
import type { GenericSchema, InferOutput } from 'valibot';
import type { Hit, Passage } from '../corpus/retriever.ts';
import type { Message } from '../engine/llm.ts';
import type { AgentEventBody, CallPurpose, Evidence, Plan, StopReason } from './events.ts';
import { editedPlan } from './edits.ts';
import { estimateTokens, evidenceOf, isUnknown, occursIn, sentencesOf, shortAnswer, withoutOrders } from './evidence.ts';
import { BudgetSpent, type Outcome, type Tools } from './harness.ts';
import { answerFromFacts, notFound, type ReadFact } from './methods/read.ts';
import { answerSchema, querySchema } from './prompts.ts';
import * as prompts from './prompts-actions.ts';
import { section, sectionTokens, task } from './prompts-actions.ts';
import { claimKey, historyLines } from './state.ts';

/** A sub-question with its answer and the quotes that carry it. */
export interface KnownFact extends ReadFact {
  readonly question: string;
}

export function factLines(facts: readonly KnownFact[]): string[] {
  return facts.map(({ question, answer, evidence }, i) => {
    const [first] = evidence;
    return `${i + 1}. ${question} ${answer === '' ? 'not found' : answer}${first === undefined ? '' : ` (${first.quote})`}`;
  });
}

export interface PassageLines {
  readonly lines: readonly string[];
  /** The passage of each line. */
  readonly shown: readonly Passage[];
}

/** Passages as numbered lines, without what reads as an order. They share the section's tokens. */
export function passageLines(tools: Tools, passages: readonly Passage[], tokens: number = sectionTokens.passages): PassageLines {
  const { readable, suspicious } = withoutOrders(passages);
  if (suspicious > 0) tools.emit({ kind: 'notice', code: 'injection-ignored', text: `${suspicious} sentence(s) that read as orders to the model were left out.` });
  const each = Math.floor(tokens / Math.max(1, readable.length)) - 4;
  const lines = readable.map(({ passage, text }, i) => `[${i + 1}] ${passage.title}: ${cut(text, each)}`);
  return { lines, shown: readable.map(({ passage }) => passage) };
}

/** The head of a text that costs at most so many tokens, less the title's share. */
function cut(text: string, tokens: number): string {
  let end = Math.max(40, tokens * 4);
  while (end > 40 && estimateTokens(text.slice(0, end)) > tokens) end = Math.floor(end * 0.8);
  return text.slice(0, end);
}

/** The value, or null where the output does not decode. */
export async function ask<S extends GenericSchema>(
  tools: Tools,
  purpose: CallPurpose,
  node: number | null,
  schema: S,
  messages: readonly Message[],
  most: number,
): Promise<InferOutput<S> | null> {
  const decoded = await tools.json(purpose, node, schema, messages, most);
  return decoded.ok ? decoded.value : null;
}

/** List-wise selection: the kept hits, best first. What cannot be understood keeps the order of the search. */
export async function select(tools: Tools, node: number, question: string, hits: readonly Hit[], most: number): Promise<readonly Hit[]> {
  if (hits.length === 0) return [];
  const { lines, shown } = passageLines(tools, hits.map((hit) => hit.passage));
  if (shown.length === 0) return [];
  const messages = task('SELECT', prompts.selectInstruction, section('Question', 'question', question), section('Passages', 'passages', ...lines));
  const picked = await ask(tools, 'select', node, prompts.selectSchema(shown.length, most), messages, 40);
  const order = picked === null ? shown.slice(0, most).map((_, i) => i + 1) : [...new Set(picked.keep)];
  const kept = order.flatMap((n) => hits.find((hit) => hit.passage.id === shown[n - 1]?.id) ?? []);
  const ids = new Set(kept.map((hit) => hit.passage.id));
  tools.emit({ kind: 'selected', node, kept: [...ids], dropped: hits.map((hit) => hit.passage.id).filter((id) => !ids.has(id)) });
  return kept;
}

export interface Sufficiency {
  readonly enough: boolean;
  readonly answer: string;
  readonly missing: string;
}

/** Whether facts and passages state the answer. An answer that stands in none of them does not count as stated. */
export async function judgeSufficient(tools: Tools, node: number, question: string, facts: readonly KnownFact[], hits: readonly Hit[]): Promise<Sufficiency> {
  const { lines, shown } = passageLines(tools, hits.map((hit) => hit.passage));
  const sections = [
    section('Question', 'question', question),
    ...(facts.length === 0 ? [] : [section('Facts', 'facts', ...factLines(facts))]),
    ...(lines.length === 0 ? [] : [section('Passages', 'passages', ...lines)]),
  ];
  const judged = await ask(tools, 'sufficient', node, prompts.sufficientSchema, task('CHECK', prompts.sufficientInstruction, ...sections), 100);
  const answer = shortAnswer(judged?.answer ?? '');
  const texts = [...facts.map((fact) => `${fact.answer} ${fact.evidence.map(({ quote }) => quote).join(' ')}`), ...shown.map((passage) => `${passage.title} ${passage.text}`)];
  const isStated = /^(?:yes|no)$/i.test(answer) || texts.some((text) => occursIn(answer, text));
  return { enough: judged?.enough === true && !isUnknown(answer) && isStated, answer: isStated && !isUnknown(answer) ? answer : '', missing: judged?.missing ?? '' };
}

/** A query that differs from those tried, or the question itself where the model has none. */
export async function writeQuery(tools: Tools, node: number, question: string, facts: readonly KnownFact[], missing = ''): Promise<string> {
  const tried = historyLines(tools.state, node, sectionTokens.history);
  const messages = task(
    'QUERY', prompts.nextQueryInstruction, section('Question', 'question', question),
    ...(facts.length === 0 ? [] : [section('Facts', 'facts', ...factLines(facts))]),
    section('Tried', 'history', ...(tried.length === 0 ? ['nothing yet'] : tried)),
    ...(missing === '' ? [] : [section('Missing', 'note', missing)]),
  );
  const written = await ask(tools, 'query', node, querySchema, messages, 60);
  const query = written?.query.trim() ?? '';
  return isUnknown(query) ? question : query;
}

export interface Thought {
  readonly thought: string;
  readonly query: string;
  readonly done: boolean;
}

/** The next step of a think–search–record loop (METHODS §3.3). */
export async function think(tools: Tools, node: number, question: string, facts: readonly KnownFact[], note = ''): Promise<Thought> {
  const tried = historyLines(tools.state, null, sectionTokens.history);
  const messages = task(
    'THINK', prompts.thinkInstruction, section('Question', 'question', question), section('Facts', 'facts', ...(facts.length === 0 ? ['none yet'] : factLines(facts))),
    ...(tried.length === 0 ? [] : [section('Tried', 'history', ...tried)]), ...(note === '' ? [] : [section('Note', 'note', note)]),
  );
  const step = await ask(tools, 'think', node, prompts.thinkSchema, messages, 160);
  if (step !== null && step.thought.trim() !== '') tools.emit({ kind: 'thought', node, text: step.thought.trim() });
  const query = step?.query.trim() ?? '';
  return { thought: step?.thought ?? '', query: isUnknown(query) ? question : query, done: step?.done === true };
}

/** Whether every part of a claim stands in at most five passages; known verdicts are not asked for again (METHODS §4.7). */
export async function verify(tools: Tools, node: number | null, claim: string, passages: readonly Passage[]): Promise<boolean> {
  const known = tools.state.verdicts.get(claimKey(claim));
  if (known !== undefined) return known.ok;
  const { lines } = passageLines(tools, passages.slice(0, 5));
  const verdict = lines.length === 0
    ? null
    : await ask(tools, 'verify', node, prompts.verifySchema, task('VERIFY', prompts.verifyInstruction, section('Claim', 'question', claim), section('Passages', 'passages', ...lines)), 80);
  const ok = verdict?.supported === true;
  tools.emit({ kind: 'verified', claim, ok, missing: ok ? null : verdict?.missing ?? 'no passage' });
  return ok;
}

/** Another query for the same need, knowing why the last one failed (METHODS §4.1). */
export async function refine(tools: Tools, node: number, question: string, query: string, note: string): Promise<string> {
  const tried = historyLines(tools.state, node, sectionTokens.history);
  const messages = task(
    'REFINE', prompts.refineInstruction, section('Question', 'question', question), section('Query', 'note', query), section('Note', 'note', note),
    section('Tried', 'history', ...tried),
  );
  return (await ask(tools, 'refine', node, prompts.refinedSchema, messages, 60))?.query.trim() ?? query;
}

/** P(what is known suffices), from the probability of the word where the engine tells it, else 1 or 0 (METHODS §4.15: one call in place of 20 samples). */
export async function valueOf(tools: Tools, node: number, question: string, facts: readonly KnownFact[]): Promise<number> {
  const sections = [section('Question', 'question', question), section('Facts', 'facts', ...(facts.length === 0 ? ['none yet'] : factLines(facts)))];
  if (!tools.llm.info.can.logprobs) return (await ask(tools, 'value', node, prompts.enoughSchema, task('VALUE', prompts.enoughInstruction, ...sections), 16))?.enough === true ? 1 : 0;
  const { text, logprobs } = await tools.text('value', node, task('VALUE', prompts.enoughWordInstruction, ...sections), { maxTokens: 3, logprobs: true });
  const first = logprobs?.find(({ token }) => /\p{L}/u.test(token));
  const probability = first === undefined ? 1 : Math.exp(first.logprob);
  return /^\W*yes/i.test(text) ? probability : /^\W*no/i.test(text) ? 1 - probability : 0.5;
}

/** Passages that hold a phrase word for word, among what a phrase search finds. */
export async function grep(tools: Tools, node: number, phrase: string): Promise<readonly Hit[]> {
  const { hits } = await tools.search(node, `"${phrase.replace(/["“”]/g, '')}"`, { links: false });
  return hits.filter(({ passage }) => occursIn(phrase, `${passage.title} ${passage.text}`));
}

/** The passages that a passage links to, read; at most `most`. */
export async function followLinks(tools: Tools, node: number, from: string, most = 5): Promise<readonly Passage[]> {
  const around = await tools.neighbours(from);
  const ids = (around?.out ?? []).slice(0, most).map(({ id }) => id);
  const found = (await Promise.all(ids.map((id) => tools.passage(id)))).filter((passage) => passage !== null);
  tools.emit({ kind: 'linkFollowed', node, from, to: found.map(({ id }) => id) });
  for (const passage of found) tools.pool.set(passage.id, passage);
  return found;
}

/** The closing request of a trajectory: what the answer's likelihood is taken after (METHODS Appendix B). */
export function closingMessages(question: string, facts: readonly KnownFact[]): Message[] {
  return task('ANSWER', prompts.closingInstruction, section('Question', 'question', question), section('Facts', 'facts', ...(facts.length === 0 ? ['none'] : factLines(facts))));
}

/** The same request without evidence. */
export function closedBookMessages(question: string): Message[] {
  return task('RECALL', prompts.closedBookInstruction, section('Question', 'question', question));
}

/** How an answer is written under the answer schema: the continuation that is scored. */
export function answerContinuation(answer: string): string {
  return JSON.stringify({ answer });
}

/** The short answer from facts; '' where they do not give it. */
export async function closingAnswer(tools: Tools, question: string, facts: readonly KnownFact[], onText?: (delta: string) => void): Promise<string> {
  const decoded = await tools.json('answer', null, answerSchema, closingMessages(question, facts), 64, onText);
  const short = decoded.ok ? shortAnswer(decoded.value.answer) : '';
  return isUnknown(short) ? '' : short;
}

/** A sentence of the passages that holds the answer, recorded as evidence; null if none does. */
export function supportIn(tools: Tools, node: number, answer: string, passages: readonly Passage[]): Evidence | null {
  for (const { passage } of withoutOrders(passages).readable) {
    const sentence = sentencesOf(passage).find(({ text }) => occursIn(answer, text));
    if (sentence === undefined) continue;
    const evidence = evidenceOf({ n: 1, passage, ...sentence }, node);
    tools.emit({ kind: 'evidenceRecorded', node, evidence: [evidence] });
    return evidence;
  }
  return null;
}

/** Tells the end of a run: the answer with one sentence per fact. Without facts the answer stands uncited, as the model's own. */
export function conclude(tools: Tools, short: string, facts: readonly KnownFact[], stop: StopReason): Outcome {
  tools.emit({ kind: 'answerStarted' });
  const found = facts.filter((fact) => fact.answer !== '');
  if (short !== '') tools.emit({ kind: 'answerDelta', text: short });
  if (found.length > 0) return { answer: answerFromFacts(short, found), stop: short === '' && stop === 'answered' ? 'not-found' : stop };
  if (short === '') return { answer: notFound, stop: stop === 'answered' ? 'not-found' : stop };
  return { answer: { short, sentences: [{ text: short, cites: [], supported: false }], citations: [], mode: 'closed-book' }, stop };
}

/** Proposes a plan; what the person makes of it is the plan. */
export async function settlePlan(tools: Tools, plan: Plan): Promise<Plan> {
  tools.emit({ kind: 'planProposed', plan });
  const changed = editedPlan(tools.deps.revision) ?? (await tools.deps.holdPlan?.(plan, tools.signal)) ?? plan;
  if (changed !== plan) tools.emit({ kind: 'planEdited', plan: changed });
  return changed;
}

/** Runs `work`; a spent budget ends it early and is told as `true`. */
export async function withinBudget(work: () => Promise<void>): Promise<boolean> {
  try {
    await work();
    return false;
  } catch (error) {
    if (!(error instanceof BudgetSpent)) throw error;
    return true;
  }
}

export function finishNode(tools: Tools, node: number, fact: ReadFact | null, stop: StopReason): void {
  const body: AgentEventBody = { kind: 'nodeFinished', node, status: fact === null ? 'failed' : 'answered', answer: fact?.answer ?? '', stop: fact === null ? stop : 'answered' };
  tools.emit(body);
}
