//go:build unix

package e2e

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestSessionKeepsFiles: an agent that was told no directory finds in later turns what it
// wrote, also after a restart; so does that of a branch, in a copy.
func TestSessionKeepsFiles(t *testing.T) {
	k := newKeeper(t)
	ids, wrote := map[string]string{}, map[string]string{}
	agent := func(t *testing.T, backend, prompt string, more fields) string {
		t.Helper()
		body := fields{"prompt": prompt, "backend": backend, "approval_mode": "none", "sandbox_mode": "full"}
		for name, value := range more {
			body[name] = value
		}
		return k.prompt(t, body).SessionID
	}
	run := func(t *testing.T, backend, command string, more fields) (prompt, id string) {
		t.Helper()
		name, args := shellTool[backend](command)
		raw, err := json.Marshal(args)
		if err != nil {
			t.Fatal(err)
		}
		prompt = nonce()
		return prompt, agent(t, backend, prompt+" [[tool="+name+" args=b64:"+base64.StdEncoding.EncodeToString(raw)+"]]", more)
	}
	place := func(t *testing.T, id string) (dir string) {
		t.Helper()
		var plan struct{ Workdir string }
		request(t, http.MethodPost, k.server.URL+"/api/v1/prompt", fields{"session_id": id, "dry_run": true, "prompt": "x"}, &plan)
		if info, err := os.Stat(plan.Workdir); err != nil || !info.IsDir() || info.Mode().Perm() != 0o700 {
			t.Errorf("it works in %q: %v, %v", plan.Workdir, info, err)
		}
		return plan.Workdir
	}
	for _, backend := range realBackends {
		t.Run("writes/"+backend, func(t *testing.T) {
			wrote[backend] = nonce()
			half := len(wrote[backend]) / 2 // so that the call does not hold it
			_, ids[backend] = run(t, backend, "echo "+wrote[backend][:half]+"''"+wrote[backend][half:]+" > notes", nil)
		})
	}
	k.restart(t, false)
	for _, backend := range realBackends {
		t.Run("reads/"+backend, func(t *testing.T) {
			id := ids[backend]
			branch := agent(t, backend, nonce(), fields{"session_id": id, "fork": true})
			prompt, _ := run(t, backend, "cat notes", fields{"session_id": id})
			calls := k.upstream(backend).find(prompt)
			if len(calls) == 0 || !bytes.Contains(calls[len(calls)-1].Body, []byte(wrote[backend])) {
				t.Errorf("%d calls, and the last does not hold what was written", len(calls))
			}
			dir, copied := place(t, id), place(t, branch)
			if status := request(t, http.MethodDelete, k.server.URL+"/api/v1/sessions/"+id, nil, nil); status != http.StatusNoContent {
				t.Errorf("status %d", status)
			}
			if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("its directory is left: %v", err)
			}
			if text, err := os.ReadFile(filepath.Join(copied, "notes")); err != nil || strings.TrimSpace(string(text)) != wrote[backend] {
				t.Errorf("the branch has %q, %v", text, err)
			}
		})
	}
}
