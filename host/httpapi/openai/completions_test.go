package openai

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/clinvk/clinvk/host/engine"
	"github.com/clinvk/clinvk/host/httpapi/dialecttest"
	"github.com/clinvk/clinvk/host/httpapi/wire"
)

func TestDecodeCompletion(t *testing.T) {
	turn := func(prompt string) *engine.Turn {
		return &engine.Turn{Model: "m", NoLive: true, Messages: []engine.Message{user(engine.Text(prompt))}}
	}
	limited := turn("p")
	limited.Sampling = engine.Sampling{
		Temperature: ptr(0.5), TopP: ptr(1.0), MaxOutputTokens: ptr(int64(16)), Stop: []string{"\n"}, Seed: ptr(int64(1)),
		PresencePenalty: ptr(1.0), FrequencyPenalty: ptr(-1.0),
	}
	for name, tt := range map[string]struct {
		body  string // without model
		turns []*engine.Turn
		echo  []string
	}{
		"the least":    {`"prompt":"p"`, []*engine.Turn{turn("p")}, []string{""}},
		"empty":        {`"prompt":""`, []*engine.Turn{turn("")}, []string{""}},
		"one prompt":   {`"prompt":["p"]`, []*engine.Turn{turn("p")}, []string{""}},
		"null":         {`"prompt":"p","n":null,"best_of":null,"suffix":null,"logprobs":null,"echo":null,"stop":null,"stream":null,"logit_bias":null`, []*engine.Turn{turn("p")}, []string{""}},
		"no effect":    {`"prompt":"p","best_of":1,"suffix":"","user":"u","logit_bias":{},"unknown":1,"stream_options":{"include_usage":true}`, []*engine.Turn{turn("p")}, []string{""}},
		"sampling":     {`"prompt":"p","max_tokens":16,"temperature":0.5,"top_p":1,"stop":"\n","seed":1,"presence_penalty":1,"frequency_penalty":-1`, []*engine.Turn{limited}, []string{""}},
		"n":            {`"prompt":"p","n":2`, []*engine.Turn{turn("p"), turn("p")}, []string{"", ""}},
		"prompts":      {`"prompt":["a","b"],"n":2,"echo":true`, []*engine.Turn{turn("a"), turn("a"), turn("b"), turn("b")}, []string{"a", "a", "b", "b"}},
		"most choices": {`"prompt":["a"],"n":8`, []*engine.Turn{turn("a"), turn("a"), turn("a"), turn("a"), turn("a"), turn("a"), turn("a"), turn("a")}, make([]string, 8)},
	} {
		t.Run(name, func(t *testing.T) {
			q, err := decodeCompletion([]byte(`{"model":"m",` + tt.body + `}`))
			if err != nil {
				t.Fatal(err)
			}
			var turns []*engine.Turn
			var echo []string
			for i := range q.choices() {
				turns, echo = append(turns, q.turnOf(i)), append(echo, q.echoOf(i))
			}
			if diff := cmp.Diff(tt.turns, turns) + cmp.Diff(tt.echo, echo); diff != "" {
				t.Error(diff)
			}
			if len(q.ignored) > 0 {
				t.Errorf("ignored: %q", q.ignored)
			}
		})
	}
}

func TestRefuseCompletion(t *testing.T) {
	for name, tt := range map[string]struct{ body, param string }{
		"no JSON":          {`{"model"`, ""},
		"no object":        {`[]`, ""},
		"no model":         {`{"prompt":"p"}`, "model"},
		"no prompt":        {`{"model":"m"}`, "prompt"},
		"null prompt":      {`{"model":"m","prompt":null}`, "prompt"},
		"prompt number":    {`{"model":"m","prompt":1}`, "prompt"},
		"no prompts":       {`{"model":"m","prompt":[]}`, "prompt"},
		"tokens":           {`{"model":"m","prompt":[1,2]}`, "prompt[0]"},
		"lists of tokens":  {`{"model":"m","prompt":[[1,2]]}`, "prompt[0]"},
		"mixed":            {`{"model":"m","prompt":["a",1]}`, "prompt[1]"},
		"too many prompts": {`{"model":"m","prompt":["a","b","c","d","e","f","g","h","i"]}`, "prompt"},
		"too many choices": {`{"model":"m","prompt":["a","b","c"],"n":3}`, "prompt"},
		"n":                {`{"model":"m","prompt":"p","n":9}`, "n"},
		"n zero":           {`{"model":"m","prompt":"p","n":0}`, "n"},
		"best_of":          {`{"model":"m","prompt":"p","best_of":2}`, "best_of"},
		"best_of string":   {`{"model":"m","prompt":"p","best_of":"2"}`, "best_of"},
		"suffix":           {`{"model":"m","prompt":"p","suffix":"s"}`, "suffix"},
		"suffix number":    {`{"model":"m","prompt":"p","suffix":1}`, "suffix"},
		"logprobs":         {`{"model":"m","prompt":"p","logprobs":0}`, "logprobs"},
		"echo":             {`{"model":"m","prompt":"p","echo":"yes"}`, "echo"},
		"stream":           {`{"model":"m","prompt":"p","stream":1}`, "stream"},
		"max_tokens":       {`{"model":"m","prompt":"p","max_tokens":0}`, "max_tokens"},
		"temperature":      {`{"model":"m","prompt":"p","temperature":3}`, "temperature"},
		"stop":             {`{"model":"m","prompt":"p","stop":["a","b","c","d","e"]}`, "stop"},
		"logit_bias":       {`{"model":"m","prompt":"p","logit_bias":[]}`, "logit_bias"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := decodeCompletion([]byte(tt.body))
			field, ok := errors.AsType[*wire.Error](err)
			if !ok || field.Path != tt.param {
				t.Errorf("got %v, want an error about %q", err, tt.param)
			}
		})
	}
}

func FuzzDecodeCompletion(f *testing.F) {
	f.Add([]byte(`{"model":"m","prompt":["a","b"],"n":2,"echo":true,"stop":["x"],"max_tokens":3,"logit_bias":{"1":2}}`))
	f.Add([]byte(`{"model":"m","prompt":"\ud83d","stream":true,"stream_options":{"include_usage":true},"best_of":1,"suffix":null}`))
	f.Add([]byte(`{"model":"m","prompt":[[1]],"logprobs":5}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		q, err := decodeCompletion(body)
		if err != nil {
			if _, ok := errors.AsType[*wire.Error](err); !ok {
				t.Fatalf("not an error of a field: %v", err)
			}
			return
		}
		if n := q.choices(); n < 1 || n > maxChoices {
			t.Fatalf("%d choices", n)
		}
		for i := range q.choices() {
			if turn := q.turnOf(i); turn.Model == "" || len(turn.Messages) != 1 || !turn.NoLive {
				t.Fatalf("not a turn: %+v", turn)
			}
			q.echoOf(i)
		}
	})
}

// text is a choice of a legacy completion.
type text struct{ Text, Finish, Usage string }

// textBody is what a client reads of one.
type textBody struct {
	ID      string
	Choices []struct {
		Index        int
		Text         string
		FinishReason *string `json:"finish_reason"`
	}
	Usage json.RawMessage
}

func readTexts(t dialecttest.TB, body []byte) (out []text) {
	t.Helper()
	dialecttest.Valid(t, "Completion", body)
	var c textBody
	if err := json.Unmarshal(body, &c); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	for i, choice := range c.Choices {
		if choice.Index != i {
			t.Fatalf("choice %d has the index %d", i, choice.Index)
		}
		out = append(out, text{choice.Text, *choice.FinishReason, string(c.Usage)})
	}
	return out
}

func readTextStream(t dialecttest.TB, stream []byte, n int, usage bool) []text {
	t.Helper()
	out, over := make([]text, n), 0
	events := dialecttest.ReadSSE(t, stream)
	if last := events[len(events)-1]; last.Data != "[DONE]" {
		t.Fatalf("the last event is %q", last.Data)
	}
	for i, e := range events[:len(events)-1] {
		dialecttest.Valid(t, "CompletionChunk", []byte(e.Data))
		var c textBody
		if err := json.Unmarshal([]byte(e.Data), &c); err != nil || e.Name != "" || c.ID != textHeader.id {
			t.Fatalf("%v: %+v", err, e)
		}
		if usage != (c.Usage != nil) {
			t.Fatalf("usage: %s", e.Data)
		}
		if len(c.Choices) == 0 {
			if !usage || i != len(events)-2 || over != n {
				t.Fatalf("usage at the wrong place: %s", e.Data)
			}
			for i := range out {
				out[i].Usage = string(c.Usage)
			}
			continue
		}
		choice := c.Choices[0]
		to := &out[choice.Index]
		if to.Finish != "" || usage && string(c.Usage) != "null" {
			t.Fatalf("not a chunk: %s", e.Data)
		}
		to.Text += choice.Text
		if f := choice.FinishReason; f != nil {
			to.Finish = *f
			over++
		}
	}
	if over != n {
		t.Fatalf("%d of %d choices came to an end", over, n)
	}
	return out
}

func TestStreamOfTextsEqualsAnswer(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		events, answers := drawChoices(t)
		q := &request{n: 1, includeUsage: rapid.Bool().Draw(t, "usage"), echo: rapid.Bool().Draw(t, "echo")}
		for range events {
			q.prompts = append(q.prompts, rapid.SampledFrom([]string{"", "a\u2028\"b", "日😀"}).Draw(t, "prompt"))
		}
		want := readTexts(t, encodeCompletion(textHeader, q, answers))
		got := readTextStream(t, shuffle(t, newTextStream(textHeader, q), events), len(events), q.includeUsage)
		for i := range want {
			whole := answers[i].Text()
			if q.echo {
				whole = q.prompts[i] + whole
			}
			if want[i].Text != whole {
				t.Fatalf("choice %d is %q, want %q", i, want[i].Text, whole)
			}
			if !q.includeUsage {
				want[i].Usage = ""
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("the stream differs from the answer (-answer +stream):\n%s", diff)
		}
	})
}
