/** Orama's full-text search (BM25) over title and text; its `save` form is kept in IndexedDB. */
import { create, insertMultiple, load as loadRaw, save as saveRaw, search, type RawData } from '@orama/orama';
import { serveText } from '../../tools/bench/retrieval/serve.ts';
import { load, store } from './storage.ts';

const schema = { title: 'string', text: 'string' } as const;
let database = create({ schema });

serveText({
  async build({ rows }) {
    database = create({ schema });
    await insertMultiple(
      database,
      rows.map(({ title, text }, id) => ({ id: String(id), title, text })),
      1000,
    );
  },
  async save() {
    await store('orama-text', [['index', saveRaw(database)]]);
    return null;
  },
  async open() {
    database = create({ schema });
    const [entry] = await load('orama-text');
    loadRaw(database, entry?.[1] as RawData);
  },
  async search(term, k) {
    const { hits } = await search(database, { term, limit: k });
    return hits.map(({ id }) => Number(id));
  },
});
