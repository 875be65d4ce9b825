/** The engine by itself in a real browser with real models: worker life, llama.cpp in WASM, ONNX on WebGPU and WASM. */
import { expect, test } from './engine-page/fixture.ts';

const smolOnnx = ['config.json', 'generation_config.json', 'tokenizer.json', 'tokenizer_config.json', 'onnx/model_q4.onnx'];
const embedderFiles = ['config.json', 'tokenizer.json', 'tokenizer_config.json', 'onnx/model_quantized.onnx'];

test.describe('worker life', () => {
  const script = { responses: [{ say: 'one two three four five six', pieceLength: 4, pieceMs: 20 }], otherwise: { say: 'again' } };

  test('a worker that closes itself in mid-answer rejects the call and is replaced, with its model, at the next', async ({ enginePage: page }) => {
    const outcome = page.evaluate(async (s) => {
      const model = await engine.llm({ backend: 'scripted', modelId: 'script', script: s });
      let text = '';
      try {
        for await (const event of model.generate({ messages: [{ role: 'user', content: 'x' }], maxTokens: 9 }, engine.never)) {
          if (event.kind === 'text') text += event.delta;
        }
        return { text, error: null, after: '' };
      } catch (error) {
        const after = await engine.generate(model, { messages: [{ role: 'user', content: 'x' }], maxTokens: 9 });
        return { text, error: engine.toWire(error), after: after.result.text };
      }
    }, { responses: [], otherwise: { say: 'half an answer', pieceMs: 150, pieceLength: 1 } });
    await expect.poll(() => page.workers().length).toBeGreaterThan(0);
    await page.waitForTimeout(300);
    await page.workers()[0]?.evaluate(() => self.close());
    const { text, error, after } = await outcome;
    expect(error).toMatchObject({ kind: 'app', code: 'engine/worker-died' });
    expect('half an answer'.startsWith(text)).toBe(true);
    expect(after).toBe('half an answer');
  });

  test('a worker whose script is missing is engine/worker-load', async ({ enginePage: page }) => {
    await page.route('**/assets/llm-*.js', (route) => route.fulfill({ status: 404, body: 'gone' }));
    const error = await page.evaluate((s) => engine.llm({ backend: 'scripted', modelId: 'script', script: s }).then(() => null, engine.toWire), script);
    expect(error).toMatchObject({ kind: 'app', code: 'engine/worker-load' });
  });

  test('a hanging model is stopped at once, and the next question works', async ({ enginePage: page }) => {
    const outcome = await page.evaluate(async () => {
      const model = await engine.llm({ backend: 'scripted', modelId: 'script', script: { responses: [{ say: 'hm', then: 'hang' }], otherwise: { say: 'fine' } } });
      const stopped = await engine.generateAndStop(model, { messages: [{ role: 'user', content: 'x' }], maxTokens: 9 }, 1);
      const after = await engine.generate(model, { messages: [{ role: 'user', content: 'x' }], maxTokens: 9 });
      return { stopped, after: after.result.text, generation: engine.llmHost.generation };
    });
    expect(outcome.stopped.error).toBe('AbortError');
    expect(outcome.stopped.ms).toBeLessThan(500);
    expect(outcome.after).toBe('fine');
    expect(outcome.generation).toBe(1);
  });
});

test('a model that cannot be loaded says so, and leaves the worker fit for the next', async ({ enginePage: page }) => {
  const seen = await page.evaluate(async () => {
    const load = (request: Parameters<typeof engine.llm>[0]) => engine.llm(request).then((model) => model.info.label, engine.toWire);
    return [
      await load({ backend: 'wllama', modelId: 'garbage', files: { 'model.gguf': new Blob(['garbage '.repeat(1000)]) } }),
      await load({ backend: 'wllama', modelId: 'empty', files: {} }),
      await load({ backend: 'transformers', modelId: 'half', files: { 'config.json': new Blob(['{}']) } }),
      await load({ backend: 'transformers', modelId: 'broken', files: { 'config.json': new Blob(['{}']), 'onnx/model_q4.onnx': new Blob(['x']) } }),
      await load({ backend: 'webllm', modelId: 'no-such-model', useGpu: true }),
      await load({ backend: 'http', modelId: 'none', endpoint: { url: 'nonsense', model: 'x' } }),
      await load({ backend: 'scripted', modelId: 'fine', script: { responses: [] } }),
    ];
  });
  const failed = { kind: 'app', code: 'engine/load-failed' };
  expect(seen).toEqual([...Array.from({ length: 5 }, () => expect.objectContaining(failed)), expect.objectContaining({ code: 'engine/endpoint' }), 'fine']);
});

test('the verdict names the software adapter and offers no thread without need', async ({ enginePage: page }) => {
  const verdict = await page.evaluate(() => engine.probeDevice(() => engine.llmHost.call('probe', null)));
  expect(verdict.isolated).toBe(true);
  expect(verdict.threads).toBeGreaterThanOrEqual(1);
  expect(verdict.threads).toBeLessThanOrEqual(verdict.cores);
  if (verdict.gpu !== null && verdict.gpu.software) {
    expect(verdict.summary).toContain('software');
    expect(verdict.gpu.f16).toBe(false);
  }
});

test('SmolLM2 through llama.cpp: JSON of a schema, streamed, stopped, cached, scored', async ({ enginePage: page, site }) => {
  test.skip(!site.models.includes('smollm2-135m'), 'smollm2-135m is not on this machine (npm run models -- fetch smollm2-135m)');
  test.setTimeout(240_000);
  const seen = await page.evaluate(async () => {
    const model = await engine.llm({ backend: 'wllama', modelId: 'smollm2-135m', files: await engine.blobs('smollm2-135m', ['model.gguf']) });
    const schema = {
      type: 'object',
      properties: { city: { type: 'string', maxLength: 20 }, sure: { type: 'boolean' } },
      required: ['city', 'sure'],
      additionalProperties: false,
    };
    const system = { role: 'system', content: 'You answer questions about towns. Answer in JSON. '.repeat(4) } as const;
    const ask = (content: string) => [system, { role: 'user', content }] as const;
    const json = await engine.generate(model, { messages: ask('What is the capital of France?'), schema, maxTokens: 40, seed: 1 });
    const again = await engine.generate(model, { messages: ask('What is the capital of Italy?'), schema, maxTokens: 40, logprobs: true });
    const stopped = await engine.generateAndStop(model, { messages: ask('Tell me a long story.'), maxTokens: 200 }, 3);
    const after = await engine.generate(model, { messages: ask('What is the capital of Spain?'), maxTokens: 6 });
    const closing = [...ask('What is the capital of France? One word.'), { role: 'assistant', content: 'The capital of France is' }] as const;
    const likely = await model.score(closing, ' Paris.', engine.never);
    const unlikely = await model.score(closing, ' Zagreb.', engine.never);
    const tooLong = await engine.generate(model, { messages: ask('word '.repeat(3000)), maxTokens: 5 }).then(() => null, engine.toWire);
    const tokens = await model.countTokens('The capital of France is Paris.');
    return { info: model.info, json, again, stopped, after: after.result, likely, unlikely, tooLong, tokens, faults: engine.faults };
  });
  expect(seen.info.device).toBe('wasm');
  expect(seen.info.contextTokens).toBe(1024);
  const value: unknown = JSON.parse(seen.json.result.text);
  expect(value).toEqual({ city: expect.any(String), sure: expect.any(Boolean) });
  expect(seen.json.deltas.length).toBeGreaterThan(3);
  expect(seen.json.deltas.join('')).toBe(seen.json.result.text);
  expect(seen.json.result.usage.cachedTokens).toBe(0);
  expect(seen.again.result.usage.cachedTokens).toBeGreaterThan(40);
  expect(seen.again.result.usage.cachedTokens ?? 0).toBeLessThan(seen.again.result.usage.promptTokens);
  expect(seen.again.result.logprobs?.map((entry) => entry.token).join('')).toContain(seen.again.result.text.trim());
  expect(seen.again.result.logprobs?.every((entry) => entry.logprob <= 0)).toBe(true);
  expect(seen.stopped.error).toBe('AbortError');
  expect(seen.stopped.pieces).toBe(3);
  expect(seen.after.finish).toBe('length');
  expect(seen.after.usage.outputTokens).toBe(6);
  expect(seen.likely?.method).toBe('exact');
  expect(seen.likely?.sum).toBeLessThan(0);
  expect(seen.likely?.sum ?? -Infinity).toBeGreaterThan(seen.unlikely?.sum ?? 0);
  expect(seen.tooLong).toMatchObject({ kind: 'app', code: 'engine/context-full' });
  expect(seen.tokens).toBeGreaterThan(4);
  expect(seen.faults).toEqual([]);
});

test('a quantised SmolLM2 generates on WebGPU in the worker', async ({ enginePage: page, site }) => {
  test.skip(!site.models.includes('smollm2-135m-onnx'), 'smollm2-135m-onnx is not on this machine');
  test.setTimeout(240_000);
  const seen = await page.evaluate(async (paths) => {
    const { gpu } = await engine.llmHost.call('probe', null);
    if (gpu === null) return null;
    const model = await engine.llm({ backend: 'transformers', modelId: 'smollm2-135m-onnx', useGpu: true, files: await engine.blobs('smollm2-135m-onnx', paths) });
    const raw = await engine.generate(model, { messages: [{ role: 'assistant', content: 'Paris is' }], maxTokens: 3, logprobs: true });
    return { info: model.info, raw };
  }, smolOnnx);
  test.skip(seen === null, 'this browser offers no WebGPU adapter');
  expect(seen?.info.device).toBe('webgpu');
  expect(seen?.raw.result.text).toBe(' a city that');
  expect(seen?.raw.result.usage).toMatchObject({ promptTokens: 6, outputTokens: 3 });
  expect(seen?.raw.result.finish).toBe('length');
  // What native ONNX Runtime gives on the CPU: with the subgroup kernels left in, the software adapter is far off without any error.
  for (const [i, logprob] of [-0.67187, -0.54673, -1.48671].entries()) expect(seen?.raw.result.logprobs?.[i]?.logprob).toBeCloseTo(logprob, 3);
});

test('MiniLM on WASM reproduces its golden vectors, and refuses wrong ones', async ({ enginePage: page, site }) => {
  test.skip(!site.models.includes('minilm'), 'minilm is not on this machine');
  test.setTimeout(120_000);
  const seen = await page.evaluate(async (paths) => {
    const files = await engine.blobs('minilm', paths);
    const request = { modelId: 'minilm', files, device: 'auto', threads: 1 } as const;
    const embedder = await engine.loadEmbedder(engine.embedHost, request, engine.never, () => {});
    const { values } = await embedder.embed(['A cat sits on the mat.', 'A kitten rests on the rug.', 'Interest rates rose in March.'], 'passage', engine.never);
    const cosine = (a: number, b: number): number => {
      let dot = 0;
      for (let i = 0; i < 384; i++) dot += (values[a * 384 + i] ?? 0) * (values[b * 384 + i] ?? 0);
      return dot;
    };
    const wrong = [{ text: 'The lighthouse keeper lit the lamp.', vector: Array.from({ length: 384 }, (_, i) => (i === 0 ? 1 : 0)) }];
    const mismatch = await engine.loadEmbedder(engine.embedHost, { ...request, golden: wrong }, engine.never, () => {}).then(() => null, engine.toWire);
    const unloaded = await embedder.embed(['x'], 'query', engine.never).then(() => null, engine.toWire);
    return { info: embedder.info, near: cosine(0, 1), far: cosine(0, 2), same: cosine(0, 0), mismatch, unloaded };
  }, embedderFiles);
  expect(seen.info).toMatchObject({ id: 'minilm', dimensions: 384, device: 'wasm', dtype: 'q8' });
  expect(seen.same).toBeCloseTo(1, 4);
  expect(seen.near).toBeGreaterThan(seen.far + 0.3);
  expect(seen.mismatch).toMatchObject({ kind: 'app', code: 'embed/mismatch' });
  expect(seen.unloaded).toMatchObject({ kind: 'app', code: 'engine/not-loaded' });
});

test('MiniLM on WebGPU gives the golden vector of a short sentence', async ({ enginePage: page, site }) => {
  test.skip(!site.models.includes('minilm'), 'minilm is not on this machine');
  test.setTimeout(240_000);
  const info = await page.evaluate(async (paths) => {
    const { gpu } = await engine.llmHost.call('probe', null);
    if (gpu === null) return null;
    const files = await engine.blobs('minilm', paths);
    return (await engine.loadEmbedder(engine.embedHost, { modelId: 'minilm', files, device: 'webgpu', threads: 1 }, engine.never, () => {})).info;
  }, embedderFiles);
  test.skip(info === null, 'this browser offers no WebGPU adapter');
  expect(info?.device).toBe('webgpu');
});

test('a crash of the GPU process costs one call, then a new device is used', async ({ enginePage: page, site, browser }) => {
  test.skip(!site.models.includes('minilm'), 'minilm is not on this machine');
  test.setTimeout(240_000);
  const loaded = await page.evaluate(async (paths) => {
    const { gpu } = await engine.llmHost.call('probe', null);
    if (gpu === null) return null;
    const files = await engine.blobs('minilm', paths);
    const embedder = await engine.loadEmbedder(engine.embedHost, { modelId: 'minilm', files, device: 'webgpu', threads: 1 }, engine.never, () => {});
    Object.assign(globalThis, { embedder });
    return embedder.info.device;
  }, embedderFiles);
  test.skip(loaded === null, 'this browser offers no WebGPU adapter');
  const pending = page.evaluate(() => {
    const { embedder } = globalThis as unknown as { embedder: Awaited<ReturnType<typeof engine.loadEmbedder>> };
    const many = Array.from({ length: 200 }, (_, i) => `Sentence ${i} about the lighthouse keeper and his lamp.`);
    return embedder.embed(many, 'passage', engine.never).then(() => null, engine.toWire);
  });
  await page.waitForTimeout(300);
  const session = await browser.newBrowserCDPSession();
  await session.send('Browser.crashGpuProcess' as 'Browser.close');
  expect(await pending).toMatchObject({ kind: 'app', code: 'device/lost' });
  const after = await page.evaluate(async () => {
    const { embedder } = globalThis as unknown as { embedder: Awaited<ReturnType<typeof engine.loadEmbedder>> };
    const { values } = await embedder.embed(['The lighthouse keeper lit the lamp.'], 'passage', engine.never);
    return { device: embedder.info.device, length: Math.hypot(...values), generation: engine.embedHost.generation };
  });
  expect(after).toMatchObject({ device: 'webgpu', generation: 2 });
  expect(after.length).toBeCloseTo(1, 3);
});

test('the static embedder reproduces its golden vectors', async ({ enginePage: page, site }) => {
  test.skip(!site.models.includes('wordllama'), 'wordllama is not on this machine');
  const info = await page.evaluate(async () => {
    const files = await engine.blobs('wordllama', ['tokenizer.json', 'model.safetensors']);
    return (await engine.loadEmbedder(engine.embedHost, { modelId: 'wordllama', files, device: 'auto', threads: 1 }, engine.never, () => {})).info;
  });
  expect(info).toMatchObject({ device: 'cpu', dimensions: 256 });
});
