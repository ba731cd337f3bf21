//go:build unix

package e2e

import (
	"context"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/clinvk/clinvk/test/harness"
)

// cliMark occurs in the command line of a backend's CLI processes.
var cliMark = map[string]string{"claude": "stream-json", "codex": "app-server", "gemini": "--acp"}

// TestKill9 kills a plugin, then a CLI, in mid-stream: the client gets a typed
// error, other backends notice nothing, and the backend serves again.
func TestKill9(t *testing.T) {
	w := newWorld(t, harness.Options{})
	for i, backend := range realBackends {
		other := realBackends[(i+1)%len(realBackends)]
		for _, victim := range []string{"plugin", "cli"} {
			t.Run(backend+"/"+victim, func(t *testing.T) {
				d := dialects[i]
				began := make(chan struct{}, 2)
				ask := func(model, text string) (*reply, error) {
					return d.do(t.Context(), w.server.URL, ask{model: model, history: prompt(text), stream: true, onDelta: func() { began <- struct{}{} }})
				}
				for _, b := range []string{backend, other} { // warm
					if r, err := ask(b, "warm"); err != nil || r.err != nil {
						t.Fatalf("%s: %v %+v", b, err, r.err)
					}
					<-began
				}
				n := nonce()
				type outcome struct {
					r   *reply
					err error
				}
				hit, miss := make(chan outcome, 1), make(chan outcome, 1)
				go func() { r, err := ask(backend, n+" [[tokens=400 gap=10ms]]"); hit <- outcome{r, err} }()
				go func() { r, err := ask(other, n+" [[tokens=100 gap=20ms]]"); miss <- outcome{r, err} }()
				<-began
				<-began
				killed := time.Now()
				kill(t, w.server, backend, victim)
				got := <-hit
				if got.err != nil {
					t.Fatalf("the stream broke: %v", got.err)
				}
				if got.r.err == nil || got.r.err.message == "" {
					t.Fatalf("no error; text of %d bytes", len(got.r.text))
				}
				t.Logf("after %v: %+v", got.r.end.Sub(killed).Round(time.Millisecond), *got.r.err)
				if took := got.r.end.Sub(killed); took > 10*time.Second { // it is told, not found by a deadline
					t.Errorf("the error took %v", took)
				}
				if r, err := ask(backend, "again"); err != nil || r.err != nil {
					t.Errorf("%s does not serve again: %v %+v", backend, err, r.err)
				}
				if o := <-miss; o.err != nil || o.r.err != nil {
					t.Errorf("%s was disturbed: %v %+v", other, o.err, o.r.err)
				}
			})
		}
	}
}

func kill(t *testing.T, s *harness.Server, backend, victim string) {
	t.Helper()
	if victim == "plugin" {
		b, err := s.Backend(t.Context(), backend)
		if err != nil || b.PID == 0 {
			t.Fatalf("%+v %v", b, err)
		}
		if err := syscall.Kill(b.PID, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		return
	}
	n := 0
	for _, p := range s.Processes() {
		if strings.Contains(p.Command, cliMark[backend]) && syscall.Kill(p.PID, syscall.SIGKILL) == nil {
			n++
		}
	}
	if n == 0 {
		t.Fatalf("no CLI process of %s among %v", backend, s.Processes())
	}
}

// TestKill9OfTheServer leaves nothing behind.
func TestKill9OfTheServer(t *testing.T) {
	w := newWorld(t, harness.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for _, backend := range realBackends {
		n := nonce()
		go func() {
			_, _ = rest.do(ctx, w.server.URL, ask{model: backend, history: prompt(n + " [[hang]]"), stream: true})
		}()
		wait(t, "the model call of "+backend, func() bool { return len(w.upstream(backend).find(n)) == 1 })
	}
	w.server.Kill()
	if left := w.server.WaitLeftovers(20 * time.Second); len(left) > 0 {
		t.Errorf("left after two seconds: %v", left)
	}
}
