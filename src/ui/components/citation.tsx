/**
 * A numbered citation and the card that shows its passage: on hover, on keyboard focus, on tap. The card can be reached with pointer and keyboard, Escape closes
 * it, and it lies in the browser's top layer, so nothing can clip it; its place is computed to stay within the window.
 */
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import type { Citation } from '../../agent/events.ts';
import { visibleLine } from '../text/display.ts';
import { Icon } from './icon.tsx';
import { PassageTitle, QuotedPassage } from './passage.tsx';

const openDelayMs = 90;
const closeDelayMs = 240;
const edge = 8;

export interface CitationProps {
  readonly citation: Citation;
  readonly corpus: string;
  /** Unique on the page. */
  readonly id: string;
  /** Id of the entry in the list of sources. */
  readonly sourceId: string;
  readonly isOpen: boolean;
  readonly onOpen: () => void;
  readonly onClose: () => void;
}

export function CitationMark({ citation, corpus, id, sourceId, isOpen, onOpen, onClose }: CitationProps) {
  const button = useRef<HTMLButtonElement>(null);
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  const [isPinned, setPinned] = useState(false);
  const ignoreFocus = useRef(false);
  const cardId = `${id}-card`;

  const later = (ms: number, work: () => void): void => {
    clearTimeout(timer.current);
    timer.current = setTimeout(work, ms);
  };
  useEffect(() => () => clearTimeout(timer.current), []);
  useEffect(() => {
    if (!isOpen) setPinned(false);
  }, [isOpen]);

  const close = (): void => {
    clearTimeout(timer.current);
    onClose();
  };
  const leave = (event: PointerEvent): void => {
    if (event.pointerType !== 'touch' && !isPinned) later(closeDelayMs, onClose);
  };

  return (
    <span
      class="cite-holder"
      onKeyDown={(event) => {
        if (event.key !== 'Escape' || !isOpen) return;
        event.stopPropagation();
        close();
        if (document.activeElement !== button.current) {
          ignoreFocus.current = true;
          button.current?.focus();
        }
      }}
      onFocusOut={(event) => {
        // A press on plain text inside the card has no new focus; it must not close it.
        if (event.relatedTarget instanceof Node && !event.currentTarget.contains(event.relatedTarget)) close();
      }}
    >
      <button
        ref={button}
        type="button"
        class="cite"
        data-testid="citation"
        aria-expanded={isOpen}
        aria-controls={isOpen ? cardId : undefined}
        aria-label={`Source ${citation.n}: ${visibleLine(citation.evidence.passage.title)}`}
        onPointerEnter={(event) => {
          if (event.pointerType !== 'touch') later(isOpen ? 0 : openDelayMs, onOpen);
        }}
        onPointerLeave={leave}
        onFocus={() => {
          if (!ignoreFocus.current) onOpen();
          ignoreFocus.current = false;
        }}
        onClick={() => {
          clearTimeout(timer.current);
          if (isOpen && isPinned) {
            close();
            return;
          }
          setPinned(true);
          onOpen();
        }}
      >
        {citation.n}
      </button>
      {isOpen && button.current !== null ? (
        <CitationCard
          anchor={button.current}
          citation={citation}
          corpus={corpus}
          id={cardId}
          sourceId={sourceId}
          onEnter={() => clearTimeout(timer.current)}
          onLeave={leave}
          onClose={close}
        />
      ) : null}
    </span>
  );
}

interface CardProps {
  readonly anchor: HTMLElement;
  readonly citation: Citation;
  readonly corpus: string;
  readonly id: string;
  readonly sourceId: string;
  readonly onEnter: () => void;
  readonly onLeave: (event: PointerEvent) => void;
  readonly onClose: () => void;
}

function CitationCard({ anchor, citation, corpus, id, sourceId, onEnter, onLeave, onClose }: CardProps) {
  const card = useRef<HTMLSpanElement>(null);

  useLayoutEffect(() => {
    const element = card.current;
    if (element === null) return;
    // Where the popover interface is missing the card is an ordinary fixed box above the page.
    if (typeof element.showPopover === 'function' && !element.matches(':popover-open')) element.showPopover();
    const place = (): void => {
      const from = anchor.getBoundingClientRect();
      const view = document.documentElement;
      const { offsetWidth: width, offsetHeight: height } = element;
      const below = view.clientHeight - from.bottom;
      const isBelow = below >= height + edge * 2 || below >= from.top;
      const top = isBelow ? from.bottom + 4 : from.top - height - 4;
      const left = from.left + from.width / 2 - width / 2;
      element.style.left = `${Math.max(edge, Math.min(left, view.clientWidth - width - edge))}px`;
      element.style.top = `${Math.max(edge, Math.min(top, view.clientHeight - height - edge))}px`;
    };
    place();
    const body = element.querySelector<HTMLElement>('.card-body');
    const quote = element.querySelector('mark');
    if (body !== null && quote instanceof HTMLElement) body.scrollTop = Math.max(0, quote.offsetTop - body.offsetTop - 28);
    const outside = (event: PointerEvent): void => {
      if (event.target instanceof Node && !element.contains(event.target) && !anchor.contains(event.target)) onClose();
    };
    window.addEventListener('scroll', place, { passive: true });
    window.addEventListener('resize', place);
    document.addEventListener('pointerdown', outside);
    return () => {
      window.removeEventListener('scroll', place);
      window.removeEventListener('resize', place);
      document.removeEventListener('pointerdown', outside);
    };
  }, [anchor]);

  return (
    <span
      ref={card}
      id={id}
      class="card"
      popover="manual"
      role="dialog"
      aria-label={`Source ${citation.n}`}
      data-testid="citation-popover"
      onPointerEnter={onEnter}
      onPointerLeave={onLeave}
    >
      <span class="card-head">
        <span class="cite-number">{citation.n}</span>
        <span class="card-title">
          <PassageTitle passage={citation.evidence.passage} />
          {corpus === '' ? null : <bdi class="hit-corpus">{corpus}</bdi>}
        </span>
        <button type="button" class="button button-icon card-close" aria-label="Close" onClick={onClose}>
          <Icon name="cross" />
        </button>
      </span>
      <span class="card-body" tabIndex={0} role="group" aria-label="Passage with the quote marked">
        <QuotedPassage evidence={citation.evidence} />
      </span>
      <span class="card-foot">
        <a
          href={`#${sourceId}`}
          onClick={(event) => {
            // The address is for views; the list of sources is a place on this one.
            event.preventDefault();
            onClose();
            const target = document.getElementById(sourceId);
            target?.scrollIntoView({ block: 'center' });
            target?.focus({ preventScroll: true });
          }}
        >
          Show in the list of sources
        </a>
      </span>
    </span>
  );
}
