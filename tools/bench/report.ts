/** `npm run bench -- report`: one self-contained HTML file from one or two folders of a run, of learning, or both. */
import { readFile, writeFile } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { decodeIterations } from '../../src/learning/record.ts';
import { fillTemplate, type WrittenRun } from '../../src/ui/lab/report-data.ts';
import { buildReportTemplate } from '../report-template.ts';
import { readItems } from './agent.ts';

/** Resolves with the path of the file that was written. */
export async function writeReport(folders: readonly string[], out: string | null, title: string | null): Promise<string> {
  const runs = await Promise.all(folders.map(async (folder, i): Promise<WrittenRun> => {
    const { items } = await readItems(resolve(folder));
    const iterations = decodeIterations(await readFile(join(folder, 'iterations.jsonl'), 'utf8').catch(() => ''));
    if (items.length === 0 && iterations.length === 0) throw new Error(`${folder} holds no items of a run and no iterations of learning.`);
    const summary = JSON.parse(await readFile(join(folder, 'summary.json'), 'utf8').catch(() => '{}')) as { run?: Record<string, unknown> };
    return { title: i === 0 && title !== null ? title : basename(resolve(folder)), items, iterations, about: summary.run ?? {} };
  }));
  const file = resolve(out ?? join(folders[0] ?? '.', 'report.html'));
  await writeFile(file, fillTemplate(await buildReportTemplate(), runs));
  return file;
}
