package main

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/clinvk/clinvk/host/client"
)

// takeover is an answer that would take a terminal over: a title, colours, a C1
// sequence, a line that is written over.
const takeover = "a\x1b]0;title\x07\tb\u009b31m c\rd\x7f\x00 é世\n"

func TestTerminalsAreNotObeyed(t *testing.T) {
	const harmless = "a]0;title\tb31m cd é世\n"
	content, err := json.Marshal(map[string]string{"text": takeover})
	if err != nil {
		t.Fatal(err)
	}
	for tty, want := range map[bool]string{true: harmless, false: takeover} {
		var b bytes.Buffer
		out := terminal{Writer: &b, fd: -1, tty: tty}
		p := printer{out: out, quiet: func() {}}
		if err := p.event(client.Event{Type: "message", Content: content}); err != nil || b.String() != want {
			t.Errorf("terminal %v: %q, %v", tty, b.String(), err)
		}
		b.Reset()
		if err := (severalOptions{quiet: true}).print(answer{Results: []answerResult{{Output: takeover}}}, 1, out); err != nil || b.String() != want {
			t.Errorf("several, terminal %v: %q, %v", tty, b.String(), err)
		}
	}
}
