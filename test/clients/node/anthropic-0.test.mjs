import Anthropic from 'anthropic-sdk-0';
import { suite } from './anthropic.suite.mjs';

suite(Anthropic);
