/**
 * Which embedder to ship: support recall of each on multi-hop questions over a closed subset of passages, alone, fused with BM25 and in the
 * whole search (words, meaning and links), and its cost in Node.
 * npx tsx bench/embedders.ts DATA-FOLDER [--datasets hotpotqa,musique] [--questions 300] [--passages 3000] [--embedders minilm,bge-small,wordllama]
 * DATA-FOLDER holds <dataset>/dev.jsonl.gz and passages.jsonl.gz. Vectors are kept between runs, so that a run that was broken off goes on where it stopped.
 */
import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { gunzipSync } from 'node:zlib';
import { queryTerms } from '../src/corpus/analysis.ts';
import { createLexicalBuilder } from '../src/corpus/lexical-builder.ts';
import { openLexicalSegment, searchLexical } from '../src/corpus/lexical.ts';
import { createMentionMatcher, encodeLinks, encodeTitles, openLinks, openTitles } from '../src/corpus/links.ts';
import { embeddedText } from '../src/corpus/passages.ts';
import { rank } from '../src/corpus/search.ts';
import type { SearchSource } from '../src/corpus/search.ts';
import { scalarKernel } from '../src/corpus/kernel/kernel.ts';
import { vectorSetOf } from '../src/corpus/vector-set.ts';
import { vectorSegment } from '../src/corpus/vectors.ts';
import { decodePassages, decodeQuestions } from '../src/lab/datasets.ts';
import { embedderIds, openNodeEmbedder, openVectorSource } from '../tools/shard/embed.ts';

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    datasets: { type: 'string', default: 'hotpotqa,musique' },
    questions: { type: 'string', default: '300' },
    passages: { type: 'string', default: '3000' },
    embedders: { type: 'string', default: embedderIds.join(',') },
  },
});
const folder = positionals[0];
if (folder === undefined) throw new Error('Name the folder of the data sets.');
const cache = join(homedir(), '.cache', 'foray', 'vectors');

async function readLines(file: string): Promise<string> {
  return gunzipSync(await readFile(file)).toString('utf8');
}

/** The same subset at every run: the gold passages of the questions, filled up with every n-th of the others. */
async function readSubset(dataset: string) {
  const questions = decodeQuestions(await readLines(join(folder ?? '', dataset, 'dev.jsonl.gz')), dataset, dataset).slice(0, Number(values.questions));
  const all = decodePassages(await readLines(join(folder ?? '', dataset, 'passages.jsonl.gz')), dataset);
  const gold = new Set(questions.flatMap((question) => question.gold.flatMap((one) => (one.kind === 'id' ? [one.id] : []))));
  const others = all.filter((passage) => !gold.has(passage.id));
  const step = Math.max(1, others.length / Math.max(1, Number(values.passages) - gold.size));
  const fill = new Set<string>();
  for (let at = 0; at < others.length && gold.size + fill.size < Number(values.passages); at += step) fill.add(others[Math.floor(at)]?.id ?? '');
  return { questions, passages: all.filter((passage) => gold.has(passage.id) || fill.has(passage.id)) };
}

function recall(ranked: readonly string[], gold: readonly string[], k: number): number {
  const top = new Set(ranked.slice(0, k));
  return gold.filter((id) => top.has(id)).length / gold.length;
}

function top(scores: Float64Array, ids: readonly string[], k: number): string[] {
  return Array.from(scores.keys())
    .sort((a, b) => (scores[b] ?? 0) - (scores[a] ?? 0) || a - b)
    .slice(0, k)
    .map((i) => ids[i] ?? '');
}

/** Reciprocal rank fusion with the usual constant. */
function fuse(lists: readonly (readonly string[])[]): string[] {
  const score = new Map<string, number>();
  for (const list of lists) list.forEach((id, rank) => score.set(id, (score.get(id) ?? 0) + 1 / (60 + rank + 1)));
  return [...score].sort((a, b) => b[1] - a[1]).map(([id]) => id);
}

for (const dataset of values.datasets.split(',')) {
  const { questions, passages } = await readSubset(dataset);
  const ids = passages.map((passage) => passage.id);
  const goldOf = questions.map((question) => question.gold.flatMap((one) => (one.kind === 'id' ? [one.id] : [])));
  const builder = createLexicalBuilder();
  for (const passage of passages) builder.add({ title: passage.title, section: '', text: passage.text });
  const segment = openLexicalSegment(builder.finish(), 'bench');
  const byWords = questions.map((question) => {
    const found = searchLexical([segment], queryTerms(question.question), 100);
    return Array.from(found.ordinals.subarray(0, found.count), (ordinal) => ids[ordinal] ?? '');
  });
  const matcher = createMentionMatcher(passages.map((passage) => passage.title));
  const links = encodeLinks(passages.map((passage, i) => matcher.documentsIn(passage.text).filter((document) => document !== i)));
  const rows = passages.map((passage, i) => ({ docId: passage.id, title: passage.title, first: i, passages: 1, aliases: [] }));
  const source: SearchSource = {
    key: 'bench',
    corpus: 'bench',
    titles: openTitles([{ bytes: encodeTitles(rows, 0), name: 'titles' }]),
    lexical: [segment],
    vectors: [],
    links: openLinks([{ bytes: links, name: 'links' }], passages.length, passages.length),
  };
  const searchAll = (from: SearchSource, vectorOf: (question: number) => Parameters<typeof rank>[2]): string[][] =>
    questions.map((question, i) => rank({ text: question.question, k: 10 }, [from], vectorOf(i)).ranked.map(({ ordinal }) => ids[ordinal] ?? ''));
  const report = (name: string, ranked: readonly (readonly string[])[], extra: object = {}): void => {
    const mean = (k: number): number => Number((ranked.reduce((sum, list, i) => sum + recall(list, goldOf[i] ?? [], k), 0) / ranked.length).toFixed(4));
    const all = (k: number): number => Number((ranked.filter((list, i) => recall(list, goldOf[i] ?? [], k) === 1).length / ranked.length).toFixed(4));
    console.log(JSON.stringify({ dataset, name, recall5: mean(5), recall10: mean(10), all5: all(5), all10: all(10), ...extra }));
  };
  console.log(JSON.stringify({ dataset, questions: questions.length, passages: passages.length }));
  report('bm25', byWords);
  report('search without vectors', searchAll(source, () => null));
  for (const id of embedderIds.filter((one) => values.embedders.split(',').includes(one))) {
    const embedder = await openNodeEmbedder(id);
    const cached = await openVectorSource(embedder, cache);
    const { dimensions, queryPrefix } = embedder.spec;
    const vectors = new Float32Array(passages.length * dimensions);
    const allCodes = new Int8Array(passages.length * dimensions);
    const scales = new Float32Array(passages.length);
    const queries: Float32Array[] = [];
    for (const [i, passage] of passages.entries()) {
      const { scale, codes } = await cached.get(embeddedText({ title: passage.title, section: '', text: passage.text }));
      scales[i] = scale;
      allCodes.set(codes, i * dimensions);
      for (let d = 0; d < dimensions; d++) vectors[i * dimensions + d] = (codes[d] ?? 0) * scale;
    }
    const byMeaning: string[][] = [];
    const start = performance.now();
    for (const question of questions) {
      const query = await embedder.embed(queryPrefix + question.question);
      queries.push(query);
      const scores = new Float64Array(passages.length);
      for (let i = 0; i < passages.length; i++) {
        let dot = 0;
        for (let d = 0; d < dimensions; d++) dot += (vectors[i * dimensions + d] ?? 0) * (query[d] ?? 0);
        scores[i] = dot;
      }
      byMeaning.push(top(scores, ids, 100));
    }
    const queryMs = (performance.now() - start) / questions.length;
    // Vectors may come from earlier runs, so the cost is taken from fresh ones.
    const fresh: number[] = [];
    for (const passage of passages.slice(0, 60)) {
      const begin = performance.now();
      await embedder.embed(embeddedText({ title: passage.title, section: '', text: passage.text }));
      fresh.push(performance.now() - begin);
    }
    const passageMs = fresh.sort((a, b) => a - b)[30] ?? 0;
    report(id, byMeaning, { passageMs: Number(passageMs.toFixed(1)), queryMs: Number(queryMs.toFixed(1)) });
    report(`${id} + bm25`, byMeaning.map((list, i) => fuse([list, byWords[i] ?? []])));
    const segment = vectorSegment({ dimensions, count: passages.length, scales, codes: allCodes }, id, 0);
    const withVectors = { ...source, vectors: [{ set: vectorSetOf([segment], scalarKernel), first: 0 }] };
    report(`search with ${id}`, searchAll(withVectors, (i) => ({ embedder: id, values: queries[i] ?? new Float32Array(dimensions) })));
    await cached.close();
    await embedder.dispose();
  }
}
