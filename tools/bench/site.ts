/** The page under test: built if it is outdated, served with the given shards and models. */
import { createHash } from 'node:crypto';
import { open, readFile, stat } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import * as v from 'valibot';
import type { LlmRow } from '../../src/engine/models.ts';
import { ggufModel, localModels } from '../models.ts';
import { createServer, type ExtraModel, type ServerOptions } from '../server.mjs';
import { ensureBuild, root } from '../setup.mjs';
import type { PageSetup } from './page.ts';

/** A language model as the command line names it. */
export interface LlmChoice {
  readonly spec: string;
  /** `spec` with files by their base name: names the model in records, which say nothing of this machine's folders. */
  readonly name: string;
  readonly page: PageSetup['llm'];
  readonly extra: readonly ExtraModel[];
  /** `q4_k_m` and the like, where the name tells. */
  readonly quant: string | null;
  /** Of the file, where one is named: another script or another model is another run. */
  readonly hash: string | null;
}

/** `none`, `wllama:FILE.gguf`, `wllama:ID`, `webllm:ID`, `transformers:ID`, `http:URL#MODEL`, `scripted:FILE.json`. */
export async function chooseLlm(spec: string): Promise<LlmChoice> {
  const none = { spec, name: spec, extra: [], quant: null, hash: null };
  if (spec === 'none') return { ...none, page: null };
  const colon = spec.indexOf(':');
  const [backend, rest] = [spec.slice(0, colon), spec.slice(colon + 1)];
  switch (colon < 0 ? '' : backend) {
    case 'wllama': {
      if (!rest.endsWith('.gguf')) return { ...none, page: { kind: 'row', id: rest } };
      const model = await ggufModel(rest);
      return { ...none, name: `wllama:${basename(rest)}`, page: { kind: 'row', id: model.row.id }, extra: [model], quant: quantOf(rest), hash: await headHash(rest) };
    }
    case 'webllm':
    case 'transformers':
      return { ...none, page: { kind: 'row', id: rest }, quant: quantOf(rest) };
    case 'http':
    case 'https': {
      // `http:` names the backend; the address follows, with its own scheme or, as in `http://host`, without a second one.
      const [url = '', model = ''] = (rest.startsWith('//') ? spec : rest).split('#');
      if (!/^https?:\/\//.test(url) || model === '') throw new Error(`--llm ${spec}: give the address and the model, as in http:http://127.0.0.1:11434/v1#qwen2.5:3b`);
      return { ...none, page: { kind: 'endpoint', url, model }, quant: quantOf(model) };
    }
    case 'scripted': {
      const file = resolve(rest);
      const bytes = await readFile(file);
      const hash = createHash('sha256').update(bytes).digest('hex').slice(0, 12);
      const id = `scripted-${basename(file).replace(/\.json$/, '').toLowerCase().replace(/[^a-z0-9.-]+/g, '-').slice(0, 40)}-${hash}`;
      const files = [{ path: 'script.json', bytes: (await stat(file)).size }];
      const row: LlmRow = {
        id, role: 'llm', backend: 'scripted', label: `Script ${basename(file)}`, licence: 'none', sizeBytes: bytes.length, memoryMB: 1, contextTokens: 4096, parametersMillions: 0,
        needs: [], note: 'Says what a script tells it to; for measuring everything but the model.', files: files.map((part) => ({ ...part, sha256: null, hubUrl: null })),
      };
      return { ...none, name: `scripted:${basename(file)}`, page: { kind: 'row', id }, extra: [{ row, model: { id, files: files.map((part) => ({ ...part, file })) } }], hash };
    }
    default:
      throw new Error(`--llm ${spec}: one of none, wllama:FILE, wllama:ID, webllm:ID, transformers:ID, http:URL#MODEL, scripted:FILE`);
  }
}

const offeredSchema = v.object({ data: v.array(v.object({ id: v.string() })) });

/**
 * Rejects where a model server says that it offers other models than the one that is named: many answer with what they have, whatever they are asked for, and the
 * records would name the wrong model. A server that gives no list is taken at its word.
 */
export async function checkServed({ page }: Pick<LlmChoice, 'page'>, signal: AbortSignal): Promise<void> {
  if (page?.kind !== 'endpoint') return;
  const response = await fetch(`${page.url.replace(/\/+$/, '')}/models`, { signal }).catch((error: unknown) => {
    signal.throwIfAborted();
    throw new Error(`No model server answers at ${page.url}`, { cause: error });
  });
  const offered = v.safeParse(offeredSchema, await response.json().catch(() => null));
  if (!offered.success || offered.output.data.some(({ id }) => id === page.model)) return;
  throw new Error(`The server at ${page.url} offers ${offered.output.data.map(({ id }) => id).join(', ') || 'no model'}, not ${page.model}: name it as it is offered there.`);
}

/** A model's size and first megabyte (all of its metadata): enough to tell it from another, without reading gigabytes. */
async function headHash(file: string): Promise<string> {
  const handle = await open(file);
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(2 ** 20), 0, 2 ** 20, 0);
    return `${(await handle.stat()).size}-${createHash('sha256').update(buffer.subarray(0, bytesRead)).digest('hex').slice(0, 12)}`;
  } finally {
    await handle.close();
  }
}

function quantOf(name: string): string | null {
  return /(?:^|[-_.])((?:iq|q)\d(?:_[a-z0-9]+)*|f16|f32|q\df\d\d)(?:[-_.]|$)/i.exec(name)?.[1]?.toLowerCase() ?? null;
}

export interface Site {
  readonly url: string;
  close(): Promise<void>;
}

/** Serves a built page at a free port or the one that is named; `dist` null: the one of this checkout, built if it is outdated. */
export async function openSite(dist: string | null, options: Pick<ServerOptions, 'shards' | 'extra' | 'intercept' | 'port'>): Promise<Site> {
  if (dist === null) await withStdoutKept(ensureBuild);
  return createServer({ dist: dist === null ? join(root, 'dist') : resolve(dist), models: localModels, ...options });
}

/** The build speaks to stdout, where the benchmark's result belongs. */
async function withStdoutKept(work: () => Promise<void>): Promise<void> {
  const { log } = console;
  console.log = console.error;
  try {
    await work();
  } finally {
    console.log = log;
  }
}
