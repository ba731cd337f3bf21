import { createOpenAI } from '@ai-sdk/openai';
import { suite } from './ai.suite.mjs';
import { key, openaiURL, responsesEndpoint } from './world.mjs';

// This is what the provider speaks unless told otherwise.
suite(responsesEndpoint, (id, apiKey = key) => createOpenAI({ baseURL: openaiURL, apiKey })(id));
