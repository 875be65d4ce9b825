/**
 * Files over https with resume: what was fetched stays in `<file>.part` and the next try goes on there. Promise: the target appears only whole, and verified
 * where its SHA-256 is known.
 */
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { mkdir, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { sha256OfFile } from './disk.ts';

/** Why a source did not deliver. `unreachable`: the host itself does not answer, so that its other files need not be tried. */
export class SourceError extends Error {
  override readonly name = 'SourceError';
  constructor(
    message: string,
    readonly unreachable: boolean,
    options?: { cause?: unknown },
  ) {
    super(message, options);
  }
}

export interface DownloadOptions {
  /** Longest wait for the first answer. Default 8. */
  readonly connectSeconds?: number;
  /** Longest silence in the middle of a file. Default 30. */
  readonly stallSeconds?: number;
  /** Connections in all, resumed ones included. Default 5. */
  readonly attempts?: number;
  readonly onBytes?: (done: number) => void;
}

/** Rejects with `SourceError`; the fetched part is kept unless it proved wrong. */
export async function downloadFile(
  url: string,
  target: string,
  expected: { readonly bytes: number; readonly sha256: string | null },
  options: DownloadOptions = {},
): Promise<void> {
  const part = `${target}.part`;
  const attempts = options.attempts ?? 5;
  await mkdir(dirname(target), { recursive: true });
  for (let attempt = 1; ; attempt++) {
    try {
      await fetchRest(url, part, options);
      if (expected.sha256 !== null && (await sha256OfFile(part)) !== expected.sha256) {
        await rm(part, { force: true });
        throw new SourceError(`${url} is not the expected file: its checksum differs`, false);
      }
      await rename(part, target);
      return;
    } catch (error) {
      if (error instanceof BrokenOff && attempt < attempts) continue;
      throw error;
    }
  }
}

/** The connection ended in the middle: what came is kept and another try may go on. */
class BrokenOff extends SourceError {}

async function fetchRest(url: string, part: string, options: DownloadOptions): Promise<void> {
  const host = new URL(url).host;
  const have = (await stat(part).catch(() => null))?.size ?? 0;
  const watchdog = new AbortController();
  const expect = (seconds: number): NodeJS.Timeout => setTimeout(() => watchdog.abort(), seconds * 1000);
  let timer = expect(options.connectSeconds ?? 8);
  let response: Response;
  try {
    response = await fetch(url, { signal: watchdog.signal, redirect: 'follow', headers: have > 0 ? { range: `bytes=${have}-` } : {} });
  } catch (error) {
    throw new SourceError(`${host} does not answer (${reasonOf(error)})`, true, { cause: error });
  } finally {
    clearTimeout(timer);
  }
  if (response.status === 416) {
    // The server has no more than what is here already: whole, or another file of which the checksum tells.
    await response.body?.cancel();
    return;
  }
  if (!response.ok || response.body === null) {
    await response.body?.cancel();
    throw new SourceError(`${host} answered ${response.status} for ${url}`, false);
  }
  if (response.headers.get('content-type')?.startsWith('text/html') === true) {
    await response.body.cancel();
    throw new SourceError(`${host} sent a web page instead of the file (a network that wants a sign-in?)`, true);
  }
  const resumed = response.status === 206 && response.headers.get('content-range')?.startsWith(`bytes ${have}-`) === true;
  if (response.status === 206 && !resumed) {
    await response.body.cancel();
    throw new SourceError(`${host} sent another range than asked for`, false);
  }
  let done = resumed ? have : 0;
  const total = contentLength(response) === null ? null : done + (contentLength(response) ?? 0);
  const file = createWriteStream(part, { flags: resumed ? 'a' : 'w' });
  try {
    timer = expect(options.stallSeconds ?? 30);
    for await (const chunk of response.body) {
      clearTimeout(timer);
      done += chunk.byteLength;
      options.onBytes?.(done);
      if (!file.write(chunk)) await once(file, 'drain');
      timer = expect(options.stallSeconds ?? 30);
    }
  } catch (error) {
    throw new BrokenOff(`the download from ${host} broke off after ${done} bytes (${reasonOf(error)})`, false, { cause: error });
  } finally {
    clearTimeout(timer);
    await new Promise<void>((closed) => file.end(() => closed()));
  }
  if (total !== null && done < total) throw new BrokenOff(`the download from ${host} broke off after ${done} of ${total} bytes`, false);
}

/** null where the body is encoded: the length then counts other bytes than those that arrive. */
function contentLength(response: Response): number | null {
  const length = response.headers.get('content-length');
  return length === null || response.headers.get('content-encoding') !== null ? null : Number(length);
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.name === 'AbortError') return 'no answer in time';
  const cause: unknown = error.cause;
  if (cause instanceof Error) return (cause as NodeJS.ErrnoException).code ?? cause.message;
  return error.message;
}
