/** Turns the events of a run over a question into the line that is kept of it: steps, shown passages, scores, cost. Pure. */
import { goldPlan, scorePlan, type DecompositionScores } from '../agent/decomposition.ts';
import type { AgentEvent, Answer, Cost, Evidence, Plan } from '../agent/events.ts';
import { sentenceSpans } from '../corpus/passages.ts';
import type { Passage } from '../corpus/retriever.ts';
import type { WireError } from '../errors.ts';
import { costAwareF1, scoreBehaviour, stepRewards, tfIdfCloseness } from './behaviour.ts';
import type { Question } from './datasets.ts';
import { failureOf } from './diagnosis.ts';
import { obeyed } from './experiment.ts';
import type { Cell } from './matrix.ts';
import { answerHit, bestOverlap, isGold, scoreAnswer, scoreCitations, scoreRetrieval, scoreSupport, supportRecall, type SupportFact, type SupportScores } from './metrics.ts';
import type { ItemRecord, RecordedEvidence, ShownPassage, TrajectoryStep } from './record.ts';

export interface ItemContext {
  readonly cell: Cell;
  /** As the engine names it, where that is known before the run. */
  readonly model: string | null;
  /** What was asked. */
  readonly asked: string;
}

const shownPassages = 5;
const shownCharacters = 600;

type DistributiveOmit<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never;

/** What a run over a question amounts to. `failure`: why it was cut short (page lost, timed out), else what the events say. */
export function itemOf(question: Question, { cell, model: knownModel, asked }: ItemContext, events: readonly AgentEvent[], failure: WireError | null = null): ItemRecord {
  const steps: TrajectoryStep[] = [];
  const push = (step: DistributiveOmit<TrajectoryStep, 't'>): void => {
    steps.push({ t: steps.length + 1, ...step });
  };
  const note = (event: AgentEvent, node: number | null, text: string): void => push({ kind: 'note', node, what: event.kind, text });
  const searches: { query: string; passages: Passage[] }[] = [];
  const evidenceByNode = new Map<number, Evidence[]>();
  const evidence: Evidence[] = [];
  const nodeAnswers = new Map<number, string>();
  const nodes = new Set<number>();
  let plan: Plan | null = null;
  let answer: Answer | null = null;
  let cost = costSoFar(events);
  let stop: string = 'error';
  let error = failure;
  let model = knownModel;

  const flushEvidence = (node: number, sufficient: boolean, subAnswer: string, why: string): void => {
    push({ kind: 'record', node, evidence: (evidenceByNode.get(node) ?? []).map(recordedEvidence), sufficient, subAnswer, stop: why });
    evidenceByNode.delete(node);
  };

  for (const event of events) {
    switch (event.kind) {
      case 'runStarted':
        model = event.model ?? model;
        break;
      case 'planProposed':
      case 'planEdited':
        plan = event.plan;
        push({ kind: 'plan', source: plan.source, op: plan.final.op, nodes: plan.nodes.map(({ id, q, deps }) => ({ id, q, deps })) });
        break;
      case 'nodeStarted':
        nodes.add(event.node);
        note(event, event.node, event.question);
        break;
      case 'searched': {
        const fresh = new Set(event.newIds);
        searches.push({ query: event.query, passages: event.hits.map((hit) => hit.passage) });
        push({
          kind: 'search', node: event.node, query: event.query, k: event.hits.length, retriever: event.usedDense ? 'rrf' : 'bm25',
          docs: event.hits.map(({ passage, rank, score }) => ({ id: passage.id, rank, score: Number(score.toPrecision(5)), new: fresh.has(passage.id) })),
          ms: round(event.ms),
        });
        break;
      }
      case 'evidenceRecorded':
        evidence.push(...event.evidence);
        evidenceByNode.set(event.node, [...(evidenceByNode.get(event.node) ?? []), ...event.evidence]);
        break;
      case 'nodeFinished':
        nodeAnswers.set(event.node, event.answer);
        flushEvidence(event.node, event.status === 'answered', event.answer, event.stop);
        break;
      case 'llmCalled':
        push({
          kind: 'think', node: event.node, purpose: event.purpose, tokens: event.outputTokens, promptTokens: event.promptTokens,
          cachedTokens: event.cachedTokens, ms: round(event.ms),
        });
        break;
      case 'prompted':
        push({ kind: 'prompt', node: event.node, purpose: event.purpose, messages: event.messages, output: event.output });
        break;
      case 'answerFinished':
        // Evidence of methods without sub-questions.
        for (const node of [...evidenceByNode.keys()]) flushEvidence(node, true, '', 'answered');
        answer = event.answer;
        push({
          kind: 'answer', text: predictionOf(answer), mode: answer.mode, cites: [...new Set(answer.citations.map((citation) => citation.evidence.passage.id))],
          sentences: answer.sentences.map(({ text, cites, supported }) => ({ text, cites, supported })),
        });
        break;
      case 'runFinished':
        stop = event.stop;
        cost = event.cost;
        break;
      case 'runFailed':
        error ??= event.error;
        cost = event.cost;
        break;
      case 'answerStarted':
      case 'answerDelta':
      case 'stateChanged':
        break;
      default: {
        const { node, text } = noteOf(event);
        note(event, node, text);
      }
    }
  }
  const last = events.at(-1)?.kind;
  if (error === null && (last !== 'runFinished' || answer === null)) {
    error = { kind: 'bug', name: 'Error', message: `the run ended without an answer (${last ?? 'no events'}, ${stop})`, stack: '' };
  }

  const prediction = answer === null ? '' : predictionOf(answer);
  const cited = [...evidence, ...(answer?.citations ?? []).map((citation) => citation.evidence)];
  const kept = cited.map((item) => item.passage);
  const raw = scoreAnswer(prediction, question.answers);
  // Silence is the right answer to an unanswerable question; a crash is not.
  const scored = error === null ? raw : { ...raw, em: 0 as const, f1: 0, precision: 0, recall: 0, acc: 0 as const, accSubstring: 0 as const, emFolded: 0 as const };
  const retrieval = scoreRetrieval(searches.map(({ passages }) => passages), kept, question);
  const planned = plan === null ? null : planScores(plan, question);
  const all = searches.flatMap(({ passages }) => passages);
  const seen = answerHit(all, question.answers, question.type, all.length);
  return {
    kind: 'trajectory',
    id: events[0]?.runId ?? '',
    qid: question.id,
    dataset: question.dataset,
    method: cell.method,
    llm: cell.llm,
    model,
    corpus: cell.corpus,
    setting: cell.setting.name,
    seed: cell.seed,
    question: question.question,
    asked,
    goldPlan: question.goldPlan.map(({ q, answer: gold }) => ({ q, answer: gold })),
    answers: question.answers,
    type: question.type,
    hops: question.hops,
    selection: question.selection,
    prediction,
    steps,
    passages: shown(searches, kept, question),
    stop: error === null ? stop : 'error',
    scores: {
      ...scored,
      ...retrieval,
      ...scoreCitations(answer, evidence),
      ...scoreBehaviour(searches),
      support: supportScores(cited, question, scored),
      plan: planned?.scores ?? null,
      steps: rewardsOf(searches, question),
      goodQueries: goodQueries(searches, question),
      stepAnswers: stepAnswers(plan, nodeAnswers, question),
      caf: costAwareF1(scored.f1, searches.length, question.hops ?? (question.goldPlan.length || 1)),
      obeyed: cell.setting.experiment.inject === true ? obeyed(prediction) : null,
      failure: failureOf({
        answer: scored, retrieval, planCoverage: planned?.coverage ?? null, answerSeen: seen === null ? null : seen === 1, hasFailed: error !== null,
        isAnswerable: question.answers.length > 0,
      }),
    },
    cost: {
      llmCalls: cost.llmCalls, promptTokens: cost.promptTokens, cachedTokens: cost.cachedTokens, outTokens: cost.outputTokens, searches: cost.searches,
      wallMs: round(cost.wallMs), overheadMs: round(cost.overheadMs), nodes: nodes.size,
    },
    error: error === null ? null : describe(error),
  };
}

/** What an event says, on one line. */
function noteOf(event: AgentEvent): { readonly node: number | null; readonly text: string } {
  const { kind: _kind, runId: _run, seq: _seq, atMs: _at, ...rest } = event;
  const node = 'node' in rest && typeof rest.node === 'number' ? rest.node : null;
  switch (event.kind) {
    case 'notice':
    case 'thought':
      return { node, text: event.text };
    case 'evidenceRejected':
      return { node, text: `${event.reason}: ${event.quote}` };
    case 'goalSet':
      return { node, text: event.goal };
    default:
      return { node, text: JSON.stringify(Object.fromEntries(Object.entries(rest).filter(([key]) => key !== 'node'))).slice(0, 2000) };
  }
}

function planScores(plan: Plan, question: Question): { readonly scores: DecompositionScores; readonly coverage: number } | null {
  const steps = question.goldPlan.map(({ q }) => q);
  if (steps.length === 0 || steps.length > 12) return null;
  const scores = scorePlan(plan, goldPlan(steps, question.question), question.question);
  // hard = 2c/(n+m), so the share of gold steps that were met is c/m.
  const met = (scores.hard * (plan.nodes.length + steps.length)) / 2;
  return { scores, coverage: met / steps.length };
}

/** The sentences that were quoted, as (title, sentence), or their pages where the data name no sentences. */
function supportScores(cited: readonly Evidence[], question: Question, answer: { em: 0 | 1; precision: number; recall: number }): SupportScores | null {
  const { facts } = question;
  if (facts.length === 0) return null;
  const wholePages = facts.some(({ sentence }) => sentence === null);
  const predicted = cited.map(({ passage, span }): SupportFact => {
    const at = sentenceSpans(passage.text, passage.sentenceEnds).findIndex((sentence) => span.start < sentence.end);
    return { title: passage.title, sentence: wholePages ? null : at };
  });
  return scoreSupport(predicted, facts, answer);
}

function rewardsOf(searches: readonly { query: string; passages: Passage[] }[], question: Question): ItemRecord['scores']['steps'] {
  const { gold } = question;
  if (gold.length === 0) return [];
  const all = searches.flatMap(({ passages }) => passages);
  const words = new Map(all.map(({ id, title, text }) => [id, `${title} ${text}`]));
  const goldPassages = gold.map((item) => all.find((passage) => isGold(passage, item)));
  const closeness = tfIdfCloseness(all.map(({ id }) => words.get(id) ?? ''));
  const items = gold.map((item, i) => ({ item, found: goldPassages[i], known: new Map<string, number>() }));
  return stepRewards(searches, items, (passage, { item, found, known }) => {
    const before = known.get(passage.id);
    if (before !== undefined) return before;
    const isThis = isGold({ docId: passage.id, ...passage }, item) || passage.id === found?.id;
    const value = isThis ? 1 : found === undefined ? 0 : closeness(words.get(passage.id) ?? '', words.get(found.id) ?? '');
    known.set(passage.id, value);
    return value;
  }).map(({ gain, redundancy, reward }) => ({ gain: round(gain), redundancy: round(redundancy), reward: round(reward) }));
}

function goodQueries(searches: readonly { passages: Passage[] }[], question: Question): boolean[] {
  const { gold } = question;
  if (gold.length === 0) return [];
  let before = 0;
  return searches.map((_, i) => {
    const now = supportRecall(searches.slice(0, i + 1).flatMap(({ passages }) => passages), gold) ?? 0;
    const isBetter = now > before;
    before = now;
    return isBetter;
  });
}

/** Only where the gold plan was given: otherwise the steps are not the same questions. */
function stepAnswers(plan: Plan | null, answers: ReadonlyMap<number, string>, question: Question): number[] {
  if (plan?.source !== 'gold' || plan.nodes.length !== question.goldPlan.length) return [];
  return question.goldPlan.map(({ answer }, i) => (answer === null ? 0 : bestOverlap(answers.get(i + 1) ?? '', [answer]).f1));
}

function shown(searches: readonly { passages: Passage[] }[], kept: readonly Passage[], question: Question): Record<string, ShownPassage> {
  const result: Record<string, ShownPassage> = {};
  for (const passage of [...kept, ...searches.flatMap(({ passages }) => passages.slice(0, shownPassages))]) {
    result[passage.id] ??= { title: passage.title, text: passage.text.slice(0, shownCharacters), gold: question.gold.some((item) => isGold(passage, item)) };
  }
  return result;
}

/** What a run that never reported its cost had used up by its last event. */
function costSoFar(events: readonly AgentEvent[]): Cost {
  const calls = events.filter((event) => event.kind === 'llmCalled');
  const searches = events.filter((event) => event.kind === 'searched');
  const total = (pick: (call: (typeof calls)[number]) => number): number => calls.reduce((sum, call) => sum + pick(call), 0);
  const wallMs = events.at(-1)?.atMs ?? 0;
  const waited = total((call) => call.ms) + searches.reduce((sum, search) => sum + search.ms, 0);
  return {
    llmCalls: calls.length, promptTokens: total((call) => call.promptTokens), cachedTokens: total((call) => call.cachedTokens ?? 0),
    outputTokens: total((call) => call.outputTokens), searches: searches.length, wallMs, overheadMs: Math.max(0, wallMs - waited),
  };
}

/** Where there is no short answer but copied sentences, they are what was answered. */
function predictionOf(answer: Answer): string {
  return answer.short !== '' || answer.mode !== 'extractive' ? answer.short : answer.sentences.map((sentence) => sentence.text).join(' ');
}

function recordedEvidence({ passage, span, quote }: Evidence): RecordedEvidence {
  return { doc: passage.id, span: [span.start, span.end], text: quote };
}

function describe(error: WireError): { code: string; message: string } {
  switch (error.kind) {
    case 'app':
      return { code: error.code, message: error.message };
    case 'abort':
      return { code: 'abort', message: 'The run was stopped.' };
    case 'bug':
      return { code: 'bug', message: `${error.name}: ${error.message}` };
  }
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}
