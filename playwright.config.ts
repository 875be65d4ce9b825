/**
 * End-to-end tests on the built page in Chromium: user stories in tests/e2e, faults in tests/faults. One worker: every test drives models on the same cores.
 * `npm test` prepares what they need; FORAY_HUB=1 says that the model hub answers, FORAY_TEST_PORT names another port for the page.
 */
import { defineConfig } from '@playwright/test';
import { launchOptions } from './tools/browser.mjs';

const port = Number(process.env['FORAY_TEST_PORT'] ?? 4317);

export default defineConfig({
  testMatch: '**/*.spec.ts',
  workers: 1,
  fullyParallel: false,
  retries: 0,
  forbidOnly: process.env['CI'] !== undefined,
  timeout: 180_000,
  expect: { timeout: 20_000 },
  reporter: [['list'], ['json', { outputFile: '.cache/test/playwright.json' }]],
  use: {
    baseURL: `http://127.0.0.1:${port}/`,
    launchOptions: launchOptions(),
    trace: 'retain-on-failure',
    screenshot: 'only-on-failure',
  },
  projects: [
    { name: 'e2e', testDir: 'tests/e2e' },
    { name: 'faults', testDir: 'tests/faults' },
  ],
  webServer: { command: `node tools/server.mjs --port ${port}`, url: `http://127.0.0.1:${port}/`, reuseExistingServer: false, timeout: 120_000 },
});
