package session_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/clinvk/clinvk/host/engine"
	"github.com/clinvk/clinvk/host/session"
)

// TestLabelsAddUp: turns add their labels, and many turns must not make a session that
// cannot be shown, nor changed by what it shows.
func TestLabelsAddUp(t *testing.T) {
	w := newWorld(t)
	tags := func(from, n int) (out []string) {
		for i := range n {
			out = append(out, fmt.Sprintf("tag%d", from+i))
		}
		return out
	}
	metadata := func(from, n int) map[string]string {
		out := map[string]string{}
		for i := range n {
			out[fmt.Sprintf("key%d", from+i)] = "v"
		}
		return out
	}
	id, _ := w.must(t, ask("one", engine.Keep{Tags: tags(0, session.MaxTags-1), Metadata: metadata(0, session.MaxMetadata-1)}))
	for param, keep := range map[string]engine.Keep{"tags": {ID: id, Tags: tags(100, 2)}, "metadata": {ID: id, Metadata: metadata(100, 2)}} {
		_, _, err := w.run(t, ask("too many", keep))
		if e, ok := errors.AsType[*engine.Error](err); !ok || e.Code != engine.CodeInvalidRequest || e.Param != param {
			t.Errorf("%s: %v", param, err)
		}
	}
	w.must(t, ask("two", engine.Keep{ID: id, Tags: tags(0, session.MaxTags), Metadata: metadata(0, session.MaxMetadata)}))
	s, turns, err := w.Session(t.Context(), "", id)
	if err != nil || len(s.Tags) != session.MaxTags || len(s.Metadata) != session.MaxMetadata || len(turns) != 2 {
		t.Errorf("%d tags, %d members, %d turns, %v", len(s.Tags), len(s.Metadata), len(turns), err)
	}
}
