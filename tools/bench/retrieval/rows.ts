/** A measured row as it is kept on disk, and its decoder. */
import * as v from 'valibot';

const number = v.number();

/** One setting of an engine. Times in milliseconds, recall from 0 to 1. */
const pointSchema = v.object({
  label: v.string(),
  p50: number,
  p95: number,
  recall10: number,
  /** Against BM25 over plain words; text only. */
  recall10Plain: v.nullable(number),
  /** How many were measured. */
  queries: number,
});
export type PointRow = v.InferOutput<typeof pointSchema>;

const figuresSchema = v.object({
  /** The setting that stands for the engine. */
  ...pointSchema.entries,
  /** Text: from passages to a searchable index. Vectors: the same for peers; for Foray the import of a pre-built shard. */
  buildMs: number,
  saveMs: number,
  /** From the start of the worker in a fresh page until the first query is answered. */
  reopenMs: number,
  /** What the engine keeps of its index. */
  bytes: number,
  /** Resident memory of the page's process with the index open, after the queries, and its peak while building. null: the system does not tell. */
  memoryMB: v.nullable(number),
  peakMB: v.nullable(number),
  /** What the browser counts for the page and its workers. */
  heapMB: v.nullable(number),
  points: v.array(pointSchema),
  /** Further figures by name. */
  extra: v.record(v.string(), number),
});

const machineSchema = v.object({
  bandwidthMBps: number,
  /** As whole parts, and in the records of Foray's store; the bytes lie in memory. */
  putPartsMBps: number,
  putBlocksMBps: number,
  /** Of the parts from the server of the benchmark, with nothing done with them; and each put as a whole part once it is there. Absent in older rows. */
  fetchMBps: v.optional(number),
  fetchAndPutMBps: v.optional(number),
});
export type MachineFigures = v.InferOutput<typeof machineSchema>;

export const rowSchema = v.object({
  kind: v.picklist(['vectors', 'text']),
  n: number,
  /** Of an engine, or `machine`. */
  engine: v.string(),
  version: v.nullable(v.string()),
  /** Rows of one run were measured on one machine under one command; ratios are meant within a run. */
  run: v.string(),
  measuredAt: v.string(),
  /** In words: what the data are. */
  data: v.string(),
  real: number,
  /** Load average before the measurement. */
  load: number,
  cores: number,
  cpu: v.string(),
  result: v.union([
    v.object({ figures: figuresSchema }),
    v.object({ machine: machineSchema }),
    v.object({ error: v.string() }),
  ]),
});
export type Row = v.InferOutput<typeof rowSchema>;
export type RowFigures = v.InferOutput<typeof figuresSchema>;
