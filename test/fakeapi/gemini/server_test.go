package gemini

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

func post(t *testing.T, s *Server, prompt string) (int, string, error) {
	t.Helper()
	body := `{"contents":[{"role":"user","parts":[{"text":"` + prompt + `"}]}]}`
	resp, err := http.Post(s.URL+"/v1beta/models/m:streamGenerateContent?alt=sse", "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}

func TestServer(t *testing.T) {
	s := New(t)
	tests := []struct {
		name, prompt string
		status       int
		want         []string
		broken       bool
	}{
		{"plain", "hi", 200, []string{`"text":"tok0 "`, `"text":"tok2 "`, `"finishReason":"STOP"`, `"candidatesTokenCount":10`}, false},
		{"length", "[[tokens=1 finish=length]]", 200, []string{`"finishReason":"MAX_TOKENS"`}, false},
		{"split", "[[text=b64:4pyT split]]", 200, []string{`"text":"✓"`}, false},
		{"think", "[[think=1]]", 200, []string{`"thought":true`, `"thoughtsTokenCount":5`, `"candidatesTokenCount":5`}, false},
		{"tool", "[[tokens=0 tool=read_file args=b64:eyJhIjoxfQ==]]", 200, []string{`"args":{"a":1}`, `"name":"read_file"`}, false},
		{"status", "[[status=429 retry_after=7]]", 429, []string{`"retryDelay":"7s"`, ErrorMessage(429)}, false},
		{"cut", "[[cut=1]]", 200, []string{`tok0`}, true},
		{"invalid", "[[tokns=1]]", 500, []string{"unknown key"}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			status, body, err := post(t, s, tt.prompt)
			if status != tt.status || (err != nil) != tt.broken {
				t.Fatalf("status %d, error %v; want %d, broken %v", status, err, tt.status, tt.broken)
			}
			for _, want := range tt.want {
				if !strings.Contains(body, want) {
					t.Errorf("no %s in %s", want, body)
				}
			}
		})
	}
	if n := len(s.Log.Turns()); n != len(tests) {
		t.Errorf("%d turns in the log, want %d", n, len(tests))
	}
}
