/** The final answer: as it is written, and finished with citations, mode label, sources. Everything in it is text. */
import { useState } from 'preact/hooks';
import type { Answer, AnswerSentence } from '../../agent/events.ts';
import type { App } from '../app.ts';
import { visibleLine, visibleText } from '../text/display.ts';
import { modeNotes, sentencesBeyondShort, unsupportedNote } from '../text/export.ts';
import { CitationMark } from './citation.tsx';
import { PassageTitle, QuotedPassage } from './passage.tsx';
import { corpusNames } from './results.tsx';

const sourceId = (n: number): string => `source-${n}`;

/** The text that has come so far; `[1]` is a plain number until the sources are known. */
export function StreamedAnswer({ text, isBrokenOff }: { readonly text: string; readonly isBrokenOff: boolean }) {
  const [first = '', ...rest] = visibleText(text).split('\n');
  return (
    <div class="answer" data-testid="answer" data-state={isBrokenOff ? 'partial' : 'streaming'}>
      {first === '' ? null : (
        <p class="answer-short" dir="auto">
          {first}
        </p>
      )}
      {rest
        .filter((line) => line.trim() !== '')
        .map((line, index) => (
          <p key={index} class="answer-sentence" dir="auto">
            {line.split(/(\[\d{1,3}\])/).map((part, i) =>
              /^\[\d+\]$/.test(part) ? (
                <span key={i} class="cite cite-plain">
                  {part.slice(1, -1)}
                </span>
              ) : (
                part
              ),
            )}
          </p>
        ))}
      {isBrokenOff ? <p class="answer-note">The answer breaks off here.</p> : null}
    </div>
  );
}

export function AnswerView({ app, answer }: { readonly app: App; readonly answer: Answer }) {
  const [open, setOpen] = useState<string | null>(null);
  const names = corpusNames(app);
  const byNumber = new Map(answer.citations.map((citation) => [citation.n, citation]));
  const listed = sentencesBeyondShort(answer);
  const [only] = answer.sentences;
  // One sentence that repeats the short answer: its citations belong to the short answer itself.
  const isOnlyShort = answer.short !== '' && answer.sentences.length === 1 && only?.text === answer.short;

  const marks = (sentence: AnswerSentence, place: string) =>
    sentence.cites.map((n) => {
      const citation = byNumber.get(n);
      const id = `cite-${place}-${n}`;
      if (citation === undefined) return null;
      return (
        <CitationMark
          key={id}
          id={id}
          citation={citation}
          corpus={names.get(citation.evidence.passage.corpus) ?? ''}
          sourceId={sourceId(n)}
          isOpen={open === id}
          onOpen={() => setOpen(id)}
          onClose={() => setOpen((current) => (current === id ? null : current))}
        />
      );
    });
  const unsupported = (sentence: AnswerSentence) => (sentence.supported ? null : <span class="unsupported-note">({unsupportedNote})</span>);

  return (
    <div class={`answer answer-${answer.mode}`} data-testid="answer" data-state="final" data-mode={answer.mode}>
      {modeNotes[answer.mode] === '' ? null : <p class="answer-mode">{modeNotes[answer.mode]}</p>}
      {answer.short === '' ? null : (
        <p class="answer-short" dir="auto">
          <bdi class={isOnlyShort && only?.supported === false && answer.mode !== 'closed-book' ? 'unsupported' : undefined}>{visibleText(answer.short)}</bdi>
          {isOnlyShort && only !== undefined ? marks(only, 'short') : null}
          {isOnlyShort && only !== undefined && answer.mode !== 'closed-book' ? unsupported(only) : null}
        </p>
      )}
      {isOnlyShort || listed.length === 0 ? null : (
        <>
          {answer.mode === 'not-found' ? <h3 class="answer-subhead">What was found on the way</h3> : null}
          <ol class={answer.mode === 'extractive' ? 'answer-sentences answer-quotes' : 'answer-sentences'}>
            {listed.map((sentence, index) => (
              <li key={index} class="answer-sentence" dir="auto">
                <bdi class={sentence.supported ? undefined : 'unsupported'}>{visibleText(sentence.text)}</bdi> {marks(sentence, String(index))}
                {unsupported(sentence)}
              </li>
            ))}
          </ol>
        </>
      )}
      {answer.mode === 'not-found' ? <p class="answer-note">Another wording, or another shard in the library, may help.</p> : null}
    </div>
  );
}

export function Sources({ app, answer }: { readonly app: App; readonly answer: Answer }) {
  const names = corpusNames(app);
  if (answer.citations.length === 0) return null;
  return (
    <section class="sources" aria-labelledby="sources-heading">
      <h2 id="sources-heading">Sources</h2>
      <ol class="source-list">
        {answer.citations.map((citation) => (
          <li key={citation.n} id={sourceId(citation.n)} class="source" tabIndex={-1} data-testid="source">
            <p class="hit-head">
              <span class="cite-number">{citation.n}</span>
              <PassageTitle passage={citation.evidence.passage} />
              {names.size === 0 ? null : <bdi class="hit-corpus">{visibleLine(names.get(citation.evidence.passage.corpus) ?? '')}</bdi>}
            </p>
            <QuotedPassage evidence={citation.evidence} />
          </li>
        ))}
      </ol>
    </section>
  );
}
