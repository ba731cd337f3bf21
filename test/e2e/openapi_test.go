//go:build unix

package e2e

import (
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/clinvk/clinvk/host/httpapi/openapi"
	"github.com/clinvk/clinvk/test/harness"
)

// served is what these tests look at in the document.
type served struct {
	Info    struct{ Version string }
	Aliases map[string]string `json:"x-aliases"`
	Paths   map[string]map[string]struct {
		Also        []string `json:"x-also"`
		OperationID string
	}
}

func servedDocument(t *testing.T) (d served, raw string) {
	t.Helper()
	status, raw := ping(t, http.MethodGet, shared.server.URL+"/openapi.json", nil)
	if status != http.StatusOK {
		t.Fatalf("status %d: %s", status, raw)
	}
	if err := json.Unmarshal([]byte(raw), &d); err != nil {
		t.Fatal(err)
	}
	return d, raw
}

// ping sends a request with an empty object where there is a body.
func ping(t *testing.T, method, url string, header http.Header) (status int, body string) {
	t.Helper()
	var content io.Reader
	if method == http.MethodPost || method == http.MethodPut {
		content = strings.NewReader("{}")
	}
	r, err := http.NewRequestWithContext(t.Context(), method, url, content)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	for name, values := range header {
		r.Header[name] = values
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

// TestServedDocument: the document that traffic is held against is the one that the
// server gives away.
func TestServedDocument(t *testing.T) {
	d, raw := servedDocument(t)
	want, err := openapi.Document(d.Info.Version)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), raw); diff != "" {
		t.Error(diff)
	}
}

var parameter = regexp.MustCompile(`\{[^}]*\}`)

// every calls f for each documented route, under all of its names.
func (d served) every(f func(method, path, operation string)) {
	for path, methods := range d.Paths {
		for method, op := range methods {
			for _, at := range append(op.Also, strings.ToUpper(method)+" "+path) {
				method, path, _ := strings.Cut(at, " ")
				path = parameter.ReplaceAllString(path, "zebra")
				f(method, path, op.OperationID)
				for alias, prefix := range d.Aliases {
					if rest, ok := strings.CutPrefix(path, prefix+"/"); ok {
						f(method, alias+"/"+rest, op.OperationID)
					}
				}
			}
		}
	}
}

// TestEveryRoute asks for each route, with methods that it has and has not. What the
// answers look like is for the proxy to judge.
func TestEveryRoute(t *testing.T) {
	d, _ := servedDocument(t)
	url := shared.server.URL
	d.every(func(method, path, operation string) {
		status, body := ping(t, method, url+path, nil)
		if want := strings.HasPrefix(operation, "unsupported"); (status == http.StatusNotImplemented) != want {
			t.Errorf("%s %s answers %d: %s", method, path, status, body)
		}
		if method == http.MethodGet {
			if head, body := ping(t, http.MethodHead, url+path, nil); head != status || body != "" {
				t.Errorf("HEAD %s answers %d, GET %d", path, head, status)
			}
		}
		if status, body := ping(t, http.MethodPut, url+path, nil); status != http.StatusMethodNotAllowed {
			t.Errorf("PUT %s answers %d: %s", path, status, body)
		}
		if status, body := ping(t, method, url+path, http.Header{"Origin": {"https://evil.example"}}); status != http.StatusForbidden {
			t.Errorf("%s %s answers a foreign page %d: %s", method, path, status, body)
		}
		if status, body := ping(t, method, url+path+"/nothing/here", nil); status < http.StatusBadRequest {
			t.Errorf("%s %s/nothing/here answers %d: %s", method, path, status, body)
		}
	})
}

// TestEveryRouteWithKeys: nothing but health is answered without one.
func TestEveryRouteWithKeys(t *testing.T) {
	d, _ := servedDocument(t)
	w := newWorld(t, harness.Options{Config: "plugins: {allow: [echo]}\n", Env: map[string]string{"CLINVK_API_KEYS": "zebra-key-of-tests"}})
	d.every(func(method, path, _ string) {
		status, body := ping(t, method, w.server.URL+path, nil)
		if open := strings.HasPrefix(path, "/health"); (status != http.StatusUnauthorized) != open {
			t.Errorf("%s %s without a key answers %d: %s", method, path, status, body)
		}
		if status, body := ping(t, method, w.server.URL+path, http.Header{"X-Api-Key": {"zebra-key-of-tests"}}); status == http.StatusUnauthorized {
			t.Errorf("%s %s with a key answers %d: %s", method, path, status, body)
		}
	})
}
