/** A LoRA adapter over SmolLM2 through llama.cpp: one that is zero changes nothing, one that is not changes what is said, one that does not fit is refused. */
import { loraAdapter } from '../fixtures/gguf.ts';
import { expect, test } from './engine-page/fixture.ts';

test('an adapter is laid over the model', async ({ enginePage: page, site }) => {
  test.skip(!site.models.includes('smollm2-135m'), 'smollm2-135m is not on this machine (npm run models -- fetch smollm2-135m)');
  test.setTimeout(240_000);
  const weight = 'blk.29.attn_output.weight';
  const adapters = {
    zero: [...loraAdapter({ weight, size: 576, strength: 0 })],
    strong: [...loraAdapter({ weight, size: 576, strength: 4 })],
    misfit: [...loraAdapter({ weight, size: 64, strength: 1 })],
  };
  const seen = await page.evaluate(async (files) => {
    const model = await engine.blobs('smollm2-135m', ['model.gguf']);
    const ask = [{ role: 'user', content: 'What is the capital of France? One word.' }, { role: 'assistant', content: 'The capital of France is' }] as const;
    const scoreWith = async (adapter: readonly number[] | null) => {
      const extra: Record<string, Blob> = adapter === null ? {} : { 'adapter.lora.gguf': new Blob([Uint8Array.from(adapter)]) };
      const llm = await engine.llm({ backend: 'wllama', modelId: 'smollm2-135m', files: { ...model, ...extra } });
      return llm.score(ask, ' Paris.', engine.never);
    };
    return {
      plain: await scoreWith(null),
      zero: await scoreWith(files.zero),
      strong: await scoreWith(files.strong),
      misfit: await scoreWith(files.misfit).then(() => 'loaded', engine.toWire),
      after: await scoreWith(null),
    };
  }, adapters);
  expect(seen.plain?.sum).toBeLessThan(0);
  expect(seen.zero?.sum).toBeCloseTo(seen.plain?.sum ?? 0, 3);
  expect(Math.abs((seen.strong?.sum ?? 0) - (seen.plain?.sum ?? 0))).toBeGreaterThan(0.2);
  expect(seen.misfit).toMatchObject({ kind: 'app', code: 'engine/load-failed' });
  expect(seen.after?.sum).toBeCloseTo(seen.plain?.sum ?? 0, 3);
});
