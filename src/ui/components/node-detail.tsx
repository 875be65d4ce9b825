/** Everything one step did: its searches, the passages found and how, the quotes recorded, the quotes refused, the short answer. */
import { useState } from 'preact/hooks';
import type { Hit } from '../../corpus/retriever.ts';
import type { App } from '../app.ts';
import { stopNote, type NodeView, type RejectedQuote, type RunView } from '../state.ts';
import { visibleLine, visibleText } from '../text/display.ts';
import { formatDuration, plural } from '../text/format.ts';
import { StepEditor } from './later.ts';
import { HitItem, PassageTitle } from './passage.tsx';
import { corpusNames } from './results.tsx';

const shownPassages = 4;

const rejections: Readonly<Record<RejectedQuote['reason'], string>> = {
  'off-subject': 'its passage does not name what the step asks about',
  'answer-not-in-quote': 'it does not hold the answer',
  'unknown-passage': 'it names a passage that was not found',
  'wrong-type': 'it answers another kind of question',
};

/** Passages of all searches of a step, each once, best place first. */
function passagesOf(node: NodeView): readonly Hit[] {
  const best = new Map<string, Hit>();
  for (const search of node.searches) {
    for (const hit of search.hits) if ((best.get(hit.passage.id)?.rank ?? Infinity) > hit.rank) best.set(hit.passage.id, hit);
  }
  const quoted = new Set(node.evidence.map((item) => item.passage.id));
  return [...best.values()].sort((a, b) => Number(quoted.has(b.passage.id)) - Number(quoted.has(a.passage.id)) || a.rank - b.rank);
}

/** `isBrief`: quotes and passages stand beside it already. */
export function NodeDetail({ app, run, node, isBrief = false }: { readonly app: App; readonly run: RunView; readonly node: NodeView; readonly isBrief?: boolean }) {
  const names = corpusNames(app);
  const hits = passagesOf(node);
  const quoted = new Set(node.evidence.map((item) => item.passage.id));
  const item = (hit: Hit) => <HitItem key={hit.passage.id} hit={hit} corpus={names.get(hit.passage.corpus) ?? ''} isQuoted={quoted.has(hit.passage.id)} />;
  const note = node.status === 'failed' ? stopNote(node.stop) : '';
  const [isEditing, setEditing] = useState(false);
  // Trajectories and trees have steps of several ways; what would go on from a change there is not one run.
  const isEditable = node.searches.length > 0 && run.search.trajectories.length === 0 && run.search.tree.length === 0;
  const label = node.id === 0 ? 'The question as a whole' : `Step ${node.id}`;
  return (
    <section class="detail" id={`step-${node.id}-detail`} aria-label={`${label} in detail`}>
      {node.evidence.length === 0 || isBrief ? null : (
        <>
          <h3>{node.evidence.length === 1 ? 'Quote recorded' : 'Quotes recorded'}</h3>
          <ul class="quotes">
            {node.evidence.map((evidence, index) => (
              <li key={index}>
                <blockquote class="source-text" dir="auto">
                  <mark>{visibleText(evidence.quote)}</mark>
                </blockquote>
                <p class="quote-source">
                  <PassageTitle passage={evidence.passage} />
                </p>
              </li>
            ))}
          </ul>
        </>
      )}
      {node.stop === 'user' && node.status === 'answered' ? (
        <p class="empty">You gave the answer of this step.</p>
      ) : node.searches.length === 0 ? (
        <p class="empty">{node.status === 'open' ? 'Waits for the steps it builds on.' : node.status === 'skipped' ? 'The run ended before this step.' : 'Searching.'}</p>
      ) : (
        <>
          <h3>{node.searches.length === 1 ? 'Search' : 'Searches'}</h3>
          <ul class="queries">
            {node.searches.map((search, index) => (
              <li key={index}>
                <bdi class="query">{visibleLine(search.query)}</bdi>
                <span class="section-note figures">
                  {plural(search.hits.length, 'passage')}
                  {index > 0 ? `, ${search.newCount} new` : ''}, {search.usedDense ? 'by words and meaning' : 'by words'}, {formatDuration(search.ms)}
                </span>
              </li>
            ))}
          </ul>
        </>
      )}
      {note === '' ? null : <p class="empty">{note}</p>}
      {hits.length === 0 || isBrief ? null : (
        <>
          <h3>Passages</h3>
          <ol class="hits">{hits.slice(0, shownPassages).map(item)}</ol>
          {hits.length > shownPassages ? (
            <details class="more">
              <summary>{plural(hits.length - shownPassages, 'more passage')}</summary>
              <ol class="hits">{hits.slice(shownPassages).map(item)}</ol>
            </details>
          ) : null}
        </>
      )}
      {node.rejected.length === 0 ? null : (
        <details class="more">
          <summary>{plural(node.rejected.length, 'refused quote')}</summary>
          <ul class="queries">
            {node.rejected.map((rejected, index) => (
              <li key={index}>
                <bdi class="query">{visibleLine(rejected.quote)}</bdi>
                <span class="section-note">Refused: {rejections[rejected.reason]}</span>
              </li>
            ))}
          </ul>
        </details>
      )}
      {!isEditable ? null : isEditing ? (
        <StepEditor app={app} run={run} node={node} onDone={() => setEditing(false)} />
      ) : (
        <div class="row">
          <button type="button" class="button button-quiet" onClick={() => setEditing(true)}>
            Change<span class="visually-hidden"> {node.id === 0 ? 'the search' : `step ${node.id}`}</span> and go on
          </button>
        </div>
      )}
      {run.phase !== 'ended' && node.status === 'running' && node.searches.length > 0 ? <p class="working">Reading</p> : null}
    </section>
  );
}
