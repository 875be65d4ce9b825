/**
 * What was learned from, as JSON lines for training elsewhere (METHODS §9) in the column names that TRL reads, and the checks before it is written. The person's
 * profile is in none of them. Pure; `docs/training.md` says how the files are used.
 */
import { answerKey } from '../agent/trajectories.ts';
import type { Message } from '../engine/llm.ts';
import type { Sample } from './samples.ts';

export interface SftMessage {
  readonly role: 'system' | 'user' | 'assistant' | 'tool';
  readonly content: string;
  /** False: masked out of the loss. Always false for what the retriever or the person wrote. */
  readonly loss: boolean;
}

export interface SftRecord {
  readonly messages: readonly SftMessage[];
  readonly weight: number;
  readonly qid: string;
  readonly traj: string;
  readonly meta: Pick<Sample, 'method' | 'model' | 'corpus' | 'licence' | 'em' | 'f1'> & { readonly evidenceGain: number | null; readonly leak: boolean };
}

export interface DpoRecord {
  readonly prompt: readonly Message[];
  readonly chosen: readonly Message[];
  readonly rejected: readonly Message[];
  readonly why: 'correct>wrong' | 'fewer_bad_queries' | 'more_good_queries' | 'user_edit';
  readonly qid: string;
}

export interface GrpoRecord {
  readonly prompt: readonly Message[];
  readonly group: readonly { readonly completion: string; readonly reward: number; readonly advantage: number; readonly parts: Readonly<Record<string, number>> }[];
  readonly qid: string;
}

export interface RankRecord {
  readonly query: string;
  readonly docs: readonly { readonly id: string; readonly text: string }[];
  /** Numbers of the documents, from 1, best first. */
  readonly order: readonly number[];
  readonly weight: number;
  readonly qid: string;
}

/** An edit by hand, with the question it belongs to. */
export interface EditPair {
  readonly id: string;
  readonly question: string;
  readonly stage: string;
  readonly node: number | null;
  readonly before: string;
  readonly after: string;
  readonly reason: string;
}

const role = 'You answer a question by searching. Write one action at a time: "plan:", "search:", "record:" or "answer:".';

/**
 * One conversation a trajectory: think → search → record as assistant turns, what the retriever gave as `tool` turns. Quotes are named by document and not repeated
 * by the assistant, so that no retrieved sentence carries loss.
 */
export function sftRecord(sample: Sample, golds: readonly string[]): SftRecord {
  const messages: SftMessage[] = [
    { role: 'system', content: role, loss: false },
    { role: 'user', content: sample.question, loss: false },
  ];
  const say = (content: string): void => void messages.push({ role: 'assistant', content, loss: true });
  const names = new Map<string, number>();
  const name = (id: string): number => {
    const known = names.get(id) ?? names.size + 1;
    names.set(id, known);
    return known;
  };
  for (const step of sample.steps) {
    if (step.kind === 'plan') say(`plan: ${step.plan.nodes.map((node, i) => `${i + 1}. ${node.q}`).join(' ')}`);
    else if (step.kind === 'think') say(`think: ${step.text}`);
    else if (step.kind === 'search') {
      say(`search: ${step.query}`);
      const shown = step.docs.filter((doc) => sample.passages[doc.id] !== undefined);
      const lines = shown.map((doc) => `[${name(doc.id)}] ${sample.passages[doc.id]?.title ?? ''}: ${sample.passages[doc.id]?.text ?? ''}`);
      messages.push({ role: 'tool', content: lines.join('\n') || 'nothing found', loss: false });
    } else if (step.kind === 'select') say(`select: ${step.kept.flatMap((id) => (names.has(id) ? [`[${name(id)}]`] : [])).join(' > ') || 'none'}`);
    else if (step.kind === 'record') {
      const from = [...new Set(step.evidence.map((item) => `[${name(item.doc)}]`))].join(' ');
      say(step.subAnswer === '' && from === '' ? 'record: none' : `record: ${step.subAnswer}${from === '' ? '' : ` ${from}`}`);
    } else if (step.kind === 'answer') say(`answer: ${step.text}`);
  }
  return {
    messages,
    weight: sample.weight ?? 0,
    qid: sample.qid,
    traj: sample.id,
    meta: {
      method: sample.method, model: sample.model, corpus: sample.corpus, licence: sample.licence, em: sample.em, f1: sample.f1,
      evidenceGain: sample.answerLogp === null || sample.priorLogp === null ? null : sample.answerLogp.sum - sample.priorLogp.sum, leak: leaks(messages, golds),
    },
  };
}

/** Whether the right answer stands in an assistant turn before any retrieved text held it, unless the question itself names it (or it is yes or no). */
export function leaks(messages: readonly SftMessage[], golds: readonly string[]): boolean {
  const keys = golds.map(answerKey).filter((key) => key !== '' && key !== 'yes' && key !== 'no');
  const holds = (text: string, key: string): boolean => ` ${answerKey(text)} `.includes(` ${key} `);
  return keys.some((key) => {
    for (const message of messages) {
      if (!holds(message.content, key)) continue;
      return message.role === 'assistant';
    }
    return false;
  });
}

/** Weights stay as the E-step set them, per question. Uninformative questions are left out by the caller. */
export function sftRecords(samples: readonly Sample[], golds: (qid: string) => readonly string[]): SftRecord[] {
  return samples.map((sample) => sftRecord(sample, golds(sample.qid)));
}

/**
 * Preference pairs: plans and answers of a right over a wrong trajectory of the same question, a trajectory with fewer useless queries over one with more,
 * refined over refused queries, and edits by hand.
 */
export function dpoRecords(samples: readonly Sample[], edits: readonly EditPair[]): DpoRecord[] {
  const records: DpoRecord[] = [];
  const say = (content: string): Message[] => [{ role: 'assistant', content }];
  const ask = (content: string): Message[] => [{ role: 'user', content }];
  for (const [qid, group] of byQuestion(samples)) {
    const ranked = [...group].sort((a, b) => b.em - a.em || (b.weight ?? 0) - (a.weight ?? 0));
    const [best, worst] = [ranked[0], ranked.at(-1)];
    if (best !== undefined && worst !== undefined && best.em > worst.em) {
      const [plan, other] = [planText(best), planText(worst)];
      const { question } = best;
      if (plan !== null && other !== null && plan !== other) records.push({ prompt: ask(`plan: ${question}`), chosen: say(plan), rejected: say(other), why: 'correct>wrong', qid });
      const wrong = worst.answer === '' ? 'not found' : worst.answer;
      if (best.answer !== wrong) records.push({ prompt: ask(question), chosen: say(best.answer), rejected: say(wrong), why: 'correct>wrong', qid });
    }
    const [fewest, most] = [minBy(group, uselessQueries), minBy(group, (sample) => -uselessQueries(sample))];
    if (fewest !== undefined && most !== undefined && fewest.em === most.em && uselessQueries(fewest) < uselessQueries(most)) {
      records.push({ prompt: ask(`search: ${fewest.question}`), chosen: say(queryLines(fewest)), rejected: say(queryLines(most)), why: 'fewer_bad_queries', qid });
    }
    for (const sample of group) {
      for (const note of sample.process) {
        const step = sample.steps.find((one) => one.t === note.t);
        if (note.refined === null || step?.kind !== 'search' || step.query === note.refined) continue;
        const asked = sample.steps.find((one) => one.kind === 'record' && one.node === step.node);
        const prompt = ask(`search: ${asked?.kind === 'record' && asked.question !== '' ? asked.question : sample.question}${note.note === '' ? '' : `\nlast search: ${note.note}`}`);
        records.push({ prompt, chosen: say(note.refined), rejected: say(step.query), why: 'more_good_queries', qid });
      }
    }
  }
  for (const edit of edits) {
    if (edit.before.trim() === edit.after.trim() || edit.after.trim() === '') continue;
    records.push({ prompt: ask(`${edit.stage}: ${edit.question}`), chosen: say(edit.after), rejected: say(edit.before), why: 'user_edit', qid: edit.id });
  }
  return records;
}

/** A group a question: reward F1 (`parts` hold what else is known), advantage (r − mean) / deviation; groups whose rewards are all the same are left out. */
export function grpoRecords(samples: readonly Sample[]): GrpoRecord[] {
  const records: GrpoRecord[] = [];
  for (const [qid, group] of byQuestion(samples)) {
    const rewards = group.map((sample) => sample.f1);
    const mean = rewards.reduce((sum, reward) => sum + reward, 0) / rewards.length;
    const deviation = Math.sqrt(rewards.reduce((sum, reward) => sum + (reward - mean) ** 2, 0) / rewards.length);
    if (group.length < 2 || deviation < 1e-9) continue;
    records.push({
      prompt: [{ role: 'system', content: role }, { role: 'user', content: group[0]?.question ?? '' }],
      group: group.map((sample) => ({
        completion: sftRecord(sample, []).messages.filter((message) => message.loss).map((message) => message.content).join('\n'),
        reward: sample.f1,
        advantage: (sample.f1 - mean) / (deviation + 1e-6),
        parts: { em: sample.em, weight: sample.weight ?? 0, ...(sample.supportRecall === null ? {} : { supportRecall: sample.supportRecall }) },
      })),
      qid,
    });
  }
  return records;
}

/** What a search found, with the passages that evidence was taken from put first. Searches that gave no evidence teach no order. */
export function rankRecords(samples: readonly Sample[]): RankRecord[] {
  return samples.flatMap((sample) =>
    sample.steps.flatMap((step) => {
      if (step.kind !== 'search') return [];
      const docs = step.docs.filter((doc) => sample.passages[doc.id] !== undefined);
      const used = new Set(sample.steps.flatMap((one) => (one.kind === 'record' && one.node === step.node ? one.evidence.map((item) => item.doc) : [])));
      const good = docs.flatMap((doc, i) => (used.has(doc.id) ? [i + 1] : []));
      if (good.length === 0 || good.length === docs.length) return [];
      const order = [...good, ...docs.flatMap((doc, i) => (used.has(doc.id) ? [] : [i + 1]))];
      return [{ query: step.query, docs: docs.map((doc) => ({ id: doc.id, text: `${sample.passages[doc.id]?.title ?? ''}: ${sample.passages[doc.id]?.text ?? ''}` })), order, weight: sample.weight ?? 0, qid: sample.qid }];
    }),
  );
}

/** `qid Q0 docid rank score tag`, one line a passage, over all searches of a trajectory in the order found; blanks in ids become `_`. */
export function trecRun(samples: readonly Sample[], tag: string): string {
  const word = (text: string): string => text.replace(/\s+/g, '_');
  return samples
    .flatMap((sample) => {
      const ids = [...new Set(sample.steps.flatMap((step) => (step.kind === 'search' ? step.docs.map((doc) => doc.id) : [])))];
      return ids.map((id, i) => `${word(sample.qid)} Q0 ${word(id)} ${i + 1} ${(1 / (i + 1)).toFixed(6)} ${word(tag)}`);
    })
    .join('\n');
}

/** What must be mended before the file is used; empty: sound. `leak` is a flag on a record, not a fault of the file, but it is counted here for the reader. */
export function problemsOfSft(records: readonly SftRecord[]): string[] {
  const problems: string[] = [];
  const ids = records.map((record) => record.traj);
  if (new Set(ids).size !== ids.length) problems.push('a trajectory stands there twice');
  const sums = new Map<string, number>();
  for (const record of records) {
    sums.set(record.qid, (sums.get(record.qid) ?? 0) + record.weight);
    if (!Number.isFinite(record.weight) || record.weight < 0) problems.push(`${record.traj}: the weight ${record.weight} is not a finite number from 0`);
    if (record.meta.licence.trim() === '') problems.push(`${record.traj}: no licence of the corpus`);
    if (record.messages.some((message) => message.loss && message.role !== 'assistant')) problems.push(`${record.traj}: loss on a turn that the model did not write`);
  }
  for (const [qid, sum] of sums) if (!(Math.abs(sum - 1) < 1e-6)) problems.push(`${qid}: its weights sum to ${sum}, not to 1`);
  const leaking = records.filter((record) => record.meta.leak).length;
  if (leaking > 0) problems.push(`${leaking} of ${records.length} trajectories name the answer before a passage did (flagged leak)`);
  return problems;
}

export function problemsOfDpo(records: readonly DpoRecord[]): string[] {
  return records.flatMap((record, i) => (record.chosen[0]?.content === record.rejected[0]?.content ? [`pair ${i + 1}: both sides are the same`] : record.prompt.length === 0 ? [`pair ${i + 1}: no prompt`] : []));
}

export function problemsOfGrpo(records: readonly GrpoRecord[]): string[] {
  return records.flatMap((record) => (record.group.every(({ reward, advantage }) => Number.isFinite(reward) && Number.isFinite(advantage)) ? [] : [`${record.qid}: a reward is not finite`]));
}

/** JSON lines. */
export function jsonLines(records: readonly unknown[]): string {
  return records.map((record) => `${JSON.stringify(record)}\n`).join('');
}

function byQuestion(samples: readonly Sample[]): Map<string, Sample[]> {
  const groups = new Map<string, Sample[]>();
  for (const sample of samples) groups.set(sample.qid, [...(groups.get(sample.qid) ?? []), sample]);
  return groups;
}

function planText(sample: Sample): string | null {
  const step = sample.steps.findLast((one) => one.kind === 'plan');
  return step?.kind === 'plan' ? step.plan.nodes.map((node, i) => `${i + 1}. ${node.q}`).join('\n') : null;
}

function queryLines(sample: Sample): string {
  return sample.steps.flatMap((step) => (step.kind === 'search' ? [step.query] : [])).join('\n');
}

/** Searches of nodes that brought no passage which evidence was taken from. */
function uselessQueries(sample: Sample): number {
  const used = new Set(sample.steps.flatMap((step) => (step.kind === 'record' ? step.evidence.map((item) => item.doc) : [])));
  return sample.steps.filter((step) => step.kind === 'search' && !step.docs.some((doc) => used.has(doc.id))).length;
}

function minBy<T>(items: readonly T[], value: (item: T) => number): T | undefined {
  return items.reduce<T | undefined>((best, item) => (best === undefined || value(item) < value(best) ? item : best), undefined);
}
