/**
 * The entry: reads the address, builds the searcher, mounts the page. Everything that lives as long as the page is made here and passed on.
 */
import { parseLaunch } from './launch.ts';
import { registerServiceWorker } from './offline.ts';
import { readPageJson, readPageText } from './page-files.ts';
import { noteEnd, noteStart } from './safe-start.ts';
import { createSearcher } from './searcher.ts';
import { createApp } from './ui/app.ts';
import { mountPage } from './ui/mount.tsx';

/** Relative to the page. */
const firstShard = 'shards/demo/';

/** Storage that is forbidden throws when it is only looked at. */
function pageStorage(kind: 'localStorage' | 'sessionStorage'): Storage | null {
  try {
    return globalThis[kind] ?? null;
  } catch {
    return null;
  }
}

const session = pageStorage('sessionStorage');
const isSafeStart = noteStart(session, Date.now());
addEventListener('pagehide', () => noteEnd(session));

const base = new URL('.', document.baseURI).href;
const readJson = (path: string): Promise<unknown> => readPageJson(base, path);
const searcher = createSearcher({ base, firstShard: isSafeStart ? null : firstShard, restoresModels: !isSafeStart, readJson });
// The benchmark, the tests and the person's own scripts work through the same surface as the page.
Object.assign(globalThis, { foray: searcher });
const app = createApp({
  searcher,
  base,
  firstShard,
  launch: parseLaunch(location.search),
  storage: pageStorage('localStorage'),
  isSafeStart,
  readJson,
  readText: (path) => readPageText(base, path),
  now: () => performance.now(),
});

addEventListener('unhandledrejection', (event) => app.report(event.reason));
addEventListener('error', (event) => {
  if (event.error !== null && event.error !== undefined) app.report(event.error);
});

const root = document.getElementById('app');
if (root === null) throw new Error('The page has no element #app.');
mountPage(root, app);

await registerServiceWorker({
  onUpdate: (apply) => {
    app.update.value = apply;
  },
  mayReload: app.mayReload,
});
