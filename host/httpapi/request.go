package httpapi

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"net/http"
)

// request is what is known about a request under way.
type request struct {
	id      string
	dialect Dialect
	route   string // the pattern, for logs
	backend string // of its turn
	key     string // the name of its API key, for logs
	err     error  // what went wrong after the response had begun
}

type requestKey struct{}

// about finds the request's record; outside of the server it is an empty one.
func about(ctx context.Context) *request {
	if r, ok := ctx.Value(requestKey{}).(*request); ok {
		return r
	}
	return &request{}
}

// RequestID is the id of the request that ctx belongs to: the caller's if it sent
// a sane one, else a new one.
func RequestID(ctx context.Context) string { return about(ctx).id }

// DialectOf names the dialect of the request that ctx belongs to; empty: it belongs to
// none.
func DialectOf(ctx context.Context) string {
	if d := about(ctx).dialect; d != nil {
		return d.Name()
	}
	return ""
}

// maxRequestID bounds an id that a caller may choose, in bytes.
const maxRequestID = 128

func requestID(r *http.Request) string {
	if id := r.Header.Get("X-Request-Id"); sane(id) {
		return id
	}
	var b [12]byte
	_, _ = rand.Read(b[:]) // never fails
	return "req_" + hex.EncodeToString(b[:])
}

func sane(id string) bool {
	if id == "" || len(id) > maxRequestID {
		return false
	}
	for _, c := range []byte(id) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_', c == '.', c == ':':
		default:
			return false
		}
	}
	return true
}
