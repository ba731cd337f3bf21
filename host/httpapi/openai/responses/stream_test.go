package responses

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/clinvk/clinvk/host/engine"
	"github.com/clinvk/clinvk/host/httpapi/dialecttest"
	"github.com/clinvk/clinvk/host/store"
)

// event is what a client reads of an event.
type event struct {
	Type           string
	SequenceNumber int             `json:"sequence_number"`
	OutputIndex    int             `json:"output_index"`
	ItemID         string          `json:"item_id"`
	Delta          string          `json:"delta"`
	Item           json.RawMessage `json:"item"`
	Response       json.RawMessage `json:"response"`
}

type item struct {
	ID, Type, Arguments, Input string
	Content, Summary           []struct{ Text string }
}

func (i item) text() string {
	s := i.Arguments + i.Input
	for _, p := range append(slices.Clone(i.Content), i.Summary...) {
		s += p.Text
	}
	return s
}

// readStream reads a stream as a strict client would, and returns the final response.
func readStream(t dialecttest.TB, stream []byte) json.RawMessage {
	t.Helper()
	var last event
	var done []json.RawMessage
	deltas := map[string]string{}
	for i, sse := range dialecttest.ReadSSE(t, stream) {
		dialecttest.Valid(t, "ResponseEvent", []byte(sse.Data))
		last = event{}
		if err := json.Unmarshal([]byte(sse.Data), &last); err != nil || last.Type != sse.Name || last.SequenceNumber != i {
			t.Fatalf("event %d: %v: %+v", i, err, sse)
		}
		deltas[last.ItemID] += last.Delta
		if last.Type == "response.output_item.done" {
			if last.OutputIndex != len(done) {
				t.Fatalf("item %d is done as %d", len(done), last.OutputIndex)
			}
			done = append(done, last.Item)
		}
	}
	var final struct{ Output []json.RawMessage }
	if err := json.Unmarshal(last.Response, &final); err != nil {
		t.Fatalf("%v: %+v", err, last)
	}
	if diff := cmp.Diff(done, final.Output, cmp.Transformer("text", func(m json.RawMessage) string { return string(m) })); diff != "" && len(done)+len(final.Output) > 0 {
		t.Fatalf("the items differ from the final ones:\n%s", diff)
	}
	for _, raw := range done {
		var it item
		if err := json.Unmarshal(raw, &it); err != nil || deltas[it.ID] != it.text() {
			t.Fatalf("%v: the deltas are %q, the item %s", err, deltas[it.ID], raw)
		}
	}
	return last.Response
}

func testEncoder(t dialecttest.TB, body string) *encoder {
	t.Helper()
	q, err := decode([]byte(body))
	if err != nil {
		t.Fatalf("%v", err)
	}
	record, err := newRecord(q, "resp_1", "m")
	if err != nil {
		t.Fatalf("%v", err)
	}
	return newEncoder(q, record, false)
}

// normal takes the times out of a response.
func normal(t dialecttest.TB, raw []byte) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(raw, &m); err != nil {
		t.Fatalf("%v: %s", err, raw)
	}
	delete(m, "created_at")
	delete(m, "completed_at")
	return m
}

func TestStreamEqualsAnswer(t *testing.T) {
	requests := []string{
		`{"model":"m","input":"hi"}`,
		`{"model":"m","input":"hi","include":["reasoning.encrypted_content"]}`,
		`{"model":"m","input":"hi","tools":[{"type":"namespace","name":"functions","tools":[{"type":"custom","name":"tool"}]}]}`,
	}
	rapid.Check(t, func(t *rapid.T) {
		events := dialecttest.Events(t)
		request := rapid.SampledFrom(requests).Draw(t, "request")
		a, err := engine.Collect(engine.Replay("turn_1", "echo", "m", dialecttest.Source(events, nil)))
		if err != nil {
			t.Fatal(err)
		}
		plain := testEncoder(t, request)
		plain.answer(a)
		want := appendObject(nil, plain.record, false)
		dialecttest.Valid(t, "Response", want)
		got := readStream(t, dialecttest.Encode(testEncoder(t, request), events, nil))
		if diff := cmp.Diff(normal(t, want), normal(t, got)); diff != "" {
			t.Fatalf("the stream differs from the answer (-answer +stream):\n%s", diff)
		}
		in, out := 0, 0
		for _, ev := range events {
			if v, ok := ev.(*engine.ToolCallDone); ok && v.Client {
				in++
			}
		}
		var final struct{ Output []item }
		if err := json.Unmarshal(got, &final); err != nil {
			t.Fatal(err)
		}
		for _, it := range final.Output {
			if it.Type == "function_call" || it.Type == "custom_tool_call" {
				out++
			}
		}
		if in != out {
			t.Fatalf("%d calls went in, %d came out", in, out)
		}
	})
}

// TestFailure keeps what there was when a turn fails.
func TestFailure(t *testing.T) {
	e := testEncoder(t, `{"model":"m","input":"hi"}`)
	var saved *store.Response
	e.ended = func(r *store.Response) { saved = r }
	stream := dialecttest.Encode(e, []engine.Event{&engine.TextDelta{Text: "par"}}, engine.Errorf(engine.CodeRateLimited, "slow down"))
	events := dialecttest.ReadSSE(t, stream)
	last := events[len(events)-1]
	dialecttest.Valid(t, "ResponseEvent", []byte(last.Data))
	if last.Name != "response.failed" || saved.Status != statusFailed || string(saved.Error) != `{"code":"rate_limit_exceeded","message":"slow down"}` {
		t.Errorf("got %+v, saved %s %s", last, saved.Status, saved.Error)
	}
	var output []item
	if err := json.Unmarshal(saved.Output, &output); err != nil || len(output) != 1 || output[0].text() != "par" {
		t.Errorf("kept %s", saved.Output)
	}
}

// TestCut: the item that was being written when the answer was cut is incomplete, those
// before it are whole.
func TestCut(t *testing.T) {
	for reason, want := range map[engine.FinishReason]string{
		engine.FinishLength: "incomplete", engine.FinishContentFilter: "incomplete", engine.FinishStop: "completed", engine.FinishStopSequence: "completed",
	} {
		events := []engine.Event{&engine.ReasoningDelta{Text: "hm"}, &engine.TextDelta{Block: 1, Text: "cut"}, &engine.Completed{Reason: reason}}
		var got struct {
			Status string
			Output []struct{ Status string }
		}
		if err := json.Unmarshal(readStream(t, dialecttest.Encode(testEncoder(t, `{"model":"m","input":"hi"}`), events, nil)), &got); err != nil {
			t.Fatal(err)
		}
		if got.Status != want || len(got.Output) != 2 || got.Output[0].Status != "completed" || got.Output[1].Status != want {
			t.Errorf("%v: got %+v, want %s", reason, got, want)
		}
	}
}
