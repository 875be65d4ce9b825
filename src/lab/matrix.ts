/**
 * The plan of a benchmark run: methods × models × corpora × settings × seeds over question sets, its decoder, and its cells. Pure.
 * A configuration is JSON or the default export of a TypeScript file; everything in it can be told by flags as well.
 */
import * as v from 'valibot';
import type { AgentSettings } from '../agent/settings.ts';
import { AppError } from '../errors.ts';
import { experimentSchema, noiseShare, type ExperimentSpec } from './experiment.ts';

const name = v.pipe(v.string(), v.minLength(1), v.maxLength(200));
const count = v.pipe(v.number(), v.integer(), v.minValue(0));
const positive = v.pipe(v.number(), v.integer(), v.minValue(1));

/** Limits of the loop that a setting may change (`AgentSettings`). */
export const agentSettingsSchema = v.partial(
  v.strictObject({
    depths: v.pipe(v.array(positive), v.minLength(1)),
    retrieve: positive,
    maxLlmCalls: count,
    maxSearches: count,
    maxWallMs: positive,
    evidenceTokens: positive,
    wholeReading: v.picklist(['passages', 'sentences']),
    temperature: v.pipe(v.number(), v.minValue(0), v.maxValue(2)),
    dense: v.boolean(),
    links: v.boolean(),
    byCode: v.boolean(),
    samples: positive,
    sampleTemperature: v.pipe(v.number(), v.minValue(0), v.maxValue(2)),
    alpha: v.pipe(v.number(), v.minValue(0), v.maxValue(1)),
    tau: v.pipe(v.number(), v.minValue(0.01)),
    keepPrompts: v.boolean(),
  }),
);

const settingSchema = v.strictObject({ name, agent: v.optional(agentSettingsSchema, {}), ...experimentSchema.entries });

const questionSetSchema = v.strictObject({
  /** A file, or `demo`. */
  file: name,
  dataset: v.optional(name),
  split: v.optional(name),
});

const matrixSchema = v.strictObject({
  questions: v.pipe(v.array(questionSetSchema), v.minLength(1)),
  methods: v.pipe(v.array(name), v.minLength(1)),
  models: v.pipe(v.array(name), v.minLength(1)),
  /** Passages files, shard folders, `union`, `context`, `demo`, `library` or `library/ID`. */
  corpora: v.pipe(v.array(name), v.minLength(1)),
  settings: v.optional(v.array(settingSchema), []),
  seeds: v.optional(v.pipe(v.array(count), v.minLength(1)), [13]),
  embedder: v.optional(name, 'none'),
  limit: v.optional(positive),
  /** Seed of the sample of questions. */
  sample: v.optional(count, 13),
  timeoutSeconds: v.optional(positive, 1800),
  /** A question that used up more tokens (prompts and outputs) is stopped. */
  maxTokens: v.optional(positive),
  pages: v.optional(positive, 1),
  /** Model calls made before are taken from .cache/completions; then times say nothing. */
  cache: v.optional(v.boolean(), false),
});
export type Matrix = v.InferOutput<typeof matrixSchema>;

/** What one run over a question is made with, besides the question. */
export interface Setting {
  readonly name: string;
  readonly agent: Partial<AgentSettings>;
  readonly experiment: ExperimentSpec;
}

export interface Cell {
  readonly method: string;
  /** As the command line names it. */
  readonly llm: string;
  /** Label of the corpus: name and content hash. */
  readonly corpus: string;
  readonly setting: Setting;
  readonly seed: number;
}

export const plainSetting: Setting = { name: 'default', agent: {}, experiment: {} };

/** Throws `lab/bad-config` that names the field. `file`: for the message. */
export function decodeMatrix(value: unknown, file: string): Matrix {
  const parsed = v.safeParse(matrixSchema, value);
  if (!parsed.success) {
    const reason = parsed.issues.map((issue) => `${v.getDotPath(issue) ?? 'the file'}: ${issue.message}`).slice(0, 4).join('; ');
    throw new AppError('lab/bad-config', { file, reason });
  }
  const { output } = parsed;
  for (const [field, names] of Object.entries({
    methods: output.methods, models: output.models, corpora: output.corpora, seeds: output.seeds.map(String), settings: output.settings.map((setting) => setting.name),
  })) {
    const twice = names.find((item, i) => names.indexOf(item) !== i);
    if (twice !== undefined) throw new AppError('lab/bad-config', { file, reason: `${field}: ${twice} stands there twice` });
  }
  return output;
}

/** The settings of a matrix; none stands for the defaults. */
export function settingsOf(matrix: Pick<Matrix, 'settings'>): Setting[] {
  if (matrix.settings.length === 0) return [plainSetting];
  return matrix.settings.map(({ name: title, agent, ...experiment }) => ({ name: title, agent: withoutUndefined(agent), experiment }));
}

/** Oracle gaps (METHODS §6.6): the default beside its three oracles. */
export const oracleSettings: readonly Setting[] = (['plan', 'answers',
  'passages'] as const).map((oracle) => ({ name: `gold-${oracle}`, agent: {}, experiment: { oracle } }));

/** What a system bears: a noise curve of `levels` steps, two rewordings, orders in passages, missing gold. */
export function robustnessSettings(levels = 3): Setting[] {
  const noise = Array.from({ length: levels }, (_, i) => noiseShare(i + 1, levels));
  return [
    ...noise.map((share): Setting => ({ name: `noise-${share.toFixed(2)}`, agent: {}, experiment: { noise: share } })),
    { name: 'reworded-request', agent: {}, experiment: { paraphrase: 'request' } },
    { name: 'reworded-keywords', agent: {}, experiment: { paraphrase: 'keywords' } },
    { name: 'injected', agent: {}, experiment: { inject: true } },
    { name: 'withheld', agent: {}, experiment: { withhold: true } },
  ];
}

/** Accuracy at a budget (METHODS §6.9), measured: the run may search this often. */
export function budgetSettings(budgets: readonly number[]): Setting[] {
  return budgets.map((maxSearches) => ({ name: `searches-${maxSearches}`, agent: { maxSearches }, experiment: {} }));
}

/** Cells in the order of models, corpora, seeds, settings, methods: what needs the same model stands together. */
export function cellsOf(axes: {
  readonly methods: readonly string[];
  readonly models: readonly string[];
  readonly corpora: readonly string[];
  readonly settings: readonly Setting[];
  readonly seeds: readonly number[];
}): Cell[] {
  return axes.models.flatMap((llm) =>
    axes.corpora.flatMap((corpus) => axes.seeds.flatMap((seed) => axes.settings.flatMap((setting) => axes.methods.map((method) => ({ method, llm, corpus, setting,
      seed }))))),
  );
}

/** The items that share `index` (from 1) of `of` works on: every `of`-th, so that the shares are alike. */
export function shareOf<T>(items: readonly T[], index: number, of: number): T[] {
  return items.filter((_, i) => i % of === index - 1);
}

function withoutUndefined(settings: v.InferOutput<typeof agentSettingsSchema>): Partial<AgentSettings> {
  return Object.fromEntries(Object.entries(settings).filter(([, setting]) => setting !== undefined));
}
