package openai

import (
	"github.com/clinvk/clinvk/host/engine"
	"github.com/clinvk/clinvk/host/httpapi/wire"
)

// decodeCompletion reads the body of a POST /completions. The backends hold
// conversations, so a prompt is a message of the user. Without max_tokens an answer is
// as long as it gets: OpenAI's own default of 16 would cut what modern models say. The
// error names the field that is wrong: *wire.Error.
func decodeCompletion(body []byte) (*request, error) {
	q, r, err := readRequest(body)
	if err != nil {
		return nil, err
	}
	q.turn.NoLive = true // nothing comes after it
	r.Fail(q.decodePrompt(r.Get("prompt")))
	q.echo = r.Bool("echo")
	q.treat(r, completionFields)
	return q, r.Err()
}

// decodePrompt reads one prompt or several, each with choices of its own.
func (q *request) decodePrompt(v wire.Value) error {
	if !v.IsArray() {
		s, err := v.String()
		q.prompts = []string{s}
		return err
	}
	for _, e := range v.Elements() {
		if !e.IsString() {
			return e.Errorf("must be a string: the backends read text, not tokens")
		}
		s, err := e.String()
		if err != nil {
			return err
		}
		q.prompts = append(q.prompts, s)
		if q.choices() > maxChoices {
			return v.Errorf("asks for more than %d choices, which are its prompts times n", maxChoices)
		}
	}
	if len(q.prompts) == 0 {
		return v.Errorf("must not be an empty array")
	}
	return nil
}

// echoOf is what the text of a choice begins with.
func (q *request) echoOf(choice int) string {
	if !q.echo {
		return ""
	}
	return q.prompts[choice/q.n]
}

// encodeCompletion is a text_completion.
func encodeCompletion(h header, q *request, answers []*engine.Answer) []byte {
	b := append(h.append(nil, "text_completion"), `,"choices":[`...)
	for i, a := range answers {
		if i > 0 {
			b = append(b, ',')
		}
		b = wire.AppendString(append(b, `{"text":`...), q.echoOf(i)+a.Text())
		b = wire.AppendInt(b, `,"index":`, int64(i))
		b = append(append(b, `,"logprobs":null,"finish_reason":"`...), finishReason(a.Reason, false, 0)...)
		b = append(b, `"}`...)
	}
	b = appendUsage(append(b, `],"usage":`...), total(answers))
	return append(b, '}')
}

// textStream is a text_completion in chunks. It implements httpapi.ChoiceEncoder.
type textStream struct {
	chunks
	q      *request
	middle [][]byte // of the chunks of each choice, between text and finish_reason
}

func newTextStream(h header, q *request) *textStream {
	s := &textStream{chunks: newChunks(h, "text_completion", q), q: q}
	for i := range q.choices() {
		s.middle = append(s.middle, append(wire.AppendInt(nil, `,"index":`, int64(i)), `,"logprobs":null,"finish_reason":`...))
	}
	return s
}

// Begin repeats the prompts, if that is wanted.
func (s *textStream) Begin(b []byte) []byte {
	for i := range s.middle {
		if echo := s.q.echoOf(i); echo != "" {
			b = s.text(b, i, echo)
		}
	}
	return b
}

// Event appends the chunks of one event.
func (s *textStream) Event(b []byte, choice int, ev engine.Event) []byte {
	switch v := ev.(type) {
	case *engine.TextDelta:
		return s.text(b, choice, v.Text)
	case *engine.Completed:
		b = append(append(append(b, s.head...), `{"text":""`...), s.middle[choice]...)
		b = append(append(append(b, '"'), finishReason(v.Reason, false, 0)...), `"}`...)
		return s.finish(append(b, s.tail...), v.Usage)
	}
	return b
}

func (s *textStream) text(b []byte, choice int, text string) []byte {
	b = wire.AppendString(append(append(b, s.head...), `{"text":`...), text)
	b = append(append(b, s.middle[choice]...), "null}"...)
	return append(b, s.tail...)
}
