/**
 * The error catalogue. Owns every error code, its message and its transport between threads.
 * An expected failure is an `AppError`; a programmer error is a plain throw; an abort is a `DOMException` named `AbortError`.
 */

/** Code → what happened and what the user can do. `{name}` is filled from `detail`. `retryable`: the same call may work later. */
const catalogue = {
  'engine/worker-died': ['The {worker} worker stopped unexpectedly. Its work was kept up to the last finished step; ask again to continue.', true],
  'engine/worker-load': ['The {worker} worker could not be loaded. Check the connection and press Retry; searching by words still works.', true],
  'engine/worker-silent': ['The {worker} worker did not answer for {seconds} s and was restarted. Try again.', true],
  'engine/protocol': ['A message between parts of the app could not be understood ({what}). Reload the page.', false],
  'engine/not-loaded': ['No language model is loaded. Load one under Models, or use the search results as they are.', false],
  'engine/load-failed': ['The model {model} could not be started by {backend}: {reason}. Another backend is tried where there is one.', true],
  'engine/not-finite': ['The model produced numbers that are not finite, so its output is not used ({what}).', true],
  'engine/empty-output': ['The model returned no text. Try again, or choose another model.', true],
  'engine/bad-output': ['The model did not return what was asked for ({what}).', true],
  'engine/context-full': ['The text is longer than the model can read ({tokens} of {limit} tokens). Shorten the question or choose a model with a longer context.', false],
  'engine/endpoint': ['The model endpoint at {url} answered {status}. Check the address, the model name and that it allows requests from this page.', true],
  'device/no-webgpu': ['This browser offers no WebGPU. Models run on the CPU instead; searching works as usual.', false],
  'device/no-adapter': ['The browser has WebGPU but found no graphics adapter. Models run on the CPU instead.', false],
  'device/no-f16': ['The graphics adapter lacks shader-f16, so only the 32-bit variants of models are offered.', false],
  'device/lost': ['The graphics device was lost. The plan and the passages are kept; the step is run again.', true],
  'device/limits': ['This device is too small for {model}: {reason}.', false],
  'embed/mismatch': ['The embedding model gives wrong vectors on this device (similarity {similarity}). It is not used; search goes by words only.', false],
  'embed/wrong-model': ['The shard was made with the embedder {expected} ({expectedDimensions} dimensions), but {actual} ({actualDimensions}) is loaded. Load the right one for meaning-based search; search by words works.', false],
  'shard/not-a-shard': ['{what} is not a Foray shard: {reason}. Check the address or the folder.', false],
  'shard/version': ['This shard has format version {version}; this app reads version {supported}. {action}', false],
  'shard/manifest': ['The shard manifest is not valid: {reason}. Nothing was imported.', false],
  'shard/checksum': ['The shard part {part} is damaged (its checksum differs). Import again: only this part is fetched anew.', true],
  'shard/truncated': ['The shard part {part} is shorter than announced ({got} of {expected} bytes). Import again to fetch the rest.', true],
  'shard/part-missing': ['The shard part {part} could not be found (status {status}). Nothing of it was kept; tell whoever publishes the shard.', false],
  'shard/part-invalid': ['The shard part {part} is not valid: {reason}. Nothing of it is used; tell whoever publishes the shard.', false],
  'shard/dimensions': ['The vectors in {part} have {got} dimensions, the manifest announces {expected}. The shard was not imported.', false],
  'shard/not-found': ['The library holds no shard named {id}.', false],
  'download/network': ['The download of {file} broke off ({reason}). What was fetched is kept; press Resume.', true],
  'download/status': ['The server answered {status} for {file}.', true],
  'download/not-found': ['{file} is not there (status {status}).', false],
  'download/size': ['{file} has {got} bytes instead of {expected}, so it was discarded.', true],
  'download/checksum': ['{file} is not the expected file (its checksum differs), so it was discarded.', true],
  'download/not-expected': ['Instead of {file} the server sent a web page. You may have to sign in to this network first.', true],
  'storage/quota': ['The browser has no room left for {what} ({neededMB} MB needed). Delete something in the Library and try again; what was finished is kept.', true],
  'storage/newer': ['The stored library was written by a newer version of Foray. Reload the page to get that version; nothing was changed.', false],
  'storage/closed': ['The connection to the stored library was closed, and a second try failed. Reload the page.', true],
  'document/unsupported': ['{name} cannot be read: {type} is not one of .txt, .md, .html, .pdf, .csv, .tsv.', false],
  'document/empty': ['{name} holds no text. If it is a scan, it needs text recognition first.', false],
  'document/unreadable': ['{name} could not be read: {reason}.', false],
  'document/too-large': ['{name} is larger than {limitMB} MB. Split it and add the parts.', false],
  'document/not-found': ['The library holds no document {id}.', false],
  'question/empty': ['Type a question first.', false],
  'run/busy': ['A question is being answered already. Stop it first.', true],
  'run/gone': ['The earlier run is no longer stored on this device. Ask the question again.', false],
  'run/unknown-method': ['There is no method named {method}.', false],
  'lab/bad-row': ['{unit} {line} of {file} is not {what}: {reason}. Correct the file and start again.', false],
  'lab/bad-config': ['{file} is not a plan for a benchmark run: {reason}. Correct it and start again.', false],
  'lab/over-budget': ['The question took more than {tokens} tokens and was stopped. Allow more, or use a method that needs fewer.', false],
  'lab/timeout': ['The question was not answered within {seconds} s and was stopped. Give it more time or use a smaller model.', true],
  'lab/page-lost': ['The page that answered the question was lost ({reason}). It counts as failed; the run goes on in a new page.', true],
  'learning/bad-data': ['{what} is not valid: {reason}. It is not used.', false],
  'learning/too-few': ['Learning needs at least {needed} confirmed answers; there are {have}. Confirm or correct answers of earlier questions first.', false],
  'learning/not-accepted': ['The part {part} has not passed its check yet, so it cannot be switched on.', false],
  'learning/run-gone': ['This session is no longer in the history.', false],
  'run/plan-invalid': ['The plan is not valid: {reason}.', false],
} as const satisfies Record<string, readonly [string, boolean]>;

export type ErrorCode = keyof typeof catalogue;
export const errorCodes = Object.keys(catalogue) as readonly ErrorCode[];

export type ErrorDetail = Readonly<Record<string, string | number | boolean | null>>;

/** An expected failure. `message` is ready for the user: what happened and what to do. */
export class AppError extends Error {
  override readonly name = 'AppError';
  readonly retryable: boolean;
  constructor(
    readonly code: ErrorCode,
    readonly detail: ErrorDetail = {},
    options?: { cause?: unknown },
  ) {
    super(fill(catalogue[code][0], detail), options);
    this.retryable = catalogue[code][1];
  }
}

function fill(template: string, detail: ErrorDetail): string {
  return template.replace(/\{(\w+)\}/g, (_, key: string) => String(detail[key] ?? '?'));
}

/** An error as plain data, for a thread border, the event log or a file. */
export type WireError =
  | { readonly kind: 'app'; readonly code: ErrorCode; readonly detail: ErrorDetail; readonly message: string; readonly retryable: boolean }
  | { readonly kind: 'abort' }
  | { readonly kind: 'bug'; readonly name: string; readonly message: string; readonly stack: string };

export function isAbort(error: unknown): boolean {
  return typeof error === 'object' && error !== null && (error as { name?: unknown }).name === 'AbortError';
}

export function abortError(): DOMException {
  return new DOMException('The operation was stopped.', 'AbortError');
}

export function toWire(error: unknown): WireError {
  if (error instanceof AppError) return { kind: 'app', code: error.code, detail: error.detail, message: error.message, retryable: error.retryable };
  if (isAbort(error)) return { kind: 'abort' };
  if (error instanceof Error) return { kind: 'bug', name: error.name, message: error.message, stack: error.stack ?? '' };
  return { kind: 'bug', name: 'Error', message: String(error), stack: '' };
}

export function fromWire(wire: WireError): Error {
  switch (wire.kind) {
    case 'app':
      return new AppError(wire.code, wire.detail);
    case 'abort':
      return abortError();
    case 'bug': {
      const error = new Error(wire.message);
      error.name = wire.name;
      error.stack = wire.stack;
      return error;
    }
  }
}

/** Decodes what claims to be a `WireError`; anything else becomes a `bug` that says so. */
export function decodeWireError(value: unknown): WireError {
  if (typeof value === 'object' && value !== null) {
    const v = value as Record<string, unknown>;
    if (v['kind'] === 'abort') return { kind: 'abort' };
    if (v['kind'] === 'app' && typeof v['code'] === 'string' && v['code'] in catalogue) {
      const detail = typeof v['detail'] === 'object' && v['detail'] !== null ? (v['detail'] as ErrorDetail) : {};
      return toWire(new AppError(v['code'] as ErrorCode, detail));
    }
    if (v['kind'] === 'bug') return { kind: 'bug', name: String(v['name']), message: String(v['message']), stack: typeof v['stack'] === 'string' ? v['stack'] : '' };
  }
  return { kind: 'bug', name: 'Error', message: `unreadable error: ${String(value)}`, stack: '' };
}
