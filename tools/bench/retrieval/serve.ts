/**
 * The worker's half of the retrieval benchmark: loads the data, times an engine's build, opening and queries, and answers the page. The same for every engine; loading
 * the data is never timed.
 */
import { resultCount, type BuildFigures, type DataSource, type Engine, type EngineReply, type EngineRequest, type OpenFigures, type PointFigures, type QueryFigures, type TextData, type TextRow, type VectorData } from './contract.ts';

/** Serves an engine of vectors until the worker ends. */
export function serveVectors(engine: Engine<VectorData, Float32Array>): void {
  serve(engine, vectorData, vectorQueries);
}

/** Serves an engine of text until the worker ends. */
export function serveText(engine: Engine<TextData, string>): void {
  serve(engine, textData, textQueries);
}

async function fetchBytes(url: string, bytes: number | null): Promise<Uint8Array<ArrayBuffer>> {
  const response = await fetch(url, { cache: 'no-store', ...(bytes === null ? {} : { headers: { Range: `bytes=0-${bytes - 1}` } }) });
  if (!response.ok || response.body === null) throw new Error(`${url}: ${response.status}`);
  const length = Number(response.headers.get('Content-Length'));
  // Into one buffer as it comes: the body as a whole would lie in memory twice.
  const out = new Uint8Array(length);
  const reader = response.body.getReader();
  let at = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    out.set(value, at);
    at += value.length;
  }
  if (at !== length) throw new Error(`${url}: ${at} of ${length} bytes`);
  return out;
}

async function vectorData(source: DataSource): Promise<VectorData> {
  const bytes = await fetchBytes(source.rowsUrl, source.rowsBytes);
  return { count: source.count, dimensions: source.dimensions, rows: new Float32Array(bytes.buffer) };
}

async function vectorQueries(source: DataSource): Promise<Float32Array[]> {
  const all = new Float32Array((await fetchBytes(source.queriesUrl, null)).buffer);
  return Array.from({ length: source.warmUp + source.queries }, (_, i) => all.slice(i * source.dimensions, (i + 1) * source.dimensions));
}

async function textData(source: DataSource): Promise<TextData> {
  const text = new TextDecoder().decode(await fetchBytes(source.rowsUrl, source.rowsBytes));
  const rows: TextRow[] = [];
  for (let from = 0; from < text.length; ) {
    const end = text.indexOf('\n', from);
    rows.push(JSON.parse(text.slice(from, end)) as TextRow);
    from = end + 1;
  }
  if (rows.length !== source.count) throw new Error(`${rows.length} of ${source.count} passages`);
  return { count: source.count, rows };
}

async function textQueries(source: DataSource): Promise<string[]> {
  return (JSON.parse(new TextDecoder().decode(await fetchBytes(source.queriesUrl, null))) as string[]).slice(0, source.warmUp + source.queries);
}

function serve<Data, Query>(engine: Engine<Data, Query>, load: (source: DataSource) => Promise<Data>, loadQueries: (source: DataSource) => Promise<Query[]>): void {
  async function answer(request: EngineRequest): Promise<unknown> {
    const { source } = request;
    switch (request.op) {
      case 'build': {
        const data = await load(source);
        const started = performance.now();
        await engine.build(data);
        const buildMs = performance.now() - started;
        const saving = performance.now();
        const bytes = await engine.save();
        return { buildMs, saveMs: performance.now() - saving, bytes } satisfies BuildFigures;
      }
      case 'open': {
        const [first] = await loadQueries({ ...source, warmUp: 1, queries: 0 });
        if (first === undefined) throw new Error('no query');
        const started = performance.now();
        await engine.open(source);
        await engine.search(first, resultCount);
        return { openMs: performance.now() - started } satisfies OpenFigures;
      }
      case 'query': {
        const queries = await loadQueries(source);
        const points: PointFigures[] = [];
        for (const point of engine.points ?? [{ label: '', apply: () => undefined }]) {
          await point.apply();
          points.push({ label: point.label, ...(await timeQueries(engine, queries.slice(0, source.warmUp), queries.slice(source.warmUp), request.budgetMs)) });
        }
        return { points, extra: (await engine.extra?.()) ?? {} } satisfies QueryFigures;
      }
    }
  }

  self.addEventListener('message', ({ data }: MessageEvent<EngineRequest>) => {
    answer(data).then(
      (value) => self.postMessage({ ok: true, value } satisfies EngineReply),
      (error: unknown) => self.postMessage({ ok: false, error: error instanceof Error ? `${error.name}: ${error.message}` : String(error) } satisfies EngineReply),
    );
  });
  self.postMessage({ ready: true } satisfies EngineReply);
}

/** Each query once, in order; a slow engine is asked fewer of them, at least five. */
async function timeQueries<Query>(engine: Pick<Engine<unknown, Query>, 'search'>, warmUp: readonly Query[], queries: readonly Query[], budgetMs: number): Promise<Omit<PointFigures, 'label'>> {
  const times: number[] = [];
  const found: (readonly number[])[] = [];
  const begun = performance.now();
  for (const query of warmUp) {
    await engine.search(query, resultCount);
    if (performance.now() - begun > budgetMs / 10) break;
  }
  const measuring = performance.now();
  for (const query of queries) {
    const started = performance.now();
    const answered = engine.search(query, resultCount);
    // An answer that is there already must not wait for a turn of the event loop within its time.
    const ids = answered instanceof Promise ? await answered : answered;
    times.push(performance.now() - started);
    found.push(Array.from(ids));
    if (times.length >= 5 && performance.now() - measuring > budgetMs) break;
  }
  return { times, found };
}
