/**
 * `Llm` and `Embedder` on the main thread, served by the workers. Promise: when a worker died or was terminated, the next call loads the same model again
 * by itself before it is sent; a call that was running when the worker died rejects with `engine/worker-died` and is not repeated.
 */
import { AppError } from '../errors.ts';
import type { OnProgress } from '../progress.ts';
import type { Embedder } from './embedder.ts';
import type { Host } from './host.ts';
import type { Llm } from './llm.ts';
import type { EmbedderLoadRequest, EmbedWorkerApi, LlmLoadRequest, LlmWorkerApi } from './worker-api.ts';

/** A CPU engine may read a long prompt for minutes before the first token (4 tokens/s and 2,000 tokens). */
const generateSilenceSeconds = 1200;
/** Compiling shaders and reading weights report nothing for a while. */
const loadSilenceSeconds = 600;

/** Loads a model in the worker. Rejects with `engine/load-failed`, `engine/worker-*` or `AbortError`. `dispose` unloads it. */
export async function loadLlm(host: Host<LlmWorkerApi>, request: LlmLoadRequest, signal: AbortSignal, onProgress: OnProgress): Promise<Llm> {
  const loaded = await keepLoaded(host, (s, report) => host.call('load', request, { signal: s, onProgress: report, silenceSeconds: loadSilenceSeconds }), signal, onProgress);
  return {
    info: loaded.info,
    async *generate(generateRequest, s) {
      await loaded.ensure(s);
      yield* host.stream('generate', generateRequest, { signal: s, silenceSeconds: generateSilenceSeconds });
    },
    async score(messages, continuation, s) {
      await loaded.ensure(s);
      return host.call('score', { messages, continuation }, { signal: s, silenceSeconds: generateSilenceSeconds });
    },
    async countTokens(text) {
      await loaded.ensure();
      return host.call('countTokens', text);
    },
    async dispose() {
      if (loaded.isGone()) return;
      loaded.forget();
      await host.call('unload', null);
    },
  };
}

/** Loads an embedder in the worker, golden vectors checked. Rejects with `embed/mismatch`, `engine/load-failed`, `engine/worker-*` or `AbortError`. */
export async function loadEmbedder(
  host: Host<EmbedWorkerApi>,
  request: EmbedderLoadRequest,
  signal: AbortSignal,
  onProgress: OnProgress,
): Promise<Embedder> {
  const loaded = await keepLoaded(host, (s, report) => host.call('load', request, { signal: s, onProgress: report, silenceSeconds: loadSilenceSeconds }), signal, onProgress);
  return {
    info: loaded.info,
    async embed(texts, kind, s) {
      await loaded.ensure(s);
      return host.call('embed', { texts, kind }, { signal: s, silenceSeconds: loadSilenceSeconds });
    },
    async dispose() {
      if (loaded.isGone()) return;
      loaded.forget();
      await host.call('unload', null);
    },
  };
}

interface Loaded<Info> {
  readonly info: Info;
  /** Loads again if the worker is another one than the one that holds the model. */
  ensure(signal?: AbortSignal): Promise<void>;
  /** True when the worker that held the model is gone: there is nothing to unload. */
  isGone(): boolean;
  forget(): void;
}

const never = new AbortController().signal;

async function keepLoaded<Info>(
  host: Pick<Host<unknown>, 'generation' | 'start'>,
  load: (signal: AbortSignal, onProgress: OnProgress) => Promise<Info>,
  signal: AbortSignal,
  onProgress: OnProgress,
): Promise<Loaded<Info>> {
  const info = await load(signal, onProgress);
  let generation = host.generation;
  let isForgotten = false;
  let reloading: Promise<void> | null = null;
  return {
    info,
    async ensure(s = never) {
      if (isForgotten) throw new AppError('engine/not-loaded');
      const now = await host.start(s);
      if (now === generation) return;
      // Shared by all that wait for it: the abort of one must not take the model from the others, so the reload heeds no signal.
      reloading ??= load(never, () => {})
        .then(() => {
          generation = host.generation;
        })
        .finally(() => {
          reloading = null;
        });
      await reloading;
      s.throwIfAborted();
    },
    isGone: () => isForgotten || host.generation !== generation,
    forget() {
      isForgotten = true;
    },
  };
}
