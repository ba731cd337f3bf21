package openai

import "net/http"

// eventStream is the transport over server-sent events.
type eventStream struct {
	server *Server
	w      http.ResponseWriter
}

func (e *eventStream) begin() {
	e.w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	e.w.Header().Set("Cache-Control", "no-cache")
	e.w.Header().Set("X-Request-Id", e.server.id("req"))
}

func (e *eventStream) event(kind string, pieces [][]byte, pause func() bool) bool {
	if !e.write([]byte("event: " + kind + "\ndata: ")) {
		return false
	}
	for i, p := range pieces {
		if i > 0 && (!e.flush() || !pause()) {
			return false
		}
		if !e.write(p) {
			return false
		}
	}
	return e.write([]byte("\n\n")) && e.flush()
}

func (e *eventStream) write(b []byte) bool {
	_, err := e.w.Write(b)
	return err == nil
}

func (e *eventStream) flush() bool { return http.NewResponseController(e.w).Flush() == nil }

func (e *eventStream) fail(f failure) { e.server.fail(e.w, f) }

func (e *eventStream) cut() { panic(http.ErrAbortHandler) } // net/http then drops the connection
