/**
 * `npm run bench -- recall`: how many of the passages that answer a question a search finds, ingredient by ingredient, without a language model unless
 * one re-ranks. The shard is the one that the builder makes and the search is the worker's, in Node. Weights of the ranking are learned with `--learn`, on train
 * splits only.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { analyse, isStopTerm, quotedPhrases } from '../../src/corpus/analysis.ts';
import { documentFrequencies } from '../../src/corpus/frequencies.ts';
import { toPassage } from '../../src/corpus/passages.ts';
import type { RankWeights } from '../../src/corpus/rank.ts';
import { searchReranked } from '../../src/corpus/rerank.ts';
import type { Passage, SearchRequest, SearchResult, WeightedTerm } from '../../src/corpus/retriever.ts';
import { rank, rankingDefaults, search, type FetchPassages } from '../../src/corpus/search.ts';
import type { Question } from '../../src/lab/datasets.ts';
import { allSupport, isGold, supportRecall } from '../../src/lab/metrics.ts';
import { bootstrapMean, mean, quantile } from '../../src/lab/statistics.ts';
import { root } from '../setup.mjs';
import { openNodeEmbedder, type EmbedderId, type NodeEmbedder } from '../shard/embed.ts';
import { loadQuestions, namesOf, shardOf, unionFiles } from './corpora.ts';
import { openNodeCorpus, type NodeCorpus } from './corpus.ts';
import { crossLearn, learnStages, type LearningQuestion } from './learn-ranking.ts';
import { analysisSystems, ingredients, openNodeReranker, type System } from './recall-systems.ts';

export interface RecallOptions {
  readonly questions: string;
  /** A passages file, `union` or `demo`. */
  readonly passages: string;
  readonly embedder: EmbedderId | 'none';
  readonly limit: number;
  readonly seed: number;
  /** Instead of the ingredients: the settings of the word index. */
  readonly analysis: boolean;
  /** What re-ranks (`openNodeReranker`), and whether its calls are kept. */
  readonly rerank: { readonly spec: string; readonly keepsCalls: boolean } | null;
  /** null: nothing is written. */
  readonly out: string | null;
}

const depths = [2, 5, 10, 20] as const;
const folds = 3;

type Log = (line: string) => void;

interface Opened {
  readonly name: string;
  readonly corpus: NodeCorpus;
  readonly passages: readonly Passage[];
}

async function openPassages(passages: string, embedderId: EmbedderId | 'none', embedder: NodeEmbedder | null, signal: AbortSignal, log: Log): Promise<Opened> {
  if (passages === 'demo') {
    const corpus = await openNodeCorpus(join(root, 'public', 'shards', 'demo'), embedder);
    return { name: 'demo', corpus, passages: corpus.rows.map((row) => toPassage(row, corpus.manifest.id)) };
  }
  const files = passages === 'union' ? unionFiles() : [passages];
  if (files === null) throw new Error('The benchmark data are not beside the checkout.');
  const name = passages === 'union' ? 'union' : namesOf(passages).dataset;
  let told = 0;
  const shard = await shardOf(files, name, embedderId, signal, ({ phase, done, total }) => {
    if (performance.now() - told < 5000) return;
    told = performance.now();
    log(`${name}: ${phase} ${done}${total === null ? '' : ` of ${total}`}`);
  });
  const corpus = await openNodeCorpus(shard.folder, embedder);
  return { name, corpus, passages: corpus.rows.map((row) => toPassage(row, corpus.manifest.id)) };
}

interface Asked {
  readonly question: Question;
  readonly vector: { readonly embedder: string; readonly values: Float32Array } | null;
}

async function ask(questions: readonly Question[], embedder: NodeEmbedder | null): Promise<Asked[]> {
  const asked: Asked[] = [];
  for (const question of questions.filter(({ gold }) => gold.length > 0)) {
    const values = await embedder?.embed(`${embedder.spec.queryPrefix}${question.question}`);
    asked.push({ question, vector: embedder === null || values === undefined ? null : { embedder: embedder.spec.id, values } });
  }
  return asked;
}

// ---------------------------------------------------------------------------------------------- measuring

/** Words of the best passages that are not in the question and rare enough to tell something: feedback without a model, in the place of SIRA's (METHODS §4.6). */
function expansion(question: string, best: readonly Passage[], corpus: NodeCorpus): WeightedTerm[] {
  const asked = new Set(analyse(question));
  const counts = new Map<string, number>();
  for (const { title, text } of best) {
    for (const term of new Set(analyse(`${title} ${text}`))) if (!asked.has(term) && !isStopTerm(term)) counts.set(term, (counts.get(term) ?? 0) + 1);
  }
  const terms = [...counts].filter(([, count]) => count > 1).map(([term]) => term);
  const frequencies = documentFrequencies(corpus.source.lexical, terms);
  const total = corpus.manifest.counts.passages;
  return terms
    .map((text, i) => ({ text, worth: (counts.get(text) ?? 0) * Math.log(1 + total / (1 + (frequencies[i] ?? 0))) }))
    .sort((a, b) => b.worth - a.worth || (a.text < b.text ? -1 : 1))
    .slice(0, 5)
    .map(({ text }) => ({ text, weight: 0.2 }));
}

interface Measured {
  readonly system: string;
  /** By question. */
  readonly recall: Readonly<Record<(typeof depths)[number], readonly number[]>>;
  readonly all10: readonly number[];
  /** Wall time and CPU time of all threads, of one question. */
  readonly ms: readonly number[];
  readonly cpuMs: readonly number[];
}

async function measure(system: System, asked: readonly Asked[], { corpus, passages }: Opened, signal: AbortSignal, log: Log): Promise<Measured> {
  const recall: Record<(typeof depths)[number], number[]> = { 2: [], 5: [], 10: [], 20: [] };
  const all10: number[] = [];
  const ms: number[] = [];
  const cpuMs: number[] = [];
  const fetchPassages: FetchPassages = (wanted) => Promise.resolve(wanted.map(({ ordinal }) => passages[ordinal] ?? null));
  const now = (): number => performance.now();
  const run = (text: string, vector: Asked['vector'], more: Partial<SearchRequest>): Promise<SearchResult> => {
    const find = (request: SearchRequest): Promise<SearchResult> =>
      search(request, [system.source ?? corpus.source], { vector: system.dense ? vector : null, fetchPassages, now, signal }, system.parameters);
    const request = { text: system.withoutPhrases === true ? text.replace(/["\u201c\u201d]/g, ' ') : text, k: 20, ...system.request, ...more };
    return system.reranker === undefined ? find(request) : searchReranked(request, find, system.reranker, now, signal);
  };
  let told = now();
  for (const { question, vector } of asked) {
    if (now() - told > 10_000) {
      told = now();
      log(`${system.name}: ${ms.length} of ${asked.length}`);
    }
    const before = process.cpuUsage();
    let result = await run(question.question, vector, {});
    let took = result.ms;
    if (system.expand === true) {
      result = await run(question.question, vector, { terms: expansion(question.question, result.hits.slice(0, 3).map((hit) => hit.passage), corpus) });
      took += result.ms;
    }
    const { user, system: kernel } = process.cpuUsage(before);
    const found = result.hits.map((hit) => hit.passage);
    for (const k of depths) recall[k].push(supportRecall(found, question.gold, k) ?? 0);
    all10.push(allSupport(found, question.gold, 10) ?? 0);
    ms.push(took);
    cpuMs.push((user + kernel) / 1000);
  }
  return { system: system.name, recall, all10, ms, cpuMs };
}

const three = (value: number): string => value.toFixed(3).replace(/^0/, '');

function interval(values: readonly number[]): string {
  const found = bootstrapMean(values, { resamples: 2000 });
  return found === null ? '–' : `${three(found[0])} [${three(found[1])}, ${three(found[2])}]`;
}

function table(measured: readonly Measured[], keep: readonly number[]): string {
  const some = (values: readonly number[]): number[] => keep.map((i) => values[i] ?? 0);
  const head = `| ${keep.length} questions | recall@2 | recall@5 | recall@10 | recall@20 | all-gold@10 | p50 ms | p95 ms | CPU p50 ms |\n|---|---|---|---|---|---|---|---|---|`;
  const rows = measured.map(({ system, recall, all10, ms, cpuMs }) => {
    const sorted = some(ms).sort((a, b) => a - b);
    const cpu = some(cpuMs).sort((a, b) => a - b);
    const cells = [three(mean(some(recall[2]))), interval(some(recall[5])), three(mean(some(recall[10]))), three(mean(some(recall[20]))), interval(some(all10))];
    return `| ${system} | ${cells.join(' | ')} | ${quantile(sorted, 0.5).toFixed(1)} | ${quantile(sorted, 0.95).toFixed(1)} | ${quantile(cpu, 0.5).toFixed(1)} |`;
  });
  return [head, ...rows].join('\n');
}

function figuresOf({ recall, all10, ms, cpuMs }: Measured, keep: readonly number[]): Record<string, unknown> {
  const some = (values: readonly number[]): number[] => keep.map((i) => values[i] ?? 0);
  const middle = (values: readonly number[], q: number): number => quantile(some(values).sort((a, b) => a - b), q);
  const exact = (value: number): number => Math.round(value * 1e4) / 1e4;
  const range = (values: readonly number[]): number[] => (bootstrapMean(some(values), { resamples: 2000 }) ?? []).slice(1).map(exact);
  return {
    ...Object.fromEntries(depths.map((k) => [`recall${k}`, exact(mean(some(recall[k])))])),
    recall5Range: range(recall[5]),
    all10: exact(mean(some(all10))),
    all10Range: range(all10),
    p50: exact(middle(ms, 0.5)),
    p95: exact(middle(ms, 0.95)),
    cpuP50: exact(middle(cpuMs, 0.5)),
  };
}

/** Measures every ingredient on one set of questions; the returned text ends with one line of JSON. */
export async function runRecallBench(options: RecallOptions, signal: AbortSignal, log: Log): Promise<string> {
  const { dataset, split } = namesOf(options.questions);
  const embedder = options.embedder === 'none' ? null : await openNodeEmbedder(options.embedder);
  const reranker = options.rerank === null ? null : await openNodeReranker(options.rerank.spec, options.rerank.keepsCalls, signal);
  try {
    const opened = await openPassages(options.passages, options.embedder, embedder, signal, log);
    const asked = await ask(await loadQuestions(options.questions, dataset, null, options.limit, options.seed), embedder);
    const measured: Measured[] = [];
    for (const system of options.analysis ? analysisSystems(opened.corpus) : ingredients(embedder !== null, reranker)) {
      log(system.name);
      measured.push(await measure(system, asked, opened, signal, log));
    }
    const everything = asked.map((_, i) => i);
    const groups = (of: (question: Question) => string | null): [string, number[]][] => {
      const found = new Map<string, number[]>();
      asked.forEach(({ question }, i) => {
        const name = of(question);
        if (name !== null) found.set(name, [...(found.get(name) ?? []), i]);
      });
      return found.size > 1 ? [...found].sort(([a], [b]) => (a < b ? -1 : 1)) : [];
    };
    const phrases = groups(({ question }) => (quotedPhrases(question).length > 0 ? 'with a phrase in quotation marks' : 'without'));
    const parts = options.analysis ? phrases : [...groups((question) => question.selection), ...groups((question) => question.type)];
    const title = `${dataset} ${split} on ${opened.name} (${opened.corpus.manifest.counts.passages} passages), ${options.embedder === 'none' ? 'no embedder' : options.embedder}`;
    const markdown = [`### ${title}`, table(measured, everything), ...parts.flatMap(([name, keep]) => [`#### ${name}`, table(measured, keep)])].join('\n\n');
    const figures = (keep: readonly number[]): unknown => ({
      questions: keep.length,
      systems: Object.fromEntries(measured.map((one) => [one.system, figuresOf(one, keep)])),
    });
    const json = { dataset, split, corpus: opened.name, embedder: options.embedder, ...(figures(everything) as object) };
    const byGroup = Object.fromEntries(parts.map(([name, keep]) => [name, figures(keep)]));
    if (options.out !== null) {
      await mkdir(options.out, { recursive: true });
      const name = `recall-${dataset}-${split}-${opened.name}-${options.analysis ? 'analysis' : options.embedder}${reranker === null ? '' : '-reranked'}`;
      await writeFile(join(options.out, `${name}.md`), `${markdown}\n`);
      await writeFile(join(options.out, `${name}.json`), `${JSON.stringify({ ...json, groups: byGroup }, null, 1)}\n`);
    }
    return `${markdown}\n${JSON.stringify(json)}`;
  } finally {
    await embedder?.dispose();
    await reranker?.dispose();
  }
}

// ---------------------------------------------------------------------------------------------- learning

export interface LearnOptions {
  /** Questions files, each with its passages file or `union`. */
  readonly sets: readonly { readonly questions: string; readonly passages: string; readonly embedder: EmbedderId | 'none' }[];
  readonly limit: number;
  readonly seed: number;
  readonly out: string;
}

/** Learns the weights and writes them as JSON; the report compares, by cross-validation, what they find with the fused order. */
export async function runLearning(options: LearnOptions, signal: AbortSignal, log: Log): Promise<string> {
  const kinds: Record<'words' | 'hybrid', LearningQuestion[]> = { words: [], hybrid: [] };
  for (const { questions: file, passages, embedder: id } of options.sets) {
    const { dataset, split } = namesOf(file);
    const embedder = id === 'none' ? null : await openNodeEmbedder(id);
    const opened = await openPassages(passages, id, embedder, signal, log);
    const ordinals = new Map<string, number[]>();
    opened.passages.forEach((passage, i) => {
      for (const key of new Set([passage.id, passage.docId, `title ${passage.title}`])) ordinals.set(key, [...(ordinals.get(key) ?? []), i]);
    });
    for (const { question, vector } of await ask(await loadQuestions(file, dataset, passages === 'demo' ? 'tune' : null, options.limit, options.seed), embedder)) {
      const gold = question.gold.map((item) =>
        (ordinals.get(item.kind === 'id' ? item.id : `title ${item.title}`) ?? []).filter((i) => opened.passages[i] !== undefined && isGold(opened.passages[i], item)),
      );
      kinds[vector === null ? 'words' : 'hybrid'].push({ set: `${dataset} ${split}, ${opened.name}, ${id}`, text: question.question, source: opened.corpus.source, vector, gold });
    }
    await embedder?.dispose();
  }
  const learned: Partial<Record<'words' | 'hybrid', RankWeights['words']>> = {};
  for (const kind of ['words', 'hybrid'] as const) {
    const questions = kinds[kind];
    if (questions.length === 0) continue;
    const byFold = crossLearn(questions, folds);
    const rows = new Map<string, { recall5: number[]; all10: number[]; before5: number[]; before10: number[] }>();
    questions.forEach(({ set, text, source, vector, gold }, i) => {
      const stages = byFold[i % folds];
      if (stages === undefined) return;
      const row = rows.get(set) ?? { recall5: [], all10: [], before5: [], before10: [] };
      rows.set(set, row);
      const found = (links: boolean): number[] =>
        rank({ text, k: 10, links }, [source], vector, { ...rankingDefaults, weights: { learnedOn: '', words: stages, hybrid: stages } }).ranked.map(({ ordinal }) => ordinal);
      const recall = (list: readonly number[]): number => gold.filter((some) => some.some((ordinal) => list.includes(ordinal))).length / gold.length;
      const [after, before] = [found(true), found(false)];
      row.recall5.push(recall(after.slice(0, 5)));
      row.all10.push(recall(after) === 1 ? 1 : 0);
      row.before5.push(recall(before.slice(0, 5)));
      row.before10.push(recall(before) === 1 ? 1 : 0);
    });
    for (const [set, row] of rows) {
      log(`${set}: recall@5 ${three(mean(row.before5))} → ${three(mean(row.recall5))}, all-gold@10 ${three(mean(row.before10))} → ${three(mean(row.all10))} (${row.recall5.length} questions, ${folds} folds)`);
    }
    learned[kind] = learnStages(questions);
  }
  const sets = [...new Set([...kinds.words, ...kinds.hybrid].map(({ set }) => set))];
  const words = learned.words ?? learned.hybrid;
  if (words === undefined) throw new Error('There is nothing to learn from: give questions files with gold passages.');
  const weights: RankWeights = { learnedOn: sets.join('; ').slice(0, 500), words, hybrid: learned.hybrid ?? words };
  await writeFile(options.out, `${JSON.stringify(weights, null, 1)}\n`);
  return `Wrote ${options.out}`;
}
