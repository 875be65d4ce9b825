/**
 * Chooses the reader of an input by its name, and reads JSON lines (`id`, `title`, `text` and optional `sections`; plain or packed).
 */
import { stat } from 'node:fs/promises';
import { basename } from 'node:path';
import * as v from 'valibot';
import { InputError, linesOf, openBytes, textOf, type Input, type InputDocument } from './input.ts';
import { openMarkdownFolder } from './markdown.ts';
import { openMediaWiki } from './mediawiki.ts';

/** Opens a file or folder. Throws `InputError` where it is missing or of no known kind. */
export async function openInput(path: string): Promise<Input> {
  const info = await stat(path).catch(() => null);
  if (info === null) throw new InputError(`${path}: there is no such file or folder`);
  if (info.isDirectory()) return openMarkdownFolder(path);
  const plain = basename(path).toLowerCase().replace(/\.(?:gz|bz2)$/, '');
  if (plain.endsWith('.xml')) return openMediaWiki(path, info.size);
  if (/\.(?:jsonl|ndjson|json)$/.test(plain)) return openJsonLines(path, info.size);
  throw new InputError(`${path}: the kind of input is told by its name: .jsonl, .jsonl.gz, .xml, .xml.bz2, .xml.gz, or a folder of .md files`);
}

const rowSchema = v.object({
  id: v.pipe(v.union([v.string(), v.number()]), v.transform(String), v.minLength(1), v.maxLength(1000)),
  title: v.string(),
  text: v.optional(v.string()),
  sections: v.optional(v.array(v.object({ heading: v.string(), text: v.string(), page: v.optional(v.nullable(v.pipe(v.number(), v.integer(), v.minValue(1)))) }))),
});

function openJsonLines(path: string, totalBytes: number): Input {
  let bytesRead = 0;
  return {
    hasHyperlinks: false,
    areIdsUnique: true,
    totalBytes,
    bytesRead: () => bytesRead,
    language: () => null,
    async *items(skip, signal) {
      let line = 0;
      for await (const text of linesOf(textOf(openBytes(path, (n) => (bytesRead = n))))) {
        signal.throwIfAborted();
        line++;
        if (line <= skip) continue;
        if (text.trim() === '') {
          yield { kind: 'skipped' };
          continue;
        }
        yield { kind: 'document', document: decodeRow(text, `${path}, line ${line}`) };
      }
    },
  };
}

function decodeRow(text: string, where: string): InputDocument {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new InputError(`${where}: this is not JSON`);
  }
  const parsed = v.safeParse(rowSchema, value);
  if (!parsed.success) throw new InputError(`${where}: ${v.getDotPath(parsed.issues[0]) ?? 'the row'}: ${parsed.issues[0].message}`);
  const row = parsed.output;
  if (row.text === undefined && row.sections === undefined) throw new InputError(`${where}: the row has neither text nor sections`);
  const lead = row.text === undefined || row.text.trim() === '' ? [] : [{ heading: '', text: row.text }];
  const sections = (row.sections ?? []).map((s) => ({ heading: s.heading, text: s.text, page: s.page ?? null }));
  return { docId: row.id, title: row.title, sections: [...lead, ...sections], links: [] };
}
