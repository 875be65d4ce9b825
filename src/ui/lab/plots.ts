/** The figures of a report as SVG, drawn by Observable Plot. Colours are custom properties, so both colour schemes and print use the page's own. */
import * as Plot from '@observablehq/plot';
import type { Summary, SystemSummary } from '../../lab/summary.ts';
import type { IterationRecord } from '../../learning/record.ts';
import type { PublishedRow } from '../../lab/published.ts';

const series = ['var(--series-1)', 'var(--series-2)', 'var(--series-3)', 'var(--series-4)', 'var(--series-5)', 'var(--series-6)', 'var(--series-7)', 'var(--series-8)'];

export type Systems = readonly (readonly [label: string, system: SystemSummary])[];

export function systemsIn(summary: Summary): Systems {
  return Object.entries(summary.systems);
}

interface Frame {
  readonly width: number;
  readonly label: string;
}

/** A policy that forbids inline style sheets would complain about the one that Plot puts in; report.css has its rules. */
function draw(options: Plot.PlotOptions, { width, label }: Frame): SVGSVGElement | HTMLElement {
  const figure = Plot.plot({ width, marginLeft: 56, marginBottom: 44, ariaLabel: label, className: 'plot', ...options });
  for (const style of figure.querySelectorAll('style')) style.remove();
  const svg = figure instanceof SVGSVGElement ? figure : figure.querySelector('svg');
  // The picture has one name; what is inside is drawing. The table beside it holds the figures.
  for (const part of figure.querySelectorAll('g[aria-label], g[aria-description]')) {
    part.removeAttribute('aria-label');
    part.removeAttribute('aria-description');
  }
  svg?.setAttribute('role', 'img');
  svg?.setAttribute('aria-label', label);
  return figure;
}

const scaleOf = (names: readonly string[]): Plot.ScaleOptions => ({ domain: [...names], range: series, legend: false });
const percent: Plot.ScaleOptions = { domain: [0, 1], tickFormat: (value: number) => `${Math.round(value * 100)}`, grid: true };

export function accuracyAgainstCost(systems: Systems, cost: 'secondsPerQuestion' | 'promptTokens' | 'searches', frame: Frame) {
  const rows = systems.map(([label, system]) => ({ label, cost: system[cost], em: system.em, low: system.intervals.em?.[1] ?? system.em,
    high: system.intervals.em?.[2] ?? system.em }));
  const names = { secondsPerQuestion: 'Seconds a question', promptTokens: 'Prompt tokens a question', searches: 'Searches a question' };
  return draw({
    height: 320, marginRight: 110, color: scaleOf(rows.map(({ label }) => label)), x: { label: names[cost], zero: true, nice: true, grid: true }, y: { ...percent,
      label: 'EM, %' },
    marks: [
      Plot.ruleX(rows, { x: 'cost', y1: 'low', y2: 'high', stroke: 'label', strokeWidth: 2 }),
      Plot.dot(rows, { x: 'cost', y: 'em', fill: 'label', r: 5 }),
      Plot.text(rows, { x: 'cost', y: 'em', text: 'label', dx: 9, textAnchor: 'start', fill: 'currentColor' }),
    ],
  }, frame);
}

export function barsByGroup(systems: Systems, group: 'byType' | 'byHops' | 'bySelection', frame: Frame) {
  const rows = systems.flatMap(([label, system]) => Object.entries(system[group]).map(([key, row]) => ({ label, key, em: row.em,
    low: row.intervals.em?.[1] ?? row.em, high: row.intervals.em?.[2] ?? row.em })));
  return draw({
    height: 300, color: scaleOf(systems.map(([label]) => label)), fx: { label: null }, x: { axis: null, domain: systems.map(([label]) => label) }, y: { ...percent,
      label: 'EM, %' },
    marks: [
      Plot.barY(rows, { fx: 'key', x: 'label', y: 'em', fill: 'label' }),
      Plot.ruleX(rows, { fx: 'key', x: 'label', y1: 'low', y2: 'high', stroke: 'currentColor' }),
      Plot.ruleY([0]),
    ],
  }, frame);
}

export function curveBySearch(systems: Systems, value: 'supportRecall' | 'novelty' | 'reward', frame: Frame) {
  const rows = systems.flatMap(([label, system]) => system.bySearch.map((row) => ({ label, search: row.search, value: row[value] })));
  const y: Plot.ScaleOptions = value === 'reward' ? { label: 'G − P', grid: true } : { ...percent, label: value === 'novelty' ? 'New passages, %' : 'Support recall, %' };
  return draw({
    height: 260, color: scaleOf(systems.map(([label]) => label)), x: { label: 'After search', ticks: Math.max(1, ...rows.map(({ search }) => search)),
      tickFormat: 'd' }, y,
    marks: [Plot.lineY(rows, { x: 'search', y: 'value', stroke: 'label', strokeWidth: 2 }), Plot.dot(rows, { x: 'search', y: 'value', fill: 'label', r: 3 })],
  }, frame);
}

export function budgetCurves(systems: Systems, frame: Frame) {
  const rows = systems.flatMap(([label, system]) => (system.budget?.accuracy ?? []).map((em, searches) => ({ label, searches, em })));
  return draw({
    height: 260, color: scaleOf(systems.map(([label]) => label)), x: { label: 'Searches at most', tickFormat: 'd' }, y: { ...percent, label: 'Right by then, %' },
    marks: [Plot.lineY(rows, { x: 'searches', y: 'em', stroke: 'label', strokeWidth: 2, curve: 'step-after' })],
  }, frame);
}

export function failureBars(systems: Systems, classes: readonly string[], frame: Frame) {
  const rows = systems.flatMap(([label, system]) => classes.map((kind) => ({ label, kind,
    share: (system.failures[kind as keyof typeof system.failures] ?? 0) / system.n })));
  return draw({
    height: 40 + systems.length * 34, marginLeft: 150, color: { domain: [...classes], range: series }, x: { ...percent,
      label: 'Share of questions, %' }, y: { label: null, domain: systems.map(([label]) => label) },
    marks: [Plot.barX(rows, { x: 'share', y: 'label', fill: 'kind' })],
  }, frame);
}

/** Our figures as bars; published ones as labelled lines over them. */
export function againstPublished(systems: Systems, lines: readonly (PublishedRow & { readonly value: number })[], frame: Frame) {
  const rows = systems.map(([label, system]) => ({ label, em: system.em, low: system.intervals.em?.[1] ?? system.em, high: system.intervals.em?.[2] ?? system.em }));
  const marks = lines.map((line, i) => ({ value: line.value, text: `${line.method} ${line.model}`, step: i % 6 }));
  return draw({
    height: 150 + systems.length * 34, marginTop: 110, marginLeft: 150, x: { ...percent, label: 'EM, %' }, y: { label: null, domain: systems.map(([label]) => label) },
    marks: [
      Plot.barX(rows, { x: 'em', y: 'label', fill: 'var(--series-1)' }),
      Plot.ruleY(rows, { x1: 'low', x2: 'high', y: 'label', stroke: 'currentColor' }),
      Plot.ruleX(marks, { x: 'value', stroke: 'var(--series-2)', strokeDasharray: '4 3' }),
      ...[0, 1, 2, 3, 4, 5].map((step) => Plot.text(marks.filter((mark) => mark.step === step), {
        x: 'value', text: 'text', frameAnchor: 'top', dy: -14 - step * 16, textAnchor: 'middle', fontSize: 10, fill: 'currentColor',
      })),
    ],
  }, frame);
}

/** A measure of one iteration; `at` 0 is what was there before the first. */
export interface IterationPoint {
  readonly label: string;
  readonly at: number;
  readonly value: number;
  readonly low: number;
  readonly high: number;
}

/** Scores on the held-back questions: before the first iteration, and after each with the parts that it accepted. */
export function iterationScores(iterations: readonly IterationRecord[]): readonly IterationPoint[] {
  const measures = [['EM', 'em'], ['F1', 'f1'], ['Support recall', 'supportRecall']] as const;
  const [first] = iterations;
  const before = first === undefined ? [] : [{ at: first.iteration - 1, scores: first.devBefore }];
  const stages = [...before, ...iterations.map(({ iteration, dev }) => ({ at: iteration, scores: dev }))];
  return measures.flatMap(([label, key]) => stages.flatMap(({ at, scores }) => {
    const value = scores?.[key] ?? null;
    const [, low, high] = scores?.intervals?.[key] ?? [];
    return value === null ? [] : [{ label, at, value, low: low ?? value, high: high ?? value }];
  }));
}

/** Effective sample size of the weights of a question's trajectories, mean over the questions. */
export function iterationSizes(iterations: readonly IterationRecord[]): readonly IterationPoint[] {
  return iterations.flatMap(({ iteration, meanEss, essInterval }) => {
    const [, low, high] = essInterval ?? [];
    return meanEss === null ? [] : [{ label: 'ESS', at: iteration, value: meanEss, low: low ?? meanEss, high: high ?? meanEss }];
  });
}

/** Intervals stand side by side; `top`: the end of the scale, 1 for shares. */
export function iterationCurves(points: readonly IterationPoint[], { top, unit }: { readonly top: number; readonly unit: string }, frame: Frame) {
  const labels = [...new Set(points.map(({ label }) => label))];
  const rows = points.map((point) => ({ ...point, x: point.at + (labels.indexOf(point.label) - (labels.length - 1) / 2) * 0.05 }));
  const ticks = [...new Set(points.map(({ at }) => at))];
  return draw({
    height: 260, color: scaleOf(labels), x: { label: 'After iteration', ticks, tickFormat: 'd', domain: [Math.min(...ticks) - 0.2, Math.max(...ticks) + 0.2] },
    y: top === 1 ? { ...percent, label: unit } : { domain: [0, top], grid: true, label: unit },
    marks: [
      Plot.lineY(rows, { x: 'x', y: 'value', stroke: 'label', strokeWidth: 2 }),
      Plot.ruleX(rows, { x: 'x', y1: 'low', y2: 'high', stroke: 'label' }),
      Plot.dot(rows, { x: 'x', y: 'value', fill: 'label', r: 4 }),
    ],
  }, frame);
}

/** EM against the share of noise, for systems that differ in it only. */
export function noiseCurve(points: readonly { readonly label: string; readonly noise: number; readonly em: number }[], frame: Frame) {
  return draw({
    height: 260, color: scaleOf([...new Set(points.map(({ label }) => label))]), x: { label: 'Share of results replaced, %',
      tickFormat: (value: number) => `${Math.round(value * 100)}` }, y: { ...percent, label: 'EM, %' },
    marks: [Plot.lineY(points, { x: 'noise', y: 'em', stroke: 'label', strokeWidth: 2, sort: 'noise' }), Plot.dot(points, { x: 'noise', y: 'em', fill: 'label' })],
  }, frame);
}

export function seriesColour(index: number): string {
  return series[index % series.length] ?? 'currentColor';
}
