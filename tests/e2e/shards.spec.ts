/** Real shards on the device: 12,003 Wikipedia articles of a question set and real XML dumps, built in the run, imported by address, searched, kept, deleted. */
import { join } from 'node:path';
import type { Page } from '@playwright/test';
import { localModels } from '../../tools/models.ts';
import { builtShard, devQuestions, sharedData } from '../fixtures/build-shard.ts';
import { corpora, corpus, expect, isReady, search, shardRow, test, useModel } from '../fixtures/page.ts';

const data = sharedData();
test.skip(data === null, 'the real question sets and dumps are not here (no folder ../shared/data)');

async function importByAddress(page: Page, address: string): Promise<void> {
  await page.getByRole('link', { name: 'Library' }).click();
  await page.getByLabel('Address of a shard’s folder').fill(address);
  await page.getByRole('button', { name: 'Import', exact: true }).click();
}

const blockCount = (page: Page, id: string): Promise<number> =>
  page.evaluate(
    (corpus) =>
      new Promise<number>((resolve, reject) => {
        const request = indexedDB.open('foray');
        request.onerror = () => reject(request.error ?? new Error('no database'));
        request.onsuccess = () => {
          const counted = request.result.transaction('blocks').objectStore('blocks').count(IDBKeyRange.bound([corpus], [corpus, []]));
          counted.onsuccess = () => {
            request.result.close();
            resolve(counted.result);
          };
        };
      }),
    id,
  );

test('a shard of 12,003 Wikipedia articles is imported by its address, searched, found again after a reload, and deleted @journey', async ({ serve, visit }) => {
  test.setTimeout(300_000);
  const set = join(data ?? '', 'qa', '2wikimultihopqa');
  const built = await builtShard({ id: 'twowiki', name: 'Two-hop Wikipedia', input: join(set, 'passages.jsonl.gz'), embedder: 'wordllama' });
  const site = await serve({ shards: { twowiki: built.folder }, models: (await localModels()).filter(({ id }) => id === 'wordllama') });
  const page = await visit(site);
  await importByAddress(page, new URL('shards/twowiki/', site.url).href);
  const row = shardRow(page, 'Two-hop Wikipedia');
  await expect(row.getByRole('progressbar')).toBeVisible();
  await expect(row).toHaveAttribute('data-state', 'complete', { timeout: 60_000 });
  await expect(row).toContainText('12,003 documents');
  if (built.embedder !== null) await expect(row).toContainText('vectors by wordllama');

  // All the gold passages of most two-hop questions are among the first ten: words and links.
  const questions = await devQuestions(set, 30);
  const allGold = async (dense: boolean): Promise<number> => {
    let found = 0;
    for (const { question, supporting_titles: gold } of questions) {
      const titles = new Set((await search(page, question, { k: 10, dense, corpora: ['twowiki'] })).map(({ passage }) => passage.title));
      if (gold.every((title) => titles.has(title))) found++;
    }
    return found / questions.length;
  };
  await expect.poll(async () => (await search(page, questions[0]?.question ?? '', { k: 10, corpora: ['twowiki'] })).some(({ paths }) => paths.some(({ kind }) => kind === 'link')), { timeout: 30_000 }).toBe(true);
  const byWords = await allGold(false);
  console.log(`2Wiki, 30 dev questions: all gold passages among 10 for ${Math.round(byWords * 100)} % (words and links)`);
  expect(byWords).toBeGreaterThan(0.75);
  if (built.embedder !== null) {
    expect(await useModel(page, 'wordllama')).toBeNull();
    // The demo shard has vectors of another embedder: it says of which, and is searched by words.
    expect(await corpus(page, 'demo')).toMatchObject({ state: 'complete', error: 'embed/wrong-model' });
    await expect(shardRow(page, 'Foray demo').getByRole('alert')).toContainText(/made with the embedder minilm \(384 dimensions\), but wordllama \(256\) is loaded/);
    expect((await search(page, 'bridge over a river', { dense: true, corpora: ['demo'] })).every(({ paths }) => paths.every(({ kind }) => kind !== 'dense'))).toBe(true);
    const both = await allGold(true);
    console.log(`with vectors ${Math.round(both * 100)} %`);
    expect(both).toBeGreaterThan(0.75);
    const hits = await search(page, questions[0]?.question ?? '', { k: 10, dense: true, corpora: ['twowiki'] });
    expect(hits.some(({ paths }) => paths.some(({ kind }) => kind === 'dense'))).toBe(true);
  }

  await page.reload();
  await isReady(page);
  await page.getByRole('link', { name: 'Ask', exact: true }).click();
  const { question, supporting_titles: gold } = questions[0] ?? { question: '', supporting_titles: [] };
  site.requests.length = 0;
  await page.getByTestId('question-box').fill(question);
  for (const title of gold) await expect(page.getByTestId('result').filter({ hasText: title }).first()).toBeVisible();
  expect(site.parts()).toEqual([]);

  await page.getByRole('link', { name: 'Library' }).click();
  await row.getByRole('button', { name: /^Delete/ }).click();
  await row.getByRole('button', { name: 'Delete for good' }).click();
  await expect(row).toHaveCount(0);
  expect((await corpora(page)).map(({ id }) => id)).toEqual(['demo']);
  expect(await search(page, question, { corpora: ['twowiki'] })).toEqual([]);
  expect(await blockCount(page, 'twowiki')).toBe(0);
  expect((await search(page, 'bridge over a river')).length).toBeGreaterThan(2);
});

test('real Wikipedia dumps become shards that are imported and searched, in English and in another language @journey', async ({ serve, visit }) => {
  test.setTimeout(300_000);
  const dumps = join(data ?? '', 'dumps');
  const english = await builtShard({ id: 'enwiki', name: 'Wikipedia, the beginning', input: join(dumps, 'enwiki-latest-pages-articles1-shortened.xml.bz2'), embedder: null });
  const small = await builtShard({ id: 'smallwiki', name: 'A small Wikipedia', input: join(dumps, 'smallwiki-latest-pages-articles.xml.bz2'), embedder: null });
  const tables = await builtShard({ id: 'tables', name: 'Pages with tables', input: join(dumps, 'enwiki-table-markup.xml.bz2'), embedder: null });
  const site = await serve({ shards: { enwiki: english.folder, smallwiki: small.folder, tables: tables.folder } });
  const page = await visit(site);
  for (const [id, name] of [['enwiki', 'Wikipedia, the beginning'], ['smallwiki', 'A small Wikipedia'], ['tables', 'Pages with tables']] as const) {
    await importByAddress(page, new URL(`shards/${id}/`, site.url).href);
    await expect(shardRow(page, name)).toHaveAttribute('data-state', 'complete', { timeout: 60_000 });
    await expect(shardRow(page, name)).toContainText('no vectors');
  }
  const known: readonly [string, string, string][] = [
    ['enwiki', 'unit of electric current named after a French physicist', 'Ampere'],
    ['enwiki', 'photosynthetic organisms such as kelp and seaweed', 'Algae'],
    ['enwiki', 'insect-eating mammal of the hyena family', 'Aardwolf'],
    ['enwiki', 'AcademyAwards', 'Academy Awards'],
    ['smallwiki', 'Ludza', 'Ludza'],
    ['smallwiki', 'latgolys gerbs', 'Latgolys gerbs'],
    ['tables', 'Constructive vote of no confidence', 'Constructive vote of no confidence'],
  ];
  for (const [id, question, title] of known) {
    const hits = await search(page, question, { k: 5, corpora: [id] });
    expect(hits.map(({ passage }) => passage.title), question).toContain(title);
    for (const { passage } of hits) expect(passage.text, passage.id).not.toMatch(/\{\{|\}\}|\[\[|\]\]|<ref|'''/);
  }
  // Searched together, each hit with the name of its shard.
  await page.getByRole('link', { name: 'Ask', exact: true }).click();
  await page.getByTestId('question-box').fill('unit of electric current named after a French physicist');
  const hit = page.getByTestId('result').filter({ hasText: 'Ampere' }).first();
  await expect(hit).toContainText('Wikipedia, the beginning');
});
