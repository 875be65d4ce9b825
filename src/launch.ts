/**
 * What the page's address may say. Pure. An allow-list: every parameter that is not named here is ignored, none is stored, and none can name a host, a file,
 * a model or a setting. A question from the address fills the box and waits there: only the person asks it. A method is one of the page's own list, or none.
 */

/** Characters of a question that the page keeps; the agent's own limit is the same. */
export const maxQuestionCharacters = 4000;

export interface Launch {
  /** Text for the question box, '' for none. Data, shown as text. */
  readonly question: string;
  /** True: `q` was longer than a question may be. */
  readonly isTrimmed: boolean;
  /** The shape of a method's id, '' for none; whether there is such a method the page knows. */
  readonly method: string;
}

/** `search`: the query part of the address, with or without its question mark. Never throws. */
export function parseLaunch(search: string): Launch {
  // Browsers take addresses of megabytes; more than this cannot hold a question, percent signs included.
  const parameters = new URLSearchParams(search.slice(0, maxQuestionCharacters * 12));
  const given = parameters.get('q') ?? '';
  const text = given.toWellFormed().replace(/[\p{Cc}\uFFFD]+/gu, ' ').trim();
  return { question: cutText(text, maxQuestionCharacters), isTrimmed: text.length > maxQuestionCharacters, method: /^[a-z0-9-]{1,40}$/.exec(parameters.get('method') ?? '')?.[0] ?? '' };
}

/** The first `limit` UTF-16 units, never half of a surrogate pair. */
export function cutText(text: string, limit: number): string {
  if (text.length <= limit) return text;
  const last = text.charCodeAt(limit - 1);
  return text.slice(0, last >= 0xd800 && last <= 0xdbff ? limit - 1 : limit);
}
