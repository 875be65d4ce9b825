/**
 * OPERA (METHODS §4.12): plan with `[AnswerN]` placeholders; for each step search and analyse; only where that is insufficient rewrite the query and look deeper
 * (5, 10, 15 passages). A failed step does not stop the others.
 */
import { ask, closingAnswer, conclude, finishNode, judgeSufficient, refine, settlePlan, withinBudget, type KnownFact } from '../actions.ts';
import type { Plan, PlanNode, StopReason } from '../events.ts';
import type { Method, Tools } from '../harness.ts';
import { answerTypeOf, faultsOf, fixSteps, planFromSteps, singleStep, substitute } from '../plan.ts';
import { planSchema } from '../prompts.ts';
import { section, task } from '../prompts-actions.ts';
import { Reader } from './read.ts';

/** Passages of the first try and of at most two rewrites. */
const depths = [5, 10, 15] as const;

const planInstruction = `Split the question into the fewest steps, at most 6. Each step asks one thing and is understood on its own; [Answer1] stands for the answer of step 1. Keep qualifiers, directions and the type of answer; no step that only repeats an answer. One look-up is one step.
Example: "On which river is the birthplace of the builder of the Tarn Viaduct?" becomes {"steps":["Who built the Tarn Viaduct?","Where was [Answer1] born?","On which river is [Answer2]?"]}`;

export const opera: Method = {
  id: 'opera',
  label: 'OPERA',
  description: 'Plans, analyses each step, and rewrites and searches deeper only where a step found too little.',
  needsLlm: true,
  kind: 'method',
  source: 'OPERA (arXiv 2508.16438)',
  differences: 'Prompt-only architecture, no MAPGRPO training; one model plays all three agents. Passages are packed to a token budget instead of 1,500 characters each.',
  run: async (tools) => {
    const facts: KnownFact[] = [];
    const answers = new Map<number, string>();
    let short = '';
    const limited = await withinBudget(async () => {
      const plan = await settlePlan(tools, await proposePlan(tools));
      for (const node of plan.nodes) {
        const fact = await execute(tools, node, plan, answers);
        facts.push(fact);
        if (fact.answer !== '') answers.set(node.id, fact.answer);
      }
      short = await closingAnswer(tools, tools.question, facts);
    });
    return conclude(tools, short, facts, limited ? 'budget' : 'answered');
  },
};

async function proposePlan(tools: Tools): Promise<Plan> {
  const written = await ask(tools, 'plan', null, planSchema, task('OPERA', planInstruction, section('Question', 'question', tools.question)), 220);
  const steps = (written?.steps ?? []).map((step) => step.replace(/\[Answer\s*(\d+)\]/gi, '#$1'));
  for (const [list, source] of [[steps, 'llm'], [fixSteps(steps, tools.question), 'llm-fixed']] as const) {
    const plan = planFromSteps(list, tools.question, source);
    if (faultsOf(plan, tools.question).length === 0) return plan;
  }
  tools.emit({ kind: 'notice', code: 'plan-fallback', text: 'No usable plan came about; the question is its own single step.' });
  return singleStep(tools.question, 'single-step');
}

async function execute(tools: Tools, node: PlanNode, plan: Plan, answers: ReadonlyMap<number, string>): Promise<KnownFact> {
  const { text: question } = substitute(node, plan, answers);
  tools.emit({ kind: 'nodeStarted', node: node.id, question });
  const given = tools.givenAnswer(node.id);
  if (given !== null) {
    finishNode(tools, node.id, { answer: given, evidence: [] }, 'answered');
    return { question, answer: given, evidence: [] };
  }
  let query = question;
  let stop: StopReason = 'not-found';
  for (const [attempt, depth] of depths.entries()) {
    const { hits, repeated } = await tools.search(node.id, query, { k: Math.max(depth, tools.settings.retrieve) });
    if (repeated) {
      stop = 'repetition';
      break;
    }
    const read = hits.slice(0, depth);
    const judged = read.length === 0 ? { enough: false, missing: 'nothing was found' } : await judgeSufficient(tools, node.id, question, [], read);
    const fact = judged.enough ? await new Reader(tools, node.id, question, answerTypeOf(question), tools.settings.evidenceTokens * 2).read(read) : null;
    if (fact !== null) {
      finishNode(tools, node.id, fact, 'answered');
      return { ...fact, question };
    }
    if (attempt < depths.length - 1) query = await refine(tools, node.id, question, query, `Insufficient: ${judged.missing}`);
  }
  finishNode(tools, node.id, null, stop);
  return { question, answer: '', evidence: [] };
}
