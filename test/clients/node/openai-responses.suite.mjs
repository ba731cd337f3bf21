// The Responses API with the official SDK, in any major version that has it.
import assert from 'node:assert/strict';
import { behaviour, callsTwo, key, openaiURL, responsesEndpoint, weatherSchema, words } from './world.mjs';

export function suite(OpenAI) {
  const client = new OpenAI({ baseURL: openaiURL, apiKey: key, maxRetries: 0 });
  const fn = (name) => ({ type: 'function', name, parameters: weatherSchema, strict: true });

  behaviour(responsesEndpoint, 'plain', async () => {
    const got = await client.responses.create({ model: 'echo', input: words });
    assert.equal(got.output_text, words);
    assert.equal(got.status, 'completed');
    assert.equal(got.usage.total_tokens, got.usage.input_tokens + got.usage.output_tokens);
    assert.match(got._request_id, /./);
  });

  behaviour(responsesEndpoint, 'stream', async () => {
    const got = await client.responses.stream({ model: 'echo', input: words }).finalResponse();
    assert.equal(got.output[0].content[0].text, words); // version 4 fills in output_text of plain answers only
  });

  behaviour(responsesEndpoint, 'tools', async () => {
    const tools = [fn('weather'), fn('time')];
    const { output, id } = await client.responses.create({ model: 'echo/tool', input: callsTwo, tools });
    assert.deepEqual(output.map((c) => [c.type, c.name, JSON.parse(c.arguments).city]), [['function_call', 'weather', 'Oslo'], ['function_call', 'time', 'Bergen']]);
    const results = output.map((c) => ({ type: 'function_call_output', call_id: c.call_id, output: `${c.name} is fine` }));
    for (const next of [{ input: [{ role: 'user', content: callsTwo }, ...output, ...results] }, { input: results, previous_response_id: id }]) {
      const last = await client.responses.create({ model: 'echo/tool', tools, ...next });
      assert.match(last.output_text, /weather is fine[^]*time is fine/);
    }
  });

  behaviour(responsesEndpoint, 'errors', async () => {
    await assert.rejects(client.responses.create({ model: 'echo/nope', input: 'hi' }), (e) => e instanceof OpenAI.NotFoundError && e.code === 'model_not_found');
    await assert.rejects(client.responses.create({ model: 'echo/fail', input: 'rate_limited' }), OpenAI.RateLimitError);
    await assert.rejects(client.responses.create({ model: 'echo', input: 'hi', temperature: 7 }), (e) => e instanceof OpenAI.BadRequestError && e.param === 'temperature');
  });

  behaviour(responsesEndpoint, 'abort', async () => {
    const stream = await client.responses.create({ model: 'echo/slow', input: 'a b c d e f g h', stream: true });
    for await (const event of stream) {
      if (event.type === 'response.output_text.delta') stream.controller.abort();
    }
  });
}
