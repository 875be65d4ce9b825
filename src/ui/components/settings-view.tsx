/** Wishes that last: looks, plan check, effort. And what the page is. */
import type { App } from '../app.ts';
import { efforts, themes, type Preferences } from '../preferences.ts';
import { effortLabels } from '../run-options.ts';
import { Privacy } from './privacy.tsx';

const themeLabels: Readonly<Record<Preferences['theme'], string>> = { system: 'As the system', light: 'Light', dark: 'Dark' };

export function SettingsView({ app }: { readonly app: App }) {
  const preferences = app.preferences.value;
  const device = app.device.value;
  return (
    <div class="page" data-testid="settings">
      <h1 tabIndex={-1}>Settings</h1>
      <section class="panel">
        <fieldset class="choices">
          <legend>Appearance</legend>
          {themes.map((theme) => (
            <label key={theme} class="choice">
              <input type="radio" name="theme" checked={preferences.theme === theme} onChange={() => app.setPreferences({ theme })} />
              <span>{themeLabels[theme]}</span>
            </label>
          ))}
        </fieldset>
        <fieldset class="choices">
          <legend>Plan</legend>
          <label class="choice">
            <input type="checkbox" checked={preferences.checkPlan} onChange={(event) => app.setPreferences({ checkPlan: event.currentTarget.checked })} />
            <span>
              Let me check the plan first
              <span class="slot-facts">The sub-questions wait until you let them run, and you can change them. Needs a language model.</span>
            </span>
          </label>
        </fieldset>
        <fieldset class="choices">
          <legend>Effort</legend>
          {efforts.map((effort) => (
            <label key={effort} class="choice">
              <input type="radio" name="effort" checked={preferences.effort === effort} onChange={() => app.setPreferences({ effort })} />
              <span>
                {effortLabels[effort][0]}
                <span class="slot-facts">{effortLabels[effort][1]}</span>
              </span>
            </label>
          ))}
        </fieldset>
      </section>
      <section class="panel" aria-labelledby="about-heading">
        <h2 id="about-heading">What leaves this device</h2>
        <Privacy app={app} />
      </section>
      <section class="panel" aria-labelledby="device-heading">
        <h2 id="device-heading">This device</h2>
        <p>{device?.summary ?? 'Looking at what this device can run.'}</p>
      </section>
    </div>
  );
}
