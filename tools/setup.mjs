// @ts-check
/**
 * What `npm start` and `npm test` need before anything is installed: a check of Node, the locked dependencies, the build when its inputs changed, and the demo
 * shard. Uses nothing but Node itself.
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Folder of the repository. */
export const root = fileURLToPath(new URL('..', import.meta.url)).replace(/[/\\]$/, '');

/**
 * The program of an installed package, by its path in node_modules.
 * @param {string} path
 */
export const tool = (path) => join(root, 'node_modules', ...path.split('/'));

/** Throws with what to do where Node is too old. */
export function checkNode() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (major < 20 || (major === 20 && minor < 19)) {
    throw new Error(`Foray needs Node 20.19 or newer; this is ${process.versions.node}. Get it from your system's packages or from nodejs.org.`);
  }
}

/**
 * Runs a program to its end with its output shown.
 * @param {string} command
 * @param {readonly string[]} args
 * @param {import('node:child_process').SpawnOptions} [options]
 * @returns {Promise<number>} The exit code; 1 where a signal ended it or it could not be started.
 */
export function run(command, args, options = {}) {
  return new Promise((done) => {
    const child = spawn(command, args, { cwd: root, stdio: 'inherit', ...options });
    child.on('error', (error) => {
      console.error(`${command}: ${error.message}`);
      done(1);
    });
    child.on('close', (code) => done(code ?? 1));
  });
}

/**
 * Runs npm: the one that runs this script where there is one.
 * @param {readonly string[]} args
 */
export function npm(args) {
  const cli = process.env['npm_execpath'];
  if (cli !== undefined && /\.c?js$/.test(cli)) return run(process.execPath, [cli, ...args]);
  return run('npm', args, { shell: process.platform === 'win32' });
}

/** Installs the locked dependencies unless exactly those are there. Throws where that fails. */
export async function ensureDependencies() {
  const missing = await missingDependency();
  if (missing === null) return;
  console.log(`Installing the locked dependencies (${missing}) …`);
  if ((await npm(['ci', '--no-audit', '--no-fund'])) !== 0) {
    throw new Error('The dependencies could not be installed. Check the network and the registry that npm uses (npm ping), then run the same command again.');
  }
}

/**
 * Why an installation is due; null where every locked package is there in its version. npm writes its own list of what it installed as its last step, so that
 * an interrupted installation is noticed.
 * @param {string} [folder]
 * @returns {Promise<string | null>}
 */
export async function missingDependency(folder = root) {
  const locked = await readPackages(join(folder, 'package-lock.json'));
  if (locked === null) throw new Error('package-lock.json is missing or unreadable.');
  const installed = await readPackages(join(folder, 'node_modules', '.package-lock.json'));
  if (installed === null) return 'none are there';
  for (const [path, { version, optional }] of Object.entries(locked)) {
    if (path === '' || optional === true || installed[path]?.version === version) continue;
    return installed[path] === undefined ? `${path.replace('node_modules/', '')} is missing` : `${path.replace('node_modules/', '')} is outdated`;
  }
  return null;
}

/**
 * @param {string} file
 * @returns {Promise<Record<string, { version?: string; optional?: boolean }> | null>}
 */
async function readPackages(file) {
  try {
    const value = JSON.parse(await readFile(file, 'utf8'));
    return typeof value === 'object' && value !== null && typeof value.packages === 'object' ? value.packages : null;
  } catch {
    return null;
  }
}

/**
 * Loads one of our TypeScript modules; only after the dependencies are there.
 * @param {string} path Relative to this folder.
 * @returns {Promise<unknown>}
 */
export async function importTypeScript(path) {
  const { tsImport } = await import('tsx/esm/api');
  return tsImport(path, import.meta.url);
}

/** What the build is made of. */
const buildInputs = ['index.html', 'package-lock.json', 'vite.config.ts', 'tsconfig.json', 'src', 'workers', 'public', 'tools/headers.mjs', 'tools/shell.ts'];

/** Builds the page unless `dist/` was built from the same inputs. Throws where the build fails. */
export async function ensureBuild() {
  const stampFile = join(root, '.cache', 'build.json');
  const stamp = async () => JSON.stringify({ inputs: await hashInputs(), page: await hashFile(join(root, 'dist', 'index.html')) });
  if (existsSync(join(root, 'dist', 'index.html')) && (await readFile(stampFile, 'utf8').catch(() => '')) === (await stamp())) return;
  console.log('Building the page …');
  if ((await run(process.execPath, [tool('vite/bin/vite.js'), 'build', '--logLevel', 'warn'])) !== 0) throw new Error('The build failed; the lines above say why.');
  await mkdir(join(root, '.cache'), { recursive: true });
  await writeFile(stampFile, await stamp());
}

/** @returns {Promise<string>} */
async function hashInputs() {
  const hash = createHash('sha256').update(process.versions.node).update(process.env['FORAY_CONNECT'] ?? '');
  for (const input of buildInputs) await hashInto(hash, input);
  return hash.digest('hex');
}

/**
 * @param {import('node:crypto').Hash} hash
 * @param {string} path Relative to the repository.
 */
async function hashInto(hash, path) {
  const full = join(root, path);
  const info = await stat(full).catch(() => null);
  if (info === null) return;
  if (info.isDirectory()) {
    for (const name of (await readdir(full)).sort()) await hashInto(hash, `${path}/${name}`);
  } else {
    hash.update(`${path} ${info.size}\n`).update(await readFile(full));
  }
}

/** @param {string} file */
async function hashFile(file) {
  return createHash('sha256').update(await readFile(file).catch(() => '')).digest('hex');
}

/**
 * What is wrong with the demo shard; null where every part of its manifest is there with the stated checksum.
 * @param {string} [folder]
 * @returns {Promise<string | null>}
 */
export async function demoShardFault(folder = join(root, 'public', 'shards', 'demo')) {
  /** @type {unknown} */
  let manifest;
  try {
    manifest = JSON.parse(await readFile(join(folder, 'manifest.json'), 'utf8'));
  } catch {
    return 'its manifest is missing or unreadable';
  }
  const parts = typeof manifest === 'object' && manifest !== null && 'parts' in manifest && Array.isArray(manifest.parts) ? manifest.parts : null;
  if (parts === null) return 'its manifest lists no parts';
  for (const { file, sha256 } of parts) {
    if ((await hashFile(join(folder, String(file)))) !== sha256) return `the part ${String(file)} is missing or differs from the manifest`;
  }
  return null;
}
