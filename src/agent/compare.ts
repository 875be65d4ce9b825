/**
 * Comparisons that code can decide better than a small model: which of two dates or numbers is earlier, larger, and so on; whether two answers are the same.
 * Pure. Returns null wherever the question or the values leave doubt, and the model decides.
 */
import { alternativesOf } from './forms.ts';
import { nationOf } from './nations.ts';
import { wordsOf } from './plan.ts';

export interface Compared {
  /** The sub-question and those that led to it: what of the whole question it speaks of. */
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

const sameForm = /^(?:are|were|is|was|do|did|does|have|has)\b.*\b(?:same|both)\b/i;

/**
 * The answer to a comparison over the facts that its steps found, or null. Two facts are set against each other; "who lived longer" takes four, birth and
 * death of each. "both" is left to the model unless it asks for sameness.
 */
export function decide(question: string, facts: readonly Compared[]): string | null {
  const alternatives = alternativesOf(question);
  if (/\blived (?:longer|shorter)\b/i.test(question)) return alternatives === null ? null : longerLife(question, facts, alternatives);
  const [a, b] = facts;
  if (facts.length !== 2 || a === undefined || b === undefined || a.answer === '' || b.answer === '') return null;
  if (sameForm.test(question.trim()) && /\bsame\b/i.test(question) && !/\b(?:earlier|later|older|younger)\b/i.test(question)) return isSame(question, a.answer, b.answer);
  if (alternatives === null) return null;
  const least = wantsLeast.test(question);
  const most = wantsMost.test(question);
  if (least === most) return null;
  const bothDates = dateValue(a.answer) !== null && dateValue(b.answer) !== null;
  const [x, y] = bothDates ? [dateValue(a.answer), dateValue(b.answer)] : [numberValue(a.answer), numberValue(b.answer)];
  if (x === null || y === null || x === y) return null;
  // An older person or thing has the smaller date; "older" of two ages in years is the larger number.
  if (!bothDates && /\b(?:older|oldest|younger|youngest)\b/i.test(question)) return null;
  const winner = least === x < y ? a : b;
  return nameIn(winner.question, alternatives);
}

/** Whether two answers name the same: by country where both name one, else by their words, else by year. */
function isSame(question: string, left: string, right: string): string | null {
  const [one, other] = [nationOf(left), nationOf(right)];
  if (one !== null && other !== null && /\b(?:country|nationality|nation)\b/i.test(question)) return one === other ? 'yes' : 'no';
  if (/\byear\b/i.test(question)) {
    const [x, y] = [/\b\d{3,4}\b/.exec(left)?.[0], /\b\d{3,4}\b/.exec(right)?.[0]];
    return x === undefined || y === undefined ? null : x === y ? 'yes' : 'no';
  }
  const l = wordsOf(left);
  const r = wordsOf(right);
  const [short, long] = l.length <= r.length ? [l, r] : [r, l];
  if (short.length > 0 && short.every((word) => long.includes(word))) return 'yes';
  // A nationality that is not known and a country cannot be compared by their letters.
  if ((one === null) !== (other === null) && /\b(?:country|nationality|nation)\b/i.test(question)) return null;
  return l.some((word) => r.includes(word)) ? null : 'no';
}

function longerLife(question: string, facts: readonly Compared[], alternatives: readonly [string, string]): string | null {
  const spans = alternatives.map((name) => {
    const own = facts.filter((fact) => nameIn(fact.question, alternatives) === name).map((fact) => dateValue(fact.answer));
    const [from, to] = own;
    return own.length === 2 && from !== null && from !== undefined && to !== null && to !== undefined ? Math.abs(to - from) : null;
  });
  const [x = null, y = null] = spans;
  if (x === null || y === null || x === y) return null;
  return x > y === /\blonger\b/i.test(question) ? alternatives[0] : alternatives[1];
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
