/**
 * The record of learning: one JSON value an iteration of expectation and maximisation, written by the page and by `npm run bench -- learn`, read by the report.
 * Owns the shape and its decoder. Pure.
 */
import * as v from 'valibot';
import { AppError } from '../errors.ts';

/**
 * What an M-step may change. `bank`: worked examples; `lessons`: short rules; `adapter`: query vectors; `selector`: order of passages;
 * `gate`: whether one more search is worth it.
 */
export const partIds = ['bank', 'lessons', 'adapter', 'selector', 'gate'] as const;
export type PartId = (typeof partIds)[number];

const number = v.pipe(v.number(), v.finite());
const share = v.pipe(number, v.minValue(0), v.maxValue(1));
const whole = v.pipe(v.number(), v.integer(), v.minValue(0));
const interval = v.tuple([number, number, number]);

const scoresSchema = v.object({
  questions: whole,
  em: share,
  f1: share,
  /** null: no question names its supporting passages. */
  supportRecall: v.nullable(share),
  /** Bootstrap over the questions, of the scores on held-back ones; absent in older records. null: nothing to tell. */
  intervals: v.optional(v.object({ em: v.nullable(interval), f1: v.nullable(interval), supportRecall: v.nullable(interval) })),
});

/**
 * The held-back check of one part. `difference`: paired bootstrap of after − before over the same held-back examples, [mean, low, high], in the unit of `metric`;
 * null where there were too few to tell. A part stays only if `low` is at least `threshold`.
 */
export const checkSchema = v.object({
  part: v.picklist(partIds),
  metric: v.picklist(['f1', 'supportRecall', 'logLoss']),
  /** Where the training signal came from: answers' likelihoods over trajectories, or gold passages (the E-step's degenerate case). */
  supervision: v.picklist(['trajectories', 'gold-passages']),
  trained: whole,
  heldBack: whole,
  before: v.nullable(number),
  after: v.nullable(number),
  difference: v.nullable(interval),
  threshold: number,
  accepted: v.boolean(),
  reason: v.string(),
});

export const iterationSchema = v.object({
  kind: v.literal('iteration'),
  version: v.literal(1),
  /** From 1. */
  iteration: whole,
  model: v.nullable(v.string()),
  method: v.string(),
  dataset: v.string(),
  corpus: v.string(),
  /** Trajectories a question; sharpness of the weights (METHODS §3.2). */
  trajectories: whole,
  alpha: number,
  tau: number,
  seeds: v.array(v.number()),
  /** SHA-256 of the question ids, sorted, one a line. */
  trainIds: v.string(),
  devIds: v.string(),
  train: v.nullable(scoresSchema),
  /** Before the parts of this iteration, and with those that were accepted. */
  devBefore: v.nullable(scoresSchema),
  dev: v.nullable(scoresSchema),
  /** Mean over the questions that were weighted; null without any. */
  meanEss: v.nullable(number),
  /** Bootstrap over the same questions; absent in older records. */
  essInterval: v.optional(v.nullable(interval)),
  meanLogLikelihood: v.nullable(number),
  meanEvidenceGain: v.nullable(number),
  informative: whole,
  scoring: v.picklist(['exact', 'topn', 'verify', 'none']),
  checks: v.array(checkSchema),
  cost: v.object({ llmCalls: whole, promptTokens: whole, outputTokens: whole, wallMs: number }),
});

export type IterationScores = v.InferOutput<typeof scoresSchema>;
export type PartCheck = v.InferOutput<typeof checkSchema>;
export type IterationRecord = v.InferOutput<typeof iterationSchema>;

/** Decodes one value; throws `learning/bad-data`. */
export function decodeIteration(value: unknown, what = 'the record of an iteration'): IterationRecord {
  const parsed = v.safeParse(iterationSchema, value);
  if (parsed.success) return parsed.output;
  throw new AppError('learning/bad-data', { what, reason: parsed.issues.map((issue) => `${v.getDotPath(issue) ?? 'value'}: ${issue.message}`).slice(0, 3).join('; ') });
}

/** The iterations of an `iterations.jsonl`, in order, the last line of each number counting. A torn last line is dropped; another bad line throws `learning/bad-data`. */
export function decodeIterations(text: string): IterationRecord[] {
  const byNumber = new Map<number, IterationRecord>();
  const lines = text.split('\n');
  for (const [i, line] of lines.entries()) {
    if (line.trim() === '') continue;
    let value: unknown;
    try {
      value = JSON.parse(line);
    } catch {
      if (i === lines.length - 1) break;
      throw new AppError('learning/bad-data', { what: `line ${i + 1}`, reason: 'it is not JSON' });
    }
    const record = decodeIteration(value, `line ${i + 1}`);
    byNumber.set(record.iteration, record);
  }
  return [...byNumber.values()].sort((a, b) => a.iteration - b.iteration);
}
