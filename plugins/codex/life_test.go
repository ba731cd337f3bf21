package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/clinvk/clinvk/plugins/backendtest"
	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
	"github.com/clinvk/clinvk/test/await"
)

func TestGrownAppServerIsReplaced(t *testing.T) {
	f := start(t)
	f.warmUp(t)
	f.backend.maxMemory = 1
	pid := f.pid()
	for range memoryEvery {
		if r := f.chat(t, "hi [[tokens=1]]"); r.Text != "tok0 " {
			t.Fatalf("text %q, failed %v", r.Text, r.Failed)
		}
	}
	await.Until(t, time.Minute, "the process is replaced", func() bool {
		kids := children(t)
		return f.pidOrZero() != pid && !slices.Contains(kids, pid)
	})
}

// TestNothingIsLeftOfTurns counts files and subscriptions after turns that ended
// in every way.
func TestNothingIsLeftOfTurns(t *testing.T) {
	// Without spares and WebSocket no connection to the model server, which is in
	// this process too, outlives a turn.
	f := start(t, withSettings(`{"transport":"sse"}`), withWarm(0))
	turns := func() {
		for _, prompt := range []string{"hi", "[[status=429]]", "[[tokens=5 cut=2]]", "[[hang]]", "[[hangat=1]]"} {
			for _, mode := range []backendv1.Mode{backendv1.Mode_MODE_CHAT, backendv1.Mode_MODE_AGENT} {
				ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
				backendtest.Run(ctx, f.client, &backendv1.Start{Mode: mode, Messages: []*backendv1.Message{user(prompt)}})
				cancel()
			}
		}
	}
	turns()
	before := descriptors(t)
	turns()
	turns()
	// A cancelled call returns before its turn has ended.
	defer func() {
		if t.Failed() {
			t.Log(f.left(t, before))
		}
	}()
	await.Until(t, time.Minute, "nothing is left", func() bool { return f.left(t, before) == "" })
}

// left says what there is that was not there before any turn.
func (f *fixture) left(t *testing.T, before int) string {
	t.Helper()
	if n := descriptors(t); n > before {
		return fmt.Sprintf("%d open files before, %d after", before, n)
	}
	for _, k := range []*keeper{f.backend.chat, f.backend.agent} {
		k.mu.Lock()
		refs := k.current.refs
		k.mu.Unlock()
		if refs != 1 {
			return fmt.Sprintf("%d references are held", refs)
		}
	}
	entries, err := os.ReadDir(f.backend.config.ScratchDir)
	if err != nil || len(entries) != 1 {
		return fmt.Sprintf("in the scratch directory: %v (%v)", entries, err)
	}
	return ""
}

func descriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// BenchmarkFirstToken measures the time to the first token of new conversations
// on a warm backend.
func BenchmarkFirstToken(b *testing.B) {
	for _, transport := range transports {
		b.Run(transport.name, func(b *testing.B) {
			f := start(b, withSettings(transport.settings))
			f.warmUp(b)
			<-time.After(300 * time.Millisecond) // the spares
			var total time.Duration
			for b.Loop() {
				r := f.chat(b, "hi [[tokens=3]]")
				for i, e := range r.Events {
					if e.GetTextDelta() != nil {
						total += r.At[i]
						break
					}
				}
				b.StopTimer()
				<-time.After(50 * time.Millisecond) // as between requests of one person
				b.StartTimer()
			}
			b.ReportMetric(float64(total.Microseconds())/1000/float64(b.N), "first-ms/op")
		})
	}
}
