import { ChatOpenAI } from '@langchain/openai';
import { suite } from './langchain.suite.mjs';
import { key, openaiURL, responsesEndpoint } from './world.mjs';

suite(responsesEndpoint, (model, apiKey = key) => new ChatOpenAI({ model, apiKey, maxRetries: 0, useResponsesApi: true, configuration: { baseURL: openaiURL } }));
