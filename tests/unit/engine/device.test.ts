/** The probe and the verdict, on adapters as browsers give them. */
import { describe, expect, it } from 'vitest';
import { createVerdict, guardDevices, measureThreads, probeGpu } from '../../../src/engine/device.ts';
import type { Environment, GpuProbe } from '../../../src/engine/device.ts';

interface AdapterShape {
  readonly vendor?: string;
  readonly architecture?: string;
  readonly description?: string;
  readonly subgroupMinSize?: number;
  readonly features?: readonly string[];
}

function gpuWith(adapter: AdapterShape | null | Error | 'silent'): GPU {
  return {
    requestAdapter: async () => {
      if (adapter === 'silent') return new Promise<never>(() => {});
      if (adapter instanceof Error) throw adapter;
      if (adapter === null) return null;
      const { features, ...info } = { vendor: '', architecture: '', device: '', description: '', ...adapter };
      return { info, features: new Set(features ?? []), limits: { maxBufferSize: 2 ** 30, maxStorageBufferBindingSize: 2 ** 27 } };
    },
  } as unknown as GPU;
}

const quiet: Environment = { isolated: true, cores: 8, memoryGiB: 8 };

describe('probeGpu', () => {
  it('tells no WebGPU from no adapter', async () => {
    expect(await probeGpu(undefined)).toEqual({ gpu: null, error: 'device/no-webgpu' });
    expect(await probeGpu(gpuWith(null))).toEqual({ gpu: null, error: 'device/no-adapter' });
    expect(await probeGpu(gpuWith(new Error('lost')))).toEqual({ gpu: null, error: 'device/no-adapter' });
  });
  it('gives up on a driver that does not answer', async () => {
    expect(await probeGpu(gpuWith('silent'), 20)).toEqual({ gpu: null, error: 'device/no-adapter' });
  });
  it('knows software adapters and features', async () => {
    const swift = await probeGpu(gpuWith({ vendor: 'google', architecture: 'swiftshader', subgroupMinSize: 4 }));
    expect(swift.gpu).toMatchObject({ software: true, f16: false, subgroupMinSize: 4 });
    const real = await probeGpu(gpuWith({ vendor: 'nvidia', architecture: 'ampere', features: ['shader-f16'], subgroupMinSize: 32 }));
    expect(real.gpu).toMatchObject({ software: false, f16: true, maxBufferBytes: 2 ** 30, maxStorageBindingBytes: 2 ** 27 });
  });
});

describe('createVerdict', () => {
  const none: GpuProbe = { gpu: null, error: 'device/no-webgpu' };
  it('believes the worker: an adapter that only the page gets is none', async () => {
    const page = await probeGpu(gpuWith({ vendor: 'nvidia' }));
    expect(createVerdict(page, none, quiet, 4)).toMatchObject({ gpu: null, gpuError: 'device/no-webgpu' });
    expect(createVerdict(none, page, quiet, 4).gpu).toBeNull();
    expect(createVerdict(page, page, quiet, 4).gpu?.vendor).toBe('nvidia');
  });
  it('uses one thread without isolation and says so', () => {
    const verdict = createVerdict(none, none, { ...quiet, isolated: false }, 4);
    expect(verdict.threads).toBe(1);
    expect(verdict.summary).toContain('not isolated');
  });
  it('never names more threads than there are cores', () => {
    expect(createVerdict(none, none, { ...quiet, cores: 2 }, 4).threads).toBe(2);
  });
  it('says in one line what runs where', async () => {
    const swift = await probeGpu(gpuWith({ vendor: 'google', architecture: 'swiftshader' }));
    const real = await probeGpu(gpuWith({ vendor: 'nvidia', architecture: 'ampere' }));
    expect(createVerdict(swift, swift, quiet, 4).summary).toBe('Only a software graphics adapter (google swiftshader): models run on 4 of 8 CPU cores, at least 8 GB memory.');
    expect(createVerdict(real, real, quiet, 4).summary).toContain('WebGPU on nvidia ampere without shader-f16');
    expect(createVerdict(none, none, quiet, 1).summary).toContain('No WebGPU');
  });
});

describe('measureThreads', () => {
  /** A machine where `free` cores are idle. */
  const machine = (free: number) => async (threads: number): Promise<number> => Math.max(1, threads / free) * 100;
  it('takes the most that do not slow each other down', async () => {
    expect(await measureThreads(quiet, machine(8))).toBe(4);
    expect(await measureThreads(quiet, machine(2))).toBe(2);
    expect(await measureThreads(quiet, machine(1))).toBe(1);
    expect(await measureThreads({ ...quiet, cores: 2 }, machine(2))).toBe(2);
    expect(await measureThreads({ ...quiet, cores: 64 }, machine(64))).toBe(8);
  });
  it('measures nothing where threads are impossible, and survives a failing measurement', async () => {
    const refuse = async (): Promise<number> => {
      throw new Error('no workers here');
    };
    expect(await measureThreads({ ...quiet, isolated: false }, refuse)).toBe(1);
    expect(await measureThreads(quiet, refuse)).toBe(1);
  });
});

describe('guardDevices', () => {
  const prototypeWith = (subgroupMinSize: number | undefined, lost: Promise<{ reason: string; message: string }> = new Promise(() => {})) => {
    const asked: (readonly string[])[] = [];
    const prototype = {
      info: { subgroupMinSize },
      async requestDevice(descriptor?: GPUDeviceDescriptor) {
        asked.push([...(descriptor?.requiredFeatures ?? [])]);
        return { lost } as unknown as GPUDevice;
      },
    };
    return { asked, prototype: prototype as unknown as GPUAdapter & typeof prototype };
  };
  const features = ['subgroups', 'shader-f16', 'subgroups-f16'] as unknown as GPUFeatureName[];

  it('keeps subgroups from narrow and unknown adapters only, also when called twice', async () => {
    for (const [size, expected] of [[4, ['shader-f16']], [undefined, ['shader-f16']], [32, features]] as const) {
      const { asked, prototype } = prototypeWith(size);
      guardDevices(() => {}, prototype);
      const once = prototype.requestDevice;
      guardDevices(() => {}, prototype);
      expect(prototype.requestDevice).toBe(once);
      await prototype.requestDevice({ requiredFeatures: features });
      expect(asked).toEqual([expected]);
    }
  });

  it('tells of a lost device, not of one that was destroyed on purpose', async () => {
    for (const [reason, expected] of [['unknown', ['gone']], ['destroyed', []]] as const) {
      const seen: string[] = [];
      const { prototype } = prototypeWith(32, Promise.resolve({ reason, message: 'gone' }));
      guardDevices((message) => seen.push(message), prototype);
      await prototype.requestDevice();
      await new Promise((resolve) => setTimeout(resolve));
      expect(seen).toEqual(expected);
    }
  });
});
