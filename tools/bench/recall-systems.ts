/** What `bench -- recall` compares: the ingredients of the search one by one, the settings of the word index, and re-rankers. */
import { dirname, basename, join, resolve } from 'node:path';
import { recallingLlm } from '../../src/agent/calls.ts';
import { analysisNames, analysisOf } from '../../src/corpus/analysis.ts';
import { createLexicalBuilder } from '../../src/corpus/lexical-builder.ts';
import { openLexicalSegment } from '../../src/corpus/lexical.ts';
import type { SearchRequest } from '../../src/corpus/retriever.ts';
import { rankingDefaults, type RankingParameters, type SearchSource } from '../../src/corpus/search.ts';
import { schemeOf } from '../../src/corpus/shard.ts';
import { openCrossEncoder } from '../../src/engine/backends/cross-encoder.ts';
import { rerankerRows } from '../../src/engine/models.ts';
import { checkReranker, listwiseReranker, type OpenedReranker, type Reranker } from '../../src/engine/reranker.ts';
import { root } from '../setup.mjs';
import type { NodeCorpus } from './corpus.ts';
import { diskCalls, openNodeLlm } from './in-process.ts';
import { chooseLlm } from './site.ts';

export interface System {
  readonly name: string;
  readonly request: Partial<SearchRequest>;
  readonly parameters: RankingParameters;
  readonly dense: boolean;
  readonly expand?: boolean;
  /** What is searched; default the corpus as it was built. */
  readonly source?: SearchSource;
  /** Questions lose their quotation marks, so that nothing in them is a phrase. */
  readonly withoutPhrases?: boolean;
  readonly reranker?: Reranker;
}

const base = rankingDefaults;

/** Each ingredient on top of the ones before; with a re-ranker, also what it makes of words alone and of the whole. */
export function ingredients(hasVectors: boolean, reranker: Reranker | null): System[] {
  const only = (share: number): RankingParameters => ({ ...base, denseShares: {}, otherDenseShare: share });
  const list: System[] = [{ name: 'bm25', request: { links: false }, parameters: base, dense: false }];
  if (hasVectors) {
    list.push(
      { name: 'dense', request: { links: false }, parameters: only(1), dense: true },
      { name: 'hybrid, reciprocal ranks', request: { links: false }, parameters: { ...base, fusion: 'rank', denseShares: {}, otherDenseShare: 0.5 }, dense: true },
      { name: 'hybrid, score shares', request: { links: false }, parameters: base, dense: true },
    );
  }
  list.push({ name: 'bm25 + links', request: {}, parameters: base, dense: false });
  if (hasVectors) list.push({ name: 'hybrid + links', request: {}, parameters: base, dense: true });
  const best = hasVectors ? 'hybrid' : 'bm25';
  list.push({ name: `${best} + links + expansion`, request: {}, parameters: base, dense: hasVectors, expand: true });
  if (reranker !== null) {
    list.push(
      { name: `bm25 + ${reranker.id}`, request: { links: false }, parameters: base, dense: false, reranker },
      { name: `${best} + links + ${reranker.id}`, request: {}, parameters: base, dense: hasVectors, reranker },
    );
  }
  return list;
}

/** BM25 alone, under each analysis and with other field weights; the first row is what the search does with a shard of the default analysis. */
export function analysisSystems({ source, rows, manifest }: Pick<NodeCorpus, 'source' | 'rows' | 'manifest'>): System[] {
  const scheme = schemeOf(manifest);
  const hasSections = rows.some(({ section }) => section !== '');
  return analysisNames.flatMap((name) => {
    const analysis = analysisOf(name);
    const builder = createLexicalBuilder(analysis);
    for (const row of rows) builder.add(row);
    const own = { ...source, lexical: [openLexicalSegment(builder.finish(), name, { ...scheme, analysis })] };
    const system = (detail: string, lexical: Partial<RankingParameters['lexical']>, more: Partial<System> = {}): System => ({
      name: `${name}, ${detail}`, request: { links: false }, parameters: { ...base, lexical: { ...base.lexical, ...lexical } }, dense: false, source: own, ...more,
    });
    return [
      system('title × 2', {}),
      system('title × 2, no phrases', {}, { withoutPhrases: true }),
      ...[0, 1, 4].map((titleBoost) => system(`title × ${titleBoost}`, { titleBoost })),
      ...(hasSections ? [0, 2].map((sectionBoost) => system(`title × 2, section × ${sectionBoost}`, { sectionBoost })) : []),
    ];
  });
}

/**
 * `cross-encoder:FOLDER` (as transformers.js wants it), or a language model as `--llm` names it: `http:URL#MODEL` or `scripted:FILE`.
 * `keepsCalls`: the model's answers are kept on disk, so that a run that was stopped goes on, and times say nothing. Throws where it cannot be opened or is not sound.
 */
export async function openNodeReranker(spec: string, keepsCalls: boolean, signal: AbortSignal): Promise<OpenedReranker> {
  const path = /^cross-encoder:(.+)$/.exec(spec)?.[1];
  if (path !== undefined) {
    const [row] = rerankerRows;
    if (row === undefined) throw new Error('the catalogue has no cross-encoder');
    const { env } = await import('@huggingface/transformers');
    const folder = resolve(path);
    env.allowRemoteModels = false;
    env.localModelPath = dirname(folder);
    const opened = await openCrossEncoder(row, { folder: basename(folder), device: 'cpu', dtype: 'q8' });
    await checkReranker(opened, signal);
    return opened;
  }
  const llm = await openNodeLlm(await chooseLlm(spec), 1, signal);
  if (llm === null) throw new Error(`--rerank ${spec}: name a language model or cross-encoder:FOLDER`);
  const ranked = listwiseReranker(keepsCalls ? recallingLlm(llm, diskCalls(join(root, '.cache', 'completions'))) : llm);
  return { ...ranked, device: 'cpu', dispose: () => llm.dispose() };
}
