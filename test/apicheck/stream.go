package apicheck

import (
	"fmt"
	"strings"
)

// event is one item of a stream.
type event struct{ name, data string }

// stream checks the items of a stream, as far as it came.
func (c *check) stream(m *media, sse bool) {
	events, rest := split(string(c.x.Body), sse)
	if rest != "" && !c.x.Cut {
		c.add("the stream ends inside an event: %q", clip(rest, 200))
	}
	over := false
	for i, e := range events {
		what := fmt.Sprintf("event %d", i)
		if over {
			c.add("%s comes after the last one: %s", what, clip(e.data, 200))
			return
		}
		if m.stream.end != "" && e.data == m.stream.end {
			over = true
			continue
		}
		before := len(c.violations)
		v := c.json(what, m.schema, []byte(e.data))
		for j := before; j < len(c.violations); j++ {
			c.violations[j] += "\n  in " + clip(e.data, 500)
		}
		if sse {
			c.name(what, m.stream.name, e.name, v)
		}
		over = m.stream.last != nil && m.stream.last.Validate(v) == nil
	}
	if !over && !c.x.Cut {
		c.add("the stream ends without its last event, after %d", len(events))
	}
}

// name holds the event line to the data.
func (c *check) name(what, member, name string, data any) {
	want := ""
	if o, ok := data.(map[string]any); ok && member != "" {
		want, _ = o[member].(string)
	}
	if name != want {
		c.add("%s is named %q, its data says %q", what, name, want)
	}
}

// split takes a stream apart; rest is what is not a whole event.
func split(text string, sse bool) (events []event, rest string) {
	if !sse {
		lines := strings.SplitAfter(text, "\n")
		for _, line := range lines {
			switch {
			case !strings.HasSuffix(line, "\n"):
				rest = line
			case line != "\n": // a heartbeat
				events = append(events, event{data: strings.TrimSuffix(line, "\n")})
			}
		}
		return events, rest
	}
	blocks := strings.Split(text, "\n\n")
	for _, block := range blocks[:len(blocks)-1] {
		if e, ok := parse(block); ok {
			events = append(events, e)
		}
	}
	return events, blocks[len(blocks)-1]
}

// parse reads one server-sent event; false: it is only a comment.
func parse(block string) (e event, ok bool) {
	var data []string
	for line := range strings.SplitSeq(block, "\n") {
		key, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch key {
		case "event":
			e.name, ok = value, true
		case "data":
			data, ok = append(data, value), true
		}
	}
	e.data = strings.Join(data, "\n")
	return e, ok
}

func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}
