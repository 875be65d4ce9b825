/**
 * The shard format: manifest, the `passages` part, checks of every other part, checksums. Pure; the same code builds, verifies and imports.
 * Everything read here is untrusted: each offset, count and length is checked before use, and nothing is allocated from a number that was not.
 * The format is described in DESIGN.md, "Shard format".
 */
import * as v from 'valibot';
import { AppError } from '../errors.ts';
import { analysisNames, analysisOf } from './analysis.ts';
import { openLexicalSegment, type LexicalScheme } from './lexical.ts';
import { openLinks, openTitles } from './links.ts';
import type { PassageRow } from './passages.ts';
import { rankWeightsSchema } from './rank.ts';
import { openVectorSegment } from './vectors.ts';

export const manifestFile = 'manifest.json';
export const formatVersion = 1;
const formatName = 'foray-shard';

/** In this order parts are listed, built and best imported. */
export const partKinds = ['titles', 'passages', 'lexical', 'links', 'vectors'] as const;
export type PartKind = (typeof partKinds)[number];

const maxPassages = 50_000_000;
const maxPartBytes = 64 * 2 ** 20;
const maxParts = 20_000;
/** Largest manifest that is read at all. */
export const maxManifestBytes = 8 * 2 ** 20;
/** Passages of a block as it is written: reading one passage decodes its block, so small ones make random reads cheap. */
const blockPassages = 16;
/** Of a block as it may come. */
const maxBlockPassages = 64;

const count = (limit: number) => v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(limit));
const text = (limit: number) => v.pipe(v.string(), v.maxLength(limit));

const partSchema = v.strictObject({
  kind: v.picklist(partKinds),
  file: v.pipe(v.string(), v.maxLength(80), v.regex(/^[a-z0-9-]+\.bin$/)),
  bytes: v.pipe(count(maxPartBytes), v.minValue(1)),
  /** Lower-case hex. */
  sha256: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/)),
  /** First passage; in a `titles` part the first document. */
  first: count(maxPassages),
  /** Passages; in a `titles` part documents. */
  count: v.pipe(count(maxPassages), v.minValue(1)),
});

const manifestSchema = v.object({
  format: v.literal(formatName),
  version: v.literal(formatVersion),
  id: v.pipe(v.string(), v.regex(/^[a-z0-9-]{1,64}$/)),
  name: v.pipe(text(200), v.minLength(1)),
  language: text(35),
  licence: text(500),
  attribution: text(2000),
  source: text(2000),
  counts: v.object({ documents: count(maxPassages), passages: count(maxPassages), links: count(4_000_000_000) }),
  bm25: v.object({ k1: v.pipe(v.number(), v.minValue(0), v.maxValue(10)), b: v.pipe(v.number(), v.minValue(0), v.maxValue(1)) }),
  analysis: v.object({ name: v.picklist(analysisNames, `words are analysed by one of ${analysisNames.join(', ')}`) }),
  /** Tokens (title, section and text) a passage. */
  averageLength: v.pipe(v.number(), v.finite(), v.minValue(0)),
  embedder: v.nullable(v.object({ id: v.pipe(text(100), v.minLength(1)), dimensions: v.pipe(count(4096), v.minValue(1)), queryPrefix: text(500) })),
  /**
   * Measured by the builder on the shard: the mean vector, which the bits of the first search step are relative to, and the fewest candidates of that step
   * with which the share of the 10 exact neighbours reaches `target` (`recall`: what they reach). Absent in shards of older builders.
   */
  vectors: v.optional(
    v.object({
      mean: v.pipe(v.array(v.pipe(v.number(), v.finite())), v.maxLength(4096)),
      candidates: v.pipe(count(maxPassages), v.minValue(1)),
      target: v.pipe(v.number(), v.minValue(0), v.maxValue(1)),
      recall: v.pipe(v.number(), v.minValue(0), v.maxValue(1)),
    }),
  ),
  golden: v.pipe(v.array(v.object({ text: text(1000), vector: v.pipe(v.array(v.pipe(v.number(), v.finite())), v.maxLength(4096)) })), v.maxLength(8)),
  /** Weights of the ranking along links, learned for this corpus; absent: the general ones. */
  ranking: v.optional(rankWeightsSchema),
  parts: v.pipe(v.array(partSchema), v.maxLength(maxParts)),
});

export type ShardManifest = v.InferOutput<typeof manifestSchema>;
export type ShardPart = v.InferOutput<typeof partSchema>;

/** How the words of a shard are searched. */
export function schemeOf({ analysis, bm25 }: Pick<ShardManifest, 'analysis' | 'bm25'>): LexicalScheme {
  return { analysis: analysisOf(analysis.name), ...bm25 };
}

// ---------------------------------------------------------------------------------------------- manifest

/** Parses and checks the text of a manifest; `what` names the source in messages. */
export function parseManifest(json: string, what: string): ShardManifest {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    throw new AppError('shard/not-a-shard', { what, reason: json.trimStart().startsWith('<') ? 'it is a web page' : 'its manifest is not JSON' });
  }
  return decodeManifest(value, what);
}

/** Throws `shard/not-a-shard`, `shard/version`, `shard/manifest` or `shard/dimensions`. */
export function decodeManifest(value: unknown, what: string): ShardManifest {
  const head = v.safeParse(v.object({ format: v.literal(formatName), version: v.optional(v.unknown()) }), value);
  if (!head.success) throw new AppError('shard/not-a-shard', { what, reason: 'its manifest does not say that it is one' });
  const { version } = head.output;
  if (typeof version !== 'number' || !Number.isInteger(version)) throw new AppError('shard/manifest', { reason: 'it states no format version' });
  if (version !== formatVersion) {
    const action = version > formatVersion ? 'Update Foray to use it.' : 'Ask its publisher for a newer edition, or build it anew.';
    throw new AppError('shard/version', { version, supported: formatVersion, action });
  }
  const parsed = v.safeParse(manifestSchema, value);
  if (!parsed.success) {
    const issue = parsed.issues[0];
    throw new AppError('shard/manifest', { reason: `${v.getDotPath(issue) ?? 'the manifest'}: ${issue.message}`.slice(0, 300) });
  }
  const reason = contradiction(parsed.output);
  if (reason !== null) throw new AppError('shard/manifest', { reason });
  return parsed.output;
}

/** What in a well-formed manifest cannot be true, or null. */
function contradiction(manifest: ShardManifest): string | null {
  const { parts, counts, embedder, golden } = manifest;
  if (counts.documents > counts.passages) return 'it announces more documents than passages';
  if (new Set(parts.map((p) => p.file)).size !== parts.length) return 'a part file is listed twice';
  for (const kind of partKinds) {
    let next = 0;
    for (const part of parts.filter((p) => p.kind === kind)) {
      if (part.first !== next) return `${part.file} starts at ${part.first} where ${next} was due`;
      next += part.count;
    }
    const due = kind === 'titles' ? counts.documents : kind === 'vectors' && embedder === null ? 0 : counts.passages;
    if (next !== due) return `its ${kind} parts hold ${next} entries, ${due} are announced`;
  }
  if (manifest.vectors !== undefined && manifest.vectors.mean.length !== embedder?.dimensions) return 'its mean vector does not fit the embedder';
  for (const g of golden) if (g.vector.length !== embedder?.dimensions) return 'a golden vector does not fit the embedder';
  return null;
}

/** The manifest as the file's text. The same manifest always gives the same bytes. */
export function serialiseManifest(manifest: ShardManifest): string {
  return `${JSON.stringify(manifest, null, 1)}\n`;
}

// ---------------------------------------------------------------------------------------------- passages part
// 4 header words (u32): magic, version, blocks, passages; then for each block 4 words: byte offset from the part's start, byte length, first ordinal, passages;
// then the blocks, one after the other: UTF-8 JSON arrays of [docId, n, title, section, text, sentenceEnds, page].
const magic = 0x53415046; // 'FPAS'
const headerBytes = 16;
const blockWords = 4;

export interface PassageBlock {
  /** From the start of the part. */
  readonly offset: number;
  readonly length: number;
  /** Ordinal of its first passage in the shard. */
  readonly first: number;
  readonly count: number;
}

/** One `passages` part with the passages `first`, `first` + 1, … */
export function encodePassages(rows: readonly PassageRow[], first: number): Uint8Array<ArrayBuffer> {
  const encoder = new TextEncoder();
  const blocks: Uint8Array[] = [];
  for (let i = 0; i < rows.length; i += blockPassages) {
    const block = rows.slice(i, i + blockPassages).map((r) => [r.docId, r.n, r.title, r.section, r.text, r.sentenceEnds, r.page]);
    blocks.push(encoder.encode(JSON.stringify(block)));
  }
  const start = headerBytes + blocks.length * blockWords * 4;
  const out = new Uint8Array(start + blocks.reduce((sum, b) => sum + b.length, 0));
  const table = new Uint32Array(out.buffer, 0, start / 4);
  table.set([magic, formatVersion, blocks.length, rows.length]);
  let offset = start;
  blocks.forEach((block, i) => {
    const passages = Math.min(blockPassages, rows.length - i * blockPassages);
    table.set([offset, block.length, first + i * blockPassages, passages], 4 + i * blockWords);
    out.set(block, offset);
    offset += block.length;
  });
  return out;
}

/** Length of header and directory, told from the first 16 bytes of a part. Throws `shard/part-invalid`. */
export function passageDirectoryBytes(bytes: Uint8Array, name: string): number {
  const bad = (reason: string): AppError => new AppError('shard/part-invalid', { part: name, reason });
  if (bytes.length < headerBytes) throw bad('it is too short for passages');
  const view = new DataView(bytes.buffer, bytes.byteOffset, headerBytes);
  if (view.getUint32(0, true) !== magic) throw bad('it holds no passages');
  if (view.getUint32(4, true) !== formatVersion) throw bad(`its passages have version ${view.getUint32(4, true)}`);
  return headerBytes + view.getUint32(8, true) * blockWords * 4;
}

/** The blocks of a part whose whole length is `totalBytes`; `bytes` may be only its beginning, as far as the directory goes. */
export function readPassageDirectory(bytes: Uint8Array, totalBytes: number, name: string): PassageBlock[] {
  const bad = (reason: string): AppError => new AppError('shard/part-invalid', { part: name, reason });
  const end = passageDirectoryBytes(bytes, name);
  if (end > bytes.length) throw bad('its directory is cut off');
  const view = new DataView(bytes.buffer, bytes.byteOffset, end);
  const blocks: PassageBlock[] = [];
  let offset = end;
  let passages = 0;
  const first = end > headerBytes ? view.getUint32(headerBytes + 8, true) : 0;
  for (let at = headerBytes; at < end; at += blockWords * 4) {
    const block = {
      offset: view.getUint32(at, true),
      length: view.getUint32(at + 4, true),
      first: view.getUint32(at + 8, true),
      count: view.getUint32(at + 12, true),
    };
    if (block.offset !== offset || block.first !== first + passages || block.count < 1 || block.count > maxBlockPassages) {
      throw bad(`its block ${blocks.length} is not where it should be`);
    }
    offset += block.length;
    passages += block.count;
    blocks.push(block);
  }
  if (offset !== totalBytes || passages !== view.getUint32(12, true)) throw bad('its blocks do not fill it');
  return blocks;
}

/** One row of a block; null for anything else. By hand: an import checks every passage of a shard, and a schema takes twice as long. */
function rowOf(value: unknown): PassageRow | null {
  if (!Array.isArray(value) || value.length !== 7) return null;
  const [docId, n, title, section, body, sentenceEnds, page] = value as readonly unknown[];
  const isNumber = (x: unknown, least: number): x is number => typeof x === 'number' && Number.isInteger(x) && x >= least;
  if (typeof docId !== 'string' || docId === '' || docId.length > 1000 || !isNumber(n, 0) || n > maxPassages) return null;
  if (typeof title !== 'string' || typeof section !== 'string' || typeof body !== 'string') return null;
  if (page !== null && !isNumber(page, 1)) return null;
  if (!Array.isArray(sentenceEnds)) return null;
  let last = 0;
  for (const end of sentenceEnds as readonly unknown[]) {
    if (!isNumber(end, last + 1)) return null;
    last = end;
  }
  return last === body.length ? { docId, n, title, section, text: body, sentenceEnds: sentenceEnds as readonly number[], page } : null;
}

/** Decodes exactly one block. Throws `shard/part-invalid`. */
export function decodePassageBlock(bytes: Uint8Array, block: PassageBlock, name: string): PassageRow[] {
  const bad = (reason: string): AppError => new AppError('shard/part-invalid', { part: name, reason });
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    throw bad(`its block of passage ${block.first} is not JSON`);
  }
  if (!Array.isArray(value) || value.length !== block.count) throw bad(`its block of passage ${block.first} is not a list of ${block.count} passages`);
  return (value as readonly unknown[]).map((row, i) => {
    const passage = rowOf(row);
    if (passage === null) throw bad(`its passage ${block.first + i} is no passage, or its sentences do not fit its text`);
    return passage;
  });
}

// ---------------------------------------------------------------------------------------------- parts

/** Lower-case hex. */
export async function sha256Hex(bytes: Uint8Array): Promise<string> {
  const digest = await crypto.subtle.digest('SHA-256', bytes as Uint8Array<ArrayBuffer>);
  return Array.from(new Uint8Array(digest), (b) => b.toString(16).padStart(2, '0')).join('');
}

/** Length and checksum of a fetched part. Throws `shard/truncated` or `shard/checksum`. */
export async function verifyPart(bytes: Uint8Array, part: ShardPart): Promise<void> {
  if (bytes.length < part.bytes) throw new AppError('shard/truncated', { part: part.file, got: bytes.length, expected: part.bytes });
  if (bytes.length !== part.bytes || (await sha256Hex(bytes)) !== part.sha256) throw new AppError('shard/checksum', { part: part.file });
}

/** Structure of one verified part, against the manifest that lists it. Throws `shard/part-invalid` or `shard/dimensions`. Decodes texts only with `deep`. */
export function checkPart(bytes: Uint8Array, part: ShardPart, manifest: ShardManifest, options: { readonly deep?: boolean } = {}): void {
  const bad = (reason: string): AppError => new AppError('shard/part-invalid', { part: part.file, reason });
  const expect = (found: number, what: string): void => {
    if (found !== part.count) throw bad(`it holds ${found} ${what}, ${part.count} are announced`);
  };
  switch (part.kind) {
    case 'passages': {
      const blocks = readPassageDirectory(bytes, bytes.length, part.file);
      expect(blocks.reduce((sum, b) => sum + b.count, 0), 'passages');
      if (blocks[0]?.first !== part.first) throw bad('its passages are numbered from another start');
      if (options.deep === true) for (const b of blocks) decodePassageBlock(bytes.subarray(b.offset, b.offset + b.length), b, part.file);
      return;
    }
    case 'lexical': {
      const segment = openLexicalSegment(bytes, part.file);
      expect(segment.passages, 'passages');
      if (options.deep === true) segment.check();
      return;
    }
    case 'vectors': {
      const segment = openVectorSegment(bytes, manifest.embedder?.id ?? '', part.first, part.file);
      const expected = manifest.embedder?.dimensions ?? 0;
      if (segment.dimensions !== expected) throw new AppError('shard/dimensions', { part: part.file, got: segment.dimensions, expected });
      expect(segment.count, 'vectors');
      return;
    }
    case 'links': {
      openLinks([{ bytes, name: part.file }], part.count, manifest.counts.documents);
      return;
    }
    case 'titles': {
      const table = openTitles([{ bytes, name: part.file }], part.first);
      expect(table.documents - part.first, 'documents');
      if (table.passages > manifest.counts.passages) throw bad('its documents reach beyond the passages');
    }
  }
}
