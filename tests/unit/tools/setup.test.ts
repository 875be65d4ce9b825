/** What `npm start` and `npm test` decide by themselves: whether an installation is due, whether the demo shard is whole, how results are counted. */
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { contentSecurityPolicy, extraConnect, securityHeaders } from '../../../tools/headers.mjs';
import { demoShardFault, missingDependency } from '../../../tools/setup.mjs';
import { countPlaywright, countVitest } from '../../../tools/test.mjs';

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'foray-setup-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

describe('missingDependency', () => {
  const packages = {
    '': { name: 'foray' },
    'node_modules/a': { version: '1.0.0' },
    'node_modules/b': { version: '2.0.0', optional: true },
  };
  const lock = (value: unknown): Promise<void> => writeFile(join(folder, 'package-lock.json'), JSON.stringify({ packages: value }));
  const installed = async (value: unknown): Promise<void> => {
    await mkdir(join(folder, 'node_modules'), { recursive: true });
    await writeFile(join(folder, 'node_modules', '.package-lock.json'), JSON.stringify({ packages: value }));
  };

  it('sees nothing installed, an interrupted installation and an outdated package', async () => {
    await lock(packages);
    expect(await missingDependency(folder)).toBe('none are there');
    await installed({});
    expect(await missingDependency(folder)).toBe('a is missing');
    await installed({ 'node_modules/a': { version: '0.9.0' } });
    expect(await missingDependency(folder)).toBe('a is outdated');
  });

  it('is content without packages for other systems', async () => {
    await lock(packages);
    await installed({ 'node_modules/a': { version: '1.0.0' } });
    expect(await missingDependency(folder)).toBeNull();
  });
});

describe('demoShardFault', () => {
  it('names a missing manifest and a changed part, and finds the committed shard whole', async () => {
    expect(await demoShardFault(folder)).toMatch(/manifest/);
    await writeFile(join(folder, 'part.bin'), 'bytes');
    const sha256 = createHash('sha256').update('bytes').digest('hex');
    await writeFile(join(folder, 'manifest.json'), JSON.stringify({ parts: [{ file: 'part.bin', sha256 }] }));
    expect(await demoShardFault(folder)).toBeNull();
    await writeFile(join(folder, 'part.bin'), 'bytez');
    expect(await demoShardFault(folder)).toMatch(/part\.bin/);
    expect(await demoShardFault()).toBeNull();
  });
});

describe('counts of the test run', () => {
  const suite = (status: string, ...results: string[]): unknown => ({ status, assertionResults: results.map((result) => ({ status: result })) });

  it('come from the reports of the runners', () => {
    expect(countVitest({ testResults: [suite('passed', 'passed', 'passed', 'pending'), suite('failed', 'failed', 'passed', 'todo')] }, 1)).toEqual({ passed: 3, failed: 1, skipped: 2 });
    const tests = (...statuses: string[]): unknown[] => statuses.map((status) => ({ tests: [{ status }] }));
    const report = { errors: [], suites: [{ specs: tests('expected', 'skipped'), suites: [{ specs: tests('unexpected', 'flaky', 'expected') }] }] };
    expect(countPlaywright(report, 1)).toEqual({ passed: 2, failed: 2, skipped: 1 });
    expect(countPlaywright(report, 0, false)).toEqual({ passed: 0, failed: 0, skipped: 5 });
  });

  it('count a crash, an unloadable file and an error outside every test as failures', () => {
    expect(countVitest(null, 0).failed).toBe(1);
    expect(countVitest({ testResults: [suite('failed'), suite('passed', 'passed')] }, 1)).toEqual({ passed: 1, failed: 1, skipped: 0 });
    expect(countVitest({ testResults: [suite('passed', 'passed')] }, 1)).toEqual({ passed: 1, failed: 1, skipped: 0 });
    expect(countPlaywright(null, 0).failed).toBe(1);
    expect(countPlaywright({ suites: [], errors: [{}, {}] }, 1).failed).toBe(2);
    expect(countPlaywright({ suites: [], errors: [] }, 1).failed).toBe(1);
  });
});

describe('headers', () => {
  it('isolate the page and allow scripts from its own origin only', () => {
    const policy = securityHeaders({ connect: [] })['Content-Security-Policy'] ?? '';
    expect(policy).toContain("script-src 'self' 'wasm-unsafe-eval';");
    expect(policy).not.toContain('unsafe-inline');
    expect(policy).toContain("frame-ancestors 'none'");
    expect(contentSecurityPolicy({ meta: true, connect: [] })).not.toContain('frame-ancestors');
  });

  it('take more origins from the environment, and nothing that is none', () => {
    expect(extraConnect(' https://a.example:8443, http://10.0.0.2:* wss://*.b.example')).toEqual(['https://a.example:8443', 'http://10.0.0.2:*', 'wss://*.b.example']);
    expect(extraConnect('')).toEqual([]);
    for (const bad of ["https://a.example; script-src 'unsafe-eval'", '*', 'https:', "'unsafe-eval'", 'https://a.example/path']) expect(() => extraConnect(bad)).toThrow(/FORAY_CONNECT/);
    expect(contentSecurityPolicy({ connect: ['https://a.example'] })).toMatch(/connect-src [^;]*https:\/\/a\.example/);
  });
});
