/**
 * What the person changed in an earlier run, applied to a run that goes on from it (NExT-Search's debug mode, METHODS §8.9). Pure. The method runs as always; the
 * tools put the changes in where the changed stage comes by. Whatever no change reaches asks the model the same as before, so a cache of calls answers it.
 */
import type { Hit } from '../corpus/retriever.ts';
import type { Plan, RunEdit } from './events.ts';

export interface Revision {
  /** Id of the run that was changed. */
  readonly from: string;
  /** In order; of two changes of the same thing the later one counts. */
  readonly edits: readonly RunEdit[];
}

type EditOf<S extends RunEdit['stage']> = Extract<RunEdit, { stage: S }>;

function edits<S extends RunEdit['stage']>(revision: Revision | undefined, stage: S): readonly EditOf<S>[] {
  return (revision?.edits ?? []).filter((edit): edit is EditOf<S> => edit.stage === stage);
}

/** The plan that the person wrote; null: as the method plans. */
export function editedPlan(revision: Revision | undefined): Plan | null {
  return edits(revision, 'plan').at(-1)?.after ?? null;
}

/** The query to run in place of the one that the method asks for. A change of a change is followed. */
export function editedQuery(revision: Revision | undefined, node: number, query: string): string {
  return edits(revision, 'query').reduce((now, edit) => (edit.node === node && sameText(edit.before, now) ? edit.after : now), query);
}

/** Hits without the passages that the person took away from this step. */
export function keptHits(revision: Revision | undefined, node: number, hits: readonly Hit[]): readonly Hit[] {
  const dropped = new Set(edits(revision, 'evidence').flatMap((edit) => (edit.node === node ? edit.dropped.map((passage) => passage.id) : [])));
  return dropped.size === 0 ? hits : hits.filter((hit) => !dropped.has(hit.passage.id));
}

/** The answer that the person gave to a step; null: it is worked out. */
export function givenAnswer(revision: Revision | undefined, node: number): string | null {
  return edits(revision, 'sub-answer').findLast((edit) => edit.node === node)?.after ?? null;
}

function sameText(a: string, b: string): boolean {
  return a.trim().toLowerCase() === b.trim().toLowerCase();
}

/** Steps whose outcome an edit may change: the edited ones and all that build on them, by id. What is not among them is not run again. */
export function affectedSteps(plan: Plan, list: readonly RunEdit[]): ReadonlySet<number> {
  const touched = new Set<number>();
  for (const edit of list) {
    if (edit.stage !== 'plan') {
      touched.add(edit.node);
      continue;
    }
    const before = new Map(edit.before.nodes.map((node) => [node.id, node.q]));
    for (const node of plan.nodes) if (before.get(node.id) !== node.q) touched.add(node.id);
  }
  // Steps stand after what they build on.
  for (const node of plan.nodes) if (node.deps.some((dep) => touched.has(dep))) touched.add(node.id);
  return touched;
}

/**
 * Edits of a run that was itself a revision, with one more: an earlier edit of the same thing gives way, and after a change of the plan edits of steps that now ask
 * something else are void.
 */
export function addEdit(list: readonly RunEdit[], edit: RunEdit): readonly RunEdit[] {
  const kept = list.filter((other) => {
    if (edit.stage === 'plan') {
      if (other.stage === 'plan') return false;
      const asks = (plan: Plan): string | undefined => plan.nodes.find((node) => node.id === other.node)?.q;
      return other.node === 0 || (asks(edit.after) !== undefined && asks(edit.after) === asks(edit.before));
    }
    return !(other.stage === edit.stage && other.stage !== 'query' && other.node === edit.node);
  });
  return [...kept, edit];
}
