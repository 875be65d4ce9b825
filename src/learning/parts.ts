/**
 * The learned parts as they are stored: versions with their checks, on or off, rolled back or deleted; and what a run gets of them. Pure.
 */
import * as v from 'valibot';
import type { Learned } from '../agent/learned.ts';
import { AppError } from '../errors.ts';
import { adaptQuery, decodeAdapter, type Adapter } from './adapter.ts';
import { chooseExemplars, decodeBank, exemplarMessages, type Exemplar } from './bank.ts';
import { gateFeatures, gateRow, selectorFeatures, selectorRows } from './features.ts';
import { decodeRules, type Rule } from './lessons.ts';
import { decodeLogistic, logit, probability, type LogisticExample, type LogisticModel } from './logistic.ts';
import { checkSchema, type PartCheck, type PartId } from './record.ts';

/** A logistic model with the probability below which no further search is made. */
export interface Gate {
  readonly model: LogisticModel;
  readonly threshold: number;
}

export interface PartValues {
  readonly bank: readonly Exemplar[];
  readonly lessons: readonly Rule[];
  readonly adapter: Adapter;
  readonly selector: LogisticModel;
  readonly gate: Gate;
}

export interface PartVersion<P extends PartId = PartId> {
  readonly value: PartValues[P];
  readonly check: PartCheck;
}

/** Accepted versions, oldest first, and the check of the last refused one. */
export interface StoredPart<P extends PartId = PartId> {
  readonly enabled: boolean;
  readonly versions: readonly PartVersion<P>[];
  readonly refused: PartCheck | null;
}

export type StoredParts = { readonly [P in PartId]: StoredPart<P> };

export const noParts: StoredParts = {
  bank: { enabled: false, versions: [], refused: null },
  lessons: { enabled: false, versions: [], refused: null },
  adapter: { enabled: false, versions: [], refused: null },
  selector: { enabled: false, versions: [], refused: null },
  gate: { enabled: false, versions: [], refused: null },
};

/** Versions kept: the one in use and those it can be rolled back to. */
const keptVersions = 5;

/** A version that passed its check comes into use; one that did not leaves everything as it was. */
export function withVersion<P extends PartId>(part: StoredPart<P>, version: PartVersion<P>): StoredPart<P> {
  if (!version.check.accepted) return { ...part, refused: version.check };
  return { enabled: true, versions: [...part.versions, version].slice(-keptVersions), refused: null };
}

/** Without its latest version; off when none is left. */
export function rolledBack<P extends PartId>(part: StoredPart<P>): StoredPart<P> {
  const versions = part.versions.slice(0, -1);
  return { enabled: part.enabled && versions.length > 0, versions, refused: null };
}

/** Without the rule, in no version either, so that going back does not bring it again; off when no rule is left in use. */
export function withoutRule(part: StoredPart<'lessons'>, text: string): StoredPart<'lessons'> {
  const versions = part.versions.map((version) => ({ ...version, value: version.value.filter((rule) => rule.text !== text) })).filter(({ value }) => value.length > 0);
  return { ...part, enabled: part.enabled && versions.length > 0, versions };
}

/** Throws `learning/not-accepted` for a part without an accepted version. */
export function switched<P extends PartId>(part: StoredPart<P>, name: PartId, on: boolean): StoredPart<P> {
  if (on && part.versions.length === 0) throw new AppError('learning/not-accepted', { part: name });
  return { ...part, enabled: on };
}

/** The value in use, whether switched on or not. */
export function latest<P extends PartId>(part: StoredPart<P>): PartValues[P] | null {
  return part.versions.at(-1)?.value ?? null;
}

/** What the enabled parts give a run. The adapter is not among them: vectors are the searcher's. */
export function learnedOf(values: Partial<Omit<PartValues, 'adapter'>>): Learned {
  const { bank, lessons, selector, gate } = values;
  return {
    ...(bank === undefined ? {} : { exemplars: (call) => exemplarMessages(chooseExemplars(bank, call)) }),
    ...(lessons === undefined ? {} : { rules: lessons.map(({ text }) => text) }),
    ...(selector === undefined ? {} : { passageScores: (question, query, hits) => selectorRows(question, query, hits).map((row) => logit(selector, row)) }),
    ...(gate === undefined
      ? {}
      : {
          searchAgain: (state) => {
            const p = probability(gate.model, gateRow(state));
            return { search: p >= gate.threshold, probability: p };
          },
        }),
  };
}

/** The values that are switched on. */
export function enabledValues(parts: StoredParts): Partial<PartValues> {
  const pick = <P extends PartId>(id: P): Partial<PartValues> => {
    const part: StoredPart<P> = parts[id];
    const value = part.enabled ? latest(part) : null;
    return value === null ? {} : { [id]: value };
  };
  return { ...pick('bank'), ...pick('lessons'), ...pick('adapter'), ...pick('selector'), ...pick('gate') };
}

/** Query vectors of the embedder it was trained for are adapted, others pass. */
export function adapted(adapter: Adapter | null | undefined, embedder: string, query: Float32Array): Float32Array {
  return adapter === null || adapter === undefined || adapter.embedder !== embedder || adapter.dimensions !== query.length ? query : adaptQuery(adapter, query);
}

/** The highest threshold that keeps at least `recall` of the searches that were useful, so that the gate saves searches and loses next to nothing. */
export function gateOf(model: LogisticModel, examples: readonly LogisticExample[], recall = 0.97): Gate {
  const useful = examples.filter(({ y }) => y === 1).map(({ x }) => probability(model, x)).sort((a, b) => a - b);
  return { model, threshold: useful[Math.floor(useful.length * (1 - recall))] ?? 0 };
}

const storedShape = v.object({ enabled: v.boolean(), versions: v.array(v.object({ value: v.unknown(), check: checkSchema })), refused: v.nullable(checkSchema) });

const decoders: { readonly [P in PartId]: (value: unknown) => PartValues[P] } = {
  bank: decodeBank,
  lessons: decodeRules,
  adapter: decodeAdapter,
  selector: (value) => decodeLogistic(value, selectorFeatures, 'the stored passage selector'),
  gate: (value) => {
    const parsed = v.safeParse(v.object({ model: v.unknown(), threshold: v.pipe(v.number(), v.minValue(0), v.maxValue(1)) }), value);
    if (!parsed.success) throw new AppError('learning/bad-data', { what: 'the stored search gate', reason: parsed.issues[0].message });
    return { model: decodeLogistic(parsed.output.model, gateFeatures, 'the stored search gate'), threshold: parsed.output.threshold };
  },
};

/** What is stored of one part; what is missing or cannot be read counts as never learned. */
export function decodePart<P extends PartId>(id: P, stored: unknown): StoredPart<P> {
  const parsed = v.safeParse(storedShape, stored);
  if (!parsed.success) return noParts[id];
  try {
    const versions = parsed.output.versions.map(({ value, check }): PartVersion<P> => ({ value: decoders[id](value), check }));
    return { enabled: parsed.output.enabled && versions.length > 0, versions, refused: parsed.output.refused };
  } catch (error) {
    if (error instanceof AppError) return noParts[id];
    throw error;
  }
}
