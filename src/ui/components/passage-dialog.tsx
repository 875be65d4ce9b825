/** One passage, whole, with what lies around it: the passages before and after, what it links to, what links to it. Each can be opened in its place, and left again. */
import { useEffect, useRef, useState } from 'preact/hooks';
import type { Evidence } from '../../agent/events.ts';
import type { Neighbours, Passage, PassageRef } from '../../corpus/retriever.ts';
import { isAbort } from '../../errors.ts';
import type { App } from '../app.ts';
import { markedPieces, visibleLine } from '../text/display.ts';
import { plural } from '../text/format.ts';
import { Dialog } from './dialog.tsx';
import { Icon } from './icon.tsx';
import { PassageTitle, Pieces } from './passage.tsx';
import { corpusNames } from './results.tsx';

interface Around {
  readonly passage: Passage | null;
  readonly neighbours: Neighbours | null;
}

const shownRefs = 8;

export function PassageDialog({ app }: { readonly app: App }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const trail = app.passageTrail.value;
  const current = trail.at(-1) ?? null;
  const id = current?.id ?? null;
  const [around, setAround] = useState<Around | null>(null);

  useEffect(() => {
    if (id === null || current === null) return;
    let isCurrent = true;
    const known = current.evidence?.passage ?? null;
    setAround(known === null ? null : { passage: known, neighbours: null });
    app.passageAround(id).then(
      (found) => {
        if (isCurrent) setAround({ passage: found.passage ?? known, neighbours: found.neighbours });
      },
      (error: unknown) => {
        if (isCurrent) setAround({ passage: known, neighbours: null });
        if (!isAbort(error)) app.report(error);
      },
    );
    // What is read begins at the top, and the focus follows for those who hear it.
    dialog.current?.scrollTo(0, 0);
    dialog.current?.querySelector<HTMLElement>('h2')?.focus();
    return () => {
      isCurrent = false;
    };
  }, [id]);

  if (current === null) return null;
  const names = corpusNames(app);
  const passage = around?.passage ?? null;
  const { evidence } = current;
  return (
    <Dialog elementRef={dialog} onClose={() => app.closePassage()} testId="passage-dialog" labelledBy="passage-heading">
      <div class="dialog-head">
        {trail.length > 1 ? (
          <button type="button" class="button button-plain" onClick={() => app.backPassage()}>
            Back
          </button>
        ) : (
          <span class="section-note">Passage</span>
        )}
        <button type="button" class="button button-icon" aria-label="Close" onClick={() => app.closePassage()}>
          <Icon name="cross" />
        </button>
      </div>
      <h2 id="passage-heading" tabIndex={-1}>
        {passage === null ? 'Passage' : <PassageTitle passage={passage} />}
      </h2>
      {passage === null ? null : names.size === 0 ? null : <bdi class="hit-corpus">{names.get(passage.corpus) ?? ''}</bdi>}
      {around === null ? <p class="working">Reading</p> : passage === null ? <p class="empty">This passage is no longer in the library.</p> : <PassageText passage={passage} evidence={evidence} />}
      {around?.neighbours === null || around?.neighbours === undefined ? null : <Surroundings app={app} neighbours={around.neighbours} />}
    </Dialog>
  );
}

function PassageText({ passage, evidence }: { readonly passage: Passage; readonly evidence: Evidence | null }) {
  const spans = evidence !== null && evidence.passage.id === passage.id ? [evidence.span] : [];
  return (
    <p class="source-text" dir="auto">
      <Pieces pieces={markedPieces(passage.text, spans)} />
    </p>
  );
}

function Surroundings({ app, neighbours }: { readonly app: App; readonly neighbours: Neighbours }) {
  const { previous, next } = neighbours;
  const step = (ref: PassageRef, label: string) => (
    <button type="button" class="button button-plain" onClick={() => app.showPassage(ref.id)}>
      {label}
      <span class="visually-hidden">: {visibleLine([ref.title, ref.section].filter((part) => part !== '').join(', '))}</span>
    </button>
  );
  return (
    <>
      {previous === null && next === null ? null : (
        <div class="row">
          {previous === null ? null : step(previous, 'Passage before')}
          {next === null ? null : step(next, 'Passage after')}
        </div>
      )}
      <Refs app={app} title="Links to" refs={neighbours.out} />
      <Refs app={app} title="Linked from" refs={neighbours.in} />
    </>
  );
}

function Refs({ app, title, refs }: { readonly app: App; readonly title: string; readonly refs: readonly PassageRef[] }) {
  if (refs.length === 0) return null;
  const item = (ref: PassageRef) => (
    <li key={ref.id}>
      <button type="button" class="example passage-ref" onClick={() => app.showPassage(ref.id)}>
        <bdi>{visibleLine(ref.title)}</bdi>
        {ref.section === '' ? null : <bdi class="section-note"> {visibleLine(ref.section)}</bdi>}
      </button>
    </li>
  );
  return (
    <section>
      <h3>{title}</h3>
      <ul class="examples">{refs.slice(0, shownRefs).map(item)}</ul>
      {refs.length > shownRefs ? (
        <details class="more">
          <summary>{plural(refs.length - shownRefs, 'more passage')}</summary>
          <ul class="examples">{refs.slice(shownRefs).map(item)}</ul>
        </details>
      ) : null}
    </section>
  );
}
