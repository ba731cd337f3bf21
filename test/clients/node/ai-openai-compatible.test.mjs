import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { suite } from './ai.suite.mjs';
import { chatEndpoint, key, openaiURL } from './world.mjs';

suite(chatEndpoint, (id, apiKey = key) => createOpenAICompatible({ name: 'clinvk', baseURL: openaiURL, apiKey, includeUsage: true, supportsStructuredOutputs: true })(id));
