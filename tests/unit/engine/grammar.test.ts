/** The grammar made of a schema: what it accepts is checked by a small interpreter of the notation, on values that fast-check makes from the same schema. */
import fc from 'fast-check';
import * as v from 'valibot';
import { describe, expect, it } from 'vitest';
import { grammarOf, literal } from '../../../src/engine/grammar.ts';
import { jsonSchemaOf } from '../../../src/engine/constrained.ts';

/** Turns a grammar of ours into a regular expression: its rules are not recursive. */
function asRegExp(grammar: string): RegExp {
  const rules = new Map(grammar.split('\n').map((line) => line.split(/ ::= (.*)/s).slice(0, 2) as [string, string]));
  const body = (name: string): string => {
    const text = rules.get(name);
    if (text === undefined) throw new Error(`no rule ${name}`);
    let out = '';
    for (let i = 0; i < text.length; ) {
      const c = text[i] ?? '';
      if (c === '"') {
        let s = '';
        for (i++; text[i] !== '"'; i++) {
          if (text[i] === '\\') s += { n: '\n', r: '\r', t: '\t' }[text[++i] ?? ''] ?? text[i];
          else s += text[i];
        }
        i++;
        out += `(?:${s.replace(/[.*+?^${}()|[\]\\/]/g, '\\$&')})`;
      } else if (c === '[') {
        const end = /(?<!\\)\]/.exec(text.slice(i))?.index ?? 0;
        out += text.slice(i, i + end + 1).replace(/^\[(\^?)(.*)\]$/s, (_, not: string, set: string) => `[${not}${set.replace(/(?<!\\)\[/g, '\\[')}]`);
        i += end + 1;
      } else if (/[a-z]/.test(c)) {
        const name = /^[a-z]+[0-9]*/.exec(text.slice(i))?.[0] ?? '';
        out += `(?:${body(name)})`;
        i += name.length;
      } else if (c === '(') {
        out += '(?:';
        i++;
      } else {
        if (c !== ' ') out += c;
        i++;
      }
    }
    return out;
  };
  return new RegExp(`^(?:${body('root')})$`, 's');
}

/** One line, one space after `,` and `:`. */
function spaced(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(spaced).join(', ')}]`;
  if (typeof value === 'object' && value !== null) return `{${Object.entries(value).map(([k, x]) => `${JSON.stringify(k)}: ${spaced(x)}`).join(', ')}}`;
  return JSON.stringify(value);
}

const plan = v.strictObject({
  steps: v.pipe(
    v.array(
      v.strictObject({
        id: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(6)),
        q: v.pipe(v.string(), v.minLength(1), v.maxLength(40)),
        deps: v.pipe(v.array(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(6))), v.maxLength(3)),
        type: v.picklist(['person', 'place "x"', 'other']),
      }),
    ),
    v.minLength(1),
    v.maxLength(3),
  ),
  op: v.union([v.literal('answer'), v.literal('compare')]),
  sure: v.boolean(),
  score: v.nullable(v.number()),
});

const text = (max: number): fc.Arbitrary<string> => fc.string({ unit: 'grapheme', maxLength: max }).filter((s) => s.isWellFormed() && [...s].length <= max);
const planValue = fc.record({
  steps: fc.array(
    fc.record({
      id: fc.integer({ min: 1, max: 6 }),
      q: text(20).filter((s) => s.length > 0),
      deps: fc.array(fc.integer({ min: 1, max: 6 }), { maxLength: 3 }),
      type: fc.constantFrom('person', 'place "x"', 'other'),
    }),
    { minLength: 1, maxLength: 3 },
  ),
  op: fc.constantFrom('answer', 'compare'),
  sure: fc.boolean(),
  score: fc.oneof(fc.constant(null), fc.integer({ min: -1e9, max: 1e9 })),
});

describe('grammarOf', () => {
  const grammar = grammarOf(jsonSchemaOf(plan)) ?? '';
  const pattern = asRegExp(grammar);

  it('accepts every value of the schema, spaced in the one way', () => {
    fc.assert(
      fc.property(planValue, (value) => {
        // JSON may write a character as itself or escaped; ours writes no raw control character.
        expect(pattern.test(spaced(value).replace(/\x7f/g, '\\u007f'))).toBe(true);
      }),
    );
  });

  it('refuses values that are not of the schema', () => {
    const good = { steps: [{ id: 1, q: 'Who?', deps: [], type: 'person' }], op: 'answer', sure: true, score: null };
    expect(pattern.test(spaced(good))).toBe(true);
    const bad: readonly unknown[] = [
      { ...good, steps: [] },
      { ...good, steps: Array.from({ length: 4 }, () => good.steps[0]) },
      { ...good, steps: [{ ...good.steps[0], id: 7 }] },
      { ...good, steps: [{ ...good.steps[0], q: '' }] },
      { ...good, steps: [{ ...good.steps[0], q: 'x'.repeat(41) }] },
      { ...good, steps: [{ ...good.steps[0], type: 'animal' }] },
      { ...good, op: 'other' },
      { ...good, more: 1 },
      { ...good, score: 'high' },
      { steps: good.steps, op: 'answer', sure: true },
    ];
    for (const value of bad) expect(pattern.test(spaced(value)), spaced(value)).toBe(false);
    expect(pattern.test(JSON.stringify(good, null, 2))).toBe(false);
  });

  it('accepts exactly the subsets of optional members, in order', () => {
    const schema = jsonSchemaOf(v.strictObject({ a: v.optional(v.literal(1)), b: v.literal(2), c: v.optional(v.literal(3)), d: v.optional(v.literal(4)) }));
    const optional = asRegExp(grammarOf(schema) ?? '');
    for (let bits = 0; bits < 16; bits++) {
      const value = Object.fromEntries(['a', 'b', 'c', 'd'].filter((_, i) => bits & (1 << i)).map((key) => [key, key.charCodeAt(0) - 96]));
      expect(optional.test(spaced(value)), spaced(value)).toBe('b' in value);
    }
    expect(optional.test('{"b": 2, "a": 1}')).toBe(false);
    const none = asRegExp(grammarOf(jsonSchemaOf(v.strictObject({ a: v.optional(v.literal(1)), b: v.optional(v.literal(2)) }))) ?? '');
    for (const value of ['{}', '{"a": 1}', '{"b": 2}', '{"a": 1, "b": 2}']) expect(none.test(value), value).toBe(true);
    for (const value of ['{, "b": 2}', '{"a": 1, }', '{"b": 2, "a": 1}']) expect(none.test(value), value).toBe(false);
  });

  it('leaves to the engine what it does not cover', () => {
    for (const schema of [{ $ref: '#/x' }, { type: 'string', pattern: 'a+' }, { type: 'object', properties: {}, additionalProperties: { type: 'string' } }, {}, { type: 'thing' }]) {
      expect(grammarOf(schema)).toBeNull();
    }
  });

  it('writes terminals that keep quotes, backslashes and line breaks', () => {
    expect(literal('a "b" \\ \n')).toBe('"a \\"b\\" \\\\ \\n"');
  });
});
