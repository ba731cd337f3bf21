// Package anthropic is a fake Anthropic Messages API on loopback that answers
// as the script in the last user message says; the Claude Code CLI talks to it
// through ANTHROPIC_BASE_URL.
package anthropic
