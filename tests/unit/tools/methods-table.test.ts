import { expect, test } from 'vitest';
import { methodsTable, type TableSummary } from '../../../tools/bench/methods-table.ts';

const system = (method: string, em: number, more: Partial<TableSummary['systems'][string]> = {}): TableSummary['systems'][string] => ({
  method, dataset: 'toy', llm: 'http:http://127.0.0.1:1/v1#tiny', setting: 'default', n: 8, failed: 0, em, f1: em, acc: em, supportRecall: 1, quoteValidity: null,
  llmCalls: 2.04, promptTokens: 1234.4, cachedTokens: 0.456, searches: 1, intervals: { em: [em, em - 0.125, em + 0.125] }, ...more,
});

const summary: TableSummary = {
  systems: { rag: system('rag', 0.25, { cachedTokens: null }), foray: system('foray', 0.5), direct: system('direct', 0.25, { f1: 0.3, n: 7, failed: 1 }) },
  comparisons: [
    { a: 'foray', b: 'rag', em: { difference: [0.25, -0.125, 0.5], onlyA: 3, onlyB: 1, mcnemar: 0.625, holm: 1 } },
    { a: 'foray', b: 'direct', em: { difference: null, onlyA: 0, onlyB: 0, mcnemar: 1, holm: 1 } },
  ],
  run: { command: 'npm run bench -- agent --limit 8' },
};

test('a row a method, best first, with the difference to the first system turned round, and the command above', () => {
  const lines = methodsTable([summary]).split('\n');
  expect(lines[0]).toBe('## toy, tiny, n 7 to 8');
  expect(lines[3]).toBe('npm run bench -- agent --limit 8');
  expect(lines.slice(8, 11)).toEqual([
    '| `foray` (n 8) | .500 [.375, .625] | .500 | .500 | 1.000 | – | 2.0 | 1,234, 46 % | 1.0 | this |',
    '| `direct` (n 7), 1 failed | .250 [.125, .375] | .300 | .250 | 1.000 | – | 2.0 | 1,234, 46 % | 1.0 | – |',
    '| `rag` (n 8) | .250 [.125, .375] | .250 | .250 | 1.000 | – | 2.0 | 1,234 | 1.0 | −.250 [−.500, +.125], p .625 (1.000) |',
  ]);
});

test('without comparisons there is no column for them; a summary without systems gives nothing', () => {
  const text = methodsTable([{ ...summary, comparisons: [] }, { ...summary, systems: {} }]);
  expect(text).not.toContain('Holm');
  expect(text.match(/^## /gm)).toEqual(['## ', '## ']);
});

test('several sets are told all together first: means by questions, and the pairs of all of them', () => {
  const other: TableSummary = {
    ...summary, systems: { rag: system('rag', 0, { n: 4, f1: 0 }), foray: system('foray', 1, { n: 4 }) },
    comparisons: [{ a: 'foray', b: 'rag', em: { difference: [1, 1, 1], onlyA: 4, onlyB: 0, mcnemar: 0.125, holm: 0.125 } }],
  };
  const lines = methodsTable([summary, other]).split('\n');
  expect(lines.slice(0, 7)).toEqual([
    '## All together', '',
    '| method | n | EM [95 %] | F1 | calls | prompt tokens | searches | only this right, only `foray` | p (Holm) |', '|---|---|---|---|---|---|---|---|---|',
    '| `foray` | 12 | .667 [.391, .862] | .667 | 2.0 | 1,234 | 1.0 | this |  |',
    '| `direct`, 1 failed | 7 | .250 [.082, .641] | .300 | 2.0 | 1,234 | 1.0 | 0, 0 | 1.000 (1.000) |',
    '| `rag` | 12 | .167 [.047, .448] | .167 | 2.0 | 1,234 | 1.0 | 1, 7 | .070 (.141) |',
  ]);
});
