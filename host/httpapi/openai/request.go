package openai

import (
	"github.com/clinvk/clinvk/host/engine"
	"github.com/clinvk/clinvk/host/httpapi/wire"
)

// request is a decoded request for completions, of either kind.
type request struct {
	turn engine.Turn
	// prompts of a legacy completion; nil: turn has the messages.
	prompts []string
	// n choices for each prompt.
	n int
	// echo says that each text begins with its prompt.
	echo         bool
	stream       bool
	includeUsage bool
	// functions says that calls are wanted in the form of before there were tools.
	functions bool
	// ignored lists what the client asked for that no backend can do and that does
	// little harm.
	ignored []string
	// unknown is a field that is not OpenAI's; empty: there is none.
	unknown string
	// maxTokens is the name under which the client gave its limit.
	maxTokens string
}

// Bounds of OpenAI's own API.
const (
	maxStop        = 4
	maxTemperature = 2
	maxPenalty     = 2
	maxTools       = 1024
)

// maxChoices of one request: each is a turn. OpenAI's own bound is 128.
const maxChoices = 8

// Names of the limit on the answer's length.
const (
	fieldMaxTokens           = "max_tokens"
	fieldMaxCompletionTokens = "max_completion_tokens"
)

// readRequest begins to read a body: the model, and what both kinds have in common.
func readRequest(body []byte) (*request, *wire.Reader, error) {
	root, err := wire.Parse(body)
	if err != nil {
		return nil, nil, err
	}
	o, err := root.Object()
	if err != nil {
		return nil, nil, err
	}
	q := &request{n: 1, maxTokens: fieldMaxTokens}
	if q.turn.Model, err = o.Get("model").NonEmpty(); err != nil {
		return nil, nil, err
	}
	r := wire.Read(o)
	q.stream = r.Bool("stream")
	q.decodeStreamOptions(r)
	q.decodeSampling(r)
	if n := r.Int("n", 1); n != nil {
		if *n > maxChoices {
			r.Fail(r.Get("n").Errorf("must be at most %d", maxChoices))
		}
		q.n = int(min(*n, maxChoices))
	}
	return q, r, nil
}

// decodeStreamOptions takes the options without a stream, too, where they do nothing:
// clients set them once and for all.
func (q *request) decodeStreamOptions(r *wire.Reader) {
	v := r.Get("stream_options")
	if v.IsNull() {
		return
	}
	o, err := v.Object()
	if err != nil {
		r.Fail(err)
		return
	}
	options := wire.Read(o)
	q.includeUsage = options.Bool("include_usage")
	options.Bool("include_obfuscation") // pads chunks against who counts bytes; there is nobody on loopback
	r.Fail(options.Err())
}

func (q *request) decodeSampling(r *wire.Reader) {
	s := &q.turn.Sampling
	s.MaxOutputTokens = r.Int(fieldMaxTokens, 1)
	s.Temperature = r.Float("temperature", 0, maxTemperature)
	s.TopP = r.Float("top_p", 0, 1)
	s.PresencePenalty = r.Float("presence_penalty", -maxPenalty, maxPenalty)
	s.FrequencyPenalty = r.Float("frequency_penalty", -maxPenalty, maxPenalty)
	s.Seed = r.Int("seed", -1<<63)
	if v := r.Get("stop"); v.IsString() {
		stop, err := v.NonEmpty()
		r.Fail(err)
		s.Stop = []string{stop}
	} else {
		s.Stop = r.Strings("stop", maxStop)
	}
}

// choices is how many answers there will be.
func (q *request) choices() int { return q.n * max(1, len(q.prompts)) }

// turnOf makes the turn of a choice. Choices of one conversation cannot all be the one
// that goes on, so only for the first it is kept.
func (q *request) turnOf(choice int) *engine.Turn {
	t := q.turn
	if q.prompts != nil {
		t.Messages = []engine.Message{{Role: engine.RoleUser, Parts: []engine.Part{engine.Text(q.prompts[choice/q.n])}}}
	}
	t.NoLive = t.NoLive || choice > 0
	return &t
}

// words translates the engine's names of fields into those of the request.
func (q *request) words(names []string) []string {
	out := make([]string, 0, len(names)+len(q.ignored))
	for _, name := range names {
		if name == engine.FieldMaxOutputTokens {
			name = q.maxTokens
		}
		out = append(out, name)
	}
	return append(out, q.ignored...)
}
