/** The word index of an own document: made when it is added, and made anew from its stored passages where what is stored does not open (an older version, damage). */
import { AppError } from '../errors.ts';
import { ownCorpus, rowsOf } from './import.ts';
import { createLexicalBuilder } from './lexical-builder.ts';
import { openLexicalSegment, type LexicalSegment } from './lexical.ts';
import type { PassageRow } from './passages.ts';
import { decodePassageBlock } from './shard.ts';
import type { DocumentRow, PartRow, Store } from './store.ts';

export function indexPassages(rows: readonly PassageRow[]): Uint8Array<ArrayBuffer> {
  const builder = createLexicalBuilder();
  for (const row of rows) builder.add(row);
  return builder.finish();
}

/** Throws `shard/part-missing` or `shard/part-invalid` where the passages cannot be read either. */
export async function openDocumentWords(store: Store, row: DocumentRow, parts: readonly PartRow[]): Promise<LexicalSegment> {
  const [stored] = await store.blocks([{ id: ownCorpus, digest: row.id, file: wordsFile, block: 0 }]);
  try {
    if (stored !== null && stored !== undefined) return openLexicalSegment(stored, row.name);
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
  }
  const lexical = indexPassages(await readPassages(store, row, parts));
  const segment = openLexicalSegment(lexical, row.name);
  try {
    await store.replaceDocumentPart(row.id, ...documentPart(lexical, 'lexical', segment.passages));
  } catch (error) {
    // It is searchable for now; what could not be kept is made again at the next start.
    if (!(error instanceof AppError)) throw error;
  }
  return segment;
}

const wordsFile = 'lexical.bin';

export function documentPart(bytes: Uint8Array<ArrayBuffer>, kind: 'passages' | 'lexical', count: number): [PartRow, readonly Uint8Array[]] {
  return rowsOf(bytes, { first: 0, count, file: kind === 'lexical' ? wordsFile : 'passages.bin', kind, bytes: bytes.length });
}

async function readPassages(store: Store, row: DocumentRow, parts: readonly PartRow[]): Promise<PassageRow[]> {
  const wanted = parts.filter(({ kind }) => kind === 'passages').flatMap(({ file, blocks }) => blocks.map((place, block) => ({ file, place, block })));
  const found = await store.blocks(wanted.map(({ file, block }) => ({ id: ownCorpus, digest: row.id, file, block })));
  return wanted.flatMap(({ file, place }, i) => {
    const bytes = found[i] ?? null;
    if (bytes === null) throw new AppError('shard/part-missing', { part: file, status: 'lost by the browser' });
    return decodePassageBlock(bytes, { ...place, offset: 0, length: bytes.length }, file);
  });
}
