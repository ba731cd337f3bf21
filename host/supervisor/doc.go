// Package supervisor is the life of the plugins: it starts them, watches them,
// restarts them with backoff, quarantines what keeps crashing, replaces and drains
// them, and lends their connections to whoever runs turns.
package supervisor
