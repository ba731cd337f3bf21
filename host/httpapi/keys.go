package httpapi

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net/http"
	"slices"
	"strings"

	"github.com/clinvk/clinvk/host/apikeys"
)

// Keys are the API keys that clients may use. Only their hashes are kept.
type Keys struct{ keys []apikeys.Key }

// NewKeys makes a set; nil when there are none.
func NewKeys(keys []apikeys.Key) *Keys {
	if len(keys) == 0 {
		return nil
	}
	return &Keys{slices.Clone(keys)}
}

// presented is the key that a request carries: X-Api-Key wins over Bearer, as it
// does at Anthropic.
func presented(r *http.Request) string {
	if key := r.Header.Get("X-Api-Key"); key != "" {
		return key
	}
	scheme, key, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(key)
}

// check refuses requests without a known key, before their body is looked at.
// Health needs none.
func (k *Keys) check(r *http.Request) *Error {
	if k == nil || local(r.Context()) || isHealth(r) {
		return nil
	}
	key := presented(r)
	if key == "" {
		return Errorf(http.StatusUnauthorized, "no API key: send it as \"Authorization: Bearer KEY\" or \"X-Api-Key: KEY\"")
	}
	known := k.find(key)
	if known == nil {
		return Errorf(http.StatusUnauthorized, "this API key is not known to the server")
	}
	about(r.Context()).key = known.Name
	return nil
}

func isHealth(r *http.Request) bool {
	return r.URL.Path == "/health" || strings.HasPrefix(r.URL.Path, "/health/")
}

func (k *Keys) has(key string) bool { return k.find(key) != nil }

// find looks a key up, in a time that does not tell how near it came; nil: it is not
// known.
func (k *Keys) find(key string) *apikeys.Key {
	hash := sha256.Sum256([]byte(key))
	found := -1
	for i := range k.keys {
		same := subtle.ConstantTimeCompare(hash[:], k.keys[i].Hash[:])
		found = subtle.ConstantTimeSelect(same, i, found)
	}
	if found < 0 {
		return nil
	}
	return &k.keys[found]
}

// Owner is whose request it is: the hash of its key, so that conversations of
// different keys are never joined.
func Owner(r *http.Request) string {
	key := presented(r)
	if key == "" {
		return ""
	}
	hash := sha256.Sum256([]byte(key))
	return hex.EncodeToString(hash[:])
}

// Authenticated says whether the request has a known key, or none is needed.
func (k *Keys) Authenticated(r *http.Request) bool {
	return k == nil || local(r.Context()) || k.has(presented(r))
}

type localKey struct{}

// WithLocal marks the connection of a context as one that only the server's own user
// can have made: its requests need no key.
func WithLocal(ctx context.Context) context.Context { return context.WithValue(ctx, localKey{}, true) }

func local(ctx context.Context) bool { return ctx.Value(localKey{}) != nil }
