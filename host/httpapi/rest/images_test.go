package rest_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/clinvk/clinvk/host/engine"
	"github.com/clinvk/clinvk/host/httpapi/dialecttest"
	"github.com/clinvk/clinvk/host/httpapi/media"
	"github.com/clinvk/clinvk/host/httpapi/rest"
)

func TestImages(t *testing.T) {
	const png = "\x89PNG\r\n\x1a\n"
	files := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, png) }))
	defer files.Close()
	e := &restarter{Engine: dialecttest.Engine{Events: []engine.Event{&engine.Completed{Reason: engine.FinishStop}}}}
	s := dialecttest.Serve(t, rest.New(rest.Config{Engine: e, Media: media.New(media.Config{Hosts: []string{strings.TrimPrefix(files.URL, "http://")}})}))
	for name, tt := range map[string]struct{ image, problem string }{
		"data URL":      {`"data:image/png;base64,iVBORw0KGgo="`, ""},
		"object":        {`{"media_type":"image/png","data":"iVBORw0KGgo="}`, ""},
		"link":          {`"` + files.URL + `/a"`, ""},
		"not listed":    {`{"url":"https://example.com/a.png"}`, "images/0 is on the host example.com, which server.fetch_remote_media does not list"},
		"another image": {`"data:image/gif;base64,iVBORw0KGgo="`, ""},
		"no image":      {`"data:image/gif;base64,JVBERi0="`, "image 0 is said to be image/gif, but its content is application/pdf"},
		"other scheme":  {`"file:///etc/passwd"`, "image 0 must have a data: URL"},
		"no base64":     {`"data:image/png;base64,*"`, "image 0 is not base64"},
		"not in base64": {`"data:image/png,x"`, "image 0 must have a data URL in base64"},
		"nothing":       {`{}`, "image 0 must have url, or media_type and data"},
	} {
		t.Run(name, func(t *testing.T) {
			res, err := http.Post(s.URL+"/api/v1/prompt", "application/json", strings.NewReader(`{"prompt":"p","images":[`+tt.image+`]}`))
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			body, err := io.ReadAll(res.Body)
			if err != nil {
				t.Fatal(err)
			}
			if tt.problem != "" {
				if res.StatusCode != http.StatusBadRequest || !strings.Contains(string(body), tt.problem) {
					t.Errorf("got %d %s", res.StatusCode, body)
				}
				return
			}
			want := []engine.Part{engine.Blob{MediaType: "image/png", Data: []byte(png)}, engine.Text("p")}
			if diff := cmp.Diff(want, e.Turn().Messages[0].Parts); diff != "" || res.StatusCode != http.StatusOK {
				t.Errorf("%d %s\n%s", res.StatusCode, body, diff)
			}
		})
	}
}

// TestOneFetch: what several turns of a request link to is fetched once.
func TestOneFetch(t *testing.T) {
	var asked atomic.Int64
	files := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		_, _ = io.WriteString(w, "\x89PNG\r\n\x1a\n")
	}))
	defer files.Close()
	s := dialecttest.Serve(t, rest.New(rest.Config{Engine: &parrot{}, Media: media.New(media.Config{Hosts: []string{strings.TrimPrefix(files.URL, "http://")}})}))
	prompt := `"prompt":"p","images":["` + files.URL + `/a"]`
	for path, body := range map[string]string{
		"compare":  `{"backends":["echo","two"],` + prompt + `}`,
		"parallel": `{"tasks":[{"backend":"echo",` + prompt + `},{"backend":"two",` + prompt + `}]}`,
		"chain":    `{"steps":[{"backend":"echo",` + prompt + `},{"backend":"two",` + prompt + `}]}`,
	} {
		t.Run(path, func(t *testing.T) {
			asked.Store(0)
			res, err := http.Post(s.URL+"/api/v1/"+path, "application/json", strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			answer, err := io.ReadAll(res.Body)
			if err != nil || res.StatusCode != http.StatusOK || strings.Count(string(answer), `"exit_code":0`) != 2 || asked.Load() != 1 {
				t.Errorf("fetched %d times; %d %s, %v", asked.Load(), res.StatusCode, answer, err)
			}
		})
	}
}
