/** The benchmark's own runner over the built page: two pages that are killed in mid-run, and gone on with. */
import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from '@playwright/test';
import { readRunFile, type ItemRecord } from '../../src/lab/record.ts';
import type { Summary } from '../../src/lab/summary.ts';
import { readItems } from '../../tools/bench/agent.ts';
import { root } from '../../tools/setup.mjs';

let folder = '';
test.beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'foray-lab-bench-'));
});
test.afterAll(() => rm(folder, { recursive: true, force: true }));

async function summaryOf(out: string): Promise<Summary> {
  return JSON.parse(await readFile(join(folder, out, 'summary.json'), 'utf8')) as Summary;
}

const keyOf = ({ method, qid }: Pick<ItemRecord, 'method' | 'qid'>): string => `${method} ${qid}`;

/** The command in a process of its own; killed as soon as that many items are on disk. */
async function command(out: string, killAfter: number | null): Promise<number | null> {
  const args = ['--import', 'tsx', join(root, 'tools', 'bench.ts'), 'agent', '--dist', join(root, 'dist'), '--llm', `scripted:${join(folder, 'script.json')}`, '--limit', '4', '--methods', 'rag,direct', '--pages', '2', '--quiet', '--out', join(folder, out)];
  const child = spawn(process.execPath, args, { cwd: root, stdio: 'ignore' });
  let isOver = false;
  const closed = new Promise<number | null>((done) => child.on('close', (code) => {
    isOver = true;
    done(code);
  }));
  while (killAfter !== null && !isOver) {
    const lines = (await readFile(join(folder, out, 'run.jsonl'), 'utf8').catch(() => '')).split('\n').length - 1;
    if (lines >= killAfter) child.kill('SIGKILL');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return closed;
}

test('two pages, kill -9 in mid-run: the same command goes on and ends with the items of an unbroken run', async () => {
  test.setTimeout(300_000);
  await writeFile(join(folder, 'script.json'), JSON.stringify({ responses: [], otherwise: { say: { sentence: 1, answer: 'the river' }, delayMs: 200 } }));
  expect(await command('broken', 3)).toBeNull();
  const before = readRunFile(await readFile(join(folder, 'broken', 'run.jsonl'), 'utf8')).items;
  expect(before.length).toBeGreaterThanOrEqual(3);
  expect(before.length).toBeLessThan(8);
  expect(await command('broken', null)).toBe(0);
  expect(await command('whole', null)).toBe(0);
  const [broken, whole] = [(await readItems(join(folder, 'broken'))).items, (await readItems(join(folder, 'whole'))).items];
  expect(broken.slice(0, before.length)).toEqual(before);
  // What was done is the same; only the times are others, and what a new page does not find in its prefix cache.
  const plain = (items: readonly ItemRecord[]): unknown => JSON.parse(JSON.stringify(items.toSorted((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1)),
    (key, value: unknown) => (/^(?:ms|wallMs|overheadMs|cachedTokens|id)$/.test(key) ? undefined : value)));
  expect(whole.length).toBe(8);
  expect(plain(broken)).toEqual(plain(whole));
  expect((await summaryOf('broken') as Summary & { run: { engines: { env: unknown }[] } }).run.engines[0]?.env).toMatchObject({ pages: 2, pagesLost: 0 });
});
