import { createOpenAI } from '@ai-sdk/openai';
import { suite } from './ai.suite.mjs';
import { chatEndpoint, key, openaiURL } from './world.mjs';

suite(chatEndpoint, (id, apiKey = key) => createOpenAI({ baseURL: openaiURL, apiKey }).chat(id));
