/** EntityDB: a record a vector in IndexedDB, all of them read at each query. Vectors are given, so its embedder (which it would fetch from a hub) is left out of the build. */
import { EntityDB } from '@babycommando/entity-db';
import { serveVectors } from '../../tools/bench/retrieval/serve.ts';

interface Database {
  insertManualVectors(record: { readonly vector: Float32Array; readonly row: number }): Promise<unknown>;
  queryManualVectors(query: Float32Array, options: { readonly limit: number }): Promise<readonly { readonly row: number }[]>;
}

const open = (): Database => new EntityDB({ vectorPath: 'vector' }) as unknown as Database;
let database = open();

serveVectors({
  async build({ rows, count, dimensions }) {
    const step = 500;
    for (let at = 0; at < count; at += step) {
      const batch = Array.from({ length: Math.min(step, count - at) }, (_, i) => at + i);
      await Promise.all(batch.map((row) => database.insertManualVectors({ vector: rows.slice(row * dimensions, (row + 1) * dimensions), row })));
    }
  },
  save: () => Promise.resolve(null),
  open() {
    database = open();
    return Promise.resolve();
  },
  async search(query, k) {
    const found = await database.queryManualVectors(query, { limit: k });
    return found.map(({ row }) => row);
  },
});
