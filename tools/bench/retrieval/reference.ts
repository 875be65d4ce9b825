/**
 * The exact answers that engines are compared with: cosine by float64 sums, and BM25 (Robertson and Zaragoza 2009) evaluated term by term in float64 without any
 * index structure that could lose a passage. Pure.
 */
import { analyse, queryTerms } from '../../../src/corpus/analysis.ts';
import type { TextRow } from './contract.ts';

/** The best passages of one query; `tied` are all those that may stand among the best k without changing any score (ties at the border). */
export interface ExactAnswer {
  best: number[];
  tied: number[];
}

/** Share of the best `k` that was found; a passage tied with the last of them counts as one of them. */
export function recallOf(found: readonly number[], exact: ExactAnswer, k: number): number {
  const wanted = Math.min(k, exact.best.length);
  if (wanted === 0) return found.length === 0 ? 1 : 0;
  const allowed = new Set([...exact.best, ...exact.tied]);
  return Math.min(wanted, new Set(found.slice(0, k).filter((id) => allowed.has(id))).size) / wanted;
}

/** Relative difference below which two scores count as one: engines add in float32, whose rounding is no loss of a passage. */
const tieWidth = 1e-6;

/** Keeps what may be among the best k of one query, as scores come in. */
class Best {
  private readonly rows: { id: number; score: number }[] = [];
  constructor(private readonly k: number) {}

  floor = -Infinity;

  add(id: number, score: number): void {
    if (score < this.floor) return;
    this.rows.push({ id, score });
    if (this.rows.length >= 4 * this.k + 64) this.shrink();
  }

  private shrink(): void {
    this.rows.sort((a, b) => b.score - a.score || a.id - b.id);
    const last = this.rows[this.k - 1];
    if (last === undefined) return;
    this.floor = last.score - Math.abs(last.score) * tieWidth;
    while ((this.rows.at(-1)?.score ?? Infinity) < this.floor) this.rows.pop();
  }

  answer(): ExactAnswer {
    this.shrink();
    this.rows.sort((a, b) => b.score - a.score || a.id - b.id);
    return { best: this.rows.slice(0, this.k).map(({ id }) => id), tied: this.rows.slice(this.k).map(({ id }) => id) };
  }
}

/** `rows`: blocks of row-major vectors, in order. Scores are cosines of unit vectors. */
export async function exactNeighbours(
  blocks: AsyncIterable<Float32Array> | Iterable<Float32Array>,
  queries: Float32Array,
  dimensions: number,
  k: number,
): Promise<ExactAnswer[]> {
  const count = queries.length / dimensions;
  const wide = Float64Array.from(queries);
  const best = Array.from({ length: count }, () => new Best(k));
  const row = new Float64Array(dimensions);
  let id = 0;
  for await (const block of blocks) {
    for (let from = 0; from + dimensions <= block.length; from += dimensions) {
      for (let i = 0; i < dimensions; i++) row[i] = block[from + i] ?? 0;
      for (let q = 0; q < count; q++) {
        const at = q * dimensions;
        let a = 0;
        let b = 0;
        for (let i = 0; i < dimensions; i += 2) {
          a += (row[i] as number) * (wide[at + i] as number);
          b += (row[i + 1] as number) * (wide[at + i + 1] as number);
        }
        const list = best[q];
        if (list !== undefined && a + b >= list.floor) list.add(id, a + b);
      }
      id++;
    }
  }
  return best.map((list) => list.answer());
}

/** How text becomes terms. `foray`: the analysis of the shard format, questions without stop words; `plain`: lower-cased runs of letters and digits, nothing else. */
export type ReferenceAnalysis = 'foray' | 'plain';

function termsOf(text: string, analysis: ReferenceAnalysis): string[] {
  return analysis === 'foray' ? analyse(text) : (text.normalize('NFKC').toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? []);
}

/** `k1`, `b` as in Lucene; each term of a question counts once. */
export function exactBm25(rows: Iterable<TextRow>, questions: readonly string[], analysis: ReferenceAnalysis, k: number, k1 = 1.2, b = 0.75): ExactAnswer[] {
  const wanted = questions.map((question) => (analysis === 'foray' ? queryTerms(question) : [...new Set(termsOf(question, analysis))]));
  const postings = new Map<string, { ids: number[]; counts: number[] }>();
  for (const terms of wanted) for (const term of terms) postings.set(term, { ids: [], counts: [] });
  const lengths: number[] = [];
  let total = 0;
  for (const { title, text } of rows) {
    // One field: the words of title and text together, as Foray's default weights have it too.
    const terms = [...termsOf(title, analysis), ...termsOf(text, analysis)];
    const counts = new Map<string, number>();
    for (const term of terms) if (postings.has(term)) counts.set(term, (counts.get(term) ?? 0) + 1);
    for (const [term, times] of counts) {
      const list = postings.get(term);
      list?.ids.push(lengths.length);
      list?.counts.push(times);
    }
    lengths.push(terms.length);
    total += terms.length;
  }
  const average = total / Math.max(1, lengths.length);
  const scores = new Float64Array(lengths.length);
  return wanted.map((terms) => {
    const touched = new Set<number>();
    for (const term of terms) {
      const { ids, counts } = postings.get(term) ?? { ids: [], counts: [] };
      const weight = Math.log(1 + (lengths.length - ids.length + 0.5) / (ids.length + 0.5));
      ids.forEach((id, i) => {
        const times = counts[i] ?? 0;
        scores[id] = (scores[id] ?? 0) + (weight * times * (k1 + 1)) / (times + k1 * (1 - b + (b * (lengths[id] ?? 0)) / average));
        touched.add(id);
      });
    }
    const best = new Best(k);
    for (const id of touched) {
      best.add(id, scores[id] ?? 0);
      scores[id] = 0;
    }
    return best.answer();
  });
}
