// Package apikeys reads the API keys that clients may use: from a file, from gopass
// and from the environment. What cannot be read is an error, never a set without it.
package apikeys
