/** How learning went, iteration by iteration: scores on questions held back, the weights' effective sample size, and what was accepted. */
import type { IterationRecord, IterationScores, PartCheck } from '../../learning/record.ts';
import { visibleLine } from '../text/display.ts';
import { Figure } from './figure.tsx';
import { iterationCurves, iterationScores, iterationSizes } from './plots.ts';
import type { ReportRun } from './report-data.ts';
import { decimal, interval, percent, Table } from './table.tsx';

const partNames = { bank: 'worked examples', lessons: 'lessons', adapter: 'query adapter', selector: 'passage selector', gate: 'search gate' } as const;

const metricNames = { f1: 'F1', supportRecall: 'support recall', logLoss: 'log-likelihood' } as const;

interface Row {
  readonly name: string;
  readonly scores: IterationScores | null;
  /** null: what was there before the first iteration. */
  readonly record: IterationRecord | null;
}

export function Iterations({ run: { title, iterations } }: { readonly run: Pick<ReportRun, 'title' | 'iterations'> }) {
  const [first] = iterations;
  if (first === undefined) return null;
  const scores = iterationScores(iterations);
  const sizes = iterationSizes(iterations);
  const most = Math.max(...iterations.map(({ trajectories }) => trajectories));
  const held = iterations.at(-1)?.dev?.questions;
  const rows: readonly Row[] = [
    ...(first.devBefore === null ? [] : [{ name: 'before', scores: first.devBefore, record: null }]),
    ...iterations.map((record) => ({ name: String(record.iteration), scores: record.dev, record })),
  ];
  return (
    <section>
      <h2>
        Learning: <bdi>{visibleLine(title)}</bdi>
      </h2>
      <p class="note">
        <bdi>{visibleLine([first.method, first.model ?? 'no model', first.dataset, first.corpus].join(' · '))}</bdi>
        {held === undefined ? '. Without a model no answers were scored.' : `. Scores on ${held} questions held back; in brackets 95 % intervals, bootstrap over questions.`}
      </p>
      {scores.length === 0 ? null : (
        <Figure
          title="Scores on held-back questions by iteration"
          legend={[...new Set(scores.map(({ label }) => label))]}
          draw={(frame) => iterationCurves(scores, { top: 1, unit: 'Held-back score, %' }, frame)}
        />
      )}
      {sizes.length === 0 ? null : (
        <Figure
          title={`Effective sample size of the weights, of ${most} trajectories a question, by iteration`}
          draw={(frame) => iterationCurves(sizes, { top: Math.max(2, most), unit: 'ESS' }, frame)}
        />
      )}
      <Table
        caption="Iterations"
        rows={rows}
        columns={[
          { name: 'Iteration', cell: ({ name }) => name },
          { name: 'EM, %', cell: (row) => scoreText(row, 'em') },
          { name: 'F1, %', cell: (row) => scoreText(row, 'f1') },
          { name: 'Support recall, %', cell: (row) => scoreText(row, 'supportRecall') },
          { name: 'ESS', title: 'Effective sample size of the weights of a question', cell: ({ record }) => sizeText(record) },
          { name: 'Questions', title: 'Trained on; of them informative', cell: ({ record }) => (record === null ? '–' : `${record.train?.questions ?? 0}, ${record.informative}`) },
          { name: 'Log-likelihood', title: 'Of the right answer, mean', cell: ({ record }) => decimal(record?.meanLogLikelihood, 2) },
          { name: 'Evidence gain', title: 'Log-likelihood with the passages less that without', cell: ({ record }) => decimal(record?.meanEvidenceGain, 2) },
          { name: 'Accepted', cell: ({ record }) => partsText(record, true) },
          { name: 'Refused', cell: ({ record }) => partsText(record, false) },
        ]}
      />
      <Table
        caption="Held-back checks of what was learned"
        rows={iterations.flatMap(({ iteration, checks }) => checks.map((check) => ({ iteration, check })))}
        columns={[
          { name: 'Iteration', cell: ({ iteration }) => iteration },
          { name: 'Part', cell: ({ check }) => partNames[check.part] },
          { name: 'Learned from', title: 'Examples', cell: ({ check }) => check.trained },
          { name: 'Measure', cell: ({ check }) => metricNames[check.metric] },
          { name: 'Before', cell: ({ check }) => decimal(check.before, 3) },
          { name: 'After', cell: ({ check }) => decimal(check.after, 3) },
          { name: 'Difference, 95 %', title: 'Paired bootstrap over the held-back examples', cell: ({ check }) => differenceText(check) },
          { name: 'Held back', cell: ({ check }) => check.heldBack },
          { name: 'Verdict', cell: ({ check }) => <bdi>{visibleLine(`${check.accepted ? 'accepted' : 'refused'}: ${check.reason}`)}</bdi> },
        ]}
      />
    </section>
  );
}

function scoreText({ scores }: Row, measure: 'em' | 'f1' | 'supportRecall'): string {
  const bounds = scores?.intervals?.[measure] ?? null;
  return bounds === null ? percent(scores?.[measure]) : interval(bounds);
}

function sizeText(record: IterationRecord | null): string {
  if (record === null || record.meanEss === null) return '–';
  const [, low, high] = record.essInterval ?? [];
  return low === undefined ? decimal(record.meanEss, 2) : `${decimal(record.meanEss, 2)} (${decimal(low, 2)} to ${decimal(high, 2)})`;
}

function differenceText({ difference }: PartCheck): string {
  if (difference === null) return '–';
  const [mean, low, high] = difference.map((value) => `${value < 0 ? '−' : '+'}${decimal(Math.abs(value), 3)}`);
  return `${mean} (${low} to ${high})`;
}

function partsText(record: IterationRecord | null, accepted: boolean): string {
  if (record === null) return '–';
  return record.checks.filter((check) => check.accepted === accepted).map(({ part }) => partNames[part]).join(', ') || 'none';
}
