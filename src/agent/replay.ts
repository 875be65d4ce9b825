/** What the log of a broken run tells already, so that taking it up again tells only what is new (METHODS §8.8). */
import type { AgentDeps } from './harness.ts';
import type { AgentEvent, AgentEventBody, Plan } from './events.ts';

/** Fields that depend on the clock, and the numbering of events: two tellings of one thing may differ in them. */
const incidental = new Set(['runId', 'seq', 'atMs', 'ms', 'msLeft', 'wallMs', 'overheadMs']);

function signature(event: AgentEvent | AgentEventBody): string {
  return JSON.stringify(event, (key, value: unknown) => (incidental.has(key) ? undefined : value));
}

/** Feeds on the events of the run as it is worked through again, in whatever order parallel steps bring them. */
export class Replay {
  /** Told so far and not yet told again, with how often. */
  readonly #told = new Map<string, number>();
  /** Text of the answer that was told; logs may lack it. */
  #text: string;
  readonly #plan: { readonly plan: Plan; readonly isSettled: boolean } | null;

  constructor(earlier: readonly AgentEvent[]) {
    for (const event of earlier) if (event.kind !== 'answerDelta') this.#told.set(signature(event), (this.#told.get(signature(event)) ?? 0) + 1);
    const answering = earlier.findLastIndex((event) => event.kind === 'answerStarted');
    this.#text = earlier.slice(answering + 1).map((event) => (event.kind === 'answerDelta' ? event.text : '')).join('');
    const at = earlier.findLastIndex((event) => event.kind === 'planProposed' || event.kind === 'planEdited');
    const planned = earlier[at];
    const hasPlan = planned?.kind === 'planProposed' || planned?.kind === 'planEdited';
    this.#plan = hasPlan ? { plan: planned.plan, isSettled: planned.kind === 'planEdited' || at < earlier.length - 1 } : null;
  }

  /** The event, or what is left of it; null if it was told. */
  newsIn(event: AgentEventBody): AgentEventBody | null {
    if (event.kind === 'answerDelta') return this.#newText(event.text);
    const key = this.#told.size === 0 ? '' : signature(event);
    const times = this.#told.get(key) ?? 0;
    if (times === 0) return event;
    if (times === 1) this.#told.delete(key);
    else this.#told.set(key, times - 1);
    return null;
  }

  #newText(text: string): AgentEventBody | null {
    const known = this.#text;
    if (known === '' || !(known.startsWith(text) || text.startsWith(known))) {
      this.#text = '';
      return { kind: 'answerDelta', text };
    }
    this.#text = known.slice(text.length);
    const rest = text.slice(known.length);
    return rest === '' ? null : { kind: 'answerDelta', text: rest };
  }

  /** A plan that was released, edited or not, is not held again. */
  depsOf(deps: AgentDeps): AgentDeps {
    const known = this.#plan;
    if (known === null || !known.isSettled || deps.holdPlan === undefined) return deps;
    return { ...deps, holdPlan: async (plan) => (signature({ kind: 'planProposed', plan }) === signature({ kind: 'planProposed', plan: known.plan }) ? plan : known.plan) };
  }
}
