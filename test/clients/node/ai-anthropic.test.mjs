import { createAnthropic } from '@ai-sdk/anthropic';
import { suite } from './ai.suite.mjs';
import { anthropicURL, key, messagesEndpoint } from './world.mjs';

suite(messagesEndpoint, (id, apiKey = key) => createAnthropic({ baseURL: anthropicURL + '/v1', apiKey })(id), 'echo/tool');
