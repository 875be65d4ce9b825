/**
 * Decodes a stored event log. It may have been written by another version, or be damaged: an event of an unknown kind or of another shape is left out, the others
 * count. Pure.
 */
import * as v from 'valibot';
import type { Passage } from '../corpus/retriever.ts';
import { decodeWireError } from '../errors.ts';
import type { AgentEvent, AgentEventBody, Answer, AnswerType, CallPurpose, Cost, Evidence, Plan, RunEdit, StopReason } from './events.ts';

const list = <S extends v.GenericSchema>(item: S) => v.array(item);
const count = v.pipe(v.number(), v.integer(), v.minValue(0));
const finite = v.pipe(v.number(), v.finite());
const strings = list(v.string());
const nodeId = count;
/** All of a union's words: one that is missing here does not compile. */
function oneOf<T extends string>(words: Readonly<Record<T, true>>): v.GenericSchema<unknown, T> {
  return v.picklist(Object.keys(words) as [T, ...T[]]);
}

const spanSchema = v.object({ start: count, end: count });
const passageSchema = v.object({
  id: v.string(), corpus: v.string(), docId: v.string(), title: v.string(), section: v.string(), text: v.string(), sentenceEnds: list(count), page: v.nullable(finite),
}) satisfies v.GenericSchema<unknown, Passage>;
const hitSchema = v.object({
  passage: passageSchema,
  score: finite,
  rank: finite,
  paths: list(
    v.variant('kind', [
      v.object({ kind: v.literal('lexical'), rank: finite, score: finite }),
      v.object({ kind: v.literal('dense'), rank: finite, score: finite }),
      v.object({ kind: v.literal('title') }),
      v.object({ kind: v.literal('link'), from: v.string(), fromTitle: v.string(), direction: v.picklist(['out', 'in']) }),
    ]),
  ),
  highlights: list(spanSchema),
  bestSentence: finite,
});
const evidenceSchema = v.object({ passage: passageSchema, span: spanSchema, quote: v.string(), node: nodeId }) satisfies v.GenericSchema<unknown, Evidence>;

const answerType = oneOf<AnswerType>({ person: true, place: true, date: true, number: true, 'yes-no': true, organisation: true, work: true, other: true });
const planSchema = v.object({
  nodes: list(v.object({ id: nodeId, q: v.string(), deps: list(nodeId), answerType: v.fallback(answerType, 'other') })),
  final: v.object({ deps: list(nodeId), op: v.picklist(['answer', 'compare']) }),
  source: oneOf<Plan['source']>({ router: true, form: true, llm: true, 'llm-fixed': true, 'llm-repaired': true, 'single-step': true, edited: true, gold: true }),
}) satisfies v.GenericSchema<unknown, Plan>;
const answerSchema = v.object({
  short: v.string(),
  sentences: list(v.object({ text: v.string(), cites: list(count), supported: v.boolean() })),
  citations: list(v.object({ n: count, evidence: evidenceSchema })),
  mode: v.picklist(['cited', 'extractive', 'closed-book', 'not-found']),
}) satisfies v.GenericSchema<unknown, Answer>;
const costSchema = v.object({
  llmCalls: count, promptTokens: finite, cachedTokens: finite, outputTokens: finite, searches: count, wallMs: finite, overheadMs: finite,
}) satisfies v.GenericSchema<unknown, Cost>;
const stops = oneOf<StopReason>({ answered: true, 'not-found': true, budget: true, repetition: true, 'no-new-passages': true, user: true, error: true });
const statuses = v.picklist(['open', 'running', 'answered', 'degraded', 'failed', 'skipped']);
const errorSchema = v.pipe(v.unknown(), v.transform(decodeWireError));

const editSchema = v.variant('stage', [
  v.object({ stage: v.literal('plan'), before: planSchema, after: planSchema }),
  v.object({ stage: v.literal('query'), node: nodeId, before: v.string(), after: v.string() }),
  v.object({ stage: v.literal('evidence'), node: nodeId, dropped: list(v.object({ id: v.string(), title: v.string() })) }),
  v.object({ stage: v.literal('sub-answer'), node: nodeId, before: v.string(), after: v.string() }),
]) satisfies v.GenericSchema<unknown, RunEdit>;

const purpose = oneOf<CallPurpose>({
  route: true, plan: true, 'plan-repair': true, read: true, query: true, verify: true, answer: true, think: true, select: true, record: true, sufficient: true, refine: true,
  goal: true, reflect: true, gate: true, expand: true, value: true, act: true, score: true,
});

const noticeCode = oneOf<Extract<AgentEventBody, { kind: 'notice' }>['code']>({
  'question-trimmed': true, 'plan-fallback': true, 'backend-fallback': true, resumed: true, 'no-corpus': true, 'injection-ignored': true, 'profile-used': true,
});

/** One schema a kind: a kind without one does not compile. */
const bodies: { readonly [K in AgentEventBody['kind']]: v.GenericSchema<unknown, Omit<Extract<AgentEventBody, { kind: K }>, 'kind'>> } = {
  runStarted: v.object({ question: v.string(), method: v.string(), model: v.nullable(v.string()), corpora: strings }),
  notice: v.object({ code: noticeCode, text: v.string() }),
  edited: v.object({ from: v.string(), edit: editSchema }),
  planProposed: v.object({ plan: planSchema }),
  planEdited: v.object({ plan: planSchema }),
  nodeStarted: v.object({ node: nodeId, question: v.string() }),
  searched: v.object({ node: nodeId, query: v.string(), hits: list(hitSchema), newIds: strings, usedDense: v.boolean(), ms: finite }),
  evidenceRecorded: v.object({ node: nodeId, evidence: list(evidenceSchema) }),
  evidenceRejected: v.object({ node: nodeId, quote: v.string(), reason: v.picklist(['answer-not-in-quote', 'unknown-passage', 'wrong-type', 'off-subject']) }),
  nodeFinished: v.object({ node: nodeId, status: statuses, answer: v.string(), stop: stops }),
  llmCalled: v.object({ purpose, node: v.nullable(nodeId), promptTokens: finite, cachedTokens: v.nullable(finite), outputTokens: finite, ms: finite }),
  stateChanged: v.object({
    pool: count,
    curated: list(v.object({ id: v.string(), title: v.string(), importance: v.picklist(['very_high', 'high', 'fair', 'low']), node: nodeId })),
    bridges: list(v.object({ entity: v.string(), passages: strings })),
    singletons: strings,
    budget: v.object({ callsLeft: finite, searchesLeft: finite, msLeft: finite }),
  }),
  thought: v.object({ node: v.nullable(nodeId), text: v.string() }),
  goalSet: v.object({ node: nodeId, goal: v.string() }),
  reflected: v.object({ node: nodeId, satisfied: v.boolean(), why: v.string() }),
  selected: v.object({ node: nodeId, kept: strings, dropped: strings }),
  expanded: v.object({ node: nodeId, query: v.string(), terms: list(v.object({ term: v.string(), documents: finite, kept: v.boolean() })), weight: finite }),
  queryScored: v.object({ node: nodeId, query: v.string(), novel: v.boolean(), useful: v.nullable(v.boolean()), note: v.string(), refined: v.nullable(v.string()) }),
  gated: v.object({ search: v.boolean(), reason: v.string(), confidence: v.nullable(finite) }),
  verified: v.object({ claim: v.string(), ok: v.boolean(), missing: v.nullable(v.string()) }),
  linkFollowed: v.object({ node: nodeId, from: v.string(), to: strings }),
  trajectoryStarted: v.object({ trajectory: count, of: count, seed: finite }),
  trajectoryFinished: v.object({
    trajectory: count,
    answer: v.string(),
    logp: v.nullable(v.object({ sum: finite, mean: finite, tokens: finite, method: v.picklist(['exact', 'topn', 'verify']) })),
  }),
  trajectoriesWeighted: v.object({
    scores: list(v.object({ answer: v.string(), score: finite, share: finite })), ess: v.nullable(finite), gains: v.exactOptional(list(finite)),
  }),
  treeExpanded: v.object({ state: count, parent: v.nullable(count), depth: count, value: finite, query: v.string() }),
  tableStarted: v.object({ columns: strings, rows: strings }),
  cellFilled: v.object({ row: count, column: count, value: v.string(), evidence: v.nullable(evidenceSchema) }),
  conflictFound: v.object({ node: nodeId, answers: list(v.object({ answer: v.string(), source: v.picklist(['own', 'shard']) })) }),
  prompted: v.object({
    purpose, node: v.nullable(nodeId), messages: list(v.object({ role: v.picklist(['system', 'user', 'assistant']), content: v.string() })), output: v.string(),
  }),
  answerStarted: v.object({}),
  answerDelta: v.object({ text: v.string() }),
  answerFinished: v.object({ answer: answerSchema }),
  runFinished: v.object({ stop: stops, cost: costSchema }),
  runFailed: v.object({ error: errorSchema, cost: costSchema }),
};

const frame = v.object({ runId: v.string(), seq: count, atMs: finite, kind: v.string() });

/** null: no event that this version knows. */
export function decodeEvent(value: unknown): AgentEvent | null {
  const head = v.safeParse(frame, value);
  if (!head.success || !Object.hasOwn(bodies, head.output.kind)) return null;
  const body = v.safeParse(bodies[head.output.kind as AgentEventBody['kind']], value);
  // The table above ties each kind to its own shape.
  return body.success ? ({ ...head.output, ...body.output } as AgentEvent) : null;
}

/** In the order of the log; what cannot be read is left out. Anything but a list is an empty log. */
export function decodeEvents(value: unknown): readonly AgentEvent[] {
  if (!Array.isArray(value)) return [];
  return value.flatMap((item: unknown) => decodeEvent(item) ?? []);
}
