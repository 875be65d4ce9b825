/**
 * The plan as a graph that fills: an ordered list of steps, laid out in layers with dependency lines behind them, or as one column where there is no room. Every
 * step is a button; the step in view shows its searches, passages, quotes and answer. While the run goes on the view follows it until the person picks a step.
 */
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks';
import type { NodeStatus } from '../../agent/events.ts';
import type { App } from '../app.ts';
import { answerNode, edgePath, layoutPlan, railGutter, railLanes, railPath, type Box } from '../plan-graph.ts';
import { liveNode, type NodeView, type RunView } from '../state.ts';
import { visibleLine } from '../text/display.ts';
import { Icon, type IconName } from './icon.tsx';
import { NodeDetail } from './node-detail.tsx';

const statusLabels: Readonly<Record<NodeStatus, string>> = {
  open: 'Waiting',
  running: 'Working',
  answered: 'Answered',
  degraded: 'Answered without all it needed',
  failed: 'Nothing found',
  skipped: 'Not run',
};

const statusIcons: Readonly<Record<NodeStatus, IconName>> = { open: 'dot', running: 'dot', answered: 'check', degraded: 'check', failed: 'dash', skipped: 'dash' };

/** Narrowest card, in pixels, at which steps still stand side by side. */
const cardWidth = 190;

export function PlanView({ app, run }: { readonly app: App; readonly run: RunView }) {
  const list = useRef<HTMLOListElement>(null);
  const [width, setWidth] = useState(0);
  const [boxes, setBoxes] = useState<ReadonlyMap<string, Box>>(new Map());
  /** null: follow the run. */
  const [chosen, setChosen] = useState<number | 'none' | null>(null);
  const graph = useMemo(() => (run.plan === null ? null : layoutPlan(run.plan)), [run.plan]);
  const lanes = useMemo(() => (graph === null ? [] : railLanes(graph)), [graph]);
  const nodes = new Map(run.nodes.map((node) => [node.id, node]));
  const whole = nodes.get(0);
  const isColumn = graph !== null && width / graph.breadth < cardWidth;
  const selected = chosen === 'none' ? null : (chosen ?? (run.phase === 'ended' ? null : liveNode(run)));

  useEffect(() => setChosen(null), [run.id]);

  useLayoutEffect(() => {
    const element = list.current;
    if (element === null) return;
    const observer = new ResizeObserver(() => {
      setWidth(element.clientWidth);
      setBoxes((before) => measured(element, before));
    });
    observer.observe(element);
    return () => observer.disconnect();
  }, [graph === null]);
  // Cards grow as answers come in.
  useLayoutEffect(() => {
    const element = list.current;
    if (element !== null) setBoxes((before) => measured(element, before));
  });

  const toggle = (id: number): void => setChosen(selected === id ? 'none' : id);
  const detail = (id: number) => {
    const node = nodes.get(id);
    return node === undefined ? null : <NodeDetail app={app} run={run} node={node} />;
  };

  return (
    <section class="plan" data-testid="plan" aria-labelledby="plan-heading">
      <div class="section-head">
        <h2 id="plan-heading">How it was found</h2>
        {run.plan === null || run.plan.nodes.length < 2 ? null : <p class="section-note">{run.plan.source === 'edited' ? 'Plan changed by you' : `${run.plan.nodes.length} steps`}</p>}
      </div>
      {graph === null || run.plan === null ? null : (
        <div class={isColumn ? 'graph graph-column' : 'graph graph-layers'}>
          <svg class="graph-edges" aria-hidden="true" focusable="false">
            {graph.edges.map(({ from, to }, index) => {
              const [a, b] = [boxes.get(String(from)), boxes.get(String(to))];
              if (a === undefined || b === undefined) return null;
              const isDone = nodes.get(from)?.answer !== '' && nodes.get(from)?.answer !== undefined;
              return <path key={`${from}-${to}`} class={isDone ? 'edge edge-done' : 'edge'} d={isColumn ? railPath(a, b, lanes[index] ?? 0) : edgePath(a, b)} />;
            })}
          </svg>
          <ol ref={list} class="graph-list" style={isColumn ? { paddingInlineStart: `${railGutter(lanes)}px` } : { gridTemplateColumns: `repeat(${graph.breadth * 2}, minmax(0, 1fr))` }}>
            {graph.cells.map(({ id, layer, column }) => {
              const style = isColumn ? undefined : { gridRow: String(layer + 1), gridColumn: graph.breadth === 1 ? '1 / -1' : `${column} / span 2` };
              if (id === answerNode) {
                return (
                  <li key={id} class={`step step-answer ${run.answer === null || run.answer.mode === 'not-found' ? '' : 'step-answered'}`} data-cell={id} style={style}>
                    <span class="step-card">
                      <span class="step-question">{run.plan?.final.op === 'compare' ? 'Compare and answer' : 'Answer'}</span>
                    </span>
                  </li>
                );
              }
              const node = nodes.get(id);
              if (node === undefined) return null;
              const isSelected = selected === id;
              return (
                <li key={id} class={`step step-${node.status} ${isSelected ? 'step-selected' : ''}`} data-testid="plan-node" data-node={id} data-status={node.status} data-cell={id} style={style}>
                  <StepButton node={node} isSelected={isSelected} onPress={() => toggle(id)} />
                  {isColumn && isSelected ? detail(id) : null}
                </li>
              );
            })}
          </ol>
        </div>
      )}
      {graph !== null && !isColumn && selected !== null && selected !== 0 ? detail(selected) : null}
      {whole === undefined ? null : (
        <div class="whole">
          {run.plan === null ? null : (
            <ol class="graph-list graph-list-whole">
              <li class={`step step-${whole.status} ${selected === 0 ? 'step-selected' : ''}`} data-testid="plan-node" data-node={0} data-status={whole.status}>
                <StepButton node={whole} isSelected={selected === 0} onPress={() => toggle(0)} />
              </li>
            </ol>
          )}
          {run.plan === null || selected === 0 ? <NodeDetail app={app} run={run} node={whole} isBrief={run.answer?.mode === 'extractive'} /> : null}
        </div>
      )}
      {run.plan === null && whole === undefined && run.phase !== 'ended' ? <p class="empty">The steps appear here as soon as there is a plan.</p> : null}
    </section>
  );
}

function StepButton({ node, isSelected, onPress }: { readonly node: NodeView; readonly isSelected: boolean; readonly onPress: () => void }) {
  return (
    <button type="button" class="step-card" aria-expanded={isSelected} aria-controls={isSelected ? `step-${node.id}-detail` : undefined} onClick={onPress}>
      <span class="step-head">
        <span class="step-number">{node.id === 0 ? 'Whole question' : <><span class="visually-hidden">Step </span>{node.id}</>}</span>
        <span class="step-status">
          <Icon name={statusIcons[node.status]} />
          {node.status === 'skipped' && node.searches.length > 0 ? 'Broken off' : statusLabels[node.status]}
        </span>
      </span>
      {node.id === 0 ? null : (
        <bdi class="step-question">
          <References text={visibleLine(node.question)} />
        </bdi>
      )}
      {node.answer === '' ? null : (
        <span class="step-answer-text">
          <span class="visually-hidden">Answer: </span>
          <bdi>{visibleLine(node.answer)}</bdi>
        </span>
      )}
    </button>
  );
}

/** `#1` stands for an answer that is not there yet. */
function References({ text }: { readonly text: string }) {
  return (
    <>
      {text.split(/(#\d{1,3})/).map((part, index) =>
        /^#\d+$/.test(part) ? (
          <span key={index} class="reference" title={`the answer of step ${part.slice(1)}`}>
            {part}
          </span>
        ) : (
          part
        ),
      )}
    </>
  );
}

/** The cards' boxes relative to the list; the same map if nothing moved, so that drawing ends. */
function measured(list: HTMLElement, before: ReadonlyMap<string, Box>): ReadonlyMap<string, Box> {
  const boxes = new Map<string, Box>();
  let isSame = true;
  for (const item of list.querySelectorAll<HTMLElement>('[data-cell]')) {
    const card = item.querySelector<HTMLElement>('.step-card');
    const id = item.dataset['cell'] ?? '';
    if (card === null) continue;
    const box: Box = { x: item.offsetLeft + card.offsetLeft, y: item.offsetTop + card.offsetTop, width: card.offsetWidth, height: card.offsetHeight };
    const old = before.get(id);
    isSame &&= old !== undefined && old.x === box.x && old.y === box.y && old.width === box.width && old.height === box.height;
    boxes.set(id, box);
  }
  return isSame && boxes.size === before.size ? before : boxes;
}
