//go:build unix

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
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

// block is a fenced block of a page.
type block struct{ language, text string }

// fenced reads the fenced blocks of a file of the repository, in their order.
func fenced(t *testing.T, file string) (out []block) {
	t.Helper()
	for _, m := range fence.FindAllStringSubmatch(repositoryFile(t, file), -1) {
		out = append(out, block{m[1], m[2]})
	}
	return out
}

func repositoryFile(t *testing.T, file string) string {
	t.Helper()
	root, err := harness.Root()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, file))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// blocks returns the fenced blocks of a language in a file of the repository.
func blocks(t *testing.T, file, language string) (out []string) {
	t.Helper()
	for _, b := range fenced(t, file) {
		if b.language == language {
			out = append(out, b.text)
		}
	}
	return out
}

// documentedURL is where the server is in the documentation.
const documentedURL = "http://127.0.0.1:8080"

// readmes are in English and Chinese.
var readmes = []string{"README.md", "README.zh-CN.md"}

// TestReadmeCommands runs every command of the READMEs: the curl ones against the
// server, the make ones as far as make itself goes.
func TestReadmeCommands(t *testing.T) {
	for _, file := range readmes {
		t.Run(file, func(t *testing.T) { runReadme(t, file) })
	}
}

func runReadme(t *testing.T, file string) {
	root, err := harness.Root()
	if err != nil {
		t.Fatal(err)
	}
	curls := 0
	for _, block := range blocks(t, file, "sh") {
		if strings.HasPrefix(block, "make ") {
			for line := range strings.Lines(block) {
				cmd := exec.Command("make", "-n", strings.Fields(line)[1])
				cmd.Dir = root
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Errorf("%s: %v\n%s", cmd, err, out)
				}
			}
			continue
		}
		dir, want := shortDir(t), "hello"
		curls++
		switch {
		case strings.Contains(block, "echo/slow"):
			want = "data: [DONE]"
		case strings.Contains(block, "/backends"):
			want = `"name":"claude"`
		case strings.Contains(block, "/sessions"):
			want = `"turns":2`
		case strings.Contains(block, "bin/clinvk"):
			if err := os.Symlink(bin, filepath.Join(dir, "bin")); err != nil {
				t.Fatal(err)
			}
			want = "hello again"
		}
		if out := runDocumented(t, dir, block); !strings.Contains(out, want) {
			t.Errorf("%s answered %s", block, out)
		}
	}
	if curls < 3 {
		t.Errorf("only %d curl examples were found", curls)
	}
}

// TestReadmesAreAlike: what the one shows the other shows too, comments aside.
func TestReadmesAreAlike(t *testing.T) {
	var shown [2][]string
	comment := regexp.MustCompile(`\s+#.*`)
	for i, file := range readmes {
		for _, b := range fenced(t, file) {
			shown[i] = append(shown[i], comment.ReplaceAllString(b.text, ""))
		}
		for _, link := range regexp.MustCompile(`\]\((docs/[^)#]*|CONTRIBUTING.md)`).FindAllStringSubmatch(repositoryFile(t, file), -1) {
			shown[i] = append(shown[i], link[1])
		}
	}
	if strings.Join(shown[0], "\n") != strings.Join(shown[1], "\n") {
		t.Errorf("README.md shows\n%q\nREADME.zh-CN.md shows\n%q", shown[0], shown[1])
	}
}

// TestDocumentedCommands runs every command of the pages on the dialects. What it
// prints must be what the block behind it says. A configuration before a command is
// that of Codex.
func TestDocumentedCommands(t *testing.T) {
	for _, file := range []string{"docs/openai.md", "docs/anthropic.md", "docs/rest.md", "docs/sessions.md"} {
		t.Run(filepath.Base(file), func(t *testing.T) {
			home, commands := t.TempDir(), 0
			page := fenced(t, file)
			for i, b := range page {
				switch b.language {
				case "toml":
					text := strings.ReplaceAll(b.text, documentedURL, shared.server.URL)
					if err := os.WriteFile(filepath.Join(home, "config.toml"), []byte(text), 0o600); err != nil {
						t.Fatal(err)
					}
				case "sh":
					commands++
					out := runDocumented(t, home, b.text)
					if i+1 == len(page) {
						t.Fatalf("nothing says what this prints:\n%s", b.text)
					}
					if err := page[i+1].describes(out); err != nil {
						t.Errorf("%s%v\nprinted:\n%s", b.text, err, out)
					}
				}
			}
			if commands < 5 {
				t.Errorf("only %d commands were found", commands)
			}
		})
	}
}

// runDocumented runs a command against the shared server and returns what it prints.
// home is that of the programs, and where they run.
func runDocumented(t *testing.T, home, text string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", strings.ReplaceAll(text, documentedURL, shared.server.URL))
	cmd.Dir = home
	cmd.Env = harness.Environment(home, map[string]string{
		"PATH": clis + string(os.PathListSeparator) + os.Getenv("PATH"), "CODEX_HOME": home,
	})
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Errorf("%s: %v\n%s%s", text, err, out, stderr.Bytes())
	}
	return strings.ReplaceAll(string(out), "\r\n", "\n")
}

// describes compares a block with the output that it shows. An ellipsis in it stands
// for anything, in JSON within a string, and as a member for those that are not shown.
func (b block) describes(out string) error {
	switch b.language {
	case "json":
		var want, got any
		if err := json.Unmarshal([]byte(b.text), &want); err != nil {
			return fmt.Errorf("the block behind it: %w", err)
		}
		if err := json.Unmarshal([]byte(out), &got); err != nil {
			return fmt.Errorf("the output is not JSON: %w", err)
		}
		return sameJSON("", want, got)
	case "text":
		if !glob(b.text, out) {
			return fmt.Errorf("is said to print:\n%s", b.text)
		}
		return nil
	}
	return fmt.Errorf("the block behind it is %s, and says not what it prints", b.language)
}

const ellipsis = "…"

// passing are members whose numbers differ from run to run.
var passing = regexp.MustCompile(`^(created|created_at|completed_at|pid)$|_ms$`)

// sameJSON holds a value against the one that is documented; path is where it is.
func sameJSON(path string, want, got any) error {
	different := fmt.Errorf("%s is %v, and %v in the documentation", path, got, want)
	switch w := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok {
			return different
		}
		_, more := w[ellipsis]
		for name := range g {
			if _, ok := w[name]; !ok && !more {
				return fmt.Errorf("%s/%s is not in the documentation", path, name)
			}
		}
		for name, member := range w {
			if name == ellipsis {
				continue
			}
			value, ok := g[name]
			if !ok {
				return fmt.Errorf("%s/%s is only in the documentation", path, name)
			}
			if _, number := value.(float64); number && passing.MatchString(name) {
				continue
			}
			if err := sameJSON(path+"/"+name, member, value); err != nil {
				return err
			}
		}
		return nil
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(w) {
			return different
		}
		for i := range w {
			if err := sameJSON(fmt.Sprintf("%s/%d", path, i), w[i], g[i]); err != nil {
				return err
			}
		}
		return nil
	case string:
		if g, ok := got.(string); ok && glob(w, g) {
			return nil
		}
		return different
	}
	if want != got {
		return different
	}
	return nil
}

// glob says whether text is like pattern, in which an ellipsis is anything.
func glob(pattern, text string) bool {
	parts := strings.Split(strings.TrimSpace(pattern), ellipsis)
	for i := range parts {
		parts[i] = regexp.QuoteMeta(parts[i])
	}
	return regexp.MustCompile(`(?s)^` + strings.Join(parts, ".*") + `$`).MatchString(strings.TrimSpace(text))
}

// TestDocumentedClients holds what the pages tell users of programs against what the
// tests of these programs do.
func TestDocumentedClients(t *testing.T) {
	config := blocks(t, "docs/openai.md", "toml")
	if len(config) != 1 {
		t.Fatalf("%d configurations of Codex", len(config))
	}
	want := "const codexConfig = `" + strings.ReplaceAll(config[0], documentedURL, "%s") + "`"
	if !strings.Contains(repositoryFile(t, "test/clients/codex_test.go"), want) {
		t.Error("docs/openai.md shows another configuration of Codex than test/clients uses")
	}
	source := repositoryFile(t, "test/clients/programs_test.go")
	_, source, _ = strings.Cut(source, "func claudeCode(")
	source, _, _ = strings.Cut(source, "\nfunc ")
	names := regexp.MustCompile(`\b(ANTHROPIC|CLAUDE)_[A-Z_]+\b`)
	used, text := names.FindAllString(source, -1), repositoryFile(t, "docs/anthropic.md")
	if len(used) < 2 {
		t.Fatalf("the tests of Claude Code set %q", used)
	}
	for _, name := range used {
		if !strings.Contains(text, name+"=") {
			t.Errorf("docs/anthropic.md does not set %s for Claude Code, as test/clients does", name)
		}
	}
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
