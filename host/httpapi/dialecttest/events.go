package dialecttest

import (
	"encoding/json"
	"fmt"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/clinvk/clinvk/host/engine"
)

// Events makes the events of a random answer that keeps the promises of engine.Event.
func Events(t *rapid.T) []engine.Event {
	g := &generator{t: t}
	g.add(&engine.Started{Model: "m"})
	for range rapid.IntRange(0, 6).Draw(t, "blocks") {
		switch rapid.IntRange(0, 4).Draw(t, "kind") {
		case 0, 1:
			g.text()
		case 2:
			g.reasoning()
		case 3:
			g.call(true)
		case 4:
			g.call(false)
			g.add(&engine.ToolResultEvent{ToolResult: engine.ToolResult{CallID: "b", Parts: []engine.Part{engine.Text("result")}}})
		}
		if rapid.Bool().Draw(t, "between") {
			g.add(&engine.UsageEvent{Usage: g.usage()})
			g.add(&engine.Notice{Message: "notice"})
		}
		g.block++
	}
	reason := engine.FinishReason(rapid.IntRange(int(engine.FinishStop), int(engine.FinishInterrupted)).Draw(t, "reason")) //nolint:gosec // small
	c := &engine.Completed{Reason: reason, Usage: g.usage()}
	if reason == engine.FinishStopSequence {
		c.StopSequence = rapid.StringN(1, 5, -1).Draw(t, "stop")
	}
	return append(g.events, c)
}

type generator struct {
	t      *rapid.T
	events []engine.Event
	block  int
	calls  int
}

func (g *generator) add(e engine.Event) { g.events = append(g.events, e) }

// pieces cuts a random string on borders of code points; no piece is empty.
func (g *generator) pieces() []string {
	s := rapid.StringOfN(rapid.RuneFrom([]rune("abc \n\r\t\"\\/<>&\u0000\u0085\u2028\u2029é日😀\u200d👩")), 1, 24, -1).Draw(g.t, "text")
	return cut(g.t, s)
}

func cut(t *rapid.T, s string) (out []string) {
	for s != "" {
		n := 0
		for range rapid.IntRange(1, 9).Draw(t, "runes") {
			if n < len(s) {
				_, size := utf8.DecodeRuneInString(s[n:])
				n += size
			}
		}
		out = append(out, s[:n])
		s = s[n:]
	}
	return out
}

func (g *generator) text() {
	for _, p := range g.pieces() {
		g.add(&engine.TextDelta{Block: g.block, Text: p})
	}
}

func (g *generator) reasoning() {
	if rapid.Bool().Draw(g.t, "redacted") {
		g.add(&engine.ReasoningDelta{Block: g.block, Signature: g.signature(), Redacted: true})
		return
	}
	for _, p := range g.pieces() {
		g.add(&engine.ReasoningDelta{Block: g.block, Text: p})
	}
	if rapid.Bool().Draw(g.t, "signed") {
		g.add(&engine.ReasoningDelta{Block: g.block, Signature: g.signature()})
	}
}

func (g *generator) signature() []byte {
	return rapid.SliceOfN(rapid.Byte(), 1, 16).Draw(g.t, "signature")
}

func (g *generator) call(client bool) {
	g.calls++
	id := fmt.Sprintf("call_%d", g.calls)
	g.add(&engine.ToolCallStarted{Block: g.block, ID: id, Name: "tool", Client: client})
	arguments := ""
	if rapid.Bool().Draw(g.t, "arguments") {
		b, err := json.Marshal(map[string]any{"q": rapid.String().Draw(g.t, "value"), "n": []int{1, 2}})
		if err != nil {
			g.t.Fatal(err)
		}
		arguments = string(b)
	}
	for _, p := range cut(g.t, arguments) {
		g.add(&engine.ToolCallDelta{ID: id, Arguments: p, Client: client})
	}
	g.add(&engine.ToolCallDone{ToolCall: engine.ToolCall{ID: id, Name: "tool", Arguments: arguments}, Client: client})
}

func (g *generator) usage() engine.Usage {
	count := func(label string) *int64 {
		n := rapid.Int64Range(-1, 1<<40).Draw(g.t, label)
		if n < 0 {
			return nil
		}
		return &n
	}
	return engine.Usage{
		InputTokens: count("input"), OutputTokens: count("output"), CacheReadTokens: count("read"),
		CacheWriteTokens: count("write"), ReasoningTokens: count("thought"),
	}
}
