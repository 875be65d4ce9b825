import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { IterationRecord } from '../../../src/learning/record.ts';
import { iterationScores, iterationSizes } from '../../../src/ui/lab/plots.ts';
import { dataMark, decodeReport, fillTemplate, reportRun } from '../../../src/ui/lab/report-data.ts';
import { writeReport } from '../../../tools/bench/report.ts';

const scores = (em: number, f1: number, supportRecall: number | null): NonNullable<IterationRecord['dev']> => ({
  questions: 20, em, f1, supportRecall, intervals: { em: [em, em - 0.1, em + 0.1], f1: [f1, f1 - 0.08, f1 + 0.08], supportRecall: supportRecall === null ? null : [supportRecall, supportRecall - 0.05, supportRecall + 0.05] },
});

function record(iteration: number, dev: IterationRecord['dev'], devBefore: IterationRecord['dev'], more: Partial<IterationRecord> = {}): IterationRecord {
  return {
    kind: 'iteration', version: 1, iteration, model: 'm', method: 'foray', dataset: 'toy', corpus: 'c@1', trajectories: 3, alpha: 0, tau: 1, seeds: [13, 14, 15], trainIds: 'a', devIds: 'b',
    train: { questions: 40, em: 0.4, f1: 0.5, supportRecall: 0.6 }, devBefore, dev, meanEss: 1.8, essInterval: [1.8, 1.6, 2], meanLogLikelihood: -3, meanEvidenceGain: 2, informative: 25, scoring: 'exact',
    checks: [], cost: { llmCalls: 1, promptTokens: 1, outputTokens: 1, wallMs: 1 }, ...more,
  };
}
const { intervals: _, ...plain } = scores(0.5, 0.55, 0.8);
const iterations = [record(1, scores(0.45, 0.5, 0.8), scores(0.4, 0.5, null)), record(2, plain, scores(0.45, 0.5, 0.8), { meanEss: null })];

test('points by measure: what was there before, then each iteration; no interval and no recall leave none', () => {
  const points = iterationScores(iterations);
  expect(points.filter(({ label }) => label === 'EM').map(({ at, value, low, high }) => [at, value, Number(low.toFixed(2)), Number(high.toFixed(2))])).toEqual([
    [0, 0.4, 0.3, 0.5], [1, 0.45, 0.35, 0.55], [2, 0.5, 0.5, 0.5],
  ]);
  expect(points.filter(({ label }) => label === 'Support recall').map(({ at }) => at)).toEqual([1, 2]);
  expect(iterationSizes(iterations)).toEqual([{ label: 'ESS', at: 1, value: 1.8, low: 1.6, high: 2 }]);
  expect(iterationScores([])).toEqual([]);
});

test('a report keeps the iterations, checked like the file that they come from', () => {
  const text = fillTemplate(dataMark, [reportRun('</script>', [], { a: 1 }, iterations)]);
  expect(text).not.toContain('</script>');
  expect(decodeReport(text).run).toMatchObject({ title: '</script>', items: [], iterations });
  expect(() => decodeReport(JSON.stringify({ runs: [{ title: 'x', items: [], iterations: [{ kind: 'iteration' }] }] }))).toThrow();
  // Older files have none.
  expect(decodeReport(JSON.stringify({ runs: [{ title: 'x', items: [] }] })).run.iterations).toEqual([]);
});

test('the folder of a learning run makes a report; an empty one says what is missing', { timeout: 120_000 }, async () => {
  const folder = await mkdtemp(join(tmpdir(), 'foray-iterations-'));
  try {
    await expect(writeReport([folder], null, null)).rejects.toThrow('no items of a run and no iterations');
    await writeFile(join(folder, 'iterations.jsonl'), iterations.map((one) => `${JSON.stringify(one)}\n`).join(''));
    const html = await readFile(await writeReport([folder], null, 'Learning toy'), 'utf8');
    const data = /<script type="application\/json" id="data">(.*?)<\/script>/s.exec(html)?.[1] ?? '';
    expect(decodeReport(data).run).toMatchObject({ title: 'Learning toy', iterations });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});
