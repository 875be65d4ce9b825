/** All models of one kind, by size, with what each needs and why one cannot run here; for language models also a server of the person's own. */
import { useState } from 'preact/hooks';
import type { ModelStatus } from '../../engine/models.ts';
import type { App } from '../app.ts';
import { modelAction, modelFacts, modelStates, sortedRows } from '../status.ts';
import { visibleLine } from '../text/display.ts';
import { privacy } from '../text/privacy.ts';
import { ConfirmButton, Notice, ProgressLine } from './controls.tsx';
import { Dialog } from './dialog.tsx';
import { Icon } from './icon.tsx';
import { ActionButton } from './status-strip.tsx';

const titles = { llm: 'Language models', embedder: 'Models for search by meaning' } as const;

export function ModelPanel({ app }: { readonly app: App }) {
  const role = app.modelPanel.value;
  const close = (): void => {
    app.modelPanel.value = null;
  };
  if (role === null) return null;
  const rows = sortedRows(app.models.value, role);
  const runnable = rows.filter((row) => row.state !== 'unavailable');
  const others = rows.filter((row) => row.state === 'unavailable');
  return (
    <Dialog onClose={close} testId="model-panel" labelledBy="models-heading">
      <div class="dialog-head">
        <h2 id="models-heading">{titles[role]}</h2>
        <button type="button" class="button button-icon" aria-label="Close" onClick={close}>
          <Icon name="cross" />
        </button>
      </div>
      <p class="dialog-note">{app.device.value?.summary ?? 'Looking at what this device can run.'}</p>
      <ul class="rows">
        {runnable.map((row) => (
          <ModelRow key={row.id} app={app} row={row} />
        ))}
      </ul>
      {role === 'llm' ? <EndpointForm app={app} onUsed={close} /> : null}
      {others.length === 0 ? null : (
        <details class="more" open={runnable.length === 0}>
          <summary>{others.length === 1 ? '1 model that this device cannot run' : `${others.length} models that this device cannot run`}</summary>
          <ul class="rows">
            {others.map((row) => (
              <ModelRow key={row.id} app={app} row={row} />
            ))}
          </ul>
        </details>
      )}
    </Dialog>
  );
}

function ModelRow({ app, row }: { readonly app: App; readonly row: ModelStatus }) {
  const label = visibleLine(row.label);
  const action = modelAction(row, app.loading.value.has(row.id));
  const isStored = row.source === 'stored';
  return (
    <li class={`library-row model-${row.state}`} data-testid="model-row" data-model={row.id} data-state={row.state}>
      <div class="library-main">
        <p class="library-name">
          <bdi>{label}</bdi>
          {row.state === 'absent' || row.state === 'unavailable' ? null : <span class={`tag ${row.state === 'ready' ? 'tag-strong' : ''}`}>{modelStates[row.state]}</span>}
          {row.recommended && row.state !== 'ready' ? <span class="tag">suggested for this device</span> : null}
        </p>
        <p class="slot-facts">{modelFacts(row).join(', ')}</p>
        <p class="slot-facts">
          {visibleLine(row.note)} <span class="unbroken">Licence: {visibleLine(row.licence)}</span>
        </p>
        {row.progress === null ? null : <ProgressLine progress={row.progress} label={label} />}
        {row.error !== null && row.state === 'failed' ? <Notice tone="bad">{row.error.message}</Notice> : row.reason === '' ? null : <p class="reason">{visibleLine(row.reason)}</p>}
      </div>
      <div class="library-buttons">
        {action === null ? null : <ActionButton app={app} action={action} about={label} isPrimary={row.recommended && action.kind === 'use'} />}
        {isStored && row.state !== 'loading' && row.state !== 'downloading' ? <ConfirmButton label="Delete" what={label} onConfirm={() => app.removeModel(row.id)} /> : null}
      </div>
    </li>
  );
}

function EndpointForm({ app, onUsed }: { readonly app: App; readonly onUsed: () => void }) {
  const [url, setUrl] = useState('');
  const [model, setModel] = useState('');
  const [key, setKey] = useState('');
  const [remembers, setRemembers] = useState(false);
  const isBusy = app.loading.value.has('endpoint');
  const isUsable = /^https?:\/\/\S+$/i.test(url.trim()) && model.trim() !== '';
  return (
    <section class="endpoint" aria-labelledby="endpoint-heading">
      <h3 id="endpoint-heading">Your own server</h3>
      <p class="slot-facts">Any server with the OpenAI chat interface, for example one that runs on this computer. {privacy.endpoint}</p>
      <form
        class="endpoint-form"
        onSubmit={(event) => {
          event.preventDefault();
          if (!isUsable || isBusy) return;
          void app.useEndpoint(url.trim(), model.trim(), { key: key.trim(), remember: remembers }).then((isUsed) => {
            if (!isUsed) return;
            setKey('');
            onUsed();
          });
        }}
      >
        <label class="field-label" for="endpoint-url">
          Address
        </label>
        <input
          id="endpoint-url"
          class="field"
          type="text"
          inputMode="url"
          autocomplete="off"
          spellcheck={false}
          maxLength={500}
          placeholder="http://localhost:11434/v1"
          value={url}
          onInput={(event) => setUrl(event.currentTarget.value)}
        />
        <label class="field-label" for="endpoint-model">
          Model name
        </label>
        <input
          id="endpoint-model"
          class="field"
          type="text"
          autocomplete="off"
          spellcheck={false}
          maxLength={200}
          placeholder="as the server calls it"
          value={model}
          onInput={(event) => setModel(event.currentTarget.value)}
        />
        <label class="field-label" for="endpoint-key">
          Key, if the server wants one
        </label>
        <input
          id="endpoint-key"
          class="field"
          type="password"
          autocomplete="off"
          spellcheck={false}
          maxLength={500}
          aria-describedby="endpoint-key-note"
          value={key}
          onInput={(event) => setKey(event.currentTarget.value)}
        />
        <p class="slot-facts" id="endpoint-key-note">
          Sent to this server only. It is forgotten when the page is closed, unless you tick the box.
        </p>
        <label class="choice">
          <input type="checkbox" checked={remembers} onChange={(event) => setRemembers(event.currentTarget.checked)} />
          <span>Remember the server and its key on this device</span>
        </label>
        <div class="row">
          <button type="submit" class="button button-plain" disabled={!isUsable || isBusy}>
            {isBusy ? 'Connecting' : 'Use this server'}
          </button>
          {isBusy ? (
            <button type="button" class="button button-quiet" onClick={() => app.cancelModel('endpoint')}>
              Cancel
            </button>
          ) : null}
        </div>
      </form>
      {app.endpointError.value === null ? null : <Notice tone="bad">{app.endpointError.value}</Notice>}
      <p class="slot-facts">The page may reach servers on this computer; others only where its host allows them.</p>
    </section>
  );
}
