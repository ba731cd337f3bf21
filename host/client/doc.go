// Package client asks a clinvk server over REST: one that runs already, or one within
// the same process.
package client
