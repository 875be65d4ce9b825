/** Progress of long work, as data: amounts, rate and time left. One meter computes it for transfers, imports, embedding and model loading. */

export type ProgressPhase = 'waiting' | 'downloading' | 'verifying' | 'storing' | 'reading' | 'indexing' | 'embedding' | 'loading' | 'paused' | 'done';

export interface Progress {
  readonly phase: ProgressPhase;
  /** What is being worked on: a file name, a part, a document. Data, shown as text. */
  readonly item: string;
  readonly done: number;
  /** null while unknown. */
  readonly total: number | null;
  readonly unit: 'bytes' | 'passages' | 'files';
  /** Units a second over the last few seconds; null until it can be told. */
  readonly rate: number | null;
  readonly secondsLeft: number | null;
}

export type OnProgress = (progress: Progress) => void;

export interface ProgressMeter {
  /** Reports that `done` units are finished. `item` and `total` stay as they were unless given. */
  update(done: number, change?: { phase?: ProgressPhase; item?: string; total?: number | null }): Progress;
}

/** `now` in milliseconds. The rate is a mean over the last `windowMs` (5 s), so that a pause or a fast cached start does not spoil the estimate. */
export function createProgressMeter(unit: Progress['unit'], now: () => number, windowMs = 5000): ProgressMeter {
  const samples: { at: number; done: number }[] = [];
  let state = { phase: 'waiting' as ProgressPhase, item: '', total: null as number | null };
  return {
    update(done, change = {}) {
      state = { ...state, ...change };
      const at = now();
      samples.push({ at, done });
      while (samples.length > 2 && at - (samples[0]?.at ?? at) > windowMs) samples.shift();
      const first = samples[0];
      const elapsed = first === undefined ? 0 : at - first.at;
      const rate = first === undefined || elapsed < 200 ? null : Math.max(0, ((done - first.done) * 1000) / elapsed);
      const secondsLeft = rate === null || rate === 0 || state.total === null ? null : Math.max(0, (state.total - done) / rate);
      return { ...state, done, unit, rate, secondsLeft };
    },
  };
}
