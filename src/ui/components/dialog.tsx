/**
 * A modal dialog, open for as long as it is drawn; left by Escape, by its own buttons, or by a click beside it. When it goes, the focus is back where it was before.
 */
import type { ComponentChildren, RefObject } from 'preact';
import { useLayoutEffect, useRef } from 'preact/hooks';

interface DialogProps {
  /** Whoever draws the dialog stops drawing it then. May be called once more after it is gone. */
  readonly onClose: () => void;
  readonly testId: string;
  /** Id of the heading. */
  readonly labelledBy: string;
  readonly elementRef?: RefObject<HTMLDialogElement | null>;
  readonly children: ComponentChildren;
}

export function Dialog({ onClose, testId, labelledBy, elementRef, children }: DialogProps) {
  const own = useRef<HTMLDialogElement>(null);
  const element = elementRef ?? own;
  useLayoutEffect(() => {
    const dialog = element.current;
    dialog?.showModal();
    // Closed before it is taken off the page (passive effects end later): a dialog that is only removed takes the focus with it.
    return () => dialog?.close();
  }, []);
  return (
    <dialog
      ref={element}
      class="dialog"
      data-testid={testId}
      aria-labelledby={labelledBy}
      onClose={onClose}
      onClick={(event) => {
        if (event.target === event.currentTarget) onClose();
      }}
    >
      <div class="dialog-body">{children}</div>
    </dialog>
  );
}
