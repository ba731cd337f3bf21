// Package anthropic is the Anthropic dialect: it decodes requests of Anthropic's
// clients into turns and encodes events, answers and errors the way those clients
// expect them.
package anthropic
