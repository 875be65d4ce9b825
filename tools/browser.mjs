// @ts-check
/**
 * The one place that knows which Chromium the tests and the benchmark drive, and how to launch it. Order: FORAY_CHROMIUM, Playwright's own download, the
 * system's. A software graphics adapter stands in where there is no real one, so that WebGPU code runs everywhere.
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chromium } from '@playwright/test';

/** Launch arguments: no sandbox (containers run as root), WebGPU on the software adapter, no traffic of the browser's own. */
export const chromiumArgs = [
  '--no-sandbox',
  '--enable-unsafe-webgpu',
  '--use-webgpu-adapter=swiftshader',
  '--enable-features=Vulkan',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--no-first-run',
  '--disable-quic',
];

const systemBrowsers = [
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
  'C:\\Program Files\\Google\\Chrome\\Application\\chrome.exe',
];

/**
 * The browser's program; null where none is there. One that lacks system libraries does not count.
 * @returns {string | null}
 */
export function findChromium() {
  const named = process.env['FORAY_CHROMIUM'];
  if (named !== undefined && named !== '') {
    if (!existsSync(named)) throw new Error(`FORAY_CHROMIUM names ${named}, which is not there.`);
    return named;
  }
  return [chromium.executablePath(), ...systemBrowsers].find((path) => existsSync(path) && answers(path)) ?? null;
}

/** @param {string} path */
function answers(path) {
  // On Windows `--version` opens a window instead of answering.
  return process.platform === 'win32' || spawnSync(path, ['--version'], { stdio: 'ignore', timeout: 30_000 }).status === 0;
}

/**
 * For `chromium.launch` and for Playwright's `launchOptions`. Throws where there is no browser.
 * @returns {{ executablePath: string; args: string[] }}
 */
export function launchOptions() {
  const executablePath = findChromium();
  if (executablePath === null) throw new Error('No Chromium found. Install one (npx playwright install chromium, or the system package) or name it in FORAY_CHROMIUM.');
  return { executablePath, args: chromiumArgs };
}
