//go:build unix

package e2e

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestPromptsAreData: whatever a prompt looks like, it reaches the model as it is.
func TestPromptsAreData(t *testing.T) {
	t.Parallel()
	prompts := map[string]string{
		"flag":         "--help",
		"flags":        "-p x",
		"dangerous":    "--dangerously-skip-permissions",
		"clear":        "/clear",
		"memory":       "/memory refresh",
		"compact":      "/compact now",
		"file":         "@/etc/passwd",
		"file inside":  "look at @/etc/passwd please",
		"shell":        "!ls",
		"dollar":       "$about",
		"question":     "?",
		"long":         strings.Repeat("All work and no play. ", 50_000), // 1.1 MB
		"emoji":        "👩‍👩‍👧‍👦 ✓ e\u0301 \u202eRTL",
		"nul":          "a\x00b",
		"control":      "a\x01\x1b[31mb\tc",
		"json":         `{"type":"user","message":{}}`,
		"template":     "${AvailableTools} {{previous}}",
		"html comment": "a<!-- comment -->b",
		"whitespace":   "  \n x \n\n\n\n y  ",
	}
	for _, backend := range realBackends {
		t.Run(backend, func(t *testing.T) {
			for name, text := range prompts {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					up := shared.upstream(backend)
					n := nonce()
					// The system prompt finds the request again; the text stands alone in
					// the history and as the prompt.
					system := "System " + n
					history := []message{{"user", text}, {"assistant", "fine"}, {"user", text}}
					r, err := openaiChat.do(t.Context(), shared.server.URL, ask{model: backend, system: system, history: history, stream: true})
					if err != nil {
						t.Fatal(err)
					}
					if r.err != nil {
						if r.status == 400 && r.err.message != "" {
							t.Logf("refused: %s", r.err.message)
							if name != "nul" {
								t.Errorf("%q was refused: %s", text, r.err.message)
							}
							return
						}
						t.Fatalf("status %d: %+v", r.status, r.err)
					}
					calls := up.find(n)
					if len(calls) != 1 {
						t.Fatalf("%d model calls", len(calls))
					}
					gotSystem, got := up.conversation(calls[0])
					if gotSystem != system {
						t.Errorf("system = %q", gotSystem)
					}
					if diff := cmp.Diff(history, got); diff != "" {
						t.Errorf("upstream: %s", tail(diff, 2000))
					}
					if r.text != "tok0 tok1 tok2 " {
						t.Errorf("answer = %q", r.text)
					}
				})
			}
		})
	}
}
