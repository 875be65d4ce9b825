/** App build, workers, test projects, and the response headers of the dev and preview servers. */
import preact from '@preact/preset-vite';
import { defineConfig } from 'vitest/config';
import { securityHeaders } from './tools/headers.mjs';
import { policyMeta, serviceWorker, withoutCdn } from './tools/shell.ts';

export default defineConfig({
  base: './',
  plugins: [preact({ devToolsEnabled: false }), withoutCdn(), policyMeta(), serviceWorker()],
  worker: { format: 'es', plugins: () => [withoutCdn()] },
  build: { target: 'es2023', sourcemap: false, chunkSizeWarningLimit: 8000 },
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
