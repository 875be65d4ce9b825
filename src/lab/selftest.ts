/**
 * The worked toy case (METHODS Appendix A) through the real loop, the scripted engine and the lab's own measures, against its known figures. Run by
 * `npm run bench -- selftest` and by the page's lab: it shows that this build measures what it says. Pure but for the scripted engine.
 */
import { edgeF1, planReward, scorePlan, goldPlan } from '../agent/decomposition.ts';
import { verbatim } from '../agent/evidence.ts';
import { CitationList, runMethod, type Method } from '../agent/harness.ts';
import { defaultSettings } from '../agent/settings.ts';
import { effectiveSize, marginalise, weightsOf } from '../agent/trajectories.ts';
import { methodById } from '../agent/methods/registry.ts';
import type { AgentEvent } from '../agent/events.ts';
import { createLexicalBuilder } from '../corpus/lexical-builder.ts';
import { openLexicalSegment } from '../corpus/lexical.ts';
import { createMentionMatcher, encodeLinks, encodeTitles, openLinks, openTitles } from '../corpus/links.ts';
import { chunkDocument, toPassage } from '../corpus/passages.ts';
import type { Passage, Retriever } from '../corpus/retriever.ts';
import { search, type SearchSource } from '../corpus/search.ts';
import { createScriptedLlm } from '../engine/backends/scripted.ts';
import type { Llm } from '../engine/llm.ts';
import { ctar } from './behaviour.ts';
import type { Question } from './datasets.ts';
import { itemOf } from './item.ts';
import { plainSetting, type Cell } from './matrix.ts';
import type { ItemRecord } from './record.ts';

export interface Check {
  readonly name: string;
  readonly expected: string;
  readonly actual: string;
  readonly isRight: boolean;
}

const documents: readonly (readonly [id: string, title: string, text: string])[] = [
  ['d1', 'Orrin Vale', 'Orrin Vale was a glass-maker born in Teshmoor. He was the founder of Vale Glassworks.'],
  ['d2', 'Vale Glassworks', 'Vale Glassworks, founded by Orrin Vale, makes harbour lamps.'],
  ['d3', 'Teshmoor', 'Teshmoor is a town on the river Isk.'],
  ['d4', 'Isk Glassworks', 'Isk Glassworks was founded by Mira Lund.'],
  ['d5', 'Mira Lund', 'Mira Lund was born in Karr.'],
];

const question: Question = {
  id: 'appendix-a', dataset: 'selftest', question: 'On which river is the birthplace of the founder of Vale Glassworks?', answers: ['Isk',
    'river Isk'], type: 'bridge', hops: 3,
  gold: [{ kind: 'id', id: 'd1' }, { kind: 'id', id: 'd3' }], facts: [],
  goldPlan: [{ id: 1, q: 'Who founded Vale Glassworks?', answer: 'Orrin Vale' }, { id: 2, q: 'Where was #1 born?', answer: 'Teshmoor' },
    { id: 3, q: 'On which river is #2?', answer: 'Isk' }],
  selection: 'complete', split: null,
};

/** The three trajectories: queries with what they return and what is recorded of it, and the log-probability of the gold answer after each. */
const trajectories: readonly {
  readonly id: string;
  readonly steps: readonly { readonly query: string; readonly finds: readonly string[]; readonly record: string }[];
  readonly logp: number;
}[] = [
  {
    id: 'z1', logp: -0.2,
    steps: [
      { query: 'founder Vale Glassworks', finds: ['d2', 'd1'], record: 'Orrin Vale' }, { query: 'Orrin Vale born', finds: ['d1', 'd2'], record: 'Teshmoor' },
      { query: 'Teshmoor river', finds: ['d3'], record: 'Isk' },
    ],
  },
  {
    id: 'z2', logp: -1.6,
    steps: [{ query: 'river of Vale Glassworks', finds: ['d2', 'd4'], record: '' },
      { query: 'founder of Vale Glassworks birthplace', finds: ['d1', 'd2'], record: 'Teshmoor' }],
  },
  { id: 'z3', logp: -2.9, steps: [{ query: 'Isk Glassworks founder', finds: ['d4', 'd5'], record: 'Mira Lund' },
    { query: 'Mira Lund born', finds: ['d5'], record: 'Karr' }] },
];

/** What the script answers: a planner and a reader that know the toy world, and the likelihood of each answer after each trajectory. */
const script = {
  responses: [
    { when: 'user: PLAN[^\\n]*\\n[^\\n]*On which river is the birthplace[^\\n]*$', say: { steps: question.goldPlan.map(({ q }) => q) } },
    ...[['Who founded Vale Glassworks', 'founded by Orrin Vale', 'Orrin Vale'], ['Where was Orrin Vale born', 'born in Teshmoor', 'Teshmoor'],
      ['On which river is Teshmoor', 'river Isk', 'Isk']].flatMap(([asked, line, answer]) =>
      [1, 2, 3, 4, 5, 6].map((n) => ({ when: `user: READ\\n[^\\n]*${asked}[^\\n]*\\n(?:\\d\\. [^\\n]*\\n)*?${n}\\. [^\\n]*${line}[^\\n]*(?:\\n\\d\\. [^\\n]*)*$`,
        say: { sentence: n, answer } })),
    ),
    ...trajectories.flatMap(({ id, logp, steps }) => {
      const own = steps.at(-1)?.record ?? '';
      return [
        { when: `trajectory ${id}\\nassistant: .*Isk$|trajectory ${id}.*Isk$`, say: '', logprob: logp },
        ...(own === 'Isk' ? [] : [{ when: `trajectory ${id}.*${own}$`, say: '', logprob: -0.9 }]),
      ];
    }),
    { when: 'trajectory z\\d.*$', say: '', logprob: -6 },
  ],
};

/** Resolves with every figure beside what it must be. */
export async function selftest(now: () => number): Promise<readonly Check[]> {
  const checks: Check[] = [];
  const number = (name: string, expected: number, actual: number | null | undefined, digits = 3): void => {
    const isRight = typeof actual === 'number' && Math.abs(actual - expected) < 0.5 * 10 ** -digits + 1e-12;
    checks.push({ name, expected: expected.toFixed(digits), actual: typeof actual === 'number' ? actual.toFixed(digits) : String(actual), isRight });
  };
  const text = (name: string, expected: string, actual: string): void => void checks.push({ name, expected, actual, isRight: expected === actual });

  const llm = await createScriptedLlm(script, { modelId: 'selftest', label: 'Script' });
  const corpus = toyCorpus(now);

  // The three trajectories through the real tools.
  const items: ItemRecord[] = [];
  for (const trajectory of trajectories) items.push(await itemFor(playing(trajectory), llm, playback(corpus, trajectory.steps), now));
  trajectories.forEach(({ id }, i) => number(`support recall of ${id}`, [1, 0.5, 0][i] ?? 0, items[i]?.scores.trajectory, 2));
  trajectories.forEach(({ id }, i) => number(`EM of ${id}`, [1, 0, 0][i] ?? 0, items[i]?.scores.em, 0));
  const [z1] = trajectories;
  const steps = (z1?.steps ?? []).map(({ query, finds }) => ({ query, passages: finds.flatMap((id) => corpus.byId.get(id) ?? []) }));
  number('CTAR of z1, third search', 0.5, ctar(steps, 2), 2);
  number('z1, second search: share of passages seen before', 1, items[0]?.scores.steps[1]?.redundancy, 2);
  number('z1, second search: r = G − P', -1, items[0]?.scores.steps[1]?.reward, 2);
  text('good queries of z2', 'false true', items[1]?.scores.goodQueries.join(' ') ?? '');
  text('what went wrong in z2', 'retrieval', items[1]?.scores.failure ?? '');

  // Weights from the engine's own likelihoods.
  const table = await Promise.all(['Isk', 'Teshmoor', 'Karr'].map((answer) => Promise.all(trajectories.map(({ id }) => llm.score([{ role: 'user',
    content: `trajectory ${id}` }], answer, new AbortController().signal)))));
  const gold = (table[0] ?? []).flatMap((score) => score ?? []);
  const weights = weightsOf(gold, { alpha: 1 });
  [0.761, 0.188, 0.051].forEach((expected, i) => number(`weight of ${trajectories[i]?.id ?? ''}`, expected, weights[i]));
  number('effective number of trajectories', 1.62, effectiveSize(weights), 2);
  const answers = marginalise(['Isk', 'Teshmoor', 'Karr'], table, { alpha: 1 });
  text('answer by S(y)', 'Isk', answers[0]?.answer ?? '');
  number('S(Isk) = (e^−0.2 + e^−1.6 + e^−2.9) / 3', (Math.exp(-0.2) + Math.exp(-1.6) + Math.exp(-2.9)) / 3, answers.find(({ answer }) => answer === 'Isk')?.score);

  // Plans.
  const goldSteps = question.goldPlan.map(({ q }) => q);
  const reference = goldPlan(goldSteps, question.question);
  number('R_plan of the gold wording', 1, scorePlan(reference, reference, question.question).soft, 2);
  number('R_plan of the two-step plan', 0.7, planReward([[1, 0, 0], [0, 0, 0.75]], 3).reward, 2);
  number('R_plan of METHODS 2.2, soft', 0.68, planReward([[0.9, 0.2, 0.1], [0.3, 0.8, 0.4]], 3).reward, 2);
  number('R_plan of METHODS 2.2, hard', 0.8, planReward([[0.9, 0.2, 0.1], [0.3, 0.8, 0.4]], 3, { hard: 0.7 }).reward, 2);
  number('edge F1 of the gold wording', 1, edgeF1(reference, reference, [0, 1, 2]), 2);

  // The default method from end to end over a real index.
  const foray = methodById('foray');
  if (foray === undefined) throw new Error('there is no method foray');
  const item = await itemFor(foray, llm, corpus.retriever, now);
  text('the default method answers', 'Isk', item.prediction);
  number('its support recall', 1, item.scores.trajectory, 2);
  number('its quotes word for word', 1, item.scores.quoteValidity, 2);
  text('it was', 'right', item.scores.failure);
  return checks;
}

async function itemFor(method: Method, llm: Llm, retriever: Retriever, now: () => number): Promise<ItemRecord> {
  const cell: Cell = { method: method.id, llm: 'scripted', corpus: 'selftest', setting: plainSetting, seed: 13 };
  const events: AgentEvent[] = [];
  const settings = { ...defaultSettings, byCode: false };
  for await (const event of runMethod(`selftest-${method.id}`, question.question, method, { llm, retriever, now, settings },
    new AbortController().signal)) events.push(event);
  return itemOf(question, { cell, model: 'selftest', asked: question.question }, events);
}

/** A method that does what a trajectory did, through the same tools as every other. */
function playing({ id, steps }: (typeof trajectories)[number]): Method {
  return {
    id, label: id, description: 'A trajectory of the worked example.', needsLlm: false, kind: 'baseline', source: 'METHODS Appendix A', differences: '',
    run: async (tools) => {
      const citations = new CitationList();
      for (const [i, { query, record }] of steps.entries()) {
        const { hits } = await tools.search(i + 1, query);
        const evidence = record === '' ? null : (hits.map(({ passage }) => verbatim(passage, record, i + 1)).find((found) => found !== null) ?? null);
        if (evidence !== null) {
          tools.emit({ kind: 'evidenceRecorded', node: i + 1, evidence: [evidence] });
          citations.cite(evidence);
        }
        tools.emit({ kind: 'nodeFinished', node: i + 1, status: evidence === null ? 'failed' : 'answered', answer: record, stop: 'answered' });
      }
      const short = steps.at(-1)?.record ?? '';
      return { answer: citations.answer(short, [{ text: short, cites: [], supported: false }], 'cited'), stop: 'answered' };
    },
  };
}

interface ToyCorpus {
  readonly byId: ReadonlyMap<string, Passage>;
  readonly retriever: Retriever;
}

/** The five documents in the real index and ranking. */
function toyCorpus(now: () => number): ToyCorpus {
  const rows = documents.flatMap(([docId, title, text]) => chunkDocument({ docId, title, sections: [{ heading: '', text }] }));
  const builder = createLexicalBuilder();
  for (const row of rows) builder.add(row);
  const titles = documents.map(([docId, title], i) => ({ docId, title, first: i, passages: 1, aliases: [] }));
  const opened = openTitles([{ bytes: encodeTitles(titles, 0), name: 'titles' }]);
  const matcher = createMentionMatcher(titles.map(({ title }) => title));
  const links = encodeLinks(rows.map((row, i) => matcher.documentsIn(row.text).filter((document) => document !== opened.documentOf(i))));
  const source: SearchSource = {
    key: 'toy', corpus: 'toy', titles: opened, lexical: [openLexicalSegment(builder.finish(), 'words')], vectors: [],
    links: openLinks([{ bytes: links, name: 'links' }], rows.length, documents.length),
  };
  const passages = rows.map((row) => toPassage(row, 'toy'));
  return {
    byId: new Map(passages.map((passage) => [passage.docId, passage])),
    retriever: {
      search: (request, signal) =>
        search(request, [source], { vector: null, fetchPassages: async (wanted) => wanted.map(({ ordinal }) => passages[ordinal] ?? null), now, signal }),
      passage: async (id) => passages.find((passage) => passage.id === id) ?? null,
      neighbours: async () => null,
      frequencies: async (terms) => ({ passages: passages.length, documents: terms.map(() => 0) }),
      complete: async () => [],
    },
  };
}

/** Returns for each query what the example says it returned. */
function playback(corpus: ToyCorpus, steps: (typeof trajectories)[number]['steps']): Retriever {
  return {
    ...corpus.retriever,
    search: async (request, signal) => {
      signal.throwIfAborted();
      const found = (steps.find(({ query }) => query === request.text)?.finds ?? []).flatMap((id) => corpus.byId.get(id) ?? []);
      return {
        hits: found.map((passage, i) => ({ passage, score: 1 / (i + 1), rank: i + 1, paths: [{ kind: 'lexical', rank: i + 1, score: 1 }], highlights: [],
          bestSentence: 0 })),
        searched: documents.length, usedDense: false, ms: 0,
      };
    },
  };
}
