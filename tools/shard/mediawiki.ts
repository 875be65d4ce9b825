/**
 * Reads a MediaWiki XML dump as a stream of pages: articles with sections and hyperlinks, redirects as other names.
 * Other namespaces and disambiguation pages are skipped. Owns saxes and wtf_wikipedia.
 */
import { SaxesParser } from 'saxes';
import wtf from 'wtf_wikipedia';
import type { SourceSection } from '../../src/corpus/passages.ts';
import { InputError, openBytes, textOf, type Input, type InputItem } from './input.ts';

interface Page {
  title: string;
  namespace: string;
  redirect: string | null;
  text: string;
}

/** Namespaces whose links are no text, by their number, and the names that the parser knows them by in every language. */
const silentNamespaces: ReadonlyMap<string, string> = new Map([['6', 'File'], ['14', 'Category']]);

export function openMediaWiki(path: string, totalBytes: number): Input {
  let bytesRead = 0;
  const names = new Map<string, string>();
  let language: string | null = null;
  return {
    hasHyperlinks: true,
    areIdsUnique: false,
    totalBytes,
    bytesRead: () => bytesRead,
    language: () => language,
    async *items(skip, signal) {
      let number = 0;
      for await (const page of pagesOf(path, textOf(openBytes(path, (n) => (bytesRead = n))), (code) => (language = code), (key, name) => names.set(key, (names.get(key) ?? '') + name))) {
        signal.throwIfAborted();
        if (++number > skip) yield itemOf({ ...page, text: withKnownNamespaces(page.text, names) });
      }
      if (number === 0) throw new InputError(`${path}: there is no page in it; is it a MediaWiki export?`);
    },
  };
}

/** `[[Fails:x.jpg|…]]` as `[[File:x.jpg|…]]`: a wiki names its namespaces in its own language, and says how in its head. */
function withKnownNamespaces(text: string, names: ReadonlyMap<string, string>): string {
  let out = text;
  for (const [key, known] of silentNamespaces) {
    const name = names.get(key)?.trim() ?? '';
    if (name === '' || name === known) continue;
    const pattern = name.replace(/[.*+?^${}()|[\]\\]/g, '\\$&').replace(/[ _]/g, '[ _]');
    out = out.replace(new RegExp(`\\[\\[\\s*${pattern}\\s*:`, 'giu'), `[[${known}:`);
  }
  return out;
}

async function* pagesOf(
  path: string,
  text: AsyncIterable<string>,
  onLanguage: (code: string) => void,
  onNamespace: (key: string, name: string) => void,
): AsyncGenerator<Page> {
  const parser = new SaxesParser();
  const open: string[] = [];
  let ready: Page[] = [];
  let page: Page | null = null;
  let namespace = '';
  let failure: InputError | null = null;
  parser.on('error', (error) => {
    failure ??= new InputError(`${path}: it is not well-formed XML (${error.message})`);
  });
  parser.on('opentag', ({ name, attributes }) => {
    open.push(name);
    const code = open.length === 1 ? attributes['xml:lang'] : undefined;
    if (code !== undefined && /^[A-Za-z0-9-]{2,35}$/.test(code)) onLanguage(code);
    if (name === 'namespace') namespace = attributes['key'] ?? '';
    if (name === 'page') page = { title: '', namespace: '0', redirect: null, text: '' };
    else if (name === 'redirect' && page !== null) page.redirect = attributes['title'] ?? '';
    // Of a page with several revisions the last one given counts.
    else if (name === 'text' && page !== null) page.text = '';
  });
  parser.on('text', (content) => {
    const tag = open.at(-1);
    if (tag === 'namespace') onNamespace(namespace, content);
    if (page === null) return;
    const parent = open.at(-2);
    if (tag === 'title' && parent === 'page') page.title += content;
    else if (tag === 'ns' && parent === 'page') page.namespace = content.trim();
    else if (tag === 'text' && parent === 'revision') page.text += content;
  });
  parser.on('closetag', ({ name }) => {
    open.pop();
    if (name !== 'page' || page === null) return;
    ready.push(page);
    page = null;
  });
  const take = (): Page[] => {
    const pages = ready;
    ready = [];
    return pages;
  };
  for await (const piece of text) {
    parser.write(piece);
    yield* take();
    if (failure !== null) throw failure as InputError;
  }
  parser.close();
  yield* take();
  if (failure !== null) throw failure as InputError;
}

/** Headings of sections that hold no running text, in the languages of the test dumps' interface and English. */
const emptySections = new Set(['references', 'external links', 'notes', 'further reading', 'see also', 'citations', 'footnotes', 'sources', 'notes and references', 'bibliography']);

function itemOf(page: Page): InputItem {
  const title = page.title.trim();
  if (page.namespace !== '0' || title === '') return { kind: 'skipped' };
  if (page.redirect !== null) return redirect(title, page.redirect);
  const document = wtf(page.text, { title });
  if (document === null) return { kind: 'skipped' };
  if (document.isRedirect()) {
    const target: unknown = document.redirectTo();
    return redirect(title, typeof target === 'object' && target !== null && 'page' in target ? String(target.page) : '');
  }
  if (document.isDisambiguation()) return { kind: 'skipped' };
  const sections: SourceSection[] = [];
  const links: { target: string; anchor: string }[] = [];
  let skipBelow = Infinity; // depth of a skipped section; deeper ones belong to it
  for (const section of document.sections()) {
    const heading = section.title();
    const depth = section.depth();
    if (depth > skipBelow) continue;
    skipBelow = emptySections.has(heading.trim().toLowerCase()) ? depth : Infinity;
    if (skipBelow !== Infinity) continue;
    sections.push({ heading, text: tidy(section.text({})) });
    for (const link of [section.links()].flat()) links.push(...linkOf(link));
  }
  return { kind: 'document', document: { docId: title, title, sections, links } };
}

function redirect(alias: string, target: string): InputItem {
  const plain = pageName(target);
  return plain === '' || plain === alias ? { kind: 'skipped' } : { kind: 'redirect', alias, target: plain };
}

/** A link as wtf_wikipedia gives it, reduced to what is used; interwiki and external links give nothing. */
function linkOf(link: object): { target: string; anchor: string }[] {
  const data: unknown = 'json' in link && typeof link.json === 'function' ? (link as { json(): unknown }).json() : null;
  if (typeof data !== 'object' || data === null) return [];
  const { type, page, text } = data as { type?: unknown; page?: unknown; text?: unknown };
  if (type !== 'internal' || typeof page !== 'string') return [];
  const target = pageName(page);
  const anchor = (typeof text === 'string' && text.trim() !== '' ? text : page).trim();
  return target === '' || anchor === '' ? [] : [{ target, anchor }];
}

/** A page title in its canonical form: no fragment, spaces for underscores, first letter capital. */
function pageName(target: string): string {
  const plain = (target.split('#')[0] ?? '').replaceAll('_', ' ').replace(/\s+/g, ' ').replace(/^:/, '').trim();
  const first = String.fromCodePoint(plain.codePointAt(0) ?? 32);
  return plain === '' ? '' : first.toUpperCase() + plain.slice(first.length);
}

/** Removes what templates leave behind when they are dropped: empty brackets and doubled commas. */
function tidy(text: string): string {
  return text
    .replace(/\(\s*[,;:\s]*\)|\[\s*\]|\{\s*\}/g, '')
    .replace(/\(\s*[,;]\s*/g, '(')
    .replace(/\s+([,;.)])/g, '$1')
    .replace(/,(?:\s*,)+/g, ',')
    .replace(/^[^\S\n]*[*:;#]+\s*/gm, '');
}
