/** The retrieval benchmark from the command line to its report, with Foray alone: the peers are no dependency of the project. */
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import * as v from 'valibot';
import { rowSchema } from '../../tools/bench/retrieval/rows.ts';
import { expect, test } from '../fixtures/test.ts';

const figures = v.object({ buildMs: v.number(), reopenMs: v.number(), bytes: v.number(), p50: v.number(), p95: v.number(), recall10: v.number() });
const line = v.object({ vectors: v.record(v.string(), v.object({ foray: figures })), text: v.record(v.string(), v.object({ foray: figures })) });

test('measures import, reopening and queries of words and vectors, and keeps the rows', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'foray-retrieval-test-'));
  try {
    const args = ['--import', 'tsx', 'tools/bench.ts', 'retrieval', '--peers', 'foray', '--n', '500', '--out', join(folder, 'out'), '--data', join(folder, 'data')];
    const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: join(import.meta.dirname, '..', '..'), maxBuffer: 2 ** 24 });
    const result = v.parse(line, JSON.parse(stdout.trim().split('\n').at(-1) ?? ''));
    for (const kind of ['vectors', 'text'] as const) {
      const measured = result[kind]['500']?.foray;
      expect(measured?.recall10, kind).toBeGreaterThan(kind === 'text' ? 0.99 : 0.97);
      expect(measured?.p50, kind).toBeGreaterThan(0);
      expect(measured?.reopenMs, kind).toBeGreaterThan(0);
      const row = v.parse(rowSchema, JSON.parse(await readFile(join(folder, 'out', 'rows', `${kind}-500-foray.json`), 'utf8')));
      const extra = 'figures' in row.result ? row.result.figures.extra : {};
      // The corpus worker finds the same as the search by itself; in words it weighs titles twice, which the reference does not.
      expect(extra['wholeRecall10'], kind).toBeGreaterThan(kind === 'text' ? 0.75 : 0.95);
      expect(await readFile(join(folder, 'out', `${kind}-queries.svg`), 'utf8')).toMatch(/^<svg[\s\S]*foray[\s\S]*<\/svg>\s*$/);
    }
    const report = await readFile(join(folder, 'out', 'retrieval.md'), 'utf8');
    expect(report).toContain('## Targets');
    expect(report).toContain('| foray ');
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});
