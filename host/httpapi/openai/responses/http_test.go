//go:build unix

package responses

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	api "github.com/openai/openai-go/v3/responses"

	"github.com/clinvk/clinvk/host/engine"
	"github.com/clinvk/clinvk/host/httpapi/dialecttest"
	"github.com/clinvk/clinvk/host/store/sqlite"
	"github.com/clinvk/clinvk/test/await"
)

// fake answers turns with events; with gate it waits before the last one.
type fake struct {
	events  []engine.Event
	failure error
	gate    chan struct{}

	mu    sync.Mutex
	turns []*engine.Turn
}

func (f *fake) Execute(ctx context.Context, t *engine.Turn) (*engine.Execution, error) {
	f.mu.Lock()
	f.turns = append(f.turns, t)
	id := fmt.Sprintf("turn_%d", len(f.turns))
	f.mu.Unlock()
	next, n := dialecttest.Source(f.events, f.failure), 0
	return engine.Replay(id, "echo", t.Model, func() (engine.Event, error) {
		if n++; f.gate != nil && n == len(f.events) {
			select {
			case <-f.gate:
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		return next()
	}), nil
}

// Check refuses the model "none".
func (*fake) Check(t *engine.Turn) (ignored []string, err error) {
	if t.Model == "none" {
		return nil, engine.Errorf(engine.CodeModelNotFound, "there is no model none")
	}
	return []string{engine.FieldMaxOutputTokens}, nil
}

// CountTokens counts messages.
func (f *fake) CountTokens(_ context.Context, t *engine.Turn) (engine.TokenCount, error) {
	return engine.TokenCount{Input: int64(len(t.Messages)), Backend: "echo", Estimated: true}, nil
}

func (f *fake) last() *engine.Turn {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.turns[len(f.turns)-1]
}

var answer = []engine.Event{
	&engine.Started{}, &engine.TextDelta{Text: "Hel"}, &engine.TextDelta{Text: "lo"},
	&engine.ToolCallStarted{Block: 1, ID: "call_1", Name: "f", Client: true},
	&engine.ToolCallDelta{ID: "call_1", Arguments: "{}", Client: true},
	&engine.ToolCallDone{ToolCall: engine.ToolCall{ID: "call_1", Name: "f", Arguments: "{}"}, Client: true},
	&engine.Completed{Reason: engine.FinishStop},
}

// serve serves a dialect with a store and gives OpenAI's own client.
func serve(t *testing.T, f *fake) (openai.Client, *Dialect) {
	t.Helper()
	return serveFile(t, f, filepath.Join(t.TempDir(), "clinvk.db"))
}

// serveFile is serve with a store that others may use, too.
func serveFile(t *testing.T, f *fake, path string) (openai.Client, *Dialect) {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	d := New(Config{Engine: f, Store: s})
	t.Cleanup(func() {
		if err := errors.Join(d.Stop(context.Background()), s.Close()); err != nil {
			t.Error(err)
		}
	})
	server := dialecttest.Serve(t, d)
	return openai.NewClient(option.WithBaseURL(server.URL+"/openai/v1"), option.WithAPIKey("a"), option.WithMaxRetries(0)), d
}

func hello() api.ResponseNewParams {
	return api.ResponseNewParams{Model: "echo", Input: api.ResponseNewParamsInputUnion{OfString: openai.String("hi")}}
}

func status(err error) int {
	if e, ok := errors.AsType[*openai.Error](err); ok {
		return e.StatusCode
	}
	return 0
}

func TestInputTokens(t *testing.T) {
	client, _ := serve(t, &fake{events: answer})
	var header *http.Response
	n, err := client.Responses.InputTokens.Count(t.Context(), api.InputTokenCountParams{
		Model: openai.String("echo"), Input: api.InputTokenCountParamsInputUnion{OfString: openai.String("hi")},
	}, option.WithResponseInto(&header))
	if err != nil {
		t.Fatal(err)
	}
	if n.InputTokens != 1 || header.Header.Get("X-Clinvk-Estimated") != "true" {
		t.Errorf("%+v, %v", n, header.Header)
	}
	dialecttest.Valid(t, "ResponseInputTokens", []byte(n.RawJSON()))
}

func TestChain(t *testing.T) {
	f := &fake{events: answer}
	client, _ := serve(t, f)
	ctx := t.Context()
	params := hello()
	params.Instructions = openai.String("be terse")
	first, err := client.Responses.New(ctx, params)
	if err != nil || first.OutputText() != "Hello" || first.Output[1].CallID != "call_1" {
		t.Fatalf("got %v, %v", first, err)
	}
	kept, err := client.Responses.Get(ctx, first.ID, api.ResponseGetParams{})
	if err != nil || kept.RawJSON() != first.RawJSON() {
		t.Errorf("kept %v, %v", kept, err)
	}
	result := api.ResponseInputItemParamOfFunctionCallOutput("done")
	result.OfFunctionCallOutput.CallID = openai.String("call_1")
	stream := client.Responses.NewStreaming(ctx, api.ResponseNewParams{
		Model: "echo", PreviousResponseID: openai.String(first.ID),
		Input: api.ResponseNewParamsInputUnion{OfInputItemList: api.ResponseInputParam{result}},
	})
	var second api.Response
	for stream.Next() {
		if ev := stream.Current(); ev.Type == "response.completed" {
			second = ev.Response
		}
	}
	if stream.Err() != nil || second.OutputText() != "Hello" || second.PreviousResponseID != first.ID {
		t.Fatalf("got %s, %v", second.RawJSON(), stream.Err())
	}
	want := []engine.Message{
		{Role: engine.RoleUser, Parts: []engine.Part{engine.Text("hi")}},
		{Role: engine.RoleAssistant, Parts: []engine.Part{engine.Text("Hello"), engine.ToolCall{ID: "call_1", Name: "f", Arguments: "{}"}}},
		{Role: engine.RoleUser, Parts: []engine.Part{engine.ToolResult{CallID: "call_1", Name: "f", Parts: []engine.Part{engine.Text("done")}}}},
	}
	if diff := cmp.Diff(want, f.last().Messages); diff != "" || f.last().System != "" {
		t.Errorf("system %q\n%s", f.last().System, diff)
	}
	items, err := client.Responses.InputItems.List(ctx, first.ID, api.InputItemListParams{})
	if err != nil || len(items.Data) != 1 || items.Data[0].ID != "msg_1_in0" {
		t.Errorf("input items: %v, %v", items, err)
	}
	if _, err := client.Responses.Get(ctx, first.ID, api.ResponseGetParams{}, option.WithAPIKey("b")); status(err) != http.StatusNotFound {
		t.Errorf("another owner got %v", err)
	}
	if err := client.Responses.Delete(ctx, first.ID); err != nil {
		t.Error(err)
	}
	params.PreviousResponseID = openai.String(first.ID)
	_, err = client.Responses.New(ctx, params)
	if e, ok := errors.AsType[*openai.Error](err); !ok || e.Code != "previous_response_not_found" || e.StatusCode != http.StatusBadRequest {
		t.Errorf("continuing what is gone: %v", err)
	}
}

// background starts a response and waits until it is at its gate.
func background(t *testing.T, client openai.Client) string {
	t.Helper()
	params := hello()
	params.Background = openai.Bool(true)
	r, err := client.Responses.New(t.Context(), params)
	if err != nil || r.Status != statusQueued {
		t.Fatalf("got %v, %v", r, err)
	}
	await.Until(t, 10*time.Second, "the response waits at its gate", func() bool {
		r, err := client.Responses.Get(t.Context(), r.ID, api.ResponseGetParams{})
		return err == nil && len(r.Output) == 2
	})
	return r.ID
}

func TestBackground(t *testing.T) {
	f := &fake{events: answer, gate: make(chan struct{})}
	client, _ := serve(t, f)
	id := background(t, client)
	stream := client.Responses.GetStreaming(t.Context(), id, api.ResponseGetParams{StartingAfter: openai.Int(3)})
	number := int64(3)
	var last api.ResponseStreamEventUnion
	for stream.Next() {
		last = stream.Current()
		if number++; stream.Current().SequenceNumber != number {
			t.Fatalf("got event %d, want %d", stream.Current().SequenceNumber, number)
		}
		if stream.Current().Type == "response.function_call_arguments.done" { // what was there; the rest comes live
			close(f.gate)
		}
	}
	if stream.Err() != nil || last.Type != "response.completed" {
		t.Fatalf("got %s, %v", last.Type, stream.Err())
	}
	r, err := client.Responses.Get(t.Context(), id, api.ResponseGetParams{})
	if err != nil || r.RawJSON() != last.Response.RawJSON() {
		t.Errorf("got %v, %v", r, err)
	}
}

// TestBackgroundAtOnce: what can be known of a response in the background is told when
// it begins.
func TestBackgroundAtOnce(t *testing.T) {
	client, d := serve(t, &fake{events: answer})
	params := hello()
	params.Background = openai.Bool(true)
	var header *http.Response
	if _, err := client.Responses.New(t.Context(), params, option.WithResponseInto(&header)); err != nil || header.Header.Get("X-Clinvk-Ignored") != "max_output_tokens" {
		t.Errorf("got %v, %v", header.Header, err)
	}
	params.Model = "none"
	if _, err := client.Responses.New(t.Context(), params); status(err) != http.StatusNotFound {
		t.Errorf("an unknown model: %v", err)
	}
	d.runs.mu.Lock()
	defer d.runs.mu.Unlock()
	if len(d.runs.byID) != 1 {
		t.Errorf("%d responses, want one", len(d.runs.byID))
	}
}

func TestCancel(t *testing.T) {
	client, _ := serve(t, &fake{events: answer, gate: make(chan struct{})})
	id := background(t, client)
	r, err := client.Responses.Cancel(t.Context(), id)
	if err != nil || r.Status != statusCancelled || r.OutputText() != "Hello" {
		t.Errorf("got %v, %v", r, err)
	}
}

func TestStop(t *testing.T) {
	client, d := serve(t, &fake{events: answer, gate: make(chan struct{})})
	id := background(t, client)
	if err := d.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	r, err := client.Responses.Get(t.Context(), id, api.ResponseGetParams{})
	if err != nil || r.Status != statusFailed || r.Error.Code != "server_shutdown" {
		t.Errorf("got %v, %v", r, err)
	}
}

func TestErrors(t *testing.T) {
	s := dialecttest.Serve(t, New(Config{Engine: &fake{events: answer[:2], failure: io.ErrUnexpectedEOF}}))
	client := openai.NewClient(option.WithBaseURL(s.URL+"/v1"), option.WithAPIKey("a"), option.WithMaxRetries(0))
	if _, err := client.Responses.New(t.Context(), hello()); status(err) != http.StatusInternalServerError {
		t.Errorf("a failure: %v", err)
	}
	params := hello()
	params.PreviousResponseID = openai.String("resp_x")
	if _, err := client.Responses.New(t.Context(), params); status(err) != http.StatusServiceUnavailable {
		t.Errorf("without a store: %v", err)
	}
	if err := client.Post(t.Context(), "responses/compact", map[string]any{}, nil); status(err) != http.StatusNotImplemented {
		t.Errorf("compact: %v", err)
	}
}
