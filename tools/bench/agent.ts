/**
 * `npm run bench -- agent`: a matrix of methods, models, corpora, settings and seeds over questions, in the built page or in this process. Every item is on disk before
 * the next begins, so that a run that was killed goes on with the same command; what a figure depends on is kept in config.json, and a folder is never continued
 * with anything else. Several processes (`--shard i/n`) may work in one folder; each writes a file of its own.
 */
import { createHash, randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, open, readdir, readFile, rename, writeFile } from 'node:fs/promises';
import { cpus, release, type } from 'node:os';
import { join, relative, resolve } from 'node:path';
import * as v from 'valibot';
import { defaultSettings } from '../../src/agent/settings.ts';
import { methodById, methods as allMethods } from '../../src/agent/methods/registry.ts';
import { cellsOf, settingsOf, shareOf, type Matrix, type Setting } from '../../src/lab/matrix.ts';
import { itemKey, readRunFile, runRecordOf, type ItemRecord, type RunSettings } from '../../src/lab/record.ts';
import { runLab, taskKey, tasksOf, type Ask, type LabProgress } from '../../src/lab/runner.ts';
import { aggregatesOf, summarise, summaryLine, systemsOf } from '../../src/lab/summary.ts';
import { root } from '../setup.mjs';
import { openNodeEmbedder, type EmbedderId } from '../shard/embed.ts';
import { duration, hashIds, loadQuestions, namesOf, openCorpus, portable, portableCommand, type ShardFolder } from './corpora.ts';
import { openNodeCorpus } from './corpus.ts';
import { diskCalls, nodeAsk, openNodeLlm } from './in-process.ts';
import { createPageDriver, readLibrary, type PageFacts, type PageSetup } from './page.ts';
import { checkServed, chooseLlm, openSite, type LlmChoice, type Site } from './site.ts';

export interface AgentOptions {
  readonly matrix: Matrix;
  readonly out: string;
  readonly inProcess: boolean;
  /** Asks failed questions of an earlier run again. */
  readonly retryFailed: boolean;
  /** Which share of the tasks this process works on. */
  readonly share: { readonly index: number; readonly of: number } | null;
  readonly isVisible: boolean;
  /** A built page; null: dist/, built if it is outdated. */
  readonly dist: string | null;
  /** For the corpus `library`: a Chromium user-data folder, and the address at which the page was open when the library was filled. */
  readonly library: { readonly profile: string; readonly origin: string } | null;
  readonly isQuiet: boolean;
}

/** What a run searches: a shard, which a page installs, or corpora of a library that is there already. */
interface BenchCorpus extends Pick<ShardFolder, 'label' | 'passages' | 'documents' | 'embedder'> {
  /** For messages. */
  readonly id: string;
  readonly shard: ShardFolder | null;
  readonly corpora: readonly string[];
}

/** What may not differ when a run is continued. Methods, models, corpora, settings, seeds and the number of questions may grow: items say theirs. */
const configSchema = v.object({
  format: v.literal(2),
  runId: v.string(),
  /** Name → hash of the file. */
  questions: v.record(v.string(), v.string()),
  embedder: v.string(),
  sample: v.number(),
  inProcess: v.boolean(),
  /** Model as named → hash of its script. */
  models: v.record(v.string(), v.nullable(v.string())),
  /** Setting → what it changes. */
  settings: v.record(v.string(), v.unknown()),
});
type Config = v.InferOutput<typeof configSchema>;

/** Where the model runs: what a record keeps about it. */
interface Engine {
  readonly ask: Ask;
  readonly model: string | null;
  readonly backend: string | null;
  readonly env: PageFacts['env'];
  /** Pages lost so far, answers from the cache. */
  facts(): Readonly<Record<string, number>>;
  close(): Promise<void>;
}

/** Resolves with the line for stdout. */
export async function runAgentBench(options: AgentOptions, signal: AbortSignal): Promise<string> {
  const { matrix } = options;
  const say = (line: string): void => void (options.isQuiet || process.stderr.write(`${line}\n`));
  for (const id of matrix.methods) {
    if (methodById(id) === undefined) throw new Error(`There is no method ${id}; there are ${allMethods.map((method) => method.id).join(', ')}.`);
    if (matrix.models.includes('none') && methodById(id)?.needsLlm === true) throw new Error(`The method ${id} needs a language model: give --llm.`);
  }
  const models = await Promise.all(matrix.models.map(chooseLlm));
  const settings = settingsOf(matrix);
  const sets = await Promise.all(matrix.questions.map(async (set) => {
    const isDemo = set.file === 'demo';
    const file = isDemo ? join(root, 'public', 'shards', 'demo', 'questions.json') : resolve(set.file);
    const names = isDemo ? { dataset: 'demo', split: 'report' } : namesOf(file);
    const dataset = set.dataset ?? names.dataset;
    const split = set.split ?? names.split;
    const questions = await loadQuestions(file, dataset, isDemo ? split : (set.split ?? null), matrix.limit ?? Number.MAX_SAFE_INTEGER, matrix.sample);
    if (questions.length === 0) throw new Error(`${set.file} holds no questions${set.split === undefined ? '' : ` of the split ${set.split}`}.`);
    return { file, dataset, split, questions, hash: createHash('sha256').update(await readFile(file)).digest('hex') };
  }));
  const embedder = matrix.embedder as EmbedderId | 'none';
  const corpora: BenchCorpus[] = [];
  // One after the other: a library can be looked at by one browser only.
  for (const corpus of matrix.corpora) {
    if (/^library(?:\/|$)/.test(corpus)) corpora.push(await libraryCorpus(corpus, options, signal));
    else {
      const shard = await openCorpus(corpus, sets.map(({ file }) => file), embedder, signal, say);
      corpora.push({ ...shard, shard, corpora: [shard.id] });
    }
  }
  for (const [what, names] of [['models', models.map(({ name }) => name)], ['corpora', corpora.map(({ label }) => label)]] as const) {
    const twice = names.find((name, i) => names.indexOf(name) !== i);
    if (twice !== undefined) throw new Error(`Two ${what} have the name ${twice}, which records could not tell apart. Rename a file.`);
  }
  const out = resolve(options.out);
  await mkdir(out, { recursive: true });
  const { runId } = await continueOrBegin(out, {
    format: 2, runId: randomUUID(), embedder: matrix.embedder, sample: matrix.sample, inProcess: options.inProcess,
    questions: Object.fromEntries(sets.map(({ dataset, split, hash }) => [`${dataset}/${split}`, `sha256:${hash}`])),
    models: Object.fromEntries(models.map(({ name, hash }) => [name, hash])),
    settings: Object.fromEntries(settings.map(({ name, agent, experiment }) => [name, { agent, experiment }])),
  });

  const runFile = join(out, options.share === null ? 'run.jsonl' : `run.${options.share.index}-of-${options.share.of}.jsonl`);
  const before = await readItems(out);
  if (before.bad > 0) say(`${before.bad} lines of earlier run files are not items and are left out.`);
  const done = options.retryFailed ? before.items.filter((item) => item.error === null) : before.items;
  const own = before.own.get(runFile) ?? [];
  // Without the records at its end, a line that was torn, and what is to be asked again.
  await replaceFile(runFile, linesOf(own.filter((item) => !options.retryFailed || item.error === null)));

  const split = new Map(sets.map((set) => [set.dataset, set.split]));
  const questions = sets.flatMap((set) => set.questions);
  const items: ItemRecord[] = [];
  const runSettings: RunSettings[] = [];
  const finished = new Set(done.map(itemKey));
  let labMs = 0;
  const file = await open(runFile, 'a');
  try {
    for (const llm of models) {
      for (const corpus of corpora) {
        const cells = cellsOf({ methods: matrix.methods, models: [llm.name], corpora: [corpus.label], settings, seeds: matrix.seeds });
        const all = tasksOf(questions, cells);
        const tasks = options.share === null ? all : shareOf(all, options.share.index, options.share.of);
        const engine = await (options.inProcess ? openProcess(llm, corpus, matrix, signal) : openPages(llm, corpus, options, say, signal));
        try {
          const there = tasks.filter((task) => finished.has(taskKey(task))).length;
          const kept = finished.size === 0 ? '' : `, ${there} of them there already`;
          say(`${questions.length} questions, ${tasks.length} runs${kept}, ${corpus.passages} passages of ${corpus.id}, model ${engine.model ?? 'none'} (${engine.backend ?? '–'}).`);
          if (there === 0 && finished.size > 0) say(`${finished.size} items in this folder are of other questions, corpora (this one is ${corpus.label}), models or settings, and are kept.`);
          const began = performance.now();
          const before = items.length;
          items.push(...(await runLab(
            {
              tasks, model: engine.model, ask: engine.ask, workers: matrix.pages, itemSeconds: matrix.timeoutSeconds,
              ...(matrix.maxTokens === undefined ? {} : { itemTokens: matrix.maxTokens }),
              done,
              onItem: async (item) => {
                await file.appendFile(`${JSON.stringify(item)}\n`);
                await file.datasync();
              },
              onProgress: (progress) => say(progressLine(progress)),
              now: () => performance.now(),
            },
            signal,
          )));
          const own = items.slice(before);
          labMs += performance.now() - began - own.filter((item) => !finished.has(itemKey(item))).reduce((sum, item) => sum + item.cost.wallMs, 0) / matrix.pages;
          runSettings.push({
            runId, split: '', backend: engine.backend, quant: llm.quant,
            embedder: engine.env['embedder'] === corpus.embedder ? corpus.embedder : null,
            temperature: defaultSettings.temperature, maxTurns: defaultSettings.maxLlmCalls, k: defaultSettings.retrieve, sample: matrix.sample,
            env: { ...engine.env, ...engine.facts(), os: `${type()} ${release()}`, cpu: cpus()[0]?.model ?? null, node: process.versions.node },
          });
        } finally {
          await engine.close();
        }
      }
    }
  } finally {
    await file.close();
  }
  const everything = [...new Map([...done, ...items].map((item) => [itemKey(item), item])).values()];
  const summary = summarise(items);
  const records = models.flatMap(({ name }, m) => corpora.flatMap(({ label }, c) => recordsOf(items.filter((item) => item.llm === name && item.corpus === label),
    settings, runSettings[m * corpora.length + c], split)));
  const mine = new Set(own.map(itemKey));
  const fresh = new Set(items.map(itemKey));
  await replaceFile(runFile, linesOf([...everything.filter((item) => options.share === null || mine.has(itemKey(item)) || fresh.has(itemKey(item))), ...records]));
  const run = {
    runId, command: `npm run bench -- ${portableCommand(process.argv.slice(2))}`,
    matrix: {
      ...matrix, questions: matrix.questions.map((set) => ({ ...set, file: set.file === 'demo' ? set.file : portable(set.file) })), corpora: corpora.map(({ label }) => label),
      models: models.map(({ name }) => name),
    },
    inProcess: options.inProcess, engines: runSettings.map(({ env, backend, quant }) => ({ env, backend, quant })),
    /** Time a question that is the lab's own: asking, recording, writing to disk. */
    labMsPerItem: Number((labMs / Math.max(1, items.length - done.length)).toFixed(2)),
    corpora: corpora.map(({ label, passages, documents }) => ({ label, passages, documents })),
    questions: sets.map(({ dataset, split: name, questions: list, hash }) => ({ dataset, split: name, n: list.length, file: `sha256:${hash}`,
      ids: `sha256:${hashIds(list)}` })),
  };
  await replaceFile(join(out, 'summary.json'), `${JSON.stringify({ ...summary, run }, null, 1)}\n`);
  say(`Written: ${relative(process.cwd(), out) || '.'}/${relative(out, runFile)} and summary.json`);
  return summaryLine(summary);
}

/** One record a cell and data set; `aggregate` values carry their intervals. */
function recordsOf(items: readonly ItemRecord[], settings: readonly Setting[], run: RunSettings | undefined, split: ReadonlyMap<string, string>): unknown[] {
  if (run === undefined) return [];
  return systemsOf(items).flatMap((system) =>
    [...new Set(system.items.map(({ seed }) => seed))].flatMap((seed) => {
      const own = system.items.filter((item) => item.seed === seed);
      const [row] = Object.values(summarise(own, { resamples: 2000 }).systems);
      const agent = settings.find(({ name }) => name === system.setting)?.agent;
      if (row === undefined) return [];
      return runRecordOf(
        own, aggregatesOf(row),
        { ...run, split: split.get(system.dataset) ?? '', temperature: agent?.temperature ?? run.temperature, maxTurns: agent?.maxLlmCalls ?? run.maxTurns,
          k: agent?.retrieve ?? run.k },
        hashIds(own.map(({ qid }) => ({ id: qid }))),
      ) ?? [];
    }),
  );
}

function storeOf(matrix: Matrix): ReturnType<typeof diskCalls> | null {
  return matrix.cache ? diskCalls(join(root, '.cache', 'completions')) : null;
}

async function openProcess(choice: LlmChoice, corpus: BenchCorpus, matrix: Matrix, signal: AbortSignal): Promise<Engine> {
  if (corpus.shard === null) throw new Error('A library lies in a browser: --corpus library does not go with --in-process.');
  const llm = await openNodeLlm(choice, matrix.pages, signal);
  const embedder = matrix.embedder === 'none' ? null : await openNodeEmbedder(matrix.embedder as EmbedderId);
  const { retriever, manifest } = await openNodeCorpus(corpus.shard.folder, embedder);
  const store = storeOf(matrix);
  return {
    ask: nodeAsk({ llm, retriever, corpus: manifest.id, store }),
    model: llm?.info.modelId ?? null,
    backend: llm?.info.backend ?? null,
    env: { inProcess: true, embedder: embedder?.spec.id ?? null },
    facts: () => ({ completionsFromCache: store?.hits ?? 0 }),
    close: async () => {
      await llm?.dispose();
      await embedder?.dispose();
    },
  };
}

/** The served page, and what each browser is to open. A library is there only at the address at which it was filled. */
async function openBench(corpus: Pick<BenchCorpus, 'shard' | 'corpora'>, llm: Pick<LlmChoice, 'extra' | 'page'>, { matrix, dist, isVisible, library }: AgentOptions,
  say: (line: string) => void): Promise<{ readonly site: Site; readonly setup: PageSetup }> {
  const { shard, corpora } = corpus;
  const home = shard === null && library !== null ? { profile: resolve(library.profile), url: new URL(library.origin) } : null;
  const port = home === null ? 0 : Number(home.url.port) || 80;
  const site = await openSite(dist, { extra: llm.extra, port, ...(shard === null ? {} : { shards: { bench: shard.folder } }) }).catch((error: unknown) => {
    if (error instanceof Error && 'code' in error && error.code === 'EADDRINUSE') throw new Error(`Port ${port} is taken: stop the page that is served there.`);
    throw error;
  });
  const url = home === null ? site.url : new URL('/', home.url).href;
  const embedder = matrix.embedder === 'none' ? null : matrix.embedder;
  const installed = shard === null ? null : { url: new URL('shards/bench/', url).href, id: shard.id };
  return { site, setup: { url, shard: installed, corpora, profile: home?.profile ?? null, llm: llm.page, embedder, store: null, say, isVisible } };
}

/** `library`: all that is installed in the profile, with the own documents; `library/ID`: one corpus of it. */
async function libraryCorpus(name: string, options: AgentOptions, signal: AbortSignal): Promise<BenchCorpus> {
  if (options.library === null) throw new Error('--corpus library needs --profile DIR: the Chromium user-data folder in which the library lies.');
  const { site, setup } = await openBench({ shard: null, corpora: [] }, { extra: [], page: null }, options, () => undefined);
  const all = await readLibrary(setup, signal).finally(() => site.close());
  const wanted = name === 'library' ? all : all.filter(({ id }) => id === name.slice('library/'.length));
  if (wanted.length === 0) {
    const there = all.length === 0 ? `no complete corpus for the address ${options.library.origin}` : all.map(({ id }) => id).join(', ');
    throw new Error(`The library in ${options.library.profile} does not have what --corpus ${name} asks for; it holds ${there}.`);
  }
  return {
    // There is no hash of a whole library: what is in it, and how much, names it.
    label: `library(${wanted.map(({ id, passages }) => `${id}@${passages}`).join('+')})`,
    id: wanted.map(({ id }) => id).join('+'), corpora: wanted.map(({ id }) => id), shard: null, embedder: wanted[0]?.embedder ?? null,
    passages: wanted.reduce((sum, { passages }) => sum + passages, 0), documents: wanted.reduce((sum, { documents }) => sum + documents, 0),
  };
}

/** A browser each for `pages` pages: one that dies takes no other with it. */
async function openPages(llm: LlmChoice, corpus: BenchCorpus, options: AgentOptions, say: (line: string) => void, signal: AbortSignal): Promise<Engine> {
  const { matrix } = options;
  if (matrix.embedder !== 'none' && corpus.shard !== null && corpus.embedder !== matrix.embedder) {
    say(`The shard was made with the embedder ${corpus.embedder ?? 'none'}, not ${matrix.embedder}: searching goes by words only.`);
  }
  const store = storeOf(matrix);
  await checkServed(llm, signal);
  const { site, setup } = await openBench(corpus, llm, options, say);
  const drivers = Array.from({ length: matrix.pages }, () => createPageDriver({ ...setup, store }));
  const close = async (): Promise<void> => {
    await Promise.all(drivers.map((driver) => driver.close()));
    await site.close();
  };
  try {
    const [facts] = await Promise.all(drivers.map((driver) => driver.prepare(signal)));
    return {
      ask: (request, worker, itemSignal) => {
        const driver = drivers[worker];
        if (driver === undefined) throw new Error(`no page ${worker}`);
        return driver.ask(request, itemSignal);
      },
      model: facts?.model ?? null,
      backend: facts?.backend ?? null,
      env: facts?.env ?? {},
      facts: () => ({ pages: matrix.pages, pagesLost: drivers.reduce((sum, driver) => sum + driver.lost, 0), completionsFromCache: store?.hits ?? 0 }),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** The items of all run files of a folder, each once; `own`: by file. */
export async function readItems(out: string): Promise<{ readonly items: ItemRecord[]; readonly own: ReadonlyMap<string, readonly ItemRecord[]>; readonly bad: number }> {
  const files = existsSync(out) ? (await readdir(out)).filter((name) => /^run(?:\.\d+-of-\d+)?\.jsonl$/.test(name)).sort() : [];
  const own = new Map<string, readonly ItemRecord[]>();
  const items = new Map<string, ItemRecord>();
  let bad = 0;
  for (const name of files) {
    const read = readRunFile(await readFile(join(out, name), 'utf8'));
    own.set(join(out, name), read.items);
    bad += read.bad.length;
    for (const item of read.items) if (!items.has(itemKey(item))) items.set(itemKey(item), item);
  }
  return { items: [...items.values()], own, bad };
}

async function continueOrBegin(out: string, config: Config): Promise<Config> {
  const path = join(out, 'config.json');
  const text = await readFile(path, 'utf8').catch(() => null);
  const parsed = text === null ? null : v.safeParse(configSchema, JSON.parse(text));
  if (parsed?.success === false) throw new Error(`${out} holds a run of another version. Give another --out, or delete that folder.`);
  const stored = parsed?.output ?? config;
  const differing = [
    ...(['embedder', 'sample', 'inProcess'] as const).filter((key) => stored[key] !== config[key]).map((key) => ({ key, there: stored[key], now: config[key] })),
    ...(['questions', 'models', 'settings'] as const).flatMap((key) =>
      Object.entries(config[key]).filter(([name, now]) => name in stored[key] && JSON.stringify(stored[key][name]) !== JSON.stringify(now)).map(([name,
        now]) => ({ key: `${key} ${name}`, there: stored[key][name], now })),
    ),
  ];
  if (differing.length > 0) {
    const list = differing.map(({ key, there, now }) => `${key} (${JSON.stringify(there)} there, ${JSON.stringify(now)} now)`).join(', ');
    throw new Error(`${out} holds another run: it differs in ${list}. Give another --out, or delete that folder.`);
  }
  const merged: Config = {
    ...stored, questions: { ...stored.questions, ...config.questions }, models: { ...stored.models, ...config.models }, settings: { ...stored.settings,
      ...config.settings },
  };
  await replaceFile(path, `${JSON.stringify(merged, null, 1)}\n`);
  return merged;
}

function linesOf(rows: readonly unknown[]): string {
  return rows.map((row) => `${JSON.stringify(row)}\n`).join('');
}

async function replaceFile(path: string, text: string): Promise<void> {
  const part = `${path}.${process.pid}.part`;
  await writeFile(part, text);
  await rename(part, path);
}

function progressLine({ done, total, failed, secondsLeft, last }: LabProgress): string {
  const left = secondsLeft === null ? '' : `, ${duration(secondsLeft)} left`;
  const scores = `EM ${last.scores.em} F1 ${last.scores.f1.toFixed(2)} ${JSON.stringify(last.prediction.slice(0, 60))}`;
  const outcome = last.error === null ? scores : `failed: ${last.error.message}`;
  const cell = last.setting === 'default' ? last.method : `${last.method} ${last.setting}`;
  return `${done}/${total}${failed === 0 ? '' : ` (${failed} failed)`}${left} | ${cell} ${last.qid} ${(last.cost.wallMs / 1000).toFixed(1)} s ${outcome}`;
}
