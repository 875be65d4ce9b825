/** Methods on the page, over scripted events: choice and settings, the state of a search, several ways, tables, changes by hand, what was left unfinished, learning. */
import { readFile } from 'node:fs/promises';
import { ask, box, expect, isSound, test } from '../fixtures/fake-page.ts';

const ready = 'ready=qwen2.5-0.5b,minilm&pace=2';

for (const [name, width, height, colorScheme] of [
  ['a desktop in the light', 1280, 860, 'light'],
  ['a phone of 320 pixels in the dark', 320, 640, 'dark'],
] as const) {
  test.describe(`on ${name}`, () => {
    test.use({ viewport: { width, height }, colorScheme, contextOptions: { reducedMotion: 'reduce' } });

    test('every view of methods and learning fits and is accessible', async ({ open }) => {
      const page = await open({ query: `${ready}&method=table` });
      await isSound(page, 'question box of a table');
      await page.getByTestId('choose-method').click();
      await page.getByTestId('method-panel').getByRole('radio', { name: /^Foray/ }).check();
      await isSound(page, 'methods');
      await page.getByRole('button', { name: 'Done' }).click();
      await ask(page, 'show everything');
      await page.getByTestId('state-fold').click();
      await page.getByTestId('state-panel').waitFor();
      await isSound(page, 'state');
      await ask(page, 'On which river is the birthplace of the founder of Vale Glassworks?');
      await page.getByTestId('plan-node').first().getByRole('button').first().click();
      await page.getByRole('button', { name: /^Change step 1/ }).click();
      await page.getByTestId('step-editor').waitFor();
      await isSound(page, 'step editor');
      await ask(page, 'try several ways');
      await page.getByTestId('state-fold').click();
      await expect(page.getByTestId('state-panel')).toContainText('84 % agreement');
      await isSound(page, 'several ways');
      await ask(page, 'a table of towns');
      await page.getByTestId('table').waitFor();
      await isSound(page, 'table');
      await page.getByTestId('table').getByRole('button', { name: /^Isk/ }).click();
      await page.getByTestId('passage-dialog').waitFor();
      await isSound(page, 'passage');
      await page.keyboard.press('Escape');
      await page.getByText('Rate it').click();
      await isSound(page, 'rating');
      await page.getByRole('link', { name: 'Learning' }).click();
      await page.getByTestId('profile').waitFor();
      await isSound(page, 'learning');
    });
  });
}

test('the method is chosen, remembered, and named at the answer; its settings are those that it heeds', async ({ open }) => {
  const page = await open({ query: ready });
  await page.getByTestId('choose-method').click();
  const panel = page.getByTestId('method-panel');
  await expect(panel.getByRole('radio', { name: /^Foray/ })).toBeChecked();
  await expect(panel.getByRole('spinbutton', { name: 'Rounds' })).toBeVisible();
  await panel.getByRole('radio', { name: /^ExSearch/ }).check();
  await expect(panel.getByRole('spinbutton', { name: 'Rounds' })).toHaveCount(0);
  await panel.getByRole('spinbutton', { name: 'Ways' }).fill('4');
  await panel.getByRole('slider').press('ArrowRight');
  await page.keyboard.press('Escape');
  await expect(panel).toHaveCount(0);
  await expect(page.getByTestId('choose-method')).toContainText('ExSearch');
  await expect(page.getByTestId('choose-method')).toContainText('thorough');
  await page.reload();
  await expect(page.getByTestId('choose-method')).toContainText('ExSearch');
  await ask(page, 'On which river is the birthplace of the founder of Vale Glassworks?');
  await expect(page.getByTestId('cost')).toContainText('ExSearch');
});

test('a table is asked for with columns, shows the passage of a value, and is saved without formulas', async ({ open }) => {
  const page = await open({ query: `${ready}&method=table` });
  await page.getByLabel(/^Columns/).fill('River, Bridges');
  await ask(page, 'a table of towns');
  const table = page.getByTestId('table');
  await expect(table).toContainText('5 of 6 cells filled');
  await table.getByRole('button', { name: /^Isk/ }).click();
  const dialog = page.getByTestId('passage-dialog');
  await expect(dialog.locator('mark')).toContainText('river Isk');
  await dialog.getByRole('button', { name: 'Isk', exact: true }).click();
  await expect(dialog.getByRole('heading', { level: 2 })).toHaveText('Isk');
  await dialog.getByRole('button', { name: 'Back' }).click();
  await expect(dialog.getByRole('heading', { level: 2 })).toContainText('Teshmoor');
  await dialog.getByRole('button', { name: 'Close' }).click();
  await expect(dialog).toHaveCount(0);
  await expect(table.getByRole('button', { name: /^Isk/ })).toBeFocused();
  const [download] = await Promise.all([page.waitForEvent('download'), table.getByRole('link', { name: 'Save as CSV' }).click()]);
  expect(download.suggestedFilename()).toBe('a-table-of-towns.csv');
  const text = await readFile(await download.path(), 'utf8');
  expect(text).toContain("'=1+1 <b>hills</b>");
  expect(text).toContain('Teshmoor: It lies on the river Isk');
  await table.getByText('Compare with the right table').click();
  const right = 'Town,River,Bridges\nTeshmoor,Isk,2\nKarr,none (the Sool runs in a tunnel),3\n';
  await table.getByLabel(/^A CSV file/).setInputFiles({ name: 'right.csv', mimeType: 'text/csv', buffer: Buffer.from(right) });
  const score = page.getByTestId('table-score');
  // Five of the six cells, one of the two rows.
  await expect(score).toContainText(/Cells\s*83\.3\s*83\.3/);
  await expect(score).toContainText(/Rows, by their worst cell\s*50\.0\s*50\.0/);
  await expect(score.getByRole('status')).toHaveText('Not complete and right in all cells.');
  await isSound(page, 'table beside the right one');
});

test('a step is changed by hand and the run goes on from there', async ({ open }) => {
  const page = await open({ query: ready });
  await ask(page, 'On which river is the birthplace of the founder of Vale Glassworks?');
  await page.locator('[data-testid=plan-node][data-node="2"]').getByRole('button').first().click();
  await page.getByRole('button', { name: /^Change step 2/ }).click();
  const editor = page.getByTestId('step-editor');
  await expect(editor.getByRole('button', { name: 'Apply and go on' })).toBeDisabled();
  await editor.getByLabel('Its answer').fill('Karr');
  await expect(editor).toContainText('2 steps of 3 are worked out anew, the others are taken over.');
  await expect(editor.getByLabel('Query')).toBeDisabled();
  await editor.getByRole('button', { name: 'Apply and go on' }).click();
  await expect(page.locator('[data-testid=plan-node][data-node="2"]')).toContainText('Karr');
  await expect(page.getByTestId('cost')).toContainText('taken over from before');
  await page.getByRole('link', { name: 'History' }).click();
  await expect(page.getByTestId('history-row')).toHaveCount(2);
  await page.getByRole('link', { name: 'Learning' }).click();
  await expect(page.getByTestId('learning')).toContainText('1 change to steps');
});

test('answers are confirmed and corrected, an iteration is plotted, parts and files can be had and deleted', async ({ open }) => {
  const page = await open({ query: ready });
  for (let i = 0; i < 6; i++) {
    await ask(page, `river of Teshmoor ${i}`);
    if (i > 0) await page.getByTestId('confirm').click();
    else {
      await page.getByRole('button', { name: 'No, correct it' }).click();
      await page.getByLabel('The right answer').fill('river Isk');
      await page.getByTestId('feedback').getByRole('button', { name: 'Keep it' }).first().click();
    }
    await expect(page.getByTestId('feedback')).toContainText(i > 0 ? 'You confirmed this answer.' : 'You corrected it: river Isk');
  }
  await page.getByRole('link', { name: 'Learning' }).click();
  await expect(page.getByRole('heading', { name: 'Learning', level: 1 })).toBeFocused();
  await page.getByTestId('iterate').click();
  await expect(page.getByRole('img', { name: /by iteration/ })).toBeVisible();
  await expect(page.locator('[data-part=gate]')).toContainText('not accepted');
  const archive = page.getByTestId('archive');
  await expect(archive.getByRole('row', { name: /^2/ })).toContainText(/0\.82 3 runs.*0\.67 1 run/);
  await archive.getByText('Show these runs').click();
  await expect(archive.getByRole('listitem').first()).toContainText('Where was the founder of Vale Glassworks born?');
  await isSound(page, 'learning with its archive');
  const bank = page.locator('[data-part=bank]');
  await expect(bank).toContainText('in use');
  await bank.getByRole('checkbox').uncheck();
  await expect(bank).toContainText('off');
  await page.getByRole('button', { name: 'Prepare the files' }).click();
  await expect(page.getByTestId('export').first()).toContainText(/\.jsonl/);
  const profile = page.getByTestId('profile');
  await expect(profile.getByLabel('Use the profile')).not.toBeChecked();
  await profile.getByLabel('Use the profile').check();
  await profile.getByLabel(/^Interests/).fill('glass, rivers');
  await profile.getByRole('button', { name: 'Save the profile' }).click();
  await expect(profile.getByLabel(/^Interests/)).toHaveValue('glass, rivers');
  await page.getByRole('button', { name: /^Delete everything learned/ }).click();
  await page.getByRole('button', { name: 'Delete for good' }).click();
  await expect(page.getByTestId('learning')).toContainText('0 answers');
});

test('the import that began by itself can be paused', async ({ open }) => {
  const page = await open({ query: 'pace=200', waits: false });
  await page.getByTestId('status-shard').getByRole('button', { name: 'Pause' }).click();
  await expect(page.getByTestId('status-shard')).toContainText('Paused');
});

test('C4: after two abrupt ends in a minute the page starts without models and says so @fault', async ({ open, page }) => {
  await page.addInitScript(() => {
    if (sessionStorage.getItem('test-once') !== null) return;
    sessionStorage.setItem('test-once', '1');
    sessionStorage.setItem('foray.starts', JSON.stringify([Date.now() - 20_000, Date.now() - 10_000]));
  });
  await open({ query: ready });
  await expect(page.getByText('The page ended abruptly several times in a row')).toBeVisible();
  await page.getByRole('button', { name: 'Start as usual' }).click();
  await expect(box(page)).toBeVisible();
  await expect(page.getByText('The page ended abruptly several times in a row')).toHaveCount(0);
});

test('the question box grows when a narrower window wraps the question', async ({ open }) => {
  const page = await open({ query: ready });
  await box(page).fill('On which river is the birthplace of the founder of Vale Glassworks, and when did the railway come?');
  const height = async (): Promise<number> => (await box(page).boundingBox())?.height ?? 0;
  const wide = await height();
  await page.setViewportSize({ width: 320, height: 700 });
  await expect.poll(height).toBeGreaterThan(wide);
  expect(await box(page).evaluate((element) => element.scrollHeight - element.clientHeight)).toBeLessThanOrEqual(0);
});
