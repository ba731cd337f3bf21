package main

import (
	"testing"
	"time"

	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
)

// BenchmarkFirstToken measures the first text delta of a new conversation in a warm
// process, and of the next turn of a live one.
func BenchmarkFirstToken(b *testing.B) {
	f := newFixture(b, newest)
	b.Run("new", func(b *testing.B) {
		f.tb = b
		var total time.Duration
		for b.Loop() {
			b.StopTimer()
			f.warm()
			b.StartTimer()
			total += firstText(f, chat(user("hello")))
		}
		b.ReportMetric(float64(total.Milliseconds())/float64(b.N), "ms/first")
	})
	b.Run("live", func(b *testing.B) {
		f.tb = b
		c := &talk{f: f}
		c.say("hello")
		f.warm()
		var total time.Duration
		for b.Loop() {
			c.messages = append(c.messages, user("hello"))
			start := chat(c.messages...)
			start.Live = &backendv1.Live{Token: c.token, MessagesHeld: uint32(c.held)}
			r := f.complete(start)
			for i, e := range r.Events {
				if e.GetTextDelta() != nil {
					total += r.At[i]
					break
				}
			}
			c.messages = append(c.messages, assistant(r.Text))
			c.token, c.held = r.Completed.GetLiveToken(), len(c.messages)
		}
		b.ReportMetric(float64(total.Milliseconds())/float64(b.N), "ms/first")
	})
}

// firstText runs a turn and returns the time of its first text.
func firstText(f *fixture, start *backendv1.Start) time.Duration {
	f.tb.Helper()
	r := f.complete(start)
	for i, e := range r.Events {
		if e.GetTextDelta() != nil {
			return r.At[i]
		}
	}
	f.tb.Fatal("no text")
	return 0
}
