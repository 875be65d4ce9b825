/** The shape of a plan for drawing: layers of steps, order inside a layer, edges. Pure; pixels come later from the cards' measured boxes. */
import type { Plan } from '../agent/events.ts';

/** The answer is drawn as a node of its own, below every step. */
export const answerNode = 'answer';
export type GraphId = number | typeof answerNode;

export interface GraphCell {
  readonly id: GraphId;
  /** From 0: the length of the longest chain of dependencies above it. */
  readonly layer: number;
  /** Column line (from 1) in a grid of `columns` half-wide columns; every cell spans two. */
  readonly column: number;
}

export interface GraphEdge {
  readonly from: number;
  readonly to: GraphId;
}

export interface PlanGraph {
  /** In reading order: layer by layer. A dependency always stands before what needs it. */
  readonly cells: readonly GraphCell[];
  readonly edges: readonly GraphEdge[];
  readonly layers: number;
  /** Widest layer, in cells. */
  readonly breadth: number;
}

/** Never throws: a reference to a missing or later step (a plan of an older version) is left out. */
export function layoutPlan(plan: Plan): PlanGraph {
  const known = new Map(plan.nodes.map((node, index) => [node.id, index]));
  const layerOf = new Map<number, number>();
  const edges: GraphEdge[] = [];
  for (const [index, node] of plan.nodes.entries()) {
    const deps = node.deps.filter((dep) => (known.get(dep) ?? index) < index);
    for (const dep of deps) edges.push({ from: dep, to: node.id });
    layerOf.set(node.id, deps.reduce((deepest, dep) => Math.max(deepest, (layerOf.get(dep) ?? 0) + 1), 0));
  }
  for (const dep of plan.final.deps) if (known.has(dep)) edges.push({ from: dep, to: answerNode });

  const deepest = Math.max(0, ...layerOf.values());
  const rows: number[][] = Array.from({ length: deepest + 1 }, () => []);
  const place = new Map<number, number>();
  for (let layer = 0; layer <= deepest; layer++) {
    const inLayer = plan.nodes.filter((node) => layerOf.get(node.id) === layer);
    // Below the mean place of what it needs: fewer crossings; plan order decides otherwise.
    const wish = new Map(
      inLayer.map((node) => {
        const above = node.deps.map((dep) => place.get(dep)).filter((x): x is number => x !== undefined);
        return [node.id, above.length === 0 ? null : above.reduce((sum, x) => sum + x, 0) / above.length];
      }),
    );
    const sorted = layer === 0 ? inLayer : [...inLayer].sort((a, b) => (wish.get(a.id) ?? 0) - (wish.get(b.id) ?? 0) || a.id - b.id);
    sorted.forEach((node, index) => {
      rows[layer]?.push(node.id);
      place.set(node.id, index - (sorted.length - 1) / 2);
    });
  }
  const breadth = Math.max(1, ...rows.map((row) => row.length));
  const cells: GraphCell[] = rows.flatMap((row, layer) => row.map((id, index): GraphCell => ({ id, layer, column: breadth - row.length + 2 * index + 1 })));
  cells.push({ id: answerNode, layer: deepest + 1, column: breadth });
  return { cells, edges, layers: deepest + 2, breadth };
}

export interface Box {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

/** From the foot of one card to the head of another. */
export function edgePath(from: Box, to: Box): string {
  const [x1, y1, x2, y2] = [from.x + from.width / 2, from.y + from.height, to.x + to.width / 2, to.y];
  const bend = Math.max(8, (y2 - y1) / 2);
  return `M${n(x1)} ${n(y1)}C${n(x1)} ${n(y1 + bend)} ${n(x2)} ${n(y2 - bend)} ${n(x2)} ${n(y2)}`;
}

const railStep = 7;
const railRadius = 5;

/**
 * Rails for the graph as one column: for every edge its lane left of the cards, 0 nearest. Edges that run side by side have different lanes unless they end at
 * the same card, where they may join.
 */
export function railLanes(graph: PlanGraph): readonly number[] {
  const row = new Map(graph.cells.map((cell, index) => [cell.id, index]));
  const spans = graph.edges.map(({ from, to }) => ({ start: row.get(from) ?? 0, end: row.get(to) ?? 0, to }));
  const lanes: number[] = spans.map(() => -1);
  const shortestFirst = spans.map((_, index) => index).sort((a, b) => length(spans[a]) - length(spans[b]) || a - b);
  for (const index of shortestFirst) {
    const span = spans[index];
    if (span === undefined) continue;
    let lane = 0;
    while (spans.some((other, i) => lanes[i] === lane && other.to !== span.to && other.start < span.end && span.start < other.end)) lane++;
    lanes[index] = lane;
  }
  return lanes;
}

function length(span: { readonly start: number; readonly end: number } | undefined): number {
  return span === undefined ? 0 : span.end - span.start;
}

/** Room that the rails need left of the cards, in pixels. */
export function railGutter(lanes: readonly number[]): number {
  return lanes.length === 0 ? 0 : 10 + railStep * (Math.max(...lanes) + 1);
}

/** Out of the left side of one card, down its lane, into the left side of another a little higher up, so that coming and going lines stay apart. */
export function railPath(from: Box, to: Box, lane: number): string {
  const x = from.x - 8 - lane * railStep;
  const [y1, y2] = [from.y + Math.min(30, from.height - 8), to.y + Math.min(16, to.height / 2)];
  const r = Math.max(0, Math.min(railRadius, (y2 - y1) / 2));
  return `M${n(from.x)} ${n(y1)}H${n(x + r)}Q${n(x)} ${n(y1)} ${n(x)} ${n(y1 + r)}V${n(y2 - r)}Q${n(x)} ${n(y2)} ${n(x + r)} ${n(y2)}H${n(to.x)}`;
}

function n(value: number): string {
  return value.toFixed(1);
}
