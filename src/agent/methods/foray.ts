/**
 * The default: route → plan → execute each sub-question over several rounds of retrieval → record verbatim evidence → answer.
 * APEX-Searcher's loop (METHODS §2.3) and ExSearch's record step (§3.3) with the guard rails that small models need (§8.3): always search (§4.24), grammar
 * everywhere, sentence packing, typed answers checked in code, deeper retrieval on failure (§4.12), and never worse than one search over the whole question.
 */
import type { Evidence, NodeStatus, Plan, PlanNode, StopReason } from '../events.ts';
import { answerTypeOf, entitiesOf, faultsOf, fixSteps, hintedPlan, inventedEntities, isComparison, looksOneHop, planFromSteps, readyNodes, singleStep, substitute, wordsOf } from '../plan.ts';
import { contentWords, evidenceOf, isUnknown, occursIn, readsAsOrder, shortAnswer, stemOf } from '../evidence.ts';
import { withinBudget } from '../actions.ts';
import { editedPlan } from '../edits.ts';
import { decide } from '../compare.ts';
import { formSteps } from '../forms.ts';
import { asksInKnownForm, leadFact } from '../leads.ts';
import type { Method, Outcome, Tools } from '../harness.ts';
import { answerSchema, answerTurn, jsonStringStream, planRepairTurn, planSchema, planTurn, prefix, querySchema, queryTurn, type Fact } from '../prompts.ts';
import type { Hit, Passage } from '../../corpus/retriever.ts';
import type { Message } from '../../engine/llm.ts';
import { answerFromFacts, notFound, readPassages, Reader, type ReadFact } from './read.ts';

interface NodeResult extends ReadFact {
  readonly question: string;
  readonly status: NodeStatus;
  /** What its last search found, best first. */
  readonly hits?: readonly Hit[];
  /** Read by code from a known form: no model has to look at it again. */
  readonly isStated?: boolean;
  /** Answers that the same sentence gives with equal right; tried where the first leads nowhere. */
  readonly others?: readonly string[];
}

export const foray: Method = {
  id: 'foray',
  label: 'Foray',
  description: 'Plans sub-questions, searches for each in several rounds, records verbatim quotes, then answers.',
  needsLlm: true,
  kind: 'default',
  source: 'APEX-Searcher (arXiv 2603.13853) and ExSearch (arXiv 2505.20128), arranged for small models',
  differences: 'Untrained. Always searches; code checks plans, answer types and quotes; reads the question once more over the passages that the steps gathered, where the device bears it.',
  run: async (tools) => {
    const plan = await proposePlan(tools);
    if (plan.source === 'single-step') return wholeOnly(tools);
    const { results, limited } = await executePlan(tools, plan);
    return compose(tools, plan, results, limited);
  },
};

/** METHODS §8.3: router, then the repair ladder parse → fix → one re-ask → single step. */
async function proposePlan(tools: Tools): Promise<Plan> {
  const { question } = tools;
  const byForm = tools.settings.byCode ? formSteps(question) : null;
  const formed = byForm === null ? null : planFromSteps(byForm.steps, question, 'form');
  let plan = formed !== null && faultsOf(formed, question).length === 0 ? formed : looksOneHop(question) ? singleStep(question, 'router') : await planByModel(tools);
  tools.emit({ kind: 'planProposed', plan });
  const edited = editedPlan(tools.deps.revision);
  if (edited !== null) {
    plan = edited;
    tools.emit({ kind: 'planEdited', plan });
  } else if (tools.deps.holdPlan !== undefined) {
    const held = await tools.deps.holdPlan(plan, tools.signal);
    if (held !== plan) {
      plan = held;
      tools.emit({ kind: 'planEdited', plan });
    }
  }
  return plan;
}

async function planByModel(tools: Tools): Promise<Plan> {
  const { question } = tools;
  const messages: Message[] = [...prefix, planTurn(question)];
  for (const rung of ['llm', 'llm-repaired'] as const) {
    const decoded = await tools.json(rung === 'llm' ? 'plan' : 'plan-repair', null, planSchema, messages, 200);
    let reason = decoded.ok ? '' : decoded.reason;
    if (decoded.ok) {
      const asWritten = planFromSteps(decoded.value.steps, question, rung);
      const fixed = fixSteps(decoded.value.steps, question);
      const faults = faultsOf(asWritten, question);
      const plan = faults.length === 0 ? asWritten : planFromSteps(fixed, question, rung === 'llm' ? 'llm-fixed' : 'llm-repaired');
      const problem = faultsOf(plan, question)[0] ?? misfit(plan, question);
      if (problem === null || problem === undefined) return plan;
      const hinted = hintedPlan(fixed, question, rung === 'llm' ? 'llm-fixed' : 'llm-repaired');
      if (hinted !== null) return hinted;
      reason = problem;
    }
    if (rung === 'llm') messages.push({ role: 'assistant', content: decoded.result.text.slice(0, 600) }, planRepairTurn(reason));
    else tools.emit({ kind: 'notice', code: 'plan-fallback', text: `No usable plan came about (${reason}); the question is searched as a whole.` });
  }
  return singleStep(question, 'single-step');
}

/** What a well-formed plan can still get wrong: inventing names, ending before the question's end, or losing what it is about. */
function misfit(plan: Plan, question: string): string | null {
  if (plan.nodes.length === 1) return 'it needs more than one step: first find out who or what is meant, then ask about #1';
  const asksTwice = /\band (?:who|what|when|where|which|how|whose)\b/i.test(question);
  if (plan.final.deps.length > 1 && !isComparison(question) && !asksTwice) return 'the steps must build on one another: the last one uses the answers of the others';
  for (const node of plan.nodes) {
    const [invented] = inventedEntities(node.q, question);
    if (invented !== undefined) return `step ${node.id} names "${invented}", which is not in the question`;
  }
  const wanted = answerTypeOf(question);
  const [last] = plan.final.deps;
  const given = answerTypeOf(plan.nodes.find((node) => node.id === last)?.q ?? '');
  if (plan.final.op === 'answer' && wanted !== 'other' && given !== 'other' && wanted !== given) return `the last step must ask what the question asks, for a ${wanted}, not for a ${given}`;
  const asked = contentWords(question).map(stemOf);
  const told = new Set(plan.nodes.flatMap((node) => contentWords(node.q).map(stemOf)));
  const missing = asked.filter((word) => !told.has(word));
  if (missing.length * 2 > asked.length) return 'the steps leave out most of the question';
  const names = entitiesOf(question);
  const covered = new Set(plan.nodes.flatMap((node) => wordsOf(node.q)));
  if (names.length > 0 && !names.some((name) => wordsOf(name).every((word) => covered.has(word)))) return 'no step names what the question is about';
  return null;
}

/** Executes nodes in dependency order; as many side by side as the engine has slots. */
async function executePlan(tools: Tools, plan: Plan): Promise<{ results: Map<number, NodeResult>; limited: boolean }> {
  const status = new Map<number, NodeStatus>();
  const answers = new Map<number, string>();
  const results = new Map<number, NodeResult>();
  const running = new Map<number, Promise<void>>();
  const slots = Math.max(1, tools.deps.llm?.info.parallelSlots ?? 1);

  const start = (node: PlanNode): void => {
    status.set(node.id, 'running');
    running.set(
      node.id,
      (async () => {
        try {
          let result = await executeNode(tools, node, plan, answers);
          for (const dep of result.answer === '' ? node.deps : []) {
            const source = results.get(dep);
            for (const other of source?.others ?? []) {
              if (source === undefined || result.answer !== '') break;
              result = await executeNode(tools, node, plan, new Map([...answers, [dep, other]]));
              if (result.answer === '') continue;
              answers.set(dep, other);
              results.set(dep, { ...source, answer: other });
            }
          }
          status.set(node.id, result.status);
          results.set(node.id, result);
          if (result.answer !== '') answers.set(node.id, result.answer);
        } finally {
          running.delete(node.id);
        }
      })(),
    );
  };

  const limited = await withinBudget(async () => {
    try {
      for (;;) {
        for (const node of readyNodes(plan, status)) if (running.size < slots) start(node);
        if (running.size === 0) break;
        await Promise.race(running.values());
      }
    } finally {
      await Promise.allSettled(running.values());
    }
  });
  return { results, limited };
}

async function executeNode(tools: Tools, node: PlanNode, plan: Plan, answers: ReadonlyMap<number, string>): Promise<NodeResult> {
  const { text: question, degraded } = substitute(node, plan, answers);
  tools.emit({ kind: 'nodeStarted', node: node.id, question });
  if (degraded) {
    // Searching for a person that was not found answers about another one: the whole question is searched instead.
    tools.emit({ kind: 'nodeFinished', node: node.id, status: 'skipped', answer: '', stop: 'not-found' });
    return { question, answer: '', evidence: [], status: 'skipped' };
  }
  const given = tools.givenAnswer(node.id);
  if (given !== null) {
    tools.emit({ kind: 'nodeFinished', node: node.id, status: 'answered', answer: given, stop: 'user' });
    return { question, answer: given, evidence: [], status: 'answered' };
  }
  const type = answerTypeOf(question) === 'other' ? node.answerType : answerTypeOf(question);
  const reader = new Reader(tools, node.id, question, type);
  const offered = new Set<string>();
  const queries: string[] = [];
  let deepest: Awaited<ReturnType<Tools['search']>>['hits'] = [];
  let withoutNew = 0;
  let stop: StopReason = 'not-found';

  for (const [round, depth] of tools.settings.depths.entries()) {
    const query = round === 0 ? question : await writeQuery(tools, reader, node.id, question, queries);
    queries.push(query);
    const { hits, fresh, repeated } = await tools.search(node.id, query);
    if (repeated && round > 1) {
      stop = 'repetition';
      break;
    }
    if (!repeated) deepest = hits;
    const stated = round === 0 && tools.settings.byCode ? stateLead(tools, node.id, question, hits) : null;
    if (stated !== null) return { ...stated, question, status: 'answered', hits, isStated: true };
    if (tools.deps.llm === null) break;
    // A repeated query is not run again; the passages below those that were shown are read instead.
    const shown = deepest.slice(0, depth).filter((hit) => !offered.has(hit.passage.id));
    withoutNew = fresh.length === 0 && shown.length === 0 ? withoutNew + 1 : 0;
    if (withoutNew >= 2) {
      stop = 'no-new-passages';
      break;
    }
    for (const hit of shown) offered.add(hit.passage.id);
    // Where nothing is to be chained, whole passages are read first, as the single-round baseline does.
    const isWhole = round === 0 && plan.nodes.length === 1 && tools.settings.wholeReading === 'passages';
    const whole = isWhole ? await readPassages(tools, node.id, passagesOf(hits).slice(0, 5)) : null;
    const fact = whole !== null && whole.evidence.length > 0 ? whole : await reader.read(shown, round === 0 ? question : `${question} ${query}`);
    if (fact !== null) {
      tools.emit({ kind: 'nodeFinished', node: node.id, status: 'answered', answer: fact.answer, stop: 'answered' });
      return { ...fact, question, status: 'answered', hits: deepest };
    }
  }
  tools.emit({ kind: 'nodeFinished', node: node.id, status: 'failed', answer: '', stop });
  return { question, answer: '', evidence: [], status: 'failed', hits: deepest };
}

/** What the subject's own passage states in a known form needs no model. */
function stateLead(tools: Tools, node: number, question: string, hits: readonly Hit[]): (ReadFact & { readonly others: readonly string[] }) | null {
  const fact = leadFact(question, hits);
  if (fact === null || readsAsOrder(fact.passage.text.slice(fact.span.start, fact.span.end))) return null;
  const evidence: readonly Evidence[] = [evidenceOf({ n: 1, passage: fact.passage, span: fact.span, text: '' }, node)];
  tools.emit({ kind: 'evidenceRecorded', node, evidence });
  tools.emit({ kind: 'nodeFinished', node, status: 'answered', answer: fact.answer, stop: 'answered' });
  return { answer: fact.answer, evidence, others: fact.others };
}

/** Rewrites only when reading failed (OPERA, METHODS §4.12). A useless rewrite falls back to the names of the question. */
async function writeQuery(tools: Tools, reader: Reader, node: number, question: string, tried: readonly string[]): Promise<string> {
  const turn = queryTurn(question, tried);
  const decoded = await tools.json('query', node, querySchema, [...reader.messages, turn], 48);
  const query = decoded.ok ? decoded.value.query.trim() : '';
  if (query !== '' && !isUnknown(query)) {
    reader.append(turn, { role: 'assistant', content: JSON.stringify({ query }) });
    return query;
  }
  return entitiesOf(question).join(' ') || question;
}

async function compose(tools: Tools, plan: Plan, results: ReadonlyMap<number, NodeResult>, limited: boolean): Promise<Outcome> {
  const { question } = tools;
  const facts = plan.nodes.flatMap((node) => results.get(node.id) ?? []);
  const found = facts.filter((fact) => fact.answer !== '');
  const finals = plan.final.deps.map((id) => results.get(id));
  const complete = finals.every((result) => result !== undefined && result.answer !== '');
  const stop: StopReason = limited ? 'budget' : 'answered';
  tools.emit({ kind: 'answerStarted' });

  const finish = (short: string, from: readonly NodeResult[], reason: StopReason): Outcome => {
    const answer = answerFromFacts(short, from);
    tools.emit({ kind: 'answerDelta', text: answer.sentences.map((sentence) => `\n${sentence.text} ${sentence.cites.map((n) => `[${n}]`).join('')}`).join('') });
    return { answer, stop: reason };
  };

  if (complete) {
    const settled = shortByCode(question, plan, results);
    if (settled !== null && !limited && needsLastReading(tools, plan, results)) {
      let last = null as ReadFact | null;
      limited = await withinBudget(async () => void (last = await lastReading(tools, plan, results)));
      if (last !== null && last.evidence.length > 0 && overrules(last.answer, settled, found)) {
        tools.emit({ kind: 'answerDelta', text: last.answer });
        // The last step's own reading is told only where the last reading bears it out.
        const { answer } = last;
        const others = found.filter((fact) => fact !== finals[0] || occursIn(fact.answer, answer));
        return finish(last.answer, [...others, { ...last, question, status: 'answered' }], stop);
      }
    }
    if (settled !== null) {
      tools.emit({ kind: 'answerDelta', text: settled });
      return finish(settled, found, stop);
    }
    if (!limited && tools.deps.llm !== null) {
      let short = '';
      limited = await withinBudget(async () => void (short = await composeByModel(tools, question, found)));
      if (short !== '') return finish(short, found, stop);
    }
  }

  // Never worse than one search (METHODS §8.3): what the plan did not find is looked for with the whole question.
  if (!limited && tools.deps.llm !== null && plan.nodes.length > 1) {
    let whole = null as ReadFact | null;
    limited = await withinBudget(async () => void (whole = await lastReading(tools, plan, results)));
    if (whole !== null) {
      tools.emit({ kind: 'answerDelta', text: whole.answer });
      return finish(whole.answer, [...found, { ...whole, question, status: 'degraded' }], 'answered');
    }
  }
  const partial = answerFromFacts('', found);
  return { answer: found.length === 0 ? notFound : partial, stop: limited ? 'budget' : 'not-found' };
}

/** The short answer where no model is needed for it: the last step's answer, or a comparison that code decides. null: some step has none, or code cannot tell. */
function shortByCode(question: string, plan: Plan, results: ReadonlyMap<number, NodeResult>): string | null {
  const finals = plan.final.deps.map((id) => ({ question: wayTo(plan, id), answer: results.get(id)?.answer ?? '' }));
  const [only] = finals;
  if (only === undefined || finals.some(({ answer }) => answer === '')) return null;
  return plan.final.op === 'answer' && finals.length === 1 ? only.answer : decide(question, finals);
}

/** The answer of a question in a known form whose facts the passages state in known forms: no model is needed. null where one of them is not. */
export async function answerByForm(tools: Tools): Promise<Outcome | null> {
  const { question } = tools;
  if (!tools.settings.byCode) return null;
  const byForm = formSteps(question);
  if (byForm === null && !asksInKnownForm(question)) return null;
  const plan = byForm === null ? singleStep(question, 'router') : planFromSteps(byForm.steps, question, 'form');
  if (faultsOf(plan, question).length > 0) return null;
  if (byForm !== null) tools.emit({ kind: 'planProposed', plan });
  const { results, limited } = await executePlan(tools, plan);
  return shortByCode(question, plan, results) === null ? null : compose(tools, plan, results, limited);
}

/** The wordings of a step and of those that lead to it: which part of the question it belongs to. */
function wayTo(plan: Plan, id: number): string {
  const node = plan.nodes.find((other) => other.id === id);
  return node === undefined ? '' : [...node.deps.map((dep) => wayTo(plan, dep)), node.q].join(' ');
}

async function composeByModel(tools: Tools, question: string, found: readonly NodeResult[]): Promise<string> {
  const facts = found.map((fact): Fact => ({ question: fact.question, answer: fact.answer, quotes: fact.evidence.map((item) => item.quote) }));
  const value = jsonStringStream('answer');
  const decoded = await tools.json('answer', null, answerSchema, [...prefix, answerTurn(question, facts)], 64, (delta) => {
    const text = value(delta);
    if (text !== '') tools.emit({ kind: 'answerDelta', text });
  });
  if (!decoded.ok || isUnknown(decoded.value.answer)) return '';
  return shortAnswer(decoded.value.answer);
}

/**
 * Whether a plan's answer is worth a second look: a model wrote the plan and read its last step from a few sentences, and the device can bear to read whole passages.
 * Plans of plain forms, and a person's own, are right more often than a reader that sees all hops at once.
 */
function needsLastReading(tools: Tools, plan: Plan, results: ReadonlyMap<number, NodeResult>): boolean {
  const last = results.get(plan.final.deps[0] ?? 0);
  if (tools.settings.wholeReading !== 'passages' || tools.deps.llm === null || !plan.source.startsWith('llm')) return false;
  return plan.final.op === 'answer' && last?.isStated !== true && last?.status === 'answered' && last.evidence.length > 0;
}

/**
 * Whether the last reading is to be believed rather than the chain. What only shortens the chain's answer says less, and a name that an earlier step found is a
 * station on the way: a reader that answers with it has stopped there.
 */
function overrules(answer: string, chain: string, found: readonly NodeResult[]): boolean {
  if (occursIn(answer, chain)) return false;
  return !found.some((fact) => fact.answer !== chain && (occursIn(answer, fact.answer) || occursIn(fact.answer, answer)));
}

/**
 * The question itself, read over what its steps have gathered: the passages that carry their facts, the best two that the last step found, then those of one search
 * with the whole question, five in all. The steps bring the passages of the later hops; a reader of whole passages, asked the whole question, reads them better than
 * a chain of short answers, each of which can go wrong.
 */
async function lastReading(tools: Tools, plan: Plan, results: ReadonlyMap<number, NodeResult>): Promise<ReadFact | null> {
  if (tools.settings.wholeReading !== 'passages') return readWhole(tools);
  const { hits: whole } = await tools.search(0, tools.question);
  const steps = plan.nodes.flatMap((node) => results.get(node.id) ?? []);
  const carrying = steps.flatMap(({ evidence }) => evidence.map(({ passage }) => passage));
  const found = steps.filter(({ hits = [] }) => hits.length > 0).at(-1)?.hits?.slice(0, 2) ?? [];
  const gathered = new Map([...carrying.slice(0, 4), ...passagesOf(found), ...passagesOf(whole)].map((passage) => [passage.id, passage]));
  return readPassages(tools, 0, [...gathered.values()].slice(0, 5));
}

const passagesOf = (hits: readonly Hit[]): Passage[] => hits.map((hit) => hit.passage);

/** One search with the whole question, read as the tokens allow: whole passages like the single-round baseline, or the best sentences of more of them. */
async function readWhole(tools: Tools, node = 0): Promise<ReadFact | null> {
  const { question, settings } = tools;
  const { hits } = await tools.search(node, question);
  if (settings.wholeReading === 'passages') return readPassages(tools, node, passagesOf(hits).slice(0, 5));
  return new Reader(tools, node, question, answerTypeOf(question), Math.round(settings.evidenceTokens * 1.5)).read(hits.slice(0, settings.depths[1] ?? 10));
}

/** The last rung of the plan ladder: no plan, one search, one reading. */
async function wholeOnly(tools: Tools): Promise<Outcome> {
  const { question } = tools;
  tools.emit({ kind: 'nodeStarted', node: 1, question });
  const fact = await readWhole(tools, 1);
  tools.emit({ kind: 'nodeFinished', node: 1, status: fact === null ? 'failed' : 'answered', answer: fact?.answer ?? '', stop: fact === null ? 'not-found' : 'answered' });
  tools.emit({ kind: 'answerStarted' });
  if (fact === null) return { answer: notFound, stop: 'not-found' };
  tools.emit({ kind: 'answerDelta', text: fact.answer });
  return { answer: answerFromFacts(fact.answer, [{ ...fact, question }]), stop: 'answered' };
}
