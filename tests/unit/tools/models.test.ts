/** Fetching models: resume over real sockets, verification, what counts as complete, and that every package source fits the catalogue. */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { catalogue, modelRow } from '../../../src/engine/models.ts';
import { ggufModel } from '../../../tools/models.ts';
import { fileOnDisk, localModel, openStamps } from '../../../tools/models/disk.ts';
import { SourceError, downloadFile } from '../../../tools/models/hub.ts';
import { packageClient } from '../../../tools/models/packages.ts';

const content = Buffer.from(Uint8Array.from({ length: 300_000 }, (_, i) => (i * 7) % 256));
const sha256 = createHash('sha256').update(content).digest('hex');
const expected = { bytes: content.length, sha256 };

let folder = '';
let close = async (): Promise<void> => {};
let ranges: (string | undefined)[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'foray-models-'));
  ranges = [];
});
afterEach(async () => {
  await close();
  close = async () => {};
  await rm(folder, { recursive: true, force: true });
});

async function serve(handler: (request: IncomingMessage, response: ServerResponse, attempt: number) => void): Promise<string> {
  const server = createServer((request, response) => {
    ranges.push(request.headers.range);
    handler(request, response, ranges.length);
  });
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  close = () =>
    new Promise((done) => {
      server.close(() => done());
      server.closeAllConnections();
    });
  const address = server.address();
  return `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}/file.bin`;
}

/** Sends the asked range, but at most `limit` bytes before the connection is cut. */
function sendRange(request: IncomingMessage, response: ServerResponse, limit = Infinity): void {
  const start = Number(/bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0);
  const part = content.subarray(start);
  const range = { 'content-range': `bytes ${start}-${content.length - 1}/${content.length}` };
  response.writeHead(start > 0 ? 206 : 200, { 'content-length': part.length, ...(start > 0 ? range : {}) });
  if (part.length <= limit) response.end(part);
  else response.write(part.subarray(0, limit), () => setTimeout(() => response.destroy(), 20));
}

describe('downloadFile', () => {
  const target = (): string => join(folder, 'deep', 'file.bin');

  it('goes on where the connection broke off, until the file is whole', async () => {
    const url = await serve((request, response, attempt) => sendRange(request, response, attempt < 3 ? 100_000 : Infinity));
    await downloadFile(url, target(), expected);
    expect(await readFile(target())).toEqual(content);
    expect(existsSync(`${target()}.part`)).toBe(false);
    expect(ranges.length).toBe(3);
    expect(ranges.slice(1).every((range) => /^bytes=[1-9]\d*-$/.test(range ?? ''))).toBe(true);
  });

  it('keeps what was fetched for a later start', async () => {
    const url = await serve((request, response) => sendRange(request, response, 100_000));
    await expect(downloadFile(url, target(), expected, { attempts: 1 })).rejects.toThrow(SourceError);
    const kept = (await readFile(`${target()}.part`)).length;
    expect(kept).toBeGreaterThan(0);
    await close();
    const again = await serve((request, response) => sendRange(request, response));
    await downloadFile(again, target(), expected);
    expect(ranges.at(-1)).toBe(`bytes=${kept}-`);
    expect(await readFile(target())).toEqual(content);
  });

  it('starts anew where the host ignores ranges, and never mixes', async () => {
    await mkdir(join(folder, 'deep'), { recursive: true });
    await writeFile(`${target()}.part`, 'something else');
    const url = await serve((_, response) => response.writeHead(200).end(content));
    await downloadFile(url, target(), expected);
    expect(await readFile(target())).toEqual(content);
  });

  it('discards a file with another checksum', async () => {
    const url = await serve((_, response) => response.writeHead(200).end(Buffer.alloc(content.length)));
    await expect(downloadFile(url, target(), expected)).rejects.toThrow(/checksum differs/);
    expect(existsSync(target())).toBe(false);
    expect(existsSync(`${target()}.part`)).toBe(false);
  });

  it('takes a whole part file without asking for more than the server has', async () => {
    await mkdir(join(folder, 'deep'), { recursive: true });
    await writeFile(`${target()}.part`, content);
    const url = await serve((_, response) => response.writeHead(416).end());
    await downloadFile(url, target(), expected);
    expect(await readFile(target())).toEqual(content);
  });

  it('refuses a sign-in page and calls the source unreachable', async () => {
    const url = await serve((_, response) => response.writeHead(200, { 'content-type': 'text/html' }).end('<p>Sign in</p>'));
    await expect(downloadFile(url, target(), { bytes: 1, sha256: null })).rejects.toMatchObject({ name: 'SourceError', unreachable: true });
    expect(existsSync(target())).toBe(false);
  });

  it('tells a missing file from a missing host', async () => {
    const url = await serve((_, response) => response.writeHead(404).end());
    await expect(downloadFile(url, target(), expected)).rejects.toMatchObject({ unreachable: false });
    await close();
    await expect(downloadFile(url, target(), expected)).rejects.toMatchObject({ unreachable: true });
  });

  it('gives up on a host that accepts and says nothing', async () => {
    const url = await serve(() => {});
    const started = performance.now();
    await expect(downloadFile(url, target(), expected, { connectSeconds: 0.3 })).rejects.toMatchObject({ unreachable: true });
    expect(performance.now() - started).toBeLessThan(5000);
  });

  it('gives up on a transfer that stalls', async () => {
    const url = await serve((_, response) => void response.writeHead(200, { 'content-length': content.length }).write(content.subarray(0, 1000)));
    await expect(downloadFile(url, target(), expected, { stallSeconds: 0.3, attempts: 2 })).rejects.toThrow(/broke off/);
  });
});

describe('local models', () => {
  const row = modelRow('smollm2-135m')!;
  const file = row.files[0]!;

  it('do not count without the right bytes', async () => {
    const path = fileOnDisk(row, file, folder);
    expect(path).toBe(join(folder, 'smollm2-135m.gguf'));
    expect(await localModel(row, await openStamps(folder), folder)).toBeNull();
    await writeFile(path, 'too short');
    expect(await localModel(row, await openStamps(folder), folder)).toBeNull();
    const small = { ...row, files: [{ ...file, bytes: content.length, sha256 }] };
    await writeFile(path, content);
    expect((await localModel(small, await openStamps(folder), folder))?.files).toEqual([{ path: file.path, bytes: content.length, file: path }]);
    await writeFile(path, Buffer.alloc(content.length));
    expect(await localModel(small, await openStamps(folder), folder)).toBeNull();
  });

  it('are read once: the check is remembered by size and time', async () => {
    const path = join(folder, 'x.bin');
    await writeFile(path, content);
    const time = new Date(1_700_000_000_000);
    await utimes(path, time, time);
    expect(await (await openStamps(folder)).matches(path, sha256)).toBe(true);
    await writeFile(path, Buffer.alloc(content.length));
    await utimes(path, time, time);
    // Same size, same time: not read again. Any other time: read and found different.
    expect(await (await openStamps(folder)).matches(path, sha256)).toBe(true);
    await utimes(path, time, new Date(1_700_000_001_000));
    expect(await (await openStamps(folder)).matches(path, sha256)).toBe(false);
  });

  it('without stated checksums count only with their completion mark', async () => {
    const onnx = modelRow('smollm2-135m-onnx')!;
    for (const part of onnx.files) {
      const path = fileOnDisk(onnx, part, folder);
      await mkdir(join(path, '..'), { recursive: true });
      await writeFile(path, 'x');
    }
    expect(await localModel(onnx, await openStamps(folder), folder)).toBeNull();
    await writeFile(join(folder, 'SmolLM2-135M-Instruct', '.complete'), '');
    expect((await localModel(onnx, await openStamps(folder), folder))?.files.length).toBe(onnx.files.length);
  });
});

describe('sources', () => {
  it('exist for both default models besides the hub', () => {
    expect(['minilm', 'smollm2-135m', 'toString'].map(packageClient)).toEqual(['mvn', 'pip', null]);
  });

  it('give every row with files either a checksum or a completion mark, and distinct places', () => {
    const rows = catalogue.filter((row) => row.files.length > 0);
    const places = rows.flatMap((row) => row.files.map((file) => fileOnDisk(row, file, folder)));
    expect(new Set(places).size).toBe(places.length);
    for (const row of rows) for (const file of row.files) if (file.sha256 !== null) expect(file.sha256).toMatch(/^[0-9a-f]{64}$/);
  });
});

describe('ggufModel', () => {
  it('makes a row that the page can take, with an id of its own for each version of the file', async () => {
    const path = join(folder, 'My Model.Q4.gguf');
    await writeFile(path, content);
    const first = await ggufModel(path);
    expect(first.row).toMatchObject({ role: 'llm', backend: 'wllama', sizeBytes: content.length });
    expect(first.row.id).toMatch(/^local-my-model\.q4-[0-9a-f]{8}$/);
    expect(first.model.files[0]?.file).toBe(path);
    await writeFile(path, content.subarray(1));
    expect((await ggufModel(path)).row.id).not.toBe(first.row.id);
    await expect(ggufModel(join(folder, 'none.gguf'))).rejects.toThrow(/no file/);
  });
});
