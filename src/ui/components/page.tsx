/** The whole page: header, banners, the view in sight, and the live region that tells stages. Also keeps the address's fragment and the view in step. */
import { useEffect, useRef } from 'preact/hooks';
import type { StorageNotice } from '../../corpus/worker-api.ts';
import { views, type App, type View } from '../app.ts';
import { stageOf, stepsDone, type RunView as RunState } from '../state.ts';
import { visibleLine } from '../text/display.ts';
import { privacy } from '../text/privacy.ts';
import { Boundary } from './boundary.tsx';
import { Composer } from './composer.tsx';
import { Notice } from './controls.tsx';
import { HistoryView } from './history-view.tsx';
import { LabView, LearningView, LibraryView, MethodPanel, PassageDialog } from './later.ts';
import { Mark } from './icon.tsx';
import { ModelPanel } from './model-panel.tsx';
import { Results } from './results.tsx';
import { RunView } from './run-view.tsx';
import { SettingsView } from './settings-view.tsx';
import { StatusStrip } from './status-strip.tsx';

const viewLabels: Readonly<Record<View, string>> = { ask: 'Ask', library: 'Library', history: 'History', learning: 'Learning', lab: 'Lab', settings: 'Settings' };

const storageNotices: Readonly<Record<StorageNotice, string>> = {
  'memory-only': 'The browser does not allow storing data here (private window?). Everything works until the page is closed, then it is lost.',
  newer: 'Another tab runs a newer version of Foray. This one writes nothing any more; reload it to go on.',
  blocked: 'Another tab holds the library in an older version. Close it or reload it.',
  cleared: 'The browser removed the library while it was open. Import the shard again in the Library.',
};

/** The view that a fragment such as `#library` names; anything else is the question box. */
export function viewOf(hash: string): View {
  return views.find((view) => `#${view}` === hash) ?? 'ask';
}

export function Page({ app }: { readonly app: App }) {
  return (
    <Boundary app={app}>
      <Shell app={app} />
    </Boundary>
  );
}

function Shell({ app }: { readonly app: App }) {
  const view = app.view.value;
  const main = useRef<HTMLElement>(null);
  const drawn = useRef<View>(view);
  const theme = app.preferences.value.theme;

  useEffect(() => {
    const follow = (): void => {
      app.view.value = viewOf(location.hash);
    };
    follow();
    window.addEventListener('hashchange', follow);
    return () => window.removeEventListener('hashchange', follow);
  }, []);

  useEffect(() => {
    document.title = view === 'ask' ? 'Foray' : `${viewLabels[view]} – Foray`;
    if (drawn.current === view) return;
    drawn.current = view;
    if (viewOf(location.hash) !== view) history.pushState(null, '', view === 'ask' ? location.pathname + location.search : `#${view}`);
    // A new view is a new page for those who do not see it: start at its heading.
    main.current?.querySelector<HTMLElement>('h1')?.focus({ preventScroll: true });
    window.scrollTo(0, 0);
  }, [view]);

  useEffect(() => {
    if (theme === 'system') delete document.documentElement.dataset['theme'];
    else document.documentElement.dataset['theme'] = theme;
  }, [theme]);

  return (
    <>
      <a
        class="skip"
        href="#main"
        onClick={(event) => {
          event.preventDefault();
          main.current?.focus();
        }}
      >
        Skip to the content
      </a>
      <header class="header">
        <button type="button" class="wordmark" onClick={app.newQuestion} aria-label="Foray: new question">
          <Mark />
          <span>Foray</span>
        </button>
        <nav class="nav" aria-label="Views">
          {views.map((item) => (
            <a
              key={item}
              href={item === 'ask' ? '#' : `#${item}`}
              aria-current={item === view ? 'page' : undefined}
              onClick={(event) => {
                if (event.metaKey || event.ctrlKey || event.shiftKey) return;
                event.preventDefault();
                app.view.value = item;
              }}
            >
              {viewLabels[item]}
            </a>
          ))}
        </nav>
      </header>
      <Banners app={app} />
      <main id="main" ref={main} class={`main main-${view}`} tabIndex={-1}>
        {view === 'ask' ? <AskView app={app} /> : view === 'library' ? <LibraryView app={app} /> : view === 'history' ? <HistoryView app={app} /> : view === 'learning' ? <LearningView app={app} /> : view === 'lab' ? <LabView services={app.lab} /> : <SettingsView app={app} />}
      </main>
      {app.modelPanel.value === null ? null : <ModelPanel app={app} />}
      {app.isChoosingMethod.value ? <MethodPanel app={app} /> : null}
      {app.passageTrail.value.length > 0 ? <PassageDialog app={app} /> : null}
      <Announcer app={app} />
    </>
  );
}

function AskView({ app }: { readonly app: App }) {
  const run = app.shown.value;
  const hasText = app.draft.value.trim() !== '';
  const endpoint = app.endpoint.value;
  if (run !== null) {
    return (
      <>
        <div class="ask-top">
          <Composer app={app} boxId="question" />
          <StatusStrip app={app} isCompact />
        </div>
        <RunView app={app} run={run} />
      </>
    );
  }
  return (
    <div class="first">
      <div class="first-head">
        <h1 tabIndex={-1}>Answers, with the sentences they rest on</h1>
        <p class="promise">{endpoint === null ? privacy.promise : 'Questions and passages go to the server that you set, and to nobody else.'}</p>
      </div>
      <Composer app={app} boxId="question" />
      {!hasText && app.examples.value.length > 0 ? (
        <section class="examples" aria-label="Examples">
          <h2 class="examples-head">For example</h2>
          <ul>
            {app.examples.value.map((example) => (
              <li key={example}>
                <button type="button" class="example" onClick={() => void app.ask(example).catch(app.report)}>
                  <bdi>{visibleLine(example)}</bdi>
                </button>
              </li>
            ))}
          </ul>
        </section>
      ) : null}
      <StatusStrip app={app} />
      {hasText ? <Results app={app} heading="Passages" /> : null}
    </div>
  );
}

function Banners({ app }: { readonly app: App }) {
  const notice = app.notice.value;
  const update = app.update.value;
  const live = app.liveId.value;
  const isElsewhere = live !== null && (app.view.value !== 'ask' || app.shownId.value !== live);
  const broken = app.broken.value;
  const canResume = broken !== null && (broken.model === null || app.hasLlm.value);
  const liveRun = live === null ? undefined : app.runs.value.get(live);
  return (
    <div class="banners">
      {notice === null ? null : (
        <Notice tone="warn">
          {storageNotices[notice]}
          {notice === 'newer' || notice === 'blocked' ? (
            <button type="button" class="button button-plain" onClick={() => location.reload()}>
              Reload
            </button>
          ) : null}
        </Notice>
      )}
      {app.safeStart.value ? (
        <Notice tone="warn" onDismiss={() => (app.safeStart.value = false)}>
          The page ended abruptly several times in a row, so it started without loading a model. A smaller model may help; questions and library are kept.
          <button type="button" class="button button-plain" onClick={() => location.reload()}>
            Start as usual
          </button>
        </Notice>
      ) : null}
      {update === null ? null : (
        <Notice tone="info" onDismiss={() => (app.update.value = null)}>
          A new version is ready.
          <button type="button" class="button button-plain" onClick={update}>
            Reload with it
          </button>
        </Notice>
      )}
      {broken === null || app.view.value !== 'ask' || app.shownId.value !== null ? null : (
        <Notice tone="info" onDismiss={app.dismissBroken}>
          <span>
            The page was closed before this question was answered: <bdi>{visibleLine(broken.question).slice(0, 120)}</bdi>
          </span>
          <button type="button" class="button button-plain" data-testid="resume" disabled={!canResume} onClick={() => void app.resumeBroken().catch(app.report)}>
            Go on
          </button>
          {canResume ? null : <span class="section-note">A language model must be loaded for it.</span>}
        </Notice>
      )}
      {isElsewhere && liveRun !== undefined ? (
        <Notice tone="info">
          <span>
            {stageOf(liveRun)}: <bdi>{visibleLine(liveRun.question).slice(0, 120)}</bdi>
          </span>
          <button type="button" class="button button-plain" onClick={() => void app.openRun(liveRun.id, liveRun.question).catch(app.report)}>
            Show
          </button>
          <button type="button" class="button button-plain" data-testid="stop" disabled={app.isStopping.value} onClick={app.stop}>
            Stop
          </button>
        </Notice>
      ) : null}
      {app.faults.value.map((fault) => (
        <Notice key={fault.id} tone="bad" onDismiss={() => app.dismissFault(fault.id)}>
          <p>{fault.text}</p>
          {fault.detail === '' ? null : <p class="fault-detail">{visibleLine(fault.detail)}</p>}
        </Notice>
      ))}
    </div>
  );
}

/** What is read out about a run: stages, and what a step found; never tokens. */
export function announcementOf(run: RunState | null): string {
  if (run === null) return '';
  if (run.phase === 'working' && run.plan !== null && run.plan.nodes.length > 1) {
    const { done, total } = stepsDone(run);
    const last = run.nodes.findLast((node) => node.id !== 0 && node.answer !== '');
    const found = last === undefined ? '' : ` Step ${last.id}: ${visibleLine(last.answer)}.`;
    return `${done} of ${total} steps done.${found}`;
  }
  const short = run.phase === 'ended' && run.answer !== null && run.answer.short !== '' ? `: ${visibleLine(run.answer.short)}` : '';
  return `${stageOf(run)}${short}.`;
}

function Announcer({ app }: { readonly app: App }) {
  return (
    <p class="visually-hidden" role="status" aria-live="polite" data-testid="announcer">
      {announcementOf(app.shown.value)}
    </p>
  );
}
