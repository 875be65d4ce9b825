/** Plots of the retrieval benchmark, drawn in its page with Observable Plot; each is one SVG file that can be read on light and dark ground. */
import * as Plot from '@observablehq/plot';

export interface PlotPoint {
  readonly kind: 'vectors' | 'text';
  readonly n: number;
  readonly engine: string;
  readonly p50: number;
  readonly recall10: number;
  readonly buildMs: number;
  readonly reopenMs: number;
  /** The setting that stands for its engine. */
  readonly isChosen: boolean;
}

/** Mid-tones with a contrast of at least 3 to 1 on white and on near-black. */
const colours = ['#c2410c', '#2f7ed8', '#2e8b57', '#9b59b6', '#8a7a00', '#c2477f'];
const style = `svg { color: #1f2328; font: 12px system-ui, sans-serif; } @media (prefers-color-scheme: dark) { svg { color: #e6edf3; } }`;
const milliseconds = (ms: number): string => (ms >= 1000 ? `${+(ms / 1000).toPrecision(2)} s` : `${+ms.toPrecision(2)} ms`);

function svgOf(options: Plot.PlotOptions, title: string): string {
  const plot = Plot.plot({ width: 820, marginLeft: 110, marginRight: 130, marginBottom: 45, insetLeft: 30, insetRight: 80, style: { background: 'none', overflow: 'visible' }, ariaLabel: title, ...options });
  const sheet = document.createElementNS('http://www.w3.org/2000/svg', 'style');
  sheet.textContent = style;
  plot.prepend(sheet);
  const name = document.createElementNS('http://www.w3.org/2000/svg', 'title');
  name.textContent = title;
  plot.prepend(name);
  return new XMLSerializer().serializeToString(plot);
}

const colourOf = (points: readonly PlotPoint[]): Plot.ScaleOptions => {
  const others = [...new Set(points.map(({ engine }) => engine))].filter((engine) => engine !== 'foray').sort();
  return { domain: ['foray', ...others], range: colours.slice(0, others.length + 1) };
};
const size = (n: number): string => `${n.toLocaleString('en')} passages`;

/** File name → SVG. Kinds without points have no plot. */
export function draw(points: readonly PlotPoint[]): Record<string, string> {
  const out: Record<string, string> = {};
  for (const kind of ['vectors', 'text'] as const) {
    const own = points.filter((point) => point.kind === kind);
    if (own.length === 0) continue;
    const chosen = own.filter(({ isChosen }) => isChosen);
    const sizes = [...new Set(own.map(({ n }) => n))].sort((a, b) => a - b);
    const facets = { fy: { domain: sizes.map(size), label: null }, color: colourOf(own) };
    const quality = kind === 'vectors' ? 'recall@10 against exact search' : 'top 10 shared with exact BM25';
    out[`${kind}-queries.svg`] = svgOf(
      {
        ...facets,
        height: 90 + 210 * sizes.length,
        grid: true,
        x: { type: 'log', label: 'median time of a query (left is better)', tickFormat: milliseconds, ticks: 4, labelOffset: 40 },
        y: { label: quality, domain: kind === 'vectors' ? [Math.min(0.9, ...own.map(({ recall10 }) => recall10)), 1] : [0, 1] },
        marks: [
          Plot.frame({ strokeOpacity: 0.3 }),
          // An engine with one setting has no line.
          Plot.line(own.filter(({ engine, n }) => own.filter((other) => other.engine === engine && other.n === n).length > 1), { x: 'p50', y: 'recall10', fy: (d: PlotPoint) => size(d.n), stroke: 'engine', sort: 'p50' }),
          Plot.dot(own, { x: 'p50', y: 'recall10', fy: (d: PlotPoint) => size(d.n), fill: 'engine', r: { value: (d: PlotPoint) => (d.isChosen ? 5 : 2.5), scale: null } }),
          Plot.text(chosen, { x: 'p50', y: 'recall10', fy: (d: PlotPoint) => size(d.n), text: 'engine', fill: 'currentColor', textAnchor: 'start', dx: 8, dy: 8 }),
        ],
      },
      `${kind}: median query time and ${quality}`,
    );
    const times = chosen.flatMap(({ n, engine, buildMs, reopenMs }) => [
      { n, engine, stage: 'build', ms: buildMs },
      { n, engine, stage: 'reopen', ms: reopenMs },
    ]);
    const place = { x: 'ms', y: 'engine', fy: (d: { n: number }) => size(d.n) };
    out[`${kind}-times.svg`] = svgOf(
      {
        ...facets,
        height: 90 + (20 + 38 * new Set(times.map(({ engine }) => engine)).size) * sizes.length,
        grid: true,
        x: { type: 'log', label: 'time (○ build or import, ● reopen; left is better)', tickFormat: milliseconds, ticks: 4, labelOffset: 40 },
        y: { label: null },
        marks: [
          Plot.frame({ strokeOpacity: 0.3 }),
          // Two marks: one whose fill is a channel leaves out the points that have none.
          Plot.dot(times.filter(({ stage }) => stage === 'build'), { ...place, stroke: 'engine', strokeWidth: 2, r: 5 }),
          Plot.dot(times.filter(({ stage }) => stage === 'reopen'), { ...place, stroke: 'engine', fill: 'engine', strokeWidth: 2, r: 5 }),
          ...[{ stage: 'build', dy: -11 }, { stage: 'reopen', dy: 12 }].map(({ stage, dy }) =>
            Plot.text(times.filter((time) => time.stage === stage), { ...place, text: (d: { ms: number }) => milliseconds(d.ms), fill: 'currentColor', dy })),
        ],
      },
      `${kind}: time to build or import, and to reopen`,
    );
  }
  return out;
}
