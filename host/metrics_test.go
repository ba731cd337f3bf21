//go:build linux

package host

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/clinvk/clinvk/host/config"
)

// ask sends a request to a host that need not have been started.
func ask(h *Host, method, path, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Host = "localhost"
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	h.live.Load().handler.ServeHTTP(w, r)
	return w
}

// TestMetrics: turns and requests are counted under the dialect that they came by.
func TestMetrics(t *testing.T) {
	h, _ := newHost(t, config.Config{Server: config.Server{MetricsEnabled: true}})
	t.Cleanup(func() { _ = h.Stop(t.Context()) })
	for path, body := range map[string]string{
		"/api/v1/prompt":               `{"backend": "zebra", "prompt": "hi"}`,
		"/openai/v1/chat/completions":  `{"model": "zebra", "messages": [{"role": "user", "content": "hi"}]}`,
		"/anthropic/v1/messages":       `{"model": "zebra", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}`,
		"/api/v1/there-is-no/such/way": `{}`,
	} {
		if w := ask(h, http.MethodPost, path, body); w.Code != http.StatusNotFound {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	text := ask(h, http.MethodGet, "/metrics", "").Body.String()
	for _, line := range []string{
		`clinvk_turns_total{backend="",dialect="rest",outcome="model_not_found"} 1`,
		`clinvk_turns_total{backend="",dialect="openai",outcome="model_not_found"} 1`,
		`clinvk_turns_total{backend="",dialect="anthropic",outcome="model_not_found"} 1`,
		`clinvk_http_requests_total{dialect="rest",method="POST",route="/api/v1/prompt",status="404"} 1`,
		`clinvk_http_requests_total{dialect="rest",method="POST",route="",status="404"} 1`,
	} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("there is no %s", line)
		}
	}
	if strings.Contains(text, "zebra") || strings.Contains(text, "such/way") {
		t.Error("what a client made up is a label")
	}
	if t.Failed() {
		t.Log(text)
	}
}

func TestNoMetrics(t *testing.T) {
	h, _ := newHost(t, config.Config{})
	t.Cleanup(func() { _ = h.Stop(t.Context()) })
	if w := ask(h, http.MethodGet, "/metrics", ""); w.Code != http.StatusNotFound || !strings.Contains(w.Body.String(), "server.metrics_enabled") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
