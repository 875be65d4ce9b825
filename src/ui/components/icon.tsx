/** The page's few icons, drawn as strokes in the text's colour. Always decoration: the control that holds one carries the words. */

const paths = {
  check: 'M3.5 8.5l3 3 6-7',
  cross: 'M4 4l8 8M12 4l-8 8',
  dash: 'M4 8h8',
  dot: 'M8 6.5a1.5 1.5 0 1 0 0 3a1.5 1.5 0 1 0 0-3',
  plus: 'M8 3.5v9M3.5 8h9',
  up: 'M8 12.5v-9M4.5 7L8 3.5L11.5 7',
  down: 'M8 3.5v9M4.5 9L8 12.5L11.5 9',
  warning: 'M8 2.5l6 10.5H2L8 2.5M8 6.5v3M8 11.2v.3',
  file: 'M4 2.5h5l3 3v8H4v-11M9 2.5v3h3',
  stop: 'M4.5 4.5h7v7h-7z',
  arrow: 'M3 8h10M9 4l4 4-4 4',
} as const;

export type IconName = keyof typeof paths;

export function Icon({ name }: { readonly name: IconName }) {
  return (
    <svg class="icon" viewBox="0 0 16 16" width="16" height="16" aria-hidden="true" focusable="false">
      <path d={paths[name]} />
    </svg>
  );
}

/** The mark: two trails that meet in one find. */
export function Mark() {
  return (
    <svg class="mark" viewBox="0 0 32 32" width="26" height="26" aria-hidden="true" focusable="false">
      <path class="mark-trail" d="M8 6c0 7 8 6 8 13M24 6c0 7-8 6-8 13" />
      <circle class="mark-start" cx="8" cy="6" r="2.6" />
      <circle class="mark-start" cx="24" cy="6" r="2.6" />
      <circle class="mark-find" cx="16" cy="23" r="5" />
    </svg>
  );
}
