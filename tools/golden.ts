/**
 * Writes src/engine/golden.ts: what each embedder of the catalogue gives for two fixed texts, computed here by native ONNX Runtime.
 * npx tsx tools/golden.ts     (needs the models of `npm run models -- fetch minilm bge-small wordllama`)
 */
import { writeFile } from 'node:fs/promises';
import { embedderIds, hasEmbedder, openNodeEmbedder } from './shard/embed.ts';

const texts = ['The lighthouse keeper lit the lamp.', 'Copper is a reddish metal that conducts heat and electricity well; its chemical symbol is Cu.'];

const entries: string[] = [];
for (const id of embedderIds) {
  if (!(await hasEmbedder(id))) throw new Error(`${id} is not on this machine`);
  const embedder = await openNodeEmbedder(id);
  const rows: string[] = [];
  for (const text of texts) {
    const vector = await embedder.embed(text);
    rows.push(`    { text: ${JSON.stringify(text).replaceAll('"', "'")}, vector: [${[...vector].map((x) => Number(x.toFixed(4))).join(',')}] },`);
  }
  entries.push(`  '${id}': [\n${rows.join('\n')}\n  ],`);
  await embedder.dispose();
}
await writeFile(
  new URL('../src/engine/golden.ts', import.meta.url),
  `/** Golden vectors of the catalogue's embedders: made by tools/golden.ts with native ONNX Runtime, to four decimals. Data; not edited by hand. */
import type { GoldenVector } from './embedder.ts';

/* eslint-disable */
const vectors: Readonly<Record<string, readonly GoldenVector[]>> = {
${entries.join('\n')}
};

export function goldenVectors(id: string): readonly GoldenVector[] {
  return vectors[id] ?? [];
}
`,
);
