/** The LLM worker: serves `LlmWorkerApi`. Each backend with its library is a chunk of its own, fetched only when chosen. */
import { createLlmService } from '../src/engine/llm-service.ts';
import { serve } from '../src/engine/serve.ts';

serve(
  createLlmService({
    webllm: async () => (await import('../src/engine/backends/webllm.ts')).openWebllm,
    wllama: async () => (await import('../src/engine/backends/wllama.ts')).openWllama,
    transformers: async () => (await import('../src/engine/backends/transformers.ts')).openTransformers,
    http: async () => (await import('../src/engine/backends/http.ts')).openHttp,
    scripted: async () => (await import('../src/engine/backends/scripted.ts')).openScripted,
  }),
);
