/**
 * Builds the vector kernel from its AssemblyScript source, once per state of the source, into `.cache/kernel/`; nothing compiled is committed.
 * `kernelBinaries` is for Node, `kernelModule` the Vite plugin behind `virtual:foray-kernel`, for build, dev server and tests.
 */
import { createHash, randomUUID } from 'node:crypto';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Plugin } from 'vite';
import type { KernelBinaries } from '../src/corpus/kernel/kernel.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const source = 'src/corpus/kernel/assembly/index.ts';
const features = { relaxed: ['simd', 'relaxed-simd'], simd: ['simd'] } as const;
const flags = ['--runtime', 'stub', '--noAssert', '-O3', '--initialMemory', '1', '--maximumMemory', '65536'];

/** The compiled modules; throws with the compiler's messages where the source is wrong. */
export async function kernelBinaries(): Promise<KernelBinaries> {
  const text = await readFile(join(root, source), 'utf8');
  const version: unknown = JSON.parse(await readFile(join(root, 'node_modules', 'assemblyscript', 'package.json'), 'utf8'));
  const name = typeof version === 'object' && version !== null && 'version' in version ? String(version.version) : '';
  const key = createHash('sha256').update(`${name}\n${flags.join(' ')}\n${text}`).digest('hex').slice(0, 16);
  return { relaxed: await compiled('relaxed', key), simd: await compiled('simd', key) };
}

async function compiled(variant: keyof typeof features, key: string): Promise<Uint8Array<ArrayBuffer>> {
  const folder = join(root, '.cache', 'kernel');
  const file = join(folder, `${variant}-${key}.wasm`);
  const kept = await readFile(file).catch(() => null);
  if (kept !== null) return new Uint8Array(kept);
  const { default: compiler } = await import('assemblyscript/asc');
  let bytes: Uint8Array<ArrayBuffer> | null = null;
  let messages = '';
  const listen = { write: (chunk: string | Uint8Array) => void (messages += String(chunk)) };
  const options = [source, '--baseDir', root, '--outFile', 'kernel.wasm', ...flags, ...features[variant].flatMap((feature) => ['--enable', feature])];
  const { error } = await compiler.main(options, {
    stdout: listen,
    stderr: listen,
    writeFile: (_name: string, contents: string | Uint8Array) => void (bytes = typeof contents === 'string' ? null : new Uint8Array(contents)),
  });
  if (error !== null || bytes === null) throw new Error(`${source}: ${messages.trim() || String(error)}`);
  await mkdir(folder, { recursive: true });
  // Several programs, and several bundles of one program, may compile at once: the file appears whole.
  const partial = `${file}.${randomUUID()}`;
  await writeFile(partial, bytes);
  await rename(partial, file);
  return bytes;
}

const virtualName = 'virtual:foray-kernel';

/** Serves `virtual:foray-kernel`: the modules as bytes inside the bundle that asks for them, about 6 KB each, so that no further request is needed. */
export function kernelModule(): Plugin {
  return {
    name: 'foray-kernel',
    resolveId: (id) => (id === virtualName ? `\0${virtualName}` : null),
    async load(id) {
      if (id !== `\0${virtualName}`) return null;
      this.addWatchFile(join(root, source));
      const { relaxed, simd } = await kernelBinaries();
      const bytes = (part: Uint8Array): string => `Uint8Array.from(atob('${Buffer.from(part).toString('base64')}'), (c) => c.charCodeAt(0))`;
      return `export const kernelBinaries = { relaxed: ${bytes(relaxed)}, simd: ${bytes(simd)} };`;
    },
  };
}
