/** What leaves the device, where the page says it. */
import type { App } from '../app.ts';
import { visibleLine } from '../text/display.ts';
import { privacy } from '../text/privacy.ts';
import { Notice } from './controls.tsx';

/** The same words wherever the page says it; while an own server answers, it says that instead. */
export function Privacy({ app }: { readonly app: App }) {
  const endpoint = app.endpoint.value;
  return (
    <div class="prose">
      {endpoint === null ? <p>{privacy.nothing}</p> : <Notice tone="warn">{`${privacy.endpoint} In use now: ${visibleLine(endpoint.label)}.`}</Notice>}
      <p>{privacy.downloads}</p>
      {endpoint === null ? <p>{privacy.endpoint}</p> : null}
    </div>
  );
}
