import { ChatAnthropic } from '@langchain/anthropic';
import { suite } from './langchain.suite.mjs';
import { anthropicURL, key, messagesEndpoint } from './world.mjs';

suite(messagesEndpoint, (model, apiKey = key) => new ChatAnthropic({ model, apiKey, maxTokens: 4096, maxRetries: 0, anthropicApiUrl: anthropicURL }));
