package engine

import (
	"bytes"
	"container/list"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"hash"
	"math"
	"sync"
	"time"
)

// maxLive bounds how many live conversations are remembered; the plugins bound
// what they hold by themselves.
const maxLive = 4096

// prefixKey identifies a conversation by everything that shapes its answers:
// owner, backend process, model, settings, system prompt, tools, and the messages
// in order. Equal keys mean equal conversations, so a live one cannot be used for
// anything else.
type prefixKey [sha256.Size]byte

// live is a conversation that a plugin process holds. Clients give an answer back
// with or without its reasoning, so it may have two keys.
type live struct {
	keys    []prefixKey
	token   []byte
	held    int
	expires time.Time
}

// liveIndex finds live conversations. Each is found once: whoever finds it owns it.
type liveIndex struct {
	mu    sync.Mutex
	byKey map[prefixKey]*list.Element // of live
	order list.List                   // oldest first
}

func newLiveIndex() *liveIndex { return &liveIndex{byKey: map[prefixKey]*list.Element{}} }

// take finds the longest prefix that is live; keys[i] is the key of the first i
// messages. The last message is never part of it: it is what to answer.
func (x *liveIndex) take(keys []prefixKey) *live {
	x.mu.Lock()
	defer x.mu.Unlock()
	now := time.Now()
	for held := len(keys) - 2; held > 0; held-- {
		el := x.byKey[keys[held]]
		if el == nil {
			continue
		}
		l := x.remove(el)
		if now.Before(l.expires) {
			return l
		}
	}
	return nil
}

// put remembers a conversation.
func (x *liveIndex) put(l *live) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, key := range l.keys {
		if el := x.byKey[key]; el != nil {
			x.remove(el) // two clients at the same point: the newer process is warmer
		}
	}
	el := x.order.PushBack(l)
	for _, key := range l.keys {
		x.byKey[key] = el
	}
	for x.order.Len() > maxLive {
		x.remove(x.order.Front())
	}
}

func (x *liveIndex) remove(el *list.Element) *live {
	l, _ := x.order.Remove(el).(*live)
	for _, key := range l.keys {
		delete(x.byKey, key)
	}
	return l
}

// prefixKeys are the keys of the first 0, 1, … messages of a turn.
func prefixKeys(generation uint64, to target, t *Turn) []prefixKey {
	h := sha256.New()
	w := writer{h}
	w.string(t.Owner)
	w.number(generation)
	w.string(to.backend)
	w.string(to.model)
	w.number(uint64(t.Mode), uint64(t.Approval), uint64(t.Sandbox), uint64(t.ToolChoice.Kind), uint64(max(0, t.MaxSteps))) //nolint:gosec // small enums
	w.string(t.ToolChoice.Name)
	w.flag(t.SingleCall)
	w.string(t.WorkingDir)
	if t.Session != nil { // what its backend did for one is no other's business
		w.string(t.Session.ID)
	}
	w.string(t.System)
	w.string(string(t.OutputSchema))
	w.strings(t.ExtraArguments)
	w.sampling(t.Sampling)
	w.number(uint64(len(t.Tools)))
	for _, tool := range t.Tools {
		w.string(tool.Name)
		w.string(tool.Description)
		w.string(string(tool.InputSchema))
	}
	keys := make([]prefixKey, 0, len(t.Messages)+1)
	keys = append(keys, sum(h))
	for _, m := range t.Messages {
		keys = append(keys, extend(keys[len(keys)-1], m))
	}
	return keys
}

// extend is the key of a conversation with one more message.
func extend(key prefixKey, m Message) prefixKey {
	h := sha256.New()
	h.Write(key[:])
	w := writer{h}
	w.number(uint64(m.Role)) //nolint:gosec // a small enum
	w.parts(m.Parts)
	return sum(h)
}

func sum(h hash.Hash) (k prefixKey) {
	h.Sum(k[:0])
	return k
}

// writer hashes values so that no two sequences of values look alike: each is
// preceded by its length or kind.
type writer struct{ h hash.Hash }

func (w writer) number(ns ...uint64) {
	var b [8]byte
	for _, n := range ns {
		binary.BigEndian.PutUint64(b[:], n)
		w.h.Write(b[:])
	}
}

func (w writer) string(s string) {
	w.number(uint64(len(s)))
	w.h.Write([]byte(s))
}

func (w writer) strings(ss []string) {
	w.number(uint64(len(ss)))
	for _, s := range ss {
		w.string(s)
	}
}

func (w writer) flag(b bool) {
	var n uint64
	if b {
		n = 1
	}
	w.number(n)
}

func (w writer) float(f *float64) {
	if f == nil {
		w.number(0)
		return
	}
	w.number(1, math.Float64bits(*f))
}

func (w writer) integer(n *int64) {
	if n == nil {
		w.number(0)
		return
	}
	w.number(1, uint64(*n)) //nolint:gosec // the bits are what is hashed
}

func (w writer) sampling(s Sampling) {
	w.float(s.Temperature)
	w.float(s.TopP)
	w.integer(s.TopK)
	w.integer(s.MaxOutputTokens)
	w.strings(s.Stop)
	w.integer(s.Seed)
	w.float(s.PresencePenalty)
	w.float(s.FrequencyPenalty)
	w.string(s.ReasoningEffort)
	w.integer(s.ReasoningTokens)
}

// parts hashes content; neighbouring texts count as one, because dialects differ
// in whether they keep them apart.
func (w writer) parts(parts []Part) {
	parts = joinText(parts)
	w.number(uint64(len(parts)))
	for _, p := range parts {
		switch v := p.(type) {
		case Text:
			w.string("text")
			w.string(string(v))
		case Blob:
			w.string("blob")
			w.string(v.MediaType)
			w.string(string(v.Data))
			w.string(v.Name)
		case ToolCall:
			w.string("call")
			w.strings([]string{v.ID, v.Name, compact(v.Arguments)})
		case ToolResult:
			w.string("result")
			w.strings([]string{v.CallID, v.Name})
			w.parts(v.Parts)
			if v.IsError {
				w.string("error")
			}
		case Reasoning:
			w.string("reasoning")
			w.string(v.Text)
			w.string(string(v.Signature))
		}
	}
}

// compact is JSON without white space: clients give arguments back reformatted.
func compact(arguments string) string {
	var b bytes.Buffer
	if json.Compact(&b, []byte(arguments)) != nil {
		return arguments
	}
	return b.String()
}

func joinText(parts []Part) []Part {
	if len(parts) < 2 {
		return parts
	}
	out := make([]Part, 0, len(parts))
	for _, p := range parts {
		if text, ok := p.(Text); ok && len(out) > 0 {
			if last, ok := out[len(out)-1].(Text); ok {
				out[len(out)-1] = last + text
				continue
			}
		}
		out = append(out, p)
	}
	return out
}
