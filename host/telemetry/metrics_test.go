package telemetry

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"github.com/clinvk/clinvk/host/engine"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// scrape reads the metrics as Prometheus does.
func scrape(t *testing.T, m *Metrics) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if w.Code != http.StatusOK || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/plain") {
		t.Fatalf("%d %v: %s", w.Code, w.Header(), w.Body)
	}
	return w.Body.String()
}

// holds says which lines are missing.
func holds(t *testing.T, text string, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if !strings.Contains(text, "\n"+line+"\n") {
			t.Errorf("there is no %s in\n%s", line, text)
		}
	}
}

func number(n int64) *int64 { return &n }

func TestTurns(t *testing.T) {
	m := New(Config{Version: "1.2.3"})
	answered := engine.Outcome{
		Backend: "echo", Admitted: true,
		Timing: engine.Timing{Queue: 2 * time.Second, FirstToken: 3 * time.Second, Total: 40 * time.Second},
		Usage:  engine.Usage{InputTokens: number(10), OutputTokens: number(4), CacheReadTokens: number(-7)},
	}
	m.Turn("rest", "ok", answered)
	m.Turn("rest", "ok", answered)
	m.Turn("openai", "cli_failure", engine.Outcome{Backend: "echo", Admitted: true, Timing: engine.Timing{Total: time.Second}})
	m.Turn("openai", "queue_full", engine.Outcome{Backend: "echo", Timing: engine.Timing{Total: time.Second}})
	holds(t, scrape(t, m),
		`clinvk_turns_total{backend="echo",dialect="rest",outcome="ok"} 2`,
		`clinvk_turns_total{backend="echo",dialect="openai",outcome="queue_full"} 1`,
		`clinvk_turn_duration_seconds_sum{backend="echo",dialect="rest"} 80`,
		`clinvk_turn_duration_seconds_count{backend="echo",dialect="openai"} 1`,
		`clinvk_turn_first_token_seconds_sum{backend="echo",dialect="rest"} 6`,
		`clinvk_turn_queue_seconds_count{backend="echo"} 3`,
		`clinvk_tokens_total{backend="echo",kind="input"} 20`,
		`clinvk_tokens_total{backend="echo",kind="output"} 8`,
	)
	if text := scrape(t, m); strings.Contains(text, "cache_read") || !strings.Contains(text, `version="1.2.3"`) || !strings.Contains(text, "go_goroutines") {
		t.Error(text)
	}
}

// TestRequests: what a client makes up is no label.
func TestRequests(t *testing.T) {
	m := New(Config{})
	m.Request("rest", "/api/v1/prompt", "POST", 200, time.Second)
	for _, method := range []string{"BREW", "ZEBRA"} {
		m.Request("meta", "", method, 405, time.Second)
	}
	m.Request("meta", "/health/live", "GET", 0, time.Second)
	text := scrape(t, m)
	holds(t, text,
		`clinvk_http_requests_total{dialect="rest",method="POST",route="/api/v1/prompt",status="200"} 1`,
		`clinvk_http_requests_total{dialect="meta",method="other",route="",status="405"} 2`,
		`clinvk_http_requests_total{dialect="meta",method="GET",route="/health/live",status="200"} 1`,
		`clinvk_http_request_duration_seconds_count{dialect="meta",route=""} 2`,
	)
	if strings.Contains(text, "ZEBRA") {
		t.Error(text)
	}
}

// still is an engine whose backends stay as they are.
type still []engine.BackendInfo

func (s still) Backends() []engine.BackendInfo { return s }

func (still) Load(string) (running, queued, limit int) { return 2, 3, 4 }

func TestBackends(t *testing.T) {
	m := New(Config{})
	m.Watch(still{
		{Name: "echo", State: "quarantined", Restarts: 5, Memory: 1 << 20, Processes: 7},
		{Name: "unmeasured", State: "ready", Serving: true},
	})
	text := scrape(t, m)
	holds(t, text,
		`clinvk_turns_running{backend="echo"} 2`,
		`clinvk_turns_queued{backend="echo"} 3`,
		`clinvk_turns_limit{backend="echo"} 4`,
		`clinvk_backend_up{backend="echo"} 0`,
		`clinvk_plugin_state{backend="echo",state="quarantined"} 1`,
		`clinvk_plugin_restarts_total{backend="echo"} 5`,
		`clinvk_plugin_memory_bytes{backend="echo"} 1.048576e+06`,
		`clinvk_plugin_processes{backend="echo"} 7`,
		`clinvk_plugin_state{backend="unmeasured",state="ready"} 1`,
	)
	if strings.Contains(text, `clinvk_plugin_memory_bytes{backend="unmeasured"}`) {
		t.Error("an unknown number is given as 0")
	}
}

func TestSessions(t *testing.T) {
	known := false
	m := New(Config{Sessions: func() (int, bool) { return 9, known }})
	if strings.Contains(scrape(t, m), "clinvk_sessions") {
		t.Error("a number that nobody knows is told")
	}
	known = true
	holds(t, scrape(t, m), "clinvk_sessions 9")
}

// TestLint holds names and texts against Prometheus' conventions.
func TestLint(t *testing.T) {
	m := New(Config{Version: "1", Sessions: func() (int, bool) { return 1, true }})
	m.Watch(still{{Name: "echo", Memory: 1, Processes: 1}})
	m.Turn("rest", "ok", engine.Outcome{Admitted: true, Timing: engine.Timing{FirstToken: 1}, Usage: engine.Usage{InputTokens: number(1)}})
	m.Request("rest", "/", "GET", 200, 1)
	problems, err := testutil.GatherAndLint(m.registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// BenchmarkTurn is what one turn with its request costs.
func BenchmarkTurn(b *testing.B) {
	m := New(Config{})
	o := engine.Outcome{
		Backend: "echo", Admitted: true, Timing: engine.Timing{Queue: 1, FirstToken: 1, Total: 1},
		Usage: engine.Usage{InputTokens: number(10), OutputTokens: number(4)},
	}
	b.ReportAllocs()
	for b.Loop() {
		m.Turn("rest", "ok", o)
		m.Request("rest", "/api/v1/prompt", http.MethodPost, http.StatusOK, time.Millisecond)
	}
}
