import OpenAI from 'openai-4';
import { suite } from './openai-responses.suite.mjs';

suite(OpenAI);
