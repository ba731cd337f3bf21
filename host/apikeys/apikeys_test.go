//go:build unix

package apikeys

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func key(name, text string) Key { return Key{Name: name, Hash: sha256.Sum256([]byte(text))} }

func hexOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

func write(t *testing.T, text string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil { // whatever the umask
		t.Fatal(err)
	}
	return path
}

func TestFile(t *testing.T) {
	text := "\ufeff# keys\n\nalice:" + hexOf("a") + "\r\n  sk-plain:1 \nbob@box:" + strings.ToUpper(hexOf("b"))
	keys, err := Sources{File: write(t, text, 0o600), Keys: []string{"env", "carol:" + hexOf("c")}}.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := []Key{key("", "env"), key("carol", "c"), key("alice", "a"), key("", "sk-plain:1"), key("bob@box", "b")}
	if diff := cmp.Diff(want, keys); diff != "" {
		t.Error(diff)
	}
}

// TestFailsClosed: whatever is wrong with a source, there are no keys, and the error
// shows none.
func TestFailsClosed(t *testing.T) {
	const secret = "canary-secret"
	for _, tt := range []struct{ name, file, want string }{
		{"missing", filepath.Join(t.TempDir(), "none"), "no such file"},
		{"a directory", t.TempDir(), "is no file"},
		{"empty", write(t, "# "+secret+"\n", 0o600), "has no keys"},
		{"open to the group", write(t, secret, 0o640), "chmod 600"},
		{"open to all", write(t, secret, 0o604), "chmod 600"},
		{"a short hash", write(t, secret+"\nalice:"+strings.Repeat("a", 63), 0o600), "line 2: NAME:SHA256 needs 64 hexadecimal digits, this one has 63"},
		{"blanks", write(t, "\n"+secret+" "+secret, 0o600), "line 2: a key has no blanks"},
		{"too large", write(t, strings.Repeat(secret+"\n", maxSize/10), 0o600), "more than 1024 KiB"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			keys, err := Sources{File: tt.file, Keys: []string{"other"}}.Load(t.Context())
			if err == nil || keys != nil || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "server.api_keys_file: ") {
				t.Errorf("%v, %v", keys, err)
			}
			if err != nil && strings.Contains(err.Error(), secret) {
				t.Errorf("the error shows a key: %v", err)
			}
		})
	}
}

// gopass puts a script of that name on PATH.
func gopass(t *testing.T, script string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "gopass"), []byte("#!/bin/sh\n"+script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
}

func TestGopass(t *testing.T) {
	gopass(t, `[ "$1 $2 $3" = "show -o team/clinvk" ] && printf 'one,alice:`+hexOf("two")+`\n'`)
	keys, err := Sources{GopassPath: "team/clinvk"}.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]Key{key("", "one"), key("alice", "two")}, keys); diff != "" {
		t.Error(diff)
	}
}

func TestGopassFailsClosed(t *testing.T) {
	for _, tt := range []struct{ name, script, want string }{
		{"no entry", "echo 'entry is not in the store' >&2; exit 11", "exit status 11: entry is not in the store"},
		{"nothing", "exit 0", "has no keys"},
		{"half", "echo secret; exit 1", "exit status 1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			gopass(t, tt.script)
			keys, err := Sources{GopassPath: "x"}.Load(t.Context())
			if err == nil || keys != nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, %v", keys, err)
			}
		})
	}
	t.Run("hangs", func(t *testing.T) {
		gopass(t, "sleep 60 & wait")
		keys, err := Sources{GopassPath: "x", GopassTimeout: 50 * time.Millisecond}.Load(t.Context())
		if err == nil || keys != nil || !strings.Contains(err.Error(), "did not answer within 50ms") {
			t.Errorf("%v, %v", keys, err)
		}
	})
	t.Run("not there", func(t *testing.T) {
		t.Setenv("PATH", t.TempDir())
		if _, err := (Sources{GopassPath: "x"}).Load(context.Background()); err == nil || !strings.Contains(err.Error(), "not installed") {
			t.Error(err)
		}
	})
}

// TestNoComment: what looks like a comment in the environment does not leave a server
// without a key.
func TestNoComment(t *testing.T) {
	for _, given := range [][]string{{"#secret"}, {"one", "#secret"}} {
		keys, err := Sources{Keys: given}.Load(t.Context())
		if err == nil || keys != nil || !strings.Contains(err.Error(), "must not be empty or begin with #") || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v, %v", given, keys, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("a\n#b\nname:" + hexOf("x"))
	f.Add("a:b:c\n name:00")
	f.Fuzz(func(t *testing.T, s string) {
		keys, err := parse([]byte(s))
		if err != nil && keys != nil {
			t.Fatalf("%v and %v", keys, err)
		}
		if lines := strings.Count(s, "\n") + 1; len(keys) > lines {
			t.Fatalf("%d keys in %d lines", len(keys), lines)
		}
	})
}
