/**
 * JSON Schema → the grammar notation of llama.cpp (GBNF), for the part of JSON Schema that our own requests use. Pure. The JSON comes out on one line with one
 * space after `,` and `:`: the engine's own conversion allows line breaks and indentation, which cost a small model half of its tokens.
 */
import type { JsonSchema } from './llm.ts';

/** Longest bounded string that is bounded in the grammar; a longer bound is left to the validation afterwards (each character costs a rule). */
const longestBound = 400;

/** null where the schema says something that is not covered (`$ref`, `pattern`, open objects, …): the engine's own conversion is the fallback then. */
export function grammarOf(schema: JsonSchema): string | null {
  const rules = new Map<string, string>();
  try {
    rules.set('root', expression(schema, rules));
  } catch (error) {
    if (error instanceof NotCovered) return null;
    throw error;
  }
  return [...rules].map(([name, body]) => `${name} ::= ${body}`).join('\n');
}

class NotCovered extends Error {}

type Rules = Map<string, string>;

const annotations = new Set(['type', 'title', 'description', 'default', 'examples', '$schema', '$id', '$comment']);
const keywordsOf: Readonly<Record<string, readonly string[]>> = {
  string: ['minLength', 'maxLength'],
  integer: ['minimum', 'maximum'],
  number: ['minimum', 'maximum'],
  boolean: [],
  null: [],
  array: ['items', 'prefixItems', 'minItems', 'maxItems', 'additionalItems'],
  object: ['properties', 'required', 'additionalProperties'],
};

function expression(schema: unknown, rules: Rules): string {
  if (!isRecord(schema)) throw new NotCovered();
  if ('const' in schema) return literal(JSON.stringify(schema['const']));
  const { enum: values, anyOf, oneOf } = schema;
  if (Array.isArray(values)) return group(values.map((value) => literal(JSON.stringify(value))));
  const alternatives = Array.isArray(anyOf) ? anyOf : Array.isArray(oneOf) ? oneOf : null;
  if (alternatives !== null) return group(alternatives.map((alternative: unknown) => expression(alternative, rules)));
  const { type } = schema;
  if (Array.isArray(type)) return group(type.map((one: unknown) => expression({ ...schema, type: one }, rules)));
  if (typeof type !== 'string' || keywordsOf[type] === undefined) throw new NotCovered();
  for (const key of Object.keys(schema)) if (!annotations.has(key) && !keywordsOf[type].includes(key)) throw new NotCovered();
  switch (type) {
    case 'string':
      return stringExpression(schema, rules);
    case 'integer':
    case 'number':
      return numberExpression(schema, type, rules);
    case 'boolean':
      return '("true" | "false")';
    case 'null':
      return '"null"';
    case 'array':
      return arrayExpression(schema, rules);
    case 'object':
      return objectExpression(schema, rules);
    default:
      throw new NotCovered();
  }
}

function stringExpression(schema: Record<string, unknown>, rules: Rules): string {
  rules.set('char', String.raw`[^"\\\x7F\x00-\x1F] | "\\" (["\\bfnrt/] | "u" [0-9a-fA-F]{4})`);
  const least = count(schema['minLength'], 0);
  const most = count(schema['maxLength'], Infinity);
  return `"\\"" char${repeat(least <= longestBound ? least : 0, most <= longestBound ? most : Infinity)} "\\""`;
}

function numberExpression(schema: Record<string, unknown>, type: 'integer' | 'number', rules: Rules): string {
  const { minimum, maximum } = schema;
  const least = typeof minimum === 'number' ? minimum : -Infinity;
  const most = typeof maximum === 'number' ? maximum : Infinity;
  if (type === 'integer' && most - least <= 100) {
    const values: string[] = [];
    for (let value = Math.ceil(least); value <= most; value++) values.push(literal(String(value)));
    if (values.length === 0) throw new NotCovered();
    return group(values);
  }
  rules.set('digits', '"0" | [1-9] [0-9]{0,14}');
  const sign = least >= 0 ? '' : '"-"? ';
  return type === 'integer' ? `${sign}digits` : `${sign}digits ("." [0-9]{1,10})?`;
}

function arrayExpression(schema: Record<string, unknown>, rules: Rules): string {
  const { prefixItems, items } = schema;
  if (Array.isArray(prefixItems)) {
    if (items !== undefined && items !== false) throw new NotCovered();
    return ['"["', prefixItems.map((item: unknown) => expression(item, rules)).join(' ", " '), '"]"'].join(' ');
  }
  const least = count(schema['minItems'], 0);
  const most = count(schema['maxItems'], Infinity);
  if (most === 0) return '"[]"';
  const item = named('item', expression(items, rules), rules);
  const more = `(", " ${item})${repeat(Math.max(0, least - 1), most - 1)}`;
  return least > 0 ? `"[" ${item} ${more} "]"` : `"[" (${item} ${more})? "]"`;
}

function objectExpression(schema: Record<string, unknown>, rules: Rules): string {
  const { properties, required, additionalProperties } = schema;
  if (!isRecord(properties) || (additionalProperties !== undefined && additionalProperties !== false)) throw new NotCovered();
  const needed = new Set<unknown>(Array.isArray(required) ? required : []);
  const members = Object.entries(properties).map(([key, value]) => ({
    body: `${literal(`${JSON.stringify(key)}: `)} ${expression(value, rules)}`,
    isNeeded: needed.has(key),
  }));
  // From the last member backwards: what may follow when a member stands before it, and when none does.
  let [after, first] = ['', ''];
  for (const { body, isNeeded } of members.toReversed()) {
    const rest = after === '' ? '' : ` ${after}`;
    const withComma = `", " ${body}${rest}`;
    const without = `${body}${rest}`;
    const nextFirst = isNeeded ? without : first === '' ? `(${without})?` : `(${without} | ${first})`;
    after = isNeeded ? withComma : named('more', after === '' ? `(${withComma})?` : `${withComma} | ${after}`, rules);
    first = isNeeded ? nextFirst : named('first', nextFirst, rules);
  }
  return ['"{"', first, '"}"'].filter((part) => part !== '').join(' ');
}

/** A rule of its own for what is used twice. */
function named(kind: string, body: string, rules: Rules): string {
  for (const [name, known] of rules) if (known === body && name.startsWith(kind)) return name;
  const name = `${kind}${rules.size}`;
  rules.set(name, body);
  return name;
}

function repeat(least: number, most: number): string {
  if (most === Infinity) return least === 0 ? '*' : `{${least},}`;
  return `{${least},${most}}`;
}

function group(alternatives: readonly string[]): string {
  if (alternatives.length === 0) throw new NotCovered();
  return alternatives.length === 1 ? (alternatives[0] ?? '') : `(${alternatives.join(' | ')})`;
}

function count(value: unknown, otherwise: number): number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 ? value : otherwise;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A text as a terminal. */
export function literal(text: string): string {
  const escaped = text.replace(/[\\"\n\r\t]/g, (c) => ({ '\\': '\\\\', '"': '\\"', '\n': '\\n', '\r': '\\r', '\t': '\\t' })[c] ?? c);
  return `"${escaped}"`;
}
