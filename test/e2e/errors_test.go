//go:build unix

package e2e

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/clinvk/clinvk/test/harness"
)

// errorLimit is how soon the client must have an upstream's error, counted from
// the first request that the upstream refused: much sooner than a CLI that goes on to
// try would give up.
const errorLimit = 15 * time.Second

// statusOf lists the statuses that are right for an upstream's status, per dialect.
func statusOf(dialect string, upstream int) []int {
	switch upstream {
	case 500:
		return []int{500, 502}
	case 529:
		if dialect == "anthropic" {
			return []int{529}
		}
		return []int{503}
	}
	return []int{upstream}
}

// anthropicType is the error's type in that dialect, per status.
var anthropicType = map[int]string{
	400: "invalid_request_error", 401: "authentication_error", 403: "permission_error", 404: "not_found_error", 413: "request_too_large",
	429: "rate_limit_error", 500: "api_error", 502: "api_error", 529: "overloaded_error",
}

func TestUpstreamErrors(t *testing.T) {
	each(t, func(t *testing.T, backend string, d dialect, stream bool) {
		up := shared.upstream(backend)
		for _, status := range []int{400, 401, 403, 404, 429, 500, 529} {
			t.Run(strconv.Itoa(status), func(t *testing.T) {
				n := nonce()
				text := fmt.Sprintf("%s [[status=%d]]", n, status)
				if status == 429 {
					text = n + " [[status=429 retry_after=7]]"
				}
				r, err := d.do(t.Context(), shared.server.URL, ask{model: backend, history: prompt(text), stream: stream})
				if err != nil {
					t.Fatal(err)
				}
				checkError(t, d, r, statusOf(d.name, status))
				if status == 429 {
					if seconds, _ := strconv.Atoi(r.header.Get("Retry-After")); seconds < 1 || seconds > 8 || seconds < 6 && backend != "codex" {
						t.Errorf("Retry-After is %q, the upstream said 7", r.header.Get("Retry-After"))
					}
				}
				calls := up.find(n)
				if len(calls) == 0 {
					t.Fatal("no model call")
				}
				if took := r.end.Sub(calls[0].At); took > errorLimit {
					t.Errorf("the error took %v, with %d model calls", took, len(calls))
				}
			})
		}
		if r := get(t, d, ask{model: backend, history: prompt("after errors"), stream: stream}); r.text != "tok0 tok1 tok2 " {
			t.Errorf("the next answer is %q", r.text)
		}
	})
}

func checkError(t *testing.T, d dialect, r *reply, statuses []int) {
	t.Helper()
	if r.err == nil || r.err.message == "" || r.err.kind == "" {
		t.Fatalf("no error: status %d, text %q, body %s", r.status, r.text, r.raw)
	}
	if r.err.inStream {
		t.Errorf("the error came in the stream though nothing was sent before: %+v", r.err)
		return
	}
	if !slices.Contains(statuses, r.status) {
		t.Errorf("status %d, want %v: %+v", r.status, statuses, r.err)
	}
	if d.name == "anthropic" && r.err.kind != anthropicType[r.status] {
		t.Errorf("status %d has type %q", r.status, r.err.kind)
	}
	for _, leak := range []string{"sk-ant-fake-key", "sk-fake-key", "AIza-fake"} {
		if strings.Contains(r.raw, leak) {
			t.Errorf("the answer holds a key: %s", r.raw)
		}
	}
}

func TestUpstreamCutInMidStream(t *testing.T) {
	each(t, func(t *testing.T, backend string, d dialect, stream bool) {
		up := shared.upstream(backend)
		n := nonce()
		r, err := d.do(t.Context(), shared.server.URL, ask{model: backend, history: prompt(n + " [[tokens=6 gap=30ms cut=3]]"), stream: stream})
		if err != nil {
			t.Fatal(err)
		}
		if r.err == nil {
			t.Fatalf("no error; text %q", r.text)
		}
		if !stream && r.status != http.StatusBadGateway {
			t.Errorf("status %d: %+v", r.status, r.err)
		}
		if stream && r.err.inStream && !slices.Contains([]string{"", "tok0 ", "tok0 tok1 ", "tok0 tok1 tok2 "}, r.text) {
			t.Errorf("text before the cut: %q", r.text)
		}
		if strings.Count(r.text, "tok0") > 1 {
			t.Errorf("text was repeated: %q", r.text)
		}
		if calls := up.find(n); len(calls) > 2 {
			t.Errorf("%d model calls", len(calls))
		}
		get(t, d, ask{model: backend, history: prompt("after a cut"), stream: stream})
	})
}

func TestUpstreamRefused(t *testing.T) {
	w := newWorld(t, harness.Options{Config: noSpares, Env: map[string]string{
		"ANTHROPIC_BASE_URL": "http://127.0.0.1:1", "OPENAI_BASE_URL": "http://127.0.0.1:1/v1", "GOOGLE_GEMINI_BASE_URL": "http://127.0.0.1:1",
	}})
	each(t, func(t *testing.T, backend string, d dialect, stream bool) {
		r, err := d.do(t.Context(), w.server.URL, ask{model: backend, history: prompt("hi"), stream: stream})
		if err != nil {
			t.Fatal(err)
		}
		checkError(t, d, r, []int{http.StatusBadGateway})
		if took := r.end.Sub(r.begin); took > errorLimit && stream { // the first one may wait for a process
			t.Logf("the error took %v", took)
		}
	})
	for _, backend := range realBackends {
		r, err := rest.do(t.Context(), w.server.URL, ask{model: backend, history: prompt("hi")})
		if err != nil {
			t.Fatal(err)
		}
		if took := r.end.Sub(r.begin); took > errorLimit {
			t.Errorf("%s: the error took %v", backend, took)
		}
	}
}
