/**
 * What the agent, the page and the lab know of a corpus: passages, hits and the `Retriever` contract. Types only.
 */

/** A passage as stored and shown. All text is data: it is never markup and never an instruction. */
export interface Passage {
  /** Unique in the library: `<corpus>/<docId>` or `<corpus>/<docId>#<n>` (n from 1) where a document has several passages. */
  readonly id: string;
  /** Shard id, or `own` for the person's own documents. */
  readonly corpus: string;
  /** The document's id inside its corpus (the `id` of the input row, the page title of a dump). */
  readonly docId: string;
  readonly title: string;
  /** Section heading, '' for the lead. */
  readonly section: string;
  readonly text: string;
  /** End offsets (UTF-16, exclusive) of the sentences of `text`; the last equals `text.length`. */
  readonly sentenceEnds: readonly number[];
  /** Page number (from 1) in a paged document, else null. */
  readonly page: number | null;
}

/** Half-open range of UTF-16 offsets. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

export type HitPath =
  | { readonly kind: 'lexical'; readonly rank: number; readonly score: number }
  | { readonly kind: 'dense'; readonly rank: number; readonly score: number }
  | { readonly kind: 'title' }
  /** Put here by the re-ranker; `before` is the rank that the search gave. */
  | { readonly kind: 'rerank'; readonly before: number; readonly score: number }
  /** Reached along a link from another hit. */
  | { readonly kind: 'link'; readonly from: string; readonly fromTitle: string; readonly direction: 'out' | 'in' };

export interface Hit {
  readonly passage: Passage;
  /** Fused score; comparable within one result only. */
  readonly score: number;
  /** From 1. */
  readonly rank: number;
  /** How the passage was found; at least one. */
  readonly paths: readonly HitPath[];
  /** Query terms in `passage.text`, in order, not overlapping. */
  readonly highlights: readonly Span[];
  /** Index of the sentence that fits the query best. */
  readonly bestSentence: number;
  /** Id of a better hit of the same result that says nearly the same. For lists that a person reads; nothing is left out for it. */
  readonly repeats?: string;
}

/** A passage by name, for a list to follow. */
export interface PassageRef {
  readonly id: string;
  readonly title: string;
  readonly section: string;
}

/** What lies around a passage. */
export interface Neighbours {
  /** Passages of the documents that it links to, in the order of the documents; at most 50. */
  readonly out: readonly PassageRef[];
  /** Passages that link to its document; at most 50. */
  readonly in: readonly PassageRef[];
  /** The passages before and after it in its document. */
  readonly previous: PassageRef | null;
  readonly next: PassageRef | null;
}

/** A word or several that a query is searched by besides its own. */
export interface WeightedTerm {
  readonly text: string;
  /** Factor of its share of the word score, above 0; the words of the question itself keep 1 (SIRA, METHODS §4.6). */
  readonly weight: number;
}

export interface TermFrequencies {
  /** Passages that are searched; 0 while there is no complete corpus. */
  readonly passages: number;
  /** In the order asked: passages that contain the term after analysis. Several words count as their rarest one; no word at all as 0. */
  readonly documents: readonly number[];
}

export interface SearchRequest {
  /**
   * "Quoted words": of the best candidates those that have them one after the other (after analysis) go first: all of them where there are no other words,
   * else the best two. If none has them they count as single words.
   */
  readonly text: string;
  readonly k: number;
  /** Follow links between passages from the best hits. Default true. */
  readonly links?: boolean;
  /** Search by meaning as well, where an embedder is loaded. Default true. */
  readonly dense?: boolean;
  /** Re-order the best candidates by the re-ranker, where one is loaded. Default false. */
  readonly rerank?: boolean;
  /** `document`: each document once, by its best passage (Max-P: Dai & Callan 2019). Default: passages by themselves. */
  readonly groupBy?: 'document';
  /** Further words: score(d) = BM25(text, d) + weight × BM25(term, d) for each. They take no part in the embedding. */
  readonly terms?: readonly WeightedTerm[];
  /** Search only these corpora; default all that are complete. */
  readonly corpora?: readonly string[];
}

export interface SearchResult {
  readonly hits: readonly Hit[];
  /** Number of passages that were searched. */
  readonly searched: number;
  readonly usedDense: boolean;
  readonly ms: number;
}

/** Rejects with `AppError` or `AbortError`. An empty or unmatchable query gives no hits, not an error. */
export interface Retriever {
  search(request: SearchRequest, signal: AbortSignal): Promise<SearchResult>;
  /** null if the passage is gone (its shard or document was deleted). */
  passage(id: string): Promise<Passage | null>;
  /** null if the passage is gone. */
  neighbours(id: string): Promise<Neighbours | null>;
  /** In how many passages each term occurs; one look into the dictionary a term. */
  frequencies(terms: readonly string[]): Promise<TermFrequencies>;
  /** What the last words of `prefix` (a question up to the caret) may become, best first: titles and frequent words. Empty where nothing is complete. */
  complete(prefix: string, limit: number): Promise<readonly string[]>;
}
