/** In how many passages words occur, over segments of any analysis. Pure. */
import { analyse } from './analysis.ts';
import type { LexicalSegment } from './lexical.ts';

/** Of a longer text only the head is looked up (UTF-16 units). */
const maxFrequencyText = 1000;

/** For each text the number of passages that contain its rarest word; 0 for a text without words. Linear in the texts, logarithmic in the dictionaries. */
export function documentFrequencies(segments: readonly LexicalSegment[], texts: readonly string[]): number[] {
  const encoder = new TextEncoder();
  const analyses = [...new Set(segments.map(({ scheme }) => scheme.analysis))];
  return texts.map((text) => {
    const words: number[] = []; // passages that have the n-th word; every analysis gives as many terms
    for (const analysis of analyses) {
      const own = segments.filter(({ scheme }) => scheme.analysis === analysis);
      analyse(text.slice(0, maxFrequencyText), analysis).forEach((term, n) => {
        const bytes = encoder.encode(term);
        words[n] = own.reduce((sum, s) => {
          const place = s.find(bytes);
          return place < 0 ? sum : sum + s.documentFrequency(place);
        }, words[n] ?? 0);
      });
    }
    return words.length === 0 ? 0 : Math.min(...words);
  });
}
