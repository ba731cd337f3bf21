import assert from 'node:assert/strict';
import Anthropic from '@anthropic-ai/sdk';
import { suite } from './anthropic.suite.mjs';
import { anthropicURL, behaviour, isPerson, key, messagesEndpoint, personSchema, weatherSchema } from './world.mjs';

suite(Anthropic);

behaviour(messagesEndpoint, 'structured output', async () => {
  const client = new Anthropic({ baseURL: anthropicURL, apiKey: key, maxRetries: 0 });
  const got = await client.messages.parse({
    model: 'echo', max_tokens: 4096, messages: [{ role: 'user', content: 'a person' }],
    output_config: { format: { type: 'json_schema', schema: personSchema } },
  });
  assert.ok(isPerson(JSON.parse(got.content[0].text)));
});

behaviour(messagesEndpoint, 'tool runner', async () => {
  const client = new Anthropic({ baseURL: anthropicURL, apiKey: key, maxRetries: 0 });
  const weather = { name: 'weather', input_schema: weatherSchema, run: ({ city }) => `sunny in ${city}`, parse: (input) => input };
  const params = { model: 'echo/tool', max_tokens: 4096, messages: [{ role: 'user', content: '[[tool weather {"city": "Oslo"}]]' }], tools: [weather] };
  assert.match((await client.beta.messages.toolRunner(params)).content[0].text, /sunny in Oslo/);
  const reasons = [];
  for await (const stream of client.beta.messages.toolRunner({ ...params, stream: true })) reasons.push((await stream.finalMessage()).stop_reason);
  assert.deepEqual(reasons, ['tool_use', 'end_turn']);
});
