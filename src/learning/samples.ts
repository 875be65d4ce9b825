/**
 * A trajectory as material to learn from: the steps of METHODS §1.3 with the texts that training needs and what the trajectory was worth. Owns the shape, its
 * decoder, and the notions of a question's move and a query's style. Pure.
 */
import * as v from 'valibot';
import type { AgentEvent, AnswerLogp } from '../agent/events.ts';
import { passagesOf, trajectoriesOf, type Trajectory } from '../agent/trajectories.ts';
import type { Message } from '../engine/llm.ts';
import { AppError } from '../errors.ts';

export interface Sample extends Trajectory {
  /** Title and text of the passages that were shown or recorded, by id. */
  readonly passages: Readonly<Record<string, { readonly title: string; readonly text: string }>>;
  /** The messages that all its calls begin with; the `call` steps hold what follows. */
  readonly head: readonly Message[];
  /** Licences of the corpora that were searched. */
  readonly licence: string;
  /** log p(right answer | question) without evidence; `answerLogp.sum` less this is the evidence gain. In a sample `answerLogp` is of the right answer. */
  readonly priorLogp: AnswerLogp | null;
  readonly em: 0 | 1;
  readonly f1: number;
  /** Share of the question's gold passages that the trajectory found; null where none are named. */
  readonly supportRecall: number | null;
}

export interface SampleContext {
  readonly qid: string;
  readonly seed: number;
  readonly corpus: string;
  readonly licence: string;
  /** Passages of each search whose text is kept; default 5. */
  readonly keep?: number;
}

/** The samples of a run, unscored: one, or as many as the method sampled. */
export function samplesOf(events: readonly AgentEvent[], context: SampleContext): Sample[] {
  const texts = passagesOf(events);
  return trajectoriesOf(events, context).map((trajectory): Sample => {
    const ids = new Set(
      trajectory.steps.flatMap((step) => {
        if (step.kind === 'search') return step.docs.slice(0, context.keep ?? 5).map((doc) => doc.id);
        return step.kind === 'record' ? step.evidence.map((item) => item.doc) : [];
      }),
    );
    const passages: Record<string, { title: string; text: string }> = {};
    for (const id of ids) {
      const passage = texts.get(id);
      if (passage !== undefined) passages[id] = { title: passage.title, text: passage.text };
    }
    const calls = trajectory.steps.flatMap((step) => (step.kind === 'call' ? [step.messages] : []));
    const head = commonHead(calls);
    const steps = trajectory.steps.map((step) => (step.kind === 'call' ? { ...step, messages: step.messages.slice(head.length) } : step));
    // What the model thought of its own answer is no likelihood of the right one.
    return { ...trajectory, steps, head, answerLogp: null, passages, licence: context.licence, priorLogp: null, em: 0, f1: 0, supportRecall: null };
  });
}

/** The longest common beginning that leaves each call at least its last message. */
function commonHead(calls: readonly (readonly Message[])[]): readonly Message[] {
  const [first = []] = calls;
  let length = Math.max(0, Math.min(...calls.map((messages) => messages.length - 1)));
  if (calls.length === 0) length = 0;
  for (const messages of calls) {
    let same = 0;
    while (same < length && messages[same]?.role === first[same]?.role && messages[same]?.content === first[same]?.content) same++;
    length = same;
  }
  return first.slice(0, length);
}

const finite = v.pipe(v.number(), v.finite());
const likelihood = v.nullable(v.object({ sum: finite, mean: finite, tokens: finite, method: v.picklist(['exact', 'topn', 'verify']) }));
const node = v.nullable(finite);

/** Checks what is computed with; other fields are carried along as they are. */
const sampleSchema = v.looseObject({
  id: v.string(),
  qid: v.string(),
  question: v.string(),
  method: v.string(),
  seed: finite,
  answer: v.string(),
  stop: v.string(),
  steps: v.array(
    v.variant('kind', [
      v.looseObject({ kind: v.literal('search'), node, query: v.string(), docs: v.array(v.object({ id: v.string(), rank: finite, score: finite, new: v.boolean() })) }),
      v.looseObject({ kind: v.literal('record'), node, question: v.string(), evidence: v.array(v.object({ doc: v.string(), span: v.tuple([finite, finite]), text: v.string() })), sufficient: v.boolean(), subAnswer: v.string() }),
      v.looseObject({ kind: v.literal('plan'), plan: v.looseObject({ nodes: v.array(v.looseObject({ id: finite, q: v.string() })) }) }),
      v.looseObject({ kind: v.literal('think'), text: v.string() }),
      v.looseObject({ kind: v.literal('select'), kept: v.array(v.string()), dropped: v.array(v.string()) }),
      v.looseObject({ kind: v.literal('call'), node, purpose: v.string(), messages: v.array(v.looseObject({ role: v.string(), content: v.string() })), output: v.string() }),
      v.looseObject({ kind: v.literal('answer'), text: v.string(), cites: v.array(v.string()) }),
    ]),
  ),
  process: v.array(v.looseObject({ t: finite, novel: v.picklist([0, 1]), useful: v.nullable(v.picklist([0, 1])) })),
  head: v.array(v.object({ role: v.picklist(['system', 'user', 'assistant']), content: v.string() })),
  passages: v.record(v.string(), v.object({ title: v.string(), text: v.string() })),
  licence: v.string(),
  answerLogp: likelihood,
  priorLogp: likelihood,
  em: v.picklist([0, 1]),
  f1: finite,
  supportRecall: v.nullable(finite),
  weight: v.nullable(finite),
  cost: v.looseObject({ llmCalls: finite, promptTokens: finite, outputTokens: finite, searches: finite, wallMs: finite }),
});

/** Throws `learning/bad-data`. */
export function decodeSample(value: unknown, what = 'a stored trajectory'): Sample {
  const parsed = v.safeParse(sampleSchema, value);
  if (parsed.success) return parsed.output as unknown as Sample;
  throw new AppError('learning/bad-data', { what, reason: parsed.issues.map((issue) => `${v.getDotPath(issue) ?? 'value'}: ${issue.message}`).slice(0, 3).join('; ') });
}

export interface RecordedFact {
  readonly question: string;
  readonly answer: string;
  readonly quotes: readonly string[];
}

/** What the trajectory recorded, in order: the z of p(y | x, z) without the detours. */
export function factsOf(sample: Pick<Sample, 'steps' | 'question'>): RecordedFact[] {
  return sample.steps.flatMap((step) =>
    step.kind === 'record' && (step.subAnswer !== '' || step.evidence.length > 0)
      ? [{ question: step.question === '' ? sample.question : step.question, answer: step.subAnswer, quotes: step.evidence.map((item) => item.text) }]
      : [],
  );
}

/** Ids of the passages that evidence was recorded from. */
export function evidenceIds(sample: Pick<Sample, 'steps'>): Set<string> {
  return new Set(sample.steps.flatMap((step) => (step.kind === 'record' ? step.evidence.map((item) => item.doc) : [])));
}

export const moves = ['bridge', 'compare', 'count', 'enumerate'] as const;
/** What the question makes a searcher do (METHODS §8.4). */
export type Move = (typeof moves)[number];

/** By the form of the question alone, so that it is known before a run as well. */
export function moveOf(question: string): Move {
  const text = question.trim();
  if (/^how many\b|\bwhat (?:is|was) the (?:total )?number\b/i.test(text)) return 'count';
  if (/^(?:list|name all)\b|^(?:which|what|who) (?:are|were) (?:all|the \p{L}+s)\b/iu.test(text)) return 'enumerate';
  if (/^(?:are|is|were|was|do|did|does)\b.*\b(?:same|both)\b/i.test(text)) return 'compare';
  if (/\b(?:first|earlier|later|older|younger|more|fewer|same|both|larger|longer|higher|taller)\b.*(?:, | or | and )/i.test(text)) return 'compare';
  return 'bridge';
}

export const queryStyles = ['question', 'keywords', 'quoted'] as const;
export type QueryStyle = (typeof queryStyles)[number];

export function queryStyleOf(query: string): QueryStyle {
  if (/["“”]/.test(query)) return 'quoted';
  return /\?\s*$|^(?:who|what|when|where|which|whose|how|why|is|are|was|were|did|does|do)\b/i.test(query.trim()) ? 'question' : 'keywords';
}

/** Sub-questions that were searched for; at least 1. */
export function hopsOf(sample: Pick<Sample, 'steps'>): number {
  return Math.max(1, new Set(sample.steps.flatMap((step) => (step.kind === 'search' ? [step.node] : []))).size);
}

/** Queries in order. */
export function queriesOf(sample: Pick<Sample, 'steps'>): string[] {
  return sample.steps.flatMap((step) => (step.kind === 'search' ? [step.query] : []));
}
