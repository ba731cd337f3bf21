package engine

import (
	"context"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
)

// outcomes remembers what an engine tells.
type outcomes struct {
	mu  sync.Mutex
	all []Outcome
}

func (o *outcomes) observe(_ context.Context, out Outcome) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.all = append(o.all, out)
}

func TestOutcomes(t *testing.T) {
	running := make(chan struct{}, 1)
	f := newFakes(t)
	f.add("good", nil, script(started(), delta("hello"), completed("")))
	f.add("bad", nil, script(started(), failed(backendv1.ErrorCode_ERROR_CODE_RATE_LIMITED)))
	f.add("endless", nil, func(_ *backendv1.Start, s backendv1.BackendService_ExecuteServer) error {
		running <- struct{}{}
		<-s.Context().Done()
		return s.Context().Err()
	})
	type told struct {
		Backend  string
		Admitted bool
		Code     Code // CodeInternal: no error
		Said     bool
	}
	for _, test := range []struct {
		name  string
		model string
		close bool // before the answer is there
		want  told
	}{
		{"answered", "good", false, told{Backend: "good", Admitted: true, Said: true}},
		{"failed", "bad", false, told{Backend: "bad", Admitted: true, Code: CodeRateLimited}},
		{"closed", "endless", true, told{Backend: "endless", Admitted: true, Code: CodeCanceled}},
		{"refused", "nobody", false, told{Code: CodeModelNotFound}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var o outcomes
			e := New(Config{Backends: f, Observe: o.observe})
			x, err := e.Execute(t.Context(), &Turn{Model: test.model, Messages: say("hi")})
			switch {
			case err != nil:
			case test.close:
				<-running
				x.Close()
			default:
				for err == nil {
					_, err = x.Next()
				}
				_, _ = x.Next() // to be told the end again changes nothing
				x.Close()
			}
			got := make([]told, len(o.all))
			for i, out := range o.all {
				got[i] = told{Backend: out.Backend, Admitted: out.Admitted, Said: Known(out.Usage.OutputTokens) > 0}
				if out.Err != nil {
					got[i].Code = out.Err.Code
				}
				if out.Timing.Total <= 0 || (out.Timing.FirstToken > 0) != test.want.Said {
					t.Errorf("timing %+v", out.Timing)
				}
			}
			if diff := cmp.Diff([]told{test.want}, got, cmpopts.EquateEmpty()); diff != "" {
				t.Error(diff)
			}
		})
	}
}
