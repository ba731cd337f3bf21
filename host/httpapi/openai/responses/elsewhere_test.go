//go:build unix

package responses

import (
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/openai/openai-go/v3"
	api "github.com/openai/openai-go/v3/responses"

	"github.com/clinvk/clinvk/test/await"
)

// twoProcesses are two servers on one store. The first works on a response, which is
// known by its id and its run.
func twoProcesses(t *testing.T) (worker, other openai.Client, d *Dialect, r *run) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "clinvk.db")
	worker, d = serveFile(t, &fake{events: answer, gate: make(chan struct{})}, path)
	other, _ = serveFile(t, &fake{events: answer}, path)
	id := background(t, worker)
	d.runs.mu.Lock()
	defer d.runs.mu.Unlock()
	return worker, other, d, d.runs.byID[id]
}

// over waits until the turn of a run has ended.
func over(t *testing.T, d *Dialect) {
	t.Helper()
	await.Until(t, 10*time.Second, "the turn ends", func() bool {
		d.runs.mu.Lock()
		defer d.runs.mu.Unlock()
		return d.runs.total.active == 0
	})
}

func TestCancelElsewhere(t *testing.T) {
	worker, other, d, run := twoProcesses(t)
	r, err := other.Responses.Cancel(t.Context(), run.id)
	if err != nil || r.Status != statusCancelled {
		t.Fatalf("got %v, %v", r, err)
	}
	again, err := other.Responses.Cancel(t.Context(), run.id)
	if err != nil || again.RawJSON() != r.RawJSON() {
		t.Errorf("cancelled again: %v, %v", again, err)
	}
	d.renew(t.Context(), run)
	over(t, d)
	for name, client := range map[string]openai.Client{"worker": worker, "other": other} {
		got, err := client.Responses.Get(t.Context(), run.id, api.ResponseGetParams{})
		if err != nil || got.RawJSON() != r.RawJSON() {
			t.Errorf("%s: got %v, %v", name, got, err)
		}
	}
	if events, news, _ := run.after(-1); news != nil || len(events) == 0 {
		t.Error("those who follow it do not hear of its end")
	}
}

func TestDeleteElsewhere(t *testing.T) {
	worker, other, d, run := twoProcesses(t)
	if err := other.Responses.Delete(t.Context(), run.id); err != nil {
		t.Fatal(err)
	}
	d.renew(t.Context(), run)
	over(t, d)
	for name, client := range map[string]openai.Client{"worker": worker, "other": other} {
		if got, err := client.Responses.Get(t.Context(), run.id, api.ResponseGetParams{}); status(err) != http.StatusNotFound {
			t.Errorf("%s: got %v, %v", name, got, err)
		}
	}
}

// TestEndsElsewhere: what was cancelled or deleted before its end stays so when the
// process that works on it gets to the end before it notices.
func TestEndsElsewhere(t *testing.T) {
	for name, want := range map[string]int{"cancelled": 0, "deleted": http.StatusNotFound} {
		t.Run(name, func(t *testing.T) {
			_, other, d, run := twoProcesses(t)
			var err error
			if name == "deleted" {
				err = other.Responses.Delete(t.Context(), run.id)
			} else {
				_, err = other.Responses.Cancel(t.Context(), run.id)
			}
			if err != nil {
				t.Fatal(err)
			}
			run.abort() // the end of its turn
			over(t, d)
			got, err := other.Responses.Get(t.Context(), run.id, api.ResponseGetParams{})
			if status(err) != want || want == 0 && (got.Status != statusCancelled || len(got.Output) != 0) {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
}

// TestFollowElsewhere is refused: the events are in the other process.
func TestFollowElsewhere(t *testing.T) {
	_, other, _, run := twoProcesses(t)
	stream := other.Responses.GetStreaming(t.Context(), run.id, api.ResponseGetParams{})
	if stream.Next() || status(stream.Err()) != http.StatusConflict {
		t.Errorf("got %v", stream.Err())
	}
}
