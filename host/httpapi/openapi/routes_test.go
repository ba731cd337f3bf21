package openapi_test

import (
	"encoding/json"
	"regexp"
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
// operation, and every operation is a route.
func TestRoutes(t *testing.T) {
	text, err := openapi.Document("0")
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		Paths map[string]map[string]struct{ OperationID string }
	}
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	documented := map[string]string{}
	for path, methods := range d.Paths {
		for method, op := range methods {
			documented[strings.ToUpper(method)+" "+path] = op.OperationID
		}
	}
	operations, routes := map[string]bool{}, map[string]string{}
	for _, id := range documented {
		operations[id] = true
	}
	for _, dialect := range []httpapi.Dialect{
		rest.New(rest.Config{}), openai.New(openai.Config{}), anthropic.New(anthropic.Config{}), meta.New(meta.Config{}),
	} {
		for _, r := range dialect.Routes() {
			if !operations[r.OperationID] {
				t.Errorf("%s %s (%s) is not in the document", r.Method, r.Pattern, r.OperationID)
			}
			routes[r.Method+" "+parameter.ReplaceAllString(r.Pattern, "{$1}")] = r.OperationID
		}
	}
	for at, id := range documented {
		if routes[at] != id {
			t.Errorf("%s (%s) is no route", at, id)
		}
	}
}
