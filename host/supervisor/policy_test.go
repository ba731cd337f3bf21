//go:build linux

package supervisor_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/clinvk/clinvk/host/catalog"
	"github.com/clinvk/clinvk/host/hosttest"
	"github.com/clinvk/clinvk/host/supervisor"
	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
)

// policy decides as its functions do; what is nil lets everything through.
type policy struct {
	admit   func(e catalog.Entry, sha256 string) (catalog.Trust, error)
	granted func(e catalog.Entry, sha256, variable string) bool
	ready   func(sha256 string, d *backendv1.DescribeResponse)
}

func (p policy) Admit(_ context.Context, e catalog.Entry, sha256 string) (catalog.Trust, error) {
	if p.admit == nil {
		return "", nil
	}
	return p.admit(e, sha256)
}

func (p policy) Granted(e catalog.Entry, sha256, variable string) bool {
	return p.granted == nil || p.granted(e, sha256, variable)
}

func (p policy) Ready(_ context.Context, _ catalog.Entry, sha256 string, d *backendv1.DescribeResponse) {
	if p.ready != nil {
		p.ready(sha256, d)
	}
}

// TestPolicy shows that every start is decided anew, on the digest of what is to
// run, and that the decision is shown.
func TestPolicy(t *testing.T) {
	entry := hosttest.Entry(t, hosttest.Script{})
	var mu sync.Mutex
	approved, described := "", ""
	s := run(t, func(c *supervisor.Config) {
		c.Policy = policy{
			admit: func(e catalog.Entry, sha256 string) (catalog.Trust, error) {
				mu.Lock()
				defer mu.Unlock()
				if sha256 != approved {
					return "", &catalog.TrustError{Path: e.Path, SHA256: sha256, Trust: catalog.TrustUnapproved, Problem: "is not approved", Remedy: "clinvk plugin approve fake"}
				}
				return catalog.TrustApproved, nil
			},
			ready: func(sha256 string, d *backendv1.DescribeResponse) {
				mu.Lock()
				defer mu.Unlock()
				described = d.GetVersion() + " " + sha256
			},
		}
	}, entry)
	st := status(t, s)
	if st.State != supervisor.StateQuarantined || st.Trust != catalog.TrustUnapproved || st.SHA256 != entry.SHA256 ||
		st.Generation != 0 || !strings.Contains(st.LastError, entry.Path+" is not approved") || st.Remedy != "run: clinvk plugin approve fake" {
		t.Fatalf("status: %+v", st)
	}
	if err := s.Restart(t.Context(), "fake"); err == nil || !strings.Contains(err.Error(), "run: clinvk plugin approve fake") {
		t.Fatalf("restart: %v", err)
	}
	mu.Lock()
	approved = entry.SHA256
	mu.Unlock()
	if err := s.Restart(t.Context(), "fake"); err != nil {
		t.Fatal(err)
	}
	if st := status(t, s); st.State != supervisor.StateReady || st.Trust != catalog.TrustApproved || st.SHA256 != entry.SHA256 {
		t.Errorf("status: %+v", st)
	}
	eventually(t, "the description is handed over", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return described == "1.2.3 "+entry.SHA256
	})
	// The file changes: the process that runs goes on, a new one is not started.
	if err := os.WriteFile(entry.Path, []byte(`{"schema_version":1,"command":["sleep","600"]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Restart(t.Context(), "fake"); err == nil || !strings.Contains(err.Error(), "is not approved") {
		t.Fatalf("restart: %v", err)
	}
	if got, err := turn(t.Context(), acquire(t, s), hosttest.Echo, "still"); err != nil || got != "still" {
		t.Errorf("turn: %q, %v", got, err)
	}
}

// TestSwapAfterTheCheck swaps the binary in the moment between its check and its
// start: what was checked is what runs.
func TestSwapAfterTheCheck(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "clinvk-backend-fake")
	sleep, err := os.ReadFile("/bin/sleep")
	if err != nil {
		t.Skip("no sleep here")
	}
	if err := os.WriteFile(path, sleep, 0o755); err != nil { // without arguments it says so and ends
		t.Fatal(err)
	}
	entries, err := catalog.Scan(t.Context(), catalog.Config{Dirs: []string{dir}, Insecure: true})
	if err != nil {
		t.Fatal(err)
	}
	marker := filepath.Join(dir, "swapped-in-ran")
	s := run(t, func(c *supervisor.Config) {
		c.Policy = policy{admit: func(e catalog.Entry, sha256 string) (catalog.Trust, error) {
			if sha256 != entries[0].SHA256 {
				return "", &catalog.TrustError{Path: e.Path, SHA256: sha256, Trust: catalog.TrustChanged, Problem: "has changed", Remedy: "clinvk plugin approve fake"}
			}
			script := "#!/bin/sh\necho > " + marker + "\n"
			if err := os.WriteFile(path+".new", []byte(script), 0o755); err != nil {
				return "", err
			}
			return catalog.TrustApproved, os.Rename(path+".new", path)
		}}
	}, entries...)
	// The first process was sleep; the next start sees the other file and refuses it.
	eventually(t, "quarantine", func() bool { return status(t, s).State == supervisor.StateQuarantined })
	if st := status(t, s); !strings.Contains(st.LastError, "has changed") || st.Trust != catalog.TrustChanged {
		t.Errorf("status: %+v", st)
	}
	if _, err := os.Stat(marker); err == nil {
		t.Error("what was swapped in has run")
	}
}

// TestSwappedScript swaps a script between its check and its start, so that its
// interpreter reads the other one: the process is ended before it is told anything.
func TestSwappedScript(t *testing.T) {
	dir := t.TempDir()
	entry := hosttest.Entry(t, hosttest.Script{Environment: []string{"A_KEY"}})
	script := filepath.Join(dir, "run.sh")
	words := entry.Manifest.Command
	quoted := make([]string, 0, len(words))
	for _, w := range words {
		quoted = append(quoted, "'"+w+"'")
	}
	text := "exec " + strings.Join(quoted, " ") + "\n"
	if err := os.WriteFile(script, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	manifest, err := json.Marshal(catalog.Manifest{SchemaVersion: 1, Command: []string{"sh", script}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(entry.Path, manifest, 0o600); err != nil {
		t.Fatal(err)
	}
	swaps, asked := 0, 0
	var log syncBuffer
	s := run(t, func(c *supervisor.Config) {
		c.Logger = slog.New(slog.NewTextHandler(&log, nil))
		c.Policy = policy{
			admit: func(catalog.Entry, string) (catalog.Trust, error) {
				if swaps++; swaps > 2 {
					return "", nil
				}
				if err := os.WriteFile(script+".new", []byte(text), 0o600); err != nil {
					return "", err
				}
				return "", os.Rename(script+".new", script)
			},
			granted: func(catalog.Entry, string, string) bool { asked++; return false },
		}
		c.LookupEnv = func(string) (string, bool) { return "value", true }
	}, entry)
	eventually(t, "a start without a swap", func() bool { return status(t, s).State == supervisor.StateReady })
	if n := strings.Count(log.String(), script+" has changed while it was started"); n != 2 {
		t.Errorf("%d starts failed: %s", n, log.String())
	}
	if swaps != 3 || asked != 1 {
		t.Errorf("%d starts, settings were made %d times", swaps, asked)
	}
}
