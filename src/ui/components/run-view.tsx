/** A question that was asked: stage and answer, plan, sources, passages, cost. The question itself stays in the box above, ready to be changed. */
import { useState } from 'preact/hooks';
import type { App } from '../app.ts';
import { hasSearchState, stateSummary } from '../search-state.ts';
import { stageOf, stopNote, type RunView as RunState } from '../state.ts';
import { formatCount, formatDuration, plural } from '../text/format.ts';
import { answerAsMarkdown, answerAsText } from '../text/export.ts';
import { visibleLine } from '../text/display.ts';
import { AnswerView, Sources, StreamedAnswer } from './answer-view.tsx';
import { Notice } from './controls.tsx';
import { Feedback } from './feedback.tsx';
import { StatePanel, TableView } from './later.ts';
import { PlanEditor } from './plan-editor.tsx';
import { PlanView } from './plan-view.tsx';
import { Results } from './results.tsx';

/** `5 model calls · 1,204 prompt tokens (830 cached) …`, live and at the end. */
function CostLine({ app, run, elapsedMs }: { readonly app: App; readonly run: RunState; readonly elapsedMs: number }) {
  const { cost } = run;
  // The default needs no mention, and a run without a model says so itself.
  const label = run.method === 'foray' || run.method === 'extractive' ? undefined : app.methods.value.find((method) => method.id === run.method)?.label;
  const cached = cost.cachedTokens > 0 ? `, ${formatCount(cost.cachedTokens)} of them cached` : '';
  return (
    <p class="cost figures" data-testid="cost">
      <span>{formatDuration(run.phase === 'ended' && cost.wallMs > 0 ? cost.wallMs : elapsedMs)}</span>
      <span>{plural(cost.searches, 'search', 'searches')}</span>
      <span>{plural(cost.llmCalls, 'model call')}</span>
      {cost.llmCalls === 0 ? null : (
        <>
          <span>
            {plural(cost.promptTokens, 'prompt token')}
            {cached}
          </span>
          <span>{plural(cost.outputTokens, 'output token')}</span>
        </>
      )}
      {run.reusedCalls === 0 ? null : <span>{plural(run.reusedCalls, 'call')} taken over from before</span>}
      {label === undefined ? null : <span>{label}</span>}
    </p>
  );
}

function Actions({ app, run }: { readonly app: App; readonly run: RunState }) {
  const [said, setSaid] = useState('');
  const copy = (text: string | null, what: string): void => {
    if (text === null) return;
    void (navigator.clipboard === undefined ? Promise.reject(new Error('no clipboard')) : navigator.clipboard.writeText(text)).then(
      () => setSaid(`${what} copied`),
      () => setSaid('The browser did not allow copying'),
    );
  };
  const isLive = app.liveId.value === run.id;
  return (
    <div class="row actions">
      {run.answer === null ? null : (
        <>
          <button type="button" class="button button-plain" onClick={() => copy(answerAsText(run), 'Answer with sources')}>
            Copy
          </button>
          <button type="button" class="button button-plain" onClick={() => copy(answerAsMarkdown(run), 'Markdown')}>
            Copy as Markdown
          </button>
        </>
      )}
      {isLive ? null : (
        <>
          <button type="button" class="button button-quiet" onClick={() => void app.ask(run.question).catch(app.report)}>
            Ask again
          </button>
          <button
            type="button"
            class="button button-quiet"
            onClick={() => {
              app.setDraft(run.question);
              const box = document.getElementById('question');
              box?.focus();
              if (box instanceof HTMLTextAreaElement) box.select();
            }}
          >
            Edit question
          </button>
          <button type="button" class="button button-quiet" onClick={app.newQuestion}>
            New question
          </button>
        </>
      )}
      <span class="said" role="status">
        {said}
      </span>
    </div>
  );
}

/** Folded until the person opens it; drawn only while it is open. */
function StateFold({ run }: { readonly run: RunState }) {
  const [isOpen, setOpen] = useState(false);
  if (!hasSearchState(run.search)) return null;
  const summary = stateSummary(run);
  return (
    <details class="more run-state" open={isOpen} onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary data-testid="state-fold">
        State of the search{summary === '' ? '' : ': '}
        <span class="figures">{summary}</span>
      </summary>
      {isOpen ? <StatePanel run={run} /> : null}
    </details>
  );
}

export function RunView({ app, run }: { readonly app: App; readonly run: RunState }) {
  const isLive = app.liveId.value === run.id;
  const hasText = run.streamed.trim() !== '';
  const note = run.answer?.mode === 'not-found' && run.stop === 'not-found' ? '' : stopNote(run.stop);
  return (
    <div class={`run ${run.answer?.mode === 'extractive' ? 'run-extractive' : ''} ${run.answer === null || run.answer.citations.length === 0 ? 'run-sourceless' : ''}`}>
      <section class="run-answer" aria-labelledby="run-heading">
        <h1 id="run-heading" class="visually-hidden" tabIndex={-1}>
          Answer to: {visibleLine(run.question)}
        </h1>
        <p class={`stage stage-${run.phase} stage-${run.outcome ?? 'live'}`}>
          <span class="lamp" aria-hidden="true" />
          {app.isStopping.value && isLive ? 'Stopping' : stageOf(run)}
        </p>
        {run.notices.map((notice, index) => (
          <Notice key={index} tone={notice.code === 'plan-fallback' ? 'info' : 'warn'}>
            {visibleLine(notice.text)}
          </Notice>
        ))}
        {run.answer !== null ? <AnswerView app={app} answer={run.answer} /> : hasText ? <StreamedAnswer text={run.streamed} isBrokenOff={run.phase === 'ended'} /> : null}
        {run.search.conflicts.map((conflict, index) => (
          <Notice key={`conflict ${index}`} tone="warn">
            <span>
              Your documents and the shard say different things:{' '}
              {conflict.answers.map((answer, i) => (
                <span key={i}>
                  {i > 0 ? '; ' : ''}
                  {answer.source === 'own' ? 'yours' : 'the shard'}: <bdi>{visibleLine(answer.answer)}</bdi>
                </span>
              ))}
              . Yours go first.
            </span>
          </Notice>
        ))}
        {run.table === null ? null : <TableView app={app} run={run} table={run.table} />}
        {run.error === null ? null : (
          <Notice tone="bad">
            <p>{run.error.kind === 'app' ? run.error.message : 'Something unexpected went wrong while the question was being answered. The plan and the passages are kept.'}</p>
            {run.error.kind === 'bug' ? <p class="fault-detail">{visibleLine(`${run.error.name}: ${run.error.message}`)}</p> : null}
            {run.error.kind === 'app' && !run.error.retryable ? null : (
              <button type="button" class="button button-plain" onClick={() => void app.ask(run.question).catch(app.report)}>
                Try again
              </button>
            )}
          </Notice>
        )}
        {note === '' ? null : <p class="answer-note">{note}</p>}
        <CostLine app={app} run={run} elapsedMs={isLive ? app.elapsedMs.value : run.cost.wallMs} />
        {isLive && run.answer === null ? null : <Actions key={run.id} app={app} run={run} />}
        {isLive || run.answer === null || run.answer.mode === 'extractive' ? null : <Feedback key={run.id} app={app} run={run} />}
      </section>
      <div class="run-steps">
        {run.phase === 'held' && run.plan !== null ? <PlanEditor key={run.id} app={app} plan={run.plan} question={run.question} /> : <PlanView app={app} run={run} />}
        <StateFold key={run.id} run={run} />
      </div>
      {run.answer === null ? null : <Sources app={app} answer={run.answer} />}
      {run.answer !== null && run.answer.mode !== 'not-found' && run.answer.mode !== 'extractive' ? (
        app.preview.value === null ? null : (
          <details class="more run-passages">
            <summary>Passages for the whole question</summary>
            <Results app={app} heading="Passages for the whole question" />
          </details>
        )
      ) : (
        <div class="run-passages">
          <Results app={app} heading="Passages for the whole question" />
        </div>
      )}
    </div>
  );
}
