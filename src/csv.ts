/** Tables of text (RFC 4180, and with tabs): the owner of d3-dsv, by its functions that need no `eval`. Pure. */
import { csvParseRows, tsvParseRows } from 'd3-dsv';

/** Whether anything stands in a row. */
export function isFilled(cells: readonly string[]): boolean {
  return cells.some((cell) => cell.trim() !== '');
}

/** The rows of cells, the head and empty ones among them. A mark at the beginning that says UTF-8 is none of the text. */
export function csvRows(text: string, separator: 'comma' | 'tab' = 'comma'): string[][] {
  const bare = text.replace(/^\uFEFF/, '');
  return separator === 'tab' ? tsvParseRows(bare) : csvParseRows(bare);
}
