package rest_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/clinvk/clinvk/host/engine"
	"github.com/clinvk/clinvk/host/httpapi/dialecttest"
	"github.com/clinvk/clinvk/host/httpapi/rest"
	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
)

// parrot answers with the prompt; the backend "down" is not available, and a prompt
// that begins with "fail" fails after its answer.
type parrot struct{ dialecttest.Engine }

func (*parrot) Execute(_ context.Context, t *engine.Turn) (*engine.Execution, error) {
	if t.Backend == "down" {
		return nil, engine.Errorf(engine.CodeUnavailable, "it is down")
	}
	text, _ := t.Messages[0].Parts[len(t.Messages[0].Parts)-1].(engine.Text)
	var failure error
	events := []engine.Event{&engine.Started{Model: "m"}, &engine.TextDelta{Text: string(text)}}
	if strings.HasPrefix(string(text), "fail") {
		code := 7
		failure = &engine.Error{Code: engine.CodeCLIFailure, Message: "it broke", ExitCode: &code}
	} else {
		n := int64(3)
		events = append(events, &engine.Completed{Reason: engine.FinishStop, Usage: engine.Usage{InputTokens: &n}})
	}
	return engine.Replay("turn_1", t.Backend, t.Model, dialecttest.Source(events, failure)), nil
}

func (*parrot) Backends() []engine.BackendInfo {
	ready := &backendv1.HealthResponse{State: backendv1.HealthState_HEALTH_STATE_READY}
	return []engine.BackendInfo{{Name: "echo", Serving: true, Health: ready}, {Name: "off"}, {Name: "two", Serving: true, Health: ready}}
}

func (*parrot) Backend(name string) (engine.BackendInfo, error) {
	return engine.BackendInfo{Name: name}, nil
}

func (*parrot) Restart(context.Context, string) (engine.BackendInfo, error) {
	return engine.BackendInfo{}, nil
}

func (*parrot) Load(string) (running, queued, limit int) { return 0, 0, 1 }

// post asks a dialect over the parrot.
func post(t *testing.T, path, body, accept string) (status int, contentType string, answer []byte) {
	t.Helper()
	server := dialecttest.Serve(t, rest.New(rest.Config{Engine: &parrot{}}))
	q, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/api/v1"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	q.Header.Set("Content-Type", "application/json")
	q.Header.Set("Accept", accept)
	response, err := http.DefaultClient.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err = io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, response.Header.Get("Content-Type"), answer
}

// shape is what the tests compare of an answer.
type shape struct {
	Completed      int    `json:"completed"`
	Failed         int    `json:"failed"`
	CompletedSteps int    `json:"completed_steps"`
	FailedStep     int    `json:"failed_step"`
	Results        []line `json:"results"`
}

type line struct {
	Index    *int   `json:"index"`
	Step     int    `json:"step"`
	TaskID   string `json:"task_id"`
	Backend  string `json:"backend"`
	Output   string `json:"output"`
	ExitCode int    `json:"exit_code"`
	Error    *struct {
		Code string `json:"code"`
	} `json:"error"`
}

// short is a result in one line.
func (l line) short() string {
	s := l.Backend + ":" + l.Output
	if l.TaskID != "" {
		s = l.TaskID + " " + s
	}
	if l.Error != nil {
		s += " !" + l.Error.Code
	}
	return s
}

func shorts(ls []line) (out []string) {
	for _, l := range ls {
		out = append(out, l.short())
	}
	return out
}

var verbs = []struct {
	name, path, schema, body string
	want                     []string
	check                    func(shape) bool
}{
	{
		"parallel", "/parallel", "ParallelAnswer",
		`{"max_parallel": 2, "tasks": [{"id": "a", "backend": "echo", "prompt": "one"}, {"backend": "echo", "prompt": "fail it"}, {"backend": "down", "prompt": "x"}, {"backend": "echo", "prompt": "four"}]}`,
		[]string{"a echo:one", "echo:fail it !backend_failure", "down: !backend_unavailable", "echo:four"},
		func(s shape) bool {
			return s.Completed == 2 && s.Failed == 2 && *s.Results[3].Index == 3 && s.Results[1].ExitCode == 7
		},
	},
	{
		"chain", "/chain", "ChainAnswer",
		`{"steps": [{"backend": "echo", "prompt": "one", "name": "first"}, {"backend": "echo", "prompt": "<{{previous}}>"}, {"backend": "echo", "prompt": "{{steps.first.output}}+{{previous}}", "images": ["data:image/png;base64,iVBORw0KGgo="]}]}`,
		[]string{"echo:one", "echo:<one>", "echo:one+<one>"},
		func(s shape) bool { return s.CompletedSteps == 3 && s.FailedStep == 0 && s.Results[2].Step == 3 },
	},
	{
		"chain stops", "/chain", "ChainAnswer",
		`{"steps": [{"backend": "echo", "prompt": "fail"}, {"backend": "echo", "prompt": "{{previous}}"}]}`,
		[]string{"echo:fail !backend_failure"},
		func(s shape) bool { return s.CompletedSteps == 0 && s.FailedStep == 1 },
	},
	{
		"chain goes on", "/chain", "ChainAnswer",
		`{"stop_on_failure": false, "steps": [{"backend": "echo", "prompt": "fail"}, {"backend": "echo", "prompt": "after {{previous}}"}]}`,
		[]string{"echo:fail !backend_failure", "echo:after fail"},
		func(s shape) bool { return s.CompletedSteps == 1 && s.FailedStep == 1 },
	},
	{
		"compare", "/compare", "CompareAnswer", `{"prompt": "hi", "backends": ["echo", "down"]}`,
		[]string{"echo:hi", "down: !backend_unavailable"}, func(shape) bool { return true },
	},
	{
		"compare all", "/compare", "CompareAnswer", `{"prompt": "hi", "sequential": true, "models": {"two": "big"}}`,
		[]string{"echo:hi", "two:hi"}, func(shape) bool { return true },
	},
}

func TestSeveralTurns(t *testing.T) {
	for _, verb := range verbs {
		t.Run(verb.name, func(t *testing.T) {
			status, contentType, body := post(t, verb.path, verb.body, "")
			if status != http.StatusOK || contentType != "application/json" {
				t.Fatalf("status %d, %s: %s", status, contentType, body)
			}
			dialecttest.Valid(t, verb.schema, body)
			var got shape
			if err := json.Unmarshal(body, &got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(verb.want, shorts(got.Results)); diff != "" || !verb.check(got) {
				t.Errorf("%s\n%s", diff, body)
			}
		})
	}
}

// TestSeveralTurnsStreamed: the events of each turn end with exactly one done or error,
// and the last one of all is the answer that is not streamed.
func TestSeveralTurnsStreamed(t *testing.T) {
	for _, verb := range verbs {
		for _, accept := range []string{"", "text/event-stream"} {
			t.Run(verb.name+" "+accept, func(t *testing.T) {
				body := verb.body
				if accept == "" {
					body = strings.Replace(body, "{", `{"output_format": "stream-json", `, 1)
				}
				status, contentType, stream := post(t, verb.path, body, accept)
				if want := map[string]string{"": "application/x-ndjson"}[accept] + accept; status != http.StatusOK || contentType != want {
					t.Fatalf("status %d, %s: %s", status, contentType, stream)
				}
				checkStream(t, verb.schema, verb.want, lines(t, stream, accept != ""))
			})
		}
	}
}

// lines takes the events out of a stream.
func lines(t *testing.T, stream []byte, sse bool) (out []string) {
	t.Helper()
	scanner := bufio.NewScanner(strings.NewReader(string(stream)))
	for scanner.Scan() {
		text := scanner.Text()
		if sse {
			data, ok := strings.CutPrefix(text, "data: ")
			if !ok {
				continue
			}
			text = data
		}
		out = append(out, text)
	}
	return out
}

func checkStream(t *testing.T, schema string, want, events []string) {
	t.Helper()
	ends := map[string]int{}
	for i, text := range events {
		dialecttest.Valid(t, "PromptEvent", []byte(text))
		var e struct {
			Type     string
			Sequence int
			Index    *int
			Step     int
			Content  json.RawMessage
		}
		if err := json.Unmarshal([]byte(text), &e); err != nil {
			t.Fatal(err)
		}
		if e.Sequence != i+1 {
			t.Errorf("event %d has sequence %d", i+1, e.Sequence)
		}
		if e.Type == "done" || e.Type == "error" {
			place, _ := json.Marshal([]any{e.Index, e.Step})
			ends[string(place)]++
		}
		if (e.Type == "result") != (i == len(events)-1) {
			t.Errorf("event %d is %s", i+1, e.Type)
		}
		if e.Type != "result" {
			continue
		}
		dialecttest.Valid(t, schema, e.Content)
		var got shape
		if err := json.Unmarshal(e.Content, &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, shorts(got.Results)); diff != "" {
			t.Error(diff)
		}
	}
	for place, n := range ends {
		if n != 1 {
			t.Errorf("the turn %s has ended %d times", place, n)
		}
	}
	if len(ends) < len(want) {
		t.Errorf("%d turns have ended, there are %d", len(ends), len(want))
	}
}

func TestSeveralTurnsRefused(t *testing.T) {
	const p = `{"backend": "echo", "prompt": "x"}`
	for _, test := range []struct{ path, body, pointer, detail string }{
		{"/parallel", `{}`, "/tasks", "at least one"},
		{"/parallel", `{"tasks": [` + strings.Repeat(p+",", 256) + p + `]}`, "/tasks", "at most 256"},
		{"/parallel", `{"tasks": [` + p + `, {"backend": "echo"}]}`, "/tasks/1/prompt", "prompt is required"},
		{"/parallel", `{"tasks": [` + p + `], "max_parallle": 1}`, "/max_parallle", `did you mean "max_parallel"`},
		{"/parallel", `{"tasks": [{"promt": "x"}]}`, "/promt", `did you mean "prompt"`},
		{"/parallel", `{"tasks": [` + p + `], "max_parallel": 0}`, "/max_parallel", "between 1 and 64"},
		{"/parallel", `{"tasks": [` + p + `], "output_format": "text"}`, "/output_format", "stream-json"},
		{"/parallel", `{"tasks": [{"prompt": "x", "output_format": "stream-json"}]}`, "/tasks/0/output_format", "for the whole request"},
		{"/parallel", `{"tasks": "x"}`, "/tasks", "must be an array"},
		{"/chain", `{"steps": []}`, "/steps", "at least one"},
		{"/chain", `{"steps": [{"prompt": "{{previous}}"}]}`, "/steps/0/prompt", "no step before"},
		{"/chain", `{"steps": [{"prompt": "a", "name": "n"}, {"prompt": "{{steps.m.output}}"}]}`, "/steps/1/prompt", "no placeholder here"},
		{"/chain", `{"steps": [{"prompt": "a", "name": "n"}, {"prompt": "b", "name": "n"}]}`, "/steps/1/name", "an earlier step"},
		{"/compare", `{"backends": ["echo"]}`, "/prompt", "prompt is required"},
		{"/compare", `{"prompt": "x", "backend": "echo"}`, "/backend", "backends"},
		{"/compare", `{"prompt": "x", "backends": ["echo", "echo"]}`, "/backends/1", "once"},
		{"/compare", `{"prompt": "x", "backends": ["echo"], "models": {"two": "m"}}`, "/models/two", "not among"},
	} {
		status, contentType, body := post(t, test.path, test.body, "")
		if status != http.StatusBadRequest || contentType != "application/problem+json" {
			t.Fatalf("%s: status %d, %s: %s", test.body, status, contentType, body)
		}
		dialecttest.Valid(t, "Problem", body)
		var got struct {
			Detail string
			Errors []struct{ Pointer string }
		}
		if err := json.Unmarshal(body, &got); err != nil {
			t.Fatal(err)
		}
		if len(got.Errors) != 1 || got.Errors[0].Pointer != test.pointer || !strings.Contains(got.Detail, test.detail) {
			t.Errorf("%.80s: %s", test.body, body)
		}
	}
}
