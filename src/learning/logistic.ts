/**
 * Weighted logistic regression by gradient descent: the model behind the passage selector and the search gate. Features are standardised with the training
 * examples' mean and deviation, which are part of the model. Pure and deterministic: full batches from zero.
 */
import * as v from 'valibot';
import { AppError } from '../errors.ts';

export interface LogisticModel {
  readonly features: readonly string[];
  readonly weights: readonly number[];
  readonly bias: number;
  readonly means: readonly number[];
  /** Standard deviations; 1 for a feature that never changes. */
  readonly scales: readonly number[];
}

export interface LogisticExample {
  readonly x: readonly number[];
  readonly y: 0 | 1;
  readonly weight: number;
}

export interface LogisticOptions {
  readonly epochs: number;
  readonly rate: number;
  /** L2 penalty ½·decay·|w|² beside the mean loss; the bias is free. */
  readonly decay: number;
}

const logisticDefaults: LogisticOptions = { epochs: 300, rate: 0.5, decay: 1e-3 };

/** P(y = 1). */
export function probability(model: LogisticModel, x: readonly number[]): number {
  return 1 / (1 + Math.exp(-logit(model, x)));
}

export function logit(model: LogisticModel, x: readonly number[]): number {
  return model.weights.reduce((sum, weight, i) => sum + (weight * ((x[i] ?? 0) - (model.means[i] ?? 0))) / (model.scales[i] ?? 1), model.bias);
}

/** Weighted mean of −log P(y), in nats. */
export function logLoss(model: LogisticModel, examples: readonly LogisticExample[]): number {
  const total = examples.reduce((sum, example) => sum + example.weight, 0) || 1;
  return examples.reduce((sum, { x, y, weight }) => sum + weight * softplus(y === 1 ? -logit(model, x) : logit(model, x)), 0) / total;
}

/** Loss with the penalty, and its gradient by weight and bias. */
export function logisticGradient(
  model: LogisticModel, examples: readonly LogisticExample[], decay: number,
): { readonly loss: number; readonly weights: number[]; readonly bias: number } {
  const total = examples.reduce((sum, example) => sum + example.weight, 0) || 1;
  const weights = model.weights.map((weight) => decay * weight);
  let bias = 0;
  for (const { x, y, weight } of examples) {
    const g = (weight * (probability(model, x) - y)) / total;
    bias += g;
    for (let i = 0; i < weights.length; i++) weights[i] = (weights[i] ?? 0) + (g * ((x[i] ?? 0) - (model.means[i] ?? 0))) / (model.scales[i] ?? 1);
  }
  return { loss: logLoss(model, examples) + (decay / 2) * model.weights.reduce((sum, weight) => sum + weight * weight, 0), weights, bias };
}

/** Without examples the model says ½. */
export function trainLogistic(
  features: readonly string[], examples: readonly LogisticExample[], options: LogisticOptions = logisticDefaults,
): { readonly model: LogisticModel; readonly losses: readonly number[] } {
  const total = examples.reduce((sum, example) => sum + example.weight, 0) || 1;
  const means = features.map((_, i) => examples.reduce((sum, { x, weight }) => sum + weight * (x[i] ?? 0), 0) / total);
  const scales = features.map((_, i) => {
    const mean = means[i] ?? 0;
    const deviation = Math.sqrt(examples.reduce((sum, { x, weight }) => sum + weight * ((x[i] ?? 0) - mean) ** 2, 0) / total);
    // Rounding leaves a feature that never changes a deviation that is not quite 0.
    return deviation > 1e-9 * Math.max(1, Math.abs(mean)) ? deviation : 1;
  });
  let model: LogisticModel = { features, weights: features.map(() => 0), bias: 0, means, scales };
  const losses: number[] = [];
  for (let epoch = 0; epoch < options.epochs && examples.length > 0; epoch++) {
    const gradient = logisticGradient(model, examples, options.decay);
    if (!Number.isFinite(gradient.loss)) throw new AppError('engine/not-finite', { what: 'the training of a logistic model' });
    losses.push(gradient.loss);
    model = { ...model, bias: model.bias - options.rate * gradient.bias, weights: model.weights.map((weight, i) => weight - options.rate * (gradient.weights[i] ?? 0)) };
  }
  return { model, losses };
}

function softplus(z: number): number {
  return Math.max(z, 0) + Math.log1p(Math.exp(-Math.abs(z)));
}

const finite = v.pipe(v.number(), v.finite());
const modelSchema = v.pipe(
  v.object({ features: v.array(v.string()), weights: v.array(finite), bias: finite, means: v.array(finite), scales: v.array(v.pipe(finite, v.gtValue(0))) }),
  v.check(({ features, weights, means, scales }) => [weights, means, scales].every((list) => list.length === features.length), 'sizes that do not agree'),
);

/** Decodes what is stored and compares its features; throws `learning/bad-data`. */
export function decodeLogistic(value: unknown, features: readonly string[], what: string): LogisticModel {
  const parsed = v.safeParse(modelSchema, value);
  const reason = parsed.success ? (parsed.output.features.join() === features.join() ? null : 'it was made for other features') : parsed.issues[0].message;
  if (parsed.success && reason === null) return parsed.output;
  throw new AppError('learning/bad-data', { what, reason: reason ?? 'unreadable' });
}
