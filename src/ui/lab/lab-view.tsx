/**
 * The lab in the page: questions, a corpus, methods, a run on this device, the same report as the command line writes, and its export. Loaded when it is opened. What is
 * finished is kept on the device until the person deletes it: a run that was stopped, or whose page was closed, goes on from there.
 */
import './report.css';
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { methods } from '../../agent/methods/registry.ts';
import { isAbort } from '../../errors.ts';
import { contextRetriever } from '../../lab/context.ts';
import { decodeQuestionFile, type QuestionFile } from '../../lab/datasets.ts';
import { plainSetting, type Cell } from '../../lab/matrix.ts';
import { itemKey, readRunFile, type ItemRecord } from '../../lab/record.ts';
import { runLab, tasksOf, type Ask, type LabProgress } from '../../lab/runner.ts';
import { shuffled } from '../../lab/statistics.ts';
import type { AskOptions, Searcher } from '../../api.ts';
import type { Retriever } from '../../corpus/retriever.ts';
import { ConfirmButton } from '../components/controls.tsx';
import { visibleLine } from '../text/display.ts';
import { chosenOf, CorpusFields, corpusLabel, useCorpora, type CorpusChoice } from './corpus-choice.tsx';
import { fillTemplate, reportRun, type ReportRun } from './report-data.ts';
import { Report } from './report.tsx';

export interface LabServices {
  readonly searcher: Searcher;
  /** Reads a file of text beside the page; null if it is not there. */
  readonly readText: (path: string) => Promise<string | null>;
  /** Path of the demo questions. */
  readonly demoQuestions: string;
  /** Milliseconds, monotonic. */
  readonly now: () => number;
}

const seed = 13;

type LabFile = QuestionFile & { readonly name: string };
const noFile: LabFile = { questions: [], passages: [], name: '' };

/** What is searched: the whole library where nothing is said. */
type Where = Pick<AskOptions, 'corpora' | 'retriever'>;

/** The searcher's own runs as the runner asks for them. */
function searcherAsk(searcher: Searcher, where: Where): Ask {
  return async function* ({ text, cell }, _worker, signal) {
    const run = searcher.ask(text, { ...where, method: cell.method, seed: cell.seed, settings: cell.setting.agent });
    const stop = (): void => run.stop();
    signal.addEventListener('abort', stop, { once: true });
    try {
      for await (const event of run.events) yield event;
    } finally {
      signal.removeEventListener('abort', stop);
    }
  };
}

export function LabView({ services }: { readonly services: LabServices }) {
  const { searcher } = services;
  const llm = searcher.models.llm;
  const offered = methods.filter((method) => llm !== null || !method.needsLlm);
  const [source, setSource] = useState<'demo' | 'file'>('demo');
  const [{ questions, passages, name: fileName }, setFile] = useState<LabFile>(noFile);
  const [picked, setChoice] = useState<CorpusChoice>({ kind: 'library' });
  const corpora = useCorpora(searcher.library);
  // One that was picked may be deleted in the meantime.
  const choice: CorpusChoice = picked.kind === 'one' && corpora?.some(({ id }) => id === picked.id) === false ? { kind: 'library' } : picked;
  const [fault, setFault] = useState('');
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set([llm === null ? 'extractive' : 'foray']));
  const [limit, setLimit] = useState(5);
  const [progress, setProgress] = useState<LabProgress | null>(null);
  const [items, setItems] = useState<readonly ItemRecord[]>([]);
  const [run, setRun] = useState<ReportRun | null>(null);
  const controller = useRef<AbortController | null>(null);
  const context = useRef<{ readonly passages: QuestionFile['passages']; readonly retriever: Retriever } | null>(null);
  const [isRunning, setIsRunning] = useState(false);
  /** Whether what was kept is known. */
  const [isRead, setRead] = useState(false);
  useEffect(() => () => controller.current?.abort(), []);
  const saved = useRef<Promise<void>>(Promise.resolve());

  useEffect(() => {
    void searcher.labItems.read().then((lines) => {
      const kept = readRunFile(lines).items;
      if (kept.length === 0) return;
      setItems(kept);
      setRun(reportRun('Kept on this device', kept, aboutOf(kept)));
    }).catch(tellLost).finally(() => setRead(true));
  }, []);

  /** One after the other, so that what is kept is never older than what was kept before. */
  function keep(all: readonly ItemRecord[]): Promise<void> {
    saved.current = saved.current.then(() => searcher.labItems.save(linesOf(all))).catch(tellLost);
    return saved.current;
  }

  function tellLost(error: unknown): void {
    setFault(`The results cannot be kept on this device: ${error instanceof Error ? error.message : String(error)}`);
  }

  async function deleteItems(): Promise<void> {
    setItems([]);
    setRun(null);
    setProgress(null);
    await keep([]);
  }

  function take(file: LabFile): void {
    setFile(file);
    if (file.passages.length === 0) setChoice((before) => (before.kind === 'context' ? { kind: 'library' } : before));
  }

  useEffect(() => {
    if (source !== 'demo') return;
    void services.readText(services.demoQuestions).then((text) => {
      if (text === null) return setFault('The demo questions are not beside this page.');
      const demo = decodeQuestionFile(text, 'questions.json', 'demo');
      take({ ...demo, questions: demo.questions.filter((question) => question.split === 'report'), name: 'demo' });
    });
  }, [source]);

  async function readFile(file: File | undefined): Promise<void> {
    if (file === undefined) return;
    try {
      const plain = file.name.replace(/\.gz$/i, '');
      const text = plain === file.name ? await file.text() : await new Response(file.stream().pipeThrough(new DecompressionStream('gzip'))).text();
      const name = plain.replace(/\.\w+$/, '');
      take({ ...decodeQuestionFile(text, plain, name), name });
      setFault('');
    } catch (error) {
      take(noFile);
      setFault(error instanceof Error ? error.message : String(error));
    }
  }

  async function start(): Promise<void> {
    const stop = new AbortController();
    controller.current = stop;
    setIsRunning(true);
    setProgress(null);
    setFault('');
    const complete = corpora ?? [];
    const label = corpusLabel(choice, complete, fileName, passages);
    const cells = methods.filter(({ id }) => chosen.has(id))
      .map((method): Cell => ({ method: method.id, llm: llm?.modelId ?? 'none', corpus: label, setting: plainSetting, seed }));
    // A question that failed before is asked again, and its new item takes the old one's place.
    const done = new Map(items.map((item) => [itemKey(item), item]));
    try {
      const where: Where = choice.kind === 'library' ? {} : choice.kind === 'one' ? { corpora: [choice.id] } : await contextOf(stop.signal);
      await runLab(
        {
          tasks: tasksOf(shuffled(questions, seed).slice(0, limit), cells), model: llm?.modelId ?? null, ask: searcherAsk(searcher, where), itemSeconds: 1800,
          done: items.filter((item) => item.error === null), onProgress: setProgress,
          onItem: async (item) => {
            done.set(itemKey(item), item);
            await keep([...done.values()]);
          },
          now: services.now,
        },
        stop.signal,
      );
    } catch (error) {
      if (!isAbort(error)) setFault(error instanceof Error ? error.message : String(error));
    } finally {
      controller.current = null;
      setIsRunning(false);
      const all = [...done.values()];
      setItems(all);
      const searched = chosenOf(choice, complete).map(({ id, name, documents, passages: count, embedder }) => ({ id, name, documents, passages: count, embedder }));
      if (all.length > 0) setRun(reportRun('On this device', all, { ...aboutOf(all), device: llm?.device ?? null, corpora: searched }));
    }
  }

  /** Indexed once for each file. */
  async function contextOf(signal: AbortSignal): Promise<Where> {
    if (context.current?.passages !== passages) {
      const pause = (): Promise<void> => new Promise((done) => setTimeout(done));
      context.current = { passages, retriever: await contextRetriever(passages, { now: services.now, pause, signal }) };
    }
    return { corpora: ['context'], retriever: context.current.retriever };
  }

  const toggle = (id: string): void => setChosen(new Set(chosen.has(id) ? [...chosen].filter((other) => other !== id) : [...chosen, id]));
  return (
    <div class="lab report">
      <h1 tabIndex={-1}>Lab</h1>
      <p class="lead">Measures methods over a set of questions, on this device, over your library, a part of it, or passages that the questions bring. Nothing leaves the page{llm?.device === 'remote' ? ' but what goes to your model server' : ''}.</p>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void start();
        }}
      >
        <fieldset disabled={isRunning}>
          <legend>Questions</legend>
          <label><input type="radio" name="source" checked={source === 'demo'} onChange={() => setSource('demo')} /> The demo questions</label>{' '}
          <label><input type="radio" name="source" checked={source === 'file'} onChange={() => setSource('file')} /> A file of your own (CSV, JSON lines,
            or as published)</label>
          {source === 'file' ? (
            <p><label>File <input type="file" accept=".csv,.json,.jsonl,.gz,text/csv,application/json" onChange={(event) => void readFile(event.currentTarget.files?.[0])} /></label></p>
          ) : null}
          <p>
            <label>How many <input type="number" min={1} value={Math.min(limit,
              Math.max(1, questions.length))} onInput={(event) => setLimit(Math.max(1, Number(event.currentTarget.value) || 1))} /></label>{' '}
            <span class="soft">of {questions.length}, drawn by seed {seed}</span>
          </p>
        </fieldset>
        <CorpusFields choice={choice} onChoose={setChoice} corpora={corpora} context={passages.length} disabled={isRunning} />
        <fieldset disabled={isRunning}>
          <legend>Methods</legend>
          <div class="lab-methods">
            {offered.map((method) => (
              <label key={method.id} title={method.description}><input type="checkbox" checked={chosen.has(method.id)} onChange={() => toggle(method.id)} /> {method.label}</label>
            ))}
          </div>
          {llm === null ? <p class="soft">No language model is loaded: only methods without one are offered.</p> : null}
        </fieldset>
        <div class="player">
          {isRunning ? (
            <button type="button" onClick={() => controller.current?.abort()}>Stop</button>
          ) : (
            <button type="submit" class="lab-run" disabled={questions.length === 0 || chosen.size === 0 || corpora === null || !isRead}>{items.length === 0 ? 'Run' : 'Go on'}</button>
          )}
          {items.length === 0 || isRunning ? null : <ConfirmButton label="Delete" what="the results" onConfirm={() => void deleteItems()} />}
          <span role="status" data-testid="lab-progress">{progressText(progress, isRunning, choice)}</span>
        </div>
      </form>
      {fault === '' ? null : <p role="alert">{visibleLine(fault)}</p>}
      {run === null || isRunning ? null : (
        <>
          <Exports run={run} readText={services.readText} />
          <Report data={{ run, other: null }} />
        </>
      )}
    </div>
  );
}

const linesOf = (items: readonly ItemRecord[]): string => items.map((item) => `${JSON.stringify(item)}\n`).join('');

/** How a run was made, as far as its items tell. */
function aboutOf(items: readonly ItemRecord[]): ReportRun['about'] {
  const all = (of: (item: ItemRecord) => string): string => [...new Set(items.map(of))].join(', ');
  return { page: location.origin, agent: navigator.userAgent, model: all((item) => item.model ?? 'none'), questions: all(({ dataset }) => dataset), corpus: all(({ corpus }) => corpus) };
}

function progressText(progress: LabProgress | null, isRunning: boolean, choice: CorpusChoice): string {
  if (progress === null) return !isRunning ? '' : choice.kind === 'context' ? 'The passages are indexed, then comes the first question …' : 'The first question …';
  const left = progress.secondsLeft === null || !isRunning ? '' : `, about ${Math.ceil(progress.secondsLeft)} s left`;
  return `${progress.done} of ${progress.total} done${progress.failed === 0 ? '' : `, ${progress.failed} failed`}${left}`;
}

function Exports({ run, readText }: { readonly run: ReportRun; readonly readText: LabServices['readText'] }) {
  const [template, setTemplate] = useState<string | null>(null);
  useEffect(() => {
    void readText('lab-report.html').then(setTemplate);
  }, []);
  return (
    <p class="player">
      {template === null ? null : <Save name="report.html" type="text/html" text={() => fillTemplate(template, [run])} label="Save the report" />}
      <Save name="run.jsonl" type="application/x-ndjson" text={() => linesOf(run.items)} label="Save run.jsonl" />
      <Save name="summary.json" type="application/json" text={() => JSON.stringify(run.summary, null, 1)} label="Save summary.json" />
    </p>
  );
}

function Save({ name, type, text, label }: { readonly name: string; readonly type: string; readonly text: () => string; readonly label: string }) {
  const blob = useMemo(() => new Blob([text()], { type }), [name]);
  const [url, setUrl] = useState('');
  useEffect(() => {
    const made = URL.createObjectURL(blob);
    setUrl(made);
    return () => URL.revokeObjectURL(made);
  }, [blob]);
  return <a href={url} download={name}>{label}</a>;
}
