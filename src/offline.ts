/**
 * The page's side of the service worker: registration, the one reload that gives isolation where the host sends no headers, and the notice of a new version.
 * Promises: never a reload without `mayReload`, never more than one of its own in a tab, and no failure here ever stops the page.
 */

export interface ServiceWorkerOptions {
  /** A new version is ready. `apply` switches to it and reloads this page; call it on the person's wish only. */
  readonly onUpdate: (apply: () => void) => void;
  /** Asked just before the reload that gives isolation (threads): false where something would be lost (a run, typed text, an import). */
  readonly mayReload: () => boolean;
}

/** Marks in `sessionStorage` that this tab was reloaded for isolation once. */
const reloadMark = 'foray.reloaded-for-isolation';

/** Does nothing in the dev server, without service workers, or outside a secure context. Resolves when the registration is settled; never rejects. */
export async function registerServiceWorker(options: ServiceWorkerOptions): Promise<void> {
  // Private windows of some browsers have the object but refuse its use.
  const container = 'serviceWorker' in navigator ? navigator.serviceWorker : undefined;
  if (!import.meta.env.PROD || container === undefined) return;
  try {
    // Read before registering: a page that had no controller is new here, so that a later change of controller is no update.
    const wasControlled = container.controller !== null;
    const registration = await container.register(new URL('service-worker.js', document.baseURI), { scope: './', updateViaCache: 'none' });
    watchUpdates(container, registration, wasControlled, options.onUpdate);
    await container.ready;
    if (!globalThis.crossOriginIsolated) await reloadForIsolation(container, options.mayReload);
    container.controller?.postMessage('tidy');
  } catch {
    // A host that serves no worker script, or a browser that forbids it: everything but offline use and threads works.
  }
}

function watchUpdates(container: ServiceWorkerContainer, registration: ServiceWorkerRegistration, wasControlled: boolean, onUpdate: ServiceWorkerOptions['onUpdate']): void {
  let isApplying = false;
  const offer = (worker: ServiceWorker): void => {
    onUpdate(() => {
      isApplying = true;
      worker.postMessage('activate');
    });
  };
  if (registration.waiting !== null && wasControlled) offer(registration.waiting);
  registration.addEventListener('updatefound', () => {
    const worker = registration.installing;
    worker?.addEventListener('statechange', () => {
      if (worker.state === 'installed' && container.controller !== null) offer(worker);
    });
  });
  let isControlled = wasControlled;
  container.addEventListener('controllerchange', () => {
    if (isApplying) location.reload();
    // Another tab switched to the new version: this one goes on as it is until the person wants it.
    else if (isControlled) onUpdate(() => location.reload());
    isControlled = true;
  });
}

async function reloadForIsolation(container: ServiceWorkerContainer, mayReload: () => boolean): Promise<void> {
  if (sessionStorage.getItem(reloadMark) !== null) return;
  if (container.controller === null) await new Promise((resolve) => container.addEventListener('controllerchange', resolve, { once: true }));
  if (!mayReload()) return;
  // Marked first: where the mark cannot be kept this throws, and there is no reload that could repeat itself.
  sessionStorage.setItem(reloadMark, '1');
  location.reload();
}
