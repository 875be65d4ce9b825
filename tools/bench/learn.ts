/**
 * `npm run bench -- learn`: iterations of expectation and maximisation over a data set's train split, in Node over the same search, agent and learning code as the page,
 * with a model behind an OpenAI-compatible endpoint (`npm run bench -- native-server`), or without a model from gold passages. Every finished question and call is kept
 * on disk, so that a stopped run goes on with the same command.
 */
import { createHash } from 'node:crypto';
import { appendFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import * as v from 'valibot';
import { recallingLlm, type CachedCall, type CallCache } from '../../src/agent/calls.ts';
import type { AgentEvent } from '../../src/agent/events.ts';
import { runMethod } from '../../src/agent/harness.ts';
import { defaultSettings, type AgentSettings } from '../../src/agent/settings.ts';
import { methodById } from '../../src/agent/methods/registry.ts';
import { embeddedText, toPassage } from '../../src/corpus/passages.ts';
import type { Passage } from '../../src/corpus/retriever.ts';
import type { Llm } from '../../src/engine/llm.ts';
import type { Question } from '../../src/lab/datasets.ts';
import { agentSettingsSchema } from '../../src/lab/matrix.ts';
import { scoreAnswer } from '../../src/lab/metrics.ts';
import { pairedBootstrap } from '../../src/lab/statistics.ts';
import { adapterDefaults, trainAdapter } from '../../src/learning/adapter.ts';
import type { WeightedQuestion } from '../../src/learning/estep.ts';
import { dpoRecords, grpoRecords, jsonLines, problemsOfDpo, problemsOfGrpo, problemsOfSft, rankRecords, sftRecords, trecRun } from '../../src/learning/exports.ts';
import { learn, type LearnDeps, type LearnQuestion } from '../../src/learning/iteration.ts';
import { trainLogistic } from '../../src/learning/logistic.ts';
import { adapted, learnedOf, type PartValues } from '../../src/learning/parts.ts';
import { decodeIterations, partIds, type IterationRecord, type PartId } from '../../src/learning/record.ts';
import { decodeSample, samplesOf } from '../../src/learning/samples.ts';
import { embedderIds, openNodeEmbedder, openVectorSource, type EmbedderId, type NodeEmbedder } from '../shard/embed.ts';
import { InputError } from '../shard/input.ts';
import { root } from '../setup.mjs';
import { hashIds, loadQuestions, namesOf, openCorpus } from './corpora.ts';
import { openNodeCorpus } from './corpus.ts';
import { openNodeLlm } from './in-process.ts';
import { chooseLlm } from './site.ts';

interface LearnBenchOptions {
  readonly questions: string;
  readonly dev: string;
  readonly passages: string;
  /** `http:URL#MODEL` or `none`. */
  readonly llm: string;
  readonly method: string;
  readonly parts: readonly PartId[];
  readonly iterations: number;
  readonly trajectories: number;
  readonly limit: number;
  readonly devLimit: number;
  readonly seed: number;
  readonly alpha: number;
  readonly tau: number;
  readonly embedder: EmbedderId | 'none';
  readonly out: string;
  readonly settings: Partial<AgentSettings>;
  readonly adapter: Partial<typeof adapterDefaults>;
}

const optionsSchema = v.object({
  questions: v.string(),
  dev: v.string(),
  passages: v.string(),
  llm: v.optional(v.string(), 'none'),
  method: v.optional(v.string(), 'foray'),
  parts: v.optional(v.pipe(v.string(), v.transform((list) => list.split(',')), v.array(v.picklist(partIds)))),
  iterations: whole(1, 1),
  trajectories: whole(3, 1),
  limit: whole(Number.MAX_SAFE_INTEGER, 1),
  'dev-limit': whole(Number.MAX_SAFE_INTEGER, 1),
  seed: whole(13, 0),
  alpha: positive(0),
  tau: positive(1),
  embedder: v.optional(v.picklist(['none', ...embedderIds]), 'none'),
  out: v.optional(v.string(), join(root, 'bench', 'results', 'tmp', 'learn')),
  settings: json(agentSettingsSchema),
  adapter: json(
    v.partial(
      v.strictObject({ rank: v.number(), epochs: v.number(), batch: v.number(), rate: v.number(), momentum: v.number(), temperature: v.number(), decay: v.number() }),
    ),
  ),
});

function whole(fallback: number, least: number) {
  return v.optional(v.pipe(v.string(), v.transform(Number), v.integer(), v.minValue(least)), String(fallback));
}

function positive(fallback: number) {
  return v.optional(v.pipe(v.string(), v.transform(Number), v.number(), v.minValue(0)), String(fallback));
}

function json<S extends v.GenericSchema>(schema: S) {
  return v.optional(v.pipe(v.string(), v.parseJson(), schema), '{}');
}

/** Reads the command line; throws `InputError` that names what is wrong. */
export async function learnCommand(args: readonly string[], signal: AbortSignal): Promise<string> {
  const text = { type: 'string' } as const;
  const { values } = parseArgs({ args: [...args], options: Object.fromEntries(Object.keys(optionsSchema.entries).map((name) => [name, text])) });
  const parsed = v.safeParse(optionsSchema, values);
  if (!parsed.success) throw new InputError(parsed.issues.map((issue) => `--${v.getDotPath(issue) ?? '?'}: ${issue.message}`).join('\n'));
  const { 'dev-limit': devLimit, parts, settings, adapter, ...rest } = parsed.output;
  const known = <T extends object>(given: T): T => Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) as T;
  return runLearnBench(
    {
      ...rest, devLimit, parts: parts ?? (rest.llm === 'none' ? ['adapter', 'selector'] : partIds),
      settings: known(settings) as Partial<AgentSettings>, adapter: known(adapter) as LearnBenchOptions['adapter'],
    },
    signal,
  );
}

async function runLearnBench(options: LearnBenchOptions, signal: AbortSignal): Promise<string> {
  await mkdir(options.out, { recursive: true });
  const { dataset } = namesOf(options.questions);
  const train = (await loadQuestions(options.questions, dataset, null, options.limit, options.seed)).map(learnQuestion);
  const devAll = await loadQuestions(options.dev, dataset, null, options.devLimit, options.seed);
  const dev = devAll.map(learnQuestion);
  if (dev.some(({ id }) => train.some((question) => question.id === id))) throw new Error('a question stands in both files: the check would not be held back');
  const shard = await openCorpus(options.passages, [], options.embedder, signal, tell);
  const nodeEmbedder = options.embedder === 'none' ? null : await openNodeEmbedder(options.embedder);
  // The adapter stands between the embedder and the search; which one is in use changes from check to check.
  const inUse: { adapter: PartValues['adapter'] | null } = { adapter: null };
  const queryVectors = new Map<string, Float32Array>();
  const searcher: NodeEmbedder | null = nodeEmbedder === null ? null : {
    ...nodeEmbedder,
    async embed(text) {
      const vector = queryVectors.get(text) ?? (await nodeEmbedder.embed(text));
      queryVectors.set(text, vector);
      return adapted(inUse.adapter, nodeEmbedder.spec.id, vector);
    },
  };
  const corpus = await openNodeCorpus(shard.folder, searcher);
  const vectors = nodeEmbedder === null ? null : await openVectorSource(nodeEmbedder, join(root, '.cache', 'vectors'));
  const passages = corpus.rows.map((row) => toPassage(row, corpus.manifest.id));
  const documentOf = new Map(passages.map(({ id, docId }) => [id, docId]));
  const byName = new Map<string, Passage>();
  // A data set names a document; its first passage stands for it.
  for (const passage of [...passages].reverse()) byName.set(passage.docId, passage).set(passage.id, passage);
  const llm = await openModel(options.llm, await fileCache(join(options.out, 'calls.jsonl')), signal);
  const method = methodById(options.method);
  if (method === undefined) throw new Error(`there is no method ${options.method}`);
  const settings: AgentSettings = { ...defaultSettings, evidenceTokens: defaultSettings.evidenceTokens * 2, wholeReading: 'passages', ...options.settings };
  const licence = corpus.manifest.licence;

  const runOnce = async (question: LearnQuestion, values: Partial<PartValues>, run: Partial<AgentSettings>, stop: AbortSignal): Promise<AgentEvent[]> => {
    inUse.adapter = values.adapter ?? null;
    const events: AgentEvent[] = [];
    const deps = { llm, retriever: corpus.retriever, now: () => performance.now(), settings: { ...settings, ...run }, learned: learnedOf(values) };
    for await (const event of runMethod(`${question.id}-${run.seed ?? 0}`, question.question, method, deps, stop)) events.push(event);
    stop.throwIfAborted();
    const failed = events.find((event) => event.kind === 'runFailed');
    if (failed?.kind === 'runFailed' && failed.error.kind !== 'app') throw new Error(`${question.id}: ${failed.error.kind === 'bug' ? failed.error.message : 'stopped'}`);
    return events;
  };
  const isGold = (passageId: string, name: string): boolean => passageId === name || documentOf.get(passageId) === name;

  let current: Partial<PartValues> = {};
  const records: IterationRecord[] = [];
  const file = join(options.out, 'iterations.jsonl');
  const earlier = existsSync(file) ? decodeIterations(await readFile(file, 'utf8')) : [];
  const results: WeightedQuestion[] = [];
  for (let iteration = 1; iteration <= options.iterations; iteration++) {
    const doneFile = join(options.out, `samples-${iteration}.jsonl`);
    const done = await readDone(doneFile);
    const deps: LearnDeps = {
      llm,
      run: async (question, seed, stop) => {
        const whole = train.find(({ id }) => id === question.id);
        const events = whole === undefined ? [] : await runOnce(whole, current, { seed, temperature: settings.sampleTemperature, keepPrompts: true }, stop);
        return samplesOf(events, { qid: question.id, seed, corpus: shard.label, licence });
      },
      scoreAnswer: (prediction, answers) => scoreAnswer(prediction, answers),
      evaluate: async (question, values, stop) => {
        const events = await runOnce(question, values, { seed: options.seed, temperature: 0 }, stop);
        const answer = events.findLast((event) => event.kind === 'answerFinished');
        const { em, f1 } = scoreAnswer(answer?.kind === 'answerFinished' ? answer.answer.short : '', question.answers);
        const found = events.flatMap((event) => (event.kind === 'searched' ? event.hits.slice(0, 5).map((hit) => hit.passage.id) : []));
        const { gold } = question;
        const supportRecall = gold.length === 0 ? null : gold.filter((name) => found.some((id) => isGold(id, name))).length / gold.length;
        return { em, f1, supportRecall };
      },
      retrieve: async (queries, adapter, stop) => {
        inUse.adapter = adapter;
        const found = [];
        for (const text of queries) found.push((await corpus.retriever.search({ text, k: 20, dense: settings.dense, links: settings.links }, stop)).hits);
        return found;
      },
      isGold,
      passageOf: async (name) => byName.get(name) ?? null,
      embedder: nodeEmbedder === null || vectors === null ? null : {
        id: nodeEmbedder.spec.id,
        dimensions: nodeEmbedder.spec.dimensions,
        query: async (text) => {
          const key = nodeEmbedder.spec.queryPrefix + text;
          const vector = queryVectors.get(key) ?? (await nodeEmbedder.embed(key));
          queryVectors.set(key, vector);
          return vector;
        },
        passage: async (passage) => {
          const { scale, codes } = await vectors.get(embeddedText(passage));
          return scale === 0 ? null : Float32Array.from(codes, (code) => code * scale);
        },
      },
      trainAdapter: async (embedder, dimensions, examples, seed) => {
        const { adapter, losses } = trainAdapter(embedder, dimensions, examples, { ...adapterDefaults, ...options.adapter, seed });
        tell(`adapter: ${examples.length} examples, loss ${losses[0]?.toFixed(4) ?? '-'} → ${losses.at(-1)?.toFixed(4) ?? '-'}`);
        return adapter;
      },
      trainLogistic: async (features, examples) => trainLogistic(features, examples).model,
      interval: (after, before) => pairedBootstrap(after, before),
      now: () => performance.now(),
      done,
      keep: (question) => appendFile(doneFile, `${JSON.stringify(question)}\n`),
      onProgress: (stage, at, total, label) => {
        if (stage === 'sampling' || at % 50 === 0) tell(`iteration ${iteration}: ${stage} ${at}/${total} ${label}`);
      },
    };
    const result = await learn(train, dev, deps, {
      parts: options.parts, iteration, model: llm?.info.modelId ?? null, method: options.method, dataset, corpus: shard.label, trajectories: options.trajectories,
      seed: options.seed + (iteration - 1) * 100, alpha: options.alpha, tau: options.tau, trainIds: sha(train.map(({ id }) => id)), devIds: hashIds(devAll), current,
      supervision: llm === null ? 'gold-passages' : 'trajectories',
    }, signal);
    records.push(result.record);
    results.push(...result.weighted);
    for (const [part, version] of Object.entries(result.versions)) if (version.check.accepted) current = { ...current, [part]: version.value };
    await writeFile(file, jsonLines([...earlier.filter((one) => one.iteration > iteration), ...records]));
    // The adapter's arrays are written as lists.
    await writeFile(join(options.out, 'parts.json'), JSON.stringify(current, (_, value: unknown) => (value instanceof Float32Array ? [...value] : value)));
  }
  const problems = await writeExports(options.out, results, new Map(train.map(({ id, answers }) => [id, answers])));
  await vectors?.close();
  await nodeEmbedder?.dispose();
  await llm?.dispose();
  return JSON.stringify({ iterations: records, exports: problems, out: options.out });
}

/** The files of METHODS §9 from the informative questions; the same trajectory sampled in two iterations counts in the later one. */
async function writeExports(
  out: string, weighted: readonly WeightedQuestion[], golds: ReadonlyMap<string, readonly string[]>,
): Promise<Record<string, readonly string[]>> {
  const latest = new Map(weighted.filter(({ informative }) => informative).map((question) => [question.qid, question]));
  const samples = [...latest.values()].flatMap((question) => question.samples);
  if (samples.length === 0) return {};
  const sft = sftRecords(samples, (qid) => golds.get(qid) ?? []);
  const dpo = dpoRecords(samples, []);
  const grpo = grpoRecords(samples);
  const files: Record<string, string> = {
    'sft.jsonl': jsonLines(sft), 'dpo.jsonl': jsonLines(dpo), 'grpo.jsonl': jsonLines(grpo), 'rank.jsonl': jsonLines(rankRecords(samples)), 'trec.run': `${trecRun(samples, 'foray')}\n`,
  };
  for (const [name, text] of Object.entries(files)) await writeFile(join(out, name), text);
  return { 'sft.jsonl': problemsOfSft(sft), 'dpo.jsonl': problemsOfDpo(dpo), 'grpo.jsonl': problemsOfGrpo(grpo) };
}

function learnQuestion(question: Question): LearnQuestion {
  return { id: question.id, question: question.question, answers: question.answers, gold: question.gold.flatMap((one) => (one.kind === 'id' ? [one.id] : [])) };
}

async function openModel(spec: string, cache: CallCache, signal: AbortSignal): Promise<Llm | null> {
  const llm = await openNodeLlm(await chooseLlm(spec), 1, signal);
  return llm === null ? null : recallingLlm(llm, cache);
}

/** A cache of calls in one file of JSON lines; a torn last line is passed over. */
async function fileCache(file: string): Promise<CallCache> {
  const entries = new Map<string, CachedCall>();
  for (const line of existsSync(file) ? (await readFile(file, 'utf8')).split('\n') : []) {
    try {
      const { key, call } = JSON.parse(line) as { key: string; call: CachedCall };
      entries.set(key, call);
    } catch {
      continue;
    }
  }
  return {
    get: async (key) => entries.get(key) ?? null,
    async put(key, call) {
      entries.set(key, call);
      await appendFile(file, `${JSON.stringify({ key, call })}\n`);
    },
  };
}

async function readDone(file: string): Promise<Map<string, WeightedQuestion>> {
  const done = new Map<string, WeightedQuestion>();
  for (const line of existsSync(file) ? (await readFile(file, 'utf8')).split('\n') : []) {
    let value: unknown;
    try {
      value = JSON.parse(line);
    } catch {
      continue;
    }
    const question = value as WeightedQuestion;
    done.set(question.qid, { ...question, samples: question.samples.map((sample) => decodeSample(sample)) });
  }
  return done;
}

function sha(ids: readonly string[]): string {
  return createHash('sha256').update([...ids].sort().join('\n')).digest('hex');
}

function tell(line: string): void {
  process.stderr.write(`${line}\n`);
}
