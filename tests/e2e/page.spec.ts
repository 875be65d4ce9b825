/** The page by itself, over scripted events: looks on every size and theme, accessibility, keyboard, input methods, citations, hostile text, errors. */
import type { Locator, Page } from '@playwright/test';
import { ask, box, expect, isSound, test } from '../fixtures/fake-page.ts';

const model = 'qwen2.5-0.5b';
const ready = `ready=${model},minilm&pace=5`;
const bridge = 'On which river is the birthplace of the founder of Vale Glassworks?';
const answer = (page: Page, mode = 'cited'): Locator => page.locator(`[data-testid=answer][data-mode=${mode}]`);

for (const [name, width, height, colorScheme] of [
  ['a desktop in the light', 1280, 860, 'light'],
  ['a desktop in the dark', 1280, 860, 'dark'],
  ['a phone of 320 pixels', 320, 640, 'light'],
  ['a window at 200 %', 640, 430, 'dark'],
] as const) {
  test.describe(`on ${name}`, () => {
    test.use({ viewport: { width, height }, colorScheme, contextOptions: { reducedMotion: 'reduce' } });

    test('every view fits and is accessible', async ({ open }) => {
      const page = await open({ query: 'pace=5' });
      await isSound(page, 'first screen');
      await box(page).fill('river Teshmoor');
      await page.getByTestId('result').first().waitFor();
      await isSound(page, 'results');
      await ask(page, 'river Teshmoor', 'extractive');
      await isSound(page, 'extractive answer');

      await open({ query: ready });
      await ask(page, bridge);
      await isSound(page, 'answer');
      await page.getByTestId('plan-node').first().getByRole('button').first().click();
      await isSound(page, 'step');
      await page.getByTestId('citation').first().click();
      await isSound(page, 'citation');
      await page.keyboard.press('Escape');
      await ask(page, 'hostile thing');
      await isSound(page, 'hostile answer');
      await ask(page, 'Who was the unknown mayor?', 'not-found');
      await isSound(page, 'nothing found');
      await box(page).fill('it will fail');
      await page.getByTestId('ask').click();
      await page.getByRole('alert').waitFor();
      await isSound(page, 'failed run');
      await page.getByLabel('Let me check the plan first').check();
      await box(page).fill('Which founder is older?');
      await page.getByTestId('ask').click();
      await page.getByRole('button', { name: 'Remove step 1' }).click();
      await isSound(page, 'plan editor');
      await page.getByTestId('stop').first().click();

      for (const view of ['Library', 'History', 'Settings']) {
        await page.getByRole('link', { name: view }).click();
        await page.getByRole('heading', { name: view, level: 1 }).waitFor();
        await isSound(page, view);
      }
      await page.getByRole('link', { name: 'Ask' }).click();
      if (width < 768) await page.locator('.strip-fold > summary').click();
      await page.getByTestId('status-llm').getByRole('button', { name: /^Change/ }).click();
      await page.getByTestId('model-panel').waitFor();
      await isSound(page, 'model panel');
    });
  });
}

test.describe('the question box', () => {
  test('has the focus, and Enter asks, Shift+Enter breaks the line', async ({ open }) => {
    const page = await open();
    await expect(box(page)).toBeFocused();
    await page.keyboard.type('river');
    await page.keyboard.press('Shift+Enter');
    await page.keyboard.type('Teshmoor');
    await expect(box(page)).toHaveValue('river\nTeshmoor');
    await expect(page.getByTestId('answer')).toHaveCount(0);
    await page.keyboard.press('Enter');
    await expect(answer(page, 'extractive')).toBeVisible();
  });

  test('does not take the Enter of an input method for its own', async ({ open }) => {
    const page = await open();
    await box(page).fill('にほん');
    await box(page).dispatchEvent('keydown', { key: 'Enter', isComposing: true, bubbles: true });
    await box(page).dispatchEvent('keydown', { key: 'Enter', keyCode: 229, bubbles: true });
    await expect(page.getByTestId('cost')).toHaveCount(0);
    await box(page).dispatchEvent('keydown', { key: 'Enter', keyCode: 13, bubbles: true });
    await expect(page.getByTestId('cost')).toBeVisible();
  });

  test('takes a megabyte, keeps its beginning and stays responsive', async ({ open, context }) => {
    await context.grantPermissions(['clipboard-read', 'clipboard-write']);
    const page = await open();
    await page.evaluate(() => navigator.clipboard.writeText('word '.repeat(210_000)));
    await box(page).focus();
    const started = Date.now();
    await page.keyboard.press('ControlOrMeta+v');
    await expect(box(page)).toHaveValue(/^(?:word ){800}$/);
    await expect(page.getByText('longer than a question may be')).toBeVisible();
    await page.keyboard.type('x');
    expect(Date.now() - started, 'ms until the page answers').toBeLessThan(3000);
    await box(page).fill('y'.repeat(1_000_000));
    await expect(box(page)).toHaveValue(/^y{4000}$/);
  });

  test('is filled from the address, but only the person asks', async ({ open }) => {
    const page = await open({ query: `${ready}&q=${encodeURIComponent('<img src=x onerror=alert(1)> \u202Ewho')}&host=https://evil.example` });
    await expect(box(page)).toHaveValue('<img src=x onerror=alert(1)> \u202Ewho');
    await page.waitForTimeout(500);
    await expect(page.getByTestId('cost')).toHaveCount(0);
    await expect(page.getByTestId('stop')).toHaveCount(0);
  });

  test('says that an empty question is none', async ({ open }) => {
    const page = await open();
    await page.getByTestId('ask').click();
    await expect(page.getByText('Type a question first.')).toBeVisible();
  });
});

test.describe('citations', () => {
  async function isInside(page: Page, card: Locator): Promise<void> {
    const rectangle = await card.boundingBox();
    const view = page.viewportSize();
    if (rectangle === null || view === null) throw new Error('no card');
    expect(rectangle.x).toBeGreaterThanOrEqual(0);
    expect(rectangle.y).toBeGreaterThanOrEqual(0);
    expect(rectangle.x + rectangle.width).toBeLessThanOrEqual(view.width);
    expect(rectangle.y + rectangle.height).toBeLessThanOrEqual(view.height);
  }

  test('open on hover, stay while the pointer is on the card, close when it leaves', async ({ open }) => {
    const page = await open({ query: ready });
    await ask(page, bridge);
    const card = page.getByTestId('citation-popover');
    await page.getByTestId('citation').nth(1).hover();
    await expect(card.locator('mark')).toHaveText('He was born in Teshmoor, where his mother kept the ferry house.');
    await card.hover();
    await page.waitForTimeout(600);
    await expect(card).toBeVisible();
    await isInside(page, card);
    await page.mouse.move(5, 5);
    await expect(card).toHaveCount(0);
  });

  test('open on keyboard focus, can be entered with Tab, and Escape gives the focus back', async ({ open }) => {
    const page = await open({ query: ready });
    await ask(page, bridge);
    const citation = page.getByTestId('citation').first();
    const card = page.getByTestId('citation-popover');
    await citation.focus();
    await expect(card).toBeVisible();
    await page.keyboard.press('Tab');
    await expect(card.getByRole('button', { name: 'Close' })).toBeFocused();
    await page.keyboard.press('Escape');
    await expect(card).toHaveCount(0);
    await expect(citation).toBeFocused();
    await page.keyboard.press('Enter');
    await expect(card).toBeVisible();
    for (let i = 0; i < 3; i++) await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    await expect(card).toHaveCount(0);
    await expect(page.getByTestId('source').first()).toBeFocused();
  });

  test.describe('on a phone', () => {
    test.use({ viewport: { width: 320, height: 560 }, hasTouch: true });
    test('open and close on tap and are not cut off', async ({ open }) => {
      const page = await open({ query: ready });
      await ask(page, bridge);
      const card = page.getByTestId('citation-popover');
      for (let i = 0; i < (await page.getByTestId('citation').count()); i++) {
        await page.getByTestId('citation').nth(i).tap();
        await expect(card).toHaveCount(1);
        await isInside(page, card);
      }
      await page.getByTestId('cost').tap();
      await expect(card).toHaveCount(0);
    });
  });
});

test('a run: steps fill, the answer streams, Stop works, the next question works', async ({ open }) => {
  const page = await open({ query: `ready=${model}&pace=160` });
  const said: string[] = [];
  await page.exposeFunction('said', (text: string) => said.push(text));
  await page.evaluate(() => {
    const region = document.querySelector('[data-testid=announcer]');
    if (region === null) throw new Error('no live region');
    new MutationObserver(() => (globalThis as unknown as { said(text: string | null): void }).said(region.textContent)).observe(region, { childList: true, characterData: true, subtree: true });
  });
  await box(page).fill(bridge);
  await page.keyboard.press('Enter');
  const second = page.locator('[data-testid=plan-node][data-node="2"][data-status=running]');
  await second.waitFor();
  await expect(second).toContainText('Where was Orrin Vale born?');
  await expect(page.getByTestId('cost')).toContainText('2 model calls');
  await page.getByTestId('stop').click();
  await expect(page.getByTestId('stop')).toHaveCount(0);
  await expect(page.getByText('Stopped by you. What was found is kept.')).toBeVisible();
  await expect(page.locator('[data-testid=plan-node][data-node="1"]')).toContainText('Orrin Vale');

  await page.getByRole('button', { name: 'Ask again' }).click();
  await expect(page.locator('[data-testid=answer][data-state=streaming]')).toBeVisible();
  await expect(answer(page)).toContainText('The Isk');
  await expect(answer(page).locator('.unsupported')).toHaveText('The town was founded by glass-makers.');
  await expect(page.getByTestId('source')).toHaveCount(3);
  await expect(page.getByTestId('cost')).toContainText('1,616 prompt tokens, 460 of them cached');
  expect(said.at(-1)).toBe('Answer ready: The Isk.');
  expect(said.length, 'announcements of two runs').toBeLessThan(25);
});

test('the plan waits for the person, refuses what is wrong, and runs as it was changed', async ({ open }) => {
  const page = await open({ query: ready });
  await page.getByLabel('Let me check the plan first').check();
  await box(page).fill(bridge);
  await page.getByTestId('ask').click();
  await page.getByRole('textbox', { name: 'Step 1' }).fill('');
  await expect(page.getByText('Step 1 is empty.')).toBeVisible();
  await expect(page.getByRole('button', { name: 'Run my plan' })).toBeDisabled();
  await page.getByRole('textbox', { name: 'Step 1' }).fill('Who began Vale Glassworks?');
  await page.getByRole('button', { name: 'Run my plan' }).click();
  await expect(page.getByText('Plan changed by you')).toBeVisible();
  await answer(page).waitFor();
  await page.reload();
  await expect(page.getByLabel('Let me check the plan first')).toBeChecked();
});

test('text from passages, models and files is only text', async ({ open }) => {
  const page = await open({ query: ready });
  const title = await page.title();
  await ask(page, 'hostile thing');
  await expect(answer(page)).toContainText('<b>bold</b>');
  await page.getByTestId('citation').first().click();
  await expect(page.getByTestId('citation-popover')).toContainText('[U+202E]gnp.exe');
  await page.getByRole('link', { name: 'Library' }).click();
  await page.getByLabel('Files to add').setInputFiles([{ name: '<img src=x onerror=alert(1)>\u202E.txt', mimeType: 'text/plain', buffer: Buffer.from('x') }]);
  await expect(page.getByTestId('document-row')).toContainText('<img src=x onerror=alert(1)>[U+202E].txt');
  expect(await page.title()).toContain(title);
  expect(await page.locator('main :is(script, img, iframe, object, embed, form[action], base, link)').count()).toBe(0);
});

test('a page that cannot be drawn gives the question back', async ({ open }) => {
  const page = await open({ query: ready });
  await box(page).fill('please break');
  await page.getByTestId('ask').click();
  await expect(page.getByRole('heading', { name: 'The page could not be drawn' })).toBeVisible();
  await expect(page.getByLabel('Your question')).toHaveValue('please break');
  await page.getByRole('button', { name: 'Back to the page' }).click();
  await expect(box(page)).toHaveValue('please break');
});

test('models: one button for every state, downloads only on a click, a server of one’s own said plainly', async ({ open }) => {
  const page = await open({ query: 'pace=40' });
  const slot = page.getByTestId('status-llm');
  await expect(slot).toContainText(/needs .* memory/);
  await slot.getByRole('button', { name: 'Download and load' }).click();
  await expect(slot).toContainText(/of 1\.12 GB · .*\/s · \d+ s left/);
  await slot.getByRole('button', { name: 'Cancel' }).click();
  await expect(slot).toContainText('Paused');
  await slot.getByRole('button', { name: 'Resume' }).click();
  await slot.getByRole('button', { name: 'Unload' }).click();
  await expect(slot).toContainText('On this device');
  await slot.getByRole('button', { name: /^Change/ }).click();
  const panel = page.getByTestId('model-panel');
  await expect(panel).toContainText('your questions and the passages found for them are sent to that server');
  await panel.getByText(/models that this device cannot run/).click();
  await expect(panel.locator('[data-state=unavailable]').first()).toContainText('shader-f16');
  await panel.getByLabel('Address').fill('http://localhost:11434/v1');
  await panel.getByLabel('Model name').fill('my-model');
  await panel.getByRole('button', { name: 'Use this server' }).click();
  await expect(panel).toBeHidden();
  await expect(page.getByText('Questions and passages go to the server that you set')).toBeVisible();
  await expect(page.getByText('Nothing you ask and nothing in your library leaves this device.')).toHaveCount(0);
});

test('dialogs: Escape, the button and a click beside close them, and the focus goes back', async ({ open }) => {
  const page = await open({ query: ready });
  const openers = [
    ['method-panel', page.getByTestId('choose-method')],
    ['model-panel', page.getByTestId('status-llm').getByRole('button', { name: /^Change/ })],
  ] as const;
  for (const [id, opener] of openers) {
    const dialog = page.getByTestId(id);
    const ways = { Escape: () => page.keyboard.press('Escape'), button: () => dialog.getByRole('button', { name: 'Close' }).click(), beside: () => page.mouse.click(3, 3) };
    for (const [way, leave] of Object.entries(ways)) {
      await opener.click();
      await expect(dialog.getByRole('button', { name: 'Close' }), `${id} takes the focus`).toBeFocused();
      await leave();
      await expect(dialog, `${id}, ${way}`).toHaveCount(0);
      await expect(opener, `${id}, ${way}: the focus is back`).toBeFocused();
    }
  }
});

test('views have addresses, keep the question, and the theme can be set by hand', async ({ open }) => {
  const page = await open();
  await box(page).fill('half a question');
  await page.getByRole('link', { name: 'Settings' }).click();
  await expect(page).toHaveURL(/#settings$/);
  await expect(page.getByRole('heading', { name: 'Settings' })).toBeFocused();
  const background = (): Promise<string> => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const light = await background();
  await page.getByLabel('Dark').check();
  expect(await background()).not.toBe(light);
  await page.goBack();
  await expect(box(page)).toHaveValue('half a question');
  await page.reload();
  expect(await background()).not.toBe(light);
});

test('completions: arrows choose, Enter without a choice asks, Escape and an input method close or open nothing', async ({ open }) => {
  const page = await open({ query: 'pace=5' });
  const list = page.getByTestId('completions');
  await box(page).pressSequentially('Which river near Tes');
  await expect(list.getByRole('option').first()).toHaveText('Teshmoor');
  await isSound(page, 'completions');
  await page.keyboard.press('ArrowDown');
  await expect(list.getByRole('option', { selected: true })).toHaveText('Teshmoor');
  await page.keyboard.press('Enter');
  await expect(box(page)).toHaveValue('Which river near Teshmoor');
  await expect(list).toBeHidden();
  await box(page).fill('');
  await box(page).pressSequentially('river Tes');
  await expect(list).toBeVisible();
  await page.keyboard.press('Escape');
  await expect(list).toBeHidden();
  await expect(box(page)).toHaveValue('river Tes');
  await box(page).pressSequentially('hmoo');
  await expect(list).toBeVisible();
  await page.keyboard.press('Enter');
  await answer(page, 'extractive').waitFor();
  await expect(list).toBeHidden();
});
