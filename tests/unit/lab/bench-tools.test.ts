import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { mkdtemp, rm, utimes, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { hashIds, loadQuestions, namesOf, openShard, portable, portableCommand, shardOf } from '../../../tools/bench/corpora.ts';
import { checkServed, chooseLlm } from '../../../tools/bench/site.ts';
import { root } from '../../../tools/setup.mjs';

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'foray-lab-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const row = (id: string, split: string | null): string => JSON.stringify({ id, question: `Who is ${id}?`, answers: [id], split });

describe('question files', () => {
  test('are named by folder and file', () => {
    expect(namesOf('/x/hotpotqa/dev.jsonl.gz')).toEqual({ dataset: 'hotpotqa', split: 'dev' });
    expect(namesOf('/x/mine/arts.questions.jsonl')).toEqual({ dataset: 'mine', split: 'arts' });
  });

  test('the sample depends on the seed, a larger limit keeps the smaller sample, a split is kept apart', async () => {
    const file = join(folder, 'q.jsonl.gz');
    await writeFile(file, gzipSync(Array.from({ length: 40 }, (_, i) => row(`q${i}`, i % 2 === 0 ? 'tune' : 'report')).join('\n')));
    const ten = await loadQuestions(file, 'toy', null, 10, 13);
    const twenty = await loadQuestions(file, 'toy', null, 20, 13);
    expect(twenty.slice(0, 10)).toEqual(ten);
    expect((await loadQuestions(file, 'toy', null, 10, 14)).map((question) => question.id)).not.toEqual(ten.map((question) => question.id));
    const report = await loadQuestions(file, 'toy', 'report', 100, 13);
    expect(report.length).toBe(20);
    expect(new Set(report.map((question) => question.split))).toEqual(new Set(['report']));
    expect(hashIds(ten)).toBe(hashIds(ten.toReversed()));
    expect(hashIds(ten)).not.toBe(hashIds(twenty));
  });

  test('a split that the questions do not name is a label only', async () => {
    const file = join(folder, 'plain.jsonl');
    await writeFile(file, row('a', null));
    expect((await loadQuestions(file, 'toy', 'dev', 10, 13)).length).toBe(1);
  });
});

describe('shards', () => {
  const passages = (text: string): string => ['a', 'b'].map((id) => JSON.stringify({ id, title: `Title ${id}`, text: `${text} of ${id}. It stands in a town.` })).join('\n');

  test('are built once for the same content, and anew for other content', async () => {
    const file = join(folder, 'passages.jsonl');
    await writeFile(file, passages(`The mill ${folder}`));
    const signal = new AbortController().signal;
    const first = await shardOf([file], 'Toy Set', 'none', signal, () => undefined);
    await utimes(file, new Date(0), new Date(0));
    let built = 0;
    const again = await shardOf([file], 'Toy Set', 'none', signal, () => void built++);
    await writeFile(file, passages(`The bridge ${folder}`));
    const other = await shardOf([file], 'Toy Set', 'none', signal, () => undefined);
    try {
      expect(first).toMatchObject({ documents: 2, passages: 2, embedder: null });
      expect(first.id).toMatch(/^toy-set-[0-9a-f]{12}$/);
      expect(again).toEqual(first);
      expect(built).toBe(0);
      expect(other.label).not.toBe(first.label);
      expect(await openShard(first.folder)).toEqual(first);
    } finally {
      for (const shard of [first, other]) for (const path of [shard.folder, `${shard.folder}.build`]) await rm(path, { recursive: true, force: true });
    }
  });

  test('a folder without a manifest says what to do', async () => {
    await expect(openShard(folder)).rejects.toThrow('manifest.json is missing');
  });
});

describe('paths in records', () => {
  test('are relative in the checkout and the shared data, base names elsewhere', () => {
    expect(portable(join(root, 'bench', 'results', 'x'))).toBe('bench/results/x');
    expect(portable(join(root, '..', 'shared', 'data', 'qa', 'dev.jsonl.gz'))).toBe('../shared/data/qa/dev.jsonl.gz');
    expect(portable(join(root, '..', 'other', 'dev.jsonl.gz'))).toBe('dev.jsonl.gz');
    expect(portable(join(folder, 'deep', 'mine.csv'))).toBe('mine.csv');
    expect(portable(root)).toBe('.');
  });

  test('a command keeps what is no path', () => {
    const args = ['agent', '--questions', `${folder}/a.jsonl,${folder}/b.csv`, '--llm', `wllama:${folder}/q4.gguf,http:http://127.0.0.1:8089/v1#m,none`, `--out=${folder}/run`, '--corpus', 'union', '--settings', `{"links": false}`];
    expect(portableCommand(args)).toBe(`agent --questions a.jsonl,b.csv --llm wllama:q4.gguf,http:http://127.0.0.1:8089/v1#m,none --out=run --corpus union --settings '{"links": false}'`);
  });
});

describe('--llm', () => {
  test('a model file is named by its base name and told from another by its content', async () => {
    const file = join(folder, 'tiny-q4_0.gguf');
    await writeFile(file, 'GGUF one');
    const first = await chooseLlm(`wllama:${file}`);
    expect(first).toMatchObject({ name: 'wllama:tiny-q4_0.gguf', quant: 'q4_0', hash: expect.stringMatching(/^8-[0-9a-f]{12}$/) as string });
    await writeFile(file, 'GGUF two');
    expect((await chooseLlm(`wllama:${file}`)).hash).not.toBe(first.hash);
  });

  test('endpoints keep their address, port and path', async () => {
    expect((await chooseLlm('http:http://127.0.0.1:8089/v1#qwen2.5:3b-q4_K_M')).page).toEqual({ kind: 'endpoint', url: 'http://127.0.0.1:8089/v1', model: 'qwen2.5:3b-q4_K_M' });
    expect((await chooseLlm('http://localhost:1234/v1#m')).page).toEqual({ kind: 'endpoint', url: 'http://localhost:1234/v1', model: 'm' });
    expect((await chooseLlm('http:http://127.0.0.1:8089/v1#qwen2.5-3b-q4_K_M')).quant).toBe('q4_k_m');
    await expect(chooseLlm('http:127.0.0.1#m')).rejects.toThrow('give the address');
    await expect(chooseLlm('http:http://127.0.0.1:8089/v1')).rejects.toThrow('give the address');
  });

  test('a server that offers another model is not measured under the name of the one that was asked for', async () => {
    let list: unknown = { data: [{ id: 'small' }, { id: 'large' }] };
    const server = createServer((_request, response) => response.end(JSON.stringify(list)));
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
    const { signal } = new AbortController();
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`;
    const check = async (model: string): Promise<void> => checkServed(await chooseLlm(`http:${url}#${model}`), signal);
    try {
      await check('large');
      await expect(check('other')).rejects.toThrow(/offers small, large, not other/);
      // A server without a list is taken at its word.
      list = { models: [] };
      await check('other');
    } finally {
      await new Promise((done) => server.close(done));
    }
    await expect(check('large')).rejects.toThrow(/No model server answers/);
    await checkServed(await chooseLlm('none'), signal);
  });

  test('catalogue rows, none, and what there is not', async () => {
    expect((await chooseLlm('webllm:Llama-3.2-1B-Instruct-q4f16_1-MLC')).page).toEqual({ kind: 'row', id: 'Llama-3.2-1B-Instruct-q4f16_1-MLC' });
    expect((await chooseLlm('wllama:smollm2-135m')).page).toEqual({ kind: 'row', id: 'smollm2-135m' });
    expect((await chooseLlm('none')).page).toBeNull();
    await expect(chooseLlm('ollama:x')).rejects.toThrow('one of none');
    await expect(chooseLlm('x')).rejects.toThrow('one of none');
  });

  test('a script is served as a model of its own, named by its content', async () => {
    const file = join(folder, 'My script.json');
    await writeFile(file, '{"responses":[]}');
    const first = await chooseLlm(`scripted:${file}`);
    expect(first.page).toEqual({ kind: 'row', id: first.extra[0]?.row.id });
    expect(first.extra[0]?.model.files).toEqual([{ path: 'script.json', bytes: 16, file }]);
    await writeFile(file, '{"responses":[],"loadMs":1}');
    expect((await chooseLlm(`scripted:${file}`)).page).not.toEqual(first.page);
  });
});
