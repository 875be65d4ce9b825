/**
 * Foray's vector search by itself: the rows of a shard's parts in the kernel's memory, searched by the same function as in the page, for several numbers of candidates
 * and exactly. The build is quantisation and coding of the rows.
 */
import { kernelBinaries } from 'virtual:foray-kernel';
import { openKernel } from '../../../src/corpus/kernel/kernel.ts';
import { createVectorIndex, type VectorIndex } from '../../../src/corpus/vector-index.ts';
import { encodeVectors, openVectorSegment, quantise } from '../../../src/corpus/vectors.ts';
import type { Point } from './contract.ts';
import { serveVectors } from './serve.ts';
import { fetchManifest, fetchParts } from './shard-parts.ts';

const kernel = await openKernel(kernelBinaries);
let built = 0;
let index: VectorIndex | null = null;
let candidates: number | null = null;
let measured: number | null = null;

const point = (label: string, wanted: number | null): Point => ({
  label,
  apply: () => {
    candidates = wanted;
  },
});

serveVectors({
  build({ rows, dimensions, count }) {
    built = 0;
    const step = 16_384;
    for (let at = 0; at < count; at += step) {
      built += encodeVectors(quantise(rows.subarray(at * dimensions, Math.min(count, at + step) * dimensions), dimensions)).length;
    }
  },
  save: () => Promise.resolve(built),
  async open(source) {
    const manifest = await fetchManifest(source);
    measured = manifest.vectors?.candidates ?? null;
    const mean = manifest.vectors === undefined ? {} : { mean: Float32Array.from(manifest.vectors.mean) };
    index = createVectorIndex(kernel, { dimensions: source.dimensions, capacity: source.count, ...mean });
    for await (const { part, bytes } of fetchParts(source, manifest, ['vectors'])) index.append(openVectorSegment(bytes, 'minilm', part.first, part.file), part.first);
    if (manifest.vectors === undefined) index.centre();
  },
  get points() {
    const wanted = [200, 500, 1000, 1250, 1500, 2000, 3000, 4000, 8000, 16_000].filter((c) => c !== measured && c < (index?.count ?? 0));
    return [
      ...wanted.map((c) => point(`C ${c}`, c)),
      ...(measured === null ? [] : [point(`C ${measured}, measured by the builder`, measured)]),
      point('exact int8', null),
    ];
  },
  search: (query, k) => Array.from(index?.search(query, k, candidates).ordinals ?? []),
});
