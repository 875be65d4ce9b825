/**
 * A shard folder opened in Node, behind the same `Retriever` that the page has: the same files, the same search code, no browser. For measurements that need to be
 * quick; what a browser adds (workers, storage) is measured by the page driver.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { openLexicalSegment } from '../../src/corpus/lexical.ts';
import { openLinks, openTitles } from '../../src/corpus/links.ts';
import { memoryRetriever } from '../../src/corpus/memory.ts';
import type { PassageRow } from '../../src/corpus/passages.ts';
import type { Retriever } from '../../src/corpus/retriever.ts';
import type { SearchSource } from '../../src/corpus/search.ts';
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
  const retriever = memoryRetriever(
    { source, rows },
    {
      now: () => performance.now(),
      ...(withVectors ? { vectorOf: async (text: string) => ({ embedder: embedder.spec.id, values: await embedder.embed(`${embedder.spec.queryPrefix}${text}`) }) } : {}),
    },
  );
  return { manifest, source, rows, retriever };
}
