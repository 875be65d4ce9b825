// @ts-check
/**
 * The static server of `npm start`, the tests and the benchmark: the built page, local models under `models/`, shards from other folders under `shards/`.
 * Promises: correct types, byte ranges, the headers of headers.mjs, nothing outside the named folders; can also play a bare static host (no headers, sub-path).
 * Run by itself: node tools/server.mjs [--port N] [--host H] [--base /path/] [--no-headers] [--shard NAME=DIR]... [--gguf FILE]...
 */
import { createReadStream } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { createServer as createHttpServer } from 'node:http';
import { extname, join, resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { securityHeaders } from './headers.mjs';

/** @type {Readonly<Record<string, string>>} */
const types = {
  '.css': 'text/css; charset=utf-8',
  '.gz': 'application/gzip',
  '.html': 'text/html; charset=utf-8',
  '.ico': 'image/x-icon',
  '.jpg': 'image/jpeg',
  '.js': 'text/javascript; charset=utf-8',
  '.json': 'application/json; charset=utf-8',
  '.jsonl': 'application/x-ndjson; charset=utf-8',
  '.md': 'text/markdown; charset=utf-8',
  '.mjs': 'text/javascript; charset=utf-8',
  '.pdf': 'application/pdf',
  '.png': 'image/png',
  '.svg': 'image/svg+xml',
  '.txt': 'text/plain; charset=utf-8',
  '.wasm': 'application/wasm',
  '.webmanifest': 'application/manifest+json; charset=utf-8',
  '.woff2': 'font/woff2',
};

/**
 * A model that lies on this machine.
 * @typedef {{ readonly id: string; readonly files: readonly { readonly path: string; readonly bytes: number; readonly file: string }[] }} LocalModel
 */

/**
 * A model file given by hand: its row for the page's list and where its files lie.
 * @typedef {{ readonly row: { readonly id: string }; readonly model: LocalModel }} ExtraModel
 */

/**
 * @typedef {object} ServerOptions
 * @property {string} dist Folder of the built page.
 * @property {readonly LocalModel[] | (() => Promise<readonly LocalModel[]>)} [models] Served under `models/<id>/<path>` and listed in `models/index.json`.
 * @property {readonly ExtraModel[]} [extra]
 * @property {Readonly<Record<string, string>>} [shards] Name → folder, served under `shards/<name>/` before those of `dist`.
 * @property {number} [port] 0 (the default): any free port.
 * @property {number} [tries] How many ports after `port` to try where it is taken. Default 0.
 * @property {string} [host] Default 127.0.0.1.
 * @property {string} [base] Path that the page is served under, default `/`.
 * @property {boolean} [headers] False plays a static host that sends no isolation or policy headers. Default true.
 * @property {(request: import('node:http').IncomingMessage, response: import('node:http').ServerResponse, path: string) => boolean} [intercept]
 *   For tests of faults: true if it answered by itself. `path` is below `base`, decoded, without a leading slash.
 */

/**
 * @param {ServerOptions} options
 * @returns {Promise<{ readonly url: string; readonly port: number; close(): Promise<void> }>}
 */
export async function createServer(options) {
  const base = `/${(options.base ?? '/').split('/').filter((segment) => segment !== '').join('/')}/`.replace('//', '/');
  const dist = resolve(options.dist);
  const host = options.host ?? '127.0.0.1';
  const shards = new Map(Object.entries(options.shards ?? {}).map(([name, folder]) => [name, resolve(folder)]));
  const extra = options.extra ?? [];
  const headers = options.headers === false ? {} : securityHeaders();

  /** @returns {Promise<readonly LocalModel[]>} */
  async function models() {
    const listed = typeof options.models === 'function' ? await options.models() : (options.models ?? []);
    return [...listed, ...extra.map(({ model }) => model)];
  }

  /**
   * The file on disk for a path below `base`, or what to answer instead.
   * @param {readonly string[]} segments
   * @returns {Promise<string | { json: unknown } | null>}
   */
  async function locate(segments) {
    const [first, second, ...rest] = segments;
    if (first === 'models' && second !== undefined) {
      const all = await models();
      if (second === 'index.json' && rest.length === 0) {
        const extraIds = new Set(extra.map(({ row }) => row.id));
        const listed = all.filter(({ id }) => !extraIds.has(id));
        const files = (/** @type {LocalModel} */ model) => model.files.map(({ path, bytes }) => ({ path, bytes }));
        return { json: { models: listed.map((model) => ({ id: model.id, files: files(model) })), extra: extra.map(({ row }) => row) } };
      }
      return all.find(({ id }) => id === second)?.files.find(({ path }) => path === rest.join('/'))?.file ?? null;
    }
    const folder = first === 'shards' && second !== undefined ? shards.get(second) : undefined;
    if (folder !== undefined) return rest.length === 0 ? null : join(folder, ...rest);
    return segments.length === 0 ? join(dist, 'index.html') : join(dist, ...segments);
  }

  /**
   * @param {import('node:http').IncomingMessage} request
   * @param {import('node:http').ServerResponse} response
   */
  async function answer(request, response) {
    for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
    if (request.method !== 'GET' && request.method !== 'HEAD') return finish(response, 405, 'Only GET and HEAD are answered.', { Allow: 'GET, HEAD' });
    const segments = decodePath(request.url ?? '/', base);
    if (segments === null) return finish(response, 404, 'Not found.');
    if (options.intercept?.(request, response, segments.join('/')) === true) return;
    const found = await locate(segments);
    if (found !== null && typeof found === 'object') {
      return finish(response, 200, JSON.stringify(found.json), { 'Content-Type': types['.json'] ?? '', 'Cache-Control': 'no-cache' }, request.method === 'HEAD');
    }
    const info = found === null ? null : await stat(found).catch(() => null);
    if (found === null || info === null || !info.isFile()) return finish(response, 404, 'Not found.');
    await sendFile(request, response, found, info, segments[0] === 'assets');
  }

  const server = createHttpServer((request, response) => {
    answer(request, response).catch((/** @type {unknown} */ error) => {
      // A reader that went away in mid-file is no fault of the server.
      if (!response.headersSent) finish(response, 500, error instanceof Error ? error.message : String(error));
      else response.destroy();
    });
  });
  const port = await listen(server, options.port ?? 0, host, options.tries ?? 0);
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${port}${base}`,
    port,
    close: () =>
      new Promise((done) => {
        server.close(() => done());
        server.closeAllConnections();
      }),
  };
}

/**
 * The decoded segments below `base`; null for anything that is not a plain path in it.
 * @param {string} url
 * @param {string} base
 * @returns {string[] | null}
 */
function decodePath(url, base) {
  const path = url.split(/[?#]/, 1)[0] ?? '';
  if (!path.startsWith(base)) return null;
  const rest = path.slice(base.length);
  if (rest === '') return [];
  try {
    const segments = rest.split('/').map(decodeURIComponent);
    // Decoded first: an encoded slash, backslash or `..` must not reach the file system.
    return segments.every((segment) => segment !== '' && segment !== '.' && segment !== '..' && !/[/\\\0:]/.test(segment)) ? segments : null;
  } catch {
    return null;
  }
}

/**
 * @param {import('node:http').IncomingMessage} request
 * @param {import('node:http').ServerResponse} response
 * @param {string} file
 * @param {import('node:fs').Stats} info
 * @param {boolean} isImmutable True where the name carries a hash of the content.
 */
async function sendFile(request, response, file, info, isImmutable) {
  const etag = `"${info.size.toString(36)}-${Math.round(info.mtimeMs).toString(36)}"`;
  response.setHeader('Content-Type', types[extname(file).toLowerCase()] ?? 'application/octet-stream');
  response.setHeader('ETag', etag);
  response.setHeader('Last-Modified', info.mtime.toUTCString());
  response.setHeader('Accept-Ranges', 'bytes');
  response.setHeader('Cache-Control', isImmutable ? 'public, max-age=31536000, immutable' : 'no-cache');
  if (request.headers['if-none-match'] === etag) {
    response.writeHead(304).end();
    return;
  }
  const ifRange = request.headers['if-range'];
  const range = ifRange === undefined || ifRange === etag || ifRange === info.mtime.toUTCString() ? parseRange(request.headers.range, info.size) : null;
  if (range === 'unsatisfiable') return finish(response, 416, 'No such range.', { 'Content-Range': `bytes */${info.size}` });
  const { start, end } = range ?? { start: 0, end: info.size - 1 };
  if (range !== null) response.setHeader('Content-Range', `bytes ${start}-${end}/${info.size}`);
  response.writeHead(range === null ? 200 : 206, { 'Content-Length': end - start + 1 });
  if (request.method === 'HEAD' || info.size === 0) response.end();
  else if (end - start < wholeBytes) response.end(await readBytes(file, start, end - start + 1));
  else await pipeline(createReadStream(file, { start, end, highWaterMark: 1 << 20 }), response);
}

/** Shorter answers are read at once: sent in many small pieces, a part of a shard takes twice as long. */
const wholeBytes = 16e6;

/**
 * @param {string} file
 * @param {number} start
 * @param {number} length
 */
async function readBytes(file, start, length) {
  const handle = await open(file);
  try {
    const { buffer, bytesRead } = await handle.read({ buffer: Buffer.allocUnsafeSlow(length), position: start });
    if (bytesRead !== length) throw new Error(`${file} ended after ${bytesRead} of ${length} bytes`);
    return buffer;
  } finally {
    await handle.close();
  }
}

/**
 * One byte range; several ranges, other units and nonsense are ignored, as HTTP allows (RFC 9110 §14.2).
 * @param {string | undefined} header
 * @param {number} size
 * @returns {{ start: number; end: number } | 'unsatisfiable' | null}
 */
export function parseRange(header, size) {
  const match = /^bytes=(\d*)-(\d*)$/.exec(header?.trim() ?? '');
  if (match === null) return null;
  const [from = '', to = ''] = match.slice(1);
  if (from === '' && to === '') return null;
  const start = from === '' ? Math.max(0, size - Number(to)) : Number(from);
  const end = from === '' || to === '' ? size - 1 : Math.min(Number(to), size - 1);
  if (from !== '' && to !== '' && Number(to) < Number(from)) return null;
  return start >= size || (from === '' && Number(to) === 0) ? 'unsatisfiable' : { start, end };
}

/**
 * @param {import('node:http').ServerResponse} response
 * @param {number} status
 * @param {string} body
 * @param {Record<string, string>} [more]
 * @param {boolean} [isHead]
 */
function finish(response, status, body, more = {}, isHead = false) {
  const bytes = Buffer.from(body);
  response.writeHead(status, { 'Content-Type': 'text/plain; charset=utf-8', 'Cache-Control': 'no-store', ...more, 'Content-Length': bytes.length });
  response.end(isHead ? undefined : bytes);
}

/**
 * @param {import('node:http').Server} server
 * @param {number} port
 * @param {string} host
 * @param {number} tries
 * @returns {Promise<number>}
 */
function listen(server, port, host, tries) {
  return new Promise((done, fail) => {
    const onError = (/** @type {NodeJS.ErrnoException} */ error) => {
      if (error.code !== 'EADDRINUSE' || tries <= 0) fail(error);
      else listen(server, port + 1, host, tries - 1).then(done, fail);
    };
    server.once('error', onError);
    server.listen(port, host, () => {
      server.off('error', onError);
      const address = server.address();
      done(typeof address === 'object' && address !== null ? address.port : port);
    });
  });
}

async function main() {
  const { values } = parseArgs({
    options: {
      port: { type: 'string', default: '4173' },
      host: { type: 'string', default: '127.0.0.1' },
      base: { type: 'string', default: '/' },
      dist: { type: 'string', default: fileURLToPath(new URL('../dist', import.meta.url)) },
      'no-headers': { type: 'boolean', default: false },
      shard: { type: 'string', multiple: true, default: [] },
      gguf: { type: 'string', multiple: true, default: [] },
    },
  });
  const { tsImport } = await import('tsx/esm/api');
  const { ggufModel, localModels } = /** @type {typeof import('./models.ts')} */ (await tsImport('./models.ts', import.meta.url));
  const shards = Object.fromEntries(values.shard.map((pair) => /** @type {[string, string]} */ ([pair.split('=', 1)[0], pair.slice(pair.indexOf('=') + 1)])));
  const { url } = await createServer({
    dist: values.dist,
    models: localModels,
    extra: await Promise.all(values.gguf.map(ggufModel)),
    shards,
    port: Number(values.port),
    host: values.host,
    base: values.base,
    headers: !values['no-headers'],
  });
  console.log(url);
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) await main();
