//go:build unix

package trust

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/clinvk/clinvk/host/catalog"
	"github.com/clinvk/clinvk/host/catalog/lock"
	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
)

// world is a plugin directory with a lock file and a log.
type world struct {
	t    *testing.T
	dir  string
	lock *lock.File
	log  bytes.Buffer
}

func newWorld(t *testing.T) *world {
	t.Helper()
	dir := t.TempDir()
	return &world{t: t, dir: dir, lock: lock.New(filepath.Join(dir, "home", lock.Name), false)}
}

// place puts a plugin into the directory, in one step.
func (w *world) place(name, text string) {
	w.t.Helper()
	path := filepath.Join(w.dir, name)
	if err := os.WriteFile(path+".new", []byte(text), 0o700); err != nil {
		w.t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		w.t.Fatal(err)
	}
}

// entry is what the catalog finds of the plugin "one".
func (w *world) entry() catalog.Entry {
	w.t.Helper()
	entries, err := catalog.Scan(w.t.Context(), catalog.Config{Dirs: []string{w.dir}})
	if err != nil || len(entries) != 1 {
		w.t.Fatalf("entries %+v, %v", entries, err)
	}
	return entries[0]
}

func (w *world) policy(mode Mode) *Policy {
	return New(Config{Mode: mode, Lock: w.lock, Bundled: map[string]string{}, Logger: slog.New(slog.NewTextHandler(&w.log, nil))})
}

// apply is what a server makes of the plugin.
func (w *world) apply(mode Mode) catalog.Entry {
	w.t.Helper()
	return w.policy(mode).Apply(w.t.Context(), []catalog.Entry{w.entry()})[0]
}

// want checks what became of the plugin, as found and as admitted.
func (w *world) want(mode Mode, want catalog.Trust, refused ...string) {
	w.t.Helper()
	e := w.apply(mode)
	admitted, err := w.policy(mode).Admit(w.t.Context(), e, e.SHA256)
	if e.Trust != want || admitted != want {
		w.t.Errorf("trust is %q, and %q when it is started; want %q", e.Trust, admitted, want)
	}
	for _, got := range []error{e.Refused, err} {
		if (got != nil) != (len(refused) > 0) {
			w.t.Errorf("refused: %v", got)
			continue
		}
		for _, text := range refused {
			if !strings.Contains(got.Error(), text) {
				w.t.Errorf("refused: %v, without %q", got, text)
			}
		}
		if _, ok := errors.AsType[*catalog.TrustError](got); got != nil && !ok {
			w.t.Errorf("refused: %T", got)
		}
	}
}

func (w *world) approve(env ...string) {
	w.t.Helper()
	if err := w.policy(Lock).Approve(w.t.Context(), w.entry(), env); err != nil {
		w.t.Fatal(err)
	}
}

const plugin = "clinvk-backend-one"

func sum(text string) string {
	s := sha256.Sum256([]byte(text))
	return hex.EncodeToString(s[:])
}

func TestPermissions(t *testing.T) {
	w := newWorld(t)
	w.place(plugin, "1")
	if e := w.policy(Permissions).Judge([]catalog.Entry{w.entry()})[0]; e.Trust != catalog.TrustUnrecorded || e.Refused != nil {
		t.Errorf("before a server saw it: %+v", e)
	}
	w.want(Permissions, catalog.TrustRecorded)
	if w.log.Len() > 0 {
		t.Errorf("logged: %s", w.log.String())
	}
	w.place(plugin, "2")
	w.want(Permissions, catalog.TrustChanged)
	w.want(Permissions, catalog.TrustChanged) // until somebody approves
	if log := w.log.String(); strings.Count(log, "plugin changed") != 1 || !strings.Contains(log, "level=WARN") ||
		!strings.Contains(log, sum("1")) || !strings.Contains(log, sum("2")) || !strings.Contains(log, "clinvk plugin approve one --plugin-dir "+w.dir) {
		t.Errorf("logged: %s", log)
	}
	w.place(plugin, "3")
	w.want(Permissions, catalog.TrustChanged)
	w.place(plugin, "1") // put back
	w.want(Permissions, catalog.TrustRecorded)
	w.place(plugin, "2")
	w.want(Permissions, catalog.TrustChanged)
	w.approve()
	w.want(Permissions, catalog.TrustApproved)
}

func TestLock(t *testing.T) {
	w := newWorld(t)
	path := filepath.Join(w.dir, plugin)
	command := "run: clinvk plugin approve one --plugin-dir " + w.dir
	w.place(plugin, "1")
	w.want(Lock, catalog.TrustUnapproved, path+" is not approved", sum("1"), command)
	w.approve()
	w.want(Lock, catalog.TrustApproved)
	w.place(plugin, "2")
	w.want(Lock, catalog.TrustChanged, path+" has changed since it was approved", sum("1"), sum("2"), command)
	w.place(plugin, "1") // put back
	w.want(Lock, catalog.TrustApproved)
	w.place(plugin, "2")
	w.approve()
	w.want(Lock, catalog.TrustApproved)
	w.place(plugin, "1") // an approval replaces the earlier one
	w.want(Lock, catalog.TrustChanged, "has changed")
}

// TestCommandFiles shows that the files of an interpreted plugin are part of what
// is approved.
func TestCommandFiles(t *testing.T) {
	w := newWorld(t)
	w.place("plugin.sh", "echo 1")
	w.place(plugin+".json", `{"schema_version":1,"command":["sh","plugin.sh","--fast"]}`)
	w.approve()
	w.want(Lock, catalog.TrustApproved)
	w.place("plugin.sh", "echo 2")
	w.want(Lock, catalog.TrustChanged, plugin+".json has changed")
	w.place("plugin.sh", "echo 1")
	w.want(Lock, catalog.TrustApproved)
	w.place("--fast", "now it is a file")
	w.want(Lock, catalog.TrustChanged, "has changed")
	if err := os.Remove(filepath.Join(w.dir, "--fast")); err != nil {
		t.Fatal(err)
	}
	w.place(plugin+".json", `{"schema_version":1,"command":["sh","plugin.sh","--slow"]}`)
	w.want(Lock, catalog.TrustChanged, "has changed")
	w.place("run.sh", "exec sh plugin.sh")
	w.place(plugin+".json", `{"schema_version":1,"command":["./run.sh"]}`)
	w.approve()
	w.place("run.sh", "exec sh other.sh")
	w.want(Lock, catalog.TrustChanged, "has changed")
}

// TestUnusableLockFile: fails closed where everything hangs on it, and is told in
// the log where it does not.
func TestUnusableLockFile(t *testing.T) {
	w := newWorld(t)
	w.place(plugin, "1")
	w.approve("KEY")
	if err := os.WriteFile(w.lock.Path(), []byte(`{"schema_version":1,`), 0o600); err != nil {
		t.Fatal(err)
	}
	w.want(Lock, catalog.TrustUnapproved, w.lock.Path(), "cannot be used", "remove it")
	w.log.Reset()
	w.want(Permissions, catalog.TrustUnrecorded)
	if log := w.log.String(); !strings.Contains(log, "level=ERROR") || !strings.Contains(log, w.lock.Path()) || !strings.Contains(log, "not valid JSON") {
		t.Errorf("logged: %s", log)
	}
	e := w.entry()
	if w.policy(Permissions).Granted(e, e.SHA256, "KEY") {
		t.Error("a variable was granted by what cannot be read")
	}
}

// TestRefusedStaysRefused: no trust mends permissions.
func TestRefusedStaysRefused(t *testing.T) {
	w := newWorld(t)
	w.place(plugin, "1")
	w.approve()
	if err := os.Chmod(filepath.Join(w.dir, plugin), 0o777); err != nil {
		t.Fatal(err)
	}
	for _, mode := range []Mode{Permissions, Lock} {
		e := w.apply(mode)
		if _, ok := errors.AsType[*catalog.PermissionError](e.Refused); !ok || e.Trust != "" {
			t.Errorf("%s: %+v", mode, e)
		}
	}
}

// TestBundled shows who counts as bundled and what that gives.
func TestBundled(t *testing.T) {
	const name, key = "one", "ONE_API_KEY"
	builtIn := map[string]string{name: sum("1")}
	for _, tt := range []struct {
		name    string
		text    string // of the binary
		bundled map[string]string
		beside  bool // the plugin lies beside the host
		mode    Mode
		trust   catalog.Trust
		granted bool
	}{
		{"by digest", "1", builtIn, false, Permissions, catalog.TrustBundled, true},
		{"by digest, locked", "1", builtIn, false, Lock, catalog.TrustBundled, true},
		{"a foreign one of that name", "2", builtIn, false, Permissions, catalog.TrustRecorded, false},
		{"a foreign one of that name in the right place", "2", builtIn, true, Permissions, catalog.TrustRecorded, false},
		{"a foreign one of that name, locked", "2", builtIn, true, Lock, catalog.TrustUnapproved, false},
		{"a host that knows none", "1", map[string]string{}, true, Permissions, catalog.TrustRecorded, false},
		{"the digest of another", "1", map[string]string{"two": sum("1")}, true, Permissions, catalog.TrustRecorded, false},
		{"by place", "1", nil, true, Permissions, catalog.TrustBundled, true},
		{"elsewhere", "1", nil, false, Permissions, catalog.TrustRecorded, false},
		{"a place is no digest", "1", nil, true, Lock, catalog.TrustUnapproved, true}, // granted, but it does not run
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.place(plugin, tt.text)
			c := Config{Mode: tt.mode, Lock: w.lock, Bundled: tt.bundled, Variables: map[string][]string{name: {key}, "two": {"TWO_API_KEY"}}}
			if tt.beside {
				link := filepath.Join(t.TempDir(), "link") // the same directory under another name
				if err := os.Symlink(w.dir, link); err != nil {
					t.Fatal(err)
				}
				c.BundledDirs = []string{"/nowhere", link}
			}
			p := New(c)
			e := p.Apply(t.Context(), []catalog.Entry{w.entry()})[0]
			if e.Trust != tt.trust || (e.Refused != nil) != (tt.trust == catalog.TrustUnapproved) {
				t.Errorf("trust %q, refused %v", e.Trust, e.Refused)
			}
			if got := p.Granted(e, e.SHA256, key); got != tt.granted {
				t.Errorf("granted: %v", got)
			}
			for _, other := range []string{"TWO_API_KEY", "OTHER", ""} {
				if p.Granted(e, e.SHA256, other) {
					t.Errorf("%q is granted", other)
				}
			}
		})
	}
}

// TestGranted: a variable is given to the bytes that it was approved for.
func TestGranted(t *testing.T) {
	w := newWorld(t)
	w.place(plugin, "1")
	w.place(plugin+".json", `{"schema_version":1,"name":"one","env":["WISHED_KEY"]}`)
	p := w.policy(Permissions)
	granted := func(variable string) bool {
		t.Helper()
		e := p.Apply(t.Context(), []catalog.Entry{w.entry()})[0]
		return p.Granted(e, e.SHA256, variable)
	}
	if granted("WISHED_KEY") {
		t.Error("the manifest granted")
	}
	w.approve()
	if granted("WISHED_KEY") {
		t.Error("an approval without variables granted")
	}
	w.approve("A_KEY", "WISHED_KEY")
	if !granted("WISHED_KEY") || !granted("A_KEY") || granted("OTHER_KEY") {
		t.Error("the approval does not count as given")
	}
	w.place(plugin, "2")
	if granted("WISHED_KEY") {
		t.Error("other bytes got the variable")
	}
	w.place(plugin, "1")
	w.approve("A_KEY") // replaces
	if granted("WISHED_KEY") || !granted("A_KEY") {
		t.Error("the second approval did not replace the first")
	}
}

func TestReady(t *testing.T) {
	w := newWorld(t)
	w.place(plugin, "1")
	e := w.apply(Permissions)
	p := w.policy(Permissions)
	d := &backendv1.DescribeResponse{Name: "one", Version: "1.2.3", Environment: []string{"A_KEY"}, ConfigSchema: []byte(`{"type":"object"}`)}
	read := func() lock.Plugin {
		t.Helper()
		c, err := w.lock.Read()
		if err != nil || len(c.Plugins) != 1 {
			t.Fatalf("content %+v, %v", c, err)
		}
		return c.Plugins[0]
	}
	p.Ready(t.Context(), e, sum("another"), d)
	if r := read(); r.Describe != nil || r.Version != "" {
		t.Errorf("what others said is recorded: %+v", r)
	}
	p.Ready(t.Context(), e, e.SHA256, d)
	r := read()
	for _, want := range []string{`"environment"`, `"A_KEY"`, `"one"`} {
		if !strings.Contains(string(r.Describe), want) {
			t.Errorf("description %s", r.Describe)
		}
	}
	if r.Version != "1.2.3" || strings.Contains(string(r.Describe), "schema") || d.ConfigSchema == nil {
		t.Errorf("record %+v", r)
	}
	before, err := os.Stat(w.lock.Path())
	if err != nil {
		t.Fatal(err)
	}
	p.Ready(t.Context(), e, e.SHA256, d)
	w.apply(Permissions)
	if after, err := os.Stat(w.lock.Path()); err != nil || !os.SameFile(before, after) {
		t.Errorf("what was known was written again: %v", err)
	}
	p.Ready(t.Context(), e, e.SHA256, &backendv1.DescribeResponse{Name: "one", Title: strings.Repeat("t", maxSnapshot)})
	if d := cmp.Diff(r, read()); d != "" {
		t.Error(d)
	}
	if !strings.Contains(w.log.String(), "larger than 64 KiB") {
		t.Errorf("logged: %s", w.log.String())
	}
	w.place(plugin, "2") // says nothing of itself yet
	w.apply(Permissions)
	if r := read(); r.Describe != nil || r.Version != "" || r.ChangedFrom != sum("1") {
		t.Errorf("record %+v", r)
	}
}

func TestParseBundled(t *testing.T) {
	a, b := sum("a"), sum("b")
	for _, tt := range []struct {
		text string
		want map[string]string
		ok   bool
	}{
		{"", nil, true},
		{"claude=" + a, map[string]string{"claude": a}, true},
		{"claude=" + a + ",echo=" + b, map[string]string{"claude": a, "echo": b}, true},
		{"claude", nil, false},
		{"claude=", nil, false},
		{"=" + a, nil, false},
		{"claude=" + a + ",", nil, false},
		{"claude=" + a + ",claude=" + b, nil, false},
	} {
		got, err := ParseBundled(tt.text)
		if d := cmp.Diff(tt.want, got); d != "" || (err == nil) != tt.ok {
			t.Errorf("%q: %v %s", tt.text, err, d)
		}
	}
}
