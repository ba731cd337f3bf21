package rest_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/clinvk/clinvk/host/engine"
	"github.com/clinvk/clinvk/host/httpapi/dialecttest"
	"github.com/clinvk/clinvk/host/httpapi/rest"
)

// restarter restarts as it is told to.
type restarter struct {
	dialecttest.Engine
	err       error
	restarted string
}

func (e *restarter) Restart(_ context.Context, name string) (engine.BackendInfo, error) {
	e.restarted = name
	return engine.BackendInfo{Name: name, State: "ready", SHA256: strings.Repeat("a", 64), Trust: "approved"}, e.err
}

func (e *restarter) Backend(name string) (engine.BackendInfo, error) {
	return engine.BackendInfo{Name: name}, nil
}

func (*restarter) Load(string) (running, queued, limit int) { return 0, 0, 1 }

func TestRestart(t *testing.T) {
	for _, tt := range []struct {
		name, schema string
		contentType  string
		err          error
		status       int
		want         map[string]any
	}{
		{"good", "Backend", "application/json", nil, 200, map[string]any{"name": "mine", "state": "ready", "trust": "approved"}},
		{"unknown", "Problem", "application/json", engine.Errorf(engine.CodeNotFound, "no such backend"), 404, map[string]any{"code": "not_found"}},
		{"switched off", "Problem", "application/json", engine.Errorf(engine.CodeConflict, "it is switched off"), 409, map[string]any{"code": "conflict", "detail": "it is switched off"}},
		{"broken", "Problem", "application/json", engine.Errorf(engine.CodeUnavailable, "run: x"), 503, map[string]any{"code": "backend_unavailable", "detail": "run: x"}},
		{"by a form", "Problem", "text/plain", nil, 415, map[string]any{"code": "unsupported_media_type"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := &restarter{err: tt.err}
			server := dialecttest.Serve(t, rest.New(rest.Config{Engine: e}))
			response, err := http.Post(server.URL+"/api/v1/backends/mine/restart", tt.contentType, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			var raw json.RawMessage
			if err := json.NewDecoder(response.Body).Decode(&raw); err != nil {
				t.Fatal(err)
			}
			dialecttest.Valid(t, tt.schema, raw)
			var got map[string]any
			if err := json.Unmarshal(raw, &got); err != nil {
				t.Fatal(err)
			}
			if response.StatusCode != tt.status {
				t.Errorf("status %d: %s", response.StatusCode, raw)
			}
			for key, value := range tt.want {
				if got[key] != value {
					t.Errorf("%s is %v", key, got[key])
				}
			}
			if want := tt.status != http.StatusUnsupportedMediaType; (e.restarted == "mine") != want {
				t.Errorf("restarted %q", e.restarted)
			}
		})
	}
}
