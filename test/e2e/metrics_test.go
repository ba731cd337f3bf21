//go:build unix

package e2e

import (
	"net/http"
	"regexp"
	"testing"

	"github.com/clinvk/clinvk/test/harness"
)

// TestMetrics: a turn of each dialect is counted, with its tokens and its time to the
// first of them, and so is the plugin that answered.
func TestMetrics(t *testing.T) {
	w := newWorld(t, harness.Options{Config: "plugins: {allow: [echo]}\nserver: {metrics_enabled: true}\n"})
	for _, d := range dialects {
		for _, stream := range []bool{false, true} {
			if r, err := d.do(t.Context(), w.server.URL, ask{model: "echo", history: prompt("hi"), stream: stream}); err != nil || r.err != nil {
				t.Fatalf("%s: %v %+v", d.name, err, r.err)
			}
		}
	}
	status, text := ping(t, http.MethodGet, w.server.URL+"/metrics", nil)
	if status != http.StatusOK {
		t.Fatalf("status %d: %s", status, text)
	}
	for _, pattern := range []string{
		`clinvk_turns_total{backend="echo",dialect="rest",outcome="ok"} 2`,
		`clinvk_turns_total{backend="echo",dialect="openai",outcome="ok"} 2`,
		`clinvk_turns_total{backend="echo",dialect="anthropic",outcome="ok"} 2`,
		`clinvk_turn_first_token_seconds_count{backend="echo",dialect="anthropic"} 2`,
		`clinvk_tokens_total{backend="echo",kind="output"} [1-9]\d*`,
		`clinvk_turns_running{backend="echo"} 0`,
		`clinvk_backend_up{backend="echo"} 1`,
		`clinvk_plugin_state{backend="echo",state="ready"} 1`,
		`clinvk_http_requests_total{dialect="anthropic",method="POST",route="/anthropic/v1/messages",status="200"} 2`,
	} {
		if !regexp.MustCompile(`(?m)^` + pattern + `$`).MatchString(text) {
			t.Errorf("there is no %s", pattern)
		}
	}
	if t.Failed() {
		t.Log(text)
	}
}
