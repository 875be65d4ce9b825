/**
 * WebLLM: compiled models on WebGPU with a grammar engine. The only importer of that library. It downloads and stores its files by itself (Cache API), from
 * the model hub and the host of its model libraries.
 */
import { MLCEngine, prebuiltAppConfig } from '@mlc-ai/web-llm';
import type { ChatCompletionChunk, ChatCompletionRequestStreaming, InitProgressReport } from '@mlc-ai/web-llm';
import { AppError, abortError } from '../../errors.ts';
import { createProgressMeter } from '../../progress.ts';
import type { GenerateEvent, GenerateRequest, GenerateResult, Llm, LlmInfo, TokenLogprob } from '../llm.ts';
import { estimateTokens, generationError, loading, reasonOf } from './backend.ts';
import type { OpenBackend } from './backend.ts';

export const openWebllm: OpenBackend = (request, { signal, onProgress }) =>
  loading(request, signal, async () => {
    const record = prebuiltAppConfig.model_list.find((row) => row.model_id === request.modelId);
    if (record === undefined) throw new Error(`${request.modelId} is not in the catalogue of WebLLM`);
    const meter = createProgressMeter('bytes', () => performance.now());
    const engine = new MLCEngine({
      appConfig: prebuiltAppConfig,
      logLevel: 'SILENT',
      initProgressCallback: (report) => onProgress(meter.update(...readReport(report))),
    });
    const onAbort = (): void => void engine.unload().catch(() => {});
    signal.addEventListener('abort', onAbort);
    try {
      // An aborted reload resolves as if it had worked; `loading` looks at the signal afterwards.
      await engine.reload(request.modelId, { context_window_size: request.contextTokens });
    } catch (error) {
      await engine.unload().catch(() => {});
      throw translateLoad(error);
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
    onProgress(meter.update(1, { phase: 'done' }));
    const isThinking = /^Qwen3/.test(request.modelId);
    const info: LlmInfo = {
      backend: 'webllm',
      modelId: request.modelId,
      label: request.label,
      device: 'webgpu',
      threads: 1,
      contextTokens: request.contextTokens,
      parallelSlots: 1,
      can: { grammar: true, logprobs: true, score: false, prefixCache: true },
    };
    const llm: Llm = {
      info,
      async *generate(generateRequest, callerSignal) {
        callerSignal.throwIfAborted();
        const interrupt = (): void => void engine.interruptGenerate().catch(() => {});
        callerSignal.addEventListener('abort', interrupt);
        let chunks: AsyncIterable<ChatCompletionChunk> | null = null;
        let isDrained = false;
        try {
          chunks = await engine.chat.completions.create(completionRequest(generateRequest, isThinking));
          yield* collect(chunks, generateRequest);
          isDrained = true;
          if (callerSignal.aborted) throw abortError();
        } catch (error) {
          if (callerSignal.aborted) throw abortError();
          throw translate(error, info.contextTokens);
        } finally {
          // Its lock is freed only at the end of the stream: a reader that leaves early must interrupt and read on, or the next request waits for ever.
          if (chunks !== null && !isDrained) {
            interrupt();
            await drain(chunks);
          }
          callerSignal.removeEventListener('abort', interrupt);
        }
      },
      // Its log-probabilities are taken after the grammar, and at most five a token: no way to read the probability of a given text.
      score: async () => null,
      countTokens: async (text) => estimateTokens(text),
      dispose: () => engine.unload(),
    };
    return llm;
  });

function completionRequest(request: GenerateRequest, isThinking: boolean): ChatCompletionRequestStreaming {
  return {
    messages: request.messages.map(({ role, content }) => ({ role, content })),
    stream: true,
    stream_options: { include_usage: true },
    max_tokens: request.maxTokens,
    temperature: request.temperature ?? 0,
    ...(request.topP === undefined ? {} : { top_p: request.topP }),
    ...(request.seed === undefined ? {} : { seed: request.seed }),
    ...(request.stop === undefined ? {} : { stop: [...request.stop] }),
    ...(request.logprobs === true ? { logprobs: true, top_logprobs: 1 } : {}),
    ...(request.schema === undefined ? {} : { response_format: { type: 'json_object', schema: JSON.stringify(request.schema) } }),
    ...(isThinking ? { extra_body: { enable_thinking: false } } : {}),
  };
}

async function* collect(chunks: AsyncIterable<ChatCompletionChunk>, request: GenerateRequest): AsyncGenerator<GenerateEvent> {
  let text = '';
  let finish: GenerateResult['finish'] = 'stop';
  let usage: ChatCompletionChunk['usage'];
  const logprobs: TokenLogprob[] = [];
  for await (const chunk of chunks) {
    usage = chunk.usage ?? usage;
    const choice = chunk.choices[0];
    if (choice === undefined) continue;
    for (const entry of choice.logprobs?.content ?? []) logprobs.push({ token: entry.token, logprob: entry.logprob });
    if (choice.finish_reason === 'length') finish = 'length';
    const delta = choice.delta.content ?? '';
    if (delta === '') continue;
    text += delta;
    yield { kind: 'text', delta };
  }
  const promptTokens = usage?.prompt_tokens ?? 0;
  const prefillPerSecond = usage?.extra?.prefill_tokens_per_s;
  const decodePerSecond = usage?.extra?.decode_tokens_per_s;
  yield {
    kind: 'finished',
    result: {
      text,
      finish,
      usage: { promptTokens, cachedTokens: null, outputTokens: usage?.completion_tokens ?? 0 },
      logprobs: request.logprobs === true ? logprobs : null,
      prefillMs: prefillPerSecond ? (promptTokens * 1000) / prefillPerSecond : null,
      decodeMs: decodePerSecond ? ((usage?.completion_tokens ?? 0) * 1000) / decodePerSecond : null,
    },
  };
}

async function drain(chunks: AsyncIterable<unknown>): Promise<void> {
  try {
    for await (const _ of chunks);
  } catch {
    // The interrupted request is over either way.
  }
}

/** Its progress is prose ("…: 123MB fetched. 45% completed…"); the share done is a field, the megabytes are read from the text where they stand. */
export function readReport(report: InitProgressReport): [number, { phase: 'downloading' | 'loading'; item: string; total: number | null }] {
  const megabytes = Number(/(\d+(?:\.\d+)?)\s*MB/i.exec(report.text)?.[1] ?? Number.NaN);
  const phase = /fetch|download/i.test(report.text) && !/loading model from cache/i.test(report.text) ? 'downloading' : 'loading';
  const item = report.text.slice(0, 200);
  if (!Number.isFinite(megabytes)) return [report.progress, { phase, item, total: 1 }];
  const done = megabytes * 1e6;
  return [done, { phase, item, total: report.progress > 0 ? Math.max(done, done / report.progress) : null }];
}

function translateLoad(error: unknown): unknown {
  const name = error instanceof Error ? error.name : '';
  if (name === 'WebGPUNotAvailableError' || name === 'WebGPUNotFoundError') return new AppError('device/no-adapter', {}, { cause: error });
  if (name === 'ShaderF16SupportError' || name === 'FeatureSupportError') return new AppError('device/no-f16', {}, { cause: error });
  if (name === 'DeviceLostError') return new AppError('device/lost', {}, { cause: error });
  return error;
}

function translate(error: unknown, limit: number): Error {
  const name = error instanceof Error ? error.name : '';
  const text = reasonOf(error);
  if (name === 'DeviceLostError' || /device (was )?lost/i.test(text)) return new AppError('device/lost', {}, { cause: error });
  if (name === 'ContextWindowSizeExceededError' || name === 'PrefillChunkSizeSmallerThanImageError') {
    return new AppError('engine/context-full', { tokens: Number(/(\d+)/.exec(text)?.[1] ?? 0), limit }, { cause: error });
  }
  return generationError('webllm', error);
}
