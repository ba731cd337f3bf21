package store

import (
	"encoding/json"
	"errors"
	"time"
)

// ErrNotFound says that there is no such record, or that it is another owner's.
var ErrNotFound = errors.New("not found")

// Errors of a chain that is not given out, because it is beyond its ChainLimit.
var (
	ErrTooMany  = errors.New("too many responses")
	ErrTooLarge = errors.New("too many bytes")
)

// ChainLimit bounds a chain of responses.
type ChainLimit struct {
	// Responses that there may be.
	Responses int
	// Bytes of all Input and Output together.
	Bytes int64
}

// Response is a kept answer of the Responses API. Its JSON is the dialect's; a store
// keeps the bytes as they are.
type Response struct {
	// ID is unique among all owners.
	ID string
	// Owner is whose it is; others do not see it.
	Owner string
	// Previous is the id of the response that this one continues; empty: none.
	Previous string
	// Model as it is shown.
	Model string
	// Created and Completed have a resolution of a second; Completed is zero until
	// the answer is over.
	Created, Completed time.Time
	// Status is the dialect's word.
	Status string
	// Lease is until when the process that works on the response vouches for it; zero:
	// nobody works on it. Past it, that process is gone.
	Lease time.Time
	// Background says that the response was made apart from its request.
	Background bool
	// Input and Output are arrays of items.
	Input, Output json.RawMessage
	// Usage, Error and Incomplete are objects; nil: none.
	Usage, Error, Incomplete json.RawMessage
	// Settings are what was asked for: an object.
	Settings json.RawMessage
}
