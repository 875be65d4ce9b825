import { expect, it } from 'vitest';
import { completed } from '../../../src/ui/completion.ts';

it.each([
  ['Who directed the great ga', 'The Great Gatsby', 'Who directed The Great Gatsby'],
  ['the great', 'Great Expectations', 'the Great Expectations'],
  ['who dire', 'directors', 'who directors'],
  ['Is gre\u0301t', 'Gréta', 'Is Gréta'],
  ['near (gre', 'Great Bend', 'near (Great Bend'],
  ['great  ex', 'Great Expectations', 'Great Expectations'],
  ['what is stras', 'Straße', 'what is Straße'],
  ['', 'Oslo', 'Oslo'],
])('%j with %j becomes %j', (text, completion, expected) => {
  expect(completed(text, completion)).toBe(expected);
});
