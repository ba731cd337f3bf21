package anthropic

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/clinvk/clinvk/host/engine"
	"github.com/clinvk/clinvk/host/httpapi/dialecttest"
	"github.com/clinvk/clinvk/host/httpapi/media"
)

func TestLinkedDocument(t *testing.T) {
	const pdf = "%PDF-1.7"
	files := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, pdf) }))
	defer files.Close()
	e := &dialecttest.Engine{Events: sample}
	body := `{"model":"m","max_tokens":9,"messages":[{"role":"user","content":[{"type":"document","source":{"type":"url","url":"` + files.URL + `/a"}}]}]}`
	s := dialecttest.Serve(t, New(Config{Engine: e}))
	res, answer := send(t, "POST", s.URL+"/anthropic/v1/messages", "application/json", body)
	dialecttest.Valid(t, "AnthropicError", answer)
	if res.StatusCode != http.StatusBadRequest || !strings.Contains(string(answer), "content.0.source.url") || e.Turn() != nil {
		t.Errorf("not allowed: %d %s", res.StatusCode, answer)
	}
	s = dialecttest.Serve(t, New(Config{Engine: e, Media: media.New(media.Config{Hosts: []string{strings.TrimPrefix(files.URL, "http://")}})}))
	if res, answer := send(t, "POST", s.URL+"/anthropic/v1/messages", "application/json", body); res.StatusCode != http.StatusOK {
		t.Fatalf("allowed: %d %s", res.StatusCode, answer)
	}
	want := []engine.Part{engine.Blob{MediaType: "application/pdf", Data: []byte(pdf)}}
	if diff := cmp.Diff(want, e.Turn().Messages[0].Parts); diff != "" {
		t.Error(diff)
	}
}
