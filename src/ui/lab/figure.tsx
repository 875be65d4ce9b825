/** A figure of a report with its title and legend. */
import { useEffect, useRef, useState } from 'preact/hooks';
import { visibleLine } from '../text/display.ts';
import { seriesColour } from './plots.ts';

/** Redrawn when the width changes. */
export function Figure({ title, legend, draw }: {
  readonly title: string;
  readonly legend?: readonly string[];
  readonly draw: (frame: { width: number; label: string }) => Element;
}) {
  const holder = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(0);
  useEffect(() => {
    const element = holder.current;
    if (element === null) return;
    const observer = new ResizeObserver(() => setWidth(Math.min(760, Math.floor(element.clientWidth))));
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  useEffect(() => {
    if (width > 0) holder.current?.replaceChildren(draw({ width, label: title }));
  }, [width, draw]);
  return (
    <figure>
      <figcaption>{title}</figcaption>
      {legend === undefined ? null : (
        <ul class="legend">
          {legend.map((name, i) => (
            <li key={name}>
              <svg width="12" height="12" aria-hidden="true"><rect width="12" height="12" rx="2" fill={seriesColour(i)} /></svg>
              <bdi>{visibleLine(name)}</bdi>
            </li>
          ))}
        </ul>
      )}
      <div ref={holder} />
    </figure>
  );
}
