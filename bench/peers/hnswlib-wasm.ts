/** hnswlib-wasm with its default graph (m 16, ef of construction 200), kept in its own file system over IndexedDB; several settings of ef at search. */
import { loadHnswlib, syncFileSystem } from 'hnswlib-wasm';
import { serveVectors } from '../../tools/bench/retrieval/serve.ts';

const library = await loadHnswlib('IDBFS');
const file = 'bench.hnsw';
let index = new library.HierarchicalNSW('ip', 384, '');

serveVectors({
  build({ rows, count, dimensions }) {
    index = new library.HierarchicalNSW('ip', dimensions, '');
    index.initIndex(count, 16, 200, 100);
    const step = 1000;
    for (let at = 0; at < count; at += step) {
      const labels = Array.from({ length: Math.min(step, count - at) }, (_, i) => at + i);
      index.addPoints(
        labels.map((label) => rows.subarray(label * dimensions, (label + 1) * dimensions)),
        labels,
        false,
      );
    }
  },
  async save() {
    await index.writeIndex(file);
    await syncFileSystem('write');
    return null;
  },
  async open({ dimensions, count }) {
    await syncFileSystem('read');
    index = new library.HierarchicalNSW('ip', dimensions, '');
    await index.readIndex(file, count);
    index.setEfSearch(64);
  },
  points: [32, 64, 96, 112, 128, 256, 512].map((ef) => ({ label: `ef ${ef}`, apply: () => index.setEfSearch(ef) })),
  search: (query, k) => index.searchKnn(query, k, undefined).neighbors,
});
