/**
 * Published figures to compare with (METHODS §10), as far as they concern the four multi-hop sets. EM in fractions. Other corpora, retrievers, models and subsets than
 * ours: they are drawn as labelled lines and listed apart, never in a column with figures of a closed corpus.
 */
export interface PublishedRow {
  readonly method: string;
  readonly model: string;
  /** Table and protocol. */
  readonly source: string;
  readonly em: Readonly<Partial<Record<'hotpotqa' | '2wikimultihopqa' | 'musique' | 'bamboogle', number>>>;
}

const searchR1 = 'Search-R1 protocol (arXiv 2503.09516): Wikipedia 2018, E5, top 3';
const smartSearch = 'SmartSearch (arXiv 2601.04888): E5, top 5';
const opera = 'OPERA (arXiv 2508.16438): closed corpus of 1.7 M passages, BGE-M3';

function row(method: string, model: string, source: string, hotpotqa: number, wiki: number, musique: number, bamboogle: number | null): PublishedRow {
  return { method, model, source, em: { hotpotqa, '2wikimultihopqa': wiki, musique, ...(bamboogle === null ? {} : { bamboogle }) } };
}

const published: readonly PublishedRow[] = [
  row('Direct', '7B', searchR1, 0.183, 0.25, 0.031, 0.12),
  row('RAG', '7B', searchR1, 0.299, 0.235, 0.058, 0.208),
  row('IRCoT', '7B', searchR1, 0.133, 0.149, 0.072, 0.224),
  row('Search-o1', '7B', searchR1, 0.187, 0.176, 0.058, 0.296),
  row('Search-R1-base', '7B', searchR1, 0.433, 0.382, 0.196, 0.432),
  row('ZeroSearch-instruct', '7B', searchR1, 0.346, 0.352, 0.184, 0.278),
  row('APEX-Searcher', '7B', searchR1, 0.402, 0.54, 0.164, 0.4),
  row('Direct', '3B', searchR1, 0.149, 0.244, 0.02, 0.024),
  row('RAG', '3B', searchR1, 0.255, 0.226, 0.047, 0.08),
  row('IRCoT', '3B', searchR1, 0.164, 0.171, 0.067, 0.24),
  row('Search-o1', '3B', searchR1, 0.221, 0.218, 0.054, 0.32),
  row('Search-R1-instruct', '3B', searchR1, 0.324, 0.319, 0.103, 0.264),
  row('StepSearch', '3B', smartSearch, 0.351, 0.321, 0.166, 0.368),
  row('SmartSearch', '3B', smartSearch, 0.407, 0.453, 0.191, 0.448),
  row('Single RAG', '7B', opera, 0.315, 0.259, 0.141, null),
  row('IRCoT', '7B', opera, 0.427, 0.433, 0.188, null),
  row('OPERA, trained', '7B', opera, 0.573, 0.602, 0.397, null),
];

/** The rows that name a data set, best last; empty for data that nobody published on. */
export function publishedFor(dataset: string): readonly (PublishedRow & { readonly value: number })[] {
  const key = Object.keys(aliases).find((name) => aliases[name as keyof typeof aliases].test(dataset)) as keyof PublishedRow['em'] | undefined;
  if (key === undefined) return [];
  return published.flatMap((item) => (item.em[key] === undefined ? [] : [{ ...item, value: item.em[key] }])).sort((a, b) => a.value - b.value);
}

const aliases = { hotpotqa: /hotpot/i, '2wikimultihopqa': /2wiki/i, musique: /musique/i, bamboogle: /bamboogle/i };
