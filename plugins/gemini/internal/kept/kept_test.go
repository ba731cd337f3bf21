package kept

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/clinvk/clinvk/plugins/gemini/internal/wire"
)

func part(t *rapid.T) wire.Part {
	text := rapid.String().Draw(t, "text")
	switch rapid.IntRange(0, 3).Draw(t, "kind") {
	case 0:
		return wire.Part{FunctionCall: &wire.FunctionCall{ID: text, Name: "f", Args: json.RawMessage(`{"a":"<b>"}`)}, ThoughtSignature: "c2ln"}
	case 1:
		return wire.Part{FunctionResponse: &wire.FunctionResponse{ID: text, Name: "f", Response: json.RawMessage(`{"output":1.50}`)}}
	case 2:
		return wire.Part{InlineData: &wire.Blob{MimeType: text, Data: rapid.SliceOfN(rapid.Byte(), 1, 9).Draw(t, "data")}}
	}
	return wire.Part{Text: &text}
}

func TestCodec(t *testing.T) {
	content := rapid.Custom(func(t *rapid.T) wire.Content {
		return wire.Content{
			Role:  rapid.SampledFrom([]string{"user", "model"}).Draw(t, "role"),
			Parts: rapid.SliceOfN(rapid.Custom(part), 1, 3).Draw(t, "parts"),
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		session := Session{
			Title: rapid.String().Draw(t, "title"), WorkingDir: rapid.String().Draw(t, "dir"),
			Contents: rapid.SliceOfN(content, 1, 4).Draw(t, "contents"),
		}
		b, err := session.encode()
		if err != nil {
			t.Fatal(err)
		}
		got, err := decode(b)
		if err != nil {
			t.Fatal(err)
		}
		again, err := got.encode()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(b), string(again)); diff != "" || got.Title != session.Title || got.WorkingDir != session.WorkingDir {
			t.Errorf("decoded %v, written again (-want +got):\n%s", got, diff)
		}
		if short, err := decode(b[:rapid.IntRange(0, len(b)-2).Draw(t, "cut")]); err == nil {
			t.Errorf("a part of a file passed: %v", short)
		}
	})
}

func FuzzDecode(f *testing.F) {
	b, err := Session{Title: "t", Contents: []wire.Content{wire.Spoken("x")}}.encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"version":1,"contents":1}{"role":"user","parts":[]}`))
	f.Add([]byte(`{"version":2}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		session, err := decode(b)
		if err != nil {
			return
		}
		if _, err := session.encode(); err != nil {
			t.Errorf("what was read cannot be written: %v", err)
		}
	})
}

func newStore(t *testing.T) (*Store, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "sessions")
	s, err := New(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s, dir
}

func save(t *testing.T, s *Store, title string) string {
	t.Helper()
	name, err := s.Save(Session{Title: title, WorkingDir: "/w", Contents: []wire.Content{wire.Spoken(title)}})
	if err != nil {
		t.Fatal(err)
	}
	return name
}

func TestStore(t *testing.T) {
	s, dir := newStore(t)
	a, b := save(t, s, "a"), save(t, s, "b")
	if runtime.GOOS != "windows" {
		info, err := os.Stat(filepath.Join(dir, a+extension))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("file %v, %v", info, err)
		}
	}
	if err := os.Chtimes(filepath.Join(dir, a+extension), time.Time{}, time.Now().Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"new-1", "x.jsonl", "5e9f4e2c-0b0c-4d5e-9d86-5f9cbb2a6f7e.jsonl"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("{}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	infos, err := s.List()
	if err != nil || len(infos) != 2 || infos[0].Name != b || infos[1].Title != "a" || infos[1].WorkingDir != "/w" {
		t.Errorf("list = %v, %v", infos, err)
	}
	if session, err := s.Load(b); err != nil || session.Title != "b" || wire.Text(session.Contents) != "b" {
		t.Errorf("loaded %v, %v", session, err)
	}
	if err := s.Delete(b); err != nil {
		t.Error(err)
	}
	if _, err := s.Load(b); !errors.Is(err, ErrGone) {
		t.Errorf("after the deletion: %v", err)
	}
	if err := s.Prune(30 * time.Minute); err != nil {
		t.Error(err)
	}
	if _, err := s.Load(a); !errors.Is(err, ErrGone) {
		t.Errorf("an old session stays: %v", err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 3 {
		t.Errorf("left: %v", left)
	}
}

// TestNames: a name becomes that of a file only when Save could have given it.
func TestNames(t *testing.T) {
	s, dir := newStore(t)
	name := save(t, s, "a")
	outside := filepath.Join(filepath.Dir(dir), "outside.jsonl")
	if err := os.WriteFile(outside, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{
		"", ".", "..", "../outside", "../sessions/" + name, "{" + name + "}", "urn:uuid:" + name, name + "\x00", name + extension,
		"5E9F4E2C-0B0C-4D5E-9D86-5F9CBB2A6F7E", "5e9f4e2c0b0c4d5e9d865f9cbb2a6f7e",
	} {
		if _, err := s.Load(bad); !errors.Is(err, ErrGone) {
			t.Errorf("loading %q: %v", bad, err)
		}
		if err := s.Delete(bad); err != nil {
			t.Errorf("deleting %q: %v", bad, err)
		}
	}
	if _, err := os.Stat(outside); err != nil {
		t.Error(err)
	}
	if _, err := s.Load(name); err != nil {
		t.Error(err)
	}
}
