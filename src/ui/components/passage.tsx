/** Text from shards, documents and models on the page: always text nodes, isolated in direction, quotes and query words in <mark>. */
import type { Evidence } from '../../agent/events.ts';
import type { Hit, Passage } from '../../corpus/retriever.ts';
import { fileOf, markedPieces, pathLabels, placeOf, snippetOf, visibleLine, visibleText, type Piece } from '../text/display.ts';

export function Pieces({ pieces }: { readonly pieces: readonly Piece[] }) {
  return <>{pieces.map((piece, index) => (piece.isMarked ? <mark key={index}>{piece.text}</mark> : <span key={index}>{piece.text}</span>))}</>;
}

/** Title, section, page of a passage on one line. */
export function PassageTitle({ passage }: { readonly passage: Passage }) {
  const place = [fileOf(passage), placeOf(passage)].filter((part) => part !== '').join(', ');
  return (
    <>
      <bdi class="passage-title">{visibleLine(passage.title)}</bdi>
      {place === '' ? null : (
        <>
          {' '}
          <bdi class="passage-place">{place}</bdi>
        </>
      )}
    </>
  );
}

/** The whole passage with the quote of the evidence marked. */
export function QuotedPassage({ evidence }: { readonly evidence: Evidence }) {
  return (
    <p class="source-text" dir="auto">
      <Pieces pieces={markedPieces(evidence.passage.text, [evidence.span])} />
    </p>
  );
}

export interface HitItemProps {
  readonly hit: Hit;
  /** Name of the corpus, '' where there is only one. */
  readonly corpus: string;
  readonly testId?: string;
  /** True where the run took a quote from this passage. */
  readonly isQuoted?: boolean;
}

/** One passage found: where it stands, the sentences that fit, how it was found; whole on demand. */
export function HitItem({ hit, corpus, testId, isQuoted = false }: HitItemProps) {
  const snippet = snippetOf(hit);
  const whole = visibleText(hit.passage.text);
  return (
    <li class="hit" data-testid={testId}>
      <p class="hit-head">
        <PassageTitle passage={hit.passage} />
        {isQuoted ? <span class="tag tag-strong">quoted</span> : null}
      </p>
      <p class="source-text hit-snippet" dir="auto">
        <Pieces pieces={snippet} />
      </p>
      <p class="hit-foot">
        {corpus === '' ? null : <bdi class="hit-corpus">{corpus}</bdi>}
        <span class="hit-paths">
          <span class="visually-hidden">Found by </span>
          {pathLabels(hit).map((label) => (
            <bdi key={label} class="tag">
              {label}
            </bdi>
          ))}
        </span>
      </p>
      {snippet.reduce((length, piece) => length + piece.text.length, 0) >= whole.trim().length ? null : (
        <details class="hit-whole">
          <summary>
            Whole passage<span class="visually-hidden"> of {visibleLine(hit.passage.title)}</span>
          </summary>
          <p class="source-text" dir="auto">
            {whole}
          </p>
        </details>
      )}
    </li>
  );
}
