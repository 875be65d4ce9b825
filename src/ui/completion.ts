/** Puts a completion in the place of the words that it continues. Pure. */

const folded = (text: string): string => text.normalize('NFKD').replace(/\p{M}+/gu, '').toLowerCase().replace(/\s+/g, ' ');

/** `text`: the question up to the caret. The longest run of last words that the completion begins with is replaced, else the last word. */
export function completed(text: string, completion: string): string {
  const whole = folded(completion);
  const starts = Array.from(text.matchAll(/[\p{L}\p{N}][^\s]*/gu), (match) => match.index);
  const start = starts.find((at) => whole.startsWith(folded(text.slice(at)))) ?? starts.at(-1) ?? text.length;
  return text.slice(0, start) + completion;
}
