/** MiniSearch: BM25+ over title and text, kept as the JSON that its documentation names. */
import MiniSearch from 'minisearch';
import { serveText } from '../../tools/bench/retrieval/serve.ts';
import { load, sizeOf, store } from './storage.ts';

const options = { fields: ['title', 'text'], storeFields: [], idField: 'id' };
let index = new MiniSearch(options);
let loadJsonMs = 0;

serveText({
  build({ rows }) {
    index = new MiniSearch(options);
    index.addAll(rows.map(({ title, text }, id) => ({ id, title, text })));
  },
  async save() {
    const json = JSON.stringify(index);
    await store('minisearch', [['index', json]]);
    return sizeOf(json);
  },
  async open() {
    const [entry] = await load('minisearch');
    const started = performance.now();
    index = MiniSearch.loadJSON(entry?.[1] as string, options);
    loadJsonMs = performance.now() - started;
  },
  search: (query, k) =>
    index
      .search(query)
      .slice(0, k)
      .map(({ id }) => id as number),
  extra: () => Promise.resolve(loadJsonMs > 0 ? { loadJsonMs } : {}),
});
