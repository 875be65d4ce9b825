/**
 * Constrained output: the JSON Schema that a grammar is made from, and the validation of what came back, whatever the engine promised. Apart from `llm.ts`, so that
 * what only starts a model does not load it.
 */
import type { GenericSchema, InferOutput } from 'valibot';
import { safeParse } from 'valibot';
import { toJsonSchema } from '@valibot/to-json-schema';
import { AppError } from '../errors.ts';
import { complete, type GenerateRequest, type GenerateResult, type JsonSchema, type Llm } from './llm.ts';

export type Decoded<T> =
  | { readonly ok: true; readonly value: T; readonly result: GenerateResult }
  | { readonly ok: false; readonly reason: string; readonly result: GenerateResult };

/**
 * One JSON value of `schema` from the model: constrained by the engine's grammar, then validated here whatever the engine promised.
 * A text that is not valid is data (`ok: false`), not an exception: the caller decides whether to repair, retry or fall back. No text at all is `engine/empty-output`.
 */
export async function completeJson<S extends GenericSchema>(
  llm: Llm,
  schema: S,
  request: Omit<GenerateRequest, 'schema'>,
  signal: AbortSignal,
  onText?: (delta: string) => void,
): Promise<Decoded<InferOutput<S>>> {
  const result = await complete(llm, { ...request, schema: jsonSchemaOf(schema) }, signal, onText);
  if (result.text.trim() === '') throw new AppError('engine/empty-output');
  const json = firstJsonValue(result.text);
  if (json === undefined) return { ok: false, reason: result.finish === 'length' ? 'the output was cut off' : 'the output is not JSON', result };
  const parsed = safeParse(schema, json);
  if (!parsed.success) return { ok: false, reason: parsed.issues.map((issue) => issue.message).join('; '), result };
  return { ok: true, value: parsed.output, result };
}

const schemaCache = new WeakMap<GenericSchema, JsonSchema>();

/** The JSON Schema that a grammar is made from; closed objects, all properties in the order they are declared. */
export function jsonSchemaOf(schema: GenericSchema): JsonSchema {
  let json = schemaCache.get(schema);
  if (json === undefined) {
    const { $schema: _, ...rest } = toJsonSchema(schema, { errorMode: 'ignore' }) as Record<string, unknown>;
    json = rest;
    schemaCache.set(schema, json);
  }
  return json;
}

/** The first complete JSON object or array in a text (engines without a grammar wrap it in prose or a code fence); undefined if there is none. */
function firstJsonValue(text: string): unknown {
  const start = text.search(/[{[]/);
  if (start < 0) return undefined;
  let depth = 0;
  let inString = false;
  for (let i = start; i < text.length; i++) {
    const c = text[i];
    if (inString) {
      if (c === '\\') i++;
      else if (c === '"') inString = false;
    } else if (c === '"') inString = true;
    else if (c === '{' || c === '[') depth++;
    else if (c === '}' || c === ']') {
      depth--;
      if (depth === 0) {
        try {
          return JSON.parse(text.slice(start, i + 1)) as unknown;
        } catch {
          return undefined;
        }
      }
    }
  }
  return undefined;
}
