package e2e

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/clinvk/clinvk/test/harness"
)

// disk is a home on a file system of its own, which needs the right to mount one.
func disk(t *testing.T) *keeper {
	t.Helper()
	home, err := os.MkdirTemp("", "clv-")
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("clinvk-test", home, "tmpfs", 0, "size=8m,mode=0700"); err != nil {
		_ = os.RemoveAll(home)
		t.Skipf("no file system can be mounted: %v", err)
	}
	t.Cleanup(func() {
		_ = syscall.Unmount(home, syscall.MNT_DETACH)
		_ = os.RemoveAll(home)
	})
	return &keeper{world: &world{}, home: home}
}

// startEcho starts a server with the echo backend only; err is why it did not start.
func (k *keeper) startEcho() (err error) {
	k.server, err = harness.Start(harness.Options{
		Bin: bin, Home: k.home, Config: "plugins: {allow: [echo]}\n", Env: map[string]string{"CLINVK_HOME": filepath.Join(k.home, "state")}, Check: true,
	})
	return err
}

// fill leaves no room on the disk.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	block := make([]byte, 4096)
	for err == nil {
		_, err = f.Write(block)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
}

// TestSessionsOnAFullDisk: each dialect says in its own words what is wrong and what to do,
// what needs no room works, and with room all is well again.
func TestSessionsOnAFullDisk(t *testing.T) {
	k := disk(t)
	if err := k.startEcho(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := k.server.Close(); err != nil {
			t.Error(err)
		}
	}()
	id := k.prompt(t, fields{"backend": "echo", "prompt": "one"}).SessionID
	filler := filepath.Join(k.home, "filler")
	fill(t, filler)
	named := map[string]string{"X-Clinvk-Session": "named"}
	large := strings.Repeat("x", 100_000) // more than the write-ahead log has room for
	for _, tt := range []struct {
		name, path, body string
		header           map[string]string
		want             []string
	}{
		{"new", "/api/v1/prompt", `{"backend": "echo", "prompt": "` + large + `"}`, nil, []string{`"code":"storage_failed"`, `"status":507`}},
		{"continued", "/api/v1/prompt", `{"session_id": "` + id + `", "prompt": "` + large + `"}`, nil, []string{`"code":"storage_failed"`}},
		{"stream", "/api/v1/prompt", `{"backend": "echo", "output_format": "stream-json", "prompt": "` + large + `"}`, nil, []string{`"code":"storage_failed"`}},
		{"openai", "/openai/v1/chat/completions", `{"model": "echo", "messages": [{"role": "user", "content": "` + large + `"}]}`, named, []string{`"type":"server_error"`, `"code":"storage_failed"`}},
		{"anthropic", "/anthropic/v1/messages", `{"model": "echo", "max_tokens": 9, "messages": [{"role": "user", "content": "` + large + `"}]}`, named, []string{`"type":"api_error"`}},
	} {
		status, header, body := exchange(t, http.MethodPost, k.server.URL+tt.path, tt.body, tt.header)
		if streamed := tt.name == "stream"; status != http.StatusInsufficientStorage && !streamed {
			t.Errorf("%s: status %d", tt.name, status)
		}
		if tt.header != nil && header.Get("X-Should-Retry") != "false" {
			t.Errorf("%s: clients will try again", tt.name)
		}
		for _, want := range append(tt.want, "the disk is full; free some space") {
			if !strings.Contains(body, want) {
				t.Errorf("%s: %s is not in %.600s", tt.name, want, body)
			}
		}
	}
	if r := k.prompt(t, fields{"backend": "echo", "ephemeral": true, "prompt": "two"}); r.Output != "two" {
		t.Errorf("without a session: %+v", r)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	if r := k.prompt(t, fields{"session_id": id, "prompt": "three"}); r.SessionID != id {
		t.Errorf("with room again: %+v", r)
	}
	var list struct{ Total int }
	if request(t, http.MethodGet, k.server.URL+"/api/v1/sessions", nil, &list); list.Total != 1 {
		t.Errorf("%d sessions are there", list.Total)
	}
}

// TestReadOnlyHome: a server that cannot write to its home works without sessions and says
// why, or says in one sentence why it does not start.
func TestReadOnlyHome(t *testing.T) {
	k := disk(t)
	readOnly := func(flags uintptr) {
		t.Helper()
		if err := syscall.Mount("clinvk-test", filepath.Join(k.home, "state"), "tmpfs", syscall.MS_REMOUNT|flags, ""); err != nil {
			t.Fatal(err)
		}
	}
	state := filepath.Join(k.home, "state")
	if err := os.Mkdir(state, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("clinvk-test", state, "tmpfs", 0, "size=8m,mode=0700"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(state, syscall.MNT_DETACH) })
	readOnly(syscall.MS_RDONLY)
	err := k.startEcho()
	if err == nil {
		t.Fatal("it starts with nothing to write to")
	}
	if !strings.Contains(err.Error(), "read-only file system; make that writable, or name another directory with CLINVK_HOME") {
		t.Errorf("it says %v", err)
	}
	readOnly(0)
	for _, rdonly := range []bool{false, true} {
		if rdonly {
			readOnly(syscall.MS_RDONLY)
		}
		if err := k.startEcho(); err != nil {
			t.Fatal(err)
		}
		r := k.prompt(t, fields{"backend": "echo", "prompt": "one"})
		if (r.SessionID == "") != rdonly || r.Output != "one" {
			t.Errorf("read-only %v: %+v", rdonly, r)
		}
		status, _, body := exchange(t, http.MethodGet, k.server.URL+"/api/v1/sessions", "", nil)
		if unavailable := status == http.StatusServiceUnavailable && strings.Contains(body, "its log says why"); unavailable != rdonly {
			t.Errorf("read-only %v: %d %s", rdonly, status, body)
		}
		if said := strings.Contains(k.server.Log(), "there is no store"); said != rdonly {
			t.Errorf("read-only %v: the log is %s", rdonly, k.server.Log())
		}
		if err := k.server.Close(); err != nil {
			t.Error(err)
		}
	}
}
