/**
 * Completions under the question box, after the list autocomplete pattern of ARIA 1.2. A text area may not take the role of a combobox, so it stays a textbox with
 * `aria-autocomplete`, `aria-controls` and `aria-activedescendant`. Nothing is chosen until an arrow key or the pointer chooses it: Enter goes on asking the question.
 */
import { useEffect, useRef, useState } from 'preact/hooks';
import type { App } from '../app.ts';
import { completed } from '../completion.ts';

const delayMs = 120;

export interface Completions {
  readonly items: readonly string[];
  /** -1: none. */
  readonly active: number;
  /** Asks for completions of what stands before the caret; call it after each input. */
  ask(box: HTMLTextAreaElement, isComposing: boolean): void;
  readonly close: () => void;
  /** True if the key was meant for the list and is used up. */
  takesKey(event: KeyboardEvent, box: HTMLTextAreaElement): boolean;
  accept(box: HTMLTextAreaElement, index: number): void;
}

export function useCompletions(app: App): Completions {
  const [items, setItems] = useState<readonly string[]>([]);
  const [active, setActive] = useState(-1);
  const latest = useRef(0);
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  const close = (): void => {
    latest.current++;
    clearTimeout(timer.current);
    setItems([]);
    setActive(-1);
  };
  useEffect(() => () => clearTimeout(timer.current), []);

  function accept(box: HTMLTextAreaElement, index: number): void {
    const item = items[index];
    const caret = box.selectionStart;
    close();
    if (item === undefined) return;
    const before = completed(box.value.slice(0, caret), item);
    box.setRangeText(before, 0, caret, 'end');
    app.setDraft(box.value);
  }

  return {
    items,
    active,
    close,
    accept,
    ask(box, isComposing) {
      close();
      const before = box.value.slice(0, box.selectionStart);
      // Inside of a word or of a selection there is nothing to complete.
      if (isComposing || box.selectionStart !== box.selectionEnd || /^[\p{L}\p{N}]/u.test(box.value.slice(box.selectionEnd)) || before.trim() === '') return;
      const asked = latest.current;
      timer.current = setTimeout(() => {
        void app.completions(before).then((found) => {
          if (asked === latest.current && document.activeElement === box) setItems(found);
        }, app.report);
      }, delayMs);
    },
    takesKey(event, box) {
      if (items.length === 0 || event.isComposing || event.keyCode === 229 || event.shiftKey || event.altKey || event.ctrlKey || event.metaKey) return false;
      if (event.key === 'ArrowDown') setActive(active + 1 >= items.length ? -1 : active + 1);
      else if (event.key === 'ArrowUp') setActive(active < 0 ? items.length - 1 : active - 1);
      else if (event.key === 'Escape') close();
      else if (event.key === 'Enter' && active >= 0) accept(box, active);
      else return false;
      event.preventDefault();
      return true;
    },
  };
}

export function CompletionList({ id, completions, box }: { readonly id: string; readonly completions: Completions; readonly box: () => HTMLTextAreaElement | null }) {
  const { items, active } = completions;
  return (
    <>
      <ul class="completions" id={id} role="listbox" aria-label="Completions" data-testid="completions" hidden={items.length === 0}>
        {items.map((item, i) => (
          <li
            key={item}
            id={`${id}-${i}`}
            role="option"
            aria-selected={i === active}
            dir="auto"
            onPointerDown={(event) => {
              // The box keeps the focus.
              event.preventDefault();
              const element = box();
              if (element !== null) completions.accept(element, i);
            }}
          >
            {item}
          </li>
        ))}
      </ul>
      <span class="visually-hidden" role="status">
        {items.length === 0 ? '' : `${items.length} ${items.length === 1 ? 'completion' : 'completions'}, arrow keys choose`}
      </span>
    </>
  );
}
