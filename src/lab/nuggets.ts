/**
 * Nugget scores of long answers (AutoNuggetizer, arXiv 2411.09607; METHODS §6.7). Pure: the nuggets and their labels come in, made by a person or a model; who made
 * them belongs in the record. Scores are fractions from 0 to 1.
 */
export type NuggetLabel = 'support' | 'partial_support' | 'not_support';

export interface Nugget {
  /** 1 to 12 words. */
  readonly text: string;
  readonly importance: 'vital' | 'okay';
  /** What the answer says about it. */
  readonly label: NuggetLabel;
}

export interface NuggetScores {
  /** Supported vital nuggets; 0 where there is none. */
  readonly strictVital: number;
  readonly strictAll: number;
  /** With one half for partial support. */
  readonly vital: number;
  readonly all: number;
  /** Vital ones count 1, okay ones ½, support strictly. */
  readonly weighted: number;
}

export function scoreNuggets(nuggets: readonly Nugget[]): NuggetScores {
  const strict = ({ label }: Nugget): number => (label === 'support' ? 1 : 0);
  const lenient = ({ label }: Nugget): number => (label === 'support' ? 1 : label === 'partial_support' ? 0.5 : 0);
  const vital = nuggets.filter(({ importance }) => importance === 'vital');
  const okay = nuggets.filter(({ importance }) => importance === 'okay');
  const share = (of: readonly Nugget[], score: (nugget: Nugget) => number): number => (of.length === 0 ? 0 : sum(of, score) / of.length);
  const weight = vital.length + okay.length / 2;
  return {
    strictVital: share(vital, strict),
    // The released code gives nothing to an answer without vital nuggets to find.
    strictAll: vital.length === 0 ? 0 : share(nuggets, strict),
    vital: share(vital, lenient),
    all: vital.length === 0 ? 0 : share(nuggets, lenient),
    weighted: weight === 0 ? 0 : (sum(vital, strict) + sum(okay, strict) / 2) / weight,
  };
}

function sum(nuggets: readonly Nugget[], score: (nugget: Nugget) => number): number {
  return nuggets.reduce((total, nugget) => total + score(nugget), 0);
}
