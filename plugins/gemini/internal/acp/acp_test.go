package acp

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// agent is the other end of a Conn: lines that the test writes and reads.
type agent struct {
	in  *io.PipeWriter // what the agent says
	out *bufio.Reader  // what it hears
}

type pipes struct {
	r *bufio.Reader
	w io.Writer
}

func (p pipes) ReadLine() ([]byte, error) {
	line, err := p.r.ReadBytes('\n')
	return line, err
}

func (p pipes) WriteLine(b []byte) error {
	_, err := p.w.Write(append(b, '\n'))
	return err
}

func connect(t *testing.T) (*Conn, agent) {
	t.Helper()
	fromAgent, agentIn := io.Pipe()
	agentOut, toAgent := io.Pipe()
	c := New(pipes{r: bufio.NewReader(fromAgent), w: toAgent})
	t.Cleanup(func() {
		_ = agentIn.Close()
		_ = agentOut.Close()
		<-c.Done()
	})
	return c, agent{in: agentIn, out: bufio.NewReader(agentOut)}
}

func (a agent) say(t *testing.T, lines ...string) {
	t.Helper()
	for _, l := range lines {
		if _, err := io.WriteString(a.in, l+"\n"); err != nil {
			t.Error(err)
		}
	}
}

func (a agent) hear(t *testing.T) string {
	t.Helper()
	line, err := a.out.ReadString('\n')
	if err != nil {
		t.Error(err)
	}
	return strings.TrimSpace(line)
}

func TestCall(t *testing.T) {
	c, a := connect(t)
	go func() {
		if got := a.hear(t); got != `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":1,"clientCapabilities":{"fs":{"readTextFile":false,"writeTextFile":false},"terminal":false}}}` {
			t.Errorf("heard %s", got)
		}
		a.say(t, "a line of something else", `{"jsonrpc":"2.0","id":9,"result":{}}`, `{"jsonrpc":"2.0","id":1,"result":{"agentInfo":{"version":"1.2"}}}`)
		a.hear(t)
		a.say(t, `{"jsonrpc":"2.0","id":2,"error":{"code":-32603,"message":"Internal error","data":{"details":"what is wrong"}}}`)
	}()
	var r InitializeResult
	if err := c.Call(context.Background(), MethodInitialize, InitializeParams{ProtocolVersion: 1}, &r); err != nil || r.AgentInfo.Version != "1.2" {
		t.Errorf("result %+v, error %v", r, err)
	}
	err := c.Call(context.Background(), MethodNewSession, SessionParams{Cwd: "/"}, nil)
	var rpc *Error
	if !errors.As(err, &rpc) || rpc.Code != -32603 || rpc.Error() != "Internal error: what is wrong" {
		t.Errorf("error = %v", err)
	}
}

func TestCallEnds(t *testing.T) {
	t.Run("with its context", func(t *testing.T) {
		c, a := connect(t)
		ctx, cancel := context.WithCancelCause(context.Background())
		why := errors.New("why")
		go func() { a.hear(t); cancel(why) }()
		if err := c.Call(ctx, "x", nil, nil); !errors.Is(err, why) {
			t.Errorf("error = %v", err)
		}
	})
	t.Run("with the agent", func(t *testing.T) {
		c, a := connect(t)
		go func() { a.hear(t); _ = a.in.Close() }()
		if err := c.Call(context.Background(), "x", nil, nil); !errors.Is(err, ErrClosed) {
			t.Errorf("error = %v", err)
		}
		if err := c.Call(context.Background(), "x", nil, nil); !errors.Is(err, ErrClosed) {
			t.Errorf("error of a later call = %v", err)
		}
		if _, err := c.Inbox("s").Next(context.Background()); !errors.Is(err, ErrClosed) {
			t.Errorf("error of a later inbox = %v", err)
		}
	})
}

func update(session, text string) string {
	b, _ := json.Marshal(text)
	return `{"jsonrpc":"2.0","method":"session/update","params":{"sessionId":"` + session +
		`","update":{"sessionUpdate":"agent_message_chunk","content":{"type":"text","text":` + string(b) + `}}}}`
}

// TestInboxOrder has a reply come after everything that was said before it, and
// the reader go on while nobody takes anything.
func TestInboxOrder(t *testing.T) {
	c, a := connect(t)
	b, other := c.Inbox("s"), c.Inbox("other")
	defer b.Close()
	defer other.Close()
	const many = 5000
	heard := make(chan struct{})
	go func() { a.hear(t); close(heard) }()
	if err := b.Send(MethodPrompt, PromptParams{SessionID: "s"}); err != nil {
		t.Fatal(err)
	}
	<-heard
	for range many {
		a.say(t, update("s", "x"), update("unknown", "y"))
	}
	a.say(t, update("other", "z"), `{"jsonrpc":"2.0","id":1,"result":{"stopReason":"end_turn"}}`)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for i := range many {
		m, err := b.Next(ctx)
		if err != nil || m.IsReply() {
			t.Fatalf("message %d: %+v, %v", i, m, err)
		}
		if u, err := m.Update(); err != nil || u.Text() != "x" || u.Kind != UpdateText {
			t.Fatalf("update %+v, %v", u, err)
		}
	}
	if m, err := b.Next(ctx); err != nil || !m.IsReply() || !strings.Contains(string(m.Result), "end_turn") {
		t.Errorf("reply = %+v, %v", m, err)
	}
	if m, err := other.Next(ctx); err != nil || m.IsReply() {
		t.Errorf("the other's = %+v, %v", m, err)
	}
}

func TestPermission(t *testing.T) {
	c, a := connect(t)
	b := c.Inbox("s")
	defer b.Close()
	a.say(t, `{"jsonrpc":"2.0","id":0,"method":"session/request_permission","params":{"sessionId":"s","options":[{"optionId":"proceed_always","kind":"allow_always"},{"optionId":"proceed_once","kind":"allow_once"}],"toolCall":{"toolCallId":"w_0","title":"Writing","kind":"edit"}}}`)
	m, err := b.Next(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	p, err := m.Permission()
	if err != nil || p.ToolCall.ID != "w_0" {
		t.Fatalf("permission %+v, %v", p, err)
	}
	option, ok := p.Option("allow_once")
	if _, other := p.Option("reject_once"); !ok || other {
		t.Error("options mixed up")
	}
	go func() {
		if err := c.Reply(m.ID, Selected(option)); err != nil {
			t.Error(err)
		}
	}()
	if got := a.hear(t); got != `{"jsonrpc":"2.0","id":0,"result":{"outcome":{"outcome":"selected","optionId":"proceed_once"}}}` {
		t.Errorf("heard %s", got)
	}
}

func TestToolText(t *testing.T) {
	tests := []struct{ content, want string }{
		{`[]`, ""},
		{`[{"type":"content","content":{"type":"text","text":"out"}}]`, "out"},
		{`[{"type":"diff","path":"/b","oldText":"","newText":"new"}]`, "/b\nnew"},
		{`"nonsense"`, ""},
	}
	for _, tt := range tests {
		if got := (Update{Content: json.RawMessage(tt.content)}).ToolText(); got != tt.want {
			t.Errorf("text of %s = %q", tt.content, got)
		}
	}
}

// FuzzDispatch has any line of an agent end in nothing worse than being ignored.
func FuzzDispatch(f *testing.F) {
	for _, seed := range []string{
		update("s", "x"), `{"id":1,"result":{}}`, `{"id":null,"method":"m","params":[1]}`, `{"id":"a","error":{"code":1,"message":"m","data":7}}`,
		`{"method":"session/request_permission","id":1,"params":{"sessionId":"s","options":[{}]}}`, `[]`, `{}`, `null`, "\x00", `{"id":1e999}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		fr, err := parse(line)
		if err != nil {
			return
		}
		c := &Conn{calls: map[string]chan Message{"1": make(chan Message, 1)}, sends: map[string]*Inbox{}, inboxes: map[string]*Inbox{}}
		b := c.Inbox("s")
		c.sends["2"] = b
		c.dispatch(fr)
		for _, m := range b.queue {
			if u, err := m.Update(); err == nil {
				_, _ = u.Text(), u.ToolText()
			}
			if p, err := m.Permission(); err == nil {
				_, _ = p.Option("allow_once")
			}
			if m.Err != nil {
				_ = m.Err.Error()
			}
		}
	})
}
