/**
 * Text generation by transformers.js: ONNX models on WebGPU (also without shader-f16), else on WASM. It has no grammar: JSON is asked for in words and checked
 * by the caller. No prefix is kept between calls.
 */
import {
  AutoModelForCausalLM,
  AutoTokenizer,
  LogitsProcessor,
  LogitsProcessorList,
  StoppingCriteria,
  StoppingCriteriaList,
  Tensor,
  TextStreamer,
  random,
} from '@huggingface/transformers';
import { AppError, abortError } from '../../errors.ts';
import { createProgressMeter } from '../../progress.ts';
import { probeGpu } from '../device.ts';
import { nextTurn } from '../next-turn.ts';
import type { GenerateEvent, GenerateRequest, GenerateResult, Llm, LlmInfo, Message, TokenLogprob } from '../llm.ts';
import type { LlmLoadRequest } from '../worker-api.ts';
import { createEventQueue, generationError, loading, withSchemaInstruction } from './backend.ts';
import type { OpenBackend } from './backend.ts';
import { dtypeOf, prepareOrt, whileDeviceLives } from './ort.ts';

type Tokenizer = Awaited<ReturnType<typeof AutoTokenizer.from_pretrained>>;
type Model = Awaited<ReturnType<typeof AutoModelForCausalLM.from_pretrained>>;

export const openTransformers: OpenBackend = (request, { signal, onProgress }) =>
  loading(request, signal, async () => {
    const meter = createProgressMeter('bytes', () => performance.now());
    const total = Object.values(request.files).reduce((sum, blob) => sum + blob.size, 0);
    onProgress(meter.update(0, { phase: 'loading', item: request.label, total }));
    const { tokenizer, model, device } = await openModel(request);
    onProgress(meter.update(total, { phase: 'done' }));

    const info: LlmInfo = {
      backend: 'transformers',
      modelId: request.modelId,
      label: request.label,
      device,
      threads: device === 'wasm' ? request.threads : 1,
      contextTokens: request.contextTokens,
      parallelSlots: 1,
      can: { grammar: false, logprobs: true, score: true, prefixCache: false },
    };
    const llm: Llm = {
      info,
      async *generate(generateRequest, callerSignal) {
        yield* generate(tokenizer, model, info, generateRequest, callerSignal);
      },
      async score(messages, continuation, callerSignal) {
        callerSignal.throwIfAborted();
        return score(tokenizer, model, messages, continuation);
      },
      countTokens: async (text) => tokenizer.encode(text, { add_special_tokens: false }).length,
      async dispose() {
        await model.dispose();
      },
    };
    return llm;
  });

async function openModel(request: LlmLoadRequest): Promise<{ tokenizer: Tokenizer; model: Model; device: 'webgpu' | 'wasm' }> {
  const dtype = dtypeOf(request.files);
  const probe = request.useGpu ? await probeGpu() : null;
  // 4-bit weights with 16-bit arithmetic load without shader-f16 and fail at the first run.
  const useGpu = probe !== null && probe.gpu !== null && (probe.gpu.f16 || (dtype !== 'q4f16' && dtype !== 'fp16'));
  prepareOrt({ modelId: request.modelId, files: request.files, webgpu: useGpu, threads: request.threads });
  const tokenizer = await AutoTokenizer.from_pretrained(request.modelId);
  if (useGpu) {
    try {
      return { tokenizer, model: await AutoModelForCausalLM.from_pretrained(request.modelId, { device: 'webgpu', dtype }), device: 'webgpu' };
    } catch (error) {
      // The CPU has no kernels for 16-bit weights.
      if (dtype === 'fp16') throw error;
    }
  }
  return { tokenizer, model: await AutoModelForCausalLM.from_pretrained(request.modelId, { device: 'wasm', dtype }), device: 'wasm' };
}

async function* generate(tokenizer: Tokenizer, model: Model, info: LlmInfo, request: GenerateRequest, signal: AbortSignal): AsyncGenerator<GenerateEvent> {
  signal.throwIfAborted();
  const messages = request.schema === undefined ? request.messages : withSchemaInstruction(request.messages, request.schema);
  const ids = tokenizer.encode(promptText(tokenizer, messages), { add_special_tokens: false });
  const room = info.contextTokens - ids.length;
  if (room < 1) throw new AppError('engine/context-full', { tokens: ids.length, limit: info.contextTokens });

  const queue = createEventQueue<GenerateEvent>();
  const stop = new StopAtText(request.stop ?? [], signal);
  const probabilities = request.logprobs === true ? new RecordLogits() : null;
  const logprobs: TokenLogprob[] = [];
  let outputTokens = 0;
  let prefillMs: number | null = null;
  const start = performance.now();
  const maxTokens = Math.min(request.maxTokens, room);
  const endIds = new Set([model.generation_config?.eos_token_id ?? []].flat().map(Number));

  const streamer = new TextStreamer(tokenizer, {
    skip_prompt: true,
    skip_special_tokens: true,
    callback_function: (text: string) => {
      const delta = stop.take(text);
      if (delta !== '') queue.push({ kind: 'text', delta });
    },
    token_callback_function: (tokens: bigint[]) => {
      prefillMs ??= performance.now() - start;
      for (const token of tokens) {
        if (endIds.has(Number(token))) stop.isEnded = true;
        else outputTokens++;
        if (probabilities !== null) logprobs.push({ token: tokenizer.decode([Number(token)]), logprob: probabilities.of(Number(token)) });
      }
    },
  });
  if (request.seed !== undefined) (random as { seed(value: number): void }).seed(request.seed);
  const processors = new LogitsProcessorList();
  processors.push(new RefuseNotFinite());
  if (probabilities !== null) processors.push(probabilities);
  const criteria = new StoppingCriteriaList();
  criteria.push(stop);

  const forward = model.forward.bind(model) as (inputs: unknown) => Promise<unknown>;
  // The runtime computes on this thread: without a turn of the event loop no stop message would ever be read.
  model.forward = async (inputs: unknown) => {
    await nextTurn();
    if (signal.aborted) throw abortError();
    return whileDeviceLives(forward(inputs));
  };
  const temperature = request.temperature ?? 0;
  const done = model
    .generate({
      inputs: idTensor(ids),
      attention_mask: onesTensor(ids.length),
      max_new_tokens: maxTokens,
      do_sample: temperature > 0,
      ...(temperature > 0 ? { temperature } : {}),
      ...(request.topP === undefined ? {} : { top_p: request.topP }),
      streamer,
      logits_processor: processors,
      stopping_criteria: criteria,
    })
    .then(
      () => queue.end(),
      (error: unknown) => queue.fail(error),
    );
  try {
    yield* queue;
    const rest = stop.flush();
    if (rest !== '') yield { kind: 'text', delta: rest };
  } catch (error) {
    if (signal.aborted) throw abortError();
    throw generationError('transformers', error);
  } finally {
    stop.isEnded = true;
    await done;
    model.forward = forward;
  }
  if (signal.aborted) throw abortError();
  const finish: GenerateResult['finish'] = stop.hasFinished || outputTokens < maxTokens ? 'stop' : 'length';
  yield {
    kind: 'finished',
    result: {
      text: stop.text,
      finish,
      usage: { promptTokens: ids.length, cachedTokens: 0, outputTokens },
      logprobs: probabilities === null ? null : logprobs,
      prefillMs,
      decodeMs: prefillMs === null ? null : performance.now() - start - prefillMs,
    },
  };
}

/** The chat template applied; a trailing assistant message is left open to be continued. */
function promptText(tokenizer: Tokenizer, messages: readonly Message[]): string {
  const last = messages.at(-1);
  const isOpen = last?.role === 'assistant';
  const closed = (isOpen ? messages.slice(0, -1) : messages).map(({ role, content }) => ({ role, content }));
  const text = tokenizer.apply_chat_template(closed, { tokenize: false, add_generation_prompt: true });
  if (typeof text !== 'string') throw new AppError('engine/bad-output', { what: 'the chat template' });
  return isOpen ? text + last.content : text;
}

/** One forward pass over prompt and continuation, all probabilities of the continuation read (METHODS Appendix B). */
async function score(tokenizer: Tokenizer, model: Model, messages: readonly Message[], continuation: string): ReturnType<Llm['score']> {
  const prompt = promptText(tokenizer, messages);
  const prefix = tokenizer.encode(prompt, { add_special_tokens: false });
  const all = tokenizer.encode(prompt + continuation, { add_special_tokens: false });
  // Merges may cross the border: what differs from the prefix counts as continuation.
  let border = 0;
  while (border < prefix.length && prefix[border] === all[border]) border++;
  const tokens = all.length - border;
  if (tokens === 0 || border === 0) return { sum: 0, mean: 0, tokens: 0, method: 'exact' };
  const output: unknown = await whileDeviceLives(
    model.forward({
      input_ids: idTensor(all),
      attention_mask: onesTensor(all.length),
      num_logits_to_keep: new Tensor('int64', BigInt64Array.of(BigInt(tokens + 1)), []),
    }),
  );
  const logits = (output as { logits?: { dims: number[]; data: Float32Array } }).logits;
  const rows = logits?.dims[1] ?? 0;
  const size = logits?.dims[2] ?? 0;
  if (logits === undefined || rows < tokens + 1) return null;
  let sum = 0;
  for (let i = 0; i < tokens; i++) {
    const at = (rows - 1 - tokens + i) * size;
    sum += logSoftmaxAt(logits.data.subarray(at, at + size), all[border + i] ?? 0);
  }
  if (!Number.isFinite(sum)) throw new AppError('engine/not-finite', { what: 'the score of a continuation' });
  return { sum, mean: sum / tokens, tokens, method: 'exact' };
}

export function logSoftmaxAt(logits: ArrayLike<number>, index: number): number {
  let max = -Infinity;
  for (let i = 0; i < logits.length; i++) max = Math.max(max, logits[i] ?? -Infinity);
  let sum = 0;
  for (let i = 0; i < logits.length; i++) sum += Math.exp((logits[i] ?? -Infinity) - max);
  return (logits[index] ?? -Infinity) - max - Math.log(sum);
}

function idTensor(ids: readonly number[]): Tensor {
  return new Tensor('int64', BigInt64Array.from(ids, BigInt), [1, ids.length]);
}

function onesTensor(length: number): Tensor {
  return new Tensor('int64', new BigInt64Array(length).fill(1n), [1, length]);
}

interface LogitsTensor {
  readonly data: Float32Array;
}

/** A driver fault shows as NaN or infinity in the logits; sampling from them would give garbage without an error. */
class RefuseNotFinite extends LogitsProcessor {
  override _call(_ids: bigint[][], logits: Tensor): Tensor {
    const { data } = logits as unknown as LogitsTensor;
    let sum = 0;
    for (let i = 0; i < data.length; i++) sum += data[i] ?? 0;
    if (!Number.isFinite(sum)) throw new AppError('engine/not-finite', { what: 'the next token' });
    return logits;
  }
}

/** Keeps the logits of the step at hand, so that the chosen token's probability can be read. */
class RecordLogits extends LogitsProcessor {
  private last: Float32Array = new Float32Array(0);
  override _call(_ids: bigint[][], logits: Tensor): Tensor {
    this.last = Float32Array.from((logits as unknown as LogitsTensor).data);
    return logits;
  }
  of(token: number): number {
    return logSoftmaxAt(this.last, token);
  }
}

/** Ends the generation at an abort or at a stop sequence, which is not part of the text; holds back what may be the start of one. */
class StopAtText extends StoppingCriteria {
  isEnded = false;
  hasFinished = false;
  text = '';
  private held = '';
  constructor(
    private readonly sequences: readonly string[],
    private readonly signal: AbortSignal,
  ) {
    super();
  }
  override _call(ids: number[][]): boolean[] {
    if (this.isEnded) this.hasFinished = true;
    return ids.map(() => this.isEnded || this.signal.aborted);
  }
  /** The part of the new text that is certain to belong to the output. */
  take(piece: string): string {
    if (this.hasFinished) return '';
    const seen = this.held + piece;
    const ends = this.sequences.map((sequence) => seen.indexOf(sequence)).filter((at) => at >= 0);
    if (ends.length > 0) {
      this.isEnded = true;
      this.hasFinished = true;
      this.held = '';
      return this.add(seen.slice(0, Math.min(...ends)));
    }
    let keep = 0;
    for (const sequence of this.sequences) {
      for (let n = Math.min(sequence.length - 1, seen.length); n > keep; n--) if (seen.endsWith(sequence.slice(0, n))) keep = n;
    }
    this.held = seen.slice(seen.length - keep);
    return this.add(seen.slice(0, seen.length - keep));
  }
  flush(): string {
    const rest = this.held;
    this.held = '';
    return this.add(rest);
  }
  private add(text: string): string {
    this.text += text;
    return text;
  }
}
