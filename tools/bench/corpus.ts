/**
 * A shard folder opened in Node, behind the same `Retriever` that the page has: the same files, the same search code, no browser. For measurements that need to be
 * quick; what a browser adds (workers, storage) is measured by the page driver.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { completions } from '../../src/corpus/completion.ts';
import { documentFrequencies } from '../../src/corpus/frequencies.ts';
import { openLexicalSegment } from '../../src/corpus/lexical.ts';
import { openLinks, openTitles } from '../../src/corpus/links.ts';
import { parsePassageId, toPassage, type PassageRow } from '../../src/corpus/passages.ts';
import type { Passage, PassageRef, Retriever } from '../../src/corpus/retriever.ts';
import { linkedPassages, search, type SearchSource } from '../../src/corpus/search.ts';
import { decodePassageBlock, manifestFile, parseManifest, readPassageDirectory, schemeOf, type PartKind, type ShardManifest } from '../../src/corpus/shard.ts';
import { openKernel } from '../../src/corpus/kernel/kernel.ts';
import { vectorSetOf } from '../../src/corpus/vector-set.ts';
import { openVectorSegment } from '../../src/corpus/vectors.ts';
import { kernelBinaries } from '../kernel.ts';
import type { NodeEmbedder } from '../shard/embed.ts';

export interface NodeCorpus {
  readonly manifest: ShardManifest;
  readonly source: SearchSource;
  /** In ordinal order. */
  readonly rows: readonly PassageRow[];
  readonly retriever: Retriever;
}

/** Reads the whole shard into memory. `embedder`: searches by meaning as well, where the shard was made with the same one. Throws `shard/*` where a part is not sound. */
export async function openNodeCorpus(folder: string, embedder: NodeEmbedder | null = null): Promise<NodeCorpus> {
  const file = join(folder, manifestFile);
  const manifest = parseManifest(await readFile(file, 'utf8'), file);
  const parts = async (kind: PartKind): Promise<{ bytes: Uint8Array; name: string; first: number }[]> => {
    const wanted = manifest.parts.filter((part) => part.kind === kind).sort((a, b) => a.first - b.first);
    // A copy: Node hands out small files in a shared pool, where typed arrays would not be aligned.
    return Promise.all(wanted.map(async (part) => ({ bytes: Uint8Array.from(await readFile(join(folder, part.file))), name: part.file, first: part.first })));
  };
  const { counts, id } = manifest;
  const withVectors = embedder !== null && manifest.embedder?.id === embedder.spec.id;
  const segments = withVectors ? (await parts('vectors')).map(({ bytes, name, first }) => openVectorSegment(bytes, embedder.spec.id, first, name)) : [];
  const source: SearchSource = {
    key: id,
    corpus: id,
    titles: openTitles(await parts('titles')),
    lexical: (await parts('lexical')).map(({ bytes, name }) => openLexicalSegment(bytes, name, schemeOf(manifest))),
    links: openLinks(await parts('links'), counts.passages, counts.documents),
    ranking: manifest.ranking ?? null,
    vectors: withVectors ? [{ set: vectorSetOf(segments, await openKernel(await kernelBinaries()), manifest.vectors), first: 0 }] : [],
  };
  const rows = (await parts('passages')).flatMap(({ bytes, name }) =>
    readPassageDirectory(bytes, bytes.length, name).flatMap((block) => decodePassageBlock(bytes.subarray(block.offset, block.offset + block.length), block, name)),
  );
  const passageAt = (ordinal: number): Passage | null => {
    const row = rows[ordinal];
    return row === undefined ? null : toPassage(row, id);
  };
  let ordinals: Map<string, number> | null = null;
  const ordinalOf = (passageId: string): number | undefined => {
    if (parsePassageId(passageId)?.corpus !== id) return undefined;
    ordinals ??= new Map(rows.map((row, i) => [toPassage(row, id).id, i]));
    return ordinals.get(passageId);
  };
  const refAt = (ordinal: number): PassageRef[] => {
    const passage = passageAt(ordinal);
    return passage === null ? [] : [{ id: passage.id, title: passage.title, section: passage.section }];
  };

  const retriever: Retriever = {
    async search(request, signal) {
      const vector = withVectors && request.dense !== false ? { embedder: embedder.spec.id,
        values: await embedder.embed(`${embedder.spec.queryPrefix}${request.text}`) } : null;
      return search(request, [source], { vector, fetchPassages: async (wanted) => wanted.map(({ ordinal }) => passageAt(ordinal)), now: () => performance.now(),
        signal });
    },
    async passage(passageId) {
      const ordinal = ordinalOf(passageId);
      return ordinal === undefined ? null : passageAt(ordinal);
    },
    async neighbours(passageId) {
      const ordinal = ordinalOf(passageId);
      if (ordinal === undefined) return null;
      const { titles } = source;
      const document = titles.documentOf(ordinal);
      const first = titles.first(document);
      const last = first + titles.count(document) - 1;
      const links = linkedPassages(source, ordinal, [source]);
      return {
        out: links.out.flatMap((place) => refAt(place.ordinal)),
        in: links.in.flatMap((place) => refAt(place.ordinal)),
        previous: ordinal > first ? (refAt(ordinal - 1)[0] ?? null) : null,
        next: ordinal < last ? (refAt(ordinal + 1)[0] ?? null) : null,
      };
    },
    frequencies: async (terms) => ({ passages: counts.passages, documents: documentFrequencies(source.lexical, terms) }),
    complete: async (prefix, limit) => completions([source], prefix, limit),
  };
  return { manifest, source, rows, retriever };
}
