import { spawn } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';

const root = fileURLToPath(new URL('../../..', import.meta.url));
let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'foray-resume-'));
  await writeFile(join(folder, 'script.json'), JSON.stringify({ responses: [], otherwise: { say: { sentence: 1, answer: 'the river' }, delayMs: 40 } }));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** Runs the benchmark in a process of its own; `killAfter`: kills it as soon as that many items are on disk. */
async function bench(out: string, killAfter: number | null, more: readonly string[] = []): Promise<number | null> {
  const args = ['--import', 'tsx', join(root, 'tools', 'bench.ts'), 'agent', '--in-process', '--llm', `scripted:${join(folder, 'script.json')}`, '--limit', '6', '--methods', 'rag,direct', '--quiet', '--out', out, ...more];
  const child = spawn(process.execPath, args, { cwd: root, stdio: ['ignore', 'ignore', 'pipe'] });
  const closed = new Promise<number | null>((done) => child.on('close', done));
  let isOver = false;
  void closed.then(() => (isOver = true));
  while (killAfter !== null && !isOver) {
    const lines = (await readFile(join(out, 'run.jsonl'), 'utf8').catch(() => '')).split('\n').length - 1;
    if (lines >= killAfter) {
      child.kill('SIGKILL');
      break;
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  return closed;
}

interface Line {
  readonly kind: string;
  readonly method: string;
  readonly qid: string;
}

async function linesOf(out: string): Promise<Line[]> {
  return (await readFile(join(out, 'run.jsonl'), 'utf8')).split('\n').filter((line) => line !== '').map((line) => JSON.parse(line) as Line);
}

/** Everything of a summary but times, where it was written, and what a new process does not find in its prefix cache. */
async function summaryOf(out: string): Promise<unknown> {
  const { run: _run, ...rest } = JSON.parse(await readFile(join(out, 'summary.json'), 'utf8')) as { run: unknown };
  return JSON.parse(JSON.stringify(rest, (key, value: unknown) => (/seconds|overhead|cachedTokens/i.test(key) ? undefined : value)));
}

test('kill -9 in the middle, torn line and all: the same command ends with the summary of an unbroken run, nothing lost or asked twice', { timeout: 180_000 }, async () => {
  const [broken, whole] = [join(folder, 'broken'), join(folder, 'whole')];
  expect(await bench(broken, 3)).toBeNull();
  const before = await linesOf(broken);
  expect(before.length).toBeGreaterThanOrEqual(3);
  expect(before.length).toBeLessThan(12);
  // What a kill in the middle of a write leaves.
  await writeFile(join(broken, 'run.jsonl'), `${await readFile(join(broken, 'run.jsonl'), 'utf8')}{"kind":"trajectory","qid":"ar`);
  expect(await bench(broken, null)).toBe(0);
  expect(await bench(whole, null)).toBe(0);
  const [a, b] = [await linesOf(broken), await linesOf(whole)];
  const keys = (lines: readonly Line[]): string[] => lines.filter(({ kind }) => kind === 'trajectory').map(({ method, qid }) => `${method} ${qid}`);
  expect(keys(a).toSorted()).toEqual(keys(b).toSorted());
  expect(new Set(keys(a)).size).toBe(12);
  expect(a.slice(0, before.length)).toEqual(before);
  expect(await summaryOf(broken)).toEqual(await summaryOf(whole));
});

test('what a run writes names files without the folders of this machine', { timeout: 120_000 }, async () => {
  const out = join(folder, 'named');
  await writeFile(join(folder, 'mine.csv'), 'question,answer\nWho planned the bridge?,Ilse Brandt\n');
  await writeFile(join(folder, 'texts.jsonl'), JSON.stringify({ id: 'a', title: 'Bridge', text: 'The bridge was planned by Ilse Brandt. It stands in a town.' }));
  expect(await bench(out, null, ['--questions', join(folder, 'mine.csv'), '--corpus', join(folder, 'texts.jsonl'), '--dataset', 'mine'])).toBe(0);
  const names = await readdir(out);
  expect(names.toSorted()).toEqual(['config.json', 'run.jsonl', 'summary.json']);
  for (const name of names) {
    const text = await readFile(join(out, name), 'utf8');
    expect([tmpdir(), homedir(), root.replace(/\/$/, '')].filter((path) => text.includes(`${path}/`)), name).toEqual([]);
  }
  const { run } = JSON.parse(await readFile(join(out, 'summary.json'), 'utf8')) as { run: { command: string; matrix: { questions: unknown; models: unknown } } };
  expect(run.command).toContain('--llm scripted:script.json --limit 6');
  expect(run.matrix).toMatchObject({ questions: [{ file: 'mine.csv', dataset: 'mine' }], models: ['scripted:script.json'] });
});
