/**
 * Changes to a step by hand (METHODS §8.9): its question, a query, the passages it may use, its answer. Applying one begins a run that goes on from this one: only
 * what the change reaches is worked out anew, and the change is kept as a preference.
 */
import { useState } from 'preact/hooks';
import { affectedSteps } from '../../agent/edits.ts';
import type { RunEdit } from '../../agent/events.ts';
import { faultsOf, planFromSteps } from '../../agent/plan.ts';
import type { App } from '../app.ts';
import { heedsEdit } from '../run-options.ts';
import type { NodeView, RunView } from '../state.ts';
import { visibleLine } from '../text/display.ts';
import { plural } from '../text/format.ts';

interface EditorProps {
  readonly app: App;
  readonly run: RunView;
  readonly node: NodeView;
  readonly onDone: () => void;
}

/** Which steps run again, in words. */
function reach(run: RunView, edit: RunEdit): string {
  const plan = edit.stage === 'plan' ? edit.after : run.plan;
  const steps = plan === null ? 0 : affectedSteps(plan, [edit]).size;
  const total = plan?.nodes.length ?? 0;
  if (total === 0) return 'The question is worked out anew.';
  return steps >= total ? 'Every step is worked out anew.' : `${plural(steps, 'step')} of ${total} ${steps === 1 ? 'is' : 'are'} worked out anew, the others are taken over.`;
}

export function StepEditor({ app, run, node, onDone }: EditorProps) {
  const asWritten = run.plan?.nodes.find((step) => step.id === node.id)?.q ?? node.question;
  const [question, setQuestion] = useState(asWritten);
  const [queries, setQueries] = useState<ReadonlyMap<string, string>>(new Map());
  const [dropped, setDropped] = useState<ReadonlySet<string>>(new Set());
  const [answer, setAnswer] = useState(node.answer);
  const [reason, setReason] = useState('');
  const passages = [...new Map(node.searches.flatMap((search) => search.hits.slice(0, 10).map((hit) => [hit.passage.id, hit.passage] as const))).values()];
  const isStep = node.id !== 0 && run.plan !== null && run.plan.nodes.length > 1;
  const hasQuestion = isStep && heedsEdit(run.method, 'plan');
  const hasAnswer = isStep && heedsEdit(run.method, 'sub-answer');

  const { edit, fault } = ((): { edit: RunEdit | null; fault: string } => {
    if (hasQuestion && run.plan !== null && question.trim() !== asWritten.trim()) {
      const after = planFromSteps(run.plan.nodes.map((step) => (step.id === node.id ? question : step.q)), run.question, 'edited');
      const [problem] = faultsOf(after, run.question);
      return { edit: { stage: 'plan', before: run.plan, after: { ...after, final: { ...after.final, op: run.plan.final.op } } }, fault: problem ?? '' };
    }
    if (answer.trim() !== node.answer.trim()) return { edit: { stage: 'sub-answer', node: node.id, before: node.answer, after: answer.trim() }, fault: answer.trim() === '' ? 'the answer is empty' : '' };
    for (const [before, after] of queries) if (after.trim() !== before.trim()) return { edit: { stage: 'query', node: node.id, before, after: after.trim() }, fault: after.trim() === '' ? 'the query is empty' : '' };
    if (dropped.size > 0) return { edit: { stage: 'evidence', node: node.id, dropped: passages.filter(({ id }) => dropped.has(id)).map(({ id, title }) => ({ id, title })) }, fault: '' };
    return { edit: null, fault: '' };
  })();
  const changed = edit?.stage ?? null;
  const isLocked = (stage: RunEdit['stage']): boolean => changed !== null && changed !== stage;

  return (
    <form
      class="step-editor"
      data-testid="step-editor"
      aria-label={node.id === 0 ? 'Change the search' : `Change step ${node.id}`}
      onSubmit={(event) => {
        event.preventDefault();
        if (edit === null || fault !== '') return;
        onDone();
        void app.revise(run, edit, reason).catch(app.report);
      }}
    >
      {hasQuestion ? (
        <>
          <label class="field-label" for={`edit-question-${node.id}`}>
            Question of this step
          </label>
          <textarea id={`edit-question-${node.id}`} class="field" rows={2} dir="auto" maxLength={400} disabled={isLocked('plan')} value={question} onInput={(event) => setQuestion(event.currentTarget.value)} />
        </>
      ) : null}
      {hasAnswer ? (
        <>
          <label class="field-label" for={`edit-answer-${node.id}`}>
            Its answer
          </label>
          <input id={`edit-answer-${node.id}`} class="field" type="text" dir="auto" autocomplete="off" maxLength={300} disabled={isLocked('sub-answer')} value={answer} onInput={(event) => setAnswer(event.currentTarget.value)} />
        </>
      ) : null}
      {[...new Set(node.searches.map((search) => search.query))].map((query, index) => (
        <div key={query} class="step-field">
          <label class="field-label" for={`edit-query-${node.id}-${index}`}>
            {index === 0 ? 'Query' : `Query ${index + 1}`}
          </label>
          <input
            id={`edit-query-${node.id}-${index}`}
            class="field"
            type="text"
            dir="auto"
            autocomplete="off"
            maxLength={400}
            disabled={isLocked('query')}
            value={queries.get(query) ?? query}
            onInput={(event) => setQueries(new Map([[query, event.currentTarget.value]]))}
          />
        </div>
      ))}
      {passages.length === 0 ? null : (
        <fieldset class="choices step-passages" disabled={isLocked('evidence')}>
          <legend>Passages it may use</legend>
          {passages.map((passage) => (
            <label key={passage.id} class="choice">
              <input
                type="checkbox"
                checked={!dropped.has(passage.id)}
                onChange={(event) => {
                  const next = new Set(dropped);
                  if (event.currentTarget.checked) next.delete(passage.id);
                  else next.add(passage.id);
                  setDropped(next);
                }}
              />
              <bdi>{visibleLine([passage.title, passage.section].filter((part) => part !== '').join(', '))}</bdi>
            </label>
          ))}
        </fieldset>
      )}
      <label class="field-label" for={`edit-reason-${node.id}`}>
        Why, if you like
      </label>
      <input id={`edit-reason-${node.id}`} class="field" type="text" dir="auto" autocomplete="off" maxLength={300} value={reason} onInput={(event) => setReason(event.currentTarget.value)} />
      <p class="slot-facts" aria-live="polite">
        {edit === null ? 'Change one thing; the rest of the run is kept.' : fault === '' ? reach(run, edit) : `${fault.charAt(0).toUpperCase()}${fault.slice(1)}.`}
      </p>
      <div class="row">
        <button type="submit" class="button button-primary" disabled={edit === null || fault !== ''}>
          Apply and go on
        </button>
        <button type="button" class="button button-quiet" onClick={onDone}>
          Leave it
        </button>
      </div>
    </form>
  );
}
