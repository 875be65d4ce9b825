/**
 * Measures on a shard's own vectors how many candidates the first step of a vector search must list (DESIGN.md, "Vectors"): sampled passages are the queries,
 * their 10 nearest neighbours by exact scan the truth. Parts are read one at a time; memory holds one part and an eighth of the rest.
 * The same shard gives the same numbers.
 */
import type { Kernel } from '../../src/corpus/kernel/kernel.ts';
import type { ShardManifest } from '../../src/corpus/shard.ts';
import { createVectorIndex } from '../../src/corpus/vector-index.ts';
import { centredBits } from '../../src/corpus/vectors.ts';
import type { VectorSegment } from '../../src/corpus/vectors.ts';

const neighbours = 10;

export interface RecallOptions {
  readonly dimensions: number;
  readonly passages: number;
  /** Share of the exact neighbours that is to be found. Default .99: questions lie farther from passages than these from one another, their recall is about .01 lower. */
  readonly target?: number;
  /** Queries. Default 200. */
  readonly sample?: number;
}

/** `parts` may be read several times, in order. */
export async function measureCandidates(parts: () => AsyncIterable<VectorSegment>, kernel: Kernel, options: RecallOptions): Promise<NonNullable<ShardManifest['vectors']>> {
  const { dimensions, passages, target = 0.99, sample = 200 } = options;
  const sums = new Float64Array(dimensions);
  const queries: { ordinal: number; vector: Float32Array; best: { ordinal: number; score: number }[] }[] = [];
  const step = Math.max(1, Math.floor(passages / sample));
  let rows = 0;
  for await (const { first, count, scales, codes } of parts()) {
    for (let r = 0; r < count; r++) {
      const scale = scales[r] ?? 0;
      if (scale === 0) continue;
      rows++;
      for (let i = 0; i < dimensions; i++) sums[i] = (sums[i] ?? 0) + (codes[r * dimensions + i] ?? 0) * scale;
      if ((first + r) % step !== 0 || queries.length >= sample) continue;
      queries.push({ ordinal: first + r, vector: Float32Array.from(codes.subarray(r * dimensions, (r + 1) * dimensions), (code) => code * scale), best: [] });
    }
  }
  const mean = Float32Array.from(sums, (sum) => Math.round((rows === 0 ? 0 : sum / rows) * 1e6) / 1e6);

  const light = createVectorIndex(kernel, { dimensions, mean, capacity: rows, keepsCodes: false });
  for await (const segment of parts()) {
    const index = createVectorIndex(kernel, { dimensions, mean, capacity: segment.count });
    index.append(segment, segment.first);
    for (const query of queries) {
      const found = index.search(query.vector, neighbours + 1, null);
      found.ordinals.forEach((ordinal, i) => {
        if (ordinal !== query.ordinal) query.best.push({ ordinal, score: found.scores[i] ?? 0 });
      });
      query.best.sort((a, b) => b.score - a.score || a.ordinal - b.ordinal).splice(neighbours);
    }
    light.appendBits(centredBits(segment, mean), (row) => (segment.scales[row] ?? 0) > 0, segment.first);
  }

  const wanted = queries.reduce((sum, { best }) => sum + best.length, 0);
  const recallOf = (candidates: number): number => {
    let found = 0;
    for (const { ordinal, vector, best } of queries) {
      // The query itself is listed as well and does not count.
      const listed = new Set(light.nearest(vector, candidates + 1));
      listed.delete(ordinal);
      found += best.filter((neighbour) => listed.has(neighbour.ordinal)).length;
    }
    return wanted === 0 ? 1 : found / wanted;
  };
  // Recall grows with the candidates: the smallest of these numbers that reaches the target.
  const ladder: number[] = [];
  for (let c = 16; c < rows; c = Math.ceil(c * 1.25)) ladder.push(c);
  ladder.push(Math.max(1, rows));
  let low = 0;
  let high = ladder.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (recallOf(ladder[middle] ?? rows) >= target) high = middle;
    else low = middle + 1;
  }
  const candidates = ladder[low] ?? 1;
  return { mean: Array.from(mean, (x) => Math.round(x * 1e6) / 1e6), candidates, target, recall: Math.round(recallOf(candidates) * 1e4) / 1e4 };
}
