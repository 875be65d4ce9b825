/** The E-step: weights by likelihood of the right answer within a question, evidence gain, what is informative, going on after a stop. METHODS §14 items 3 and 18. */
import { describe, expect, it } from 'vitest';
import { effectiveSize, marginalise, softmax, weightsOf } from '../../../src/agent/trajectories.ts';
import type { ContinuationScore, Llm, Message } from '../../../src/engine/llm.ts';
import { closingPrompt, eStep, scoreGold, type EStepDeps } from '../../../src/learning/estep.ts';
import { factsOf } from '../../../src/learning/samples.ts';
import { scriptedLlm } from '../../fixtures/toy.ts';
import { toyQuestionText, toySamples } from './fixture.ts';

const never = new AbortController().signal;
const question = { id: 'toy', question: toyQuestionText, answers: ['Isk', 'river Isk'] };
const options = { trajectories: 3, seed: 13, alpha: 0, tau: 1 };

/** Scores by what the closing prompt says. */
function scoring(score: (messages: readonly Message[], continuation: string) => ContinuationScore | null): Llm & { readonly asked: string[] } {
  const llm = scriptedLlm(() => '{"follows":true}');
  const asked: string[] = [];
  return Object.assign(llm, {
    asked,
    info: { ...llm.info, can: { ...llm.info.can, score: true } },
    score: async (messages: readonly Message[], continuation: string) => (asked.push(continuation), score(messages, continuation)),
  });
}

/** ln p by the last fact that stands in the prompt, as in Appendix A; −6 without facts. */
const appendixA = (messages: readonly Message[], continuation: string): ContinuationScore => {
  const facts = messages.at(-2)?.content ?? '';
  const mean = facts.includes('? Isk') ? -0.2 : facts.includes('Mira Lund') ? -2.9 : facts.includes('Teshmoor') ? -1.6 : -6;
  const sum = continuation.startsWith('river') ? mean - 5 : mean;
  return { sum, mean: sum, tokens: 1, method: 'exact' };
};

function deps(llm: Llm, runs: number[] = []): EStepDeps {
  return {
    llm,
    run: async (_, seed) => {
      runs.push(seed);
      const sample = toySamples[(seed - 13) % 3]!;
      return [{ ...sample, em: 0, f1: 0, weight: null, answerLogp: null, priorLogp: null }];
    },
    scoreAnswer: (prediction, answers) => ({ em: answers.includes(prediction) ? 1 : 0, f1: answers.includes(prediction) ? 1 : 0 }),
    supportRecall: () => 0.5,
  };
}

describe('the E-step', () => {
  it('weights the toy trajectories as Appendix A says, the best alias counting', async () => {
    const found = [];
    for await (const item of eStep([question], deps(scoring(appendixA)), options, () => false, never)) found.push(item);
    expect(found).toHaveLength(1);
    const [toy] = found;
    expect(toy!.samples.map(({ weight }) => Number(weight!.toFixed(3)))).toEqual([0.761, 0.188, 0.051]);
    expect(toy!.samples.reduce((sum, { weight }) => sum + weight!, 0)).toBeCloseTo(1, 12);
    expect(toy!.ess).toBeCloseTo(1.62, 2);
    expect(toy).toMatchObject({ qid: 'toy', informative: true, scoring: 'exact' });
    expect(toy!.samples.map(({ em }) => em)).toEqual([1, 0, 0]);
    // Evidence gain: what the trajectory adds to what the model knows by heart.
    expect(toy!.samples.map(({ answerLogp, priorLogp }) => Number((answerLogp!.sum - priorLogp!.sum).toFixed(3)))).toEqual([5.8, 4.4, 3.1]);
  });

  it('uses other seeds for other trajectories, and leaves finished questions alone', async () => {
    const runs: number[] = [];
    for await (const item of eStep([question, { ...question, id: 'b' }], deps(scoring(appendixA), runs), options, (id) => id === 'toy', never)) expect(item.qid).toBe('b');
    expect(runs).toEqual([13, 14, 15]);
  });

  it('says nothing of a question that no run was possible for, and stops at an abort', async () => {
    const none: EStepDeps = { ...deps(scoring(appendixA)), run: async () => [] };
    for await (const item of eStep([question], none, options, () => false, never)) expect.fail(`${item.qid} came out`);
    const stop = new AbortController();
    stop.abort();
    await expect(eStep([question], deps(scoring(appendixA)), options, () => false, stop.signal).next()).rejects.toMatchObject({ name: 'AbortError' });
  });

  it('calls a question uninformative whose trajectories are all alike and wrong', async () => {
    const same = scoring(() => ({ sum: -3, mean: -3, tokens: 1, method: 'topn' }));
    const wrong: EStepDeps = { ...deps(same), scoreAnswer: () => ({ em: 0, f1: 0 }) };
    for await (const item of eStep([question], wrong, options, () => false, never)) {
      expect(item).toMatchObject({ informative: false, scoring: 'topn' });
      expect(item.ess).toBeCloseTo(3);
    }
  });
});

describe('the score of an answer', () => {
  it('continues an open answer field and ends with its closing delimiter; nothing in the answer can end the field early', () => {
    const { messages, continuation } = closingPrompt('Who?', [], 'Anna "Nan" Vale');
    expect(messages.at(-1)).toEqual({ role: 'assistant', content: '{"answer":"' });
    expect(continuation).toBe('Anna \\"Nan\\" Vale"}');
    expect(JSON.parse(`${messages.at(-1)!.content}${continuation}`)).toEqual({ answer: 'Anna "Nan" Vale' });
  });

  it('asks for every alias and takes the likeliest', async () => {
    const llm = scoring(appendixA);
    const score = await scoreGold(llm, question, factsOf(toySamples[0]!), never);
    expect(llm.asked).toEqual(['Isk"}', 'river Isk"}']);
    expect(score?.sum).toBe(-0.2);
  });

  it('falls back to the model’s own verdict where there are no probabilities, and marks it', async () => {
    const plain = scriptedLlm(() => '{"follows":false}');
    expect(await scoreGold(plain, question, [], never)).toMatchObject({ method: 'verify', tokens: 1, sum: Math.log(0.1) });
    expect(await scoreGold(scriptedLlm(() => 'who knows'), question, [], never)).toBeNull();
  });
});

describe('weights', () => {
  it('are the worked example of METHODS §3.2, by mean and by sum', () => {
    const means = [-0.4, -0.9, -2.3].map((mean) => ({ sum: mean * 6, tokens: 6 }));
    expect(weightsOf(means, { alpha: 1 }).map((w) => Number(w.toFixed(3)))).toEqual([0.569, 0.345, 0.085]);
    expect(effectiveSize(weightsOf(means, { alpha: 1 }))).toBeCloseTo(2.22, 2);
    const sums = weightsOf(means);
    expect(sums.map((w) => Number(w.toFixed(3)))).toEqual([0.953, 0.047, 0]);
    expect(effectiveSize(sums)).toBeCloseTo(1.1, 2);
  });

  it('are not those of the released code, which gives the worst trajectory the most', () => {
    const nll = [0.4, 0.9, 2.3];
    const released = nll.map((one) => one / nll.reduce((a, b) => a + b, 0));
    const right = softmax(nll.map((one) => -one));
    expect(released.map((w) => Number(w.toFixed(2)))).toEqual([0.11, 0.25, 0.64]);
    expect(right.indexOf(Math.max(...right))).toBe(0);
    expect(released.indexOf(Math.max(...released))).toBe(2);
  });

  it('S(y) sums over trajectories and equals the vote shares when likelihoods are 0 or 1', () => {
    const sure = { sum: 0, tokens: 1 };
    const shares = marginalise(['Isk', 'Karr'], [[sure, sure, null], [null, null, sure]]);
    expect(shares.map(({ answer, share }) => [answer, Number(share.toFixed(3))])).toEqual([['Isk', 0.667], ['Karr', 0.333]]);
    const soft = marginalise(['Isk'], [[{ sum: Math.log(0.5), tokens: 1 }, { sum: Math.log(0.25), tokens: 1 }]]);
    expect(soft[0]!.score).toBeCloseTo(0.375);
  });
});
