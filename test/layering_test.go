// Package test holds the tests of the whole: the layers of the code here, the
// end-to-end tests and benchmarks below.
package test

import (
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/clinvk/clinvk/"

// TestLayers: plugins and host know only the contract, never each other, and a
// plugin does not pull in the server's dependencies.
func TestLayers(t *testing.T) {
	tests := []struct{ pattern, forbidden string }{
		{"./../plugins/...", module + "host"},
		{"./../host/...", module + "plugins"},
		{"./../host/...", module + "cmd"},
		{"./../plugins/...", "github.com/julienschmidt/httprouter"},
		{"./../plugins/...", "github.com/spf13/cobra"},
		{"./../plugins/...", "modernc.org/sqlite"},
		{"./../host/httpapi/...", "modernc.org/sqlite"},
		{"./../host/engine", module + "host/store/sqlite"},
		{"./../proto/...", module + "host"},
		{"./../proto/...", module + "plugins"},
		{"./../host/engine", "net/http/httptest"},
		{"./../host/engine", module + "host/httpapi"},
		{"./../host/httpapi/openai", module + "host/httpapi/anthropic"},
		{"./../host/httpapi/anthropic", module + "host/httpapi/openai"},
		{"./../host/httpapi/rest", module + "host/httpapi/openai"},
		{"./../host/httpapi/rest", module + "host/httpapi/anthropic"},
	}
	for _, test := range tests {
		out, err := exec.Command("go", "list", "-deps", "-f", "{{.ImportPath}}", test.pattern).Output()
		if err != nil {
			t.Fatalf("%s: %v", test.pattern, err)
		}
		for dep := range strings.FieldsSeq(string(out)) {
			if dep == test.forbidden || strings.HasPrefix(dep, strings.TrimSuffix(test.forbidden, "/")+"/") {
				t.Errorf("%s depends on %s", test.pattern, dep)
			}
		}
	}
}
