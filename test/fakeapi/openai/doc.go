// Package openai is a fake OpenAI Responses API on loopback, over server-sent
// events and over WebSocket, that answers as the script in the last user message
// says; the Codex CLI talks to it through OPENAI_BASE_URL.
package openai
