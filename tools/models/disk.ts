/**
 * Where models lie on this machine, and which of them are complete. A file with a known SHA-256 counts only after it was checked once; the check is remembered
 * by size and modification time, so that a second start reads nothing.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, readFile, rename, stat, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { ModelFile, ModelRow } from '../../src/engine/models.ts';
import type { LocalModel } from '../server.mjs';

/** Folder of all models: FORAY_MODELS, else `~/.cache/foray/models`. */
export function modelsFolder(): string {
  return process.env['FORAY_MODELS'] ?? join(homedir(), '.cache', 'foray', 'models');
}

/** Models of several files lie in a folder that bears the name of their repository. */
const folderNames: Readonly<Record<string, string>> = {
  minilm: 'all-MiniLM-L6-v2',
  'bge-small': 'bge-small-en-v1.5',
  wordllama: 'wordllama-256',
  'smollm2-135m-onnx': 'SmolLM2-135M-Instruct',
};

/** True for a model that is one GGUF file: it lies beside the folders, named by its id. */
function isGguf(row: ModelRow): boolean {
  return row.files.length === 1 && row.files[0]?.path.endsWith('.gguf') === true;
}

/** Models without any stated checksum are complete only once whoever made the folder says so with this file. */
export function completionMark(row: ModelRow, folder = modelsFolder()): string | null {
  return row.files.some((file) => file.sha256 !== null) ? null : join(folder, folderNames[row.id] ?? row.id, '.complete');
}

export function fileOnDisk(row: ModelRow, file: ModelFile, folder = modelsFolder()): string {
  return isGguf(row) ? join(folder, `${row.id}.gguf`) : join(folder, folderNames[row.id] ?? row.id, ...file.path.split('/'));
}

interface Stamp {
  readonly bytes: number;
  readonly mtimeMs: number;
  readonly sha256: string;
}

/** The checksums read so far, kept in `.verified.json` of the models' folder. */
export interface Stamps {
  /** True if the file has this SHA-256; reads it only where no stamp fits its size and time. */
  matches(file: string, sha256: string): Promise<boolean>;
}

export async function openStamps(folder = modelsFolder()): Promise<Stamps> {
  const path = join(folder, '.verified.json');
  const stamps = new Map<string, Stamp>();
  try {
    const stored: unknown = JSON.parse(await readFile(path, 'utf8'));
    for (const [file, stamp] of Object.entries(stored ?? {})) if (isStamp(stamp)) stamps.set(file, stamp);
  } catch {
    // None yet, or unreadable: the files are read again.
  }
  return {
    async matches(file, sha256) {
      const info = await stat(file).catch(() => null);
      if (info === null || !info.isFile()) return false;
      const known = stamps.get(file);
      if (known !== undefined && known.bytes === info.size && known.mtimeMs === info.mtimeMs) return known.sha256 === sha256;
      const actual = await sha256OfFile(file);
      stamps.set(file, { bytes: info.size, mtimeMs: info.mtimeMs, sha256: actual });
      await saveStamps(path, stamps);
      return actual === sha256;
    },
  };
}

async function saveStamps(path: string, stamps: ReadonlyMap<string, Stamp>): Promise<void> {
  const part = `${path}.${process.pid}.part`;
  try {
    await mkdir(dirname(path), { recursive: true });
    await writeFile(part, JSON.stringify(Object.fromEntries(stamps), null, 1));
    await rename(part, path);
  } catch {
    // A folder that cannot be written to costs a new check at the next start, nothing else.
  }
}

function isStamp(value: unknown): value is Stamp {
  if (typeof value !== 'object' || value === null) return false;
  const stamp = value as Record<string, unknown>;
  return typeof stamp['bytes'] === 'number' && typeof stamp['mtimeMs'] === 'number' && typeof stamp['sha256'] === 'string';
}

export async function sha256OfFile(file: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(file, { highWaterMark: 1 << 20 }), hash);
  return hash.digest('hex');
}

/** The model's files if every one is there and verified; null else. */
export async function localModel(row: ModelRow, stamps: Stamps, folder = modelsFolder()): Promise<LocalModel | null> {
  if (row.files.length === 0) return null;
  const mark = completionMark(row, folder);
  if (mark !== null && (await stat(mark).catch(() => null)) === null) return null;
  const files: { path: string; bytes: number; file: string }[] = [];
  for (const expected of row.files) {
    const file = fileOnDisk(row, expected, folder);
    const info = await stat(file).catch(() => null);
    if (info === null || !info.isFile() || info.size === 0) return null;
    if (expected.sha256 !== null && (info.size !== expected.bytes || !(await stamps.matches(file, expected.sha256)))) return null;
    files.push({ path: expected.path, bytes: info.size, file });
  }
  return { id: row.id, files };
}
