/** Capability probe and verdict: what this device can run, what not, and why. The only file of `src` that reads `navigator.gpu`, with the workers. */

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
}
