/**
 * Recall of the vector search on real embeddings: rows of a cache of vectors (`tools/shard/embed.ts`), some of them as queries; the truth is the 10 nearest others by
 * exact dot products in doubles. The cache keeps int8 rows, so what is lost by storing int8 at all is not in these figures.
 */
import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { openKernel } from '../../src/corpus/kernel/kernel.ts';
import { createVectorIndex } from '../../src/corpus/vector-index.ts';
import { vectorSegment } from '../../src/corpus/vectors.ts';
import type { QuantisedRows } from '../../src/corpus/vectors.ts';
import { kernelBinaries } from '../kernel.ts';
import { measureCandidates } from '../shard/recall.ts';

const neighbours = 10;
const headBytes = 20; // key (16 bytes) and scale (f32)

export interface RecallFigures {
  readonly rows: number;
  readonly queries: number;
  /** As the builder would choose them for a shard of these rows, and what it measured. */
  readonly candidates: number;
  readonly builderRecall: number;
  /** Recall@10 by number of candidates; null: the exact pass. */
  readonly recall10: readonly { readonly candidates: number | null; readonly recall: number }[];
}

/** Reads `<embedder>-<dimensions>-*.vec` of `folder`. Queries are rows that the builder does not sample. */
export async function measureRealRecall(folder: string, embedder: string, dimensions: number, queryCount: number, signal: AbortSignal): Promise<RecallFigures> {
  const recordBytes = headBytes + dimensions;
  const seen = new Map<string, Buffer>();
  for (const name of (await readdir(folder)).sort()) {
    if (!name.startsWith(`${embedder}-${dimensions}-`) || !name.endsWith('.vec')) continue;
    const bytes = await readFile(join(folder, name));
    for (let at = 0; at + recordBytes <= bytes.length; at += recordBytes) {
      const record = bytes.subarray(at, at + recordBytes);
      if (record.readFloatLE(16) > 0) seen.set(record.toString('latin1', 0, 16), record);
    }
  }
  const records = [...seen.values()];
  const count = records.length;
  if (count <= 2 * queryCount) throw new Error(`${folder} holds ${count} vectors of ${embedder}`);
  const scales = Float32Array.from(records, (record) => record.readFloatLE(16));
  const codes = new Int8Array(count * dimensions);
  records.forEach((record, r) => codes.set(new Int8Array(record.buffer, record.byteOffset + headBytes, dimensions), r * dimensions));
  const rows = { dimensions, count, scales, codes };

  const kernel = await openKernel(await kernelBinaries());
  async function* parts(): AsyncGenerator<ReturnType<typeof vectorSegment>> {
    yield vectorSegment(rows, embedder, 0);
  }
  const measured = await measureCandidates(parts, kernel, { dimensions, passages: count });
  const index = createVectorIndex(kernel, { dimensions, mean: Float32Array.from(measured.mean), capacity: count });
  index.append(rows, 0);

  const steps: (number | null)[] = [null, ...[...new Set([50, 100, 200, 500, 1000, measured.candidates])].sort((a, b) => a - b)];
  const found = steps.map(() => 0);
  const step = Math.floor(count / queryCount);
  const sampled = Math.floor(count / 200);
  for (let i = 0; i < queryCount; i++) {
    signal.throwIfAborted();
    let row = i * step + (step >> 1);
    if (row % sampled === 0) row++;
    const scale = scales[row] ?? 0;
    const query = Float32Array.from(codes.subarray(row * dimensions, (row + 1) * dimensions), (code) => code * scale);
    const truth = new Set(nearestOf(rows, query, row));
    steps.forEach((candidates, s) => {
      const hits = Array.from(index.search(query, neighbours + 1, candidates).ordinals).filter((ordinal) => ordinal !== row);
      found[s] = (found[s] ?? 0) + hits.slice(0, neighbours).filter((ordinal) => truth.has(ordinal)).length;
    });
  }
  const recall10 = steps.map((candidates, s) => ({ candidates, recall: Number(((found[s] ?? 0) / (neighbours * queryCount)).toFixed(4)) }));
  return { rows: count, queries: queryCount, candidates: measured.candidates, builderRecall: measured.recall, recall10 };
}

function nearestOf({ dimensions, count, scales, codes }: QuantisedRows, query: Float32Array, without: number): number[] {
  const best: { row: number; score: number }[] = [];
  for (let row = 0; row < count; row++) {
    let sum = 0;
    for (let i = 0, at = row * dimensions; i < dimensions; i++) sum += (query[i] ?? 0) * (codes[at + i] ?? 0);
    const score = sum * (scales[row] ?? 0);
    if (row === without || (best.length === neighbours && score <= (best[neighbours - 1]?.score ?? 0))) continue;
    let at = best.length;
    while (at > 0 && score > (best[at - 1]?.score ?? 0)) at--;
    best.splice(at, 0, { row, score });
    if (best.length > neighbours) best.pop();
  }
  return best.map(({ row }) => row);
}
