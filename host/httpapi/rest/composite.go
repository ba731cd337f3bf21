package rest

import (
	"context"
	"net/http"

	"github.com/clinvk/clinvk/host/compose"
	"github.com/clinvk/clinvk/host/engine"
	"github.com/clinvk/clinvk/host/httpapi"
	"github.com/clinvk/clinvk/host/httpapi/media"
)

// Bounds of verbs that run several turns.
const (
	// maxTurns is how many there may be in one request.
	maxTurns = 256
	// maxParallel is how many of them may run at a time.
	maxParallel = 64
)

// composite runs the turns of one request: run is given an observer, and returns the
// answer. place tells an event which turn it belongs to.
func (d *Dialect) composite(w http.ResponseWriter, r *http.Request, format string, turns []*engine.Turn, place func(*event, int), run func(context.Context, compose.Observer) any) error {
	defer d.requests.begin(r, turns)()
	stream, asSSE := wantsEvents(r, format)
	if !stream {
		httpapi.WriteJSON(w, http.StatusOK, "application/json", run(r.Context(), nil))
		return nil
	}
	contentType, heartbeat := "application/x-ndjson", "\n"
	if asSSE {
		contentType, heartbeat = "text/event-stream", ": keep-alive\n\n"
	}
	out, ctx := httpapi.NewFeed(r.Context(), w, contentType, []byte(heartbeat))
	defer out.Close()
	f := &feed{Feed: out, sse: asSSE, place: place}
	f.answer(run(ctx, f.observe))
	return nil
}

// checkFormat is for verbs whose answer has one form besides streams.
func checkFormat(format string) error {
	switch format {
	case "", formatDefault, formatJSON, formatStream:
		return nil
	}
	return bad("output_format", "output_format is %q; it must be default, json or stream-json", format)
}

// turn makes the turn of one of several prompts; where is its place in the body.
func (d *Dialect) turn(r *http.Request, files *media.Files, p *prompt, where string) (*engine.Turn, error) {
	if p.DryRun {
		return nil, bad(where+"/dry_run", "%s: dry_run is for the whole request: set it beside it", where)
	}
	if p.OutputFormat == formatStream {
		return nil, bad(where+"/output_format", "%s: stream-json is for the whole request: set output_format beside it", where)
	}
	if err := p.alone(); err != nil {
		return nil, within(where, err)
	}
	t, err := p.turn()
	if err != nil {
		return nil, within(where, err)
	}
	return t, within(where, d.complete(r, files, t))
}

func checkCount(n int, field string) error {
	switch {
	case n == 0:
		return bad(field, "%s must have at least one element", field)
	case n > maxTurns:
		return bad(field, "%s has %d elements; it must have at most %d", field, n, maxTurns)
	}
	return nil
}

// succeeded counts.
func succeeded(outcomes []compose.Outcome) (n int) {
	for _, o := range outcomes {
		if o.Err == nil {
			n++
		}
	}
	return n
}
