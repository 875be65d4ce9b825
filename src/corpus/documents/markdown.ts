/** Markdown: turned into HTML, which is read as text like any page and shown nowhere; so HTML inside is treated alike. */
import { Marked } from 'marked';
import { extractHtml } from './html.ts';
import type { DocumentReader } from './reader.ts';
import { decodeText } from './text.ts';

export const markdownReader: DocumentReader = {
  type: 'markdown',
  accepts: (name, mime) => /\.(md|markdown)$/.test(name) || mime === 'text/markdown',
  async read(bytes, name) {
    const source = decodeText(bytes, name).replace(/\r\n?/g, '\n');
    const front = /^---\n([\s\S]*?)\n(?:---|\.\.\.)\n/.exec(source);
    const stated = /^title:\s*(["']?)(.+?)\1\s*$/m.exec(front?.[1] ?? '')?.[2] ?? '';
    const html = await new Marked({ async: true, gfm: true }).parse(source.slice(front?.[0].length ?? 0));
    const { title, sections } = extractHtml(html);
    return { title: stated === '' ? title : stated, sections, pages: null };
  },
};
