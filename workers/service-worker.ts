/// <reference lib="webworker" />
/**
 * The service worker: the page works offline after the first visit, and is isolated (COOP/COEP) where the host sends no such headers. Promises: one consistent
 * version at a time, a new version waits until a page asks for it, models and shards pass by untouched (they live in IndexedDB), foreign origins too.
 */
import type { BuildFiles } from '../tools/shell.ts';

declare const __BUILD__: BuildFiles;
declare const self: ServiceWorkerGlobalScope;

// Named once: the build puts the whole object wherever the name stands.
const built = __BUILD__;
const { version, headers } = built;
const shell = new Map(Object.entries(built.shell));
const later = new Set(built.later);
const shellCache = `foray-shell-${version}`;
/** Files outside the shell; their names carry a hash of their content, so that versions share the cache. */
const assetCache = 'foray-assets';
const scope = new URL(self.registration.scope);

self.addEventListener('install', (event) => {
  // No skipWaiting: pages of the old version keep their files until one of them asks for the new version.
  event.waitUntil(fillShell());
});

self.addEventListener('activate', (event) => {
  event.waitUntil(self.clients.claim());
});

self.addEventListener('message', (event) => {
  if (event.data === 'activate') void self.skipWaiting();
  if (event.data === 'tidy') event.waitUntil(dropOldFiles());
});

self.addEventListener('fetch', (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (request.method !== 'GET' || url.origin !== scope.origin || !url.pathname.startsWith(scope.pathname) || request.headers.has('range')) return;
  const path = url.pathname.slice(scope.pathname.length);
  if (path.startsWith('models/') || path.startsWith('shards/')) return;
  if (request.mode === 'navigate') event.respondWith(page(request, path));
  else if (shell.has(path)) event.respondWith(fromShell(path));
  else if (later.has(path) || path.startsWith('assets/')) event.respondWith(fromAssets(request, path));
});

async function fillShell(): Promise<void> {
  const cache = await caches.open(shellCache);
  await Promise.all(
    [...shell].map(async ([path, integrity]) => {
      // `no-cache` asks the host again: the browser's own cache may hold a file of the version before.
      const request = new Request(new URL(path, scope), { cache: 'no-cache', ...(integrity === '' ? {} : { integrity }) });
      const response = await fetch(request);
      if (!response.ok) throw new Error(`${path}: status ${response.status}`);
      await cache.put(new URL(path, scope), response);
    }),
  );
}

/** The shell for the page's own addresses. A deeper path would break its relative addresses, so it goes to the network, and to the page where there is none. */
async function page(request: Request, path: string): Promise<Response> {
  if (path === '' || path === 'index.html') return fromShell('index.html');
  if (shell.has(path)) return fromShell(path);
  try {
    return isolated(await fetch(request));
  } catch {
    return Response.redirect(scope.href, 302);
  }
}

async function fromShell(path: string): Promise<Response> {
  const url = new URL(path, scope);
  const kept = await (await caches.open(shellCache)).match(url);
  return isolated(kept ?? (await fetch(url)));
}

/** Also files of an earlier version, for tabs that still run it. */
async function fromAssets(request: Request, path: string): Promise<Response> {
  const kept = await caches.match(request.url);
  if (kept !== undefined) return isolated(kept);
  const response = await fetch(request);
  if (response.status === 200 && later.has(path)) {
    // A full disk must not cost the answer; the file is fetched again next time.
    const cache = await caches.open(assetCache);
    await cache.put(request.url, response.clone()).catch(() => {});
  }
  return isolated(response);
}

/** Adds the headers that the host did not send. Opaque and error responses cannot carry any. */
function isolated(response: Response): Response {
  if (response.status === 0 || response.type === 'opaqueredirect') return response;
  const all = new Headers(response.headers);
  for (const [name, value] of Object.entries(headers)) if (!all.has(name)) all.set(name, value);
  const hasBody = ![101, 204, 205, 304].includes(response.status);
  return new Response(hasBody ? response.body : null, { status: response.status, statusText: response.statusText, headers: all });
}

/** Another tab may still run the version before and load a part of it late: its files go only when this is the one tab. */
async function dropOldFiles(): Promise<void> {
  if ((await self.clients.matchAll({ type: 'window', includeUncontrolled: true })).length > 1) return;
  for (const name of await caches.keys()) if (name.startsWith('foray-shell-') && name !== shellCache) await caches.delete(name);
  const cache = await caches.open(assetCache);
  for (const request of await cache.keys()) {
    if (!later.has(new URL(request.url).pathname.slice(scope.pathname.length))) await cache.delete(request);
  }
}
