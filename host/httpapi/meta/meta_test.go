package meta_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/clinvk/clinvk/host/engine"
	"github.com/clinvk/clinvk/host/httpapi"
	"github.com/clinvk/clinvk/host/httpapi/dialecttest"
	"github.com/clinvk/clinvk/host/httpapi/meta"
	"github.com/clinvk/clinvk/host/httpapi/openapi"
	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// get asks a server that has this dialect only.
func get(t *testing.T, c meta.Config, path string) *httptest.ResponseRecorder {
	t.Helper()
	s, err := httpapi.NewServer(httpapi.Config{Fallback: meta.New(c)})
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodGet, path, nil)
	r.Host = "localhost"
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

// backends are an engine's.
type backends []engine.BackendInfo

func (b backends) Backends() []engine.BackendInfo { return b }

// count is a store with so many sessions; below 0 it does not know.
type count int

func (c count) SessionCount() (int, bool) { return int(c), c >= 0 }

func TestHealth(t *testing.T) {
	up := engine.BackendInfo{Name: "up", State: "ready", Serving: true, Health: &backendv1.HealthResponse{State: backendv1.HealthState_HEALTH_STATE_READY}}
	down := engine.BackendInfo{Name: "down", State: "backoff", LastError: "it fell"}
	type store struct {
		Available    bool `json:"available"`
		SessionCount int  `json:"session_count"`
	}
	type answer struct {
		Status, Version string
		Backends        []struct {
			Name      string
			Available bool
		}
		Store *store `json:"session_store"`
	}
	for _, test := range []struct {
		name     string
		backends backends
		store    meta.Store
		keyless  bool // a request without the key that is needed
		status   int
		want     answer
	}{
		{"all are up", backends{up}, count(7), false, 200, answer{Status: "ok", Version: "1", Store: &store{true, 7}}},
		{"an empty store", backends{up}, count(0), false, 200, answer{Status: "ok", Version: "1", Store: &store{true, 0}}},
		{"a store that cannot count", backends{up}, count(-1), false, 200, answer{Status: "ok", Version: "1", Store: &store{}}},
		{"some are up", backends{up, down}, nil, false, 200, answer{Status: "degraded", Version: "1", Store: &store{}}},
		{"none is up", backends{down}, nil, false, 503, answer{Status: "unhealthy", Version: "1", Store: &store{}}},
		{"no key", backends{up}, count(7), true, 200, answer{Status: "ok"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := get(t, meta.Config{
				Engine: test.backends, Version: "1", Store: test.store,
				Detailed: func(*http.Request) bool { return !test.keyless },
			}, "/health")
			var got answer
			dialecttest.Valid(t, "Health", w.Body.Bytes())
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
				t.Fatal(err)
			}
			if !test.keyless && len(got.Backends) != len(test.backends) {
				t.Errorf("backends %+v", got.Backends)
			}
			got.Backends = nil
			if diff := cmp.Diff(test.want, got); diff != "" || w.Code != test.status {
				t.Errorf("%d\n%s", w.Code, diff)
			}
		})
	}
}

func TestMetrics(t *testing.T) {
	w := get(t, meta.Config{}, "/metrics")
	if w.Code != http.StatusNotFound || !strings.Contains(w.Body.String(), "server.metrics_enabled") || w.Header().Get("Content-Type") != "application/problem+json" {
		t.Errorf("switched off: %d %v %s", w.Code, w.Header(), w.Body)
	}
	on := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("metrics")) })
	if w := get(t, meta.Config{Metrics: on}, "/metrics"); w.Code != http.StatusOK || w.Body.String() != "metrics" {
		t.Errorf("switched on: %d %s", w.Code, w.Body)
	}
}

func TestDocs(t *testing.T) {
	document := func() ([]byte, error) { return openapi.Document("1.2.3") }
	w := get(t, meta.Config{OpenAPI: document}, "/docs")
	if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "clinvk 1.2.3") || w.Header().Get("Content-Type") != "text/html; charset=utf-8" ||
		!strings.HasPrefix(w.Header().Get("Content-Security-Policy"), "default-src 'none';") {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	broken := func() ([]byte, error) { return nil, errors.New("zebra") }
	for _, path := range []string{"/docs", "/openapi.json"} {
		if w := get(t, meta.Config{OpenAPI: broken}, path); w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "zebra") {
			t.Errorf("%s without a document: %d %s", path, w.Code, w.Body)
		}
	}
}
