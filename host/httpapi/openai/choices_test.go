package openai

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/clinvk/clinvk/host/engine"
	"github.com/clinvk/clinvk/host/httpapi"
	"github.com/clinvk/clinvk/host/httpapi/dialecttest"
)

// shuffle encodes the events of several choices in any order that keeps that of each.
func shuffle(t *rapid.T, e httpapi.ChoiceEncoder, events [][]engine.Event) []byte {
	b := e.Begin(nil)
	var left []int
	for i := range events {
		left = append(left, i)
	}
	next := make([]int, len(events))
	for len(left) > 0 {
		at := rapid.IntRange(0, len(left)-1).Draw(t, "next")
		i := left[at]
		b = e.Event(b, i, events[i][next[i]])
		if next[i]++; next[i] == len(events[i]) {
			left = append(left[:at], left[at+1:]...)
		}
	}
	return b
}

// drawChoices makes up to four random answers.
func drawChoices(t *rapid.T) (events [][]engine.Event, answers []*engine.Answer) {
	for range rapid.IntRange(1, 4).Draw(t, "choices") {
		e := dialecttest.Events(t)
		events, answers = append(events, e), append(answers, collect(t, e))
	}
	return events, answers
}

func TestStreamOfChoicesEqualsAnswer(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		events, answers := drawChoices(t)
		q := &request{n: len(events), includeUsage: rapid.Bool().Draw(t, "usage"), functions: rapid.Bool().Draw(t, "functions")}
		want := readAnswers(t, encodeAnswer(testHeader, q.functions, answers))
		got := readStreams(t, shuffle(t, newStream(testHeader, q), events), q.n, q.includeUsage)
		for i := range want {
			if !q.includeUsage {
				want[i].Usage = ""
			}
			if q.functions && len(want[i].Calls) > 1 {
				t.Fatalf("%d calls in the old form", len(want[i].Calls))
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("the stream differs from the answer (-answer +stream):\n%s", diff)
		}
	})
}

func TestUsageOfChoices(t *testing.T) {
	one := &engine.Answer{Completed: engine.Completed{Usage: engine.Usage{InputTokens: ptr(int64(10)), OutputTokens: ptr(int64(1)), CacheReadTokens: ptr(int64(4))}}}
	two := &engine.Answer{Completed: engine.Completed{Usage: engine.Usage{InputTokens: ptr(int64(10)), OutputTokens: ptr(int64(2)), ReasoningTokens: ptr(int64(1))}}}
	const want = `{"prompt_tokens":20,"completion_tokens":3,"total_tokens":23,"prompt_tokens_details":{"cached_tokens":4},"completion_tokens_details":{"reasoning_tokens":1}}`
	if got := string(appendUsage(nil, total([]*engine.Answer{one, two}))); got != want {
		t.Errorf("got %s", got)
	}
}
