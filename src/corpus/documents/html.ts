/**
 * HTML as text: headings become sections, blocks become lines; scripts, styles, navigation and what is hidden are left out. Nothing is rendered, run or
 * fetched: the file is read as a stream of tags. The only importer of htmlparser2.
 */
import { Parser } from 'htmlparser2';
import type { SourceSection } from '../passages.ts';
import type { DocumentReader } from './reader.ts';
import { decodeText } from './text.ts';

const dropped = new Set(
  'script style noscript template nav aside footer form svg math iframe object embed canvas audio video button select textarea dialog menu'.split(' '),
);
const blocks = new Set(
  ('address article blockquote body br caption center dd details div dl dt fieldset figcaption figure header hr html li main ol p pre section summary table ' +
    'tbody tfoot thead tr ul h1 h2 h3 h4 h5 h6').split(' '),
);
const voids = new Set('area base br col hr img input link meta source track wbr'.split(' '));

interface OpenSection {
  heading: string;
  text: string;
  readonly isMain: boolean;
}

/** Title ('' if none) and sections of a page. Never throws: broken markup is read as far as it makes sense. */
export function extractHtml(html: string): { title: string; sections: readonly SourceSection[] } {
  const sections: OpenSection[] = [{ heading: '', text: '', isMain: false }];
  let title = '';
  let firstHeading = '';
  let inTitle = false;
  let heading: string | null = null;
  let skipping = 0; // depth inside a dropped element
  let mains = 0;
  let preformatted = 0;
  const skipStack: string[] = [];

  const last = (): OpenSection => {
    const open = sections.at(-1);
    if (open === undefined) throw new Error('no section');
    return open;
  };
  const append = (text: string): void => {
    if (heading !== null) heading += text;
    else last().text += text;
  };
  const parser = new Parser(
    {
      onopentag(name, attributes) {
        if (skipping > 0) {
          if (!voids.has(name)) {
            skipping++;
            skipStack.push(name);
          }
          return;
        }
        const isHidden = 'hidden' in attributes || attributes['aria-hidden'] === 'true' || /display\s*:\s*none/i.test(attributes['style'] ?? '');
        if ((dropped.has(name) || isHidden) && !voids.has(name)) {
          skipping = 1;
          skipStack.push(name);
          return;
        }
        if (name === 'title' && title === '') inTitle = true;
        if (name === 'main') mains++;
        if (name === 'pre') preformatted++;
        if (blocks.has(name)) append('\n');
        if (name === 'td' || name === 'th') append(' \u2003');
        if (/^h[1-6]$/.test(name)) heading = '';
      },
      ontext(text) {
        if (skipping > 0) return;
        if (inTitle) title += text;
        else append(preformatted > 0 ? text : text.replace(/[ \t\r\n\f]+/g, ' '));
      },
      onclosetag(name) {
        if (skipping > 0) {
          skipStack.pop();
          skipping--;
          return;
        }
        if (name === 'title') inTitle = false;
        if (/^h[1-6]$/.test(name) && heading !== null) {
          const text = oneLine(heading);
          heading = null;
          if (firstHeading === '') firstHeading = text;
          sections.push({ heading: text, text: '', isMain: mains > 0 });
        }
        if (name === 'main') {
          mains = Math.max(0, mains - 1);
          sections.push({ heading: '', text: '', isMain: false });
        }
        if (name === 'pre') preformatted = Math.max(0, preformatted - 1);
        if (blocks.has(name)) append('\n');
      },
    },
    { decodeEntities: true, lowerCaseTags: true },
  );
  parser.write(html);
  parser.end();
  if (heading !== null) append('');

  const cleaned = sections.map((section) => ({ ...section, text: lines(section.text) })).filter((section) => section.text !== '');
  const main = cleaned.filter((section) => section.isMain);
  const size = (list: readonly OpenSection[]): number => list.reduce((sum, section) => sum + section.text.length, 0);
  // A page that marks its main part keeps only that, unless it marks next to nothing.
  const kept = size(main) >= 200 ? main : cleaned;
  return { title: oneLine(title) === '' ? firstHeading : oneLine(title), sections: kept.map(({ heading: name, text }) => ({ heading: name, text })) };
}

function oneLine(text: string): string {
  return text.replace(/\s+/g, ' ').trim();
}

/** One line a block; cells of a table row are parted by a bar. */
function lines(text: string): string {
  return text
    .split('\n')
    .map((line) => line.split('\u2003').map(oneLine).filter((cell) => cell !== '').join(' | '))
    .filter((line) => line !== '')
    .join('\n');
}

export const htmlReader: DocumentReader = {
  type: 'html',
  accepts: (name, mime) => /\.(html?|xhtml)$/.test(name) || mime === 'text/html',
  async read(bytes, name) {
    const head = new TextDecoder('latin1').decode(bytes.subarray(0, 2048));
    const charset = /<meta[^>]+charset\s*=\s*["']?\s*([\w-]+)/i.exec(head)?.[1] ?? null;
    return { ...extractHtml(decodeText(bytes, name, charset)), pages: null };
  },
};
