/**
 * What a run tells about its search besides plan, searches and quotes: the state outside the model (METHODS §4.7), terms, verdicts, goals, trajectories, tree,
 * conflicts. Pure; part of the view that `reduceRun` makes. Lists keep the order of the events.
 */
import type { AgentEvent, AgentEventBody, RunEdit, StateSummary } from '../agent/events.ts';
import type { NodeView, RunView } from './state.ts';
import { formatCount, plural } from './text/format.ts';

type Told<K extends AgentEventBody['kind']> = Omit<Extract<AgentEventBody, { kind: K }>, 'kind'>;

export interface GoalView {
  readonly node: number;
  readonly goal: string;
  readonly reflections: readonly { readonly satisfied: boolean; readonly why: string }[];
}

export interface TrajectoryView {
  readonly trajectory: number;
  readonly of: number;
  readonly seed: number;
  /** null while it is under way, or where it broke off. */
  readonly answer: string | null;
  readonly logp: Told<'trajectoryFinished'>['logp'];
  /** Its steps as they stood at its end. */
  readonly nodes: readonly NodeView[];
}

export interface SearchState {
  readonly summary: StateSummary | null;
  readonly gate: Told<'gated'> | null;
  readonly thoughts: readonly Told<'thought'>[];
  readonly goals: readonly GoalView[];
  readonly selections: readonly Told<'selected'>[];
  readonly expansions: readonly Told<'expanded'>[];
  readonly verdicts: readonly Told<'queryScored'>[];
  readonly claims: readonly Told<'verified'>[];
  readonly links: readonly Told<'linkFollowed'>[];
  readonly conflicts: readonly Told<'conflictFound'>[];
  readonly tree: readonly Told<'treeExpanded'>[];
  readonly trajectories: readonly TrajectoryView[];
  readonly weights: Told<'trajectoriesWeighted'> | null;
  readonly edits: readonly RunEdit[];
  /** Run whose steps this one goes on from, with the edits. */
  readonly revisionOf: string | null;
}

export const noSearchState: SearchState = {
  summary: null, gate: null, thoughts: [], goals: [], selections: [], expansions: [], verdicts: [], claims: [], links: [], conflicts: [], tree: [], trajectories: [],
  weights: null, edits: [], revisionOf: null,
};

type StateEvent = Extract<
  AgentEvent,
  {
    kind:
      | 'stateChanged' | 'thought' | 'goalSet' | 'reflected' | 'selected' | 'expanded' | 'queryScored' | 'gated' | 'verified' | 'linkFollowed' | 'conflictFound'
      | 'trajectoryStarted' | 'trajectoryFinished' | 'trajectoriesWeighted' | 'treeExpanded' | 'edited';
  }
>;

/** `nodes`: the steps as they stand, kept with a trajectory that ends. */
export function reduceSearch(state: SearchState, event: StateEvent, nodes: readonly NodeView[]): SearchState {
  switch (event.kind) {
    case 'stateChanged': {
      const { pool, curated, bridges, singletons, budget } = event;
      return { ...state, summary: { pool, curated, bridges, singletons, budget } };
    }
    case 'gated':
      return { ...state, gate: event };
    case 'thought':
      return { ...state, thoughts: [...state.thoughts, event] };
    case 'goalSet':
      return { ...state, goals: [...state.goals, { node: event.node, goal: event.goal, reflections: [] }] };
    case 'reflected': {
      const reflection = { satisfied: event.satisfied, why: event.why };
      const last = state.goals.findLastIndex((goal) => goal.node === event.node);
      // A method may reflect without having named a goal.
      if (last < 0) return { ...state, goals: [...state.goals, { node: event.node, goal: '', reflections: [reflection] }] };
      return { ...state, goals: state.goals.map((goal, i) => (i === last ? { ...goal, reflections: [...goal.reflections, reflection] } : goal)) };
    }
    case 'selected':
      return { ...state, selections: [...state.selections, event] };
    case 'expanded':
      return { ...state, expansions: [...state.expansions, event] };
    case 'queryScored':
      return { ...state, verdicts: [...state.verdicts, event] };
    case 'verified':
      return { ...state, claims: [...state.claims, event] };
    case 'linkFollowed':
      return { ...state, links: [...state.links, event] };
    case 'conflictFound':
      return { ...state, conflicts: [...state.conflicts, event] };
    case 'treeExpanded':
      return { ...state, tree: [...state.tree, event] };
    case 'trajectoryStarted': {
      const { trajectory, of, seed } = event;
      return { ...state, trajectories: [...state.trajectories, { trajectory, of, seed, answer: null, logp: null, nodes: [] }] };
    }
    case 'trajectoryFinished':
      return {
        ...state,
        trajectories: state.trajectories.map((item) => (item.trajectory === event.trajectory ? { ...item, answer: event.answer, logp: event.logp, nodes } : item)),
      };
    case 'trajectoriesWeighted':
      return { ...state, weights: event };
    case 'edited':
      return { ...state, edits: [...state.edits, event.edit], revisionOf: event.from };
  }
}

export interface TreeRow {
  readonly state: number;
  readonly depth: number;
  readonly value: number;
  readonly query: string;
  /** Every ancestor's children are listed before the next branch. */
  readonly isBest: boolean;
}

/** The tree depth first, children by falling value; states whose parent is unknown count as roots. A loop in the parents is cut. */
export function treeRows(tree: SearchState['tree']): readonly TreeRow[] {
  const known = new Set(tree.map((item) => item.state));
  const best = tree.reduce<SearchState['tree'][number] | null>((top, item) => (top === null || item.value > top.value ? item : top), null)?.state;
  const rows: TreeRow[] = [];
  const seen = new Set<number>();
  const walk = (parent: number | null, depth: number): void => {
    const children = tree
      .filter((item) => (parent === null ? item.parent === null || !known.has(item.parent) : item.parent === parent) && !seen.has(item.state))
      .toSorted((a, b) => b.value - a.value || a.state - b.state);
    for (const child of children) {
      if (seen.has(child.state)) continue;
      seen.add(child.state);
      rows.push({ state: child.state, depth, value: child.value, query: child.query, isBest: child.state === best });
      walk(child.state, depth + 1);
    }
  };
  walk(null, 0);
  for (const item of tree) if (!seen.has(item.state)) rows.push({ state: item.state, depth: 0, value: item.value, query: item.query, isBest: item.state === best });
  return rows;
}

/** True where there is anything to show. */
export function hasSearchState(state: SearchState): boolean {
  const { summary, gate, weights, revisionOf: _, ...lists } = state;
  return [summary, gate, weights].some((item) => item !== null) || Object.values(lists).some((list) => list.length > 0);
}

/** One line on what the fold holds. */
export function stateSummary(run: Pick<RunView, 'search' | 'phase'>): string {
  const { summary, trajectories, revisionOf } = run.search;
  const parts: string[] = [];
  if (summary !== null) parts.push(`${plural(summary.pool, 'passage')} found, ${formatCount(summary.curated.length)} kept`);
  if (trajectories.length > 0) parts.push(plural(trajectories.length, 'way', 'ways'));
  if (summary !== null && run.phase !== 'ended') parts.push(`${plural(summary.budget.callsLeft, 'model call')} left`);
  if (revisionOf !== null) parts.push('goes on from an earlier run');
  return parts.join(' · ');
}
