/** Passages found for the question as a whole. They come before anything else is ready and stay under the answer. */
import type { Hit } from '../../corpus/retriever.ts';
import type { App, Preview } from '../app.ts';
import { visibleLine } from '../text/display.ts';
import { formatCount, formatDuration, plural } from '../text/format.ts';
import { Notice } from './controls.tsx';
import { HitItem } from './passage.tsx';

/** Names of corpora by id; empty where there is only one, since then it says nothing. */
export function corpusNames(app: App): ReadonlyMap<string, string> {
  const complete = app.corpora.value.filter((corpus) => corpus.state === 'complete');
  if (complete.length < 2) return new Map();
  return new Map(complete.map((corpus) => [corpus.id, corpus.kind === 'own' ? 'Your documents' : visibleLine(corpus.name)]));
}

function summaryOf({ result, isSearching }: Preview): string {
  if (result === null) return 'Searching';
  const how = result.usedDense ? 'by words and meaning' : 'by words';
  const base = `${result.hits.length === 0 ? 'No passage' : `${formatCount(result.hits.length)} best`} of ${plural(result.searched, 'passage')}, ${how}, in ${formatDuration(result.ms)}`;
  return isSearching ? `${base}. Searching by meaning as well` : base;
}

export function Results({ app, heading }: { readonly app: App; readonly heading: string }) {
  const preview = app.preview.value;
  if (preview === null) return null;
  const names = corpusNames(app);
  const { result, error } = preview;
  const item = (hit: Hit) => <HitItem key={hit.passage.id} hit={hit} corpus={names.get(hit.passage.corpus) ?? ''} testId="result" />;
  const twins = result?.hits.filter((hit) => hit.repeats !== undefined) ?? [];
  const isEmptyLibrary = !app.corpora.value.some((corpus) => corpus.state === 'complete');
  return (
    <section class="results" data-testid="results" aria-label={heading} aria-busy={preview.isSearching}>
      <div class="section-head">
        <h2>{heading}</h2>
        <p class="section-note figures">{summaryOf(preview)}</p>
      </div>
      {error === null ? null : <Notice tone="warn">{error.message}</Notice>}
      {isEmptyLibrary ? <p class="empty">Nothing is in the library yet. Import the demo shard or add documents, and passages appear here as you type.</p> : null}
      {result !== null && result.hits.length > 0 ? (
        <ol class="hits">
          {result.hits.filter((hit) => hit.repeats === undefined).map(item)}
        </ol>
      ) : null}
      {twins.length > 0 ? (
        <details class="hit-twins" data-testid="twins">
          <summary>{plural(twins.length, 'passage')} that nearly repeat one above</summary>
          <ol class="hits">{twins.map(item)}</ol>
        </details>
      ) : null}
    </section>
  );
}
