// Package responses is OpenAI's Responses API: turns whose answers are items, kept
// answers that can be continued, and turns in the background.
package responses
