// @ts-check
/**
 * npm test: from a bare machine to one line `N passed, N failed[, N skipped]`. Prepares dependencies, a browser and the real models, then runs types and lint,
 * unit tests, the build and the browser tests. What cannot be prepared is named in one line and what needs it is skipped.
 * Options: --unit, --e2e (only that half); after `--`, arguments for Playwright.
 */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { failureLines, lintFindings, playwrightFailures, stageFailure, typeErrors, vitestFailures } from './failures.mjs';
import { checkNode, ensureBuild, ensureDependencies, importTypeScript, root, run, tool } from './setup.mjs';

/** @typedef {{ passed: number; failed: number; skipped: number }} Counts */
/** @typedef {Counts & { failures: readonly import('./failures.mjs').Failure[] }} Outcome */

const reports = join(root, '.cache', 'test');
const say = (/** @type {string} */ line) => console.log(line);
const heading = (/** @type {string} */ text) => console.log(`\n== ${text}`);

/**
 * @param {readonly string[]} args
 * @returns {Promise<number>} The exit code.
 */
async function main(args) {
  const border = args.indexOf('--');
  const options = border < 0 ? args : args.slice(0, border);
  const playwrightArgs = border < 0 ? [] : args.slice(border + 1);
  const unknown = options.find((option) => option !== '--unit' && option !== '--e2e');
  if (unknown !== undefined) throw new Error(`Unknown option ${unknown}. Known: --unit, --e2e, and after -- arguments for Playwright.`);
  const all = !options.includes('--unit') && !options.includes('--e2e');
  const unit = all || options.includes('--unit');
  const e2e = all || options.includes('--e2e');

  checkNode();
  await ensureDependencies();
  await mkdir(reports, { recursive: true });
  const hub = await prepareModels();
  const browser = e2e ? await ensureBrowser() : false;

  /** @type {Outcome[]} */
  const outcomes = [];
  if (unit) outcomes.push(await check(), await vitest());
  if (e2e) outcomes.push(await playwright(playwrightArgs, browser, hub));
  const [passed, failed, skipped] = /** @type {const} */ (['passed', 'failed', 'skipped']).map((key) => outcomes.reduce((sum, outcome) => sum + outcome[key], 0));
  say('');
  for (const line of failureLines(outcomes.flatMap(({ failures }) => failures))) say(line);
  say(`${passed} passed, ${failed} failed${skipped === 0 ? '' : `, ${skipped} skipped`}`);
  return failed === 0 && (passed ?? 0) > 0 ? 0 : 1;
}

/** @returns {Promise<boolean>} True where the model hub answers. */
async function prepareModels() {
  heading('models');
  const models = /** @type {typeof import('./models.ts')} */ (await importTypeScript('./models.ts'));
  const wanted = ['minilm', 'smollm2-135m', 'wordllama', 'smollm2-135m-onnx'];
  for (const { id, state } of await models.prepareModels(wanted, { say })) {
    if (state === 'missing') say(`Skipped: the tests that need the model ${id} (no source delivers it).`);
  }
  if (!existsSync(join(root, '..', 'shared', 'data'))) say('Skipped: the tests on real question sets and dumps (no folder ../shared/data).');
  const hub = process.env['FORAY_HUB'] === '1' || (process.env['FORAY_HUB'] === undefined && (await models.hubAnswers()));
  if (!hub) say('Skipped: the tests tagged @hub (the model hub does not answer).');
  return hub;
}

/** @returns {Promise<boolean>} True where there is a Chromium. */
async function ensureBrowser() {
  heading('browser');
  const { findChromium } = await import('./browser.mjs');
  if (findChromium() === null) {
    say("Fetching Playwright's Chromium …");
    await installPlaywrightChromium();
  }
  if (findChromium() === null && process.platform === 'linux' && process.getuid?.() === 0 && existsSync('/usr/bin/apt-get')) {
    say("Installing the system's Chromium …");
    const environment = { env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' } };
    if ((await run('apt-get', ['update', '-qq'], environment)) === 0) await run('apt-get', ['install', '-y', '-qq', 'chromium'], environment);
  }
  const found = findChromium();
  if (found === null) {
    say('Skipped: all browser tests. No Chromium is here and none could be installed. Install one (as root: apt-get install chromium) or name it in FORAY_CHROMIUM.');
    return false;
  }
  say(found);
  return true;
}

/** Ends early where the download does not get on: an unreachable host must not cost minutes. */
function installPlaywrightChromium() {
  return new Promise((done) => {
    const child = spawn(process.execPath, [tool('playwright/cli.js'), 'install', 'chromium'], {
      cwd: root,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, PLAYWRIGHT_DOWNLOAD_CONNECTION_TIMEOUT: '10000' },
    });
    let timer = setTimeout(() => child.kill(), 60_000);
    const onOutput = (/** @type {Buffer} */ chunk) => {
      clearTimeout(timer);
      timer = setTimeout(() => child.kill(), 60_000);
      for (const line of chunk.toString('utf8').split('\n')) if (/^(?:Downloading|Error|Failed)/.test(line)) say(line);
    };
    child.stdout.on('data', onOutput);
    child.stderr.on('data', onOutput);
    child.on('close', () => {
      clearTimeout(timer);
      done(undefined);
    });
  });
}

/**
 * Types and lint count only where they fail: one failure each.
 * @returns {Promise<Outcome>}
 */
async function check() {
  /** @type {import('./failures.mjs').Failure[]} */
  const failures = [];
  heading('types');
  const types = await shown(process.execPath, [tool('typescript/bin/tsc'), '--noEmit', '--pretty', 'false']);
  if (types.code !== 0) failures.push(stageFailure('types', typeErrors(types.output)));
  heading('lint');
  const file = join(reports, 'eslint.json');
  await rm(file, { force: true });
  const lint = await run(process.execPath, [tool('eslint/bin/eslint.js'), '.', '--max-warnings', '0', '--format', 'json', '--output-file', file]);
  const findings = lintFindings(await readReport(file), root);
  for (const finding of findings) say(finding);
  if (lint !== 0) failures.push(stageFailure('lint', findings));
  return { passed: 0, failed: failures.length, skipped: 0, failures };
}

/**
 * Runs a program to its end with its output shown, and keeps what it wrote to stdout.
 * @param {string} command
 * @param {readonly string[]} args
 * @returns {Promise<{ code: number; output: string }>}
 */
function shown(command, args) {
  return new Promise((done) => {
    let output = '';
    const child = spawn(command, args, { cwd: root, stdio: ['inherit', 'pipe', 'inherit'] });
    child.stdout.setEncoding('utf8').on('data', (/** @type {string} */ text) => {
      process.stdout.write(text);
      output += text;
    });
    child.on('error', (error) => {
      console.error(`${command}: ${error.message}`);
      done({ code: 1, output });
    });
    child.on('close', (code) => done({ code: code ?? 1, output }));
  });
}

/** @returns {Promise<Outcome>} */
async function vitest() {
  heading('unit tests');
  const file = join(reports, 'vitest.json');
  await rm(file, { force: true });
  const code = await run(process.execPath, [tool('vitest/vitest.mjs'), 'run', '--reporter=default', '--reporter=json', `--outputFile.json=${file}`]);
  const report = await readReport(file);
  const counts = countVitest(report, code);
  return { ...counts, failures: counts.failed === 0 ? [] : vitestFailures(report, code || 1, root) };
}

/**
 * @param {readonly string[]} args
 * @param {boolean} browser
 * @param {boolean} hub
 * @returns {Promise<Outcome>}
 */
async function playwright(args, browser, hub) {
  heading('build');
  try {
    await ensureBuild();
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    say(message);
    return { passed: 0, failed: 1, skipped: 0, failures: [stageFailure('build', [message])] };
  }
  heading(browser ? 'browser tests' : 'browser tests (listed only)');
  const file = join(reports, 'playwright.json');
  await rm(file, { force: true });
  const env = { ...process.env, FORAY_HUB: hub ? '1' : '0', PLAYWRIGHT_JSON_OUTPUT_FILE: file, ...(browser ? {} : { FORAY_CHROMIUM: process.execPath }) };
  const code = await run(process.execPath, [tool('@playwright/test/cli.js'), 'test', ...(browser ? [] : ['--list']), ...args], { env });
  const report = await readReport(file);
  const counts = countPlaywright(report, code, browser);
  return { ...counts, failures: counts.failed === 0 ? [] : playwrightFailures(report, code || 1, root, browser) };
}

/**
 * @param {string} file
 * @returns {Promise<unknown>} null where the runner left no readable report.
 */
async function readReport(file) {
  try {
    return JSON.parse(await readFile(file, 'utf8'));
  } catch {
    return null;
  }
}

/**
 * @param {unknown} report Of vitest's JSON reporter.
 * @param {number} code The runner's exit code.
 * @returns {Counts}
 */
export function countVitest(report, code) {
  const crashed = { passed: 0, failed: 1, skipped: 0 };
  if (typeof report !== 'object' || report === null || !('testResults' in report) || !Array.isArray(report.testResults)) return crashed;
  const counts = { passed: 0, failed: 0, skipped: 0 };
  for (const suite of report.testResults) {
    const tests = Array.isArray(suite?.assertionResults) ? suite.assertionResults : [];
    for (const test of tests) {
      if (test?.status === 'passed') counts.passed++;
      else if (test?.status === 'failed') counts.failed++;
      else counts.skipped++;
    }
    // A file that could not be loaded has no tests to fail.
    if (suite?.status === 'failed' && !tests.some((/** @type {{ status?: unknown }} */ test) => test?.status === 'failed')) counts.failed++;
  }
  // An error outside every test (an unhandled rejection) fails the run without failing a test.
  if (code !== 0 && counts.failed === 0) counts.failed = 1;
  return counts;
}

/**
 * @param {unknown} report Of Playwright's JSON reporter.
 * @param {number} code The runner's exit code.
 * @param {boolean} ran False where the tests were only listed: all of them count as skipped.
 * @returns {Counts}
 */
export function countPlaywright(report, code, ran = true) {
  if (typeof report !== 'object' || report === null || !('suites' in report) || !Array.isArray(report.suites)) return { passed: 0, failed: 1, skipped: 0 };
  const counts = { passed: 0, failed: 0, skipped: 0 };
  const visit = (/** @type {any} */ suite) => {
    for (const inner of suite?.suites ?? []) visit(inner);
    for (const spec of suite?.specs ?? []) {
      for (const test of spec?.tests ?? []) {
        if (!ran || test?.status === 'skipped') counts.skipped++;
        else if (test?.status === 'expected') counts.passed++;
        else counts.failed++;
      }
    }
  };
  for (const suite of report.suites) visit(suite);
  // An error outside every test (a server that did not start, a file that could not be loaded) fails no test.
  const errors = 'errors' in report && Array.isArray(report.errors) ? report.errors.length : 0;
  if (counts.failed === 0 && (code !== 0 || errors > 0)) counts.failed = Math.max(1, errors);
  return counts;
}

if (process.argv[1]?.endsWith('test.mjs') === true) {
  main(process.argv.slice(2)).then(
    (code) => {
      process.exitCode = code;
    },
    (/** @type {unknown} */ error) => {
      console.error(error instanceof Error ? error.message : error);
      say('0 passed, 1 failed');
      process.exitCode = 1;
    },
  );
}
