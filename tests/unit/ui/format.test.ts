import { describe, expect, it } from 'vitest';
import type { Progress } from '../../../src/progress.ts';
import { formatBytes, formatDuration, formatMemory, formatProgress, plural, progressShare } from '../../../src/ui/text/format.ts';

describe('figures', () => {
  it.each([
    [0, '0 B'],
    [999, '999 B'],
    [1000, '1 kB'],
    [23_685_047, '23.7 MB'],
    [98_362_432, '98.4 MB'],
    [491_400_032, '491 MB'],
    [999_600_000, '1 GB'],
    [1_117_320_736, '1.12 GB'],
    [-5, '0 B'],
  ])('%d bytes are %s', (bytes, text) => expect(formatBytes(bytes)).toBe(text));

  it.each([
    [-20, '0 ms'],
    [3.4, '3 ms'],
    [100, '0.1 s'],
    [12_400, '12.4 s'],
    [99_940, '99.9 s'],
    [185_000, '3 min 5 s'],
    [3_840_000, '1 h 4 min'],
  ])('%d ms are %s', (ms, text) => expect(formatDuration(ms)).toBe(text));

  it('counts with the right number and form', () => {
    expect(plural(1, 'passage')).toBe('1 passage');
    expect(plural(1204, 'passage')).toBe('1,204 passages');
    expect(plural(2, 'search', 'searches')).toBe('2 searches');
    expect(formatMemory(750)).toBe('750 MB');
    expect(formatMemory(1888.97)).toBe('1.8 GB');
  });
});

describe('progress', () => {
  const progress: Progress = { phase: 'downloading', item: 'model.gguf', done: 12_400_000, total: 98_400_000, unit: 'bytes', rate: 3_100_000, secondsLeft: 27.7 };

  it('tells amounts, rate and time left', () => {
    expect(formatProgress(progress)).toBe('12.4 MB of 98.4 MB · 3.1 MB/s · 28 s left');
    expect(formatProgress({ ...progress, secondsLeft: 400 })).toContain('7 min left');
  });

  it('tells only what is known', () => {
    expect(formatProgress({ ...progress, total: null, rate: null, secondsLeft: null })).toBe('12.4 MB');
    expect(formatProgress({ ...progress, phase: 'paused' })).toBe('12.4 MB of 98.4 MB');
    expect(formatProgress({ ...progress, unit: 'passages', done: 40, total: 120, rate: 6.25, secondsLeft: null })).toBe('40 of 120 passages · 6.3/s');
  });

  it('never claims more than all', () => {
    expect(formatProgress({ ...progress, done: 99_000_000 })).toContain('98.4 MB of 98.4 MB');
    expect(progressShare({ ...progress, done: 99_000_000 })).toBe(1);
    expect(progressShare({ ...progress, total: 0 })).toBeNull();
    expect(progressShare({ ...progress, total: null })).toBeNull();
  });
});
