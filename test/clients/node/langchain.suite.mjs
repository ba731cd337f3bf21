// LangChain with any chat model.
import assert from 'node:assert/strict';
import { HumanMessage, ToolMessage } from '@langchain/core/messages';
import { tool } from '@langchain/core/tools';
import { behaviour, callsTwo, isPerson, personSchema, weatherSchema, words } from './world.mjs';

// suite tests a class; model(id, key) makes a chat model of it.
export function suite(endpoint, model) {
  const report = (name) => tool(async ({ city }) => `${name} of ${city} is fine`, { name, description: name, schema: weatherSchema });
  const tools = [report('weather'), report('time')];
  const textOf = (m) => (typeof m.content === 'string' ? m.content : m.content.map((b) => b.text ?? '').join(''));

  behaviour(endpoint, 'plain', async () => {
    const got = await model('echo').invoke(words);
    assert.equal(textOf(got), words);
    assert.ok(got.usage_metadata.input_tokens > 0 && got.usage_metadata.output_tokens > 0);
  });

  behaviour(endpoint, 'stream', async () => {
    let got;
    for await (const chunk of await model('echo').stream(words)) got = got ? got.concat(chunk) : chunk;
    assert.equal(textOf(got), words);
    assert.ok(got.usage_metadata.output_tokens > 0);
  });

  behaviour(endpoint, 'tools', async () => {
    const bound = model('echo/tool').bindTools(tools);
    const history = [new HumanMessage(callsTwo)];
    const asked = await bound.invoke(history);
    assert.deepEqual(asked.tool_calls.map((c) => [c.name, c.args.city]), [['weather', 'Oslo'], ['time', 'Bergen']]);
    let streamed;
    for await (const chunk of await bound.stream(history)) streamed = streamed ? streamed.concat(chunk) : chunk;
    assert.deepEqual(streamed.tool_calls.map((c) => c.args), asked.tool_calls.map((c) => c.args));
    const results = await Promise.all(tools.map((t, i) => t.invoke(asked.tool_calls[i])));
    assert.ok(results.every((r) => r instanceof ToolMessage));
    assert.match(textOf(await bound.invoke([...history, asked, ...results])), /weather of Oslo is fine[^]*time of Bergen is fine/);
  });

  behaviour(endpoint, 'structured output', async () => {
    const got = await model('echo').withStructuredOutput(personSchema, { name: 'person', method: 'jsonSchema' }).invoke('a person');
    assert.ok(isPerson(got));
  });

  behaviour(endpoint, 'errors', async () => {
    const refused = (m, text, status) => assert.rejects(m.invoke(text), (e) => (e.status ?? e.cause?.status) === status);
    await refused(model('echo/nope'), 'hi', 404);
    await refused(model('echo/fail'), 'invalid_request', 400);
    await refused(model('echo/fail'), 'rate_limited', 429);
    await refused(model('echo/fail'), 'upstream_failure', 502);
    await refused(model('echo', 'sk-wrong'), 'hi', 401);
  });

  behaviour(endpoint, 'abort', async () => {
    const gone = new AbortController();
    await assert.rejects(async () => {
      for await (const chunk of await model('echo/slow').stream('a b c d e f g h', { signal: gone.signal })) {
        if (textOf(chunk)) gone.abort();
      }
    }, /abort/i);
  });
}
