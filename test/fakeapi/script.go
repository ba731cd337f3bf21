package fakeapi

import (
	"encoding/base64"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Script says how a fake API answers one request. Tests write it into the last
// user message as [[key=value key ...]], so that the same prompt works against
// every provider; when nothing but results of tools comes last, into these:
//
//	tokens=20      answer tok0 tok1 … (default 3), one delta each
//	gap=20ms       wait before every delta but the first, and between calls or the
//	               pieces of their arguments
//	first=500ms    wait before the first event
//	text=b64:…     answer this text in one delta (base64; plain when it has no prefix)
//	split          with text, thought and tool: one delta per code point, and each
//	               of several bytes is sent byte by byte
//	size=100000    answer that many bytes in deltas of 1000
//	echo           answer the text of the last user message
//	think=3        reasoning of that many deltas first (thought0 thought1 …)
//	thought=b64:…  reasoning with this text first (base64; plain without prefix)
//	redacted       reasoning that the provider hides first, where it has such
//	status=429     answer with this HTTP status
//	retry_after=7  with status: tell to wait that many seconds
//	fails=1        with status: only the first time(s) this exact prompt comes
//	cut=2          drop the connection after that many deltas
//	hang           accept the request and never answer
//	hangat=2       stop answering after that many deltas
//	finish=length  end for this reason: stop, length, filter
//	tool=NAME      call this tool (repeatable), args=b64:… the arguments of each
type Script struct {
	Tokens     int
	Gap        time.Duration
	First      time.Duration
	Text       string
	Split      bool
	Size       int
	Echo       bool
	Think      int
	Thought    string
	Redacted   bool
	Status     int
	RetryAfter int
	Fails      int
	Cut        int // -1: never
	Hang       bool
	HangAt     int // -1: never
	Finish     string
	Tools      []ToolCall
	// Prompt is the text that the script was found in.
	Prompt string
}

// ToolCall is a scripted call.
type ToolCall struct{ Name, Arguments string }

var directive = regexp.MustCompile(`\[\[([^\[\]]*)\]\]`)

// HasScript says that text holds a script.
func HasScript(text string) bool { return directive.MatchString(text) }

// ParseScript reads the script in text; without one it is three tokens at once.
// An unknown key is an error, so that a typing error in a test cannot pass.
func ParseScript(text string) (Script, error) {
	s := Script{Tokens: 3, Cut: -1, HangAt: -1, Finish: "stop", Prompt: text}
	for _, m := range directive.FindAllStringSubmatch(text, -1) {
		for _, field := range strings.Fields(m[1]) {
			key, value, _ := strings.Cut(field, "=")
			if err := s.set(key, value); err != nil {
				return s, fmt.Errorf("script %q: %w", field, err)
			}
		}
	}
	return s, nil
}

func (s *Script) set(key, value string) (err error) {
	switch key {
	case "tokens":
		s.Tokens, err = strconv.Atoi(value)
	case "gap":
		s.Gap, err = time.ParseDuration(value)
	case "first":
		s.First, err = time.ParseDuration(value)
	case "text":
		s.Text, err = decode(value)
	case "split":
		s.Split = true
	case "size":
		s.Size, err = strconv.Atoi(value)
	case "echo":
		s.Echo = true
	case "think":
		s.Think, err = strconv.Atoi(value)
	case "thought":
		s.Thought, err = decode(value)
	case "redacted":
		s.Redacted = true
	case "status":
		s.Status, err = strconv.Atoi(value)
	case "retry_after":
		s.RetryAfter, err = strconv.Atoi(value)
	case "fails":
		s.Fails, err = strconv.Atoi(value)
	case "cut":
		s.Cut, err = strconv.Atoi(value)
	case "hang":
		s.Hang = true
	case "hangat":
		s.HangAt, err = strconv.Atoi(value)
	case "finish":
		s.Finish = value
	case "tool":
		s.Tools = append(s.Tools, ToolCall{Name: value, Arguments: "{}"})
	case "args":
		if len(s.Tools) == 0 {
			return fmt.Errorf("args before tool")
		}
		s.Tools[len(s.Tools)-1].Arguments, err = decode(value)
	default:
		return fmt.Errorf("unknown key %q", key)
	}
	return err
}

func decode(value string) (string, error) {
	enc, ok := strings.CutPrefix(value, "b64:")
	if !ok {
		return value, nil
	}
	b, err := base64.StdEncoding.DecodeString(enc)
	return string(b), err
}

// Deltas are the pieces of the answer, in order.
func (s Script) Deltas() []string {
	switch {
	case s.Echo:
		return []string{s.Prompt}
	case s.Text != "":
		return s.Pieces(s.Text)
	case s.Size > 0:
		var out []string
		for n := s.Size; n > 0; n -= 1000 {
			out = append(out, strings.Repeat("x", min(n, 1000)))
		}
		return out
	}
	out := make([]string, 0, s.Tokens)
	for i := range s.Tokens {
		out = append(out, fmt.Sprintf("tok%d ", i))
	}
	return out
}

// Thoughts are the pieces of the reasoning, in order.
func (s Script) Thoughts() []string {
	if s.Thought != "" {
		return s.Pieces(s.Thought)
	}
	out := make([]string, 0, s.Think)
	for i := range s.Think {
		out = append(out, fmt.Sprintf("thought%d ", i))
	}
	return out
}

// Pieces are the deltas that text is sent in.
func (s Script) Pieces(text string) []string {
	if s.Split {
		return strings.Split(text, "")
	}
	return []string{text}
}

// Answer is the whole text that Deltas add up to.
func (s Script) Answer() string { return strings.Join(s.Deltas(), "") }
