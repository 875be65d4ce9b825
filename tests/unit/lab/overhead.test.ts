/** The lab's own work on 200 questions: scores, the line of JSON, the disk. Processor time, for the machine may be busy with something else. */
import { mkdtemp, open, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { AgentEvent } from '../../../src/agent/events.ts';
import { createScriptedLlm } from '../../../src/engine/backends/scripted.ts';
import { decodeQuestions } from '../../../src/lab/datasets.ts';
import { cellsOf, plainSetting } from '../../../src/lab/matrix.ts';
import { runLab, tasksOf, type Ask } from '../../../src/lab/runner.ts';
import { openNodeCorpus } from '../../../tools/bench/corpus.ts';
import { nodeAsk } from '../../../tools/bench/in-process.ts';
import { root } from '../../../tools/setup.mjs';

const cpuMs = (): number => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
};

test('200 questions with the scripted engine: at most 15 ms a question', { timeout: 180_000 }, async () => {
  const demo = join(root, 'public', 'shards', 'demo');
  const questions = decodeQuestions(await readFile(join(demo, 'questions.json'), 'utf8'), 'questions.json', 'demo').slice(0, 20);
  const { retriever, manifest } = await openNodeCorpus(demo);
  const script = { responses: [], otherwise: { say: { sentence: 1, answer: 'the river' } } };
  const llm = await createScriptedLlm(script, { modelId: 's', label: 's', die: () => { throw new Error('no worker'); } });
  const ask = nodeAsk({ llm, retriever, corpus: manifest.id, store: null });
  const signal = new AbortController().signal;
  const axes = { methods: ['rag', 'foray'], models: ['s'], corpora: ['demo'], settings: [plainSetting] };
  const recorded = new Map<string, readonly AgentEvent[]>();
  const keyOf = ({ question, cell }: Parameters<Ask>[0]): string => `${cell.method} ${question.id}`;
  const recording: Ask = async function* (request, worker, stop) {
    const events: AgentEvent[] = [];
    for await (const event of ask(request, worker, stop)) events.push(event);
    recorded.set(keyOf(request), events);
    yield* events;
  };
  const now = (): number => performance.now();
  await runLab({ tasks: tasksOf(questions, cellsOf({ ...axes, seeds: [13] })), model: 's', ask: recording, onItem: () => undefined, now }, signal);

  const folder = await mkdtemp(join(tmpdir(), 'foray-overhead-'));
  const file = await open(join(folder, 'run.jsonl'), 'a');
  try {
    const tasks = tasksOf(questions, cellsOf({ ...axes, seeds: [13, 14, 15, 16, 17] }));
    const before = cpuMs();
    const items = await runLab(
      {
        tasks, model: 's', now,
        ask: async function* (request) {
          yield* recorded.get(keyOf(request)) ?? [];
        },
        onItem: async (item) => {
          await file.appendFile(`${JSON.stringify(item)}\n`);
          await file.datasync();
        },
      },
      signal,
    );
    const each = (cpuMs() - before) / items.length;
    expect(items.length).toBe(200);
    expect(items.every(({ error, steps }) => error === null && steps.some(({ kind }) => kind === 'search'))).toBe(true);
    expect(each).toBeLessThan(15);
  } finally {
    await file.close();
    await rm(folder, { recursive: true, force: true });
  }
});
