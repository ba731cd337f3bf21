package apicheck

import (
	"net/http"
	"strings"
	"testing"
)

const (
	model   = `{"id":"echo","object":"model","created":0,"owned_by":"echo"}`
	problem = `{"type":"about:blank","title":"Not Found","status":404,"detail":"x","code":"not_found","request_id":"r"}`
	openai  = `{"error":{"message":"x","type":"invalid_request_error","param":null,"code":null}}`
	claude  = `{"type":"error","error":{"type":"not_found_error","message":"x"},"request_id":"r"}`
	ask     = `{"model":"echo","messages":[{"role":"user","content":"x"}]}`
	chunk   = `{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"echo","choices":[]}`
	init1   = `{"type":"init","backend":"echo","session_id":"","timestamp":"2026-11-01T00:00:00Z","sequence":1,"content":{"execution_id":"e","model":"m"}}`
	failed  = `{"type":"error","backend":"echo","session_id":"","timestamp":"2026-11-01T00:00:00Z","sequence":2,"content":{"code":"internal","message":"m"}}`
)

func own(t *testing.T) *Document {
	t.Helper()
	d, err := Own()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// exchange makes one of a line "METHOD path status type" and a body.
func exchange(line, body string) Exchange {
	f := strings.Fields(line)
	x := Exchange{Method: f[0], Path: f[1], Header: http.Header{}, Body: []byte(body)}
	for _, c := range f[2] {
		x.Status = 10*x.Status + int(c-'0')
	}
	if len(f) > 3 {
		x.Header.Set("Content-Type", f[3])
	}
	for _, name := range []string{"X-Clinvk-Backend", "X-Clinvk-Model", "Server-Timing"} {
		x.Header.Set(name, "x")
	}
	return x
}

func TestCheck(t *testing.T) {
	const (
		chat = "POST /openai/v1/chat/completions 200 text/event-stream"
		mess = "POST /anthropic/v1/messages 200 text/event-stream"
		rest = "POST /api/v1/prompt 200 application/x-ndjson"
		stop = "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"
		done = "data: [DONE]\n\n"
	)
	for name, tt := range map[string]struct {
		line, body string
		want       string // what is said; empty: nothing
	}{
		"model":                 {"GET /openai/v1/models/echo 200 application/json", model, ""},
		"alias":                 {"GET /v1/models/echo 200 application/json", model, ""},
		"other alias":           {"GET /openai/models/echo/slow 200 application/json", model, ""},
		"charset":               {"GET /v1/models/echo 200 application/json;charset=utf-8", model, ""},
		"missing member":        {"GET /v1/models/echo 200 application/json", `{"id":"echo","object":"model","created":0}`, "owned_by"},
		"additional member":     {"GET /v1/models/echo 200 application/json", strings.Replace(model, `{`, `{"x":1,`, 1), "'x' not allowed"},
		"wrong type":            {"GET /v1/models/echo 200 application/json", strings.Replace(model, `0`, `"0"`, 1), "got string"},
		"no JSON":               {"GET /v1/models/echo 200 application/json", "oops", "not JSON"},
		"two JSON texts":        {"GET /v1/models/echo 200 application/json", model + model, "not JSON"},
		"content type":          {"GET /v1/models/echo 200 text/html", model, "text/html"},
		"no content type":       {"GET /v1/models/echo 200", model, "content type"},
		"status":                {"GET /v1/models/echo 202 application/json", model, "status 202"},
		"error":                 {"GET /v1/models/echo 404 application/json", openai, ""},
		"another's error":       {"GET /v1/models/echo 404 application/json", claude, "error"},
		"error as a problem":    {"GET /v1/models/echo 404 application/problem+json", problem, "problem+json"},
		"head":                  {"HEAD /v1/models/echo 200 application/json", "", ""},
		"head with a body":      {"HEAD /v1/models/echo 200 application/json", model, "body"},
		"not offered":           {"POST /v1/images/generations 501 application/json", openai, ""},
		"not offered, answered": {"POST /v1/images/generations 200 application/json", "{}", "status 200"},
		"unknown path":          {"GET /nothing 404 application/problem+json", problem, ""},
		"unknown in openai":     {"GET /v1/nothing 404 application/json", openai, ""},
		"unknown in anthropic":  {"GET /anthropic/v1/nothing 404 application/json", claude, ""},
		"wrong envelope":        {"GET /anthropic/v1/nothing 404 application/json", openai, "type"},
		"unknown, answered":     {"GET /nothing 200 application/json", "{}", "not documented"},
		"unknown, other method": {"PUT /nothing 405 application/problem+json", problem, "not documented"},
		"known, not found":      {"PUT /health 404 application/problem+json", problem, "was not found"},
		"preflight":             {"OPTIONS /v1/models 204", "", ""},
		"chunks":                {chat, "data: " + chunk + "\n\n: keep-alive\n\n" + done, ""},
		"bad chunk":             {chat, "data: {}\n\n" + done, "event 0"},
		"named chunk":           {chat, "event: x\ndata: " + chunk + "\n\n" + done, `named "x"`},
		"no end":                {chat, "data: " + chunk + "\n\n", "without its last event"},
		"after the end":         {chat, done + "data: " + chunk + "\n\n", "after the last one"},
		"ends in an error":      {chat, "data: " + chunk + "\n\ndata: " + openai + "\n\n", ""},
		"on after an error":     {chat, "data: " + openai + "\n\n" + done, "after the last one"},
		"half an event":         {chat, done + "data: ", "inside an event"},
		"message":               {mess, stop, ""},
		"unnamed":               {mess, strings.TrimPrefix(stop, "event: message_stop\n"), `named ""`},
		"wrong name":            {mess, strings.Replace(stop, "message_stop", "ping", 1), `named "ping"`},
		"unknown event":         {mess, "event: x\ndata: {\"type\":\"x\"}\n\n" + stop, "event 0"},
		"lines":                 {rest, init1 + "\n\n" + failed + "\n", ""},
		"line with more":        {rest, strings.Replace(init1, `"model"`, `"more":1,"model"`, 1) + "\n" + failed + "\n", "'more' not allowed"},
		"no last line":          {rest, init1 + "\n", "without its last event"},
	} {
		t.Run(name, func(t *testing.T) {
			got := strings.Join(own(t).Check(exchange(tt.line, tt.body)), "\n")
			if tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// TestCut: what was broken off is checked as far as it came.
func TestCut(t *testing.T) {
	for name, tt := range map[string]struct{ line, body, want string }{
		"in an event":     {"POST /v1/chat/completions 200 text/event-stream", "data: " + chunk + "\n\ndata: {", ""},
		"after nothing":   {"POST /v1/chat/completions 200 text/event-stream", "", ""},
		"in JSON":         {"GET /v1/models/echo 200 application/json", model[:9], ""},
		"after a bad one": {"POST /v1/chat/completions 200 text/event-stream", "data: {}\n\ndata: {", "event 0"},
	} {
		t.Run(name, func(t *testing.T) {
			x := exchange(tt.line, tt.body)
			x.Cut = true
			got := strings.Join(own(t).Check(x), "\n")
			if tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// TestRequest: the document must not be stricter than the server.
func TestRequest(t *testing.T) {
	for name, tt := range map[string]struct {
		body  string
		whole bool
		want  string
	}{
		"as documented": {ask, true, ""},
		"stricter":      {strings.Replace(ask, "user", "robot", 1), true, "request"},
		"not all sent":  {ask[:20], false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			x := exchange("POST /v1/chat/completions 200 text/event-stream", "data: [DONE]\n\n")
			x.Request, x.RequestWhole = []byte(tt.body), tt.whole
			got := strings.Join(own(t).Check(x), "\n")
			if tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestHeaders(t *testing.T) {
	x := exchange("POST /v1/chat/completions 200 text/event-stream", "data: [DONE]\n\n")
	x.Header.Del("X-Clinvk-Backend")
	if got := own(t).Check(x); len(got) != 1 || !strings.Contains(got[0], "X-Clinvk-Backend") {
		t.Errorf("got %q", got)
	}
	x = exchange("PUT /health 405 application/problem+json", strings.Replace(strings.ReplaceAll(problem, "not_found", "method_not_allowed"), "404", "405", 1))
	x.Header.Set("Allow", "GET, HEAD")
	if got := own(t).Check(x); len(got) != 0 {
		t.Errorf("got %q", got)
	}
	x.Header.Set("Allow", "GET, POST")
	if got := own(t).Check(x); len(got) != 1 || !strings.Contains(got[0], "Allow") {
		t.Errorf("got %q", got)
	}
}

func TestParse(t *testing.T) {
	for name, text := range map[string]string{
		"no JSON":      "oops",
		"bad schema":   `{"paths":{"/x":{"get":{"responses":{"200":{"content":{"application/json":{"schema":{"type":"objekt"}}}}}}}}}`,
		"no response":  `{"paths":{"/x":{"get":{"responses":{"200":{"$ref":"#/components/responses/X"}}}}}}`,
		"x-also":       `{"paths":{"/x":{"get":{"x-also":["/y"],"responses":{}}}}}`,
		"no such last": `{"paths":{"/x":{"get":{"responses":{"200":{"content":{"text/event-stream":{"x-stream":{"last":{"$ref":"#/components/schemas/X"}}}}}}}}}}`,
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Parse([]byte(text)); err == nil {
				t.Error("no error")
			}
		})
	}
}
