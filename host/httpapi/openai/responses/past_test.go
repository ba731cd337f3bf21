//go:build unix

package responses

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	api "github.com/openai/openai-go/v3/responses"

	"github.com/clinvk/clinvk/host/engine"
	"github.com/clinvk/clinvk/host/store"
)

func keep(t *testing.T, d *Dialect, r *store.Response) {
	t.Helper()
	if err := d.config.Store.SaveResponse(t.Context(), r); err != nil {
		t.Fatal(err)
	}
}

// large is a kept response whose only item has n bytes of text.
func large(id, previous string, n int) *store.Response {
	return &store.Response{
		ID: idPrefix + id, Previous: previous, Status: statusCompleted, Created: time.Now(), Output: json.RawMessage("[]"), Settings: json.RawMessage("{}"),
		Input: json.RawMessage(`[{"id":"msg_` + id + `_in0","type":"message","role":"user","content":"` + strings.Repeat("x", n) + `"}]`),
	}
}

func TestReference(t *testing.T) {
	f := &fake{events: answer}
	client, _ := serve(t, f)
	first, err := client.Responses.New(t.Context(), hello())
	if err != nil {
		t.Fatal(err)
	}
	params := hello()
	params.Input = api.ResponseNewParamsInputUnion{OfInputItemList: api.ResponseInputParam{
		api.ResponseInputItemParamOfItemReference("msg_1_in0"), api.ResponseInputItemParamOfItemReference(first.Output[0].ID),
	}}
	if _, err := client.Responses.New(t.Context(), params); err != nil {
		t.Fatal(err)
	}
	want := []engine.Message{
		{Role: engine.RoleUser, Parts: []engine.Part{engine.Text("hi")}},
		{Role: engine.RoleAssistant, Parts: []engine.Part{engine.Text("Hello")}},
	}
	if diff := cmp.Diff(want, f.last().Messages); diff != "" {
		t.Error(diff)
	}
}

func tooLarge(err error) bool {
	e, ok := errors.AsType[*engine.Error](err)
	return ok && e.Code == engine.CodeTooLarge && strings.Contains(e.Message, "item_reference")
}

func TestReferenceBounds(t *testing.T) {
	_, d := serve(t, &fake{})
	const size = 1 << 20
	keep(t, d, large("a", "", size))
	p := d.newPast("")
	for i := range maxPast/size - 1 {
		if item, err := p.item(t.Context(), "msg_a_in0"); err != nil || len(item) < size {
			t.Fatalf("item %d: %d bytes, %v", i, len(item), err)
		}
	}
	if p.read > 2*size {
		t.Errorf("the response was read again: %d bytes", p.read)
	}
	if _, err := p.item(t.Context(), "msg_a_in0"); !tooLarge(err) {
		t.Errorf("too many bytes: %v", err)
	}
	p = d.newPast("")
	for range maxReferences {
		if item, err := p.item(t.Context(), "msg_a_in1"); err != nil || item != nil {
			t.Fatalf("got %s, %v", item, err)
		}
	}
	if _, err := p.item(t.Context(), "msg_a_in1"); !tooLarge(err) {
		t.Errorf("too many references: %v", err)
	}
}

func TestChainBounds(t *testing.T) {
	_, d := serve(t, &fake{})
	previous := ""
	for i := range 3 {
		r := large(fmt.Sprint(i), previous, maxPast/3)
		keep(t, d, r)
		previous = r.ID
	}
	if _, err := d.newPast("").before(t.Context(), previous); !tooLarge(err) {
		t.Errorf("too many bytes: %v", err)
	}
	previous = ""
	for i := range maxChain + 1 {
		if i == maxChain {
			if items, err := d.newPast("").before(t.Context(), previous); err != nil || len(items) != 2*maxChain {
				t.Errorf("the longest chain: %d items, %v", len(items), err)
			}
		}
		r := large(fmt.Sprintf("c%d", i), previous, 1)
		keep(t, d, r)
		previous = r.ID
	}
	_, err := d.newPast("").before(t.Context(), previous)
	if e, ok := errors.AsType[*errPrevious](err); !ok || !e.many {
		t.Errorf("too many responses: %v", err)
	}
}
