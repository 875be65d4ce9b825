import { describe, expect, it } from 'vitest';
import { dayOf, overRuns, scoreAgainst, scoreCell, scoreTable, type TableColumn } from '../../../src/lab/tables.ts';

const columns: readonly TableColumn[] = [
  { name: 'works', metric: { kind: 'exact' }, isKey: true },
  { name: 'founded', metric: { kind: 'date', days: 31 } },
  { name: 'lamps', metric: { kind: 'number', tolerance: 0.05 } },
];
const vale = { works: 'Vale Glassworks', founded: '3 May 1850', lamps: '1,000' };
const isk = { works: 'Isk Glassworks', founded: '1861', lamps: '200' };

describe('METHODS §14.13: WideSearch scores', () => {
  it('gives everything to the gold table, whatever its order and wording of keys', () => {
    expect(scoreTable([isk, { ...vale, works: 'the vale glassworks!' }], [vale, isk], columns)).toEqual({
      item: { precision: 1, recall: 1, f1: 1 }, row: { precision: 1, recall: 1, f1: 1 }, success: 1,
    });
  });

  it('a row is worth its worst cell', () => {
    const scores = scoreTable([{ ...vale, lamps: '2,000' }, isk], [vale, isk], columns);
    expect(scores.item.f1).toBeCloseTo(5 / 6);
    expect(scores.row.f1).toBeCloseTo(1 / 2);
    expect(scores.success).toBe(0);
  });

  it('joins by key: duplicates count once, the first one; missing and invented rows cost recall and precision', () => {
    const scores = scoreTable([vale, { ...vale, lamps: '1' }, { works: 'Atlantis', founded: '1', lamps: '1' }], [vale, isk], columns);
    expect(scores.row).toEqual({ precision: 0.5, recall: 0.5, f1: 0.5 });
    expect(scoreTable([vale, vale], [vale], columns).success).toBe(1);
    expect(scoreTable([vale, isk], [vale], columns).success).toBe(0);
    expect(scoreTable([], [vale], columns).item).toEqual({ precision: 0, recall: 0, f1: 0 });
    expect(() => scoreTable([vale], [vale], columns.slice(1))).toThrow(RangeError);
  });

  it('takes dates at most 31 days apart', () => {
    const date = { kind: 'date', days: 31 } as const;
    expect(scoreCell('3 June 1850', '3 May 1850', date)).toBe(1);
    expect(scoreCell('4 June 1850', '3 May 1850', date)).toBe(0);
    expect(scoreCell('1850-05-20', 'May 3, 1850', date)).toBe(1);
    expect(scoreCell('28 Feb 1900', '1 March 1900', { kind: 'date', days: 1 })).toBe(1);
    expect(scoreCell('28 Feb 2000', '1 March 2000', { kind: 'date', days: 1 })).toBe(0);
    expect(scoreCell('unknown', '1850', date)).toBe(0);
    expect(dayOf('2000-13-01')).toBe(null);
    expect(dayOf('no year')).toBe(null);
  });

  it('takes numbers within the tolerance, and addresses without their decoration', () => {
    const near = { kind: 'number', tolerance: 0.05 } as const;
    expect(scoreCell('1050', '1,000', near)).toBe(1);
    expect(scoreCell('1051', '1,000', near)).toBe(0);
    expect(scoreCell('about 2 million', '2,000,000', near)).toBe(1);
    expect(scoreCell('many', 'Many', near)).toBe(1);
    expect(scoreCell('https://www.Example.org/a/', 'example.org/a#x', { kind: 'url' })).toBe(1);
    expect(scoreCell('example.org/A', 'example.org/a', { kind: 'url' })).toBe(0);
    expect(scoreCell('', '', { kind: 'url' })).toBe(0);
  });

  it('gives avg@n and max@n', () => {
    expect(overRuns([0, 0.5, 1])).toEqual({ mean: 0.5, max: 1 });
    expect(overRuns([])).toBe(null);
  });
});

it('scores a table against the right one: columns by name, rows by the first, cells as their column asks', () => {
  const gold = { head: ['Town', 'Founded', 'Height', 'Site', 'River'], rows: [['Karr', '3 May 1790', '1,920', 'https://karr.example/', 'Isk'], ['Teshmoor', '1811-02-01', '12', 'http://www.tesh.example', 'Isk']] };
  const ours = { head: ['Name', 'height', 'FOUNDED', 'site'], rows: [['Karr', '1920', '1790-05-03', 'karr.example'], ['Teshmoor', '13', 'February 1, 1811', 'tesh.example/'], ['Norrow', '1', '', '']] };
  const { scores, missing } = scoreAgainst(gold, ours);
  expect(missing).toEqual(['River']);
  // Right: both names, both dates, one height, both addresses; three rows of five columns here, two of five there.
  expect(scores.item).toEqual({ precision: 7 / 15, recall: 7 / 10, f1: (2 * (7 / 15) * 0.7) / (7 / 15 + 0.7) });
  expect(scores.row).toEqual({ precision: 0, recall: 0, f1: 0 });
  expect(scores.success).toBe(0);
  expect(scoreAgainst(gold, gold).scores).toMatchObject({ item: { f1: 1 }, row: { f1: 1 }, success: 1 });
});
