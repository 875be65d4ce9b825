/** sqlite-vector (WebAssembly) in its own persistence (OPFS access handle pool): quantised scan, quantised rows preloaded into memory as its documentation advises. */
import sqlite3InitModule from '@sqliteai/sqlite-wasm';
import { serveVectors } from '../../tools/bench/retrieval/serve.ts';

const sqlite = await sqlite3InitModule();
const pool = await sqlite.installOpfsSAHPoolVfs({ name: 'bench-vector' });
const file = '/vectors.db';
type Database = InstanceType<typeof pool.OpfsSAHPoolDb>;
let database: Database | null = null;
let statement: ReturnType<Database['prepare']> | null = null;

function ready(): void {
  database?.exec("SELECT vector_quantize_preload('rows', 'vector')");
  statement = database?.prepare("SELECT rowid FROM vector_quantize_scan('rows', 'vector', ?, ?)") ?? null;
}

serveVectors({
  build({ rows, count, dimensions }) {
    pool.unlink(file);
    database = new pool.OpfsSAHPoolDb(file);
    database.exec('PRAGMA journal_mode = MEMORY; CREATE TABLE rows (id INTEGER PRIMARY KEY, vector BLOB)');
    database.transaction((db) => {
      const insert = db.prepare('INSERT INTO rows (id, vector) VALUES (?, ?)');
      for (let i = 0; i < count; i++) {
        const row = rows.slice(i * dimensions, (i + 1) * dimensions);
        insert.bind([i + 1, new Uint8Array(row.buffer)]).stepReset();
      }
      insert.finalize();
    });
    database.exec(`SELECT vector_init('rows', 'vector', 'dimension=${dimensions},type=FLOAT32,distance=COSINE'); SELECT vector_quantize('rows', 'vector')`);
    ready();
  },
  save: () => Promise.resolve(Number(database?.selectValue('SELECT page_count * page_size FROM pragma_page_count, pragma_page_size'))),
  open({ dimensions }) {
    database = new pool.OpfsSAHPoolDb(file);
    database.exec(`SELECT vector_init('rows', 'vector', 'dimension=${dimensions},type=FLOAT32,distance=COSINE')`);
    ready();
    return Promise.resolve();
  },
  search(query, k) {
    const found: number[] = [];
    if (statement === null) return found;
    statement.bind([new Uint8Array(query.slice().buffer), k]);
    while (statement.step()) found.push(Number(statement.get(0)) - 1);
    statement.reset();
    return found;
  },
});
