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

const measures: Readonly<Record<string, string>> = {
  higher: 'How high', taller: 'How tall', longer: 'How long', larger: 'How large', bigger: 'How large', smaller: 'How large', shorter: 'How long', deeper: 'How deep', wider: 'How wide', heavier: 'How heavy', lower: 'How high',
};
const timeWords = /\b(?:first|last|earlier|later|before|after)\b/i;

/**
 * The steps of a comparison whose form is plain enough to be taken apart without a model: "Which was opened first, A or B?", "Which is longer, A or B?",
 * "Who was born earlier, A or B?", "Were A and B born in the same city?". null for every other form.
 */
export function comparisonSteps(question: string): readonly [string, string] | null {
  const text = question.trim().replace(/\s*\?+\s*$/, '');
  const both = (make: (name: string) => string, names: readonly [string, string]): readonly [string, string] => [make(names[0]), make(names[1])];

  const same = /^(are|were|is|was|do|did|does|have|has)\s+(?:both\s+)?(.+)\s+(from|in|on|at|of|by|to|with|for)\s+the same\s+([\p{L}]+)(.*)$/iu.exec(text);
  if (same !== null) {
    const [, verb = '', subject = '', preposition = '', kind = '', rest = ''] = same;
    const [a, b] = entitiesOf(` x ${subject}`);
    if (a === undefined || b === undefined || rest.trim() !== '') return null;
    const after = subject.slice(subject.indexOf(b) + b.length).replace(/^\s*,?\s*(?:both\s+)?/, '').trim();
    if (/[,#]/.test(after) || after.split(' ').length > 5 || !new RegExp(`${escaped(a)}\\s+and\\s+(?:the\\s+)?${escaped(b)}`).test(subject)) return null;
    const one = ({ are: 'is', were: 'was', do: 'does', have: 'has' } as Record<string, string>)[verb.toLowerCase()] ?? verb.toLowerCase();
    const head = `${preposition.charAt(0).toUpperCase()}${preposition.slice(1).toLowerCase()} which ${kind}`;
    return both((name) => `${head} ${one} ${name}${after === '' ? '' : ` ${after.replace(/\btheir\b/g, 'the')}`}?`, [a, b]);
  }

  const names = alternativesOf(question);
  if (names === null) return null;
  const head = (text.slice(0, text.lastIndexOf(names[0])).replace(/[,:]\s*$/, '') || '').trim();
  const measured = /^(?:which|what|who)\b[^,]*\b(?:is|was|are)\s+(?:the\s+)?(\w+)$/i.exec(head);
  const measure = measures[(measured?.[1] ?? '').toLowerCase()];
  if (measure !== undefined) return both((name) => `${measure} is ${name}?`, names);
  if (!timeWords.test(head)) return null;
  const passive = /^(?:which|what|who)\b(?:\s+\w+){0,3}?\s+(was|is|were)\s+([\p{L}]+)\s+(?:first|last|earlier|later)$/iu.exec(head);
  if (passive !== null) return both((name) => `When was ${name} ${passive[2] ?? ''}?`, names);
  const active = /^(?:which|what|who)\b(?:\s+\w+){0,2}?\s+(opened|died|began|started|ended|closed|appeared)\s+(?:first|last|earlier|later)$/iu.exec(head);
  const infinitive = ({ opened: 'open', died: 'die', began: 'begin', started: 'start', ended: 'end', closed: 'close', appeared: 'appear' } as Record<string, string>)[(active?.[1] ?? '').toLowerCase()];
  return infinitive === undefined ? null : both((name) => `When did ${name} ${infinitive}?`, names);
}

function escaped(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
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
