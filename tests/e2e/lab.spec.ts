/** The lab in the page, from a question set to the exported report, which opens from disk without a network. */
import { readFile } from 'node:fs/promises';
import { pathToFileURL } from 'node:url';
import { AxeBuilder } from '@axe-core/playwright';
import { expect, test } from '@playwright/test';

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
});
