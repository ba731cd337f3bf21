//go:build unix

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/clinvk/clinvk/host/config"
	"github.com/clinvk/clinvk/test/harness"
)

var fence = regexp.MustCompile("(?ms)^```(\\w+)\n(.*?)^```$")

// blocks returns the fenced blocks of a language in a file of the repository.
func blocks(t *testing.T, file, language string) (out []string) {
	t.Helper()
	root, err := harness.Root()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, file))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range fence.FindAllStringSubmatch(string(text), -1) {
		if m[1] == language {
			out = append(out, m[2])
		}
	}
	return out
}

// TestReadmeCommands runs every command of the README: the curl ones against the
// server, the make ones as far as make itself goes.
func TestReadmeCommands(t *testing.T) {
	root, err := harness.Root()
	if err != nil {
		t.Fatal(err)
	}
	curls := 0
	for _, block := range blocks(t, "README.md", "sh") {
		if strings.HasPrefix(block, "make ") {
			for line := range strings.Lines(block) {
				target := strings.Fields(line)[1]
				if out, err := command(root, "make -n "+target); err != nil {
					t.Errorf("make %s: %v\n%s", target, err, out)
				}
			}
			continue
		}
		curls++
		out, err := command(t.TempDir(), strings.ReplaceAll(block, "http://127.0.0.1:8080", shared.server.URL))
		if err != nil {
			t.Errorf("%s: %v\n%s", block, err, out)
		}
		want := "hello"
		switch {
		case strings.Contains(block, "echo/slow"):
			want = "data: [DONE]"
		case strings.Contains(block, "/backends"):
			want = `"name":"claude"`
		}
		if !strings.Contains(out, want) {
			t.Errorf("%s answered %s", block, out)
		}
	}
	if curls < 3 {
		t.Errorf("only %d curl examples were found", curls)
	}
}

func command(dir, text string) (string, error) {
	cmd := exec.Command("bash", "-euo", "pipefail", "-c", text)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// TestDocumentedConfiguration loads the example of the documentation.
func TestDocumentedConfiguration(t *testing.T) {
	examples := blocks(t, "docs/configuration.md", "yaml")
	if len(examples) == 0 {
		t.Fatal("no example")
	}
	for _, text := range examples {
		path := filepath.Join(t.TempDir(), "config.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := config.Load(path, nil); err != nil && !strings.Contains(err.Error(), "home") {
			t.Error(err)
		}
	}
}
