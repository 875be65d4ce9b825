/**
 * Notices a page that is ended abruptly again and again (a phone out of memory ends it while a model loads, and then loads it again): the third start in a minute
 * that no proper end came before is a safe start, without models and without imports. Marks lie in the tab's session storage; clock and storage come in.
 */

const mark = 'foray.starts';
const windowMs = 60_000;
const safeFrom = 3;

export type StartStorage = Pick<Storage, 'getItem' | 'setItem'>;

/** Notes a start and says whether it must be a safe one. Without storage, or where it holds anything else than marks, it never is. */
export function noteStart(storage: StartStorage | null, nowMs: number): boolean {
  if (storage === null) return false;
  try {
    const starts = [...decode(storage.getItem(mark)).filter((at) => nowMs - at >= 0 && nowMs - at < windowMs), nowMs].slice(-safeFrom);
    storage.setItem(mark, JSON.stringify(starts));
    return starts.length >= safeFrom;
  } catch {
    // Storage that is full or forbidden: no marks, no safe start.
    return false;
  }
}

/** The page ends in the usual way (left, reloaded, closed): what came before was no crash. */
export function noteEnd(storage: StartStorage | null): void {
  try {
    storage?.setItem(mark, '[]');
  } catch {
    // As above.
  }
}

function decode(text: string | null): number[] {
  if (text === null || text.length > 1000) return [];
  try {
    const value: unknown = JSON.parse(text);
    return Array.isArray(value) ? value.filter((item): item is number => typeof item === 'number' && Number.isFinite(item)) : [];
  } catch {
    return [];
  }
}
