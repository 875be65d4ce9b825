/**
 * What a shard is built from: one item after another out of a file or a folder, in a fixed order, with constant memory.
 * Owns the contract of the readers and the byte streams (.gz, .bz2). Bad input ends in one `InputError` with its place.
 */
import { createReadStream } from 'node:fs';
import { PassThrough, type Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import unbzip2Stream from 'unbzip2-stream';
import type { PassageRow, SourceDocument } from '../../src/corpus/passages.ts';

/** What is wrong with the input, in one line for the terminal. */
export class InputError extends Error {
  override readonly name = 'InputError';
}

export interface InputDocument extends SourceDocument {
  /** Hyperlinks in the text: the title of the page they lead to and the words they stand on. */
  readonly links: readonly { readonly target: string; readonly anchor: string }[];
}

export type InputItem =
  | { readonly kind: 'document'; readonly document: InputDocument }
  | { readonly kind: 'redirect'; readonly alias: string; readonly target: string }
  /** A page of another namespace, a disambiguation page, … */
  | { readonly kind: 'skipped' };

export interface Input {
  /** True: links come from `InputDocument.links`; false: they are found as title mentions. */
  readonly hasHyperlinks: boolean;
  /** Whether a second document with the same id is an error (else it is passed over). */
  readonly areIdsUnique: boolean;
  readonly totalBytes: number;
  bytesRead(): number;
  /** BCP 47 code where the input states one; known once it was read. */
  language(): string | null;
  /** The items from number `skip` on; those before are read over without being understood. May be called once. */
  items(skip: number, signal: AbortSignal): AsyncGenerator<InputItem>;
  /** Further files of the shard, by name, made from its passages. */
  extras?(shardId: string, passages: AsyncIterable<PassageRow>): Promise<ReadonlyMap<string, string>>;
}

const maxLineLength = 64 * 2 ** 20;

/** The file's plain bytes, unpacked by its name. `onBytes` is told the number of bytes read from the disk so far. */
export function openBytes(path: string, onBytes: (read: number) => void): Readable {
  const file = createReadStream(path, { highWaterMark: 1 << 18 });
  let read = 0;
  file.on('data', (chunk) => onBytes((read += chunk.length)));
  const lower = path.toLowerCase();
  if (!lower.endsWith('.gz') && !lower.endsWith('.bz2')) return file;
  const out = new PassThrough();
  const unpack = lower.endsWith('.gz') ? createGunzip() : unbzip2Stream();
  const fail = (error: unknown): void => {
    out.destroy(new InputError(`${path}: it cannot be unpacked (${error instanceof Error ? error.message : String(error)})`));
  };
  file.on('error', fail);
  unpack.on('error', fail);
  out.on('close', () => file.destroy());
  file.pipe(unpack).pipe(out);
  return out;
}

/** The text of a byte stream, piece by piece; characters are never torn. */
export async function* textOf(bytes: AsyncIterable<unknown>): AsyncGenerator<string> {
  const decoder = new TextDecoder('utf-8');
  for await (const chunk of bytes) if (chunk instanceof Uint8Array) yield decoder.decode(chunk, { stream: true });
  const rest = decoder.decode();
  if (rest !== '') yield rest;
}

/** Lines without their ends. */
export async function* linesOf(text: AsyncIterable<string>): AsyncGenerator<string> {
  let rest = '';
  for await (const piece of text) {
    rest += piece;
    let from = 0;
    for (let end = rest.indexOf('\n', from); end >= 0; end = rest.indexOf('\n', from)) {
      yield rest.slice(from, end).replace(/\r$/, '');
      from = end + 1;
    }
    rest = rest.slice(from);
    if (rest.length > maxLineLength) throw new InputError(`a line is longer than ${maxLineLength / 2 ** 20} MB`);
  }
  if (rest !== '') yield rest;
}
