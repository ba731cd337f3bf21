//go:build linux

package isolation_test

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/clinvk/clinvk/host"
	"github.com/clinvk/clinvk/host/hosttest"
)

// many is a million, and fewer where each costs ten times as much.
const many = hosttest.EventsMost / slowness

// TestManyEvents shows that a million tiny events reach a client that reads, and
// cost the host nothing.
func TestManyEvents(t *testing.T) {
	w := newWorld(t, nil, hosttest.Entry(t, hosttest.Script{Name: faulty}, hosttest.Plain))
	w.settled(t)
	for _, tt := range []struct {
		name string
		kind string
		d    dialect
		mark string // in each line of an event
		end  string // in the last one
	}{
		{"text", hosttest.ManyEvents, openaiStream, `"content":"x"`, "data: [DONE]"},
		{"notices", hosttest.ManyNotices, restStream, `"type":"notice"`, `"type":"done"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cheaply(t, func(t *testing.T) costs {
				m := w.watch(t)
				resp, err := w.open(t.Context(), tt.d, tt.d.body(faulty, tt.kind, strconv.Itoa(many)))
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				events, last := countLines(t, resp.Body, tt.mark)
				if events != many || !bytes.Contains(last, []byte(tt.end)) {
					t.Errorf("%d events, ending with %s", events, last)
				}
				w.answers(t, healthy)
				return m.end(t)
			})
		})
	}
}

// countLines counts the lines with a mark in them and returns the last line that
// is not empty.
func countLines(t *testing.T, r io.Reader, mark string) (n int, last []byte) {
	t.Helper()
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadSlice('\n')
		if bytes.Contains(line, []byte(mark)) {
			n++
		}
		if len(bytes.TrimSpace(line)) > 0 {
			last = append(last[:0], line...)
		}
		if err == io.EOF {
			return n, last
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestSlowReader shows that a plugin has to wait for a client that does not read,
// at no cost to the host, and that the write timeout ends the turn.
func TestSlowReader(t *testing.T) {
	const writeTimeout = 500 * time.Millisecond
	w := newWorld(t, func(c *host.Config) { c.Settings.Server.WriteTimeoutSecs = writeTimeout.Seconds() },
		hosttest.Entry(t, hosttest.Script{Name: faulty}, hosttest.Plain))
	w.settled(t)
	for _, tt := range []struct {
		kind string
		most int64 // growth in bytes
	}{
		{hosttest.ManyEvents, growthMost},
		{hosttest.Endless, growthMost},
		{hosttest.ManyNotices, growthMost},
		// An event of the largest size there is costs a few times its size while it is
		// decoded; a hundred of them must not cost more than one.
		{hosttest.BigEvents, 3 * growthMost},
	} {
		t.Run(tt.kind, func(t *testing.T) {
			m := w.watch(t)
			resp, err := w.open(t.Context(), restStream, restStream.body(faulty, tt.kind, "flow"))
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if b := w.backend(t, faulty); b.Running != 1 {
				t.Fatalf("backend: %+v, want a turn under way", b)
			}
			w.answers(t, healthy)
			began := time.Now()
			eventually(t, "the turn is ended", func() bool { return w.backend(t, faulty).Running == 0 })
			if took := time.Since(began); took > writeTimeout+30*time.Second {
				t.Errorf("ended after %v", took)
			}
			if _, err := io.Copy(io.Discard, resp.Body); err == nil {
				t.Error("the answer looks whole")
			}
			w.answers(t, faulty)
			c := m.end(t)
			t.Logf("memory %+.1f MB, /health at most %v (%d probes)", float64(c.growth)/(1<<20), c.worst, c.probes)
			if c.growth > tt.most || !c.prompt() {
				t.Errorf("it costs too much: %+v", c)
			}
		})
	}
}

// TestTooLargeAnswer shows that an answer without an end is not collected without
// one.
func TestTooLargeAnswer(t *testing.T) {
	w := newWorld(t, nil, hosttest.Entry(t, hosttest.Script{Name: faulty}, hosttest.Plain))
	w.settled(t)
	for _, d := range []dialect{restWhole, openaiWhole, anthropicWhole} {
		t.Run(d.name, func(t *testing.T) {
			cheaply(t, func(t *testing.T) costs {
				m := w.watch(t)
				o := w.must(t, d, faulty, hosttest.Endless, "flow")
				turnFault{message: "larger than 4 MiB; ask for it as a stream"}.check(t, d, o)
				eventually(t, "the turn is over", func() bool { return w.backend(t, faulty).Running == 0 })
				w.answers(t, faulty)
				return m.end(t)
			})
		})
	}
}

// TestTalkative shows that a backend cannot make the state of backends large.
func TestTalkative(t *testing.T) {
	for _, answer := range []hosttest.Fault{hosttest.HugeHealth, hosttest.HugeModels} {
		t.Run(string(answer), func(t *testing.T) {
			cheaply(t, func(t *testing.T) costs {
				flag := filepath.Join(t.TempDir(), "flag")
				if err := os.WriteFile(flag, nil, 0o600); err != nil {
					t.Fatal(err)
				}
				w := newWorld(t, func(c *host.Config) {
					c.Timings.HealthEvery, c.Timings.ModelsEvery = 20*time.Millisecond, 20*time.Millisecond
				}, hosttest.Entry(t, hosttest.Script{Name: faulty, Answer: answer, Flag: flag}, hosttest.Plain))
				defer w.stop()
				m := w.watch(t)
				w.settled(t)
				for _, path := range []string{"/health", "/api/v1/backends", "/openai/v1/models"} {
					if n := w.size(t, path); n > 64<<10 {
						t.Errorf("%s has %d bytes", path, n)
					}
				}
				if answer == hosttest.HugeModels {
					w.answers(t, faulty) // models are not needed for a turn
				}
				w.answers(t, healthy)
				return m.end(t)
			})
		})
	}
}

// size of an answer.
func (w *world) size(t *testing.T, path string) int64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := w.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	n, err := io.Copy(io.Discard, resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
