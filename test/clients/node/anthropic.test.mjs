import assert from 'node:assert/strict';
import Anthropic from '@anthropic-ai/sdk';
import { suite } from './anthropic.suite.mjs';
import { anthropicURL, behaviour, isPerson, key, messagesEndpoint, personSchema } from './world.mjs';

suite(Anthropic);

behaviour(messagesEndpoint, 'structured output', async () => {
  const client = new Anthropic({ baseURL: anthropicURL, apiKey: key, maxRetries: 0 });
  const got = await client.messages.parse({
    model: 'echo', max_tokens: 4096, messages: [{ role: 'user', content: 'a person' }],
    output_config: { format: { type: 'json_schema', schema: personSchema } },
  });
  assert.ok(isPerson(JSON.parse(got.content[0].text)));
});
