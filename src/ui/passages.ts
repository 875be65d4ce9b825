/** The passage that is open for reading, and the way that led to it. No markup. */
import { signal } from '@preact/signals';
import type { Evidence } from '../agent/events.ts';
import type { Searcher } from '../api.ts';
import type { Neighbours, Passage } from '../corpus/retriever.ts';

interface OpenPassage {
  readonly id: string;
  /** The quote to mark, where the passage was opened for one. */
  readonly evidence: Evidence | null;
}

/** Longest way back. */
const keptSteps = 50;

export function createPassages(searcher: Searcher) {
  /** The last one is shown; empty: none is open. */
  const passageTrail = signal<readonly OpenPassage[]>([]);
  return {
    passageTrail,
    /** Opens a passage, on top of the one that is open. */
    showPassage(id: string, evidence: Evidence | null = null): void {
      passageTrail.value = [...passageTrail.value, { id, evidence }].slice(-keptSteps);
    },
    backPassage(): void {
      passageTrail.value = passageTrail.value.slice(0, -1);
    },
    closePassage(): void {
      passageTrail.value = [];
    },
    /** The passage and what lies around it; nulls where it is gone. */
    async passageAround(id: string): Promise<{ readonly passage: Passage | null; readonly neighbours: Neighbours | null }> {
      const [passage, neighbours] = await Promise.all([searcher.retriever.passage(id), searcher.retriever.neighbours(id)]);
      return { passage, neighbours };
    },
  };
}
