package engine

import (
	"bytes"
	"context"
	"errors"
	"image"
	"image/png"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/testing/protocmp"
	"pgregory.net/rapid"

	"github.com/clinvk/clinvk/host/tokens"
	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
)

type countFunc func(context.Context, *backendv1.CountTokensRequest) (*backendv1.CountTokensResponse, error)

// countingClient is a plugin that counts.
type countingClient struct {
	backendv1.BackendServiceClient
	count countFunc
}

func (c countingClient) CountTokens(ctx context.Context, r *backendv1.CountTokensRequest, _ ...grpc.CallOption) (*backendv1.CountTokensResponse, error) {
	return c.count(ctx, r)
}

// counting is an engine with a backend that counts and one that cannot.
func counting(t *testing.T, count countFunc) (*Engine, *fakeBackends) {
	f := newFakes(t)
	p := f.add("exact", &backendv1.Capabilities{
		Chat: &backendv1.ChatCapability{}, CountTokens: &backendv1.TokenCountCapability{}, ClientTools: &backendv1.ClientToolCapability{},
	}, nil, "m1")
	p.client = countingClient{p.client, count}
	f.add("plain", nil, nil, "m2")
	return New(Config{Backends: f, Aliases: map[string]Alias{"fast": {Backend: "exact", Model: "m1"}}}), f
}

func answerCount(n int64, estimated bool) countFunc {
	return func(context.Context, *backendv1.CountTokensRequest) (*backendv1.CountTokensResponse, error) {
		return &backendv1.CountTokensResponse{InputTokens: n, Estimated: estimated}, nil
	}
}

func failCount(err error) countFunc {
	return func(context.Context, *backendv1.CountTokensRequest) (*backendv1.CountTokensResponse, error) {
		return nil, err
	}
}

func TestCountTokens(t *testing.T) {
	hello := int64(tokens.Count("hello") + messageTokens)
	for name, tt := range map[string]struct {
		count countFunc
		turn  Turn
		want  TokenCount
	}{
		"by the backend":            {answerCount(42, false), Turn{Model: "exact"}, TokenCount{42, "exact", false}},
		"by an alias":               {answerCount(42, false), Turn{Model: "fast"}, TokenCount{42, "exact", false}},
		"by a bare model":           {answerCount(42, false), Turn{Model: "m1"}, TokenCount{42, "exact", false}},
		"none":                      {answerCount(0, false), Turn{Model: "exact"}, TokenCount{0, "exact", false}},
		"the backend estimates":     {answerCount(42, true), Turn{Model: "exact"}, TokenCount{42, "exact", true}},
		"the backend cannot":        {nil, Turn{Model: "plain"}, TokenCount{hello, "plain", true}},
		"the backend fails":         {failCount(errors.New("no network")), Turn{Model: "exact"}, TokenCount{hello, "exact", true}},
		"the backend lies":          {answerCount(-1, false), Turn{Model: "exact"}, TokenCount{hello, "exact", true}},
		"the backend is too slow":   {failCount(status.Error(codes.DeadlineExceeded, "slow")), Turn{Model: "exact"}, TokenCount{hello, "exact", true}},
		"tools that cannot be sent": {nil, Turn{Model: "plain", Tools: []Tool{{Name: "a"}}}, TokenCount{hello, "plain", true}},
	} {
		t.Run(name, func(t *testing.T) {
			e, _ := counting(t, tt.count)
			tt.turn.Messages = say("hello")
			got, err := e.CountTokens(t.Context(), &tt.turn)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
			if running, queued, _ := e.Load(tt.want.Backend); running+queued > 0 {
				t.Error("counting took a place")
			}
		})
	}
}

func TestCountTokensAsks(t *testing.T) {
	var got *backendv1.CountTokensRequest
	e, _ := counting(t, func(ctx context.Context, r *backendv1.CountTokensRequest) (*backendv1.CountTokensResponse, error) {
		if _, bounded := ctx.Deadline(); !bounded {
			t.Error("the call has no deadline")
		}
		got = r
		return &backendv1.CountTokensResponse{}, nil
	})
	turn := &Turn{Model: "fast", System: "s", Messages: say("hello"), Tools: []Tool{{Name: "a", Description: "d", InputSchema: []byte("{}")}}}
	if _, err := e.CountTokens(t.Context(), turn); err != nil {
		t.Fatal(err)
	}
	want := &backendv1.CountTokensRequest{
		Model: "m1", System: "s", Messages: messagesToProto(say("hello")),
		Tools: []*backendv1.ToolSpec{{Name: "a", Description: "d", InputSchema: []byte("{}")}},
	}
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
}

func TestCountTokensRefused(t *testing.T) {
	image := []Message{{Role: RoleUser, Parts: []Part{Blob{MediaType: "image/png"}}}}
	for name, tt := range map[string]struct {
		count countFunc
		turn  Turn
		want  Code
	}{
		"no such model":            {nil, Turn{Model: "nope"}, CodeModelNotFound},
		"no such backend":          {nil, Turn{Backend: "nope"}, CodeModelNotFound},
		"what it cannot read":      {nil, Turn{Model: "plain", Messages: image}, CodeUnsupported},
		"wrong to the backend":     {failCount(status.Error(codes.InvalidArgument, "bad")), Turn{Model: "exact"}, CodeInvalidRequest},
		"no model of the backend":  {failCount(status.Error(codes.NotFound, "bad")), Turn{Model: "exact/x"}, CodeModelNotFound},
		"no client tools, a force": {nil, Turn{Model: "plain", Tools: []Tool{{Name: "a"}}, ToolChoice: ToolChoice{Kind: ToolChoiceRequired}}, CodeUnsupported},
	} {
		t.Run(name, func(t *testing.T) {
			e, _ := counting(t, tt.count)
			if tt.turn.Messages == nil {
				tt.turn.Messages = say("hello")
			}
			if got, err := e.CountTokens(t.Context(), &tt.turn); err == nil || AsError(err).Code != tt.want {
				t.Errorf("got %+v, %v, want code %d", got, err, tt.want)
			}
		})
	}
}

// A prompt that is too long for a turn can still be counted.
func TestCountTokensOfTooMuch(t *testing.T) {
	e, f := counting(t, nil)
	f.infos["plain"].Describe.Limits = &backendv1.Limits{MaxPromptBytes: 3}
	if got, err := e.CountTokens(t.Context(), &Turn{Model: "plain", Messages: say("hello")}); err != nil || got.Input == 0 {
		t.Errorf("got %+v, %v", got, err)
	}
}

// A backend that does not answer costs a bounded time.
func TestCountTokensOfTheSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, _ := counting(t, func(ctx context.Context, _ *backendv1.CountTokensRequest) (*backendv1.CountTokensResponse, error) {
			<-ctx.Done()
			return nil, status.FromContextError(ctx.Err()).Err()
		})
		begin := time.Now()
		got, err := e.CountTokens(t.Context(), &Turn{Model: "exact", Messages: say("hello")})
		if err != nil || !got.Estimated {
			t.Errorf("got %+v, %v", got, err)
		}
		if took := time.Since(begin); took != countTimeout {
			t.Errorf("it took %v", took)
		}
	})
}

func TestCountTokensCanceled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	e, _ := counting(t, func(ctx context.Context, _ *backendv1.CountTokensRequest) (*backendv1.CountTokensResponse, error) {
		cancel()
		<-ctx.Done()
		return nil, ctx.Err()
	})
	for _, model := range []string{"exact", "plain"} {
		if got, err := e.CountTokens(ctx, &Turn{Model: model, Messages: say("hello")}); err == nil || AsError(err).Code != CodeCanceled {
			t.Errorf("%s: got %+v, %v", model, got, err)
		}
	}
}

// picture is a PNG of a size.
func picture(t *testing.T, w, h int) []byte {
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, w, h))); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestEstimate(t *testing.T) {
	words := func(s string) int64 { return int64(tokens.Count(s)) }
	user := func(parts ...Part) Message { return Message{Role: RoleUser, Parts: parts} }
	model := func(parts ...Part) Message { return Message{Role: RoleAssistant, Parts: parts} }
	pdf := "%PDF-1.7 /Type /Pages /Count 2 … /Type/Page … /Type /Page\n"
	for name, tt := range map[string]struct {
		turn Turn
		want int64
	}{
		"nothing":        {Turn{}, 0},
		"system":         {Turn{System: "be terse"}, words("be terse")},
		"schema":         {Turn{OutputSchema: []byte(`{"type":"object"}`)}, words(`{"type":"object"}`)},
		"tool":           {Turn{Tools: []Tool{{"add", "adds numbers", []byte(`{"a":1}`)}}}, toolTokens + words("add") + words("adds numbers") + words(`{"a":1}`)},
		"messages":       {Turn{Messages: []Message{user(Text("hello")), model(Text("hi there"))}}, 2*messageTokens + words("hello") + words("hi there")},
		"small image":    {Turn{Messages: []Message{user(Blob{MediaType: "image/png", Data: picture(t, 300, 250)})}}, messageTokens + 100},
		"tiny image":     {Turn{Messages: []Message{user(Blob{MediaType: "image/png", Data: picture(t, 1, 1)})}}, messageTokens + 1},
		"long image":     {Turn{Messages: []Message{user(Blob{MediaType: "image/png", Data: picture(t, 3136, 300)})}}, messageTokens + 1568*150/750},
		"large image":    {Turn{Messages: []Message{user(Blob{MediaType: "image/png", Data: picture(t, 1500, 1500)})}}, messageTokens + maxImageTokens},
		"not an image":   {Turn{Messages: []Message{user(Blob{MediaType: "image/webp", Data: []byte("x")})}}, messageTokens + maxImageTokens},
		"PDF":            {Turn{Messages: []Message{user(Blob{MediaType: "application/pdf", Data: []byte(pdf)})}}, messageTokens + 2*pageTokens},
		"compressed PDF": {Turn{Messages: []Message{user(Blob{MediaType: "application/pdf", Data: make([]byte, 2*bytesPerPage)})}}, messageTokens + 3*pageTokens},
		"sound":          {Turn{Messages: []Message{user(Blob{MediaType: "audio/wav", Data: make([]byte, 16000)})}}, messageTokens + 33},
		"text file":      {Turn{Messages: []Message{user(Blob{MediaType: "text/plain", Data: []byte("hello")})}}, messageTokens + words("hello")},
		"calls": {Turn{Messages: []Message{
			model(ToolCall{ID: "t", Name: "add", Arguments: `{"a":1}`}), user(ToolResult{CallID: "t", Parts: []Part{Text("two")}}),
		}}, 2*messageTokens + words("add") + words(`{"a":1}`) + words("two")},
		"reasoning before a question": {Turn{Messages: []Message{model(Reasoning{Text: "hm, let me see"}), user(Text("hello"))}}, 2*messageTokens + words("hello")},
		"reasoning before results": {Turn{Messages: []Message{
			user(Text("hello")), model(Reasoning{Text: "hm, let me see"}), user(ToolResult{Parts: []Part{Text("two")}}),
		}}, 3*messageTokens + words("hello") + words("hm, let me see") + words("two")},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := estimate(t.Context(), &tt.turn)
			if err != nil || got != tt.want {
				t.Errorf("got %d, %v, want %d", got, err, tt.want)
			}
		})
	}
}

// What is beyond the bound is taken to be like what is before it.
func TestEstimateOfMuch(t *testing.T) {
	one := strings.Repeat("hello world, ", pieceSize/13)
	count := func(turn *Turn) int64 {
		c := counter{ctx: t.Context(), limit: pieceSize}
		c.turn(turn)
		if c.bytes > 2*pieceSize {
			t.Errorf("%d bytes were counted", c.bytes)
		}
		return c.total()
	}
	first, four := count(&Turn{System: one}), count(&Turn{System: one + one, Messages: say(one + one)})
	if want := 4*first + messageTokens; four < want*99/100 || four > want*101/100 {
		t.Errorf("four times as much is %d, want about %d", four, want)
	}
}

// A longer conversation never has fewer tokens.
func TestEstimateGrows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		turn, last := &Turn{}, int64(0)
		for range rapid.IntRange(1, 6).Draw(t, "messages") {
			turn.Messages = append(turn.Messages, say(rapid.String().Draw(t, "text"))...)
			n, err := estimate(context.Background(), turn)
			if err != nil || n < last+messageTokens {
				t.Fatalf("%d tokens after %d: %v", n, last, err)
			}
			last = n
		}
	})
}
