/** The held plan, open to change: reword, add, remove, reorder. What is wrong is said while it is wrong; only a valid plan can run. */
import { useState } from 'preact/hooks';
import type { Plan } from '../../agent/events.ts';
import type { App } from '../app.ts';
import { addStep, canAdd, changeStep, checkDraft, draftOf, isChanged, moveStep, removeStep } from '../plan-draft.ts';
import { Notice } from './controls.tsx';
import { Icon } from './icon.tsx';

export function PlanEditor({ app, plan, question }: { readonly app: App; readonly plan: Plan; readonly question: string }) {
  const [draft, setDraft] = useState(() => draftOf(plan));
  const { plan: edited, faults } = checkDraft(draft, question);
  const hasChanged = isChanged(draft, plan);
  const last = draft.steps.length - 1;
  return (
    <section class="plan plan-held" data-testid="plan" aria-labelledby="plan-heading">
      <div class="section-head">
        <h2 id="plan-heading">Check the plan</h2>
        <p class="section-note">Write #1 for the answer of step 1.</p>
      </div>
      <form
        class="plan-form"
        onSubmit={(event) => {
          event.preventDefault();
          if (faults.length === 0) app.runPlan(hasChanged ? edited : null);
        }}
      >
        <ol class="draft">
          {draft.steps.map((step, index) => (
            <li key={step.key} class="draft-step" data-testid="plan-node">
              <label class="visually-hidden" for={`draft-${step.key}`}>
                Step {index + 1}
              </label>
              <span class="step-number" aria-hidden="true">
                {index + 1}
              </span>
              <textarea
                id={`draft-${step.key}`}
                class="field"
                rows={2}
                dir="auto"
                maxLength={400}
                value={step.text}
                aria-describedby="plan-faults"
                onInput={(event) => setDraft(changeStep(draft, index, event.currentTarget.value))}
              />
              <span class="draft-buttons">
                <button type="button" class="button button-icon" aria-label={`Move step ${index + 1} up`} disabled={index === 0} onClick={() => setDraft(moveStep(draft, index, -1))}>
                  <Icon name="up" />
                </button>
                <button type="button" class="button button-icon" aria-label={`Move step ${index + 1} down`} disabled={index === last} onClick={() => setDraft(moveStep(draft, index, 1))}>
                  <Icon name="down" />
                </button>
                <button type="button" class="button button-icon" aria-label={`Remove step ${index + 1}`} onClick={() => setDraft(removeStep(draft, index))}>
                  <Icon name="cross" />
                </button>
              </span>
            </li>
          ))}
        </ol>
        <div id="plan-faults" aria-live="polite">
          {faults.length === 0 ? null : (
            <ul class="faults">
              {faults.map((fault) => (
                <li key={fault}>{fault}</li>
              ))}
            </ul>
          )}
        </div>
        {app.planError.value === null ? null : <Notice tone="bad">{app.planError.value}</Notice>}
        <div class="row">
          <button type="submit" class="button button-primary" disabled={faults.length > 0}>
            {hasChanged ? 'Run my plan' : 'Run this plan'}
          </button>
          <button type="button" class="button button-plain" disabled={!canAdd(draft)} onClick={() => setDraft(addStep(draft))}>
            <Icon name="plus" />
            Add a step
          </button>
          {hasChanged ? (
            <button type="button" class="button button-quiet" onClick={() => setDraft(draftOf(plan))}>
              Undo changes
            </button>
          ) : null}
        </div>
      </form>
    </section>
  );
}
