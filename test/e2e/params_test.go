//go:build unix

package e2e

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/clinvk/clinvk/test/harness"
)

// setting is one parameter of a dialect and where each provider has it; a backend that
// is not named cannot pass it on.
type setting struct {
	name  string
	value any
	// upstream is the path of the value in the body, by backend.
	upstream map[string]string
	// as is the provider's value, where it is another.
	as map[string]any
	// host says that the server itself honours it for backends that do not.
	host bool
	// apart says that a provider does not take it beside others.
	apart bool
}

var settings = map[string][]setting{
	"openai": {
		{name: "temperature", value: 0.25, upstream: map[string]string{"claude": "temperature", "gemini": "generationConfig.temperature"}},
		{name: "top_p", value: 0.5, upstream: map[string]string{"claude": "top_p", "gemini": "generationConfig.topP"}, apart: true},
		{name: "seed", value: 7.0, upstream: map[string]string{"gemini": "generationConfig.seed"}},
		{name: "presence_penalty", value: 0.5, upstream: map[string]string{"gemini": "generationConfig.presencePenalty"}},
		{name: "frequency_penalty", value: -0.5, upstream: map[string]string{"gemini": "generationConfig.frequencyPenalty"}},
		{name: "max_completion_tokens", value: 321.0, upstream: map[string]string{"claude": "max_tokens", "gemini": "generationConfig.maxOutputTokens"}, host: true},
		{
			name: "stop", value: []any{"HALT", "\n\n"}, host: true,
			upstream: map[string]string{"claude": "stop_sequences", "gemini": "generationConfig.stopSequences"},
			as:       map[string]any{"claude": []any{"HALT"}}, // the server looks for the other one
		},
		{
			name: "reasoning_effort", value: "low", apart: true,
			upstream: map[string]string{"claude": "output_config.effort", "codex": "reasoning.effort", "gemini": "generationConfig.thinkingConfig.thinkingLevel"},
			as:       map[string]any{"gemini": "LOW"},
		},
		{name: "logit_bias", value: map[string]any{"5": 1.0}},
		{name: "verbosity", value: "low"},
	},
	"anthropic": {
		{name: "temperature", value: 0.25, upstream: map[string]string{"claude": "temperature", "gemini": "generationConfig.temperature"}},
		{name: "top_p", value: 0.5, upstream: map[string]string{"claude": "top_p", "gemini": "generationConfig.topP"}, apart: true},
		{name: "top_k", value: 9.0, upstream: map[string]string{"claude": "top_k", "gemini": "generationConfig.topK"}},
		{name: "max_tokens", value: 321.0, upstream: map[string]string{"claude": "max_tokens", "gemini": "generationConfig.maxOutputTokens"}, host: true},
		{
			name: "stop_sequences", value: []any{"HALT", "\n\n"}, host: true,
			upstream: map[string]string{"claude": "stop_sequences", "gemini": "generationConfig.stopSequences"},
			as:       map[string]any{"claude": []any{"HALT"}}, // the server looks for the other one
		},
	},
	"responses": {
		{name: "temperature", value: 0.25, upstream: map[string]string{"claude": "temperature", "gemini": "generationConfig.temperature"}},
		{name: "top_p", value: 0.5, upstream: map[string]string{"claude": "top_p", "gemini": "generationConfig.topP"}, apart: true},
		{name: "max_output_tokens", value: 321.0, upstream: map[string]string{"claude": "max_tokens", "gemini": "generationConfig.maxOutputTokens"}, host: true},
	},
}

// Names of the settings that cut an answer; /responses has no stop.
var (
	stopName  = map[string]string{"openai": "stop", "anthropic": "stop_sequences"}
	limitName = map[string]string{"openai": "max_tokens", "anthropic": "max_tokens", "responses": "max_output_tokens"}
)

// at finds a value in a body by its path.
func at(fields map[string]any, path string) any {
	name, rest, more := strings.Cut(path, ".")
	if !more {
		return fields[name]
	}
	inner, _ := fields[name].(map[string]any)
	return at(inner, rest)
}

// all are the settings of a dialect that a filter takes, as fields of a body.
func all(list []setting, take func(setting) bool) map[string]any {
	out := map[string]any{}
	for _, s := range list {
		if take(s) {
			out[s.name] = s.value
		}
	}
	return out
}

// TestSettingsAreHonest: a setting reaches the provider, is honoured by the server, or
// is named as ignored.
func TestSettingsAreHonest(t *testing.T) {
	t.Parallel()
	for _, backend := range realBackends {
		t.Run(backend, func(t *testing.T) {
			t.Parallel()
			for _, d := range contentDialects() {
				t.Run(d.name, func(t *testing.T) {
					var together []setting
					for _, s := range settings[d.name] {
						if s.apart {
							checkHonest(t, backend, d, []setting{s})
						} else {
							together = append(together, s)
						}
					}
					checkHonest(t, backend, d, together)
				})
			}
		})
	}
}

func checkHonest(t *testing.T, backend string, d dialect, list []setting) {
	t.Helper()
	n := nonce()
	r := get(t, d, ask{model: backend, history: prompt(n), extra: all(list, func(setting) bool { return true })})
	ignored := strings.Split(r.header.Get("X-Clinvk-Ignored"), ", ")
	fields := readSent(t, backend, shared.upstream(backend).only(t, n)).fields
	for _, s := range list {
		path, passed := s.upstream[backend]
		if named := slices.Contains(ignored, s.name); named == (passed || s.host) {
			t.Errorf("%s: named as ignored: %v; ignored are %q", s.name, named, ignored)
		}
		if !passed {
			continue
		}
		want := s.value
		if v, ok := s.as[backend]; ok {
			want = v
		}
		if got := at(fields, path); !cmp.Equal(got, want) {
			t.Errorf("%s upstream is %v, want %v", path, got, want)
		}
	}
}

// TestStrictParams: with server.strict_params a setting that would be ignored is
// refused by its name, and what is honoured is not.
func TestStrictParams(t *testing.T) {
	t.Parallel()
	w := newWorld(t, harness.Options{Config: "server:\n  strict_params: true\n" + noSpares})
	for _, backend := range realBackends {
		t.Run(backend, func(t *testing.T) {
			t.Parallel()
			for _, d := range contentDialects() {
				list := settings[d.name]
				honoured := func(s setting) bool { return s.upstream[backend] != "" || s.host }
				r, err := d.do(t.Context(), w.server.URL, ask{model: backend, history: prompt("hi"), extra: all(list, honoured)})
				if err != nil {
					t.Fatal(err)
				}
				if r.err != nil {
					t.Errorf("%s: what is honoured is refused: %d, %+v", d.name, r.status, r.err)
				}
				for _, s := range list {
					if honoured(s) {
						continue
					}
					n := nonce()
					r, err := d.do(t.Context(), w.server.URL, ask{model: backend, history: prompt(n), stream: true, extra: map[string]any{s.name: s.value}})
					if err != nil {
						t.Fatal(err)
					}
					if r.status != http.StatusBadRequest || r.err == nil || !strings.Contains(r.err.message, s.name) {
						t.Errorf("%s: %s: status %d, %+v", d.name, s.name, r.status, r.err)
					}
					if calls := w.upstream(backend).find(n); len(calls) > 0 {
						t.Errorf("%s: %s: refused after a model call", d.name, s.name)
					}
				}
			}
		})
	}
}

// TestLimitsCutTheAnswer: stop and the limit of tokens cut where they say and with the
// right reason, whether the provider does it, or the server where the CLI cannot be
// told.
func TestLimitsCutTheAnswer(t *testing.T) {
	eachContent(t, func(t *testing.T, backend string, d dialect, stream bool) {
		with := func(extra map[string]any) *reply {
			return get(t, d, ask{model: backend, stream: stream, history: prompt(nonce() + " [[tokens=30 gap=1ms]]"), extra: extra})
		}
		if backend == "codex" {
			if stop, ok := stopName[d.name]; ok {
				r := with(map[string]any{stop: []any{"4 tok5"}}) // which no delta holds whole
				if r.text != "tok0 tok1 tok2 tok3 tok" {
					t.Errorf("text up to the stop: %q", r.text)
				}
				checkEnd(t, d, r, "sequence")
			}
			r := with(map[string]any{limitName[d.name]: 8})
			if full := script(t, "[[tokens=30]]").Answer(); r.text == "" || len(r.text) > len(full)/2 || !strings.HasPrefix(full, r.text) {
				t.Errorf("text of 8 tokens: %q", r.text)
			}
			checkEnd(t, d, r, "length")
		}
		if stream == (d.name == "openai") {
			return // once for each dialect is enough
		}
		r := get(t, d, ask{model: backend, stream: stream, history: prompt(nonce() + " [[finish=length]]")})
		if r.text != "tok0 tok1 tok2 " {
			t.Errorf("text %q", r.text)
		}
		checkEnd(t, d, r, "length")
	})
}

// TestLimitsOfTheServer are stop and the limit of tokens where nobody else could cut.
func TestLimitsOfTheServer(t *testing.T) {
	const says = "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho"
	for _, d := range contentDialects() {
		for _, stream := range []bool{false, true} {
			if stop, ok := stopName[d.name]; ok {
				r := get(t, d, ask{model: "echo", stream: stream, history: prompt(says), extra: map[string]any{stop: []any{"zeta", "ma d"}}})
				if r.text != "alpha beta gam" {
					t.Errorf("%s, stream %v: text up to the stop: %q", d.name, stream, r.text)
				}
				checkEnd(t, d, r, "sequence")
			}
			r := get(t, d, ask{model: "echo", stream: stream, history: prompt(says), extra: map[string]any{limitName[d.name]: 4}})
			if r.text == "" || len(r.text) > len(says)/2 || !strings.HasPrefix(says, r.text) {
				t.Errorf("%s, stream %v: text of 4 tokens: %q", d.name, stream, r.text)
			}
			checkEnd(t, d, r, "length")
		}
	}
}
