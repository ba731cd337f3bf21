package openai

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/clinvk/clinvk/host/apikeys"
	"github.com/clinvk/clinvk/host/engine"
	"github.com/clinvk/clinvk/host/httpapi"
	"github.com/clinvk/clinvk/host/httpapi/dialecttest"
	"github.com/clinvk/clinvk/host/httpapi/media"
	"github.com/clinvk/clinvk/host/httpapi/meta"
)

func send(t *testing.T, url, body string) (*http.Response, []byte) {
	t.Helper()
	res, err := http.Post(url, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return res, read(t, res)
}

func read(t *testing.T, res *http.Response) []byte {
	t.Helper()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := res.Body.Close(); err != nil {
		t.Fatal(err)
	}
	return b
}

func get(t *testing.T, url string) (*http.Response, []byte) {
	t.Helper()
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	return res, read(t, res)
}

func TestModels(t *testing.T) {
	s := dialecttest.Serve(t, New(Config{Engine: &dialecttest.Engine{}}))
	for _, prefix := range prefixes {
		res, body := get(t, s.URL+prefix+"/models")
		var list struct{ Data []json.RawMessage }
		if err := json.Unmarshal(body, &list); err != nil || res.StatusCode != http.StatusOK || len(list.Data) != 3 {
			t.Fatalf("%s: %d %s", prefix, res.StatusCode, body)
		}
		for _, m := range list.Data {
			dialecttest.Valid(t, "OpenAIModel", m)
		}
		for _, id := range []string{"echo/known", "echo%2Fknown"} {
			if _, one := get(t, s.URL+prefix+"/models/"+id); string(one) != string(list.Data[2]) {
				t.Errorf("%s%s: got %s, the list has %s", prefix, id, one, list.Data[2])
			}
		}
		res, body = get(t, s.URL+prefix+"/models/nope")
		dialecttest.Valid(t, "OpenAIError", body)
		if res.StatusCode != http.StatusNotFound || !strings.Contains(string(body), `"code":"model_not_found"`) || !strings.Contains(string(body), "nope") {
			t.Errorf("an unknown model: %d %s", res.StatusCode, body)
		}
	}
}

func TestErrorsOverHTTP(t *testing.T) {
	s := dialecttest.Serve(t, New(Config{Engine: &dialecttest.Engine{}}))
	chat := s.URL + "/openai/v1/chat/completions"
	for name, tt := range map[string]struct {
		method, url, contentType, body string
		status                         int
		contains                       string
	}{
		"bad field":    {"POST", chat, "application/json", `{"model":"m","messages":[{"role":"user","content":1}]}`, 400, `"param":"messages[0].content"`},
		"bad JSON":     {"POST", chat, "application/json", `{"model":`, 400, `"param":null`},
		"no such path": {"POST", s.URL + "/v1/nope", "application/json", `{}`, 404, `"type":"invalid_request_error"`},
		"method":       {"DELETE", chat, "", ``, 405, `"type":"invalid_request_error"`},
		"content type": {"POST", chat, "text/plain", `{}`, 415, `"type":"invalid_request_error"`},
		"embeddings":   {"POST", s.URL + "/openai/v1/embeddings", "application/json", `{}`, 501, `embeddings`},
		"images":       {"POST", s.URL + "/v1/images/generations", "application/json", `{}`, 501, `images`},
		"files":        {"GET", s.URL + "/openai/files/x/content", "", ``, 501, `files`},
		"mode header":  {"POST", chat, "application/json", `{"model":"m","messages":[{"role":"user","content":"x"}]}`, 400, `X-Clinvk-Mode`},
	} {
		t.Run(name, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), tt.method, tt.url, strings.NewReader(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			if tt.contentType != "" {
				req.Header.Set("Content-Type", tt.contentType)
			}
			if name == "mode header" {
				req.Header.Set("X-Clinvk-Mode", "wild")
			}
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			body := read(t, res)
			dialecttest.Valid(t, "OpenAIError", body)
			if res.StatusCode != tt.status || !strings.Contains(string(body), tt.contains) || res.Header.Get("Content-Type") != "application/json" {
				t.Errorf("got %d %s %s", res.StatusCode, res.Header.Get("Content-Type"), body)
			}
			if again := res.Header.Get("X-Should-Retry"); (tt.status >= 500) != (again == "false") {
				t.Errorf("X-Should-Retry is %q with %d", again, res.StatusCode)
			}
		})
	}
}

func TestChatOverHTTP(t *testing.T) {
	e := &dialecttest.Engine{Events: sample, Ignored: []string{engine.FieldMaxOutputTokens}}
	s := dialecttest.Serve(t, New(Config{Engine: e}))
	const request = `{"model":"echo","max_tokens":9,"messages":[{"role":"user","content":"hi"}]`
	res, body := send(t, s.URL+"/v1/chat/completions", request+"}")
	want := readAnswer(t, body)
	if res.Header.Get("X-Clinvk-Ignored") != "max_tokens" || res.Header.Get("X-Request-Id") == "" {
		t.Errorf("headers: %v", res.Header)
	}
	if !strings.Contains(string(body), `"id":"chatcmpl-0123456789abcdef"`) || !strings.Contains(string(body), `"model":"echo"`) {
		t.Errorf("head: %s", body)
	}
	res, body = send(t, s.URL+"/v1/chat/completions", request+`,"stream":true,"stream_options":{"include_usage":true}}`)
	if diff := cmp.Diff(want, readStream(t, body, true)); diff != "" || res.Header.Get("Content-Type") != "text/event-stream" {
		t.Errorf("the stream: %v\n%s", res.Header, diff)
	}
	if e.Turn().Sampling.MaxOutputTokens == nil {
		t.Error("the turn lost max_tokens")
	}
}

func TestStrictParams(t *testing.T) {
	e := &dialecttest.Engine{Events: sample}
	s := dialecttest.Serve(t, New(Config{Engine: e, StrictParams: true}))
	for name, value := range map[string]string{"verbosity": `"low"`, "temprature": "1"} {
		res, body := send(t, s.URL+"/v1/chat/completions", `{"model":"m","`+name+`":`+value+`,"messages":[{"role":"user","content":"hi"}]}`)
		if res.StatusCode != http.StatusBadRequest || !strings.Contains(string(body), `"param":"`+name+`"`) || e.Turn() != nil {
			t.Errorf("got %d %s", res.StatusCode, body)
		}
	}
	if res, body := send(t, s.URL+"/v1/chat/completions", `{"model":"m","messages":[{"role":"user","content":"hi"}]}`); res.StatusCode != http.StatusOK || !e.Turn().StrictParams {
		t.Errorf("got %d %s", res.StatusCode, body)
	}
}

// TestEnvelopeOfTheServer shows that what the server itself refuses has the envelope,
// too, whatever is asked for.
func TestEnvelopeOfTheServer(t *testing.T) {
	d := New(Config{Engine: &dialecttest.Engine{Refusal: &engine.Error{Code: engine.CodeQueueFull, Message: "full"}}})
	handler, err := httpapi.NewServer(httpapi.Config{
		Dialects: []httpapi.Dialect{d}, Fallback: meta.New(meta.Config{Engine: &dialecttest.Engine{}}),
		MaxBody: 200, Keys: httpapi.NewKeys(apikeys.Plain("k")),
	})
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(handler)
	defer s.Close()
	const fine = `{"model":"m","messages":[{"role":"user","content":"x"}],"prompt":"x"}`
	for name, tt := range map[string]struct {
		method, path, contentType, key, body string
		status                               int
		code, header                         string
	}{
		"no key":      {"POST", "/v1/chat/completions", "application/json", "", `{`, 401, "invalid_api_key", "WWW-Authenticate"},
		"wrong key":   {"GET", "/v1/models", "", "x", ``, 401, "invalid_api_key", "WWW-Authenticate"},
		"no route":    {"POST", "/openai/v1/nope", "application/json", "k", fine, 404, "", ""},
		"method":      {"GET", "/v1/chat/completions", "", "k", ``, 405, "", "Allow"},
		"head":        {"HEAD", "/v1/completions", "", "k", ``, 405, "", "Allow"},
		"put":         {"PUT", "/v1/completions", "application/json", "k", fine, 405, "", "Allow"},
		"too large":   {"POST", "/v1/completions", "application/json", "k", strings.Repeat(" ", 201) + fine, 413, "", ""},
		"no type":     {"POST", "/v1/completions", "", "k", fine, 415, "", ""},
		"form":        {"POST", "/openai/chat/completions", "application/x-www-form-urlencoded", "k", fine, 415, "", ""},
		"full":        {"POST", "/v1/chat/completions", "application/json; charset=utf-8", "k", fine, 429, "rate_limit_exceeded", "Retry-After"},
		"full, text":  {"POST", "/v1/completions", "application/json", "k", fine, 429, "rate_limit_exceeded", "Retry-After"},
		"not offered": {"GET", "/v1/files", "", "k", ``, 501, "not_implemented", "X-Should-Retry"},
	} {
		t.Run(name, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), tt.method, s.URL+tt.path, strings.NewReader(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer "+tt.key)
			if tt.contentType != "" {
				req.Header.Set("Content-Type", tt.contentType)
			}
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			body := read(t, res)
			if res.StatusCode != tt.status || res.Header.Get("Content-Type") != "application/json" || res.Header.Get("X-Request-Id") == "" {
				t.Fatalf("got %d %v %s", res.StatusCode, res.Header, body)
			}
			if tt.header != "" && res.Header.Get(tt.header) == "" {
				t.Errorf("no %s: %v", tt.header, res.Header)
			}
			if tt.method == "HEAD" {
				return
			}
			dialecttest.Valid(t, "OpenAIError", body)
			if code := `"code":"` + tt.code + `"`; tt.code != "" && !strings.Contains(string(body), code) {
				t.Errorf("no %s: %s", code, body)
			}
		})
	}
}

// TestHead shows that what can be read can be asked for without its content.
func TestHead(t *testing.T) {
	s := dialecttest.Serve(t, New(Config{Engine: &dialecttest.Engine{}}))
	for path, status := range map[string]int{"/v1/models": 200, "/v1/models/echo": 200, "/v1/models/nope": 404} {
		res, err := http.Head(s.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		if body := read(t, res); res.StatusCode != status || len(body) > 0 {
			t.Errorf("%s: %d %q", path, res.StatusCode, body)
		}
	}
}

// TestOddBodies shows that no body is answered with a failure of the server.
func TestOddBodies(t *testing.T) {
	s := dialecttest.Serve(t, New(Config{Engine: &dialecttest.Engine{Events: short}}))
	const message = `"messages":[{"role":"user","content":"x"}],"prompt":"x"`
	deep := strings.Repeat(`{"a":[`, 20000) + strings.Repeat(`]}`, 20000)
	for name, tt := range map[string]struct {
		body   string
		status int
	}{
		"nothing":           {"", 400},
		"space":             {" \n", 400},
		"null":              {"null", 400},
		"array":             {"[{}]", 400},
		"two objects":       {"{}{}", 400},
		"a mark":            {"\ufeff{}", 400},
		"not UTF-8":         {"{\"model\":\"\xff\"," + message + "}", 400},
		"half a code point": {`{"model":"\ud83d",` + message + "}", 200},
		"control":           {"{\"model\":\"a\x01\"," + message + "}", 400},
		"NUL":               {`{"model":"\u0000",` + message + "}", 200},
		"twice":             {`{"model":1,"model":"m",` + message + "}", 200},
		"huge number":       {`{"model":"m","seed":1e999,` + message + "}", 400},
		"long number":       {`{"model":"m","unknown":` + strings.Repeat("9", 100000) + `,` + message + "}", 200},
		"deep":              {`{"model":"m","unknown":` + deep + `,` + message + "}", 400},
		"deep schema":       {`{"model":"m","logit_bias":` + deep[:6*4000] + "1" + strings.Repeat(`]}`, 4000) + `,` + message + "}", 200},
		"long":              {`{"model":"m","user":"` + strings.Repeat("x", 4<<20) + `",` + message + "}", 200},
		"many members":      {`{"model":"m"` + strings.Repeat(`,"x":1`, 100000) + "," + message + "}", 400},
	} {
		for _, path := range []string{"/v1/chat/completions", "/v1/completions"} {
			t.Run(name+path, func(t *testing.T) {
				res, body := send(t, s.URL+path, tt.body)
				if res.StatusCode != tt.status {
					t.Errorf("got %d %.300s", res.StatusCode, body)
				}
				if res.StatusCode != http.StatusOK {
					dialecttest.Valid(t, "OpenAIError", body)
				}
			})
		}
	}
}

// TestWhatClientsAdd shows that unknown headers and parameters do no harm, nor do
// bodies in chunks and prompts of a megabyte.
func TestWhatClientsAdd(t *testing.T) {
	e := &dialecttest.Engine{Events: short}
	s := dialecttest.Serve(t, New(Config{Engine: e}))
	prompt := strings.Repeat("long ", 200_000)
	body := `{"model":"m","messages":[{"role":"user","content":"` + prompt + `"}]}`
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/openai/v1/chat/completions?beta=true&api-version=1", io.MultiReader(strings.NewReader(body)))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"Content-Type": "application/json; charset=utf-8", "Authorization": "Bearer x", "X-Stainless-Os": "Linux", "X-Stainless-Retry-Count": "0",
		"OpenAI-Organization": "o", "OpenAI-Beta": "a=b", "Accept": "text/event-stream",
	} {
		req.Header.Set(name, value)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if answer := read(t, res); res.StatusCode != http.StatusOK || req.ContentLength != 0 {
		t.Fatalf("got %d %s", res.StatusCode, answer)
	}
	if diff := cmp.Diff([]engine.Message{user(engine.Text(prompt))}, e.Turn().Messages); diff != "" {
		t.Error("the prompt is not what was sent")
	}
}

// TestStreamOverHTTP looks at what surrounds a stream, and at failures before it.
func TestStreamOverHTTP(t *testing.T) {
	e := &dialecttest.Engine{Events: short}
	s := dialecttest.Serve(t, New(Config{Engine: e}))
	const fine, bad = `{"model":"m","stream":true,"messages":[{"role":"user","content":"x"}],"prompt":"x"}`, `{"model":"m","stream":true}`
	for _, path := range []string{"/v1/chat/completions", "/v1/completions"} {
		e.Refusal = nil
		res, body := send(t, s.URL+path, fine)
		h := res.Header
		if h.Get("Content-Type") != "text/event-stream" || h.Get("Cache-Control") != "no-cache" || h.Get("X-Accel-Buffering") != "no" ||
			h.Get("X-Request-Id") == "" || h.Get("X-Clinvk-Backend") != "echo" || res.ContentLength != -1 || !strings.HasSuffix(string(body), "\n\ndata: [DONE]\n\n") {
			t.Errorf("%s: %v %s", path, h, body)
		}
		if res, body := send(t, s.URL+path, bad); res.StatusCode != http.StatusBadRequest || res.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: a bad request: %d %s", path, res.StatusCode, body)
		}
		e.Refusal = engine.Errorf(engine.CodeModelNotFound, "the model %q does not exist", "m")
		if res, body := send(t, s.URL+path, fine); res.StatusCode != http.StatusNotFound || !strings.Contains(string(body), "model_not_found") {
			t.Errorf("%s: an unknown model: %d %s", path, res.StatusCode, body)
		}
	}
}

// TestIdleStreamOptions shows that options of a stream are taken without one.
func TestIdleStreamOptions(t *testing.T) {
	s := dialecttest.Serve(t, New(Config{Engine: &dialecttest.Engine{Events: short}}))
	res, body := send(t, s.URL+"/v1/chat/completions", `{"model":"m","stream_options":{"include_usage":true},"messages":[{"role":"user","content":"x"}]}`)
	if res.StatusCode != http.StatusOK || readAnswer(t, body).Content != "Hello" {
		t.Errorf("got %d %s", res.StatusCode, body)
	}
}

func TestLinkedImage(t *testing.T) {
	const png = "\x89PNG\r\n\x1a\n"
	files := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, png) }))
	defer files.Close()
	e := &dialecttest.Engine{Events: sample}
	body := `{"model":"m","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"` + files.URL + `/a"}}]}]}`
	s := dialecttest.Serve(t, New(Config{Engine: e}))
	if res, body := send(t, s.URL+"/v1/chat/completions", body); res.StatusCode != http.StatusBadRequest || e.Turn() != nil ||
		!strings.Contains(string(body), `"param":"messages[0].content[0].image_url.url"`) || !strings.Contains(string(body), "server.fetch_remote_media") {
		t.Errorf("not allowed: %d %s", res.StatusCode, body)
	}
	s = dialecttest.Serve(t, New(Config{Engine: e, Media: media.New(media.Config{Hosts: []string{strings.TrimPrefix(files.URL, "http://")}})}))
	if res, body := send(t, s.URL+"/v1/chat/completions", body); res.StatusCode != http.StatusOK {
		t.Fatalf("allowed: %d %s", res.StatusCode, body)
	}
	if diff := cmp.Diff([]engine.Message{user(engine.Blob{MediaType: "image/png", Data: []byte(png)})}, e.Turn().Messages); diff != "" {
		t.Error(diff)
	}
}
