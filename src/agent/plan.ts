/**
 * The plan graph (METHODS §1.2): validation, repair without a model, ready nodes, substitution of earlier answers. Pure.
 * A plan that leaves this file is valid: ids are 1…n, every `#j` points backwards, `deps` equals the placeholders.
 */
import { AppError } from '../errors.ts';
import type { AnswerType, NodeStatus, Plan, PlanNode } from './events.ts';

/** METHODS §13: sub-questions. */
export const maxSubQuestions = 6;
const maxNodeCharacters = 400;

const placeholder = /#(\d{1,3})/g;

export function placeholdersOf(text: string): number[] {
  return [...new Set([...text.matchAll(placeholder)].map((match) => Number(match[1])))].sort((a, b) => a - b);
}

/** Comparison of wordings: case, accents, punctuation and articles do not count. */
export function wordsOf(text: string): string[] {
  return text
    .normalize('NFKD')
    .replace(/\p{M}/gu, '')
    .toLowerCase()
    .split(/[^\p{L}\p{N}]+/u)
    .filter((word) => word !== '' && word !== 'a' && word !== 'an' && word !== 'the');
}

// Pronouns in lower case only: a title may begin with one.
const pronounSubject = /^(?:[Ww]ho|[Ww]hat|[Ww]hen|[Ww]here|[Ww]hich|[Hh]ow|[Ii]s|[Ww]as|[Dd]id|[Dd]oes|[Dd]o|[Aa]re|[Ww]ere)\b[^#]*\b(?:he|she|it|they|him|her|his|their|its|this person|that person)\b/;

/** All the faults of a plan against its question; empty means valid. */
export function faultsOf(plan: Plan, question: string): string[] {
  const faults: string[] = [];
  const { nodes, final } = plan;
  if (nodes.length === 0) return ['the plan has no steps'];
  if (nodes.length > maxSubQuestions) faults.push(`the plan has ${nodes.length} steps, the limit is ${maxSubQuestions}`);
  const asked = wordsOf(question).join(' ');
  const seen = new Set<string>();
  const needed = new Set(final.deps);
  nodes.forEach((node, index) => {
    const id = index + 1;
    if (node.id !== id) faults.push(`step ${id} carries the number ${node.id}`);
    const text = node.q.trim();
    if (text === '') faults.push(`step ${id} is empty`);
    if (text.length > maxNodeCharacters) faults.push(`step ${id} is too long`);
    const refs = placeholdersOf(text);
    for (const ref of refs) {
      if (ref < 1 || ref >= id) faults.push(`step ${id} refers to #${ref}, which does not come before it`);
      needed.add(ref);
    }
    if (refs.length !== node.deps.length || refs.some((ref, i) => ref !== [...node.deps].sort((a, b) => a - b)[i])) {
      faults.push(`the dependencies of step ${id} are not the steps it refers to`);
    }
    const words = wordsOf(text).join(' ');
    if (nodes.length > 1 && words === asked) faults.push(`step ${id} only repeats the question`);
    if (words !== '' && seen.has(words)) faults.push(`step ${id} repeats an earlier step`);
    seen.add(words);
    if (refs.length === 0 && nodes.length > 1 && pronounSubject.test(text)) faults.push(`step ${id} cannot be understood on its own`);
  });
  if (final.deps.length === 0) faults.push('the answer depends on no step');
  for (const dep of final.deps) if (dep < 1 || dep > nodes.length) faults.push(`the answer depends on step ${dep}, which does not exist`);
  for (const node of nodes) if (!needed.has(node.id)) faults.push(`step ${node.id} is not used`);
  return faults;
}

/** Throws `run/plan-invalid` with the first fault. */
export function assertValid(plan: Plan, question: string): void {
  const [fault] = faultsOf(plan, question);
  if (fault !== undefined) throw new AppError('run/plan-invalid', { reason: fault });
}

/** A plan from the texts of its steps: numbers, dependencies, answer types and final dependencies are derived, not believed. */
export function planFromSteps(written: readonly string[], question: string, source: Plan['source']): Plan {
  const steps = withoutComparingStep(written);
  const nodes: PlanNode[] = steps.map((q, index) => ({ id: index + 1, q: q.trim(), deps: placeholdersOf(q), answerType: answerTypeOf(q) }));
  const used = new Set(nodes.flatMap((node) => node.deps));
  const sinks = nodes.filter((node) => !used.has(node.id)).map((node) => node.id);
  return { nodes, final: { deps: sinks, op: sinks.length > 1 || isComparison(question) ? 'compare' : 'answer' }, source };
}

/** A last step that only sets earlier answers against each other ("Is #1 older than #2?") is no search: the composition does it. */
function withoutComparingStep(steps: readonly string[]): readonly string[] {
  const last = steps.at(-1) ?? '';
  const compares = placeholdersOf(last).length >= 2 && (isComparison(last) || answerTypeOf(last) === 'yes-no');
  return compares && steps.length > 2 ? steps.slice(0, -1) : steps;
}

/**
 * A plan out of one usable step: that step first, then the question itself with what was found beside it. For planners that find the first step and miss the
 * rest. null where no step is a part of the question that names something of it.
 */
export function hintedPlan(steps: readonly string[], question: string, source: Plan['source']): Plan | null {
  const asked = new Set(wordsOf(question));
  const wanted = answerTypeOf(question);
  const usable = steps.filter((step) => {
    const words = wordsOf(step);
    const known = words.filter((word) => asked.has(word) || [...asked].some((other) => word.length > 4 && other.startsWith(word.slice(0, 4)))).length;
    return placeholdersOf(step).length === 0 && words.length >= 3 && words.length < asked.size && known * 10 >= words.length * 6 && inventedEntities(step, question).length === 0 && entitiesOf(` x ${step.charAt(0).toLowerCase()}${step.slice(1)}`).length > 0;
  });
  const first = usable.find((step) => answerTypeOf(step) !== wanted) ?? usable[0];
  if (first === undefined) return null;
  const plan = planFromSteps([first, `${question.replace(/[\s?.]+$/, '')} (#1)?`], question, source);
  return faultsOf(plan, question).length === 0 && plan.nodes.length === 2 ? plan : null;
}

export function singleStep(question: string, source: 'router' | 'single-step'): Plan {
  return { nodes: [{ id: 1, q: question, deps: [], answerType: answerTypeOf(question) }], final: { deps: [1], op: 'answer' }, source };
}

/**
 * The mechanical rung of the repair ladder (METHODS §8.3): strips numbering, drops empty and repeated steps and steps that only repeat the question,
 * renumbers references over what was dropped, turns a reference to a missing or later step into one to the step before, and cuts to the limit.
 */
export function fixSteps(steps: readonly string[], question: string): string[] {
  const asked = wordsOf(question).join(' ');
  const kept: string[] = [];
  const renumbered = new Map<number, number>();
  const seen = new Map<string, number>();
  steps.forEach((raw, index) => {
    const text = raw.replace(/^\s*(?:step\s*)?\d{1,2}\s*[.):]\s*/i, '').trim();
    const words = wordsOf(text).join(' ');
    const earlier = seen.get(words);
    if (words === '' || earlier !== undefined || (steps.length > 1 && words === asked)) {
      renumbered.set(index + 1, earlier ?? Math.max(1, kept.length));
      return;
    }
    if (kept.length === maxSubQuestions) return;
    const fixed = text.slice(0, maxNodeCharacters).replace(placeholder, (_, digits: string) => {
      const wanted = renumbered.get(Number(digits));
      if (wanted !== undefined && wanted <= kept.length && wanted >= 1) return `#${wanted}`;
      return kept.length > 0 ? `#${kept.length}` : '';
    });
    kept.push(fixed.trim());
    seen.set(words, kept.length);
    renumbered.set(index + 1, kept.length);
  });
  return kept;
}

/** Names, numbers and quoted strings of a text: what a plan may talk about. */
export function entitiesOf(text: string): string[] {
  const found: string[] = [];
  for (const match of text.matchAll(/["“”«»]([^"“”«»]{2,80})["“”«»]/gu)) found.push(match[1] ?? '');
  const bare = text.replace(/["“”«»][^"“”«»]{2,80}["“”«»]/gu, ' ');
  for (const match of bare.matchAll(/(?<![.!?]\s)(?<!^)\b\p{Lu}[\p{L}\p{M}\p{N}'’.-]*(?:\s+(?:(?:of|the|de|la|le|van|von|der|di|da|du)\s+){0,2}\p{Lu}[\p{L}\p{M}\p{N}'’.-]*)*/gu)) {
    found.push(match[0].replace(/[.'’]+$/u, ''));
  }
  for (const match of bare.matchAll(/\b\d{3,4}\b/g)) found.push(match[0]);
  return [...new Set(found.map((entity) => entity.trim()).filter((entity) => entity.length > 1))];
}

/** Names in a step that stand nowhere in the question: invented by the planner. */
export function inventedEntities(step: string, question: string): string[] {
  const known = new Set(wordsOf(question));
  return entitiesOf(step).filter((entity) => wordsOf(entity).some((word) => word.length > 2 && !known.has(word)));
}

const comparisonWords =
  /\b(?:both|same|older|younger|earlier|later|first|last|longer|shorter|larger|smaller|bigger|taller|higher|lower|more|fewer|less|oldest|youngest|earliest|latest|longest|largest|smallest|highest|tallest|deeper|heavier|before|after)\b/i;

/** Two things set against each other: the final answer compares what the steps found. */
export function isComparison(question: string): boolean {
  return (/\b(?:or|and)\b/i.test(question) && comparisonWords.test(question)) || /^(?:are|were|do|did|is|was|have|has)\b.*\b(?:and|both|same)\b/i.test(question.trim());
}

/**
 * The router before planning (METHODS §8.3): true where one look-up should do. Errs towards planning: a needless plan costs a call, a missing one the answer.
 */
export function looksOneHop(question: string): boolean {
  if (isComparison(question)) return false;
  // "the country where X lies", "the land formerly known as X": something unnamed has to be found first.
  if (/\bthe (?:[\p{L}-]+ ){1,3}(?:where|that|which|who|whose|containing|formerly|known as|in which)\b/u.test(question)) return false;
  const nested = (question.match(/\b(?:of|by|whose|who|which|that|where|in which|'s|’s)\b|['’]s\b/gi) ?? []).length;
  return wordsOf(question).length <= 9 && entitiesOf(question).length <= 1 && nested <= 1;
}

/** The type that the wording of a question asks for; 'other' where it does not tell. */
export function answerTypeOf(question: string): AnswerType {
  const q = question.trim().toLowerCase();
  if (/^(?:is|are|was|were|do|does|did|has|have|had|can|could|will|would)\b/.test(q)) return 'yes-no';
  if (/\bhow (?:many|much|long|tall|high|old|far|large|deep|wide|big)\b|\bwhat (?:number|percentage|share|population)\b/.test(q)) return 'number';
  if (/^when\b|\b(?:what|which|in what|in which) (?:year|date|day|month|century|decade)\b/.test(q)) return 'date';
  if (/^(?:who|whom|whose)\b|\bwhich (?:person|actor|actress|director|author|writer|composer|painter|king|queen|scientist|engineer|explorer)\b/.test(q)) return 'person';
  if (/^where\b|\b(?:what|which) (?:country|city|town|village|place|state|river|sea|lake|continent|region|county|island|mountain|ocean|capital)\b/.test(q)) return 'place';
  return 'other';
}

/** Nodes whose dependencies are all settled and that are open themselves, in plan order. */
export function readyNodes(plan: Plan, status: ReadonlyMap<number, NodeStatus>): PlanNode[] {
  const settled = (id: number): boolean => {
    const s = status.get(id) ?? 'open';
    return s !== 'open' && s !== 'running';
  };
  return plan.nodes.filter((node) => (status.get(node.id) ?? 'open') === 'open' && node.deps.every(settled));
}

/**
 * Replaces every `#j` by the short answer of node j. A node without an answer is put in as its own wording in brackets, and `degraded` tells so (METHODS §1.2).
 * Whole numbers are matched, so `#12` never becomes the answer of `#1`.
 */
export function substitute(node: PlanNode, plan: Plan, answers: ReadonlyMap<number, string>): { readonly text: string; readonly degraded: boolean } {
  let degraded = false;
  const text = node.q.replace(placeholder, (_, digits: string) => {
    const answer = answers.get(Number(digits));
    if (answer !== undefined && answer !== '') return answer;
    degraded = true;
    const source = plan.nodes.find((other) => other.id === Number(digits));
    return source === undefined ? '' : `[${source.q.replace(/^(?:who|what|which|where|when)\s+(?:is|was|are|were|did)?\s*/i, '').replace(/[?#]/g, '')}]`;
  });
  return { text, degraded };
}
