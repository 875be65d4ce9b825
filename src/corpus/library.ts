/**
 * The library as the corpus worker holds it: complete shards and own documents opened for search, texts read on demand, changes of this and other tabs
 * followed. Promise: word search answers as soon as the word indexes are open; vectors and links join when they are; what is deleted is not found again.
 */
import { abortError, AppError, isAbort, toWire } from '../errors.ts';
import type { WireError } from '../errors.ts';
import { createProgressMeter } from '../progress.ts';
import type { OnProgress, Progress } from '../progress.ts';
import { readDocument } from './documents/reader.ts';
import type { ReadDocument } from './documents/reader.ts';
import { importShard, ownCorpus } from './import.ts';
import type { ImportTools } from './import.ts';
import type { BatchSearch } from './kernel/batch.ts';
import { scalarKernel } from './kernel/kernel.ts';
import { completions } from './completion.ts';
import { documentFrequencies } from './frequencies.ts';
import { openLexicalSegment } from './lexical.ts';
import { documentPart, indexPassages, openDocumentWords } from './own-index.ts';
import { openLinks, openTitles } from './links.ts';
import type { LinkGraph } from './links.ts';
import { createOwnLinks } from './own-links.ts';
import { chunkDocument, embeddedText, parsePassageId, toPassage } from './passages.ts';
import type { PassageRow } from './passages.ts';
import type { Neighbours, Passage, PassageRef, SearchRequest, SearchResult, TermFrequencies } from './retriever.ts';
import { documentSource, passagesAround, search, searchMany } from './search.ts';
import type { AskedSearch, SearchSource } from './search.ts';
import { decodePassageBlock, encodePassages, parseManifest, schemeOf, sha256Hex, type ShardManifest } from './shard.ts';
import type { CorpusRow, DocumentRow, PartRow, StoreNotice, VectorRow } from './store.ts';
import { createDocumentVectors, openShardVectors, vectorBudgetBytes } from './vector-set.ts';
import { encodeVectors, joinRows, openVectorSegment, quantise, vectorSegment } from './vectors.ts';
import type { VectorSegment } from './vectors.ts';
import type { CorpusSummary, DocumentSummary, LibrarySnapshot, UnembeddedBatch } from './worker-api.ts';

/** Passages in decoded blocks that are kept: about 16 MB. */
const cachedPassages = 16_384;
/** Vectors of own documents are stored in rows of up to this many passages, so that small batches do not leave thousands of rows. */
const vectorsPerRow = 256;
/** An import in another tab that was silent for so long is not shown as running. */
const silentImportMs = 40_000;

export interface Library {
  /** The state now, then after every change; a slow reader gets the latest only. */
  watch(signal: AbortSignal): AsyncIterable<LibrarySnapshot>;
  snapshot(): Promise<LibrarySnapshot>;
  search(request: SearchRequest, vector: { readonly embedder: string; readonly values: Float32Array } | null, signal: AbortSignal): Promise<SearchResult>;
  /** As `search`, for several at once. */
  searchMany(asked: readonly AskedSearch[], signal: AbortSignal): Promise<readonly SearchResult[]>;
  passage(id: string): Promise<Passage | null>;
  neighbours(id: string): Promise<Neighbours | null>;
  frequencies(terms: readonly string[]): Promise<TermFrequencies>;
  complete(prefix: string, limit: number): Promise<readonly string[]>;
  importShard(url: string, signal: AbortSignal, onProgress: OnProgress): Promise<string>;
  deleteCorpus(id: string): Promise<void>;
  addDocuments(files: readonly File[], signal: AbortSignal, onProgress: OnProgress): Promise<readonly AddedDocument[]>;
  deleteDocument(id: string): Promise<void>;
  nextUnembedded(embedder: string, dimensions: number, limit: number): Promise<UnembeddedBatch | null>;
  storeVectors(batch: { document: string; first: number; embedder: string; dimensions: number; values: Float32Array }): Promise<void>;
  /** Hears of the store's connection. */
  noticed(notice: StoreNotice | null): void;
  /** Resolves when vectors and links of everything are open as well. */
  settled(): Promise<void>;
}

export interface AddedDocument {
  readonly name: string;
  readonly id: string | null;
  readonly error: WireError | null;
}

/** Something opened for search, and where its passage blocks lie. */
interface Opened {
  readonly id: string;
  readonly digest: string;
  readonly passages: readonly PartRow[];
  /** Replaced as more of it is opened. */
  source: SearchSource;
}

interface Shard {
  readonly row: CorpusRow;
  readonly manifest: ShardManifest | null;
  opened: Opened | null;
  storedBytes: number;
  error: WireError | null;
}

interface OwnDocument {
  readonly row: DocumentRow;
  opened: Opened | null;
  vectors: readonly VectorRow[];
}

/** By the kernel alone; loaded with the first batch, which the first screen has none of. */
const laterBatches: Pick<BatchSearch, 'search'> = { search: async (...asked) => (await import('./kernel/batch.ts')).kernelBatches.search(...asked) };

/** `batches`: what searches several queries exactly; default: the kernel. */
export function createLibrary(tools: ImportTools, batches: Pick<BatchSearch, 'search'> = laterBatches): Library {
  const { store, channel, locks } = tools;
  const { now } = tools.net;
  const kernel = tools.kernel ?? Promise.resolve(scalarKernel);
  const ownVectors = kernel.then(createDocumentVectors);
  const budgetBytes = tools.vectorBudgetBytes ?? vectorBudgetBytes(null);
  /** By id and digest. */
  let shards: ReadonlyMap<string, Shard> = new Map();
  let documents: ReadonlyMap<string, OwnDocument> = new Map();
  let notice: StoreNotice | null = null;
  const imports = new Map<string, { readonly name: string; readonly progress: Progress; readonly at: number; readonly stop: AbortController | null }>();
  const importErrors = new Map<string, AppError>();
  const listeners = new Set<() => void>();
  const cache = new Map<string, readonly PassageRow[]>();
  const openedOf = new WeakMap<SearchSource, Opened>();
  const textsOf = async (source: SearchSource, ordinals: readonly number[]): Promise<(string | null)[]> =>
    (await fetchPassages(ordinals.map((ordinal) => ({ source, ordinal })))).map((passage) => passage?.text ?? null);
  const ownLinks = createOwnLinks(textsOf, () => new Promise((resolve) => setTimeout(resolve)));
  let lastRefresh: Promise<void> = Promise.resolve();
  let started: Promise<void> | null = null;
  let background: Promise<void> = Promise.resolve();
  let isListed = false;
  /** Another tab may have embedded more of the documents. */
  let isChangedElsewhere = false;

  const changed = (): void => {
    for (const listener of listeners) listener();
  };
  const changedForAll = throttledPost(() => channel.post({ kind: 'changed' }));

  channel.listen((message) => {
    if (message.kind === 'changed') {
      isChangedElsewhere = true;
      void refresh().catch(() => {});
      return;
    }
    if (imports.get(message.id)?.stop != null) return;
    if (message.progress === null) imports.delete(message.id);
    else imports.set(message.id, { name: message.name, progress: message.progress, at: now(), stop: null });
    changed();
  });

  /** Everything that answers waits for the word indexes once. A failed first try is repeated by the next call. */
  function ready(): Promise<void> {
    started ??= refresh().catch((error: unknown) => {
      started = null;
      throw error;
    });
    return started;
  }

  /** What a search needs: also what was just imported or added is open. */
  async function current(): Promise<void> {
    await ready();
    await lastRefresh;
  }

  /** Brings the opened state in line with the store. Resolves when word indexes are open. One at a time, in order. */
  function refresh(): Promise<void> {
    const next = lastRefresh.then(readStore);
    lastRefresh = next.catch(() => {});
    return next;
  }

  async function readStore(): Promise<void> {
    const [rows, documentRows] = [await store.corpora(), await store.documents()];
    const nextShards = new Map<string, Shard>();
    for (const row of rows) {
      const key = `${row.id}@${row.digest}`;
      const known = shards.get(key);
      nextShards.set(key, known?.row.state === row.state && known.error === null ? known : { ...decodeRow(row), opened: null, storedBytes: 0 });
    }
    const nextDocuments = new Map<string, OwnDocument>();
    for (const row of documentRows) {
      const known = documents.get(row.id);
      nextDocuments.set(row.id, known?.row.order === row.order ? known : { row, opened: null, vectors: [] });
    }
    const isGone = (opened: Opened): boolean =>
      opened.id === ownCorpus ? nextDocuments.get(opened.digest)?.opened !== opened : nextShards.get(`${opened.id}@${opened.digest}`)?.opened !== opened;
    for (const { opened } of [...shards.values(), ...documents.values()]) if (opened !== null && isGone(opened)) forget(opened);
    shards = nextShards;
    documents = nextDocuments;
    isListed = true;
    changed();

    for (const shard of shards.values()) await openShard(shard);
    const isReread = isChangedElsewhere;
    isChangedElsewhere = false;
    for (const document of isReread ? documents.values() : []) {
      if (document.opened !== null && document.vectors.reduce((sum, row) => sum + row.count, 0) < document.row.passages) await readVectors(document, document.opened);
    }
    await openDocuments([...documents.values()].filter((document) => document.opened === null));
    changed();
    background = background.then(openRest).then(() => ownLinks.update(sourcesOf(documents), sourcesOf(shards))).catch(() => {});
  }

  async function openShard(shard: Shard): Promise<void> {
    const { row, manifest } = shard;
    if (shard.opened !== null || shard.error !== null || manifest === null) return;
    try {
      const parts = await store.parts(row.id, row.digest);
      shard.storedBytes = parts.reduce((sum, part) => sum + part.bytes, 0);
      if (row.state !== 'complete') return;
      const lost = manifest.parts.find((part) => !parts.some((other) => other.file === part.file));
      if (lost !== undefined) throw new AppError('shard/part-missing', { part: lost.file, status: 'lost by the browser' });
      const lexical = await readParts(row, parts, 'lexical');
      const titles = await readParts(row, parts, 'titles');
      shard.opened = remember(row.id, row.digest, parts, {
        key: `${row.id}@${row.digest}`,
        corpus: row.id,
        titles: openTitles(titles),
        lexical: lexical.map(({ bytes, name }) => openLexicalSegment(bytes, name, schemeOf(manifest))),
        vectors: [],
        links: null,
        ranking: manifest.ranking ?? null,
      });
    } catch (error) {
      if (!(error instanceof AppError) || error.code.startsWith('storage/')) throw error;
      shard.error = toWire(error);
    }
  }

  /** Links first: they are small and worth more to a search than vectors (see FACTS in DESIGN.md). */
  async function openRest(): Promise<void> {
    for (const shard of shards.values()) {
      const { row, manifest, opened } = shard;
      if (opened === null || manifest === null || opened.source.links !== null) continue;
      try {
        const parts = await store.parts(row.id, row.digest);
        const links: LinkGraph = openLinks(await readParts(row, parts, 'links'), manifest.counts.passages, manifest.counts.documents);
        replaceSource(opened, { ...opened.source, links });
        const stored = parts.filter((part) => part.kind === 'vectors').sort((a, b) => a.first - b.first);
        const others = [...shards.values()].filter((other) => other.row.id !== row.id);
        const left = budgetBytes - others.reduce((sum, other) => sum + (other.opened?.source.vectors[0]?.set.bytes ?? 0), 0);
        const set = await openShardVectors(stored, manifest, await kernel, left, (wanted) =>
          store.blocks(wanted.map(({ file, block }) => ({ id: row.id, digest: row.digest, file, block }))),
        );
        if (set !== null) replaceSource(opened, { ...opened.source, vectors: [{ set, first: 0 }] });
      } catch (error) {
        if (!(error instanceof AppError)) throw error;
        shard.error = toWire(error);
      }
    }
    changed();
  }

  async function openDocuments(list: readonly OwnDocument[]): Promise<void> {
    for (const document of list) {
      const { row } = document;
      const parts = await store.parts(ownCorpus, row.id);
      try {
        const lexical = await openDocumentWords(store, row, parts);
        document.vectors = await store.vectors(row.id);
        document.opened = remember(
          ownCorpus, row.id, parts, documentSource(ownCorpus, row, lexical, (await ownVectors).put(row.id, row.passages, document.vectors.map(segmentOf))),
        );
      } catch (error) {
        // A document whose passages do not open any more is listed but not found; it can be deleted and added again.
        if (!(error instanceof AppError) || error.code.startsWith('storage/')) throw error;
      }
    }
  }

  async function readVectors(document: OwnDocument, opened: Opened): Promise<void> {
    document.vectors = await store.vectors(document.row.id);
    replaceSource(opened, { ...opened.source, vectors: (await ownVectors).put(document.row.id, document.row.passages, document.vectors.map(segmentOf)) });
  }

  async function readParts(
    row: { readonly id: string; readonly digest: string },
    parts: readonly PartRow[],
    kind: PartRow['kind'],
  ): Promise<{ bytes: Uint8Array<ArrayBuffer>; name: string; first: number }[]> {
    const wanted = parts.filter((part) => part.kind === kind).sort((a, b) => a.first - b.first);
    const blocks = await store.blocks(wanted.map(({ file }) => ({ id: row.id, digest: row.digest, file, block: 0 })));
    return wanted.map(({ file, first }, i) => {
      const bytes = blocks[i] ?? null;
      if (bytes === null) throw new AppError('shard/part-missing', { part: file, status: 'lost by the browser' });
      return { bytes, name: file, first };
    });
  }

  function remember(id: string, digest: string, parts: readonly PartRow[], source: SearchSource): Opened {
    const linked = { ...source, far: ownLinks.of(source.key) };
    const opened: Opened = { id, digest, passages: parts.filter((part) => part.kind === 'passages').sort((a, b) => a.first - b.first), source: linked };
    openedOf.set(linked, opened);
    return opened;
  }

  function replaceSource(opened: Opened, source: SearchSource): void {
    opened.source = source;
    openedOf.set(source, opened);
  }

  function forget(opened: Opened): void {
    if (opened.id === ownCorpus) void ownVectors.then((held) => held.put(opened.digest, opened.source.titles.passages, []));
    for (const key of cache.keys()) if (key.startsWith(`${opened.source.key}\n`)) cache.delete(key);
  }

  /** Every complete version that is open; a shard that is being replaced stays searchable until the new version is complete. */
  function sources(): SearchSource[] {
    return [...sourcesOf(shards), ...sourcesOf(documents)];
  }

  function sourcesOf(held: ReadonlyMap<string, { readonly opened: Opened | null }>): SearchSource[] {
    return [...held.values()].flatMap(({ opened }) => (opened === null ? [] : [opened.source]));
  }

  /** Rows in the order asked; null where one is gone. Missing blocks are read in one transaction. */
  async function fetchRows(wanted: readonly { readonly opened: Opened; readonly ordinal: number }[]): Promise<readonly (PassageRow | null)[]> {
    const places = wanted.map(({ opened, ordinal }) => {
      const part = opened.passages.findLast((other) => other.first <= ordinal);
      const block = part?.blocks.findLastIndex((other) => other.first <= ordinal) ?? -1;
      const place = part?.blocks[block];
      if (part === undefined || place === undefined) return null;
      return { opened, part, block, place, row: ordinal - place.first, key: `${opened.source.key}\n${part.file}\n${block}` };
    });
    const found = new Map<string, readonly PassageRow[]>();
    const missing = new Map<string, NonNullable<(typeof places)[number]>>();
    for (const place of places) {
      if (place === null || found.has(place.key)) continue;
      const rows = cache.get(place.key);
      if (rows === undefined) missing.set(place.key, place);
      else {
        // Taken out and put back: the map's order is the order of last use.
        cache.delete(place.key);
        cache.set(place.key, rows);
        found.set(place.key, rows);
      }
    }
    if (missing.size > 0) {
      const list = [...missing.values()];
      const blocks = await store.blocks(list.map(({ opened, part, block }) => ({ id: opened.id, digest: opened.digest, file: part.file, block })));
      list.forEach(({ key, part, place }, i) => {
        const bytes = blocks[i] ?? null;
        if (bytes === null) return;
        const rows = decodePassageBlock(bytes, { offset: 0, length: bytes.length, ...place }, part.file);
        found.set(key, rows);
        cache.set(key, rows);
      });
      let held = 0;
      for (const rows of cache.values()) held += rows.length;
      for (const [key, rows] of cache) {
        if (held <= cachedPassages) break;
        held -= rows.length;
        cache.delete(key);
      }
    }
    return places.map((place) => (place === null ? null : (found.get(place.key)?.[place.row] ?? null)));
  }

  async function fetchPassages(wanted: readonly { readonly source: SearchSource; readonly ordinal: number }[]): Promise<readonly (Passage | null)[]> {
    const known = wanted.map(({ source, ordinal }) => ({ opened: openedOf.get(source), ordinal }));
    const rows = await fetchRows(known.flatMap(({ opened, ordinal }) => (opened === undefined ? [] : [{ opened, ordinal }])));
    let at = 0;
    return known.map(({ opened }) => {
      const row = opened === undefined ? null : (rows[at++] ?? null);
      return row === null || opened === undefined ? null : toPassage(row, opened.id);
    });
  }

  /** null if the passage is gone. */
  async function findPassage(id: string): Promise<{ opened: Opened; ordinal: number; row: PassageRow } | null> {
    await current();
    const parsed = parsePassageId(id);
    if (parsed === null) return null;
    const { corpus, rest } = parsed;
    const candidates =
      corpus === ownCorpus
        ? [documents.get(rest), documents.get(rest.replace(/#\d+$/, ''))]
        : [...shards.values()].filter((shard) => shard.row.id === corpus);
    for (const { opened } of candidates.filter((candidate) => candidate !== undefined)) {
      const ordinal = opened?.source.titles.ordinalOf(rest) ?? -1;
      if (opened === null || ordinal < 0) continue;
      const [row] = await fetchRows([{ opened, ordinal }]);
      if (row !== null && row !== undefined) return { opened, ordinal, row };
    }
    return null;
  }

  async function snapshot(): Promise<LibrarySnapshot> {
    try {
      await ready();
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      // The notice says why nothing is there.
    }
    return describe();
  }

  function describe(): LibrarySnapshot {
    const corpora: CorpusSummary[] = [];
    const ids = new Set([...shards.values()].map((shard) => shard.row.id));
    for (const id of ids) {
      const versions = [...shards.values()].filter((shard) => shard.row.id === id);
      const shard = versions.find((version) => version.row.state === 'complete') ?? versions[0];
      if (shard !== undefined) corpora.push(describeShard(shard, versions));
    }
    const list = [...documents.values()].map(describeDocument);
    if (list.length > 0) {
      const sum = (key: 'passages' | 'embedded' | 'bytes'): number => list.reduce((total, document) => total + document[key], 0);
      const embedder = [...documents.values()].flatMap((document) => document.vectors).at(-1)?.embedder ?? null;
      corpora.push({
        id: ownCorpus, kind: 'own', name: 'Own documents', language: '', licence: '', attribution: '', state: 'complete', documents: list.length,
        passages: sum('passages'), embedded: sum('embedded'), bytes: sum('bytes'), embedder, sourceUrl: '', progress: null, error: null, golden: [],
      });
    }
    return { corpora, documents: list, notice };
  }

  function describeShard(shard: Shard, versions: readonly Shard[]): CorpusSummary {
    const { row, manifest } = shard;
    const running = imports.get(row.id);
    const isRunning = running !== undefined && (running.stop !== null || now() - running.at < silentImportMs);
    const importError = importErrors.get(row.id) ?? null;
    const error = shard.error ?? (importError === null ? null : toWire(importError));
    const isFailed = shard.error !== null || (row.state === 'partial' && importError?.retryable === false);
    return {
      id: row.id,
      kind: 'shard',
      name: manifest?.name ?? row.id,
      language: manifest?.language ?? '',
      licence: manifest?.licence ?? '',
      attribution: manifest?.attribution ?? '',
      state: isRunning ? 'importing' : isFailed ? 'failed' : row.state,
      documents: manifest?.counts.documents ?? 0,
      passages: manifest?.counts.passages ?? 0,
      embedded: row.state === 'complete' && manifest !== null && manifest.embedder !== null ? manifest.counts.passages : 0,
      bytes: versions.reduce((sum, version) => sum + version.storedBytes, 0),
      embedder: manifest?.embedder?.id ?? null,
      sourceUrl: row.url,
      progress: isRunning ? running.progress : null,
      error: isRunning ? null : error,
      golden: manifest?.golden ?? [],
    };
  }

  function describeDocument({ row, vectors }: OwnDocument): DocumentSummary {
    const { id, name, title, type, bytes, pages, passages } = row;
    return { id, name, title, type, bytes, pages, passages, embedded: vectors.reduce((sum, vector) => sum + vector.count, 0) };
  }

  /** One at a time over all tabs: names are made unique against what is stored. */
  async function keepDocument(file: File, read: ReadDocument, onPhase: (phase: Progress['phase']) => void): Promise<string> {
    const add = async (): Promise<string> => {
      const sha256 = await sha256Hex(read.bytes);
      const stored = await store.documents();
      const same = stored.find((row) => row.sha256 === sha256 && row.name === file.name);
      if (same !== undefined) return same.id;
      const id = freeId(file.name, new Set(stored.map((row) => row.id)));
      const title = read.title.trim() === '' ? file.name.replace(/\.[^.]+$/, '') : read.title.trim().slice(0, 300);
      onPhase('indexing');
      const rows = chunkDocument({ docId: id, title, sections: read.sections });
      if (rows.length === 0) throw new AppError('document/empty', { name: file.name });
      const lexical = indexPassages(rows);
      const passages = encodePassages(rows, 0);
      onPhase('storing');
      const parts = [documentPart(passages, 'passages', rows.length), documentPart(lexical, 'lexical', rows.length)].map(([row, blocks]) => ({ part: row, blocks }));
      const { type, pages } = read;
      await store.addDocument({ id, name: file.name, title, type, sha256, bytes: file.size, pages, passages: rows.length }, parts);
      return id;
    };
    return locks === null ? add() : locks.request('foray-documents', add);
  }

  return {
    async *watch(signal) {
      let isDirty = true;
      let wake: (() => void) | null = null;
      const hear = (): void => {
        isDirty = true;
        wake?.();
      };
      listeners.add(hear);
      signal.addEventListener('abort', hear);
      try {
        const opening = ready();
        while (!isListed) {
          // Until the store has answered there is nothing to tell; if it cannot answer, the notice says so.
          const isBroken = await Promise.race([opening.then(() => false, () => true), new Promise<boolean>((resolve) => (wake = () => resolve(false)))]);
          if (isBroken) break;
          if (signal.aborted) throw abortError();
        }
        for (;;) {
          if (!isDirty) await new Promise<void>((resolve) => (wake = resolve));
          if (signal.aborted) throw abortError();
          isDirty = false;
          yield describe();
        }
      } finally {
        listeners.delete(hear);
        signal.removeEventListener('abort', hear);
      }
    },
    snapshot,
    async search(request, vector, signal) {
      await current();
      return search(request, sources(), { vector, fetchPassages, now, signal });
    },
    async searchMany(asked, signal) {
      await current();
      return searchMany(asked, sources(), { fetchPassages, now, signal }, batches);
    },
    async passage(id) {
      const found = await findPassage(id);
      return found === null ? null : toPassage(found.row, found.opened.id);
    },
    async neighbours(id) {
      const found = await findPassage(id);
      if (found === null) return null;
      const { source } = found.opened;
      const around = passagesAround(source, found.ordinal, sources());
      const wanted = [...around.out, ...around.in, around.previous, around.next];
      const passages = await fetchPassages(wanted.filter((place) => place !== null));
      let at = 0;
      const refs = wanted.map((place): PassageRef | null => {
        const passage = place === null ? null : (passages[at++] ?? null);
        return passage === null ? null : { id: passage.id, title: passage.title, section: passage.section };
      });
      const present = (part: readonly (PassageRef | null)[]): PassageRef[] => part.filter((ref) => ref !== null);
      const { length } = around.out;
      return { out: present(refs.slice(0, length)), in: present(refs.slice(length, -2)), previous: refs.at(-2) ?? null, next: refs.at(-1) ?? null };
    },
    async frequencies(terms) {
      await current();
      const segments = sources().flatMap((source) => source.lexical);
      return { passages: segments.reduce((sum, segment) => sum + segment.passages, 0), documents: documentFrequencies(segments, terms) };
    },
    async complete(text, limit) {
      await current();
      return completions(sources(), text, limit);
    },

    async importShard(url, signal, onProgress) {
      await ready();
      const stop = new AbortController();
      let known = '';
      try {
        const id = await importShard(url, tools, AbortSignal.any([signal, stop.signal]), onProgress, (shard, name) => {
          known = shard;
          importErrors.delete(shard);
          let hasRow = false;
          let told = -Infinity;
          return (progress) => {
            if (progress === null) imports.delete(shard);
            else imports.set(shard, { name, progress, at: now(), stop });
            // The shard's row appears with its first bytes: list it then.
            if (!hasRow && progress !== null && progress.phase !== 'waiting') {
              hasRow = true;
              void refresh().catch(() => {});
            }
            if (progress !== null && now() - told < 200) return;
            told = now();
            changed();
          };
        });
        return id;
      } catch (error) {
        if (known !== '' && error instanceof AppError) importErrors.set(known, error);
        throw error;
      } finally {
        await refresh().catch((error: unknown) => {
          if (!(error instanceof AppError)) throw error;
        });
      }
    },
    async deleteCorpus(id) {
      await ready();
      imports.get(id)?.stop?.abort();
      if (id === ownCorpus) await store.deleteDocuments();
      else if (imports.has(id) || [...shards.values()].some((shard) => shard.row.id === id)) await store.deleteCorpus(id);
      else throw new AppError('shard/not-found', { id });
      importErrors.delete(id);
      channel.post({ kind: 'changed' });
      await refresh();
    },
    async addDocuments(files, signal, onProgress) {
      await ready();
      const meter = createProgressMeter('files', now);
      const results: AddedDocument[] = [];
      for (const [i, file] of files.entries()) {
        signal.throwIfAborted();
        const phase = (name: Progress['phase']): void => onProgress(meter.update(i, { phase: name, item: file.name, total: files.length }));
        phase('reading');
        try {
          const id = await keepDocument(file, await readDocument(file, signal), phase);
          results.push({ name: file.name, id, error: null });
          channel.post({ kind: 'changed' });
          await refresh();
        } catch (error) {
          if (isAbort(error) || !(error instanceof AppError)) throw error;
          results.push({ name: file.name, id: null, error: toWire(error) });
        }
      }
      onProgress(meter.update(files.length, { phase: 'done', total: files.length }));
      return results;
    },
    async deleteDocument(id) {
      await ready();
      if (!documents.has(id)) throw new AppError('document/not-found', { id });
      await store.deleteDocument(id);
      channel.post({ kind: 'changed' });
      await refresh();
    },

    async nextUnembedded(embedder, dimensions, limit) {
      await ready();
      let left = 0;
      let next: { document: OwnDocument; opened: Opened; first: number } | null = null;
      for (const document of documents.values()) {
        if (document.opened === null) continue;
        const first = covered(document, embedder, dimensions);
        left += document.row.passages - first;
        if (next === null && first < document.row.passages) next = { document, opened: document.opened, first };
      }
      if (next === null) return null;
      const { document, opened, first } = next;
      const size = Math.min(Math.max(1, Math.trunc(limit)), 256, document.row.passages - first);
      const rows = await fetchRows(Array.from({ length: size }, (_, i) => ({ opened, ordinal: first + i })));
      const texts = rows.flatMap((row) => (row === null ? [] : [embeddedText(row)]));
      // Rows can only be missing when the document is being deleted.
      return texts.length === size ? { document: document.row.id, first, texts, left } : null;
    },
    async storeVectors({ document: id, first, embedder, dimensions, values }) {
      await ready();
      const document = documents.get(id);
      if (document === undefined || document.opened === null) return;
      if (values.length === 0 || values.length % dimensions !== 0) throw new AppError('engine/protocol', { what: `${values.length} numbers for ${dimensions} dimensions` });
      for (const value of values) if (!Number.isFinite(value)) throw new AppError('engine/not-finite', { what: `vectors of ${document.row.name}` });
      const fresh = quantise(values, dimensions);
      if (first !== covered(document, embedder, dimensions) || first + fresh.count > document.row.passages) return;
      const last = document.vectors.at(-1);
      const joined = last !== undefined && last.embedder === embedder && last.dimensions === dimensions && last.count + fresh.count <= vectorsPerRow ? last : null;
      const bytes = encodeVectors(joined === null ? fresh : joinRows(segmentOf(joined), fresh));
      const row: VectorRow = { document: id, embedder, dimensions, first: joined?.first ?? first, count: (joined?.count ?? 0) + fresh.count, bytes };
      const isStored = await store.replaceVectors(row, document.vectors);
      // Another tab embeds as well: its vectors are as good.
      if (isStored) {
        document.vectors = [...document.vectors.filter((other) => other.embedder === embedder && other.dimensions === dimensions && other !== joined), row];
        const vectors = (await ownVectors).add(id, document.row.passages, vectorSegment(fresh, embedder, first));
        replaceSource(document.opened, { ...document.opened.source, vectors });
      } else await readVectors(document, document.opened);
      changedForAll();
      changed();
    },
    noticed(next) {
      notice = next;
      if (next === 'cleared') void refresh().catch(() => {});
      changed();
    },
    async settled() {
      await ready();
      await background;
    },
  };
}

function decodeRow(row: CorpusRow): Pick<Shard, 'row' | 'manifest' | 'error'> {
  try {
    return { row, manifest: parseManifest(row.manifest, row.id), error: null };
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    return { row, manifest: null, error: toWire(error) };
  }
}

/** Passages from the first one on that have vectors of this embedder. */
function covered(document: OwnDocument, embedder: string, dimensions: number): number {
  let next = 0;
  for (const row of document.vectors) if (row.embedder === embedder && row.dimensions === dimensions && row.first === next) next += row.count;
  return next;
}

function segmentOf(row: VectorRow): VectorSegment {
  return openVectorSegment(row.bytes, row.embedder, row.first, row.document);
}

/** The file's name as an id: visible characters, nothing that has a meaning in a passage id, unique. */
function freeId(name: string, taken: ReadonlySet<string>): string {
  const plain = name.normalize('NFC').replace(/[\p{C}\p{Z}#/\\]+/gu, ' ').trim().slice(0, 120);
  const base = plain === '' ? 'document' : plain;
  for (let n = 1; ; n++) {
    const id = n === 1 ? base : base.replace(/(\.[^.]+)?$/, ` (${n})$1`);
    if (!taken.has(id)) return id;
  }
}

/** Tells the other tabs now, or a second later for everything that came meanwhile. */
function throttledPost(post: () => void): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  return () => {
    timer ??= setTimeout(() => {
      timer = undefined;
      post();
    }, 1000);
  };
}
