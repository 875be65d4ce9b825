/** A LoRA adapter over SmolLM2 through llama.cpp: one that is zero changes nothing, one that is not changes what is said, one that does not fit is refused. */
import type { Page } from '@playwright/test';
import { loraAdapter } from '../fixtures/gguf.ts';
import { expect, test } from './engine-page/fixture.ts';

const weight = 'blk.29.attn_output.weight';
const missing = 'smollm2-135m is not on this machine (npm run models -- fetch smollm2-135m)';

/** ln p of the same continuation with each of these adapters (null: none), one load after the other; an error as plain data. */
async function scores(page: Page, adapters: readonly (readonly number[] | null)[]): Promise<readonly unknown[]> {
  return page.evaluate(async (list) => {
    const model = await engine.blobs('smollm2-135m', ['model.gguf']);
    const ask = [{ role: 'user', content: 'Capital of France?' }, { role: 'assistant', content: 'It is' }] as const;
    const seen: unknown[] = [];
    for (const adapter of list) {
      const extra: Record<string, Blob> = adapter === null ? {} : { 'adapter.lora.gguf': new Blob([Uint8Array.from(adapter)]) };
      const score = engine
        .llm({ backend: 'wllama', modelId: 'smollm2-135m', files: { ...model, ...extra } })
        .then((llm) => llm.score(ask, ' Paris.', engine.never))
        .then((found) => found?.sum ?? null, engine.toWire);
      seen.push(await score);
    }
    return seen;
  }, adapters);
}

test('an adapter is laid over the model: zeros change nothing, other numbers do', async ({ enginePage: page, site }) => {
  test.skip(!site.models.includes('smollm2-135m'), missing);
  test.setTimeout(240_000);
  const of = (strength: number): number[] => [...loraAdapter({ weight, size: 576, strength })];
  const [plain, zero, strong] = (await scores(page, [null, of(0), of(4)])) as number[];
  expect(plain).toBeLessThan(0);
  expect(zero).toBeCloseTo(plain ?? 0, 3);
  expect(strong).toBeLessThanOrEqual(0);
  expect(Math.abs((strong ?? 0) - (plain ?? 0))).toBeGreaterThan(0.2);
});

test('an adapter that does not fit is refused, and the model loads without it', async ({ enginePage: page, site }) => {
  test.skip(!site.models.includes('smollm2-135m'), missing);
  test.setTimeout(240_000);
  const [misfit, plain] = await scores(page, [[...loraAdapter({ weight, size: 64, strength: 1 })], null]);
  expect(misfit).toMatchObject({ kind: 'app', code: 'engine/load-failed' });
  expect(plain).toBeLessThan(0);
});
