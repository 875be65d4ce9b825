/**
 * Comparisons that code can decide better than a small model: which of two dates or numbers is earlier, larger, and so on; whether two answers are the same.
 * Pure. Returns null wherever the question or the values leave doubt, and the model decides.
 */
import { wordsOf, entitiesOf } from './plan.ts';

export interface Compared {
  readonly question: string;
  readonly answer: string;
}

/** Days since year 0, roughly, for ordering only; null if the text holds no date. BC years are negative. */
export function dateValue(text: string): number | null {
  const year = /\b(\d{3,4})\b(?:\s*(BC|BCE|B\.C\.))?/i.exec(text);
  if (year === null) return null;
  const sign = year[2] === undefined ? 1 : -1;
  const names = ['january', 'february', 'march', 'april', 'may', 'june', 'july', 'august', 'september', 'october', 'november', 'december'];
  const lower = text.toLowerCase();
  const month = names.findIndex((name) => lower.includes(name));
  const day = /\b([12]?\d|3[01])\b(?!\d)/.exec(lower.replace(year[0].toLowerCase(), ' '));
  return sign * (Number(year[1]) * 372 + (month < 0 ? 0 : month * 31) + (month < 0 || day === null ? 0 : Number(day[1])));
}

/** The first number of a text with its scale word and, for lengths, brought to one unit; null if there is none. */
export function numberValue(text: string): number | null {
  const match = /(-?\d[\d,]*(?:\.\d+)?)\s*(thousand|million|billion)?\s*(km|kilomet(?:re|er)s?|m|met(?:re|er)s?|mi|miles?|ft|feet)?\b/i.exec(text);
  if (match === null) return null;
  const value = Number((match[1] ?? '').replace(/,/g, ''));
  if (!Number.isFinite(value)) return null;
  const scale = { thousand: 1e3, million: 1e6, billion: 1e9 }[(match[2] ?? '').toLowerCase()] ?? 1;
  const unit = (match[3] ?? '').toLowerCase();
  const factor = unit.startsWith('km') || unit.startsWith('kilo') ? 1000 : unit.startsWith('mi') ? 1609.344 : unit.startsWith('f') ? 0.3048 : 1;
  return value * scale * factor;
}

const wantsLeast = /\b(?:earlier|earliest|first|before|older|oldest|shorter|shortest|smaller|smallest|fewer|fewest|less|least|lower|lowest)\b/i;
const wantsMost = /\b(?:later|latest|last|after|younger|youngest|more recent|most recent|recently|longer|longest|larger|largest|bigger|biggest|taller|tallest|higher|highest|deeper|deepest|more|most|greater|greatest)\b/i;

/** The two alternatives of "… A or B?", as the question words them; null if it has no such form. */
export function alternativesOf(question: string): readonly [string, string] | null {
  const tail = /[,:]?\s*([^,:?]+?),?\s+or\s+([^?]+?)\s*\?*\s*$/i.exec(question);
  if (tail === null) return null;
  const right = (tail[2] ?? '').trim();
  let left = (tail[1] ?? '').trim();
  const names = entitiesOf(` x ${left}`);
  const lastName = names.at(-1);
  // Without a comma before it, the left side still carries the question's words; its last name is the alternative.
  if (lastName !== undefined && /^(?:which|who|what|is|are|was|did|does)\b/i.test(left)) left = lastName;
  return left === '' || right === '' || left.length > 120 || right.length > 120 ? null : [left, right];
}

const sameForm = /^(?:are|were|is|was|do|did|does|have|has)\b.*\b(?:same|both)\b/i;

/**
 * The answer to a comparison over exactly two facts, or null. Lifespans are left to the model ("who lived longer" needs four dates), and so is "both"
 * unless it asks for sameness.
 */
export function decide(question: string, facts: readonly Compared[]): string | null {
  const [a, b] = facts;
  if (facts.length !== 2 || a === undefined || b === undefined || a.answer === '' || b.answer === '') return null;
  if (sameForm.test(question.trim()) && /\bsame\b/i.test(question) && !/\b(?:earlier|later|older|younger)\b/i.test(question)) {
    if (isAdjective(a.answer) !== isAdjective(b.answer)) return null;
    const left = wordsOf(a.answer);
    const right = wordsOf(b.answer);
    const [short, long] = left.length <= right.length ? [left, right] : [right, left];
    return short.length > 0 && short.every((word) => long.includes(word)) ? 'yes' : left.some((word) => right.includes(word)) ? null : 'no';
  }
  const alternatives = alternativesOf(question);
  if (alternatives === null) return null;
  const least = wantsLeast.test(question);
  const most = wantsMost.test(question);
  if (least === most || /\blived\b|\blifespan\b/i.test(question)) return null;
  const bothDates = dateValue(a.answer) !== null && dateValue(b.answer) !== null;
  const [x, y] = bothDates ? [dateValue(a.answer), dateValue(b.answer)] : [numberValue(a.answer), numberValue(b.answer)];
  if (x === null || y === null || x === y) return null;
  // An older person or thing has the smaller date; "older" of two ages in years is the larger number.
  if (!bothDates && /\b(?:older|oldest|younger|youngest)\b/i.test(question)) return null;
  const winner = least === x < y ? a : b;
  return nameIn(winner.question, alternatives);
}

/** A nationality ("Danish") and a country ("Denmark") cannot be compared by their letters. */
function isAdjective(answer: string): boolean {
  return /(?:an|ish|ese|ch|ic|i)$/i.test(answer.trim()) && !/(?:land|stan|istan|japan|iran|sudan|oman|jordan|azerbaijan|taiwan|bhutan|pakistan|cardigan|michigan|mali|fiji|malawi|haiti|burundi|djibouti|brunei|republic)$/i.test(answer.trim());
}

/** Which alternative a sub-question is about: the one that shares the most words that the other lacks. */
function nameIn(subQuestion: string, [left, right]: readonly [string, string]): string | null {
  const words = new Set(wordsOf(subQuestion));
  const l = wordsOf(left);
  const r = wordsOf(right);
  const share = (own: readonly string[], other: readonly string[]): number => {
    const distinct = own.filter((word) => !other.includes(word));
    return distinct.length === 0 ? 0 : distinct.filter((word) => words.has(word)).length / distinct.length;
  };
  const scoreLeft = share(l, r);
  const scoreRight = share(r, l);
  if (scoreLeft === scoreRight) return null;
  return scoreLeft > scoreRight ? left : right;
}
