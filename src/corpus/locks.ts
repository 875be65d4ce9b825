/**
 * Web Locks as far as the browser has and allows them. A browser that forbids storage refuses locks too; then nothing is shared between tabs, so there is
 * nothing that two of them could damage, and the work simply runs.
 */

type Locks = Pick<LockManager, 'request'>;

/** null where there are no locks at all. The returned object takes the place of `navigator.locks`. */
export function permittedLocks(manager: Locks | null | undefined): Locks | null {
  if (manager === null || manager === undefined) return null;
  async function request(name: string, second: LockOptions | LockGrantedCallback<unknown>, third?: LockGrantedCallback<unknown>): Promise<unknown> {
    const [options, work] = typeof second === 'function' ? [{}, second] : [second, third];
    if (work === undefined) throw new TypeError('a lock without work');
    let isGranted = false;
    try {
      return await manager?.request(name, options, (lock) => {
        isGranted = true;
        return work(lock);
      });
    } catch (error) {
      if (isGranted || !(error instanceof DOMException) || error.name !== 'SecurityError') throw error;
      return work(null);
    }
  }
  return { request: request };
}
