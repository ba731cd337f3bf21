import OpenAI from 'openai';
import { suite } from './openai.suite.mjs';

suite(OpenAI);
