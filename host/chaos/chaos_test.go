//go:build unix

package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/clinvk/clinvk/host/catalog"
	"github.com/clinvk/clinvk/host/chaos/hostile"
	"github.com/clinvk/clinvk/proto/handshake"
)

// argument makes the test binary a hostile plugin.
const argument = "clinvk-chaos-plugin"

func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == argument {
		if err := hostile.Run(hostile.Mode(os.Args[2])); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/clinvk/clinvk/host/runner.serveForks"))
}

// victim is a mode that misbehaves in no way.
const victim hostile.Mode = "victim"

// small is a short run against the victim. What it leaves fails the test.
func small(t *testing.T) Config {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// Programs built with -race sleep a second before they end, unless told not to.
	command := []string{"env", "GORACE=atexit_sleep_ms=0", self, argument}
	text, err := json.Marshal(catalog.Manifest{SchemaVersion: 1, Transport: catalog.TransportPlain, Command: append(command[:4:4], string(victim))})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, handshake.NamePrefix+victim.Name()+".json"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	base, err := os.MkdirTemp("/tmp", "ck")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.Remove(base); err != nil {
			t.Errorf("something is left: %v", err)
		}
	})
	return Config{
		Dir: base, Backend: victim.Name(), PluginDirs: []string{dir}, InsecurePluginDirs: true, Hostile: command,
		Duration: 2 * time.Second, Clients: 4, KillEvery: 100 * time.Millisecond, Version: "1.2.3", growth: 4 * growthLimit,
	}
}

func TestRun(t *testing.T) {
	r, err := Run(t.Context(), small(t))
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	if err := r.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	t.Log(text.String())
	for _, broken := range r.Broken() {
		t.Error(broken)
	}
	if !r.OK || len(r.Guarantees) != 10 {
		t.Errorf("ok %v with %d guarantees", r.OK, len(r.Guarantees))
	}
	k := r.Kills
	if k.Kills == 0 || k.Stops == 0 || k.Errors.Count == 0 || k.Backend.InFlight == 0 || r.Quarantine.Crashes != crashes {
		t.Errorf("too little happened: %+v, %+v", k, r.Quarantine)
	}
	if k.Replaced.Median < k.ServesAgain.Median {
		t.Errorf("a stop was over in %v, a kill in %v", k.Replaced.Median, k.ServesAgain.Median)
	}
	for _, n := range r.Hostile.Neighbours {
		if strings.Contains(n.LastError, "quarantine") || n.Name == hostile.Garble.Name() && n.Turns.Failed == 0 {
			t.Errorf("too little happened: %+v", n)
		}
	}
	if want := "held    nothing is left"; !strings.Contains(text.String(), want) {
		t.Errorf("%q is not in the report", want)
	}
}

// TestInterrupted: a run that is broken off leaves nothing either.
func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	c := small(t)
	c.Duration = time.Hour
	timer := time.AfterFunc(time.Second, cancel)
	defer timer.Stop()
	began := time.Now()
	if r, err := Run(ctx, c); err == nil || !strings.Contains(err.Error(), "interrupted") {
		t.Errorf("%+v, %v", r, err)
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("it took %v", took)
	}
}

func TestUnknownBackend(t *testing.T) {
	c := small(t)
	c.Backend = "nobody"
	if r, err := Run(t.Context(), c); err == nil || !strings.Contains(err.Error(), "nobody") {
		t.Errorf("%+v, %v", r, err)
	}
}

// at is a moment of a made-up run.
func at(ms int) time.Time { return time.UnixMilli(int64(ms)) }

func TestBlame(t *testing.T) {
	hits := []hit{{at: at(100), gone: at(110), serving: at(150)}, {at: at(500), gone: at(900), serving: at(950), stopped: true}}
	tests := []struct {
		name       string
		begin, end int
		kind       kind
		want       Turns
	}{
		{"answered", 90, 120, answered, Turns{Requests: 1, Answered: 1}},
		{"killed in flight", 90, 120, failed, Turns{Requests: 1, InFlight: 1}},
		{"began before the host knew", 105, 120, failed, Turns{Requests: 1, InFlight: 1}},
		{"began later", 120, 130, failed, Turns{Requests: 1, Failed: 1, Samples: []string{"why"}}},
		{"over before", 50, 99, failed, Turns{Requests: 1, Failed: 1, Samples: []string{"why"}}},
		{"began on the stopped one", 700, 910, failed, Turns{Requests: 1, InFlight: 1}},
		{"no typed error", 90, 120, broken, Turns{Requests: 1, Broken: 1, Samples: []string{"why"}}},
		{"another's answer", 90, 120, wrong, Turns{Requests: 1, Wrong: 1, Samples: []string{"why"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var turns turns
			turns.add(outcome{begin: at(tt.begin), end: at(tt.end), kind: tt.kind, text: "why"})
			if diff := cmp.Diff(tt.want, turns.blame(hits)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestErrorsAfter(t *testing.T) {
	hits := []hit{{at: at(100), gone: at(110)}, {at: at(500), gone: at(900), stopped: true}}
	var turns turns
	for _, o := range [][2]int{{90, 104}, {105, 120}, {400, 905}} {
		turns.add(outcome{begin: at(o[0]), end: at(o[1]), kind: failed})
	}
	if diff := cmp.Diff([]time.Duration{4 * time.Millisecond}, turns.errorsAfter(hits)); diff != "" {
		t.Error(diff)
	}
}

// good is a report of a run in which all held.
func good() *Report {
	few := Turns{Requests: 10, Answered: 10}
	return &Report{
		Start: 50,
		Hostile: Hostile{Backend: few, Neighbours: []Neighbour{
			{Name: hostile.Good.Name(), Turns: few}, {Name: hostile.Junk.Name(), LastError: "junk"}, {Name: hostile.Frames.Name(), LastError: "junk"},
			{Name: hostile.Flood.Name(), Turns: few}, {Name: hostile.Garble.Name(), Turns: Turns{Requests: 10, Failed: 10}},
		}},
		Kills: Kills{
			Kills: 2, Stops: 1, Backend: Turns{Requests: 10, Answered: 7, InFlight: 3}, Neighbour: few,
			Errors: Times{Count: 3, Median: 3, Max: 5}, ServesAgain: Times{Count: 2, Median: 70, Max: 80}, Replaced: Times{Count: 1, Median: 1700, Max: 1700},
		},
		Quarantine: Quarantine{Crashes: 5, State: "quarantined", Refused: true, Cleared: true},
		Server:     Server{Health: Times{Count: 100, Median: 1, Max: 5}, RSSBefore: 20 << 20, RSSAfter: 25 << 20},
	}
}

// TestJudge: each guarantee can be broken, and is broken alone.
func TestJudge(t *testing.T) {
	tests := []struct {
		name   string
		harm   func(*Report)
		broken string
	}{
		{"none", func(*Report) {}, ""},
		{"a turn that was not in flight", func(r *Report) { r.Kills.Backend.Failed = 1 }, "only turns in flight"},
		{"a neighbour's turn", func(r *Report) { r.Kills.Neighbour.Failed = 1 }, "only turns in flight"},
		{"a cut stream", func(r *Report) { r.Kills.Backend.Broken = 1 }, "typed error"},
		{"a wrong answer", func(r *Report) { r.Kills.Backend.Wrong = 1 }, "typed error"},
		{"late errors", func(r *Report) { r.Kills.Errors.Median = 110 }, "errors come soon"},
		{"slow recovery", func(r *Report) { r.Kills.ServesAgain.Median = 510 }, "killed plugin is replaced"},
		{"no recovery", func(r *Report) { r.Kills.ServesAgain.Count = 1 }, "killed plugin is replaced"},
		{"stopped for ever", func(r *Report) { r.Kills.Replaced = Times{} }, "stopped plugin"},
		{"a disturbed backend", func(r *Report) { r.Hostile.Backend.Failed = 1 }, "disturb nobody"},
		{"a garbled answer", func(r *Report) { r.Hostile.Neighbours[4].Turns.Failed = 9 }, "disturb nobody"},
		{"junk that serves", func(r *Report) { r.Hostile.Neighbours[1].LastError = "" }, "disturb nobody"},
		{"no quarantine", func(r *Report) { r.Quarantine.State = "ready" }, "quarantine"},
		{"for ever in quarantine", func(r *Report) { r.Quarantine.Cleared = false }, "quarantine"},
		{"a hung server", func(r *Report) { r.Server.Health.Max = 1100 }, "/health"},
		{"a busy server", func(r *Report) { r.Server.Health.Median = 60 }, "/health"},
		{"a leak", func(r *Report) { r.Server.RSSAfter = 60 << 20 }, "memory"},
		{"a process", func(r *Report) { r.Leftovers.Processes = 1 }, "nothing is left"},
		{"a socket", func(r *Report) { r.Leftovers.Files = []string{"s"} }, "nothing is left"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := good()
			tt.harm(r)
			r.judge(growthLimit)
			broken := r.Broken()
			switch {
			case r.OK != (len(broken) == 0):
				t.Errorf("ok %v, broken %v", r.OK, broken)
			case tt.broken == "" && len(broken) > 0, tt.broken != "" && (len(broken) != 1 || !strings.Contains(broken[0], tt.broken)):
				t.Errorf("broken: %v, want %q", broken, tt.broken)
			}
		})
	}
}
