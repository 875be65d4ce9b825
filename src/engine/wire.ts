/**
 * The protocol between the main thread and a worker, as data: a call is opened, pulled until its last frame, and may be cancelled.
 * Pulling gives back-pressure by itself: a worker runs at most `frameWindow` items ahead of its reader. The mechanism is in `host.ts` and `serve.ts`.
 */
import { AppError, decodeWireError } from '../errors.ts';
import type { WireError } from '../errors.ts';

/** `item`s of a stream in order, `progress` in between (only the latest is kept), then exactly one `result` or `error`. */
export type Frame =
  | { readonly kind: 'item'; readonly value: unknown }
  | { readonly kind: 'progress'; readonly value: unknown }
  | { readonly kind: 'result'; readonly value: unknown }
  | { readonly kind: 'error'; readonly error: WireError };

/** Items that a stream may be ahead of its reader before its producer is held. */
export const frameWindow = 64;

/** What a worker exposes. `open` and `pull` resolve with at least one frame; after the last frame the call is forgotten. */
export interface WirePort {
  /** The name of the Web Lock that the worker holds as long as it lives; null where there are no Web Locks. */
  hello(): Promise<string | null>;
  open(id: number, method: string, input: unknown): Promise<readonly Frame[]>;
  pull(id: number): Promise<readonly Frame[]>;
  cancel(id: number): void;
}

/** What a method sees of its call. `signal` aborts when the caller stopped. `P` is plain data. */
export interface ServedCall<P = never> {
  readonly signal: AbortSignal;
  /** Overwrites a progress value that was not read yet. */
  progress(value: P): void;
  /** Hands the memory of these objects over with the next item or the result instead of copying it. */
  transfer(objects: readonly Transferable[]): void;
}

type Method<Api, M extends keyof Api> = Api[M] extends (...args: never) => unknown ? Api[M] : never;

/** Methods that answer once: `(input, call) => Promise<R>`. */
export type CallName<Api> = { [M in keyof Api]: Api[M] extends (...args: never) => Promise<unknown> ? M : never }[keyof Api] & string;
/** Methods that answer piece by piece: `(input, call) => AsyncIterable<E>`. */
export type StreamName<Api> = { [M in keyof Api]: Api[M] extends (...args: never) => AsyncIterable<unknown> ? M : never }[keyof Api] & string;
export type Input<Api, M extends keyof Api> = Parameters<Method<Api, M>> extends [infer I, ...unknown[]] ? I : undefined;
export type Output<Api, M extends keyof Api> = Awaited<ReturnType<Method<Api, M>>>;
export type Item<Api, M extends keyof Api> = ReturnType<Method<Api, M>> extends AsyncIterable<infer E> ? E : never;
export type ProgressOf<Api, M extends keyof Api> = Parameters<Method<Api, M>> extends [unknown, ServedCall<infer P>] ? P : never;

/** Decodes what came through a port; throws `engine/protocol`. */
export function decodeFrames(value: unknown): readonly Frame[] {
  if (!Array.isArray(value) || value.length === 0) throw new AppError('engine/protocol', { what: 'no frames' });
  return value.map((frame: unknown): Frame => {
    const f = typeof frame === 'object' && frame !== null ? (frame as Record<string, unknown>) : {};
    switch (f['kind']) {
      case 'item':
      case 'progress':
      case 'result':
        return { kind: f['kind'], value: f['value'] };
      case 'error':
        return { kind: 'error', error: decodeWireError(f['error']) };
      default:
        throw new AppError('engine/protocol', { what: `unknown frame ${String(f['kind'])}` });
    }
  });
}
