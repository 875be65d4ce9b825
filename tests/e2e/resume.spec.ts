/** A run that a closed page broke off, on the built page with the scripted engine: it goes on by itself, to the same answer, and no finished call is made again. */
import type { Script } from '../../src/engine/backends/scripted.ts';
import { askInPage, eventsOf, expect, test } from '../fixtures/page.ts';

/** Its wording has no form that code takes apart, so the model plans. */
const question = 'The architect who designed the Musikverein in Vienna, in which city was he born?';
const steps = { steps: ['Who designed the Musikverein in Vienna?', 'In which city was #1 born?'] };

/** Every answer takes long enough to close the page in the middle. */
const slow: Script = {
  responses: [
    { when: 'PLAN\\nQuestion: The architect[^\\n]*\\s*$', say: steps, delayMs: 300 },
    { when: 'Question: Who designed the Musikverein in Vienna\\?\\n(?:\\d+\\. [^\\n]*\\n?)+\\s*$', say: { sentence: 1, answer: 'Theophil Hansen' }, delayMs: 300 },
    { when: 'Question: In which city was Theophil Hansen born\\?\\n(?:\\d+\\. [^\\n]*\\n?)+\\s*$', say: { sentence: 1, answer: 'Copenhagen' }, delayMs: 2500 },
  ],
  otherwise: { say: { sentence: 0, answer: '' }, delayMs: 1500 },
};

test('a reload in the middle of a run: it goes on by itself and repeats no finished call', async ({ serve, visit }) => {
  const page = await visit(await serve({ script: slow }));
  await page.evaluate(() => globalThis.foray!.models.use('script', new AbortController().signal));
  await expect(page.getByTestId('status-llm')).toContainText('Ready');
  await askInPage(page, question);
  await expect(page.locator('[data-testid=plan-node][data-node="1"][data-status=answered]')).toBeVisible();
  await expect(page.locator('[data-testid=plan-node][data-node="2"][data-status=running]')).toBeVisible();
  const [run] = await page.evaluate(() => globalThis.foray!.history.list());
  await page.reload();

  await expect(page.locator('[data-testid=answer][data-mode=cited]')).toContainText('Copenhagen', { timeout: 60_000 });
  const runs = await page.evaluate(() => globalThis.foray!.history.list());
  expect(runs.map(({ id }) => id)).toEqual([run?.id]);
  await expect.poll(() => page.evaluate((id) => globalThis.foray!.history.events(id).then((events) => events?.at(-1)?.kind), run?.id ?? '')).toBe('runFinished');
  const events = (await page.evaluate((id) => globalThis.foray!.history.events(id), run?.id ?? '')) ?? [];
  const calls = eventsOf(events, 'llmCalled');
  const keys = calls.map(({ purpose, node, promptTokens }) => `${purpose} ${node} ${promptTokens}`);
  expect(new Set(keys).size, `each call once: ${keys.join(', ')}`).toBe(keys.length);
  expect(eventsOf(events, 'runStarted')).toHaveLength(1);
  expect(eventsOf(events, 'runFinished')).toMatchObject([{ stop: 'answered' }]);
  expect(eventsOf(events, 'nodeFinished').filter(({ node }) => node === 1)).toHaveLength(1);
});
