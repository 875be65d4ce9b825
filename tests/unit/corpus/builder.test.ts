import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { appendFile, cp, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { queryTerms } from '../../../src/corpus/analysis.ts';
import { openNodeCorpus } from '../../../tools/bench/corpus.ts';
import { openLexicalSegment, searchLexical } from '../../../src/corpus/lexical.ts';
import { openLinks, openTitles, type LinkGraph, type TitleTable } from '../../../src/corpus/links.ts';
import type { PassageRow } from '../../../src/corpus/passages.ts';
import { decodePassageBlock, readPassageDirectory, type PartKind, type ShardManifest } from '../../../src/corpus/shard.ts';
import { scalarKernel } from '../../../src/corpus/kernel/kernel.ts';
import { vectorSetOf } from '../../../src/corpus/vector-set.ts';
import { openVectorSegment } from '../../../src/corpus/vectors.ts';
import type { Progress } from '../../../src/progress.ts';
import { buildShard, type BuildOptions, type PartLimits } from '../../../tools/shard/builder.ts';
import { describeShard, readManifest, verifyShard } from '../../../tools/shard/check.ts';
import { hasEmbedder, openNodeEmbedder } from '../../../tools/shard/embed.ts';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const dumps = join(root, '../shared/data/dumps');
const hasDumps = existsSync(dumps);
if (!hasDumps) console.warn('skipped: real dumps, because ../shared/data is not there');
const hasStatic = await hasEmbedder('wordllama');
if (!hasStatic) console.warn('skipped: static embedder, because its model is not on this machine');

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'foray-shard-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

let made = 0;
const path = (name: string): string => join(folder, `${++made}-${name}`);

const options = (input: string, out: string, change: Partial<BuildOptions> = {}): BuildOptions => ({
  input, out, id: 'test', name: 'Test', language: null, licence: 'CC0-1.0', attribution: '', source: 'test', embedder: 'none', vectorsCache: null, ...change,
});

/** Small parts, so that a small input has several of each kind. */
const smallParts: Partial<PartLimits> = { passageBytes: 6000, lexicalPassages: 25, titleBytes: 900, linkPassages: 30, vectorBytes: 10_000 };

function build(
  input: string,
  out: string,
  change: Partial<BuildOptions> = {},
  signal = new AbortController().signal,
  onProgress: (p: Progress) => void = () => undefined,
): ReturnType<typeof buildShard> {
  return buildShard(options(input, out, change), { signal, onProgress, now: () => performance.now(), limits: smallParts });
}

async function bytesOf(out: string): Promise<Map<string, string>> {
  const files = new Map<string, string>();
  for (const name of (await readdir(out)).sort()) files.set(name, (await readFile(join(out, name))).toString('base64'));
  return files;
}

interface Opened {
  readonly manifest: ShardManifest;
  readonly rows: PassageRow[];
  readonly titles: TitleTable;
  readonly links: LinkGraph;
  linked(title: string): string[];
  find(text: string): PassageRow | undefined;
}

async function openShard(out: string): Promise<Opened> {
  const manifest = await readManifest(out);
  const parts = (kind: PartKind): Promise<{ bytes: Uint8Array; name: string }[]> =>
    Promise.all(manifest.parts.filter((p) => p.kind === kind).map(async (p) => ({ bytes: new Uint8Array(await readFile(join(out, p.file))), name: p.file })));
  const rows = (await parts('passages')).flatMap(({ bytes, name }) =>
    readPassageDirectory(bytes, bytes.length, name).flatMap((b) => decodePassageBlock(bytes.subarray(b.offset, b.offset + b.length), b, name)),
  );
  const titles = openTitles(await parts('titles'));
  const links = openLinks(await parts('links'), rows.length, titles.documents);
  const lexical = (await parts('lexical')).map((p) => openLexicalSegment(p.bytes, p.name));
  return {
    manifest, rows, titles, links,
    linked(title) {
      const document = titles.findDocument(title);
      const found = new Set<string>();
      for (let o = titles.first(document); o < titles.first(document) + titles.count(document); o++) for (const d of links.out(o)) found.add(titles.title(d));
      return [...found];
    },
    find: (text) => rows[searchLexical(lexical, queryTerms(text), 1).ordinals[0] ?? -1],
  };
}

const town = (i: number): string => `Town ${'ABCDEFGHIJKLMNOPQRSTUVWXYZ'[i % 26] ?? ''}${i}`;
const article = (i: number) => ({
  id: `t${i}`,
  title: town(i),
  text: `${town(i)} lies on the river Ells. ${`It has ${i} mills, and its roads lead to ${town((i + 1) % 60)} over the hills. `.repeat(1 + (i % 12))}`,
});
const lines = (count: number): string => Array.from({ length: count }, (_, i) => `${JSON.stringify(article(i))}\n`).join('');

async function jsonLines(count = 60): Promise<string> {
  const file = path('towns.jsonl');
  await writeFile(file, lines(count));
  return file;
}

describe('a build from JSON lines', () => {
  test('gives a sound shard that holds, finds and links everything', async () => {
    const out = path('out');
    const seen: Progress[] = [];
    const { manifest, skipped, isResumed } = await build(await jsonLines(), out, {}, undefined, (p) => seen.push(p));
    expect(await verifyShard(out)).toEqual([]);
    expect({ skipped, isResumed }).toEqual({ skipped: 0, isResumed: false });
    expect(manifest.counts.documents).toBe(60);
    for (const kind of ['titles', 'passages', 'lexical', 'links'] as const) expect(manifest.parts.filter((p) => p.kind === kind).length, kind).toBeGreaterThan(1);
    const shard = await openShard(out);
    for (let i = 0; i < 60; i++) {
      const own = shard.rows.filter((r) => r.docId === `t${i}`);
      expect(own.map((r) => r.text).join(' ')).toBe(article(i).text.trim());
      expect(shard.linked(`t${i}`)).toEqual([town((i + 1) % 60)]);
    }
    expect(shard.find('7 mills')?.docId).toBe('t7');
    expect(manifest.averageLength).toBeGreaterThan(10);
    expect(new Set(seen.map((p) => p.phase))).toEqual(new Set(['reading', 'indexing']));
    expect(seen.every((p) => p.total !== null && p.done <= p.total)).toBe(true);
    expect(await describeShard(out)).toContain('60 documents');
    expect(existsSync(`${out}.build`)).toBe(false);
  });

  test('the same input gives the same bytes, packed or not, also over an earlier build', async () => {
    const input = await jsonLines();
    const packed = path('towns.jsonl.gz');
    await writeFile(packed, gzipSync(lines(60)));
    const [a, b] = [path('a'), path('b')];
    await build(input, a);
    await build(packed, b);
    const first = await bytesOf(a);
    expect(await bytesOf(b)).toEqual(first);
    const stop = new AbortController();
    await expect(build(await jsonLines(20), a, {}, stop.signal, () => stop.abort())).rejects.toMatchObject({ name: 'AbortError' });
    expect(await readdir(a)).toEqual([]); // nothing of the earlier build passes for the new one
    await build(await jsonLines(20), a);
    expect((await bytesOf(a)).size).toBeLessThan(first.size);
    await build(input, a);
    expect(await bytesOf(a)).toEqual(first);
  });

  test('sections and pages are kept, empty rows passed over', async () => {
    const input = path('pages.jsonl');
    const rows = [{ id: 1, title: 'Paged', sections: [{ heading: 'One', text: 'First page.', page: 1 }, { heading: 'Two', text: 'Second page.', page: 2 }] }, { id: 2, title: 'Empty', text: ' ' }];
    await writeFile(input, `${rows.map((r) => JSON.stringify(r)).join('\n\n')}\n`);
    const out = path('out');
    const { skipped } = await build(input, out);
    expect(skipped).toBe(2);
    expect((await openShard(out)).rows.map((r) => [r.docId, r.n, r.section, r.page])).toEqual([['1', 1, 'One', 1], ['1', 2, 'Two', 2]]);
  });

  test.each([
    ['no JSON', `${lines(2)}{"id":`, /line 3: this is not JSON/],
    ['a row without title', '{"id":"a","text":"x"}', /line 1: title/],
    ['a row without text', '{"id":"a","title":"x"}', /neither text nor sections/],
    ['an id twice', `${lines(2)}${lines(1)}`, /t0 is there twice/],
    ['a page number of 0', '{"id":"a","title":"x","sections":[{"heading":"","text":"x","page":0}]}', /page/],
    ['nothing at all', '', /no text/],
  ])('bad input is one line with its place: %s', async (_, content, message) => {
    const input = path('bad.jsonl');
    await writeFile(input, content);
    const out = path('out');
    const error = await build(input, out).catch((e: unknown) => e);
    expect(error).toMatchObject({ name: 'InputError', message: expect.stringMatching(message) as string });
    expect((error as Error).message).not.toContain('\n');
    expect(existsSync(join(out, 'manifest.json'))).toBe(false);
  });

  test('an unknown kind of file, a missing file and a broken archive are refused', async () => {
    const odd = path('book.docx');
    await writeFile(odd, 'x');
    await expect(build(odd, path('out'))).rejects.toThrow(/kind of input/);
    await expect(build(path('none.jsonl'), path('out'))).rejects.toThrow(/no such file/);
    for (const [name, content] of [['cut.jsonl.gz', gzipSync(lines(60)).subarray(0, 300)], ['no.jsonl.gz', Buffer.from('x')], ['no.xml.bz2', Buffer.from('hello world')]] as const) {
      const broken = path(name);
      await writeFile(broken, content);
      await expect(build(broken, path('out'))).rejects.toThrow(/cannot be unpacked/);
    }
  });
});

describe('a stopped build', () => {
  test('goes on after its last part, wherever it was stopped, and ends with the same bytes', async () => {
    const input = await jsonLines();
    const clean = path('clean');
    await build(input, clean);
    const expected = await bytesOf(clean);
    let reports = 0;
    await build(input, path('count'), {}, undefined, () => reports++);
    let resumed = 0;
    for (let at = 5; at < reports; at += 23) {
      const out = path('stopped');
      const stop = new AbortController();
      let seen = 0;
      const stopped = build(input, out, {}, stop.signal, () => {
        if (++seen === at) stop.abort();
      });
      await expect(stopped).rejects.toMatchObject({ name: 'AbortError' });
      expect(existsSync(join(out, 'manifest.json'))).toBe(false);
      const kept = (await readdir(out)).filter((n) => n.endsWith('.bin'));
      const before = await Promise.all(kept.map(async (n) => (await stat(join(out, n))).mtimeMs));
      const { isResumed } = await build(input, out);
      if (isResumed) {
        resumed++;
        const state = await Promise.all(kept.map(async (n) => (await stat(join(out, n))).mtimeMs));
        // All but parts that were written after the last state stay untouched.
        expect(state.filter((m, i) => m === before[i]).length).toBeGreaterThanOrEqual(kept.length - 1);
      }
      expect(await bytesOf(out)).toEqual(expected);
    }
    expect(resumed).toBeGreaterThan(5);
  });

  test('what was written after the last state is cut off again', async () => {
    const input = await jsonLines();
    const [clean, out] = [path('clean'), path('out')];
    await build(input, clean);
    const stop = new AbortController();
    await expect(build(input, out, {}, stop.signal, (p) => p.done > 0 && existsSync(`${out}.build/state.json`) && stop.abort())).rejects.toMatchObject({ name: 'AbortError' });
    await appendFile(`${out}.build/titles.jsonl`, '["t7","Town","cut off');
    await appendFile(`${out}.build/redirects.jsonl`, '["Nowhere","t1"]\n');
    await build(input, out);
    expect(await bytesOf(out)).toEqual(await bytesOf(clean));
  });

  test('another input or other options start anew', async () => {
    const out = path('out');
    const input = await jsonLines();
    const stop = new AbortController();
    await expect(build(input, out, {}, stop.signal, (p) => p.phase === 'indexing' && stop.abort())).rejects.toMatchObject({ name: 'AbortError' });
    const { isResumed, manifest } = await build(input, out, { name: 'Another' });
    expect([isResumed, manifest.name]).toEqual([false, 'Another']);
  });

  test('killed by the system it continues at the next call', async () => {
    const input = path('many.jsonl');
    await writeFile(input, lines(30_000));
    const out = path('out');
    const command = (): ReturnType<typeof spawn> =>
      spawn(process.execPath, [join(root, 'node_modules/tsx/dist/cli.mjs'), join(root, 'tools/shard.ts'), 'build', '--input', input, '--out', out], { cwd: root, stdio: ['ignore', 'pipe', 'pipe'], detached: true });
    const first = command();
    const ended = new Promise((done) => first.once('close', done));
    while (!existsSync(`${out}.build/state.json`)) {
      if (first.exitCode !== null) throw new Error('the build ended before it could be killed');
      await new Promise((done) => setTimeout(done, 5));
    }
    if (first.pid !== undefined) process.kill(-first.pid, 'SIGKILL');
    await ended;
    expect(existsSync(join(out, 'manifest.json'))).toBe(false);
    const second = command();
    let said = '';
    second.stdout?.on('data', (chunk: Buffer) => (said += chunk.toString()));
    const code = await new Promise((done) => second.once('close', done));
    expect([code, said]).toEqual([0, expect.stringContaining('(continued)')]);
    expect(await verifyShard(out)).toEqual([]);
    expect((await readManifest(out)).counts.documents).toBe(30_000);
  }, 60_000);
});

describe('the command', () => {
  const run = (...args: string[]): Promise<{ code: number | null; out: string; err: string }> =>
    new Promise((done) => {
      const child = spawn(process.execPath, [join(root, 'node_modules/tsx/dist/cli.mjs'), join(root, 'tools/shard.ts'), ...args], { cwd: root });
      let [out, err] = ['', ''];
      child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()));
      child.stderr.on('data', (chunk: Buffer) => (err += chunk.toString()));
      child.once('close', (code) => done({ code, out, err }));
    });

  test('exit codes: 0 done, 1 bad input in one line, 2 wrong usage', async () => {
    const out = path('out');
    const [done, bad, usage, option] = await Promise.all([
      run('build', '--input', await jsonLines(), '--out', out, '--id', 'towns', '--licence', 'CC0-1.0'),
      run('build', '--input', path('none.jsonl'), '--out', path('x')),
      run('bild'),
      run('build', '--imput', 'x'),
    ]);
    expect(done).toMatchObject({ code: 0, out: expect.stringContaining('60 documents') as string });
    expect(bad).toMatchObject({ code: 1, err: expect.stringMatching(/^[^\n]*no such file[^\n]*\n$/) as string });
    expect(usage).toMatchObject({ code: 2, err: expect.stringContaining('Usage') as string });
    expect(option.code).toBe(2);
    expect((await readManifest(out)).id).toBe('towns');
    const broken = path('broken');
    await cp(out, broken, { recursive: true });
    const part = join(broken, 'passages-0000.bin');
    const bytes = await readFile(part);
    bytes[bytes.length - 9] = (bytes[bytes.length - 9] ?? 0) ^ 1;
    await writeFile(part, bytes);
    const [sound, faulty, shown] = await Promise.all([run('verify', out), run('verify', broken), run('inspect', out)]);
    expect([sound.code, faulty.code, shown.code]).toEqual([0, 1, 0]);
    expect(faulty.err).toContain('passages-0000.bin');
  }, 30_000);
});

describe('verify', () => {
  test('finds a damaged, cut or missing part and a manifest that lies', async () => {
    const sound = path('sound');
    await build(await jsonLines(), sound);
    const damage = async (change: (dir: string) => Promise<void>): Promise<string[]> => {
      const out = path('damaged');
      await cp(sound, out, { recursive: true });
      await change(out);
      return verifyShard(out);
    };
    const edit = (name: string, how: (b: Buffer) => Buffer) => async (dir: string) => writeFile(join(dir, name), how(await readFile(join(dir, name))));
    for (const name of ['passages-0001.bin', 'lexical-0000.bin', 'titles-0000.bin', 'links-0000.bin']) {
      const flipped = await damage(edit(name, (b) => Buffer.from(b.map((x, i) => (i === b.length >> 1 ? x ^ 1 : x)))));
      expect(flipped, name).toEqual([expect.stringContaining(name)]);
      expect(await damage(edit(name, (b) => b.subarray(0, -5))), name).toEqual([expect.stringContaining('shorter')]);
      expect(await damage((dir) => rm(join(dir, name))), name).toHaveLength(1);
    }
    const lie = (change: (m: ShardManifest) => ShardManifest) => edit('manifest.json', (b) => Buffer.from(JSON.stringify(change(JSON.parse(b.toString()) as ShardManifest))));
    expect(await damage(lie((m) => ({ ...m, counts: { ...m.counts, links: m.counts.links + 1 } })))).toEqual([expect.stringContaining('links')]);
    expect(await damage(lie((m) => ({ ...m, version: 2 }) as unknown as ShardManifest))).toEqual([expect.stringContaining('version 2')]);
    expect(await damage((dir) => rm(join(dir, 'manifest.json')))).toEqual([expect.stringContaining('not a Foray shard')]);
  });
});

describe('a MediaWiki dump', () => {
  const page = (title: string, text: string, extra = '<ns>0</ns>'): string => `<page><title>${title}</title>${extra}<revision><text xml:space="preserve">${text}</text></revision></page>`;
  const dump = (...pages: string[]): string => `<mediawiki xml:lang="de">${pages.join('\n')}</mediawiki>`;

  test('pictures and categories are told by the names that the dump gives its namespaces', async () => {
    const input = path('wiki.xml');
    const head = '<siteinfo><namespaces><namespace key="6">Fails</namespace><namespace key="14">Kategoreja</namespace></namespaces></siteinfo>';
    await writeFile(input, dump(head, page('Ludza', '[[Fails:Ludza.jpg|thumb|160px|[[Ezers]]]] Ludza lies by a lake. [[Kategoreja:Towns]]'), page('Ezers', 'Ezers is a lake.')));
    const out = path('out');
    await build(input, out);
    const texts = (await openShard(out)).rows.map((row) => row.text);
    expect(texts).toEqual(['Ludza lies by a lake.', 'Ezers is a lake.']);
  });

  test('gives articles with sections and hyperlinks, redirects as names, and skips the rest', async () => {
    const input = path('wiki.xml');
    await writeFile(
      input,
      dump(
        page('Ada Stone', "'''Ada Stone''' was born in [[Port Lea|the harbour town]] &amp; taught by [[jon Reed]].&lt;ref&gt;gone&lt;/ref&gt; {{cn}}\n== Work ==\nShe built the [[Old Bridge#History]], says [[Ada Stone]].\n== References ==\nnothing\n=== More ===\nburied"),
        page('Port Lea', 'Port Lea is a town. It has a [[File:x.jpg|thumb|picture]] harbour.'),
        page('Jon Reed', 'Jon Reed taught [[Ada Stone]].'),
        page('Great Old Bridge', 'The Great Old Bridge crosses the river.'),
        page('Old Bridge', '#REDIRECT [[Great Old Bridge]]', '<ns>0</ns><redirect title="Great Old Bridge" />'),
        page('Reed', '{{disambig}} Reed may be: * [[Jon Reed]]'),
        page('Talk:Ada Stone', 'No article.', '<ns>1</ns>'),
        page('Ada Stone', 'The second one.'),
      ),
    );
    const out = path('out');
    const { skipped } = await build(input, out);
    const shard = await openShard(out);
    expect(shard.manifest.language).toBe('de');
    expect([shard.titles.documents, skipped]).toEqual([4, 4]);
    const [ada] = shard.rows;
    expect(ada?.text).toContain('Ada Stone was born in the harbour town & taught by jon Reed.');
    expect(shard.rows.map((r) => r.text).join(' ')).not.toMatch(/gone|nothing|buried|second one|thumb|\[\[|\{\{/);
    expect(shard.linked('Ada Stone').sort()).toEqual(['Great Old Bridge', 'Jon Reed', 'Port Lea']);
    expect(shard.titles.aliases(shard.titles.findDocument('Great Old Bridge'))).toEqual(['Old Bridge']);
    expect(shard.titles.titlesIn('Who built the Old Bridge?')).toEqual([shard.titles.findDocument('Great Old Bridge')]);
  });

  test('a link belongs to each passage in which its words stand, as words', async () => {
    const input = path('wiki.xml');
    const filler = 'Many people worked there for years. '.repeat(18);
    const pages = [
      page('Mine', `They dug [[Ore|ore]] here. ${filler}\n== Trade ==\nThey sold more from the store. ${filler}\n== Later ==\nThen the ore was gone. ${filler}`),
      page('Ore', 'Ore is rock that holds metal.'),
    ];
    await writeFile(input, dump(...pages));
    const out = path('out');
    await build(input, out);
    const { links, rows } = await openShard(out);
    expect(rows.map((r, o) => [r.section, links.out(o).length])).toEqual([['', 1], ['Trade', 0], ['Later', 1], ['', 0]]);
  });

  test.each([
    ['not well-formed', '<mediawiki><page><title>x</page></mediawiki>', /well-formed/],
    ['cut off', `<mediawiki>${page('A', 'Text.')}<page><title>B`, /well-formed/],
    ['without pages', '<html></html>', /no page/],
  ])('is refused: %s', async (_, xml, message) => {
    const input = path('bad.xml');
    await writeFile(input, xml);
    await expect(build(input, path('out'))).rejects.toThrow(message);
  });

  test.skipIf(!hasDumps).each([
    ['enwiki-latest-pages-articles1-shortened.xml.bz2', 90, 'Anarchism', 'en'],
    ['enwiki-table-markup.xml.bz2', 5, 'Constructive vote of no confidence', 'en'],
    ['smallwiki-latest-pages-articles.xml.bz2', 800, '18 godu symts', 'ltg'],
    ['tinywiki-latest-pages-articles.xml', 5, 'Toronto', null],
  ])('a real one becomes a sound shard, the same each time: %s', async (name, least, title, language) => {
    const [a, b] = [path('a'), path('b')];
    const { manifest } = await buildShard(options(join(dumps, name), a), { signal: new AbortController().signal, onProgress: () => undefined, now: () => 0 });
    expect(await verifyShard(a)).toEqual([]);
    expect(manifest.counts.documents).toBeGreaterThanOrEqual(least);
    if (language !== null) expect(manifest.language).toBe(language);
    const shard = await openShard(a);
    expect(shard.titles.findDocument(title)).toBeGreaterThanOrEqual(0);
    expect(shard.rows.filter((r) => /\{\{|\[\[|'''/.test(r.text)).length / shard.rows.length).toBeLessThan(0.02);
    await buildShard(options(join(dumps, name), b), { signal: new AbortController().signal, onProgress: () => undefined, now: () => 0 });
    expect(await bytesOf(b)).toEqual(await bytesOf(a));
  }, 60_000);
});

describe('an article folder', () => {
  const quote = 'It stands in Halden.';
  const question = { id: 'q1', question: 'Where does it stand?', answers: ['Halden'], type: 'one-hop', hops: 1, support: [{ title: 'The Fort', section: 'Place', quote }] };
  async function articles(line: string): Promise<string> {
    const input = path('articles');
    await mkdir(input);
    await writeFile(join(input, 'b.md'), `# Halden\n\nHalden is a town.\n`);
    await writeFile(join(input, 'a.md'), `# The Fort\n\nThe Fort is old. ${'It was built of grey stone by many hands. '.repeat(12)}\n\n## Place\n\nIt is tall. ${quote} ${'From its walls one sees the sea and the hills. '.repeat(11)}\n`);
    await writeFile(join(input, 'a.questions.jsonl'), `${line}\n`);
    return input;
  }

  test('is read in name order, and each quote gets its passage and sentence', async () => {
    const out = path('out');
    await build(await articles(JSON.stringify(question)), out, { id: 'demo' });
    const shard = await openShard(out);
    expect([0, 1].map((d) => shard.titles.title(d))).toEqual(['The Fort', 'Halden']);
    expect(shard.linked('The Fort')).toEqual(['Halden']);
    const written: unknown = JSON.parse(await readFile(join(out, 'questions.json'), 'utf8'));
    expect(written).toEqual([{ ...question, support: [{ ...question.support[0], passage: 'demo/The Fort#2', sentence: 1 }] }]);
  });

  test('a quote that is not there word for word stops the build', async () => {
    const wrong = { ...question, support: [{ title: 'The Fort', section: 'Place', quote: 'It stands in Oslo.' }] };
    const out = path('out');
    await expect(build(await articles(JSON.stringify(wrong)), out)).rejects.toThrow(/a\.questions\.jsonl, line 1: the quote is not in The Fort, Place: It stands in Oslo\./);
    expect(existsSync(join(out, 'manifest.json'))).toBe(false);
  });
});

describe.skipIf(!hasStatic)('vectors', () => {
  test('of the static embedder: the same bytes from the model, from the cache and after a stop', async () => {
    const input = await jsonLines();
    const cache = path('cache');
    const embedder = { embedder: 'wordllama', vectorsCache: cache } as const;
    const [fresh, cached, bare, stopped] = [path('fresh'), path('cached'), path('bare'), path('stopped')];
    await build(input, fresh, embedder);
    await build(input, cached, embedder);
    await build(input, bare, { embedder: 'wordllama' });
    const stop = new AbortController();
    let seen = 0;
    const onProgress = (p: Progress): void => {
      if (p.phase === 'embedding' && ++seen === 50) stop.abort();
    };
    await expect(build(input, stopped, { embedder: 'wordllama' }, stop.signal, onProgress)).rejects.toMatchObject({ name: 'AbortError' });
    await build(input, stopped, { embedder: 'wordllama' });
    const expected = await bytesOf(fresh);
    for (const out of [cached, bare, stopped]) expect(await bytesOf(out)).toEqual(expected);
    expect(await verifyShard(fresh)).toEqual([]);
    expect(await readdir(cache)).toHaveLength(1); // the second build embedded nothing

    const { manifest, rows } = await openShard(fresh);
    expect(manifest.embedder).toEqual({ id: 'wordllama', dimensions: 256, queryPrefix: '' });
    expect(manifest.golden.map((g) => Math.hypot(...g.vector))).toEqual([expect.closeTo(1, 4), expect.closeTo(1, 4)]);
    const segments = await Promise.all(manifest.parts.filter((p) => p.kind === 'vectors').map(async (p) => openVectorSegment(new Uint8Array(await readFile(join(fresh, p.file))), 'wordllama', p.first, p.file)));
    expect(segments.length).toBeGreaterThan(1);
    const query = await (await openNodeEmbedder('wordllama')).embed(`${rows[30]?.title ?? ''}\n${rows[30]?.text ?? ''}`);
    const best = vectorSetOf(segments, scalarKernel, manifest.vectors).search(query, 1);
    expect(best?.ordinals[0]).toBe(30);
    expect(best?.scores[0]).toBeCloseTo(1, 2);
  }, 30_000);
});

test('a shard built without the stemmer is searched and highlighted by its exact words', async () => {
  const input = path('analysis.jsonl');
  await writeFile(input, ['A|A film by the sea.', 'B|Two films, one film.', 'C|Nothing of the kind.'].map((row) => JSON.stringify({ id: row[0], title: row[0], text: row.slice(2) })).join('\n'));
  for (const [analysis, found] of [['words-1', [['films']]], ['english-1', [['films', 'film'], ['film']]]] as const) {
    const out = path('analysis');
    const { manifest } = await build(input, out, { analysis });
    expect(manifest.analysis.name).toBe(analysis);
    const { hits } = await (await openNodeCorpus(out)).retriever.search({ text: 'Which films?', k: 5, links: false }, new AbortController().signal);
    expect(hits.map(({ passage, highlights }) => highlights.map(({ start, end }) => passage.text.slice(start, end)))).toEqual(found);
  }
});
