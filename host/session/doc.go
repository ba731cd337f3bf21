// Package session keeps conversations: it gives a turn the history of its session,
// follows it, and has the store hold what came of it before the client hears the end.
package session
