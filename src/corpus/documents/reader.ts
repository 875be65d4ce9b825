/**
 * Reading the person's own files: the contract of a format's reader, the limits, and the choice by name and type. Files are untrusted input:
 * whatever is in them becomes plain text, and a reader fails with `document/*` or not at all. Nothing of a file leaves the device.
 */
import { AppError, isAbort } from '../../errors.ts';
import type { SourceSection } from '../passages.ts';
import type { DocumentType } from '../worker-api.ts';

export const maxDocumentBytes = 50e6;

export interface ExtractedDocument {
  /** The title that the document itself states; '' if none. */
  readonly title: string;
  readonly sections: readonly SourceSection[];
  /** null for formats without pages. */
  readonly pages: number | null;
}

export interface DocumentReader {
  readonly type: DocumentType;
  /** `name` in lower case; `mime` as the browser tells it, '' if it does not know. */
  accepts(name: string, mime: string): boolean;
  /** Rejects with `document/*` or `AbortError`. May keep `bytes`. */
  read(bytes: Uint8Array<ArrayBuffer>, name: string, signal: AbortSignal): Promise<ExtractedDocument>;
}

export interface ReadDocument extends ExtractedDocument {
  readonly type: DocumentType;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** A reader that is loaded when its first file comes. */
export type LazyReader = Pick<DocumentReader, 'type' | 'accepts'> & { readonly load: () => Promise<DocumentReader> };

/** The formats that are read here; each reader's library is loaded with its first file. */
const documentReaders: readonly LazyReader[] = [
  { type: 'pdf', accepts: (name, mime) => name.endsWith('.pdf') || mime === 'application/pdf', load: async () => (await import('./pdf.ts')).pdfReader },
  { type: 'html', accepts: (name, mime) => /\.(html?|xhtml)$/.test(name) || mime === 'text/html', load: async () => (await import('./html.ts')).htmlReader },
  { type: 'markdown', accepts: (name, mime) => /\.(md|markdown)$/.test(name) || mime === 'text/markdown', load: async () => (await import('./markdown.ts')).markdownReader },
  {
    type: 'text', accepts: (name, mime) => /\.(csv|tsv|tab)$/.test(name) || mime === 'text/csv' || mime === 'text/tab-separated-values',
    load: async () => (await import('./csv.ts')).csvReader,
  },
  { type: 'text', accepts: (name, mime) => name.endsWith('.txt') || (mime === 'text/plain' && !/\.\w{1,5}$/.test(name)), load: async () => (await import('./text.ts')).textReader },
];

/** Reads one file. Rejects with `document/unsupported`, `/too-large`, `/empty`, `/unreadable` or `AbortError`. */
export async function readDocument(file: File, signal: AbortSignal, readers: readonly LazyReader[] = documentReaders): Promise<ReadDocument> {
  const { name } = file;
  const lower = name.toLowerCase();
  const found = readers.find((reader) => reader.accepts(lower, file.type));
  if (found === undefined) throw new AppError('document/unsupported', { name, type: file.type === '' ? (/\.[^.]*$/.exec(lower)?.[0] ?? 'its type') : file.type });
  if (file.size > maxDocumentBytes) throw new AppError('document/too-large', { name, limitMB: maxDocumentBytes / 1e6 });
  if (file.size === 0) throw new AppError('document/empty', { name });
  const reader = await found.load();
  let bytes: Uint8Array<ArrayBuffer>;
  let document: ExtractedDocument;
  try {
    bytes = new Uint8Array(await file.arrayBuffer());
    signal.throwIfAborted();
    document = await reader.read(bytes, name, signal);
  } catch (error) {
    if (error instanceof AppError || isAbort(error)) throw error;
    throw new AppError('document/unreadable', { name, reason: error instanceof Error ? error.message.slice(0, 200) : 'unknown' }, { cause: error });
  }
  signal.throwIfAborted();
  if (!document.sections.some((section) => /[\p{L}\p{N}]/u.test(section.text))) throw new AppError('document/empty', { name });
  return { ...document, type: found.type, bytes };
}
