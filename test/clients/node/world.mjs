// What all suites need: where the server is, and how tests are named.
import test from 'node:test';

export const openaiURL = process.env.CLINVK_URL + '/openai/v1';
export const anthropicURL = process.env.CLINVK_URL + '/anthropic';
export const key = process.env.CLINVK_KEY;

export const chatEndpoint = 'POST /openai/v1/chat/completions';
export const responsesEndpoint = 'POST /openai/v1/responses';
export const messagesEndpoint = 'POST /anthropic/v1/messages';

// behaviour registers the test of what a client does at an endpoint. A test whose
// name begins with "abort" leaves in mid-answer exactly once.
export function behaviour(endpoint, name, run) {
  test(`${endpoint} | ${name}`, { timeout: 60_000 }, run);
}

export const words = 'the quick brown fox 🦊 jumps';

export const weatherSchema = {
  type: 'object',
  properties: { city: { type: 'string' } },
  required: ['city'],
  additionalProperties: false,
};

// callsOne and callsTwo have echo/tool call the client's tools.
export const callsOne = '[[tool weather {"city":"Oslo"}]]';
export const callsTwo = '[[tool weather {"city":"Oslo"}]][[tool time {"city":"Bergen"}]]';

export const personSchema = {
  type: 'object',
  properties: { name: { type: 'string' }, age: { type: 'integer' } },
  required: ['name', 'age'],
  additionalProperties: false,
};

export function isPerson(v) {
  return typeof v?.name === 'string' && Number.isInteger(v?.age);
}
