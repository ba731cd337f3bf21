// Package media is the files in requests: what is sent along is held against its own
// first bytes, and what is linked is fetched, from hosts that the operator lists.
package media
