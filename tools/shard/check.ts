/** Reads a finished shard folder: `verifyShard` finds everything that is wrong with it, `describeShard` says what is in it. */
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { AppError } from '../../src/errors.ts';
import { openLinks, openTitles } from '../../src/corpus/links.ts';
import {
  checkPart, decodePassageBlock, manifestFile, maxManifestBytes, parseManifest, partKinds, readPassageDirectory, verifyPart, type PartKind, type ShardManifest,
} from '../../src/corpus/shard.ts';

/** Throws `AppError` where there is no readable manifest. */
export async function readManifest(folder: string): Promise<ShardManifest> {
  const path = join(folder, manifestFile);
  const info = await stat(path).catch(() => null);
  if (info === null) throw new AppError('shard/not-a-shard', { what: folder, reason: `there is no ${manifestFile}` });
  if (info.size > maxManifestBytes) throw new AppError('shard/manifest', { reason: 'it is too long' });
  return parseManifest(await readFile(path, 'utf8'), folder);
}

/** One line for each fault: bytes, checksums and structure of every part, and that the parts agree with one another. Empty: the shard is sound. */
export async function verifyShard(folder: string): Promise<string[]> {
  const faults: string[] = [];
  let manifest: ShardManifest;
  try {
    manifest = await readManifest(folder);
  } catch (error) {
    return [message(error)];
  }
  const attempt = async (task: () => Promise<void>): Promise<void> => {
    try {
      await task();
    } catch (error) {
      faults.push(message(error));
    }
  };
  for (const part of manifest.parts) {
    await attempt(async () => {
      const bytes = await readFile(join(folder, part.file));
      await verifyPart(bytes, part);
      checkPart(bytes, part, manifest, { deep: true });
    });
  }
  if (faults.length > 0) return faults;
  await attempt(async () => {
    const { documents, passages, links } = manifest.counts;
    const table = openTitles(await partBytes(folder, manifest, 'titles'));
    if (table.passages !== passages) faults.push(`the titles cover ${table.passages} passages, the manifest announces ${passages}`);
    const graph = openLinks(await partBytes(folder, manifest, 'links'), passages, documents);
    if (graph.links !== links) faults.push(`there are ${graph.links} links, the manifest announces ${links}`);
    for (const part of manifest.parts.filter((p) => p.kind === 'passages')) {
      const bytes = await readFile(join(folder, part.file));
      for (const block of readPassageDirectory(bytes, bytes.length, part.file)) {
        decodePassageBlock(bytes.subarray(block.offset, block.offset + block.length), block, part.file).forEach((row, i) => {
          const ordinal = block.first + i;
          const document = table.documentOf(ordinal);
          const n = table.count(document) === 1 ? 0 : ordinal - table.first(document) + 1;
          if (table.docId(document) !== row.docId || table.title(document) !== row.title || n !== row.n) {
            faults.push(`${part.file}: passage ${ordinal} does not belong to the document that the titles name`);
          }
        });
      }
    }
  });
  return faults;
}

/** A few lines for people. */
export async function describeShard(folder: string): Promise<string> {
  const manifest = await readManifest(folder);
  const { counts, embedder } = manifest;
  const lines = [
    `${manifest.name} (${manifest.id}, ${manifest.language})`,
    `licence      ${manifest.licence}${manifest.attribution === '' ? '' : `; ${manifest.attribution}`}`,
    `source       ${manifest.source}`,
    `contents     ${counts.documents} documents, ${counts.passages} passages (${manifest.averageLength} words each), ${counts.links} links`,
    `embedder     ${embedder === null ? 'none' : `${embedder.id}, ${embedder.dimensions} dimensions`}`,
  ];
  for (const kind of partKinds) {
    const parts = manifest.parts.filter((p) => p.kind === kind);
    const bytes = parts.reduce((sum, p) => sum + p.bytes, 0);
    lines.push(`${kind.padEnd(12)} ${parts.length} part${parts.length === 1 ? '' : 's'}, ${(bytes / 1e6).toFixed(2)} MB`);
  }
  const part = manifest.parts.find((p) => p.kind === 'passages');
  if (part !== undefined) {
    const bytes = await readFile(join(folder, part.file));
    const block = readPassageDirectory(bytes, bytes.length, part.file)[0];
    const row = block === undefined ? undefined : decodePassageBlock(bytes.subarray(block.offset, block.offset + block.length), block, part.file)[0];
    if (row !== undefined) lines.push(`first        ${row.title}${row.section === '' ? '' : ` / ${row.section}`}: ${row.text.slice(0, 200)}`);
  }
  return `${lines.join('\n')}\n`;
}

async function partBytes(folder: string, manifest: ShardManifest, kind: PartKind): Promise<{ bytes: Uint8Array; name: string }[]> {
  const parts = manifest.parts.filter((p) => p.kind === kind);
  return Promise.all(parts.map(async (p) => ({ bytes: await readFile(join(folder, p.file)), name: p.file })));
}

function message(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
