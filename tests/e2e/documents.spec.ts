/** The person's own files: dropped, searchable at once, embedded in the background, cited with file and page, deleted one by one. */
import type { Page } from '@playwright/test';
import { localModels } from '../../tools/models.ts';
import { documents, expect, isReady, killWorker, search, test, useModel } from '../fixtures/page.ts';
import { makePdf, pdfLines } from '../fixtures/pdf.ts';

interface DroppedFile {
  readonly name: string;
  readonly type: string;
  readonly bytes: Uint8Array;
}

const text = (value: string): Uint8Array => new TextEncoder().encode(value);

const files: readonly DroppedFile[] = [
  { name: 'harbour.txt', type: 'text/plain', bytes: text('The harbour of Veldmere was dug in 1794.\n\nIts lighthouse burns whale oil no longer. The keeper of the lighthouse is called Oda Brekk.\n') },
  { name: 'recipes.md', type: 'text/markdown', bytes: text('# Fish soup\n\nTake a **large pot** and two leeks.\n\n## Saffron\n\nThe saffron of [Veldmere](https://example.org/) is added at the very end.\n') },
  { name: 'letter.html', type: 'text/html', bytes: text('<!doctype html><title>A letter from the mill</title><h1>Mill</h1><p>The miller grinds rye on Tuesdays.</p><script>document.title="x"</script>') },
  {
    name: 'report-1911.pdf',
    type: 'application/pdf',
    bytes: makePdf([
      pdfLines(['Report of the ferry company', 'The ferry crosses the sound four times a day.', 'Passengers pay two marks.']),
      pdfLines(['Accidents', 'On 3 March 1911 the ferry Solveig lost her rudder near Gull Rock.', 'Nobody was hurt, and the pilot boat towed her to Veldmere.']),
    ]),
  },
];

/** As a person drops files from another window. */
async function drop(page: Page, dropped: readonly DroppedFile[]): Promise<void> {
  const transfer = await page.evaluateHandle(
    (list) => {
      const data = new DataTransfer();
      for (const { name, type, bytes } of list) data.items.add(new File([new Uint8Array(bytes)], name, { type }));
      return data;
    },
    dropped.map(({ name, type, bytes }) => ({ name, type, bytes: [...bytes] })),
  );
  const zone = page.getByTestId('drop-zone');
  await zone.dispatchEvent('dragover', { dataTransfer: transfer });
  await zone.dispatchEvent('drop', { dataTransfer: transfer });
}

test('dropped files of every kind are searchable at once; a bad one does not stop the others; each can be deleted @journey', async ({ serve, visit }) => {
  const site = await serve();
  const page = await visit(site, { path: '#library' });
  const bad: readonly DroppedFile[] = [
    { name: 'locked.pdf', type: 'application/pdf', bytes: makePdf([pdfLines(['secret'])], { encrypted: true }) },
    { name: 'scan.pdf', type: 'application/pdf', bytes: makePdf([[]]) },
    { name: 'photo.jpg', type: 'image/jpeg', bytes: new Uint8Array([0xff, 0xd8, 0xff, 0xe0]) },
    { name: 'nothing.txt', type: 'text/plain', bytes: new Uint8Array() },
    { name: 'broken.pdf', type: 'application/pdf', bytes: text('%PDF-1.7 and then nothing') },
  ];
  site.requests.length = 0;
  await drop(page, [bad[0]!, files[0]!, bad[1]!, files[1]!, bad[2]!, files[2]!, bad[3]!, bad[4]!, files[3]!]);
  const rows = page.getByTestId('document-row');
  await expect(rows).toHaveCount(4);
  for (const { name } of files) await expect(rows.filter({ hasText: name })).toBeVisible();
  await expect(rows.filter({ hasText: 'report-1911.pdf' })).toContainText('2 pages');
  const alert = page.getByRole('alert');
  for (const { name } of bad) await expect(alert).toContainText(name);
  await expect(alert).toContainText('text recognition');
  // Nothing of a file goes anywhere: only the page's own scripts were asked for (the service worker registers when the page is idle).
  expect(site.requests.map(({ path }) => path).filter((path) => !path.startsWith('assets/') && path !== 'service-worker.js')).toEqual([]);

  for (const [question, name] of [['keeper of the lighthouse', 'harbour.txt'], ['saffron at the end', 'recipes.md'], ['what does the miller grind', 'letter.html'], ['ferry lost her rudder', 'report-1911.pdf']] as const) {
    expect((await search(page, question, { corpora: ['own'], k: 1 })).map(({ passage }) => passage.docId), question).toEqual([name]);
  }
  const [rudder] = await search(page, 'ferry lost her rudder', { corpora: ['own'], k: 1 });
  expect(rudder?.passage.page).toBe(2);

  await page.reload();
  await isReady(page);
  await expect(rows).toHaveCount(4);
  let left = files.map(({ name }) => name);
  for (const name of [...left]) {
    await rows.filter({ hasText: name }).getByRole('button', { name: /^Delete/ }).click();
    await rows.filter({ hasText: name }).getByRole('button', { name: 'Delete for good' }).click();
    await expect(rows.filter({ hasText: name })).toHaveCount(0);
    left = left.filter((other) => other !== name);
    expect((await documents(page)).map((document) => document.name).sort()).toEqual([...left].sort());
  }
  expect(await search(page, 'ferry lighthouse saffron rye', { corpora: ['own'] })).toEqual([]);
});

test('documents are embedded in the background, found by meaning, and cited with file and page @journey', async ({ serve, visit }) => {
  const local = (await localModels()).filter(({ id }) => id === 'minilm');
  test.skip(local.length === 0, 'the model minilm is not on this machine');
  test.setTimeout(240_000);
  const site = await serve({ models: local });
  const page = await visit(site, { path: '#library' });
  await drop(page, files);
  const rows = page.getByTestId('document-row');
  await expect(rows).toHaveCount(4);
  await expect(rows.first()).toContainText('Load an embedding model');
  expect(await useModel(page, 'minilm')).toBeNull();
  await expect(page.locator('[data-testid=document-row][data-embedded=all]')).toHaveCount(4, { timeout: 60_000 });
  // Other words than the file's.
  const dense = { dense: true, corpora: ['own'], k: 2 };
  const meant = await search(page, 'mishap of a ship at sea', dense);
  expect(meant[0]?.passage).toMatchObject({ docId: 'report-1911.pdf', page: 2 });
  expect(meant[0]?.paths.some(({ kind }) => kind === 'dense')).toBe(true);
  // The embedding worker dies while idle: the next question finds it alive again.
  await killWorker(page, 'embed');
  expect((await search(page, 'mishap of a ship at sea', dense)).map(({ passage }) => passage.id)).toEqual(meant.map(({ passage }) => passage.id));
  // A later document is embedded without a further word.
  await drop(page, [{ name: 'owls.txt', type: 'text/plain', bytes: text('Two owls nest in the old granary behind the smithy.') }]);
  await expect(page.locator('[data-testid=document-row][data-embedded=all]')).toHaveCount(5, { timeout: 60_000 });
  expect((await search(page, 'birds living in a barn', dense))[0]?.passage.docId).toBe('owls.txt');

  await page.getByRole('link', { name: 'Ask', exact: true }).click();
  await page.getByTestId('question-box').fill('When did the ferry Solveig lose her rudder?');
  await page.getByTestId('ask').click();
  const answer = page.getByTestId('answer');
  await expect(answer).toHaveAttribute('data-mode', 'extractive');
  const sentence = answer.locator('.answer-sentence').filter({ hasText: 'On 3 March 1911 the ferry Solveig lost her rudder near Gull Rock.' });
  await sentence.getByTestId('citation').hover();
  const card = page.getByTestId('citation-popover');
  await expect(card).toContainText('report-1911');
  await expect(card).toContainText('page 2');
  await expect(card.locator('mark')).toContainText('On 3 March 1911 the ferry Solveig lost her rudder near Gull Rock.');
});

test('a document with a title of its own is still cited with its file @journey', async ({ serve, visit }) => {
  const page = await visit(await serve(), { path: '#library' });
  await drop(page, [{ name: 'scan_0042.pdf', type: 'application/pdf', bytes: makePdf([pdfLines(['The clock of Veldmere was cast by Runa Holt in 1688.'])], { title: 'Clocks of the coast' }) }]);
  await expect(page.getByTestId('document-row')).toHaveCount(1);
  await page.getByRole('link', { name: 'Ask', exact: true }).click();
  await page.getByTestId('question-box').fill('Who cast the clock of Veldmere?');
  const result = page.getByTestId('result').first();
  await expect(result).toContainText('Clocks of the coast');
  await expect(result).toContainText('scan_0042.pdf');
  await page.getByTestId('ask').click();
  await page.getByTestId('answer').getByTestId('citation').first().hover();
  await expect(page.getByTestId('citation-popover')).toContainText('scan_0042.pdf');
  await expect(page.getByTestId('citation-popover')).toContainText('page 1');
});

test('pasted text and a table are found row by row, and go like any document @journey', async ({ serve, visit }) => {
  const page = await visit(await serve());
  await page.getByRole('link', { name: 'Library' }).click();
  await page.getByText('Paste text').click();
  await page.getByLabel('Title').fill('Notes: 3/4');
  await page.getByLabel('Text', { exact: true }).fill('The Quennel lighthouse was lit by whale oil until 1861.');
  await page.getByRole('button', { name: 'Add the text' }).click();
  await expect(page.getByTestId('document-row')).toHaveCount(1);
  await expect(page.getByTestId('document-row')).toContainText('Notes');
  await expect(page.getByLabel('Text', { exact: true })).toHaveValue('');
  await page.locator('#document-files').setInputFiles({ name: 'lamps.csv', mimeType: 'text/csv', buffer: Buffer.from('Lamp,Fuel\nVarnlight,peat gas\nTollbeam,"colza, refined"\n') });
  await expect(page.getByTestId('document-row')).toHaveCount(2);
  expect((await search(page, 'Quennel lighthouse oil'))[0]?.passage.text).toContain('whale oil');
  const [row] = await search(page, 'Tollbeam fuel');
  expect(row?.passage.text).toContain('Lamp: Tollbeam; Fuel: colza, refined.');
  await page.getByTestId('document-row').filter({ hasText: 'lamps.csv' }).getByRole('button', { name: /^Delete/ }).click();
  await page.getByRole('button', { name: 'Delete for good' }).click();
  await expect(page.getByTestId('document-row')).toHaveCount(1);
});
