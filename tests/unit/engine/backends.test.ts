/** The parts of the model backends that need no model: what is believed, how progress is read, words for JSON, counts without a tokenizer. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createEventQueue, estimateTokens, withSchemaInstruction } from '../../../src/engine/backends/backend.ts';
import { logSoftmaxAt } from '../../../src/engine/backends/transformers.ts';
import { readReport } from '../../../src/engine/backends/webllm.ts';
import { isSound } from '../../../src/engine/backends/wllama.ts';

describe('isSound', () => {
  it('believes confident words, not noise, nothing and no NaN', () => {
    expect(isSound([-0.1, -1.2, -0.01])).toBe(true);
    expect(isSound([-10.2, -9.8, -10.5])).toBe(false);
    expect(isSound([-0.1, Number.NaN])).toBe(false);
    expect(isSound([])).toBe(false);
  });
});

describe('readReport', () => {
  it('reads megabytes and share from the library prose', () => {
    const [done, { phase, total }] = readReport({ progress: 0.25, timeElapsed: 3, text: 'Fetching param cache[5/24]: 120MB fetched. 25% completed, 3 secs elapsed.' });
    expect([done, phase, total]).toEqual([120e6, 'downloading', 480e6]);
  });
  it('falls back to the share where no amount stands', () => {
    expect(readReport({ progress: 0.5, timeElapsed: 1, text: 'Loading GPU shader modules[1/2]' })).toMatchObject([0.5, { phase: 'loading', total: 1 }]);
    expect(readReport({ progress: 0, timeElapsed: 0, text: 'Fetching param cache: 1MB fetched' })).toMatchObject([1e6, { total: null }]);
  });
});

describe('withSchemaInstruction', () => {
  it('stands at the end of the last user message, so that the shared beginning stays', () => {
    const messages = [
      { role: 'system', content: 's' },
      { role: 'user', content: 'u' },
      { role: 'assistant', content: '{' },
    ] as const;
    const asked = withSchemaInstruction(messages, { type: 'object' });
    expect(asked.map((message) => message.role)).toEqual(['system', 'user', 'assistant']);
    expect(asked[1]?.content.startsWith('u\n\n')).toBe(true);
    expect(asked[1]?.content).toContain('{"type":"object"}');
    expect(withSchemaInstruction([], { type: 'object' })).toHaveLength(1);
  });
});

describe('createEventQueue', () => {
  it('gives every value in order, then the end or the failure', async () => {
    for (const failure of [null, new Error('broken')]) {
      const queue = createEventQueue<number>();
      queue.push(1);
      setTimeout(() => {
        queue.push(2);
        queue.push(3);
        if (failure === null) queue.end();
        else queue.fail(failure);
      });
      const seen: number[] = [];
      const outcome = (async () => {
        for await (const value of queue) seen.push(value);
      })().then(() => null, (error: unknown) => error);
      expect(await outcome).toBe(failure);
      expect(seen).toEqual([1, 2, 3]);
    }
  });
});

describe('counts and probabilities', () => {
  it('never counts less for more text', () => {
    fc.assert(fc.property(fc.string(), fc.string(), (a, b) => estimateTokens(a + b) >= estimateTokens(a)));
  });
  it('gives log-probabilities that sum to one, also for large logits', () => {
    fc.assert(
      fc.property(fc.array(fc.double({ min: -300, max: 300, noNaN: true }), { minLength: 1, maxLength: 30 }), (logits) => {
        const sum = logits.reduce((total, _, i) => total + Math.exp(logSoftmaxAt(logits, i)), 0);
        expect(sum).toBeCloseTo(1, 6);
      }),
    );
  });
});
