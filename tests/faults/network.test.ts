/** FAULTS N2-N7 and D7 at the transfer itself, against a real HTTP server that misbehaves. */
import { createHash, randomBytes } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createModelFiles, downloadBytes, downloadFile } from '../../src/corpus/download.ts';
import type { Kept, Sink, Target } from '../../src/corpus/download.ts';
import type { Progress } from '../../src/progress.ts';
import { cutAfter, startServer, testNet } from '../fixtures/server.ts';
import type { TestServer } from '../fixtures/server.ts';
import { limitQuota, openTestStore } from '../fixtures/storage.ts';

const never = new AbortController().signal;
const sha = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
const fileBytes = new Uint8Array(randomBytes(300_000));
const target = (change: Partial<Target> = {}): Target => ({ name: 'file.bin', bytes: fileBytes.length, sha256: sha(fileBytes), maxBytes: 1e9, ...change });

let server: TestServer;
beforeEach(async () => {
  server = await startServer();
  server.files.set('/file.bin', { bytes: fileBytes });
});
afterEach(() => server.close());

/** A sink in memory that shows what was kept. */
function memorySink(): Sink & { bytes: Uint8Array; kept: Kept | null; resets: number } {
  const sink = {
    bytes: new Uint8Array(0) as Uint8Array,
    kept: null as Kept | null,
    resets: 0,
    load: async () => sink.kept,
    async *read() {
      yield sink.bytes;
    },
    async reset(start: Kept) {
      sink.resets++;
      sink.bytes = new Uint8Array(0);
      sink.kept = start;
    },
    async append(bytes: Uint8Array, kept: Kept) {
      sink.bytes = new Uint8Array([...sink.bytes, ...bytes]);
      sink.kept = kept;
    },
  };
  return sink;
}

async function run(sink: Sink, change: Partial<Target> = {}, options: { path?: string; signal?: AbortSignal; stallMs?: number; origin?: string } = {}) {
  const progress: Progress[] = [];
  const net = testNet(options.origin ?? server.origin, options.stallMs === undefined ? {} : { stallMs: options.stallMs });
  const done = downloadFile(target(change), [`${server.origin}${options.path ?? '/file.bin'}`], sink, net, options.signal ?? never, (p) => progress.push(p));
  return { progress, net, error: await done.then(() => null, (error: unknown) => error) };
}

describe('N2: answers that are no file', () => {
  it.each([404, 403, 410, 401])('%i is final at once', async (status) => {
    server.fault = (_seen, response) => (response.writeHead(status).end(), true);
    const { error, net } = await run(memorySink());
    expect(error).toMatchObject({ code: 'download/not-found', detail: { status, file: 'file.bin' } });
    expect(server.requests).toHaveLength(1);
    expect(net.slept).toEqual([]);
  });

  it.each([[503, '7', 7000], [429, '2', 2000], [500, null, 1000], [503, '99999', 60_000]])('%i waits (Retry-After %s) and goes on', async (status, after, waited) => {
    server.fault = (_seen, response) => {
      if (server.requests.length > 1) return false;
      response.writeHead(status, after === null ? {} : { 'Retry-After': after }).end();
      return true;
    };
    const sink = memorySink();
    const { error, net, progress } = await run(sink);
    expect(error).toBeNull();
    expect(sha(sink.bytes)).toBe(sha(fileBytes));
    expect(net.slept.reduce((a, b) => a + b, 0)).toBe(waited);
    const waiting = progress.filter((p) => p.phase === 'waiting' && p.secondsLeft !== null);
    expect(waiting[0]?.secondsLeft).toBe(waited / 1000);
    expect(waiting.at(-1)?.secondsLeft).toBeLessThanOrEqual(1);
  });

  it('honours a Retry-After date by the clock of the server', async () => {
    server.fault = (_seen, response) => {
      if (server.requests.length > 1) return false;
      response.writeHead(503, { Date: 'Wed, 01 Jan 2020 00:00:00 GMT', 'Retry-After': 'Wed, 01 Jan 2020 00:00:20 GMT' }).end();
      return true;
    };
    const { error, net } = await run(memorySink());
    expect(error).toBeNull();
    expect(net.slept.reduce((a, b) => a + b, 0)).toBe(20_000);
  });

  it('gives up after a few fruitless tries, with growing waits, naming the status', async () => {
    server.fault = (_seen, response) => (response.writeHead(502).end(), true);
    const { error, net } = await run(memorySink());
    expect(error).toMatchObject({ code: 'download/status', retryable: true, detail: { status: 502 } });
    expect(server.requests).toHaveLength(5);
    expect(net.slept.reduce((a, b) => a + b, 0)).toBe(15_000);
  });

  it('can be stopped while it waits', async () => {
    server.fault = (_seen, response) => (response.writeHead(503, { 'Retry-After': '60' }).end(), true);
    const stop = new AbortController();
    const net = testNet(server.origin);
    const done = downloadFile(target(), [`${server.origin}/file.bin`], memorySink(), net, stop.signal, (p) => {
      if (p.phase === 'waiting' && p.secondsLeft !== null && p.secondsLeft < 50) stop.abort();
    });
    await expect(done).rejects.toMatchObject({ name: 'AbortError' });
  });
});

describe('breaks and resuming', () => {
  it('D1: goes on where the connection broke, without asking for a byte twice', async () => {
    server.fault = (seen, response, file) => {
      if (file === undefined || server.requests.length > 2) return false;
      cutAfter(100_000, response, file, seen);
      return true;
    };
    const sink = memorySink();
    const { error } = await run(sink);
    expect(error).toBeNull();
    expect(sha(sink.bytes)).toBe(sha(fileBytes));
    expect(server.requests.map((r) => r.range)).toEqual([null, 'bytes=100000-', 'bytes=200000-']);
    expect(server.requests[1]?.ifRange).toMatch(/^"/);
    expect(sink.resets).toBe(1);
  });

  it('an abort keeps what was fetched, and the next call fetches the rest only', async () => {
    server.fault = (_seen, response, file) => {
      if (file === undefined || server.requests.length > 1) return false;
      response.writeHead(200, { 'Content-Length': file.bytes.length, ETag: '"v1"' });
      response.write(file.bytes.subarray(0, 120_000));
      return true;
    };
    const stop = new AbortController();
    const sink = memorySink();
    const done = downloadFile(target(), [`${server.origin}/file.bin`], sink, testNet(server.origin), stop.signal, (p) => {
      if (p.done >= 120_000) stop.abort();
    });
    await expect(done).rejects.toMatchObject({ name: 'AbortError' });
    expect(sink.kept?.received).toBe(120_000);
    const { error } = await run(sink);
    expect(error).toBeNull();
    expect(server.requests[1]?.range).toBe('bytes=120000-');
    expect(sha(sink.bytes)).toBe(sha(fileBytes));
  });

  it('N3: a server without ranges sends the whole again, never a mixture', async () => {
    server.files.set('/file.bin', { bytes: fileBytes, ranges: false });
    server.fault = (seen, response, file) => {
      if (file === undefined || server.requests.length > 1) return false;
      cutAfter(100_000, response, file, seen);
      return true;
    };
    const sink = memorySink();
    expect((await run(sink)).error).toBeNull();
    expect(server.requests[1]?.range).toBe('bytes=100000-');
    expect(sha(sink.bytes)).toBe(sha(fileBytes));
    expect(sink.resets).toBe(2);
  });

  it('N4: a file that changed between two tries is fetched anew (If-Range)', async () => {
    const changed = new Uint8Array(randomBytes(300_000));
    server.fault = (seen, response, file) => {
      if (file === undefined || server.requests.length > 1) return false;
      cutAfter(100_000, response, file, seen);
      server.files.set('/file.bin', { bytes: changed });
      return true;
    };
    const sink = memorySink();
    expect((await run(sink, { sha256: sha(changed) })).error).toBeNull();
    expect(sha(sink.bytes)).toBe(sha(changed));
  });

  it('N4: the same without If-Range, told by the ETag of the answer (weak tags, other origins)', async () => {
    const changed = new Uint8Array(randomBytes(300_000));
    server.files.set('/file.bin', { bytes: fileBytes, etag: 'W/"one"' });
    server.fault = (seen, response, file) => {
      if (file === undefined || server.requests.length > 1) return false;
      response.writeHead(200, { 'Content-Length': file.bytes.length, ETag: 'W/"one"' });
      response.write(file.bytes.subarray(0, 100_000), () => setTimeout(() => response.destroy(), 20));
      server.files.set('/file.bin', { bytes: changed, etag: 'W/"two"' });
      return seen.path !== '';
    };
    const sink = memorySink();
    // No checksum: only the tags can tell that the file is another one now.
    expect((await run(sink, { sha256: null })).error).toBeNull();
    expect(server.requests.map((r) => [r.range, r.ifRange])).toEqual([[null, null], ['bytes=100000-', null], [null, null]]);
    expect(sha(sink.bytes)).toBe(sha(changed));
  });

  it('without checksum and tag nothing is resumed', async () => {
    server.files.set('/file.bin', { bytes: fileBytes, etag: null });
    server.fault = (_seen, response, file) => {
      if (file === undefined || server.requests.length > 1) return false;
      response.writeHead(200, { 'Content-Length': file.bytes.length });
      response.write(file.bytes.subarray(0, 100_000), () => setTimeout(() => response.destroy(), 20));
      return true;
    };
    const sink = memorySink();
    expect((await run(sink, { sha256: null })).error).toBeNull();
    expect(server.requests[1]?.range).toBeNull();
    expect(sha(sink.bytes)).toBe(sha(fileBytes));
  });

  it('a range answer that begins elsewhere is not used', async () => {
    server.fault = (seen, response, file) => {
      if (file === undefined) return false;
      if (server.requests.length === 1) cutAfter(100_000, response, file, seen);
      else if (server.requests.length === 2) {
        response.writeHead(206, { 'Content-Range': `bytes 50000-299999/300000` }).end(file.bytes.subarray(50_000));
      } else return false;
      return true;
    };
    const sink = memorySink();
    expect((await run(sink)).error).toBeNull();
    expect(sha(sink.bytes)).toBe(sha(fileBytes));
  });

  it('N5: a server that stops sending is left after the stall time and asked for the rest', async () => {
    server.fault = (_seen, response, file) => {
      if (file === undefined || server.requests.length > 1) return false;
      response.writeHead(200, { 'Content-Length': file.bytes.length, ETag: '"x"' });
      response.write(file.bytes.subarray(0, 100_000));
      return true;
    };
    server.files.set('/file.bin', { bytes: fileBytes, etag: '"x"' });
    const sink = memorySink();
    expect((await run(sink, {}, { stallMs: 300 })).error).toBeNull();
    expect(server.requests[1]?.range).toBe('bytes=100000-');
    expect(sha(sink.bytes)).toBe(sha(fileBytes));
  });

  it('says so when nothing answers at all', async () => {
    await server.close();
    const { error } = await run(memorySink());
    expect(error).toMatchObject({ code: 'download/network', retryable: true });
    expect(String((error as Error).message)).toContain('no connection');
    const foreign = await run(memorySink(), {}, { origin: 'https://elsewhere.example' });
    expect(String((foreign.error as Error).message)).toContain('CORS');
  });
});

describe('content that is not what was announced', () => {
  it('D2: a flipped byte is found by the checksum and nothing is kept', async () => {
    const flipped = fileBytes.slice();
    flipped[1234] = (flipped[1234] ?? 0) ^ 1;
    server.files.set('/file.bin', { bytes: flipped });
    const sink = memorySink();
    expect((await run(sink)).error).toMatchObject({ code: 'download/checksum' });
    expect(sink.kept?.received).toBe(0);
  });

  it('D1: a file that is short on the server is refused with both sizes', async () => {
    server.files.set('/file.bin', { bytes: fileBytes.subarray(0, 1000) });
    const sink = memorySink();
    expect((await run(sink)).error).toMatchObject({ code: 'download/size', detail: { got: 1000, expected: 300_000 } });
    expect(sink.kept?.received).toBe(0);
  });

  it('a file that is longer than announced is cut off at once', async () => {
    server.files.set('/file.bin', { bytes: new Uint8Array(3_000_000) });
    const sink = memorySink();
    expect((await run(sink)).error).toMatchObject({ code: 'download/size' });
    expect(sink.bytes).toHaveLength(0);
  });

  it('an unknown size is limited all the same', async () => {
    const { error } = await run(memorySink(), { bytes: null, sha256: null, maxBytes: 1000 });
    expect(error).toMatchObject({ code: 'download/size' });
  });

  it.each([
    ['text/html', '<p>sign in</p>'],
    ['application/octet-stream', '\n <!DOCTYPE html><html><body>sign in</body></html>'],
    ['application/octet-stream', '<!-- portal -->\n<HTML>'],
  ])('N7: a web page in its place (%s) is told as such', async (type, text) => {
    server.files.set('/file.bin', { bytes: new TextEncoder().encode(text), type });
    const sink = memorySink();
    expect((await run(sink, { bytes: null, sha256: null })).error).toMatchObject({ code: 'download/not-expected' });
    expect(sink.bytes).toHaveLength(0);
  });

  it('N6: gzip on the way and a length that is not the length of the file do no harm', async () => {
    server.fault = (_seen, response, file) => {
      if (file === undefined) return false;
      const packed = gzipSync(file.bytes);
      response.writeHead(200, { 'Content-Encoding': 'gzip', 'Content-Length': packed.length }).end(packed);
      return true;
    };
    const sink = memorySink();
    expect((await run(sink)).error).toBeNull();
    expect(sha(sink.bytes)).toBe(sha(fileBytes));
  });

  it('N6: follows a redirect', async () => {
    server.fault = (seen, response) => (seen.path === '/old.bin' ? (response.writeHead(302, { Location: '/file.bin' }).end(), true) : false);
    const sink = memorySink();
    expect((await run(sink, {}, { path: '/old.bin' })).error).toBeNull();
    expect(sha(sink.bytes)).toBe(sha(fileBytes));
  });
});

describe('sources and small files', () => {
  it('takes the next source where the first has nothing, or a page in its place', async () => {
    server.files.set('/local.bin', { bytes: new TextEncoder().encode('<!doctype html><title>app</title>'), type: 'text/html' });
    const sink = memorySink();
    const sources = ['/missing.bin', '/local.bin', '/file.bin'].map((path) => server.origin + path);
    await downloadFile(target(), sources, sink, testNet(server.origin), never, () => {});
    expect(sha(sink.bytes)).toBe(sha(fileBytes));
  });

  it('goes on from another source with what the first gave, because the checksum decides', async () => {
    server.files.set('/b.bin', { bytes: fileBytes, etag: '"other"' });
    server.fault = (seen, response, file) => {
      if (seen.path !== '/file.bin') return false;
      if (server.requests.length === 1 && file !== undefined) cutAfter(100_000, response, file, seen);
      else response.writeHead(404).end();
      return true;
    };
    const sink = memorySink();
    await downloadFile(target(), [`${server.origin}/file.bin`, `${server.origin}/b.bin`], sink, testNet(server.origin), never, () => {});
    expect(sha(sink.bytes)).toBe(sha(fileBytes));
    expect(server.requests.at(-1)).toMatchObject({ path: '/b.bin', range: 'bytes=100000-', ifRange: null });
  });

  it('reads a small file whole', async () => {
    const read = await downloadBytes(target(), `${server.origin}/file.bin`, testNet(server.origin), never, () => {});
    expect(sha(read)).toBe(sha(fileBytes));
  });
});

describe('model files', () => {
  const config = new TextEncoder().encode('{"a": 1}');
  const weights = new Uint8Array(randomBytes(20_000_000));
  const model = (change: { hub?: boolean } = {}) => ({
    id: 'tiny-model',
    files: [
      { path: 'config.json', bytes: 100, sha256: null, hubUrl: change.hub === true ? `${server.origin}/hub/config.json` : null },
      { path: 'onnx/weights.bin', bytes: weights.length, sha256: sha(weights), hubUrl: change.hub === true ? `${server.origin}/hub/weights.bin` : null },
    ],
  });
  const local = (): void => {
    server.files.set('/app/models/tiny-model/config.json', { bytes: config });
    server.files.set('/app/models/tiny-model/onnx/weights.bin', { bytes: weights });
  };
  const open = () => {
    const { store } = openTestStore();
    return { store, files: createModelFiles(store, testNet(server.origin), null) };
  };

  it('stores a model in parts of 8 MB, verified, and gives its files as Blobs', async () => {
    local();
    const { store, files } = open();
    const seen: Progress[] = [];
    expect(await files.has(model())).toBe(false);
    await files.ensure(model(), `${server.origin}/app/`, never, (p) => seen.push(p));
    expect(await files.has(model())).toBe(true);
    expect((await store.fileParts('tiny-model', 'onnx/weights.bin')).map((part) => part.size >= 8 * 2 ** 20)).toEqual([true, true, false]);
    const blob = await files.blob('tiny-model', 'onnx/weights.bin');
    expect(sha(new Uint8Array((await blob?.arrayBuffer()) ?? new ArrayBuffer(0)))).toBe(sha(weights));
    expect(seen.at(-1)).toMatchObject({ phase: 'done', done: weights.length + 100, total: weights.length + 100 });
    expect(await files.list()).toEqual([
      { id: 'tiny-model', files: [{ path: 'config.json', bytes: config.length, complete: true }, { path: 'onnx/weights.bin', bytes: weights.length, complete: true }] },
    ]);
    const before = server.requests.length;
    await files.ensure(model(), `${server.origin}/app/`, never, () => {});
    expect(server.requests).toHaveLength(before);
    await files.remove('tiny-model');
    expect(await files.blob('tiny-model', 'onnx/weights.bin')).toBeNull();
    expect(await files.list()).toEqual([]);
  });

  it('asks beside the page first, then the hub', async () => {
    server.files.set('/hub/config.json', { bytes: config });
    server.files.set('/hub/weights.bin', { bytes: weights });
    const { files } = open();
    await files.ensure(model({ hub: true }), `${server.origin}/app/`, never, () => {});
    expect(server.requests.map((r) => r.path)).toEqual(['/app/models/tiny-model/config.json', '/hub/config.json', '/app/models/tiny-model/onnx/weights.bin', '/hub/weights.bin']);
  });

  it('a pause keeps whole parts and the rest; a new session checks and resumes', async () => {
    local();
    const { store, files } = open();
    const stop = new AbortController();
    server.fault = (seen, response, file) => {
      if (!seen.path.endsWith('weights.bin') || file === undefined || stop.signal.aborted) return false;
      response.writeHead(200, { 'Content-Length': file.bytes.length, ETag: '"w"' });
      response.write(file.bytes.subarray(0, 10_000_000));
      return true;
    };
    server.files.set('/app/models/tiny-model/onnx/weights.bin', { bytes: weights, etag: '"w"' });
    const paused = files.ensure(model(), `${server.origin}/app/`, stop.signal, (p) => {
      if (p.done >= 10_000_000) stop.abort();
    });
    await expect(paused).rejects.toMatchObject({ name: 'AbortError' });
    expect(await files.blob('tiny-model', 'onnx/weights.bin')).toBeNull();
    expect(await files.has(model())).toBe(false);
    const again = createModelFiles(store, testNet(server.origin), null);
    await again.ensure(model(), `${server.origin}/app/`, never, () => {});
    expect(server.requests.at(-1)?.range).toMatch(/^bytes=[1-9]\d{6,}-$/);
    const blob = await again.blob('tiny-model', 'onnx/weights.bin');
    expect(sha(new Uint8Array((await blob?.arrayBuffer()) ?? new ArrayBuffer(0)))).toBe(sha(weights));
  });

  it('finds kept parts that were damaged on the device, and fetches the file anew the next time', async () => {
    local();
    const { store, files } = open();
    await store.beginFile({
      model: 'tiny-model', path: 'onnx/weights.bin', bytes: weights.length, received: 0, parts: 0, sha256: sha(weights), etag: null, source: '', complete: false,
    });
    await store.appendFile(
      { model: 'tiny-model', path: 'onnx/weights.bin', bytes: weights.length, received: 1000, parts: 1, sha256: sha(weights), etag: null, source: '', complete: false },
      new Blob([new Uint8Array(1000)]),
    );
    await expect(files.ensure(model(), `${server.origin}/app/`, never, () => {})).rejects.toMatchObject({ code: 'download/checksum' });
    await files.ensure(model(), `${server.origin}/app/`, never, () => {});
    expect(await files.has(model())).toBe(true);
  });

  it('S1: a full store ends the download with its reason and keeps the parts it has', async () => {
    local();
    const { store, files } = open();
    const quota = limitQuota(9_000_000);
    await expect(files.ensure(model(), `${server.origin}/app/`, never, () => {})).rejects.toMatchObject({ code: 'storage/quota' }).finally(() => quota.restore());
    expect(await store.file('tiny-model', 'onnx/weights.bin')).toMatchObject({ parts: 1, complete: false });
    await files.ensure(model(), `${server.origin}/app/`, never, () => {});
    expect(await files.has(model())).toBe(true);
  });

  it('refuses file names that leave the folder of the model', async () => {
    const { files } = open();
    for (const path of ['../x.bin', 'a/../../x.bin', 'a//b.bin?x', '/etc/x', 'https://elsewhere.example/x']) {
      const bad = { id: 'tiny-model', files: [{ path, bytes: 1, sha256: null, hubUrl: null }] };
      await expect(files.ensure(bad, `${server.origin}/app/`, never, () => {}), path).rejects.toMatchObject({ code: 'download/not-found' });
    }
    expect(server.requests).toEqual([]);
  });
});

