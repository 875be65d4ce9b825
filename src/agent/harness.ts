/**
 * The run: tools with their limits, cost, stop rules and the event stream. Every method works through these tools, so every method is stopped, counted,
 * checked and shown alike. Pure: model, corpus and clock come in as interfaces; out come `AgentEvent`s, in order, ending with exactly one
 * `runFinished` or `runFailed`. The generator itself never throws.
 */
import type { GenericSchema, InferOutput } from 'valibot';
import { AppError, isAbort, toWire, type ErrorCode } from '../errors.ts';
import type { Hit, Neighbours, Passage, Retriever, SearchRequest, TermFrequencies, WeightedTerm } from '../corpus/retriever.ts';
import { completeJson, type Decoded } from '../engine/constrained.ts';
import { complete, type ContinuationScore, type GenerateRequest, type GenerateResult, type Llm, type Message } from '../engine/llm.ts';
import { recallingLlm, recallingRetriever, type CallCache } from './calls.ts';
import type { AgentEvent, AgentEventBody, Answer, AnswerSentence, CallPurpose, Citation, Cost, Evidence, Plan, StateSummary, StopReason } from './events.ts';
import { editedQuery, givenAnswer, keptHits, type Revision } from './edits.ts';
import { contentWords, estimateTokens, jaccard } from './evidence.ts';
import { reordered, withAdvice, withExemplars, type Learned } from './learned.ts';
import { prefix } from './prompts.ts';
import { Replay } from './replay.ts';
import { changesState, emptyState, reduceState, refusedNote, summaryOf, type RunState } from './state.ts';
import type { AgentSettings } from './settings.ts';

export interface AgentDeps {
  /** null: only methods that need no model. */
  readonly llm: Llm | null;
  /** A second model that plans and writes queries, while `llm` answers (AI-SearchPlanner, METHODS §4.3). */
  readonly planner?: Llm;
  /** Finished calls of this and earlier runs; what it holds is not called again. */
  readonly calls?: CallCache;
  /** Known sub-questions and, where given, their answers: separates faults of planning from faults of execution (METHODS §6.6). */
  readonly gold?: { readonly plan: Plan; readonly answers?: readonly string[] };
  /** Table mode: the columns that the person stated, and the rows where they are known. */
  readonly table?: { readonly columns: readonly string[]; readonly rows: readonly string[] };
  /** Similarity of two texts from 0 to 1 (cosine of embeddings); default by words. */
  readonly similarity?: (a: string, b: string) => number;
  readonly retriever: Retriever;
  /** Milliseconds, monotonic. */
  readonly now: () => number;
  readonly settings: AgentSettings;
  readonly corpora?: readonly string[];
  /** Shows the plan to the person and resolves with it, edited or not. It must validate edits itself. */
  readonly holdPlan?: (plan: Plan, signal: AbortSignal) => Promise<Plan>;
  /** The run goes on from an earlier one that the person changed. */
  readonly revision?: Revision;
  /** Parts that were learned on this device and are switched on. */
  readonly learned?: Learned;
  /** Said at the start of the run: what the person's profile changed in it (METHODS §4.17). */
  readonly profileNotice?: string;
  /** Words of the person's profile, for every search that brings none of its own. */
  readonly profileTerms?: readonly WeightedTerm[];
}

export interface Outcome {
  readonly answer: Answer;
  readonly stop: StopReason;
}

export interface Method {
  readonly id: string;
  readonly label: string;
  readonly description: string;
  readonly needsLlm: boolean;
  readonly kind: 'baseline' | 'method' | 'default';
  /** Paper and arXiv number, or what it is where there is none. */
  readonly source: string;
  /** What is done otherwise than in the source, in a sentence or two. */
  readonly differences: string;
  /** The limits on calls and searches hold this many times: for methods that work through a question several times. */
  readonly limitFactor?: (settings: AgentSettings) => number;
  readonly run: (tools: Tools) => Promise<Outcome>;
}

/** Thrown by a tool when a limit is reached; the method answers from what is known. */
export class BudgetSpent extends Error {
  override readonly name = 'BudgetSpent';
}

export interface NodeSearch {
  readonly hits: readonly Hit[];
  /** Hits whose passage was not seen before in this run. */
  readonly fresh: readonly Hit[];
  /** The query says nothing new (Jaccard ≥ .8 with an earlier one of this node). It is counted, and refused from the second time on. */
  readonly repeated: boolean;
}

/** Failures of a call that a second try may not meet again. */
const passing: ReadonlySet<ErrorCode> = new Set<ErrorCode>(['engine/worker-died', 'engine/worker-silent', 'engine/empty-output', 'device/lost']);

/** Sampling of a part of a run; the default is the settings' own temperature and seed. */
export interface Sampling {
  readonly temperature: number;
  readonly seed: number;
}

export interface SearchOptions extends Pick<SearchRequest, 'terms' | 'rerank' | 'links' | 'corpora'> {
  /** Passages; default `settings.retrieve`. */
  readonly k?: number;
  /** A query that any node of the run tried counts as a repetition, for loops whose rounds are nodes of their own. */
  readonly acrossNodes?: boolean;
  /** Another wording of the same on purpose: run it although the words are known. */
  readonly evenIfRepeated?: boolean;
}

export interface TextOptions extends Pick<GenerateRequest, 'stop' | 'logprobs'> {
  readonly maxTokens: number;
  readonly onText?: (delta: string) => void;
}

/** What the tools of one run share, however many samplings it has. */
class Ledger {
  readonly started: number;
  readonly cost = { llmCalls: 0, promptTokens: 0, cachedTokens: 0, outputTokens: 0, searches: 0 };
  state: RunState = emptyState;
  /** Tool calls under way and the moment when they became more than none: waiting is counted once however many overlap. */
  #busy = 0;
  #busySince = 0;
  waitedMs = 0;

  constructor(
    readonly now: () => number,
    /** Time that the run took before it was broken off. */
    readonly earlierMs: number,
  ) {
    this.started = now() - earlierMs;
  }

  async timed<T>(work: () => Promise<T>): Promise<T> {
    if (this.#busy++ === 0) this.#busySince = this.now();
    try {
      return await work();
    } finally {
      if (--this.#busy === 0) this.waitedMs += this.now() - this.#busySince;
    }
  }
}

/** What a method may do. */
export class Tools {
  /** Every passage found in this run, by id. */
  readonly pool = new Map<string, Passage>();
  readonly #tried = new Map<number, string[]>();
  /** Share of the last search of a node that was new. */
  readonly #freshShare = new Map<number, number>();
  readonly #ledger: Ledger;

  constructor(
    readonly question: string,
    readonly deps: AgentDeps,
    readonly signal: AbortSignal,
    private readonly publish: (event: AgentEventBody) => void,
    private readonly options: {
      readonly method?: string; readonly factor?: number; readonly earlierMs?: number; readonly ledger?: Ledger; readonly sampling?: Sampling;
    } = {},
  ) {
    this.#ledger = options.ledger ?? new Ledger(deps.now, options.earlierMs ?? 0);
  }

  get settings(): AgentSettings {
    return this.deps.settings;
  }

  get sampling(): Sampling {
    return this.options.sampling ?? { temperature: this.settings.temperature, seed: this.settings.seed };
  }

  /** The model that answers; throws `engine/not-loaded` without one. */
  get llm(): Llm {
    if (this.deps.llm === null) throw new AppError('engine/not-loaded');
    return this.deps.llm;
  }

  /** What the run holds outside the model, as its events so far tell it. */
  get state(): RunState {
    return this.#ledger.state;
  }

  /**
   * The same run by another model or none, sampled otherwise, or with no memory of what was searched before. Limits, cost, state and events are shared; passages
   * seen and queries tried are its own where `fresh` is set.
   */
  with(change: { readonly sampling?: Sampling; readonly llm?: Llm | null; readonly fresh?: boolean; readonly question?: string }): Tools {
    const sampling = change.sampling ?? this.options.sampling;
    const other = new Tools(change.question ?? this.question, change.llm === undefined ? this.deps : { ...this.deps, llm: change.llm }, this.signal, this.publish, {
      ...this.options, ledger: this.#ledger, ...(sampling === undefined ? {} : { sampling }),
    });
    if (change.fresh !== true) {
      for (const [id, passage] of this.pool) other.pool.set(id, passage);
      for (const [node, queries] of this.#tried) other.#tried.set(node, [...queries]);
      for (const [node, share] of this.#freshShare) other.#freshShare.set(node, share);
    }
    return other;
  }

  emit(event: AgentEventBody): void {
    this.signal.throwIfAborted();
    this.#ledger.state = reduceState(this.#ledger.state, event);
    this.publish(event);
    if (changesState(event)) this.publish({ kind: 'stateChanged', ...summaryOf(this.#ledger.state, this.budget()) });
  }

  cost(): Cost {
    const wallMs = this.deps.now() - this.#ledger.started;
    return { ...this.#ledger.cost, wallMs, overheadMs: Math.max(0, wallMs - this.#ledger.earlierMs - this.#ledger.waitedMs) };
  }

  get limits(): Pick<AgentSettings, 'maxLlmCalls' | 'maxSearches'> {
    const factor = this.options.factor ?? 1;
    return { maxLlmCalls: this.settings.maxLlmCalls * factor, maxSearches: this.settings.maxSearches * factor };
  }

  budget(): StateSummary['budget'] {
    const { maxLlmCalls, maxSearches } = this.limits;
    const { cost, started } = this.#ledger;
    const left = (most: number, used: number): number => Math.max(0, most - used);
    return {
      callsLeft: left(maxLlmCalls, cost.llmCalls), searchesLeft: left(maxSearches, cost.searches), msLeft: left(this.settings.maxWallMs, this.deps.now() - started),
    };
  }

  /** The answer that the person gave to a step: it is not worked out then. */
  givenAnswer(node: number): string | null {
    return givenAnswer(this.deps.revision, node);
  }

  /** Searches and reports it. A refused repetition returns no hits and costs nothing. */
  async search(node: number, asked: string, { acrossNodes = false, evenIfRepeated = false, ...options }: SearchOptions = {}): Promise<NodeSearch> {
    const query = editedQuery(this.deps.revision, node, asked);
    const tried = this.#tried.get(node) ?? [];
    const repeats = (acrossNodes ? [...this.#tried.values()].flat() : tried).filter((earlier) => jaccard(earlier, query) >= 0.8).length;
    tried.push(query);
    this.#tried.set(node, tried);
    if (repeats > 0 && !evenIfRepeated) {
      this.emit({ kind: 'queryScored', node, query, novel: false, useful: null, note: refusedNote, refined: null });
      return { hits: [], fresh: [], repeated: true };
    }
    if (this.#ledger.cost.searches >= this.limits.maxSearches) throw new BudgetSpent('searches');
    if (!this.#worthSearching(node, query)) return { hits: [], fresh: [], repeated: true };
    this.#checkTime();
    const started = this.deps.now();
    const { retrieve: k, dense, links } = this.settings;
    const terms = [...(this.deps.profileTerms ?? []), ...(options.terms ?? [])];
    const request = { text: query, k, dense, links, ...options, ...(terms.length === 0 ? {} : { terms }) };
    const result = await this.#ledger.timed(() =>
      this.deps.retriever.search(this.deps.corpora === undefined ? request : { corpora: this.deps.corpora, ...request }, this.signal),
    );
    this.#ledger.cost.searches++;
    const scores = this.deps.learned?.passageScores?.(this.question, query, result.hits);
    const hits = keptHits(this.deps.revision, node, scores === undefined ? result.hits : reordered(result.hits, scores));
    const fresh = hits.filter((hit) => !this.pool.has(hit.passage.id));
    for (const { passage } of hits) this.pool.set(passage.id, passage);
    this.#freshShare.set(node, hits.length === 0 ? 0 : fresh.length / hits.length);
    this.emit({ kind: 'searched', node, query, hits, newIds: fresh.map((hit) => hit.passage.id), usedDense: result.usedDense, ms: this.deps.now() - started });
    return { hits, fresh, repeated: false };
  }

  /** The learned gate over every search of a node but its first; a refusal is told and looks to the method like a repetition. */
  #worthSearching(node: number, query: string): boolean {
    const earlier = (this.#tried.get(node) ?? []).slice(0, -1);
    const verdict =
      earlier.length === 0
        ? undefined
        : this.deps.learned?.searchAgain?.({
            rounds: earlier.length, searches: this.#ledger.cost.searches, freshShare: this.#freshShare.get(node) ?? 0,
            overlap: Math.max(...earlier.map((one) => jaccard(one, query))), words: contentWords(query).length,
          });
    if (verdict === undefined || verdict.search) return true;
    this.emit({ kind: 'gated', search: false, reason: 'another search of this step is unlikely to help, by what was learned from earlier runs', confidence: 1 - verdict.probability });
    return false;
  }

  /** The conversation with worked examples from the bank after its fixed head (the shared one, or the system message) and lessons at its end. */
  #taught(purpose: CallPurpose, node: number | null, messages: readonly Message[]): readonly Message[] {
    const exemplars = this.deps.learned?.exemplars?.({ purpose, method: this.options.method ?? '', question: this.question, step: node ?? 0 }) ?? [];
    const isShared = prefix.every((message, i) => messages[i]?.content === message.content);
    const firstTurn = messages.findIndex(({ role }) => role !== 'system');
    const taught = withExemplars(messages, isShared ? prefix.length : Math.max(0, firstTurn), exemplars);
    return withAdvice(taught, purpose, this.deps.learned?.rules ?? []);
  }

  /** A passage by its id; null if it is gone. */
  async passage(id: string): Promise<Passage | null> {
    this.signal.throwIfAborted();
    return this.pool.get(id) ?? this.#ledger.timed(() => this.deps.retriever.passage(id));
  }

  neighbours(id: string): Promise<Neighbours | null> {
    this.signal.throwIfAborted();
    return this.#ledger.timed(() => this.deps.retriever.neighbours(id));
  }

  frequencies(terms: readonly string[]): Promise<TermFrequencies> {
    this.signal.throwIfAborted();
    return this.#ledger.timed(() => this.deps.retriever.frequencies(terms));
  }

  /** One constrained, validated JSON value. A worker that dies in the middle is given one more chance; the step starts again, nothing else is lost. */
  async json<S extends GenericSchema>(
    purpose: CallPurpose,
    node: number | null,
    schema: S,
    messages: readonly Message[],
    maxTokens: number,
    onText?: (delta: string) => void,
    extra: Pick<GenerateRequest, 'logprobs'> = {},
  ): Promise<Decoded<InferOutput<S>>> {
    const taught = this.#taught(purpose, node, messages);
    const request = { messages: taught, maxTokens, ...this.sampling, ...extra };
    return this.#call(purpose, node, taught, onText, (stream) => completeJson(this.llm, schema, request, this.signal, stream), ({ result }) => result);
  }

  /** Free text, for methods whose published format is free text. Empty output is `engine/empty-output`. */
  text(purpose: CallPurpose, node: number | null, asked: readonly Message[], { onText, ...request }: TextOptions): Promise<GenerateResult> {
    const messages = this.#taught(purpose, node, asked);
    const run = async (stream?: (delta: string) => void): Promise<GenerateResult> => {
      const result = await complete(this.llm, { messages, ...this.sampling, ...request }, this.signal, stream);
      if (result.text.trim() === '') throw new AppError('engine/empty-output');
      return result;
    };
    return this.#call(purpose, node, messages, onText, run, (result) => result);
  }

  /** log p(continuation | messages); null where the engine cannot. Its prompt tokens are estimated: engines do not tell them for a scoring. */
  async score(node: number | null, messages: readonly Message[], continuation: string): Promise<ContinuationScore | null> {
    if (!this.llm.info.can.score) return null;
    this.#checkCalls();
    const started = this.deps.now();
    const score = await this.#ledger.timed(() => this.llm.score(messages, continuation, this.signal));
    if (score === null) return null;
    const promptTokens = messages.reduce((sum, message) => sum + estimateTokens(message.content), 0);
    this.#count('score', node, { promptTokens, cachedTokens: null, outputTokens: score.tokens }, this.deps.now() - started);
    return score;
  }

  async #call<T>(
    purpose: CallPurpose,
    node: number | null,
    messages: readonly Message[],
    onText: ((delta: string) => void) | undefined,
    run: (stream?: (delta: string) => void) => Promise<T>,
    resultOf: (value: T) => GenerateResult,
  ): Promise<T> {
    this.#checkCalls();
    const stream = onText === undefined ? null : repeatableStream(onText);
    const call = (): Promise<T> => this.#ledger.timed(() => run(stream?.begin()));
    const started = this.deps.now();
    let value: T;
    try {
      value = await call();
    } catch (error) {
      if (!(error instanceof AppError) || !passing.has(error.code)) throw error;
      this.emit({ kind: 'notice', code: 'resumed', text: `${error.message} The step is run again.` });
      value = await call();
    }
    const { usage, text } = resultOf(value);
    this.#count(purpose, node, usage, this.deps.now() - started);
    if (this.settings.keepPrompts) this.emit({ kind: 'prompted', purpose, node, messages: [...messages], output: text });
    return value;
  }

  #count(purpose: CallPurpose, node: number | null, usage: GenerateResult['usage'], ms: number): void {
    const { cost } = this.#ledger;
    cost.llmCalls++;
    cost.promptTokens += usage.promptTokens;
    cost.cachedTokens += usage.cachedTokens ?? 0;
    cost.outputTokens += usage.outputTokens;
    this.emit({ kind: 'llmCalled', purpose, node, promptTokens: usage.promptTokens, cachedTokens: usage.cachedTokens, outputTokens: usage.outputTokens, ms });
  }

  #checkCalls(): void {
    if (this.#ledger.cost.llmCalls >= this.limits.maxLlmCalls) throw new BudgetSpent('calls');
    this.#checkTime();
  }

  #checkTime(): void {
    this.signal.throwIfAborted();
    if (this.deps.now() - this.#ledger.started > this.settings.maxWallMs) throw new BudgetSpent('time');
  }
}

/** Text that is written again after a death is passed on from where it broke off, as long as it says the same; else the finished answer replaces what was shown. */
function repeatableStream(onText: (delta: string) => void): { begin(): (delta: string) => void } {
  let told = '';
  return {
    begin() {
      let written = '';
      return (delta) => {
        written += delta;
        if (written.length <= told.length || !written.startsWith(told)) return;
        onText(written.slice(told.length));
        told = written;
      };
    },
  };
}

/** Numbers evidence in order of first use and builds the answer's sentences on it. */
export class CitationList {
  readonly #citations: Citation[] = [];

  cite(evidence: Evidence): number {
    const known = this.#citations.find(
      ({ evidence: other }) => other.passage.id === evidence.passage.id && other.span.start === evidence.span.start && other.span.end === evidence.span.end,
    );
    if (known !== undefined) return known.n;
    const n = this.#citations.length + 1;
    this.#citations.push({ n, evidence });
    return n;
  }

  answer(short: string, sentences: readonly AnswerSentence[], mode: Answer['mode']): Answer {
    return { short, sentences, citations: [...this.#citations], mode };
  }
}

/**
 * Runs a method over a question. `runId` names the run in every event.
 * An abort of `signal` ends the stream with `runFinished{stop:'user'}`; expected failures with `runFailed`.
 * `earlier`: the log of the same run up to where it was broken off. The run goes on from there: finished calls come from `deps.calls`, what the log tells
 * already is not told again, `seq` counts on. A log that is complete gives no events.
 */
export async function* runMethod(
  runId: string,
  rawQuestion: string,
  method: Method,
  deps: AgentDeps,
  signal: AbortSignal,
  earlier: readonly AgentEvent[] = [],
): AsyncGenerator<AgentEvent, void, undefined> {
  const before = earlier.at(-1);
  if (before?.kind === 'runFinished' || before?.kind === 'runFailed') return;
  const earlierMs = before?.atMs ?? 0;
  const started = deps.now() - earlierMs;
  let seq = (before?.seq ?? -1) + 1;
  const ready: AgentEvent[] = [];
  const waiting: (() => void)[] = [];
  const wake = (): void => {
    for (const resume of waiting.splice(0)) resume();
  };
  const known = new Replay(earlier);
  const publish = (body: AgentEventBody): void => {
    const news = known.newsIn(body);
    if (news === null) return;
    ready.push({ runId, seq: seq++, atMs: deps.now() - started, ...news });
    wake();
  };

  const cleaned = cleanQuestion(rawQuestion, deps.settings.maxQuestionCharacters);
  const factor = method.limitFactor?.(deps.settings) ?? 1;
  const tools = new Tools(cleaned.text, known.depsOf(recalling(deps, runId)), signal, publish, { method: method.id, factor, earlierMs });
  let finished = false;
  const work = (async () => {
    try {
      publish({ kind: 'runStarted', question: cleaned.text, method: method.id, model: deps.llm?.info.modelId ?? null, corpora: deps.corpora ?? [] });
      for (const edit of deps.revision?.edits ?? []) publish({ kind: 'edited', from: deps.revision?.from ?? '', edit });
      if (before !== undefined) publish({ kind: 'notice', code: 'resumed', text: 'The run goes on where it was broken off; nothing that was finished is done again.' });
      if (deps.profileNotice !== undefined) publish({ kind: 'notice', code: 'profile-used', text: deps.profileNotice });
      if (cleaned.text === '') throw new AppError('question/empty');
      if (cleaned.trimmed) publish({ kind: 'notice', code: 'question-trimmed', text: `The question was longer than ${deps.settings.maxQuestionCharacters} characters; only its beginning is used.` });
      signal.throwIfAborted();
      const outcome = await method.run(tools);
      publish({ kind: 'answerFinished', answer: outcome.answer });
      publish({ kind: 'runFinished', stop: outcome.stop, cost: tools.cost() });
    } catch (error) {
      if (isAbort(error) || signal.aborted) publish({ kind: 'runFinished', stop: 'user', cost: tools.cost() });
      else publish({ kind: 'runFailed', error: toWire(error), cost: tools.cost() });
    } finally {
      finished = true;
      wake();
    }
  })();

  for (;;) {
    for (let event = ready.shift(); event !== undefined; event = ready.shift()) yield event;
    if (finished) break;
    await new Promise<void>((resume) => waiting.push(resume));
  }
  await work;
}

function recalling(deps: AgentDeps, runId: string): AgentDeps {
  const { calls, llm, planner, retriever } = deps;
  if (calls === undefined) return deps;
  return {
    ...deps,
    llm: llm === null ? null : recallingLlm(llm, calls),
    ...(planner === undefined ? {} : { planner: recallingLlm(planner, calls) }),
    retriever: recallingRetriever(retriever, calls, runId),
  };
}

/** NFC, no control characters but spaces, no lone surrogates, trimmed to a length. What is displayed is the same text. */
export function cleanQuestion(raw: string, maxCharacters: number): { readonly text: string; readonly trimmed: boolean } {
  const head = raw.slice(0, maxCharacters * 4);
  const text = head
    .toWellFormed()
    .replace(/\uFFFD/g, '')
    .normalize('NFC')
    .replace(/[\p{Cc}\s]+/gu, ' ')
    .replace(/[\u200B\u200E\u200F\u202A-\u202E\u2060\u2066-\u2069\uFEFF]/gu, '')
    .trim();
  return { text: text.slice(0, maxCharacters).trim().toWellFormed().replace(/\uFFFD$/, ''), trimmed: text.length > maxCharacters || raw.length > head.length };
}
