/**
 * Near-duplicate passages by MinHash (Broder 1997; METHODS §4.7: word 5-grams, 64 permutations, Jaccard .85). Pure. For lists that a person reads: the agent keeps
 * both twins, since folding them costs recall (METHODS §4.7).
 */
import { analyse } from './analysis.ts';

export const permutations = 64;
const gramLength = 5;
const sameShare = 0.85;

/** Odd multipliers and offsets of the permutations, from one fixed sequence. */
const keys = ((): Uint32Array => {
  const made = new Uint32Array(2 * permutations);
  let state = 0x9e3779b9;
  for (let i = 0; i < made.length; i++) {
    state = Math.imul(state ^ (state >>> 16), 0x85ebca6b);
    state = Math.imul(state ^ (state >>> 13), 0xc2b2ae35) + 0x6d2b79f5;
    made[i] = i % 2 === 0 ? state | 1 : state;
  }
  return made;
})();

function hashOf(words: readonly string[]): number {
  let h = 0x811c9dc5;
  for (const word of words) {
    for (let i = 0; i < word.length; i++) h = Math.imul(h ^ word.charCodeAt(i), 0x01000193);
    h = Math.imul(h ^ 0x20, 0x01000193);
  }
  return h >>> 0;
}

/** Hashes of the distinct 5-grams of a text's terms; of a shorter text the whole is one. */
export function gramsOf(text: string): Set<number> {
  const terms = analyse(text);
  const grams = new Set<number>();
  for (let i = 0; i + gramLength <= terms.length; i++) grams.add(hashOf(terms.slice(i, i + gramLength)));
  if (grams.size === 0 && terms.length > 0) grams.add(hashOf(terms));
  return grams;
}

/** The least hash under each permutation; empty for a text without words. */
export function signatureOf(text: string): Uint32Array {
  const grams = gramsOf(text);
  if (grams.size === 0) return new Uint32Array(0);
  const signature = new Uint32Array(permutations).fill(0xffffffff);
  for (const gram of grams) {
    for (let p = 0; p < permutations; p++) {
      let h = Math.imul(gram ^ (keys[2 * p + 1] ?? 0), keys[2 * p] ?? 1);
      h ^= h >>> 15;
      h = Math.imul(h, 0x2c1b3c6d);
      h = (h ^ (h >>> 12)) >>> 0;
      if (h < (signature[p] ?? 0)) signature[p] = h;
    }
  }
  return signature;
}

/** Estimate of the Jaccard share of two texts' 5-grams: standard error √(J (1 − J) / 64). 0 where one has no words. */
export function likeness(a: Uint32Array, b: Uint32Array): number {
  if (a.length === 0 || a.length !== b.length) return 0;
  let same = 0;
  for (let i = 0; i < a.length; i++) if (a[i] === b[i]) same++;
  return same / a.length;
}

/** For each text the index of the first earlier one that it nearly repeats and that repeats none itself, or -1. */
export function repeats(texts: readonly string[]): number[] {
  const signatures = texts.map(signatureOf);
  const found: number[] = [];
  signatures.forEach((signature, i) => {
    found.push(signatures.findIndex((other, j) => j < i && found[j] === -1 && likeness(signature, other) >= sameShare));
  });
  return found;
}
