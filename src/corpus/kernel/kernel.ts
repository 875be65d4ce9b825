/**
 * The vector kernel as the rest sees it: which build this engine runs, and instances with a memory of their own. Pure; the compiled modules are handed in, because a page
 * gets them from its bundle (`virtual:foray-kernel`) and Node from `tools/kernel.ts`.
 */
import { createScalarInstance } from './scalar.ts';

export type KernelVariant = 'relaxed' | 'simd' | 'scalar';

/** The WebAssembly modules, as compiled from `assembly/index.ts`. */
export interface KernelBinaries {
  readonly relaxed: Uint8Array<ArrayBuffer>;
  readonly simd: Uint8Array<ArrayBuffer>;
}

/** Memory that grows in pages of 64 KiB; `buffer` is another object after each growth. */
export interface KernelMemory {
  readonly buffer: ArrayBuffer;
  grow(pages: number): number;
}

/** The functions of `assembly/index.ts`, where they are described. Addresses are byte offsets into `memory`. */
export interface KernelInstance {
  readonly memory: KernelMemory;
  nearest(
    bits: number, count: number, stride: number, query: number, wanted: number, rows: number, distances: number, capacity: number, counts: number, maxDistance: number,
  ): number;
  dots(codes: number, stride: number, sums: number, rows: number, length: number, query: number, split: number, out: number): void;
  scan(codes: number, count: number, stride: number, scales: number, sums: number, coarse: number, wanted: number, rows: number, scores: number): number;
  /** The same over the `length` rows listed in `rows`, in place. */
  thin(codes: number, stride: number, scales: number, sums: number, coarse: number, length: number, wanted: number, rows: number, scores: number): number;
  derive(codes: number, stride: number, scales: number, mean: number, from: number, to: number, sums: number, bits: number, bitStride: number): void;
}

export interface Kernel {
  readonly variant: KernelVariant;
  /** A fresh instance with an empty memory. Instances share the compiled code; dropping one frees its memory. */
  instance(): KernelInstance;
}

/** Works in every engine, tens of times slower. */
export const scalarKernel: Kernel = { variant: 'scalar', instance: createScalarInstance };

/** The fastest build that this engine runs: relaxed SIMD, SIMD, else JavaScript. */
export async function openKernel(binaries: KernelBinaries, variants: readonly KernelVariant[] = ['relaxed', 'simd', 'scalar']): Promise<Kernel> {
  for (const variant of variants) {
    if (variant === 'scalar') return scalarKernel;
    if (typeof WebAssembly === 'undefined' || !WebAssembly.validate(binaries[variant])) continue;
    const module = await WebAssembly.compile(binaries[variant]);
    const kernel: Kernel = { variant, instance: () => exportsOf(new WebAssembly.Instance(module)) };
    if (isSound(kernel)) return kernel;
  }
  return scalarKernel;
}

/** Early engines validate the relaxed dot product and multiply the wrong way round: what does not add up like the plain code is not used. */
function isSound(kernel: Kernel): boolean {
  const results = [kernel, scalarKernel].map((one) => {
    const machine = one.instance();
    const { buffer } = machine.memory;
    const stride = 16;
    const [codes, query, split, rows, sums, out] = [1024, 2048, 3072, 4096, 5120, 6144];
    const row = Int8Array.from({ length: stride }, (_, i) => ((i * 37) % 255) - 127);
    const asked = Int16Array.from({ length: stride }, (_, i) => ((i * 771) % 4095) - 2047);
    new Int8Array(buffer, codes, stride).set(row);
    new Int16Array(buffer, query, stride).set(asked);
    new Uint8Array(buffer, split, stride).set(asked.map((x) => (x + 2048) & 127));
    new Uint8Array(buffer, split + stride, stride).set(asked.map((x) => (x + 2048) >> 7));
    new Uint32Array(buffer, rows, 1)[0] = 0;
    new Int32Array(buffer, sums, 1)[0] = row.reduce((sum, x) => sum + x, 0);
    machine.dots(codes, stride, sums, rows, 1, query, split, out);
    return new Int32Array(buffer, out, 1)[0];
  });
  return results[0] === results[1];
}

function exportsOf(instance: WebAssembly.Instance): KernelInstance {
  const { memory, nearest, dots, scan, thin, derive } = instance.exports;
  const isWhole = [nearest, dots, scan, thin, derive].every((part) => typeof part === 'function');
  if (!isWhole || !(memory instanceof WebAssembly.Memory)) throw new Error('the vector kernel lacks a function');
  // The compiler of the kernel writes these types; the line above has seen that they are functions.
  return { memory, nearest, dots, scan, thin, derive } as unknown as KernelInstance;
}
