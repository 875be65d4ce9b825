/** The report of the retrieval benchmark: tables of what was measured, targets with the measured ratios, and the line of JSON. Pure. */
import type { Kind } from './contract.ts';
import { accurate } from './recall-target.ts';
import type { MachineFigures, PointRow, Row, RowFigures } from './rows.ts';

export interface ReportOptions {
  readonly run: string;
  readonly command: string;
  /** Names of the plots beside the report. */
  readonly plots: readonly string[];
}

const kinds: readonly Kind[] = ['vectors', 'text'];

/** A number to three digits. */
function digits(x: number): string {
  return x >= 1000 ? Math.round(x).toLocaleString('en') : String(Number(x.toPrecision(3)));
}
const milliseconds = (ms: number): string => (ms >= 10_000 ? `${digits(ms / 1000)} s` : `${digits(ms)} ms`);
const megabytes = (bytes: number): string => `${digits(bytes / 1e6)} MB`;
const share = (x: number): string => x.toFixed(3);

function sizesOf(rows: readonly Row[], kind: Kind): number[] {
  return [...new Set(rows.filter((row) => row.kind === kind).map(({ n }) => n))].sort((a, b) => a - b);
}

function rowOf(rows: readonly Row[], kind: Kind, n: number, engine: string): Row | null {
  return rows.find((row) => row.kind === kind && row.n === n && row.engine === engine) ?? null;
}

function figuresOf(rows: readonly Row[], kind: Kind, n: number, engine: string): RowFigures | null {
  const result = rowOf(rows, kind, n, engine)?.result;
  return result !== undefined && 'figures' in result ? result.figures : null;
}

function machineOf(rows: readonly Row[], kind: Kind, n: number): MachineFigures | null {
  const result = rowOf(rows, kind, n, 'machine')?.result;
  return result !== undefined && 'machine' in result ? result.machine : null;
}

// ---------------------------------------------------------------------------------------------- targets

export interface Target {
  readonly what: string;
  readonly wanted: string;
  /** Measured; null: something it needs was not measured. */
  readonly measured: string | null;
  readonly isMet: boolean | null;
}

/** Fastest setting that reaches a recall; null: none does. */
function fastest(points: readonly PointRow[], recall: number): PointRow | null {
  return points.filter((point) => point.recall10 >= recall).sort((a, b) => a.p50 - b.p50)[0] ?? null;
}

/** The size that the targets are stated for, but where they name a million. */
const statedSize = 100_000;

/** The most accurate setting, in words. */
function nearest(points: readonly PointRow[]): string {
  const [best] = [...points].sort((a, b) => b.recall10 - a.recall10 || a.p50 - b.p50);
  return best === undefined ? 'none' : `${best.label}, ${digits(best.p50)} ms at ${share(best.recall10)}`;
}

/** Every target that this benchmark can decide, from the rows at hand. `n`: another size shows the same ratios there, for orientation. */
export function targets(rows: readonly Row[], n = statedSize): Target[] {
  const out: Target[] = [];
  const add = (what: string, wanted: string, measured: string | null, isMet: boolean | null): void => {
    out.push({ what, wanted, measured, isMet: measured === null ? null : isMet });
  };
  type Measured = number | null | undefined;
  const times = (r: number): string => `${digits(r)} times`;
  const ratio = (what: string, wanted: string, a: Measured, b: Measured, isMet: (ratio: number) => boolean, tell = times): void => {
    if (a == null || b == null || b === 0) add(what, wanted, null, null);
    else add(what, wanted, tell(a / b), isMet(a / b));
  };

  const size = n.toLocaleString('en');
  const vectors = figuresOf(rows, 'vectors', n, 'foray');
  const graph = figuresOf(rows, 'vectors', n, 'hnswlib-wasm');
  const other = graph === null ? null : (fastest(graph.points, accurate) ?? [...graph.points].sort((a, b) => b.recall10 - a.recall10)[0] ?? null);
  const ours = vectors === null ? null : fastest(vectors.points, Math.max(accurate, other?.recall10 ?? 0));
  const compared = `vectors, ${size}: median query against hnswlib-wasm${other === null ? '' : ` (${other.label}: ${digits(other.p50)} ms at ${share(other.recall10)})`} at equal or better recall`;
  if (vectors !== null && other !== null && ours === null) add(compared, 'at most half', `no setting of Foray reaches ${share(Math.max(accurate, other.recall10))}; nearest: ${nearest(vectors.points)}`, false);
  else ratio(compared, 'at most half', ours?.p50, other?.p50, (r) => r <= 0.5, (r) => `${digits(r)} of it (${ours?.label ?? ''}: ${digits(ours?.p50 ?? 0)} ms at ${share(ours?.recall10 ?? 0)})`);
  ratio(`vectors, ${size}: import against hnswlib-wasm building`, '100 times faster', graph?.buildMs, vectors?.buildMs, (r) => r >= 100);
  const isStated = n === statedSize;
  const million = figuresOf(rows, 'vectors', 1_000_000, 'foray');
  const quick = million === null ? null : fastest(million.points, 0.96);
  if (isStated) {
    add(
      'vectors, 1,000,000: median query at recall@10 of at least .96, one thread', 'at most 4 ms',
      million === null ? null : quick === null ? 'no setting reaches .96' : `${digits(quick.p50)} ms at ${share(quick.recall10)} (${quick.label})`, quick !== null && quick.p50 <= 4,
    );
  }
  for (const count of sizesOf(rows, 'vectors').filter((known) => (isStated ? known >= n : known === n))) {
    const machine = machineOf(rows, 'vectors', count);
    const exact = figuresOf(rows, 'vectors', count, 'foray')?.points.find(({ label }) => label === 'exact int8');
    const best = machine === null ? null : (count * 388) / 1e6 / machine.bandwidthMBps * 1000;
    ratio(
      `vectors, ${count.toLocaleString('en')}: exact int8 scan against reading its bytes${machine === null ? '' : ` at ${digits(machine.bandwidthMBps / 1000)} GB/s`}`, 'within 1.3 times', exact?.p50, best,
      (r) => r <= 1.3, (r) => `${digits(r)} times (${digits(exact?.p50 ?? 0)} ms against ${digits(best ?? 0)} ms)`,
    );
  }

  const text = figuresOf(rows, 'text', n, 'foray');
  for (const [engine, factor] of [['minisearch', 100], ['flexsearch', 10], ['sqlite-fts5', 10]] as const) {
    const figures = figuresOf(rows, 'text', n, engine);
    ratio(`words, ${size}: median query against ${engine}`, `${factor} times faster`, figures?.p50, text?.p50, (r) => r >= factor);
  }
  const mini = figuresOf(rows, 'text', n, 'minisearch');
  ratio(`words, ${size}: reopening (worker start included) against MiniSearch's loadJSON alone`, '20 times faster', mini?.extra['loadJsonMs'], text?.reopenMs, (r) => r >= 20);
  ratio(`words, ${size}: index against MiniSearch's JSON`, 'at most 30 %', text?.bytes, mini?.bytes, (r) => r <= 0.3, (r) => `${digits(r * 100)} %`);
  add(`words, ${size}: top 10 shared with exact BM25`, 'at least .99', text === null ? null : share(text.recall10), (text?.recall10 ?? 0) >= 0.99);
  ratio(`words, ${size}: index build for 30,000 passages`, 'at most 1 s', text?.buildMs, n / 30_000, (r) => r <= 1000, (r) => milliseconds(r));

  for (const kind of kinds) {
    const figures = figuresOf(rows, kind, n, 'foray');
    const machine = machineOf(rows, kind, n);
    const rate = figures?.extra['importMBps'];
    const raw = [
      ['putting the same bytes into IndexedDB as whole parts', machine?.putPartsMBps],
      ["putting the same bytes into IndexedDB in the records of Foray's store", machine?.putBlocksMBps],
      ['fetching the same bytes and putting each part once it is there', machine?.fetchAndPutMBps],
    ] as const;
    for (const [what, put] of raw) {
      ratio(`${kind}, ${size}: rate of import against ${what}`, 'at least 60 %', rate, put, (r) => r >= 0.6, (r) => `${digits(r * 100)} % (${digits(rate ?? 0)} of ${digits(put ?? 0)} MB/s)`);
    }
  }
  const read = text?.extra['tenPassagesP50'];
  add(`${size}: ten random passages read, median`, 'at most 3 ms', read === undefined ? null : `${digits(read)} ms`, (read ?? Infinity) <= 3);
  return out;
}

// ---------------------------------------------------------------------------------------------- report

export function report(rows: readonly Row[], { run, command, plots }: ReportOptions): string {
  const runs = new Set(rows.map((row) => row.run));
  const lines: string[] = [
    '# Retrieval in the browser: Foray and others', '',
    `Command: \`${command}\`. Run ${run}. ${machineLine(rows)}`,
    'Headless Chromium, module workers on an isolated page, a fresh browser profile for each engine, one engine at a time. How each is run: `bench/README.md`.', '',
  ];
  if (runs.size > 1) lines.push(`**Rows of ${runs.size} runs are mixed here (column "run"): ratios between rows of different runs are directions only.**`, '');
  const head = ['', '| | wanted | measured | met |', '|---|---|---|---|'];
  const line = ({ what, wanted, measured, isMet }: Target): string => `| ${what} | ${wanted} | ${measured ?? 'not measured'} | ${isMet === null ? '–' : isMet ? 'yes' : '**no**'} |`;
  lines.push('## Targets', ...head, ...targets(rows).map(line));
  for (const n of new Set(kinds.flatMap((kind) => sizesOf(rows, kind).filter((size) => size < statedSize)))) {
    lines.push('', `The same ratios with ${n.toLocaleString('en')} passages, for orientation; the targets are stated for ${statedSize.toLocaleString('en')}:`, ...head, ...targets(rows, n).map(line));
  }
  lines.push('', 'Answer-support recall is measured by `npm run bench -- recall`; own documents and embedding throughput by the tests of the library and the embedder.', '');
  for (const kind of kinds) for (const n of sizesOf(rows, kind)) lines.push(...section(rows, kind, n));
  if (plots.length > 0) lines.push('## Plots', '', ...plots.map((name) => `![${name.replace('.svg', '').replace('-', ', ')}](${name})`), '');
  return lines.join('\n');
}

function machineLine(rows: readonly Row[]): string {
  const [row] = rows;
  if (row === undefined) return 'Nothing was measured.';
  const loads = rows.map(({ load }) => load);
  return `${row.cpu}, ${row.cores} cores; load average before the measurements ${Math.min(...loads).toFixed(1)} to ${Math.max(...loads).toFixed(1)} (above 1, times are longer than on a quiet machine).`;
}

function section(rows: readonly Row[], kind: Kind, n: number): string[] {
  const own = rows.filter((row) => row.kind === kind && row.n === n);
  const engines = own.filter(({ engine }) => engine !== 'machine').sort((a, b) => Number(b.engine === 'foray') - Number(a.engine === 'foray') || a.engine.localeCompare(b.engine));
  const machine = machineOf(rows, kind, n);
  const quality = kind === 'vectors' ? ['recall@10'] : ['shared with exact BM25', 'with BM25 over plain words'];
  const out = [
    `## ${kind === 'vectors' ? 'Vectors' : 'Words'}, ${n.toLocaleString('en')} passages`, '', `Data: ${own[0]?.data ?? ''}.`, '',
    `| engine | ${kind === 'vectors' ? 'build (Foray: import)' : 'build'} | save | reopen | stored | memory (peak of building) | query p50 | p95 | ${quality.join(' | ')} | setting | queries | run, measured |`,
    `|---|${'---:|'.repeat(7 + quality.length)}---|---:|---|`,
  ];
  for (const { engine, version, result, run, measuredAt } of engines) {
    const when = `${run}, ${measuredAt.slice(0, 16).replace('T', ' ')}`;
    if (!('figures' in result)) {
      out.push(`| ${engine} ${version ?? ''} | ${'error' in result ? result.error.replaceAll('|', '/') : ''} | ${'– | '.repeat(5 + quality.length)}– | – | – | ${when} |`);
      continue;
    }
    const f = result.figures;
    const qualities = [share(f.recall10), ...(kind === 'text' ? [f.recall10Plain === null ? '' : share(f.recall10Plain)] : [])];
    out.push(
      `| ${engine} ${version ?? ''} | ${milliseconds(f.buildMs)} | ${f.saveMs > 0 ? milliseconds(f.saveMs) : '–'} | ${milliseconds(f.reopenMs)} | ${megabytes(f.bytes)} | ${f.memoryMB ?? '?'} MB (${f.peakMB ?? '?'}) ` +
        `| ${digits(f.p50)} ms | ${digits(f.p95)} ms | ${qualities.join(' | ')} | ${f.label} | ${f.queries} | ${when} |`,
    );
  }
  out.push('');
  const swept = engines.flatMap(({ engine, result }) => ('figures' in result && result.figures.points.length > 1 ? [{ engine, points: result.figures.points }] : []));
  for (const { engine, points } of swept) {
    out.push(`${engine}, all settings: ${points.map(({ label, p50, p95, recall10 }) => `${label} ${digits(p50)} ms (p95 ${digits(p95)}) at ${share(recall10)}`).join('; ')}.`, '');
  }
  const foray = figuresOf(rows, kind, n, 'foray');
  if (foray !== null) {
    const e = (name: string): number => foray.extra[name] ?? NaN;
    out.push(
      `Foray through its corpus worker: import of the shard (${megabytes(e('shardBytes'))}) ${milliseconds(e('importMs'))}, ${digits(e('importMBps'))} MB/s; whole search with texts and highlights ${digits(e('wholeP50'))} ms ` +
        `(p95 ${digits(e('wholeP95'))}), ${kind === 'vectors' ? 'recall@10' : 'shared with exact BM25'} ${share(e('wholeRecall10'))}; ten random passages ${digits(e('tenPassagesP50'))} ms (p95 ${digits(e('tenPassagesP95'))}); deletion ${milliseconds(e('deleteMs'))}` +
        `${kind === 'vectors' ? `; coding the rows from floats ${milliseconds(e('encodeMs'))}` : ''}.`,
      '',
    );
  }
  if (machine !== null) {
    out.push(
      `This machine: one thread reads ${digits(machine.bandwidthMBps / 1000)} GB/s; IndexedDB takes the same bytes at ${digits(machine.putPartsMBps)} MB/s as whole parts, ${digits(machine.putBlocksMBps)} MB/s in the records of Foray's store.${
        machine.fetchMBps === undefined || machine.fetchAndPutMBps === undefined
          ? ''
          : ` The page fetches them from the local server at ${digits(machine.fetchMBps)} MB/s, and fetches and puts them at ${digits(machine.fetchAndPutMBps)} MB/s: no import can be faster.`
      }`, '',
    );
  }
  return out;
}

/** `{"vectors":{"100000":{"foray":{…},…}},"text":{…}}`; an engine that failed is `{"error":…}`. */
export function resultLine(rows: readonly Row[]): string {
  const rounded = (x: number): number => Number(x.toPrecision(4));
  const of = (kind: Kind): Record<string, Record<string, unknown>> =>
    Object.fromEntries(
      sizesOf(rows, kind).map((n) => [
        String(n),
        Object.fromEntries(
          rows
            .filter((row) => row.kind === kind && row.n === n && row.engine !== 'machine')
            .map(({ engine, result }) => {
              if (!('figures' in result)) return [engine, { error: 'error' in result ? result.error : 'nothing was measured' }];
              const { buildMs, reopenMs, bytes, p50, p95 } = result.figures;
              // Other engines take words apart in their own way: the reference that fits them better counts.
              const recall10 = engine === 'foray' ? result.figures.recall10 : Math.max(result.figures.recall10, result.figures.recall10Plain ?? 0);
              const figures = { buildMs: rounded(buildMs), reopenMs: rounded(reopenMs), bytes: Math.round(bytes), p50: rounded(p50), p95: rounded(p95) };
              return [engine, { ...figures, recall10: rounded(recall10) }];
            }),
        ),
      ]),
    );
  return JSON.stringify({ vectors: of('vectors'), text: of('text') });
}
