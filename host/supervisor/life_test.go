//go:build unix

package supervisor_test

import (
	"testing"
	"time"

	"github.com/clinvk/clinvk/host/hosttest"
	"github.com/clinvk/clinvk/host/supervisor"
)

func TestTurn(t *testing.T) {
	for _, tt := range []struct {
		name string
		opts []hosttest.Option
	}{{"mutual TLS", nil}, {"plain", []hosttest.Option{hosttest.Plain}}} {
		t.Run(tt.name, func(t *testing.T) {
			began := time.Now()
			s := run(t, nil, hosttest.Entry(t, hosttest.Script{}, tt.opts...))
			t.Logf("ready after %v", time.Since(began))
			st := status(t, s)
			if st.State != supervisor.StateReady || st.Version != "1.2.3" || st.PID == 0 || len(st.Models) != 2 || st.Generation == 0 {
				t.Fatalf("status: %+v", st)
			}
			l := acquire(t, s)
			if got, err := turn(t.Context(), l, hosttest.Echo, "hello"); err != nil || got != "hello" {
				t.Fatalf("turn: %q, %v", got, err)
			}
		})
	}
}
