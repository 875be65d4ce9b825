/** The engines of the retrieval benchmark and the built page that runs them. A peer takes part where its package is installed in bench/. */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { build } from 'vite';
import { kernelModule } from '../../kernel.ts';
import { createServer } from '../../server.mjs';
import { root } from '../../setup.mjs';
import type { Kind } from './contract.ts';

export interface EngineEntry {
  readonly id: string;
  readonly kind: Kind;
  /** Source of its worker, below the checkout. */
  readonly worker: string;
  /** Its package in bench/node_modules; null: Foray itself. */
  readonly package: string | null;
  /** A stage that takes longer is given up. */
  readonly limitSeconds: number;
}

const limit = 240;
const peer = (kind: Kind, id: string, file: string, name: string, limitSeconds = limit): EngineEntry => ({ id, kind, worker: `bench/peers/${file}.ts`, package: name, limitSeconds });

export const engines: readonly EngineEntry[] = [
  { id: 'foray', kind: 'vectors', worker: 'tools/bench/retrieval/foray-vectors.ts', package: null, limitSeconds: 600 },
  // Its graph of 100,000 rows takes about eight minutes; what it then finds, and how fast, is the comparison.
  peer('vectors', 'hnswlib-wasm', 'hnswlib-wasm', 'hnswlib-wasm', 1200),
  peer('vectors', 'sqlite-vector', 'sqlite-vector', '@sqliteai/sqlite-wasm'),
  peer('vectors', 'orama', 'orama-vectors', '@orama/orama'),
  peer('vectors', 'mememo', 'mememo', 'mememo'),
  peer('vectors', 'entitydb', 'entitydb', '@babycommando/entity-db'),
  { id: 'foray', kind: 'text', worker: 'tools/bench/retrieval/foray-text.ts', package: null, limitSeconds: 600 },
  peer('text', 'minisearch', 'minisearch', 'minisearch'),
  peer('text', 'flexsearch', 'flexsearch', 'flexsearch'),
  peer('text', 'orama', 'orama-text', '@orama/orama'),
  peer('text', 'sqlite-fts5', 'sqlite-fts5', '@sqlite.org/sqlite-wasm'),
];

/** The installed version; null where the package is not installed. */
export async function versionOf(entry: EngineEntry): Promise<string | null> {
  const file = entry.package === null ? join(root, 'package.json') : join(root, 'bench', 'node_modules', entry.package, 'package.json');
  const text = await readFile(file, 'utf8').catch(() => null);
  return text === null ? null : (JSON.parse(text) as { version: string }).version;
}

/** Name of the built worker script. */
export const scriptOf = (entry: EngineEntry): string => `${entry.kind}-${entry.id}.js`;
export const machineScript = 'machine.js';

/** Builds the page with the workers of `chosen` and serves it, isolated, with the data below `shards/data/`. */
export async function openRetrievalSite(chosen: readonly EngineEntry[], data: string, signal: AbortSignal): Promise<{ readonly url: string; close(): Promise<void> }> {
  const source = join(root, 'tools', 'bench', 'retrieval');
  const names = Object.fromEntries(chosen.map((entry) => [scriptOf(entry).replace(/\.js$/, ''), join(root, entry.worker)]));
  const key = createHash('sha256').update(Object.keys(names).sort().join('\n')).digest('hex').slice(0, 8);
  const dist = join(root, '.cache', 'bench-retrieval-page', key);
  signal.throwIfAborted();
  await build({
    configFile: false,
    root: source,
    base: './',
    logLevel: 'warn',
    publicDir: false,
    // EntityDB asks a hub for an embedder as soon as it is loaded.
    resolve: { alias: { '@xenova/transformers': join(root, 'bench', 'peers', 'no-embedder.ts') } },
    plugins: [kernelModule()],
    worker: { format: 'es', plugins: () => [kernelModule()] },
    build: {
      outDir: dist,
      emptyOutDir: true,
      target: 'es2023',
      modulePreload: false,
      assetsInlineLimit: 0,
      chunkSizeWarningLimit: 100_000,
      rolldownOptions: {
        input: { index: join(source, 'index.html'), machine: join(source, 'machine.ts'), ...names },
        output: { entryFileNames: '[name].js', chunkFileNames: 'assets/[name]-[hash].js' },
        preserveEntrySignatures: false,
        checks: { pluginTimings: false },
      },
    },
  });
  if (!existsSync(join(dist, 'index.html'))) throw new Error('the page of the benchmark was not built');
  return createServer({
    dist,
    shards: { data },
    // Some peers compile code at run time, which the app's own policy forbids; isolation is the same.
    headers: false,
    intercept: (_request, response) => {
      for (const [name, value] of isolation) response.setHeader(name, value);
      return false;
    },
  });
}

const isolation = [
  ['Cross-Origin-Opener-Policy', 'same-origin'],
  ['Cross-Origin-Embedder-Policy', 'require-corp'],
  ['Cross-Origin-Resource-Policy', 'same-origin'],
] as const;
