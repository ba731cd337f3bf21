//go:build unix

package e2e

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/clinvk/clinvk/test/harness"
)

func TestEcho(t *testing.T) {
	for _, d := range dialects {
		for _, stream := range []bool{false, true} {
			r := get(t, d, ask{model: "echo", history: prompt("hello world ✓"), stream: stream})
			if r.text != "hello world ✓" {
				t.Errorf("%s: %q", d.name, r.text)
			}
		}
	}
	r := get(t, openaiChat, ask{model: "echo/transcript", system: "sys", history: []message{{"user", "a"}, {"assistant", "b"}, {"user", "c"}}})
	if r.text != "system: sys\nuser: a\nassistant: b\nuser: c\n" {
		t.Errorf("transcript = %q", r.text)
	}
	r = get(t, anthropicMessages, ask{model: "echo/slow", history: prompt("a b c d e f"), stream: true})
	if took := r.end.Sub(r.begin); took < time.Second {
		t.Errorf("slow took %v", took)
	}
}

func TestEchoFailures(t *testing.T) {
	for _, d := range dialects {
		for code, status := range map[string]int{
			"invalid_request": 400, "unauthenticated": 401, "permission_denied": 403, "not_found": 404, "too_large": 413, "rate_limited": 429,
			"quota_exhausted": 429, "timeout": 504, "content_policy": 400, "cli_failure": 502, "upstream_unreachable": 502, "unsupported": 400,
			"internal": 500, "upstream_failure": 502,
		} {
			for _, stream := range []bool{false, true} {
				r, err := d.do(t.Context(), shared.server.URL, ask{model: "echo/fail", history: prompt(code), stream: stream})
				if err != nil {
					t.Fatal(err)
				}
				if r.status != status || r.err == nil || !strings.Contains(r.err.message, code) {
					t.Errorf("%s %s: status %d, %+v", d.name, code, r.status, r.err)
				}
				if status == 429 && r.header.Get("Retry-After") == "" {
					t.Errorf("%s %s: no Retry-After", d.name, code)
				}
			}
		}
		r, err := d.do(t.Context(), shared.server.URL, ask{model: "echo/fail-midstream", history: prompt("one two three four"), stream: true})
		if err != nil || r.err == nil || !r.err.inStream || r.text != "one two " {
			t.Errorf("%s: %v %+v %q", d.name, err, r.err, r.text)
		}
	}
}

func TestEchoCrash(t *testing.T) {
	w := newWorld(t, harness.Options{Config: "plugins: {allow: [echo]}\n"})
	for _, d := range dialects {
		r, err := d.do(t.Context(), w.server.URL, ask{model: "echo/crash", history: prompt("x"), stream: true})
		if err != nil || r.err == nil || !strings.Contains(r.err.message, "exit status 70") {
			t.Errorf("%s: %v %+v", d.name, err, r.err)
		}
		r, err = d.do(t.Context(), w.server.URL, ask{model: "echo", history: prompt("again")})
		if err != nil || r.text != "again" {
			t.Errorf("%s: %v %+v", d.name, err, r)
		}
	}
}

func TestConcurrentEcho(t *testing.T) {
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			n := nonce()
			r, err := dialects[i%3].do(t.Context(), shared.server.URL, ask{model: "echo", history: prompt(strings.Repeat(n+" ", 500)), stream: i%2 == 0})
			if err != nil || r.err != nil || r.text != strings.Repeat(n+" ", 500) {
				t.Errorf("request %d: %v", i, err)
			}
		})
	}
	wg.Wait()
}

// TestWebPagesAreKeptOut sends what a page in a browser could send.
func TestWebPagesAreKeptOut(t *testing.T) {
	body := `{"model":"echo","prompt":"x","messages":[{"role":"user","content":"x"}],"max_tokens":5}`
	tests := []struct {
		name   string
		change func(*http.Request)
		status int
	}{
		{"fine", func(*http.Request) {}, 200},
		{"fine with charset", func(r *http.Request) { r.Header.Set("Content-Type", "application/json; charset=utf-8") }, 200},
		{"same origin", func(r *http.Request) { r.Header.Set("Origin", "http://"+r.URL.Host) }, 200},
		{"localhost", func(r *http.Request) { r.Host = "localhost:1234" }, 200},
		{"foreign origin", func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") }, 403},
		{"null origin", func(r *http.Request) { r.Header.Set("Origin", "null") }, 403},
		{"cross-site", func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }, 403},
		{"rebound name", func(r *http.Request) { r.Host = "evil.example" }, 403},
		{"no content type", func(r *http.Request) { r.Header.Del("Content-Type") }, 415},
		{"text", func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }, 415},
		{"form", func(r *http.Request) { r.Header.Set("Content-Type", "application/x-www-form-urlencoded") }, 415},
	}
	for _, d := range dialects {
		for _, test := range tests {
			t.Run(d.name+"/"+test.name, func(t *testing.T) {
				body := body
				if d.name == "rest" {
					body = `{"backend":"echo","prompt":"x"}`
				}
				req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, shared.server.URL+d.path, strings.NewReader(body))
				if err != nil {
					t.Fatal(err)
				}
				req.Header.Set("Content-Type", "application/json")
				test.change(req)
				resp, err := http.DefaultClient.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				raw, _ := io.ReadAll(resp.Body)
				if resp.StatusCode != test.status {
					t.Fatalf("status %d, want %d: %s", resp.StatusCode, test.status, raw)
				}
				if origin := resp.Header.Get("Access-Control-Allow-Origin"); origin == "*" || strings.Contains(origin, "evil") {
					t.Errorf("allowed origin %q", origin)
				}
				r := &reply{status: resp.StatusCode}
				if err := d.plain(r, raw); err != nil {
					t.Errorf("not in the dialect's form: %s", raw)
				}
				if test.status != 200 && (r.err == nil || r.err.message == "") {
					t.Errorf("no error in the dialect's form: %s", raw)
				}
			})
		}
	}
}
