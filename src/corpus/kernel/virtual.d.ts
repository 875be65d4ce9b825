/** What `tools/kernel.ts` serves to bundles. */
declare module 'virtual:foray-kernel' {
  import type { KernelBinaries } from './kernel.ts';

  export const kernelBinaries: KernelBinaries;
}
