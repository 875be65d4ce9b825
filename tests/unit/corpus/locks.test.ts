/** Web Locks that are there, forbidden, or missing. */
import { describe, expect, it } from 'vitest';
import { permittedLocks } from '../../../src/corpus/locks.ts';

type Request = (name: string, options: unknown, work: (lock: Lock | null) => unknown) => Promise<unknown>;
const manager = (request: Request) => ({ request }) as unknown as Pick<LockManager, 'request'>;
const refused = new DOMException('The request was denied.', 'SecurityError');

describe('permittedLocks', () => {
  it('is null without locks', () => {
    expect(permittedLocks(null)).toBeNull();
    expect(permittedLocks(undefined)).toBeNull();
  });

  it('passes name, options and result through', async () => {
    const seen: unknown[] = [];
    const locks = permittedLocks(manager(async (name, options, work) => {
      seen.push(name, options);
      return work({ name, mode: 'exclusive' });
    }));
    expect(await locks?.request('a', (lock) => lock?.name)).toBe('a');
    expect(await locks?.request('b', { mode: 'shared' }, () => 2)).toBe(2);
    expect(seen).toEqual(['a', {}, 'b', { mode: 'shared' }]);
  });

  it('runs the work where the browser refuses locks', async () => {
    const locks = permittedLocks(manager(() => Promise.reject(refused)));
    expect(await locks?.request('a', () => 'done')).toBe('done');
  });

  it('does not run work twice, and keeps other failures', async () => {
    let runs = 0;
    const granted = permittedLocks(manager(async (_name, _options, work) => work(null)));
    await expect(granted?.request('a', () => {
      runs++;
      throw refused;
    })).rejects.toBe(refused);
    expect(runs).toBe(1);
    const stopped = permittedLocks(manager(() => Promise.reject(new DOMException('stopped', 'AbortError'))));
    await expect(stopped?.request('a', () => 1)).rejects.toMatchObject({ name: 'AbortError' });
  });
});
