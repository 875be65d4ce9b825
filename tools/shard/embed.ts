/**
 * Embedders for the shard builder in Node, and the cache of their vectors on disk.
 * One text a call: the 8-bit models quantise over the whole batch, so only single texts have vectors that depend on nothing else.
 */
import { createHash, randomUUID } from 'node:crypto';
import { appendFile, mkdir, open, readdir, readFile, stat, type FileHandle } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import type { EmbedderSpec } from '../../src/engine/embedder.ts';
import { embedderRow } from '../../src/engine/models.ts';
import { openStaticVectors, poolTokens } from '../../src/engine/static-vectors.ts';
import { quantise } from '../../src/corpus/vectors.ts';
import { InputError } from './input.ts';

export const embedderIds = ['minilm', 'bge-small', 'wordllama'] as const;
export type EmbedderId = (typeof embedderIds)[number];

export interface NodeEmbedder {
  readonly spec: EmbedderSpec;
  /** Unit-length vector of one passage. */
  embed(text: string): Promise<Float32Array>;
  dispose(): Promise<void>;
}

const folders: Readonly<Record<EmbedderId, string>> = { minilm: 'all-MiniLM-L6-v2', 'bge-small': 'bge-small-en-v1.5', wordllama: 'wordllama-256' };
const pooling: Readonly<Record<EmbedderId, 'mean' | 'cls'>> = { minilm: 'mean', 'bge-small': 'cls', wordllama: 'mean' };

function modelsFolder(): string {
  return process.env['FORAY_MODELS'] ?? join(homedir(), '.cache', 'foray', 'models');
}

/** Whether the embedder's files are on this machine. */
export async function hasEmbedder(id: EmbedderId): Promise<boolean> {
  const file = id === 'wordllama' ? 'model.safetensors' : 'onnx/model_quantized.onnx';
  return (await stat(join(modelsFolder(), folders[id], file)).catch(() => null)) !== null;
}

/** Throws `InputError` where the model's files are not on this machine. */
export async function openNodeEmbedder(id: EmbedderId): Promise<NodeEmbedder> {
  const folder = join(modelsFolder(), folders[id]);
  const row = embedderRow(id);
  if (row === undefined || !(await hasEmbedder(id))) {
    throw new InputError(`the embedder ${id} is not in ${folder}: get it with npm run models, or build with --embedder none`);
  }
  const spec: EmbedderSpec = { id, dimensions: row.dimensions, queryPrefix: row.queryPrefix };
  const library = await import('@huggingface/transformers');
  if (id === 'wordllama') {
    const vectors = openStaticVectors(await readFile(join(folder, 'model.safetensors')), id);
    const definition: unknown = JSON.parse(await readFile(join(folder, 'tokenizer.json'), 'utf8'));
    const tokenizer = new library.PreTrainedTokenizer(definition, {});
    return {
      spec,
      embed: (text) => Promise.resolve(poolTokens(vectors, tokenizer.encode(text, { add_special_tokens: false }))),
      dispose: () => Promise.resolve(),
    };
  }
  library.env.allowRemoteModels = false;
  library.env.localModelPath = modelsFolder();
  const extractor = await library.pipeline('feature-extraction', folders[id], { dtype: 'q8', device: 'cpu' });
  return {
    spec,
    async embed(text) {
      const tensor = await extractor(text, { pooling: pooling[id], normalize: true });
      const values = Float32Array.from(tensor.data as Float32Array);
      if (values.length !== spec.dimensions || !values.every(Number.isFinite)) throw new Error(`the embedder ${id} gave no sound vector`);
      return values;
    },
    async dispose() {
      await extractor.dispose();
    },
  };
}

// ---------------------------------------------------------------------------------------------- cache
// Each run appends to a file of its own: records of the key (16 bytes), the scale (f32) and the codes. A record cut off at the end is passed over.
const keyBytes = 16;

export interface QuantisedVector {
  readonly scale: number;
  readonly codes: Int8Array;
}

export interface VectorSource {
  /** The quantised vector of a passage: from the cache, else embedded and kept. */
  get(text: string): Promise<QuantisedVector>;
  close(): Promise<void>;
}

/** `folder` null: nothing is kept. */
export async function openVectorSource(embedder: NodeEmbedder, folder: string | null): Promise<VectorSource> {
  const { id, dimensions } = embedder.spec;
  const recordBytes = keyBytes + 4 + dimensions;
  const places = new Map<string, { file: FileHandle; at: number }>();
  const files: FileHandle[] = [];
  if (folder !== null) {
    await mkdir(folder, { recursive: true });
    for (const name of (await readdir(folder)).sort()) {
      if (!name.startsWith(`${id}-${dimensions}-`) || !name.endsWith('.vec')) continue;
      const bytes = await readFile(join(folder, name));
      const file = await open(join(folder, name), 'r');
      files.push(file);
      for (let at = 0; at + recordBytes <= bytes.length; at += recordBytes) places.set(bytes.toString('latin1', at, at + keyBytes), { file, at });
    }
  }
  const own = folder === null ? null : join(folder, `${id}-${dimensions}-${randomUUID()}.vec`);
  return {
    async get(text) {
      const key = createHash('sha256').update(id).update('\n').update(text).digest().subarray(0, keyBytes);
      const place = places.get(key.toString('latin1'));
      if (place !== undefined) {
        const record = Buffer.alloc(recordBytes);
        await place.file.read(record, 0, recordBytes, place.at);
        return { scale: record.readFloatLE(keyBytes), codes: new Int8Array(record.buffer, record.byteOffset + keyBytes + 4, dimensions).slice() };
      }
      const { scales, codes } = quantise(await embedder.embed(text), dimensions);
      const vector = { scale: scales[0] ?? 0, codes };
      if (own !== null) {
        const record = Buffer.alloc(recordBytes);
        key.copy(record);
        record.writeFloatLE(vector.scale, keyBytes);
        Buffer.from(codes.buffer, codes.byteOffset, codes.length).copy(record, keyBytes + 4);
        await appendFile(own, record);
      }
      return vector;
    },
    async close() {
      await Promise.all(files.map((f) => f.close()));
    },
  };
}
