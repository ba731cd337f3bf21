package dialecttest

import (
	"bytes"
	"strings"
	"testing"

	"github.com/clinvk/clinvk/host/engine"
	"github.com/clinvk/clinvk/host/httpapi"
)

// TB is what testing.TB and rapid.T have in common.
type TB interface {
	Helper()
	Fatalf(format string, args ...any)
}

var _ TB = testing.TB(nil)

// SSE is one server-sent event.
type SSE struct {
	Name string // empty: unnamed
	Data string
}

// Encode runs events through an encoder, and a failure after them unless it is nil.
func Encode(e httpapi.Encoder, events []engine.Event, failure *engine.Error) []byte {
	b := e.Begin(nil)
	for _, ev := range events {
		b = e.Event(b, ev)
	}
	if failure != nil {
		b = e.Fail(b, failure)
	}
	return b
}

// ReadSSE reads a stream strictly: each event is an event line if it is named, one
// data line, and an empty line; comments are left out.
func ReadSSE(t TB, stream []byte) (out []SSE) {
	t.Helper()
	if !bytes.HasSuffix(stream, []byte("\n\n")) {
		t.Fatalf("the stream does not end with an empty line: %q", stream[max(0, len(stream)-80):])
	}
	for event := range strings.SplitSeq(strings.TrimSuffix(string(stream), "\n\n"), "\n\n") {
		if strings.HasPrefix(event, ":") {
			continue
		}
		var e SSE
		lines := strings.Split(event, "\n")
		if name, ok := strings.CutPrefix(lines[0], "event: "); ok {
			e.Name, lines = name, lines[1:]
		}
		if len(lines) != 1 || !strings.HasPrefix(lines[0], "data: ") {
			t.Fatalf("not an event: %q", event)
		}
		e.Data = strings.TrimPrefix(lines[0], "data: ")
		if strings.ContainsAny(e.Data, "\r\u0085\u2028\u2029") {
			t.Fatalf("some clients would cut this in two: %q", e.Data)
		}
		out = append(out, e)
	}
	return out
}
