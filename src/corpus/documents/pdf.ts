/**
 * PDF as text: lines put together from placed words, lines joined to paragraphs, running heads dropped, page numbers kept. The only importer of pdf.js,
 * which runs in a worker of its own where there are workers, without eval, fonts, images or scripts of the file.
 */
import { getDocument, PasswordResponses, PDFWorker, VerbosityLevel } from 'pdfjs-dist/legacy/build/pdf.mjs';
import type { PDFDocumentLoadingTask } from 'pdfjs-dist/legacy/build/pdf.mjs';
import workerUrl from 'pdfjs-dist/legacy/build/pdf.worker.min.mjs?url';
import { abortError, AppError } from '../../errors.ts';
import type { SourceSection } from '../passages.ts';
import type { DocumentReader, ExtractedDocument } from './reader.ts';
import { joinWrapped } from './text.ts';

export const maxPages = 3000;

/** A line of a page as it stands there. Sizes in points; `y` grows upwards. */
export interface PlacedLine {
  readonly text: string;
  readonly x: number;
  readonly right: number;
  readonly y: number;
  readonly height: number;
}

export const pdfReader: DocumentReader = {
  type: 'pdf',
  accepts: (name, mime) => name.endsWith('.pdf') || mime === 'application/pdf',
  async read(bytes, name, signal) {
    const unreadable = (reason: string, cause?: unknown): AppError => new AppError('document/unreadable', { name, reason }, { cause });
    if (!hasPdfHeader(bytes)) throw unreadable('it is not a PDF file');
    const worker = typeof Worker === 'undefined' ? null : new Worker(workerUrl, { type: 'module', name: 'pdf' });
    let task: PDFDocumentLoadingTask | null = null;
    let onAbort = (): void => {};
    const stopped = new Promise<never>((_, reject) => {
      onAbort = () => reject(abortError());
      if (signal.aborted) onAbort();
      signal.addEventListener('abort', onAbort);
      worker?.addEventListener('error', (event) => reject(unreadable(`the PDF worker failed (${event.message})`)));
    });
    try {
      task = getDocument({
        data: bytes.slice(),
        ...(worker === null ? {} : { worker: PDFWorker.create({ port: worker, verbosity: VerbosityLevel.ERRORS }) }),
        isEvalSupported: false,
        disableFontFace: true,
        useSystemFonts: false,
        useWorkerFetch: false,
        stopAtErrors: false,
        verbosity: VerbosityLevel.ERRORS,
      });
      return await Promise.race([readPages(task, name, signal), stopped]);
    } catch (error) {
      const kind = error instanceof Error ? error.name : '';
      if (kind === 'PasswordException') throw unreadable('it is protected by a password', error);
      if (kind === 'InvalidPDFException') throw unreadable('it is damaged', error);
      throw error;
    } finally {
      stopped.catch(() => {});
      signal.removeEventListener('abort', onAbort);
      await task?.destroy().catch(() => {});
      worker?.terminate();
    }
  },
};

/** The mark may stand behind some other bytes, but not far. */
function hasPdfHeader(bytes: Uint8Array): boolean {
  return new TextDecoder('latin1').decode(bytes.subarray(0, 1024)).includes('%PDF-');
}

async function readPages(task: PDFDocumentLoadingTask, name: string, signal: AbortSignal): Promise<ExtractedDocument> {
  task.onPassword = (_update: unknown, reason: number) => {
    if (reason === PasswordResponses.NEED_PASSWORD || reason === PasswordResponses.INCORRECT_PASSWORD) throw new DOMException('password', 'PasswordException');
  };
  const pdf = await task.promise;
  const pages = pdf.numPages;
  if (pages > maxPages) throw new AppError('document/unreadable', { name, reason: `it has ${pages} pages, ${maxPages} are the limit; split it and add the parts` });
  const placed: PlacedLine[][] = [];
  for (let number = 1; number <= pages; number++) {
    signal.throwIfAborted();
    // One broken page does not cost the others.
    placed.push(await readLines(pdf, number).catch(() => []));
  }
  const info: unknown = (await pdf.getMetadata().catch(() => null))?.info;
  const stated = typeof info === 'object' && info !== null && 'Title' in info && typeof info.Title === 'string' ? info.Title : '';
  return { title: plausibleTitle(stated), sections: layOut(placed), pages };
}

async function readLines(pdf: Awaited<PDFDocumentLoadingTask['promise']>, number: number): Promise<PlacedLine[]> {
  const page = await pdf.getPage(number);
  try {
    const content = await page.getTextContent();
    const lines: PlacedLine[] = [];
    let open: { text: string; x: number; right: number; y: number; height: number } | null = null;
    const close = (): void => {
      const text = open?.text.replace(/\s+/g, ' ').trim() ?? '';
      if (open !== null && text !== '') lines.push({ ...open, text });
      open = null;
    };
    for (const item of content.items) {
      if (!('str' in item)) continue;
      const transform: readonly unknown[] = item.transform;
      const at = (i: number): number => (typeof transform[i] === 'number' ? transform[i] : 0);
      const [x, y] = [at(4), at(5)];
      const height = item.height > 0 ? item.height : Math.hypot(at(2), at(3));
      if (open !== null && item.str !== '' && Math.abs(open.y - y) > Math.max(open.height, height) * 0.5) close();
      if (open === null && item.str.trim() !== '') open = { text: item.str, x, right: x + item.width, y, height };
      else if (open !== null) {
        // Words placed apart without a space in between.
        const gap = x - open.right;
        if (item.str !== '' && gap > height * 0.15 && !open.text.endsWith(' ') && !item.str.startsWith(' ')) open.text += ' ';
        open.text += item.str;
        if (item.str !== '') {
          open.right = x + item.width;
          open.height = Math.max(open.height, height);
        }
      }
      if (item.hasEOL) close();
    }
    close();
    return lines;
  } finally {
    page.cleanup();
  }
}

/** Pages of lines to sections: running heads dropped, headings told by their size, lines joined to paragraphs. A section never crosses a page. */
export function layOut(pages: readonly (readonly PlacedLine[])[]): SourceSection[] {
  const kept = dropRunningLines(pages);
  const body = commonHeight(kept.flat());
  const sections: { heading: string; text: string; page: number }[] = [];
  let heading = '';
  kept.forEach((lines, i) => {
    let paragraphs: string[] = [];
    const finish = (): void => {
      if (paragraphs.length > 0) sections.push({ heading, text: paragraphs.join('\n'), page: i + 1 });
      paragraphs = [];
    };
    const right = Math.max(0, ...lines.map((line) => line.right));
    let previous: PlacedLine | null = null;
    for (const line of lines) {
      if (isHeading(line, body)) {
        const continues = previous !== null && isHeading(previous, body) && paragraphs.length === 0 && previous.y - line.y < line.height * 2;
        finish();
        heading = continues ? `${heading} ${line.text}` : line.text;
      } else if (previous !== null && !isHeading(previous, body) && continuesParagraph(previous, line, right)) {
        paragraphs.push(joinWrapped(paragraphs.pop() ?? '', line.text));
      } else paragraphs.push(line.text);
      previous = line;
    }
    finish();
  });
  return sections;
}

function isHeading(line: PlacedLine, body: number): boolean {
  return body > 0 && line.height > body * 1.15 && line.text.length <= 150 && /\p{L}/u.test(line.text) && !/[.,;:]$/.test(line.text);
}

/** A wide gap, an indent after a full stop or a line that ended early begins a new paragraph. */
function continuesParagraph(previous: PlacedLine, line: PlacedLine, right: number): boolean {
  const size = Math.max(previous.height, line.height, 1);
  const gap = previous.y - line.y;
  if (/^([•▪◦‣·–]|\(?\d{1,2}[.)])\s/.test(line.text)) return false;
  // Further up: the next column of the page, in which a sentence may go on.
  if (gap < -size) return !/[.!?:]["”’)]?$/.test(previous.text);
  if (gap > size * 1.9) return false;
  const endsSentence = /[.!?:]["”’)]?$/.test(previous.text);
  if (endsSentence && (line.x - previous.x > size * 0.8 || previous.right < right - (right - previous.x) * 0.25)) return false;
  return true;
}

/** Lines that stand first or last on most pages, numbers aside. */
function dropRunningLines(pages: readonly (readonly PlacedLine[])[]): readonly (readonly PlacedLine[])[] {
  const keyOf = (line: PlacedLine | undefined): string => line?.text.replace(/\d+/g, '#').toLowerCase() ?? '';
  const counts = new Map<string, number>();
  const filled = pages.filter((lines) => lines.length > 1);
  for (const lines of filled) for (const key of new Set([keyOf(lines[0]), keyOf(lines.at(-1))])) counts.set(key, (counts.get(key) ?? 0) + 1);
  const isRunning = (line: PlacedLine | undefined): boolean => (counts.get(keyOf(line)) ?? 0) >= Math.max(3, filled.length / 2);
  return pages.map((lines) => {
    if (lines.length < 2) return lines;
    const start = isRunning(lines[0]) ? 1 : 0;
    const end = lines.length > start && isRunning(lines.at(-1)) ? -1 : undefined;
    return lines.slice(start, end);
  });
}

/** The height in which most characters are set. */
function commonHeight(lines: readonly PlacedLine[]): number {
  const characters = new Map<number, number>();
  for (const line of lines) {
    const height = Math.round(line.height * 2) / 2;
    characters.set(height, (characters.get(height) ?? 0) + line.text.length);
  }
  return [...characters].sort((a, b) => b[1] - a[1])[0]?.[0] ?? 0;
}

/** Programs put file names and placeholders into the title field. */
function plausibleTitle(title: string): string {
  const plain = title.replace(/^Microsoft (Word|PowerPoint) - /, '').replace(/\s+/g, ' ').trim();
  return plain.length < 4 || /^untitled\b/i.test(plain) || /\.(docx?|pptx?|tex|dvi|indd|qxd|rtf|odt|pdf)$/i.test(plain) ? '' : plain;
}
