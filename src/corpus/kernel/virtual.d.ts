/** What `tools/kernel.ts` serves to bundles. */
declare module 'virtual:foray-kernel' {
  export const kernelBinaries: import('./kernel.ts').KernelBinaries;
}
