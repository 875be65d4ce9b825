import { describe, expect, test } from 'vitest';
import type { AgentEvent } from '../../../src/agent/events.ts';
import { runMethod } from '../../../src/agent/harness.ts';
import { defaultSettings } from '../../../src/agent/settings.ts';
import { methodById } from '../../../src/agent/methods/registry.ts';
import type { Question } from '../../../src/lab/datasets.ts';
import { itemOf } from '../../../src/lab/item.ts';
import { plainSetting, type Cell } from '../../../src/lab/matrix.ts';
import { readRunFile, runRecordOf, type ItemRecord, type RunSettings } from '../../../src/lab/record.ts';
import { runLab, tasksOf, type Ask, type LabOptions, type LabProgress } from '../../../src/lab/runner.ts';
import { aggregatesOf, summarise, summaryLine } from '../../../src/lab/summary.ts';
import { scriptedLlm, toyQuestion, toyRetriever, toyScript } from '../../fixtures/toy.ts';

const toy: Question = {
  id: 'toy-1', dataset: 'toy', question: toyQuestion, answers: ['Isk', 'river Isk'], type: 'bridge', hops: 3,
  gold: [{ kind: 'id', id: 'd1' }, { kind: 'id', id: 'd3' }], facts: [], goldPlan: [], selection: 'complete', split: null,
};
const born: Question = { ...toy, id: 'toy-2', question: 'Where was Mira Lund born?', answers: ['Karr'], type: 'one-hop', hops: 1, gold: [{ kind: 'id', id: 'd5' }], selection: 'by-availability' };
const unknown: Question = { ...toy, id: 'toy-3', question: 'Who painted the harbour of Karr?', answers: [], type: 'unanswerable', gold: [], selection: null };

const cellOf = (method: string, seed = 13): Cell => ({ method, llm: 'scripted:toy', corpus: 'toy@0', setting: plainSetting, seed });
const tasks = (methods: readonly string[], questions: readonly Question[] = [toy, born], seed = 13) => tasksOf(questions, methods.map((method) => cellOf(method, seed)));
const contextOf = (method: string) => ({ cell: cellOf(method), model: null, asked: '' });
const requestOf = (question: Question, method: string) => ({ question, cell: cellOf(method), text: question.question, experiment: null });

/** The real loop over the toy corpus. */
function toyAsk(): Ask & { asked: string[] } {
  const asked: string[] = [];
  const ask: Ask = ({ question, text, cell }, _worker, signal) => {
    asked.push(`${cell.method} ${question.id}`);
    const found = methodById(cell.method);
    if (found === undefined) throw new Error(`no method ${cell.method}`);
    const deps = { llm: scriptedLlm(toyScript), retriever: toyRetriever(), now: () => performance.now(), settings: { ...defaultSettings, byCode: false, seed: cell.seed } };
    return runMethod(`run-${cell.method}-${question.id}`, text, found, deps, signal);
  };
  return Object.assign(ask, { asked });
}

async function collect(events: AsyncIterable<AgentEvent>): Promise<AgentEvent[]> {
  const all: AgentEvent[] = [];
  for await (const event of events) all.push(event);
  return all;
}

function lab(change: Partial<LabOptions>): LabOptions & { readonly written: ItemRecord[]; readonly progress: LabProgress[] } {
  const written: ItemRecord[] = [];
  const progress: LabProgress[] = [];
  let clock = 0;
  return {
    tasks: tasks(['foray', 'rag']), model: 'scripted', ask: toyAsk(), now: () => (clock += 1000),
    onItem: (item) => void written.push(item), onProgress: (next) => void progress.push(next), written, progress, ...change,
  };
}

const never = new AbortController().signal;
const settings: RunSettings = {
  runId: 'r', split: 'dev', backend: 'scripted', quant: null, embedder: null, temperature: 0, maxTurns: 24, k: 20, sample: 13, env: { ua: 'node' },
};

describe('an item (METHODS 1.3)', () => {
  test('the toy case: steps in order, verbatim evidence, scores and cost from the events', async () => {
    const events = await collect(toyAsk()(requestOf(toy, 'foray'), 0, never));
    const item = itemOf(toy, contextOf('foray'), events);
    expect(item).toMatchObject({ kind: 'trajectory', qid: 'toy-1', method: 'foray', model: 'scripted', prediction: 'Isk', stop: 'answered', error: null });
    expect(item.steps.map((step) => step.t)).toEqual(item.steps.map((_, i) => i + 1));
    const kinds = item.steps.map((step) => step.kind);
    expect(kinds.slice(0, 2).toSorted()).toEqual(['plan', 'think']);
    expect(kinds.at(-1)).toBe('answer');
    expect(item.steps.flatMap((step) => (step.kind === 'record' ? [step.subAnswer] : []))).toEqual(['Orrin Vale', 'Teshmoor', 'Isk']);
    for (const step of item.steps) {
      if (step.kind !== 'record') continue;
      for (const { doc, span, text } of step.evidence) {
        const passage = events.flatMap((event) => (event.kind === 'searched' ? event.hits : [])).find((hit) => hit.passage.id === doc)?.passage;
        expect(passage?.text.slice(...span)).toBe(text);
      }
    }
    expect(item.scores).toMatchObject({ em: 1, f1: 1, acc: 1, trajectory: 1, allTrajectory: 1, quoteValidity: 1 });
    const end = events.at(-1);
    expect(end?.kind === 'runFinished' && end.cost).toMatchObject({ llmCalls: item.cost.llmCalls, searches: item.cost.searches, promptTokens: item.cost.promptTokens });
    expect(item.cost.nodes).toBe(3);
    expect(kinds.filter((kind) => kind === 'think').length).toBe(item.cost.llmCalls);
    expect(kinds.filter((kind) => kind === 'search').length).toBe(item.cost.searches);
  });

  test('a method without sub-questions: its evidence stands before the answer', async () => {
    const item = itemOf(born, contextOf('extractive'), await collect(toyAsk()(requestOf(born, 'extractive'), 0, never)));
    expect(item.steps.map((step) => step.kind).filter((kind) => kind !== 'note')).toEqual(['search', 'record', 'answer']);
    expect(item.prediction).toContain('Mira Lund was born in Karr.');
    expect(item.scores).toMatchObject({ em: 0, acc: 1, trajectory: 1, curated: 1, dropped: 0 });
  });

  test('a run that breaks off counts as failed, with the cost up to there, also where silence would be right', async () => {
    const events = (await collect(toyAsk()(requestOf(toy, 'foray'), 0, never))).slice(0, -4);
    const failure = { kind: 'app', code: 'lab/page-lost', detail: {}, message: 'lost', retryable: true } as const;
    const cut = itemOf(unknown, contextOf('foray'), events, failure);
    expect(cut).toMatchObject({ prediction: '', stop: 'error', error: { code: 'lab/page-lost' }, scores: { em: 0, f1: 0, acc: 0 } });
    expect(cut.cost.llmCalls).toBe(events.filter((event) => event.kind === 'llmCalled').length);
    expect(cut.cost.llmCalls).toBeGreaterThan(1);
    const silent = itemOf(unknown, contextOf('foray'), events);
    expect(silent.error?.code).toBe('bug');
    expect(itemOf(unknown, contextOf('foray'), []).error?.message).toContain('no events');
  });

  test('saying nothing to an unanswerable question is right', async () => {
    const item = itemOf(unknown, contextOf('foray'), await collect(toyAsk()(requestOf(unknown, 'foray'), 0, never)));
    expect(item).toMatchObject({ prediction: '', error: null, scores: { em: 1, trajectory: null } });
  });
});

describe('the runner', () => {
  test('asks each question with each method, in order, and tells how long it takes', async () => {
    const options = lab({});
    const items = await runLab(options, never);
    expect(items.map((item) => `${item.method} ${item.qid}`)).toEqual(['foray toy-1', 'rag toy-1', 'foray toy-2', 'rag toy-2']);
    expect(options.written).toEqual(items);
    // The clock of this test moves one second a reading: 1 s an item.
    expect(options.progress.map((step) => step.secondsLeft)).toEqual([null, 2, 1, 0]);
    expect(options.progress.at(-1)).toMatchObject({ done: 4, total: 4, failed: 0 });
  });

  test('a lost page fails one item and the run goes on', async () => {
    const real = toyAsk();
    const ask: Ask = async function* (request, worker, signal) {
      const { question, cell: { method } } = request;
      let n = 0;
      for await (const event of real(request, worker, signal)) {
        if (question.id === 'toy-1' && method === 'foray' && n++ === 5) throw new Error('Target crashed\n  at somewhere');
        yield event;
      }
    };
    const items = await runLab(lab({ ask }), never);
    expect(items.map((item) => item.error?.code ?? null)).toEqual(['lab/page-lost', null, null, null]);
    expect(summarise(items, { resamples: 100 }).systems['foray']).toMatchObject({ n: 2, failed: 1, errors: { 'lab/page-lost': 1 } });
  });

  test('a question that takes too long fails alone, with what it had found', async () => {
    const real = toyAsk();
    const ask: Ask = async function* (request, worker, signal) {
      const { question } = request;
      for await (const event of real(request, worker, signal)) {
        yield event;
        if (question.id === 'toy-1' && event.kind === 'searched') {
          await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
          throw signal.reason;
        }
      }
    };
    const items = await runLab(lab({ ask, tasks: tasks(['rag']), itemSeconds: 0.05 }), never);
    expect(items.map((item) => item.error?.code ?? null)).toEqual(['lab/timeout', null]);
    expect(items[0]?.error?.message).toContain('0.05 s');
    expect(items[0]?.cost.searches).toBe(1);
  });

  test('a question over its token budget fails alone', async () => {
    const items = await runLab(lab({ tasks: tasks(['foray', 'direct'], [toy]), itemTokens: 600 }), never);
    expect(items.map((item) => item.error?.code ?? null)).toEqual(['lab/over-budget', null]);
    expect(items[0]?.cost.promptTokens).toBeGreaterThan(600);
  });

  test('several workers share the work: each task once, items in the order of the tasks', async () => {
    const busy = new Set<number>();
    const used = new Set<number>();
    const real = toyAsk();
    const ask: Ask = async function* (request, worker, signal) {
      expect(busy.has(worker)).toBe(false);
      busy.add(worker);
      used.add(worker);
      await new Promise((resolve) => setTimeout(resolve, request.question.id === 'toy-1' ? 20 : 1));
      yield* real(request, worker, signal);
      busy.delete(worker);
    };
    const options = lab({ ask, workers: 3, tasks: tasks(['foray', 'rag', 'direct']) });
    const items = await runLab(options, never);
    expect(items.map((item) => `${item.method} ${item.qid}`)).toEqual(['foray toy-1', 'rag toy-1', 'direct toy-1', 'foray toy-2', 'rag toy-2', 'direct toy-2']);
    expect(options.written.length).toBe(6);
    expect(used).toEqual(new Set([0, 1, 2]));
  });

  test('a disk that fails ends all workers with its own error', async () => {
    const full = new Error('no space');
    await expect(runLab(lab({ workers: 2, onItem: () => Promise.reject(full) }), never)).rejects.toBe(full);
  });

  test('finished items are not asked again, and the summary is that of an unbroken run', async () => {
    const whole = await runLab(lab({}), never);
    const options = lab({ done: readRunFile(whole.slice(0, 3).map((item) => JSON.stringify(item)).join('\n')).items });
    const items = await runLab(options, never);
    expect((options.ask as ReturnType<typeof toyAsk>).asked).toEqual(['rag toy-2']);
    const withoutTimes = (list: readonly ItemRecord[]): unknown =>
      list.map((item) => ({ ...item, cost: { ...item.cost, wallMs: 0, overheadMs: 0 }, steps: item.steps.map((step) => ('ms' in step ? { ...step, ms: 0 } : step)) }));
    expect(withoutTimes(items)).toEqual(withoutTimes(whole));
  });

  test('another seed is another item', async () => {
    const options = lab({ done: await runLab(lab({}), never), tasks: tasks(['rag'], [toy, born], 14) });
    await runLab(options, never);
    expect(options.written.length).toBe(2);
  });

  test('an abort ends it between items and within one', async () => {
    const controller = new AbortController();
    const options = lab({ onProgress: () => controller.abort() });
    await expect(runLab(options, controller.signal)).rejects.toMatchObject({ name: 'AbortError' });
    expect(options.written.length).toBe(1);
  });
});

describe('run.jsonl', () => {
  test('survives a torn last line, double items and run records; other lines are named', async () => {
    const [first, second] = await runLab(lab({ tasks: tasks(['rag']) }), never);
    if (first === undefined || second === undefined) throw new Error('two items expected');
    const record = runRecordOf([first, second], {}, settings, 'ab');
    const lines = [first, record, { ...first, prediction: 'later' }, 'nonsense', second].map((line) => (typeof line === 'string' ? line : JSON.stringify(line)));
    const read = readRunFile(`${lines.join('\n')}\n${JSON.stringify(first).slice(0, 100)}`);
    expect(read.items).toEqual([first, second]);
    expect(read.bad).toEqual([4]);
  });

  test('a run record holds every item and the intervals (METHODS 1.5)', async () => {
    const items = await runLab(lab({ tasks: tasks(['rag']) }), never);
    const summary = summarise(items, { resamples: 200 }).systems['rag'];
    if (summary === undefined) throw new Error('no summary');
    const record = runRecordOf(items, aggregatesOf(summary), settings, 'ab');
    if (record === null) throw new Error('no record');
    expect(record.subset).toEqual({ n: 2, seed: 13, ids: 'sha256:ab' });
    expect(record.perItem.map((row) => row.id)).toEqual(['toy-1', 'toy-2']);
    expect(record.agg['em']?.[0]).toBe(summary.em);
    expect(JSON.parse(JSON.stringify(record))).toEqual(record);
  });
});

describe('the summary', () => {
  /** An item with given scores; everything else as a real one. */
  async function items(rows: readonly { method: string; em: 0 | 1; f1: number }[]): Promise<ItemRecord[]> {
    const [base] = await runLab(lab({ tasks: tasks(['rag'], [toy]) }), never);
    if (base === undefined) throw new Error('no item');
    const counts = new Map<string, number>();
    return rows.map(({ method, em, f1 }) => {
      const n = counts.get(method) ?? 0;
      counts.set(method, n + 1);
      return { ...base, method, qid: `q${n}`, type: n % 2 === 0 ? 'bridge' : 'comparison', selection: n < 3 ? 'complete' : 'by-availability', scores: { ...base.scores, em, f1 } };
    });
  }

  test('means, types and selection classes apart, paired tests with Holm', async () => {
    const a = [1, 1, 1, 1, 1, 1, 0, 0].map((em) => ({ method: 'foray', em: em as 0 | 1, f1: em }));
    const b = [0, 0, 0, 0, 0, 0, 0, 1].map((em) => ({ method: 'rag', em: em as 0 | 1, f1: em }));
    const c = [1, 1, 1, 1, 1, 1, 0, 0].map((em) => ({ method: 'direct', em: em as 0 | 1, f1: em }));
    const summary = summarise(await items([...a, ...b, ...c]), { resamples: 500 });
    expect(summary.systems['foray']).toMatchObject({ n: 8, em: 0.75, f1: 0.75 });
    expect(summary.systems['foray']?.byType).toMatchObject({ bridge: { n: 4, em: 0.75 }, comparison: { n: 4, em: 0.75 } });
    expect(summary.systems['foray']?.bySelection).toMatchObject({ complete: { n: 3, em: 1 }, 'by-availability': { n: 5, em: 0.6 } });
    expect(summary.systems['foray']?.emWilson?.[0]).toBe(0.75);
    const [rag, direct] = summary.comparisons;
    // 6 only foray, 1 only rag: p = 2·(1+7)/2^7 = .125; Holm over two: .25.
    expect(rag).toMatchObject({ a: 'foray', b: 'rag', n: 8, em: { onlyA: 6, onlyB: 1 }, f1: { permutation: 0.125, holm: 0.25 } });
    expect(rag?.em.mcnemar).toBeCloseTo(0.125, 12);
    expect(rag?.em.holm).toBeCloseTo(0.25, 12);
    expect(rag?.em.difference?.[0]).toBeCloseTo(5 / 8);
    expect(direct).toMatchObject({ em: { onlyA: 0, onlyB: 0, mcnemar: 1, difference: [0, 0, 0] } });
  });

  test('one line of JSON with the promised fields', async () => {
    const line = summaryLine(summarise(await runLab(lab({}), never), { resamples: 100 }));
    expect(line).not.toContain('\n');
    const parsed = JSON.parse(line) as { systems: Record<string, Record<string, number>> };
    expect(Object.keys(parsed.systems)).toEqual(['foray', 'rag']);
    expect(Object.keys(parsed.systems['foray'] ?? {})).toEqual(['n', 'em', 'f1', 'acc', 'supportRecall', 'llmCalls', 'promptTokens', 'searches', 'secondsPerQuestion']);
    expect(parsed.systems['foray']).toMatchObject({ n: 2, supportRecall: 1 });
  });

  test('a method without items is left out', () => {
    expect(summarise([]).systems).toEqual({});
  });
});
