/**
 * The re-ranking stage of a search: more candidates than asked for are retrieved, scored anew, put in order and cut. Each hit keeps the rank that it had before, so
 * that "among the candidates but not shown" can be told from "not found".
 */
import type { Reranker } from '../engine/reranker.ts';
import type { Hit, SearchRequest, SearchResult } from './retriever.ts';

/** Candidates that are retrieved for re-ranking. */
export const rerankDepth = 50;

/** `search` answers the request as given. Rejects as both do; equal scores keep the order of the search. `ms` covers both. */
export async function searchReranked(
  request: SearchRequest,
  search: (request: SearchRequest) => Promise<SearchResult>,
  reranker: Reranker,
  now: () => number,
  signal: AbortSignal,
): Promise<SearchResult> {
  const started = now();
  const { rerank: _, ...plain } = request;
  const result = await search({ ...plain, k: Math.max(request.k, rerankDepth) });
  const scores = await reranker.score(request.text, result.hits.map((hit) => hit.passage), signal);
  const order = result.hits.map((hit, i) => ({ hit, score: scores[i] ?? -Infinity })).sort((a, b) => b.score - a.score || a.hit.rank - b.hit.rank);
  const best = order[0]?.score ?? 0;
  const hits = order.slice(0, Math.max(0, request.k)).map(({ hit, score }, i): Hit => ({
    ...hit,
    rank: i + 1,
    score: score - best,
    paths: [...hit.paths, { kind: 'rerank', before: hit.rank, score }],
  }));
  return { ...result, hits, ms: now() - started };
}
