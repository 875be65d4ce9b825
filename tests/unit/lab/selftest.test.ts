import { expect, test } from 'vitest';
import { selftest } from '../../../src/lab/selftest.ts';

test('the worked toy case gives its known figures (METHODS Appendix A)', async () => {
  const checks = await selftest(() => performance.now());
  expect(checks.filter(({ isRight }) => !isRight)).toEqual([]);
  expect(checks.length).toBeGreaterThanOrEqual(26);
});
