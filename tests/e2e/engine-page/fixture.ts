/** Builds and serves the engine test page once a worker process; models come from the folder of `npm run models`. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test as base } from '@playwright/test';
import type { Page } from '@playwright/test';
import { build } from 'vite';
import { localModels } from '../../../tools/models.ts';
import { createServer } from '../../../tools/server.mjs';
import type { EnginePage } from './page.ts';

declare global {
  // Set by page.ts in the browser; named here for the functions given to `page.evaluate`.
  var engine: EnginePage;
}

interface Site {
  readonly url: string;
  /** Ids of the models that lie on this machine. */
  readonly models: readonly string[];
}

export const test = base.extend<{ enginePage: Page }, { site: Site }>({
  site: [
     
    async ({}, use) => {
      const dist = await mkdtemp(join(tmpdir(), 'foray-engine-page-'));
      await build({
        configFile: false,
        root: 'tests/e2e/engine-page',
        base: './',
        logLevel: 'error',
        worker: { format: 'es' },
        build: { target: 'es2023', outDir: dist, emptyOutDir: true, chunkSizeWarningLimit: 8000 },
      });
      const models = await localModels();
      const server = await createServer({ dist, models });
      await use({ url: server.url, models: models.map(({ id }) => id) });
      await server.close();
      await rm(dist, { recursive: true, force: true });
    },
    { scope: 'worker', timeout: 120_000 },
  ],
  enginePage: async ({ page, site }, use) => {
    const foreign: string[] = [];
    page.on('request', (request) => {
      if (!request.url().startsWith(site.url) && !/^(blob|data):/.test(request.url())) foreign.push(request.url());
    });
    await page.goto(site.url);
    await page.waitForFunction(() => 'engine' in globalThis);
    await use(page);
    test.expect(foreign, 'requests that leave the site').toEqual([]);
  },
});

export const { expect } = base;
