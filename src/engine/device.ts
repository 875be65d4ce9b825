/**
 * Capability probe and verdict: what this device can run, what not, and why. The only file of `src` that reads `navigator.gpu`, with the workers.
 * Probing never throws: what cannot be found out counts as not there.
 */

import type { VectorVerdict } from '../corpus/kernel/batch.ts';

export interface GpuFacts {
  readonly vendor: string;
  readonly architecture: string;
  readonly description: string;
  readonly software: boolean;
  readonly f16: boolean;
  readonly subgroupMinSize: number | null;
  readonly maxBufferBytes: number;
  readonly maxStorageBindingBytes: number;
}

export interface DeviceVerdict {
  readonly gpu: GpuFacts | null;
  /** Why `gpu` is null. */
  readonly gpuError: 'device/no-webgpu' | 'device/no-adapter' | null;
  readonly isolated: boolean;
  readonly cores: number;
  /** GiB, rounded by the browser; null where it does not tell. */
  readonly memoryGiB: number | null;
  /** Threads that are worth starting for WASM engines; 1 without isolation. */
  readonly threads: number;
  /** One line for the person. */
  readonly summary: string;
  /** How vectors are searched here; absent where it could not be found out in time. */
  readonly vectors?: VectorVerdict;
}

export type GpuProbe = { readonly gpu: GpuFacts; readonly error: null } | { readonly gpu: null; readonly error: 'device/no-webgpu' | 'device/no-adapter' };

type GpuLike = Pick<GPU, 'requestAdapter'>;

/** Asks for an adapter in this thread: `navigator.gpu` alone proves nothing. Gives up after `timeoutMs`. */
export async function probeGpu(gpu: GpuLike | undefined = globalThis.navigator?.gpu, timeoutMs = 5000): Promise<GpuProbe> {
  if (gpu === undefined || gpu === null) return { gpu: null, error: 'device/no-webgpu' };
  const adapter = await withTimeout(gpu.requestAdapter({ powerPreference: 'high-performance' }), timeoutMs).catch(() => null);
  if (adapter === null) return { gpu: null, error: 'device/no-adapter' };
  return { gpu: gpuFacts(adapter), error: null };
}

function gpuFacts(adapter: GPUAdapter): GpuFacts {
  const { info } = adapter;
  return {
    vendor: info.vendor,
    architecture: info.architecture,
    description: info.description,
    software: isSoftware(adapter),
    f16: adapter.features.has('shader-f16'),
    subgroupMinSize: subgroupMinSize(adapter),
    maxBufferBytes: adapter.limits.maxBufferSize,
    maxStorageBindingBytes: adapter.limits.maxStorageBufferBindingSize,
  };
}

function isSoftware(adapter: GPUAdapter): boolean {
  const { info } = adapter;
  const fallback = 'isFallbackAdapter' in info && info.isFallbackAdapter === true;
  return fallback || /swiftshader|llvmpipe|lavapipe|software|basic render/i.test(`${info.vendor} ${info.architecture} ${info.device} ${info.description}`);
}

function subgroupMinSize(adapter: GPUAdapter): number | null {
  const size: unknown = 'subgroupMinSize' in adapter.info ? adapter.info.subgroupMinSize : null;
  return typeof size === 'number' && size > 0 ? size : null;
}

/**
 * Puts two guards on every device made in this thread. Subgroup features are left out on adapters whose subgroups are smaller than 8 or of unknown size: the
 * attention kernels of ONNX Runtime give wrong numbers there without any error. And `onLost` is told when a device is lost by other hands than ours: libraries
 * leave pending work hanging then, or reject it as if it had been aborted. Call before the first session; a second call changes nothing.
 */
export function guardDevices(
  onLost: (message: string) => void,
  prototype: { requestDevice: GPUAdapter['requestDevice'] } | undefined = globalThis.GPUAdapter?.prototype,
): void {
  if (prototype === undefined || guarded.has(prototype.requestDevice)) return;
  const original = prototype.requestDevice;
  const replacement: GPUAdapter['requestDevice'] = async function (this: GPUAdapter, descriptor) {
    const wanted = [...(descriptor?.requiredFeatures ?? [])];
    const requiredFeatures = (subgroupMinSize(this) ?? 0) >= 8 ? wanted : wanted.filter((feature) => !feature.startsWith('subgroup'));
    const device = await original.call(this, { ...descriptor, requiredFeatures });
    void device.lost.then(({ reason, message }) => {
      if (reason !== 'destroyed') onLost(message);
    });
    return device;
  };
  guarded.add(replacement);
  prototype.requestDevice = replacement;
}

/** Marks the replacements, so that a second call does not wrap again. */
const guarded = new WeakSet<GPUAdapter['requestDevice']>();

export interface Environment {
  readonly isolated: boolean;
  readonly cores: number;
  readonly memoryGiB: number | null;
}

export function readEnvironment(): Environment {
  const nav: { hardwareConcurrency?: number; deviceMemory?: number } = globalThis.navigator ?? {};
  return {
    isolated: globalThis.crossOriginIsolated === true,
    cores: Math.max(1, nav.hardwareConcurrency ?? 1),
    memoryGiB: nav.deviceMemory ?? null,
  };
}

/**
 * Joins what was found out. `worker` is the probe inside a worker, where models run: an adapter that only the page gets is of no use.
 * `threads`: see `measureThreads`.
 */
export function createVerdict(page: GpuProbe, worker: GpuProbe, environment: Environment, threads: number): DeviceVerdict {
  const probe = worker.gpu === null ? worker : page.gpu === null ? page : worker;
  const usable = environment.isolated ? Math.max(1, Math.min(threads, environment.cores)) : 1;
  const verdict = { gpu: probe.gpu, gpuError: probe.error, ...environment, threads: usable };
  return { ...verdict, summary: summarise(verdict) };
}

function summarise(verdict: Omit<DeviceVerdict, 'summary'>): string {
  const { gpu } = verdict;
  const cpu = `${verdict.threads} of ${verdict.cores} CPU ${verdict.cores === 1 ? 'core' : 'cores'}`;
  const memory = verdict.memoryGiB === null ? '' : `, ${verdict.memoryGiB >= 8 ? 'at least ' : ''}${verdict.memoryGiB} GB memory`;
  const alone = verdict.isolated ? '' : ' (the page is not isolated, so one thread only)';
  if (gpu === null) {
    return verdict.gpuError === 'device/no-webgpu'
      ? `No WebGPU in this browser: models run on ${cpu}${alone}${memory}.`
      : `No graphics adapter: models run on ${cpu}${alone}${memory}.`;
  }
  const name = gpu.description !== '' ? gpu.description : [gpu.vendor, gpu.architecture].filter((part) => part !== '').join(' ');
  if (gpu.software) return `Only a software graphics adapter (${name}): models run on ${cpu}${alone}${memory}.`;
  return `WebGPU on ${name === '' ? 'an unnamed adapter' : name}${gpu.f16 ? '' : ' without shader-f16 (32-bit models only)'}${memory}; CPU work on ${cpu}${alone}.`;
}

/** Runs `work` side by side on `threads` threads and resolves with the milliseconds until all have finished. */
export type TimeThreads = (threads: number) => Promise<number>;

/**
 * The largest number of threads that still pays. WASM engines wait for each other at every layer and spin meanwhile, so a busy core makes two threads slower
 * than one: a count is taken only where that many threads finish the same work each in nearly the time of one.
 */
export async function measureThreads(environment: Environment, time: TimeThreads): Promise<number> {
  if (!environment.isolated || environment.cores < 2) return 1;
  const most = Math.min(8, environment.cores > 2 ? Math.ceil(environment.cores / 2) : 2);
  try {
    await time(1);
    const alone = Math.min(await time(1), await time(1));
    for (let threads = most; threads >= 2; threads = Math.floor(threads / 2)) {
      if (Math.min(await time(threads), await time(threads)) <= alone * 1.3) return threads;
    }
  } catch {
    // Threads that cannot be timed are not used.
  }
  return 1;
}

/** A fixed amount of integer work in `threads` fresh workers, timed from the moment all of them are up. */
async function timeWorkers(threads: number): Promise<number> {
  const source = 'onmessage=()=>{let x=1;for(let i=0;i<2e7;i++)x=(Math.imul(x,1664525)+i)|0;postMessage(x)};postMessage(0)';
  const url = URL.createObjectURL(new Blob([source], { type: 'text/javascript' }));
  const workers = Array.from({ length: threads }, () => new Worker(url));
  const answer = (worker: Worker): Promise<void> =>
    new Promise((resolve, reject) => {
      worker.onmessage = () => resolve();
      worker.onerror = () => reject(new Error('the timing worker failed'));
    });
  try {
    await withTimeout(Promise.all(workers.map(answer)), 5000);
    const start = performance.now();
    const done = Promise.all(workers.map(answer));
    for (const worker of workers) worker.postMessage(0);
    await withTimeout(done, 5000);
    return performance.now() - start;
  } finally {
    for (const worker of workers) worker.terminate();
    URL.revokeObjectURL(url);
  }
}

/** The verdict for this page. `probeInWorker` runs `probeGpu` in a worker (`LlmWorkerApi.probe`); its failure counts as no WebGPU there. */
export async function probeDevice(probeInWorker: () => Promise<GpuProbe>, probeVectors: () => Promise<VectorVerdict | null> = async () => null): Promise<DeviceVerdict> {
  const environment = readEnvironment();
  const [page, worker, threads] = await Promise.all([
    probeGpu(),
    probeInWorker().catch((): GpuProbe => ({ gpu: null, error: 'device/no-webgpu' })),
    measureThreads(environment, timeWorkers),
  ]);
  const verdict = createVerdict(page, worker, environment, threads);
  // After the threads: both measure, and would disturb each other. Nothing that answers a question waits for this.
  const vectors = await withTimeout(probeVectors(), 2000).catch(() => null);
  return vectors === null ? verdict : { ...verdict, vectors };
}

/** A device for computing, without any optional feature; null where there is no adapter, or only a software one and `allowsSoftware` is false. */
export async function requestComputeDevice(allowsSoftware = false, gpu: GpuLike | undefined = globalThis.navigator?.gpu): Promise<GPUDevice | null> {
  if (gpu === undefined || gpu === null) return null;
  const adapter = await withTimeout(gpu.requestAdapter({ powerPreference: 'high-performance' }), 5000).catch(() => null);
  if (adapter === null || (isSoftware(adapter) && !allowsSoftware)) return null;
  return adapter.requestDevice().catch(() => null);
}

function withTimeout<T>(promise: Promise<T>, ms: number): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error('no answer in time')), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}
