/** FAULTS G3–G5: browsers without WebGPU, without an adapter, without 16-bit shaders. What runs is said before anything is downloaded. */
import { readdir, readFile } from 'node:fs/promises';
import { chromium } from '@playwright/test';
import type { BrowserContext } from '@playwright/test';
import { chromiumArgs, launchOptions } from '../../tools/browser.mjs';
import { askInPage, expect, models, search, test } from '../fixtures/page.ts';
import type { Site } from '../fixtures/page.ts';

const withoutGpuFlags = chromiumArgs.filter((flag) => !/webgpu|Vulkan/i.test(flag));

async function launch(args: readonly string[], work: (context: BrowserContext) => Promise<void>): Promise<void> {
  const browser = await chromium.launch({ ...launchOptions(), args: [...args] });
  try {
    await work(await browser.newContext());
  } finally {
    await browser.close();
  }
}

/** Runs `code` first in the page and in the language model's worker. */
async function prepend(site: Site, code: string): Promise<void> {
  for (const name of (await readdir('dist/assets')).filter((file) => /^(?:llm|index)-[\w-]+\.js$/.test(file))) {
    const source = await readFile(`dist/assets/${name}`, 'utf8');
    site.files.set(`assets/${name}`, { bytes: new TextEncoder().encode(`${code}${source}`), type: 'text/javascript' });
  }
}

const modelRequests = (site: Site): string[] => site.requests.map(({ path }) => path).filter((path) => path.startsWith('models/') && path !== 'models/index.json');

for (const [id, what, args, code] of [
  ['G3', 'no WebGPU in the browser', chromiumArgs, 'device/no-webgpu'],
  ['G4', 'WebGPU without an adapter', [...withoutGpuFlags, '--disable-gpu', '--disable-software-rasterizer'], 'device/no-adapter'],
] as const) {
  test(`${id}: ${what}: CPU models only, said before any download; search works @fault`, async ({ serve, visit }) => {
    const site = await serve();
    // Scripts of the test do not reach workers, so the browser's own part is taken out where it is used.
    if (id === 'G3') await prepend(site, 'delete (globalThis.WorkerNavigator??globalThis.Navigator).prototype.gpu;');
    await launch(args, async (context) => {
      const page = await visit(site, { context });
      const verdict = await page.evaluate(() => globalThis.foray!.device);
      expect(verdict).toMatchObject({ gpu: null, gpuError: code });
      expect(await page.evaluate(() => 'gpu' in navigator)).toBe(id === 'G4');
      await expect.poll(async () => (await models(page)).length).toBeGreaterThan(5);
      const rows = await models(page);
      const onGpu = rows.filter(({ needs }) => needs.includes('webgpu'));
      expect(onGpu.length).toBeGreaterThan(5);
      for (const row of onGpu) expect(row, row.id).toMatchObject({ state: 'unavailable', recommended: false, reason: expect.stringMatching(/WebGPU|graphics adapter/) });
      expect(rows.filter(({ role, recommended }) => role === 'llm' && recommended)).toMatchObject([{ backend: 'wllama' }]);
      await page.getByTestId('status-llm').getByRole('button', { name: /^Change/ }).click();
      await expect(page.getByTestId('model-panel')).toContainText(verdict.summary);
      await page.getByRole('button', { name: 'Close' }).first().click();
      expect((await search(page, 'bridge over a river')).length).toBeGreaterThan(2);
      await askInPage(page, 'Which bridge crosses the Danube in Budapest?');
      await expect(page.getByTestId('answer')).toHaveAttribute('data-mode', 'extractive');
      expect(modelRequests(site)).toEqual([]);
    });
  });
}

test('G5: an adapter without 16-bit shaders: 32-bit variants are chosen, the others say why not @fault', async ({ serve, visit }) => {
  // The software adapter has no shader-f16; with another name it passes for a small graphics card, in the page and in the workers.
  const disguise = "Object.defineProperty(GPUAdapter.prototype,'info',{get(){return {vendor:'acme',architecture:'gen-1',device:'',description:'Acme Graphics 1'}}});";
  const site = await serve();
  await prepend(site, disguise);
  const page = await visit(site);
  expect(await page.evaluate(() => globalThis.foray!.device)).toMatchObject({ gpu: { description: 'Acme Graphics 1', software: false, f16: false } });
  await expect.poll(async () => (await models(page)).length).toBeGreaterThan(5);
  const rows = (await models(page)).filter(({ backend }) => backend === 'webllm');
  const [f16, f32] = [rows.filter(({ needs }) => needs.includes('shader-f16')), rows.filter(({ needs }) => !needs.includes('shader-f16'))];
  expect(f16.length).toBeGreaterThan(5);
  for (const row of f16) expect(row, row.id).toMatchObject({ state: 'unavailable', reason: expect.stringMatching(/shader-f16/) });
  expect(f32.filter(({ state }) => state !== 'unavailable').length).toBeGreaterThan(2);
  expect((await models(page)).filter(({ role, recommended }) => role === 'llm' && recommended).map(({ id }) => id)).toEqual([expect.stringMatching(/q4f32_1-MLC$/)]);
  expect(modelRequests(site)).toEqual([]);
});
