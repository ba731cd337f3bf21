//go:build unix

package clients

import (
	"cmp"
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/clinvk/clinvk/test/doctable"
	"github.com/clinvk/clinvk/test/harness"
)

// client is a program or library, as it is installed.
type client struct{ name, version string }

// record is what was seen; it becomes the table of docs/compatibility.md.
type record struct {
	mu   sync.Mutex
	rows []*row
}

// row is one client at one endpoint.
type row struct {
	endpoint string
	client   client
	// seen are behaviours in the order of their tests.
	seen []string
}

// add notes the outcome of a test of one behaviour.
func (r *record) add(c client, b behaviour, ok bool) {
	if !ok {
		b.name = "**not** " + b.name
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	i := slices.IndexFunc(r.rows, func(w *row) bool { return w.endpoint == b.endpoint && w.client == c })
	if i < 0 {
		i, r.rows = len(r.rows), append(r.rows, &row{endpoint: b.endpoint, client: c})
	}
	r.rows[i].seen = append(r.rows[i].seen, b.name)
}

// behaviour is what a client does at an endpoint, with its test.
type behaviour struct {
	endpoint, name string
	run            func(*testing.T)
}

// run tests one behaviour and notes the outcome.
func (r *record) run(t *testing.T, c client, b behaviour) {
	r.add(c, b, t.Run(b.endpoint+": "+b.name, b.run))
}

// table of everything seen.
func (r *record) table() string {
	slices.SortFunc(r.rows, func(a, b *row) int {
		return cmp.Or(cmp.Compare(path(a.endpoint), path(b.endpoint)), cmp.Compare(a.endpoint, b.endpoint), cmp.Compare(a.client.name, b.client.name), cmp.Compare(a.client.version, b.client.version))
	})
	rows := [][]string{{"endpoint", "client", "version", "seen to work"}}
	for _, w := range r.rows {
		rows = append(rows, []string{"`" + w.endpoint + "`", w.client.name, w.client.version, strings.Join(w.seen, ", ")})
	}
	return doctable.Table(rows)
}

// path of an endpoint such as "GET /health".
func path(endpoint string) string {
	_, p, _ := strings.Cut(endpoint, " ")
	return p
}

// TestClients runs all suites, each with a server of its own, and then holds the
// table of docs/compatibility.md to what they saw.
func TestClients(t *testing.T) {
	seen := &record{}
	ok := t.Run("suites", func(t *testing.T) {
		for name, run := range map[string]func(*testing.T, *record){
			"go/openai": goOpenAI, "go/anthropic": goAnthropic, "node": nodeSuites, "programs": programs,
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				run(t, seen)
			})
		}
	})
	if !ok || flag.Lookup("test.run").Value.String() != "" {
		return // only some were seen
	}
	root, err := harness.Root()
	if err != nil {
		t.Fatal(err)
	}
	doctable.Check(t, filepath.Join(root, "docs", "compatibility.md"), "clients", seen.table())
}

// goModule is a client in Go, with the version of go.mod.
func goModule(t *testing.T, module string) client {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Version}}", module).Output()
	if err != nil {
		t.Fatal(err)
	}
	return client{module, strings.TrimSpace(string(out))}
}

// npmPackage is the client of a package in a node_modules directory. An alias has
// the name of what it stands for.
func npmPackage(t *testing.T, modules, name string) client {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(modules, filepath.FromSlash(name), "package.json"))
	if err != nil {
		t.Fatal(err)
	}
	var p struct{ Name, Version string }
	if err := json.Unmarshal(text, &p); err != nil {
		t.Fatal(err)
	}
	return client{p.Name, p.Version}
}
