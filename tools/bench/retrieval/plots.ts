/** Has the page draw the plots of measured rows and writes them. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { chromium } from '@playwright/test';
import { launchOptions } from '../../browser.mjs';
import type { PlotPoint } from './draw.ts';
import type { Row } from './rows.ts';

/** Names of the files written to `out`. */
export async function drawPlots(rows: readonly Row[], url: string, out: string): Promise<string[]> {
  const points = rows.flatMap(({ kind, n, engine, result }): PlotPoint[] => {
    if (!('figures' in result)) return [];
    const { figures } = result;
    return figures.points.map(({ label, p50, recall10 }) => ({
      kind, n, engine, p50, recall10, buildMs: figures.buildMs, reopenMs: figures.reopenMs, isChosen: label === figures.label,
    }));
  });
  const browser = await chromium.launch(launchOptions());
  try {
    const page = await browser.newPage();
    await page.goto(url);
    await page.waitForFunction(() => globalThis.retrieval !== undefined);
    const plots = await page.evaluate(async (given) => (await globalThis.retrieval?.draw(given)) ?? {}, points);
    for (const [name, svg] of Object.entries(plots)) await writeFile(join(out, name), `${svg}\n`);
    return Object.keys(plots).sort();
  } finally {
    await browser.close();
  }
}
