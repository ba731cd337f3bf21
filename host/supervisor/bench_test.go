//go:build linux

package supervisor_test

import (
	"testing"

	"github.com/clinvk/clinvk/host/catalog"
	"github.com/clinvk/clinvk/host/hosttest"
	"github.com/clinvk/clinvk/host/supervisor"
)

func BenchmarkAcquire(b *testing.B) {
	s := run(b, nil, hosttest.Entry(b, hosttest.Script{}))
	b.ReportAllocs()
	for b.Loop() {
		l, err := s.Acquire(b.Context(), "fake")
		if err != nil {
			b.Fatal(err)
		}
		l.Release()
	}
}

func BenchmarkTurn(b *testing.B) {
	for _, bb := range []struct {
		name string
		opts []hosttest.Option
	}{{"mutual TLS", nil}, {"plain", []hosttest.Option{hosttest.Plain}}} {
		b.Run(bb.name, func(b *testing.B) {
			s := run(b, nil, hosttest.Entry(b, hosttest.Script{}, bb.opts...))
			for b.Loop() {
				l, err := s.Acquire(b.Context(), "fake")
				if err != nil {
					b.Fatal(err)
				}
				if _, err := turn(b.Context(), l, hosttest.Echo, "hello"); err != nil {
					b.Fatal(err)
				}
				l.Release()
			}
		})
	}
}

// BenchmarkStart is a whole life: found, started, ready, stopped.
func BenchmarkStart(b *testing.B) {
	for _, bb := range []struct {
		name string
		opts []hosttest.Option
	}{{"mutual TLS", nil}, {"plain", []hosttest.Option{hosttest.Plain}}} {
		b.Run(bb.name, func(b *testing.B) {
			entry := hosttest.Entry(b, hosttest.Script{}, bb.opts...)
			state, runtime := b.TempDir(), hosttest.RuntimeDir(b)
			for b.Loop() {
				s, err := supervisor.New(supervisor.Config{Entries: []catalog.Entry{entry}, StateDir: state, RuntimeDir: runtime})
				if err != nil {
					b.Fatal(err)
				}
				if err := s.Start(b.Context()); err != nil {
					b.Fatal(err)
				}
				if err := s.Stop(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
