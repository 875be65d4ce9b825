/** The question box: Enter asks, Shift+Enter breaks the line, Enter of an input method does neither. A paste of any size leaves the page responsive. */
import { useEffect, useLayoutEffect, useRef } from 'preact/hooks';
import { cutText, maxQuestionCharacters } from '../../launch.ts';
import type { App } from '../app.ts';
import { effortLabels, heeds } from '../run-options.ts';
import { CompletionList, useCompletions } from './completion-list.tsx';
import { Icon } from './icon.tsx';

/** True for the Enter that sends. While an input method composes, Enter belongs to it; 229 is how Safari says so after the composition has ended. */
export function sendsQuestion(event: Pick<KeyboardEvent, 'key' | 'shiftKey' | 'altKey' | 'isComposing' | 'keyCode'>): boolean {
  return event.key === 'Enter' && !event.shiftKey && !event.altKey && !event.isComposing && event.keyCode !== 229;
}

/** What the method that fills a table wants besides the question. */
function TableFields({ app, boxId }: { readonly app: App; readonly boxId: string }) {
  return (
    <div class="composer-table">
      <label class="field-label" for={`${boxId}-columns`}>
        Columns, separated by commas
      </label>
      <input
        id={`${boxId}-columns`}
        class="field"
        type="text"
        dir="auto"
        autocomplete="off"
        maxLength={600}
        placeholder="river, year of foundation"
        value={app.tableColumns.value}
        onInput={(event) => (app.tableColumns.value = event.currentTarget.value)}
      />
      <label class="field-label" for={`${boxId}-rows`}>
        Rows, one a line; leave it empty to look for them
      </label>
      <textarea id={`${boxId}-rows`} class="field" rows={2} dir="auto" maxLength={4000} value={app.tableRows.value} onInput={(event) => (app.tableRows.value = event.currentTarget.value)} />
    </div>
  );
}

function fitHeight(box: HTMLTextAreaElement): void {
  box.style.height = 'auto';
  box.style.height = `${box.scrollHeight + 2}px`;
}

export function Composer({ app, boxId }: { readonly app: App; readonly boxId: string }) {
  const box = useRef<HTMLTextAreaElement>(null);
  const completions = useCompletions(app);
  const listId = `${boxId}-completions`;
  const text = app.draft.value;
  const isLive = app.liveId.value !== null;
  const isShowingRun = app.shownId.value !== null;

  useEffect(() => {
    // On a touch screen the focus would open the keyboard over the page.
    if (matchMedia('(hover: hover) and (pointer: fine)').matches && !isShowingRun) box.current?.focus({ preventScroll: true });
  }, [isShowingRun]);

  useLayoutEffect(() => {
    const element = box.current;
    if (element !== null) fitHeight(element);
  }, [text]);

  useEffect(() => {
    const element = box.current;
    if (element === null) return;
    // A narrower window wraps the question onto more lines. Only the width counts: the height is what is set here.
    let width = element.clientWidth;
    const observer = new ResizeObserver(() => {
      if (element.clientWidth === width) return;
      width = element.clientWidth;
      fitHeight(element);
    });
    observer.observe(element);
    return () => observer.disconnect();
  }, []);

  return (
    <form
      class="composer"
      role="search"
      aria-label="Ask a question"
      onSubmit={(event) => {
        event.preventDefault();
        void app.ask().catch(app.report);
      }}
    >
      <label class="visually-hidden" for={boxId}>
        Your question
      </label>
      <textarea
        ref={box}
        id={boxId}
        class="composer-box"
        data-testid="question-box"
        rows={1}
        dir="auto"
        autocomplete="off"
        enterkeyhint="search"
        placeholder="Ask a question that takes more than one step"
        aria-describedby={`${boxId}-note`}
        aria-autocomplete="list"
        aria-controls={listId}
        {...(completions.active < 0 ? {} : { 'aria-activedescendant': `${listId}-${completions.active}` })}
        value={text}
        onInput={(event) => {
          const { value } = event.currentTarget;
          app.setDraft(value);
          if (value.length > maxQuestionCharacters) event.currentTarget.value = app.draft.peek();
          completions.ask(event.currentTarget, event.isComposing);
        }}
        onBlur={completions.close}
        onClick={completions.close}
        onPaste={(event) => {
          // A megabyte in a text area freezes its layout: what is too much never gets in.
          const pasted = event.clipboardData?.getData('text/plain') ?? '';
          const { selectionStart, selectionEnd, value } = event.currentTarget;
          const room = maxQuestionCharacters - (value.length - (selectionEnd - selectionStart));
          if (pasted.length <= room) return;
          event.preventDefault();
          event.currentTarget.setRangeText(cutText(pasted, Math.max(0, room)), selectionStart, selectionEnd, 'end');
          app.setDraft(event.currentTarget.value);
          app.draftNotice.value = `The pasted text is longer than a question may be. Its first part was kept, up to ${maxQuestionCharacters.toLocaleString('en')} characters in all.`;
        }}
        onKeyDown={(event) => {
          if (completions.takesKey(event, event.currentTarget)) return;
          if (!sendsQuestion(event)) return;
          event.preventDefault();
          completions.close();
          void app.ask().catch(app.report);
        }}
      />
      <CompletionList id={listId} completions={completions} box={() => box.current} />
      {app.method.value?.id === 'table' ? <TableFields app={app} boxId={boxId} /> : null}
      <div class="composer-foot">
        <div class="composer-options">
          {app.hasLlm.value ? (
            <>
              <label class="option">
                <input type="checkbox" checked={app.preferences.value.checkPlan} onChange={(event) => app.setPreferences({ checkPlan: event.currentTarget.checked })} />
                <span>Let me check the plan first</span>
              </label>
              <button type="button" class="button button-link option-method" data-testid="choose-method" aria-haspopup="dialog" onClick={() => (app.isChoosingMethod.value = true)}>
                <span class="visually-hidden">How to search: </span>
                {app.method.value?.label ?? 'Method'}
                {app.method.value !== undefined && heeds(app.method.value).effort ? `, ${effortLabels[app.preferences.value.effort][0].toLowerCase()}` : ''}
                <Icon name="down" />
              </button>
            </>
          ) : null}
        </div>
        <div class="composer-buttons">
          {isLive ? (
            <button type="button" class="button button-stop" data-testid="stop" disabled={app.isStopping.value} onClick={app.stop}>
              <Icon name="stop" />
              {app.isStopping.value ? 'Stopping' : 'Stop'}
            </button>
          ) : null}
          <button type="submit" class="button button-primary" data-testid="ask">
            Ask
          </button>
        </div>
      </div>
      <p class="composer-note" id={`${boxId}-note`} aria-live="polite">
        {app.draftNotice.value}
      </p>
    </form>
  );
}
