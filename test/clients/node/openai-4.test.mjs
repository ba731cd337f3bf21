import OpenAI from 'openai-4';
import { suite } from './openai.suite.mjs';

suite(OpenAI);
