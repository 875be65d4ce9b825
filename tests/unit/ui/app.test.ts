import { afterEach, describe, expect, it, vi } from 'vitest';
import type { AskOptions, Run, Searcher } from '../../../src/api.ts';
import { AppError } from '../../../src/errors.ts';
import { createApp, exampleQuestions, folderAddress, type App } from '../../../src/ui/app.ts';
import { sendsQuestion } from '../../../src/ui/components/composer.tsx';
import { announcementOf, viewOf } from '../../../src/ui/components/page.tsx';
import { createFakeSearcher, type FakeOptions } from '../../fixtures/fake-searcher.ts';

const llm = 'qwen2.5-0.5b';
const bridge = 'On which river is the birthplace of the founder of Vale Glassworks?';
const apps: App[] = [];

function open(options: FakeOptions = {}, launch = { question: '', isTrimmed: false, method: '' }, wrap: (searcher: Searcher) => Searcher = (searcher) => searcher): App {
  const app = createApp({
    searcher: wrap(createFakeSearcher({ paceMs: 2, ...options })),
    base: 'http://page/',
    firstShard: 'shards/demo/',
    launch,
    storage: null,
    readJson: async () => [{ question: 'Which?', split: 'tune' }],
    now: () => performance.now(),
  });
  apps.push(app);
  return app;
}

afterEach(() => {
  for (const app of apps.splice(0)) app.dispose();
});

describe('asking', () => {
  it('plans, fills and answers with a model', async () => {
    const app = open({ ready: [llm] });
    app.setDraft(`  ${bridge} `);
    await app.ask();
    expect(app.shown.value).toMatchObject({ question: bridge, outcome: 'finished', answer: { short: 'The Isk', mode: 'cited' } });
    expect(app.liveId.value).toBeNull();
    expect(app.stored.value).toHaveLength(1);
    expect(announcementOf(app.shown.value)).toBe('Answer ready: The Isk.');
  });

  it('asks nothing when the box is empty, and says so', async () => {
    const app = open();
    app.setDraft(' \n ');
    await app.ask();
    expect(app.draftNotice.value).toBe(new AppError('question/empty').message);
    expect(app.runs.value.size).toBe(0);
  });

  it('cuts a question of a megabyte with a notice', () => {
    const app = open();
    app.setDraft('x'.repeat(1_000_000));
    expect(app.draft.value).toHaveLength(4000);
    expect(app.draftNotice.value).toContain('4,000');
    app.setDraft('short');
    expect(app.draftNotice.value).toBe('');
  });

  it('never runs a question from the address by itself', async () => {
    const ask = vi.fn<Searcher['ask']>();
    const app = open({}, { question: 'from the address', isTrimmed: false, method: '' }, (searcher) => ({ ...searcher, ask }));
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(app.draft.value).toBe('from the address');
    expect(ask).not.toHaveBeenCalled();
  });

  it('stops at any moment, keeps what was found, and answers the next question', async () => {
    const app = open({ ready: [llm], paceMs: 8 });
    const first = app.ask(bridge);
    await vi.waitFor(() => expect(app.shown.value?.nodes[0]?.status).toBe('answered'));
    app.stop();
    expect(app.isStopping.value).toBe(true);
    await first;
    expect(app.shown.value).toMatchObject({ outcome: 'stopped', stop: 'user' });
    expect(app.shown.value?.nodes[0]?.answer).toBe('Orrin Vale');
    await app.ask('Which is older?');
    expect(app.shown.value).toMatchObject({ outcome: 'finished', answer: { short: 'Orrin Vale' } });
  });

  it('a second question ends the first; the same question again does not', async () => {
    const app = open({ ready: [llm], paceMs: 8 });
    const first = app.ask(bridge);
    await vi.waitFor(() => expect(app.shown.value?.plan).toBeTruthy());
    await app.ask(bridge);
    expect(app.runs.value.size).toBe(1);
    const second = app.ask('Which is older?');
    const third = app.ask('Who was the unknown mayor?');
    await Promise.all([first, second, third]);
    expect([...app.runs.value.values()].map((run) => [run.question, run.outcome])).toEqual([
      [bridge, 'stopped'],
      ['Who was the unknown mayor?', 'finished'],
    ]);
  });

  it('ends a run whose stream breaks its contract, and reports it', async () => {
    const broken = (id: string): Run => ({
      id,
      events: (async function* () {
        yield { runId: id, seq: 0, atMs: 0, kind: 'runStarted' as const, question: 'q', method: 'foray', model: null, corpora: [] };
        throw new TypeError('lost');
      })(),
      stop: () => {},
      editPlan: () => {},
      approvePlan: () => {}, reusedCalls: () => 0,
    });
    const app = open({}, undefined, (searcher) => ({ ...searcher, ask: () => broken('b') }));
    await app.ask('q');
    expect(app.liveId.value).toBeNull();
    expect(app.shown.value?.outcome).toBe('stopped');
    expect(app.faults.value[0]?.detail).toContain('lost');
  });

  it('renders a fast stream of words at most twelve times a second', async () => {
    const many = (id: string): Run => ({
      id,
      events: (async function* () {
        for (let seq = 0; seq < 400; seq++) {
          if (seq % 10 === 0) await new Promise((resolve) => setTimeout(resolve, 1));
          yield { runId: id, seq, atMs: 0, kind: 'answerDelta' as const, text: 'w ' };
        }
      })(),
      stop: () => {},
      editPlan: () => {},
      approvePlan: () => {}, reusedCalls: () => 0,
    });
    const app = open({}, undefined, (searcher) => ({ ...searcher, ask: () => many('m') }));
    let renders = 0;
    const stop = app.runs.subscribe(() => renders++);
    const started = performance.now();
    await app.ask('q');
    stop();
    const seconds = (performance.now() - started) / 1000;
    expect(app.shown.value?.streamed).toHaveLength(800);
    expect(renders).toBeLessThanOrEqual(Math.ceil(seconds * 12) + 4);
  });

  it('passes effort and plan check on', async () => {
    let seen: AskOptions | undefined;
    const app = open({ ready: [llm] }, undefined, (searcher) => ({
      ...searcher,
      ask: (question, options) => {
        seen = options;
        return searcher.ask(question, { ...options, planPauseMs: 0 });
      },
    }));
    app.setPreferences({ effort: 'quick', checkPlan: true });
    await app.ask('from memory');
    expect(seen).toMatchObject({ planPauseMs: Infinity, settings: { depths: [5] } });
    app.setPreferences({ effort: 'normal', checkPlan: false });
    await app.ask('from memory again');
    expect(seen).toEqual({ method: 'foray', settings: {} });
  });
});

describe('the held plan', () => {
  async function held(): Promise<{ readonly app: App; readonly done: Promise<void> }> {
    const app = open({ ready: [llm] });
    app.setPreferences({ checkPlan: true });
    const done = app.ask(bridge);
    await vi.waitFor(() => expect(app.shown.value?.phase).toBe('held'));
    return { app, done };
  }

  it('runs as it is', async () => {
    const { app, done } = await held();
    app.runPlan(null);
    await done;
    expect(app.shown.value?.answer?.short).toBe('The Isk');
  });

  it('is not replaced by an invalid one, and says why', async () => {
    const { app, done } = await held();
    const { plan } = app.shown.value ?? {};
    if (plan === null || plan === undefined) throw new Error('no plan');
    app.runPlan({ ...plan, final: { deps: [9], op: 'answer' } });
    expect(app.planError.value).toContain('step 9');
    expect(app.shown.value?.phase).toBe('held');
    app.stop();
    await done;
    expect(app.shown.value?.outcome).toBe('stopped');
  });

  it('is shown as changed when it was', async () => {
    const { app, done } = await held();
    const { plan } = app.shown.value ?? {};
    if (plan === null || plan === undefined) throw new Error('no plan');
    app.runPlan({ ...plan, nodes: plan.nodes.map((node) => (node.id === 1 ? { ...node, q: 'Who began Vale Glassworks?' } : node)) });
    await done;
    expect(app.shown.value?.plan?.source).toBe('edited');
  });
});

describe('passages, library, models', () => {
  it('shows passages while a question is typed, the last text wins', async () => {
    const app = open();
    await vi.waitFor(() => expect(app.corpora.value[0]?.state).toBe('complete'));
    app.setDraft('river');
    app.setDraft('Mira Lund');
    await vi.waitFor(() => expect(app.preview.value?.result?.hits.length).toBeGreaterThan(0));
    expect(app.preview.value?.query).toBe('Mira Lund');
    app.setDraft('');
    await vi.waitFor(() => expect(app.preview.value).toBeNull());
  });

  it('searches again what was typed before the library was there', async () => {
    const app = open({ paceMs: 60 });
    app.setDraft('Mira Lund');
    await vi.waitFor(() => expect(app.preview.value?.result?.searched).toBe(0));
    await vi.waitFor(() => expect(app.preview.value?.result?.hits.length ?? 0).toBeGreaterThan(0), 3000);
  });

  it('says what failed in an import until it is tried again, and pauses without a fault', async () => {
    const app = open();
    await app.importShard('https://example.org/nowhere');
    expect(app.imports.value.get('https://example.org/nowhere/')?.error?.code).toBe('shard/not-a-shard');
    app.dismissImport('https://example.org/nowhere/');
    const importing = app.importShard('https://example.org/big/manifest.json');
    await vi.waitFor(() => expect(app.imports.value.get('https://example.org/big/')?.progress).not.toBeNull());
    app.pauseImport('https://example.org/big/');
    await importing;
    expect(app.imports.value.size).toBe(0);
    expect(app.faults.value).toEqual([]);
    expect(app.corpora.value.find((corpus) => corpus.id === 'big')?.state).toBe('partial');
    await app.importShard('https://example.org/big/');
    expect(app.corpora.value.find((corpus) => corpus.id === 'big')?.state).toBe('complete');
  });

  it('names the files that could not be read and keeps the others', async () => {
    const app = open();
    await app.addDocuments([new File(['x'], 'a.txt'), new File(['x'], 'b.xyz')]);
    expect(app.documents.value.map((item) => item.name)).toEqual(['a.txt']);
    expect(app.adding.value.failures).toHaveLength(1);
    expect(app.adding.value.failures[0]?.message).toContain('b.xyz');
  });

  it('cancels a download, resumes it, and leaves failures to the row', async () => {
    const app = open({ failing: ['smollm2-135m'], paceMs: 6 });
    const first = app.useModel(llm);
    await vi.waitFor(() => expect(app.models.value.find((row) => row.id === llm)?.state).toBe('downloading'));
    expect(app.loading.value.has(llm)).toBe(true);
    app.cancelModel(llm);
    await first;
    expect(app.models.value.find((row) => row.id === llm)?.state).toBe('paused');
    await app.useModel(llm);
    expect(app.hasLlm.value).toBe(true);
    await app.useModel('smollm2-135m');
    expect(app.models.value.find((row) => row.id === 'smollm2-135m')).toMatchObject({ state: 'failed' });
    expect(app.faults.value).toEqual([]);
  });

  it('knows when questions go to a server', async () => {
    const app = open();
    expect(await app.useEndpoint('http://elsewhere/v1', 'm')).toBe(false);
    expect(app.endpointError.value).toContain('elsewhere');
    expect(await app.useEndpoint('http://localhost:1/v1', 'm')).toBe(true);
    expect(app.endpoint.value?.label).toContain('localhost');
  });

  it('opens earlier runs again and deletes them', async () => {
    const app = open({ ready: [llm] });
    await app.ask(bridge);
    const id = app.shownId.value ?? '';
    app.newQuestion();
    expect(app.shown.value).toBeNull();
    await app.openRun(id, bridge);
    expect(app.shown.value?.answer?.short).toBe('The Isk');
    await app.removeRun(id);
    expect(app.shown.value).toBeNull();
    await vi.waitFor(() => expect(app.stored.value).toEqual([]));
    await app.openRun(id, bridge);
    expect(app.faults.value[0]?.text).toContain('no longer stored');
  });

  it('may reload only while nothing would be lost', async () => {
    const app = open({ ready: [llm] });
    expect(app.mayReload()).toBe(true);
    app.setDraft('half a question');
    expect(app.mayReload()).toBe(false);
  });
});

describe('small rules', () => {
  const key = (change: Partial<KeyboardEvent>) => ({ key: 'Enter', shiftKey: false, altKey: false, isComposing: false, keyCode: 13, ...change });
  it.each([
    [key({}), true],
    [key({ shiftKey: true }), false],
    [key({ isComposing: true }), false],
    [key({ keyCode: 229 }), false],
    [key({ key: 'a' }), false],
  ])('%o sends: %s', (event, sends) => expect(sendsQuestion(event)).toBe(sends));

  it('reads only known views from the fragment', () => {
    expect(viewOf('#library')).toBe('library');
    for (const hash of ['', '#', '#nothing', '#__proto__', '#source-1']) expect(viewOf(hash)).toBe('ask');
  });

  it('knows the folder of a shard', () => {
    expect(folderAddress(' https://a.example/s/manifest.json ', 'http://page/')).toBe('https://a.example/s/');
    expect(folderAddress('shards/demo', 'http://page/x/')).toBe('http://page/x/shards/demo/');
    expect(folderAddress('https://a.example/s', 'http://page/')).toBe('https://a.example/s/');
  });

  it('takes examples of the tune split that have an answer', () => {
    const rows = [{ question: 'a', split: 'tune' }, { question: 'b', split: 'report' }, { question: 'c', split: 'tune', answers: [] }, { question: 'd', split: 'tune', answers: ['x'] }, null, 7, { question: 5, split: 'tune' }];
    expect(exampleQuestions(rows, 4)).toEqual(['a', 'd']);
    expect(exampleQuestions({ questions: rows }, 4)).toEqual([]);
    expect(exampleQuestions(null, 4)).toEqual([]);
  });
});

describe('methods and what was left', () => {
  const ready = { ready: ['qwen2.5-0.5b', 'minilm'] };

  it('asks with the method of the address until another is chosen, and remembers only what was chosen', async () => {
    const asked: (string | undefined)[] = [];
    const app = open(ready, { question: '', isTrimmed: false, method: 'rag' }, (searcher) => ({ ...searcher, ask: (question, options) => (asked.push(options?.method), searcher.ask(question, options)) }));
    await app.ask(bridge);
    expect(app.preferences.value.method).toBe('');
    app.chooseMethod('foray');
    await app.ask(`${bridge} `.repeat(2).trim());
    expect(asked).toEqual(['rag', 'foray']);
    expect(app.preferences.value.method).toBe('foray');
  });

  it('takes a method that is not there for none, and needs no model for one that needs none', async () => {
    const nonsense = open(ready, { question: '', isTrimmed: false, method: 'nonsense' });
    await vi.waitFor(() => expect(nonsense.method.value?.id).toBe('foray'));
    const withoutModel = open({}, { question: '', isTrimmed: false, method: 'rag' });
    await vi.waitFor(() => expect(withoutModel.method.value?.id).toBe('extractive'));
  });

  const broken = { id: 'run-x', question: bridge, method: 'foray', model: 'qwen2.5-0.5b', holdsPlan: false, usedDense: true };
  function leftBroken(options: FakeOptions, found: typeof broken | null = broken, launch = { question: '', isTrimmed: false, method: '' }) {
    const told: string[] = [];
    const app = open(options, launch, (searcher) => ({
      ...searcher,
      history: { ...searcher.history, broken: async () => found, close: async (id) => void told.push(`close ${id}`) },
      resume: (id) => (told.push(`resume ${id}`), searcher.ask(bridge)),
    }));
    return { app, told };
  }

  it('goes on by itself with a question that was broken off, once model and embedder are as they were', async () => {
    const { app, told } = leftBroken(ready);
    await vi.waitFor(() => expect(app.shown.value?.answer?.short).toBe('The Isk'), 3000);
    expect(told).toEqual(['resume run-x']);
    expect(app.broken.value).toBeNull();
  });

  it('only offers it while the model is another one, or the person has begun something else', async () => {
    const { app, told } = leftBroken({ ready: ['minilm'] });
    await vi.waitFor(() => expect(app.broken.value).not.toBeNull());
    const other = leftBroken(ready, broken, { question: 'from the address', isTrimmed: false, method: '' });
    other.app.setDraft('something else');
    await new Promise((resolve) => setTimeout(resolve, 60));
    expect([...told, ...other.told]).toEqual([]);
    app.dismissBroken();
    expect(told).toEqual(['close run-x']);
    await other.app.ask('Karr');
    expect(other.told).toEqual(['close run-x']);
  });

  it('goes on from a changed run with all changes so far', async () => {
    const revisions: unknown[] = [];
    const app = open(ready, undefined, (searcher) => ({ ...searcher, ask: (question, options) => (revisions.push(options?.revision), searcher.ask(question, options)) }));
    await app.ask(bridge);
    const run = app.shown.value;
    if (run === null) throw new Error('no run');
    const edit = { stage: 'sub-answer', node: 1, before: 'Orrin Vale', after: 'Mira Lund' } as const;
    await app.revise(run, edit);
    expect(revisions).toEqual([undefined, { from: run.id, edits: [edit] }]);
    expect(app.shown.value?.id).not.toBe(run.id);
  });

  it('can pause the import that began by itself', async () => {
    const app = open({ paceMs: 30 });
    await vi.waitFor(() => expect(app.corpora.value[0]?.pausable).toBe(true));
    app.pauseImport(app.firstShard);
    await vi.waitFor(() => expect(app.corpora.value[0]?.state).toBe('partial'));
    expect(app.corpora.value[0]?.pausable).toBe(false);
    expect(app.faults.value).toEqual([]);
  });
});
