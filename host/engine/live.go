package engine

import (
	"time"

	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
)

// useLive names the live conversation that holds the history, if there is one.
func (x *Execution) useLive(start *backendv1.Start) {
	info, _ := x.engine.backends.Info(x.to.backend)
	if x.turn.NoLive || info.Describe.GetCapabilities().GetLive() == nil {
		x.keys = nil
		return
	}
	x.keys = prefixKeys(x.lease.Generation(), x.to, x.turn)
	start.Live = &backendv1.Live{}
	if l := x.engine.live.take(x.keys); l != nil {
		start.Live.Token, start.Live.MessagesHeld = l.token, uint32(l.held) //nolint:gosec // a number of messages
	}
}

// keep adds an event to the answer that is remembered with a live conversation.
func (x *Execution) keep(ev Event) {
	if x.keys != nil && !x.answer.Add(ev) {
		x.forget() // too large to be continued
	}
}

// forget says that the conversation cannot be continued live.
func (x *Execution) forget() { x.keys, x.answer = nil, AnswerBuilder{} }

// remember indexes the conversation that the plugin has kept.
func (x *Execution) remember(c *backendv1.Completed) {
	if len(c.GetLiveToken()) == 0 || x.keys == nil {
		return
	}
	info, _ := x.engine.backends.Info(x.to.backend)
	parts := x.answer.Parts()
	last := x.keys[len(x.keys)-1]
	l := &live{
		token: c.GetLiveToken(), held: len(x.turn.Messages) + 1,
		expires: time.Now().Add(info.Describe.GetCapabilities().GetLive().GetIdleTimeout().AsDuration()),
		keys:    []prefixKey{extend(last, Message{Role: RoleAssistant, Parts: parts})},
	}
	if bare := withoutReasoning(parts); len(bare) != len(parts) {
		l.keys = append(l.keys, extend(last, Message{Role: RoleAssistant, Parts: bare}))
	}
	x.engine.live.put(l)
}

func withoutReasoning(parts []Part) []Part {
	out := make([]Part, 0, len(parts))
	for _, p := range parts {
		if _, ok := p.(Reasoning); !ok {
			out = append(out, p)
		}
	}
	return out
}
