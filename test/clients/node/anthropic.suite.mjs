// The official SDK of Anthropic, in any major version.
import assert from 'node:assert/strict';
import { anthropicURL, behaviour, callsTwo, key, messagesEndpoint, weatherSchema, words } from './world.mjs';

export function suite(Anthropic) {
  const make = (apiKey) => new Anthropic({ baseURL: anthropicURL, apiKey, maxRetries: 0 });
  const client = make(key);
  const ask = (model, content, more) => ({ model, max_tokens: 4096, messages: [{ role: 'user', content }], ...more });
  const tool = (name) => ({ name, input_schema: weatherSchema });

  behaviour(messagesEndpoint, 'plain', async () => {
    const got = await client.messages.create(ask('echo', words));
    assert.equal(got.content[0].text, words);
    assert.equal(got.stop_reason, 'end_turn');
    assert.ok(got.usage.input_tokens > 0 && got.usage.output_tokens > 0);
    assert.match(got._request_id, /./);
  });

  behaviour(messagesEndpoint, 'stream', async () => {
    const plain = await client.messages.create(ask('echo', words));
    const got = await client.messages.stream(ask('echo', words)).finalMessage();
    assert.deepEqual([got.content[0].text, got.stop_reason, got.usage.output_tokens], [words, plain.stop_reason, plain.usage.output_tokens]);
  });

  behaviour(messagesEndpoint, 'tools', async () => {
    const params = ask('echo/tool', callsTwo, { tools: [tool('weather'), tool('time')] });
    const { content, stop_reason } = await client.messages.create(params);
    assert.equal(stop_reason, 'tool_use');
    assert.deepEqual(content.map((b) => [b.type, b.name, b.input.city]), [['tool_use', 'weather', 'Oslo'], ['tool_use', 'time', 'Bergen']]);
    const streamed = await client.messages.stream(params).finalMessage();
    assert.deepEqual(streamed.content.map((b) => b.input), content.map((b) => b.input));
    const results = content.map((b) => ({ type: 'tool_result', tool_use_id: b.id, content: `${b.name} is fine` }));
    const last = await client.messages.create({ ...params, messages: [...params.messages, { role: 'assistant', content }, { role: 'user', content: results }] });
    assert.match(last.content[0].text, /weather is fine[^]*time is fine/);
  });

  behaviour(messagesEndpoint, 'errors', async () => {
    const refused = (model, content, more) => client.messages.create(ask(model, content, more));
    const kind = (e) => e.error.error.type;
    await assert.rejects(refused('echo', 'hi', { max_tokens: 0 }), (e) => e instanceof Anthropic.BadRequestError && kind(e) === 'invalid_request_error');
    await assert.rejects(refused('echo/nope', 'hi'), (e) => e instanceof Anthropic.NotFoundError && kind(e) === 'not_found_error');
    await assert.rejects(refused('echo/fail', 'rate_limited'), (e) => e instanceof Anthropic.RateLimitError && kind(e) === 'rate_limit_error');
    await assert.rejects(refused('echo/fail', 'upstream_failure'), (e) => e instanceof Anthropic.InternalServerError && kind(e) === 'api_error');
    await assert.rejects(refused('echo/fail', 'overloaded', { stream: true }), (e) => e.status === 529 && kind(e) === 'overloaded_error');
    await assert.rejects(make('sk-wrong').messages.create(ask('echo', 'hi')), Anthropic.AuthenticationError);
  });

  behaviour(messagesEndpoint, 'error in mid-stream', async () => {
    const stream = await client.messages.create(ask('echo/fail-midstream', 'one two three four', { stream: true }));
    let text = '';
    await assert.rejects(async () => {
      for await (const event of stream) text += event.delta?.text ?? '';
    }, (e) => e instanceof Anthropic.APIError && /as it was asked to/.test(e.message));
    assert.match(text, /one/);
  });

  behaviour(messagesEndpoint, 'abort', async () => {
    const stream = await client.messages.create(ask('echo/slow', 'a b c d e f g h', { stream: true }));
    for await (const event of stream) {
      if (event.type === 'content_block_delta') stream.controller.abort();
    }
  });

  behaviour(messagesEndpoint + '/count_tokens', 'count', async () => {
    const got = await client.messages.countTokens({ model: 'echo', messages: [{ role: 'user', content: words }] });
    assert.ok(got.input_tokens > 2);
  });

  behaviour('GET /anthropic/v1/models', 'list', async () => {
    const ids = [];
    for await (const m of client.models.list({ limit: 2 })) ids.push(m.id);
    assert.ok(ids.includes('echo/slow'));
  });

  behaviour('GET /anthropic/v1/models/{id}', 'get', async () => {
    assert.equal((await client.models.retrieve('echo/slow')).id, 'echo/slow');
  });
}
