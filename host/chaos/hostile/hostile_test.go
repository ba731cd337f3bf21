package hostile

import (
	"strings"
	"testing"

	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
	"github.com/clinvk/clinvk/proto/handshake"
)

func TestByHand(t *testing.T) {
	t.Setenv(handshake.CookieKey, "")
	if err := Run(Good); err == nil || !strings.Contains(err.Error(), "clinvk chaos") {
		t.Errorf("err = %v", err)
	}
}

// flaw says what the contract has against a turn; empty: nothing.
func flaw(events []*backendv1.ExecuteResponse) string {
	for i, e := range events {
		switch {
		case e.GetSequence() != uint64(i+1):
			return "sequence"
		case len(e.GetTextDelta().GetText()) > handshake.MaxFromPlugin:
			return "size"
		}
	}
	if len(events) == 0 || events[len(events)-1].GetCompleted() == nil {
		return "end"
	}
	return ""
}

func TestGarble(t *testing.T) {
	if f := flaw(answer("x")); f != "" {
		t.Errorf("the good answer has a flaw: %s", f)
	}
	seen := map[string]bool{}
	for n := range uint64(Garbled) {
		f := flaw(garble(answer("x"), n))
		if f == "" {
			t.Errorf("way %d breaks nothing", n)
		}
		seen[f] = true
	}
	if len(seen) != 3 {
		t.Errorf("flaws: %v", seen)
	}
}
