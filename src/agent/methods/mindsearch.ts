/**
 * MindSearch (METHODS §4.8): the model grows a graph of single-fact questions turn by turn, seeing the answers so far; nodes whose parents are settled are
 * searched side by side. A node's question carries its parents' answers (the released code loses them, METHODS §11 trap 5).
 */
import { ask, closingAnswer, conclude, finishNode, settlePlan, withinBudget, type KnownFact } from '../actions.ts';
import type { NodeStatus, Plan, PlanNode } from '../events.ts';
import type { Method, Tools } from '../harness.ts';
import { answerTypeOf, faultsOf, maxSubQuestions, placeholdersOf, planFromSteps, readyNodes, substitute } from '../plan.ts';
import { growInstruction, growSchema, section, task } from '../prompts-actions.ts';
import { readPerRound } from './loop.ts';
import { Reader } from './read.ts';

/** METHODS §4.8: planner turns; nodes at once are bounded by the engine's slots. */
const turns = 10;
const shown = 6;

export const mindsearch: Method = {
  id: 'mindsearch',
  label: 'MindSearch',
  description: 'Grows a graph of questions while it searches; independent ones side by side.',
  needsLlm: true,
  kind: 'method',
  source: 'MindSearch (arXiv 2407.20183)',
  differences: 'The graph is written as JSON steps with #j under a grammar, not as program code; passages instead of web pages; at most six nodes and two at a time.',
  run: async (tools) => {
    const facts = new Map<number, KnownFact>();
    const status = new Map<number, NodeStatus>();
    let plan: Plan | null = null;
    let short = '';
    const limited = await withinBudget(async () => {
      for (let turn = 0; turn < turns; turn++) {
        const steps = plan?.nodes.map((node) => node.q) ?? [];
        const grown = await grow(tools, steps, facts);
        if (grown.length === steps.length) break;
        const wider: Plan = planFromSteps(grown, tools.question, 'llm');
        if (plan === null) plan = await settlePlan(tools, wider);
        else tools.emit({ kind: 'planEdited', plan: (plan = wider) });
        await searchReady(tools, plan, status, facts);
        if (plan.nodes.length >= maxSubQuestions) break;
      }
      short = await closingAnswer(tools, tools.question, [...facts.values()]);
    });
    return conclude(tools, short, [...facts.values()], limited ? 'budget' : 'answered');
  },
};

/** The steps with those that the model adds, as far as they keep the plan sound. */
async function grow(tools: Tools, steps: readonly string[], facts: ReadonlyMap<number, KnownFact>): Promise<readonly string[]> {
  const answers = steps.map((step, i) => `${i + 1}. ${step} ${facts.get(i + 1)?.answer || 'not found'}`);
  const sections = [section('Question', 'question', tools.question), section('Answers', 'facts', ...(answers.length === 0 ? ['none yet'] : answers))];
  const decision = await ask(tools, 'plan', null, growSchema, task('GROW', growInstruction, ...sections), 160);
  if (decision === null || decision.done) return steps.length === 0 ? [tools.question] : steps;
  let grown: readonly string[] = steps;
  for (const added of decision.add) {
    const wider = [...grown, added];
    const refers = placeholdersOf(added).every((id) => id >= 1 && id <= grown.length);
    // Faults of nodes that nothing uses yet are no faults while the graph still grows.
    const faults = faultsOf(planFromSteps(wider, tools.question, 'llm'), tools.question).filter((fault) => !/is not used/.test(fault));
    if (refers && faults.length === 0 && wider.length <= maxSubQuestions) grown = wider;
  }
  return grown.length === 0 ? [tools.question] : grown;
}

async function searchReady(tools: Tools, plan: Plan, status: Map<number, NodeStatus>, facts: Map<number, KnownFact>): Promise<void> {
  const slots = Math.max(1, Math.min(2, tools.llm.info.parallelSlots));
  for (let ready = readyNodes(plan, status).slice(0, slots); ready.length > 0; ready = readyNodes(plan, status).slice(0, slots)) {
    for (const node of ready) status.set(node.id, 'running');
    const found = await Promise.all(ready.map((node) => searchNode(tools, plan, node, facts)));
    found.forEach((fact, i) => {
      const id = ready[i]?.id ?? 0;
      facts.set(id, fact);
      status.set(id, fact.answer === '' ? 'failed' : 'answered');
    });
  }
}

async function searchNode(tools: Tools, plan: Plan, node: PlanNode, facts: ReadonlyMap<number, KnownFact>): Promise<KnownFact> {
  const answers = new Map([...facts].map(([id, fact]) => [id, fact.answer] as const));
  const { text: question } = substitute(node, plan, answers);
  tools.emit({ kind: 'nodeStarted', node: node.id, question });
  const { hits } = await tools.search(node.id, question);
  const fact = await new Reader(tools, node.id, question, answerTypeOf(question)).read(hits.slice(0, Math.max(shown, readPerRound)));
  finishNode(tools, node.id, fact, 'not-found');
  return { question, answer: fact?.answer ?? '', evidence: fact?.evidence ?? [] };
}
