/** Puts the page into its element. The only door of `ui/` for `main.ts`, so that no markup stands outside this folder. */
import './styles/tokens.css';
import './styles/base.css';
import './styles/page.css';
import './styles/run.css';
import './styles/library.css';
import { render } from 'preact';
import type { App } from './app.ts';
import { preloadLater } from './components/later.ts';
import { Page } from './components/page.tsx';

export function mountPage(root: HTMLElement, app: App): void {
  root.replaceChildren();
  render(<Page app={app} />, root);
  // What comes later is fetched while nothing else is to do, so that it is there without a connection as well.
  const whenIdle = globalThis.requestIdleCallback ?? ((work: () => void) => setTimeout(work, 3000));
  whenIdle(() => void preloadLater().catch(() => undefined), { timeout: 10_000 });
}
