package rest

import (
	"net/http"
	"strings"
	"time"

	"github.com/clinvk/clinvk/host/compose"
	"github.com/clinvk/clinvk/host/httpapi"
)

// feed streams the events of several turns, and last of all a result event with the
// answer of the whole.
type feed struct {
	*httpapi.Feed
	sse      bool
	sequence int
	// place tells an event which turn it belongs to.
	place func(e *event, index int)
}

// wantsEvents says whether a request asks for a stream, and for server-sent events.
func wantsEvents(r *http.Request, format string) (stream, sse bool) {
	sse = strings.Contains(r.Header.Get("Accept"), "text/event-stream")
	return sse || format == formatStream, sse && format != formatStream
}

func (f *feed) observe(e compose.Event) {
	source := events{x: e.Execution}
	var out event
	switch {
	case e.Err != nil && e.Execution == nil:
		out = event{Type: "error", Timestamp: now(), Content: failureOf(e.Err)}
	case e.Err != nil:
		out = source.failed(e.Err)
	default:
		ev, ok := source.of(e.Event)
		if !ok {
			return
		}
		out = ev
	}
	f.place(&out, e.Index)
	f.send(out)
}

// send numbers an event and writes it.
func (f *feed) send(e event) {
	f.sequence++
	e.Sequence = f.sequence
	if f.sse {
		f.Write((&sse{}).write(nil, e))
		return
	}
	f.Write(append(appendJSON(nil, e), '\n'))
}

// answer sends the answer of the whole.
func (f *feed) answer(v any) { f.send(event{Type: "result", Timestamp: now(), Content: v}) }

func now() string { return time.Now().UTC().Format(time.RFC3339Nano) }
