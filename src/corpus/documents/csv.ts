/** Tables of text: each row becomes a line that names its columns, so that a row can be found and quoted by itself. */
import { csvRows, isFilled } from '../../csv.ts';
import type { DocumentReader } from './reader.ts';
import { decodeText } from './text.ts';

const isTabbed = (name: string): boolean => /\.(?:tsv|tab)$/i.test(name);

export const csvReader: DocumentReader = {
  type: 'text',
  accepts: (name, mime) => /\.(?:csv|tsv|tab)$/.test(name) || mime === 'text/csv' || mime === 'text/tab-separated-values',
  async read(bytes, name) {
    const [head = [], ...rows] = csvRows(decodeText(bytes, name), isTabbed(name) ? 'tab' : 'comma').filter(isFilled);
    const columns = head.map((column) => oneLine(column));
    // A table of one row has no head that could name its cells.
    if (rows.length === 0) return { title: '', sections: [{ heading: '', text: columns.filter((cell) => cell !== '').join('; ') }], pages: null };
    return { title: '', sections: [{ heading: columns.filter((column) => column !== '').join(', '), text: rows.map((cells) => rowText(columns, cells)).join('\n') }], pages: null };
  },
};

/** `Name: Karr; Height: 920 m.`; empty cells are left out. */
function rowText(columns: readonly string[], cells: readonly string[]): string {
  const parts = cells.map((cell, i) => [columns[i] ?? '', oneLine(cell)] as const).filter(([, cell]) => cell !== '');
  const text = parts.map(([column, cell]) => (column === '' ? cell : `${column}: ${cell}`)).join('; ');
  return /[.!?]$/.test(text) ? text : `${text}.`;
}

function oneLine(cell: string): string {
  return cell.replace(/\s+/g, ' ').trim();
}
