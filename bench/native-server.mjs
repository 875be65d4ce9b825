/**
 * An OpenAI-compatible server around native llama.cpp (node-llama-cpp), for measuring answer quality about ten times faster than in the browser.
 * One request at a time; the key-value caches of the last prompts are kept, so that a prompt that extends an earlier one is read only from where it differs.
 * JSON schemas become the same grammars as in the page. Not part of the app: install with `npm i --prefix bench --ignore-scripts`.
 */
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { basename, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { tsImport } from 'tsx/esm/api';

const { values: options } = parseArgs({
  options: {
    model: { type: 'string' },
    port: { type: 'string', default: '8089' },
    threads: { type: 'string', default: '2' },
    context: { type: 'string', default: '4096' },
    slots: { type: 'string', default: '3' },
    /** Folder that holds node_modules with node-llama-cpp, where it is not installed in bench/. */
    modules: { type: 'string', default: import.meta.dirname },
  },
});
if (options.model === undefined) {
  console.error('usage: node bench/native-server.mjs --model FILE.gguf [--port 8089] [--threads 2] [--context 4096] [--slots 3] [--modules DIR]');
  process.exit(2);
}

async function load(name) {
  const from = createRequire(join(resolve(options.modules), 'package.json'));
  try {
    return await import(pathToFileURL(from.resolve(name)).href);
  } catch (error) {
    // A package without a CommonJS entry cannot be resolved by require; its folder is known all the same.
    if (error.code === 'ERR_PACKAGE_PATH_NOT_EXPORTED') return await import(pathToFileURL(join(resolve(options.modules), 'node_modules', name, 'dist/index.js')).href);
    console.error(`${name} is not installed: run "npm i --prefix bench --ignore-scripts" (${error.message})`);
    process.exit(1);
  }
}

const { getLlama, LlamaGrammar, LlamaGrammarEvaluationState } = await load('node-llama-cpp');
const { Template } = await load('@huggingface/jinja');
const { grammarOf } = await tsImport('../src/engine/grammar.ts', import.meta.url);

const modelId = basename(options.model).replace(/\.gguf$/, '');
const llama = await getLlama({ gpu: false, build: 'never', logLevel: 'error' });
const model = await llama.loadModel({ modelPath: resolve(options.model) });
const contextTokens = Math.min(Number(options.context), model.trainContextSize);
const threads = Number(options.threads);
const context = await model.createContext({ contextSize: contextTokens, sequences: Number(options.slots), threads: { ideal: threads, min: threads } });
const slots = Array.from({ length: Number(options.slots) }, () => ({ sequence: context.getSequence(), usedAt: 0 }));
const metadata = model.fileInfo.metadata;
const chatTemplate = new Template(
  metadata.tokenizer?.chat_template ??
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
);

/** The prompt's tokens, and how many of them the last message takes where it is an assistant's, which is continued and not closed. */
function promptTokens(messages) {
  const last = messages.at(-1);
  const isOpen = last?.role === 'assistant';
  const render = (list) => chatTemplate.render({ messages: list, add_generation_prompt: true, bos_token: model.tokens.bosString ?? '', eos_token: model.tokens.eosString ?? '' });
  const head = render(isOpen ? messages.slice(0, -1) : messages);
  return tokensOf(isOpen ? head + last.content : head);
}

function tokensOf(text) {
  const tokens = model.tokenize(text, true);
  const bos = model.tokens.bos;
  return model.tokens.shouldPrependBosToken && bos !== null && tokens[0] !== bos ? [bos, ...tokens] : tokens;
}

// --- Grammar -------------------------------------------------------------------------------------------------------------------------------

const grammars = new Map();

async function grammarFor(schema) {
  const key = JSON.stringify(schema);
  let grammar = grammars.get(key);
  if (grammar === undefined) {
    // The grammar that the page gives to llama.cpp, so that quality measured here is the quality there.
    const own = grammarOf(schema);
    if (own !== null) grammar = new LlamaGrammar(llama, { grammar: own });
    else grammar = Object.keys(schema).length === 0 ? await llama.getGrammarFor('json') : await llama.createGrammarForJsonSchema(schema);
    grammars.set(key, grammar);
    if (grammars.size > 200) grammars.delete(grammars.keys().next().value);
  }
  return grammar;
}

// --- Generation ----------------------------------------------------------------------------------------------------------------------------

/** The slot whose cache shares the longest prefix, if that is worth keeping; else the one that was not used for longest. */
function pickSlot(tokens) {
  let best = slots[0];
  let bestLength = -1;
  for (const slot of slots) {
    const shared = slot.sequence.compareContextTokens(tokens).firstDifferentIndex;
    if (shared > bestLength) [best, bestLength] = [slot, shared];
  }
  const kept = best.sequence.contextTokens.length;
  // Most of that cache would be lost: leave it to the prompts it belongs to (a short common opening is cheap to read again).
  if (bestLength < kept / 2 && bestLength < tokens.length / 2) {
    for (const slot of slots) if (slot.usedAt < best.usedAt) best = slot;
  }
  return best;
}

let clock = 0;

const textOf = (content) => (typeof content === 'string' ? content : content.map((part) => part.text ?? '').join(''));

async function generate(body, signal, onText) {
  const tokens = promptTokens(body.messages.map(({ role, content }) => ({ role, content: textOf(content) })));
  const maxTokens = body.max_completion_tokens ?? body.max_tokens ?? 512;
  if (tokens.length + 8 > contextTokens) {
    throw Object.assign(new Error(`the prompt has ${tokens.length} tokens, the context ${contextTokens}`), { status: 400, code: 'context_length_exceeded' });
  }
  const slot = pickSlot(tokens);
  slot.usedAt = ++clock;
  const { sequence } = slot;
  // The last prompt token is always read: its logits give the first new token.
  const shared = Math.min(sequence.compareContextTokens(tokens).firstDifferentIndex, tokens.length - 1);
  if (shared < sequence.nextTokenIndex) await sequence.eraseContextTokenRanges([{ start: shared, end: sequence.nextTokenIndex }]);
  const cached = sequence.nextTokenIndex;
  const format = body.response_format;
  const schema = format?.type === 'json_schema' ? format.json_schema.schema : format?.type === 'json_object' ? {} : undefined;
  const stops = (typeof body.stop === 'string' ? [body.stop] : (body.stop ?? [])).filter((stop) => stop !== '');
  const room = Math.min(maxTokens, contextTokens - tokens.length - 1);
  const started = performance.now();
  let firstAt = null;
  let text = '';
  let sent = 0;
  let finish = 'length';
  const output = [];
  const logprobs = [];
  const evaluation = sequence.evaluateWithMetadata(
    tokens.slice(cached),
    { confidence: body.logprobs === true, probabilities: body.logprobs === true && (body.top_logprobs ?? 0) > 0 },
    {
      temperature: body.temperature ?? 0,
      ...(body.top_p === undefined ? {} : { topP: body.top_p }),
      ...(body.seed === undefined ? {} : { seed: body.seed }),
      ...(schema === undefined ? {} : { grammarEvaluationState: new LlamaGrammarEvaluationState({ model, grammar: await grammarFor(schema) }) }),
      contextShift: { strategy: () => [] },
    },
  );
  for await (const item of evaluation) {
    if (signal.aborted) break;
    firstAt ??= performance.now();
    output.push(item.token);
    if (item.confidence !== undefined) {
      const entry = (token, p) => ({ token: model.detokenize([token], true), logprob: Math.log(Math.max(p, 1e-30)) });
      const top = item.probabilities === undefined ? [] : [...item.probabilities].slice(0, body.top_logprobs).map(([token, p]) => entry(token, p));
      logprobs.push({ ...entry(item.token, item.confidence), top_logprobs: top });
    }
    text = model.detokenize(output);
    const cut = stops.map((stop) => text.indexOf(stop)).filter((at) => at >= 0);
    if (cut.length > 0) {
      text = text.slice(0, Math.min(...cut));
      finish = 'stop';
      break;
    }
    // A token may end inside a character or inside a stop sequence: that much is held back.
    const hold = Math.max(text.endsWith('\uFFFD') ? 1 : 0, ...stops.map((stop) => overlap(text, stop)));
    if (text.length - hold > sent) {
      onText(text.slice(sent, text.length - hold));
      sent = text.length - hold;
    }
    if (schema !== undefined && /[\]}]\s*$/.test(text) && isJson(text)) {
      finish = 'stop';
      break;
    }
    if (output.length >= room) break;
  }
  if (finish === 'length' && output.length < room && !signal.aborted) finish = 'stop';
  if (text.length > sent) onText(text.slice(sent));
  const ended = performance.now();
  return {
    text,
    finish,
    logprobs: body.logprobs === true ? { content: logprobs } : null,
    usage: {
      prompt_tokens: tokens.length,
      completion_tokens: output.length,
      total_tokens: tokens.length + output.length,
      prompt_tokens_details: { cached_tokens: cached },
    },
    timings: {
      cache_n: cached,
      prompt_n: tokens.length - cached,
      prompt_ms: (firstAt ?? ended) - started,
      predicted_n: output.length,
      predicted_ms: ended - (firstAt ?? ended),
    },
  };
}

function overlap(text, stop) {
  for (let n = Math.min(stop.length - 1, text.length); n > 0; n--) if (text.endsWith(stop.slice(0, n))) return n;
  return 0;
}

function isJson(text) {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

// --- Scoring -------------------------------------------------------------------------------------------------------------------------------

/**
 * Log-probabilities of the prompt's own tokens in vLLM's form (`prompt_logprobs: 0`): one entry a token, null where it was not asked for. Computed for the last
 * assistant message only, for that is what a score of a continuation needs; what comes before it is read from the cache.
 */
async function scorePrompt(body) {
  const messages = body.messages.map(({ role, content }) => ({ role, content: textOf(content) }));
  const tokens = promptTokens(messages);
  if (tokens.length + 1 > contextTokens) {
    throw Object.assign(new Error(`the prompt has ${tokens.length} tokens, the context ${contextTokens}`), { status: 400, code: 'context_length_exceeded' });
  }
  const before = messages.at(-1)?.role === 'assistant' ? promptTokens([...messages.slice(0, -1), { role: 'assistant', content: '' }]) : tokens;
  // A merge may cross the border; the token that does is scored whole.
  let from = 0;
  while (from < before.length && before[from] === tokens[from]) from++;
  const slot = pickSlot(tokens);
  slot.usedAt = ++clock;
  const { sequence } = slot;
  const shared = Math.max(0, Math.min(sequence.compareContextTokens(tokens).firstDifferentIndex, from - 1));
  if (shared < sequence.nextTokenIndex) await sequence.eraseContextTokenRanges([{ start: shared, end: sequence.nextTokenIndex }]);
  const start = sequence.nextTokenIndex;
  const input = tokens.slice(start, -1).map((token, i) => {
    const next = start + i + 1;
    return next < from ? token : [token, { generateNext: { logits: { filter: { tokens: [tokens[next]], includeTop: 1 } }, totalLogitWeight: true } }];
  });
  const logprobs = tokens.map(() => null);
  await sequence.controlledEvaluate(input, {
    onTokenResult(i, { next }) {
      const at = start + i + 1;
      const highest = Math.max(...next.logits.values());
      const token = tokens[at];
      const logprob = next.logits.get(token) - highest - Math.log(next.totalLogitWeight);
      logprobs[at] = { [token]: { logprob, rank: null, decoded_token: model.detokenize([token], true) } };
    },
  });
  return { logprobs, usage: { prompt_tokens: tokens.length, completion_tokens: 0, total_tokens: tokens.length, prompt_tokens_details: { cached_tokens: start } } };
}

// --- HTTP ----------------------------------------------------------------------------------------------------------------------------------

let queue = Promise.resolve();
/** Runs one at a time, in order of arrival. */
function enqueue(task) {
  const done = queue.then(task);
  queue = done.catch(() => undefined);
  return done;
}

async function readBody(request) {
  const chunks = [];
  let size = 0;
  for await (const chunk of request) {
    size += chunk.length;
    if (size > 8e6) throw Object.assign(new Error('the request is larger than 8 MB'), { status: 413 });
    chunks.push(chunk);
  }
  try {
    const body = JSON.parse(Buffer.concat(chunks).toString('utf8'));
    if (!Array.isArray(body.messages)) throw new Error('messages is missing');
    return body;
  } catch (error) {
    throw Object.assign(new Error(`not a chat request: ${error.message}`), { status: 400 });
  }
}

let served = 0;

async function chat(request, response) {
  const body = await readBody(request);
  const controller = new AbortController();
  response.on('close', () => controller.abort());
  const id = `chatcmpl-${++served}`;
  if (body.prompt_logprobs !== undefined && body.prompt_logprobs !== null) {
    const scored = await enqueue(() => (controller.signal.aborted ? null : scorePrompt(body)));
    if (scored === null) return;
    const choice = { index: 0, message: { role: 'assistant', content: '' }, finish_reason: 'length' };
    response.writeHead(200, { 'Content-Type': 'application/json' });
    response.end(JSON.stringify({ id, object: 'chat.completion', created: Math.floor(Date.now() / 1000), model: modelId, choices: [choice], prompt_logprobs: scored.logprobs, usage: scored.usage }));
    return;
  }
  const common = { id, created: Math.floor(Date.now() / 1000), model: modelId };
  const chunk = (delta, finish, extra = {}) =>
    response.write(`data: ${JSON.stringify({ ...common, object: 'chat.completion.chunk', choices: [{ index: 0, delta, finish_reason: finish, ...extra }] })}\n\n`);
  const result = await enqueue(async () => {
    if (controller.signal.aborted) return null;
    if (body.stream === true) {
      return await generate(body, controller.signal, (text) => {
        if (!response.headersSent) {
          response.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store' });
          chunk({ role: 'assistant', content: '' }, null);
        }
        chunk({ content: text }, null);
      });
    }
    return await generate(body, controller.signal, () => undefined);
  });
  if (result === null || controller.signal.aborted) return;
  const { text, finish, logprobs, usage, timings } = result;
  if (body.stream === true) {
    if (!response.headersSent) response.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store' });
    chunk({}, finish, logprobs === null ? {} : { logprobs });
    response.write(`data: ${JSON.stringify({ ...common, object: 'chat.completion.chunk', choices: [], usage, timings })}\n\n`);
    response.end('data: [DONE]\n\n');
    return;
  }
  response.writeHead(200, { 'Content-Type': 'application/json' });
  response.end(
    JSON.stringify({
      ...common,
      object: 'chat.completion',
      choices: [{ index: 0, message: { role: 'assistant', content: text }, finish_reason: finish, ...(logprobs === null ? {} : { logprobs }) }],
      usage,
      timings,
    }),
  );
}

const server = createServer((request, response) => {
  response.setHeader('Access-Control-Allow-Origin', '*');
  response.setHeader('Access-Control-Allow-Headers', '*, Authorization, Content-Type');
  response.setHeader('Access-Control-Allow-Methods', 'GET, POST, OPTIONS');
  response.setHeader('Access-Control-Allow-Private-Network', 'true');
  response.setHeader('Cross-Origin-Resource-Policy', 'cross-origin');
  const path = new URL(request.url ?? '/', 'http://localhost').pathname;
  const handle = async () => {
    if (request.method === 'OPTIONS') {
      response.writeHead(204).end();
    } else if (request.method === 'GET' && path === '/v1/models') {
      response.writeHead(200, { 'Content-Type': 'application/json' });
      response.end(JSON.stringify({ object: 'list', data: [{ id: modelId, object: 'model', owned_by: 'local', context_length: contextTokens, capabilities: ['prompt_logprobs'] }] }));
    } else if (request.method === 'POST' && path === '/v1/chat/completions') {
      await chat(request, response);
    } else {
      throw Object.assign(new Error(`no such endpoint: ${path}`), { status: 404 });
    }
  };
  handle().catch((error) => {
    console.error(`${request.method} ${path}: ${error.message}`);
    if (response.headersSent) return response.destroy();
    response.writeHead(error.status ?? 500, { 'Content-Type': 'application/json' });
    response.end(JSON.stringify({ error: { message: error.message, type: 'server_error', code: error.code ?? null } }));
  });
});
server.listen(Number(options.port), '127.0.0.1', () => {
  console.log(`http://127.0.0.1:${server.address().port}/v1 serves ${modelId} (${threads} threads, context ${contextTokens}, ${slots.length} slots)`);
});
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(0));
