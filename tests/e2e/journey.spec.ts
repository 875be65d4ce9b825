/**
 * What a newcomer does, on the built page: type, see passages at once, ask without a model, load the real models by their buttons, ask a multi-hop question,
 * watch it planned and executed, check the citations, stop, ask again.
 */
import AxeBuilder from '@axe-core/playwright';
import type { Page } from '@playwright/test';
import type { Script } from '../../src/engine/backends/scripted.ts';
import { localModels } from '../../tools/models.ts';
import { ask, eventsOf, expect, test } from '../fixtures/page.ts';

const question = 'In which city was the architect who designed the Musikverein in Vienna born?';

/** A model that plans and reads as a good one would; the real models below show what small ones make of it. */
const competent: Script = {
  responses: [
    { when: 'Question: Which architect designed the Musikverein in Vienna\\?\\n(?:\\d+\\. [^\\n]*\\n?)+\\s*$', say: { sentence: 1, answer: 'Theophil Hansen' }, pieceMs: 5, delayMs: 200 },
    { when: 'Question: In which city was Theophil Hansen born\\?\\n(?:\\d+\\. [^\\n]*\\n?)+\\s*$', say: { sentence: 1, answer: 'Copenhagen' }, pieceMs: 5, delayMs: 200 },
  ],
  otherwise: { say: { sentence: 0, answer: '' } },
};

const box = (page: Page) => page.getByTestId('question-box');

async function loadFromStrip(page: Page, role: 'llm' | 'embedder', timeout = 60_000): Promise<void> {
  await page.getByTestId(`status-${role}`).getByRole('button', { name: /^Load/ }).click();
  await expect(page.getByTestId(`status-${role}`)).toContainText('Ready', { timeout });
}

test('the first screen answers at once: a question box, passages while typing, sentences without a model @journey', async ({ serve, visit }) => {
  const site = await serve();
  const page = await visit(site);
  await expect(page).toHaveTitle(/Foray/);
  await expect(box(page)).toBeFocused();
  await expect(page.getByTestId('status-shard')).toContainText('564 passages');
  await expect(page.getByTestId('status-embedder')).toContainText('Not loaded');
  await expect(page.getByTestId('status-llm')).toContainText('Not loaded');

  await box(page).fill(question);
  await expect(page.getByTestId('result').first()).toContainText('Musikverein');
  await page.keyboard.press('Enter');

  const answer = page.getByTestId('answer');
  await expect(answer).toContainText(/no language model/i);
  await expect(answer).toContainText('designed by the architect Theophil Hansen');
  const citation = answer.getByTestId('citation').first();
  await citation.hover();
  await expect(page.getByTestId('citation-popover').locator('mark')).toBeVisible();
  expect(site.requests.filter(({ path }) => /^models\/.*\./.test(path) && path !== 'models/index.json'), 'no model was fetched without a click').toEqual([]);
  const { violations } = await new AxeBuilder({ page }).analyze();
  expect(violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.target.join(' ')).join(', ')}`)).toEqual([]);
});

test('a multi-hop question is planned, executed and answered with citations that can be checked @journey', async ({ serve, visit }) => {
  const page = await visit(await serve({ script: competent }));
  await page.evaluate(() => globalThis.foray!.models.use('script', new AbortController().signal));
  await expect(page.getByTestId('status-llm')).toContainText('Ready');
  await box(page).fill(question);
  await page.getByTestId('ask').click();

  const nodes = page.getByTestId('plan-node');
  await expect(nodes).toHaveCount(2);
  await expect(nodes.nth(0)).toContainText('Theophil Hansen');
  await expect(nodes.nth(1)).toContainText('Copenhagen');
  const answer = page.getByTestId('answer');
  await expect(answer).toContainText('Copenhagen');
  await expect(answer.getByTestId('citation')).toHaveCount(2);
  await expect(page.getByTestId('cost')).toContainText('2 model calls');
  await expect(page.getByTestId('cost')).toContainText('2 searches');

  const second = answer.getByTestId('citation').nth(1);
  await second.focus();
  const card = page.getByTestId('citation-popover');
  await expect(card.locator('mark')).toHaveText(/born in Copenhagen/);
  await page.keyboard.press('Escape');
  await expect(card).toBeHidden();
  await expect(page.getByTestId('source')).toHaveCount(2);
  for (const text of await page.getByTestId('source').locator('mark').allTextContents()) expect(text.length).toBeGreaterThan(10);

  await page.setViewportSize({ width: 320, height: 640 });
  await second.dispatchEvent('pointerup', { pointerType: 'touch' });
  await second.click();
  await expect(card).toBeVisible();
  const place = await card.boundingBox();
  expect(place !== null && place.x >= 0 && place.x + place.width <= 320).toBe(true);
  expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(320);
  const { violations } = await new AxeBuilder({ page }).analyze();
  expect(violations.map(({ id, nodes: found }) => `${id}: ${found.map((node) => node.target.join(' ')).join(', ')}`)).toEqual([]);
});

test('the plan can be changed before it runs @journey', async ({ serve, visit }) => {
  const page = await visit(await serve({ script: competent }));
  await page.evaluate(() => globalThis.foray!.models.use('script', new AbortController().signal));
  const events = await page.evaluate(async (text) => {
    const run = globalThis.foray!.ask(text, { planPauseMs: Infinity });
    const seen: unknown[] = [];
    for await (const event of run.events) {
      seen.push(event);
      if (event.kind !== 'planProposed') continue;
      const [first] = event.plan.nodes;
      const refused = await Promise.resolve()
        .then(() => run.editPlan({ ...event.plan, nodes: [] }))
        .then(() => 'taken', (error: { code: string }) => error.code);
      seen.push({ refused });
      if (first !== undefined) run.editPlan({ nodes: [first], final: { deps: [1], op: 'answer' }, source: 'edited' });
      run.approvePlan();
    }
    return seen as { kind?: string; refused?: string; plan?: { source: string }; answer?: { short: string } }[];
  }, question);
  expect(events.find((event) => event.refused !== undefined)?.refused).toBe('run/plan-invalid');
  expect(events.find((event) => event.kind === 'planEdited')?.plan?.source).toBe('edited');
  expect(events.find((event) => event.kind === 'answerFinished')?.answer?.short).toBe('Theophil Hansen');
});

test('real models: SmolLM2 through wllama and MiniLM, loaded by their buttons; stop works and so does the next question @journey', async ({ serve, visit }) => {
  test.slow();
  const models = (await localModels()).filter(({ id }) => id === 'minilm' || id === 'smollm2-135m');
  test.skip(models.length < 2, 'the weights are not here: npm run models -- fetch minilm smollm2-135m');
  const page = await visit(await serve({ models, script: { responses: [], failLoad: 'engine/load-failed' } }));
  await loadFromStrip(page, 'embedder');

  // A backend that fails falls to one whose files are at hand, and says so.
  await page.evaluate(() => globalThis.foray!.models.use('script', new AbortController().signal));
  expect(await page.evaluate(() => globalThis.foray!.models.rows().find((row) => row.id === 'smollm2-135m'))).toMatchObject({ state: 'ready', reason: expect.stringContaining('In place of Model script') });
  expect(await page.evaluate(() => globalThis.foray!.models.rows().find((row) => row.id === 'script')?.state)).toBe('failed');
  await page.evaluate(() => globalThis.foray!.models.unload('llm'));
  await page.getByTestId('status-llm').getByRole('button', { name: /^Change/ }).click();
  await page.getByTestId('model-row').filter({ hasText: 'SmolLM2 135M' }).filter({ hasText: /CPU|wllama|GGUF/i }).first().getByRole('button').first().click();
  await expect.poll(() => page.evaluate(() => globalThis.foray!.models.llm?.modelId ?? null), { timeout: 90_000 }).toBe('smollm2-135m');
  await page.keyboard.press('Escape');

  const meaning = await page.evaluate(async () => {
    const result = await globalThis.foray!.retriever.search({ text: 'concert hall with gilded decoration', k: 3 }, new AbortController().signal);
    return { usedDense: result.usedDense, titles: result.hits.map((hit) => hit.passage.title) };
  });
  expect(meaning.usedDense).toBe(true);
  expect(meaning.titles).toContain('Musikverein');

  await box(page).fill(question);
  await page.getByTestId('ask').click();
  await page.getByTestId('stop').first().click();
  await expect(page.getByTestId('stop')).toHaveCount(0, { timeout: 30_000 });

  const events = await ask(page, 'Who designed the Musikverein?');
  const last = events.at(-1);
  expect(last?.kind, JSON.stringify(last)).toBe('runFinished');
  expect(eventsOf(events, 'llmCalled').length).toBeGreaterThan(0);
  expect(eventsOf(events, 'llmCalled').some((event) => (event.cachedTokens ?? 0) > 300), 'the shared head of the prompts comes from the prefix cache').toBe(true);
  for (const { evidence } of eventsOf(events, 'evidenceRecorded')) {
    for (const { passage, span, quote } of evidence) expect(passage.text.slice(span.start, span.end)).toBe(quote);
  }
  const answer = eventsOf(events, 'answerFinished')[0]?.answer;
  expect(answer?.mode === 'not-found' || (answer?.mode === 'cited' && answer.citations.length > 0), JSON.stringify(answer)).toBe(true);
});
