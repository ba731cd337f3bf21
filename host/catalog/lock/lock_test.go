//go:build unix

package lock

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/clinvk/clinvk/host/catalog"
)

// writerVariable makes the test binary a process that adds records to the lock
// file that it names.
const writerVariable = "CLINVK_TEST_LOCK_WRITER"

func TestMain(m *testing.M) {
	if path := os.Getenv(writerVariable); path != "" {
		for i := range writes {
			if err := add(New(path, false), fmt.Sprintf("p%d-%d", os.Getpid(), i)); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

const writes = 20

func add(f *File, name string) error {
	return f.Update(context.Background(), func(c *Content) error {
		c.Add(Plugin{Name: name, Path: "/" + name, SHA256: strings.Repeat("a", 64)})
		return nil
	})
}

// place is a path for a lock file that only we can write to.
func place(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "home")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, Name)
}

func TestRoundTrip(t *testing.T) {
	f := New(filepath.Join(place(t), "..", "made", Name), false) // the directory is made
	empty, err := f.Read()
	if err != nil || len(empty.Plugins) != 0 {
		t.Fatalf("a missing file holds %+v, %v", empty, err)
	}
	when := time.Date(2026, 2, 3, 4, 5, 6, 7e6, time.UTC)
	want := Plugin{
		Name: "mine", Version: "1.2.3", Path: "/p/clinvk-backend-mine", SHA256: strings.Repeat("1", 64), FirstSeen: when,
		ChangedFrom: strings.Repeat("2", 64), Approved: &Approval{SHA256: strings.Repeat("3", 64), Time: when, Env: []string{"A", "B"}},
		Describe: json.RawMessage(`"described"`),
	}
	if err := f.Update(t.Context(), func(c *Content) error { c.Add(want); return nil }); err != nil {
		t.Fatal(err)
	}
	got, err := f.Read()
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(&Content{SchemaVersion: 1, Plugins: []Plugin{want}}, got); d != "" {
		t.Error(d)
	}
	before, err := os.Stat(f.Path())
	if err != nil || before.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v, %v", before.Mode(), err)
	}
	// What changes nothing, or fails, does not touch the file.
	failure := errors.New("no")
	if err := f.Update(t.Context(), func(c *Content) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if err := f.Update(t.Context(), func(c *Content) error { c.Plugins = nil; return failure }); !errors.Is(err, failure) {
		t.Fatal(err)
	}
	after, err := os.Stat(f.Path())
	if err != nil || !os.SameFile(before, after) {
		t.Errorf("the file was written: %v", err)
	}
	files, err := os.ReadDir(filepath.Dir(f.Path()))
	if err != nil || len(files) != 2 {
		t.Errorf("beside the lock file and its guard lies something else: %v, %v", files, err)
	}
}

func TestFind(t *testing.T) {
	old, young := &Approval{SHA256: "x", Time: time.Unix(1, 0)}, &Approval{SHA256: "x", Time: time.Unix(2, 0)}
	c := &Content{Plugins: []Plugin{
		{Name: "a", Path: "/1", Approved: old}, {Name: "a", Path: "/2", Approved: young}, {Name: "a", Path: "/3"}, {Name: "b", Path: "/1"},
	}}
	if p := c.Find("a", "/2"); p != &c.Plugins[1] {
		t.Errorf("found %+v", p)
	}
	if p := c.Find("c", "/1"); p != nil {
		t.Errorf("found %+v", p)
	}
	if a := c.Approval("a", "x"); a != young {
		t.Errorf("approval %+v", a)
	}
	for _, other := range [][2]string{{"b", "x"}, {"a", "y"}, {"a", ""}} {
		if a := c.Approval(other[0], other[1]); a != nil {
			t.Errorf("%v is approved: %+v", other, a)
		}
	}
}

// TestWriters lets goroutines and processes write at once, and one read: nothing is
// lost, and what is read is always whole.
func TestWriters(t *testing.T) {
	f := New(place(t), false)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var writers sync.WaitGroup
	for range 2 {
		writers.Go(func() {
			cmd := exec.Command(self)
			cmd.Env = append(os.Environ(), writerVariable+"="+f.Path())
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
	for i := range 2 {
		writers.Go(func() {
			for j := range writes {
				if err := add(f, fmt.Sprintf("g%d-%d", i, j)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { writers.Wait(); close(done) }()
	for most := 0; ; {
		c, err := f.Read()
		if err != nil {
			t.Fatal(err)
		}
		if len(c.Plugins) < most {
			t.Fatalf("%d records after %d", len(c.Plugins), most)
		}
		most = len(c.Plugins)
		select {
		case <-done:
			if c, err := f.Read(); err != nil || len(c.Plugins) != 4*writes {
				t.Errorf("%d records, want %d: %v", len(c.Plugins), 4*writes, err)
			}
			return
		default:
		}
	}
}

func TestUnusable(t *testing.T) {
	sum := strings.Repeat("a", 64)
	record := `{"name":"a","path":"/a","sha256":"` + sum + `","first_seen":"2026-01-01T00:00:00Z"}`
	for _, tt := range []struct{ name, text, want string }{
		{"empty", "", "not valid JSON"},
		{"torn", `{"schema_version":1,"plugins":[{"na`, "not valid JSON"},
		{"newer", `{"schema_version":2,"plugins":[]}`, "schema_version is 2; this clinvk knows 1"},
		{"another file", `{"a":1}`, "schema_version is 0"},
		{"unknown field", `{"schema_version":1,"plugins":[{"name":"a","only_on":"monday"}]}`, `unknown field "only_on"`},
		{"no name", `{"schema_version":1,"plugins":[{}]}`, "no name"},
		{"twice", `{"schema_version":1,"plugins":[` + record + `,` + record + `]}`, "twice"},
		{"bad digest", `{"schema_version":1,"plugins":[` + strings.Replace(record, sum, "AA", 1) + `]}`, "bad sha256"},
		{"bad approval", `{"schema_version":1,"plugins":[` + strings.Replace(record, `"path"`, `"approved":{"sha256":""},"path"`, 1) + `]}`, "bad sha256"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := New(place(t), false)
			if err := os.WriteFile(f.Path(), []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := f.Read()
			if e, ok := errors.AsType[*Error](err); !ok || e.Path != f.Path() || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "remove it") {
				t.Fatalf("error: %v", err)
			}
			if err := add(f, "b"); err == nil {
				t.Error("it was written to")
			}
			if text, err := os.ReadFile(f.Path()); err != nil || string(text) != tt.text {
				t.Errorf("the file is %q now, %v", text, err)
			}
		})
	}
}

// TestOthersCanWrite shows that a lock file which others could have written is
// none: they could approve.
func TestOthersCanWrite(t *testing.T) {
	f := New(place(t), false)
	if err := add(f, "a"); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(f.Path(), 0o666); err != nil {
		t.Fatal(err)
	}
	_, err := f.Read()
	if p, ok := errors.AsType[*catalog.PermissionError](err); !ok || p.Remedy != "chmod go-w "+f.Path() {
		t.Fatalf("error: %v", err)
	}
	if c, err := New(f.Path(), true).Read(); err != nil || len(c.Plugins) != 1 {
		t.Errorf("insecure: %+v, %v", c, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"schema_version":1,"plugins":[]}`))
	f.Add([]byte(`{"schema_version":1,"plugins":[{"name":"a","path":"/a","sha256":"` + strings.Repeat("0", 64) + `","approved":{"sha256":"` + strings.Repeat("1", 64) + `"},"describe":{"x":[1]}}]}`))
	f.Add([]byte(`{"schema_version":3}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := Parse(text)
		if (c == nil) != (err != nil) {
			t.Fatalf("content %v, error %v", c, err)
		}
		if err != nil {
			return
		}
		again, err := c.text()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Parse(again); err != nil {
			t.Fatalf("what was written cannot be read: %v", err)
		}
	})
}
