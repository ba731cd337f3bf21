//go:build unix

package e2e

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// TestClientGoesInMidTurn: the CLI's own session goes on after a turn whose client has
// gone, with what its tools saw before, and holds of that turn what the transcript does.
func TestClientGoesInMidTurn(t *testing.T) {
	for _, backend := range realBackends {
		t.Run(backend, func(t *testing.T) {
			k := newKeeper(t)
			workdir, printed := t.TempDir(), nonce()
			half := len(printed) / 2 // so that the call does not hold it
			name, args := shellTool[backend]("echo " + printed[:half] + "''" + printed[half:])
			raw, err := json.Marshal(args)
			if err != nil {
				t.Fatal(err)
			}
			body := func(prompt, session string) fields {
				return fields{
					"prompt": prompt, "backend": backend, "session_id": session, "workdir": workdir, "approval_mode": "none", "sandbox_mode": "full",
				}
			}
			first := k.prompt(t, body("one [[tool="+name+" args=b64:"+base64.StdEncoding.EncodeToString(raw)+"]]", ""))
			lost := nonce()
			k.leave(t, body(lost+" [[tokens=50 gap=5ms hangat=20]]", first.SessionID))

			var full struct {
				Transcript []struct {
					Assistant    []struct{ Type, Text string }
					FinishReason string `json:"finish_reason"`
				}
			}
			request(t, http.MethodGet, k.server.URL+"/api/v1/sessions/"+first.SessionID, nil, &full)
			if len(full.Transcript) != 2 || full.Transcript[1].FinishReason != "interrupted" {
				t.Fatalf("%+v", full)
			}
			var said strings.Builder
			for _, p := range full.Transcript[1].Assistant {
				said.WriteString(p.Text)
			}
			if said.Len() == 0 {
				t.Error("nothing of its answer is kept")
			}
			n := nonce()
			k.prompt(t, body(n, first.SessionID))
			k.saw(t, backend, lost, n)
			calls := k.upstream(backend).find(n)
			if !bytes.Contains(calls[len(calls)-1].Body, []byte(printed)) {
				t.Error("the session holds no more what the tool printed")
			}
			_, messages := k.upstream(backend).conversation(calls[len(calls)-1])
			if !slices.ContainsFunc(messages, func(m message) bool {
				return m.Role == "assistant" && strings.TrimSpace(m.Text) == strings.TrimSpace(said.String())
			}) {
				t.Errorf("%q is in the transcript, but not in %+v", said.String(), messages)
			}
		})
	}
}

// leave sends a prompt, goes away when the answer has begun, and waits until the server
// is done with it.
func (k *keeper) leave(t *testing.T, body fields) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	q, err := http.NewRequestWithContext(ctx, http.MethodPost, k.server.URL+"/api/v1/prompt", bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	q.Header.Set("Content-Type", "application/json")
	done := make(chan error, 1)
	go func() {
		response, err := http.DefaultClient.Do(q)
		if err == nil {
			err = response.Body.Close()
		}
		done <- err
	}()
	var running struct {
		Executions []struct {
			FirstToken *string `json:"first_token_at"`
		}
	}
	ask := func() {
		request(t, http.MethodGet, k.server.URL+"/api/v1/executions?state=running", nil, &running)
	}
	wait(t, "the answer to begin", func() bool {
		ask()
		return len(running.Executions) == 1 && running.Executions[0].FirstToken != nil
	})
	cancel()
	if err := <-done; err == nil {
		t.Fatal("the turn was answered")
	}
	wait(t, "the turn to be over", func() bool {
		ask()
		return len(running.Executions) == 0
	})
}
