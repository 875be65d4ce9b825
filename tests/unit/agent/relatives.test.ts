/**
 * The methods in the harness, and where each acceptance test of METHODS §14 stands (tests/unit/…):
 *  1 EM, F1: lab/metrics "EM over aliases", "yes, no and noanswer match only themselves", "empty texts match only each other, …" · 2 plan reward: agent/decomposition
 *  "METHODS §14.2" · 3 weights, ESS, wrong weights: agent/trajectories "METHODS §14.3" · 4 loss mask: learning/exports "masks every retrieved span …" · 5 plan faults, #12:
 *  agent/plan "validity", "puts #12 in before #1, …" · 6, 7, 8 here; 7 also agent/harness "refuses a repeated query …" · 9 r = G − P: lab/behaviour "a second identical
 *  search …" · 10 CTAR: lab/behaviour "CTAR" · 11 statistics: lab/statistics "bootstrap", "McNemar, Holm, Wilson" · 12 nuggets: lab/nuggets · 13 WideSearch: lab/tables ·
 *  14 two-step vectors: corpus/vector-index "two steps find at least 98 of 100 …" · 15 quotes: here, agent/evidence · 16 injection: agent/methods "METHODS §14.16",
 *  agent/harness "hostile passages", faults/untrusted T3 · 17 resume: agent/resume, e2e/resume · 18 S(y): agent/trajectories "METHODS §14.18" · 19 DF filter: here ·
 *  20 noise schedule: lab/experiment "the noise curve of ZeroSearch …"
 */
import { describe, expect, it } from 'vitest';
import { extractAnswer, firstSentence, followUpOf, reactAction, searchO1Query } from '../../../src/agent/baseline-prompts.ts';
import { goldPlan } from '../../../src/agent/decomposition.ts';
import { verbatim } from '../../../src/agent/evidence.ts';
import type { AgentEvent, StopReason } from '../../../src/agent/events.ts';
import { parametersOf } from '../../../src/agent/methods/adasearch.ts';
import { refined } from '../../../src/agent/methods/local-first.ts';
import { fuse, overlap } from '../../../src/agent/methods/re-searcher.ts';
import { filterTerms } from '../../../src/agent/methods/sira.ts';
import type { Llm } from '../../../src/engine/llm.ts';
import { cellKey, reduceTable, tableAsCsv, type TableView } from '../../../src/ui/table-state.ts';
import { all, collect, last, memoryCallCache, startRun, type RunOptions } from '../../fixtures/agent-run.ts';
import { anyScript, questionFor, taskScript } from '../../fixtures/method-scripts.ts';
import { hitsOf, passage, scriptedLlm, toyPassages, toyQuestion, type Script } from '../../fixtures/toy.ts';

const events = (method: string, options: RunOptions = {}) => collect(startRun(method, { script: anyScript(method), question: questionFor(method), ...options }).events);

/** The table that a run fills, as the page reduces it. */
const tableOf = (told: readonly AgentEvent[]): TableView | null =>
  told.reduce<TableView | null>((table, event) => (event.kind === 'tableStarted' || event.kind === 'cellFilled' ? reduceTable(table, event) : table), null);

/** An engine that scores: each answer has its log-probability. */
function scoring(script: Script, logprobOf: (prompt: string, answer: string) => number, modelId = 'scripted'): Llm {
  const llm = scriptedLlm(script);
  return {
    ...llm,
    info: { ...llm.info, modelId, can: { ...llm.info.can, score: true, logprobs: true } },
    score: async (messages, continuation) => {
      const sum = logprobOf(messages.map(({ content }) => content).join('\n'), (JSON.parse(continuation) as { answer: string }).answer);
      return { sum, mean: sum / 2, tokens: 2, method: 'exact' };
    },
  };
}

describe('METHODS §14 in the harness', () => {
  it('6: a child is asked with its parent’s answer', async () => {
    const run = startRun('mindsearch', { script: anyScript('mindsearch') });
    const told = await collect(run.events);
    expect(all(told, 'nodeStarted').map(({ question }) => question)).toEqual(['Who founded Vale Glassworks?', 'Where was Orrin Vale born?', 'On which river is Teshmoor?']);
    const prompts = run.llm.requests.flatMap((request) => request.messages.map(({ content }) => content));
    expect(prompts.some((text) => text.startsWith('READ\nQuestion: Where was Orrin Vale born?'))).toBe(true);
    expect([...all(told, 'planProposed'), ...all(told, 'planEdited')].map(({ plan }) => plan.nodes.length)).toEqual([1, 2, 3]);
  });

  it('7: a repeated query is refused and counted', async () => {
    const stuck: Script = (request, call, text) => (text.startsWith('THINK') ? '{"thought":"Again.","query":"Who founded Vale Glassworks?","done":false}' : taskScript(request, call, text));
    const run = startRun('smartsearch', { script: stuck });
    const told = await collect(run.events);
    expect(run.retriever.queries).toHaveLength(1);
    expect(all(told, 'queryScored').filter(({ note }) => note.includes('not run again'))).toHaveLength(2);
    expect(last(told, 'runFinished').stop).toBe('repetition');
  });

  it('8: every stop reason can be reached', async () => {
    const reached = new Set<StopReason>();
    const note = (list: Awaited<ReturnType<typeof events>>): void => {
      for (const event of list) if (event.kind === 'runFinished' || event.kind === 'nodeFinished') reached.add(event.stop);
      if (list.at(-1)?.kind === 'runFailed') reached.add('error');
    };
    note(await events('exsearch'));
    note(await events('apex', { script: () => '{}' }));
    note(await events('apex', { settings: { maxLlmCalls: 2 } }));
    note(await events('smartsearch', { script: (request, call, text) => (text.startsWith('THINK') ? '{"thought":"x","query":"founder","done":false}' : taskScript(request, call, text)) }));
    const barren: Script = (request, call, text) => (text.startsWith('QUERY') ? JSON.stringify({ query: `Vale ${'abcdefgh'[call % 8]} ${call}` }) : text.startsWith('CHECK') ? '{}' : taskScript(request, call, text));
    note(await events('apex', { script: barren, passages: toyPassages.slice(0, 2) }));
    note(await events('apex', { deps: { llm: null } }));
    const controller = new AbortController();
    controller.abort();
    note(await events('apex', { signal: controller.signal }));
    expect([...reached].sort()).toEqual(['answered', 'budget', 'error', 'no-new-passages', 'not-found', 'repetition', 'user']);
  });

  it('15: an altered quote is rejected', () => {
    expect(verbatim(toyPassages[2]!, 'Teshmoor is a town on the river Isk.', 1)).not.toBe(null);
    for (const altered of ['Teshmoor is a city on the river Isk.', 'teshmoor is a town', 'Teshmoor is a town  on', '']) expect(verbatim(toyPassages[2]!, altered, 1)).toBe(null);
  });

  it('19: the frequency filter drops DF = 0 and DF > τ|C|, never words of the question', async () => {
    const terms = filterTerms(['lamp', 'the', 'nowhere', 'founder'], 'Who is the founder?', { passages: 10_000, documents: [500, 501, 0, 9000] });
    expect(terms).toEqual([{ term: 'lamp', documents: 500, kept: true }, { term: 'nowhere', documents: 0, kept: false }]);
    expect(filterTerms(['town'], 'x', { passages: 100, documents: [20] })[0]?.kept).toBe(true);
    expect(filterTerms(['town'], 'x', { passages: 100, documents: [21] })[0]?.kept).toBe(false);
    const told = await events('sira');
    expect(last(told, 'expanded')).toMatchObject({ weight: 0.5 });
    expect(last(told, 'expanded').terms.find(({ term }) => term === 'zzzz')).toEqual({ term: 'zzzz', documents: 0, kept: false });
    expect(all(told, 'searched')).toHaveLength(1);
  });
});

describe('ExSearch over several trajectories', () => {
  /** The first sample goes astray, the others find the river. */
  const astray: Script = (request, call, text) => {
    if (request.seed === 13 && text.startsWith('THINK')) return text.includes('Karr') ? '{"thought":"x","query":"","done":true}' : '{"thought":"x","query":"Where was Mira Lund born?","done":false}';
    if (text.startsWith('SELECT') && text.includes('Mira Lund born?')) return '{"keep":[1]}';
    if (text.startsWith('READ') && text.includes('Mira Lund born?')) return `{"sentence":${/(\d+)\. .*born in Karr/.exec(text)?.[1] ?? 0},"answer":"Karr"}`;
    if (text.startsWith('ANSWER') && text.includes('Karr')) return '{"answer":"Karr"}';
    return taskScript(request, call, text);
  };

  it('samples on while they disagree, and stops where two agree', async () => {
    expect(all(await events('exsearch'), 'trajectoryStarted').map(({ seed }) => seed)).toEqual([13, 14]);
    const told = await events('exsearch', { script: astray });
    expect(all(told, 'trajectoryFinished').map(({ answer }) => answer)).toEqual(['Karr', 'Isk', 'Isk']);
  });

  it('votes without scores, and marks it', async () => {
    const told = await events('exsearch', { script: astray });
    expect(last(told, 'trajectoriesWeighted')).toMatchObject({ ess: null, scores: [{ answer: 'Isk', score: 2 / 3 }, { answer: 'Karr', score: 1 / 3 }] });
    expect(last(told, 'answerFinished').answer.short).toBe('Isk');
    expect(all(told, 'trajectoryFinished').every(({ logp }) => logp?.method === 'verify')).toBe(true);
  });

  it('marginalises the answer where the engine scores: one confident trajectory outweighs two doubtful ones', async () => {
    const llm = scoring(astray, (prompt, answer) => Math.log(prompt.includes('Karr') ? (answer === 'Karr' ? 0.9 : 0.01) : answer === 'Isk' ? 0.2 : 0.15));
    const told = await events('exsearch', { deps: { llm } });
    const { scores, ess, gains } = last(told, 'trajectoriesWeighted');
    expect(scores.map(({ answer }) => answer)).toEqual(['Karr', 'Isk']);
    expect(scores[0]?.score).toBeCloseTo((0.9 + 0.15 + 0.15) / 3);
    expect(scores[1]?.score).toBeCloseTo((0.01 + 0.2 + 0.2) / 3);
    expect(ess).toBeCloseTo(1 / ((0.75 ** 2) + 2 * 0.125 ** 2));
    expect(gains).toHaveLength(3);
    expect(last(told, 'answerFinished').answer.short).toBe('Karr');
    expect(last(told, 'trajectoryFinished').logp).toMatchObject({ method: 'exact' });
  });
});

describe('APEX-Searcher', () => {
  const gold = goldPlan(['Vale Glassworks >> founder', 'Where was #1 born?', 'On which river is #2?'], toyQuestion);

  it('runs a gold plan without planning, and gold answers without searching for them', async () => {
    const planned = await events('apex', { deps: { gold: { plan: gold } } });
    expect(all(planned, 'llmCalled').some(({ purpose }) => purpose === 'plan')).toBe(false);
    expect(last(planned, 'planProposed').plan.source).toBe('gold');
    const told = await events('apex', { deps: { gold: { plan: gold, answers: ['Orrin Vale', 'Teshmoor', 'Isk'] } } });
    expect(all(told, 'searched')).toEqual([]);
    expect(last(told, 'answerFinished').answer.short).toBe('Isk');
  });

  it('takes the plan that is most like the others', async () => {
    const odd: Script = (request, call, text) => (text.startsWith('PLAN') && request.seed === 13 ? '{"steps":["What is glass?","Who made #1 first in the world?"]}' : taskScript(request, call, text));
    const told = await events('apex-consistent', { script: odd });
    expect(last(told, 'planProposed').plan.nodes).toHaveLength(3);
    expect(all(told, 'thought')[0]?.text).toMatch(/^3 plans, agreement 0\.\d\d; plan [23]/);
  });
});

describe('what is particular to each relative', () => {
  it('SmartSearch refines a query that found nothing useful, and notes both', async () => {
    const blind: Script = (request, call, text) => (text.startsWith('READ') && !text.includes('harbour lamps') ? '{"sentence":0,"answer":""}' : taskScript(request, call, text));
    const scored = all(await events('smartsearch', { script: blind, passages: toyPassages.slice(3) }), 'queryScored');
    expect(scored[0]).toMatchObject({ useful: false, refined: 'harbour lamps maker' });
  });

  it('AdaSearch searches with small models, with unlike samples, and about the present; a confident large one answers', async () => {
    const gate = async (modelId: string, question = toyQuestion, script: Script = taskScript) =>
      last(await events('adasearch', { question, deps: { llm: scoring(script, () => -1, modelId) } }), 'gated');
    expect(await gate('qwen2.5-1.5b')).toMatchObject({ search: true, confidence: null });
    expect(await gate('mystery')).toMatchObject({ search: true });
    expect(await gate('llama-8b', 'Who currently owns Vale Glassworks?')).toMatchObject({ search: true });
    expect((await gate('llama-8b')).reason).toContain('probabilities');
    expect(await gate('llama-8b', toyQuestion, (request, call, text) => (text.startsWith('RECALL') ? JSON.stringify({ answer: `Isk ${call}` }) : taskScript(request, call, text)))).toMatchObject({ search: true });
    const sure = scoring(taskScript, () => -1, 'llama-8b');
    const generate = sure.generate.bind(sure);
    const llm: Llm = {
      ...sure,
      async *generate(request, signal) {
        for await (const event of generate(request, signal)) yield event.kind === 'finished' ? { ...event, result: { ...event.result, logprobs: [{ token: 'x', logprob: -0.05 }] } } : event;
      },
    };
    const told = await events('adasearch', { deps: { llm } });
    expect(last(told, 'gated')).toMatchObject({ search: false });
    expect(last(told, 'gated').confidence).toBeCloseTo(Math.exp(-0.05));
    expect(last(told, 'answerFinished').answer.mode).toBe('closed-book');
    expect(['qwen2.5-coder-1.5b', 'smollm2-135m', 'phi', 'Llama-3.1-8B-Instruct'].map(parametersOf)).toEqual([1.5e9, 135e6, null, 8e9]);
  });

  it('RE-Searcher tells fragile queries and fuses their wordings', () => {
    const [a, b] = [hitsOf(toyPassages.slice(0, 3)), hitsOf(toyPassages.slice(2, 5))];
    expect(overlap(a, b)).toBeCloseTo(0.2);
    expect(overlap(a, a)).toBe(1);
    expect(fuse([a, b]).map((hit) => hit.passage.id)[0]).toBe('d3');
  });

  it('CoSearch asks for fifty, reads five, and counts what it left out', async () => {
    const crowd = Array.from({ length: 60 }, (_, i) => passage(`c${i}`, `Founder ${i}`, `Who founded Vale Glassworks? It was founded by Orrin Vale, says ${i}.`));
    const told = await events('cosearch', { passages: [...crowd, ...toyPassages], script: (request, call, text) => (text.startsWith('SELECT') ? '{"keep":[2]}' : taskScript(request, call, text)) });
    expect(all(told, 'searched')[0]?.hits).toHaveLength(50);
    expect(all(told, 'selected')[0]).toMatchObject({ kept: { length: 5 }, dropped: { length: 45 } });
    expect(all(told, 'selected')[0]?.kept[0]).toBe(all(told, 'searched')[0]?.hits[1]?.passage.id);
    expect(all(told, 'queryScored')[0]?.note).toMatch(/^45 of the 50/);
  });

  it('best-first search goes on from the more promising state', async () => {
    const told = all(await events('tree'), 'treeExpanded');
    expect(told[0]).toMatchObject({ state: 0, parent: null, depth: 0 });
    expect(told.length).toBeLessThanOrEqual(13);
    expect(Math.max(...told.map(({ depth }) => depth))).toBe(3);
    expect(told.at(-1)?.value).toBe(1);
  });

  it('own documents first: a disagreement is told and the own ones win', async () => {
    const mine = { ...passage('own/1', 'Vale Glassworks', 'Vale Glassworks was founded by Mira Lund.'), corpus: 'own' };
    const script: Script = (request, call, text) => {
      const line = /(\d+)\. .*founded by (Orrin Vale|Mira Lund)/.exec(text);
      return text.startsWith('READ') && text.includes('Who founded') ? JSON.stringify({ sentence: Number(line?.[1]), answer: line?.[2] }) : taskScript(request, call, text);
    };
    const run = startRun('local-first', { script, passages: [...toyPassages, mine] });
    const search = run.retriever.search.bind(run.retriever);
    run.retriever.search = async (request, signal) => {
      const result = await search(request, signal);
      return { ...result, hits: result.hits.filter((hit) => request.corpora === undefined || request.corpora.includes(hit.passage.corpus)) };
    };
    const told = await collect(run.events);
    expect(all(told, 'conflictFound')[0]).toMatchObject({ node: 1, answers: [{ answer: 'Mira Lund', source: 'own' }, { answer: 'Orrin Vale', source: 'shard' }] });
    expect(all(told, 'nodeFinished')[0]?.answer).toBe('Mira Lund');
    const hits = hitsOf(toyPassages);
    expect(refined(hits, 'Teshmoor river town', '', (a, b) => (a.includes('river') && b.includes('river') ? 1 : 0)).map((hit) => hit.passage.id)).toContain('d3');
    expect(refined(hits.slice(0, 1), 'x', '', () => 0)).toHaveLength(1);
  });

  it('AI-SearchPlanner plans with one model and answers with the other', async () => {
    const planner = scriptedLlm(taskScript);
    const run = startRun('search-planner', { script: taskScript, deps: { planner } });
    await collect(run.events);
    expect(planner.requests.some((request) => request.messages.at(-1)?.content.startsWith('THINK'))).toBe(true);
    expect(run.llm.requests.some((request) => request.messages.at(-1)?.content.startsWith('THINK'))).toBe(false);
    expect(run.llm.requests.at(-1)?.messages.at(-1)?.content).toMatch(/^ANSWER/);
  });

  it('Harness-1 shows budget, kept passages and tried queries anew each turn', async () => {
    const run = startRun('harness', { script: anyScript('harness') });
    await collect(run.events);
    const turns = run.llm.requests.map((request) => request.messages.at(-1)?.content ?? '');
    expect(turns[0]).toContain('Left: 24 searches, 24 steps.');
    expect(turns[1]).toMatch(/Tried: founder of Vale Glassworks \(\d found, \d new/);
    expect(new Set(run.llm.requests.map((request) => request.messages.length))).toEqual(new Set([2]));
  });

  it('table: rows that no passage names are left out, each cell has its quote, and a broken table goes on', async () => {
    const calls = memoryCallCache();
    const told = await events('table', { deps: { calls } });
    const table = tableOf(told);
    expect(table?.rows.map((name, row) => [name, table.cells.get(cellKey(row, 0))?.value])).toEqual([['Vale Glassworks', 'Orrin Vale'], ['Isk Glassworks', 'Mira Lund']]);
    expect(table?.cells.get(cellKey(1, 0))?.evidence?.quote).toContain('Mira Lund');
    const cut = told.findIndex((event) => event.kind === 'cellFilled') + 1;
    expect([...(tableOf(told.slice(0, cut))?.cells.keys() ?? [])]).toEqual([cellKey(0, 0)]);
    const rest = await events('table', { deps: { calls }, earlier: told.slice(0, cut), script: () => new Error('asked again') });
    expect(tableOf([...told.slice(0, cut), ...rest])).toEqual(table);
    expect(tableAsCsv(table!)).toBe(
      'Name,founder,founder (source)\r\nVale Glassworks,Orrin Vale,"Vale Glassworks: Vale Glassworks, founded by Orrin Vale, makes harbour lamps."\r\nIsk Glassworks,Mira Lund,Isk Glassworks: Isk Glassworks was founded by Mira Lund.\r\n',
    );
    const given = await events('table', { deps: { table: { columns: ['founder'], rows: ['Isk Glassworks'] } } });
    expect(last(given, 'tableStarted')).toMatchObject({ rows: ['Isk Glassworks'] });
  });
});

describe('formats of the baselines', () => {
  it('takes the answer from a field, a phrase or the last line, and says which', () => {
    expect(extractAnswer('So \\boxed{Isk}. The answer is Karr.')).toEqual({ answer: 'Isk', rule: 'field' });
    expect(extractAnswer('The answer is Karr.\nSo the final answer is: Isk. Done.')).toEqual({ answer: 'Isk', rule: 'phrase' });
    expect(extractAnswer('thinking\nIsk\n')).toEqual({ answer: 'Isk', rule: 'last-line' });
    expect(extractAnswer('unknown')).toEqual({ answer: '', rule: 'none' });
  });

  it('reads actions, follow-ups, queries and sentences, however carelessly written', () => {
    expect(reactAction('Thought 1: x\nACTION 1: search [Orrin Vale')).toEqual({ kind: 'search', argument: 'Orrin Vale' });
    expect(reactAction('no action')).toBe(null);
    expect(followUpOf('Yes.\nFollow-up question: Who?')).toBe('Who?');
    expect(followUpOf('So the final answer is: x')).toBe(null);
    expect(searchO1Query('a <|begin_search_query|> river of Teshmoor <|end_search_query|>')).toBe('river of Teshmoor');
    expect(searchO1Query('a <|begin_search_query|> river')).toBe('river');
    expect(searchO1Query('none')).toBe(null);
    expect(firstSentence('Mr. O. Vale was born in Karr. He died.')).toBe('Mr. O. Vale was born in Karr.');
  });

  it('Self-Ask never takes an intermediate answer of the model’s own', async () => {
    const run = startRun('self-ask', { script: anyScript('self-ask') });
    await collect(run.events);
    expect(run.llm.requests.map((request) => request.messages.at(-1)?.content ?? '').join('\n')).not.toContain('guessed');
  });

  it('FLARE searches where its tokens are unlikely, and only there', async () => {
    const withTokens = (logprob: number): Llm => {
      const llm = scriptedLlm(anyScript('flare'));
      const generate = llm.generate.bind(llm);
      return {
        ...llm,
        info: { ...llm.info, can: { ...llm.info.can, logprobs: true } },
        async *generate(request, signal) {
          for await (const event of generate(request, signal)) {
            if (event.kind === 'finished') yield { kind: 'finished', result: { ...event.result, logprobs: event.result.text.split(/(?= )/).map((token) => ({ token, logprob: token === ' Orrin' ? logprob : -0.01 })) } };
            else yield event;
          }
        },
      };
    };
    expect(all(await events('flare', { deps: { llm: withTokens(-0.01) } }), 'searched')).toEqual([]);
    const [first] = all(await events('flare', { deps: { llm: withTokens(Math.log(0.1)) } }), 'searched');
    expect(first?.query).toBe('Vale Glassworks was founded by Vale.');
  });
});
