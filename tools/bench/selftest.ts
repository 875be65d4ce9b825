/** `npm run bench -- selftest`: the figures of the worked toy case beside what they must be. */
import { selftest } from '../../src/lab/selftest.ts';

/** Prints the table; resolves with the last line, and whether all is right. */
export async function runSelftest(): Promise<{ readonly line: string; readonly isRight: boolean }> {
  const checks = await selftest(() => performance.now());
  const width = Math.max(...checks.map(({ name }) => name.length));
  for (const { name, expected, actual, isRight } of checks) process.stdout.write(`${isRight ? 'ok  ' : 'BAD '} ${name.padEnd(width)}  ${actual}${isRight ? '' : `  (must be ${expected})`}\n`);
  const wrong = checks.filter(({ isRight }) => !isRight);
  return { line: JSON.stringify({ checks: checks.length, wrong: wrong.map(({ name }) => name) }), isRight: wrong.length === 0 };
}
