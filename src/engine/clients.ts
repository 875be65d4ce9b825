/**
 * `Llm` and `Embedder` on the main thread, served by the workers. Promise: when a worker died or was terminated, the next call loads the same model again
 * by itself before it is sent; a call that was running when the worker died rejects with `engine/worker-died` and is not repeated.
 */
import { AppError } from '../errors.ts';
import type { OnProgress } from '../progress.ts';
import type { Embedder } from './embedder.ts';
import type { Host } from './host.ts';
import type { Llm } from './llm.ts';
import type { OpenedReranker } from './reranker.ts';
import type { EmbedderLoadRequest, EmbedWorkerApi, LlmLoadRequest, LlmWorkerApi, RerankerLoadRequest } from './worker-api.ts';

/** A CPU engine may read a long prompt for minutes before the first token (4 tokens/s and 2,000 tokens). */
const generateSilenceSeconds = 1200;
/** Compiling shaders and reading weights report nothing for a while. */
const loadSilenceSeconds = 600;

/** Losses of the graphics device after which a model is loaded on the CPU instead. */
const deviceLossLimit = 2;

/** Loads a model in the worker. Rejects with `engine/load-failed`, `engine/worker-*` or `AbortError`. `dispose` unloads it. */
export async function loadLlm(host: Host<LlmWorkerApi>, request: LlmLoadRequest, signal: AbortSignal, onProgress: OnProgress): Promise<Llm> {
  const loaded = await keepLoaded(
    host,
    (s, report, losses) =>
      host.call('load', losses < deviceLossLimit ? request : { ...request, useGpu: false }, { signal: s, onProgress: report, silenceSeconds: loadSilenceSeconds }),
    signal,
    onProgress,
  );
  return {
    get info() {
      return loaded.info();
    },
    async *generate(generateRequest, s) {
      await loaded.ensure(s);
      try {
        yield* host.stream('generate', generateRequest, { signal: s, silenceSeconds: generateSilenceSeconds });
      } catch (error) {
        throw loaded.watch(error);
      }
    },
    async score(messages, continuation, s) {
      await loaded.ensure(s);
      return host.call('score', { messages, continuation }, { signal: s, silenceSeconds: generateSilenceSeconds }).catch((error: unknown) => {
        throw loaded.watch(error);
      });
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
  const loaded = await keepLoaded(
    host,
    (s, report, losses) =>
      host.call('load', losses < deviceLossLimit ? request : { ...request, device: 'wasm' }, { signal: s, onProgress: report, silenceSeconds: loadSilenceSeconds }),
    signal,
    onProgress,
  );
  return {
    get info() {
      return loaded.info();
    },
    async embed(texts, kind, s) {
      await loaded.ensure(s);
      return host.call('embed', { texts, kind }, { signal: s, silenceSeconds: loadSilenceSeconds }).catch((error: unknown) => {
        throw loaded.watch(error);
      });
    },
    async dispose() {
      if (loaded.isGone()) return;
      loaded.forget();
      await host.call('unload', null);
    },
  };
}

/** Loads a cross-encoder in the worker of the embedder. Rejects with `engine/load-failed`, `engine/worker-*` or `AbortError`. */
export async function loadReranker(host: Host<EmbedWorkerApi>, request: RerankerLoadRequest, signal: AbortSignal): Promise<OpenedReranker> {
  const loaded = await keepLoaded(
    host,
    (s, _report, losses) => host.call('loadReranker', losses < deviceLossLimit ? request : { ...request, device: 'wasm' }, { signal: s, silenceSeconds: loadSilenceSeconds }),
    signal,
    () => {},
  );
  return {
    id: request.modelId,
    get device() {
      return loaded.info().device;
    },
    async score(question, passages, s) {
      await loaded.ensure(s);
      const plain = passages.map(({ title, text }) => ({ title, text }));
      return host.call('rerank', { question, passages: plain }, { signal: s, silenceSeconds: loadSilenceSeconds }).catch((error: unknown) => {
        throw loaded.watch(error);
      });
    },
    async dispose() {
      if (loaded.isGone()) return;
      loaded.forget();
      await host.call('unloadReranker', null);
    },
  };
}

interface Loaded<Info> {
  /** What runs now; a reload may have changed the device. */
  info(): Info;
  /** Loads again if the worker is another one than the one that holds the model. */
  ensure(signal?: AbortSignal): Promise<void>;
  /** Passes the error on; at a lost device the worker is given up, and its successor may have to do without the graphics card. */
  watch(error: unknown): unknown;
  /** True when the worker that held the model is gone: there is nothing to unload. */
  isGone(): boolean;
  forget(): void;
}

const never = new AbortController().signal;

async function keepLoaded<Info>(
  host: Pick<Host<unknown>, 'generation' | 'start' | 'discard'>,
  load: (signal: AbortSignal, onProgress: OnProgress, losses: number) => Promise<Info>,
  signal: AbortSignal,
  onProgress: OnProgress,
): Promise<Loaded<Info>> {
  let info: Info = await load(signal, onProgress, 0);
  let generation = host.generation;
  let losses = 0;
  let lostGeneration = 0;
  let isForgotten = false;
  let reloading: Promise<void> | null = null;
  return {
    info: () => info,
    async ensure(s = never) {
      if (isForgotten) throw new AppError('engine/not-loaded');
      const now = await host.start(s);
      if (now === generation) return;
      // Shared by all that wait for it: the abort of one must not take the model from the others, so the reload heeds no signal.
      reloading ??= load(never, () => {}, losses)
        .then((next) => {
          info = next;
          generation = host.generation;
        })
        .finally(() => {
          reloading = null;
        });
      await reloading;
      s.throwIfAborted();
    },
    watch(error) {
      if (error instanceof AppError && error.code === 'device/lost') {
        // Once for each worker: its thread can compute nothing any more, and every call that was under way tells of the same loss.
        if (host.generation === generation && lostGeneration !== generation) {
          losses++;
          lostGeneration = generation;
          host.discard();
        }
      }
      return error;
    },
    isGone: () => isForgotten || host.generation !== generation,
    forget() {
      isForgotten = true;
    },
  };
}
