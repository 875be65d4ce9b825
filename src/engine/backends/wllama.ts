/**
 * llama.cpp compiled to WASM (wllama): GGUF models on the CPU, with grammar, log-probabilities and a prefix cache. The only importer of that library.
 * It starts a worker of its own; when that one fails, the model is loaded again at the next call.
 */
import { LoggerWithoutDebug, Wllama } from '@wllama/wllama/esm/index.js';
import type { ChatCompletionChunk, ChatCompletionParams } from '@wllama/wllama/esm/types/oai-compat.js';
import wasmUrl from '@wllama/wllama/esm/wasm/wllama.wasm?url';
import { AppError, abortError } from '../../errors.ts';
import { createProgressMeter } from '../../progress.ts';
import type { ContinuationScore, GenerateEvent, GenerateRequest, GenerateResult, JsonSchema, Llm, LlmInfo, Message, TokenLogprob } from '../llm.ts';
import type { LlmLoadRequest } from '../worker-api.ts';
import { grammarOf, literal } from '../grammar.ts';
import { createEventQueue, estimateTokens, generationError, loading } from './backend.ts';
import type { OpenBackend } from './backend.ts';

/**
 * Prompt tokens evaluated between two looks at the abort signal: a batch on one CPU core takes seconds, and stopping waits for its end.
 */
const batchTokens = 64;

export const openWllama: OpenBackend = (request, { signal, onProgress }) =>
  loading(request, signal, async () => {
    const meter = createProgressMeter('bytes', () => performance.now());
    const total = Object.values(request.files).reduce((sum, blob) => sum + blob.size, 0);
    onProgress(meter.update(0, { phase: 'loading', item: request.label, total }));
    let engine = await startSoundEngine(request);
    onProgress(meter.update(total, { phase: 'done' }));
    let isBroken = false;

    const info: LlmInfo = {
      backend: 'wllama',
      modelId: request.modelId,
      label: request.label,
      device: engine.device,
      threads: engine.threads,
      contextTokens: engine.contextTokens,
      parallelSlots: request.slots ?? 1,
      can: { grammar: true, logprobs: true, score: true, prefixCache: true },
    };

    /** The running engine; a new one after a crash of its worker. */
    const ready = async (): Promise<Wllama> => {
      if (isBroken) {
        engine = await startSoundEngine(request);
        isBroken = false;
      }
      return engine.wllama;
    };

    const run = async function* (params: ChatCompletionParams, callerSignal: AbortSignal): AsyncGenerator<ChatCompletionChunk, void, undefined> {
      const wllama = await ready();
      const stop = new AbortController();
      const onAbort = (): void => stop.abort();
      if (callerSignal.aborted) throw abortError();
      callerSignal.addEventListener('abort', onAbort);
      const queue = createEventQueue<ChatCompletionChunk>();
      const done = wllama
        .createChatCompletion({ ...params, stream: true, abortSignal: stop.signal, onData: (chunk) => queue.push(chunk) })
        .then(
          () => queue.end(),
          (error: unknown) => queue.fail(error),
        );
      try {
        yield* queue;
      } catch (error) {
        if (callerSignal.aborted) throw abortError();
        if (error instanceof Error && (error.name === 'RuntimeError' || error.name === 'WllamaRuntimeError')) {
          isBroken = true;
          await engine.wllama.exit().catch(() => {});
        }
        throw translate(explained(error, engine.log), info.contextTokens);
      } finally {
        // The slot is free only when the library says so; leaving earlier would run two requests into each other.
        stop.abort();
        await done;
        callerSignal.removeEventListener('abort', onAbort);
      }
    };

    const llm: Llm = {
      info,
      async *generate(generateRequest, callerSignal) {
        let said = '';
        try {
          for await (const event of collect(run(completionParams(generateRequest), callerSignal), generateRequest)) {
            if (event.kind === 'text') said += event.delta;
            yield event;
          }
          return;
        } catch (error) {
          // With log-probabilities the library breaks on a character that is split into several tokens; what was said already is not said again.
          if (generateRequest.logprobs !== true || !isBroken) throw error;
        }
        const { logprobs: _, ...plain } = generateRequest;
        for await (const event of collect(run(completionParams(plain), callerSignal), plain)) {
          if (event.kind !== 'text') yield event;
          else {
            const shared = commonPrefix(said, event.delta);
            said = said.slice(shared);
            if (shared < event.delta.length) yield { kind: 'text', delta: event.delta.slice(shared) };
          }
        }
      },
      async score(messages, continuation, callerSignal) {
        return scoreByGrammar((params) => run(params, callerSignal), messages, continuation);
      },
      countTokens: async (text) => estimateTokens(text),
      async dispose() {
        await engine.wllama.exit();
      },
    };
    return llm;
  });

/** A file with this ending is a LoRA adapter in GGUF form, laid over the model. */
const adapterSuffix = '.lora.gguf';

interface FileMount {
  moduleInit(files: readonly { readonly name: string; readonly blob: Blob }[]): Promise<unknown>;
}

/**
 * The library takes adapters by their path in its own file system and has no way to put a file there but as a split of the model. Its proxy to the engine is made
 * inside `loadModel`; the files are added as it mounts the model's. Returns their paths. If a later version renames what is used here, the engine reports that
 * the file is missing.
 */
function mountBeside(wllama: Wllama, blobs: readonly Blob[]): string[] {
  const files = blobs.map((blob, i) => ({ name: `adapter-${i + 1}.gguf`, blob }));
  if (files.length === 0) return [];
  let proxy: FileMount | null = null;
  Object.defineProperty(wllama, 'proxy', {
    configurable: true,
    enumerable: true,
    get: () => proxy,
    set(value: FileMount | null) {
      proxy = value;
      if (value === null) return;
      const init = value.moduleInit.bind(value);
      value.moduleInit = (own) => init([...own, ...files]);
    },
  });
  return files.map(({ name }) => `models/${name}`);
}

interface Engine {
  readonly wllama: Wllama;
  /** The latest lines that the native code wrote. */
  readonly log: readonly string[];
  readonly device: 'webgpu' | 'wasm';
  readonly threads: number;
  readonly contextTokens: number;
}

/** An engine on the graphics card is believed only after it said a few words with some confidence; a driver fault shows as noise, not as an error. */
async function startSoundEngine(request: LlmLoadRequest): Promise<Engine> {
  const engine = await startEngine(request);
  if (engine.device === 'wasm') return engine;
  try {
    const answer = await engine.wllama.createChatCompletion({
      messages: [{ role: 'user', content: 'Count from one to five.' }],
      max_tokens: 8,
      temperature: 0,
      logprobs: true,
      top_logprobs: 1,
    });
    if (isSound((answer.choices[0]?.logprobs?.content ?? []).map((entry) => entry.logprob))) return engine;
  } catch {
    // Handled like noise.
  }
  await engine.wllama.exit().catch(() => {});
  return startEngine({ ...request, useGpu: false });
}

/** Whether these are log-probabilities of a working model's own first choices: finite, and far from a uniform guess (about -10 for 50,000 tokens). */
export function isSound(logprobs: readonly number[]): boolean {
  const mean = logprobs.reduce((sum, logprob) => sum + logprob, 0) / logprobs.length;
  return logprobs.length > 0 && Number.isFinite(mean) && mean > -4;
}

async function startEngine(request: LlmLoadRequest): Promise<Engine> {
  const blobs = Object.entries(request.files)
    .filter(([path]) => path.endsWith('.gguf') && !path.endsWith(adapterSuffix))
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([, blob]) => blob);
  if (blobs.length === 0) throw new Error('no .gguf file');
  const adapters = Object.entries(request.files).filter(([path]) => path.endsWith(adapterSuffix));
  const log: string[] = [];
  const keep = (...parts: unknown[]): void => {
    log.push(parts.map(String).join(' '));
    if (isLoaded && log.length > 100) log.shift();
  };
  let isLoaded = false;
  const wllama = new Wllama({ default: wasmUrl }, { logger: { ...LoggerWithoutDebug, debug: keep, log: keep, warn: keep, error: keep }, allowOffline: true });
  // Its own fallback for browsers without JSPI fetches from a CDN.
  wllama.setCompat(null);
  const mounted = mountBeside(wllama, adapters.map(([, blob]) => blob));
  try {
    await wllama.loadModel(blobs, {
      n_ctx: request.contextTokens,
      n_batch: batchTokens,
      n_ubatch: batchTokens,
      n_threads: request.threads,
      n_gpu_layers: request.useGpu ? 999 : 0,
      n_parallel: request.slots ?? 1,
      kv_unified: true,
      warmup: false,
      reasoning: false,
      ...(mounted.length === 0 ? {} : { lora_adapters: mounted.map((path) => ({ path, scale: 1 })) }),
    });
  } catch (error) {
    await wllama.exit().catch(() => {});
    throw explained(error, log);
  }
  const context = wllama.getLoadedContextInfo();
  if (!(context.n_vocab > 0)) {
    // A file that is no model is reported in the answer only, which the library does not look at.
    await wllama.exit().catch(() => {});
    throw explained(new Error('the file is not a model that llama.cpp can read'), log);
  }
  const device = log.some((line) => /webgpu\S* model buffer size|offloaded [1-9]\d*\/\d+ layers/i.test(line)) ? 'webgpu' : 'wasm';
  isLoaded = true;
  log.length = 0;
  return {
    wllama,
    log,
    // What the library claims to support says nothing about what it chose; its log names the device of the weights.
    device,
    threads: wllama.getNumThreads(),
    contextTokens: Math.min(context.n_ctx, context.n_ctx_train),
  };
}

function completionParams(request: GenerateRequest): ChatCompletionParams {
  return {
    messages: request.messages.map(({ role, content }) => ({ role, content })),
    max_tokens: request.maxTokens,
    temperature: request.temperature ?? 0,
    cache_prompt: true,
    ...(request.topP === undefined ? {} : { top_p: request.topP }),
    ...(request.seed === undefined ? {} : { seed: request.seed }),
    ...(request.stop === undefined ? {} : { stop: [...request.stop] }),
    ...(request.schema === undefined ? {} : schemaParams(request.schema)),
    ...(request.logprobs === true ? { logprobs: true, top_logprobs: 1 } : {}),
  } as ChatCompletionParams;
}

function schemaParams(schema: JsonSchema): { grammar: string } | { response_format: ChatCompletionParams['response_format'] } {
  const grammar = grammarOf(schema);
  return grammar === null ? { response_format: { type: 'json_schema', json_schema: { name: 'answer', schema, strict: true } } } : { grammar };
}

async function* collect(chunks: AsyncIterable<ChatCompletionChunk>, request: GenerateRequest): AsyncGenerator<GenerateEvent> {
  let text = '';
  let finish: GenerateResult['finish'] = 'stop';
  const logprobs: TokenLogprob[] = [];
  let last: ChatCompletionChunk | undefined;
  // The library repeats an assistant message that it continues.
  let repeated = request.messages.at(-1)?.role === 'assistant' ? (request.messages.at(-1)?.content ?? '') : '';
  for await (const chunk of chunks) {
    last = chunk.timings === undefined && chunk.usage === undefined ? last : chunk;
    const choice = chunk.choices[0];
    if (choice === undefined) continue;
    for (const entry of choice.logprobs?.content ?? []) logprobs.push({ token: entry.token, logprob: entry.logprob });
    if (choice.finish_reason === 'length') finish = 'length';
    let delta = choice.delta.content ?? '';
    if (repeated !== '') {
      const shared = commonPrefix(repeated, delta);
      repeated = shared === delta.length ? repeated.slice(shared) : '';
      delta = delta.slice(shared);
    }
    if (delta === '') continue;
    text += delta;
    yield { kind: 'text', delta };
  }
  const timings = last?.timings;
  const usage = last?.usage;
  yield {
    kind: 'finished',
    result: {
      text,
      finish,
      usage: {
        promptTokens: timings === undefined ? (usage?.prompt_tokens ?? 0) : timings.prompt_n + timings.cache_n,
        cachedTokens: timings?.cache_n ?? usage?.prompt_tokens_details?.cached_tokens ?? null,
        outputTokens: timings?.predicted_n ?? usage?.completion_tokens ?? 0,
      },
      logprobs: request.logprobs === true ? logprobs : null,
      prefillMs: timings?.prompt_ms ?? null,
      decodeMs: timings?.predicted_ms ?? null,
    },
  };
}

/**
 * log p(continuation | messages): a grammar leaves the engine nothing but the continuation, and the probabilities it reports are those of the model before the
 * grammar is applied. The tokens are the ones the model itself prefers for that text, which is the usual tokenisation. Characters outside ASCII are passed over
 * (their probability is taken for 1, `topn`): where one is split into several tokens, the library breaks when asked for their probabilities.
 */
async function scoreByGrammar(
  run: (params: ChatCompletionParams) => AsyncIterable<ChatCompletionChunk>,
  messages: readonly Message[],
  continuation: string,
): Promise<ContinuationScore | null> {
  const last = messages.at(-1);
  const [before, opening] = last?.role === 'assistant' ? [messages.slice(0, -1), last.content] : [messages, ''];
  let sum = 0;
  let tokens = 0;
  for (const part of continuation.matchAll(asciiRuns)) {
    const text = part[0];
    const said = opening + continuation.slice(0, part.index);
    const prompt: readonly Message[] = said === '' ? before : [...before, { role: 'assistant', content: said }];
    const params = { ...completionParams({ messages: prompt, maxTokens: text.length + 1, temperature: 0, logprobs: true }), grammar: `root ::= ${literal(text)}` };
    let rest = text.length;
    for await (const chunk of run(params)) {
      for (const entry of chunk.choices[0]?.logprobs?.content ?? []) {
        // What follows the continuation is the end of the turn, which is no part of it.
        if (rest <= 0 || entry.token === '') continue;
        rest -= entry.token.length;
        sum += entry.logprob;
        tokens++;
      }
    }
    if (rest > 0) return null;
  }
  if (!Number.isFinite(sum)) throw new AppError('engine/not-finite', { what: 'the score of a continuation' });
   
  return { sum, mean: tokens === 0 ? 0 : sum / tokens, tokens, method: /[^\x00-\x7F]/.test(continuation) ? 'topn' : 'exact' };
}

 
const asciiRuns = /[\x00-\x7F]+/g;

function commonPrefix(a: string, b: string): number {
  let i = 0;
  while (i < a.length && i < b.length && a[i] === b[i]) i++;
  return i;
}

/** The error with the last complaint of the native code, which says what its own message leaves out. */
function explained(error: unknown, log: readonly string[]): unknown {
  const cause = log.findLast((line) => !/stack trace/i.test(line) && line.trim() !== '');
  if (cause === undefined || !(error instanceof Error) || error.message.includes(cause.trim())) return error;
  const better = new Error(`${error.message} (${cause.trim()})`, { cause: error });
  better.name = error.name;
  return better;
}

function translate(error: unknown, limit: number): Error {
  const message = error instanceof Error ? error.message : String(error);
  if (/exceed.*context|context.*(size|full|exceed)|kv.cache/i.test(message)) {
    return new AppError('engine/context-full', { tokens: Number(/(\d+) tokens/.exec(message)?.[1] ?? 0), limit }, { cause: error });
  }
  return generationError('wllama', error);
}
