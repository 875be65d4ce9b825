/**
 * transformers.js with ONNX Runtime, set up for this app: model files come from `Blob`s and never from the network, the runtime's own files lie beside the
 * page, threads follow the verdict. One runtime build a worker: the first call decides it.
 */
import { env } from '@huggingface/transformers';
import asyncifyMjs from 'onnxruntime-web/ort-wasm-simd-threaded.asyncify.mjs?url';
import asyncifyWasm from 'onnxruntime-web/ort-wasm-simd-threaded.asyncify.wasm?url';
import jspiMjs from 'onnxruntime-web/ort-wasm-simd-threaded.jspi.mjs?url';
import jspiWasm from 'onnxruntime-web/ort-wasm-simd-threaded.jspi.wasm?url';
import plainMjs from 'onnxruntime-web/ort-wasm-simd-threaded.mjs?url';
import plainWasm from 'onnxruntime-web/ort-wasm-simd-threaded.wasm?url';
import { AppError, isAbort } from '../../errors.ts';
import { guardDevices } from '../device.ts';
import type { ModelBlobs } from '../worker-api.ts';

/** `plain` is the smallest and, with `jspi`, the quickest on the CPU; WebGPU needs `jspi` or, in browsers without it, `asyncify`. */
const builds = {
  plain: { mjs: plainMjs, wasm: plainWasm },
  jspi: { mjs: jspiMjs, wasm: jspiWasm },
  asyncify: { mjs: asyncifyMjs, wasm: asyncifyWasm },
} as const;

let isLost = false;
const waiting = new Set<(error: AppError) => void>();

function loseDevice(): void {
  isLost = true;
  for (const reject of waiting) reject(new AppError('device/lost'));
  waiting.clear();
}

/**
 * The work of a session, or `device/lost` as soon as the graphics device is gone: the session is of no use then, and neither is another one in this thread.
 * An abort that nobody asked for is how WebGPU reports the same.
 */
export function whileDeviceLives<T>(work: Promise<T>): Promise<T> {
  if (isLost) return Promise.reject(new AppError('device/lost'));
  return new Promise<T>((resolve, reject) => {
    waiting.add(reject);
    work
      .then(resolve, (error: unknown) => reject(isAbort(error) || isLost ? new AppError('device/lost', {}, { cause: error }) : error))
      .finally(() => waiting.delete(reject));
  });
}

/** The folders that are served, by model: an embedder and a re-ranker may load side by side. */
const folders = new Map<string, ModelBlobs>();

let chosen: keyof typeof builds | null = null;

/**
 * Prepares the runtime of this worker and serves `files` as the model folder `modelId`. Throws when a WebGPU model is asked for after the runtime was started
 * without WebGPU: the worker has to be started anew then.
 */
export function prepareOrt(options: { modelId: string; files: ModelBlobs; webgpu: boolean; threads: number }): void {
  if (chosen === 'plain' && options.webgpu) throw new Error('the runtime of this worker was started without WebGPU');
  chosen ??= options.webgpu ? ('Suspending' in WebAssembly ? 'jspi' : 'asyncify') : 'plain';
  if (options.webgpu) guardDevices(loseDevice);

  folders.set(options.modelId, options.files);
  env.allowRemoteModels = false;
  env.allowLocalModels = true;
  // Root-relative: with an absolute address the tokenizer is silently not loaded.
  env.localModelPath = '/models/';
  env.useBrowserCache = false;
  env.useWasmCache = false;
  env.fetch = async (input: RequestInfo | URL): Promise<Response> => {
    const address = typeof input === 'string' ? input : input instanceof URL ? input.pathname : new URL(input.url).pathname;
    const [, folder, path] = /\/models\/([^/]+)\/(.+)$/.exec(address) ?? [];
    const blob = folder === undefined || path === undefined ? undefined : folders.get(folder)?.[decodeURIComponent(path)];
    if (blob === undefined) return new Response(null, { status: 404 });
    return new Response(blob, { status: 200, headers: { 'content-length': String(blob.size) } });
  };
  const { wasm } = env.backends.onnx;
  if (wasm === undefined) throw new Error('ONNX Runtime for the web is missing');
  wasm.wasmPaths = { ...builds[chosen] };
  wasm.numThreads = globalThis.crossOriginIsolated === true ? Math.max(1, options.threads) : 1;
}

/** The dtype that transformers.js derives the name of the ONNX file from, read backwards from the file that is there. */
export function dtypeOf(files: ModelBlobs): 'fp32' | 'fp16' | 'q8' | 'q4' | 'q4f16' {
  const names = Object.keys(files);
  const has = (suffix: string): boolean => names.includes(`onnx/model${suffix}.onnx`);
  if (has('_quantized')) return 'q8';
  if (has('_q4')) return 'q4';
  if (has('_q4f16')) return 'q4f16';
  if (has('_fp16')) return 'fp16';
  if (has('')) return 'fp32';
  throw new Error('no ONNX file in the model folder');
}
