// The Vercel AI SDK with any provider.
import assert from 'node:assert/strict';
import { APICallError, Output, generateText, jsonSchema, stepCountIs, streamText, tool } from 'ai';
import { behaviour, callsTwo, personSchema, isPerson, weatherSchema, words } from './world.mjs';

// suite tests a provider; model(id, key) makes a language model of it. One that gets
// structured output by forcing a call needs a model that calls.
export function suite(endpoint, model, structuredModel = 'echo') {
  const settings = (id, prompt, more) => ({ model: model(id), prompt, maxRetries: 0, ...more });
  const report = (name) => tool({
    inputSchema: jsonSchema(weatherSchema),
    execute: async ({ city }) => `${name} of ${city} is fine`,
  });
  const tools = { weather: report('weather'), time: report('time') };

  behaviour(endpoint, 'plain', async () => {
    const got = await generateText(settings('echo', words));
    assert.equal(got.text, words);
    assert.equal(got.finishReason, 'stop');
    assert.ok(got.usage.inputTokens > 0 && got.usage.outputTokens > 0);
  });

  behaviour(endpoint, 'stream', async () => {
    const got = streamText(settings('echo', words));
    let text = '';
    for await (const piece of got.textStream) text += piece;
    assert.equal(text, words);
    assert.equal(await got.finishReason, 'stop');
    assert.ok((await got.usage).outputTokens > 0);
  });

  behaviour(endpoint, 'tools', async () => {
    const got = await generateText(settings('echo/tool', callsTwo, { tools, stopWhen: stepCountIs(3) }));
    assert.equal(got.steps.length, 2);
    assert.deepEqual(got.steps[0].toolCalls.map((c) => [c.toolName, c.input.city]), [['weather', 'Oslo'], ['time', 'Bergen']]);
    assert.match(got.text, /weather of Oslo is fine[^]*time of Bergen is fine/);
    const streamed = streamText(settings('echo/tool', callsTwo, { tools, stopWhen: stepCountIs(3) }));
    await streamed.consumeStream();
    assert.equal(await streamed.text, got.text);
  });

  behaviour(endpoint, 'structured output', async () => {
    const { output } = await generateText(settings(structuredModel, 'a person', { output: Output.object({ schema: jsonSchema(personSchema) }) }));
    assert.ok(isPerson(output));
  });

  behaviour(endpoint, 'errors', async () => {
    const refused = (s, status, retryable) => assert.rejects(generateText(s), (e) => APICallError.isInstance(e) && e.statusCode === status && e.isRetryable === retryable);
    await refused(settings('echo/nope', 'hi'), 404, false);
    await refused(settings('echo/fail', 'invalid_request'), 400, false);
    await refused(settings('echo/fail', 'rate_limited'), 429, true);
    await refused(settings('echo/fail', 'overloaded'), endpoint.includes('/anthropic/') ? 529 : 503, true);
    await refused({ model: model('echo', 'sk-wrong'), prompt: 'hi', maxRetries: 0 }, 401, false);
  });

  behaviour(endpoint, 'error in mid-stream', async () => {
    let failure;
    const got = streamText(settings('echo/fail-midstream', 'one two three four', { onError: ({ error }) => { failure = error; } }));
    let text = '';
    for await (const piece of got.textStream) text += piece;
    assert.match(text, /one/);
    assert.match(JSON.stringify(failure) + String(failure?.message), /as it was asked to/);
  });

  behaviour(endpoint, 'abort', async () => {
    const gone = new AbortController();
    const got = streamText(settings('echo/slow', 'a b c d e f g h', { abortSignal: gone.signal }));
    let aborted = false;
    for await (const part of got.fullStream) {
      if (part.type === 'text-delta') gone.abort();
      aborted ||= part.type === 'abort';
    }
    assert.ok(aborted);
  });
}
