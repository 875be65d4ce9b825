/** What `npm test` says at its end about what failed. */
import { describe, expect, it } from 'vitest';
import { failureLines, lintFindings, playwrightFailures, stageFailure, typeErrors, vitestFailures } from '../../../tools/failures.mjs';

const root = '/home/me/foray';

describe('failures of a test run', () => {
  it('are a section of one line each with the reason below; nothing where nothing failed', () => {
    expect(failureLines([])).toEqual([]);
    expect(failureLines([{ title: 'lint', details: ['a.ts:1:2 x: y'] }])).toEqual(['== failures', 'lint', '    a.ts:1:2 x: y']);
    const lines = failureLines(Array.from({ length: 70 }, (_, i) => ({ title: `t${i} ${'x'.repeat(400)}\n\u001b[31mred`, details: [] })));
    expect(lines).toHaveLength(62);
    expect(lines.at(-1)).toBe('… and 10 more');
    expect(Math.max(...lines.map((line) => line.length))).toBe(240);
  });

  it('name the first five findings of lint and types', () => {
    const message = (line: number): unknown => ({ line, column: 3, ruleId: 'prefer-const', message: `'x' is never reassigned.\nmore` });
    const findings = lintFindings([{ filePath: `${root}/src/a.ts`, messages: [1, 2, 3, 4, 5, 6, 7].map(message) }, { filePath: `${root}/src/b.ts`, messages: [] }], root);
    expect(findings).toHaveLength(7);
    expect(stageFailure('lint', findings)).toEqual({
      title: 'lint', details: [...[1, 2, 3, 4, 5].map((line) => `src/a.ts:${line}:3 prefer-const: 'x' is never reassigned.`), '… and 2 more'],
    });
    expect(lintFindings(null, root)).toEqual([]);
    expect(typeErrors("src/a.ts(1,2): error TS2322: Type 'x'.\n  Property 'y'\nsrc/b.ts(3,4): error TS1: z\n")).toEqual(["src/a.ts(1,2): error TS2322: Type 'x'.", 'src/b.ts(3,4): error TS1: z']);
  });

  it('name failed unit tests by file and title with the first line of the message, and files that could not be loaded', () => {
    const report = {
      testResults: [
        { name: `${root}/tests/unit/a.test.ts`, status: 'failed', assertionResults: [
          { status: 'passed', title: 'fine', ancestorTitles: [], failureMessages: [] },
          { status: 'failed', title: 'adds', ancestorTitles: ['sum', 'of two'], failureMessages: ['\n\u001b[31mAssertionError\u001b[39m: expected 1 to be 2\n    at file'] },
        ] },
        { name: `${root}/tests/unit/b.test.ts`, status: 'failed', message: 'Cannot find module x\nstack', assertionResults: [] },
        { name: `${root}/tests/unit/c.test.ts`, status: 'passed', assertionResults: [{ status: 'passed', title: 'x' }] },
      ],
    };
    expect(vitestFailures(report, 1, root)).toEqual([
      { title: 'tests/unit/a.test.ts › sum › of two › adds', details: ['AssertionError: expected 1 to be 2'] },
      { title: 'tests/unit/b.test.ts › could not be loaded', details: ['Cannot find module x'] },
    ]);
    expect(vitestFailures({ testResults: [] }, 0, root)).toEqual([]);
    expect(vitestFailures(null, 1, root)).toMatchObject([{ title: 'unit tests' }]);
  });

  it('name failed browser tests, and errors outside every test', () => {
    const spec = (title: string, status: string, results: unknown[] = []): unknown => ({ title, file: 'e2e/page.spec.ts', tests: [{ status, results }] });
    const report = {
      config: { rootDir: `${root}/tests` },
      errors: [],
      suites: [{
        title: 'e2e/page.spec.ts',
        specs: [spec('opens', 'expected'), spec('asks', 'unexpected', [{ error: { message: '\u001b[31mError\u001b[39m: locator not found\nCall log' } }])],
        suites: [{ title: 'dialogs', specs: [spec('close', 'flaky'), spec('waits', 'skipped')] }],
      }],
    };
    expect(playwrightFailures(report, 1, root)).toEqual([
      { title: 'tests/e2e/page.spec.ts › dialogs › close', details: ['status flaky'] },
      { title: 'tests/e2e/page.spec.ts › asks', details: ['Error: locator not found'] },
    ]);
    expect(playwrightFailures(report, 0, root, false)).toEqual([]);
    expect(playwrightFailures({ suites: [], errors: [{ message: 'no server\nx' }] }, 1, root)).toEqual([{ title: 'browser tests › outside every test', details: ['no server'] }]);
    expect(playwrightFailures(null, 1, root)).toMatchObject([{ title: 'browser tests', details: [expect.stringContaining('code 1')] }]);
  });
});
