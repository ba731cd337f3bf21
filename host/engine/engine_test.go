package engine

import (
	"context"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/clinvk/clinvk/host/engine/gate"
	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRouteToTheDefaultModel(t *testing.T) {
	f := newFakes(t)
	f.add("claude", nil, nil, "opus", "haiku")
	f.add("codex", nil, nil, "gpt-5")
	e := New(Config{
		Backends: f, DefaultBackend: "claude", DefaultModels: map[string]string{"claude": "haiku"},
		Aliases: map[string]Alias{"any": {Backend: "claude"}, "best": {Backend: "claude", Model: "opus"}},
	})
	for _, test := range []struct {
		turn Turn
		want string
	}{
		{Turn{}, "haiku"}, {Turn{Model: "claude"}, "haiku"}, {Turn{Backend: "claude"}, "haiku"}, {Turn{Model: "any"}, "haiku"},
		{Turn{Model: "best"}, "opus"}, {Turn{Model: "claude/opus"}, "opus"}, {Turn{Backend: "claude", Model: "opus"}, "opus"}, {Turn{Model: "codex"}, ""},
	} {
		if to, err := e.route(&test.turn); err != nil || to.model != test.want {
			t.Errorf("%q %q goes to %q, %v", test.turn.Backend, test.turn.Model, to.model, err)
		}
	}
}

func TestRoute(t *testing.T) {
	f := newFakes(t)
	f.add("claude", nil, nil, "opus", "shared")
	f.add("codex", nil, nil, "gpt-5", "shared")
	e := New(Config{Backends: f, DefaultBackend: "codex", Aliases: map[string]Alias{"fast": {Backend: "claude", Model: "haiku"}}})
	tests := []struct {
		turn           Turn
		backend, model string
		err            string
	}{
		{turn: Turn{Model: "claude"}, backend: "claude"},
		{turn: Turn{Model: "claude/opus"}, backend: "claude", model: "opus"},
		{turn: Turn{Model: "claude/any/thing"}, backend: "claude", model: "any/thing"},
		{turn: Turn{Model: "gpt-5"}, backend: "codex", model: "gpt-5"},
		{turn: Turn{Model: "fast"}, backend: "claude", model: "haiku"},
		{turn: Turn{}, backend: "codex"},
		{turn: Turn{Backend: "claude", Model: "claude/opus"}, backend: "claude", model: "opus"},
		{turn: Turn{Backend: "claude", Model: "claude"}, backend: "claude"},
		{turn: Turn{Backend: "claude", Model: "x"}, backend: "claude", model: "x"},
		{turn: Turn{Model: "shared"}, err: "offered by claude and codex"},
		{turn: Turn{Model: "claud"}, err: "near names: claude"},
		{turn: Turn{Model: "o3"}, err: `"o3" does not exist`},
		{turn: Turn{Model: "claude/"}, err: "does not exist"},
		{turn: Turn{Backend: "codx"}, err: "near names: codex"},
	}
	for _, test := range tests {
		t.Run(test.turn.Backend+":"+test.turn.Model, func(t *testing.T) {
			to, err := e.route(&test.turn)
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) || AsError(err).Code != CodeModelNotFound {
					t.Errorf("err = %v", err)
				}
				return
			}
			if err != nil || to.backend != test.backend || to.model != test.model {
				t.Errorf("to = %+v, err = %v", to, err)
			}
		})
	}
}

func TestModelsListEveryName(t *testing.T) {
	f := newFakes(t)
	f.add("echo", nil, nil, "echo", "slow")
	e := New(Config{Backends: f, Aliases: map[string]Alias{"fast": {Backend: "echo"}}})
	var ids []string
	for _, m := range e.Models() {
		ids = append(ids, m.ID)
		if _, err := e.Model(m.ID); err != nil {
			t.Errorf("%s is listed but not found: %v", m.ID, err)
		}
	}
	if diff := cmp.Diff([]string{"echo", "echo/echo", "echo/slow", "fast"}, ids); diff != "" {
		t.Error(diff)
	}
	if _, err := e.Model("slow"); err != nil {
		t.Errorf("a bare id is not found: %v", err)
	}
	if _, err := e.Model("echo/nope"); err == nil {
		t.Error("an unlisted model is found")
	}
}

func TestContractBreachesAreTypedErrors(t *testing.T) {
	gap := delta("x")
	gap.Sequence = 9
	call := &backendv1.ExecuteResponse{Event: &backendv1.ExecuteResponse_ToolCallDelta{ToolCallDelta: &backendv1.ToolCallDelta{Id: "x"}}}
	tests := []struct {
		name   string
		events []*backendv1.ExecuteResponse
		code   Code
		text   string
	}{
		{"no terminal event", []*backendv1.ExecuteResponse{started(), delta("x")}, CodeCLIFailure, "without completed or failed"},
		{"nothing at all", nil, CodeCLIFailure, "without completed or failed"},
		{"a gap", []*backendv1.ExecuteResponse{started(), gap}, CodeCLIFailure, "sequence 9"},
		{"arguments of no call", []*backendv1.ExecuteResponse{started(), call}, CodeCLIFailure, "not started"},
		{"failed", []*backendv1.ExecuteResponse{failed(backendv1.ErrorCode_ERROR_CODE_OVERLOADED)}, CodeOverloaded, "it failed"},
		{"unknown code", []*backendv1.ExecuteResponse{failed(99)}, CodeInternal, "it failed"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := newFakes(t)
			f.add("b", nil, script(test.events...))
			_, err := run(t, New(Config{Backends: f}), &Turn{Model: "b", Messages: say("hi")})
			if err == nil || err.Code != test.code || !strings.Contains(err.Message, test.text) || err.Backend != "b" {
				t.Errorf("err = %+v", err)
			}
		})
	}
}

func TestDeathBeforeStartedIsTriedAgainAndAfterItNot(t *testing.T) {
	for _, after := range []bool{false, true} {
		f := newFakes(t)
		wait := make(chan struct{})
		first := f.add("b", nil, func(_ *backendv1.Start, s backendv1.BackendService_ExecuteServer) error {
			if after {
				e := started()
				e.Sequence = 1
				if err := s.Send(e); err != nil {
					return err
				}
			}
			close(wait)
			<-s.Context().Done()
			return s.Context().Err()
		})
		x, err := New(Config{Backends: f}).Execute(t.Context(), &Turn{Model: "b", Messages: say("hi")})
		if err != nil {
			t.Fatal(err)
		}
		defer x.Close()
		if after {
			if ev, err := x.Next(); err != nil {
				t.Fatalf("%v, %v", ev, err)
			}
		}
		<-wait
		f.add("b", nil, script(started(), delta("again"), completed("")))
		first.kill()
		a, err := Collect(x)
		switch e := AsError(err); {
		case !after && (e != nil || a.Text() != "again"):
			t.Errorf("not tried again: %v", e)
		case after && (e == nil || e.Code != CodeCLIFailure || e.StderrTail != "last words" || !strings.Contains(e.Message, "killed")):
			t.Errorf("err = %+v", e)
		}
	}
}

func liveCaps() *backendv1.Capabilities {
	return &backendv1.Capabilities{
		Chat: &backendv1.ChatCapability{Sampling: []string{FieldTemperature}},
		Live: &backendv1.LiveCapability{IdleTimeout: durationpb.New(time.Minute)},
	}
}

func TestPrefixMatch(t *testing.T) {
	f := newFakes(t)
	var mu sync.Mutex
	var last *backendv1.Live
	n := 0
	execute := func(start *backendv1.Start, s backendv1.BackendService_ExecuteServer) error {
		mu.Lock()
		last = start.GetLive()
		n++
		token := "token" + string(rune('0'+n))
		mu.Unlock()
		return script(started(), delta("answer"), completed(token))(start, s)
	}
	f.add("b", liveCaps(), execute)
	e := New(Config{Backends: f})
	one := []Message{{RoleUser, []Part{Text("one")}}}
	two := slices.Concat(one, []Message{{RoleAssistant, []Part{Text("ans"), Text("wer")}}, {RoleUser, []Part{Text("two")}}})
	warm := 0.5
	tests := []struct {
		name string
		turn Turn
		held uint32 // of the second turn
	}{
		{"the same conversation", Turn{Messages: two}, 2},
		{"another owner", Turn{Owner: "x", Messages: two}, 0},
		{"another system prompt", Turn{System: "x", Messages: two}, 0},
		{"another temperature", Turn{Sampling: Sampling{Temperature: &warm}, Messages: two}, 0},
		{"another model", Turn{Model: "b/x", Messages: two}, 0},
		{"another history", Turn{Messages: append([]Message{{RoleUser, []Part{Text("1")}}}, two[1:]...)}, 0},
		{"another answer", Turn{Messages: []Message{two[0], {RoleAssistant, []Part{Text("answers")}}, two[2]}}, 0},
		{"other roles", Turn{Messages: []Message{two[0], {RoleUser, []Part{Text("answer")}}, two[2]}}, 0},
		{"not to be kept", Turn{NoLive: true, Messages: two}, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if _, err := run(t, e, &Turn{Model: "b", Messages: one}); err != nil {
				t.Fatal(err)
			}
			if test.turn.Model == "" {
				test.turn.Model = "b"
			}
			if _, err := run(t, e, &test.turn); err != nil {
				t.Fatal(err)
			}
			mu.Lock()
			defer mu.Unlock()
			if last.GetMessagesHeld() != test.held || (last.GetToken() != nil) != (test.held > 0) {
				t.Errorf("live = %v, want %d held", last, test.held)
			}
		})
	}
	t.Run("a new process", func(t *testing.T) {
		if _, err := run(t, e, &Turn{Model: "b", Messages: one}); err != nil {
			t.Fatal(err)
		}
		f.mu.Lock()
		old := f.procs["b"]
		f.mu.Unlock()
		f.add("b", liveCaps(), execute)
		old.kill()
		if _, err := run(t, e, &Turn{Model: "b", Messages: two}); err != nil {
			t.Fatal(err)
		}
		if last.GetToken() != nil {
			t.Error("a token of the old process was used")
		}
	})
}

func TestQueue(t *testing.T) {
	f := newFakes(t)
	release := make(chan struct{})
	began := make(chan struct{}, 10)
	f.add("b", nil, func(_ *backendv1.Start, s backendv1.BackendService_ExecuteServer) error {
		began <- struct{}{}
		select {
		case <-release:
		case <-s.Context().Done():
			return s.Context().Err()
		}
		return script(started(), completed(""))(nil, s)
	})
	e := New(Config{Backends: f, Limits: func(string) gate.Limits { return gate.Limits{MaxConcurrent: 1, MaxQueue: 1, QueueTimeout: time.Minute} }})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			if _, err := run(t, e, &Turn{Model: "b", Messages: say("x")}); err != nil {
				t.Error(err)
			}
		})
	}
	<-began
	for {
		if _, queued, _ := e.Load("b"); queued == 1 {
			break
		}
	}
	_, err := run(t, e, &Turn{Model: "b", Messages: say("x")})
	if err == nil || err.Code != CodeQueueFull || err.RetryAfter < time.Second {
		t.Errorf("err = %+v", err)
	}
	if running, _, _ := e.Load("b"); running != 1 {
		t.Errorf("%d run", running)
	}
	close(release)
	wg.Wait()
	if running, queued, _ := e.Load("b"); running+queued != 0 {
		t.Errorf("%d run, %d wait at the end", running, queued)
	}
}

func TestCheckRefusesOrIgnores(t *testing.T) {
	warm := 0.5
	chatOnly := BackendInfo{Describe: &backendv1.DescribeResponse{
		Capabilities: &backendv1.Capabilities{Chat: &backendv1.ChatCapability{Sampling: []string{FieldStop}}, InputMediaTypes: []string{"image/png"}},
		Limits:       &backendv1.Limits{MaxPromptBytes: 10, MaxBlobBytes: 2},
	}}
	tool := []Tool{{Name: "t"}}
	tests := []struct {
		name    string
		turn    Turn
		ignored []string
		code    Code
		param   string
	}{
		{name: "fine", turn: Turn{Mode: ModeChat, Sampling: Sampling{Stop: []string{"x"}}}},
		{name: "ignored", turn: Turn{Mode: ModeChat, Sampling: Sampling{Temperature: &warm}}, ignored: []string{FieldTemperature}},
		{name: "strict", turn: Turn{Mode: ModeChat, StrictParams: true, Sampling: Sampling{Temperature: &warm}}, code: CodeInvalidRequest, param: FieldTemperature},
		{name: "agent", turn: Turn{Mode: ModeAgent}, code: CodeUnsupported, param: "mode"},
		{name: "tools", turn: Turn{Mode: ModeChat, Tools: tool}, ignored: []string{FieldTools}},
		{name: "forced tool", turn: Turn{Mode: ModeChat, Tools: tool, ToolChoice: ToolChoice{Kind: ToolChoiceRequired}}, code: CodeUnsupported, param: "tool_choice"},
		{name: "limits kept by the host", turn: Turn{Mode: ModeChat, StrictParams: true, OutputSchema: []byte("{}"), Sampling: Sampling{MaxOutputTokens: new(int64(9))}}},
		{name: "long", turn: Turn{Mode: ModeChat, Messages: say("12345678901")}, code: CodeTooLarge, param: "messages"},
		{name: "media", turn: Turn{Mode: ModeChat, Messages: []Message{{RoleUser, []Part{Blob{MediaType: "image/gif"}}}}}, code: CodeUnsupported, param: "messages"},
		{name: "big blob", turn: Turn{Mode: ModeChat, Messages: []Message{{RoleUser, []Part{Blob{MediaType: "image/png", Data: []byte("123")}}}}}, code: CodeTooLarge, param: "messages"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			ignored, err := check("b", &test.turn, chatOnly)
			if test.param != "" {
				if e := AsError(err); e == nil || e.Code != test.code || e.Param != test.param {
					t.Errorf("err = %+v", e)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.ignored, ignored); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestCancelReachesThePluginAndTimeout(t *testing.T) {
	f := newFakes(t)
	gone := make(chan struct{})
	f.add("b", nil, func(_ *backendv1.Start, s backendv1.BackendService_ExecuteServer) error {
		e := started()
		e.Sequence = 1
		if err := s.Send(e); err != nil {
			return err
		}
		<-s.Context().Done()
		close(gone)
		return s.Context().Err()
	})
	ctx, cancel := context.WithCancel(t.Context())
	x, err := New(Config{Backends: f}).Execute(ctx, &Turn{Model: "b", Messages: say("x")})
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	if _, err := x.Next(); err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := x.Next(); AsError(err).Code != CodeCanceled {
		t.Errorf("err = %v", err)
	}
	<-gone
}

func TestDrain(t *testing.T) {
	f := newFakes(t)
	f.add("b", nil, script(started(), completed("")))
	e := New(Config{Backends: f})
	x, err := e.Execute(t.Context(), &Turn{Model: "b", Messages: say("x")})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := e.Drain(ctx); err == nil {
		t.Error("drained with a turn under way")
	}
	if _, err := run(t, e, &Turn{Model: "b", Messages: say("x")}); err.Code != CodeUnavailable {
		t.Errorf("err = %v", err)
	}
	for err == nil {
		_, err = x.Next()
	}
	if err != io.EOF {
		t.Errorf("the turn under way: %v", err)
	}
	unclosed, cancelUnclosed := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancelUnclosed()
	if err := e.Drain(unclosed); err == nil {
		t.Error("drained before the turn was closed: its client and its session may not know the end")
	}
	x.Close()
	x.Close()
	if err := e.Drain(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestDrainRefusesWhatWaits: nobody waits for the end of a turn that had no place
// when draining began.
func TestDrainRefusesWhatWaits(t *testing.T) {
	f := newFakes(t)
	f.add("b", nil, script(started(), completed("")))
	e := New(Config{Backends: f, Limits: func(string) gate.Limits { return gate.Limits{MaxConcurrent: 1} }})
	first, err := e.Execute(t.Context(), &Turn{Model: "b", Messages: say("x")})
	if err != nil {
		t.Fatal(err)
	}
	waited := make(chan error, 1)
	go func() {
		_, err := e.Execute(t.Context(), &Turn{Model: "b", Messages: say("y")})
		waited <- err
	}()
	for queued := 0; queued == 0; _, queued, _ = e.Load("b") {
		runtime.Gosched()
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := e.Drain(gone); err == nil {
		t.Error("drained with a turn under way")
	}
	first.Close()
	if err := AsError(<-waited); err == nil || err.Code != CodeUnavailable {
		t.Errorf("err = %v", err)
	}
	if err := e.Drain(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestPressureHoldsTheQueue shows that turns wait while the backend uses too much,
// in their order, and that what ends the wait otherwise says why.
func TestPressureHoldsTheQueue(t *testing.T) {
	const reason = "backend b used 900 MB of its 500 MB limit"
	f := newFakes(t)
	order := make(chan string, 10)
	f.add("b", nil, func(start *backendv1.Start, s backendv1.BackendService_ExecuteServer) error {
		order <- start.GetMessages()[0].GetParts()[0].GetText()
		return script(started(), completed(""))(nil, s)
	})
	limits := gate.Limits{MaxConcurrent: 1, MaxQueue: 2, QueueTimeout: time.Minute}
	e := New(Config{Backends: f, Limits: func(string) gate.Limits { return limits }})
	f.press(reason)
	var wg sync.WaitGroup
	for i, text := range []string{"first", "second"} {
		wg.Go(func() {
			if _, err := run(t, e, &Turn{Model: "b", Messages: say(text)}); err != nil {
				t.Error(err)
			}
		})
		for {
			if _, queued, _ := e.Load("b"); queued == i+1 {
				break
			}
			runtime.Gosched()
		}
	}
	if _, err := run(t, e, &Turn{Model: "b", Messages: say("third")}); err == nil || err.Code != CodeQueueFull ||
		!strings.Contains(err.Message, reason) || err.RetryAfter < time.Second {
		t.Errorf("err = %+v", err)
	}
	f.press(reason + " still") // a change that is none
	if running, queued, _ := e.Load("b"); running != 0 || queued != 2 {
		t.Errorf("%d run, %d wait", running, queued)
	}
	f.press("")
	wg.Wait()
	if a, b := <-order, <-order; a != "first" || b != "second" {
		t.Errorf("order: %s, %s", a, b)
	}
	if running, queued, _ := e.Load("b"); running+queued != 0 {
		t.Errorf("%d run, %d wait at the end", running, queued)
	}
}

// TestPressureBeginsWhileTurnsRun shows that a place that gets free under pressure is
// kept until its end.
func TestPressureBeginsWhileTurnsRun(t *testing.T) {
	f := newFakes(t)
	release, began := make(chan struct{}), make(chan struct{}, 2)
	f.add("b", nil, func(_ *backendv1.Start, s backendv1.BackendService_ExecuteServer) error {
		began <- struct{}{}
		<-release
		return script(started(), completed(""))(nil, s)
	})
	e := New(Config{Backends: f, Limits: func(string) gate.Limits { return gate.Limits{MaxConcurrent: 1} }})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			if _, err := run(t, e, &Turn{Model: "b", Messages: say("x")}); err != nil {
				t.Error(err)
			}
		})
	}
	<-began
	for {
		if _, queued, _ := e.Load("b"); queued == 1 {
			break
		}
		runtime.Gosched()
	}
	f.press("too much")
	close(release)
	for {
		running, queued, _ := e.Load("b")
		if running == 0 {
			if queued != 1 {
				t.Errorf("%d wait", queued)
			}
			break
		}
		runtime.Gosched()
	}
	select {
	case <-began:
		t.Error("a turn began under pressure")
	case <-time.After(20 * time.Millisecond):
	}
	f.press("")
	wg.Wait()
}

func TestQueueTimeout(t *testing.T) {
	for _, tt := range []struct{ name, pressure, want string }{
		{"busy", "", "backend b was busy for 10ms"},
		{"pressure", "backend b used 900 MB of its 500 MB limit", "backend b used 900 MB of its 500 MB limit, and was not below it within 10ms"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFakes(t)
			f.add("b", nil, func(_ *backendv1.Start, s backendv1.BackendService_ExecuteServer) error {
				<-s.Context().Done()
				return s.Context().Err()
			})
			e := New(Config{Backends: f, Limits: func(string) gate.Limits { return gate.Limits{MaxConcurrent: 1, QueueTimeout: 10 * time.Millisecond} }})
			if tt.pressure == "" {
				x, err := e.Execute(t.Context(), &Turn{Model: "b", Messages: say("x")})
				if err != nil {
					t.Fatal(err)
				}
				defer x.Close()
			} else {
				f.press(tt.pressure)
			}
			_, err := run(t, e, &Turn{Model: "b", Messages: say("x")})
			if err == nil || err.Code != CodeQueueTimeout || !strings.Contains(err.Message, tt.want) || !err.Retryable || err.RetryAfter <= 0 {
				t.Errorf("err = %+v", err)
			}
			if _, queued, _ := e.Load("b"); queued != 0 {
				t.Errorf("%d wait", queued)
			}
		})
	}
}

// TestStoppedTurnsSayWhy shows that the failure of a turn whose process the host has
// stopped gives the host's reason, and another failure its own.
func TestStoppedTurnsSayWhy(t *testing.T) {
	const reason = "backend b used 900 MB of its 500 MB limit"
	for _, tt := range []struct {
		name    string
		stopped string
		execute func(f *fakeBackends) executeFunc
		want    string
	}{
		{"its CLI", reason, func(*fakeBackends) executeFunc {
			return script(started(), failed(backendv1.ErrorCode_ERROR_CODE_CLI_FAILURE))
		}, "the turn was stopped because " + reason},
		{"the plugin", reason, func(f *fakeBackends) executeFunc {
			return func(_ *backendv1.Start, s backendv1.BackendService_ExecuteServer) error {
				if err := s.Send(&backendv1.ExecuteResponse{Sequence: 1, Event: started().Event}); err != nil {
					return err
				}
				f.mu.Lock()
				p := f.procs["b"]
				f.mu.Unlock()
				go p.kill()
				<-s.Context().Done()
				return s.Context().Err()
			}
		}, "the turn was stopped because " + reason},
		{"another failure", reason, func(*fakeBackends) executeFunc {
			return script(started(), failed(backendv1.ErrorCode_ERROR_CODE_RATE_LIMITED))
		}, "it failed"},
		{"nothing was stopped", "", func(*fakeBackends) executeFunc {
			return script(started(), failed(backendv1.ErrorCode_ERROR_CODE_CLI_FAILURE))
		}, "it failed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFakes(t)
			f.stopped = tt.stopped
			f.add("b", nil, tt.execute(f))
			_, err := run(t, New(Config{Backends: f}), &Turn{Model: "b", Messages: say("x")})
			if err == nil || err.Message != tt.want {
				t.Fatalf("err = %+v", err)
			}
			if tt.want != "it failed" && err.Code != CodeCLIFailure {
				t.Errorf("code %v", err.Code)
			}
		})
	}
}
