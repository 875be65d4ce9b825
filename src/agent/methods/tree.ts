/**
 * Budgeted best-first search over states of knowledge (METHODS §4.15, §8.7), and best-of-N as its control at the same limit of calls. Retrieval has no side
 * effects, so a state is cloned by copying its facts. The value of a state is the model's P("what is known suffices").
 */
import { ask, closingAnswer, conclude, factLines, finishNode, valueOf, withinBudget, type KnownFact } from '../actions.ts';
import type { Method, Tools } from '../harness.ts';
import { branchInstruction, branchSchema, section, task } from '../prompts-actions.ts';
import { readFact, readPerRound, runLoop } from './loop.ts';

/** METHODS §4.15: children a state, depth, expansions, and the value from which a state counts as finished. */
const branching = 3;
const depthLimit = 4;
const expansions = 12;
const finished = 0.95;

interface State {
  readonly id: number;
  readonly parent: number | null;
  readonly depth: number;
  readonly facts: readonly KnownFact[];
  readonly value: number;
}

const source = 'Tree Search for Language Model Agents (arXiv 2407.01476)';
const limitFactor = (): number => 2;

export const tree: Method = {
  id: 'tree',
  label: 'Tree search',
  description: 'Tries several next queries from each state of knowledge and goes on from the most promising.',
  needsLlm: true,
  kind: 'method',
  source,
  differences: 'States are sets of recorded facts, not web pages; b 3, d 4, c 12; one value call by token probability in place of 20 samples.',
  limitFactor,
  run: async (tools) => {
    let best: State = { id: 0, parent: null, depth: 0, facts: [], value: 0 };
    const limited = await withinBudget(async () => {
      const open: State[] = [best];
      let made = 0;
      tools.emit({ kind: 'treeExpanded', state: 0, parent: null, depth: 0, value: 0, query: tools.question });
      for (let state = open.shift(); state !== undefined && made < expansions && best.value < finished; state = open.shift()) {
        for (const query of await branches(tools, state)) {
          if (made >= expansions || best.value >= finished) break;
          const child = await expand(tools, state, ++made, query);
          if (child.value > best.value || (child.value === best.value && child.facts.length > best.facts.length)) best = child;
          if (child.depth < depthLimit && child.facts.length > state.facts.length) open.push(child);
        }
        open.sort((a, b) => b.value - a.value || b.facts.length - a.facts.length || a.id - b.id);
      }
    });
    return answerFrom(tools, best.facts, limited);
  },
};

async function branches(tools: Tools, state: State): Promise<readonly string[]> {
  const facts = state.facts.length === 0 ? ['none yet'] : factLines(state.facts);
  const messages = task('BRANCH', branchInstruction, section('Question', 'question', tools.question), section('Facts', 'facts', ...facts));
  const written = await ask(tools, 'query', state.id + 1, branchSchema(branching), messages, 160);
  return [...new Set(written?.queries ?? [tools.question])];
}

/** Nodes are numbered by the state that they lead to. */
async function expand(tools: Tools, parent: State, id: number, query: string): Promise<State> {
  // Siblings may ask what cousins asked: their states differ, so each has its own memory of queries.
  const own = tools.with({ fresh: true });
  own.emit({ kind: 'nodeStarted', node: id, question: query });
  const { hits } = await own.search(id, query);
  const fact = await readFact(own, { node: id, question: query, facts: parent.facts }, hits.slice(0, readPerRound));
  finishNode(own, id, fact, 'not-found');
  const facts = fact === null ? parent.facts : [...parent.facts, { ...fact, question: query }];
  const value = fact === null ? parent.value * 0.5 : await valueOf(own, id, tools.question, facts);
  own.emit({ kind: 'treeExpanded', state: id, parent: parent.id, depth: parent.depth + 1, value, query });
  return { id, parent: parent.id, depth: parent.depth + 1, facts, value };
}

async function answerFrom(tools: Tools, facts: readonly KnownFact[], limited: boolean): ReturnType<Method['run']> {
  let short = '';
  const late = await withinBudget(async () => void (short = await closingAnswer(tools, tools.question, facts)));
  return conclude(tools, short, facts, limited || late ? 'budget' : 'answered');
}

export const bestOf: Method = {
  id: 'best-of',
  label: 'Best of several runs',
  description: 'Runs the loop several times with different seeds and takes the run whose facts suffice best.',
  needsLlm: true,
  kind: 'method',
  source: `Best-of-N, the control of ${source} at the same limit of calls`,
  differences: 'Runs are chosen by the same value call as the states of the tree.',
  limitFactor,
  run: async (tools) => {
    let best: { readonly facts: readonly KnownFact[]; readonly value: number } = { facts: [], value: -1 };
    let firstNode = 1;
    const limited = await withinBudget(async () => {
      for (let k = 1; k <= tools.settings.samples && best.value < finished; k++) {
        const seed = tools.settings.seed + k - 1;
        tools.emit({ kind: 'trajectoryStarted', trajectory: k, of: tools.settings.samples, seed });
        const own = tools.with({ sampling: { temperature: tools.settings.sampleTemperature, seed }, fresh: true });
        const { facts, nextNode } = await runLoop(own, { rounds: 6, firstNode });
        firstNode = nextNode;
        const value = await valueOf(tools, 0, tools.question, facts);
        const logp = Math.log(Math.max(value, 1e-6));
        tools.emit({ kind: 'trajectoryFinished', trajectory: k, answer: facts.at(-1)?.answer ?? '', logp: { sum: logp, mean: logp, tokens: 1, method: 'verify' } });
        if (value > best.value) best = { facts, value };
      }
    });
    return answerFrom(tools, best.facts, limited);
  },
};
