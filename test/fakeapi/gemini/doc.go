// Package gemini is a fake Gemini API (generativelanguage v1beta) on loopback that
// answers as the script in the last user message says; the Gemini CLI talks to it
// through GOOGLE_GEMINI_BASE_URL.
package gemini
