import { ChatOpenAI } from '@langchain/openai';
import { suite } from './langchain.suite.mjs';
import { chatEndpoint, key, openaiURL } from './world.mjs';

suite(chatEndpoint, (model, apiKey = key) => new ChatOpenAI({ model, apiKey, maxRetries: 0, useResponsesApi: false, configuration: { baseURL: openaiURL } }));
