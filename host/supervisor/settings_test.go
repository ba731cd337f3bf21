//go:build linux

package supervisor_test

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/clinvk/clinvk/host/catalog"
	"github.com/clinvk/clinvk/host/hosttest"
	"github.com/clinvk/clinvk/host/supervisor"
	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
)

// wishes are settings that change.
type wishes struct {
	mu  sync.Mutex
	now supervisor.Settings
}

func (w *wishes) settings(string) supervisor.Settings {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *wishes) set(s supervisor.Settings) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = s
}

// enabled are settings with one variable.
func enabled(value string) supervisor.Settings {
	return supervisor.Settings{Enabled: true, Warm: -1, Environment: map[string]string{"X": value}}
}

// refusing are settings that the check finds wrong.
func refusing(value string) supervisor.Settings {
	s := enabled(value)
	s.Check = func(*backendv1.DescribeResponse) error { return errors.New("config.yaml:1:2: no such option") }
	return s
}

// TestChangedSettings: a process is replaced by one with the new settings, which takes
// over when it is ready, and only when they differ.
func TestChangedSettings(t *testing.T) {
	entry := hosttest.Entry(t, hosttest.Script{})
	w := &wishes{now: enabled("1")}
	s := run(t, func(c *supervisor.Config) { c.Settings = w.settings }, entry)
	update := func() {
		t.Helper()
		if err := s.Update([]catalog.Entry{entry}); err != nil {
			t.Fatal(err)
		}
	}
	first := status(t, s)
	lease := acquire(t, s)
	w.set(enabled("2"))
	update()
	eventually(t, "the new process", func() bool { return status(t, s).PID != first.PID && status(t, s).State == supervisor.StateReady })
	if text, err := turn(t.Context(), lease, "echo", "still here"); err != nil || text == "" {
		t.Errorf("the old process: %q %v", text, err)
	}
	lease.Release()
	second := status(t, s)

	w.set(refusing("3"))
	update()
	eventually(t, "the reason", func() bool { return strings.Contains(status(t, s).UpdateError, "config.yaml:1:2: no such option") })
	if st := status(t, s); st.PID != second.PID || st.State != supervisor.StateReady {
		t.Errorf("the old process does not serve: %+v", st)
	}

	w.set(enabled("2"))
	update()
	eventually(t, "the end of the reason", func() bool { return status(t, s).UpdateError == "" })
	if st := status(t, s); st.PID != second.PID {
		t.Error("a process was replaced though its settings are what they were")
	}

	w.set(supervisor.Settings{})
	update()
	if st := status(t, s); st.State != supervisor.StateDisabled {
		t.Errorf("switched off: %s", st.State)
	}
	w.set(enabled("4"))
	update()
	eventually(t, "the process", func() bool { return status(t, s).State == supervisor.StateReady })
}

// TestMendedSettings: settings that the plugin refused are tried again when they change.
func TestMendedSettings(t *testing.T) {
	entry := hosttest.Entry(t, hosttest.Script{})
	w := &wishes{now: refusing("1")}
	s := run(t, func(c *supervisor.Config) { c.Settings = w.settings }, entry)
	if st := status(t, s); st.State != supervisor.StateQuarantined || !strings.Contains(st.LastError, "no such option") {
		t.Fatalf("%+v", st)
	}
	w.set(enabled("2"))
	if err := s.Update([]catalog.Entry{entry}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the process", func() bool { return status(t, s).State == supervisor.StateReady })
}

// TestTry: settings are tried without the process in service.
func TestTry(t *testing.T) {
	entry := hosttest.Entry(t, hosttest.Script{})
	w := &wishes{now: enabled("1")}
	s := run(t, func(c *supervisor.Config) { c.Settings = w.settings }, entry)
	before := status(t, s)
	if err := s.Try(t.Context(), entry, enabled("2")); err != nil {
		t.Error(err)
	}
	if err := s.Try(t.Context(), entry, refusing("2")); err == nil || !strings.Contains(err.Error(), "no such option") {
		t.Error(err)
	}
	failing := hosttest.Entry(t, hosttest.Script{Answer: hosttest.FailConfigure})
	if err := s.Try(t.Context(), failing, enabled("2")); err == nil || !strings.Contains(err.Error(), "unknown colour") {
		t.Error(err)
	}
	if st := status(t, s); st.PID != before.PID || st.State != supervisor.StateReady || st.Restarts != 0 {
		t.Errorf("%+v", st)
	}
	d, err := s.Describe(t.Context(), entry)
	if err != nil || d.GetVersion() != "1.2.3" {
		t.Errorf("%v %v", d, err)
	}
}
