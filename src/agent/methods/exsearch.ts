/**
 * ExSearch (METHODS §3, §8.1): sampled trajectories of think → search → select → record, each weighed by the likelihood of its answer, and the answer that is
 * most likely over all of them. More trajectories are sampled only while they disagree.
 */
import type { AnswerLogp, Evidence } from '../events.ts';
import { answerContinuation, closedBookMessages, closingAnswer, closingMessages, conclude, select, valueOf, withinBudget, type KnownFact } from '../actions.ts';
import type { Method, Outcome, Tools } from '../harness.ts';
import { answerKey, distinctAnswers, effectiveSize, evidenceGain, marginalise, vote, weightsOf, type WeightedAnswer } from '../trajectories.ts';
import { readPerRound, runLoop, type LoopPolicy } from './loop.ts';

const mostTrajectories = 5;
/** METHODS §13: turns. */
const turns = 8;

const policy: LoopPolicy = {
  rounds: turns,
  find: async (tools, { node, question }) => {
    const { hits, repeated } = await tools.search(node, question, { acrossNodes: true });
    return repeated ? null : select(tools, node, question, hits, readPerRound);
  },
};

interface Sampled {
  readonly answer: string;
  readonly facts: readonly KnownFact[];
  readonly logp: AnswerLogp | null;
  readonly nextNode: number;
}

export const exsearch: Method = {
  id: 'exsearch',
  label: 'ExSearch',
  description: 'Samples several think, search, record trajectories and takes the answer that is most likely over all of them.',
  needsLlm: true,
  kind: 'method',
  source: 'ExSearch, Iterative Self-Incentivization (arXiv 2505.20128)',
  differences:
    'Untrained model. Facts are read from numbered sentences instead of written freely; the number of trajectories adapts to their agreement; weights are softmax(log p) of each question, not those of the released trainer.',
  limitFactor: ({ samples }) => Math.min(samples, mostTrajectories),
  run: async (tools) => {
    const most = Math.max(1, Math.min(tools.settings.samples, mostTrajectories));
    const sampled: Sampled[] = [];
    let nextNode = 1;
    const limited = await withinBudget(async () => {
      for (let k = 1; k <= most; k++) {
        const one = await sample(tools, k, most, nextNode);
        sampled.push(one);
        nextNode = one.nextNode;
        if (k >= 2 && agree(sampled)) break;
      }
    });
    const { chosen, weighted } = await choose(tools, sampled);
    if (weighted.length > 0) tools.emit({ kind: 'trajectoriesWeighted', scores: weighted.map(({ answer, score, share }) => ({ answer, score, share })), ...chosen });
    const best = sampled.filter(({ answer }) => answerKey(answer) === answerKey(weighted[0]?.answer ?? '')).sort((a, b) => b.facts.length - a.facts.length)[0];
    return outcome(tools, weighted[0]?.answer ?? '', best?.facts ?? sampled[0]?.facts ?? [], limited);
  },
};

function outcome(tools: Tools, answer: string, facts: readonly KnownFact[], limited: boolean): Outcome {
  return conclude(tools, answer, facts, limited ? 'budget' : answer === '' ? 'not-found' : 'answered');
}

/** One trajectory; the first is greedy where no temperature is set for samples. A spent budget still closes it with what was found. */
async function sample(tools: Tools, k: number, of: number, firstNode: number): Promise<Sampled> {
  const seed = tools.settings.seed + k - 1;
  tools.emit({ kind: 'trajectoryStarted', trajectory: k, of, seed });
  const own = tools.with({ sampling: { temperature: tools.settings.sampleTemperature, seed }, fresh: true });
  const { facts, nextNode } = await runLoop(own, { ...policy, firstNode });
  let answer = '';
  let logp: AnswerLogp | null = null;
  await withinBudget(async () => {
    // The answer itself is not sampled (METHODS §13: greedy for answers).
    answer = await closingAnswer(tools, tools.question, facts);
    logp = answer === '' ? null : await likelihood(tools, facts, answer);
  });
  tools.emit({ kind: 'trajectoryFinished', trajectory: k, answer, logp });
  return { answer, facts, logp, nextNode };
}

/** log p(answer | question, trajectory): exact by scoring, else the model's own verdict on its facts. */
async function likelihood(tools: Tools, facts: readonly KnownFact[], answer: string): Promise<AnswerLogp> {
  const score = await tools.score(null, closingMessages(tools.question, facts), answerContinuation(answer));
  if (score !== null) return score;
  const value = Math.log(Math.max(1e-6, await valueOf(tools, 0, tools.question, facts)));
  return { sum: value, mean: value, tokens: 1, method: 'verify' };
}

/** METHODS §8.1 c: both say the same and at least one quote stands behind each. */
function agree(sampled: readonly Sampled[]): boolean {
  const keys = new Set(sampled.map(({ answer }) => answerKey(answer)));
  return keys.size === 1 && !keys.has('') && sampled.every(({ facts }) => quotesOf(facts).length > 0);
}

function quotesOf(facts: readonly KnownFact[]): readonly Evidence[] {
  return facts.flatMap((fact) => fact.evidence);
}

/** S(y) over all answers and trajectories where the engine scores; else votes, marked by an `ess` of null. */
async function choose(
  tools: Tools,
  sampled: readonly Sampled[],
): Promise<{ readonly weighted: readonly WeightedAnswer[]; readonly chosen: { readonly ess: number | null; readonly gains?: readonly number[] } }> {
  const answers = distinctAnswers(sampled.map(({ answer }) => answer));
  const votes = vote(sampled.map(({ answer, facts }) => ({ answer, verified: quotesOf(facts).length })));
  if (answers.length === 0 || sampled.some(({ logp }) => logp?.method === 'verify')) return { weighted: votes, chosen: { ess: null } };
  const table: (AnswerLogp | null)[][] = [];
  let closedBook: AnswerLogp | null = null;
  const limited = await withinBudget(async () => {
    for (const answer of answers) {
      const row: (AnswerLogp | null)[] = [];
      for (const { facts, answer: own, logp } of sampled) {
        row.push(answer === own ? logp : await tools.score(null, closingMessages(tools.question, facts), answerContinuation(answer)));
      }
      table.push(row);
    }
    const [first] = marginalise(answers, table, tools.settings);
    closedBook = first === undefined ? null : await tools.score(null, closedBookMessages(tools.question), answerContinuation(first.answer));
  });
  if (table.length < answers.length) return { weighted: votes, chosen: { ess: null } };
  const weighted = marginalise(answers, table, tools.settings);
  const row = (table[answers.indexOf(weighted[0]?.answer ?? '')] ?? []).filter((logp) => logp !== null);
  const ess = row.length === 0 ? null : effectiveSize(weightsOf(row, tools.settings));
  const plain: AnswerLogp | null = closedBook;
  return { weighted, chosen: { ess, ...(plain === null || limited ? {} : { gains: row.map((logp) => evidenceGain(logp, plain)) }) } };
}
