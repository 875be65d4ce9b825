/** The endpoint backend against a real HTTP server on this machine that speaks, and misspeaks, the OpenAI chat form. */
import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { AppError, isAbort } from '../../../src/errors.ts';
import { normaliseBaseUrl, openHttp } from '../../../src/engine/backends/http.ts';
import { complete } from '../../../src/engine/llm.ts';
import type { Llm } from '../../../src/engine/llm.ts';

const never = new AbortController().signal;
let server: Server;
let base = '';
let seen: { path: string; body: Record<string, unknown>; authorization: string | undefined; closed: boolean }[] = [];
let reply: (response: ServerResponse, request: IncomingMessage) => void = () => {};

beforeEach(async () => {
  seen = [];
  server = createServer((request, response) => {
    let text = '';
    request.on('data', (chunk: Buffer) => (text += chunk.toString()));
    request.on('end', () => {
      if (request.url === '/v1/models') return response.writeHead(200, { 'Content-Type': 'application/json' }).end('{"data":[]}');
      const entry = { path: request.url ?? '', body: JSON.parse(text) as Record<string, unknown>, authorization: request.headers.authorization, closed: false };
      seen.push(entry);
      response.on('close', () => (entry.closed = !response.writableFinished));
      reply(response, request);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`;
});

afterEach(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

function open(url = base, key?: string): Promise<Llm> {
  return openHttp(
    {
      backend: 'http',
      modelId: 'mine',
      label: 'Mine',
      files: {},
      contextTokens: 4096,
      threads: 1,
      useGpu: false,
      endpoint: { url, model: 'tiny', ...(key === undefined ? {} : { key }) },
    },
    { signal: never, onProgress: () => {} },
  );
}

const event = (value: unknown): string => `data: ${JSON.stringify(value)}\n\n`;
const delta = (content: string, extra: object = {}): string => event({ choices: [{ index: 0, delta: { content }, finish_reason: null, ...extra }] });
const ask = { messages: [{ role: 'user', content: 'hello' }], maxTokens: 5 } as const;
const failure = async (promise: Promise<unknown>): Promise<AppError> => {
  const error: unknown = await promise.then(
    () => 'resolved',
    (e: unknown) => e,
  );
  if (!(error instanceof AppError)) throw new Error(`expected an AppError, got ${String(error)}`);
  return error;
};

describe('http backend', () => {
  it('sends the request in the OpenAI form and reads the stream, cut at any byte', async () => {
    const whole =
      delta('Pa') +
      delta('ris é') +
      event({ choices: [{ delta: {}, finish_reason: 'stop' }] }) +
      event({ choices: [], usage: { prompt_tokens: 12, completion_tokens: 3, prompt_tokens_details: { cached_tokens: 7 } } }) +
      'data: [DONE]\n\n';
    const bytes = Buffer.from(whole);
    reply = (response) => {
      response.writeHead(200, { 'Content-Type': 'text/event-stream' });
      const send = (at: number): void => {
        if (at >= bytes.length) return void response.end();
        response.write(bytes.subarray(at, at + 7));
        setImmediate(send, at + 7);
      };
      send(0);
    };
    const llm = await open(base, 'secret');
    const deltas: string[] = [];
    const schema = { type: 'object' };
    const result = await complete(llm, { ...ask, schema, seed: 7, stop: ['\n'], logprobs: true }, never, (d) => deltas.push(d));
    expect(deltas).toEqual(['Pa', 'ris é']);
    expect(result).toEqual({
      text: 'Paris é',
      finish: 'stop',
      usage: { promptTokens: 12, cachedTokens: 7, outputTokens: 3 },
      logprobs: null,
      prefillMs: null,
      decodeMs: null,
    });
    expect(seen[0]).toMatchObject({
      path: '/v1/chat/completions',
      authorization: 'Bearer secret',
      body: { model: 'tiny', stream: true, max_tokens: 5, temperature: 0, seed: 7, stop: ['\n'], logprobs: true, response_format: { type: 'json_schema', json_schema: { schema } } },
    });
  });

  it('reads log-probabilities, and a finish by length', async () => {
    reply = (response) => {
      response.writeHead(200).end(
        delta('a', { logprobs: { content: [{ token: 'a', logprob: -0.5 }] } }) + event({ choices: [{ delta: {}, finish_reason: 'length' }] }),
      );
    };
    const result = await complete(await open(), { ...ask, logprobs: true }, never);
    expect(result.logprobs).toEqual([{ token: 'a', logprob: -0.5 }]);
    expect(result.finish).toBe('length');
    expect(result.usage.outputTokens).toBe(1);
  });

  it('closes the connection when it is stopped, and works again', async () => {
    reply = (response) => void response.writeHead(200).write(delta('a'));
    const llm = await open();
    const stop = new AbortController();
    const outcome = complete(llm, ask, stop.signal, () => stop.abort()).then(() => 'resolved', isAbort);
    expect(await outcome).toBe(true);
    await expect.poll(() => seen[0]?.closed).toBe(true);
    reply = (response) => void response.writeHead(200).end(delta('fine'));
    expect((await complete(llm, ask, never)).text).toBe('fine');
  });

  it('closes the connection when the reader leaves early', async () => {
    reply = (response) => void response.writeHead(200).write(delta('a'));
    for await (const first of (await open()).generate(ask, never)) if (first.kind === 'text') break;
    await expect.poll(() => seen[0]?.closed).toBe(true);
  });

  it('reads a last line that is not ended', async () => {
    reply = (response) => void response.writeHead(200).end(delta('a') + delta('b').trimEnd());
    expect((await complete(await open(), ask, never)).text).toBe('ab');
  });

  it('says what an endpoint answered when it refuses', async () => {
    reply = (response) => void response.writeHead(404).end('{"error":{"message":"model tiny not found"}}');
    const error = await failure(complete(await open(), ask, never));
    expect(error.code).toBe('engine/endpoint');
    expect(error.message).toContain('404 (model tiny not found)');
    expect(error.message).toContain(base);
  });

  it('recognises a prompt that is too long', async () => {
    reply = (response) =>
      void response.writeHead(400).end('{"error":{"message":"the request exceeds the available context size","n_prompt_tokens":5000,"n_ctx":4096}}');
    const error = await failure(complete(await open(), ask, never));
    expect(error.code).toBe('engine/context-full');
    expect(error.detail).toMatchObject({ tokens: 5000 });
  });

  it('names a stream that is no such stream, an error in it, and half of one', async () => {
    const llm = await open();
    reply = (response) => void response.writeHead(200).end('data: <html>\n\n');
    expect((await failure(complete(llm, ask, never))).message).toContain('not JSON');
    reply = (response) => void response.writeHead(200).end(event({ choices: 'x' }));
    expect((await failure(complete(llm, ask, never))).message).toContain('unknown form');
    reply = (response) => void response.writeHead(200).end(delta('a') + event({ error: { message: 'out of memory' } }));
    expect((await failure(complete(llm, ask, never))).message).toContain('out of memory');
    reply = (response) => {
      response.writeHead(200, { 'Content-Length': '9999' });
      response.write(delta('a'), () => response.destroy());
    };
    expect((await failure(complete(llm, ask, never))).code).toBe('engine/endpoint');
  });

  it('says at loading that nothing answers', async () => {
    const error = await failure(open('http://127.0.0.1:9/v1'));
    expect(error.code).toBe('engine/endpoint');
    expect(error.message).toContain('not running');
  });

  it('keeps the key out of every message', async () => {
    reply = (response) => void response.writeHead(401).end('{"error":{"message":"bad key"}}');
    const error = await failure(complete(await open(base, 'sk-very-secret'), ask, never));
    expect(JSON.stringify([error.message, error.detail, error.stack])).not.toContain('sk-very-secret');
  });
});

describe('normaliseBaseUrl', () => {
  it('takes what people paste', () => {
    expect(normaliseBaseUrl(' http://localhost:1234/v1/ ')).toBe('http://localhost:1234/v1');
    expect(normaliseBaseUrl('http://localhost:1234/v1/chat/completions?x=1#y')).toBe('http://localhost:1234/v1');
  });
  it('refuses other addresses', () => {
    for (const url of ['localhost:1234', 'file:///etc/passwd', 'javascript:alert(1)', '']) expect(() => normaliseBaseUrl(url)).toThrow(AppError);
  });
});

describe('scores', () => {
  const models = (rows: readonly object[]): void => {
    server.removeAllListeners('request');
    server.on('request', (request, response) => {
      let text = '';
      request.on('data', (chunk: Buffer) => (text += chunk.toString()));
      request.on('end', () => {
        if (request.url === '/v1/models') return response.writeHead(200, { 'Content-Type': 'application/json' }).end(JSON.stringify({ data: rows }));
        seen.push({ path: request.url ?? '', body: JSON.parse(text) as Record<string, unknown>, authorization: undefined, closed: false });
        reply(response, request);
      });
    });
  };
  const answer = (prompt: unknown): void => {
    reply = (response) => response.writeHead(200, { 'Content-Type': 'application/json' }).end(JSON.stringify({ choices: [], prompt_logprobs: prompt }));
  };
  const token = (text: string, logprob: number): object => ({ 7: { logprob, rank: 1, decoded_token: text } });
  const messages = [{ role: 'user', content: 'Capital?' }, { role: 'assistant', content: '{"answer":"' }] as const;

  it('are offered only where the server says so', async () => {
    expect((await open()).info.can.score).toBe(false);
    expect(await (await open()).score(messages, 'Paris"}', never)).toBeNull();
    models([{ id: 'x', owned_by: 'vllm' }]);
    expect((await open()).info.can.score).toBe(true);
    models([{ id: 'x', owned_by: 'local', capabilities: ['prompt_logprobs'] }]);
    expect((await open()).info.can.score).toBe(true);
  });

  it('are the sum over the tokens that end the prompt, the closing delimiter with them, from a prompt that is continued and not closed', async () => {
    models([{ id: 'x', owned_by: 'vllm' }]);
    answer([null, token('{"answer', -9), token('":"', -9), token('Par', -0.5), token('is', -0.25), token('"}', -0.125)]);
    const score = await (await open()).score(messages, 'Paris"}', never);
    expect(score).toEqual({ sum: -0.875, mean: -0.875 / 3, tokens: 3, method: 'exact' });
    expect(seen[0]?.body).toMatchObject({
      prompt_logprobs: 0, continue_final_message: true, add_generation_prompt: false, stream: false,
      messages: [{ role: 'user', content: 'Capital?' }, { role: 'assistant', content: '{"answer":"Paris"}' }],
    });
  });

  it('count a token that crosses the border whole, and letters outside ASCII by their bytes', async () => {
    models([{ id: 'x', owned_by: 'vllm' }]);
    answer([null, token('{"answer', -9), token('":"Par', -3), token('is"}', -0.5)]);
    expect(await (await open()).score(messages, 'Paris"}', never)).toMatchObject({ sum: -3.5, tokens: 2 });
    answer([null, token('":"', -9), token('M', -1), token('ü', -1), token('ller"}', -1)]);
    expect(await (await open()).score(messages, 'Müller"}', never)).toMatchObject({ sum: -3, tokens: 3 });
  });

  it('are none where the answer does not tell them: no numbers, half a character, too few tokens', async () => {
    models([{ id: 'x', owned_by: 'vllm' }]);
    for (const prompt of [undefined, null, [null, token('\uFFFD', -1)], [null, token('"}', -1)]]) {
      answer(prompt);
      expect(await (await open()).score(messages, 'Paris"}', never)).toBeNull();
    }
    answer('nonsense');
    expect((await failure((await open()).score(messages, 'Paris"}', never))).code).toBe('engine/endpoint');
  });
});
