// Package host builds a clinvk server from its configuration: it finds the
// plugins, keeps them alive, and answers HTTP.
package host
