import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { indexInMemory, memoryRetriever } from '../../../src/corpus/memory.ts';
import type { Retriever } from '../../../src/corpus/retriever.ts';
import { openNodeCorpus } from '../../../tools/bench/corpus.ts';
import { buildShard } from '../../../tools/shard/builder.ts';

const texts: readonly (readonly [title: string, text: string])[] = [
  ['Varn lighthouse', 'The Varn lighthouse was built by Ilse Brandt in 1871. It stands on a rock.'],
  ['Ilse Brandt', 'Ilse Brandt was an engineer. She was born in Tolmen, near the coast.'],
  ['Tolmen', `Tolmen lies on the river Isk. ${'The mill of the town has an old wheel that still turns in spring. '.repeat(30)}`],
  ['Odder', 'Odder is a town with a bridge. Nothing links it to the coast.'],
];
const signal = new AbortController().signal;
const pause = async (): Promise<void> => {};

let folder = '';
let memory: Retriever;
let shard: Retriever;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'foray-memory-'));
  const input = join(folder, 'passages.jsonl');
  await writeFile(input, texts.map(([title, text]) => JSON.stringify({ id: title, title, text })).join('\n'));
  await buildShard(
    { input, out: join(folder, 'shard'), id: 'towns', name: 'Towns', language: 'en', licence: 'CC0-1.0', attribution: 'none', source: 'none', embedder: 'none', vectorsCache: null },
    { signal, onProgress: () => undefined, now: () => 0 },
  );
  shard = (await openNodeCorpus(join(folder, 'shard'))).retriever;
  memory = memoryRetriever(await indexInMemory('towns', texts.map(([title, text]) => ({ docId: title, title, sections: [{ heading: '', text }] })), pause, signal), { now: () => 0 });
});
afterAll(() => rm(folder, { recursive: true, force: true }));

test.each(['Who built the Varn lighthouse?', 'Where was the engineer of the lighthouse born?', '"river Isk"', 'wheel', 'nothing of the sort xyzzy'])('finds what the shard of the same documents finds: %s', async (text) => {
  const plain = async (retriever: Retriever): Promise<unknown> => (await retriever.search({ text, k: 10 }, signal)).hits;
  const hits = await plain(memory);
  expect(hits).toEqual(await plain(shard));
  if (text === 'Who built the Varn lighthouse?') expect((await memory.search({ text, k: 10 }, signal)).hits.map(({ passage }) => passage.id)).toContain('towns/Varn lighthouse');
});

test('passages, neighbours and frequencies are those of the shard', async () => {
  const neighbours = await memory.neighbours('towns/Ilse Brandt');
  expect(neighbours).toEqual(await shard.neighbours('towns/Ilse Brandt'));
  expect(neighbours?.out.map(({ title }) => title)).toContain('Tolmen');
  expect(neighbours?.in).toEqual([{ id: 'towns/Varn lighthouse', title: 'Varn lighthouse', section: '' }]);
  expect((await memory.passage('towns/Tolmen#2'))?.text).toContain('wheel');
  expect(await memory.passage('other/Tolmen#2')).toBeNull();
  expect(await memory.passage('towns/Nowhere')).toBeNull();
  expect(await memory.neighbours('towns/Nowhere')).toBeNull();
  expect(await memory.frequencies(['lighthouse', 'wheel', 'xyzzy'])).toEqual(await shard.frequencies(['lighthouse', 'wheel', 'xyzzy']));
});

test('an empty corpus finds nothing; a stopped one rejects', async () => {
  const empty = memoryRetriever(await indexInMemory('none', [], pause, signal), { now: () => 0 });
  expect((await empty.search({ text: 'Varn', k: 3 }, signal)).hits).toEqual([]);
  await expect(indexInMemory('x', [{ docId: 'a', title: 'a', sections: [{ heading: '', text: 'b' }] }], pause, AbortSignal.abort())).rejects.toThrow();
});
