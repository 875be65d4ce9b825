/**
 * Builds a shard folder from an input, in stages: passages (one pass over the input), titles, word index, links, vectors, manifest.
 * Memory stays near constant: parts are written as they fill and later stages read them back. After every part the state file beside the output is renewed, so
 * a killed build goes on after its last part; the manifest comes last, so a folder with a manifest is complete. The same input gives the same bytes.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { appendFile, mkdir, open, readdir, readFile, rename, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import * as v from 'valibot';
import { openKernel } from '../../src/corpus/kernel/kernel.ts';
import { analysisOf, type AnalysisName } from '../../src/corpus/analysis.ts';
import { createLexicalBuilder } from '../../src/corpus/lexical-builder.ts';
import { defaultScheme, openLexicalSegment } from '../../src/corpus/lexical.ts';
import { createMentionMatcher, encodeLinks, encodeTitles, type TitleRow } from '../../src/corpus/links.ts';
import { chunkDocument, embeddedText, type PassageRow } from '../../src/corpus/passages.ts';
import type { RankWeights } from '../../src/corpus/rank.ts';
import {
  decodeManifest, decodePassageBlock, encodePassages, formatVersion, manifestFile, partKinds, readPassageDirectory, serialiseManifest, sha256Hex,
  type PartKind, type ShardManifest, type ShardPart,
} from '../../src/corpus/shard.ts';
import { encodeVectors, openVectorSegment, type VectorSegment } from '../../src/corpus/vectors.ts';
import type { EmbedderSpec } from '../../src/engine/embedder.ts';
import { createProgressMeter, type OnProgress, type ProgressMeter } from '../../src/progress.ts';
import { kernelBinaries } from '../kernel.ts';
import { openNodeEmbedder, openVectorSource, type EmbedderId, type NodeEmbedder } from './embed.ts';
import { InputError, linesOf, textOf, type Input, type InputDocument } from './input.ts';
import { openInput } from './readers.ts';
import { measureCandidates } from './recall.ts';

export interface BuildOptions {
  readonly input: string;
  readonly out: string;
  readonly id: string;
  readonly name: string;
  /** null: what the input says, else `en`. */
  readonly language: string | null;
  readonly licence: string;
  readonly attribution: string;
  /** Where the text comes from, for people; default the input's file name. */
  readonly source: string;
  readonly embedder: EmbedderId | 'none';
  /** Default `english-1`. */
  readonly analysis?: AnalysisName;
  /** null: vectors are not kept between builds. */
  readonly vectorsCache: string | null;
  /** Weights of the ranking that were learned for this corpus (`npm run bench -- recall --learn`); kept in the manifest. */
  readonly ranking?: RankWeights;
}

/** When a part is closed. Parts are to be 1-8 MB each. */
export interface PartLimits {
  readonly passageBytes: number;
  readonly lexicalPassages: number;
  readonly lexicalPostings: number;
  readonly titleBytes: number;
  readonly links: number;
  readonly linkPassages: number;
  readonly vectorBytes: number;
}

const defaultLimits: PartLimits = {
  passageBytes: 4 * 2 ** 20,
  lexicalPassages: 16_384,
  lexicalPostings: 2_500_000,
  titleBytes: 4 * 2 ** 20,
  links: 2_000_000,
  linkPassages: 1_000_000,
  vectorBytes: 6 * 2 ** 20,
};

export interface BuildContext {
  readonly signal: AbortSignal;
  readonly onProgress: OnProgress;
  /** Milliseconds. */
  readonly now: () => number;
  readonly limits?: Partial<PartLimits>;
  /** Stands in for the embedder that the options name: vectors that exist already. Disposed of at the end. */
  readonly embedder?: NodeEmbedder;
}

export interface BuildResult {
  readonly manifest: ShardManifest;
  /** Items that gave no passages, redirects included. */
  readonly skipped: number;
  /** True if an earlier build was continued. */
  readonly isResumed: boolean;
}

const goldenTexts = ['Rain falls on the hills and flows down to the sea.', 'The engineer who planned the bridge was born in a small town by the river.'];

const stateSchema = v.object({
  key: v.string(),
  /** Items of the input that are done, and what came of them. */
  items: v.number(),
  documents: v.number(),
  passages: v.number(),
  skipped: v.number(),
  isRead: v.boolean(),
  /** Lengths of the working files up to which they are valid. */
  working: v.object({ titles: v.number(), targets: v.number(), redirects: v.number() }),
  parts: v.array(
    v.object({ kind: v.picklist(partKinds), file: v.string(), bytes: v.number(), sha256: v.string(), first: v.number(), count: v.number() }),
  ),
});
type State = v.InferOutput<typeof stateSchema>;

type WorkingFile = keyof State['working'];

/** Throws `InputError` for bad input and `AbortError` when stopped; in both cases what is finished is kept and the next call continues. */
export async function buildShard(options: BuildOptions, context: BuildContext): Promise<BuildResult> {
  const input = await openInput(options.input);
  const limits = { ...defaultLimits, ...context.limits };
  const work = `${options.out.replace(/[/\\]+$/, '')}.build`;
  const key = await buildKey(options, limits);
  const found = await readState(work, key);
  const build = new Build(options, input, limits, context, work, found ?? (await freshState(options.out, work, key)));
  await build.prepare();
  await build.readInput();
  await build.writeTitles();
  await build.writeWords();
  await build.writeLinks();
  const embedder = options.embedder === 'none' ? null : (context.embedder ?? (await openNodeEmbedder(options.embedder)));
  try {
    if (embedder !== null) await build.writeVectors(embedder);
    const manifest = await build.finish(embedder);
    return { manifest, skipped: build.state.skipped, isResumed: found !== null };
  } finally {
    await embedder?.dispose();
  }
}

/** What a build depends on: only a state with the same key is continued. */
async function buildKey(options: BuildOptions, limits: PartLimits): Promise<string> {
  const hash = createHash('sha256').update(JSON.stringify([formatVersion, options.analysis ?? defaultScheme.analysis.name, { ...options, vectorsCache: null, out: null }, limits]));
  const info = await stat(options.input);
  const files = info.isDirectory() ? (await readdir(options.input)).sort().map((n) => join(options.input, n)) : [options.input];
  for (const file of files) {
    const { size, mtimeMs } = await stat(file);
    hash.update(`${basename(file)} ${size} ${mtimeMs}\n`);
  }
  return hash.digest('hex');
}

async function readState(work: string, key: string): Promise<State | null> {
  const text = await readFile(join(work, 'state.json'), 'utf8').catch(() => null);
  if (text === null) return null;
  try {
    const parsed = v.safeParse(stateSchema, JSON.parse(text));
    return parsed.success && parsed.output.key === key ? parsed.output : null;
  } catch {
    return null;
  }
}

/** Clears what an earlier build left: the manifest first, so that no half-replaced folder looks complete. */
async function freshState(out: string, work: string, key: string): Promise<State> {
  await rm(work, { recursive: true, force: true });
  await mkdir(work, { recursive: true });
  await mkdir(out, { recursive: true });
  await rm(join(out, manifestFile), { force: true });
  const isPart = new RegExp(`^(?:${partKinds.join('|')})-\\d+\\.bin$`);
  for (const name of await readdir(out)) if (isPart.test(name)) await rm(join(out, name));
  const working = { titles: 0, targets: 0, redirects: 0 };
  return { key, items: 0, documents: 0, passages: 0, skipped: 0, isRead: false, working, parts: [] };
}

class Build {
  private readonly pending: Record<WorkingFile, string[]> = { titles: [], targets: [], redirects: [] };
  private meter: { stage: string; meter: ProgressMeter } | null = null;
  private readonly seen = new Set<string>();

  constructor(
    private readonly options: BuildOptions,
    private readonly input: Input,
    private readonly limits: PartLimits,
    private readonly context: BuildContext,
    private readonly work: string,
    readonly state: State,
  ) {}

  /** Brings working files back to the last state, so that nothing is in them twice. */
  async prepare(): Promise<void> {
    for (const [name, length] of Object.entries(this.state.working)) {
      const path = this.workingPath(name);
      await appendFile(path, '');
      if ((await stat(path)).size < length) throw new InputError(`${path} is damaged: delete ${this.work} and build again`);
      await truncate(path, length);
    }
    for await (const row of this.titleRows()) this.seen.add(row.docId);
  }

  // ------------------------------------------------------------------------------------------ stage 1: passages

  async readInput(): Promise<void> {
    const { state, input } = this;
    if (state.isRead) return;
    let rows: PassageRow[] = [];
    let bytes = 0;
    for await (const item of input.items(state.items, this.context.signal)) {
      state.items++;
      let added: PassageRow[] = [];
      if (item.kind === 'redirect') this.pending.redirects.push(JSON.stringify([item.alias, item.target]));
      if (item.kind === 'document') added = this.addDocument(item.document);
      if (added.length === 0) state.skipped++;
      for (const row of added) {
        rows.push(row);
        bytes += Buffer.byteLength(row.text) + 120;
      }
      this.report('bytes', input.bytesRead(), input.totalBytes, 'reading', 'input', `${state.passages} passages of ${state.documents} documents`);
      if (bytes >= this.limits.passageBytes) {
        await this.writePassages(rows);
        rows = [];
        bytes = 0;
      }
    }
    if (state.passages === 0) throw new InputError(`${this.options.input}: there is no text in it`);
    state.isRead = true;
    await this.writePassages(rows);
  }

  private addDocument(document: InputDocument): PassageRow[] {
    const { state } = this;
    if (this.seen.has(document.docId)) {
      if (!this.input.areIdsUnique) return [];
      throw new InputError(`${this.options.input}: the id ${document.docId} is there twice`);
    }
    const rows = chunkDocument(document);
    if (rows.length === 0) return [];
    this.seen.add(document.docId);
    this.pending.titles.push(JSON.stringify([document.docId, rows[0]?.title ?? '', state.passages, rows.length]));
    if (this.input.hasHyperlinks) for (const targets of linksByPassage(document, rows)) this.pending.targets.push(JSON.stringify(targets));
    state.passages += rows.length;
    state.documents++;
    return rows;
  }

  /** Writes rows as one part, or as several where a single document was larger than a part. */
  private async writePassages(rows: readonly PassageRow[]): Promise<void> {
    let first = this.partsOf('passages').reduce((sum, p) => sum + p.count, 0);
    for (let from = 0; from < rows.length; ) {
      let to = from;
      for (let bytes = 0; to < rows.length && (bytes < this.limits.passageBytes || rows.length - to < 64); to++) bytes += Buffer.byteLength(rows[to]?.text ?? '') + 120;
      await this.writePart('passages', encodePassages(rows.slice(from, to), first), first, to - from);
      first += to - from;
      from = to;
    }
    for (const name of Object.keys(this.pending) as WorkingFile[]) {
      const lines = this.pending[name].map((line) => `${line}\n`).join('');
      this.pending[name] = [];
      await appendFile(this.workingPath(name), lines);
      this.state.working[name] += Buffer.byteLength(lines);
    }
    await this.saveState();
  }

  // ------------------------------------------------------------------------------------------ stage 2: titles

  async writeTitles(): Promise<void> {
    if (this.doneOf('titles') === this.state.documents) return;
    this.state.parts = this.state.parts.filter((p) => p.kind !== 'titles');
    const aliases = await this.aliases();
    let rows: TitleRow[] = [];
    let first = 0;
    let bytes = 0;
    const flush = async (): Promise<void> => {
      if (rows.length > 0) await this.writePart('titles', encodeTitles(rows, first), first, rows.length);
      first += rows.length;
      rows = [];
      bytes = 0;
    };
    for await (const row of this.titleRows()) {
      rows.push({ ...row, aliases: aliases.get(row.docId) ?? [] });
      bytes += 40 + 2 * Buffer.byteLength(row.title) + 40 * (aliases.get(row.docId)?.length ?? 0);
      if (bytes >= this.limits.titleBytes) await flush();
    }
    await flush();
    await this.saveState();
  }

  private async *titleRows(): AsyncGenerator<Omit<TitleRow, 'aliases'>> {
    for await (const line of this.workingLines('titles')) {
      const [docId, title, first, passages] = v.parse(v.tuple([v.string(), v.string(), v.number(), v.number()]), JSON.parse(line));
      yield { docId, title, first, passages };
    }
  }

  /** Redirects by the document that they end at, in the order of the input. */
  private async aliases(): Promise<Map<string, string[]>> {
    const targets = new Map<string, string>();
    for await (const line of this.workingLines('redirects')) {
      const [alias, target] = v.parse(v.tuple([v.string(), v.string()]), JSON.parse(line));
      if (!this.seen.has(alias)) targets.set(alias, target);
    }
    const found = new Map<string, string[]>();
    for (const [alias, direct] of targets) {
      const target = this.seen.has(direct) ? direct : (targets.get(direct) ?? '');
      if (!this.seen.has(target) || alias.includes('\n')) continue;
      const list = found.get(target);
      if (list === undefined) found.set(target, [alias]);
      else list.push(alias);
    }
    return found;
  }

  // ------------------------------------------------------------------------------------------ stage 3: word index

  async writeWords(): Promise<void> {
    let first = this.doneOf('lexical');
    if (first === this.state.passages) return;
    const analysis = analysisOf(this.options.analysis ?? defaultScheme.analysis.name);
    let builder = createLexicalBuilder(analysis);
    for await (const row of this.passagesFrom(first)) {
      builder.add(row);
      if (builder.passages >= this.limits.lexicalPassages || builder.postings >= this.limits.lexicalPostings) {
        await this.writePart('lexical', builder.finish(), first, builder.passages);
        await this.saveState();
        first += builder.passages;
        builder = createLexicalBuilder(analysis);
      }
      this.report('passages', first + builder.passages, this.state.passages, 'indexing', 'word index');
    }
    if (builder.passages > 0) await this.writePart('lexical', builder.finish(), first, builder.passages);
    await this.saveState();
  }

  // ------------------------------------------------------------------------------------------ stage 4: links

  async writeLinks(): Promise<void> {
    let first = this.doneOf('links');
    if (first === this.state.passages) return;
    let rows: number[][] = [];
    let links = 0;
    const flush = async (): Promise<void> => {
      await this.writePart('links', encodeLinks(rows), first, rows.length);
      await this.saveState();
      first += rows.length;
      rows = [];
      links = 0;
    };
    for await (const row of this.input.hasHyperlinks ? this.hyperlinksFrom(first) : this.mentionsFrom(first)) {
      rows.push(row);
      links += row.length;
      this.report('passages', first + rows.length, this.state.passages, 'indexing', 'links');
      if (links >= this.limits.links || rows.length >= this.limits.linkPassages) await flush();
    }
    if (rows.length > 0) await flush();
  }

  private async *mentionsFrom(first: number): AsyncGenerator<number[]> {
    const titles: string[] = [];
    const ends: number[] = [];
    for await (const row of this.titleRows()) {
      titles.push(row.title);
      ends.push(row.first + row.passages);
    }
    const matcher = createMentionMatcher(titles);
    let ordinal = first;
    let own = ends.findIndex((end) => first < end);
    for await (const row of this.passagesFrom(first)) {
      while (ordinal >= (ends[own] ?? Infinity)) own++;
      yield matcher.documentsIn(row.text).filter((d) => d !== own);
      ordinal++;
    }
  }

  private async *hyperlinksFrom(first: number): AsyncGenerator<number[]> {
    const documents = new Map<string, number>();
    const ends: number[] = [];
    for await (const row of this.titleRows()) {
      documents.set(row.docId, documents.size);
      ends.push(row.first + row.passages);
    }
    for (const [title, names] of await this.aliases()) {
      const document = documents.get(title);
      if (document !== undefined) for (const name of names) documents.set(name, document);
    }
    let ordinal = 0;
    let own = 0;
    for await (const line of this.workingLines('targets')) {
      while (ordinal >= (ends[own] ?? Infinity)) own++;
      if (ordinal++ < first) continue;
      this.context.signal.throwIfAborted();
      const found = new Set<number>();
      for (const target of v.parse(v.array(v.string()), JSON.parse(line))) {
        const document = documents.get(target);
        if (document !== undefined && document !== own) found.add(document);
      }
      yield [...found].sort((a, b) => a - b);
    }
  }

  // ------------------------------------------------------------------------------------------ stage 5: vectors

  async writeVectors(embedder: NodeEmbedder): Promise<void> {
    let first = this.doneOf('vectors');
    if (first === this.state.passages) return;
    const { dimensions } = embedder.spec;
    const source = await openVectorSource(embedder, this.options.vectorsCache);
    const perPart = Math.max(1, Math.floor(this.limits.vectorBytes / (dimensions + 4)));
    let scales: number[] = [];
    let codes: Int8Array[] = [];
    const flush = async (): Promise<void> => {
      const all = new Int8Array(codes.length * dimensions);
      codes.forEach((c, i) => all.set(c, i * dimensions));
      const bytes = encodeVectors({ dimensions, count: codes.length, scales: Float32Array.from(scales), codes: all });
      await this.writePart('vectors', bytes, first, codes.length);
      await this.saveState();
      first += codes.length;
      scales = [];
      codes = [];
    };
    try {
      for await (const row of this.passagesFrom(first)) {
        const vector = await source.get(embeddedText(row));
        scales.push(vector.scale);
        codes.push(vector.codes);
        this.report('passages', first + codes.length, this.state.passages, 'embedding', embedder.spec.id);
        if (codes.length >= perPart) await flush();
      }
      if (codes.length > 0) await flush();
    } finally {
      await source.close();
    }
  }

  private async measureVectors({ id, dimensions }: EmbedderSpec): Promise<NonNullable<ShardManifest['vectors']>> {
    const { out } = this.options;
    const parts = this.partsOf('vectors');
    async function* read(): AsyncGenerator<VectorSegment> {
      for (const { file, first } of parts) yield openVectorSegment(Uint8Array.from(await readFile(join(out, file))), id, first, file);
    }
    return measureCandidates(read, await openKernel(await kernelBinaries()), { dimensions, passages: this.state.passages });
  }

  // ------------------------------------------------------------------------------------------ last: manifest

  async finish(embedder: NodeEmbedder | null): Promise<ShardManifest> {
    const { options, state } = this;
    let tokens = 0;
    for (const part of this.partsOf('lexical')) {
      const segment = openLexicalSegment(await readFile(join(options.out, part.file)), part.file);
      tokens += segment.textTokens + segment.titleTokens + segment.sectionTokens;
    }
    let links = 0;
    for (const part of this.partsOf('links')) {
      const head = Buffer.alloc(16);
      const file = await open(join(options.out, part.file), 'r');
      await file.read(head, 0, 16, 0);
      await file.close();
      links += head.readUInt32LE(12);
    }
    const golden = embedder === null ? [] : await Promise.all(goldenTexts.map(async (text) => ({ text, vector: Array.from(await embedder.embed(text), rounded) })));
    const manifest: ShardManifest = decodeManifest(
      {
        format: 'foray-shard',
        version: formatVersion,
        id: options.id,
        name: options.name,
        language: options.language ?? this.input.language() ?? 'en',
        licence: options.licence,
        attribution: options.attribution,
        source: options.source,
        counts: { documents: state.documents, passages: state.passages, links },
        bm25: { k1: defaultScheme.k1, b: defaultScheme.b },
        analysis: { name: options.analysis ?? defaultScheme.analysis.name },
        averageLength: Math.round((tokens / state.passages) * 1000) / 1000,
        embedder: embedder === null ? null : embedder.spec,
        golden,
        ...(embedder === null ? {} : { vectors: await this.measureVectors(embedder.spec) }),
        parts: partKinds.flatMap((kind) => this.partsOf(kind)),
      },
      options.out,
    );
    for (const [name, text] of (await this.input.extras?.(options.id, this.passagesFrom(0))) ?? []) await this.replace(join(options.out, name), text);
    await this.replace(join(options.out, manifestFile), serialiseManifest(manifest));
    await rm(this.work, { recursive: true, force: true });
    return manifest;
  }

  // ------------------------------------------------------------------------------------------ files

  private partsOf(kind: PartKind): ShardPart[] {
    return this.state.parts.filter((p) => p.kind === kind);
  }

  /** Passages (documents for titles) that the finished parts of a kind cover. */
  private doneOf(kind: PartKind): number {
    return this.partsOf(kind).reduce((sum, p) => sum + p.count, 0);
  }

  private async writePart(kind: PartKind, bytes: Uint8Array, first: number, count: number): Promise<void> {
    this.context.signal.throwIfAborted();
    const file = `${kind}-${String(this.partsOf(kind).length).padStart(4, '0')}.bin`;
    await this.replace(join(this.options.out, file), bytes);
    this.state.parts.push({ kind, file, bytes: bytes.length, sha256: await sha256Hex(bytes), first, count });
  }

  private saveState(): Promise<void> {
    return this.replace(join(this.work, 'state.json'), JSON.stringify(this.state));
  }

  /** Writes beside, then renames: a reader or a killed build never sees half a file. */
  private async replace(path: string, content: Uint8Array | string): Promise<void> {
    await writeFile(`${path}.new`, content);
    await rename(`${path}.new`, path);
  }

  private workingPath(name: string): string {
    return join(this.work, `${name}.jsonl`);
  }

  private workingLines(name: WorkingFile): AsyncGenerator<string> {
    return linesOf(textOf(createReadStream(this.workingPath(name))));
  }

  private async *passagesFrom(first: number): AsyncGenerator<PassageRow> {
    for (const part of this.partsOf('passages')) {
      if (part.first + part.count <= first) continue;
      const bytes = await readFile(join(this.options.out, part.file));
      for (const block of readPassageDirectory(bytes, bytes.length, part.file)) {
        this.context.signal.throwIfAborted();
        if (block.first + block.count <= first) continue;
        const rows = decodePassageBlock(bytes.subarray(block.offset, block.offset + block.length), block, part.file);
        yield* rows.slice(Math.max(0, first - block.first));
      }
    }
  }

  /** Each stage is measured by itself, so that the time left is that of the stage. */
  private report(unit: 'bytes' | 'passages', done: number, total: number, phase: 'reading' | 'indexing' | 'embedding', stage: string, item = stage): void {
    if (this.meter?.stage !== stage) this.meter = { stage, meter: createProgressMeter(unit, this.context.now) };
    this.context.onProgress(this.meter.meter.update(done, { phase, item, total }));
  }
}

const rounded = (x: number): number => Math.round(x * 1e6) / 1e6;

/** For each passage the targets of the links whose words stand in it. */
function linksByPassage(document: InputDocument, rows: readonly PassageRow[]): string[][] {
  const byTarget = new Map<string, Set<string>>();
  for (const { target, anchor } of document.links) {
    const anchors = byTarget.get(target);
    if (anchors === undefined) byTarget.set(target, new Set([anchor]));
    else anchors.add(anchor);
  }
  return rows.map(({ text }) => [...byTarget].filter(([, anchors]) => [...anchors].some((anchor) => holdsWords(text, anchor))).map(([target]) => target));
}

/** Whether `words` stand in the text with no letter or digit right before or after. */
function holdsWords(text: string, words: string): boolean {
  for (let at = text.indexOf(words); at >= 0; at = text.indexOf(words, at + 1)) {
    const isStart = at === 0 || !/[\p{L}\p{N}]/u.test(text.charAt(at - 1));
    const isEnd = at + words.length >= text.length || !/[\p{L}\p{N}]/u.test(text.charAt(at + words.length));
    if (isStart && isEnd) return true;
  }
  return false;
}
