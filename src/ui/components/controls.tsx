/** Small controls that several views share: progress lines, buttons that ask before they delete, notices. */
import type { ComponentChildren } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import type { Progress } from '../../progress.ts';
import { visibleLine } from '../text/display.ts';
import { formatProgress, phaseLabels, progressShare } from '../text/format.ts';
import { Icon } from './icon.tsx';

/** Amounts, rate and time left under a bar; the bar is indeterminate while the total is unknown. */
export function ProgressLine({ progress, label }: { readonly progress: Progress; readonly label: string }) {
  const share = progressShare(progress);
  const item = visibleLine(progress.item);
  return (
    <div class="progress">
      {share === null ? <progress aria-label={label} /> : <progress aria-label={label} value={share} max={1} />}
      <p class="progress-text">
        <span>{phaseLabels[progress.phase]}</span>
        {item === '' ? null : (
          <bdi class="progress-item" title={item}>
            {item}
          </bdi>
        )}
        <span class="figures">{formatProgress(progress)}</span>
      </p>
    </div>
  );
}

export interface ConfirmButtonProps {
  readonly label: string;
  /** What is deleted, for screen readers and for the second step. */
  readonly what: string;
  readonly onConfirm: () => void;
}

/** Deleting takes two presses; the second step gives up by itself when the focus leaves it. */
export function ConfirmButton({ label, what, onConfirm }: ConfirmButtonProps) {
  const [isAsking, setAsking] = useState(false);
  const first = useRef<HTMLButtonElement>(null);
  const second = useRef<HTMLButtonElement>(null);
  const wasAsking = useRef(false);
  useEffect(() => {
    if (isAsking) second.current?.focus();
    else if (wasAsking.current && document.activeElement === document.body) first.current?.focus();
    wasAsking.current = isAsking;
  }, [isAsking]);
  if (!isAsking) {
    return (
      <button ref={first} type="button" class="button button-quiet" aria-label={`${label} ${what}`} onClick={() => setAsking(true)}>
        {label}
      </button>
    );
  }
  return (
    <span
      class="confirm"
      role="group"
      aria-label={`${label} ${what}?`}
      onKeyDown={(event) => {
        if (event.key === 'Escape') setAsking(false);
      }}
      onFocusOut={(event) => {
        if (event.relatedTarget instanceof Node && !event.currentTarget.contains(event.relatedTarget)) setAsking(false);
      }}
    >
      <button
        ref={second}
        type="button"
        class="button button-danger"
        onClick={() => {
          setAsking(false);
          onConfirm();
        }}
      >
        {label} for good
      </button>
      <button type="button" class="button button-quiet" onClick={() => setAsking(false)}>
        Keep
      </button>
    </span>
  );
}

export interface NoticeProps {
  readonly tone: 'info' | 'warn' | 'bad';
  readonly children: ComponentChildren;
  readonly onDismiss?: () => void;
}

/** Something the person should know, where it belongs. It is read out politely when it appears. */
export function Notice({ tone, children, onDismiss }: NoticeProps) {
  return (
    <div class={`notice notice-${tone}`} data-testid="notice" role={tone === 'bad' ? 'alert' : undefined}>
      {tone === 'info' ? null : <Icon name="warning" />}
      <div class="notice-body">{children}</div>
      {onDismiss === undefined ? null : (
        <button type="button" class="button button-icon" aria-label="Dismiss" onClick={onDismiss}>
          <Icon name="cross" />
        </button>
      )}
    </div>
  );
}
