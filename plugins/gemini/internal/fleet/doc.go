// Package fleet keeps Gemini CLI processes: each in a private home, warm, with one
// turn at a time, and as many as the turns need.
package fleet
