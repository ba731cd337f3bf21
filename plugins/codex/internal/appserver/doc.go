// Package appserver speaks to one `codex app-server` process: JSON-RPC, one
// message per line on stdio, many threads (conversations) at once, and the log
// on stderr, which alone tells some things about the model server's answers.
package appserver
