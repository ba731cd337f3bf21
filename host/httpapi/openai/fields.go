package openai

import (
	"slices"

	"github.com/clinvk/clinvk/host/httpapi/wire"
)

// treatment is what becomes of a field of a request.
type treatment int

const (
	// honoured fields shape the turn or the answer; a backend may still ignore one,
	// which X-Clinvk-Ignored then names.
	honoured treatment = iota
	// harmless fields have no effect that a client could miss.
	harmless
	// ignored fields have no effect either, and X-Clinvk-Ignored names them.
	ignored
	// refused fields would change the answer in a way that nothing here can do.
	refused
)

// field is one row of the tables below. check looks at a value that is there; a
// refused field may have values that ask for nothing.
type field struct {
	name string
	treatment
	check func(wire.Value) error
}

// chatFields are all fields of a chat completion; what is not here is not OpenAI's
// and is ignored.
var chatFields = []field{
	{"model", honoured, nil},
	{"messages", honoured, nil},
	{"stream", honoured, nil},
	{"stream_options", honoured, nil},
	{"n", honoured, nil},
	{"max_tokens", honoured, nil},
	{"max_completion_tokens", honoured, nil},
	{"temperature", honoured, nil},
	{"top_p", honoured, nil},
	{"presence_penalty", honoured, nil},
	{"frequency_penalty", honoured, nil},
	{"seed", honoured, nil},
	{"stop", honoured, nil},
	{"reasoning_effort", honoured, nil},
	{"response_format", honoured, nil},
	{"tools", honoured, nil},
	{"tool_choice", honoured, nil},
	{"parallel_tool_calls", honoured, nil},
	{"functions", honoured, nil},
	{"function_call", honoured, nil},
	{"user", harmless, isString},
	{"safety_identifier", harmless, isString},
	{"prompt_cache_key", harmless, isString},
	{"prompt_cache_retention", harmless, isString},
	{"prompt_cache_options", harmless, isObject},
	{"service_tier", harmless, isString},
	{"metadata", harmless, wire.Value.Labels},
	{"store", harmless, isBool},
	{"audio", harmless, isObject}, // says how, if modalities ask for it
	{"logit_bias", ignored, isObject},
	{"verbosity", ignored, isString},
	{"prediction", ignored, isObject},
	{"logprobs", refused, isFalse},
	{"top_logprobs", refused, isZero},
	{"modalities", refused, isTextOnly},
	{"moderation", refused, isUnsupported("nothing here checks what is said")},
	{"web_search_options", refused, isUnsupported("give the model a tool that searches")},
}

// completionFields are all fields of a legacy completion.
var completionFields = []field{
	{"model", honoured, nil},
	{"prompt", honoured, nil},
	{"stream", honoured, nil},
	{"stream_options", honoured, nil},
	{"n", honoured, nil},
	{"echo", honoured, nil},
	{"max_tokens", honoured, nil},
	{"temperature", honoured, nil},
	{"top_p", honoured, nil},
	{"presence_penalty", honoured, nil},
	{"frequency_penalty", honoured, nil},
	{"seed", honoured, nil},
	{"stop", honoured, nil},
	{"user", harmless, isString},
	{"logit_bias", ignored, isObject},
	{"logprobs", refused, isUnsupported("the backends do not tell probabilities")},
	{"suffix", refused, isEmpty},
	{"best_of", refused, isOne},
}

// treat goes through the fields that decoding leaves.
func (q *request) treat(r *wire.Reader, fields []field) {
	q.unknown = r.Unknown(func(name string) bool {
		return slices.ContainsFunc(fields, func(f field) bool { return f.name == name })
	})
	for _, f := range fields {
		v := r.Get(f.name)
		if v.IsNull() || f.treatment == honoured {
			continue
		}
		r.Fail(f.check(v))
		if f.treatment == ignored && string(v.Compact()) != "{}" {
			q.ignored = append(q.ignored, f.name)
		}
	}
}

func isString(v wire.Value) error {
	_, err := v.String()
	return err
}

func isBool(v wire.Value) error {
	_, err := v.Bool()
	return err
}

func isObject(v wire.Value) error {
	_, err := v.Schema()
	return err
}

func isFalse(v wire.Value) error {
	asked, err := v.Bool()
	if asked {
		err = v.Errorf("must be false: the backends do not tell probabilities")
	}
	return err
}

func isZero(v wire.Value) error {
	n, err := v.Int(0)
	if err == nil && *n > 0 {
		err = v.Errorf("must be 0: the backends do not tell probabilities")
	}
	return err
}

func isOne(v wire.Value) error {
	n, err := v.Int(1)
	if err == nil && *n > 1 {
		err = v.Errorf("must be 1: nothing here compares answers; use n")
	}
	return err
}

func isEmpty(v wire.Value) error {
	s, err := v.String()
	if s != "" {
		err = v.Errorf("is not supported: the backends answer, they do not fill in")
	}
	return err
}

func isTextOnly(v wire.Value) error {
	elements, err := v.Array()
	if err != nil {
		return err
	}
	for _, e := range elements {
		s, err := e.String()
		if err != nil {
			return err
		}
		if s != "text" {
			return v.Errorf(`must be ["text"]: other modalities are not supported`)
		}
	}
	return nil
}

func isUnsupported(instead string) func(wire.Value) error {
	return func(v wire.Value) error { return v.Errorf("is not supported; %s", instead) }
}
