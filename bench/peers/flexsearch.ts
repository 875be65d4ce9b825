/** FlexSearch with its default preset and `suggest`, so that a passage need not hold every word; kept by its own export. */
import { Index } from 'flexsearch';
import { serveText } from '../../tools/bench/retrieval/serve.ts';
import { load, sizeOf, store } from './storage.ts';

let index = new Index();

serveText({
  build({ rows }) {
    index = new Index();
    rows.forEach(({ title, text }, id) => index.add(id, `${title}\n${text}`));
  },
  async save() {
    const entries: [string, string][] = [];
    await index.export((key: string, data: string) => {
      if (typeof data === 'string') entries.push([key, data]);
    });
    await store('flexsearch', entries);
    return entries.reduce((sum, [, data]) => sum + sizeOf(data), 0);
  },
  async open() {
    index = new Index();
    for (const [key, data] of await load('flexsearch')) index.import(key, data as string);
  },
  search: (query, k) => index.search(query, { limit: k, suggest: true }) as number[],
});
