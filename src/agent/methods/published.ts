/**
 * The published baselines (METHODS §5) as specified: same corpus, retriever, model and answer extractor for all, their own formats, free text where the format is
 * free text. Every extraction is told with the rule that fired.
 */
import type { Hit, Passage } from '../../corpus/retriever.ts';
import { conclude, judgeSufficient, passageLines, supportIn, withinBudget } from '../actions.ts';
import {
  baselineTokens, cotMessages, extractAnswer, finalInformation, firstSentence, followUpOf, maskedQuery, reactAction, reactMessages, reactThought, reasonInDocuments,
  searchO1, searchO1Messages, searchO1Query, selfAskMessages, selfAskStop,
} from '../baseline-prompts.ts';
import { contentWords, occursIn, sentencesOf, withoutOrders } from '../evidence.ts';
import type { Method, Outcome, Tools } from '../harness.ts';
import { fence } from '../prompts.ts';
import { readFact } from './loop.ts';

const node = 0;

/** Passages of FlashRAG's and SmartSearch's protocols. */
const k = 5;

/** The text of a run so far and the passages behind it; a spent budget leaves both as they are. */
interface Draft {
  text: string;
  readonly passages: Map<string, Passage>;
}

async function run(tools: Tools, work: (draft: Draft) => Promise<void>): Promise<Outcome> {
  const draft: Draft = { text: '', passages: new Map() };
  const limited = await withinBudget(() => work(draft));
  const { answer, rule } = extractAnswer(draft.text);
  tools.emit({ kind: 'thought', node: null, text: `Answer taken from: ${rule === 'none' ? 'nothing' : rule.replace('-', ' ')}.` });
  // Only what a passage states is cited; the answer itself is the method's own, right or wrong.
  const evidence = answer === '' ? null : supportIn(tools, node, answer, [...draft.passages.values()]);
  return conclude(tools, answer, evidence === null ? [] : [{ question: tools.question, answer, evidence: [evidence] }], limited ? 'budget' : 'answered');
}

function keep(draft: Draft, hits: readonly Hit[], most = Infinity): void {
  for (const { passage } of hits) if (draft.passages.size < most) draft.passages.set(passage.id, passage);
}

function linesOf(tools: Tools, draft: Draft): readonly string[] {
  return passageLines(tools, [...draft.passages.values()], baselineTokens.passages).lines;
}

function thought(tools: Tools, text: string): void {
  if (text.trim() !== '') tools.emit({ kind: 'thought', node, text: fence(text, 600) });
}

const ircotCap = 15;
const ircotK = 4;
const ircotSteps = 8;

export const ircot: Method = {
  id: 'ircot',
  label: 'IRCoT',
  description: 'Writes one sentence of reasoning at a time and searches with each.',
  needsLlm: true,
  kind: 'baseline',
  source: 'IRCoT (arXiv 2212.10509)',
  differences: 'K 4 and at most 15 paragraphs as in the original, K not tuned per dataset; two demonstrations of our own; the final reader is the same reasoning prompt over all paragraphs.',
  run: (tools) =>
    run(tools, async (draft) => {
      keep(draft, (await tools.search(node, tools.question)).hits.slice(0, ircotK));
      let reasoning = '';
      for (let step = 0; step < ircotSteps; step++) {
        const { text } = await tools.text('think', node, cotMessages(tools.question, linesOf(tools, draft), reasoning), { maxTokens: 80, stop: ['\n'] });
        const sentence = firstSentence(text);
        thought(tools, sentence);
        reasoning = `${reasoning} ${sentence}`.trim();
        draft.text = reasoning;
        if (/answer is/i.test(sentence)) break;
        const { hits } = await tools.search(node, sentence === '' ? tools.question : sentence);
        keep(draft, hits.slice(0, ircotK), ircotCap);
      }
      const final = await tools.text('answer', node, cotMessages(tools.question, linesOf(tools, draft), ''), { maxTokens: baselineTokens.output, stop: ['\nQ:'] });
      draft.text = final.text;
    }),
};

const selfAskFollowUps = 5;

export const selfAsk: Method = {
  id: 'self-ask',
  label: 'Self-Ask',
  description: 'Asks itself follow-up questions; each is answered by a search.',
  needsLlm: true,
  kind: 'baseline',
  source: 'Self-Ask (arXiv 2210.03350)',
  differences: 'Two demonstrations of our own instead of four; the intermediate answer is read from the five best passages, since there is no engine that gives short answers.',
  run: (tools) =>
    run(tools, async (draft) => {
      let written = '';
      for (let step = 0; step <= selfAskFollowUps; step++) {
        const forced = step === selfAskFollowUps ? `${written}\nSo the final answer is:` : written;
        const { text } = await tools.text('think', node, selfAskMessages(tools.question, forced), { maxTokens: baselineTokens.output, stop: [...selfAskStop, '\n\n'] });
        const part = (selfAskStop.reduce((rest, marker) => rest.split(marker)[0] ?? '', text)).trimEnd();
        thought(tools, part);
        const asked = followUpOf(part);
        const final = /final answer is\s*:?\s*([^\n]*)/i.exec(part);
        if (step === selfAskFollowUps) draft.text = /answer is/i.test(part) ? part : `So the final answer is: ${part}`;
        else if (final !== null || asked === null) draft.text = part;
        if (step === selfAskFollowUps || final !== null || asked === null) return;
        const { hits } = await tools.search(node, asked);
        keep(draft, hits.slice(0, k));
        const fact = hits.length === 0 ? null : await readFact(tools, { node, question: asked, facts: [] }, hits.slice(0, k));
        written = `${written}${fence(` ${part}`, 600)}\nIntermediate answer: ${fact === null ? 'not found' : fence(fact.answer, 160)}\n`;
        if (fact !== null) draft.text = fact.answer;
      }
    }),
};

const reactTurns = 7;
const pageSentences = 5;

export const react: Method = {
  id: 'react',
  label: 'ReAct',
  description: 'Thinks, acts (search, look up, finish) and observes in turn.',
  needsLlm: true,
  kind: 'baseline',
  source: 'ReAct (arXiv 2210.03629)',
  differences: 'One demonstration of our own instead of six; a page is the best passage of that title, else similar titles are listed. No fall-back to voting; one retry where an action does not parse.',
  run: (tools) =>
    run(tools, async (draft) => {
      let written = '';
      let page: Passage | null = null;
      let lookup = { words: '', next: 0 };
      for (let turn = 1; turn <= reactTurns; turn++) {
        let text = '';
        let action = null;
        for (let attempt = 0; attempt < 2 && action === null; attempt++) {
          const own = attempt === 0 ? tools : tools.with({ sampling: { temperature: tools.settings.sampleTemperature, seed: tools.settings.seed } });
          text = (await own.text('act', node, reactMessages(tools.question, written.slice(-2400), turn), { maxTokens: baselineTokens.output, stop: ['\nObservation'] })).text;
          action = reactAction(text);
        }
        thought(tools, reactThought(text));
        if (action === null) return;
        if (action.kind === 'finish') {
          draft.text = `Finish[${action.argument}]`;
          return;
        }
        let seen: string;
        if (action.kind === 'search') {
          const { hits } = await tools.search(node, action.argument, { evenIfRepeated: true });
          page = hits.find((hit) => occursIn(action.argument, hit.passage.title))?.passage ?? null;
          lookup = { words: '', next: 0 };
          const similar = hits.slice(0, k).map((hit) => hit.passage);
          if (page !== null) keep(draft, hits.filter((hit) => hit.passage === page));
          seen = page === null ? `Could not find [${action.argument}]. Similar: ${withoutOrders(similar).readable.map(({ passage }) => passage.title).join(', ')}.` : readable(tools, page).slice(0, pageSentences).join(' ');
        } else {
          const matches: string[] = page === null ? [] : readable(tools, page).filter((sentence) => occursIn(action.argument, sentence));
          lookup = { words: action.argument, next: lookup.words === action.argument ? lookup.next + 1 : 0 };
          const match = matches[lookup.next];
          seen = match === undefined ? 'No more results.' : `(${lookup.next + 1} of ${matches.length}) ${match}`;
        }
        written = `${written}\nThought ${turn}: ${fence(reactThought(text), 300)}\nAction ${turn}: ${action.kind === 'search' ? 'Search' : 'Lookup'}[${fence(action.argument, 120)}]\nObservation ${turn}: ${fence(seen, 900)}`.trim();
      }
    }),
};

function readable(tools: Tools, page: Passage): string[] {
  passageLines(tools, [page]);
  const [shown] = withoutOrders([page]).readable;
  if (shown === undefined) return [];
  return sentencesOf(page).map(({ text }) => text).filter((text) => shown.text.includes(text));
}

const retGenRounds = 3;

export const iterRetGen: Method = {
  id: 'iter-retgen',
  label: 'Iter-RetGen',
  description: 'Answers, searches with question and answer together, and answers again, three times.',
  needsLlm: true,
  kind: 'baseline',
  source: 'Iter-RetGen (arXiv 2305.15294)',
  differences: 'Two demonstrations of our own; it ends early where a round finds the same passages as the one before, since its answer would be the same.',
  run: (tools) =>
    run(tools, async (draft) => {
      let before = '';
      for (let round = 0; round < retGenRounds; round++) {
        const query = round === 0 ? tools.question : `${tools.question} ${fence(draft.text, 400)}`;
        const { hits } = await tools.search(node, query, { evenIfRepeated: true });
        const found = hits.slice(0, k).map((hit) => hit.passage.id).join(' ');
        if (found === before) return;
        before = found;
        draft.passages.clear();
        keep(draft, hits.slice(0, k));
        const { text } = await tools.text('answer', node, cotMessages(tools.question, linesOf(tools, draft), ''), { maxTokens: baselineTokens.output, stop: ['\nQ:'] });
        thought(tools, text);
        draft.text = text;
      }
    }),
};

const flareRounds = 5;
const flareThreshold = 0.2;
const lookAhead = 64;

export const flare: Method = {
  id: 'flare',
  label: 'FLARE',
  description: 'Writes ahead, and searches where its own words are unlikely.',
  needsLlm: true,
  kind: 'baseline',
  source: 'FLARE (arXiv 2305.06983)',
  differences: 'Look-ahead of 64 tokens, threshold .2, as in FlashRAG. Where the engine tells no token probabilities a judgement of the model takes their place, which is told in the run.',
  run: (tools) =>
    run(tools, async (draft) => {
      const canSee = tools.llm.info.can.logprobs;
      if (!canSee) thought(tools, 'The engine tells no token probabilities: the model judges itself whether to search (approximation).');
      let reasoning = '';
      let searches = 0;
      for (let step = 0; step < flareRounds * 2; step++) {
        const ahead = await tools.text('think', node, cotMessages(tools.question, linesOf(tools, draft), reasoning), { maxTokens: lookAhead, stop: ['\nQ:'], logprobs: canSee });
        let sentence = firstSentence(ahead.text);
        const query = canSee ? doubtful(ahead.logprobs ?? [], sentence) : await doubtByJudgement(tools, draft, sentence);
        if (query !== null && searches < flareRounds) {
          searches++;
          const { hits } = await tools.search(node, query === '' ? tools.question : query, { evenIfRepeated: true });
          draft.passages.clear();
          keep(draft, hits.slice(0, k));
          const again = await tools.text('think', node, cotMessages(tools.question, linesOf(tools, draft), reasoning), { maxTokens: lookAhead, stop: ['\nQ:'] });
          sentence = firstSentence(again.text);
        }
        thought(tools, sentence);
        reasoning = `${reasoning} ${sentence}`.trim();
        draft.text = reasoning;
        if (sentence === '' || /answer is/i.test(sentence)) return;
      }
    }),
};

/** The look-ahead sentence without its unlikely tokens, or null where all are likely. */
function doubtful(tokens: readonly { readonly token: string; readonly logprob: number }[], sentence: string): string | null {
  let length = 0;
  const own = tokens.filter(({ token }) => (length += token.length) - token.length < sentence.length);
  return own.some(({ logprob }) => Math.exp(logprob) < flareThreshold) ? maskedQuery(own, flareThreshold) : null;
}

async function doubtByJudgement(tools: Tools, draft: Draft, sentence: string): Promise<string | null> {
  const stated = [...draft.passages.values()].some((passage) => contentWords(sentence).every((word) => occursIn(word, `${passage.title} ${passage.text}`)));
  if (stated) return null;
  const hits = [...draft.passages.values()].map((passage, i) => ({ passage, score: 1, rank: i + 1, paths: [], highlights: [], bestSentence: 0 }));
  const judged = hits.length === 0 ? null : await judgeSufficient(tools, node, tools.question, [], hits);
  return judged?.enough === true ? null : sentence;
}

const o1Turns = 10;
const o1Searches = 5;
const o1Passages = 10;

export const searchO1Method: Method = {
  id: 'search-o1',
  label: 'Search-o1',
  description: 'Reasons freely, searches in the middle of it, and reads the results in a call of its own.',
  needsLlm: true,
  kind: 'baseline',
  source: 'Search-o1 (arXiv 2501.05366)',
  differences: 'For a model that reasons by prompt only; ten passages of the corpus in place of web pages; one example in the instruction.',
  run: (tools) =>
    run(tools, async (draft) => {
      let reasoning = '';
      const results = new Map<string, string>();
      for (let turn = 0; turn < o1Turns; turn++) {
        const { text } = await tools.text('think', node, searchO1Messages(tools.question, reasoning), { maxTokens: baselineTokens.output, stop: [searchO1.end] });
        const query = searchO1Query(text);
        const said = query === null ? text : text.slice(0, text.search(/<?\|?\s*begin_search_query/i));
        thought(tools, said);
        reasoning = `${reasoning} ${fence(said, 1200)}`.trim();
        draft.text = reasoning;
        if (query === null) {
          if (/\\boxed\{/.test(text) || turn > 0) return;
          continue;
        }
        const known = results.get(contentWords(query).sort().join(' '));
        let result: string;
        if (known !== undefined) result = 'You have searched this before; see the result above.';
        else if (results.size >= o1Searches) result = 'No searches are left. Answer from what is known.';
        else {
          const { hits } = await tools.search(node, query, { evenIfRepeated: true });
          const found: Draft = { text: '', passages: new Map() };
          keep(found, hits.slice(0, o1Passages));
          keep(draft, hits.slice(0, o1Passages));
          const read = await tools.text('read', node, reasonInDocuments(reasoning, query, linesOf(tools, found)), { maxTokens: 120 });
          result = finalInformation(read.text);
          results.set(contentWords(query).sort().join(' '), result);
        }
        reasoning = `${reasoning} ${searchO1.begin} ${fence(query, 300)} ${searchO1.end} ${searchO1.beginResult} ${result} ${searchO1.endResult}`;
      }
    }),
};
