/**
 * Vite plugins that make the build a self-contained static site: the policy as a meta element, no address of a CDN left in any library, and the service worker
 * with the list of the build's files. `shell` is what a visit needs before any engine is chosen; everything else is kept at first use.
 */
import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'vite';
import type { Plugin } from 'vite';
import { contentSecurityPolicy, securityHeaders } from './headers.mjs';

/** Libraries name these as places for their own files. Ours lie beside the page, so a forgotten option must fail here and not reach out. */
const cdnPattern = /https?:\/\/(?:cdn\.jsdelivr\.net|unpkg\.com|esm\.sh|cdnjs\.cloudflare\.com|cdn\.skypack\.dev|esm\.run)(?=[/"'`])/g;

/** For the page and, as a plugin of its own, for worker bundles. */
export function withoutCdn(): Plugin {
  return {
    name: 'foray-without-cdn',
    apply: 'build',
    renderChunk: { order: 'post', handler: (code) => (cdnPattern.test(code) ? { code: code.replace(cdnPattern, 'about:blank#no-cdn'), map: null } : null) },
  };
}

/** The policy where the host sends none. The dev server sends it as a header, with what hot reloading needs. */
export function policyMeta(): Plugin {
  return {
    name: 'foray-policy-meta',
    apply: 'build',
    transformIndexHtml: {
      order: 'post',
      handler: () => [{ tag: 'meta', attrs: { 'http-equiv': 'Content-Security-Policy', content: contentSecurityPolicy({ meta: true }) }, injectTo: 'head-prepend' }],
    },
  };
}

/** What the service worker is told at build time. Paths are relative to its scope. */
export interface BuildFiles {
  /** Changes whenever any file changes. */
  readonly version: string;
  /** Fetched when the worker is installed: path → SHA-256 (base64) as in an `integrity` attribute; '' for HTML, which hosts like to rewrite. */
  readonly shell: Readonly<Record<string, string>>;
  /** Every other file of the build that may be kept once it was used. */
  readonly later: readonly string[];
  readonly headers: Readonly<Record<string, string>>;
}

/** Writes `service-worker.js` at the root of the build: one classic script without imports, so that every browser with service workers takes it. */
export function serviceWorker(entry = fileURLToPath(new URL('../workers/service-worker.ts', import.meta.url))): Plugin {
  let outDir = '';
  return {
    name: 'foray-service-worker',
    apply: 'build',
    configResolved(config) {
      outDir = join(config.root, config.build.outDir);
    },
    closeBundle: {
      sequential: true,
      order: 'post',
      async handler() {
        const files = await describeBuild(outDir);
        await build({
          configFile: false,
          logLevel: 'warn',
          define: { __BUILD__: JSON.stringify(files) },
          build: {
            outDir,
            emptyOutDir: false,
            copyPublicDir: false,
            target: 'es2022',
            lib: { entry, formats: ['iife'], name: 'serviceWorker', fileName: () => 'service-worker.js' },
          },
        });
      },
    },
  };
}

/** Reads the finished build. The shell is the page, what it imports statically, the workers' entry files with their static imports, and the files of public/. */
async function describeBuild(outDir: string): Promise<BuildFiles> {
  const all = (await readdir(outDir, { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile())
    .map((entry) => relative(outDir, join(entry.parentPath, entry.name)).split(sep).join('/'))
    .filter((path) => path !== 'service-worker.js' && !path.startsWith('models/') && !path.startsWith('shards/'))
    .sort();
  const shellPaths = await staticallyReachable(outDir, all);
  const shell: Record<string, string> = {};
  const version = createHash('sha256');
  for (const path of all) {
    const bytes = await readFile(join(outDir, path));
    version.update(`${path} ${bytes.length}\n`).update(bytes);
    if (shellPaths.has(path)) shell[path] = path.endsWith('.html') ? '' : `sha256-${createHash('sha256').update(bytes).digest('base64')}`;
  }
  return { version: version.digest('hex').slice(0, 16), shell, later: all.filter((path) => !shellPaths.has(path)), headers: securityHeaders() };
}

/** Engines are large and chosen by the person: what is imported with `import(…)` or fetched by an engine does not belong to the shell. */
async function staticallyReachable(outDir: string, all: readonly string[]): Promise<ReadonlySet<string>> {
  const known = new Set(all);
  const reached = new Set(all.filter((path) => !path.startsWith('assets/')));
  const waiting = [...reached].filter((path) => path.endsWith('.html'));
  for (let path = waiting.pop(); path !== undefined; path = waiting.pop()) {
    const text = await readFile(join(outDir, path), 'utf8');
    for (const target of references(text, path)) {
      if (!known.has(target) || reached.has(target)) continue;
      reached.add(target);
      if (/\.(?:js|css)$/.test(target)) waiting.push(target);
    }
  }
  return reached;
}

/** Files that a built file loads at once: `src` and `href`, static imports, `new Worker(new URL('…'))`, `url(…)`. */
function references(text: string, from: string): string[] {
  const patterns = from.endsWith('.html')
    ? [/(?:src|href)="([^"]+)"/g]
    : from.endsWith('.css')
      ? [/url\(["']?([^"')]+)["']?\)/g]
      : [/(?:^|[;}\s])(?:import|export)\s*(?:[\w*$\s{},]+?from\s*)?["']([^"']+)["']/g, /new (?:Shared)?Worker\(\s*(?:new URL\(\s*)?(?:""\s*\+\s*)?(?:new URL\(\s*)?["'`]([^"'`]+)["'`]/g];
  return patterns.flatMap((pattern) => [...text.matchAll(pattern)].map((match) => new URL(match[1] ?? '', `http://page/${from}`).pathname.slice(1)));
}
