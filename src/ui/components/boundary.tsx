/** The last net: where drawing the page itself fails, the question is given back and the page can be drawn anew. */
import { Component, type ComponentChildren } from 'preact';
import type { App } from '../app.ts';

interface BoundaryProps {
  readonly app: App;
  readonly children: ComponentChildren;
}

export class Boundary extends Component<BoundaryProps, { readonly error: unknown }> {
  override state: { readonly error: unknown } = { error: null };

  static override getDerivedStateFromError(error: unknown): { error: unknown } {
    return { error: error ?? new Error('unknown') };
  }

  override render() {
    const { error } = this.state;
    if (error === null) return this.props.children;
    const { app } = this.props;
    return (
      <main class="main page broken">
        <h1>The page could not be drawn</h1>
        <p>Your question and your library are kept. Go back to the page; if that does not help, reload it.</p>
        <label class="field-label" for="kept-question">
          Your question
        </label>
        <textarea id="kept-question" class="field" rows={4} readOnly value={app.draft.peek()} />
        <div class="row">
          <button
            type="button"
            class="button button-primary"
            onClick={() => {
              app.shownId.value = null;
              app.view.value = 'ask';
              this.setState({ error: null });
            }}
          >
            Back to the page
          </button>
          <button type="button" class="button button-plain" onClick={() => location.reload()}>
            Reload
          </button>
        </div>
        <details class="more">
          <summary>For a report</summary>
          <p class="fault-detail">{error instanceof Error ? `${error.name}: ${error.message}` : 'It was no error object.'}</p>
        </details>
      </main>
    );
  }
}
