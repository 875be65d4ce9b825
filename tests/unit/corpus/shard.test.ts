import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, test } from 'vitest';
import fc from 'fast-check';
import { AppError, type ErrorCode } from '../../../src/errors.ts';
import { createLexicalBuilder } from '../../../src/corpus/lexical-builder.ts';
import { encodeLinks, encodeTitles } from '../../../src/corpus/links.ts';
import type { PassageRow } from '../../../src/corpus/passages.ts';
import { generalWeights } from '../../../src/corpus/rank.ts';
import {
  checkPart, decodeManifest, decodePassageBlock, encodePassages, parseManifest, passageDirectoryBytes, readPassageDirectory, serialiseManifest, sha256Hex, verifyPart,
  type PartKind, type ShardManifest, type ShardPart,
} from '../../../src/corpus/shard.ts';
import { encodeVectors, quantise } from '../../../src/corpus/vectors.ts';

function codeOf(run: () => unknown): ErrorCode | null {
  try {
    run();
    return null;
  } catch (error) {
    if (error instanceof AppError) return error.code;
    throw error;
  }
}

const row = (i: number): PassageRow => ({ docId: `d${i}`, n: 0, title: `Title ${i}`, section: '', text: `Text ${i}. End.`, sentenceEnds: [`Text ${i}.`.length, `Text ${i}. End.`.length], page: null });
const rows = Array.from({ length: 150 }, (_, i) => row(i));

/** A small sound shard, every part in memory. */
async function shard(): Promise<{ manifest: ShardManifest; parts: Map<string, Uint8Array> }> {
  const parts = new Map<string, Uint8Array>();
  const list: ShardPart[] = [];
  const put = async (kind: PartKind, bytes: Uint8Array, first: number, count: number): Promise<void> => {
    const file = `${kind}-${String(list.filter((p) => p.kind === kind).length).padStart(4, '0')}.bin`;
    parts.set(file, bytes);
    list.push({ kind, file, bytes: bytes.length, sha256: await sha256Hex(bytes), first, count });
  };
  const titles = rows.map((r, i) => ({ docId: r.docId, title: r.title, first: i, passages: 1, aliases: [] }));
  const words = createLexicalBuilder();
  for (const r of rows) words.add(r);
  await put('titles', encodeTitles(titles.slice(0, 60), 0), 0, 60);
  await put('titles', encodeTitles(titles.slice(60), 60), 60, 90);
  await put('passages', encodePassages(rows.slice(0, 100), 0), 0, 100);
  await put('passages', encodePassages(rows.slice(100), 100), 100, 50);
  await put('lexical', words.finish(), 0, 150);
  await put('links', encodeLinks(rows.map((_, i) => (i < 149 ? [i + 1] : []))), 0, 150);
  await put('vectors', encodeVectors(quantise(new Float32Array(150 * 4).fill(0.5), 4)), 0, 150);
  const manifest: ShardManifest = {
    format: 'foray-shard', version: 1, id: 'test', name: 'Test', language: 'en', licence: 'CC0-1.0', attribution: '', source: 'here',
    counts: { documents: 150, passages: 150, links: 149 }, bm25: { k1: 1.2, b: 0.75 }, analysis: { name: 'english-1' }, averageLength: 5,
    embedder: { id: 'minilm', dimensions: 4, queryPrefix: '' }, golden: [{ text: 'x', vector: [0.5, 0.5, 0.5, 0.5] }], parts: list,
  };
  return { manifest, parts };
}

let sound: Awaited<ReturnType<typeof shard>>;
beforeAll(async () => {
  sound = await shard();
});

describe('the manifest', () => {
  test('comes back as it was written, and the same bytes each time', () => {
    const text = serialiseManifest(sound.manifest);
    expect(parseManifest(text, 'x')).toEqual(sound.manifest);
    expect(serialiseManifest(parseManifest(text, 'x'))).toBe(text);
  });

  test('unknown further fields do no harm', () => {
    expect(decodeManifest({ ...sound.manifest, later: 1 }, 'x')).toEqual(sound.manifest);
  });

  test.each([
    ['a web page', '<!doctype html><p>Sign in</p>'],
    ['no JSON', '{"format":'],
    ['other JSON', '{"name":"x"}'],
    ['a list', '[]'],
    ['nothing', ''],
  ])('%s is not a shard', (_, text) => {
    expect(codeOf(() => parseManifest(text, 'here'))).toBe('shard/not-a-shard');
  });

  test('another version is refused with what to do, a missing one as unclear', () => {
    expect(codeOf(() => decodeManifest({ ...sound.manifest, version: 2 }, 'x'))).toBe('shard/version');
    expect(codeOf(() => decodeManifest({ ...sound.manifest, version: 0 }, 'x'))).toBe('shard/version');
    expect(() => decodeManifest({ ...sound.manifest, version: 2 }, 'x')).toThrow(/Update/);
    expect(codeOf(() => decodeManifest({ ...sound.manifest, version: '1' }, 'x'))).toBe('shard/manifest');
    expect(codeOf(() => decodeManifest({ format: 'foray-shard' }, 'x'))).toBe('shard/manifest');
  });

  const withPart =
    (change: Partial<Record<keyof ShardPart, unknown>>, at = 0) =>
    (m: ShardManifest): unknown => ({ ...m, parts: m.parts.map((p, i) => (i === at ? { ...p, ...change } : p)) });
  test.each<[string, (m: ShardManifest) => unknown]>([
    ['a path out of the folder', withPart({ file: '../titles.bin' })],
    ['an address', withPart({ file: 'https://a.b/x.bin' })],
    ['a capital in a file name', withPart({ file: 'A.bin' })],
    ['a file twice', withPart({ file: 'titles-0001.bin' })],
    ['a giant part', withPart({ bytes: 2 ** 40 })],
    ['no bytes', withPart({ bytes: 0 })],
    ['a hash of another kind', withPart({ sha256: 'abc' })],
    ['a part kind of a later version', withPart({ kind: 'images' })],
    ['a gap between parts', withPart({ first: 61 }, 1)],
    ['parts in the wrong order', (m) => ({ ...m, parts: [...m.parts].reverse() })],
    ['a kind missing', (m) => ({ ...m, parts: m.parts.filter((p) => p.kind !== 'links') })],
    ['more passages than the parts hold', (m) => ({ ...m, counts: { ...m.counts, passages: 151 } })],
    ['more documents than passages', (m) => ({ ...m, counts: { ...m.counts, documents: 151 } })],
    ['negative counts', (m) => ({ ...m, counts: { ...m.counts, links: -1 } })],
    ['counts that are no numbers', (m) => ({ ...m, counts: { ...m.counts, links: '3' } })],
    ['vectors without an embedder', (m) => ({ ...m, embedder: null, golden: [] })],
    ['a golden vector of another length', (m) => ({ ...m, golden: [{ text: 'x', vector: [1] }] })],
    ['an analysis that this app lacks', (m) => ({ ...m, analysis: { name: 'english-9' } })],
    ['an id with a slash', (m) => ({ ...m, id: 'a/b' })],
    ['a giant name', (m) => ({ ...m, name: 'x'.repeat(1e6) })],
  ])('is refused: %s', (_, change) => {
    expect(codeOf(() => decodeManifest(change(sound.manifest), 'x'))).toBe('shard/manifest');
  });

  test('any JSON at all gives a manifest or an AppError', () => {
    fc.assert(fc.property(fc.jsonValue(), (value) => void codeOf(() => decodeManifest(value, 'x'))));
    fc.assert(
      fc.property(fc.constantFrom(...(Object.keys(sound.manifest) as (keyof ShardManifest)[])), fc.jsonValue(), (key, value) => {
        if (JSON.stringify(value) !== JSON.stringify(sound.manifest[key])) codeOf(() => decodeManifest({ ...sound.manifest, [key]: value }, 'x'));
      }),
    );
  });
});

describe('weights of the ranking in the manifest', () => {
  const withRanking = (ranking: unknown): string => JSON.stringify({ ...sound.manifest, ranking });

  test('come back as they were; without them a manifest is sound as well', () => {
    expect(parseManifest(withRanking(generalWeights), 'x').ranking).toEqual(generalWeights);
    expect(parseManifest(JSON.stringify(sound.manifest), 'x').ranking).toBeUndefined();
  });

  test('that are no numbers are refused', () => {
    expect(codeOf(() => parseManifest(withRanking({ ...generalWeights, words: [{ words: 'much' }, {}] }), 'x'))).toBe('shard/manifest');
  });
});

describe('the passages part', () => {
  test('every passage comes back, block by block', () => {
    const bytes = encodePassages(rows, 1000);
    const blocks = readPassageDirectory(bytes, bytes.length, 'p');
    expect(blocks.map((b) => [b.first, b.count])).toEqual([...Array.from({ length: 9 }, (_, i) => [1000 + 16 * i, 16]), [1144, 6]]);
    expect(blocks.flatMap((b) => decodePassageBlock(bytes.subarray(b.offset, b.offset + b.length), b, 'p'))).toEqual(rows);
    const head = bytes.slice(0, passageDirectoryBytes(bytes, 'p'));
    expect(readPassageDirectory(head, bytes.length, 'p')).toEqual(blocks);
    expect(() => readPassageDirectory(head.slice(0, -1), bytes.length, 'p')).toThrow(AppError);
  });

  test.each([[64, true], [65, false]])('a block of %d passages, as others may write it, is read: %s', (count, isSound) => {
    const some = rows.slice(0, count);
    const json = new TextEncoder().encode(JSON.stringify(some.map((r) => [r.docId, r.n, r.title, r.section, r.text, r.sentenceEnds, r.page])));
    const bytes = new Uint8Array(32 + json.length);
    const [magic = 0, version = 0] = new Uint32Array(encodePassages(rows, 0).buffer, 0, 2);
    new Uint32Array(bytes.buffer, 0, 8).set([magic, version, 1, count, 32, json.length, 0, count]);
    bytes.set(json, 32);
    if (!isSound) return expect(() => readPassageDirectory(bytes, bytes.length, 'p')).toThrow(AppError);
    expect(readPassageDirectory(bytes, bytes.length, 'p').flatMap((b) => decodePassageBlock(bytes.subarray(b.offset, b.offset + b.length), b, 'p'))).toEqual(some);
  });

  test('any text survives', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: 'grapheme', minLength: 1 }), { maxLength: 5 }), fc.option(fc.integer({ min: 1, max: 9 })), (texts, page) => {
        const all = texts.map((text, i): PassageRow => ({ docId: text, n: i, title: text, section: text, text, sentenceEnds: [text.length], page }));
        const bytes = encodePassages(all, 0);
        expect(readPassageDirectory(bytes, bytes.length, 'p').flatMap((b) => decodePassageBlock(bytes.subarray(b.offset, b.offset + b.length), b, 'p'))).toEqual(all);
      }),
    );
  });

  test('a flipped bit anywhere changes a passage or is refused, and breaks nothing else', () => {
    const bytes = encodePassages(rows.slice(0, 3), 0);
    for (let at = 0; at < bytes.length; at++) {
      const damaged = bytes.slice();
      damaged[at] = (damaged[at] ?? 0) ^ 4;
      const code = codeOf(() => {
        for (const b of readPassageDirectory(damaged, damaged.length, 'p')) decodePassageBlock(damaged.subarray(b.offset, b.offset + b.length), b, 'p');
      });
      expect([null, 'shard/part-invalid']).toContain(code);
      if (at < 24) expect(() => readPassageDirectory(damaged, damaged.length, 'p')).toThrow(AppError);
      if (at < 32) expect(code).toBe(at >= 24 && at < 28 ? null : 'shard/part-invalid'); // 24-27: the number of the first passage
    }
  });

  test.each([
    ['sentences beyond the text', [['d', 0, 't', '', 'abc', [9], null]]],
    ['sentences out of order', [['d', 0, 't', '', 'abc', [2, 1, 3], null]]],
    ['no sentences for text', [['d', 0, 't', '', 'abc', [], null]]],
    ['a page of 0', [['d', 0, 't', '', 'abc', [3], 0]]],
    ['too few fields', [['d', 0, 't', 'abc', [3], null]]],
    ['two passages for one', [['d', 1, 't', '', 'a', [1], null], ['d', 2, 't', '', 'a', [1], null]]],
  ])('is refused: %s', (_, block) => {
    const bytes = new TextEncoder().encode(JSON.stringify(block));
    expect(codeOf(() => decodePassageBlock(bytes, { offset: 0, length: bytes.length, first: 0, count: 1 }, 'p'))).toBe('shard/part-invalid');
  });
});

describe('parts', () => {
  test('a sound shard passes every check', async () => {
    for (const part of sound.manifest.parts) {
      const bytes = sound.parts.get(part.file) ?? new Uint8Array();
      await verifyPart(bytes, part);
      checkPart(bytes, part, sound.manifest, { deep: true });
    }
  });

  test('a short part is truncated, a changed byte in any part a wrong checksum', async () => {
    for (const part of sound.manifest.parts) {
      const bytes = sound.parts.get(part.file) ?? new Uint8Array();
      await expect(verifyPart(bytes.slice(0, -1), part)).rejects.toMatchObject({ code: 'shard/truncated', detail: { part: part.file } });
      for (const at of [0, 13, bytes.length >> 1, bytes.length - 1]) {
        const flipped = bytes.slice();
        flipped[at] = (flipped[at] ?? 0) ^ 1;
        await expect(verifyPart(flipped, part)).rejects.toMatchObject({ code: 'shard/checksum', detail: { part: part.file } });
      }
      await expect(verifyPart(Uint8Array.from([...bytes, 0]), part)).rejects.toMatchObject({ code: 'shard/checksum' });
    }
  });

  test('a part that is not what the manifest says is refused by its structure', () => {
    const all = sound.manifest.parts;
    for (const part of all) {
      const bytes = sound.parts.get(part.file) ?? new Uint8Array();
      expect(codeOf(() => checkPart(bytes, { ...part, count: part.count + 1 }, sound.manifest)), part.file).toBe('shard/part-invalid');
      for (const other of all.filter((o) => o.kind !== part.kind)) {
        expect(codeOf(() => checkPart(sound.parts.get(other.file) ?? new Uint8Array(), part, sound.manifest)), `${other.file} for ${part.file}`).toBe('shard/part-invalid');
      }
    }
  });

  test('vectors of another dimension are named as such', () => {
    const part = sound.manifest.parts.find((p) => p.kind === 'vectors');
    const bytes = encodeVectors(quantise(new Float32Array(150 * 3).fill(0.5), 3));
    expect(() => part !== undefined && checkPart(bytes, part, sound.manifest)).toThrow(/3 dimensions.*4/);
  });
});

test('the demo shard in public/ is sound by its own manifest', async () => {
  const folder = new URL('../../../public/shards/demo/', import.meta.url);
  const manifest = parseManifest(readFileSync(new URL('manifest.json', folder), 'utf8'), 'demo');
  expect(manifest.counts.documents).toBeGreaterThanOrEqual(150);
  expect(manifest.counts.passages).toBeGreaterThanOrEqual(400);
  for (const part of manifest.parts) {
    const bytes = new Uint8Array(readFileSync(new URL(part.file, folder)));
    await verifyPart(bytes, part);
    checkPart(bytes, part, manifest, { deep: true });
  }
});
