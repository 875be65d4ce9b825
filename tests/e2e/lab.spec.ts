/** The lab in the page, from a question set to the exported report, which opens from disk without a network. */
import { readFile } from 'node:fs/promises';
import { pathToFileURL } from 'node:url';
import { AxeBuilder } from '@axe-core/playwright';
import { expect, test } from '@playwright/test';
import { readRunFile } from '../../src/lab/record.ts';

test('own questions, two of them, without a model: progress, report, export; the file opens from disk, shows data as text only, and is accessible', async ({ page, context }, info) => {
  await page.goto('./#lab');
  await expect(page.getByRole('heading', { name: 'Lab', level: 1 })).toBeVisible();
  // The demo shard comes by itself on a first visit.
  await page.waitForFunction(async () => (await globalThis.foray?.library.corpora())?.some((corpus) => corpus.state === 'complete') === true, undefined, { timeout: 60_000 });
  await page.getByRole('radio', { name: /file of your own/ }).check();
  const hostile = '<img src=x onerror=alert(1)></script><script>alert(2)</script>';
  await page.getByLabel('File', { exact: true }).setInputFiles({ name: 'mine.csv', mimeType: 'text/csv', buffer: Buffer.from(`question,answer,type\n"Where was Joseph Haydn born? ${hostile}",Rohrau,plain\nWhere was Wolfgang Amadeus Mozart born?,Salzburg,plain\n`) });
  await page.getByRole('button', { name: 'Run', exact: true }).click();
  await expect(page.getByTestId('lab-progress')).toHaveText(/^2 of 2 done/, { timeout: 60_000 });
  await expect(page.getByRole('heading', { name: 'On this device' })).toBeVisible();
  await page.screenshot({ path: info.outputPath('lab.png'), fullPage: true });
  const onPage = await new AxeBuilder({ page }).analyze();
  expect(onPage.violations.map(({ id, nodes }) => `${id}: ${nodes[0]?.html ?? ''}`)).toEqual([]);

  // What is finished outlasts a reload, is not asked again, and goes when the person says so.
  await page.reload();
  await expect(page.getByRole('heading', { name: 'Kept on this device' })).toBeVisible();
  await expect(page.getByText(/^2 runs over 2 questions/)).toBeVisible();

  const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('link', { name: 'Save the report' }).click()]);
  const file = info.outputPath('report.html');
  await download.saveAs(file);
  expect(await readFile(file, 'utf8')).not.toContain(hostile);

  const report = await context.newPage();
  const requests: string[] = [];
  const faults: string[] = [];
  report.on('request', (request) => requests.push(request.url()));
  report.on('pageerror', (error) => faults.push(error.message));
  report.on('console', (message) => message.type() === 'error' && faults.push(message.text()));
  report.on('dialog', (dialog) => {
    faults.push(`dialog ${dialog.message()}`);
    void dialog.dismiss();
  });
  await report.goto(pathToFileURL(file).href);
  await expect(report.getByRole('img', { name: 'Accuracy against cost' })).toBeVisible();
  await report.getByRole('button', { name: /Where was Joseph Haydn born/ }).click();
  await expect(report.getByRole('article', { name: 'The run' })).toContainText(hostile);
  await report.getByRole('button', { name: 'Start' }).click();
  await expect(report.getByText(/^Step 0 of/)).toBeVisible();
  expect(faults).toEqual([]);
  expect(requests.filter((url) => !url.startsWith('file:') && !url.startsWith('data:'))).toEqual([]);
  const inFile = await new AxeBuilder({ page: report }).analyze();
  expect(inFile.violations.map(({ id, nodes }) => `${id}: ${nodes[0]?.html ?? ''}`)).toEqual([]);
  await report.setViewportSize({ width: 320, height: 700 });
  await expect.poll(() => report.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(320);
  await report.screenshot({ path: info.outputPath('report.png'), fullPage: true });

  await page.getByRole('button', { name: 'Delete the results' }).click();
  await page.getByRole('button', { name: 'Delete for good' }).click();
  await expect(page.getByRole('heading', { name: 'Kept on this device' })).toHaveCount(0);
  await page.reload();
  await expect(page.getByRole('button', { name: 'Run', exact: true })).toBeVisible();
  expect(await page.evaluate(async () => globalThis.foray!.labItems.read())).toBe('');
});

test('what is searched: the whole library, one corpus of it, the passages that the questions bring; each run keeps to it and says so', async ({ page }, info) => {
  await page.goto('./#lab');
  await page.waitForFunction(async () => (await globalThis.foray?.library.corpora())?.some((corpus) => corpus.state === 'complete') === true, undefined, { timeout: 60_000 });
  await page.evaluate(async () => {
    const file = new File(['# Varn lighthouse\n\nThe Varn lighthouse was built by Ilse Brandt, who was born in Tolmen. It stands on a rock.'], 'varn.md', { type: 'text/markdown' });
    await globalThis.foray!.library.addDocuments([file], new AbortController().signal, () => undefined);
  });
  const corpus = page.getByRole('group', { name: 'Corpus' });
  await expect(corpus.getByRole('radio', { name: /My library 2 corpora/ })).toBeChecked();
  // The demo questions bring no passages.
  await expect(corpus.getByRole('radio', { name: /own passages/ })).toBeDisabled();
  await page.getByRole('radio', { name: /file of your own/ }).check();
  await page.getByLabel('File', { exact: true }).setInputFiles('tests/fixtures/questions/hotpotqa.json');
  await expect(corpus.getByRole('radio', { name: /own passages 4, / })).toBeEnabled();

  const progress = page.getByTestId('lab-progress');
  await corpus.getByRole('radio', { name: /own passages/ }).check();
  await page.screenshot({ path: info.outputPath('corpus.png'), fullPage: true });
  await page.getByRole('button', { name: 'Run', exact: true }).click();
  await expect(progress).toHaveText(/^2 of 2 done$/, { timeout: 60_000 });
  await corpus.getByRole('radio', { name: 'One corpus of it' }).check();
  await corpus.getByLabel('Which').selectOption({ value: 'own' });
  await page.getByRole('button', { name: 'Go on' }).click();
  await expect.poll(() => page.locator('.report tbody th', { hasText: /own@1/ }).count(), { timeout: 60_000 }).toBeGreaterThan(0);
  await corpus.getByRole('radio', { name: /My library/ }).check();
  await page.getByRole('button', { name: 'Go on' }).click();
  await expect.poll(() => page.locator('.report tbody th', { hasText: /demo@\d+\+own@1/ }).count(), { timeout: 60_000 }).toBeGreaterThan(0);

  const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('link', { name: 'Save run.jsonl' }).click()]);
  const file = info.outputPath('run.jsonl');
  await download.saveAs(file);
  const { items, bad } = readRunFile(await readFile(file, 'utf8'));
  expect(bad).toEqual([]);
  expect(items.map(({ error }) => error)).toEqual([null, null, null, null, null, null]);
  const found = (label: RegExp): Set<string> => new Set(items.filter((item) => label.test(item.corpus)).flatMap((item) => Object.keys(item.passages).map((id) => id.split('/')[0] ?? '')));
  expect([...found(/^context:hotpotqa@4$/)]).toEqual(['context']);
  expect([...found(/^own@1$/)]).toEqual(['own']);
  expect([...found(/^demo@\d+\+own@1$/)].toSorted()).toEqual(['demo', 'own']);
  // The gold passages are those of the file.
  expect(items.filter((item) => item.corpus.startsWith('context:')).map(({ scores }) => scores.all5)).toEqual([1, 1]);
  expect(await page.evaluate(async () => (await globalThis.foray!.library.corpora()).map(({ id }) => id))).not.toContain('context');
  await page.setViewportSize({ width: 320, height: 700 });
  await expect.poll(() => page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(320);
});
