/** App build, workers, test projects, and the response headers of every server that serves Foray (dev, preview, `npm start`). */
import { defineConfig } from 'vite';
import preact from '@preact/preset-vite';
import { securityHeaders } from './tools/headers.ts';

export default defineConfig({
  base: './',
  plugins: [preact({ devToolsEnabled: false })],
  worker: { format: 'es' },
  build: { target: 'es2023', sourcemap: false, chunkSizeWarningLimit: 8000 },
  server: { headers: securityHeaders({ document: true, dev: true }) },
  preview: { headers: securityHeaders({ document: true }) },
  optimizeDeps: { exclude: ['@wllama/wllama', '@huggingface/transformers'] },
  test: {
    projects: [
      {
        extends: true,
        test: { name: 'unit', include: ['tests/unit/**/*.test.ts', 'tests/faults/**/*.test.ts'], environment: 'node', setupFiles: [] },
      },
    ],
  },
} as import('vite').UserConfig);
