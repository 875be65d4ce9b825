/**
 * A model that says what a script tells it to: for tests and for measuring everything but the model. It can be slow, cut off, say nonsense, hang or die.
 */
import * as v from 'valibot';
import { AppError, abortError, errorCodes } from '../../errors.ts';
import type { GenerateEvent, GenerateRequest, Llm, LlmInfo, TokenLogprob } from '../llm.ts';
import { estimateTokens, loading } from './backend.ts';
import type { OpenBackend } from './backend.ts';

const responseSchema = v.object({
  /** A regular expression over the whole prompt (roles and contents on lines); such an entry may answer any number of times, the others once each, in order. */
  when: v.optional(v.string()),
  /** What is said; an object or array is said as JSON. */
  say: v.optional(v.union([v.string(), v.record(v.string(), v.unknown()), v.array(v.unknown())]), ''),
  /** Before the first character, and between pieces of `pieceLength` characters. */
  delayMs: v.optional(v.number(), 0),
  pieceMs: v.optional(v.number(), 0),
  pieceLength: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1)), 12),
  finish: v.optional(v.picklist(['stop', 'length']), 'stop'),
  /** After `say`: never end (until stopped), end the worker, or fail with this code. */
  then: v.optional(v.picklist(['end', 'hang', 'die']), 'end'),
  fail: v.optional(v.picklist(errorCodes)),
  /** Natural logarithm reported for each token, and the score of any continuation. */
  logprob: v.optional(v.number(), -0.1),
});

const scriptSchema = v.object({
  responses: v.array(responseSchema),
  /** Said when nothing else fits; without it that is an `engine/empty-output`. */
  otherwise: v.optional(responseSchema),
  contextTokens: v.optional(v.number(), 4096),
  loadMs: v.optional(v.number(), 0),
  failLoad: v.optional(v.picklist(errorCodes)),
});

export type Script = v.InferInput<typeof scriptSchema>;
type Response = v.InferOutput<typeof responseSchema>;

export const openScripted: OpenBackend = (request, { signal }) =>
  loading(request, signal, async () => createScriptedLlm(request.script, { modelId: request.modelId, label: request.label, signal }));

/** `die` ends the thread; default: the worker closes itself. */
export async function createScriptedLlm(
  script: unknown,
  options: { modelId?: string; label?: string; signal?: AbortSignal; die?: () => void } = {},
): Promise<Llm> {
  const parsed = v.parse(scriptSchema, script);
  const signal = options.signal ?? new AbortController().signal;
  await pause(parsed.loadMs, signal);
  if (parsed.failLoad !== undefined) throw new AppError(parsed.failLoad, { model: options.label ?? 'script', backend: 'the script', reason: 'told to fail' });
  const inOrder = parsed.responses.filter((response) => response.when === undefined);
  const byPrompt = parsed.responses.flatMap((response) => (response.when === undefined ? [] : [{ pattern: new RegExp(response.when, 's'), response }]));
  let next = 0;
  const choose = (prompt: string): Response => {
    const response = byPrompt.find(({ pattern }) => pattern.test(prompt))?.response ?? inOrder[next++] ?? parsed.otherwise;
    if (response === undefined) throw new AppError('engine/empty-output');
    return response;
  };
  const info: LlmInfo = {
    backend: 'scripted',
    modelId: options.modelId ?? 'scripted',
    label: options.label ?? 'Script',
    device: 'none',
    threads: 1,
    contextTokens: parsed.contextTokens,
    parallelSlots: 1,
    can: { grammar: false, logprobs: true, score: true, prefixCache: true },
  };
  let previousPrompt = '';
  const die = options.die ?? ((): void => (globalThis as unknown as { close(): void }).close());

  return {
    info,
    async *generate(request, callerSignal) {
      const prompt = promptText(request);
      const response = choose(prompt);
      const promptTokens = estimateTokens(prompt);
      if (promptTokens + request.maxTokens > parsed.contextTokens && promptTokens > parsed.contextTokens) {
        throw new AppError('engine/context-full', { tokens: promptTokens, limit: parsed.contextTokens });
      }
      const cachedTokens = estimateTokens(prompt.slice(0, commonPrefix(prompt, previousPrompt)));
      previousPrompt = prompt;
      await pause(response.delayMs, callerSignal);
      const text = typeof response.say === 'string' ? response.say : JSON.stringify(response.say);
      const logprobs: TokenLogprob[] = [];
      for (let at = 0; at < text.length; at += response.pieceLength) {
        await pause(response.pieceMs, callerSignal);
        const delta = text.slice(at, at + response.pieceLength);
        logprobs.push({ token: delta, logprob: response.logprob });
        yield { kind: 'text', delta } satisfies GenerateEvent;
      }
      if (response.fail !== undefined) throw new AppError(response.fail, { worker: 'llm', what: 'told to fail' });
      if (response.then === 'die') die();
      if (response.then !== 'end') await pause(Infinity, callerSignal);
      yield {
        kind: 'finished',
        result: {
          text,
          finish: response.finish,
          usage: { promptTokens, cachedTokens, outputTokens: estimateTokens(text) },
          logprobs: request.logprobs === true ? logprobs : null,
          prefillMs: 0,
          decodeMs: 0,
        },
      };
    },
    async score(messages, continuation, callerSignal) {
      callerSignal.throwIfAborted();
      const tokens = estimateTokens(continuation);
      const logprob = byPrompt.find(({ pattern }) => pattern.test(promptText({ messages }) + continuation))?.response.logprob ?? -1;
      return { sum: logprob * tokens, mean: logprob, tokens, method: 'exact' };
    },
    countTokens: async (text) => estimateTokens(text),
    dispose: async () => {},
  };
}

function promptText(request: Pick<GenerateRequest, 'messages'>): string {
  return request.messages.map(({ role, content }) => `${role}: ${content}`).join('\n');
}

function commonPrefix(a: string, b: string): number {
  let i = 0;
  while (i < a.length && a[i] === b[i]) i++;
  return i;
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(abortError());
    if (ms <= 0) return resolve();
    const timer = Number.isFinite(ms) ? setTimeout(finish, ms) : undefined;
    const stopped = (): void => {
      clearTimeout(timer);
      reject(abortError());
    };
    function finish(): void {
      signal.removeEventListener('abort', stopped);
      resolve();
    }
    signal.addEventListener('abort', stopped, { once: true });
  });
}
