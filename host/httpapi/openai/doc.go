// Package openai is the OpenAI dialect: it decodes requests of OpenAI's clients into
// turns and encodes events, answers and errors the way those clients expect them.
package openai
