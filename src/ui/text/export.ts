/** An answer with its sources as text to keep or pass on: Markdown and plain. Pure. Nothing of the corpus can act as markup in the Markdown. */
import type { Answer, Citation } from '../../agent/events.ts';
import type { RunView } from '../state.ts';
import { fileOf, placeOf, visibleLine } from './display.ts';

export const modeNotes: Readonly<Record<Answer['mode'], string>> = {
  cited: '',
  extractive: 'No language model is loaded: these are sentences from the passages, not an answer.',
  'closed-book': 'From the model’s memory. Nothing in the library was used, so nothing here can be checked.',
  'not-found': 'The library does not hold an answer to this question.',
};

export const unsupportedNote = 'not carried by the cited quotes';

/** One line in which nothing acts as Markdown: no emphasis, links, HTML, entities, headings, lists, nor bare addresses that readers make clickable. */
export function escapeMarkdown(text: string): string {
  return visibleLine(text)
    .replace(/[\\`*_{}[\]<>#|~&]/g, '\\$&')
    .replace(/:(?=\/\/)|(?<=\bwww)\.|@/gi, '\\$&')
    .replace(/^(\d+)([.)])/, '$1\\$2')
    .replace(/^[-+=]/, '\\$&');
}

const cites = (numbers: readonly number[]): string => numbers.map((n) => `[${n}]`).join('');

function source(citation: Citation, clean: (text: string) => string): { readonly title: string; readonly quote: string } {
  const { passage, quote } = citation.evidence;
  const place = [fileOf(passage), placeOf(passage)].filter((part) => part !== '').join(', ');
  return { title: `${clean(passage.title)}${place === '' ? '' : `, ${clean(place)}`}`, quote: clean(quote) };
}

/** null while there is no answer. */
export function answerAsMarkdown(run: RunView): string | null {
  const { answer } = run;
  if (answer === null) return null;
  const lines = [`## ${escapeMarkdown(run.question)}`, ''];
  if (modeNotes[answer.mode] !== '') lines.push(`*${modeNotes[answer.mode]}*`, '');
  if (answer.short !== '') lines.push(`**${escapeMarkdown(answer.short)}**`, '');
  for (const sentence of sentencesBeyondShort(answer)) lines.push(`- ${escapeMarkdown(sentence.text)} ${cites(sentence.cites)}${sentence.supported ? '' : ` *(${unsupportedNote})*`}`.trimEnd());
  if (answer.citations.length > 0) {
    lines.push('', '### Sources', '');
    for (const citation of answer.citations) {
      const { title, quote } = source(citation, escapeMarkdown);
      lines.push(`${citation.n}. ${title}: “${quote}”`);
    }
  }
  return `${lines.join('\n').trim()}\n`;
}

/** null while there is no answer. */
export function answerAsText(run: RunView): string | null {
  const { answer } = run;
  if (answer === null) return null;
  const lines = [visibleLine(run.question), ''];
  if (modeNotes[answer.mode] !== '') lines.push(modeNotes[answer.mode], '');
  if (answer.short !== '') lines.push(visibleLine(answer.short), '');
  for (const sentence of sentencesBeyondShort(answer)) lines.push(`${visibleLine(sentence.text)} ${cites(sentence.cites)}${sentence.supported ? '' : ` (${unsupportedNote})`}`.trimEnd());
  if (answer.citations.length > 0) {
    lines.push('', 'Sources');
    for (const citation of answer.citations) {
      const { title, quote } = source(citation, visibleLine);
      lines.push(`[${citation.n}] ${title}: “${quote}”`);
    }
  }
  return `${lines.join('\n').trim()}\n`;
}

/** The sentences to list under the short answer: an only sentence that says just the short answer is shown with it instead. */
export function sentencesBeyondShort(answer: Answer): Answer['sentences'] {
  const [only] = answer.sentences;
  if (answer.sentences.length === 1 && only !== undefined && only.text === answer.short && only.cites.length === 0) return [];
  return answer.sentences;
}
