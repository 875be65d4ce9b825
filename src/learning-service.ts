/**
 * `Learning` of the page: keeps confirmed answers, feedback, trajectories, parts and their records in the store's settings, runs iterations with the live models, and
 * hands the parts that are switched on to runs. What was learned never leaves the device but through `exports`.
 */
import { runMethod } from './agent/harness.ts';
import type { AgentSettings } from './agent/settings.ts';
import { answerKey } from './agent/trajectories.ts';
import type { AgentEvent } from './agent/events.ts';
import type { ConfirmedAnswer, Learning, LearningProgress, LearningStatus, UserEdit } from './api.ts';
import * as v from 'valibot';
import { embeddedText } from './corpus/passages.ts';
import type { Retriever, SearchRequest, SearchResult } from './corpus/retriever.ts';
import type { Embedder } from './engine/embedder.ts';
import type { Host } from './engine/host.ts';
import type { Llm } from './engine/llm.ts';
import { abortError, AppError } from './errors.ts';
import { scoreAnswer } from './lab/metrics.ts';
import { pairedBootstrap } from './lab/statistics.ts';
import { splitHeldBack } from './learning/acceptance.ts';
import { adapterDefaults, type Adapter } from './learning/adapter.ts';
import { buildArchive } from './learning/archive.ts';
import type { WeightedQuestion } from './learning/estep.ts';
import { dpoRecords, grpoRecords, jsonLines, problemsOfDpo, problemsOfGrpo, problemsOfSft, rankRecords, sftRecords, trecRun, type EditPair } from './learning/exports.ts';
import { learn, type LearnDeps, type LearnQuestion } from './learning/iteration.ts';
import { decodePart, enabledValues, latest, learnedOf, noParts, rolledBack, switched, withoutRule, withVersion, type PartValues, type StoredParts } from './learning/parts.ts';
import { decodeProfile, emptyProfile, type Profile } from './learning/profile.ts';
import { iterationSchema, partIds, type IterationRecord, type PartId } from './learning/record.ts';
import { decodeSample, samplesOf } from './learning/samples.ts';
import type { LearningWorkerApi } from './learning/worker-api.ts';

export interface LearningServiceDeps {
  readonly setting: (name: string) => Promise<unknown>;
  readonly saveSetting: (name: string, value: unknown) => Promise<void>;
  readonly events: (runId: string) => Promise<readonly AgentEvent[] | null>;
  readonly worker: Host<LearningWorkerApi>;
  readonly llm: () => Llm | null;
  readonly embedder: () => Embedder | null;
  /** The library's retriever with this adapter over query vectors. */
  readonly retrieverWith: (adapter: Adapter | null) => Retriever;
  /** Several searches of the library, an adapter over their query vectors. */
  readonly searchMany: (adapter: Adapter | null, requests: readonly SearchRequest[], signal: AbortSignal) => Promise<readonly SearchResult[]>;
  readonly settings: () => AgentSettings;
  /** Name and licences of what is searched now. */
  readonly corpus: () => { readonly label: string; readonly licence: string };
  /** Takes the one place for runs; the result gives it back. Throws `run/busy`. */
  readonly occupy: () => () => void;
  /** Milliseconds, monotonic. */
  readonly now: () => number;
}

export interface LearningService extends Learning {
  /** The parts that are switched on and the profile, for a run; nothing where the store cannot be read, for a run does without them. */
  forRun(): Promise<{ readonly values: Partial<PartValues>; readonly profile: Profile | null }>;
}

/** Confirmed answers that an iteration needs: fewer leave nothing to hold back. */
export const leastConfirmed = 6;

const names = { confirmed: 'learning.confirmed', edits: 'learning.edits', ratings: 'learning.ratings', iterations: 'learning.iterations', profile: 'learning.profile', sampled: 'learning.sampled' } as const;
const partName = (part: PartId): string => `learning.part.${part}`;
const sampleName = (iteration: number, qid: string): string => `learning.sample.${iteration}.${qid}`;

const confirmedSchema = v.array(v.object({ runId: v.string(), question: v.string(), answer: v.string(), gold: v.array(v.string()) }));
const editSchema = v.array(
  v.object({
    runId: v.string(), question: v.string(), stage: v.picklist(['plan', 'query', 'evidence', 'sub-answer', 'answer']), node: v.nullable(v.number()), before: v.string(), after: v.string(),
    reason: v.string(),
  }),
);
const stars = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(5));
const ratingSchema = v.array(v.object({ runId: v.string(), question: v.string(), rating: stars, text: v.pipe(v.string(), v.maxLength(4000)) }));
const sampledSchema = v.array(v.object({ iteration: v.number(), qid: v.string(), samples: v.number() }));

interface State {
  confirmed: v.InferOutput<typeof confirmedSchema>;
  edits: v.InferOutput<typeof editSchema>;
  ratings: v.InferOutput<typeof ratingSchema>;
  iterations: IterationRecord[];
  sampled: v.InferOutput<typeof sampledSchema>;
  profile: Profile;
  parts: StoredParts;
}

export function createLearningService(deps: LearningServiceDeps): LearningService {
  let state: State | null = null;
  let running: LearningProgress | null = null;
  const listeners = new Set<(status: LearningStatus) => void>();

  let reading: Promise<State> | null = null;
  /** Reads everything once. Rows that cannot be decoded count as absent; a failed read is tried again at the next call. */
  function load(): Promise<State> {
    reading ??= read().catch((error: unknown) => {
      reading = null;
      throw error;
    });
    return reading;
  }
  async function read(): Promise<State> {
    const list = async <S extends v.GenericSchema<unknown, unknown[]>>(name: string, schema: S): Promise<v.InferOutput<S>> => {
      const parsed = v.safeParse(schema, await deps.setting(name));
      return parsed.success ? parsed.output : [];
    };
    const parts: StoredParts = {
      bank: decodePart('bank', await deps.setting(partName('bank'))),
      lessons: decodePart('lessons', await deps.setting(partName('lessons'))),
      adapter: decodePart('adapter', await deps.setting(partName('adapter'))),
      selector: decodePart('selector', await deps.setting(partName('selector'))),
      gate: decodePart('gate', await deps.setting(partName('gate'))),
    };
    state = {
      confirmed: await list(names.confirmed, confirmedSchema),
      edits: await list(names.edits, editSchema),
      ratings: await list(names.ratings, ratingSchema),
      iterations: await list(names.iterations, v.array(iterationSchema)),
      sampled: await list(names.sampled, sampledSchema),
      profile: decodeProfile(await deps.setting(names.profile)) ?? emptyProfile,
      parts,
    };
    return state;
  }

  function statusOf(now: State): LearningStatus {
    return {
      parts: partIds.map((part) => {
        const { enabled, versions, refused } = now.parts[part];
        return { part, enabled, version: versions.length, canRollBack: versions.length > 0, check: versions.at(-1)?.check ?? refused };
      }),
      confirmed: now.confirmed.map(({ runId, question, answer }): ConfirmedAnswer => ({ runId, question, answer })),
      lessons: (latest(now.parts.lessons) ?? []).map(({ text }) => text),
      edits: now.edits.length,
      ratings: now.ratings.length,
      trajectories: now.sampled.reduce((sum, { samples }) => sum + samples, 0),
      iterations: now.iterations,
      running,
    };
  }

  function tell(): void {
    if (state === null) return;
    const status = statusOf(state);
    for (const listener of listeners) listener(status);
  }

  /** Changes are made one after the other, so that no two write over each other. */
  let queue: Promise<unknown> = Promise.resolve();
  function change(work: (now: State) => Promise<void>): Promise<void> {
    const done = queue.then(async () => {
      await work(await load());
      tell();
    });
    queue = done.catch(() => undefined);
    return done;
  }

  async function setPart<P extends PartId>(now: State, part: P, next: StoredParts[P]): Promise<void> {
    await deps.saveSetting(partName(part), next);
    now.parts = { ...now.parts, [part]: next };
  }

  async function storedQuestion(iteration: number, qid: string): Promise<WeightedQuestion | null> {
    const stored = (await deps.setting(sampleName(iteration, qid))) as WeightedQuestion | null | undefined;
    if (stored === null || stored === undefined || !Array.isArray(stored.samples)) return null;
    try {
      return { ...stored, samples: stored.samples.map((sample) => decodeSample(sample)) };
    } catch (error) {
      if (error instanceof AppError) return null;
      throw error;
    }
  }

  async function samples(now: State): Promise<WeightedQuestion[]> {
    const found = await Promise.all(now.sampled.map(({ iteration, qid }) => storedQuestion(iteration, qid)));
    return found.flatMap((question) => (question === null ? [] : [question]));
  }

  async function iterate(options: Parameters<Learning['startIteration']>[0], signal: AbortSignal, onProgress: (progress: LearningProgress) => void): Promise<IterationRecord> {
    const now = await load();
    const llm = deps.llm();
    if (llm === null) throw new AppError('engine/not-loaded');
    if (now.confirmed.length < leastConfirmed) throw new AppError('learning/too-few', { needed: leastConfirmed, have: now.confirmed.length });
    const { methodById } = await import('./agent/methods/registry.ts');
    const method = methodById(options.method ?? 'foray');
    if (method === undefined) throw new AppError('run/unknown-method', { method: options.method ?? '' });
    const leave = deps.occupy();
    const report = (stage: LearningProgress['stage'], done: number, total: number, label: string): void => {
      running = { stage, done, total, label };
      onProgress(running);
      tell();
    };
    try {
      const embedder = deps.embedder();
      const { label: corpus, licence } = deps.corpus();
      const iteration = now.iterations.length + 1;
      const questions = now.confirmed.map(({ runId, question, answer, gold }): LearnQuestion => ({ id: runId, question, answers: [answer], gold }));
      const { train, held } = splitHeldBack(questions, ({ id }) => id);
      const seed = options.seed ?? 13;
      const trajectories = Math.min(5, Math.max(2, options.trajectories ?? 3));
      const base = deps.settings();
      const run = async (question: LearnQuestion, values: Partial<PartValues>, change: Partial<AgentSettings>, stop: AbortSignal): Promise<AgentEvent[]> => {
        const events: AgentEvent[] = [];
        const agent = { llm, retriever: deps.retrieverWith(values.adapter ?? null), now: deps.now, settings: { ...base, ...change }, learned: learnedOf(values) };
        for await (const event of runMethod(`${question.id}-${change.seed ?? 0}`, question.question, method, agent, stop)) events.push(event);
        if (stop.aborted) throw abortError();
        return events;
      };
      const current = enabledValues(now.parts);
      const done = new Map<string, WeightedQuestion>();
      for (const { id } of train) {
        const stored = await storedQuestion(iteration, id);
        if (stored !== null) done.set(id, stored);
      }
      const isGold = (id: string, name: string): boolean => id === name;
      const learnDeps: LearnDeps = {
        llm,
        run: async (question, sampleSeed, stop) => {
          const whole = questions.find(({ id }) => id === question.id);
          const events = whole === undefined ? [] : await run(whole, current, { seed: sampleSeed, temperature: base.sampleTemperature, keepPrompts: true }, stop);
          return samplesOf(events, { qid: question.id, seed: sampleSeed, corpus, licence });
        },
        scoreAnswer: (prediction, answers) => scoreAnswer(prediction, answers),
        evaluate: async (question, values, stop) => {
          const events = await run(question, values, { seed, temperature: 0 }, stop);
          const answer = events.findLast((event) => event.kind === 'answerFinished');
          const found = new Set(events.flatMap((event) => (event.kind === 'searched' ? event.hits.map((hit) => hit.passage.id) : [])));
          const supportRecall = question.gold.length === 0 ? null : question.gold.filter((id) => found.has(id)).length / question.gold.length;
          return { ...scoreAnswer(answer?.kind === 'answerFinished' ? answer.answer.short : '', question.answers), supportRecall };
        },
        retrieve: async (queries, adapter, stop) => (await deps.searchMany(adapter, queries.map((text) => ({ text, k: base.retrieve })), stop)).map(({ hits }) => hits),
        isGold,
        passageOf: (id) => deps.retrieverWith(null).passage(id),
        embedder: embedder === null ? null : {
          id: embedder.info.id,
          dimensions: embedder.info.dimensions,
          query: async (text) => (await embedder.embed([text], 'query', signal)).values,
          passage: async (passage) => (await embedder.embed([embeddedText(passage)], 'passage', signal)).values,
        },
        trainAdapter: (id, dimensions, examples, adapterSeed, stop) =>
          deps.worker.call('trainAdapter', { embedder: id, dimensions, examples, options: { ...adapterDefaults, seed: adapterSeed } }, {
            signal: stop,
            onProgress: ({ epoch, of, loss }) => report('training', epoch, of, `query adapter, loss ${loss.toFixed(3)}`),
          }),
        trainLogistic: (features, examples, stop) => deps.worker.call('trainLogistic', { features, examples }, { signal: stop }),
        interval: (after, before) => pairedBootstrap(after, before),
        now: deps.now,
        done,
        keep: async (question) => {
          await deps.saveSetting(sampleName(iteration, question.qid), question);
          now.sampled = [...now.sampled.filter(({ qid }) => qid !== question.qid), { iteration, qid: question.qid, samples: question.samples.length }];
          await deps.saveSetting(names.sampled, now.sampled);
        },
        onProgress: report,
      };
      const result = await learn(train, held, learnDeps, {
        parts: options.parts ?? partIds, iteration, model: llm.info.modelId, method: method.id, dataset: 'confirmed answers', corpus, trajectories, seed: seed + (iteration - 1) * 100,
        alpha: base.alpha, tau: base.tau, trainIds: await sha256(train.map(({ id }) => id)), devIds: await sha256(held.map(({ id }) => id)), current, supervision: 'trajectories',
      }, signal);
      await change(async (later) => {
        const { bank, lessons, adapter, selector, gate } = result.versions;
        if (bank !== undefined) await setPart(later, 'bank', withVersion(later.parts.bank, bank));
        if (lessons !== undefined) await setPart(later, 'lessons', withVersion(later.parts.lessons, lessons));
        if (adapter !== undefined) await setPart(later, 'adapter', withVersion(later.parts.adapter, adapter));
        if (selector !== undefined) await setPart(later, 'selector', withVersion(later.parts.selector, selector));
        if (gate !== undefined) await setPart(later, 'gate', withVersion(later.parts.gate, gate));
        later.iterations = [...later.iterations, result.record];
        await deps.saveSetting(names.iterations, later.iterations);
      });
      return result.record;
    } finally {
      running = null;
      leave();
      tell();
    }
  }

  async function questionOf(runId: string): Promise<{ readonly events: readonly AgentEvent[]; readonly question: string }> {
    const events = await deps.events(runId);
    const started = events?.find((event) => event.kind === 'runStarted');
    if (events === null || started?.kind !== 'runStarted') throw new AppError('learning/run-gone');
    return { events, question: started.question };
  }

  return {
    async forRun() {
      try {
        const { parts, profile } = await load();
        return { values: enabledValues(parts), profile };
      } catch (error) {
        if (error instanceof AppError) return { values: {}, profile: null };
        throw error;
      }
    },
    watch(listener) {
      listeners.add(listener);
      void load().then((now) => listeners.has(listener) && listener(statusOf(now)), () => undefined);
      return () => listeners.delete(listener);
    },
    status: async () => statusOf(await load()),
    startIteration: iterate,
    enable: (part, on) => change((now) => setPart(now, part, switched(now.parts[part], part, on) as StoredParts[typeof part])),
    rollBack: (part) => change((now) => setPart(now, part, rolledBack(now.parts[part]) as StoredParts[typeof part])),
    removeLesson: (text) => change((now) => setPart(now, 'lessons', withoutRule(now.parts.lessons, text))),
    remove: (part) =>
      change(async (now) => {
        for (const id of part === 'all' ? partIds : [part]) await setPart(now, id, noParts[id]);
        if (part !== 'all') return;
        for (const { iteration, qid } of now.sampled) await deps.saveSetting(sampleName(iteration, qid), null);
        [now.sampled, now.confirmed, now.edits, now.ratings, now.iterations] = [[], [], [], [], []];
        for (const name of [names.sampled, names.confirmed, names.edits, names.ratings, names.iterations]) await deps.saveSetting(name, []);
      }),
    archive: async () => buildArchive((await samples(await load())).flatMap((question) => question.samples)),
    async exports() {
      const now = await load();
      const weighted = await samples(now);
      const list = weighted.filter(({ informative }) => informative).flatMap((question) => question.samples);
      const golds = new Map(now.confirmed.map(({ runId, answer }) => [runId, [answer]]));
      const edits = now.edits.map((edit, i): EditPair => ({ ...edit, id: `${edit.runId}/edit-${i + 1}` }));
      const [sft, dpo, grpo, rank] = [sftRecords(list, (qid) => golds.get(qid) ?? []), dpoRecords(list, edits), grpoRecords(list), rankRecords(list)];
      const files: readonly { readonly name: string; readonly text: string; readonly problems: readonly string[] }[] = [
        { name: 'sft.jsonl', text: jsonLines(sft), problems: problemsOfSft(sft) },
        { name: 'dpo.jsonl', text: jsonLines(dpo), problems: problemsOfDpo(dpo) },
        { name: 'grpo.jsonl', text: jsonLines(grpo), problems: problemsOfGrpo(grpo) },
        { name: 'rank.jsonl', text: jsonLines(rank), problems: [] },
        { name: 'run.jsonl', text: jsonLines([...list, ...now.iterations]), problems: [] },
        { name: 'trec.run', text: trecRun(list, 'foray'), problems: [] },
        { name: 'feedback.jsonl', text: jsonLines([...now.edits, ...now.ratings]), problems: [] },
      ];
      return files.filter(({ text }) => text !== '').map(({ name, text, problems }) => ({ name, blob: new Blob([text], { type: 'application/jsonl' }), problems }));
    },
    profile: async () => (await load()).profile,
    setProfile: (profile) =>
      change(async (now) => {
        const decoded = decodeProfile(profile);
        if (decoded === null) throw new AppError('learning/bad-data', { what: 'the profile', reason: 'a field is too long or missing' });
        await deps.saveSetting(names.profile, decoded);
        now.profile = decoded;
      }),
    clearProfile: () =>
      change(async (now) => {
        await deps.saveSetting(names.profile, null);
        now.profile = emptyProfile;
      }),
    confirmAnswer: (runId, answer) =>
      change(async (now) => {
        const others = now.confirmed.filter((one) => one.runId !== runId);
        if (answer === null || answer.trim() === '') now.confirmed = others;
        else {
          const { events, question } = await questionOf(runId);
          const said = events.findLast((event) => event.kind === 'answerFinished');
          // Passages that the right answer was cited from are the gold passages of this question; of a wrong answer they are not.
          const isRight = said?.kind === 'answerFinished' && answerKey(said.answer.short) === answerKey(answer);
          const gold = isRight ? [...new Set(said.answer.citations.map(({ evidence }) => evidence.passage.id))] : [];
          now.confirmed = [...others, { runId, question, answer: answer.trim(), gold }];
        }
        await deps.saveSetting(names.confirmed, now.confirmed);
      }),
    rate: (runId, rating, text) =>
      change(async (now) => {
        const { question } = await questionOf(runId);
        const parsed = v.safeParse(ratingSchema, [{ runId, question, rating, text }]);
        if (!parsed.success) throw new AppError('learning/bad-data', { what: 'the rating', reason: parsed.issues[0].message });
        now.ratings = [...now.ratings.filter((one) => one.runId !== runId), ...parsed.output];
        await deps.saveSetting(names.ratings, now.ratings);
      }),
    recordEdit: (edit: UserEdit) =>
      change(async (now) => {
        const { question } = await questionOf(edit.runId);
        now.edits = [...now.edits, { ...edit, question }];
        await deps.saveSetting(names.edits, now.edits);
      }),
  };
}

async function sha256(ids: readonly string[]): Promise<string> {
  const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode([...ids].sort().join('\n')));
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, '0')).join('');
}
