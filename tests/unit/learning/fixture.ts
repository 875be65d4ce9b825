/** Samples of the toy case (METHODS Appendix A), as an E-step over it would leave them. */
import type { Sample } from '../../../src/learning/samples.ts';

const texts: Record<string, { title: string; text: string }> = {
  'toy/d1': { title: 'Orrin Vale', text: 'Orrin Vale was a glass-maker born in Teshmoor. He was the founder of Vale Glassworks.' },
  'toy/d2': { title: 'Vale Glassworks', text: 'Vale Glassworks, founded by Orrin Vale, makes harbour lamps.' },
  'toy/d3': { title: 'Teshmoor', text: 'Teshmoor is a town on the river Isk.' },
  'toy/d4': { title: 'Isk Glassworks', text: 'Isk Glassworks was founded by Mira Lund.' },
  'toy/d5': { title: 'Mira Lund', text: 'Mira Lund was born in Karr.' },
};
export const toyQuestionText = 'On which river is the birthplace of the founder of Vale Glassworks?';

const questions: Readonly<Record<number, string>> = { 1: 'Who founded Vale Glassworks?', 2: 'Where was Orrin Vale born?', 3: 'On which river is Teshmoor?' };

type Step = Sample['steps'][number];
let t = 0;
const seen = new Set<string>();
const search = (node: number, query: string, ids: readonly string[]): Step => {
  const docs = ids.map((id, i) => ({ id: `toy/${id}`, rank: i + 1, score: 1 / (i + 1), new: !seen.has(id) }));
  for (const id of ids) seen.add(id);
  return { t: ++t, node, kind: 'search', query, k: 5, retriever: 'bm25', docs, ms: 1 };
};
const record = (node: number, subAnswer: string, doc: string | null): Step => ({
  t: ++t, node, kind: 'record', question: questions[node] ?? '', sufficient: subAnswer !== '', subAnswer,
  evidence: doc === null ? [] : [{ doc: `toy/${doc}`, span: [0, texts[`toy/${doc}`]!.text.length], text: texts[`toy/${doc}`]!.text }],
});
const plan = (...questions: string[]): Step => ({
  t: ++t, node: null, kind: 'plan',
  plan: { nodes: questions.map((q, i) => ({ id: i + 1, q, deps: [...q.matchAll(/#(\d)/g)].map((m) => Number(m[1])), answerType: 'other' })), final: { deps: [questions.length], op: 'answer' }, source: 'llm' },
});
const call = (purpose: 'plan' | 'query', node: number | null, turn: string, output: string): Step => ({ t: ++t, node, kind: 'call', purpose, messages: [{ role: 'user', content: turn }], output });

function sample(k: number, steps: () => Step[], answer: string, change: Partial<Sample>): Sample {
  t = 0;
  seen.clear();
  const list = steps();
  list.push({ t: ++t, node: null, kind: 'answer', text: answer, cites: [] });
  return {
    id: `run-${k}/1`, qid: 'toy', question: toyQuestionText, method: 'foray', seed: 12 + k, steps: list, stop: 'answered', answer, answerLogp: null, weight: null, process: [],
    cost: { llmCalls: 5, promptTokens: 900, cachedTokens: 500, outputTokens: 60, searches: list.filter((s) => s.kind === 'search').length, wallMs: 10 },
    model: 'scripted', corpus: 'toy',
    passages: texts, head: [], licence: 'CC0', priorLogp: { sum: -6, mean: -3, tokens: 2, method: 'exact' }, em: 0, f1: 0, supportRecall: 0, ...change,
  };
}

const logp = (mean: number): Sample['answerLogp'] => ({ sum: mean, mean, tokens: 1, method: 'exact' });

/** z1 right, z2 stops too soon after a refined query, z3 drifts; gold-answer log-likelihoods −0.2, −1.6, −2.9. */
export const toySamples: readonly Sample[] = [
  sample(
    1,
    () => [
      call('plan', null, `PLAN\nQuestion: ${toyQuestionText}`, '{"steps":["Who founded Vale Glassworks?","Where was #1 born?","On which river is #2?"]}'),
      plan('Who founded Vale Glassworks?', 'Where was #1 born?', 'On which river is #2?'),
      search(1, 'founder Vale Glassworks', ['d2', 'd1']), record(1, 'Orrin Vale', 'd2'),
      search(2, 'Orrin Vale born', ['d1', 'd2']), record(2, 'Teshmoor', 'd1'),
      search(3, 'Teshmoor river', ['d3', 'd1']), record(3, 'Isk', 'd3'),
    ],
    'Isk',
    { answerLogp: logp(-0.2), em: 1, f1: 1, supportRecall: 1, weight: 0.761 },
  ),
  sample(
    2,
    () => [
      plan('Who founded Vale Glassworks?', 'On which river is the birthplace of #1?'),
      search(1, 'river of Vale Glassworks', ['d2', 'd4']), search(1, 'founder of Vale Glassworks birthplace', ['d1', 'd2']), record(1, 'Teshmoor', 'd1'),
    ],
    'Teshmoor',
    { answerLogp: logp(-1.6), supportRecall: 0.5, weight: 0.188, process: [{ t: 2, novel: 1, useful: 0, note: 'no founder in the results', refined: 'founder of Vale Glassworks birthplace' }] },
  ),
  sample(
    3,
    () => [plan('Who founded Isk Glassworks?', 'Where was #1 born?'), search(1, 'Isk Glassworks founder', ['d4', 'd5']), record(1, 'Mira Lund', 'd4'), search(2, 'Mira Lund born', ['d5']), record(2, 'Karr', 'd5')],
    'Karr',
    { answerLogp: logp(-2.9), weight: 0.051 },
  ),
];
