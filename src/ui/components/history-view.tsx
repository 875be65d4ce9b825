/** Questions asked before: this session's and those stored on this device, newest first. Opening one shows the whole run again. */
import { useEffect } from 'preact/hooks';
import type { App } from '../app.ts';
import { stageOf, type RunView } from '../state.ts';
import { visibleLine } from '../text/display.ts';
import { ConfirmButton } from './controls.tsx';

const dates = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'short' });

function outcomeOf(run: RunView): string {
  const short = run.answer?.short ?? '';
  return short === '' ? stageOf(run) : visibleLine(short);
}

export function HistoryView({ app }: { readonly app: App }) {
  useEffect(() => app.refreshHistory(), []);
  const session = [...app.runs.value.values()].reverse();
  const inSession = new Set(session.map((run) => run.id));
  const stored = app.stored.value;
  const startedAt = new Map(stored.map((row) => [row.id, row.startedAt]));
  const earlier = stored.filter((row) => !inSession.has(row.id));
  const open = (id: string, label: string): void => void app.openRun(id, label).catch(app.report);
  const when = (ms: number | undefined): string => (ms === undefined || !Number.isFinite(ms) || Math.abs(ms) > 8.64e15 ? '' : dates.format(ms));
  return (
    <div class="page" data-testid="history">
      <h1 tabIndex={-1}>History</h1>
      <p class="page-lead">Kept on this device only. Opening a question shows its plan, passages and answer as they were.</p>
      {session.length === 0 && earlier.length === 0 ? <p class="empty">No question has been asked yet.</p> : null}
      {session.length === 0 ? null : (
        <section class="panel" aria-labelledby="session-heading">
          <h2 id="session-heading">This session</h2>
          <ul class="rows">
            {session.map((run) => (
              <li key={run.id} class="library-row" data-testid="history-row">
                <div class="library-main">
                  <button type="button" class="history-open" onClick={() => open(run.id, run.question)}>
                    <bdi>{visibleLine(run.question)}</bdi>
                  </button>
                  <p class="slot-facts">
                    <bdi>{outcomeOf(run)}</bdi>
                  </p>
                </div>
                <div class="library-buttons">
                  {app.liveId.value === run.id ? null : <ConfirmButton label="Delete" what="this run" onConfirm={() => void app.removeRun(run.id).catch(app.report)} />}
                </div>
              </li>
            ))}
          </ul>
        </section>
      )}
      {earlier.length === 0 ? null : (
        <section class="panel" aria-labelledby="earlier-heading">
          <h2 id="earlier-heading">Earlier</h2>
          <ul class="rows">
            {earlier.map((row) => (
              <li key={row.id} class="library-row" data-testid="history-row">
                <div class="library-main">
                  <button type="button" class="history-open" onClick={() => open(row.id, row.label)}>
                    <bdi>{visibleLine(row.label)}</bdi>
                  </button>
                  <p class="slot-facts">{when(startedAt.get(row.id))}</p>
                </div>
                <div class="library-buttons">
                  <ConfirmButton label="Delete" what="this run" onConfirm={() => void app.removeRun(row.id).catch(app.report)} />
                </div>
              </li>
            ))}
          </ul>
        </section>
      )}
    </div>
  );
}
