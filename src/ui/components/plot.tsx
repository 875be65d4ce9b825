/** A small line plot of shares (0 to 1) over a few points. What it shows stands in a table beside it, so it is a picture for those who see it. */

export interface Series {
  readonly label: string;
  /** null: not measured at this point. */
  readonly values: readonly (number | null)[];
}

const width = 320;
const height = 120;
const pad = 8;

/** One path through the measured points; a gap where one is missing. Values are cut to 0…1. */
function plotPath(values: readonly (number | null)[]): string {
  const step = values.length < 2 ? 0 : (width - 2 * pad) / (values.length - 1);
  let isDrawing = false;
  return values
    .map((value, index) => {
      if (value === null || !Number.isFinite(value)) {
        isDrawing = false;
        return '';
      }
      const x = pad + step * index;
      const y = height - pad - Math.min(1, Math.max(0, value)) * (height - 2 * pad);
      const mark = `${isDrawing ? 'L' : 'M'}${x.toFixed(1)} ${y.toFixed(1)}`;
      isDrawing = true;
      return mark;
    })
    .join('');
}

export function PlotSeries({ series, label }: { readonly series: readonly Series[]; readonly label: string }) {
  const shown = series.filter(({ values }) => values.some((value) => value !== null));
  return (
    <figure class="plot">
      <svg viewBox={`0 0 ${width} ${height}`} role="img" aria-label={label}>
        {[0, 0.5, 1].map((level) => (
          <line key={level} class="plot-level" x1={pad} x2={width - pad} y1={height - pad - level * (height - 2 * pad)} y2={height - pad - level * (height - 2 * pad)} />
        ))}
        {shown.map(({ label: name, values }, index) => (
          <path key={name} class={`plot-line plot-line-${index}`} d={plotPath(values)} />
        ))}
        {shown.flatMap(({ label: name, values }, index) =>
          values.map((value, at) =>
            value === null ? null : (
              <circle
                key={`${name} ${at}`}
                class={`plot-dot plot-line-${index}`}
                cx={pad + (values.length < 2 ? 0 : ((width - 2 * pad) / (values.length - 1)) * at)}
                cy={height - pad - Math.min(1, Math.max(0, value)) * (height - 2 * pad)}
                r={2.5}
              />
            ),
          ),
        )}
      </svg>
      <figcaption class="plot-legend">
        {shown.map(({ label: name }, index) => (
          <span key={name} class="plot-key">
            <svg viewBox="0 0 18 8" aria-hidden="true">
              <path class={`plot-line plot-line-${index}`} d="M1 4H17" />
            </svg>
            {name}
          </span>
        ))}
      </figcaption>
    </figure>
  );
}
