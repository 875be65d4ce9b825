/**
 * Hybrid search over opened sources: words and meaning fused, documents named in the question, then a learned ranking along links between passages.
 * Pure but for the callback that fetches passage texts. Every hit says by which paths it came.
 */
import { abortError } from '../errors.ts';
import type { BatchSearch } from './kernel/batch.ts';
import { fuseRanks, shares, type FusionMethod, type RankedEntry } from './fusion.ts';
import { repeats } from './duplicates.ts';
import { encodeTitles, openTitles, type LinkGraph, type TitleTable } from './links.ts';
import { analyse, englishAnalysis, hasPhrase, isAllPhrases, quotedPhrases, weightedQueryTerms, type Analysis } from './analysis.ts';
import { lexicalDefaults, scoreLexical, searchLexical, type LexicalParameters, type LexicalResult, type LexicalSegment } from './lexical.ts';
import { highlight } from './passages.ts';
import { features, generalWeights, personalisedPageRank, scoreRows, strengths, weightArray, type CandidateFacts, type CandidateLink, type RankWeights } from './rank.ts';
import type { FarLinks } from './own-links.ts';
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
  /** Links to and from documents of other sources: those of own documents. */
  readonly far?: FarLinks;
  /** Weights of the ranking along links that came with it. */
  readonly ranking?: RankWeights | null;
}

export type FetchPassages = (wanted: readonly { readonly source: SearchSource; readonly ordinal: number }[]) => Promise<readonly (Passage | null)[]>;

export interface SearchContext {
  /** The question's unit-length vector; used for the sources whose vectors come from the same embedder. */
  readonly vector: { readonly embedder: string; readonly values: Float32Array } | null;
  /** What the sets gave for the vector, where they were asked before. */
  readonly found?: StoredHits;
  /** Answers in the order of the request; null where a passage is gone. */
  readonly fetchPassages: FetchPassages;
  /** Milliseconds. */
  readonly now: () => number;
  readonly signal: AbortSignal;
}

/** One of several searches. */
export interface AskedSearch {
  readonly request: SearchRequest;
  readonly vector: SearchContext['vector'];
}

export interface RankingParameters {
  readonly lexical: LexicalParameters;
  /** Candidates from each of words and meaning. */
  readonly candidates: number;
  readonly fusion: FusionMethod;
  /** The k of reciprocal rank fusion. */
  readonly rankConstant: number;
  /** Weight of meaning in the fusion, by embedder; `otherDenseShare` for those that are not named. */
  readonly denseShares: Readonly<Record<string, number>>;
  readonly otherDenseShare: number;
  /** Added to the fused score of passages of documents whose title stands in the question. */
  readonly titleBonus: number;
  /** How many of the best candidates are followed along links before the first and before the second stage. */
  readonly seeds: readonly [number, number];
  /** Most linked passages a seed brings in, out and in. */
  readonly fanOut: number;
  readonly fanIn: number;
  /** null: those of the source, if it is the only one with links, else the general ones. */
  readonly weights: RankWeights | null;
}

/** Chosen on the train splits of 2WikiMultihopQA, HotpotQA and MuSiQue, as bench/results/recall.md tells. */
export const rankingDefaults: RankingParameters = {
  lexical: { ...lexicalDefaults, titleBoost: 2 },
  candidates: 100,
  fusion: 'score',
  rankConstant: 60,
  denseShares: { wordllama: 0.25 },
  otherDenseShare: 0.35,
  titleBonus: 0.75,
  seeds: [12, 10],
  fanOut: 40,
  fanIn: 10,
  weights: null,
};

/** Most terms of a question whose occurrence in each passage is looked up: a bit set of 32 bits, and what is as common as this in a large corpus says little. */
const maxCoverageTerms = 31;
const maxCoverageFrequency = 50_000;

export interface Ranking {
  /** Best first. `ordinal` is local to `source`. */
  readonly ranked: readonly { readonly source: SearchSource; readonly ordinal: number; readonly score: number; readonly paths: readonly HitPath[] }[];
  /** Of the query's terms, in an analysis. */
  readonly weights: LexicalResult['weights'];
  readonly searched: number;
  readonly usedDense: boolean;
}

/** What the learned model sees of a search, for learning its weights. */
export interface RankingTrace {
  stage(candidates: readonly CandidateFacts[], matrix: Float64Array, isHybrid: boolean): void;
}

/** The sources of one search, their passages numbered through. */
class Space {
  readonly searched: number;
  private readonly bases: number[] = [];
  private indexes: Map<string, number> | undefined;
  constructor(readonly sources: readonly SearchSource[]) {
    let searched = 0;
    for (const source of sources) {
      this.bases.push(searched);
      searched += source.titles.passages;
    }
    this.searched = searched;
  }
  /** The source of this name; null if it takes no part in the search. */
  named(key: string): { source: SearchSource; base: number } | null {
    this.indexes ??= new Map(this.sources.map((source, i) => [source.key, i]));
    const index = this.indexes.get(key);
    const source = index === undefined ? undefined : this.sources[index];
    return source === undefined || index === undefined ? null : { source, base: this.base(index) };
  }
  base(index: number): number {
    return this.bases[index] ?? 0;
  }
  place(ordinal: number): { source: SearchSource; base: number; index: number } {
    let low = 0;
    let high = this.sources.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if ((this.bases[middle] ?? 0) <= ordinal) low = middle;
      else high = middle - 1;
    }
    const source = this.sources[low];
    if (source === undefined) throw new RangeError(`no passage ${ordinal}`);
    return { source, base: this.bases[low] ?? 0, index: low };
  }
}

/** Ranks without touching any text. Ties go to the earlier source and passage, so that the same library gives the same order. */
export function rank(
  request: SearchRequest,
  sources: readonly SearchSource[],
  vector: (SearchContext['vector'] & { readonly stored?: StoredHits }) | null,
  parameters: RankingParameters = rankingDefaults,
  trace: RankingTrace | null = null,
): Ranking {
  const space = new Space(request.corpora === undefined ? sources : sources.filter((s) => request.corpora?.includes(s.corpus) === true));
  // Links ask for the scores of many passages: then the full evaluation is cheaper than looking each of them up.
  const findWords = request.links === false ? searchLexical : scoreLexical;
  const terms = (analysis: Analysis): Map<string, number> => weightedQueryTerms(request.text, request.terms ?? [], analysis);
  const words = findWords(space.sources.flatMap((s) => s.lexical), terms, parameters.candidates, parameters.lexical);
  const wordList = Array.from(words.ordinals, (ordinal, i): RankedEntry => ({ ordinal, score: words.scores[i] ?? 0 }));
  const dense = request.dense === false || vector === null ? null : searchDense(space, vector, parameters.candidates);
  const denseList = dense ?? [];
  const similar = shares(denseList, denseList.at(-1)?.score ?? 0);
  const wordShare = (ordinal: number): number => ((wordList[0]?.score ?? 0) > 0 ? words.scoreOf(ordinal) / (wordList[0]?.score ?? 1) : 0);
  const denseShare = denseList.length === 0 ? 0 : wordList.length === 0 ? 1 : (parameters.denseShares[vector?.embedder ?? ''] ?? parameters.otherDenseShare);
  const rankFused = parameters.fusion === 'rank' ? fuseRanks([wordList, denseList], [1 - denseShare, denseShare], parameters.rankConstant) : null;
  const fused = (ordinal: number): number =>
    rankFused === null ? (1 - denseShare) * wordShare(ordinal) + denseShare * (similar.get(ordinal) ?? 0) : (rankFused.get(ordinal) ?? 0);

  const paths = new Map<number, HitPath[]>();
  const note = (ordinal: number, path: HitPath): void => {
    const list = paths.get(ordinal);
    if (list === undefined) paths.set(ordinal, [path]);
    else list.push(path);
  };
  wordList.forEach(({ ordinal, score }, i) => note(ordinal, { kind: 'lexical', rank: i + 1, score }));
  denseList.forEach(({ ordinal, score }, i) => note(ordinal, { kind: 'dense', rank: i + 1, score }));

  let links: readonly CandidateLink[] = [];
  let ordered: { readonly ordinal: number; readonly score: number }[];
  if (request.links === false) {
    ordered = [...paths.keys()].map((ordinal) => ({ ordinal, score: fused(ordinal) })).sort((a, b) => b.score - a.score || a.ordinal - b.ordinal);
  } else {
    const named = new Set<number>();
    space.sources.forEach((source, i) => {
      for (const document of source.titles.titlesIn(request.text)) {
        const ordinal = space.base(i) + bestPassage(source, space.base(i), document, words);
        if (!named.has(ordinal)) note(ordinal, { kind: 'title' });
        named.add(ordinal);
      }
    });
    const seen = { wordList, denseList, similar, words, wordShare, named, fused };
    const graph = rankAlongLinks(space, [...paths.keys()], seen, parameters, trace);
    ({ links, ordered } = graph);
  }
  const strength = new Map(ordered.map(({ ordinal, score }) => [ordinal, score]));
  return {
    ranked: (request.groupBy === 'document' ? bestOfDocuments(space, ordered) : ordered).slice(0, Math.max(0, request.k)).map(({ ordinal, score }) => {
      const { source, base } = space.place(ordinal);
      const along = links.filter((link) => link.to === ordinal).sort((a, b) => (strength.get(b.from) ?? 0) - (strength.get(a.from) ?? 0) || a.from - b.from);
      return { source, ordinal: ordinal - base, score, paths: [...(paths.get(ordinal) ?? []), ...along.slice(0, maxLinkPaths).map((link) => linkPath(link, space))] };
    }),
    weights: words.weights,
    searched: space.searched,
    usedDense: dense !== null,
  };
}

/** The first passage of each document in an order. */
function bestOfDocuments<T extends { readonly ordinal: number }>(space: Space, ordered: readonly T[]): T[] {
  const seen = new Set<number>();
  return ordered.filter(({ ordinal }) => {
    const { source, base } = space.place(ordinal);
    const first = base + source.titles.first(source.titles.documentOf(ordinal - base));
    return !seen.has(first) && seen.add(first);
  });
}

/** Most links that a hit names as its paths: from the strongest. */
const maxLinkPaths = 4;

function linkPath({ from, direction }: CandidateLink, space: Space): HitPath {
  const { source, base } = space.place(from);
  const { titles, corpus } = source;
  return { kind: 'link', from: titles.idOf(corpus, from - base), fromTitle: titles.title(titles.documentOf(from - base)), direction };
}

interface Seen {
  readonly wordList: readonly RankedEntry[];
  readonly denseList: readonly RankedEntry[];
  readonly similar: ReadonlyMap<number, number>;
  readonly words: LexicalResult;
  readonly wordShare: (ordinal: number) => number;
  readonly named: ReadonlySet<number>;
  readonly fused: (ordinal: number) => number;
}

/** Both stages of the learned ranking (`rank.ts`): follow the links of the best, score, follow those of the best again, let strength spread, score. */
function rankAlongLinks(
  space: Space,
  found: readonly number[],
  seen: Seen,
  parameters: RankingParameters,
  trace: RankingTrace | null,
): { ordered: { ordinal: number; score: number }[]; links: readonly CandidateLink[] } {
  const { titleBonus, seeds } = parameters;
  const isHybrid = seen.denseList.length > 0;
  const [first, second] = weightsFor(space, parameters)[isHybrid ? 'hybrid' : 'words'];
  const terms = termSets(space, seen.words);
  const wordRanks = new Map(seen.wordList.map(({ ordinal }, i) => [ordinal, i + 1]));
  const denseRanks = new Map(seen.denseList.map(({ ordinal }, i) => [ordinal, i + 1]));
  const facts = new Map<number, CandidateFacts>();
  const consider = (ordinal: number): void => {
    if (facts.has(ordinal)) return;
    const { source, base } = space.place(ordinal);
    const score = seen.words.scoreOf(ordinal);
    const document = source.titles.documentOf(ordinal - base);
    const first = base + source.titles.first(document);
    facts.set(ordinal, {
      ordinal,
      score,
      words: seen.wordShare(ordinal),
      wordsRank: wordRanks.get(ordinal) ?? 0,
      meaning: seen.similar.get(ordinal) ?? 0,
      meaningRank: denseRanks.get(ordinal) ?? 0,
      isNamed: seen.named.has(ordinal),
      terms: terms.inText[ordinal] ?? 0,
      titleTerms: terms.inTitle[ordinal] ?? 0,
      titleLength: terms.inTitle[ordinal] === 0 ? 1 : analyse(source.titles.title(document), analysisIn(source)).length,
      isLead: ordinal === first,
      document: first,
      incoming: (source.links?.in(document).length ?? 0) + (source.far?.in(document).length ?? 0),
    });
  };
  for (const ordinal of found) consider(ordinal);

  const links: CandidateLink[] = [];
  const spent = new Set<number>();
  const follow = (strength: ReadonlyMap<number, number>, count: number): void => {
    for (const seed of [...strength].sort((a, b) => b[1] - a[1] || a[0] - b[0]).slice(0, count)) {
      if (spent.has(seed[0])) continue;
      spent.add(seed[0]);
      links.push(...linksOf(space, seed[0], seen, parameters));
    }
    for (const { to } of links) consider(to);
  };
  const run = (strength: ReadonlyMap<number, number>, weights: RankWeights['words'][number]): Map<number, number> => {
    const candidates = [...facts.values()].sort((a, b) => a.ordinal - b.ordinal);
    const matrix = features(candidates, Float64Array.from(candidates, ({ ordinal }) => strength.get(ordinal) ?? seen.fused(ordinal)), links, terms.weights);
    trace?.stage(candidates, matrix, isHybrid);
    const scored = strengths(scoreRows(matrix, weightArray(weights)));
    return new Map(candidates.map(({ ordinal }, i) => [ordinal, scored[i] ?? 0]));
  };
  const start = new Map([...facts.keys()].map((ordinal) => [ordinal, seen.fused(ordinal) + (seen.named.has(ordinal) ? titleBonus : 0)]));
  follow(start, seeds[0]);
  const once = run(start, first);
  follow(once, seeds[1]);
  const twice = run(spread([...facts.keys()], once, links), second);
  const ordered = [...twice].map(([ordinal, score]) => ({ ordinal, score })).sort((a, b) => b.score - a.score || a.ordinal - b.ordinal);
  return { ordered, links };
}

/** Strength after a truncated personalised PageRank over the links that were followed; the first stage's strengths are where it restarts. */
function spread(ordinals: readonly number[], strength: ReadonlyMap<number, number>, links: readonly CandidateLink[]): Map<number, number> {
  const rows = new Map(ordinals.map((ordinal, i) => [ordinal, i]));
  const edges = links.flatMap(({ from, to, direction, sibling }) => {
    const [a, b] = direction === 'out' ? [rows.get(from), rows.get(to)] : [rows.get(to), rows.get(from)];
    if (a === undefined || b === undefined) return [];
    // What fits the question better draws more; against its direction a link carries a fifth.
    const weight = sibling + leastDraw;
    return [{ from: a, to: b, weight }, { from: b, to: a, weight: againstShare * weight }];
  });
  const restart = Float64Array.from(ordinals, (ordinal) => strength.get(ordinal) ?? 0);
  const mass = personalisedPageRank(ordinals.length, edges, restart, damping, pageRankSteps);
  return new Map(ordinals.map((ordinal, i) => [ordinal, mass[i] ?? 0]));
}

const leastDraw = 0.1;
const againstShare = 0.2;
const damping = 0.5;
const pageRankSteps = 4;

function weightsFor(space: Space, parameters: RankingParameters): RankWeights {
  if (parameters.weights !== null) return parameters.weights;
  const linked = space.sources.filter((source) => source.links !== null);
  return (linked.length === 1 ? linked[0]?.ranking : null) ?? generalWeights;
}

/** Which of the question's terms occur in each passage, as bit sets, and the weights of these terms. */
function termSets(space: Space, words: LexicalResult): { inText: Uint32Array; inTitle: Uint32Array; weights: number[] } {
  const inText = new Uint32Array(space.searched);
  const inTitle = new Uint32Array(space.searched);
  const terms = [...words.weights()].sort((a, b) => b[1] - a[1]).slice(0, maxCoverageTerms);
  const encoder = new TextEncoder();
  space.sources.forEach((source, s) => {
    let base = space.base(s);
    for (const segment of source.lexical) {
      terms.forEach(([term], bit) => {
        for (const form of words.forms(term, segment.scheme.analysis)) {
          const place = segment.find(encoder.encode(form));
          if (place < 0 || segment.documentFrequency(place) > maxCoverageFrequency) continue;
          segment.eachPosting(place, (ordinal, _text, title) => {
            inText[base + ordinal] = (inText[base + ordinal] ?? 0) | (1 << bit);
            if (title > 0) inTitle[base + ordinal] = (inTitle[base + ordinal] ?? 0) | (1 << bit);
          });
        }
      });
      base += segment.passages;
    }
  });
  return { inText, inTitle, weights: terms.map(([, weight]) => weight) };
}

/** The passages that a seed links to (the best of each document) and that link to its document, those that fit the words best. */
function linksOf(space: Space, seed: number, { words, wordShare }: Seen, { fanOut, fanIn }: RankingParameters): CandidateLink[] {
  const { source, base } = space.place(seed);
  const { links, titles, far } = source;
  const own = titles.documentOf(seed - base);
  const out = [...(links?.out(seed - base) ?? [])].filter((document) => document !== own).map((document) => base + bestPassage(source, base, document, words));
  const back = [...(links?.in(own) ?? [])].filter((passage) => titles.documentOf(passage) !== own).map((passage) => base + passage);
  for (const { key, document } of far?.out(seed - base) ?? []) {
    const other = space.named(key);
    if (other !== null) out.push(other.base + bestPassage(other.source, other.base, document, words));
  }
  for (const { key, ordinal } of far?.in(own) ?? []) {
    const other = space.named(key);
    if (other !== null) back.push(other.base + ordinal);
  }
  const take = (all: readonly number[], direction: 'out' | 'in', most: number): CandidateLink[] => {
    const order = [...all].sort((a, b) => wordShare(b) - wordShare(a) || a - b);
    const best = wordShare(order[0] ?? 0);
    const dilution = 1 / Math.sqrt(Math.max(1, all.length));
    return order.slice(0, most).map((to) => ({ from: seed, to, direction, dilution, sibling: best > 0 ? wordShare(to) / best : 0 }));
  };
  return [...take(out, 'out', fanOut), ...take(back, 'in', fanIn)];
}

/** What sets gave before the ranking: those whose rows are not in memory (`searchStored`), or all of them (`searchMany`). */
type StoredHits = ReadonlyMap<VectorSet, VectorHits>;

const fits = (set: VectorSet, vector: NonNullable<SearchContext['vector']>): boolean => set.embedder === vector.embedder && set.dimensions === vector.values.length;

const setsOf = (sources: readonly SearchSource[]): Set<VectorSet> => new Set(sources.flatMap((source) => source.vectors.map(({ set }) => set)));

/** Asks the sets whose rows must be read from the store; the others answer within `rank`. */
async function searchStored(sources: readonly SearchSource[], vector: NonNullable<SearchContext['vector']>, k: number): Promise<StoredHits> {
  const hits = new Map<VectorSet, VectorHits>();
  for (const set of setsOf(sources)) if (fits(set, vector) && set.search(vector.values, 0) === null) hits.set(set, await set.searchStored(vector.values, k));
  return hits;
}

/** Best rows over all sources that have vectors of this embedder; null where none has. */
function searchDense(
  space: Space,
  vector: NonNullable<SearchContext['vector']> & { readonly stored?: StoredHits },
  k: number,
): RankedEntry[] | null {
  const owners = new Map<VectorSet, { first: number; end: number; base: number }[]>();
  space.sources.forEach((source, i) => {
    for (const { set, first } of source.vectors) {
      if (!fits(set, vector)) continue;
      const list = owners.get(set) ?? [];
      list.push({ first, end: first + source.titles.passages, base: space.base(i) });
      owners.set(set, list);
    }
  });
  if (owners.size === 0) return null;
  const found: RankedEntry[] = [];
  for (const [set, list] of owners) {
    list.sort((a, b) => a.first - b.first);
    const hits = vector.stored?.get(set) ?? set.search(vector.values, k);
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

/** Most neighbours that are listed each way. */
const maxNeighbours = 50;

export interface SourcePassage {
  readonly source: SearchSource;
  /** Local to its source. */
  readonly ordinal: number;
}

/**
 * What lies around a passage: the first passages of the documents that it links to, the passages that link to its document (those of its own source first), and the
 * passages beside it in its document.
 */
export function passagesAround(
  source: SearchSource,
  ordinal: number,
  sources: readonly SearchSource[],
): { readonly out: readonly SourcePassage[]; readonly in: readonly SourcePassage[]; readonly previous: SourcePassage | null; readonly next: SourcePassage | null } {
  const { titles, links, far } = source;
  const own = titles.documentOf(ordinal);
  const space = new Space(sources);
  const away = (key: string, of: (other: SearchSource) => number): SourcePassage[] => {
    const other = space.named(key)?.source;
    return other === undefined ? [] : [{ source: other, ordinal: of(other) }];
  };
  const out = [
    ...[...(links?.out(ordinal) ?? [])].filter((document) => document !== own).map((document) => ({ source, ordinal: titles.first(document) })),
    ...(far?.out(ordinal) ?? []).flatMap(({ key, document }) => away(key, (other) => other.titles.first(document))),
  ];
  const back = [
    ...[...(links?.in(own) ?? [])].filter((passage) => titles.documentOf(passage) !== own).map((passage) => ({ source, ordinal: passage })),
    ...(far?.in(own) ?? []).flatMap((passage) => away(passage.key, () => passage.ordinal)),
  ];
  const first = titles.first(own);
  const beside = (other: number): SourcePassage | null => (other < first || other >= first + titles.count(own) ? null : { source, ordinal: other });
  return { out: out.slice(0, maxNeighbours), in: back.slice(0, maxNeighbours), previous: beside(ordinal - 1), next: beside(ordinal + 1) };
}

/**
 * Passages with a phrase that go first where the question has other words too. With all of them first, what the other words ask for is pushed out: .896 instead of .910
 * all-gold@10 on HotpotQA's dev questions (bench/results/recall.md).
 */
const phraseLeads = 2;

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
  const vector = asked === null ? null : { ...asked, stored: context.found ?? (await searchStored(sources, asked, parameters.candidates)) };
  // Word indexes hold no positions (they would double them): a phrase is looked for in the texts of the best candidates.
  const phrases = quotedPhrases(request.text);
  const depth = phrases.length > 0 && request.k > 0 ? Math.max(request.k, parameters.candidates) : request.k;
  const { groupBy, ...ungrouped } = request;
  // A phrase may make another passage the best of its document: then documents are put together after it.
  const { ranked, weights, searched, usedDense } = rank({ ...(phrases.length > 0 ? ungrouped : request), k: depth }, sources, vector, parameters);
  const passages = ranked.length === 0 ? [] : await context.fetchPassages(ranked);
  if (context.signal.aborted) throw abortError();
  const found = ranked.flatMap(({ source, paths }, i) => {
    const passage = passages[i];
    if (passage === null || passage === undefined) return [];
    const analysis = analysisIn(source);
    const inside = phrases.length === 0 ? [] : quotedPhrases(request.text, analysis).filter((phrase) => contains(passage, phrase, analysis));
    return [{ passage, paths, phrases: inside.length, analysis }];
  });
  if (phrases.length > 0) {
    const having = [...found].sort((a, b) => b.phrases - a.phrases).filter((one) => one.phrases > 0);
    const first = new Set(having.slice(0, isAllPhrases(request.text) ? having.length : phraseLeads));
    found.splice(0, found.length, ...first, ...found.filter((one) => !first.has(one)));
  }
  const document = ({ passage }: (typeof found)[number]): string => `${passage.corpus}/${passage.docId}`;
  const kept = phrases.length > 0 && groupBy === 'document' ? found.filter((one, i) => found.findIndex((other) => document(other) === document(one)) === i) : found;
  const hits = kept.slice(0, Math.max(0, request.k)).map(({ passage, paths, analysis }, i): Hit => {
    // Scores go down with the ranks, also where a phrase changed the order.
    return { passage, score: ranked[i]?.score ?? 0, rank: i + 1, paths, ...highlight(passage.text, passage.sentenceEnds, weights(analysis), analysis) };
  });
  const twins = repeats(hits.map((hit) => hit.passage.text));
  const marked = hits.map((hit, i): Hit => {
    const first = hits[twins[i] ?? -1];
    return first === undefined ? hit : { ...hit, repeats: first.passage.id };
  });
  return { hits: marked, searched, usedDense, ms: context.now() - started };
}

/**
 * Several searches, each with the result of `search`; their vectors are looked for together, set by set. `exact`: see `VectorSet.searchMany`.
 * The `ms` of a result leave out what was done together.
 */
export async function searchMany(
  asked: readonly AskedSearch[],
  sources: readonly SearchSource[],
  context: Omit<SearchContext, 'vector' | 'found'>,
  exact: Pick<BatchSearch, 'search'>,
  parameters: RankingParameters = rankingDefaults,
): Promise<SearchResult[]> {
  const found = asked.map(() => new Map<VectorSet, VectorHits>());
  for (const set of setsOf(sources)) {
    if (context.signal.aborted) throw abortError();
    const own = asked.flatMap(({ request, vector }, i) => (request.dense === false || vector === null || !fits(set, vector) ? [] : [{ i, values: vector.values }]));
    const hits = own.length === 0 ? [] : await set.searchMany(own.map(({ values }) => values), parameters.candidates, exact);
    own.forEach(({ i }, at) => {
      const some = hits[at];
      if (some !== undefined) found[i]?.set(set, some);
    });
  }
  const results: SearchResult[] = [];
  for (const [i, { request, vector }] of asked.entries()) {
    const known = found[i];
    results.push(await search(request, sources, { ...context, vector, ...(known === undefined ? {} : { found: known }) }, parameters));
  }
  return results;
}

function analysisIn(source: SearchSource): Analysis {
  return source.lexical[0]?.scheme.analysis ?? englishAnalysis;
}

function contains(passage: Passage, phrase: readonly string[], analysis: Analysis): boolean {
  return [passage.text, passage.title, passage.section].some((text) => hasPhrase(text, phrase, analysis));
}

/** The source of one own document. `lexical`: its word index; `vectors`: those that exist so far; `name`: for errors. */
export function documentSource(
  corpus: string,
  document: { readonly id: string; readonly title: string; readonly name: string; readonly passages: number },
  lexical: LexicalSegment,
  vectors: readonly SourceVectors[],
): SearchSource {
  const { id, title, name, passages } = document;
  return {
    key: `${corpus}/${id}`,
    corpus,
    titles: openTitles([{ bytes: encodeTitles([{ docId: id, title, first: 0, passages, aliases: [] }], 0), name }]),
    lexical: [lexical],
    vectors,
    links: null,
  };
}
