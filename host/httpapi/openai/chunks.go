package openai

import (
	"github.com/clinvk/clinvk/host/engine"
)

// chunks is what streams of both kinds of completions have in common.
type chunks struct {
	// Every chunk is head, its choice, and tail.
	head, tail []byte
	usage      bool // the client wants a last chunk with the usage
	left       int  // choices that are not over
	total      engine.Usage
}

func newChunks(h header, object string, q *request) chunks {
	c := chunks{usage: q.includeUsage, left: q.choices(), tail: []byte("]}\n\n")}
	c.head = append(h.append([]byte("data: "), object), `,"choices":[`...)
	if c.usage {
		c.tail = []byte(`],"usage":null}` + "\n\n")
	}
	return c
}

// ContentType is that of server-sent events.
func (*chunks) ContentType() string { return "text/event-stream" }

// finish appends what comes after the end of a choice: after that of the last one the
// usage of all, if it is wanted, and the end of the stream.
func (c *chunks) finish(b []byte, u engine.Usage) []byte {
	c.total = add(c.total, u)
	if c.left--; c.left > 0 {
		return b
	}
	if c.usage {
		b = append(append(b, c.head...), `],"usage":`...)
		b = append(appendUsage(b, c.total), "}\n\n"...)
	}
	return append(b, "data: [DONE]\n\n"...)
}

// Fail appends an error; clients take any chunk that has one for a failure.
func (*chunks) Fail(b []byte, err *engine.Error) []byte {
	return append(envelopeOf(err).append(append(b, "data: "...)), "\n\n"...)
}

// Heartbeat appends a comment.
func (*chunks) Heartbeat(b []byte) []byte { return append(b, ": keep-alive\n\n"...) }
