/** How a question is pursued: the method, how thorough it is, and the settings that the chosen method heeds. */
import type { Method } from '../../agent/harness.ts';
import type { App } from '../app.ts';
import { efforts } from '../preferences.ts';
import { defaultWishes, effortLabels, heeds, methodKinds, wishLimits, type NumberWish } from '../run-options.ts';
import { visibleLine } from '../text/display.ts';
import { Notice } from './controls.tsx';
import { Dialog } from './dialog.tsx';
import { Icon } from './icon.tsx';
import '../styles/method.css';

const kinds = ['default', 'method', 'baseline'] as const satisfies readonly Method['kind'][];

export function MethodPanel({ app }: { readonly app: App }) {
  const close = (): void => {
    app.isChoosingMethod.value = false;
  };
  return (
    <Dialog onClose={close} testId="method-panel" labelledBy="method-heading">
      <div class="dialog-head">
        <h2 id="method-heading">How to search</h2>
        <button type="button" class="button button-icon" aria-label="Close" onClick={close}>
          <Icon name="cross" />
        </button>
      </div>
      {app.hasLlm.value ? null : <Notice tone="info">Most methods need a language model. Without one the best sentences are shown.</Notice>}
      {kinds.map((kind) => (
        <Methods key={kind} app={app} kind={kind} />
      ))}
      <RunSettings app={app} />
      <div class="row">
        <button type="button" class="button button-primary" onClick={close}>
          Done
        </button>
      </div>
    </Dialog>
  );
}

function Methods({ app, kind }: { readonly app: App; readonly kind: Method['kind'] }) {
  const [title, about] = methodKinds[kind];
  const chosen = app.method.value?.id;
  return (
    <fieldset class="choices">
      <legend>{title}</legend>
      <p class="slot-facts">{about}</p>
      {app.methods.value
        .filter((method) => method.kind === kind)
        .map((method) => {
          const isUsable = !method.needsLlm || app.hasLlm.value;
          return (
            <div key={method.id} class="method" data-testid="method" data-method={method.id}>
              <label class="choice">
                <input type="radio" name="method" checked={method.id === chosen} disabled={!isUsable} onChange={() => app.chooseMethod(method.id)} />
                <span>
                  <span class="method-name">{method.label}</span>
                  <span class="slot-facts">{method.description}</span>
                  <span class="slot-facts method-source">{method.source}</span>
                </span>
              </label>
              {method.differences === '' ? null : (
                <details class="more method-more">
                  <summary>
                    What differs from the source<span class="visually-hidden"> in {method.label}</span>
                  </summary>
                  <p class="slot-facts">{method.differences}</p>
                </details>
              )}
            </div>
          );
        })}
    </fieldset>
  );
}

function RunSettings({ app }: { readonly app: App }) {
  const method = app.method.value;
  const { effort, wishes } = app.preferences.value;
  if (method === undefined) return null;
  const heed = heeds(method);
  const numbers: readonly NumberWish[] = [
    ...(heed.rounds ? (['rounds', 'shown'] as const) : []),
    ...(heed.search ? (['retrieve'] as const) : []),
    ...(heed.samples ? (['samples'] as const) : []),
    ...(heed.seed ? (['seed'] as const) : []),
  ];
  const isChanged = JSON.stringify(wishes) !== JSON.stringify(defaultWishes);
  const [word, about] = effortLabels[effort];
  return (
    <fieldset class="choices">
      <legend>Settings of {method.label}</legend>
      {heed.effort ? (
        <div class="effort">
          <label class="field-label" for="effort">
            From quick to thorough: <output for="effort">{word}</output>
          </label>
          <input
            id="effort"
            type="range"
            min={0}
            max={efforts.length - 1}
            step={1}
            value={efforts.indexOf(effort)}
            aria-valuetext={word}
            onInput={(event) => {
              const next = efforts[Number(event.currentTarget.value)];
              if (next !== undefined) app.setPreferences({ effort: next });
            }}
          />
          <p class="slot-facts">{about}</p>
        </div>
      ) : null}
      {numbers.length === 0 ? <p class="slot-facts">This method has nothing to set.</p> : null}
      <div class="wishes">
        {numbers.map((name) => {
          const { min, max, label, about: meaning } = wishLimits[name];
          return (
            <div key={name} class="wish">
              <label class="field-label" for={`wish-${name}`}>
                {label}
              </label>
              <input
                id={`wish-${name}`}
                class="field"
                type="number"
                inputMode="numeric"
                min={min}
                max={max}
                step={1}
                placeholder="as usual"
                aria-describedby={`wish-${name}-about`}
                value={wishes[name] ?? ''}
                onChange={(event) => {
                  const given = event.currentTarget.valueAsNumber;
                  app.setPreferences({ wishes: { ...wishes, [name]: Number.isFinite(given) ? Math.min(max, Math.max(min, Math.round(given))) : null } });
                }}
              />
              <p class="slot-facts" id={`wish-${name}-about`}>
                {meaning}
              </p>
            </div>
          );
        })}
      </div>
      {heed.search ? (
        <>
          <label class="choice">
            <input type="checkbox" checked={wishes.dense} onChange={(event) => app.setPreferences({ wishes: { ...wishes, dense: event.currentTarget.checked } })} />
            <span>Search by meaning as well, where an embedding model is loaded</span>
          </label>
          <label class="choice">
            <input type="checkbox" checked={wishes.links} onChange={(event) => app.setPreferences({ wishes: { ...wishes, links: event.currentTarget.checked } })} />
            <span>Follow links between passages</span>
          </label>
        </>
      ) : null}
      {heed.planner ? <Planner app={app} /> : null}
      {isChanged ? (
        <div class="row">
          <button type="button" class="button button-quiet" onClick={() => app.setPreferences({ wishes: defaultWishes })}>
            Back to the usual settings
          </button>
        </div>
      ) : null}
    </fieldset>
  );
}

/** A second model that plans while the other one reads and answers. Only files that are at hand: choosing starts no download. */
function Planner({ app }: { readonly app: App }) {
  const rows = app.models.value.filter((row) => row.role === 'llm' && row.source !== 'endpoint' && row.state !== 'unavailable' && (row.source === 'stored' || row.source === 'local'));
  const { chosen, isLoading, error } = app.planner.value;
  return (
    <div class="wish">
      <label class="field-label" for="planner">
        Second model for planning
      </label>
      <select id="planner" class="field" value={chosen ?? ''} disabled={isLoading} onChange={(event) => void app.usePlanner(event.currentTarget.value === '' ? null : event.currentTarget.value)}>
        <option value="">None: one model does all</option>
        {rows.map((row) => (
          <option key={row.id} value={row.id}>
            {visibleLine(row.label)}
          </option>
        ))}
      </select>
      <p class="slot-facts" role="status">
        {isLoading ? 'Starting it' : 'Both models are in memory at the same time.'}
      </p>
      {error === '' ? null : <Notice tone="bad">{error}</Notice>}
    </div>
  );
}
