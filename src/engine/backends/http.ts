/**
 * A model server of the person's own behind the OpenAI chat form (Ollama, LM Studio, llama.cpp, vLLM). Streams server-sent events. The only sender of
 * questions off this page, and only to the address that was entered; the key stays in memory and in no message.
 */
import * as v from 'valibot';
import { AppError, abortError } from '../../errors.ts';
import type { ContinuationScore, GenerateEvent, GenerateRequest, GenerateResult, Llm, LlmInfo, Message, TokenLogprob } from '../llm.ts';
import { estimateTokens, loading } from './backend.ts';
import type { OpenBackend } from './backend.ts';

const chunkSchema = v.object({
  choices: v.optional(
    v.array(
      v.object({
        delta: v.optional(v.object({ content: v.nullish(v.string()) })),
        finish_reason: v.nullish(v.string()),
        logprobs: v.nullish(v.object({ content: v.nullish(v.array(v.object({ token: v.string(), logprob: v.number() }))) })),
      }),
    ),
    [],
  ),
  usage: v.nullish(
    v.object({
      prompt_tokens: v.optional(v.number(), 0),
      completion_tokens: v.optional(v.number(), 0),
      prompt_tokens_details: v.nullish(v.object({ cached_tokens: v.nullish(v.number()) })),
    }),
  ),
  timings: v.nullish(v.object({ cache_n: v.optional(v.number()), prompt_ms: v.optional(v.number()), predicted_ms: v.optional(v.number()) })),
  error: v.nullish(v.unknown()),
});

interface Endpoint {
  readonly url: string;
  readonly model: string;
  readonly headers: Readonly<Record<string, string>>;
}

export const openHttp: OpenBackend = (request, { signal }) =>
  loading(request, signal, async () => {
    if (request.endpoint === undefined) throw new Error('no address given');
    const { model, key } = request.endpoint;
    const url = normaliseBaseUrl(request.endpoint.url);
    const endpoint: Endpoint = {
      url,
      model,
      headers: { 'Content-Type': 'application/json', ...(key === undefined || key === '' ? {} : { Authorization: `Bearer ${key}` }) },
    };
    const canScore = await offersScores(await send(endpoint, 'models', null, signal));
    const info: LlmInfo = {
      backend: 'http',
      modelId: request.modelId,
      label: request.label,
      device: 'remote',
      threads: 0,
      contextTokens: request.contextTokens,
      parallelSlots: request.slots ?? 1,
      can: { grammar: true, logprobs: true, score: canScore, prefixCache: true },
    };
    const llm: Llm = {
      info,
      async *generate(generateRequest, callerSignal) {
        const response = await send(endpoint, 'chat/completions', completionBody(endpoint.model, generateRequest), callerSignal);
        yield* collect(response, endpoint, generateRequest, callerSignal);
      },
      score: async (messages, continuation, callerSignal) => (canScore ? scorePrompt(endpoint, messages, continuation, callerSignal) : null),
      countTokens: async (text) => estimateTokens(text),
      dispose: async () => {},
    };
    return llm;
  });

const modelListSchema = v.object({ data: v.array(v.object({ owned_by: v.nullish(v.string()), capabilities: v.nullish(v.array(v.string())) })) });

/** vLLM, and servers that say so, give the log-probabilities of the prompt's own tokens; there is no way to ask for them in the plain OpenAI form. */
async function offersScores(response: Response): Promise<boolean> {
  const list: unknown = await response.json().catch(() => null);
  const parsed = v.safeParse(modelListSchema, list);
  return parsed.success && parsed.output.data.some((row) => row.owned_by === 'vllm' || row.capabilities?.includes('prompt_logprobs') === true);
}

const promptLogprobsSchema = v.object({
  prompt_logprobs: v.nullish(v.array(v.nullable(v.record(v.string(), v.object({ logprob: v.number(), decoded_token: v.nullish(v.string()) }))))),
});

/**
 * log p(continuation | messages) from `prompt_logprobs`: the continuation ends the prompt as an assistant message, and its tokens are counted from the end until they
 * cover it. A token that crosses the border is counted whole (METHODS Appendix B); null where the server gives no numbers after all.
 */
async function scorePrompt(endpoint: Endpoint, messages: readonly Message[], continuation: string, signal: AbortSignal): Promise<ContinuationScore | null> {
  const last = messages.at(-1);
  const said = last?.role === 'assistant' ? last.content : '';
  const body = {
    model: endpoint.model, messages: [...(last?.role === 'assistant' ? messages.slice(0, -1) : messages), { role: 'assistant', content: said + continuation }],
    stream: false, max_tokens: 1, temperature: 0, prompt_logprobs: 0, add_generation_prompt: false, continue_final_message: true,
  };
  const response = await send(endpoint, 'chat/completions', JSON.stringify(body), signal);
  const json: unknown = await response.json().catch((error: unknown) => {
    if (signal.aborted) throw abortError();
    throw new AppError('engine/endpoint', { url: endpoint.url, status: 'something that is not JSON' }, { cause: error });
  });
  const parsed = v.safeParse(promptLogprobsSchema, json);
  if (!parsed.success) throw new AppError('engine/endpoint', { url: endpoint.url, status: 'an unknown form of answer' });
  const entries = parsed.output.prompt_logprobs ?? [];
  const lengthOf = (text: string): number => new TextEncoder().encode(text).length;
  let rest = lengthOf(continuation);
  let sum = 0;
  let tokens = 0;
  for (let i = entries.length - 1; i >= 0 && rest > 0; i--) {
    const entry = Object.values(entries[i] ?? {})[0];
    // A token inside a character has no text of its own: its bytes are unknown, so the end of the continuation cannot be found.
    if (entry === undefined || entry.decoded_token === null || entry.decoded_token === undefined || entry.decoded_token.includes('\uFFFD')) return null;
    rest -= lengthOf(entry.decoded_token);
    sum += entry.logprob;
    tokens++;
  }
  if (rest > 0) return null;
  if (!Number.isFinite(sum)) throw new AppError('engine/not-finite', { what: 'the score of a continuation' });
  return { sum, mean: tokens === 0 ? 0 : sum / tokens, tokens, method: 'exact' };
}

/** The base address without a trailing slash; throws `engine/endpoint` for anything but http and https. */
export function normaliseBaseUrl(text: string): string {
  let url: URL;
  try {
    url = new URL(text.trim());
  } catch {
    throw new AppError('engine/endpoint', { url: text, status: 'nothing: this is not an address' });
  }
  if (url.protocol !== 'http:' && url.protocol !== 'https:') throw new AppError('engine/endpoint', { url: text, status: 'nothing: the address must begin with http' });
  url.hash = '';
  url.search = '';
  return url.href.replace(/\/+$/, '').replace(/\/chat\/completions$/, '');
}

function completionBody(model: string, request: GenerateRequest): string {
  return JSON.stringify({
    model,
    messages: request.messages,
    stream: true,
    stream_options: { include_usage: true },
    max_tokens: request.maxTokens,
    temperature: request.temperature ?? 0,
    top_p: request.topP,
    seed: request.seed,
    stop: request.stop,
    logprobs: request.logprobs === true ? true : undefined,
    response_format: request.schema === undefined ? undefined : { type: 'json_schema', json_schema: { name: 'answer', schema: request.schema, strict: true } },
    // llama.cpp reads it, others ignore it.
    cache_prompt: true,
  });
}

async function send(endpoint: Endpoint, path: string, body: string | null, signal: AbortSignal): Promise<Response> {
  const url = `${endpoint.url}/${path}`;
  let response: Response;
  try {
    response = await fetch(url, { method: body === null ? 'GET' : 'POST', headers: endpoint.headers, body, signal, credentials: 'omit', referrerPolicy: 'no-referrer' });
  } catch (error) {
    if (signal.aborted) throw abortError();
    throw new AppError('engine/endpoint', { url: endpoint.url, status: 'nothing (not running, or it does not allow this page)' }, { cause: error });
  }
  if (response.ok) return response;
  const reason = await response.text().then(
    (text) => text.slice(0, 500),
    () => '',
  );
  if (response.status === 400 && /context/i.test(reason) && /exceed|too (long|large)|maximum/i.test(reason)) {
    const numbers = (reason.match(/\d{2,}/g) ?? []).map(Number);
    throw new AppError('engine/context-full', { tokens: Math.max(0, ...numbers), limit: Math.min(...numbers, Infinity) });
  }
  const explained = /"message"\s*:\s*"([^"]{1,200})/.exec(reason)?.[1];
  throw new AppError('engine/endpoint', { url: endpoint.url, status: explained === undefined ? response.status : `${response.status} (${explained})` });
}

async function* collect(response: Response, endpoint: Endpoint, request: GenerateRequest, signal: AbortSignal): AsyncGenerator<GenerateEvent> {
  let text = '';
  let finish: GenerateResult['finish'] = 'stop';
  let usage: { promptTokens: number; cachedTokens: number | null; outputTokens: number } | null = null;
  let prefillMs: number | null = null;
  let decodeMs: number | null = null;
  const logprobs: TokenLogprob[] = [];
  let deltas = 0;
  for await (const data of serverSentData(response, signal)) {
    if (data === '[DONE]') break;
    const chunk = decodeChunk(data, endpoint.url);
    if (chunk.usage) {
      const cached = chunk.usage.prompt_tokens_details?.cached_tokens ?? chunk.timings?.cache_n ?? null;
      usage = { promptTokens: chunk.usage.prompt_tokens, cachedTokens: cached, outputTokens: chunk.usage.completion_tokens };
    }
    prefillMs = chunk.timings?.prompt_ms ?? prefillMs;
    decodeMs = chunk.timings?.predicted_ms ?? decodeMs;
    const choice = chunk.choices[0];
    if (choice === undefined) continue;
    logprobs.push(...(choice.logprobs?.content ?? []));
    if (choice.finish_reason === 'length') finish = 'length';
    const delta = choice.delta?.content ?? '';
    if (delta === '') continue;
    text += delta;
    deltas++;
    yield { kind: 'text', delta };
  }
  yield {
    kind: 'finished',
    result: {
      text,
      finish,
      usage: usage ?? { promptTokens: request.messages.reduce((sum, message) => sum + estimateTokens(message.content), 0), cachedTokens: null, outputTokens: deltas },
      logprobs: request.logprobs === true && logprobs.length > 0 ? logprobs : null,
      prefillMs,
      decodeMs,
    },
  };
}

function decodeChunk(data: string, url: string): v.InferOutput<typeof chunkSchema> {
  let json: unknown;
  try {
    json = JSON.parse(data);
  } catch (error) {
    throw new AppError('engine/endpoint', { url, status: 'something that is not JSON' }, { cause: error });
  }
  const chunk = v.safeParse(chunkSchema, json);
  if (!chunk.success) throw new AppError('engine/endpoint', { url, status: 'an unknown form of answer' });
  if (chunk.output.error) {
    const message = typeof chunk.output.error === 'object' && 'message' in chunk.output.error ? String(chunk.output.error.message) : JSON.stringify(chunk.output.error);
    throw new AppError('engine/endpoint', { url, status: `an error (${message.slice(0, 200)})` });
  }
  return chunk.output;
}

/** The `data:` values of a server-sent event stream; lines may be cut anywhere between network chunks. Leaving early closes the connection. */
async function* serverSentData(response: Response, signal: AbortSignal): AsyncGenerator<string> {
  if (response.body === null) return;
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let buffer = '';
  try {
    for (;;) {
      const { done, value } = await reader.read();
      buffer += value ?? '';
      if (done) buffer += '\n';
      const lines = buffer.split(/\r\n|\n|\r/);
      buffer = lines.pop() ?? '';
      for (const line of lines) if (line.startsWith('data:')) yield line.slice(5).trim();
      if (done) return;
    }
  } catch (error) {
    if (signal.aborted) throw abortError();
    throw error instanceof AppError ? error : new AppError('engine/endpoint', { url: new URL(response.url || 'http://unknown').origin, status: 'half an answer' }, { cause: error });
  } finally {
    await reader.cancel().catch(() => {});
  }
}
