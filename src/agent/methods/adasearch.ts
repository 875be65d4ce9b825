/**
 * AdaSearch (METHODS §4.5): first an explicit, justified decision whether to search at all. Three sampled closed-book answers that agree, with confident
 * tokens, are trusted; models under about 4 billion parameters always search, since they know less than they think (§4.24), and so do questions about now.
 */
import { closedBookMessages, closingAnswer, conclude, withinBudget } from '../actions.ts';
import { isUnknown, shortAnswer } from '../evidence.ts';
import type { Method, Tools } from '../harness.ts';
import { answerSchema } from '../prompts.ts';
import { answerKey } from '../trajectories.ts';
import { runLoop } from './loop.ts';

const samples = 3;
/** Mean token probability of the samples above which they are trusted. */
const leastConfidence = 0.7;
const leastParameters = 4e9;
const timeBound = /\b(?:latest|current(?:ly)?|today|now|recent(?:ly)?|this (?:year|month|week)|as of|202\d)\b/i;

export const adasearch: Method = {
  id: 'adasearch',
  label: 'AdaSearch',
  description: 'Decides, with a reason, whether the model knows the answer; searches otherwise.',
  needsLlm: true,
  kind: 'method',
  source: 'AdaSearch (arXiv 2512.16883)',
  differences: 'The decision is agreement of three closed-book samples instead of a trained one, and small models always search. Which threshold is best must be measured.',
  run: async (tools) => {
    let known: string | null = null;
    const gate = await withinBudget(async () => void (known = await decide(tools)));
    if (gate) return conclude(tools, '', [], 'budget');
    if (known !== null) return conclude(tools, known, [], 'answered');
    const { facts, stop } = await runLoop(tools, { rounds: 6 });
    let short = '';
    const limited = await withinBudget(async () => void (short = await closingAnswer(tools, tools.question, facts)));
    return conclude(tools, short, facts, limited ? 'budget' : stop);
  },
};

/** Parameters as a model's name tells them ("1.5b", "135M"); null if it does not. */
export function parametersOf(modelId: string): number | null {
  const match = /(?:^|[^a-z0-9.])(\d+(?:\.\d+)?)\s?([bm])(?![a-z0-9])/i.exec(modelId);
  return match === null ? null : Number(match[1]) * (match[2]?.toLowerCase() === 'b' ? 1e9 : 1e6);
}

/** The trusted answer, or null to search. */
async function decide(tools: Tools): Promise<string | null> {
  const search = (reason: string, confidence: number | null = null): null => {
    tools.emit({ kind: 'gated', search: true, reason, confidence });
    return null;
  };
  if (timeBound.test(tools.question)) return search('The question asks about the present, which no model knows.');
  const parameters = parametersOf(tools.llm.info.modelId);
  if (parameters === null || parameters < leastParameters) return search('A model of this size answers better from passages than from memory.');
  const answers: string[] = [];
  const probabilities: number[] = [];
  for (let k = 0; k < samples; k++) {
    const own = tools.with({ sampling: { temperature: tools.settings.sampleTemperature, seed: tools.settings.seed + k } });
    const decoded = await own.json('gate', null, answerSchema, closedBookMessages(tools.question), 48, undefined, { logprobs: true });
    const answer = decoded.ok ? shortAnswer(decoded.value.answer) : '';
    answers.push(isUnknown(answer) ? '' : answer);
    const logprobs = decoded.result.logprobs ?? [];
    if (logprobs.length > 0) probabilities.push(Math.exp(logprobs.reduce((sum, { logprob }) => sum + logprob, 0) / logprobs.length));
  }
  const confidence = probabilities.length < samples ? null : probabilities.reduce((sum, value) => sum + value, 0) / samples;
  const [first = ''] = answers;
  if (first === '' || answers.some((answer) => answerKey(answer) !== answerKey(first))) return search('Three answers from memory do not agree.', confidence);
  if (confidence === null) return search('The engine tells no probabilities, so agreement alone is not trusted.', null);
  if (confidence < leastConfidence) return search(`Three answers from memory agree, but their confidence of ${confidence.toFixed(2)} is too low.`, confidence);
  tools.emit({ kind: 'gated', search: false, reason: `Three answers from memory agree with a confidence of ${confidence.toFixed(2)}.`, confidence });
  return first;
}
