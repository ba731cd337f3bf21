import OpenAI from 'openai';
import { suite } from './openai-responses.suite.mjs';

suite(OpenAI);
