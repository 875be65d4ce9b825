import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { extractHtml } from '../../../src/corpus/documents/html.ts';
import { layOut, maxPages } from '../../../src/corpus/documents/pdf.ts';
import { maxDocumentBytes, readDocument } from '../../../src/corpus/documents/reader.ts';
import { decodeText, unwrapLines } from '../../../src/corpus/documents/text.ts';
import { makePdf, pdfLines } from '../../fixtures/pdf.ts';

const never = new AbortController().signal;
const file = (name: string, content: BlobPart, type = ''): File => new File([content], name, { type });
const read = (name: string, content: BlobPart, type = '') => readDocument(file(name, content, type), never);

describe('choice and limits', () => {
  it('chooses by name, then by type', async () => {
    expect((await read('a.TXT', 'Slate.')).type).toBe('text');
    expect((await read('a.markdown', 'Slate.')).type).toBe('markdown');
    expect((await read('a.htm', 'Slate.')).type).toBe('html');
    expect((await read('page', 'Slate.', 'text/html')).type).toBe('html');
    expect((await read('notes', 'Slate.', 'text/plain')).type).toBe('text');
  });

  it.each([
    ['a.docx', '.docx'],
    ['archive.zip', '.zip'],
    ['noname', 'its type'],
  ])('refuses %s, naming what it is', async (name, type) => {
    await expect(read(name, 'x')).rejects.toMatchObject({ code: 'document/unsupported', detail: { name, type } });
  });

  it('refuses what is too large before reading it', async () => {
    const large = { name: 'a.txt', size: maxDocumentBytes + 1, type: '', arrayBuffer: () => Promise.reject(new Error('was read')) } as unknown as File;
    await expect(readDocument(large, never)).rejects.toMatchObject({ code: 'document/too-large', detail: { limitMB: 50 } });
  });

  it.each(['', ' \n\t ', '***\n---'])('calls a file without a word empty (%j)', async (text) => {
    await expect(read('a.txt', text)).rejects.toMatchObject({ code: 'document/empty' });
  });

  it('stops when told to', async () => {
    await expect(readDocument(file('a.txt', 'x'), AbortSignal.abort())).rejects.toMatchObject({ name: 'AbortError' });
  });
});

describe('tables of text', () => {
  const text = async (name: string, content: string, type = ''): Promise<readonly (readonly [string, string])[]> =>
    (await read(name, content, type)).sections.map((section) => [section.heading, section.text]);

  it('names the column of every cell, a row a line, and leaves empty cells and rows out', async () => {
    expect(await text('towns.csv', '\uFEFFName,Height,Note\r\nKarr,920 m,"on a hill, ""old"""\r\n,,\r\nTeshmoor,,\r\n')).toEqual([
      ['Name, Height, Note', 'Name: Karr; Height: 920 m; Note: on a hill, "old".\nName: Teshmoor.'],
    ]);
    expect(await text('towns.tsv', 'Name\tRiver\nTeshmoor\tIsk, lower')).toEqual([['Name, River', 'Name: Teshmoor; River: Isk, lower.']]);
    expect(await text('export', 'Name,River\nTeshmoor,Isk', 'text/csv')).toEqual([['Name, River', 'Name: Teshmoor; River: Isk.']]);
  });

  it('of one row only keeps that row, and cells beyond the head', async () => {
    expect(await text('a.csv', 'Karr,920')).toEqual([['', 'Karr; 920']]);
    expect(await text('a.csv', 'Name\nKarr,920')).toEqual([['Name', 'Name: Karr; 920.']]);
  });
});

describe('text', () => {
  const words = 'Zoë naïve — “quoted” €5';
  const utf16 = (text: string, littleEndian: boolean, mark: boolean): Uint8Array<ArrayBuffer> => {
    const view = new DataView(new ArrayBuffer((text.length + (mark ? 1 : 0)) * 2));
    [...(mark ? '\ufeff' : ''), ...text].forEach((char, i) => view.setUint16(i * 2, char.charCodeAt(0), littleEndian));
    return new Uint8Array(view.buffer);
  };

  it.each<[string, Uint8Array<ArrayBuffer>]>([
    ['UTF-8', new TextEncoder().encode(words)],
    ['UTF-8 with a mark', new TextEncoder().encode(`\ufeff${words}`)],
    ['UTF-16LE with a mark', utf16(words, true, true)],
    ['UTF-16BE with a mark', utf16(words, false, true)],
    ['UTF-16LE', utf16(words, true, false)],
    ['UTF-16BE', utf16(words, false, false)],
  ])('reads %s', (_name, bytes) => {
    expect(decodeText(bytes, 'a.txt')).toBe(words);
  });

  it('reads Latin text of no declared character set', () => {
    // Only letters that Node 20 decodes right: it takes windows-1252 for ISO-8859-1.
    expect(decodeText(Uint8Array.from([0x5a, 0x6f, 0xeb, 0x20, 0x6e, 0x61, 0xef, 0x76, 0x65]), 'a.txt')).toBe('Zoë naïve');
  });

  it('keeps any UTF-8 text as it is', () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom('a', 'é', '語', '😀', ' ', '\n', 'ß', '€'), { minLength: 1, maxLength: 200 }), (chars) => {
        const text = chars.join('');
        expect(decodeText(new TextEncoder().encode(text), 'a.txt')).toBe(text);
      }),
    );
  });

  it('refuses binary data', async () => {
    const binary = Uint8Array.from({ length: 5000 }, (_, i) => (i * 97) % 256);
    await expect(read('a.txt', binary)).rejects.toMatchObject({ code: 'document/unreadable', detail: { reason: 'it is not a text file' } });
  });

  it('joins lines that were wrapped by hand, with words cut by a hyphen, and keeps paragraphs and lists', () => {
    const text = 'The kiln at Aldmoor was fired with peat for more than two hun-\ndred years before anybody thought of bringing coal from the\ncoast.\n\nA second paragraph.\n- first point\n- second point';
    expect(unwrapLines(text)).toBe(
      'The kiln at Aldmoor was fired with peat for more than two hundred years before anybody thought of bringing coal from the coast.\nA second paragraph.\n- first point\n- second point',
    );
  });

  it('leaves long lines alone: each is a paragraph', () => {
    const long = `${'word '.repeat(40).trim()}.`;
    expect(unwrapLines(`${long}\r\n${long}`)).toBe(`${long}\n${long}`);
  });
});

describe('html', () => {
  const page = `<!doctype html><html><head><title> The  Kiln &amp; I </title><style>p{color:red}</style><script>alert('x')</script></head>
    <body><nav><a href="/">Home</a> <h2>Menu</h2></nav>
    <h1>The Kiln</h1><p>First<br>line &lt;b&gt; caf&eacute;.</p><p hidden>secret</p><div style="display: none">secret</div>
    <h2>Its <em>fire</em></h2><ul><li>peat</li><li>coal<ul><li>hard</li></ul></li></ul>
    <table><tr><th>Year</th><td>1803</td></tr><tr><td>Use</td><td>lime</td></tr></table>
    <noscript>no</noscript><template>no</template><svg><text>no</text></svg><aside>no</aside><footer>no</footer></body></html>`;

  it('gives title, headings as sections, and text only', () => {
    expect(extractHtml(page)).toEqual({
      title: 'The Kiln & I',
      sections: [
        { heading: 'The Kiln', text: 'First\nline <b> café.' },
        { heading: 'Its fire', text: 'peat\ncoal\nhard\nYear | 1803\nUse | lime' },
      ],
    });
  });

  it('keeps only the main part of a page that marks it', () => {
    const body = `${'Long enough text of the article. '.repeat(10)}`;
    const { sections } = extractHtml(`<p>Cookie banner</p><main><h1>A</h1><p>${body}</p></main><p>More links</p>`);
    expect(sections).toEqual([{ heading: 'A', text: body.trim() }]);
  });

  it('T1: markup that attacks becomes text or nothing', () => {
    const { sections } = extractHtml('<p>a<img src=x onerror=alert(1)>b</p><svg onload=alert(1)></svg><p>&lt;script&gt;alert(1)&lt;/script&gt;</p><script>alert(2)</script><iframe srcdoc="<p>x">in</iframe>');
    expect(sections.map((s) => s.text).join('\n')).toBe('ab\n<script>alert(1)</script>');
  });

  it('never throws, whatever the markup', () => {
    const piece = fc.constantFrom('<p>', '</p>', '<h1>', '</h2>', '<main>', '</main>', '<nav>', '</nav>', '<!--', '-->', '<script>', '</script>', '<td>', '&', '&amp;', 'text', '<', '>', '<br/>', '<title>', '"');
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 40 }), (pieces) => {
        expect(Array.isArray(extractHtml(pieces.join('')).sections)).toBe(true);
      }),
    );
  });

  it('heeds the declared character set where it is not UTF-8', async () => {
    const bytes = Uint8Array.from([...'<meta charset="iso-8859-2"><p>Ha'.split('').map((c) => c.charCodeAt(0)), 0xb9, ...'ek</p>'.split('').map((c) => c.charCodeAt(0))]);
    expect((await read('a.html', bytes)).sections[0]?.text).toBe('Hašek');
  });
});

describe('markdown', () => {
  it('gives headings as sections and plain text', async () => {
    const source = '---\ntitle: "Kiln notes"\n---\n# One *two*\n\nA [link](http://x) and `code` &amp; ![picture](i.png)\nsame paragraph.\n\n- a\n  - b\n\n| k | v |\n|---|---|\n| x | y |\n\nNext\n====\n\n> quote <script>bad()</script>\n\n```js\nlet a;\n```\n';
    const { title, sections, pages } = await read('a.md', source);
    expect({ title, sections, pages }).toEqual({
      title: 'Kiln notes',
      pages: null,
      sections: [
        { heading: 'One two', text: 'A link and code & same paragraph.\na\nb\nk | v\nx | y' },
        { heading: 'Next', text: 'quote\nlet a;' },
      ],
    });
  });

  it('takes the first heading as title where none is stated', async () => {
    expect((await read('a.md', '# Slate\n\ntext')).title).toBe('Slate');
  });
});

describe('pdf', () => {
  it('keeps pages and joins lines to paragraphs; words cut at a line end are put together', async () => {
    const pdf = makePdf([
      pdfLines(['The kiln at Aldmoor was fired with peat for more than two hun-', 'dred years before anybody thought of bringing coal from the coast.', 'It stood empty.']),
      pdfLines(['Page two tells of the mill.']),
    ], { title: 'Kilns of the Moor' });
    const { title, sections, pages } = await read('kiln.pdf', pdf);
    expect({ title, pages }).toEqual({ title: 'Kilns of the Moor', pages: 2 });
    expect(sections).toEqual([
      { heading: '', page: 1, text: 'The kiln at Aldmoor was fired with peat for more than two hundred years before anybody thought of bringing coal from the coast. It stood empty.' },
      { heading: '', page: 2, text: 'Page two tells of the mill.' },
    ]);
  });

  it('tells headings by their size and paragraphs by their distance', async () => {
    const pdf = makePdf([[
      { text: 'Chapter of Fire', y: 780, size: 18 },
      { text: 'Peat burns slowly and leaves much ash behind it in the grate.', y: 740 },
      { text: 'Coal burns hot.', y: 726 },
      { text: 'A paragraph apart.', y: 680 },
    ]]);
    expect((await read('a.pdf', pdf)).sections).toEqual([
      { heading: 'Chapter of Fire', page: 1, text: 'Peat burns slowly and leaves much ash behind it in the grate. Coal burns hot.\nA paragraph apart.' },
    ]);
  });

  it('drops running heads and page numbers', () => {
    const line = (text: string, y: number) => ({ text, x: 72, right: 500, y, height: 11 });
    const pages = [1, 2, 3, 4].map((n) => [line('Kilns of the Moor', 800), line(`Body ${['one', 'two', 'three', 'four'][n - 1] ?? ''}.`, 700), line(`${n}`, 40)]);
    expect(layOut(pages).map((s) => s.text)).toEqual(['Body one.', 'Body two.', 'Body three.', 'Body four.']);
  });

  it.each(['untitled', 'Microsoft Word - draft.docx', 'a.tex'])('does not take %s for a title', async (title) => {
    expect((await read('a.pdf', makePdf([pdfLines(['Text.'])], { title }))).title).toBe('');
  });

  it('calls a scan empty', async () => {
    await expect(read('scan.pdf', makePdf([[], []]))).rejects.toMatchObject({ code: 'document/empty' });
  });

  it('says that a password is needed', async () => {
    await expect(read('locked.pdf', makePdf([pdfLines(['Secret.'])], { encrypted: true }))).rejects.toMatchObject({
      code: 'document/unreadable',
      detail: { reason: 'it is protected by a password' },
    });
  });

  it.each<[string, Uint8Array<ArrayBuffer>]>([
    ['no PDF at all', new TextEncoder().encode('hello')],
    ['a PDF header alone', new TextEncoder().encode('%PDF-1.7\n%%EOF')],
    ['a PDF cut in half', makePdf([pdfLines(['Text.'])]).slice(0, 200)],
    ['noise after the header', Uint8Array.from({ length: 5000 }, (_, i) => (i < 5 ? '%PDF-'.charCodeAt(i) : (i * 91) % 256))],
  ])('refuses %s', async (_what, bytes) => {
    await expect(read('a.pdf', bytes)).rejects.toMatchObject({ code: expect.stringMatching(/^document\/(unreadable|empty)$/) as string });
  });

  it('refuses more pages than it reads', async () => {
    const pdf = makePdf(Array.from({ length: maxPages + 1 }, () => pdfLines(['Text.'])));
    await expect(read('a.pdf', pdf)).rejects.toMatchObject({ code: 'document/unreadable', detail: { reason: expect.stringContaining('3001 pages') as string } });
  });
});
