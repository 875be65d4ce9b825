/**
 * Facts that encyclopedic passages state in fixed forms: dates and places of birth and death in the brackets after a name, "directed by", "a village in …, Iran".
 * Reading them needs no model, and the sentence that carries the fact is the quote. Pure. Whatever leaves doubt (no passage of that title, several of them,
 * a form that is not known) gives null, and the model reads.
 */
import type { Hit, Passage, Span } from '../corpus/retriever.ts';
import { sentencesOf } from './evidence.ts';
import { plainly } from './forms.ts';
import { countryPattern, nationalityPattern } from './nations.ts';
import { wordsOf } from './plan.ts';

export interface LeadFact {
  readonly answer: string;
  /** Other values that the same sentence gives with equal right (two directors, for example). */
  readonly others: readonly string[];
  readonly passage: Passage;
  /** The sentence that carries the fact. */
  readonly span: Span;
}

const month = '(?:January|February|March|April|May|June|July|August|September|October|November|December)';
const date = `(?:\\d{1,2}(?:st|nd|rd|th)?\\s+${month},?\\s+\\d{3,4}|${month}\\s+\\d{1,2},?\\s+\\d{3,4}|${month}\\s+\\d{4}|(?:c\\.\\s?|circa\\s)?\\d{3,4}(?:\\s(?:BC|AD))?)`;
const word = `[\\p{Lu}\\p{Lo}][\\p{L}\\p{M}'’.-]*`;
const name = `(?:${word}|["“][^"“”]{1,30}["”])(?:\\s(?:(?:of|de|du|van|von|der|den|da|di|la|le|al|ibn|bin|bint|the|y|zu|dos|del|della|ter|af|av)\\s){0,2}(?:${word}|["“][^"“”]{1,30}["”]|[IVX]+))*(?:,\\s(?:\\d+(?:st|nd|rd|th)\\s${word}(?:\\sof\\s${word}(?:\\s${word})*)?|Jr\\.|Sr\\.))?`;
const place = `${word}(?:[\\s-](?:(?:de|del|la|los|las|am|an|der|on|upon|of|the|sur|do|da)[\\s-]){0,2}${word})*`;

interface Pattern {
  readonly form: RegExp | ((bracket: string) => string | null);
  /** What of the sentence is searched: its first bracket or its whole text. */
  readonly where: 'bracket' | 'sentence';
  /** Only in the first so many sentences. */
  readonly sentences: number;
  /** Splits several names in one match. */
  readonly list?: boolean;
}

const at = (source: string, where: Pattern['where'], sentences: number, list = false): Pattern => ({ form: new RegExp(source, 'u'), where, sentences, list });

/** Birth and death in the bracket after a name: "(4 May 1871 – 1 June 1900)", "(born 4 May 1871)", "(d. 1900)". Dashes that were lost between two dates do not matter. */
function dates(which: 'first' | 'last'): Pattern {
  const all = new RegExp(`\\d{1,2}(?:st|nd|rd|th)?\\s+${month},?\\s+\\d{3,4}?(?=\\d{1,2}\\s+${month}|(?!\\d))|${month}\\s+\\d{1,2},?\\s+\\d{4}|${month}\\s+\\d{4}|(?:c\\.\\s?|circa\\s)?\\b\\d{3,4}(?:\\s(?:BC|AD))?(?!\\d)`, 'gu');
  return {
    where: 'bracket',
    sentences: 2,
    form: (bracket) => {
      const life = bracket.split(/\b(?:reigned|ruled|active|in office|r\.)\s/i)[0] ?? '';
      const found = [...life.matchAll(all)].map((match) => ({ text: match[0], at: match.index }));
      const born = /\b(?:born\b|b\.)/i.exec(life);
      const died = /\b(?:died|d\.)/i.exec(life);
      const [first, second] = born === null ? found : found.filter((item) => item.at > born.index);
      if (which === 'first') return found.length >= 2 || born !== null ? (died !== null && born === null ? null : (first?.text ?? null)) : null;
      if (died !== null) return found.find((item) => item.at > died.index)?.text ?? null;
      return second !== undefined && /[–—-]|\d\s?$|\d{4}\s/.test(life.slice(first?.at ?? 0, second.at)) ? second.text : null;
    },
  };
}

const described = `(?:(?:the|fellow|then|his|her|their|a|an|(?:${nationalityPattern})(?:[ -](?:born|${nationalityPattern}))?|[\\p{Ll}-]+(?:/[\\p{Ll}-]+)?(?:,\\s(?=[\\p{Ll}]))?|R&B|DJ|and)\\s)*`;
const by = `by\\s${described}(${name}(?:,\\s${name})*(?:,?\\sand\\s${described}${name})?)`;

const birthDate = [dates('first'), at(`\\bborn\\s(?:on\\s|in\\s)?(?:[^.()]{0,60}?\\b(?:on|in)\\s)?(${date})`, 'sentence', 8)];
const deathDate = [
  dates('last'),
  at(`\\b(?:died|passed away|was killed|was executed|was murdered|was assassinated|drowned|committed suicide|death)\\b[^.]{0,80}?\\b(?:on|in)\\s(${date})`, 'sentence', 12),
];
const birthPlace = [
  at(`\\bborn\\b[^()]*?\\d{3,4},?\\s(?:in\\s|at\\s)?(${place})`, 'bracket', 2), at(`\\bborn\\sin\\s(${place})`, 'bracket', 2), at(`^[^–—]*?${date},?\\s(?:in\\s|at\\s)?(${place})[^–—]*?(?:[–—-])`, 'bracket', 2),
  at(`\\b[Bb]orn\\b(?:\\s(?:and\\sraised|and\\sbrought\\sup))?(?:\\s(?:on\\s)?${date})?[^.()]{0,60}?\\b(?:in|at)\\s(?:the\\s(?:[\\p{Ll}-]+\\s)*of\\s)?(${place})`, 'sentence', 10), at(`\\b(?:native of|hails from|comes from)\\s(${place})`, 'sentence', 6),
];
const deathPlace = [
  at(`[–—-]\\s?(?:died\\s)?${date},?\\s(?:in\\s|at\\s)?(${place})`, 'bracket', 2),
  at(`\\b(?:died|passed away|was killed|was executed|was murdered|was assassinated|drowned)\\b[^.()]{0,90}?\\b(?:in|at|near)\\s(?:(?:his|her|the|a)\\s[\\p{Ll}\\s]{2,30}\\s(?:in|at)\\s|the\\s(?:[\\p{Ll}-]+\\s)*of\\s)?(?!${month})(${place})`, 'sentence', 14),
];
const nationality = [at(`\\b(?:is|was|were|are|be)\\s(?:an?\\s|the\\s|one\\sof\\sthe\\s)?(?:(?!${nationalityPattern})[\\p{L}\\p{N}.-]+\\s){0,3}?(${nationalityPattern})(?![\\p{L}])(?!-born)(?!- born)`, 'sentence', 2), at(`\\b(${nationalityPattern})(?:-|- )born`, 'sentence', 1)];
const country = [at(`\\b(?:in|of|from|within)\\b.*\\b(${countryPattern})\\b(?!.*\\b(?:${countryPattern})\\b)`, 'sentence', 1), at(`\\b(${countryPattern})\\b(?!.*\\b(?:${countryPattern})\\b)`, 'sentence', 2)];
const workCountry = [at(`\\b(?:is|was)\\s(?:an?\\s|the\\s)(?:\\d{4}(?:[–-]\\d+)?\\s)?(?:(?!${nationalityPattern})[\\p{L}-]+\\s){0,2}?(${nationalityPattern})(?![\\p{L}])`, 'sentence', 2)];
const released = [at(`\\breleased\\b[^.]{0,60}?\\b(?:on|in)\\s(${date})`, 'sentence', 3), at(`\\b(?:is|was)\\s(?:an?\\s|the\\s)(\\d{4})\\b`, 'sentence', 2), at(`\\b(?:premiered|released|published|issued)\\b[^.]{0,80}?\\b(?:on|in)\\s(${date})`, 'sentence', 8), at(`\\((\\d{4})\\)`, 'sentence', 1)];
const founded = [at(`\\b(?:founded|established|formed|launched|created|opened|started|began|begun|built|completed|first published|incorporated|inaugurated)\\b[^.]{0,60}?\\b(?:on|in|since|from)\\s(${date})`, 'sentence', 6)];

const roleForms: Readonly<Record<string, readonly Pattern[]>> = {
  director: [at(`\\b(?:co-)?directed\\s(?:and\\s[\\p{Ll}-]+\\s|,\\s[\\p{Ll}-]+(?:,?\\sand\\s[\\p{Ll}-]+)*\\s)?${by}`, 'sentence', 4, true), at(`\\b[\\p{Ll}-]+(?:,\\s[\\p{Ll}-]+)*,?\\sand\\sdirected\\s${by}`, 'sentence', 4, true), at(`\\bfilm\\s(?:of|by)\\s(?:director\\s)?(${name})`, 'sentence', 1), at(`\\b(?:directorial debut of|director is|director was|director,)\\s(${name})`, 'sentence', 4)],
  composer: [at(`\\b(?:composed|scored)\\s(?:and\\s[\\p{Ll}-]+\\s)?${by}`, 'sentence', 10, true), at(`\\b(?:music|score|soundtrack|lyrics)\\b[^.]{0,40}?\\s${by}`, 'sentence', 10, true), at(`\\bwritten\\s(?:and\\s[\\p{Ll}-]+\\s)?${by}`, 'sentence', 3, true)],
  performer: [at(`\\b(?:song|single|track|album|EP|ballad|hit|release)s?\\b[^.]{0,50}?\\s(?:recorded\\s|performed\\s|sung\\s|written and recorded\\s|released\\s)?${by}`, 'sentence', 2, true), at(`\\b(?:recorded|performed|sung|released|popularized|covered)\\s(?:and\\s[\\p{Ll}-]+\\s)?${by}`, 'sentence', 4, true), at(`\\b(?:band|singer|rapper|artist|group|musician|duo|singer-songwriter)s?\\s(${name})(?=['’]s?\\b|[\\s,.])`, 'sentence', 2)],
  author: [at(`\\b(?:written|authored)\\s(?:and\\s[\\p{Ll}-]+\\s)?${by}`, 'sentence', 4, true), at(`\\b(?:novel|book|play|poem|story|work|memoir|collection|series)\\b[^.]{0,40}?\\s${by}`, 'sentence', 2, true)],
  producer: [at(`\\bproduced\\s(?:and\\s[\\p{Ll}-]+\\s)?${by}`, 'sentence', 4, true)],
  founder: [at(`\\b(?:co-)?(?:founded|established|started|created)\\b[^.]{0,50}?\\s${by}`, 'sentence', 6, true), at(`\\bfounder\\s(?:was\\s|is\\s)?(${name})`, 'sentence', 6)],
  architect: [at(`\\b(?:designed|planned|built)\\s(?:and\\s[\\p{Ll}-]+\\s)?${by}`, 'sentence', 6, true)],
  painter: [at(`\\bpainted\\s${by}`, 'sentence', 4, true), at(`\\bpainting\\s${by}`, 'sentence', 2, true)],
  inventor: [at(`\\binvented\\s(?:and\\s[\\p{Ll}-]+\\s)?${by}`, 'sentence', 6, true)],
  publisher: [at(`\\bpublished\\s${by}`, 'sentence', 4, true)],
  father: [at(`\\b(?:son|daughter|child)\\sof\\s(?:the\\s)?(?:[\\p{Ll}-]+\\s|${nationalityPattern}\\s|King\\s|Emperor\\s|Sir\\s|Lord\\s|Dr\\.\\s|Rev\\.\\s)*(${name})`, 'sentence', 8), at(`\\bfather(?:,|\\swas|\\sis)?\\s(?:the\\s)?(?:[\\p{Ll}-]+\\s)*(${name})`, 'sentence', 10)],
  mother: [at(`\\b(?:son|daughter|child)\\sof\\s[^.;]{3,80}?\\s(?:and|by|with)\\s(?:of\\s)?(?:his\\s(?:first\\s|second\\s|third\\s)?(?:wife|consort|concubine|queen),?\\s)?(?:[\\p{Ll}-]+\\s)*(${name})`, 'sentence', 8), at(`\\bmother(?:,|\\swas|\\sis)?\\s(?:the\\s)?(?:[\\p{Ll}-]+\\s)*(${name})`, 'sentence', 10)],
  spouse: [at(`\\b(?:married|wed)\\s(?:to\\s)?(?:the\\s|his\\s|her\\s)?(?:[\\p{Ll}-]+\\s|${nationalityPattern}\\s)*(${name})`, 'sentence', 20), at(`\\b(?:wife|husband|widow|consort|spouse|widower)\\s(?:of|was|is|,)\\s?(?:the\\s)?(?:[\\p{Ll}-]+\\s|${nationalityPattern}\\s|King\\s|Emperor\\s|Sultan\\s|Sir\\s)*(${name})`, 'sentence', 10), at(`\\b(?:his|her)\\s(?:first\\s|second\\s|late\\s)?(?:wife|husband),?\\s(?:[\\p{Ll}-]+\\s)*(${name})`, 'sentence', 12)],
};
const sameRole: Readonly<Record<string, string>> = { singer: 'performer', artist: 'performer', writer: 'author', screenwriter: 'author', novelist: 'author', husband: 'spouse', wife: 'spouse', songwriter: 'composer', designer: 'architect', engineer: 'architect', builder: 'architect' };

interface Asked {
  readonly subject: string;
  readonly patterns: readonly Pattern[];
  /** How the value is cut for a short answer. */
  readonly kind: 'date' | 'place' | 'name' | 'nation';
}

/** What a question of one step asks of whom, where the form of its answer is known. */
function askedOf(question: string): Asked | null {
  const text = plainly(question.trim().replace(/\s*\?+$/, '').replace(/\s+/g, ' '));
  const kindWord = '(?:the (?:[\\p{Ll}]+ ){1,2}(?=[^\\p{Ll}]))?';
  const forms: readonly (readonly [RegExp, readonly Pattern[], Asked['kind']])[] = [
    [/^(?:when|in what year|in which year|what year) was (.+) born$/i, birthDate, 'date'],
    [/^(?:when|in what year|in which year|what year) did (.+) die$/i, deathDate, 'date'],
    [/^where was (.+) born$/i, birthPlace, 'place'],
    [/^where did (.+) die$/i, deathPlace, 'place'],
    [/^what is the nationality of (.+)$/i, nationality, 'nation'],
    [/^in which country is (.+) located$/i, country, 'nation'],
    [/^which country is (the (?:film|movie|band|song|magazine|series) .+) from$/i, workCountry, 'nation'],
    [/^which country is (.+) from$/i, nationality, 'nation'],
    [/^when was (.+) (?:released|published|issued)$/i, released, 'date'],
    [/^when was (.+) (?:founded|established|formed|launched|created|opened|started|built|completed|inaugurated)$/i, founded, 'date'],
  ];
  for (const [form, patterns, kind] of forms) {
    const subject = form.exec(text)?.[1];
    if (subject !== undefined) return { subject: subject.replace(new RegExp(`^${kindWord}`, 'u'), ''), patterns, kind };
  }
  const role = new RegExp(`^Who (?:is|was) the ([\\p{Ll}-]+) of ${kindWord}(.+)$`, 'u').exec(text);
  if (role === null) return null;
  const asked = (role[1] ?? '').toLowerCase();
  const patterns = roleForms[sameRole[asked] ?? asked];
  return patterns === undefined ? null : { subject: (role[2] ?? '').replace(/^["“](.+)["”]$/u, '$1'), patterns, kind: 'name' };
}

/** Whether a question of one step has a form that `leadFact` knows. */
export function asksInKnownForm(question: string): boolean {
  return askedOf(question) !== null;
}

/** A title without the bracket that tells it from others. */
function bare(title: string): string {
  return wordsOf(title.replace(/\s*\([^()]*\)\s*$/, '')).join(' ');
}

/** The passage about the subject: the one of that title; null where none or several have it. */
function passageOf(subject: string, hits: readonly Hit[]): Passage | null {
  const wanted = wordsOf(subject).join(' ');
  const exact = hits.filter((hit) => wordsOf(hit.passage.title).join(' ') === wanted);
  const alike = exact.length > 0 ? exact : hits.filter((hit) => bare(hit.passage.title) === bare(subject));
  const titles = new Set(alike.map((hit) => `${hit.passage.corpus}/${hit.passage.docId}`));
  return titles.size === 1 ? (alike.find((hit) => hit.passage.section === '') ?? alike[0])?.passage ?? null : null;
}

/** The fact that a question of one step asks for, if the subject's own passage states it in a known form. */
export function leadFact(question: string, hits: readonly Hit[]): LeadFact | null {
  const asked = askedOf(question);
  if (asked === null) return null;
  const passage = passageOf(asked.subject, hits);
  if (passage === null) return null;
  const sentences = joinedAtInitials(sentencesOf(passage), passage.text);
  for (const { form, where, sentences: limit, list } of asked.patterns) {
    for (const sentence of sentences.slice(0, limit)) {
      const text = where === 'bracket' ? bracketOf(sentence.text) : sentence.text;
      const value = text === null ? null : typeof form === 'function' ? form(text) : (form.exec(text)?.[1] ?? null);
      if (value === null) continue;
      const values = list === true ? namesIn(value) : [value];
      const [answer, ...others] = values.map((item) => tidy(item, asked.kind)).filter((item) => item !== '' && wordsOf(item).join(' ') !== bare(passage.title));
      if (answer === undefined) continue;
      return { answer, others, passage, span: sentence.span };
    }
  }
  return null;
}

/** Sentences that were cut behind an initial ("directed by James P. Hogan") are put together again. */
function joinedAtInitials(sentences: ReturnType<typeof sentencesOf>, text: string): ReturnType<typeof sentencesOf> {
  const joined: ReturnType<typeof sentencesOf> = [];
  for (const sentence of sentences) {
    const before = joined.at(-1);
    if (before === undefined || !/(?:^|[\s.])(?:\p{Lu}|Dr|Mr|Mrs|St|Jr|Sr)\.$/u.test(before.text)) joined.push(sentence);
    else {
      const span = { start: before.span.start, end: sentence.span.end };
      joined[joined.length - 1] = { span, text: text.slice(span.start, span.end) };
    }
  }
  return joined;
}

/** The first bracket of a sentence that holds a year, with brackets inside it. */
function bracketOf(text: string): string | null {
  for (let start = text.indexOf('('); start >= 0 && start < 240; start = text.indexOf('(', start + 1)) {
    let depth = 0;
    for (let i = start; i < text.length; i++) {
      if (text[i] === '(') depth++;
      else if (text[i] === ')' && --depth === 0) {
        const inner = text.slice(start + 1, i);
        if (/\d{3,4}/.test(inner)) return inner;
        break;
      }
    }
  }
  return null;
}

function namesIn(list: string): string[] {
  return list.split(/,\s(?!\d|Jr|Sr)|,?\sand\s/u).map((item) => {
    const found = new RegExp(`(${name})$`, 'u').exec(item.trim());
    return found?.[1] ?? item;
  });
}

function tidy(value: string, kind: Asked['kind']): string {
  const text = value.trim().replace(/[,;:]$/, '').replace(/(?<=\p{Ll}{2})\.$/u, '');
  return kind === 'name' ? text.replace(/['’]s$/, '') : text;
}
