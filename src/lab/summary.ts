/**
 * What a run is worth as a whole: means with intervals for each system, question types and selection classes apart, paired comparisons, curves, diagnosis, oracle gaps
 * and what disturbances cost. Pure. A system is what stands in one row of a table: method, model, corpus, setting and data set; seeds are pooled.
 */
import { answerTokens } from './metrics.ts';
import { budgetCurve, gatedF1, overlapOf, searchEfficiency, searchQuality, selfKnowledge, type BudgetCurve, type SelfKnowledge } from './behaviour.ts';
import type { FailureClass } from './diagnosis.ts';
import type { ItemRecord, RunRecord } from './record.ts';
import {
  bootstrapMean, defaultResamples, defaultSeed, holm, mcNemarExact, mean, pairedBootstrap, pairedPermutation, passAtK, standardDeviation, wilcoxonSignedRank, wilson,
  type Interval, type ResampleOptions,
} from './statistics.ts';

export interface SystemKey {
  readonly dataset: string;
  readonly method: string;
  readonly llm: string;
  readonly corpus: string;
  readonly setting: string;
}

export interface GroupSummary {
  readonly n: number;
  readonly em: number;
  readonly f1: number;
  readonly acc: number;
  readonly supportRecall: number | null;
  readonly allSupport: number | null;
  readonly intervals: { readonly em: Interval | null; readonly f1: Interval | null };
}

/** Means over questions; failed items count with scores of 0. Fractions from 0 to 1; null where nothing defines it. */
export interface SystemSummary extends SystemKey {
  /** Questions times seeds. */
  readonly n: number;
  readonly questions: number;
  readonly seeds: readonly number[];
  readonly failed: number;
  readonly em: number;
  readonly f1: number;
  readonly acc: number;
  readonly accSubstring: number;
  readonly emFolded: number;
  readonly answerWords: number;
  /** Share of questions that got no answer text, failed ones left out. */
  readonly silent: number;
  /** Support recall over all that the run found, at the depth that it searched to. */
  readonly supportRecall: number | null;
  /** Over the first five passages of each search. */
  readonly supportRecall5: number | null;
  readonly allSupport: number | null;
  /** Of the first search. */
  readonly recall5: number | null;
  readonly recall10: number | null;
  readonly allSupport5: number | null;
  readonly allSupport10: number | null;
  readonly answerHit5: number | null;
  readonly curatedRecall: number | null;
  readonly foundButDropped: number | null;
  readonly quoteValidity: number | null;
  readonly quotes: number;
  readonly citations: number;
  readonly citedSentences: number | null;
  readonly supportedSentences: number | null;
  readonly repetition: number | null;
  readonly novelty: number | null;
  readonly llmCalls: number;
  readonly promptTokens: number;
  /** Share of the prompt tokens that came from the engine's prefix cache. */
  readonly cachedTokens: number;
  readonly outputTokens: number;
  readonly searches: number;
  readonly secondsPerQuestion: number;
  /** Time in neither model nor search, a step; a step is a model call or a search. */
  readonly overheadMsPerStep: number | null;
  readonly citationRecall: number | null;
  readonly grounded: number | null;
  readonly ndcg10: number | null;
  readonly mrr: number | null;
  readonly below5: number | null;
  /** Supporting facts and jointly with the answer (METHODS §6.3). */
  readonly support: { readonly n: number; readonly spEm: number; readonly spF1: number; readonly jointEm: number; readonly jointF1: number } | null;
  /** Plans against gold plans (METHODS §6.6). */
  readonly plans: {
    readonly n: number; readonly soft: number; readonly hard: number; readonly edgeF1: number; readonly valid: number;
    readonly countError: number; readonly countErrorAbsolute: number;
  } | null;
  /** F1 of the sub-answers where the gold plan was given. */
  readonly stepAnswers: number | null;
  readonly ctar: number | null;
  readonly moves: Readonly<Record<string, number>>;
  readonly uniquePassages: number;
  /** SmartSearch's SE and SQ; cost-aware F1. */
  readonly searchEfficiency: number | null;
  readonly searchQuality: number | null;
  readonly costAwareF1: number;
  /** F1 of answers whose quotes all stand; others count 0. */
  readonly gatedF1: number;
  /** Against the system's closed-book twin (method `direct`, everything else alike); null where it was not run. */
  readonly selfKnowledge: SelfKnowledge | null;
  /** EM within b searches. */
  readonly budget: BudgetCurve | null;
  /** Means of what is known after each search, over the runs that made it. */
  readonly bySearch: readonly { readonly search: number; readonly n: number; readonly supportRecall: number; readonly novelty: number; readonly reward: number }[];
  /** Why answers are wrong. */
  readonly failures: Readonly<Partial<Record<FailureClass, number>>>;
  /** Questions whose gold was found and not kept. */
  readonly droppedQuestions: number;
  /** Orders that were followed, of those that were given. */
  readonly obeyed: { readonly orders: number; readonly followed: number } | null;
  /** With several seeds: standard deviation of EM over them, mean and best of them (avg@n, max@n), and pass@k. */
  readonly overSeeds: { readonly n: number; readonly emSd: number; readonly avg: number; readonly max: number;
    readonly pass: readonly { readonly k: number; readonly value: number }[] } | null;
  readonly stops: Readonly<Record<string, number>>;
  readonly errors: Readonly<Record<string, number>>;
  readonly intervals: Readonly<Record<'em' | 'f1' | 'acc' | 'supportRecall' | 'secondsPerQuestion', Interval | null>>;
  /** Wilson's interval of EM, given below 50 questions. */
  readonly emWilson: Interval | null;
  readonly byType: Readonly<Record<string, GroupSummary>>;
  readonly bySelection: Readonly<Record<string, GroupSummary>>;
  readonly byHops: Readonly<Record<string, GroupSummary>>;
}

/** `a` against `b` (labels of systems) on the questions and seeds that both worked on. Differences are a − b. */
export interface Comparison {
  readonly a: string;
  readonly b: string;
  readonly n: number;
  readonly em: { readonly difference: Interval | null; readonly onlyA: number; readonly onlyB: number; readonly mcnemar: number; readonly holm: number };
  readonly f1: { readonly difference: Interval | null; readonly permutation: number; readonly wilcoxon: number | null; readonly holm: number };
}

/** A setting against the default setting of the same system: what gold would gain, or what a disturbance costs. */
export interface Gap {
  readonly system: string;
  readonly base: string;
  readonly setting: string;
  readonly n: number;
  /** EM with the setting − EM without it, on the same questions. */
  readonly em: Interval | null;
  readonly f1: Interval | null;
  readonly notFound: number;
  /** Mean Jaccard overlap of the first searches' first ten passages with those of the default setting. */
  readonly overlap: number | null;
  /** Share of questions whose answer differs from the default setting's. */
  readonly changed: number;
}

export interface Summary {
  readonly format: 2;
  /** By label: the axes in which the systems differ. */
  readonly systems: Readonly<Record<string, SystemSummary>>;
  /** Within each data set: the first system against each other one. Holm over these comparisons of a data set, for EM and F1 apart. */
  readonly comparisons: readonly Comparison[];
  readonly gaps: readonly Gap[];
  readonly statistics: { readonly resamples: number; readonly seed: number; readonly level: number };
}

/** Items of any number of systems; systems in the order of their first items. */
export function summarise(items: readonly ItemRecord[], options: ResampleOptions = {}): Summary {
  const systems = systemsOf(items);
  const closedBook = new Map<string, ItemRecord>();
  for (const item of items) if (item.method === 'direct') closedBook.set(twinKey(item), item);
  return {
    format: 2,
    systems: Object.fromEntries(systems.map(({ label, items: own }) => [label, summariseSystem(own, closedBook, options)])),
    comparisons: compareAll(systems, options),
    gaps: gapsOf(systems, options),
    statistics: { resamples: options.resamples ?? defaultResamples, seed: options.seed ?? defaultSeed, level: options.level ?? 0.95 },
  };
}

export interface System extends SystemKey {
  readonly label: string;
  readonly items: readonly ItemRecord[];
}

const axes = ['method', 'llm', 'corpus', 'setting', 'dataset'] as const;

/** Items by system. A label names the method and every other axis in which the systems differ. */
export function systemsOf(items: readonly ItemRecord[]): System[] {
  const groups = new Map<string, ItemRecord[]>();
  for (const item of items) {
    const key = JSON.stringify(axes.map((axis) => item[axis]));
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [item]);
    else group.push(item);
  }
  const firsts = [...groups.values()].flatMap(([first]) => first ?? []);
  const varying = axes.filter((axis) => axis === 'method' || new Set(firsts.map((item) => item[axis])).size > 1);
  return [...groups.values()].flatMap((own) => {
    const [first] = own;
    if (first === undefined) return [];
    const { dataset, method, llm, corpus, setting } = first;
    return [{ dataset, method, llm, corpus, setting, label: varying.map((axis) => first[axis]).join(' · '), items: own }];
  });
}

function twinKey({ dataset, llm, corpus, setting, seed, qid }: ItemRecord): string {
  return JSON.stringify([dataset, llm, corpus, setting, seed, qid]);
}

function summariseSystem(items: readonly ItemRecord[], closedBook: ReadonlyMap<string, ItemRecord>, options: ResampleOptions): SystemSummary {
  const [first] = items;
  if (first === undefined) throw new RangeError('a system without items');
  const over = (pick: (item: ItemRecord) => number): number => mean(items.map(pick));
  const defined = (pick: (item: ItemRecord) => number | null): number[] => items.map(pick).filter((value) => value !== null);
  const overDefined = (pick: (item: ItemRecord) => number | null): number | null => meanOrNull(defined(pick));
  const sum = (pick: (item: ItemRecord) => number): number => items.reduce((total, item) => total + pick(item), 0);
  const steps = sum(({ cost }) => cost.llmCalls + cost.searches);
  const quotes = sum(({ scores }) => scores.quotes);
  const answered = items.filter((item) => item.error === null);
  const supports = defined2(items, ({ scores }) => scores.support);
  const plans = defined2(items, ({ scores }) => scores.plan);
  const over2 = <T,>(rows: readonly T[], pick: (row: T) => number): number => mean(rows.map(pick));
  const seeds = [...new Set(items.map(({ seed }) => seed))];
  const pairs = items.flatMap((item) => {
    const twin = closedBook.get(twinKey(item));
    return twin === undefined || item.method === 'direct' ? [] : [{ searched: item.cost.searches > 0, closedBookRight: twin.scores.em === 1 }];
  });
  const orders = items.flatMap(({ scores }) => scores.obeyed ?? []);
  const { dataset, method, llm, corpus, setting } = first;
  return {
    dataset, method, llm, corpus, setting,
    n: items.length,
    questions: new Set(items.map(({ qid }) => qid)).size,
    seeds,
    failed: items.length - answered.length,
    em: over(({ scores }) => scores.em),
    f1: over(({ scores }) => scores.f1),
    acc: over(({ scores }) => scores.acc),
    accSubstring: over(({ scores }) => scores.accSubstring),
    emFolded: over(({ scores }) => scores.emFolded),
    answerWords: over(({ scores }) => scores.words),
    silent: answered.length === 0 ? 0 : answered.filter((item) => item.scores.words === 0).length / answered.length,
    supportRecall: overDefined(({ scores }) => scores.trajectory),
    supportRecall5: overDefined(({ scores }) => scores.trajectory5),
    allSupport: overDefined(({ scores }) => scores.allTrajectory),
    recall5: overDefined(({ scores }) => scores.recall5),
    recall10: overDefined(({ scores }) => scores.recall10),
    allSupport5: overDefined(({ scores }) => scores.all5),
    allSupport10: overDefined(({ scores }) => scores.all10),
    answerHit5: overDefined(({ scores }) => scores.hit5),
    curatedRecall: overDefined(({ scores }) => scores.curated),
    foundButDropped: overDefined(({ scores }) => scores.dropped),
    quoteValidity: quotes === 0 ? null : sum(({ scores }) => (scores.quoteValidity ?? 0) * scores.quotes) / quotes,
    quotes: over(({ scores }) => scores.quotes),
    citations: over(({ scores }) => scores.citations),
    citedSentences: overDefined(({ scores }) => scores.citedSentences),
    supportedSentences: overDefined(({ scores }) => scores.supportedSentences),
    repetition: overDefined(({ scores }) => scores.repetition),
    novelty: overDefined(({ scores }) => scores.novelty),
    llmCalls: over(({ cost }) => cost.llmCalls),
    promptTokens: over(({ cost }) => cost.promptTokens),
    cachedTokens: sum(({ cost }) => cost.cachedTokens) / Math.max(1, sum(({ cost }) => cost.promptTokens)),
    outputTokens: over(({ cost }) => cost.outTokens),
    searches: over(({ cost }) => cost.searches),
    secondsPerQuestion: over(({ cost }) => cost.wallMs / 1000),
    overheadMsPerStep: steps === 0 ? null : sum(({ cost }) => cost.overheadMs) / steps,
    citationRecall: overDefined(({ scores }) => scores.citationRecall),
    grounded: overDefined(({ scores }) => scores.grounded),
    ndcg10: overDefined(({ scores }) => scores.ndcg10),
    mrr: overDefined(({ scores }) => scores.mrr),
    below5: overDefined(({ scores }) => scores.below5),
    support: supports.length === 0 ? null : {
      n: supports.length, spEm: over2(supports, (row) => row.spEm), spF1: over2(supports, (row) => row.spF1), jointEm: over2(supports,
        (row) => row.jointEm), jointF1: over2(supports, (row) => row.jointF1),
    },
    plans: plans.length === 0 ? null : {
      n: plans.length, soft: over2(plans, (row) => row.soft), hard: over2(plans, (row) => row.hard), edgeF1: over2(plans, (row) => row.edgeF1), valid: over2(plans,
        (row) => (row.valid ? 1 : 0)),
      countError: over2(plans, (row) => row.countError), countErrorAbsolute: over2(plans, (row) => Math.abs(row.countError)),
    },
    stepAnswers: meanOrNull(items.flatMap(({ scores }) => scores.stepAnswers)),
    ctar: overDefined(({ scores }) => scores.ctar),
    moves: total(items.map(({ scores }) => scores.moves)),
    uniquePassages: over(({ scores }) => scores.uniquePassages),
    searchEfficiency: searchEfficiency(items.map(({ scores, cost }) => ({ f1: scores.f1, searches: cost.searches }))),
    searchQuality: searchQuality(items.filter(({ scores }) => scores.trajectory !== null).map(({ scores }) => ({ isRight: scores.em === 1, good: scores.goodQueries }))),
    costAwareF1: over(({ scores }) => scores.caf),
    gatedF1: over(({ scores }) => gatedF1(scores.f1, scores.quoteValidity)),
    selfKnowledge: selfKnowledge(pairs),
    budget: budgetCurve(items.map(({ scores, cost }) => ({ score: scores.em, searches: cost.searches })),
      Math.min(12, Math.max(...items.map(({ cost }) => cost.searches)))),
    bySearch: searchCurve(items),
    failures: counts(items.map(({ scores }) => scores.failure)),
    droppedQuestions: items.filter(({ scores }) => (scores.dropped ?? 0) > 0).length,
    obeyed: orders.length === 0 ? null : { orders: orders.length, followed: orders.filter(Boolean).length },
    overSeeds: overSeeds(items, seeds),
    stops: counts(items.map((item) => item.stop)),
    errors: counts(items.flatMap((item) => (item.error === null ? [] : [item.error.code]))),
    intervals: {
      em: bootstrapMean(items.map(({ scores }) => scores.em), options),
      f1: bootstrapMean(items.map(({ scores }) => scores.f1), options),
      acc: bootstrapMean(items.map(({ scores }) => scores.acc), options),
      supportRecall: bootstrapMean(defined(({ scores }) => scores.trajectory), options),
      secondsPerQuestion: bootstrapMean(items.map(({ cost }) => cost.wallMs / 1000), options),
    },
    emWilson: items.length < 50 ? wilson(sum(({ scores }) => scores.em), items.length) : null,
    byType: groups(items, (item) => item.type, forGroups(options)),
    bySelection: groups(items, (item) => item.selection, forGroups(options)),
    byHops: groups(items, (item) => (item.hops === null ? null : String(item.hops)), forGroups(options)),
  };
}

/** Groups are many and small. */
function forGroups(options: ResampleOptions): ResampleOptions {
  return { ...options, resamples: Math.min(2000, options.resamples ?? defaultResamples) };
}

function groups(items: readonly ItemRecord[], keyOf: (item: ItemRecord) => string | null, options: ResampleOptions): Record<string, GroupSummary> {
  const byKey = new Map<string, ItemRecord[]>();
  for (const item of items) {
    const key = keyOf(item);
    if (key !== null) byKey.set(key, [...(byKey.get(key) ?? []), item]);
  }
  return Object.fromEntries(
    [...byKey].sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, own]) => [
      key,
      {
        n: own.length,
        em: mean(own.map(({ scores }) => scores.em)),
        f1: mean(own.map(({ scores }) => scores.f1)),
        acc: mean(own.map(({ scores }) => scores.acc)),
        supportRecall: meanOrNull(own.map(({ scores }) => scores.trajectory).filter((value) => value !== null)),
        allSupport: meanOrNull(own.map(({ scores }) => scores.allTrajectory).filter((value) => value !== null)),
        intervals: {
          em: bootstrapMean(own.map(({ scores }) => scores.em), options),
          f1: bootstrapMean(own.map(({ scores }) => scores.f1), options),
        },
      },
    ]),
  );
}

function defined2<T>(items: readonly ItemRecord[], pick: (item: ItemRecord) => T | null): T[] {
  return items.map(pick).filter((value) => value !== null);
}

function total(rows: readonly Readonly<Record<string, number>>[]): Record<string, number> {
  const sums: Record<string, number> = {};
  for (const row of rows) for (const [key, value] of Object.entries(row)) sums[key] = (sums[key] ?? 0) + value;
  return sums;
}

function searchCurve(items: readonly ItemRecord[]): SystemSummary['bySearch'] {
  const most = Math.min(12, Math.max(0, ...items.map(({ scores }) => scores.bySearch.length)));
  return Array.from({ length: most }, (_, i) => {
    const recalls = items.filter(({ scores }) => scores.bySearch.length > 0).map(({ scores }) => scores.bySearch[Math.min(i, scores.bySearch.length - 1)] ?? 0);
    const made = items.filter(({ scores }) => scores.bySearch.length > i);
    return {
      search: i + 1, n: made.length, supportRecall: mean(recalls), novelty: mean(made.map(({ scores }) => scores.noveltyBySearch[i] ?? 0)),
      reward: mean(made.map(({ scores }) => scores.steps[i]?.reward ?? 0)),
    };
  });
}

function overSeeds(items: readonly ItemRecord[], seeds: readonly number[]): SystemSummary['overSeeds'] {
  if (seeds.length < 2) return null;
  const byQuestion = new Map<string, number[]>();
  for (const item of items) byQuestion.set(item.qid, [...(byQuestion.get(item.qid) ?? []), item.scores.em]);
  const full = [...byQuestion.values()].filter((values) => values.length === seeds.length);
  if (full.length === 0) return null;
  return {
    n: seeds.length,
    emSd: standardDeviation(seeds.map((seed) => mean(items.filter((item) => item.seed === seed).map(({ scores }) => scores.em)))),
    avg: mean(full.map(mean)),
    max: mean(full.map((values) => Math.max(...values))),
    pass: seeds.map((_, i) => ({ k: i + 1, value: mean(full.map((values) => passAtK(values.length, values.reduce((sum, value) => sum + value, 0), i + 1))) })),
  };
}

function pairsOf(a: readonly ItemRecord[], b: readonly ItemRecord[]): (readonly [ItemRecord, ItemRecord])[] {
  const ofB = new Map(b.map((item) => [JSON.stringify([item.seed, item.qid]), item]));
  return a.flatMap((item) => {
    const other = ofB.get(JSON.stringify([item.seed, item.qid]));
    return other === undefined ? [] : [[item, other] as const];
  });
}

/** Two lists of items on the questions and seeds that both have. */
export function compareItems(a: readonly ItemRecord[], b: readonly ItemRecord[], options: ResampleOptions = {}): Omit<Comparison, 'a' | 'b'> {
  const pairs = pairsOf(a, b);
  const onlyA = pairs.filter(([x, y]) => x.scores.em > y.scores.em).length;
  const onlyB = pairs.filter(([x, y]) => x.scores.em < y.scores.em).length;
  const f1A = pairs.map(([x]) => x.scores.f1);
  const f1B = pairs.map(([, y]) => y.scores.f1);
  return {
    n: pairs.length,
    em: { difference: pairedBootstrap(pairs.map(([x]) => x.scores.em), pairs.map(([, y]) => y.scores.em), options), onlyA, onlyB,
      mcnemar: mcNemarExact(onlyA, onlyB), holm: 1 },
    f1: { difference: pairedBootstrap(f1A, f1B, options), permutation: pairedPermutation(f1A, f1B, options), wilcoxon: wilcoxonSignedRank(f1A, f1B)?.p ?? null, holm: 1 },
  };
}

function compareAll(systems: readonly System[], options: ResampleOptions): Comparison[] {
  return [...new Set(systems.map(({ dataset }) => dataset))].flatMap((dataset) => {
    const [first, ...others] = systems.filter((system) => system.dataset === dataset);
    if (first === undefined) return [];
    const raw = others.map((other): Comparison => ({ a: first.label, b: other.label, ...compareItems(first.items, other.items, options) }));
    const holmEm = holm(raw.map((row) => row.em.mcnemar));
    const holmF1 = holm(raw.map((row) => row.f1.permutation));
    return raw.map((row, i) => ({ ...row, em: { ...row.em, holm: holmEm[i]?.adjusted ?? 1 }, f1: { ...row.f1, holm: holmF1[i]?.adjusted ?? 1 } }));
  });
}

function gapsOf(systems: readonly System[], options: ResampleOptions): Gap[] {
  return systems.flatMap((system) => {
    const base = systems.find(
      (other) => other !== system && other.setting === 'default' && other.method === system.method && other.llm === system.llm &&
        other.corpus === system.corpus && other.dataset === system.dataset,
    );
    if (base === undefined) return [];
    const pairs = pairsOf(system.items, base.items);
    if (pairs.length === 0) return [];
    const overlaps = pairs.flatMap(([item, other]) => {
      const [a, b] = [firstIds(item), firstIds(other)];
      return a === null || b === null ? [] : [overlapOf(a, b)];
    });
    return [{
      system: system.label, base: base.label, setting: system.setting, n: pairs.length,
      em: pairedBootstrap(pairs.map(([item]) => item.scores.em), pairs.map(([, item]) => item.scores.em), options),
      f1: pairedBootstrap(pairs.map(([item]) => item.scores.f1), pairs.map(([, item]) => item.scores.f1), options),
      notFound: mean(pairs.map(([item]) => (item.prediction.trim() === '' && item.error === null ? 1 : 0))),
      overlap: meanOrNull(overlaps),
      changed: mean(pairs.map(([item, other]) => (answerTokens(item.prediction).join(' ') === answerTokens(other.prediction).join(' ') ? 0 : 1))),
    }];
  });
}

function firstIds(item: ItemRecord): readonly string[] | null {
  const step = item.steps.find((other) => other.kind === 'search');
  return step === undefined ? null : step.docs.slice(0, 10).map(({ id }) => id);
}

/** The intervals that go into a run record. */
export function aggregatesOf(summary: SystemSummary): RunRecord['agg'] {
  return summary.intervals;
}

/** The one line that a benchmark run ends with. */
export function summaryLine(summary: Summary): string {
  const rows = Object.entries(summary.systems).map(([label, row]) => [
    label,
    {
      n: row.n, em: short(row.em), f1: short(row.f1), acc: short(row.acc), supportRecall: short(row.supportRecall), llmCalls: short(row.llmCalls),
      promptTokens: short(row.promptTokens), searches: short(row.searches), secondsPerQuestion: short(row.secondsPerQuestion),
    },
  ]);
  return JSON.stringify({ systems: Object.fromEntries(rows) as Record<string, unknown> });
}

function short(value: number | null): number | null {
  return value === null ? null : Number(value.toFixed(4));
}

function meanOrNull(values: readonly number[]): number | null {
  return values.length === 0 ? null : mean(values);
}

function counts(values: readonly string[]): Record<string, number> {
  const result: Record<string, number> = {};
  for (const value of values) result[value] = (result[value] ?? 0) + 1;
  return result;
}
