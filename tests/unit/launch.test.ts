import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { cutText, maxQuestionCharacters, parseLaunch } from '../../src/launch.ts';

describe('parseLaunch', () => {
  it('takes the question and nothing else', () => {
    expect(parseLaunch('?q=who%20built%20it%3F&host=https://evil.example&shard=//evil.example/x&model=m&run=1&endpoint=http://a&theme=dark#x')).toEqual({
      question: 'who built it?',
      isTrimmed: false,
      method: '',
    });
  });

  it.each([
    ['', ''],
    ['?', ''],
    ['?q', ''],
    ['?q=', ''],
    ['?Q=big', ''],
    ['?host=https://evil.example&question=x&url=//evil.example&shard=x&model=y', ''],
    ['?q=%', '%'],
    ['?q=%E0%A4%A', '%A'],
    ['?q=a+b', 'a b'],
    ['?q=first&q=second', 'first'],
    ['?q=%00a%0D%0Ab%1B', 'a b'],
    ['?q=%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E', '<img src=x onerror=alert(1)>'],
    ['?__proto__=x&q=ok', 'ok'],
  ])('%s gives %s', (search, question) => {
    expect(parseLaunch(search).question).toBe(question);
  });

  it.each([
    ['?method=ircot', 'ircot'],
    ['?method=self-ask&method=rag', 'self-ask'],
    ['?method=IRCoT', ''],
    ['?method=../x', ''],
    [`?method=${'a'.repeat(41)}`, ''],
    ['?method=', ''],
  ])('%s names the method %s', (search, method) => {
    expect(parseLaunch(search).method).toBe(method);
  });

  it('keeps the beginning of a question that is too long and says so', () => {
    const launch = parseLaunch(`?q=${'x'.repeat(1_000_000)}`);
    expect(launch.question).toBe('x'.repeat(maxQuestionCharacters));
    expect(launch.isTrimmed).toBe(true);
  });

  it('never throws and never gives more than a question may hold', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 300 }), (search) => {
        const { question } = parseLaunch(search);
        expect(question.length).toBeLessThanOrEqual(maxQuestionCharacters);
        expect(question).not.toMatch(/\p{Cc}/u);
        expect(question.isWellFormed()).toBe(true);
      }),
    );
  });
});

describe('cutText', () => {
  it('never leaves half of a surrogate pair', () => {
    expect(cutText('ab😀', 3)).toBe('ab');
    expect(cutText('ab😀', 4)).toBe('ab😀');
    fc.assert(fc.property(fc.string({ unit: 'grapheme' }), fc.nat(40), (text, limit) => cutText(text, limit).isWellFormed() && cutText(text, limit).length <= limit));
  });
});
