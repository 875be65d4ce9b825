/** Vectors of a shard within and beyond the memory budget, and those of own documents. */
import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { AppError } from '../../../src/errors.ts';
import { kernelBatches } from '../../../src/corpus/kernel/batch.ts';
import { openKernel, scalarKernel } from '../../../src/corpus/kernel/kernel.ts';
import type { Kernel } from '../../../src/corpus/kernel/kernel.ts';
import type { ShardManifest } from '../../../src/corpus/shard.ts';
import { createDocumentVectors, openShardVectors, vectorBudgetBytes, vectorSetOf } from '../../../src/corpus/vector-set.ts';
import type { ReadBlocks, StoredVectorPart } from '../../../src/corpus/vector-set.ts';
import { encodeVectors, openVectorSegment, quantise, splitVectors, vectorSegment } from '../../../src/corpus/vectors.ts';
import type { VectorSegment } from '../../../src/corpus/vectors.ts';
import { kernelBinaries } from '../../../tools/kernel.ts';
import { measureCandidates } from '../../../tools/shard/recall.ts';
import { clusteredRows } from '../../fixtures/vectors.ts';

const dimensions = 48;
let kernel: Kernel = scalarKernel;
beforeAll(async () => {
  kernel = await openKernel(await kernelBinaries());
}, 60_000);

const segmentsOf = (counts: readonly number[], seed = 1): VectorSegment[] => {
  let first = 0;
  return counts.map((count, i) => {
    const segment = vectorSegment(quantise(clusteredRows({ count, dimensions, seed: seed + i, clusters: 30, offset: 0.4 }), dimensions), 'e', first);
    first += count;
    return segment;
  });
};
async function* each(segments: readonly VectorSegment[]): AsyncGenerator<VectorSegment> {
  yield* segments;
}
const queryOf = (seed: number): Float32Array => clusteredRows({ count: 1, dimensions, seed: 5000 + seed, clusters: 30, offset: 0.4 });

/** A stored shard as the import leaves it; `isOld`: as a version before the measured mean left it. */
function stored(segments: readonly VectorSegment[], vectors: ShardManifest['vectors'], isOld = false): { parts: StoredVectorPart[]; read: ReadBlocks; blocks: Map<string, Uint8Array>; reads: string[][] } {
  const blocks = new Map<string, Uint8Array>();
  const reads: string[][] = [];
  const parts = segments.map((segment, n): StoredVectorPart => {
    const file = `vectors-${n}.bin`;
    const bytes = encodeVectors(segment);
    const split = isOld ? { blocks: [bytes], places: [{ first: segment.first, count: segment.count }] } : splitVectors(bytes, segment.first, Float32Array.from(vectors?.mean ?? []), file);
    split.blocks.forEach((block, i) => blocks.set(`${file}/${i}`, block));
    return { file, first: segment.first, count: segment.count, blocks: split.places };
  });
  const read: ReadBlocks = (wanted) => {
    reads.push(wanted.map(({ file, block }) => `${file}/${block}`));
    return Promise.resolve(wanted.map(({ file, block }) => blocks.get(`${file}/${block}`)?.slice() ?? null));
  };
  return { parts, read, blocks, reads };
}

const manifestWith = (vectors: ShardManifest['vectors']): ShardManifest => ({ embedder: { id: 'e', dimensions, queryPrefix: '' }, vectors }) as ShardManifest;

describe('a shard', () => {
  const segments = segmentsOf([700, 900, 400]);
  let measured: NonNullable<ShardManifest['vectors']>;
  beforeAll(async () => {
    measured = await measureCandidates(() => each(segments), kernel, { dimensions, passages: 2000 });
  });

  test('the measured candidates reach the target, one step fewer does not, and the numbers repeat', async () => {
    expect(measured.recall).toBeGreaterThanOrEqual(0.99);
    expect(measured.candidates).toBeGreaterThan(16);
    expect(measured.candidates).toBeLessThan(2000);
    const again = await measureCandidates(() => each(segments), scalarKernel, { dimensions, passages: 2000 });
    expect(again).toEqual(measured);
    const strict = await measureCandidates(() => each(segments), kernel, { dimensions, passages: 2000, target: 1 });
    expect(strict.candidates).toBeGreaterThan(measured.candidates);
  });

  test('of few or no passages is measured as well', async () => {
    expect(await measureCandidates(() => each([]), kernel, { dimensions, passages: 0 })).toMatchObject({ candidates: 1, recall: 1 });
    expect(await measureCandidates(() => each(segmentsOf([3])), kernel, { dimensions, passages: 3 })).toMatchObject({ candidates: 3, recall: 1 });
  });

  test.each([
    ['split', false],
    ['as an older version stored it', true],
  ])('answers alike within and beyond the budget: %s', async (_, isOld) => {
    const { parts, read, reads } = stored(segments, measured, isOld);
    // As many candidates as the set will take from the store, so that both look at the same rows.
    const manifest = manifestWith({ ...measured, candidates: 200 });
    const inMemory = await openShardVectors(parts, manifest, kernel, 1e9, read);
    const light = await openShardVectors(parts, manifest, kernel, 0, read);
    expect(light?.bytes ?? 0).toBeLessThan((inMemory?.bytes ?? 0) / 2);
    expect(light?.search(queryOf(0), 5)).toBeNull();
    let shared = 0;
    for (let q = 0; q < 20; q++) {
      reads.length = 0;
      const exact = inMemory?.search(queryOf(q), 10);
      const found = await light?.searchStored(queryOf(q), 10);
      expect(reads).toHaveLength(1); // one transaction
      expect(found?.count).toBe(10);
      found?.scores.forEach((score, i) => expect(score).toBeLessThanOrEqual((found.scores[i - 1] ?? 1) + 1e-6));
      shared += [...(found?.ordinals ?? [])].filter((ordinal) => exact?.ordinals.includes(ordinal)).length;
    }
    expect(shared / 200).toBeGreaterThan(0.9);
  });

  test.each([
    ['in two steps', { candidates: 60 }, 1e9],
    ['exactly', { candidates: 900 }, 1e9],
    ['from the store', { candidates: 200 }, 0],
  ])('several queries at once give what each gives by itself: %s', async (_, change, budget) => {
    const { parts, read } = stored(segments, measured);
    const set = await openShardVectors(parts, manifestWith({ ...measured, ...change }), kernel, budget, read);
    const queries = [0, 1, 2, 3].map(queryOf);
    const single = await Promise.all(queries.map((query) => set!.searchStored(query, 10)));
    expect(await set!.searchMany(queries, 10, kernelBatches)).toEqual(single);
    expect(await set!.searchMany([], 10, kernelBatches)).toEqual([]);
  });

  test('without a measured mean is centred at opening and searched', async () => {
    const { parts, read } = stored(segments, undefined, true);
    const set = await openShardVectors(parts, manifestWith(undefined), kernel, 1e9, read);
    const reference = vectorSetOf(segments, kernel);
    expect(set?.search(queryOf(3), 10)).toEqual(reference.search(queryOf(3), 10));
  });

  test('names the part whose block is gone or cut off', async () => {
    const { parts, read, blocks } = stored(segments, measured);
    const manifest = manifestWith(measured);
    const light = await openShardVectors(parts, manifest, kernel, 0, read);
    const block = blocks.get('vectors-1.bin/1') ?? new Uint8Array(0);
    blocks.set('vectors-1.bin/1', block.slice(0, -1));
    await expect(openShardVectors(parts, manifest, kernel, 1e9, read)).rejects.toMatchObject({ code: 'shard/part-invalid', detail: { part: 'vectors-1.bin' } });
    for (const key of blocks.keys()) if (!key.endsWith('/0')) blocks.delete(key);
    await expect(openShardVectors(parts, manifest, kernel, 1e9, read)).rejects.toMatchObject({ code: 'shard/part-missing' });
    await expect(light?.searchStored(queryOf(1), 5)).rejects.toMatchObject({ code: 'shard/part-missing' });
  });

  test('without vectors has no set; the budget follows the memory of the device', async () => {
    const { read } = stored([], undefined);
    expect(await openShardVectors([], manifestWith(undefined), kernel, 1e9, read)).toBeNull();
    expect([null, 32, 8, 4, 0.5].map(vectorBudgetBytes)).toEqual([512, 512, 512, 256, 32].map((mib) => mib * 2 ** 20));
  });
});

describe('own documents', () => {
  test('2,000 come and go one by one, without a rebuild of the others', () => {
    const held = createDocumentVectors(kernel);
    const rowsOf = (n: number): VectorSegment => vectorSegment(quantise(clusteredRows({ count: 2, dimensions, seed: n + 1, clusters: 3 }), dimensions), 'e', 0);
    const first = new Map<number, number>();
    for (let n = 0; n < 2000; n++) first.set(n, held.put(`d${n}`, 2, [rowsOf(n)])[0]?.first ?? -1);
    for (let n = 0; n < 2000; n += 2) held.put(`d${n}`, 2, []);
    expect(held.put('d2', 2, [])).toEqual([]);
    const set = held.add('d1', 2, { ...rowsOf(1), first: 2 })[0]?.set;
    for (const n of [1, 999, 1999]) {
      const { scales, codes } = rowsOf(n);
      const query = Float32Array.from(codes.subarray(dimensions, 2 * dimensions), (code) => code * (scales[1] ?? 0));
      expect(set?.search(query, 1)?.ordinals[0]).toBe((first.get(n) ?? 0) + 1);
    }
    expect(set?.search(queryOf(1), 5000)?.count).toBe(2002);
  });

  test('batches are added in order, others are passed over, another embedder takes the place of the first', () => {
    const held = createDocumentVectors(kernel);
    const batch = (embedder: string, at: number, count: number): VectorSegment =>
      vectorSegment(quantise(clusteredRows({ count, dimensions, seed: at + 1, clusters: 3 }), dimensions), embedder, at);
    held.add('d', 10, batch('e', 0, 4));
    held.add('d', 10, batch('e', 0, 4));
    held.add('d', 10, batch('e', 8, 2));
    const [own] = held.add('d', 10, batch('e', 4, 4));
    expect(own?.set.search(queryOf(1), 99)?.count).toBe(8);
    const next = held.add('d', 10, batch('other', 0, 3));
    expect(next).toHaveLength(1);
    expect(next[0]?.set).toMatchObject({ embedder: 'other' });
    expect(next[0]?.set.search(queryOf(1), 99)?.count).toBe(3);
  });
});

test('any bytes as a stored block give rows or an error of the shard', async () => {
  const segments = segmentsOf([300]);
  const mean = new Array<number>(dimensions).fill(0);
  const manifest = manifestWith({ mean, candidates: 20, target: 0.98, recall: 1 });
  const { parts, read, blocks } = stored(segments, manifest.vectors);
  const sound = new Map(blocks);
  await fc.assert(
    fc.asyncProperty(fc.nat(2), fc.nat(400), fc.nat(255), fc.boolean(), fc.boolean(), async (block, at, byte, isCut, isLight) => {
      for (const [key, bytes] of sound) blocks.set(key, bytes);
      const key = `vectors-0.bin/${block}`;
      const bytes = (sound.get(key) ?? new Uint8Array(0)).slice(0, isCut ? at : undefined);
      if (at < bytes.length) bytes[at] = byte;
      blocks.set(key, bytes);
      try {
        const set = await openShardVectors(parts, manifest, kernel, isLight ? 0 : 1e9, read);
        expect((await set?.searchStored(queryOf(at), 5))?.count).toBeLessThanOrEqual(5);
      } catch (error) {
        expect(error).toBeInstanceOf(AppError);
      }
    }),
    { numRuns: 60 },
  );
});

test('a part of the older coding still opens', () => {
  const [segment] = segmentsOf([5]);
  if (segment === undefined) throw new Error('no segment');
  expect(openVectorSegment(encodeVectors(segment), 'e', 0, 'v.bin')).toEqual(segment);
});
