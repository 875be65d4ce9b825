/**
 * The run: tools with their limits, cost, stop rules and the event stream. Every method works through these tools, so every method is stopped, counted,
 * checked and shown alike. Pure: model, corpus and clock come in as interfaces; out come `AgentEvent`s, in order, ending with exactly one
 * `runFinished` or `runFailed`. The generator itself never throws.
 */
import type { GenericSchema, InferOutput } from 'valibot';
import { AppError, isAbort, toWire, type ErrorCode } from '../errors.ts';
import type { Hit, Passage, Retriever } from '../corpus/retriever.ts';
import { completeJson, type Decoded, type GenerateRequest, type Llm, type Message } from '../engine/llm.ts';
import type { AgentEvent, AgentEventBody, Answer, AnswerSentence, CallPurpose, Citation, Cost, Evidence, Plan, StopReason } from './events.ts';
import { editedQuery, givenAnswer, keptHits, type Revision } from './edits.ts';
import { jaccard } from './evidence.ts';

/** METHODS §13, with the token limits that a CPU can bear. */
export interface AgentSettings {
  /** Passages shown to the model in rounds 1, 2, 3… of a sub-question (OPERA's depth schedule). Its length is the number of rounds. */
  readonly depths: readonly number[];
  /** Passages retrieved per search. */
  readonly retrieve: number;
  readonly maxLlmCalls: number;
  readonly maxSearches: number;
  readonly maxWallMs: number;
  /** Tokens of packed sentences per reading. */
  readonly evidenceTokens: number;
  /** How the question is read as a whole when the plan fails: five whole passages (about a thousand tokens), or packed sentences where prompt work is dear. */
  readonly wholeReading: 'passages' | 'sentences';
  /** Characters of a question that are kept. */
  readonly maxQuestionCharacters: number;
  readonly temperature: number;
  readonly seed: number;
  readonly dense: boolean;
  readonly links: boolean;
}

export const defaultSettings: AgentSettings = {
  depths: [5, 10, 15],
  retrieve: 20,
  maxLlmCalls: 24,
  maxSearches: 24,
  maxWallMs: 30 * 60_000,
  evidenceTokens: 320,
  wholeReading: 'sentences',
  maxQuestionCharacters: 4000,
  temperature: 0,
  seed: 13,
  dense: true,
  links: true,
};

export interface AgentDeps {
  /** null: only methods that need no model. */
  readonly llm: Llm | null;
  readonly retriever: Retriever;
  /** Milliseconds, monotonic. */
  readonly now: () => number;
  readonly settings: AgentSettings;
  readonly corpora?: readonly string[];
  /** Shows the plan to the person and resolves with it, edited or not. It must validate edits itself. */
  readonly holdPlan?: (plan: Plan, signal: AbortSignal) => Promise<Plan>;
  /** The run goes on from an earlier one that the person changed. */
  readonly revision?: Revision;
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

/** What a method may do. */
export class Tools {
  /** Every passage found in this run, by id. */
  readonly pool = new Map<string, Passage>();
  readonly #tried = new Map<number, string[]>();
  readonly #started: number;
  /** Tool calls under way and the moment when they became more than none: waiting is counted once however many overlap. */
  #busy = 0;
  #busySince = 0;
  #waitedMs = 0;
  #cost = { llmCalls: 0, promptTokens: 0, cachedTokens: 0, outputTokens: 0, searches: 0 };

  constructor(
    readonly question: string,
    readonly deps: AgentDeps,
    readonly signal: AbortSignal,
    private readonly publish: (event: AgentEventBody) => void,
  ) {
    this.#started = deps.now();
  }

  get settings(): AgentSettings {
    return this.deps.settings;
  }

  /** The model; throws `engine/not-loaded` without one. */
  get llm(): Llm {
    if (this.deps.llm === null) throw new AppError('engine/not-loaded');
    return this.deps.llm;
  }

  emit(event: AgentEventBody): void {
    this.signal.throwIfAborted();
    this.publish(event);
  }

  cost(): Cost {
    const wallMs = this.deps.now() - this.#started;
    return { ...this.#cost, wallMs, overheadMs: Math.max(0, wallMs - this.#waitedMs) };
  }

  /** The answer that the person gave to a step: it is not worked out then. */
  givenAnswer(node: number): string | null {
    return givenAnswer(this.deps.revision, node);
  }

  /** Searches and reports it. A refused repetition returns no hits and costs nothing. */
  async search(node: number, asked: string): Promise<NodeSearch> {
    const query = editedQuery(this.deps.revision, node, asked);
    const tried = this.#tried.get(node) ?? [];
    const repeats = tried.filter((earlier) => jaccard(earlier, query) >= 0.8).length;
    tried.push(query);
    this.#tried.set(node, tried);
    if (repeats > 0) return { hits: [], fresh: [], repeated: true };
    if (this.#cost.searches >= this.settings.maxSearches) throw new BudgetSpent('searches');
    this.#checkTime();
    const started = this.deps.now();
    const request = { text: query, k: this.settings.retrieve, dense: this.settings.dense, links: this.settings.links };
    const result = await this.#timed(() =>
      this.deps.retriever.search(this.deps.corpora === undefined ? request : { ...request, corpora: this.deps.corpora }, this.signal),
    );
    this.#cost.searches++;
    const hits = keptHits(this.deps.revision, node, result.hits);
    const fresh = hits.filter((hit) => !this.pool.has(hit.passage.id));
    for (const { passage } of hits) this.pool.set(passage.id, passage);
    this.emit({ kind: 'searched', node, query, hits, newIds: fresh.map((hit) => hit.passage.id), usedDense: result.usedDense, ms: this.deps.now() - started });
    return { hits, fresh, repeated: false };
  }

  /** One constrained, validated JSON value. A worker that dies in the middle is given one more chance; the step starts again, nothing else is lost. */
  async json<S extends GenericSchema>(
    purpose: CallPurpose,
    node: number | null,
    schema: S,
    messages: readonly Message[],
    maxTokens: number,
    onText?: (delta: string) => void,
  ): Promise<Decoded<InferOutput<S>>> {
    if (this.#cost.llmCalls >= this.settings.maxLlmCalls) throw new BudgetSpent('calls');
    this.#checkTime();
    const request: Omit<GenerateRequest, 'schema'> = { messages, maxTokens, temperature: this.settings.temperature, seed: this.settings.seed };
    const stream = onText === undefined ? null : repeatableStream(onText);
    const call = (): Promise<Decoded<InferOutput<S>>> => this.#timed(() => completeJson(this.llm, schema, request, this.signal, stream?.begin()));
    const started = this.deps.now();
    let decoded: Decoded<InferOutput<S>>;
    try {
      decoded = await call();
    } catch (error) {
      if (!(error instanceof AppError) || !passing.has(error.code)) throw error;
      this.emit({ kind: 'notice', code: 'resumed', text: `${error.message} The step is run again.` });
      decoded = await call();
    }
    const { usage } = decoded.result;
    this.#cost.llmCalls++;
    this.#cost.promptTokens += usage.promptTokens;
    this.#cost.cachedTokens += usage.cachedTokens ?? 0;
    this.#cost.outputTokens += usage.outputTokens;
    this.emit({ kind: 'llmCalled', purpose, node, promptTokens: usage.promptTokens, cachedTokens: usage.cachedTokens, outputTokens: usage.outputTokens, ms: this.deps.now() - started });
    return decoded;
  }

  #checkTime(): void {
    this.signal.throwIfAborted();
    if (this.deps.now() - this.#started > this.settings.maxWallMs) throw new BudgetSpent('time');
  }

  async #timed<T>(work: () => Promise<T>): Promise<T> {
    if (this.#busy++ === 0) this.#busySince = this.deps.now();
    try {
      return await work();
    } finally {
      if (--this.#busy === 0) this.#waitedMs += this.deps.now() - this.#busySince;
    }
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
 */
export async function* runMethod(runId: string, rawQuestion: string, method: Method, deps: AgentDeps, signal: AbortSignal): AsyncGenerator<AgentEvent, void, undefined> {
  const started = deps.now();
  let seq = 0;
  const ready: AgentEvent[] = [];
  const waiting: (() => void)[] = [];
  const wake = (): void => {
    for (const resume of waiting.splice(0)) resume();
  };
  const publish = (body: AgentEventBody): void => {
    ready.push({ runId, seq: seq++, atMs: deps.now() - started, ...body });
    wake();
  };

  const cleaned = cleanQuestion(rawQuestion, deps.settings.maxQuestionCharacters);
  const tools = new Tools(cleaned.text, deps, signal, publish);
  let finished = false;
  const work = (async () => {
    try {
      publish({ kind: 'runStarted', question: cleaned.text, method: method.id, model: deps.llm?.info.modelId ?? null, corpora: deps.corpora ?? [] });
      for (const edit of deps.revision?.edits ?? []) publish({ kind: 'edited', from: deps.revision?.from ?? '', edit });
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
