/** The cross-encoder on the real path: transformers.js and ONNX Runtime, with a model small enough to compute by hand. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { env } from '@huggingface/transformers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { searchReranked } from '../../../src/corpus/rerank.ts';
import { openCrossEncoder } from '../../../src/engine/backends/cross-encoder.ts';
import { createEmbedService } from '../../../src/engine/embed-service.ts';
import { rerankerRows } from '../../../src/engine/models.ts';
import type { Reranker } from '../../../src/engine/reranker.ts';
import { AppError } from '../../../src/errors.ts';
import { tinyCrossEncoder } from '../../fixtures/onnx.ts';
import { passage } from '../../fixtures/toy.ts';

const worth: Readonly<Record<string, number>> = {
  '[PAD]': 100, '[UNK]': 0, '[CLS]': 0.5, '[SEP]': 0.25, how: 0, many: 0, people: 1, live: 0.125, in: 0, the: 0, city: 0.5, population: 2, bread: -1, flour: -2, '.': 0,
};
const never = new AbortController().signal;
const [first] = rerankerRows;
const row = first!;
const folder = mkdtempSync(join(tmpdir(), 'foray-onnx-'));
const before = { path: env.localModelPath, remote: env.allowRemoteModels };

function write(name: string, model: Uint8Array): void {
  mkdirSync(join(folder, name, 'onnx'), { recursive: true });
  const vocab = Object.fromEntries(Object.keys(worth).map((token, id) => [token, id]));
  const special = Object.entries({ '[CLS]': vocab['[CLS]'], '[SEP]': vocab['[SEP]'] });
  const json: Record<string, unknown> = {
    'config.json': { model_type: 'bert', architectures: ['BertForSequenceClassification'] },
    'tokenizer_config.json': { tokenizer_class: 'BertTokenizer', model_max_length: 512, unk_token: '[UNK]', sep_token: '[SEP]', pad_token: '[PAD]', cls_token: '[CLS]' },
    'tokenizer.json': {
      version: '1.0', truncation: null, padding: null,
      added_tokens: ['[PAD]', '[UNK]', '[CLS]', '[SEP]'].map((content) => ({ id: vocab[content], content, special: true, single_word: false, lstrip: false, rstrip: false, normalized: false })),
      normalizer: { type: 'BertNormalizer', clean_text: true, handle_chinese_chars: true, strip_accents: null, lowercase: true },
      pre_tokenizer: { type: 'BertPreTokenizer' },
      post_processor: {
        type: 'TemplateProcessing',
        single: [{ SpecialToken: { id: '[CLS]', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }, { SpecialToken: { id: '[SEP]', type_id: 0 } }],
        pair: [
          { SpecialToken: { id: '[CLS]', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }, { SpecialToken: { id: '[SEP]', type_id: 0 } },
          { Sequence: { id: 'B', type_id: 1 } }, { SpecialToken: { id: '[SEP]', type_id: 1 } },
        ],
        special_tokens: Object.fromEntries(special.map(([id, number]) => [id, { id, ids: [number], tokens: [id] }])),
      },
      decoder: { type: 'WordPiece', prefix: '##', cleanup: true },
      model: { type: 'WordPiece', unk_token: '[UNK]', continuing_subword_prefix: '##', max_input_chars_per_word: 100, vocab },
    },
  };
  for (const [file, content] of Object.entries(json)) writeFileSync(join(folder, name, file), JSON.stringify(content));
  writeFileSync(join(folder, name, 'onnx', 'model_quantized.onnx'), model);
}

const open = (name: string) => openCrossEncoder(row, { folder: name, device: 'cpu', dtype: 'q8' });
const codeOf = (promise: Promise<unknown>): Promise<string> => promise.then(() => 'resolved', (error: unknown) => (error instanceof AppError ? error.code : String(error)));

beforeAll(() => {
  env.localModelPath = folder;
  env.allowRemoteModels = false;
  const weights = Object.values(worth);
  write('good', tinyCrossEncoder(weights));
  write('two', tinyCrossEncoder(weights, 2));
  write('contrary', tinyCrossEncoder(weights.map((weight) => -weight)));
  write('nan', tinyCrossEncoder(weights.map(() => Number.NaN)));
  write('broken', Uint8Array.of(1, 2, 3));
});
afterAll(() => {
  env.localModelPath = before.path;
  env.allowRemoteModels = before.remote;
  rmSync(folder, { recursive: true });
});

describe('cross-encoder', () => {
  it('reads question and passage as a pair and gives the model its logit, whatever stands beside it', async () => {
    const encoder = await open('good');
    const passages = [{ title: 'city', text: 'population' }, { title: 'bread', text: 'flour people' }];
    // [CLS] people live [SEP] counts once; city . population [SEP] twice.
    const head = 0.5 + 1 + 0.125 + 0.25;
    const scores = await encoder.score('People live', passages, never);
    expect(scores[0]).toBeCloseTo(head + 2 * (0.5 + 0 + 2 + 0.25), 5);
    expect(scores[1]).toBeCloseTo(head + 2 * (-1 + 0 - 2 + 1 + 0.25), 5);
    expect(await encoder.score('People live', passages.slice(1), never)).toEqual(scores.slice(1));
    expect(await encoder.score('People live', [], never)).toEqual([]);
    await encoder.dispose();
  });

  it('reads a pair up to its limit of tokens', async () => {
    const encoder = await open('good');
    const [score] = await encoder.score('people', [{ title: 'city', text: 'population '.repeat(2000) }], never);
    // 512 tokens: [CLS] people [SEP] city . and 507 times population.
    expect(score).toBeCloseTo(0.5 + 1 + 0.25 + 2 * (0.5 + 507 * 2), 2);
    await encoder.dispose();
  });

  it('stops between two pairs', async () => {
    const encoder = await open('good');
    const stop = new AbortController();
    const running = encoder.score('people', Array.from({ length: 50 }, () => ({ title: 'city', text: 'population' })), stop.signal);
    stop.abort();
    await expect(running).rejects.toMatchObject({ name: 'AbortError' });
    expect(await encoder.score('people', [{ title: '', text: '' }], never)).toHaveLength(1);
    await encoder.dispose();
  });

  it('refuses a model with another number of logits, numbers that are none, and files that are no model', async () => {
    for (const [name, code] of [['two', 'engine/load-failed'], ['nan', 'engine/not-finite']] as const) {
      const encoder = await open(name);
      expect(await codeOf(encoder.score('people', [{ title: 'city', text: 'population' }], never))).toBe(code);
      await encoder.dispose();
    }
    await expect(open('broken')).rejects.toThrow();
    await expect(open('missing')).rejects.toThrow();
  });
});

describe('in the embedding worker', () => {
  const call = { signal: never, progress: () => {}, transfer: () => {} };
  const request = { modelId: row.id, files: { 'onnx/model_quantized.onnx': new Blob(['x']) }, device: 'auto', threads: 1 } as const;
  const service = (name: string, tried: string[] = []) =>
    createEmbedService({
      onnx: () => Promise.reject(new Error('not asked for')),
      static: () => Promise.reject(new Error('not asked for')),
      crossEncoder: (_row, _request, device) => {
        tried.push(device);
        return open(name);
      },
      golden: async () => [],
      probe: async () => ({ gpu: null, error: 'device/no-adapter' }),
    });

  it('is loaded when asked for, re-orders a search, and is given back', async () => {
    const tried: string[] = [];
    const worker = service('good', tried);
    expect(await codeOf(worker.rerank({ question: 'q', passages: [] }, call))).toBe('engine/not-loaded');
    expect(await worker.loadReranker(request, call)).toEqual({ id: row.id, device: 'cpu' });
    expect(tried).toEqual(['wasm']);
    const reranker: Reranker = { id: row.id, score: (question, passages) => worker.rerank({ question, passages }, call) };
    const hits = [['p1', 'bread flour'], ['p2', 'city'], ['p3', 'population people']].map(([id = '', text = ''], i) =>
      ({ passage: passage(id, 'T', text), score: 3 - i, rank: i + 1, paths: [], highlights: [], bestSentence: 0 }));
    const found = await searchReranked({ text: 'people', k: 2, rerank: true }, async () => ({ hits, searched: 3, usedDense: false, ms: 0 }), reranker, () => 0, never);
    expect(found.hits.map((hit) => hit.passage.id)).toEqual(['p3', 'p2']);
    await worker.unloadReranker(null, call);
    expect(await codeOf(worker.rerank({ question: 'q', passages: [] }, call))).toBe('engine/not-loaded');
  });

  it('refuses a model that prefers the wrong passage or does not open, and holds none then', async () => {
    for (const [name, code] of [['contrary', 'engine/load-failed'], ['two', 'engine/load-failed'], ['nan', 'engine/not-finite'], ['broken', 'engine/load-failed']] as const) {
      const worker = service(name);
      expect(await codeOf(worker.loadReranker(request, call))).toBe(code);
      expect(await codeOf(worker.rerank({ question: 'q', passages: [] }, call))).toBe('engine/not-loaded');
    }
    expect(await codeOf(service('good').loadReranker({ ...request, modelId: 'other' }, call))).toBe('engine/load-failed');
  });
});
