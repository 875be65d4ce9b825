/**
 * A real corpus with real questions, built in the run by the shard builder and brought into the page by its own buttons: 2WikiMultihopQA from `../shared/data`;
 * and a PDF of the person's own. The built shard is kept between runs by the hash of what it is built from.
 */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createReadStream, existsSync } from 'node:fs';
import { readFile, readdir } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gunzipSync } from 'node:zlib';
import type { Page } from '@playwright/test';
import { localModels } from '../../tools/models.ts';
import { makePdf, pdfLines } from '../fixtures/pdf.ts';
import { ask, corpus, eventsOf, expect, search, test, useModel } from '../fixtures/page.ts';

const data = join(import.meta.dirname, '../../../shared/data');
const kept = join(process.env['FORAY_CACHE'] ?? join(homedir(), '.cache/foray'), 'e2e');

/** Builds a shard with `npm run shard -- build`, unless the same builder built it from the same file before. */
async function shardOf(id: string, input: string, more: readonly string[] = []): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(input)) hash.update(chunk as Buffer);
  for (const folder of ['src/corpus', 'tools/shard']) {
    for (const file of (await readdir(folder)).filter((name) => name.endsWith('.ts')).sort()) hash.update(await readFile(join(folder, file)));
  }
  const out = join(kept, `${id}-${hash.update(more.join(' ')).digest('hex').slice(0, 16)}`);
  if (!existsSync(join(out, 'manifest.json'))) {
    await promisify(execFile)(process.execPath, ['--import', 'tsx', 'tools/shard.ts', 'build', '--input', input, '--out', out, '--id', id, '--name', id, ...more], { maxBuffer: 64_000_000 });
  }
  return out;
}

async function importInLibrary(page: Page, address: string, id: string): Promise<void> {
  await page.getByRole('link', { name: 'Library' }).or(page.getByRole('button', { name: 'Library', exact: true })).first().click();
  await page.getByTestId('library').getByRole('textbox').first().fill(address);
  await page.getByTestId('library').getByRole('button', { name: /^Import/ }).first().click();
  await expect.poll(async () => (await corpus(page, id))?.state, { timeout: 120_000 }).toBe('complete');
}

test('12,003 passages of 2WikiMultihopQA: built, imported, searched by words, links and meaning, reopened, deleted @journey', async ({ serve, visit }) => {
  test.skip(!existsSync(data), 'no folder ../shared/data');
  test.setTimeout(600_000);
  const models = (await localModels()).filter(({ id }) => id === 'wordllama');
  const folder = await shardOf('two-wiki', join(data, 'qa/2wikimultihopqa/passages.jsonl.gz'), ['--embedder', models.length === 0 ? 'none' : 'wordllama']);
  const page = await visit(await serve({ models, shards: { 'two-wiki': folder } }));
  await importInLibrary(page, 'shards/two-wiki/', 'two-wiki');
  expect(await corpus(page, 'two-wiki')).toMatchObject({ documents: 12_003, embedder: models.length === 0 ? null : 'wordllama' });
  if (models.length > 0) {
    expect(await useModel(page, 'wordllama')).toBeNull();
    // The demo shard was made with another embedder: it says which, and is searched by words.
    expect(await corpus(page, 'demo')).toMatchObject({ state: 'complete', error: 'embed/wrong-model' });
    await expect(page.getByTestId('shard-row').filter({ hasText: 'Foray demo' })).toContainText('minilm');
    expect((await search(page, 'Musikverein', { corpora: ['demo'], dense: true }))[0]?.passage.title).toBe('Musikverein');
  }

  const rows = gunzipSync(await readFile(join(data, 'qa/2wikimultihopqa/dev.jsonl.gz'))).toString().trim().split('\n').slice(0, 20);
  const questions = rows.map((row) => JSON.parse(row) as { question: string; supporting_passage_ids: string[] });
  let complete = 0;
  for (const { question, supporting_passage_ids: gold } of questions) {
    const found = new Set((await search(page, question, { k: 10, corpora: ['two-wiki'], dense: models.length > 0 })).map((hit) => hit.passage.docId));
    if (gold.every((id) => found.has(id))) complete++;
  }
  expect(complete, 'questions of 20 with all gold passages in the top 10').toBeGreaterThanOrEqual(15);

  await page.reload();
  await page.waitForFunction(() => globalThis.foray !== undefined);
  await expect.poll(async () => (await search(page, 'Who directed the film Preston Tylk?', { corpora: ['two-wiki'] }))[0]?.passage.title).toBe('Preston Tylk');
  await page.evaluate(() => globalThis.foray!.library.deleteCorpus('two-wiki'));
  expect(await corpus(page, 'two-wiki')).toBeUndefined();
  expect(await search(page, 'Who directed the film Preston Tylk?', { corpora: ['two-wiki'] })).toEqual([]);
});

test('a question answered from a dropped PDF, cited with its page @journey', async ({ serve, visit }) => {
  const page = await visit(
    await serve({
      script: {
        responses: [{ when: 'Question: Who founded the Tarn Lantern Works\\?\\n(?:\\d+\\. [^\\n]*\\n?)+\\s*$', say: { sentence: 1, answer: 'Mira Lund' } }],
        otherwise: { say: { sentence: 0, answer: '' } },
      },
    }),
  );
  const bytes = makePdf([pdfLines(['The first page speaks of other things and of nothing else at all.']), pdfLines(['The Tarn Lantern Works were founded by Mira Lund in the year 1840.'])]);
  await page.getByRole('link', { name: 'Library' }).or(page.getByRole('button', { name: 'Library', exact: true })).first().click();
  const dropped = await page.evaluateHandle((content) => {
    const transfer = new DataTransfer();
    transfer.items.add(new File([new Uint8Array(content)], 'lanterns.pdf', { type: 'application/pdf' }));
    return transfer;
  }, [...bytes]);
  await page.getByTestId('drop-zone').dispatchEvent('drop', { dataTransfer: dropped });
  await expect(page.getByTestId('document-row')).toContainText('lanterns.pdf');

  const plain = eventsOf(await ask(page, 'Who founded the Tarn Lantern Works?'), 'answerFinished')[0]?.answer;
  expect(plain?.mode).toBe('extractive');
  expect(plain?.citations[0]?.evidence).toMatchObject({ quote: expect.stringContaining('Mira Lund'), passage: { corpus: 'own', page: 2 } });

  expect(await useModel(page, 'script')).toBeNull();
  const answer = eventsOf(await ask(page, 'Who founded the Tarn Lantern Works?'), 'answerFinished')[0]?.answer;
  expect(answer).toMatchObject({ short: 'Mira Lund', mode: 'cited' });
  expect(answer?.citations[0]?.evidence.passage).toMatchObject({ corpus: 'own', page: 2 });
});
