/**
 * The contract of a language model, whatever runs it. Owns the request and event shapes; `constrained.ts` validates constrained output.
 * Backends live in `backends/`, one file each; the worker serves this interface to the main thread.
 */
import { AppError } from '../errors.ts';

export interface Message {
  readonly role: 'system' | 'user' | 'assistant';
  readonly content: string;
}

export type JsonSchema = Readonly<Record<string, unknown>>;

export interface GenerateRequest {
  readonly messages: readonly Message[];
  /** The output is one JSON value of this schema, enforced by the engine's own grammar where it has one. */
  readonly schema?: JsonSchema;
  /** Upper bound of generated tokens. */
  readonly maxTokens: number;
  /** 0 (the default) is greedy. */
  readonly temperature?: number;
  readonly topP?: number;
  readonly seed?: number;
  readonly stop?: readonly string[];
  /** Ask for the log-probability of every generated token. */
  readonly logprobs?: boolean;
}

export interface TokenLogprob {
  readonly token: string;
  /** Natural logarithm. */
  readonly logprob: number;
}

export interface Usage {
  readonly promptTokens: number;
  /** Prompt tokens taken from the engine's prefix cache; null where the engine does not tell. */
  readonly cachedTokens: number | null;
  readonly outputTokens: number;
}

export interface GenerateResult {
  readonly text: string;
  readonly finish: 'stop' | 'length';
  readonly usage: Usage;
  readonly logprobs: readonly TokenLogprob[] | null;
  readonly prefillMs: number | null;
  readonly decodeMs: number | null;
}

/** `text` events in order, then exactly one `finished`. */
export type GenerateEvent = { readonly kind: 'text'; readonly delta: string } | { readonly kind: 'finished'; readonly result: GenerateResult };

export interface ContinuationScore {
  /** Sum of the natural log-probabilities of the continuation's tokens (METHODS Appendix B). */
  readonly sum: number;
  readonly mean: number;
  readonly tokens: number;
  /** `exact`: every token's probability was read; `topn`: some fell outside the engine's top list and were bounded. */
  readonly method: 'exact' | 'topn';
}

export type LlmBackendId = 'webllm' | 'wllama' | 'transformers' | 'http' | 'scripted';

export interface LlmInfo {
  readonly backend: LlmBackendId;
  readonly modelId: string;
  readonly label: string;
  /** What really runs the model, as found out after loading. */
  readonly device: 'webgpu' | 'wasm' | 'remote' | 'none';
  readonly threads: number;
  readonly contextTokens: number;
  /** How many requests the engine works on at once. */
  readonly parallelSlots: number;
  readonly can: { readonly grammar: boolean; readonly logprobs: boolean; readonly score: boolean; readonly prefixCache: boolean };
}

/**
 * A loaded model. `generate` never throws synchronously; it rejects with `AppError` (expected) or `AbortError` (signal).
 * After an abort or an error the next call works. One call at a time per slot; further calls queue in order.
 */
export interface Llm {
  readonly info: LlmInfo;
  generate(request: GenerateRequest, signal: AbortSignal): AsyncIterable<GenerateEvent>;
  /** log p(continuation | messages); null where the engine cannot. */
  score(messages: readonly Message[], continuation: string, signal: AbortSignal): Promise<ContinuationScore | null>;
  countTokens(text: string): Promise<number>;
  dispose(): Promise<void>;
}

/** Runs `generate` to its end. */
export async function complete(llm: Llm, request: GenerateRequest, signal: AbortSignal, onText?: (delta: string) => void): Promise<GenerateResult> {
  for await (const event of llm.generate(request, signal)) {
    if (event.kind === 'text') onText?.(event.delta);
    else return event.result;
  }
  throw new AppError('engine/empty-output');
}
