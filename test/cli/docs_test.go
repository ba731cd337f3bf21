//go:build unix

package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/clinvk/clinvk/test/harness"
)

var shellBlock = regexp.MustCompile("(?ms)^```sh\n(.*?)^```$")

// TestDocumentedCommands runs every line of the shell blocks in docs/cli.md.
func TestDocumentedCommands(t *testing.T) {
	root, err := harness.Root()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "docs", "cli.md"))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, block := range shellBlock.FindAllStringSubmatch(string(text), -1) {
		for line := range strings.Lines(block[1]) {
			n++
			t.Run(strings.TrimSpace(line), func(t *testing.T) {
				home := t.TempDir()
				cmd := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", line)
				cmd.Dir = home
				cmd.Env = append(os.Environ(),
					"PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"), "HOME="+home, "CLINVK_HOME="+filepath.Join(home, ".clinvk"))
				if out, err := cmd.CombinedOutput(); err != nil || len(out) == 0 {
					t.Errorf("%v\n%s", err, out)
				}
			})
		}
	}
	if n < 10 {
		t.Errorf("only %d commands were found", n)
	}
}
