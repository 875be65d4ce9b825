/**
 * Hybrid search over opened sources: words and meaning joined by reciprocal rank fusion, documents named in the question, then a spread along links.
 * Pure but for the callback that fetches passage texts. Every hit says by which paths it came.
 */
import { abortError } from '../errors.ts';
import { encodeTitles, openTitles, type LinkGraph, type TitleTable } from './links.ts';
import { weightedQueryTerms } from './analysis.ts';
import { lexicalDefaults, openLexicalSegment, scoreLexical, searchLexical, type LexicalParameters, type LexicalResult, type LexicalSegment } from './lexical.ts';
import { highlight, type PassageRow } from './passages.ts';
import type { Hit, HitPath, Passage, SearchRequest, SearchResult } from './retriever.ts';
import type { VectorHits } from './vector-index.ts';
import type { SourceVectors, VectorSet } from './vector-set.ts';

/** A shard or one own document, opened for search. Ordinals run from 0 within it. */
export interface SearchSource {
  /** Unique among the sources of a search. */
  readonly key: string;
  readonly corpus: string;
  readonly titles: TitleTable;
  /** In ordinal order; together they cover the source. */
  readonly lexical: readonly LexicalSegment[];
  /** Those that exist so far, a set an embedder. Sources may share a set. */
  readonly vectors: readonly SourceVectors[];
  readonly links: LinkGraph | null;
}

export type FetchPassages = (wanted: readonly { readonly source: SearchSource; readonly ordinal: number }[]) => Promise<readonly (Passage | null)[]>;

export interface SearchContext {
  /** The question's unit-length vector; used for the sources whose vectors come from the same embedder. */
  readonly vector: { readonly embedder: string; readonly values: Float32Array } | null;
  /** Answers in the order of the request; null where a passage is gone. */
  readonly fetchPassages: FetchPassages;
  /** Milliseconds. */
  readonly now: () => number;
  readonly signal: AbortSignal;
}

export interface RankingParameters {
  readonly lexical: LexicalParameters;
  /** Candidates from each of words and meaning. */
  readonly candidates: number;
  /** The k of reciprocal rank fusion. */
  readonly fusion: number;
  /** Share of the fused rank in a candidate's base score; the rest is its share of the best word score and of the best similarity. */
  readonly rankShare: number;
  /** Weight of similarity in that rest, where there are vectors. */
  readonly denseShare: number;
  /** Added to passages of documents whose title stands in the question. */
  readonly titleBonus: number;
  /** How many best candidates may pass on score, and to how many linked passages each. */
  readonly spreaders: number;
  readonly fanOut: number;
  readonly linkWeight: number;
  /** A linked passage gains linkWeight × the spreader's score × (linkFloor + linkShare × its own share of the best). */
  readonly linkFloor: number;
  readonly linkShare: number;
  /** Factor for links against their direction. */
  readonly incoming: number;
  /** The gain is divided by (1 + log2 of the links that point to the document) to this power: what everything links to says little. */
  readonly hub: number;
  readonly steps: number;
}

/**
 * Tuned by hand on the train splits of 2WikiMultihopQA, HotpotQA and MuSiQue (own corpora and their union) and on the tune split of the demo shard;
 * the figures are flat around these values.
 */
export const rankingDefaults: RankingParameters = {
  lexical: { ...lexicalDefaults, titleBoost: 2 },
  candidates: 100,
  fusion: 60,
  rankShare: 0.1,
  denseShare: 0.35,
  titleBonus: 0.75,
  spreaders: 6,
  fanOut: 6,
  linkWeight: 0.8,
  linkFloor: 0.6,
  linkShare: 0.6,
  incoming: 0.2,
  hub: 0.2,
  steps: 1,
};

/** A passage by its number over all sources, before its text is fetched. */
interface Candidate {
  readonly ordinal: number;
  score: number;
  readonly paths: RankedPath[];
}

type RankedPath = Exclude<HitPath, { kind: 'link' }> | { readonly kind: 'link'; readonly from: number; readonly direction: 'out' | 'in' };

export interface Ranking {
  /** Best first. `ordinal` is local to `source`. */
  readonly ranked: readonly { readonly source: SearchSource; readonly ordinal: number; readonly score: number; readonly paths: readonly HitPath[] }[];
  readonly weights: ReadonlyMap<string, number>;
  readonly searched: number;
  readonly usedDense: boolean;
}

/** Ranks without touching any text. Ties go to the earlier source and passage, so that the same library gives the same order. */
export function rank(
  request: SearchRequest,
  sources: readonly SearchSource[],
  vector: (SearchContext['vector'] & { readonly stored?: StoredHits }) | null,
  parameters: RankingParameters = rankingDefaults,
): Ranking {
  const chosen = request.corpora === undefined ? sources : sources.filter((s) => request.corpora?.includes(s.corpus) === true);
  const bases: number[] = [];
  let searched = 0;
  for (const source of chosen) {
    bases.push(searched);
    searched += source.titles.passages;
  }
  const place = (ordinal: number): { source: SearchSource; base: number } => {
    let low = 0;
    let high = chosen.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if ((bases[middle] ?? 0) <= ordinal) low = middle;
      else high = middle - 1;
    }
    const source = chosen[low];
    if (source === undefined) throw new RangeError(`no passage ${ordinal}`);
    return { source, base: bases[low] ?? 0 };
  };

  // Links ask for the scores of many passages: then the full evaluation is cheaper than looking each of them up.
  const findWords = request.links === false ? searchLexical : scoreLexical;
  const terms = weightedQueryTerms(request.text, request.terms ?? []);
  const words = findWords(chosen.flatMap((s) => s.lexical), terms, parameters.candidates, parameters.lexical);
  const candidates = new Map<number, Candidate>();
  const candidate = (ordinal: number): Candidate => {
    let c = candidates.get(ordinal);
    if (c === undefined) candidates.set(ordinal, (c = { ordinal, score: 0, paths: [] }));
    return c;
  };
  let lists = 0;
  if (words.count > 0) lists++;
  for (let i = 0; i < words.count; i++) {
    const c = candidate(words.ordinals[i] ?? 0);
    c.score += 1 / (parameters.fusion + i + 1);
    c.paths.push({ kind: 'lexical', rank: i + 1, score: words.scores[i] ?? 0 });
  }
  const dense = request.dense === false || vector === null ? null : searchDense(chosen, bases, vector, parameters.candidates);
  if (dense !== null && dense.length > 0) lists++;
  dense?.forEach(({ ordinal, score }, i) => {
    const c = candidate(ordinal);
    c.score += 1 / (parameters.fusion + i + 1);
    c.paths.push({ kind: 'dense', rank: i + 1, score });
  });
  // A passage's share of the best: word scores start at 0, similarities at that of the last candidate.
  const bestWords = words.scores[0] ?? 0;
  const floor = dense?.at(-1)?.score ?? 0;
  const range = (dense?.[0]?.score ?? 0) - floor;
  const similar = new Map(dense?.map(({ ordinal, score }) => [ordinal, range > 0 ? (score - floor) / range : 1]));
  const denseShare = similar.size === 0 ? 0 : bestWords === 0 ? 1 : parameters.denseShare;
  const share = (ordinal: number): number =>
    (1 - denseShare) * (bestWords > 0 ? words.scoreOf(ordinal) / bestWords : 0) + denseShare * (similar.get(ordinal) ?? 0);
  for (const c of candidates.values()) {
    const fused = (c.score * (parameters.fusion + 1)) / Math.max(1, lists);
    c.score = parameters.rankShare * fused + (1 - parameters.rankShare) * share(c.ordinal);
  }

  if (request.links !== false) {
    chosen.forEach((source, i) => {
      for (const document of source.titles.titlesIn(request.text)) {
        const ordinal = (bases[i] ?? 0) + bestPassage(source, bases[i] ?? 0, document, words);
        const c = candidate(ordinal);
        if (c.score === 0) c.score = (1 - parameters.rankShare) * share(ordinal);
        c.score += parameters.titleBonus;
        c.paths.push({ kind: 'title' });
      }
    });
  }
  const direct = sorted(candidates.values());
  if (request.links !== false) spread(direct, candidates, candidate, place, words, share, parameters);

  // Links lift what no word would find, but in a dense graph they also bury good direct hits: so the direct order and the order along links take turns.
  const ordered = request.links === false ? direct : alternate(direct, sorted(candidates.values()));
  let score = Infinity;
  return {
    ranked: ordered.slice(0, Math.max(0, request.k)).map((c) => {
      const { source, base } = place(c.ordinal);
      score = Math.min(score, c.score);
      return { source, ordinal: c.ordinal - base, score, paths: c.paths.map((p) => publicPath(p, source, base)) };
    }),
    weights: words.weights,
    searched,
    usedDense: dense !== null,
  };
}

function sorted(candidates: Iterable<Candidate>): Candidate[] {
  return [...candidates].sort((a, b) => b.score - a.score || a.ordinal - b.ordinal);
}

/** Takes turns from two orders, the first one first; what was taken is not taken again. */
function alternate(first: readonly Candidate[], second: readonly Candidate[]): Candidate[] {
  const taken = new Set<Candidate>();
  const lists = [first, second] as const;
  const next = [0, 0];
  for (let turn = 0; taken.size < second.length; turn = 1 - turn) {
    const list = lists[turn] ?? second;
    let at = next[turn] ?? 0;
    while (at < list.length && taken.has(list[at] as Candidate)) at++;
    const c = list[at];
    if (c !== undefined) taken.add(c);
    next[turn] = at;
  }
  return [...taken];
}

function publicPath(path: RankedPath, source: SearchSource, base: number): HitPath {
  if (path.kind !== 'link') return path;
  const from = path.from - base;
  return { kind: 'link', from: source.titles.idOf(source.corpus, from), fromTitle: source.titles.title(source.titles.documentOf(from)), direction: path.direction };
}

/** What the sets gave whose rows are not in memory: see `searchStored`. */
type StoredHits = ReadonlyMap<VectorSet, VectorHits>;

const fits = (set: VectorSet, vector: NonNullable<SearchContext['vector']>): boolean => set.embedder === vector.embedder && set.dimensions === vector.values.length;

/** Asks the sets whose rows must be read from the store; the others answer within `rank`. */
async function searchStored(sources: readonly SearchSource[], vector: NonNullable<SearchContext['vector']>, k: number): Promise<StoredHits> {
  const sets = new Set(sources.flatMap((source) => source.vectors.map(({ set }) => set)).filter((set) => fits(set, vector)));
  const hits = new Map<VectorSet, VectorHits>();
  for (const set of sets) if (set.search(vector.values, 0) === null) hits.set(set, await set.searchStored(vector.values, k));
  return hits;
}

/** Best rows over all sources that have vectors of this embedder; null where none has. */
function searchDense(
  sources: readonly SearchSource[],
  bases: readonly number[],
  vector: NonNullable<SearchContext['vector']> & { readonly stored?: StoredHits },
  k: number,
): { ordinal: number; score: number }[] | null {
  const owners = new Map<VectorSet, { first: number; end: number; base: number }[]>();
  sources.forEach((source, i) => {
    for (const { set, first } of source.vectors) {
      if (!fits(set, vector)) continue;
      const list = owners.get(set) ?? [];
      list.push({ first, end: first + source.titles.passages, base: bases[i] ?? 0 });
      owners.set(set, list);
    }
  });
  if (owners.size === 0) return null;
  const found: { ordinal: number; score: number }[] = [];
  for (const [set, list] of owners) {
    list.sort((a, b) => a.first - b.first);
    const hits = set.search(vector.values, k) ?? vector.stored?.get(set);
    hits?.ordinals.forEach((ordinal, i) => {
      const owner = list[lastWhere(list.length, (at) => (list[at]?.first ?? 0) <= ordinal)];
      if (owner !== undefined && ordinal < owner.end) found.push({ ordinal: owner.base + ordinal - owner.first, score: hits.scores[i] ?? 0 });
    });
  }
  return found.sort((a, b) => b.score - a.score || a.ordinal - b.ordinal).slice(0, k);
}

/** The last number below `length` for which `holds`, where it holds up to some number and for none after it; -1 for none. */
function lastWhere(length: number, holds: (at: number) => boolean): number {
  let low = -1;
  let high = length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (holds(middle)) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** The passage of a document that fits the words of the question best; its first one if none does. Local ordinal. */
function bestPassage(source: SearchSource, base: number, document: number, words: LexicalResult): number {
  const first = source.titles.first(document);
  let best = first;
  for (let o = first + 1; o < first + source.titles.count(document); o++) {
    if (words.scoreOf(base + o) > words.scoreOf(base + best)) best = o;
  }
  return best;
}

/** The best candidates pass on score to the passages of the documents they link to, and to the passages that link to theirs. */
function spread(
  direct: readonly Candidate[],
  candidates: ReadonlyMap<number, Candidate>,
  candidate: (ordinal: number) => Candidate,
  place: (ordinal: number) => { source: SearchSource; base: number },
  words: LexicalResult,
  share: (ordinal: number) => number,
  parameters: RankingParameters,
): void {
  const spent = new Set<number>();
  for (let step = 0; step < parameters.steps; step++) {
    const gains: { from: number; to: number; gain: number; direction: 'out' | 'in' }[] = [];
    const from = (step === 0 ? direct : sorted(candidates.values())).slice(0, parameters.spreaders);
    for (const seed of from) {
      if (spent.has(seed.ordinal)) continue;
      spent.add(seed.ordinal);
      const { source, base } = place(seed.ordinal);
      if (source.links === null) continue;
      const { links, titles } = source;
      const own = titles.documentOf(seed.ordinal - base);
      const targets = new Map<number, { gain: number; direction: 'out' | 'in' }>();
      const offer = (to: number, document: number, direction: 'out' | 'in'): void => {
        const way = direction === 'out' ? 1 : parameters.incoming;
        const hub = (1 + Math.log2(Math.max(1, links.in(document).length))) ** parameters.hub;
        const gain = (parameters.linkWeight * seed.score * way * (parameters.linkFloor + parameters.linkShare * share(to))) / hub;
        if (gain > (targets.get(to)?.gain ?? 0)) targets.set(to, { gain, direction });
      };
      for (const document of links.out(seed.ordinal - base)) if (document !== own) offer(base + bestPassage(source, base, document, words), document, 'out');
      for (const passage of links.in(own)) {
        const document = titles.documentOf(passage);
        if (document !== own) offer(base + passage, document, 'in');
      }
      const best = [...targets].sort((a, b) => b[1].gain - a[1].gain || a[0] - b[0]).slice(0, parameters.fanOut);
      for (const [to, { gain, direction }] of best) gains.push({ from: seed.ordinal, to, gain, direction });
    }
    for (const { from: seed, to, gain, direction } of gains) {
      const c = candidate(to);
      if (c.score === 0) c.score = (1 - parameters.rankShare) * share(to);
      c.score += gain;
      c.paths.push({ kind: 'link', from: seed, direction });
    }
  }
}

/** Most neighbours that are listed each way. */
const maxNeighbours = 50;

/** Local ordinals: the first passages of the documents that a passage links to, and the passages that link to its document. */
export function linkedPassages({ titles, links }: SearchSource, ordinal: number): { readonly out: readonly number[]; readonly in: readonly number[] } {
  if (links === null) return { out: [], in: [] };
  const own = titles.documentOf(ordinal);
  const out = [...links.out(ordinal)].filter((document) => document !== own && titles.count(document) > 0).map((document) => titles.first(document));
  const back = [...links.in(own)].filter((passage) => titles.documentOf(passage) !== own);
  return { out: out.slice(0, maxNeighbours), in: back.slice(0, maxNeighbours) };
}

/** Searches the sources and fetches the texts of the hits. Rejects with `AbortError`; an empty query gives no hits. */
export async function search(
  request: SearchRequest,
  sources: readonly SearchSource[],
  context: SearchContext,
  parameters: RankingParameters = rankingDefaults,
): Promise<SearchResult> {
  const started = context.now();
  if (context.signal.aborted) throw abortError();
  const asked = request.dense === false ? null : context.vector;
  const vector = asked === null ? null : { ...asked, stored: await searchStored(sources, asked, parameters.candidates) };
  const { ranked, weights, searched, usedDense } = rank(request, sources, vector, parameters);
  const passages = ranked.length === 0 ? [] : await context.fetchPassages(ranked);
  if (context.signal.aborted) throw abortError();
  const hits: Hit[] = [];
  ranked.forEach(({ score, paths }, i) => {
    const passage = passages[i];
    if (passage === null || passage === undefined) return;
    hits.push({ passage, score, rank: hits.length + 1, paths, ...highlight(passage.text, passage.sentenceEnds, weights) });
  });
  return { hits, searched, usedDense, ms: context.now() - started };
}

/** The source of one own document. `lexical`: the bytes of its word index; `vectors`: those that exist so far. */
export function documentSource(key: string, corpus: string, rows: readonly PassageRow[], lexical: Uint8Array, vectors: readonly SourceVectors[]): SearchSource {
  const head = rows[0];
  const table = head === undefined ? [] : [{ docId: head.docId, title: head.title, first: 0, passages: rows.length, aliases: [] }];
  return {
    key,
    corpus,
    titles: openTitles([{ bytes: encodeTitles(table, 0), name: key }]),
    lexical: [openLexicalSegment(lexical, key)],
    vectors,
    links: null,
  };
}
