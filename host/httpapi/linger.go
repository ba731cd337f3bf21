package httpapi

import (
	"io"
	"net/http"
	"time"
)

// How long, and how many bytes, a client may go on to send after it was refused.
const (
	lingerTime = 10 * time.Second
	lingerSize = 256 << 20
)

// linger reads what a client still sends of a body that was refused; the answer, which
// has a length, was sent. Most clients read it only when they have sent all: a
// connection that is closed before is reset, and the answer lost.
func linger(w *recorder, r *http.Request, body io.Reader) {
	if w.status < http.StatusBadRequest || body == nil || body == http.NoBody || r.Header.Get("Expect") != "" {
		return
	}
	// Errors mean that the client has gone, or that this is no connection but a test.
	_ = http.NewResponseController(w.ResponseWriter).SetReadDeadline(time.Now().Add(lingerTime))
	_, _ = io.CopyN(io.Discard, body, lingerSize)
}
