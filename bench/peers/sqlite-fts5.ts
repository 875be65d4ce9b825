/** SQLite FTS5, official WebAssembly build, in its own persistence (OPFS access handle pool): one column, no copy of the text, any of the words, ranked by its bm25(). */
import sqlite3InitModule from '@sqlite.org/sqlite-wasm';
import { serveText } from '../../tools/bench/retrieval/serve.ts';

const sqlite = await sqlite3InitModule();
const pool = await sqlite.installOpfsSAHPoolVfs({ name: 'bench-fts5' });
const file = '/fts5.db';
type Database = InstanceType<typeof pool.OpfsSAHPoolDb>;
let database: Database | null = null;
let statement: ReturnType<Database['prepare']> | null = null;

function ready(): void {
  // Everything fits the page cache, so that queries read memory and not files.
  database?.exec('PRAGMA cache_size = -400000');
  statement = database?.prepare('SELECT rowid FROM passages WHERE passages MATCH ? ORDER BY rank LIMIT ?') ?? null;
}

serveText({
  build({ rows }) {
    pool.unlink(file);
    database = new pool.OpfsSAHPoolDb(file);
    database.exec("PRAGMA journal_mode = MEMORY; CREATE VIRTUAL TABLE passages USING fts5(body, content='')");
    database.transaction((db) => {
      const insert = db.prepare('INSERT INTO passages(rowid, body) VALUES (?, ?)');
      rows.forEach(({ title, text }, i) => insert.bind([i + 1, `${title}\n${text}`]).stepReset());
      insert.finalize();
    });
    ready();
  },
  save: () => Promise.resolve(Number(database?.selectValue('SELECT page_count * page_size FROM pragma_page_count, pragma_page_size'))),
  open() {
    database = new pool.OpfsSAHPoolDb(file);
    ready();
    return Promise.resolve();
  },
  search(query, k) {
    const words = query.match(/[\p{L}\p{N}]+/gu) ?? [];
    const found: number[] = [];
    if (statement === null || words.length === 0) return found;
    statement.bind([words.map((word) => `"${word}"`).join(' OR '), k]);
    while (statement.step()) found.push(Number(statement.get(0)) - 1);
    statement.reset();
    return found;
  },
});
