/** Any run over a question, step by step: plan as a graph, queries with what they found, quotes, answer; prompts where they were kept. */
import { useMemo, useState } from 'preact/hooks';
import type { Plan } from '../../agent/events.ts';
import { failureClasses } from '../../lab/diagnosis.ts';
import type { ItemRecord, TrajectoryStep } from '../../lab/record.ts';
import { answerNode, layoutPlan } from '../plan-graph.ts';
import { visibleLine, visibleText } from '../text/display.ts';
import { failureNames } from './table.tsx';

const listed = 200;

export function Trajectories({ items }: { readonly items: readonly ItemRecord[] }) {
  const systems = useMemo(() => [...new Set(items.map(systemOf))], [items]);
  const [system, setSystem] = useState('');
  const [failure, setFailure] = useState('');
  const [words, setWords] = useState('');
  const [chosen, setChosen] = useState<ItemRecord | null>(null);
  const shown = items.filter(
    (item) =>
      (system === '' || systemOf(item) === system) && (failure === '' || item.scores.failure === failure) &&
      (words === '' || `${item.qid} ${item.question} ${item.prediction}`.toLowerCase().includes(words.toLowerCase())),
  );
  return (
    <section class="trajectories">
      <h2>Question by question</h2>
      <div class="filters">
        <label>System <select value={system} onChange={(event) => setSystem(event.currentTarget.value)}>
          <option value="">all</option>
          {systems.map((name) => <option key={name} value={name}>{visibleLine(name)}</option>)}
        </select></label>
        <label>Outcome <select value={failure} onChange={(event) => setFailure(event.currentTarget.value)}>
          <option value="">all</option>
          {failureClasses.map((kind) => <option key={kind} value={kind}>{failureNames[kind]}</option>)}
        </select></label>
        <label>Words <input type="search" value={words} onInput={(event) => setWords(event.currentTarget.value)} /></label>
      </div>
      <p class="note" role="status">{shown.length} of {items.length}{shown.length > listed ? `, the first ${listed} are listed` : ''}.</p>
      <div class="browser">
        <ul class="items" tabIndex={0} aria-label="Runs">
          {shown.slice(0, listed).map((item) => (
            <li key={`${systemOf(item)} ${item.dataset} ${item.qid} ${item.seed}`}>
              <button type="button" aria-pressed={item === chosen} onClick={() => setChosen(item)}>
                <span class={`outcome outcome-${item.scores.failure}`}>{failureNames[item.scores.failure]}</span>
                <bdi>{visibleLine(item.question)}</bdi>
                <span class="soft"><bdi>{visibleLine(systemOf(item))}</bdi></span>
              </button>
            </li>
          ))}
        </ul>
        {chosen === null ? <p class="soft">Choose a question to follow its run.</p> : <Replay key={`${systemOf(chosen)} ${chosen.dataset} ${chosen.qid} ${chosen.seed}`} item={chosen} />}
      </div>
    </section>
  );
}

function systemOf({ method, setting, llm, seed, dataset }: ItemRecord): string {
  return [method, setting === 'default' ? null : setting, llm, dataset, `seed ${seed}`].filter((part) => part !== null).join(' · ');
}

function Replay({ item }: { readonly item: ItemRecord }) {
  const [at, setAt] = useState(item.steps.length);
  const { scores, cost } = item;
  return (
    <article class="replay" aria-label="The run">
      <h3><bdi>{visibleLine(item.question)}</bdi></h3>
      {item.asked === item.question ? null : <p>Asked as: <bdi>{visibleLine(item.asked)}</bdi></p>}
      <dl class="facts">
        <dt>Answer</dt><dd><bdi>{visibleLine(item.prediction) || 'none'}</bdi></dd>
        <dt>Gold</dt><dd><bdi>{item.answers.map(visibleLine).join(' / ') || 'none: the corpus does not hold it'}</bdi></dd>
        <dt>Outcome</dt><dd>{failureNames[scores.failure]}, EM {scores.em}, F1 {scores.f1.toFixed(2)}, support found {scores.trajectory === null ? '–' : scores.trajectory.toFixed(2)}, kept {scores.curated === null ? '–' : scores.curated.toFixed(2)}</dd>
        <dt>Cost</dt><dd>{cost.llmCalls} calls, {cost.searches} searches, {cost.promptTokens} + {cost.outTokens} tokens, {(cost.wallMs / 1000).toFixed(1)} s</dd>
        {item.error === null ? null : <><dt>Failed</dt><dd>{visibleLine(item.error.message)}</dd></>}
      </dl>
      {item.goldPlan.length === 0 ? null : (
        <details>
          <summary>Gold steps</summary>
          <ol>{item.goldPlan.map((step, i) => <li key={i}><bdi>{visibleLine(step.q)}</bdi> {step.answer === null ? '' : `→ ${visibleLine(step.answer)}`}</li>)}</ol>
        </details>
      )}
      <div class="player" role="group" aria-label="Replay">
        <button type="button" disabled={at === 0} onClick={() => setAt(0)}>Start</button>
        <button type="button" disabled={at === 0} onClick={() => setAt(at - 1)}>Back</button>
        <button type="button" disabled={at === item.steps.length} onClick={() => setAt(at + 1)}>Next</button>
        <button type="button" disabled={at === item.steps.length} onClick={() => setAt(item.steps.length)}>All</button>
        <span role="status">Step {at} of {item.steps.length}</span>
      </div>
      <ol class="steps">{item.steps.slice(0, at).map((step) => <li key={step.t} class={`step step-${step.kind}`}><Step step={step} item={item} /></li>)}</ol>
    </article>
  );
}

function Step({ step, item }: { readonly step: TrajectoryStep; readonly item: ItemRecord }) {
  switch (step.kind) {
    case 'plan':
      return <><h4>Plan ({step.source})</h4><PlanPicture step={step} /></>;
    case 'think':
      return <p class="soft">Model: {visibleLine(step.purpose)}{step.node === null ? '' : ` for step ${step.node}`}, {step.promptTokens} + {step.tokens} tokens, {Math.round(step.ms)} ms</p>;
    case 'search':
      return (
        <>
          <h4>Search{step.node > 0 ? ` for step ${step.node}` : ''}: <bdi>{visibleLine(step.query)}</bdi></h4>
          <ol class="passages">
            {step.docs.slice(0, 5).map((doc) => {
              const passage = item.passages[doc.id];
              return (
                <li key={doc.id}>
                  <details>
                    <summary>
                      <bdi>{visibleLine(passage?.title ?? doc.id)}</bdi>
                      {passage?.gold === true ? <span class="tag tag-gold">gold</span> : null}
                      {doc.new ? <span class="tag">new</span> : null}
                    </summary>
                    <p class="passage"><bdi>{visibleText(passage?.text ?? 'The text was not kept.')}</bdi></p>
                  </details>
                </li>
              );
            })}
          </ol>
          {step.docs.length > 5 ? <p class="soft">and {step.docs.length - 5} more</p> : null}
        </>
      );
    case 'record':
      return (
        <>
          <h4>{step.sufficient ? 'Recorded' : 'Nothing recorded'}{step.node > 0 ? ` for step ${step.node}` : ''}{step.subAnswer === '' ? '' : <>: <bdi>{visibleLine(step.subAnswer)}</bdi></>}</h4>
          {step.evidence.map((quote, i) => (
            <blockquote key={i}>
              <bdi>{visibleText(quote.text)}</bdi>
              <cite><bdi>{visibleLine(item.passages[quote.doc]?.title ?? quote.doc)}</bdi></cite>
            </blockquote>
          ))}
        </>
      );
    case 'note':
      return <p class="soft">{visibleLine(step.what)}: <bdi>{visibleLine(step.text)}</bdi></p>;
    case 'prompt':
      return (
        <details>
          <summary>Prompt: {visibleLine(step.purpose)}</summary>
          {step.messages.map((message, i) => <pre key={i} tabIndex={0}><b>{message.role}</b>{'\n'}{visibleText(message.content)}</pre>)}
          <pre tabIndex={0}><b>output</b>{'\n'}{visibleText(step.output)}</pre>
        </details>
      );
    case 'answer':
      return (
        <>
          <h4>Answer ({step.mode}): <bdi>{visibleLine(step.text) || 'none'}</bdi></h4>
          <ul>{step.sentences.map((sentence, i) => <li key={i}><bdi>{visibleText(sentence.text)}</bdi> {sentence.cites.map((n) => `[${n}]`).join('')}{sentence.supported ? '' : ' (not carried by a quote)'}</li>)}</ul>
        </>
      );
  }
}

const [cellWidth, cellHeight] = [190, 74];

/** The plan as a picture, with the same steps as text beside it for those who do not see it. */
function PlanPicture({ step }: { readonly step: Extract<TrajectoryStep, { kind: 'plan' }> }) {
  const nodes = step.nodes.map((node) => ({ ...node, answerType: 'other' as const }));
  const used = new Set(nodes.flatMap(({ deps }) => deps));
  const plan: Plan = { nodes, final: { deps: nodes.map(({ id }) => id).filter((id) => !used.has(id)), op: step.op }, source: step.source };
  const { cells, edges, layers, breadth } = layoutPlan(plan);
  const boxOf = new Map(cells.map((cell) => [cell.id, { x: ((cell.column - 1) * cellWidth) / 2, y: cell.layer * cellHeight }]));
  const textOf = new Map(step.nodes.map((node) => [node.id, visibleLine(node.q)]));
  return (
    <>
      <div class="plan-picture">
        <svg width={breadth * cellWidth} height={layers * cellHeight} viewBox={`0 0 ${breadth * cellWidth} ${layers * cellHeight}`} aria-hidden="true">
          {edges.map(({ from, to }, i) => {
            const [a, b] = [boxOf.get(from), boxOf.get(to)];
            return a === undefined || b === undefined ? null : <line key={i} class="edge" x1={a.x + cellWidth / 2} y1={a.y + 50} x2={b.x + cellWidth / 2} y2={b.y + 4} />;
          })}
          {cells.map(({ id }) => {
            const box = boxOf.get(id) ?? { x: 0, y: 0 };
            const lines = id === answerNode ? ['Answer'] : wrapped(`${id}. ${textOf.get(id) ?? ''}`, 26, 2);
            return (
              <g key={id}>
                <rect class="cell" x={box.x + 4} y={box.y + 4} width={cellWidth - 8} height={46} rx={6} />
                {lines.map((line, i) => <text key={i} x={box.x + 12} y={box.y + (lines.length === 1 ? 32 : 23 + i * 16)}>{line}</text>)}
              </g>
            );
          })}
        </svg>
      </div>
      <ol class="plan-text">{step.nodes.map((node) => <li key={node.id} value={node.id}><bdi>{visibleLine(node.q)}</bdi>{node.deps.length === 0 ? '' : ` (needs ${node.deps.join(', ')})`}</li>)}</ol>
    </>
  );
}

function wrapped(text: string, width: number, lines: number): string[] {
  const rows: string[] = [''];
  for (const word of text.split(' ')) {
    const last = rows.at(-1) ?? '';
    if (last === '' || last.length + word.length < width) rows[rows.length - 1] = last === '' ? word : `${last} ${word}`;
    else rows.push(word);
  }
  return rows.length <= lines ? rows : [...rows.slice(0, lines - 1), `${rows[lines - 1] ?? ''} …`];
}
