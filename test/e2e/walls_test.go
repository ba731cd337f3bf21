//go:build linux

package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/clinvk/clinvk/test/harness"
)

// claudes are the running CLI processes.
func claudes(s *harness.Server) (n int) {
	for _, p := range s.Processes() {
		if strings.Contains(p.Command, cliMark["claude"]) {
			n++
		}
	}
	return n
}

// TestMemoryWall gives claude more spares than it has memory for: they go, a turn
// that waits meanwhile answers, and the plugin lives on.
func TestMemoryWall(t *testing.T) {
	config := func(warm, limit int) string {
		return fmt.Sprintf("plugins: {allow: [claude]}\nbackends: {claude: {warm: %d, limits: {max_memory_mb: %d}}}\n", warm, limit)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	one := newWorld(t, harness.Options{Config: config(1, -1)})
	b, err := one.server.WaitBackend(ctx, "claude", func(b harness.Backend) bool { return b.Processes == 2 && b.MemoryMB > 0 })
	if err != nil {
		t.Fatal(err)
	}
	wait(t, "the spare", func() bool { return claudes(one.server) == 1 })
	// It may have been measured while it started.
	b, err = one.server.WaitBackend(ctx, "claude", func(now harness.Backend) bool {
		settled := now.MemoryMB == b.MemoryMB
		b = now
		time.Sleep(1100 * time.Millisecond) // one measurement
		return settled
	})
	if err != nil {
		t.Fatal(err)
	}
	limit := b.MemoryMB * 3 / 2
	t.Logf("the plugin and one spare use %d MB, the limit is %d MB", b.MemoryMB, limit)
	if err := one.server.Close(); err != nil {
		t.Fatal(err)
	}

	w := newWorld(t, harness.Options{Config: config(8, limit)})
	before, err := w.server.Backend(ctx, "claude")
	if err != nil {
		t.Fatal(err)
	}
	wait(t, "the wall is met", func() bool { return strings.Contains(w.server.Log(), "over its limit") })
	word := nonce()
	r, err := openaiChat.do(ctx, w.server.URL, ask{model: "claude", history: prompt(word + " [[echo]]")})
	if err != nil || r.err != nil || !strings.Contains(r.text, word) {
		t.Fatalf("the turn: %v, %+v", err, r)
	}
	wait(t, "the spares went", func() bool { return claudes(w.server) <= 1 }) // the turn's own may be kept
	after, err := w.server.WaitBackend(ctx, "claude", func(b harness.Backend) bool { return b.Pressure == "" && b.MemoryMB < limit })
	if err != nil {
		t.Fatal(err)
	}
	if after.PID != before.PID || after.Restarts != 0 {
		t.Errorf("the plugin was replaced: %+v, then %+v", before, after)
	}
	if n := strings.Count(w.server.Log(), "over its limit"); n != 1 {
		t.Errorf("%d warnings of one episode", n)
	}
}
