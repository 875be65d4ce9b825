/** FAULTS Q1–Q6: empty, giant, odd and hostile questions, input methods, impatient clicking. */
import type { Page } from '@playwright/test';
import { ask, askInPage, eventsOf, expect, importShard, search, test, useModel } from '../fixtures/page.ts';
import { buildShardFixture } from '../fixtures/shard.ts';
import { bornQuestion, designerQuestion, taleScript, taleShard } from '../fixtures/tale.ts';

const runCount = (page: Page): Promise<number> => page.evaluate(async () => (await globalThis.foray!.history.list()).length);

test('Q1: nothing, blanks, a sign or a single letter: asked for politely or searched, never a crash @fault', async ({ serve, visit }) => {
  const page = await visit(await serve());
  for (const text of ['', '   \n\t  ', '\u200B\uFEFF']) {
    await askInPage(page, text);
    await expect(page.getByText('Type a question first.').first()).toBeVisible();
  }
  await page.getByRole('button', { name: 'Foray: new question' }).click();
  for (const text of ['🙂', 'x', '?', '。']) {
    await askInPage(page, text);
    await expect(page.locator('.stage')).toHaveText(/Nothing found|Best sentences found/);
  }
  expect(eventsOf(await ask(page, '  '), 'runFailed')).toMatchObject([{ error: { code: 'question/empty' } }]);
});

test('Q2: a paste of a megabyte is cut with a notice, and the page goes on answering the keyboard @fault', async ({ serve, visit }) => {
  const page = await visit(await serve());
  const box = page.getByTestId('question-box');
  await box.focus();
  const ms = await page.evaluate(async () => {
    const target = document.activeElement!;
    const clipboardData = new DataTransfer();
    clipboardData.setData('text/plain', 'bridge over a river '.repeat(52_500));
    const start = performance.now();
    target.dispatchEvent(new ClipboardEvent('paste', { clipboardData, bubbles: true, cancelable: true }));
    await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
    return performance.now() - start;
  });
  expect(ms).toBeLessThan(1000);
  await expect(page.getByText('The pasted text is longer than a question may be')).toBeVisible();
  expect((await box.inputValue()).length).toBe(4000);
  // The delay of keys while the paste is searched.
  await box.evaluate((element: HTMLTextAreaElement) => element.setSelectionRange(0, 0));
  const delays: number[] = [];
  for (const key of 'quick') {
    const started = Date.now();
    await page.keyboard.press('Delete');
    await page.keyboard.type(key);
    await page.evaluate(() => new Promise((done) => requestAnimationFrame(done)));
    delays.push(Date.now() - started);
  }
  expect(Math.max(...delays)).toBeLessThan(1000);
  expect((await box.inputValue()).startsWith('quick')).toBe(true);
  await page.getByTestId('ask').click();
  await expect(page.getByTestId('answer')).toHaveAttribute('data-mode', 'extractive');
  // Past the box: the agent cuts it as well, and says so.
  const events = await ask(page, 'bridge over a river '.repeat(52_500));
  expect(eventsOf(events, 'notice').map(({ code }) => code)).toEqual(['question-trimmed']);
  expect(eventsOf(events, 'runStarted')[0]?.question.length).toBeLessThanOrEqual(4000);
  expect(eventsOf(events, 'runFinished')).toHaveLength(1);
});

test('Q3: the same word in another coding finds the same; odd signs neither break search nor deceive @fault', async ({ serve, visit }) => {
  const site = await serve();
  const article = (docId: string, text: string) => ({ docId, title: docId, sections: [{ heading: '', text }] });
  const shard = await buildShardFixture({
    id: 'signs',
    documents: [
      article('cafe', 'The café Zoë in Łódź serves crème brûlée.'),
      article('istanbul', 'İstanbul lies on two shores.'),
      article('digits', 'The mill was built in 1871.'),
      article('tokyo', '東京タワーは赤い塔です。'),
      article('hebrew', 'מגדל האור עומד על החוף.'),
      article('bidi', 'The file \u202Egpj.exe was renamed.'),
    ],
  });
  const page = await visit(site);
  expect(await importShard(page, site.put('signs', shard.files))).toBeNull();
  const only = { corpora: ['signs'], k: 1 };
  const table: readonly [string, string, string][] = [
    ['composed and decomposed accents', 'café Zoë crème', 'café Zoë crème'.normalize('NFD')],
    ['invisible signs', 'café Zoë', 'ca\u200Bfé Zo\u00ADë\u200D'],
    ['directions', 'café Zoë', '\u202Ecafé\u202C \u2067Zoë\u2069'],
    ['controls and half pairs', 'café Zoë', 'café\u0000 \uD800Zoë\uDFFF'],
    ['full-width digits', 'mill 1871', 'mill １８７１'],
    ['case', 'café zoë', 'CAFÉ ZOË'],
    ['dotted capital I', 'istanbul shores', 'İSTANBUL shores'],
  ];
  for (const [what, plain, odd] of table) {
    const expected = (await search(page, plain, only)).map(({ passage, score }) => ({ id: passage.id, score }));
    expect(expected.length, what).toBe(1);
    expect((await search(page, odd, only)).map(({ passage, score }) => ({ id: passage.id, score })), what).toEqual(expected);
  }
  for (const [text, id] of [['東京', 'tokyo'], ['タワー', 'tokyo'], ['מגדל', 'hebrew'], ['lodz cafe', 'cafe']] as const) {
    expect((await search(page, text, only))[0]?.passage.docId, text).toBe(id);
  }
  // Direction overrides are named where they are shown, not obeyed.
  await page.getByTestId('question-box').fill('file renamed gpj');
  const hit = page.getByTestId('result').filter({ hasText: 'renamed' }).first();
  await expect(hit).toContainText('[U+202E]gpj.exe');
  expect(await hit.innerText()).not.toContain('\u202E');
  for (const odd of ['\u202Eabc\u0000\uD83D', 'a\u0301'.repeat(3000), '\u{1F468}\u200D\u{1F469}\u200D\u{1F467}']) expect(eventsOf(await ask(page, odd), 'runFinished')).toHaveLength(1);
});

test('Q4: names of the language, patterns and queries are plain words @fault', async ({ serve, visit }) => {
  const site = await serve();
  const odd = ['__proto__', 'constructor', 'toString', 'hasOwnProperty', '.*(a+)+$', "'; DROP TABLE passages; --", '${7*7}', '%00%2e%2e%2f', '\\', '[', '(((((', 'own/#1', 'demo/../own'];
  const shard = await buildShardFixture({
    id: 'constructor',
    documents: odd.map((word, i) => ({ docId: i < 2 ? word : `odd-${i}`, title: word, sections: [{ heading: '', text: `The entry ${word} of the list has number ${i}.` }] })),
  });
  const page = await visit(site, { path: '#library' });
  expect(await importShard(page, site.put('odd', shard.files))).toBeNull();
  await page.locator('#document-files').setInputFiles([{ name: '__proto__', mimeType: 'text/plain', buffer: Buffer.from('A document about prototypes of bridges.') }]);
  await expect(page.getByTestId('document-row')).toHaveCount(1);
  for (const word of odd) {
    await search(page, word);
    expect(await page.evaluate((id) => globalThis.foray!.retriever.passage(id), `constructor/${word}`), word).toEqual(word === '__proto__' || word === 'constructor' ? expect.objectContaining({ docId: word }) : null);
    expect(eventsOf(await ask(page, word), 'runFinished'), word).toHaveLength(1);
  }
  expect((await search(page, 'prototypes bridges', { corpora: ['own'] }))[0]?.passage.docId).toBe('__proto__');
  expect((await search(page, 'x', { corpora: ['__proto__', 'toString'] })).length).toBe(0);
  expect(await page.evaluate(() => ({ polluted: ({} as Record<string, unknown>)['steps'] === undefined }))).toEqual({ polluted: true });
});

test('Q5: Enter belongs to the input method while it composes @fault', async ({ serve, visit }) => {
  const page = await visit(await serve());
  const box = page.getByTestId('question-box');
  await box.fill('Which bridge crosses the Danube?');
  for (const init of [{ isComposing: true, keyCode: 13 }, { isComposing: false, keyCode: 229 }, { shiftKey: true, keyCode: 13 }]) {
    await box.evaluate((element, more) => element.dispatchEvent(new KeyboardEvent('keydown', { key: 'Enter', bubbles: true, cancelable: true, ...more })), init);
  }
  await page.waitForTimeout(300);
  expect(await runCount(page)).toBe(0);
  await expect(page.getByTestId('answer')).toHaveCount(0);
  // A real composition, key by key.
  const client = await page.context().newCDPSession(page);
  await box.fill('');
  await client.send('Input.imeSetComposition', { text: 'きょう', selectionStart: 3, selectionEnd: 3 });
  await client.send('Input.dispatchKeyEvent', { type: 'rawKeyDown', windowsVirtualKeyCode: 229, key: 'Process', code: 'Enter' });
  await client.send('Input.insertText', { text: '今日' });
  await expect(box).toHaveValue('今日');
  expect(await runCount(page)).toBe(0);
  await box.press('Enter');
  await expect.poll(() => runCount(page)).toBe(1);
});

test('Q6: double submits, questions over questions, stop and start in a row: one run at a time, the last one wins @fault', async ({ serve, visit }) => {
  const site = await serve({ script: taleScript({ designer: { delayMs: 700 }, planBorn: { delayMs: 300 } }) });
  const page = await visit(site);
  expect(await importShard(page, site.put('tale', (await taleShard()).files))).toBeNull();
  expect(await useModel(page, 'script')).toBeNull();
  // Events of all runs as the page gets them.
  await page.evaluate(() => {
    const seen: { id: string; kind: string }[] = [];
    Object.assign(globalThis, { seenEvents: seen });
    const searcher = globalThis.foray!;
    const original = searcher.ask.bind(searcher);
    Object.assign(searcher, {
      ask(...input: Parameters<typeof original>) {
        const run = original(...input);
        return {
          ...run,
          events: (async function* () {
            for await (const event of run.events) {
              seen.push({ id: event.runId, kind: event.kind });
              yield event;
            }
          })(),
        };
      },
    });
  });
  const seen = () => page.evaluate(() => (globalThis as unknown as { seenEvents: { id: string; kind: string }[] }).seenEvents);
  const box = page.getByTestId('question-box');

  await box.fill(designerQuestion);
  await page.getByTestId('ask').dblclick();
  await box.press('Enter');
  await expect(page.getByTestId('answer')).toHaveAttribute('data-state', 'final');
  expect(new Set((await seen()).map(({ id }) => id)).size).toBe(1);

  // Another question while one runs: the first is stopped, the last is answered.
  await askInPage(page, bornQuestion);
  await expect(page.getByTestId('stop')).toBeVisible();
  await askInPage(page, 'Who founded the town of Tornau?');
  await askInPage(page, designerQuestion);
  await expect(page.getByTestId('answer')).toContainText('Ilse Varga');
  await expect(box).toHaveValue(designerQuestion);
  await expect(page.getByTestId('stop')).toHaveCount(0);

  for (let i = 0; i < 8; i++) {
    await askInPage(page, i % 2 === 0 ? bornQuestion : designerQuestion);
    await page.getByTestId('stop').click({ timeout: 2000 }).catch(() => {});
  }
  await expect(page.getByTestId('stop')).toHaveCount(0);
  await askInPage(page, bornQuestion);
  await expect(page.getByTestId('answer')).toContainText('4 May 1871');

  // Runs do not mix: each id's events lie together and end once.
  const events = await seen();
  const order = events.map(({ id }) => id).filter((id, i, all) => id !== all[i - 1]);
  expect(new Set(order).size).toBe(order.length);
  for (const id of order) expect(events.filter((event) => event.id === id && /^run(?:Finished|Failed)$/.test(event.kind))).toHaveLength(1);
  expect(events.filter(({ kind }) => kind === 'runFailed')).toEqual([]);
  await expect(page.getByRole('alert')).toHaveCount(0);
});
