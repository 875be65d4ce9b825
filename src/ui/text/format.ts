/** Numbers as people read them: bytes, rates, durations, counts, progress. Pure; the figures are English, in step with the page's text. */
import type { Progress, ProgressPhase } from '../../progress.ts';

const units = ['B', 'kB', 'MB', 'GB', 'TB'] as const;
const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });

export function formatCount(value: number): string {
  return whole.format(value);
}

/** `1 passage`, `1,204 passages`. */
export function plural(value: number, one: string, many = `${one}s`): string {
  return `${formatCount(value)} ${value === 1 ? one : many}`;
}

/** Decimal units, three figures at most: `23.7 MB`, `491 MB`. */
export function formatBytes(bytes: number): string {
  let value = Math.max(0, bytes);
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  const digits = unit === 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
  return `${Number(value.toFixed(digits))} ${units[unit] ?? 'B'}`;
}

/** Memory of a model, given in MiB. */
export function formatMemory(mebibytes: number): string {
  return mebibytes >= 1000 ? `${(mebibytes / 1024).toFixed(1)} GB` : `${Math.round(mebibytes)} MB`;
}

/** `3 ms`, `0.8 s`, `12.4 s`, `3 min 5 s`, `1 h 4 min`. Negative times (a clock that jumped) count as none. */
export function formatDuration(ms: number): string {
  if (ms < 99.5) return `${Math.round(Math.max(0, ms))} ms`;
  const seconds = ms / 1000;
  if (seconds < 99.95) return `${seconds.toFixed(1)} s`;
  const minutes = Math.floor(Math.round(seconds) / 60);
  if (minutes < 60) return `${minutes} min ${Math.round(seconds) % 60} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** Time left is an estimate, so it is rounded up and said without tenths. */
function formatLeft(seconds: number): string {
  const rounded = Math.max(1, Math.ceil(seconds));
  if (rounded < 100) return `${rounded} s left`;
  const minutes = Math.ceil(rounded / 60);
  return minutes < 60 ? `${minutes} min left` : `${Math.floor(minutes / 60)} h ${minutes % 60} min left`;
}

export const phaseLabels: Readonly<Record<ProgressPhase, string>> = {
  waiting: 'Waiting',
  downloading: 'Downloading',
  verifying: 'Verifying',
  storing: 'Storing',
  reading: 'Reading',
  indexing: 'Indexing',
  embedding: 'Embedding',
  loading: 'Loading',
  paused: 'Paused',
  done: 'Done',
};

/** Amounts, rate and time left, as far as they are known: `12.4 MB of 98.4 MB · 3.1 MB/s · 28 s left`. */
export function formatProgress(progress: Progress): string {
  const amount = (value: number): string => (progress.unit === 'bytes' ? formatBytes(value) : formatCount(value));
  const noun = progress.unit === 'bytes' ? '' : ` ${progress.unit}`;
  const parts = [progress.total === null ? `${amount(progress.done)}${noun}` : `${amount(Math.min(progress.done, progress.total))} of ${amount(progress.total)}${noun}`];
  if (progress.phase !== 'paused' && progress.phase !== 'done') {
    if (progress.rate !== null && progress.rate > 0) parts.push(progress.unit === 'bytes' ? `${formatBytes(progress.rate)}/s` : `${progress.rate < 10 ? progress.rate.toFixed(1) : formatCount(progress.rate)}/s`);
    if (progress.secondsLeft !== null) parts.push(formatLeft(progress.secondsLeft));
  }
  return parts.join(' · ');
}

/** 0 to 1; null while the total is not known. */
export function progressShare(progress: Progress): number | null {
  if (progress.total === null || progress.total <= 0) return null;
  return Math.min(1, Math.max(0, progress.done / progress.total));
}
