/**
 * What the LLM backends share: how one is opened, a queue that turns callbacks into the event stream of a generation, and the words for JSON where an engine
 * has no grammar.
 */
import { AppError, abortError, isAbort } from '../../errors.ts';
import type { ErrorDetail } from '../../errors.ts';
import type { OnProgress } from '../../progress.ts';
import type { JsonSchema, Llm, LlmBackendId, Message } from '../llm.ts';
import type { LlmLoadRequest } from '../worker-api.ts';

export interface BackendContext {
  /** Aborts the loading; a backend that cannot stop half-way is terminated with its worker by the host. */
  readonly signal: AbortSignal;
  readonly onProgress: OnProgress;
}

/** Rejects with `engine/load-failed` (or a `device/*` code) and holds nothing then. The `Llm` serves one `generate` or `score` at a time. */
export type OpenBackend = (request: LlmLoadRequest, context: BackendContext) => Promise<Llm>;

/** Rejections of `work` become `engine/load-failed`; expected failures and aborts pass through. */
export async function loading<T>(request: Pick<LlmLoadRequest, 'backend' | 'label'>, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  try {
    signal.throwIfAborted();
    const value = await work();
    signal.throwIfAborted();
    return value;
  } catch (error) {
    if (signal.aborted) throw abortError();
    if (error instanceof AppError || isAbort(error)) throw error;
    throw new AppError('engine/load-failed', { model: request.label, backend: backendName(request.backend), reason: reasonOf(error) }, { cause: error });
  }
}

/** The message of anything thrown, on one line and of bounded length. */
export function reasonOf(error: unknown): string {
  const text = error instanceof Error && error.message !== '' ? error.message : String(error);
  return text.replace(/\s+/g, ' ').trim().slice(0, 300);
}

function backendName(backend: LlmBackendId): string {
  return { webllm: 'WebLLM', wllama: 'llama.cpp (wllama)', transformers: 'transformers.js', http: 'the model endpoint', scripted: 'the script' }[backend];
}

/** An error in the middle of a generation that is none of the expected ones. */
export function generationError(backend: LlmBackendId, error: unknown, detail: ErrorDetail = {}): Error {
  if (error instanceof AppError || isAbort(error)) return error as Error;
  return new AppError('engine/bad-output', { what: `${backendName(backend)}: ${reasonOf(error)}`, ...detail }, { cause: error });
}

/** Pushed values, in order, as an async iterable that may be read once. */
export interface EventQueue<T> extends AsyncIterable<T> {
  push(value: T): void;
  end(): void;
  fail(error: unknown): void;
}

export function createEventQueue<T>(): EventQueue<T> {
  const values: T[] = [];
  let ended: { error: Error | null } | null = null;
  let wake: (() => void) | null = null;
  const change = (): void => {
    wake?.();
    wake = null;
  };
  return {
    push(value) {
      values.push(value);
      change();
    },
    end() {
      ended ??= { error: null };
      change();
    },
    fail(error) {
      ended ??= { error: error instanceof Error ? error : new Error(String(error)) };
      change();
    },
    async *[Symbol.asyncIterator]() {
      for (;;) {
        while (values.length > 0) yield values.shift() as T;
        if (ended !== null) {
          if (ended.error !== null) throw ended.error;
          return;
        }
        await new Promise<void>((resolve) => (wake = resolve));
      }
    },
  };
}

/** For engines without a grammar: the schema as an instruction at the end of the last user message, where a growing prompt keeps its shared beginning. */
export function withSchemaInstruction(messages: readonly Message[], schema: JsonSchema): readonly Message[] {
  const instruction = `Answer with one JSON value of this JSON Schema and nothing else:\n${JSON.stringify(schema)}`;
  const last = messages.findLastIndex((message) => message.role === 'user');
  if (last < 0) return [...messages, { role: 'user', content: instruction }];
  return messages.map((message, i) => (i === last ? { ...message, content: `${message.content}\n\n${instruction}` } : message));
}

/** Tokens of a text where the engine does not tell: English takes about four characters a token, other scripts fewer. */
export function estimateTokens(text: string): number {
  let ascii = 0;
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) < 128) ascii++;
  return Math.ceil(ascii / 3.8 + (text.length - ascii) / 1.6);
}
