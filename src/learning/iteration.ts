/**
 * One iteration of generalised EM on the device (METHODS §3.2, §8.1–8.2): E-step over training questions, then each part that was asked for is trained on the weighted
 * trajectories and checked on held-back questions; what is not shown to be no worse is rolled back. Pure over interfaces; the page and the benchmark share it.
 */
import { reordered } from '../agent/learned.ts';
import type { Hit, Passage } from '../corpus/retriever.ts';
import type { Llm } from '../engine/llm.ts';
import { checkPart, type PairedInterval } from './acceptance.ts';
import type { Adapter, AdapterExample } from './adapter.ts';
import { buildBank } from './bank.ts';
import { eStep, type EStepDeps, type EStepOptions, type TrainQuestion, type WeightedQuestion } from './estep.ts';
import { gateExamples, gateFeatures, selectorFeatures, selectorRows } from './features.ts';
import { writeLessons } from './lessons.ts';
import { logit, logLoss, type LogisticExample, type LogisticModel } from './logistic.ts';
import { gateOf, type PartValues, type PartVersion } from './parts.ts';
import type { IterationRecord, IterationScores, PartCheck, PartId } from './record.ts';
import { evidenceIds, type Sample } from './samples.ts';

/** A question with its gold passages, where a data set names them. */
export interface LearnQuestion extends TrainQuestion {
  readonly gold: readonly string[];
}

export interface QuestionScore {
  readonly em: number;
  readonly f1: number;
  readonly supportRecall: number | null;
}

export interface VectorMaker {
  readonly id: string;
  readonly dimensions: number;
  readonly query: (text: string) => Promise<Float32Array>;
  readonly passage: (passage: Passage) => Promise<Float32Array | null>;
}

export interface LearnDeps {
  /** null: no model; then only `adapter` and `selector` can be trained, from gold passages. */
  readonly llm: Llm | null;
  readonly run: EStepDeps['run'];
  readonly scoreAnswer: EStepDeps['scoreAnswer'];
  /** Answers the question greedily with these parts in use. */
  readonly evaluate: (question: LearnQuestion, values: Partial<PartValues>, signal: AbortSignal) => Promise<QuestionScore>;
  /** The best 20 passages for each query, with this adapter over query vectors. */
  readonly retrieve: (queries: readonly string[], adapter: Adapter | null, signal: AbortSignal) => Promise<readonly (readonly Hit[])[]>;
  /** Whether a passage, by its id, is the one that is named: a passage's own id, or a data set's name for it. */
  readonly isGold: (passageId: string, name: string) => boolean;
  /** The passage of a gold name; null if the corpus lacks it. */
  readonly passageOf: (gold: string) => Promise<Passage | null>;
  /** Unit vectors of the loaded embedder; null: there is none, or the passage has no vector. */
  readonly embedder: VectorMaker | null;
  readonly trainAdapter: (embedder: string, dimensions: number, examples: readonly AdapterExample[], seed: number, signal: AbortSignal) => Promise<Adapter>;
  readonly trainLogistic: (features: readonly string[], examples: readonly LogisticExample[], signal: AbortSignal) => Promise<LogisticModel>;
  readonly interval: PairedInterval;
  /** Milliseconds, monotonic. */
  readonly now: () => number;
  /** Finished questions of this iteration, kept so that a stopped one goes on. */
  readonly done: ReadonlyMap<string, WeightedQuestion>;
  readonly keep: (question: WeightedQuestion) => Promise<void>;
  readonly onProgress: (stage: 'sampling' | 'training' | 'checking', done: number, total: number, label: string) => void;
}

export interface LearnOptions extends EStepOptions {
  readonly parts: readonly PartId[];
  readonly iteration: number;
  readonly model: string | null;
  readonly method: string;
  readonly dataset: string;
  readonly corpus: string;
  readonly trainIds: string;
  readonly devIds: string;
  /** The parts in use so far. */
  readonly current: Partial<PartValues>;
  /** `gold-passages`: the degenerate E-step that knows which passages help; needs no model. */
  readonly supervision: PartCheck['supervision'];
}

export interface LearnResult {
  readonly record: IterationRecord;
  /** A version for each part that was trained, accepted or not. */
  readonly versions: { readonly [P in PartId]?: PartVersion<P> };
  readonly weighted: readonly WeightedQuestion[];
}

/** A query with the passages that helped, as the M-step sees it. */
interface UsefulQuery {
  readonly question: string;
  readonly query: string;
  /** Names of gold passages, or ids of passages that evidence was taken from. */
  readonly useful: readonly string[];
  readonly weight: number;
}

/** Passages of a search that count in its recall. */
const depth = 5;
const negativesPerQuery = 8;

export async function learn(
  train: readonly LearnQuestion[], dev: readonly LearnQuestion[], deps: LearnDeps, options: LearnOptions, signal: AbortSignal,
): Promise<LearnResult> {
  const started = deps.now();
  const weighted = await weightQuestions(train, deps, options, signal);
  const samples = weighted.filter((question) => question.informative).flatMap((question) => question.samples);
  const fromGold = options.supervision === 'gold-passages';
  const queries = fromGold ? goldQueries(train) : sampleQueries(samples);
  const heldQueries = goldQueries(dev);
  const versions: { -readonly [P in PartId]?: PartVersion<P> } = {};
  const before = deps.llm === null ? null : await evaluateAll(dev, options.current, 'before', deps, signal);
  let current = options.current;
  let after: readonly QuestionScore[] | null = before;

  if (options.parts.includes('adapter')) {
    const version = await learnAdapter(queries, heldQueries, deps, options, signal);
    versions.adapter = version;
    if (version.check.accepted) current = { ...current, adapter: version.value };
  }
  if (options.parts.includes('selector')) {
    const version = await learnSelector(queries, heldQueries, current.adapter ?? null, deps, options, signal);
    versions.selector = version;
    if (version.check.accepted) current = { ...current, selector: version.value };
  }
  if (options.parts.includes('gate') && !fromGold) {
    const version = await learnGate(samples, deps, options, signal);
    versions.gate = version;
    if (version.check.accepted) current = { ...current, gate: version.value };
  }
  const changed = current !== options.current;
  if (changed && before !== null) after = await evaluateAll(dev, current, 'parts', deps, signal);
  if (options.parts.includes('bank') && !fromGold && after !== null) {
    const bank = buildBank(samples);
    const withBank = bank.length === 0 ? null : await evaluateAll(dev, { ...current, bank }, 'bank', deps, signal);
    const f1s = { before: withBank === null ? [] : after.map(({ f1 }) => f1), after: (withBank ?? []).map(({ f1 }) => f1) };
    const check = checkPart({ part: 'bank', metric: 'f1', supervision: 'trajectories', trained: bank.length, ...f1s }, deps.interval);
    versions.bank = { value: bank, check };
    if (check.accepted) {
      after = withBank;
      current = { ...current, bank };
    }
  }
  if (options.parts.includes('lessons') && !fromGold && after !== null) {
    const version = await learnLessons(weighted, train, dev, current, after, deps, signal);
    versions.lessons = version.version;
    if (version.version.check.accepted) after = version.scores;
  }

  const all = weighted.flatMap((question) => question.samples);
  const scored = all.filter((sample) => sample.answerLogp !== null);
  const scorings = weighted.map((question) => question.scoring);
  const record: IterationRecord = {
    kind: 'iteration', version: 1, iteration: options.iteration, model: options.model, method: options.method, dataset: options.dataset, corpus: options.corpus,
    trajectories: options.trajectories, alpha: options.alpha ?? 0, tau: options.tau ?? 1, seeds: Array.from({ length: options.trajectories }, (_, k) => options.seed + k),
    trainIds: options.trainIds, devIds: options.devIds,
    train: all.length === 0 ? null : { ...scoresOf(all), questions: weighted.length },
    devBefore: before === null ? null : withIntervals(before, deps.interval),
    dev: after === null ? null : withIntervals(after, deps.interval),
    meanEss: meanOf(weighted.map((question) => question.ess)),
    essInterval: intervalOf(weighted.map((question) => question.ess), deps.interval),
    meanLogLikelihood: meanOf(scored.map((sample) => sample.answerLogp?.sum ?? 0)),
    meanEvidenceGain: meanOf(scored.flatMap((sample) => (sample.priorLogp === null ? [] : [(sample.answerLogp?.sum ?? 0) - sample.priorLogp.sum]))),
    informative: weighted.filter((question) => question.informative).length,
    scoring: scorings.length === 0 || scorings.includes(null) ? 'none' : scorings.includes('verify') ? 'verify' : scorings.includes('topn') ? 'topn' : 'exact',
    checks: Object.values(versions).map((version) => version.check),
    cost: {
      llmCalls: sumOf(all, ({ cost }) => cost.llmCalls), promptTokens: sumOf(all, ({ cost }) => cost.promptTokens),
      outputTokens: sumOf(all, ({ cost }) => cost.outputTokens), wallMs: deps.now() - started,
    },
  };
  return { record, versions, weighted };
}

async function weightQuestions(train: readonly LearnQuestion[], deps: LearnDeps, options: LearnOptions, signal: AbortSignal): Promise<WeightedQuestion[]> {
  if (options.supervision === 'gold-passages' || deps.llm === null) return [];
  const done = new Map(deps.done);
  const supportRecall: EStepDeps['supportRecall'] = (question, sample) => {
    const gold = train.find(({ id }) => id === question.id)?.gold ?? [];
    const found = sample.steps.flatMap((step) => (step.kind === 'search' ? step.docs.map((doc) => doc.id) : []));
    return gold.length === 0 ? null : gold.filter((name) => found.some((id) => deps.isGold(id, name))).length / gold.length;
  };
  const eDeps: EStepDeps = { run: deps.run, llm: deps.llm, scoreAnswer: deps.scoreAnswer, supportRecall };
  deps.onProgress('sampling', done.size, train.length, '');
  for await (const question of eStep(train, eDeps, options, (qid) => done.has(qid), signal)) {
    await deps.keep(question);
    done.set(question.qid, question);
    deps.onProgress('sampling', done.size, train.length, question.samples[0]?.question ?? '');
  }
  return train.flatMap(({ id }) => done.get(id) ?? []);
}

async function evaluateAll(
  questions: readonly LearnQuestion[], values: Partial<PartValues>, label: string, deps: LearnDeps, signal: AbortSignal,
): Promise<QuestionScore[]> {
  const scores: QuestionScore[] = [];
  for (const question of questions) {
    deps.onProgress('checking', scores.length, questions.length, label);
    scores.push(await deps.evaluate(question, values, signal));
  }
  return scores;
}

/** The whole question as the query, its gold passages as what helps. */
function goldQueries(questions: readonly LearnQuestion[]): UsefulQuery[] {
  return questions.filter(({ gold }) => gold.length > 0).map(({ question, gold }) => ({ question, query: question, useful: gold, weight: 1 }));
}

/** Every query of every trajectory with the passages that its node took evidence from, with the trajectory's weight. */
function sampleQueries(samples: readonly Sample[]): UsefulQuery[] {
  return samples.flatMap((sample) => {
    const all = evidenceIds(sample);
    return sample.steps.flatMap((step): UsefulQuery[] => {
      if (step.kind !== 'search') return [];
      const own = sample.steps.flatMap((one) => (one.kind === 'record' && one.node === step.node ? one.evidence.map((item) => item.doc) : []));
      const useful = [...new Set(own.length > 0 ? own : all)];
      const weight = sample.weight ?? 0;
      return useful.length === 0 || weight < 1e-3 ? [] : [{ question: sample.question, query: step.query, useful, weight }];
    });
  });
}

/** Queries whose passages are searched together; between batches progress is told and a stop is heard. */
const searchedTogether = 16;

/** The passages of each query, in order. */
async function* retrieved(
  queries: readonly UsefulQuery[], adapter: Adapter | null, deps: LearnDeps, signal: AbortSignal,
): AsyncGenerator<{ readonly i: number; readonly asked: UsefulQuery; readonly hits: readonly Hit[] }> {
  for (let from = 0; from < queries.length; from += searchedTogether) {
    const some = queries.slice(from, from + searchedTogether);
    const found = await deps.retrieve(some.map(({ query }) => query), adapter, signal);
    for (const [at, asked] of some.entries()) yield { i: from + at, asked, hits: found[at] ?? [] };
  }
}

/** Rules from the informative questions, checked as a set: F1 as for the bank, and no fewer right answers. */
async function learnLessons(
  weighted: readonly WeightedQuestion[], train: readonly LearnQuestion[], dev: readonly LearnQuestion[], current: Partial<PartValues>, before: readonly QuestionScore[],
  deps: LearnDeps, signal: AbortSignal,
): Promise<{ readonly version: PartVersion<'lessons'>; readonly scores: readonly QuestionScore[] }> {
  const known = current.lessons ?? [];
  const answersOf = (qid: string): readonly string[] => train.find(({ id }) => id === qid)?.answers ?? [];
  const tell = (done: number, total: number): void => deps.onProgress('training', done, total, 'lessons');
  const informative = weighted.filter((question) => question.informative);
  const { rules, refused } = deps.llm === null ? { rules: known, refused: 0 } : await writeLessons(informative, answersOf, known, deps.llm, signal, tell);
  const fresh = rules.length - known.length;
  const scores = fresh === 0 ? [] : await evaluateAll(dev, { ...current, lessons: rules }, 'lessons', deps, signal);
  const of = (value: (score: QuestionScore) => number): { readonly before: readonly number[]; readonly after: readonly number[] } =>
    ({ before: fresh === 0 ? [] : before.map(value), after: scores.map(value) });
  const check = checkPart({ part: 'lessons', metric: 'f1', supervision: 'trajectories', trained: fresh, ...of(({ f1 }) => f1), accuracy: of(({ em }) => em) }, deps.interval);
  const reason = refused === 0 ? check.reason : `${check.reason}; ${refused} of the rules written ${refused === 1 ? 'was' : 'were'} refused (too long, or not general)`;
  return { version: { value: rules, check: { ...check, reason } }, scores };
}

async function learnAdapter(
  queries: readonly UsefulQuery[], held: readonly UsefulQuery[], deps: LearnDeps, options: LearnOptions, signal: AbortSignal,
): Promise<PartVersion<'adapter'>> {
  const { embedder } = deps;
  const examples: AdapterExample[] = [];
  if (embedder !== null) {
    for await (const { i, asked, hits } of retrieved(queries, null, deps, signal)) {
      deps.onProgress('training', i, queries.length, 'query adapter');
      const positives: Float32Array[] = [];
      for (const name of asked.useful) {
        const passage = await deps.passageOf(name);
        const vector = passage === null ? null : await embedder.passage(passage);
        if (vector !== null) positives.push(vector);
      }
      const negatives: Float32Array[] = [];
      for (const { passage } of hits) {
        if (negatives.length === negativesPerQuery) break;
        if (asked.useful.some((name) => deps.isGold(passage.id, name))) continue;
        const vector = await embedder.passage(passage);
        if (vector !== null) negatives.push(vector);
      }
      if (positives.length > 0) examples.push({ query: await embedder.query(asked.query), positives, negatives, weight: asked.weight });
    }
  }
  const value = await deps.trainAdapter(embedder?.id ?? '', embedder?.dimensions ?? 1, examples, options.seed, signal);
  const [before, after] = [[], []] as [number[], number[]];
  if (examples.length > 0) {
    for (const [adapter, recalls] of [[options.current.adapter ?? null, before], [value, after]] as const) {
      for await (const { i, asked, hits } of retrieved(held, adapter, deps, signal)) {
        deps.onProgress('checking', i, held.length, 'query adapter');
        recalls.push(recallOf(hits, asked, deps));
      }
    }
  }
  return { value, check: checkPart({ part: 'adapter', metric: 'supportRecall', supervision: options.supervision, trained: examples.length, before, after }, deps.interval) };
}

async function learnSelector(
  queries: readonly UsefulQuery[], held: readonly UsefulQuery[], adapter: Adapter | null, deps: LearnDeps, options: LearnOptions, signal: AbortSignal,
): Promise<PartVersion<'selector'>> {
  const examples: LogisticExample[] = [];
  for await (const { i, asked, hits } of retrieved(queries, adapter, deps, signal)) {
    deps.onProgress('training', i, queries.length, 'passage selector');
    const rows = selectorRows(asked.question, asked.query, hits);
    hits.forEach((hit, j) => examples.push({ x: rows[j] ?? [], y: asked.useful.some((name) => deps.isGold(hit.passage.id, name)) ? 1 : 0, weight: asked.weight }));
  }
  const value = await deps.trainLogistic(selectorFeatures, examples, signal);
  const [before, after] = [[], []] as [number[], number[]];
  for await (const { i, asked, hits } of retrieved(held, adapter, deps, signal)) {
    deps.onProgress('checking', i, held.length, 'passage selector');
    before.push(recallOf(hits, asked, deps));
    const scores = selectorRows(asked.question, asked.query, hits).map((row) => logit(value, row));
    after.push(recallOf(reordered(hits, scores), asked, deps));
  }
  return { value, check: checkPart({ part: 'selector', metric: 'supportRecall', supervision: options.supervision, trained: examples.length, before, after }, deps.interval) };
}

/** The last third of the trajectories is held back; the model must predict better there than the training examples' mean does. */
async function learnGate(samples: readonly Sample[], deps: LearnDeps, options: LearnOptions, signal: AbortSignal): Promise<PartVersion<'gate'>> {
  const qids = [...new Set(samples.map(({ qid }) => qid))];
  const heldIds = new Set(qids.filter((_, i) => i % 3 === 2));
  const train = samples.filter(({ qid }) => !heldIds.has(qid)).flatMap(gateExamples);
  const held = samples.filter(({ qid }) => heldIds.has(qid)).flatMap(gateExamples);
  deps.onProgress('training', 0, train.length, 'search gate');
  const model = await deps.trainLogistic(gateFeatures, train, signal);
  const plain = await deps.trainLogistic([], train.map((example) => ({ ...example, x: [] })), signal);
  const isMixed = train.some(({ y }) => y === 1) && train.some(({ y }) => y === 0);
  const loss = (one: LogisticModel, example: LogisticExample): number => -logLoss(one, [{ ...example, weight: 1 }]);
  const check = checkPart(
    {
      part: 'gate', metric: 'logLoss', supervision: options.supervision, trained: isMixed ? train.length : 0,
      before: held.map((example) => loss(plain, { ...example, x: [] })), after: held.map((example) => loss(model, example)),
    },
    deps.interval,
  );
  return { value: gateOf(model, train), check };
}

function recallOf(hits: readonly Hit[], asked: UsefulQuery, deps: LearnDeps): number {
  const top = hits.slice(0, depth);
  return asked.useful.filter((name) => top.some((hit) => deps.isGold(hit.passage.id, name))).length / asked.useful.length;
}

function scoresOf(scores: readonly QuestionScore[]): IterationScores {
  return { questions: scores.length, em: meanOf(scores.map(({ em }) => em)) ?? 0, f1: meanOf(scores.map(({ f1 }) => f1)) ?? 0, supportRecall: meanOf(recallsOf(scores)) };
}

function withIntervals(scores: readonly QuestionScore[], interval: PairedInterval): IterationScores {
  const intervals = {
    em: intervalOf(scores.map(({ em }) => em), interval), f1: intervalOf(scores.map(({ f1 }) => f1), interval), supportRecall: intervalOf(recallsOf(scores), interval),
  };
  return { ...scoresOf(scores), intervals };
}

function recallsOf(scores: readonly QuestionScore[]): number[] {
  return scores.flatMap(({ supportRecall }) => (supportRecall === null ? [] : [supportRecall]));
}

/** A mean against nothing, as a difference from 0. */
function intervalOf(values: readonly number[], interval: PairedInterval): [number, number, number] | null {
  const found = values.length === 0 ? null : interval(values, values.map(() => 0));
  return found === null ? null : [...found];
}

function meanOf(values: readonly number[]): number | null {
  return values.length === 0 ? null : values.reduce((sum, value) => sum + value, 0) / values.length;
}

function sumOf<T>(items: readonly T[], value: (item: T) => number): number {
  return items.reduce((sum, item) => sum + value(item), 0);
}
