/** Three slots, always in sight: the library, the embedding model, the language model. Each says its state and has one button. */
import type { ComponentChildren } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import type { ModelStatus } from '../../engine/models.ts';
import type { AppError } from '../../errors.ts';
import type { Progress } from '../../progress.ts';
import type { App } from '../app.ts';
import { librarySlot, modelAction, modelFacts, modelStates, modelTone, slotRow, type StatusAction, type Tone } from '../status.ts';
import { visibleLine } from '../text/display.ts';
import { ProgressLine } from './controls.tsx';

function runAction(app: App, action: StatusAction): void {
  switch (action.kind) {
    case 'use':
      void app.useModel(action.id);
      return;
    case 'cancel':
      app.cancelModel(action.id);
      return;
    case 'unload':
      app.unloadModel(action.role);
      return;
    case 'import':
      void app.importShard(action.url);
      return;
    case 'pause':
      app.pauseImport(action.url);
      return;
    case 'open':
      app.view.value = 'library';
      return;
  }
}

export interface ActionButtonProps {
  readonly app: App;
  readonly action: StatusAction;
  /** What the button acts on, for those who hear only its name. */
  readonly about: string;
  readonly isPrimary?: boolean;
}

export function ActionButton({ app, action, about, isPrimary = false }: ActionButtonProps) {
  return (
    <button type="button" class={`button ${isPrimary ? 'button-primary' : 'button-plain'}`} onClick={() => runAction(app, action)}>
      {action.label}
      <span class="visually-hidden"> {about}</span>
    </button>
  );
}

interface SlotProps {
  readonly testId: string;
  readonly role: string;
  readonly tone: Tone;
  readonly state: string;
  readonly name: string;
  readonly facts: readonly string[];
  readonly progress: Progress | null;
  readonly error: AppError | null;
  readonly note: string;
  readonly children: ComponentChildren;
}

function Slot({ testId, role, tone, state, name, facts, progress, error, note, children }: SlotProps) {
  return (
    <div class={`slot slot-${tone}`} data-testid={testId} data-state={tone} role="group" aria-label={role}>
      <p class="slot-head">
        <span class="slot-role">{role}</span>
        <span class="slot-state">
          <span class="lamp" aria-hidden="true" />
          {state}
        </span>
      </p>
      <p class="slot-name">
        <bdi>{name}</bdi>
      </p>
      {progress === null ? <p class="slot-facts">{facts.join(', ')}</p> : <ProgressLine progress={progress} label={`${role}: ${state}`} />}
      {error === null ? null : <p class="slot-error">{error.message}</p>}
      {note === '' ? null : <p class="slot-note">{note}</p>}
      <div class="slot-buttons">{children}</div>
    </div>
  );
}

interface ModelSlotProps {
  readonly app: App;
  readonly role: 'llm' | 'embedder';
  readonly testId: string;
  readonly title: string;
  /** null until the device is known. */
  readonly row: ModelStatus | null;
}

function ModelSlot({ app, role, testId, title, row }: ModelSlotProps) {
  const change = (
    <button type="button" class="button button-link" onClick={() => (app.modelPanel.value = role)}>
      Change<span class="visually-hidden"> the {title.toLowerCase()}</span>
    </button>
  );
  if (row === null) {
    return (
      <Slot testId={testId} role={title} tone="idle" state="Checking" name="Looking at this device" facts={[]} progress={null} error={null} note="">
        {change}
      </Slot>
    );
  }
  const action = modelAction(row, app.loading.value.has(row.id));
  const note = row.state === 'ready' && row.reason !== '' ? row.reason : row.state === 'ready' && row.source === 'endpoint' ? 'Questions and passages are sent to it.' : '';
  return (
    <Slot
      testId={testId}
      role={title}
      tone={modelTone(row)}
      state={modelStates[row.state]}
      name={visibleLine(row.label)}
      facts={modelFacts(row)}
      progress={row.progress}
      error={row.state === 'failed' ? row.error : null}
      note={note}
    >
      {action === null ? null : <ActionButton app={app} action={action} about={visibleLine(row.label)} />}
      {change}
    </Slot>
  );
}

/** True while the window is too narrow for three slots side by side. */
function useNarrow(): boolean {
  const query = '(width < 48rem)';
  const [isNarrow, setNarrow] = useState(() => matchMedia(query).matches);
  useEffect(() => {
    const list = matchMedia(query);
    const follow = (): void => setNarrow(list.matches);
    list.addEventListener('change', follow);
    return () => list.removeEventListener('change', follow);
  }, []);
  return isNarrow;
}

/** `isCompact`: above an answer, where the strip must not push it out of sight; on a narrow window it folds to one line then. */
export function StatusStrip({ app, isCompact = false }: { readonly app: App; readonly isCompact?: boolean }) {
  const isNarrow = useNarrow();
  const mine = new Set(app.corpora.value.filter((corpus) => corpus.pausable).map((corpus) => corpus.sourceUrl));
  const library = librarySlot(app.corpora.value, app.firstShard, mine);
  const starting = [...app.imports.value.values()].find((item) => item.isActive && !app.corpora.value.some((corpus) => corpus.sourceUrl === item.url));
  const failed = [...app.imports.value.values()].find((item) => item.error !== null);
  const rows = app.models.value;
  const [embedder, llm] = [slotRow(rows, 'embedder'), slotRow(rows, 'llm')];
  const tones: Tone[] = [starting === undefined ? library.tone : 'busy', ...[embedder, llm].map((row) => (row === null ? 'idle' : modelTone(row)))];
  const strip = (
    <section class={isCompact ? 'strip strip-compact' : 'strip'} aria-label="What is loaded">
      <Slot
        testId="status-shard"
        role="Library"
        tone={starting === undefined ? library.tone : 'busy'}
        state={starting === undefined ? library.state : 'Importing'}
        name={library.name}
        facts={library.facts}
        progress={library.busy?.progress ?? starting?.progress ?? null}
        error={library.problem?.error ?? failed?.error ?? null}
        note=""
      >
        {starting === undefined && library.action !== null ? <ActionButton app={app} action={library.action} about={library.action.kind === 'open' ? '' : library.name} /> : null}
        {starting === undefined ? null : <ActionButton app={app} action={{ kind: 'pause', url: starting.url, label: 'Cancel' }} about="the import" />}
      </Slot>
      <ModelSlot app={app} role="embedder" testId="status-embedder" title="Search by meaning" row={embedder} />
      <ModelSlot app={app} role="llm" testId="status-llm" title="Language model" row={llm} />
    </section>
  );
  if (!isCompact || !isNarrow) return strip;
  const loaded = [library.tone === 'ready' ? library.name : '', ...[embedder, llm].map((row) => (row?.state === 'ready' ? visibleLine(row.label) : ''))].filter((name) => name !== '');
  return (
    <details class="more strip-fold" open={tones.includes('busy') || tones.includes('problem')}>
      <summary>
        Loaded: <bdi>{loaded.length === 0 ? 'nothing yet' : loaded.join(', ')}</bdi>
      </summary>
      {strip}
    </details>
  );
}
