/** The retrieval benchmark's own arithmetic: exact references, recall with ties, memory reader, targets and the line of results. The engines run in tests/e2e/retrieval.spec.ts. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { queryTerms } from '../../../src/corpus/analysis.ts';
import { createLexicalBuilder } from '../../../src/corpus/lexical-builder.ts';
import { openLexicalSegment, searchLexical } from '../../../src/corpus/lexical.ts';
import { readerModule } from '../../../tools/bench/retrieval/machine.ts';
import { chosenPoint } from '../../../tools/bench/retrieval/recall-target.ts';
import { exactBm25, exactNeighbours, recallOf } from '../../../tools/bench/retrieval/reference.ts';
import { report, resultLine, targets } from '../../../tools/bench/retrieval/report.ts';
import type { PointRow, Row, RowFigures } from '../../../tools/bench/retrieval/rows.ts';

const point = (label: string, p50: number, recall10: number): PointRow => ({ label, p50, p95: 2 * p50, recall10, recall10Plain: null, queries: 200 });

function row(kind: 'vectors' | 'text', engine: string, result: Partial<RowFigures> | { error: string } | { bandwidthMBps: number; putPartsMBps: number; putBlocksMBps: number }, run = 'one'): Row {
  const base = { kind, n: 100_000, engine, version: '1.0.0', run, measuredAt: '2026-01-01T00:00:00.000Z', data: 'rows', real: 100_000, load: 1, cores: 2, cpu: 'a processor' };
  if ('error' in result) return { ...base, result };
  if ('bandwidthMBps' in result) return { ...base, result: { machine: result } };
  const points = result.points ?? [point('', result.p50 ?? 1, result.recall10 ?? 1)];
  const figures = { ...points[0]!, buildMs: 1000, saveMs: 0, reopenMs: 100, bytes: 1e6, memoryMB: 100, peakMB: 100, heapMB: null, extra: {}, ...result, points };
  return { ...base, result: { figures } };
}

describe('exact references', () => {
  it('finds the nearest rows, ties apart', async () => {
    const rows = Float32Array.from([1, 0, 0, 1, 0.6, 0.8, 0.8, 0.6]);
    const [answer] = await exactNeighbours([rows.subarray(0, 4), rows.subarray(4)], Float32Array.from([1, 0]), 2, 2);
    expect(answer).toEqual({ best: [0, 3], tied: [] });
    const [tied] = await exactNeighbours([Float32Array.from([1, 0, 1, 0, 1, 0])], Float32Array.from([1, 0]), 2, 2);
    expect(tied).toEqual({ best: [0, 1], tied: [2] });
  });

  it('counts a passage that is tied with the last as found, and none twice', () => {
    expect(recallOf([2, 0], { best: [0, 1], tied: [2] }, 2)).toBe(1);
    expect(recallOf([0, 0], { best: [0, 1], tied: [] }, 2)).toBe(0.5);
    expect(recallOf([5, 6], { best: [0, 1], tied: [] }, 2)).toBe(0);
    expect(recallOf([], { best: [], tied: [] }, 2)).toBe(1);
  });

  it('scores BM25 by its formula', () => {
    const rows = [{ title: 'Copper', text: 'a red metal' }, { title: 'Zinc', text: 'a blue metal' }, { title: 'Copper', text: 'copper and copper' }];
    // "copper": three of four words in the third passage, one of four in the first; lengths are equal.
    expect(exactBm25(rows, ['copper'], 'plain', 10)[0]?.best).toEqual([2, 0]);
    expect(exactBm25(rows, ['the metal'], 'plain', 10)[0]?.best).toEqual([0, 1]);
    expect(exactBm25(rows, ['gold'], 'plain', 10)[0]).toEqual({ best: [], tied: [] });
  });

  it('agrees with the word index of Foray on any passages', () => {
    const words = ['copper', 'metal', 'river', 'bridges', 'built', 'engineer', 'town', 'lamp'];
    const sentence = fc.array(fc.constantFrom(...words), { minLength: 1, maxLength: 30 }).map((list) => list.join(' '));
    fc.assert(
      fc.property(fc.array(fc.record({ title: sentence, text: sentence }), { minLength: 1, maxLength: 60 }), sentence, (rows, question) => {
        const builder = createLexicalBuilder();
        for (const { title, text } of rows) builder.add({ title, section: '', text });
        const { ordinals } = searchLexical([openLexicalSegment(builder.finish(), 'test')], queryTerms(question), 10);
        const [exact] = exactBm25(rows, [question], 'foray', 10);
        expect(recallOf(Array.from(ordinals), exact!, 10)).toBe(1);
      }),
      { numRuns: 60 },
    );
  });
});

it('reads every word of the memory that it measures', async () => {
  const { instance } = await WebAssembly.instantiate(readerModule(2));
  const { memory, read } = instance.exports as unknown as { memory: WebAssembly.Memory; read: (from: number, end: number) => bigint };
  const cells = new BigUint64Array(memory.buffer);
  for (let i = 0; i < cells.length; i++) cells[i] = BigInt(i);
  expect(read(0, memory.buffer.byteLength)).toBe(BigInt((cells.length * (cells.length - 1)) / 2));
  expect(read(64, 128)).toBe(8n + 9n + 10n + 11n + 12n + 13n + 14n + 15n);
});

describe('targets', () => {
  it('lets the fastest accurate setting stand for an engine, else the most accurate', () => {
    expect(chosenPoint([point('a', 1, 0.9), point('b', 2, 0.981), point('c', 3, 0.99)]).label).toBe('b');
    expect(chosenPoint([point('a', 1, 0.9), point('b', 2, 0.95)]).label).toBe('b');
  });

  const graph = row('vectors', 'hnswlib-wasm', { points: [point('ef 64', 0.5, 0.94), point('ef 128', 0.8, 0.982)], buildMs: 400_000 });

  it('compares at equal or better recall only', () => {
    const met = targets([graph, row('vectors', 'foray', { points: [point('C 200', 0.2, 0.9), point('C 2000', 0.39, 0.985)], buildMs: 3000 })]);
    expect(met.filter(({ isMet }) => isMet !== null).map(({ isMet, measured }) => [isMet, measured])).toEqual([
      [true, '0.487 of it (C 2000: 0.39 ms at 0.985)'],
      [true, '133 times'],
    ]);
    const [missed] = targets([graph, row('vectors', 'foray', { points: [point('C 200', 0.2, 0.981)] })]);
    expect(missed).toMatchObject({ isMet: false, measured: 'no setting of Foray reaches 0.982; nearest: C 200, 0.2 ms at 0.981' });
  });

  it('tells what was not measured from what was missed', () => {
    const list = targets([row('text', 'foray', { p50: 0.5, recall10: 0.98, buildMs: 3000, bytes: 2e7, reopenMs: 300 }), row('text', 'minisearch', { p50: 40, bytes: 7e7, extra: { loadJsonMs: 3000 } })]);
    const verdict = (what: RegExp): boolean | null | undefined => list.find((target) => what.test(target.what))?.isMet;
    expect(verdict(/query against minisearch/)).toBe(false);
    expect(verdict(/query against flexsearch/)).toBeNull();
    expect(verdict(/loadJSON/)).toBe(false);
    expect(verdict(/index against/)).toBe(true);
    expect(verdict(/shared with exact/)).toBe(false);
    expect(verdict(/index build/)).toBe(true);
  });

  it('takes the import against both ways of putting the same bytes, and against fetching and putting them where that was measured', () => {
    const verdicts = (machine: object): (boolean | null)[] => {
      const rows = [row('text', 'machine', { bandwidthMBps: 20_000, putPartsMBps: 100, putBlocksMBps: 50, ...machine }), row('text', 'foray', { extra: { importMBps: 40 } })];
      return targets(rows).filter(({ what }) => /putting/.test(what) && /text/.test(what)).map(({ isMet }) => isMet);
    };
    expect(verdicts({})).toEqual([false, true, null]);
    expect(verdicts({ fetchMBps: 90, fetchAndPutMBps: 60 })).toEqual([false, true, true]);
    expect(verdicts({ fetchMBps: 90, fetchAndPutMBps: 80 })).toEqual([false, true, false]);
  });
});

describe('report', () => {
  const rows = [row('text', 'foray', { recall10: 0.99 }), row('text', 'orama', { recall10: 0.1, recall10Plain: 0.4 }), row('text', 'minisearch', { error: 'build: not done after 240 s' })];

  it('ends in one line that names figures and failures', () => {
    const line = resultLine(rows);
    expect(line).not.toContain('\n');
    expect(JSON.parse(line)).toEqual({
      vectors: {},
      text: {
        '100000': {
          foray: { buildMs: 1000, reopenMs: 100, bytes: 1e6, p50: 1, p95: 2, recall10: 0.99 },
          orama: { buildMs: 1000, reopenMs: 100, bytes: 1e6, p50: 1, p95: 2, recall10: 0.4 },
          minisearch: { error: 'build: not done after 240 s' },
        },
      },
    });
  });

  it('lists failures and warns of rows of several runs', () => {
    const options = { run: 'one', command: 'npm run bench -- retrieval', plots: ['text-queries.svg'] };
    expect(report(rows, options)).toContain('build: not done after 240 s');
    expect(report(rows, options)).not.toContain('are mixed');
    expect(report([...rows, row('text', 'flexsearch', {}, 'two')], options)).toContain('Rows of 2 runs are mixed here');
  });
});
