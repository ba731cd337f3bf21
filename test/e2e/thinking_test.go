//go:build unix

package e2e

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/clinvk/clinvk/test/fakeapi/anthropic"
	"github.com/clinvk/clinvk/test/harness"
)

// thinkAndCall makes the upstream reason, speak and call a tool.
const thinkAndCall = " [[think=3 tokens=2]] "

// TestThinkingComesFirst: reasoning arrives as such, before the text and the calls
// that follow from it.
func TestThinkingComesFirst(t *testing.T) {
	t.Parallel()
	eachContent(t, func(t *testing.T, backend string, d dialect, stream bool) {
		want := call("", look.Name, `{"note":"x"}`)
		r := get(t, d, ask{
			model: backend, stream: stream, think: true, tools: []tool{look},
			turns: []turn{user(text(nonce() + thinkAndCall + scripted(want)))},
		})
		kinds := make([]string, 0, len(r.parts))
		for _, p := range r.parts {
			if p.Kind == "thinking" && p.Text == "" && p.Signature != "" {
				continue // the signature that Gemini gives a call
			}
			kinds = append(kinds, p.Kind)
		}
		if diff := cmp.Diff([]string{"thinking", "text", "call"}, kinds); diff != "" {
			t.Fatalf("parts (-want +got): %s%+v", diff, r.parts)
		}
		if thought := r.parts[0].Text; !containsInOrder(thought, "thought0", "thought1", "thought2") {
			t.Errorf("reasoning %q", thought)
		}
		if d.name == "anthropic" && backend == "claude" && bare(r.parts)[0].Signature != anthropic.Signature {
			t.Errorf("signature %q", r.parts[0].Signature)
		}
		checkCalls(t, r, want)
		checkEnd(t, d, r, "calls")
	})
}

// bare are parts of an answer with reasoning as the upstream signed it: clients of
// claude get its signature with the name of the model.
func bare(parts []part) []part {
	out := slices.Clone(parts)
	for i := range out {
		field := &out[i].Signature
		if out[i].Kind == "redacted" {
			field = &out[i].Text
		}
		if strings.HasPrefix(*field, "claude:") {
			*field = (*field)[strings.LastIndexByte(*field, ':')+1:]
		}
	}
	return out
}

// containsInOrder says that text holds the words, one after the other.
func containsInOrder(text string, words ...string) bool {
	for _, w := range words {
		_, after, ok := strings.Cut(text, w)
		if !ok {
			return false
		}
		text = after
	}
	return true
}

// oldClaude is the oldest version of the CLI that is supported.
func oldClaude() string {
	return filepath.Join(filepath.Dir(clis), "claude-code-2.1.197", "node_modules", "@anthropic-ai", "claude-code-linux-x64", "claude")
}

// TestThinkingGoesBack: the client gives back the reasoning that led to a call; it
// reaches the upstream with its signature, on both versions of the CLI.
func TestThinkingGoesBack(t *testing.T) {
	t.Parallel()
	for name, command := range map[string]string{"2.1.330": "", "2.1.197": oldClaude()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, models := shared, []string{"claude", "claude/claude-sonnet-4-5"}
			if command != "" { // which shows the model each change of the model, see docs/backends.md
				models = models[:1]
				w = newWorld(t, harness.Options{Config: "backends:\n  claude:\n    command: " + command + "\n"})
			}
			for _, model := range models {
				n := nonce()
				wanted := call("", look.Name, `{"note":"x"}`)
				a := ask{
					model: model, stream: model == "claude", think: true, tools: []tool{look},
					turns: []turn{user(text(n + "-0 [[redacted]]" + thinkAndCall + scripted(wanted)))},
				}
				r := w.get(t, anthropicMessages, a)
				if len(r.of("thinking")) != 1 || len(r.of("redacted")) != 1 {
					t.Fatalf("parts %+v", r.parts)
				}
				said := bare(r.parts)
				if data := said[slices.IndexFunc(said, func(p part) bool { return p.Kind == "redacted" })].Text; data != anthropic.RedactedData {
					t.Errorf("hidden reasoning %q", data)
				}
				calls := checkCalls(t, r, wanted)
				a.turns = append(a.turns, assistant(r.parts...), user(result(calls[0].ID, text(n+"-1"))))
				r = w.get(t, anthropicMessages, a)
				checkEnd(t, anthropicMessages, r, "stop")
				a.turns[1] = assistant(said...)
				checkSent(t, "claude", readSent(t, "claude", w.upstream("claude").only(t, n+"-1")), a)
			}
		})
	}
}
