/** The best passages of a search by whole-number scores. Pure. */

/** The best of what is offered: higher scores first, ties to the lower ordinal. Scores of 0 are never kept. */
export interface Top {
  readonly size: number;
  /** What does not come above this score is not needed; 0 while there is room. */
  floor(): number;
  /** Returns the floor afterwards. */
  offer(ordinal: number, score: number): number;
  /** Best first, scores divided by `unit`; spent afterwards. */
  finish(unit: number): { readonly count: number; readonly ordinals: Int32Array; readonly scores: Float64Array };
}

export function createTop(size: number): Top {
  const ordinals = new Int32Array(size);
  const scores = new Int32Array(size); // a heap: the worst on top
  let count = 0;
  let floor = 0;
  const isWorse = (a: number, b: number): boolean =>
    (scores[a] ?? 0) < (scores[b] ?? 0) || ((scores[a] ?? 0) === (scores[b] ?? 0) && (ordinals[a] ?? 0) > (ordinals[b] ?? 0));
  const swap = (a: number, b: number): void => {
    const [ordinal, score] = [ordinals[a] ?? 0, scores[a] ?? 0];
    ordinals[a] = ordinals[b] ?? 0;
    scores[a] = scores[b] ?? 0;
    ordinals[b] = ordinal;
    scores[b] = score;
  };
  const sink = (): void => {
    for (let i = 0; ; ) {
      const left = 2 * i + 1;
      let worst = i;
      if (left < count && isWorse(left, worst)) worst = left;
      if (left + 1 < count && isWorse(left + 1, worst)) worst = left + 1;
      if (worst === i) return;
      swap(i, worst);
      i = worst;
    }
  };
  return {
    size,
    floor: () => floor,
    offer(ordinal, score) {
      if (score < floor || score <= 0 || size === 0) return floor;
      if (count < size) {
        let at = count++;
        ordinals[at] = ordinal;
        scores[at] = score;
        while (at > 0 && isWorse(at, (at - 1) >> 1)) {
          swap(at, (at - 1) >> 1);
          at = (at - 1) >> 1;
        }
      } else {
        if (score === floor && ordinal > (ordinals[0] ?? 0)) return floor;
        ordinals[0] = ordinal;
        scores[0] = score;
        sink();
      }
      if (count === size) floor = scores[0] ?? 0;
      return floor;
    },
    finish(unit) {
      const found = count;
      while (count > 1) {
        count--;
        swap(0, count);
        sink();
      }
      return { count: found, ordinals: ordinals.subarray(0, found), scores: Float64Array.from(scores.subarray(0, found), (score) => score / unit) };
    },
  };
}
