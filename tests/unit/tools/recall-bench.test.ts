/** `bench -- recall` on a toy corpus: a re-ranker changes what is found where it should, and the settings of the word index are compared on the same questions. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runRecallBench, type RecallOptions } from '../../../tools/bench/recall.ts';
import { root } from '../../../tools/setup.mjs';

const signal = new AbortController().signal;
const passages = [
  { id: 'a', title: 'Shades', text: 'Founded: lamps, lamps.' },
  { id: 'b', title: 'Wicks', text: 'Founding lamps, founding lamps.' },
  { id: 'c', title: 'Vale Glassworks', text: 'Orrin Vale founded it; it makes lamps of glass for harbours and for ships of many kinds, and other things that shine in the dark.' },
  { id: 'd', title: 'Glass', text: 'Glass lamps. Lamps and glass.' },
  { id: 'f', title: 'Glass', text: 'Glass, lamps; glass and lamps.' },
];
const rows = ['Who founded lamps?', 'Who makes "lamps of glass"?'].map((question, i) => ({ id: `q${i}`, question, answer: 'Orrin Vale', supporting_passage_ids: ['c'] }));
let folder = '';
let options: RecallOptions;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'foray-recall-'));
  const files = { questions: join(folder, 'dev.jsonl'), passages: join(folder, 'passages.jsonl') };
  // The folder's name in a text makes the shard this test's own.
  const own = { id: 'e', title: 'Folder', text: `Kept in ${folder}.` };
  await writeFile(files.questions, rows.map((row) => JSON.stringify(row)).join('\n'));
  await writeFile(files.passages, [...passages, own].map((row) => JSON.stringify(row)).join('\n'));
  options = { ...files, embedder: 'none', limit: 10, seed: 1, analysis: false, rerank: null, out: null };
});
afterAll(async () => {
  const shards = join(root, '.cache', 'shards');
  const made = (await readdir(shards)).filter((name) => name.startsWith('foray-recall-'));
  for (const path of [folder, ...made.map((name) => join(shards, name))]) await rm(path, { recursive: true, force: true });
});

async function figures(more: Partial<RecallOptions>): Promise<Record<string, { recall2: number; recall20: number }>> {
  const text = await runRecallBench({ ...options, ...more }, signal, () => undefined);
  return (JSON.parse(text.slice(text.lastIndexOf('\n') + 1)) as { systems: Record<string, { recall2: number; recall20: number }> }).systems;
}

describe('re-ranking', () => {
  it('is measured on top of words and of links, by what the model names', async () => {
    const script = join(folder, 'script.json');
    const responses = [1, 2, 3, 4, 5].map((n) => ({ when: `SELECT.*\\[${n}\\] Vale Glassworks`, say: { helpful: [n] } }));
    await writeFile(script, JSON.stringify({ responses }));
    const systems = await figures({ rerank: { spec: `scripted:${script}`, keepsCalls: false } });
    const names = Object.keys(systems);
    expect(names.filter((name) => name.includes('llm:scripted-script'))).toEqual([expect.stringMatching(/^bm25 \+ llm:/), expect.stringMatching(/^bm25 \+ links \+ llm:/)]);
    expect(systems['bm25']).toMatchObject({ recall2: 0.5, recall20: 1 });
    expect(systems[names.find((name) => name.startsWith('bm25 + llm:')) ?? '']).toMatchObject({ recall2: 1, recall20: 1 });
  });

  it('says what can be named', async () => {
    await expect(figures({ rerank: { spec: 'none', keepsCalls: false } })).rejects.toThrow('cross-encoder:FOLDER');
  });
});

describe('the settings of the word index', () => {
  it('are compared with and without stemming, title weight and phrases', async () => {
    const systems = await figures({ analysis: true });
    expect(Object.keys(systems)).toEqual(
      ['english-1', 'words-1'].flatMap((name) => ['title × 2', 'title × 2, no phrases', 'title × 0', 'title × 1', 'title × 4'].map((detail) => `${name}, ${detail}`)),
    );
    const recall2 = (name: string): number | undefined => systems[name]?.recall2;
    // The phrase question finds its passage by the phrase alone; the other one where "founding" is not "founded".
    expect(recall2('english-1, title × 2')).toBe(0.5);
    expect(recall2('english-1, title × 2, no phrases')).toBe(0);
    expect(recall2('words-1, title × 2')).toBe(1);
    expect(recall2('words-1, title × 2, no phrases')).toBe(0.5);
  });
});
