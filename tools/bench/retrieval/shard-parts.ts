/** The parts of a shard, fetched whole: for measuring what Foray's modules do with them apart from its store. */
import { parseManifest, type PartKind, type ShardManifest, type ShardPart } from '../../../src/corpus/shard.ts';
import type { DataSource } from './contract.ts';

export async function fetchManifest(source: DataSource): Promise<ShardManifest> {
  const url = `${source.shardUrl}manifest.json`;
  return parseManifest(await (await fetch(url)).text(), url);
}

export interface FetchedPart {
  readonly part: ShardPart;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

export async function fetchPart(source: DataSource, part: ShardPart): Promise<FetchedPart> {
  return { part, bytes: new Uint8Array(await (await fetch(`${source.shardUrl}${part.file}`, { cache: 'no-store' })).arrayBuffer()) };
}

/** One after the other, so that only what the caller keeps is in memory. `kinds` null: all. */
export async function* fetchParts(source: DataSource, manifest: ShardManifest, kinds: readonly PartKind[] | null): AsyncGenerator<FetchedPart> {
  for (const part of manifest.parts) if (kinds?.includes(part.kind) !== false) yield await fetchPart(source, part);
}
