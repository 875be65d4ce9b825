/** Plain text: finding the character set, undoing hard line wraps. `decodeText` serves the other text formats too. */
import { AppError } from '../../errors.ts';
import type { DocumentReader } from './reader.ts';

/**
 * Text of a file: by its byte order mark, else UTF-16 where every other byte is zero, else UTF-8, else `declared` (a label found in the file), else
 * windows-1252. Throws `document/unreadable` for what is no text.
 */
export function decodeText(bytes: Uint8Array, name: string, declared: string | null = null): string {
  const text = decode(bytes, declared);
  const sample = text.slice(0, 100_000);
  let strange = 0;
  for (let i = 0; i < sample.length; i++) {
    const code = sample.charCodeAt(i);
    if ((code < 32 && code !== 9 && code !== 10 && code !== 12 && code !== 13 && code !== 27) || code === 0xfffd) strange++;
  }
  if (strange > 3 && strange > sample.length / 200) throw new AppError('document/unreadable', { name, reason: 'it is not a text file' });
  return text;
}

function decode(bytes: Uint8Array, declared: string | null): string {
  const [a, b, c] = bytes;
  if (a === 0xef && b === 0xbb && c === 0xbf) return new TextDecoder('utf-8').decode(bytes);
  if (a === 0xff && b === 0xfe) return new TextDecoder('utf-16le').decode(bytes);
  if (a === 0xfe && b === 0xff) return new TextDecoder('utf-16be').decode(bytes);
  const zeros = [0, 0];
  const sample = Math.min(bytes.length, 4096) & ~1;
  for (let i = 0; i < sample; i++) if (bytes[i] === 0) zeros[i % 2] = (zeros[i % 2] ?? 0) + 1;
  const [even = 0, odd = 0] = zeros;
  if (sample >= 4 && odd > sample * 0.2 && even < sample * 0.02) return new TextDecoder('utf-16le').decode(bytes);
  if (sample >= 4 && even > sample * 0.2 && odd < sample * 0.02) return new TextDecoder('utf-16be').decode(bytes);
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return decoderFor(declared).decode(bytes);
  }
}

function decoderFor(label: string | null): TextDecoder {
  try {
    // A file that is not UTF-8 although it says so is most likely from Windows.
    if (label !== null && !/^utf-?8$/i.test(label)) return new TextDecoder(label);
  } catch {
    // No such character set.
  }
  return new TextDecoder('windows-1252');
}

/** Lines of a paragraph joined where they were wrapped by hand; where lines are long, each is a paragraph already. */
export function unwrapLines(text: string): string {
  const lines = text.replace(/\r\n?|\f|\v/g, '\n').split('\n').map((line) => line.trim());
  const isWrapped = lines.every((line) => line.length <= 120);
  const paragraphs: string[] = [];
  let previous = '';
  for (const line of lines) {
    const joins = isWrapped && line !== '' && previous.length > 40 && !/^([-*•–—]|\d+[.)])\s/.test(line);
    if (joins) paragraphs.push(joinWrapped(paragraphs.pop() ?? '', line));
    else if (line !== '') paragraphs.push(line);
    previous = line;
  }
  return paragraphs.join('\n');
}

/** Joins two lines of one paragraph; a word cut by a hyphen at the line's end is put together again. */
export function joinWrapped(before: string, line: string): string {
  if (before === '') return line;
  if (/\p{L}\u00ad$/u.test(before)) return before.slice(0, -1) + line;
  if (/\p{Ll}[-\u2010]$/u.test(before) && /^\p{Ll}/u.test(line)) return before.slice(0, -1) + line;
  return /[-\u2010\u2014/]$/.test(before) && /^\p{L}/u.test(line) ? before + line : `${before} ${line}`;
}

export const textReader: DocumentReader = {
  type: 'text',
  accepts: (name) => name.endsWith('.txt'),
  async read(bytes, name) {
    return { title: '', sections: [{ heading: '', text: unwrapLines(decodeText(bytes, name)) }], pages: null };
  },
};
