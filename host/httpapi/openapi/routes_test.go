package openapi_test

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/clinvk/clinvk/host/httpapi"
	"github.com/clinvk/clinvk/host/httpapi/anthropic"
	"github.com/clinvk/clinvk/host/httpapi/meta"
	"github.com/clinvk/clinvk/host/httpapi/openai"
	"github.com/clinvk/clinvk/host/httpapi/openapi"
	"github.com/clinvk/clinvk/host/httpapi/rest"
)

var parameter = regexp.MustCompile(`[:*]([a-z]+)`)

// TestRoutes holds the document against the table of routes: every route has its
// operation, at its own path or an alias of it, and every operation is a route.
func TestRoutes(t *testing.T) {
	text, err := openapi.Document("0")
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		Aliases map[string]string `json:"x-aliases"`
		Paths   map[string]map[string]struct {
			OperationID string
			Also        []string `json:"x-also"`
		}
	}
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	documented := map[string]string{}
	for path, methods := range d.Paths {
		for method, op := range methods {
			for _, at := range append(op.Also, strings.ToUpper(method)+" "+path) {
				documented[at] = op.OperationID
			}
		}
	}
	routes := map[string]string{}
	for _, dialect := range []httpapi.Dialect{
		rest.New(rest.Config{}), openai.New(openai.Config{}), anthropic.New(anthropic.Config{}), meta.New(meta.Config{}),
	} {
		for _, r := range dialect.Routes() {
			path := parameter.ReplaceAllString(r.Pattern, "{$1}")
			routes[r.Method+" "+path] = r.OperationID
			if !slices.ContainsFunc(spellings(path, d.Aliases), func(p string) bool { return documented[r.Method+" "+p] == r.OperationID }) {
				t.Errorf("%s %s (%s) is not in the document", r.Method, r.Pattern, r.OperationID)
			}
		}
	}
	for at, id := range documented {
		if routes[at] != id {
			t.Errorf("%s (%s) is no route", at, id)
		}
	}
}

// spellings are a path and what it is an alias of.
func spellings(path string, aliases map[string]string) []string {
	out := []string{path}
	for alias, prefix := range aliases {
		if rest, ok := strings.CutPrefix(path, alias+"/"); ok {
			out = append(out, prefix+"/"+rest)
		}
	}
	return out
}
