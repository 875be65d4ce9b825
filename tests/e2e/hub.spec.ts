/** What needs the model hub (FORAY_HUB=1, set by `npm test` where it answers): WebLLM's own download, start and answer in the worker. */
import { expect, test } from '../fixtures/page.ts';

test('WebLLM downloads its smallest model, runs it on WebGPU in the worker and answers by a schema @hub', async ({ serve, visit }) => {
  test.skip(process.env['FORAY_HUB'] !== '1', 'the model hub is not reachable');
  test.setTimeout(900_000);
  const page = await visit(await serve());
  const row = await page.evaluate(async () => {
    await globalThis.foray!.device;
    const rows = globalThis.foray!.models.rows().filter((model) => model.backend === 'webllm' && model.state !== 'unavailable');
    return rows.sort((a, b) => a.sizeBytes - b.sizeBytes)[0]?.id ?? null;
  });
  test.skip(row === null, 'no hardware graphics adapter');
  await page.evaluate((id) => globalThis.foray!.models.use(id, new AbortController().signal), row ?? '');
  expect(await page.evaluate(() => globalThis.foray!.models.llm)).toMatchObject({ backend: 'webllm', device: 'webgpu' });
  const kinds = await page.evaluate(async () => {
    const seen: string[] = [];
    for await (const event of globalThis.foray!.ask('Who designed the Musikverein?').events) seen.push(event.kind);
    return seen;
  });
  expect(kinds).toContain('llmCalled');
  expect(kinds.at(-1)).toBe('runFinished');
});
