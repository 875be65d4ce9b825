/** Orama's vector search (exact, over float arrays); its `save` form is kept in IndexedDB. */
import { create, insertMultiple, load as loadRaw, save as saveRaw, searchVector, type RawData } from '@orama/orama';
import { serveVectors } from '../../tools/bench/retrieval/serve.ts';
import { load, store } from './storage.ts';

const schema = { vector: 'vector[384]' } as const;
let database = create({ schema });

serveVectors({
  async build({ rows, count, dimensions }) {
    database = create({ schema });
    const step = 10_000;
    for (let at = 0; at < count; at += step) {
      const batch = Array.from({ length: Math.min(step, count - at) }, (_, i) => ({
        id: String(at + i),
        vector: Array.from(rows.subarray((at + i) * dimensions, (at + i + 1) * dimensions)),
      }));
      await insertMultiple(database, batch, 1000);
    }
  },
  async save() {
    await store('orama-vectors', [['index', saveRaw(database)]]);
    return null;
  },
  async open() {
    database = create({ schema });
    const [entry] = await load('orama-vectors');
    loadRaw(database, entry?.[1] as RawData);
  },
  async search(query, k) {
    const { hits } = await searchVector(database, { mode: 'vector', vector: { value: Array.from(query), property: 'vector' }, similarity: 0, limit: k });
    return hits.map(({ id }) => Number(id));
  },
});
