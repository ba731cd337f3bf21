package fleet

import (
	"strings"
	"testing"
)

func TestTail(t *testing.T) {
	var got tail
	got.add("what an earlier turn left")
	got.reset()
	for range 1000 {
		got.add(strings.Repeat("x", 100))
	}
	got.add("the end")
	s := got.String()
	if strings.Contains(s, "earlier") || !strings.HasSuffix(s, "the end") || len(s) > tailSize {
		t.Errorf("tail of %d bytes: %q", len(s), s[max(0, len(s)-50):])
	}
}
