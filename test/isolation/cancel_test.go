//go:build linux

package isolation_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/clinvk/clinvk/host/hosttest"
)

// TestCancelOfADeafPlugin cancels turns of a plugin that takes no notice: they are cut
// off, and the client is told.
func TestCancelOfADeafPlugin(t *testing.T) {
	w := newWorld(t, nil, hosttest.Entry(t, hosttest.Script{Name: faulty}, hosttest.Plain))
	w.settled(t)
	for _, kind := range []string{hosttest.Block, hosttest.IgnoreCancel} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			ended := make(chan outcome, 1)
			go func() {
				o, err := w.turn(t.Context(), restWhole, faulty, kind, "hi")
				if err != nil {
					t.Error(err)
				}
				ended <- o
			}()
			id := ""
			eventually(t, "the turn runs", func() bool {
				for _, x := range w.executions(t) {
					if x.Model == faulty+"/"+kind && x.State == "running" {
						id = x.ID
					}
				}
				return id != ""
			})
			resp, err := w.client.Post(w.url+"/api/v1/executions/"+id+"/cancel", "", nil)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			var x executionState
			if err := json.NewDecoder(resp.Body).Decode(&x); err != nil || resp.StatusCode != http.StatusOK || x.State != "cancelled" {
				t.Errorf("%v: %s %+v", err, resp.Status, x)
			}
			const why = "cut off because backend"
			if o := <-ended; o.failure == nil || o.failure.kind != "cancelled" || !strings.Contains(o.failure.message, why) {
				t.Errorf("the turn: %v", o)
			}
		})
	}
	t.Cleanup(func() {
		if n := w.backend(t, faulty).Running; n != 0 {
			t.Errorf("%d turns run", n)
		}
	})
}

type executionState struct{ ID, State, Model string }

// executions asks the server for all.
func (w *world) executions(t testing.TB) []executionState {
	t.Helper()
	resp, err := w.client.Get(w.url + "/api/v1/executions")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var list struct{ Executions []executionState }
	if err := json.NewDecoder(resp.Body).Decode(&list); err != nil {
		t.Fatal(err)
	}
	return list.Executions
}
