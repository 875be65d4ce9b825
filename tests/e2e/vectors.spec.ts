/** Vectors in the browser: the corpus worker searches with a compiled kernel, all kernels agree, WebGPU gives the same hits, own documents come and go. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test as base, expect } from '@playwright/test';
import { buildVectorsPage, syntheticVectors, writeSyntheticShard } from '../../tools/bench/scale.ts';
import { createServer } from '../../tools/server.mjs';

const passages = 6000;
const test = base.extend<object, { url: string }>({
  url: [
    async ({}, use) => {
      const work = await mkdtemp(join(tmpdir(), 'foray-vectors-page-'));
      await buildVectorsPage(join(work, 'dist'));
      await writeSyntheticShard(join(work, 'shard'), 'scale', passages, new AbortController().signal);
      const server = await createServer({ dist: join(work, 'dist'), models: [], shards: { scale: join(work, 'shard') } });
      await use(server.url);
      await server.close();
      await rm(work, { recursive: true, force: true });
    },
    { scope: 'worker', timeout: 180_000 },
  ],
});

test.beforeEach(async ({ page, url }) => {
  await page.addInitScript('globalThis.__name = (value) => value;');
  await page.goto(url);
  await page.waitForFunction(() => 'bench' in globalThis);
});

test('the worker answers with the kernel: a passage is its own nearest neighbour, also after a restart, and is gone after deletion', async ({ page }) => {
  const vectorOf = syntheticVectors(passages);
  const wanted = [17, 2500, 5999];
  const seen = await page.evaluate(async (queries) => {
    await bench.importShard('shards/scale/');
    const verdict = await bench.corpus.call('probeVectors', undefined);
    const { vectorsMs } = await bench.reopen(queries[0] ?? [], 'balo', 'scale');
    const answers = [];
    for (const query of queries) answers.push(await bench.searchByVector(query, 3));
    await bench.corpus.call('deleteCorpus', { id: 'scale' });
    return { verdict, vectorsMs, answers, after: await bench.searchByVector(queries[0] ?? [], 3) };
  }, wanted.map((row) => Array.from(vectorOf(row))));
  // Chromium has relaxed SIMD: nothing slower is acceptable here.
  expect(seen.verdict).toMatchObject({ kernel: 'relaxed', batch: 'wasm' });
  expect(seen.answers.map(({ ids }) => ids[0])).toEqual(wanted.map((row) => `scale/d${Math.floor(row / 10)}#${(row % 10) + 1}`));
  expect(seen.answers.every(({ usedDense }) => usedDense)).toBe(true);
  expect(seen.after).toMatchObject({ usedDense: false, ids: [] });
});

test('relaxed SIMD, SIMD and plain JavaScript agree bit for bit', async ({ page }) => {
  const differences = await page.evaluate(async () => {
    const kernels = await Promise.all((['relaxed', 'simd', 'scalar'] as const).map((variant) => bench.openKernel(bench.kernelBinaries, [variant])));
    const found: string[] = [];
    for (const dimensions of [1, 16, 100, 256, 384, 1000]) {
      const values = Float32Array.from({ length: 400 * dimensions }, (_, i) => Math.sin(i * 1.37) * Math.cos(i * 0.011));
      const rows = bench.quantise(values, dimensions);
      const results = kernels.map((kernel) => {
        const index = bench.createVectorIndex(kernel, { dimensions });
        index.append(rows, 0);
        index.centre();
        const query = Float32Array.from({ length: dimensions }, (_, i) => Math.sin(i * 2.1 + 1));
        return [null, 20, 399].map((candidates) => {
          const { ordinals, scores } = index.search(query, 15, candidates);
          return [Array.from(ordinals), Array.from(scores), Array.from(index.bitsOf(3))];
        });
      });
      if (new Set(results.map((result) => JSON.stringify(result))).size !== 1) found.push(`${dimensions} dimensions`);
    }
    return { variants: kernels.map(({ variant }) => variant), found };
  });
  expect(differences).toEqual({ variants: ['relaxed', 'simd', 'scalar'], found: [] });
});

test('WebGPU gives the hits of the kernel, on the software adapter too; the probe takes the faster one', async ({ page }) => {
  const seen = await page.evaluate(() => bench.compareGpu());
  test.skip(seen === null, 'this browser offers no WebGPU adapter');
  expect(seen?.gpu).toEqual(seen?.wasm);
  expect(seen?.gpu.every((ordinals) => ordinals.length === 5)).toBe(true);
  expect(seen?.verdict.gpuMs).not.toBeNull();
  expect(seen?.verdict.batch).toBe((seen?.verdict.gpuMs ?? 0) < (seen?.verdict.wasmMs ?? 0) ? 'gpu' : 'wasm');
});

// FORAY_OWN_DOCUMENTS=2000 for a large library; 200 take a few seconds.
const ownDocuments = Number(process.env['FORAY_OWN_DOCUMENTS'] ?? 200);

test('own documents are added, embedded and deleted one by one without a rebuild', async ({ page }) => {
  test.setTimeout(30_000 + 120 * ownDocuments);
  const texts = Array.from({ length: ownDocuments }, (_, i) => `The note with the number ${i} says that box ${i} stands in room ${i % 40}.`);
  const figures = await page.evaluate((notes) => bench.addDocuments(notes, 32), texts);
  console.log(`${ownDocuments} own documents: ${JSON.stringify(figures)}`);
  expect(figures.left).toBe(ownDocuments - 10);
  // One deletion costs the same whatever else there is: a rebuild of 2,000 documents would take many seconds.
  expect(figures.deleteMs).toBeLessThan(1000);
});
