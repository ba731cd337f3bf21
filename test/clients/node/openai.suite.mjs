// The official SDK of OpenAI, in any major version.
import assert from 'node:assert/strict';
import { behaviour, callsTwo, chatEndpoint, isPerson, key, openaiURL, personSchema, weatherSchema, words } from './world.mjs';

export function suite(OpenAI) {
  const make = (apiKey) => new OpenAI({ baseURL: openaiURL, apiKey, maxRetries: 0 });
  const client = make(key);
  const ask = (model, content, more) => ({ model, messages: [{ role: 'user', content }], ...more });
  const fn = (name) => ({ type: 'function', function: { name, parameters: weatherSchema } });

  behaviour(chatEndpoint, 'plain', async () => {
    const got = await client.chat.completions.create(ask('echo', words));
    assert.equal(got.choices[0].message.content, words);
    assert.equal(got.choices[0].finish_reason, 'stop');
    assert.equal(got.usage.total_tokens, got.usage.prompt_tokens + got.usage.completion_tokens);
    assert.match(got._request_id, /./);
  });

  behaviour(chatEndpoint, 'stream', async () => {
    const stream = await client.chat.completions.create(ask('echo', words, { stream: true, stream_options: { include_usage: true } }));
    let text = '', usage, finish;
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta.content ?? '';
      finish = chunk.choices[0]?.finish_reason ?? finish;
      usage = chunk.usage ?? usage;
    }
    assert.equal(text, words);
    assert.equal(finish, 'stop');
    assert.ok(usage.total_tokens > 0);
  });

  behaviour(chatEndpoint, 'tools', async () => {
    const params = ask('echo/tool', callsTwo, { tools: [fn('weather'), fn('time')] });
    const { message, finish_reason } = (await client.chat.completions.create(params)).choices[0];
    assert.equal(finish_reason, 'tool_calls');
    assert.deepEqual(message.tool_calls.map((c) => [c.function.name, JSON.parse(c.function.arguments).city]), [['weather', 'Oslo'], ['time', 'Bergen']]);
    const runner = (client.chat.completions.stream ? client.chat : client.beta.chat).completions.stream(params);
    const streamed = (await runner.finalChatCompletion()).choices[0].message;
    assert.deepEqual(streamed.tool_calls.map((c) => c.function.arguments), message.tool_calls.map((c) => c.function.arguments));
    const results = message.tool_calls.map((c) => ({ role: 'tool', tool_call_id: c.id, content: `${c.function.name} is fine` }));
    const last = await client.chat.completions.create({ ...params, messages: [...params.messages, message, ...results] });
    assert.match(last.choices[0].message.content, /weather is fine[^]*time is fine/);
  });

  behaviour(chatEndpoint, 'structured output', async () => {
    const format = { type: 'json_schema', json_schema: { name: 'person', strict: true, schema: personSchema } };
    const parse = (client.chat.completions.parse ? client.chat : client.beta.chat).completions;
    const got = await parse.parse(ask('echo', 'a person', { response_format: format }));
    assert.ok(isPerson(JSON.parse(got.choices[0].message.content)));
  });

  behaviour(chatEndpoint, 'errors', async () => {
    const refused = (model, content, more) => client.chat.completions.create(ask(model, content, more));
    await assert.rejects(refused('echo', 'hi', { temperature: 7 }), (e) => e instanceof OpenAI.BadRequestError && e.param === 'temperature' && e.type === 'invalid_request_error');
    await assert.rejects(refused('echo/nope', 'hi'), (e) => e instanceof OpenAI.NotFoundError && e.code === 'model_not_found');
    await assert.rejects(refused('echo/fail', 'rate_limited'), (e) => e instanceof OpenAI.RateLimitError && e.status === 429);
    await assert.rejects(refused('echo/fail', 'overloaded'), (e) => e instanceof OpenAI.InternalServerError && e.status === 503);
    await assert.rejects(refused('echo/fail', 'rate_limited', { stream: true }), OpenAI.RateLimitError);
    await assert.rejects(make('sk-wrong').chat.completions.create(ask('echo', 'hi')), OpenAI.AuthenticationError);
  });

  behaviour(chatEndpoint, 'error in mid-stream', async () => {
    const stream = await client.chat.completions.create(ask('echo/fail-midstream', 'one two three four', { stream: true }));
    let text = '';
    await assert.rejects(async () => {
      for await (const chunk of stream) text += chunk.choices[0].delta.content ?? '';
    }, (e) => e instanceof OpenAI.APIError && /as it was asked to/.test(e.message));
    assert.match(text, /one/);
  });

  behaviour(chatEndpoint, 'abort', async () => {
    const stream = await client.chat.completions.create(ask('echo/slow', 'a b c d e f g h', { stream: true }));
    for await (const chunk of stream) {
      if (chunk.choices[0].delta.content) stream.controller.abort();
    }
  });

  behaviour('GET /openai/v1/models', 'list', async () => {
    const ids = [];
    for await (const m of client.models.list()) ids.push(m.id);
    assert.ok(ids.includes('echo/slow'));
  });

  behaviour('GET /openai/v1/models/{id}', 'get', async () => {
    assert.equal((await client.models.retrieve('echo/slow')).id, 'echo/slow');
  });

  behaviour('POST /openai/v1/embeddings', 'refused as not implemented', async () => {
    await assert.rejects(client.embeddings.create({ model: 'echo', input: 'x' }), (e) => e instanceof OpenAI.InternalServerError && e.status === 501 && e.code === 'not_implemented');
  });
}
