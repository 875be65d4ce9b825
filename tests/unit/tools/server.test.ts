/** The static server over real sockets: types, ranges, headers, and that nothing outside its folders is served. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createServer, parseRange } from '../../../tools/server.mjs';

let folder = '';
let server: Awaited<ReturnType<typeof createServer>>;
const bytes = Uint8Array.from({ length: 1000 }, (_, i) => i % 251);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'foray-server-'));
  await mkdir(join(folder, 'dist', 'assets'), { recursive: true });
  await mkdir(join(folder, 'dist', 'shards', 'demo'), { recursive: true });
  await mkdir(join(folder, 'extra'), { recursive: true });
  await writeFile(join(folder, 'secret.txt'), 'secret');
  await writeFile(join(folder, 'dist', 'index.html'), '<!doctype html><title>page</title>');
  await writeFile(join(folder, 'dist', 'assets', 'engine-abc.wasm'), bytes);
  await writeFile(join(folder, 'dist', 'shards', 'demo', 'manifest.json'), '{"name":"demo"}');
  await writeFile(join(folder, 'extra', 'manifest.json'), '{"name":"extra"}');
  await writeFile(join(folder, 'empty.bin'), '');
  const models = [{ id: 'minilm', files: [{ path: 'onnx/model.onnx', bytes: bytes.length, file: join(folder, 'dist', 'assets', 'engine-abc.wasm') }] }];
  const own = { row: { id: 'local-x', label: 'x' }, model: { id: 'local-x', files: [{ path: 'model.gguf', bytes: 0, file: join(folder, 'empty.bin') }] } };
  server = await createServer({ dist: join(folder, 'dist'), models, extra: [own], shards: { more: join(folder, 'extra') }, base: '/a/b' });
});

afterAll(async () => {
  await server.close();
  await rm(folder, { recursive: true, force: true });
});

const get = (path: string, headers: Record<string, string> = {}): Promise<Response> => fetch(new URL(path, server.url), { headers });

/** `fetch` resolves `..` by itself; this sends the path as it is. */
function raw(path: string, method = 'GET'): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const sent = request({ host: '127.0.0.1', port: server.port, path, method }, (response) => {
      let body = '';
      response.on('data', (chunk: Buffer) => (body += chunk.toString()));
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
    });
    sent.on('error', reject);
    sent.end();
  });
}

describe('createServer', () => {
  it('serves the page under its base with isolation, policy and type', async () => {
    expect(server.url).toMatch(/\/a\/b\/$/);
    const response = await get('');
    expect(response.status).toBe(200);
    expect(response.headers.get('content-type')).toBe('text/html; charset=utf-8');
    expect(response.headers.get('cross-origin-opener-policy')).toBe('same-origin');
    expect(response.headers.get('cross-origin-embedder-policy')).toBe('require-corp');
    expect(response.headers.get('content-security-policy')).toContain("default-src 'none'");
    expect(response.headers.get('cache-control')).toBe('no-cache');
  });

  it('serves wasm with its type, immutable under assets/', async () => {
    const response = await get('assets/engine-abc.wasm');
    expect(response.headers.get('content-type')).toBe('application/wasm');
    expect(response.headers.get('cache-control')).toContain('immutable');
    expect(new Uint8Array(await response.arrayBuffer())).toEqual(bytes);
  });

  it('answers a byte range with exactly those bytes', async () => {
    const response = await get('models/minilm/onnx/model.onnx', { range: 'bytes=100-199' });
    expect(response.status).toBe(206);
    expect(response.headers.get('content-range')).toBe('bytes 100-199/1000');
    expect(new Uint8Array(await response.arrayBuffer())).toEqual(bytes.slice(100, 200));
  });

  it('sends the whole file when If-Range names another version, and 416 beyond the end', async () => {
    const etag = (await get('assets/engine-abc.wasm')).headers.get('etag') ?? '';
    expect((await get('assets/engine-abc.wasm', { range: 'bytes=5-', 'if-range': etag })).status).toBe(206);
    expect((await get('assets/engine-abc.wasm', { range: 'bytes=5-', 'if-range': '"other"' })).status).toBe(200);
    expect((await get('assets/engine-abc.wasm', { range: 'bytes=1000-' })).status).toBe(416);
    expect((await get('assets/engine-abc.wasm', { 'if-none-match': etag })).status).toBe(304);
  });

  it('lists local models, and files given by hand apart', async () => {
    expect(await (await get('models/index.json')).json()).toEqual({
      models: [{ id: 'minilm', files: [{ path: 'onnx/model.onnx', bytes: 1000 }] }],
      extra: [{ id: 'local-x', label: 'x' }],
    });
    expect((await get('models/local-x/model.gguf')).status).toBe(200);
    expect((await get('models/other/model.gguf')).status).toBe(404);
  });

  it('serves shards of other folders beside those of the build', async () => {
    expect(await (await get('shards/more/manifest.json')).json()).toEqual({ name: 'extra' });
    expect(await (await get('shards/demo/manifest.json')).json()).toEqual({ name: 'demo' });
  });

  it.each(['/a/b/../../secret.txt', '/a/b/%2e%2e/secret.txt', '/a/b/..%2fsecret.txt', '/a/b/assets/..%5c..%5csecret.txt', '/a/b/shards/more/..%2f..%2fsecret.txt', '/secret.txt', '/a/b/%00', '/a/b/%zz', '/a/b//etc/passwd', '/a/b/models/minilm/../../secret.txt'])(
    'answers 404 for %s',
    async (path) => {
      const { status, body } = await raw(path);
      expect(status).toBe(404);
      expect(body).not.toContain('secret');
    },
  );

  it('answers HEAD without a body and refuses other methods', async () => {
    expect(await raw('/a/b/', 'HEAD')).toEqual({ status: 200, body: '' });
    expect((await raw('/a/b/', 'POST')).status).toBe(405);
  });

  it('takes the next free port only where it may', async () => {
    await expect(createServer({ dist: folder, port: server.port })).rejects.toThrow(/EADDRINUSE/);
    const next = await createServer({ dist: folder, port: server.port, tries: 20 });
    expect(next.port).toBeGreaterThan(server.port);
    await next.close();
  });

  it('plays a bare host without headers', async () => {
    const bare = await createServer({ dist: join(folder, 'dist'), headers: false });
    const response = await fetch(bare.url);
    expect(response.status).toBe(200);
    expect(response.headers.get('cross-origin-embedder-policy')).toBeNull();
    expect(response.headers.get('content-security-policy')).toBeNull();
    await bare.close();
  });
});

describe('parseRange', () => {
  it('gives exactly the bytes that a slice of the same numbers gives', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 500 }), fc.nat(600), fc.nat(600), (size, from, to) => {
        const range = parseRange(`bytes=${from}-${to}`, size);
        if (to < from) expect(range).toBeNull();
        else if (from >= size) expect(range).toBe('unsatisfiable');
        else expect(range).toEqual({ start: from, end: Math.min(to, size - 1) });
      }),
    );
  });

  it('reads open and suffix ranges, and ignores the rest', () => {
    expect(parseRange('bytes=10-', 100)).toEqual({ start: 10, end: 99 });
    expect(parseRange('bytes=-10', 100)).toEqual({ start: 90, end: 99 });
    expect(parseRange('bytes=-1000', 100)).toEqual({ start: 0, end: 99 });
    expect(parseRange('bytes=-0', 100)).toBe('unsatisfiable');
    for (const header of [undefined, '', 'bytes=-', 'bytes=0-1,5-6', 'items=0-1', 'bytes=a-b']) expect(parseRange(header, 100)).toBeNull();
  });
});
