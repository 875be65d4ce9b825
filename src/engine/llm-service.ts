/**
 * What the LLM worker does, without the worker: holds the loaded model, loads and unloads, and lets calls through one after the other (as many side by side
 * as the engine has slots). A call that is stopped while it waits never reaches the engine.
 */
import { AppError, abortError } from '../errors.ts';
import type { OpenBackend } from './backends/backend.ts';
import { probeGpu } from './device.ts';
import type { Llm, LlmBackendId } from './llm.ts';
import type { LlmWorkerApi } from './worker-api.ts';

export type BackendLoaders = Readonly<Record<LlmBackendId, () => Promise<OpenBackend>>>;

export function createLlmService(loaders: BackendLoaders): LlmWorkerApi {
  let loaded: { llm: Llm; gate: Gate } | null = null;
  const loadGate = createGate(1);

  const current = (): { llm: Llm; gate: Gate } => {
    if (loaded === null) throw new AppError('engine/not-loaded');
    return loaded;
  };
  const dispose = async (): Promise<void> => {
    const old = loaded;
    loaded = null;
    await old?.llm.dispose();
  };

  return {
    probe: () => probeGpu(),
    load: (request, call) =>
      loadGate.run(call.signal, async () => {
        await dispose();
        const open = await loaders[request.backend]();
        const llm = await open(request, { signal: call.signal, onProgress: (progress) => call.progress(progress) });
        if (call.signal.aborted) {
          await llm.dispose();
          throw abortError();
        }
        loaded = { llm, gate: createGate(llm.info.parallelSlots) };
        return llm.info;
      }),
    async *generate(request, call) {
      const { llm, gate } = current();
      const leave = await gate.enter(call.signal);
      try {
        yield* llm.generate(request, call.signal);
      } finally {
        leave();
      }
    },
    score: async ({ messages, continuation }, call) => {
      const { llm, gate } = current();
      return gate.run(call.signal, () => llm.score(messages, continuation, call.signal));
    },
    countTokens: async (text) => current().llm.countTokens(text),
    unload: (_, call) => loadGate.run(call.signal, dispose),
  };
}

interface Gate {
  /** Waits for a place, first come first served; the returned function gives it back. Rejects with `AbortError`. */
  enter(signal: AbortSignal): Promise<() => void>;
  run<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T>;
}

export function createGate(places: number): Gate {
  let free = places;
  const queue: (() => void)[] = [];
  const leave = (): void => {
    const next = queue.shift();
    if (next === undefined) free++;
    else next();
  };
  const gate: Gate = {
    async enter(signal) {
      if (signal.aborted) throw abortError();
      if (free > 0) free--;
      else {
        await new Promise<void>((resolve, reject) => {
          const granted = (): void => {
            signal.removeEventListener('abort', stopped);
            resolve();
          };
          const stopped = (): void => {
            const at = queue.indexOf(granted);
            if (at >= 0) queue.splice(at, 1);
            reject(abortError());
          };
          queue.push(granted);
          signal.addEventListener('abort', stopped, { once: true });
        });
      }
      let isInside = true;
      return () => {
        if (isInside) leave();
        isInside = false;
      };
    },
    async run(signal, work) {
      const out = await gate.enter(signal);
      try {
        return await work();
      } finally {
        out();
      }
    },
  };
  return gate;
}
