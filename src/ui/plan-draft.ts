/** A plan while the person edits it: texts of steps in order. Pure. References (`#2`) follow their step when steps move or go. */
import type { Plan } from '../agent/events.ts';
import { faultsOf, maxSubQuestions, planFromSteps } from '../agent/plan.ts';

export interface DraftStep {
  /** Stays with the step while it moves; unique in the draft. */
  readonly key: number;
  readonly text: string;
}

export interface PlanDraft {
  readonly steps: readonly DraftStep[];
  readonly nextKey: number;
}

/** A reference whose step was removed. It is no placeholder, so it must be written anew. */
const lost = '#?';

export function draftOf(plan: Plan): PlanDraft {
  return { steps: plan.nodes.map((node, index) => ({ key: index, text: node.q })), nextKey: plan.nodes.length };
}

export function changeStep(draft: PlanDraft, index: number, text: string): PlanDraft {
  return { ...draft, steps: draft.steps.map((step, i) => (i === index ? { ...step, text } : step)) };
}

export function canAdd(draft: PlanDraft): boolean {
  return draft.steps.length < maxSubQuestions;
}

export function addStep(draft: PlanDraft): PlanDraft {
  if (!canAdd(draft)) return draft;
  return { steps: [...draft.steps, { key: draft.nextKey, text: '' }], nextKey: draft.nextKey + 1 };
}

export function removeStep(draft: PlanDraft, index: number): PlanDraft {
  const steps = draft.steps.filter((_, i) => i !== index);
  return { ...draft, steps: renumber(steps, (id) => (id === index + 1 ? null : id > index + 1 ? id - 1 : id)) };
}

/** Swaps a step with its neighbour; `by` is -1 (up) or 1 (down). Out of range: nothing changes. */
export function moveStep(draft: PlanDraft, index: number, by: -1 | 1): PlanDraft {
  const a = draft.steps[index];
  const b = draft.steps[index + by];
  if (a === undefined || b === undefined) return draft;
  const steps = draft.steps.map((step, i) => (i === index ? b : i === index + by ? a : step));
  const [one, other] = [index + 1, index + by + 1];
  return { ...draft, steps: renumber(steps, (id) => (id === one ? other : id === other ? one : id)) };
}

function renumber(steps: readonly DraftStep[], to: (id: number) => number | null): DraftStep[] {
  return steps.map((step) => ({
    ...step,
    text: step.text.replace(/#(\d{1,3})/g, (_, digits: string) => {
      const id = to(Number(digits));
      return id === null ? lost : `#${id}`;
    }),
  }));
}

export interface CheckedDraft {
  readonly plan: Plan;
  /** One sentence each, for the person; empty: the plan may run. */
  readonly faults: readonly string[];
}

export function checkDraft(draft: PlanDraft, question: string): CheckedDraft {
  const plan = planFromSteps(draft.steps.map((step) => step.text), question, 'edited');
  const faults = draft.steps.flatMap((step, index) => (step.text.includes(lost) ? [`step ${index + 1} refers to a step that was removed (${lost})`] : []));
  return { plan, faults: [...faults, ...faultsOf(plan, question)].map((fault) => `${fault.charAt(0).toUpperCase()}${fault.slice(1)}.`) };
}

/** True if running the draft would run something else than `plan`. */
export function isChanged(draft: PlanDraft, plan: Plan): boolean {
  return draft.steps.length !== plan.nodes.length || draft.steps.some((step, index) => step.text.trim() !== plan.nodes[index]?.q.trim());
}
