/**
 * Questions whose form is plain enough to be taken apart without a model (METHODS §8.3: router and guard rails): chains of roles ("the mother of the director of
 * X"), a clause at the end ("the river that Y crosses"), and comparisons of two things, also through a role ("which film has the director born first, A or B").
 * Pure. Every function returns null for a form that leaves doubt; then the model plans.
 */
import { entitiesOf } from './plan.ts';

const roleWords =
  'director|composer|lyricist|performer|singer|artist|author|writer|screenwriter|scriptwriter|songwriter|novelist|playwright|founder|co-founder|producer|creator|editor|publisher|developer|designer|architect|manufacturer|' +
  'builder|engineer|inventor|discoverer|painter|sculptor|owner|distributor|distributer|broadcaster|network|record label|label|employer|leader|president|chairman|chancellor|mayor|governor|king|queen|emperor|empress|' +
  'ruler|captain|coach|manager|host|presenter|conductor|illustrator|translator|photographer|cinematographer|mother|father|wife|husband|spouse|partner|son|daughter|child|brother|sister|sibling|uncle|aunt|nephew|niece|' +
  'stepmother|stepfather|mother-in-law|father-in-law|sister-in-law|brother-in-law|sibling-in-law|child-in-law|son-in-law|daughter-in-law|grandfather|grandmother|grandparent|grandson|granddaughter|grandchild|' +
  'student|teacher|mentor|doctoral advisor|predecessor|successor|capital|birthplace|alma mater|hometown|headquarters|main character|protagonist|lead singer|lead actor|main actor|star|country of citizenship|' +
  'country of origin|place of birth|birth place|place of death|place of burial|country';
// The longest first: "father-in-law" is not a father.
const roles = roleWords.split('|').sort((a, b) => b.length - a.length).join('|');
const kinds =
  'films?|movies?|songs?|albums?|singles?|books?|novels?|plays?|operas?|games?|video games?|series|television series|tv series|shows?|magazines?|newspapers?|bands?|groups?|companies|company|villages?|towns?|cities|city|' +
  'airports?|schools?|high schools?|universities|university|rivers?|lakes?|mountains?|islands?|bridges?|buildings?|people|persons?|actors?|painters?|politicians?|organi[sz]ations?|teams?|clubs?|ships?|paintings?|poems?';

/** A name in running text: words with a capital or a digit, small connecting words only between them, a bracket after them; or a reference; or a quoted title. */
const capital = `(?:['’]?[\\p{Lu}\\p{Lo}\\p{N}¿¡$][\\p{L}\\p{M}\\p{N}'’.,;!?&/:–-]*|&|[-–])`;
const small = `(?:of|the|and|a|an|in|on|to|for|from|at|with|de|du|des|del|della|di|da|do|dos|das|la|le|les|el|los|las|von|van|der|den|zu|y|e|et|und|ibn|bin|bint|al|no|ni|or|vs\\.?|by)`;
const named = `(?:#\\d+|["“][^"“”]{2,80}["”](?:\\s\\([^()]{1,40}\\))?|${capital}(?:\\s(?:${small}\\s){0,3}${capital})*(?:\\s\\([^()]{1,60}\\))?)`;
const adjective = '(?:main |first |second |third |current |original |paternal |maternal |late |lead |chief )?';

const nestedOf = new RegExp(`(?:\\b(?:the|both)\\s+)?\\b(${adjective}(?:${roles}))(?:s)?\\s+of\\s+((?:the\\s+)?(?:(?:${kinds})\\s+(?:called\\s+|named\\s+)?)?)(${named})`, 'u');
const possessive = new RegExp(`((?:the\\s+)?(?:(?:${kinds})\\s+)?)(${named})['’]s\\s+(${adjective}(?:${roles}))(?![\\p{L}-])`, 'u');

/** Relations of two steps: what is asked first, and then of the person found. */
const compound: Readonly<Record<string, readonly [string, string]>> = {
  'paternal grandfather': ['father', 'father'], 'paternal grandmother': ['father', 'mother'], 'maternal grandfather': ['mother', 'father'], 'maternal grandmother': ['mother', 'mother'],
  'father-in-law': ['spouse', 'father'], 'mother-in-law': ['spouse', 'mother'], 'sibling-in-law': ['spouse', 'sibling'], 'brother-in-law': ['spouse', 'brother'], 'sister-in-law': ['spouse', 'sister'],
  'child-in-law': ['child', 'spouse'], 'son-in-law': ['daughter', 'husband'], 'daughter-in-law': ['son', 'wife'], stepmother: ['father', 'wife'], stepfather: ['mother', 'husband'],
  uncle: ['parent', 'brother'], aunt: ['parent', 'sister'], grandson: ['child', 'son'], granddaughter: ['child', 'daughter'], grandchild: ['child', 'child'],
};

export interface FormPlan {
  readonly steps: readonly string[];
  readonly form: 'chain' | 'clause' | 'comparison';
}

/** The steps of a question in one of the known forms, in the shape of a plan (`#j` for earlier answers); null for every other question. */
export function formSteps(question: string): FormPlan | null {
  const text = question.trim().replace(/\s+/g, ' ').replace(/ (['’]s\b)/g, '$1').replace(/[\s?.]+$/, '').replace(/,? out of (.+) and (?=[\p{Lu}\p{N}])/u, ', $1 or ');
  const compared = comparisonSteps(text);
  if (compared !== null) return { steps: compared, form: 'comparison' };
  if (/\bor\b/.test(text) && /,|\bfirst\b|\blater\b|\bearlier\b/.test(text)) return null;
  return chain(text) ?? null;
}

function article(name: string, kind: string): string {
  const bare = kind.replace(/^the\s+/, '').trim();
  if (name.startsWith('#') || (bare === '' && !kind.startsWith('the'))) return name;
  return bare === '' ? `the ${name}` : `the ${bare} ${name}`;
}

/** `role` of `whom` as one question, or two where the relation is one of a relation. `at`: number of the first step. */
function roleSteps(role: string, whom: string, at: number): string[] {
  const pair = compound[role];
  if (pair === undefined) return [roleQuestion(role, whom)];
  return [roleQuestion(pair[0], whom), roleQuestion(pair[1], `#${at}`)];
}

function roleQuestion(role: string, whom: string): string {
  return `${/capital|birthplace|hometown|alma mater|headquarters|network|label|country|place/.test(role) ? 'What' : 'Who'} is the ${role} of ${whom}?`;
}

/** Words that may follow a name in a plain question; any other may belong to the name's noun ("the #1 armoured car"). */
const afterName =
  /^(?:born|die|died|dead|from|located|based|situated|founded|established|formed|launched|started|created|opened|closed|built|released|published|named|called|buried|married|known|fluent|educated|a|an|at|in|on|of|to|by|with|and|is|was|come|came|used|speak|spoken|belong|member|birthday)$/;

function chain(text: string): FormPlan | null {
  const steps: string[] = [];
  let rest = text;
  let isClause = false;
  for (let round = 0; round < 4; round++) {
    const nested = innermost(rest);
    if (nested === null) break;
    // An adjective that is not known before a role makes it another one.
    const before = /(\p{Ll}[\p{L}-]*)\s+$/u.exec(rest.slice(0, nested.start))?.[1];
    if (before !== undefined && !/^(?:both\s+)?the\b/i.test(rest.slice(nested.start)) && !beforeRole.test(before) && !nested.own) return null;
    if (/['’]$/.test(nested.name) || /^['’]s\s+(?!birthday\b)/.test(rest.slice(nested.end))) return null;
    const asked = roleSteps(nested.role, article(nested.name, nested.kind), steps.length + 1);
    // The role that the question itself asks for is its last step.
    const isWhole = /^(?:who|what|where|which)(?:['’]s| (?:is|was|are|were))\s*$/i.test(rest.slice(0, nested.start)) && rest.slice(nested.end).trim() === '';
    steps.push(...asked.map((step) => `${plainly(step.slice(0, -1))}?`));
    if (isWhole) return steps.length > 1 ? { steps, form: 'chain' } : null;
    rest = `${rest.slice(0, nested.start)}#${steps.length}${rest.slice(nested.end)}`;
  }
  if (steps.length === 0) {
    const clause = finalClause(rest);
    if (clause === null) return null;
    steps.push(clause.step);
    rest = clause.rest;
    isClause = true;
  }
  rest = plainly(rest);
  // What is left must be one plain question about what was found.
  const follower = /#\d+(?:['’]s)?\s+([\p{Ll}]+)/u.exec(rest)?.[1];
  if (follower !== undefined && !afterName.test(follower) && !/\b(?:did|does|do)\b/i.test(rest)) return null;
  if (/\b(?:one|some|any|which) of (?:the )?#\d/i.test(rest)) return null;
  if (!/#\d/.test(rest) || /\b(?:that|which|who|whose|whom|where|when)\b/i.test(rest.replace(/^(?:in |on |at |from |of |to |by |for )?(?:which|who|whose|whom|where|when)\b/i, ''))) return null;
  if (!/^(?:(?:in|on|at|from|of|to|by|for|under|during|into) )?(?:who|what|when|where|which|why|how|whose)\b/i.test(rest) || rest.split(' ').length > 16) return null;
  steps.push(`${rest.replace(/^./, (c) => c.toUpperCase())}?`);
  return { steps, form: isClause ? 'clause' : 'chain' };
}

/** One wording for one meaning, so that what follows needs to know only one. Without the question mark. */
export function plainly(question: string): string {
  const rewrites: readonly (readonly [RegExp, string])[] = [
    [/^(?:what|when) (?:is|was) (.+)['’]s (?:birthday|birth date|date of birth)$/i, 'When was $1 born'],
    [/^(?:what|when) (?:is|was) the (?:birthday|birth date|date of birth) of (.+)$/i, 'When was $1 born'],
    [/^(?:what|when) (?:is|was) the (?:death date|date of death) of (.+)$/i, 'When did $1 die'],
    [/^(?:what|where) (?:is|was) the (?:birthplace|birth place|place of birth) of (.+)$/i, 'Where was $1 born'],
    [/^(?:what|where) (?:is|was) the place of death of (.+)$/i, 'Where did $1 die'],
    [/^(?:what|where) (?:is|was) the (?:burial place|place of burial) of (.+)$/i, 'Where is $1 buried'],
    [/^what (?:is|was) the cause of death of (.+)$/i, 'What did $1 die of'],
    [/^(?:what|which) nationality (?:is|was) (.+)$/i, 'What is the nationality of $1'],
    [/^(?:what|which) country (#\d+) is from$/i, 'Which country is $1 from'],
    [/^(?:which|what is the) (award|prize)(?: that)? (#\d+) (?:won|received|got|gets|earned|has won)$/i, 'Which $1 did $2 receive'],
    [/^where does (#\d+) work(?: at)?$/i, 'Where does $1 work'],
    [/^who directed (.+)$/i, 'Who is the director of $1'],
    [/^who (?:composed|scored) (.+)$/i, 'Who is the composer of $1'],
    [/^who (?:wrote|authored) (the (?:novel|book|play|poem) .+|["“].+["”])$/i, 'Who is the author of $1'],
    [/^who (?:founded|established) (.+)$/i, 'Who is the founder of $1'],
    [/^who (?:performed|sang|recorded) (.+)$/i, 'Who is the performer of $1'],
  ];
  for (const [form, to] of rewrites) if (form.test(question)) return question.replace(form, to);
  return question;
}

const beforeRole = /^(?:of|the|by|to|from|for|in|at|on|with|and|as|did|do|does|is|are|was|were|has|have|had|country|city|year|language|nationality)$/;

function innermost(text: string): { role: string; name: string; kind: string; own: boolean; start: number; end: number } | null {
  const of = nestedOf.exec(text);
  const own = possessive.exec(text);
  if (own !== null && (of === null || own.index > of.index || own.index + own[0].length > of.index + of[0].length)) {
    const lead = /^(?:Who|What|When|Where|Which|Why|How|Is|Was|Did|Does)\s/u.exec(own[2] ?? '');
    const name = (own[2] ?? '').slice(lead?.[0].length ?? 0);
    const start = own.index + (lead?.[0].length ?? 0);
    return { role: own[3] ?? '', name, kind: own[1] ?? '', own: true, start, end: own.index + own[0].length };
  }
  if (of === null) return null;
  const whole = of[0].replace(/(?:['’]s|,)$/, '');
  return { role: of[1] ?? '', name: (of[3] ?? '').replace(/(?:['’]s|,)$/, ''), kind: of[2] ?? '', own: false, start: of.index, end: of.index + whole.length };
}

const person = /^(?:person|man|woman|one|people|individual|artist|actor|actress|author|writer|singer|king|queen|player|director|politician|scientist|musician|composer|character|founder|designer|host|president|band|group)$/i;

const infinitive = /\s(?:open|close|die|start|begin|end|form|dissolve|merge|launch|expire|fall|debut|retire|stop|sell|play|live|work)$/;
const participle = /\s(?:founded|established|created|formed|launched|born|built|located|opened|closed|named after|dissolved|published|released|based|buried)$/;

/** "… the KIND that/which/who/where CLAUSE", where the clause runs to the end: the clause becomes the first question. */
function finalClause(text: string): { step: string; rest: string } | null {
  const match = /^(.{8,})\bthe ((?:[\p{Ll}-]+ ){0,3}[\p{Ll}-]+) (that|which|who|where|in which|whose) ([^,]{6,})$/u.exec(text);
  const reduced = match === null ? new RegExp(`^(.{8,})\\bthe ((?:[\\p{Ll}-]+ )?[\\p{Ll}-]+) (${capital}[^,]{6,})$`, 'u').exec(text) : null;
  const [, before = '', kind = '', word = '', whole = ''] = match ?? (reduced === null ? [] : [reduced[0], reduced[1], reduced[2], 'that', reduced[3]]);
  // After "did" or "was" the question's own verb stands behind the clause.
  const isPlace = /^(?:in|at|on) (?:which|what) [\p{Ll} ]+ (?:is|was)\s*$/iu.test(before);
  const ending = /\b(?:did|does|do)\b/i.test(before) ? infinitive : /\b(?:is|was|are|were)\s*$/i.test(before) ? participle : null;
  const found = ending === null ? '' : (ending.exec(whole)?.[0] ?? '');
  // "… the town where she was born": the verb is the clause's own.
  const verb = found !== '' && /\b(?:is|was|are|were|been|did)$/.test(whole.slice(0, -found.length).trim()) ? '' : found;
  // "In which county is the place where she died?" asks for no more than the place.
  if (ending !== null && verb === '' && !isPlace) return null;
  const clause = verb === '' ? whole : whole.slice(0, -verb.length).trim();
  if (/\b(?:in|on|at|of|by|through|from|to|for|form|start|start\s)$/.test(kind)) return null;
  if (kind === '' || /\b(?:the|last|first|next|best|new|only|same|most|least|final|original|other|who|which|that|where)\b/.test(kind) || clause === '' || /\b(?:that|which|who|where|whose)\b/.test(clause) || entitiesOf(` x ${clause}`).length === 0) return null;
  if (!/^(?:(?:in|on|at|from|of|to|by|for|under) )?(?:who|what|when|where|which|why|how)\b/i.test(before) || entitiesOf(` x ${before.charAt(0).toLowerCase()}${before.slice(1)}`).length > 0) return null;
  if (/^(?:what|who|which) (?:is|was|are|were)\s*$/i.test(before)) return null;
  const head = kind.split(' ').at(-1) ?? '';
  const rest = `${before}#1${verb === '' ? '' : ` ${verb.trim()}`}`;
  const located = new RegExp(`^(?:the )?(?:[\\p{Ll}-]+ of )?(${named}) (is|was|are|were) (.+)$`, 'u').exec(clause);
  if (word === 'whose') return null;
  if (located !== null) {
    const [, name = '', verb = '', tail = ''] = located;
    return { step: `${word === 'where' || word === 'in which' ? 'In which' : 'Which'} ${kind} ${verb} ${name} ${tail}?`, rest };
  }
  if (word === 'where' || word === 'in which') return { step: `Which is the ${kind} ${word} ${clause}?`, rest };
  const hasSubject = new RegExp(`^(?:the |a |an |${capital})`, 'u').test(clause);
  if (hasSubject) return { step: `Which is the ${kind} ${word} ${clause}?`, rest };
  return { step: person.test(head) && kind === head ? `Who ${clause}?` : `Which ${kind} ${clause}?`, rest };
}

// --- Comparisons ---------------------------------------------------------------------------------------------------------------------------

const measures: Readonly<Record<string, string>> = {
  higher: 'How high', taller: 'How tall', longer: 'How long', larger: 'How large', bigger: 'How large', smaller: 'How large', shorter: 'How long', deeper: 'How deep', wider: 'How wide', heavier: 'How heavy', lower: 'How high',
};
const order = '(?:first|last|earlier|later|more recently|most recently|before|after)';

/** The two alternatives of "… A or B?", as the question words them; null if it has no such form. */
export function alternativesOf(question: string): readonly [string, string] | null {
  const text = question.trim().replace(/[\s?]+$/, '').replace(/,? (?:out of|between) (.+) and (?=[\p{Lu}\p{N}])/u, ', $1 or ');
  const split = splitAt(text, 'or');
  if (split === null) return null;
  const [before, right] = split;
  const comma = /^(.*?\b(?:who|which|what|when|whose|whom)\b[^,]*|.*\b(?:first|last|earlier|later|older|younger|other|longer|higher|taller|larger|bigger|recently)\b)[,:]\s*(.+)$/i.exec(before);
  let left = (comma?.[2] ?? before).trim().replace(/,$/, '');
  if (comma === null) {
    // Without a comma before it, the left side still carries the question's words; its last name is the alternative.
    const bare = left.replace(/^(?:Is|Are|Was|Were|Did|Does|Do|Between)\s+/, '');
    if (bare !== left && /^[\p{Lu}\p{Lo}\p{N}]/u.test(bare)) return bare.length > 120 || right.length > 120 ? null : [bare, right];
    const lastName = entitiesOf(` x ${left.replace(/^(?:Which|Who|What|Is|Are|Was|Were|Did|Does|Do|Between)\b/, '')}`).at(-1);
    const at = lastName === undefined ? -1 : left.lastIndexOf(lastName);
    if (at < 0 || lastName === undefined) return null;
    left = left.slice(at).replace(/,$/, '');
  }
  return left === '' || right === '' || left.length > 120 || right.length > 120 ? null : [left, right];
}

/** The one place where a list of two is joined by `word`; where it stands more than once, the one between two names. */
function splitAt(text: string, word: 'or' | 'and'): [string, string] | null {
  const places = [...text.matchAll(new RegExp(`,?\\s${word}\\s(?:the\\s)?`, 'g'))].filter(({ index, 0: found }) => /^[\p{Lu}\p{Lo}\p{N}"“¿¡(]/u.test(text.slice(index + found.length)) || /^(?:the )?(?:director|film)/.test(text.slice(index + found.length)));
  const withRole = places.filter(({ index, 0: found }) => /^(?:the )?(?:director|film)/.test(text.slice(index + found.length)));
  const [place] = withRole.length === 1 ? withRole : places;
  if (place === undefined || (places.length > 1 && withRole.length !== 1)) return null;
  const left = text.slice(0, place.index);
  const right = text.slice(place.index).replace(new RegExp(`^,?\\s${word}\\s`), '');
  return [left.trim(), right.trim()];
}

function comparisonSteps(text: string): readonly string[] | null {
  return sameSteps(text) ?? orderedSteps(text);
}

interface Pair {
  readonly names: readonly [string, string];
  readonly role: string | null;
  readonly kind: string;
  /** What follows the names: "… receive their doctorates". */
  readonly after?: string;
}

/** "A and B", "both films A and B", "the directors of films A and B", "director of film A and director of film B". */
function pairOf(subject: string): Pair | null {
  let rest = subject.trim().replace(/,$/, '').replace(/^(?:both|the)\s+/i, '').replace(/^(?:both|the)\s+/i, '').replace(/,?\s+both$/i, '').replace(/,?\s+(?:films?|movies?|bands?)$/i, '').trim();
  let role: string | null = null;
  let kind = '';
  const headRole = new RegExp(`^(${roles})s? of (?:the |both )*`, 'i').exec(rest);
  if (headRole !== null) {
    role = (headRole[1] ?? '').toLowerCase();
    rest = rest.slice(headRole[0].length);
  }
  const headKind = new RegExp(`^(?:the )?(${kinds})[,:]?\\s+(?=["“\\p{Lu}\\p{Lo}\\p{N}¿¡])`, 'u').exec(rest);
  if (headKind !== null) {
    kind = singular(headKind[1] ?? '');
    rest = rest.slice(headKind[0].length);
  }
  const split = splitAt(rest, 'and');
  if (split === null) return null;
  const left = split[0].replace(/,$/, '').trim();
  let right = split[1].replace(/,$/, '').trim();
  const ownRole = new RegExp(`^(?:the )?(?:${roles})s? of (?:the )?`, 'i').exec(right);
  if (ownRole !== null) {
    if (role === null) return null;
    right = right.slice(ownRole[0].length);
  }
  right = right.replace(new RegExp(`^(?:${kinds})\\s+(?=["“\\p{Lu}\\p{Lo}\\p{N}¿¡])`, 'u'), '');
  const trailing = new RegExp(`^(${named})\\s+((?:\\p{Ll}[\\p{L}-]*\\s?){1,5})$`, 'u').exec(right);
  if (trailing !== null && trailing[2] !== undefined && !/^["“]/.test(right)) return { names: [left, trailing[1] ?? ''], role, kind, after: trailing[2].trim().replace(/\btheir\b/g, 'the') };
  if (!/^["“\p{Lu}\p{Lo}\p{N}¿¡']/u.test(left) || !/^["“\p{Lu}\p{Lo}\p{N}¿¡']/u.test(right)) return null;
  return { names: [left, right], role, kind };
}

function singular(kind: string): string {
  return kind.toLowerCase().replace(/^movies$/, 'movie').replace(/ies$/, (end) => (/series$/.test(kind) ? end : 'y')).replace(/^people$/, 'person').replace(/(?<!serie)s$/, '');
}

/** Two steps, or four where the things compared are reached through a role. */
function stepsFor(pair: Pair, ask: (name: string) => string): readonly string[] {
  const names = pair.names.map((name) => article(name, pair.kind)) as [string, string];
  if (pair.role === null) return [ask(names[0]), ask(names[1])];
  return [roleQuestion(pair.role, names[0]), roleQuestion(pair.role, names[1]), ask('#1'), ask('#2')];
}

/** "Are A and B from the same country?", "Do the directors of A and B share the same nationality?", "Was A born in the same place as B?" */
function sameSteps(text: string): readonly string[] | null {
  const asked = /^(are|were|is|was|do|did|does|have|has)\s+(.+?)\s*,?\s*(?:both\s+)?((?:(?:located|situated|based|found|born|set|published|members?|part|citizens?|originate|originated|come|coming|hail|have|has|share|shared|the|directors?|who|that|are|is|airports?|villages?|schools?|films?)\s+)*)(?:(in|from|of|on|at|by|to|with)\s+)?the same\s+([\p{L}]+)(?:\s+as\s+(.+))?$/iu.exec(text);
  if (asked === null) return null;
  const [, verb = '', subject = '', words = '', preposition = '', noun = '', other] = asked;
  let role: string | null = null;
  const carried = new RegExp(`\\b(?:have|has)\\s+(?:the\\s+)?(${roles})s?\\b`, 'i').exec(words);
  if (carried !== null) role = (carried[1] ?? '').toLowerCase();
  if (other !== undefined && / and /.test(subject)) return null;
  const pair = other === undefined ? pairOf(subject) : ({ names: [subject.replace(/^(?:the)\s+(?=\p{Lu})/u, ''), other], role: null, kind: '' } satisfies Pair);
  if (pair === null || (role !== null && pair.role !== null)) return null;
  if ('after' in pair) {
    if (pair.role !== null || words !== '' || preposition === '') return null;
    const one = ({ are: 'is', were: 'was', do: 'does', have: 'has' } as Record<string, string>)[verb.toLowerCase()] ?? verb.toLowerCase();
    return stepsFor(pair, (name) => `${preposition.charAt(0).toUpperCase()}${preposition.slice(1).toLowerCase()} which ${noun} ${one} ${name} ${pair.after ?? ''}?`);
  }
  const ask = sameQuestion(noun.toLowerCase(), words.toLowerCase(), preposition.toLowerCase(), verb.toLowerCase());
  return ask === null ? null : stepsFor(role === null ? pair : { ...pair, role }, ask);
}

function sameQuestion(noun: string, words: string, preposition: string, verb: string): ((name: string) => string) | null {
  const be = verb === 'were' || verb === 'was' ? 'was' : 'is';
  const isBorn = /\bborn\b/.test(words);
  if (isBorn && /^(?:place|city|town|country|state|location)$/.test(noun)) return (name) => (noun === 'place' || noun === 'location' ? `Where was ${name} born?` : `In which ${noun} was ${name} born?`);
  if (isBorn && /^(?:year|day|date|month|decade|century)$/.test(noun)) return (name) => `When was ${name} born?`;
  if (isBorn) return null;
  if (noun === 'nationality') return (name) => `What is the nationality of ${name}?`;
  if (noun === 'country' && /located|situated|based|found/.test(words)) return (name) => `In which country is ${name} located?`;
  if (noun === 'country' && (preposition === 'from' || preposition === '' || /originat|come|hail/.test(words))) return (name) => `Which country is ${name} from?`;
  if (preposition === '' || /\b(?:have|has|share)/.test(words)) return preposition === '' ? (name) => `What is the ${noun} of ${name}?` : null;
  const tail = words.replace(new RegExp(`\\b(?:are|is|who|that|both|${kinds})\\b`, 'g'), '').trim();
  if (/^members?$/.test(tail)) return (name) => `Which ${noun} is ${name} a member of?`;
  const does = tail.startsWith('originate') || tail.startsWith('come');
  return (name) => `${preposition.charAt(0).toUpperCase()}${preposition.slice(1)} which ${noun} ${does ? 'does' : be} ${name}${tail === '' ? '' : ` ${tail}`}?`;
}

const bareForms: Readonly<Record<string, string>> = { opened: 'open', died: 'die', began: 'begin', started: 'start', ended: 'end', closed: 'close', appeared: 'appear' };

/** "Which was opened first, A or B?", "Who is older, A or B?", "Which film has the director born later, A or B?" */
function orderedSteps(text: string): readonly string[] | null {
  const names = alternativesOf(text);
  if (names === null) return null;
  const head = text.slice(0, text.lastIndexOf(names[0])).replace(/[,:\s]+$/, '').trim();
  const tail = text.slice(text.lastIndexOf(names[0]));
  const after = new RegExp(`^(?:was|is)$`, 'i').test(head) ? /^(.+?)\s+(born|older|younger|died)?\s*(first|earlier|later|last)?$/i.exec(names[1]) : null;
  if (after !== null && (after[2] !== undefined || after[3] !== undefined) && tail !== '') {
    return stepsFor({ names: [names[0], after[1] ?? ''], role: null, kind: '' }, (name) => (after[2] === 'died' ? `When did ${name} die?` : `When was ${name} born?`));
  }
  const through = new RegExp(`^(?:which|what)\\s+(?:of the two\\s+)?(${kinds})\\s+(?:has|whose|had|with|is by)\\s+(?:the\\s+|a\\s+)?(${roles})\\s*(?:who|that)?\\s*(?:is|was|were)?\\s*(born|died)?\\s*(${order}|older|younger|oldest|youngest)(?:\\s+(?:than the other|in time|first))?$`, 'i').exec(head);
  if (through !== null) {
    const [, kind = '', role = '', event = ''] = through;
    return stepsFor({ names, role: role.toLowerCase(), kind: singular(kind) }, (name) => (event.toLowerCase() === 'died' ? `When did ${name} die?` : `When was ${name} born?`));
  }
  const plainPair: Pair = { names, role: null, kind: '' };
  const headed = new RegExp(`^(?:which|what|who)\\b(?:\\s+of the two)?(?:\\s+(${kinds}))?`, 'i').exec(head);
  if (headed === null) return null;
  const kind = singular(headed[1] ?? '');
  if (/\b(?:is|was)\s+(?:the\s+)?(?:older|younger|oldest|youngest)(?: one| person)?$/i.test(head) && (kind === '' || /person|actor|painter|politician/.test(kind)) && /^who\b/i.test(head)) return stepsFor(plainPair, (name) => `When was ${name} born?`);
  if (/\blived (?:longer|the longest)$/i.test(head)) return names.flatMap((name) => [`When was ${name} born?`, `When did ${name} die?`]);
  const measured = /\b(?:is|was|are)\s+(?:the\s+)?(\w+)$/i.exec(head);
  const measure = measures[(measured?.[1] ?? '').toLowerCase()];
  if (measure !== undefined) return stepsFor(plainPair, (name) => `${measure} is ${name}?`);
  if (new RegExp(`\\b(?:came out|was released|is released|premiered|released|come out)\\s+${order}$`, 'i').test(head)) return stepsFor({ ...plainPair, kind }, (name) => `When was ${name} released?`);
  const passive = new RegExp(`\\b(?:was|is|were)\\s+([\\p{L}]+)\\s+${order}$`, 'iu').exec(head);
  if (passive !== null) return stepsFor(plainPair, (name) => `When was ${name} ${passive[1] ?? ''}?`);
  const early = new RegExp(`\\b(?:was|is|were)\\s+${order}\\s+([\\p{L}]+ed)$`, 'iu').exec(head);
  if (early !== null) return stepsFor(plainPair, (name) => `When was ${name} ${early[1] ?? ''}?`);
  const active = new RegExp(`\\b(opened|died|began|started|ended|closed|appeared)\\s+${order}$`, 'i').exec(head);
  const bareForm = bareForms[(active?.[1] ?? '').toLowerCase()];
  return bareForm === undefined ? null : stepsFor(plainPair, (name) => `When did ${name} ${bareForm}?`);
}
