/** What a run of the page's lab searches: the whole library, one corpus of it, or the passages that the file of questions brings along. */
import { useEffect, useRef, useState } from 'preact/hooks';
import type { CorpusStatus, Library } from '../../api.ts';
import type { PassageRecord } from '../../lab/datasets.ts';
import { visibleLine } from '../text/display.ts';
import { formatCount, plural } from '../text/format.ts';

/** `one`: the id of a complete corpus. */
export type CorpusChoice = { readonly kind: 'library' } | { readonly kind: 'one'; readonly id: string } | { readonly kind: 'context' };

/** The complete corpora; null until they are known. */
export function useCorpora(library: Library): readonly CorpusStatus[] | null {
  const [corpora, setCorpora] = useState<readonly CorpusStatus[] | null>(null);
  useEffect(() => library.watch((all) => setCorpora(all.filter(({ state }) => state === 'complete'))), [library]);
  return corpora;
}

/** The name of a corpus in the records of a run: what is in it counts, so its size stands with it. */
export function corpusLabel(choice: CorpusChoice, corpora: readonly CorpusStatus[], file: string, passages: readonly PassageRecord[]): string {
  if (choice.kind === 'context') return `context:${file}@${passages.length}`;
  return chosenOf(choice, corpora).map(({ id, passages: count }) => `${id}@${count}`).join('+') || 'empty';
}

export function chosenOf(choice: CorpusChoice, corpora: readonly CorpusStatus[]): readonly CorpusStatus[] {
  return choice.kind === 'one' ? corpora.filter(({ id }) => id === choice.id) : choice.kind === 'library' ? corpora : [];
}

export interface CorpusFieldsProps {
  readonly choice: CorpusChoice;
  readonly onChoose: (choice: CorpusChoice) => void;
  readonly corpora: readonly CorpusStatus[] | null;
  /** How many passages the file of questions brings. */
  readonly context: number;
  readonly disabled: boolean;
}

export function CorpusFields({ choice, onChoose, corpora, context, disabled }: CorpusFieldsProps) {
  const all = corpora ?? [];
  const last = useRef('');
  const one = choice.kind === 'one' ? choice.id : (all.find(({ id }) => id === last.current) ?? all[0])?.id;
  const total = all.reduce((sum, { passages }) => sum + passages, 0);
  const chooseOne = (id: string): void => {
    last.current = id;
    onChoose({ kind: 'one', id });
  };
  return (
    <fieldset disabled={disabled}>
      <legend>Corpus</legend>
      <div class="lab-corpora">
        <label>
          <input type="radio" name="corpus" checked={choice.kind === 'library'} onChange={() => onChoose({ kind: 'library' })} /> My library{' '}
          <span class="soft">{corpora === null ? 'reading …' : all.length === 0 ? 'nothing is installed yet' : `${plural(all.length, 'corpus', 'corpora')}, ${formatCount(total)} passages`}</span>
        </label>
        <label>
          <input type="radio" name="corpus" disabled={one === undefined} checked={choice.kind === 'one'} onChange={() => one !== undefined && chooseOne(one)} /> One corpus of it
        </label>
        {choice.kind === 'one' ? (
          <label class="lab-one">
            Which{' '}
            <select value={choice.id} onChange={(event) => chooseOne(event.currentTarget.value)}>
              {all.map(({ id, name, passages }) => (
                <option key={id} value={id}>
                  {`${visibleLine(name)} (${formatCount(passages)} passages)`}
                </option>
              ))}
            </select>
          </label>
        ) : null}
        <label>
          <input type="radio" name="corpus" disabled={context === 0} checked={choice.kind === 'context'} onChange={() => onChoose({ kind: 'context' })} /> The questions' own passages{' '}
          <span class="soft">{context === 0 ? 'this file brings none' : `${formatCount(context)}, searched by words; they are not kept`}</span>
        </label>
      </div>
    </fieldset>
  );
}
