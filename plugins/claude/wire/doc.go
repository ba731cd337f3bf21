// Package wire is the stream-json protocol of the Claude Code CLI: the lines that
// it reads and prints, and what its log says about requests that failed.
package wire
