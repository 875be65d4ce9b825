/**
 * APEX-Searcher (METHODS §2.3): plan with `#j`; for each sub-question, judge whether known facts suffice, else up to five rounds of retrieval with three
 * passages each, then a short sub-answer; then the answer from all of them. With several plans the one most like the others is taken (§8.4); a gold plan and
 * gold sub-answers separate faults of planning from faults of execution (§6.6).
 */
import type { Hit } from '../../corpus/retriever.ts';
import type { Plan, PlanNode, StopReason } from '../events.ts';
import { closingAnswer, conclude, finishNode, judgeSufficient, settlePlan, withinBudget, writeQuery, type KnownFact } from '../actions.ts';
import { lowConsistency, selfConsistency } from '../decomposition.ts';
import type { Method, Tools } from '../harness.ts';
import { answerTypeOf, faultsOf, fixSteps, planFromSteps, singleStep, substitute } from '../plan.ts';
import { planRepairTurn, planSchema, planTurn, prefix } from '../prompts.ts';
import { anyOf, repeating, withoutNew } from '../state.ts';
import { Reader } from './read.ts';

/** METHODS §2.3: the best setting of the paper. */
const rounds = 5;
const perRound = 3;

const differences =
  'Untrained planner and executor. Plans are checked and mended in code with one re-ask; sub-answers are read from numbered sentences and must stand in one.';

export const apex: Method = {
  id: 'apex',
  label: 'APEX-Searcher',
  description: 'Plans sub-questions first, then answers each with up to five searches.',
  needsLlm: true,
  kind: 'method',
  source: 'APEX-Searcher (arXiv 2603.13853)',
  differences,
  run: (tools) => planAndExecute(tools, (own) => planOnce(own)),
};

export const apexConsistent: Method = {
  id: 'apex-consistent',
  label: 'APEX-Searcher, consistent plan',
  description: 'Samples several plans and takes the one that is most like the others.',
  needsLlm: true,
  kind: 'method',
  source: 'APEX-Searcher (arXiv 2603.13853) with plan self-consistency by its own plan reward',
  differences: `${differences} The choice among sampled plans is ours.`,
  run: (tools) => planAndExecute(tools, consistentPlan),
};

async function planAndExecute(tools: Tools, propose: (tools: Tools) => Promise<Plan>): ReturnType<Method['run']> {
  const facts = new Map<number, KnownFact>();
  const answers = new Map<number, string>();
  const settled: { plan: Plan | null } = { plan: null };
  let short = '';
  const limited = await withinBudget(async () => {
    const plan = await settlePlan(tools, tools.deps.gold?.plan ?? (await propose(tools)));
    settled.plan = plan;
    for (const node of plan.nodes) {
      const fact = await execute(tools, node, plan, answers, [...facts.values()]);
      facts.set(node.id, fact);
      if (fact.answer !== '') answers.set(node.id, fact.answer);
    }
    short = await closingAnswer(tools, tools.question, [...facts.values()]);
  });
  return conclude(tools, short, [...facts.values()], limited ? 'budget' : 'answered');
}

/** A plan by the model: as written, mended, asked once more, else the question as its own single step. */
async function planOnce(tools: Tools): Promise<Plan> {
  const messages = [...prefix, planTurn(tools.question)];
  for (const rung of ['llm', 'llm-repaired'] as const) {
    const decoded = await tools.json(rung === 'llm' ? 'plan' : 'plan-repair', null, planSchema, messages, 200);
    const steps = decoded.ok ? decoded.value.steps : [];
    const written = planFromSteps(steps, tools.question, rung);
    const plan = faultsOf(written, tools.question).length === 0 ? written : planFromSteps(fixSteps(steps, tools.question), tools.question, rung === 'llm' ? 'llm-fixed' : rung);
    const [fault] = faultsOf(plan, tools.question);
    if (decoded.ok && fault === undefined) return plan;
    messages.push({ role: 'assistant', content: decoded.result.text.slice(0, 600) }, planRepairTurn(decoded.ok ? fault ?? '' : decoded.reason));
  }
  tools.emit({ kind: 'notice', code: 'plan-fallback', text: 'No usable plan came about; the question is its own single step.' });
  return singleStep(tools.question, 'single-step');
}

async function consistentPlan(tools: Tools): Promise<Plan> {
  const plans: Plan[] = [];
  const most = Math.max(1, Math.min(tools.settings.samples, 5));
  for (let k = 0; k < most; k++) {
    const sampling = { temperature: tools.settings.sampleTemperature, seed: tools.settings.seed + k };
    plans.push(await planOnce(tools.with({ sampling })));
  }
  const { medoid, consistency } = selfConsistency(plans, tools.deps.similarity);
  const note = consistency < lowConsistency ? ' They disagree: the plan deserves a look.' : '';
  tools.emit({ kind: 'thought', node: null, text: `${plans.length} plans, agreement ${consistency.toFixed(2)}; plan ${medoid + 1} is most like the others.${note}` });
  return plans[medoid] ?? singleStep(tools.question, 'single-step');
}

async function execute(tools: Tools, node: PlanNode, plan: Plan, answers: ReadonlyMap<number, string>, known: readonly KnownFact[]): Promise<KnownFact> {
  const { text: question } = substitute(node, plan, answers);
  tools.emit({ kind: 'nodeStarted', node: node.id, question });
  const done = (answer: string, evidence: KnownFact['evidence'], stop: StopReason): KnownFact => {
    finishNode(tools, node.id, answer === '' ? null : { answer, evidence }, stop);
    return { question, answer, evidence };
  };
  const given = tools.givenAnswer(node.id) ?? tools.deps.gold?.answers?.[node.id - 1] ?? null;
  if (given !== null) return done(given, [], 'answered');

  const facts = known.filter((fact) => fact.answer !== '');
  if (facts.length > 0) {
    const memory = await judgeSufficient(tools, node.id, question, facts, []);
    if (memory.enough) return done(memory.answer, facts.find((fact) => fact.answer === memory.answer)?.evidence ?? [], 'answered');
  }
  const type = answerTypeOf(question) === 'other' ? node.answerType : answerTypeOf(question);
  const rule = anyOf(repeating(), withoutNew());
  let read: readonly Hit[] = [];
  let missing = '';
  let stop: StopReason = 'not-found';
  for (let round = 1; round <= rounds; round++) {
    if (read.length > 0) {
      const judged = await judgeSufficient(tools, node.id, question, facts, read);
      if (judged.enough) break;
      missing = judged.missing;
    }
    const query = await writeQuery(tools, node.id, question, facts, missing);
    const { hits } = await tools.search(node.id, query);
    const seen = new Set(read.map((hit) => hit.passage.id));
    read = [...read, ...hits.slice(0, perRound).filter((hit) => !seen.has(hit.passage.id))];
    const fired = rule(tools.state, node.id);
    if (fired !== null) {
      stop = fired;
      break;
    }
  }
  const fact = await new Reader(tools, node.id, question, type, tools.settings.evidenceTokens * 2).read(read);
  return done(fact?.answer ?? '', fact?.evidence ?? [], stop);
}
