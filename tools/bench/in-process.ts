/**
 * The benchmark without a browser: the same methods over the same shards, in Node, with a model server or a script. Quick, and blind to what a browser adds.
 */
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { randomUUID } from 'node:crypto';
import { decodeCachedCall, recallingLlm, type CallCache } from '../../src/agent/calls.ts';
import { runMethod } from '../../src/agent/harness.ts';
import { settingsOn } from '../../src/agent/settings.ts';
import { methodById } from '../../src/agent/methods/registry.ts';
import type { Retriever } from '../../src/corpus/retriever.ts';
import { openHttp } from '../../src/engine/backends/http.ts';
import { createScriptedLlm } from '../../src/engine/backends/scripted.ts';
import type { Llm } from '../../src/engine/llm.ts';
import { withExperiment } from '../../src/lab/experiment.ts';
import type { Ask } from '../../src/lab/runner.ts';
import { checkServed, type LlmChoice } from './site.ts';

/** The model of a command, in this process. */
export async function openNodeLlm(choice: LlmChoice, slots: number, signal: AbortSignal): Promise<Llm | null> {
  const { page, extra, spec } = choice;
  if (page === null) return null;
  if (page.kind === 'endpoint') {
    await checkServed(choice, signal);
    return openHttp(
      { backend: 'http', modelId: page.model, label: page.model, contextTokens: 4096, threads: 1, useGpu: false, slots, files: {}, endpoint: { url: page.url, model: page.model } },
      { signal, onProgress: () => undefined },
    );
  }
  const script = extra[0]?.model.files[0];
  if (!spec.startsWith('scripted:') || script === undefined) throw new Error(`--in-process works with a model server (http:URL#MODEL), a script (scripted:FILE) or none, not with ${spec}.`);
  const text = await readFile(script.file, 'utf8');
  return createScriptedLlm(JSON.parse(text), { modelId: page.id, label: spec, die: () => { throw new Error('the script ends the worker, which a run in this process does not have'); } });
}

export interface NodeSetup {
  readonly llm: Llm | null;
  readonly retriever: Retriever;
  readonly corpus: string;
  readonly store: CallCache | null;
}

export function nodeAsk({ llm, retriever, corpus, store }: NodeSetup): Ask {
  const model = llm === null || store === null ? llm : recallingLlm(llm, store);
  return ({ text, cell, experiment }, _worker, signal) => {
    const method = methodById(cell.method);
    if (method === undefined) throw new Error(`no method ${cell.method}`);
    const settings = { ...settingsOn(llm?.info.device ?? null), seed: cell.seed, ...cell.setting.agent };
    const deps = { llm: model, retriever, now: () => performance.now(), settings, corpora: [corpus] };
    return runMethod(randomUUID(), text, method, experiment === null ? deps : withExperiment(deps, experiment), signal);
  };
}

/** Model calls as files, one a key, under `folder`. Any number of processes may share it. A file that cannot be read is no entry. */
export function diskCalls(folder: string): CallCache & { readonly hits: number } {
  let hits = 0;
  const fileOf = (key: string): string => join(folder, key.slice(0, 2), `${key}.json`);
  return {
    get hits() {
      return hits;
    },
    async get(key) {
      const text = await readFile(fileOf(key), 'utf8').catch(() => null);
      const call = text === null ? null : decodeCachedCall(jsonOf(text));
      if (call !== null) hits++;
      return call;
    },
    async put(key, call) {
      const file = fileOf(key);
      await mkdir(dirname(file), { recursive: true });
      const part = `${file}.${randomUUID()}.part`;
      await writeFile(part, JSON.stringify(call));
      await rename(part, file);
    },
  };
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return null;
  }
}
