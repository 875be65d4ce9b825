/** Parts of the page that come when they are first drawn, so that the first screen stays small. What was fetched once is drawn at once. */
import type { ComponentType, JSX } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { Notice } from './controls.tsx';

type Load<P> = () => Promise<ComponentType<P>>;

export interface LazyComponent<P> {
  (props: P): JSX.Element | null;
  /** Fetches the part without drawing it. */
  preload(): Promise<void>;
}

/** `what`: for the message, should the part not come (no connection at the first use). */
export function lazy<P extends object>(what: string, load: Load<P>): LazyComponent<P> {
  let Loaded: ComponentType<P> | null = null;
  let loading: Promise<void> | null = null;
  const fetchPart = (): Promise<void> => {
    loading ??= load().then(
      (component) => {
        Loaded = component;
      },
      (error: unknown) => {
        loading = null;
        throw error;
      },
    );
    return loading;
  };

  function Part(props: P): JSX.Element | null {
    const [, draw] = useState(0);
    const [hasFailed, setFailed] = useState(false);
    const start = (): void => {
      setFailed(false);
      fetchPart().then(
        () => draw((n) => n + 1),
        () => setFailed(true),
      );
    };
    useEffect(() => {
      if (Loaded === null) start();
    }, []);
    if (Loaded !== null) return <Loaded {...props} />;
    if (!hasFailed) return <p class="working">Loading {what}</p>;
    return (
      <Notice tone="warn">
        <span>{what.charAt(0).toUpperCase() + what.slice(1)} could not be loaded. Check the connection.</span>
        <button type="button" class="button button-plain" onClick={start}>
          Try again
        </button>
      </Notice>
    );
  }
  return Object.assign(Part, { preload: () => fetchPart() });
}
