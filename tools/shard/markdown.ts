/**
 * Reads the project's own article folder: `*.md` files of `# Title`, `## Section` and paragraphs, in name order (an article may go on in another file), and the
 * questions beside them (`*.questions.jsonl`), whose support quotes are resolved to passages and must stand there word for word.
 */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';
import { passageId, sentenceSpans, type PassageRow, type SourceSection } from '../../src/corpus/passages.ts';
import { InputError, type Input, type InputDocument } from './input.ts';

export async function openMarkdownFolder(path: string): Promise<Input> {
  const names = (await readdir(path)).sort();
  const articles = names.filter((n) => n.endsWith('.md'));
  const questions = names.filter((n) => n.endsWith('.questions.jsonl'));
  if (articles.length === 0) throw new InputError(`${path}: there is no .md file in this folder`);
  const texts = await Promise.all(articles.map((n) => readFile(join(path, n), 'utf8')));
  const documents = new Map<string, InputDocument>();
  texts.forEach((text, i) => {
    for (const part of articlesOf(text, articles[i] ?? '')) {
      const before = documents.get(part.docId);
      documents.set(part.docId, before === undefined ? part : { ...before, sections: [...before.sections, ...part.sections] });
    }
  });
  let bytesRead = 0;
  const input: Input = {
    hasHyperlinks: false,
    areIdsUnique: true,
    totalBytes: texts.reduce((sum, t) => sum + Buffer.byteLength(t), 0),
    bytesRead: () => bytesRead,
    language: () => null,
    async *items(skip, signal) {
      await Promise.resolve();
      for (const document of [...documents.values()].slice(skip)) {
        signal.throwIfAborted();
        bytesRead += document.sections.reduce((sum, s) => sum + Buffer.byteLength(s.text), 0);
        yield { kind: 'document', document };
      }
    },
  };
  if (questions.length === 0) return input;
  return {
    ...input,
    async extras(shardId, passages) {
      const rows: PassageRow[] = [];
      for await (const row of passages) rows.push(row);
      const resolved: unknown[] = [];
      for (const name of questions) {
        const lines = (await readFile(join(path, name), 'utf8')).split('\n');
        lines.forEach((line, i) => {
          if (line.trim() !== '') resolved.push(resolveQuestion(line, `${name}, line ${i + 1}`, shardId, rows));
        });
      }
      return new Map([['questions.json', `[\n${resolved.map((q) => JSON.stringify(q)).join(',\n')}\n]\n`]]);
    },
  };
}

function* articlesOf(text: string, file: string): Generator<InputDocument> {
  let title: string | null = null;
  let sections: { heading: string; text: string }[] = [];
  const finish = (): InputDocument | null =>
    title === null ? null : { docId: title, title, sections: sections.filter((s) => s.text.trim() !== '') satisfies SourceSection[], links: [] };
  for (const [i, line] of text.split(/\r?\n/).entries()) {
    const heading = /^(#{1,2})\s+(.*\S)\s*$/.exec(line);
    if (heading?.[1] === '#') {
      const done = finish();
      if (done !== null) yield done;
      title = heading[2] ?? '';
      sections = [{ heading: '', text: '' }];
    } else if (heading?.[1] === '##') {
      sections.push({ heading: heading[2] ?? '', text: '' });
    } else if (line.trim() !== '') {
      const section = sections.at(-1);
      if (title === null || section === undefined) throw new InputError(`${file}, line ${i + 1}: text before the first title`);
      section.text += `${line}\n`;
    }
  }
  const done = finish();
  if (done !== null) yield done;
}

const questionSchema = v.looseObject({
  id: v.string(),
  question: v.string(),
  answers: v.array(v.string()),
  type: v.string(),
  support: v.array(v.object({ title: v.string(), section: v.string(), quote: v.pipe(v.string(), v.minLength(1)) })),
});

/** The question with the passage and sentence of each quote. Throws where a quote is not found word for word. */
function resolveQuestion(line: string, where: string, shardId: string, rows: readonly PassageRow[]): unknown {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    throw new InputError(`${where}: this is not JSON`);
  }
  const parsed = v.safeParse(questionSchema, value);
  if (!parsed.success) throw new InputError(`${where}: ${v.getDotPath(parsed.issues[0]) ?? 'the question'}: ${parsed.issues[0].message}`);
  const support = parsed.output.support.map((s) => {
    const row = rows.find((r) => r.title === s.title && r.section === s.section && r.text.includes(s.quote));
    if (row === undefined) throw new InputError(`${where}: the quote is not in ${s.title}${s.section === '' ? '' : `, ${s.section}`}: ${s.quote}`);
    const start = row.text.indexOf(s.quote);
    const sentence = sentenceSpans(row.text, row.sentenceEnds).findIndex((span) => start < span.end);
    return { ...s, passage: passageId(shardId, row.docId, row.n), sentence };
  });
  return { ...parsed.output, support };
}
