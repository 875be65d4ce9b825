/** MeMemo: HNSW in JavaScript with its default graph, in memory (its fastest mode); graph and vectors are kept in IndexedDB and inserted again at opening. */
import { HNSW, type MememoIndexJSON } from 'mememo';
import { serveVectors } from '../../tools/bench/retrieval/serve.ts';
import { load, store } from './storage.ts';

const options = { distanceFunction: 'cosine-normalized', useIndexedDB: false, seed: 20 } as const;
let index = new HNSW(options);
let vectors = new Float32Array(0);
let ef = 100;

serveVectors({
  async build({ rows, count, dimensions }) {
    index = new HNSW(options);
    vectors = rows;
    await index.bulkInsert(
      Array.from({ length: count }, (_, i) => String(i)),
      Array.from({ length: count }, (_, i) => Array.from(rows.subarray(i * dimensions, (i + 1) * dimensions))),
    );
  },
  async save() {
    await store('mememo', [['graph', index.exportIndex()], ['vectors', vectors]]);
    return null;
  },
  async open({ count, dimensions }) {
    const kept = new Map(await load('mememo'));
    const rows = kept.get('vectors') as Float32Array<ArrayBuffer>;
    index = new HNSW(options);
    index.loadIndex(kept.get('graph') as MememoIndexJSON);
    await index.bulkInsertSkipIndex(
      Array.from({ length: count }, (_, i) => String(i)),
      Array.from({ length: count }, (_, i) => Array.from(rows.subarray(i * dimensions, (i + 1) * dimensions))),
    );
  },
  points: [50, 100, 200].map((value) => ({
    label: `ef ${value}`,
    apply: () => {
      ef = value;
    },
  })),
  async search(query, k) {
    const { keys } = await index.query(Array.from(query), k, ef);
    return keys.map(Number);
  },
});
