/** App build, workers, test projects, and the response headers of the dev and preview servers. */
import preact from '@preact/preset-vite';
import type { Plugin } from 'vite';
import { defineConfig } from 'vitest/config';
import { securityHeaders } from './tools/headers.mjs';
import { kernelModule } from './tools/kernel.ts';
import { reportTemplate } from './tools/report-template.ts';
import { policyMeta, serviceWorker, withoutCdn } from './tools/shell.ts';

/** `vite --mode fake` shows the page over scripted events, without models: for work on the page. It is no part of any other build. */
function fakeSearcher(): Plugin {
  let isFake = false;
  return {
    name: 'foray-fake-searcher',
    enforce: 'pre',
    configResolved: (config) => {
      isFake = config.mode === 'fake';
    },
    load: (id) =>
      isFake && id.endsWith('/src/searcher.ts') ? "import { createFakeSearcher } from '/tests/fixtures/fake-searcher.ts';\nexport const createSearcher = () => createFakeSearcher();" : null,
  };
}

export default defineConfig({
  base: './',
  plugins: [fakeSearcher(), kernelModule(), preact({ devToolsEnabled: false }), withoutCdn(), policyMeta(), reportTemplate(), serviceWorker()],
  worker: { format: 'es', plugins: () => [kernelModule(), withoutCdn()] },
  build: { target: 'es2023', sourcemap: false, chunkSizeWarningLimit: 8000, rolldownOptions: { checks: { pluginTimings: false } } },
  server: { headers: securityHeaders({ dev: true }) },
  preview: { headers: securityHeaders() },
  optimizeDeps: { exclude: ['@wllama/wllama', '@huggingface/transformers'] },
  test: {
    projects: [
      {
        extends: true,
        test: { name: 'unit', include: ['tests/unit/**/*.test.ts', 'tests/faults/**/*.test.ts'], environment: 'node' },
      },
    ],
  },
});
