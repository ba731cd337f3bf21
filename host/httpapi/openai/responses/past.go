package responses

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/clinvk/clinvk/host/engine"
	"github.com/clinvk/clinvk/host/store"
)

// Bounds of what one request takes from the store.
const (
	// maxChain is how many responses one continues: more would not fit any model.
	maxChain = 1000
	// maxReferences is how many items are named by their ids.
	maxReferences = 1000
	// maxPast is the size in bytes of the responses that are read, and that of the
	// items that are taken from them by reference.
	maxPast = 64 << 20
)

// errPrevious says that a response cannot be continued: it or one before it is gone,
// or there are too many.
type errPrevious struct {
	id   string
	many bool
}

func (e *errPrevious) Error() string {
	if e.many {
		return fmt.Sprintf("The conversation before '%s' has more than %d responses; begin a new one, with a summary of this one.", e.id, maxChain)
	}
	return "Previous response with id '" + e.id + "' not found."
}

// past is what a request takes from the store. It is for one request, and for one
// goroutine.
type past struct {
	d     *Dialect
	owner string
	// records are the items, by their ids, of each response that was looked at; nil: it
	// is not there.
	records     map[string]map[string]json.RawMessage
	references  int
	read, taken int // bytes
}

func (d *Dialect) newPast(owner string) *past {
	return &past{d: d, owner: owner, records: map[string]map[string]json.RawMessage{}}
}

func errPast() error {
	return engine.Errorf(engine.CodeTooLarge, "what previous_response_id and item_reference bring back is larger than %d MiB; begin a new conversation", maxPast>>20)
}

// before lists the items of a response and those before it, the oldest first; id may
// be empty.
func (p *past) before(ctx context.Context, id string) ([]json.RawMessage, error) {
	if id == "" {
		return nil, nil
	}
	if err := p.d.needStore("previous_response_id"); err != nil {
		return nil, err
	}
	chain, err := p.d.config.Store.ResponseChain(ctx, p.owner, id, store.ChainLimit{Responses: maxChain, Bytes: maxPast})
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil, &errPrevious{id: id}
	case errors.Is(err, store.ErrTooMany):
		return nil, &errPrevious{id: id, many: true}
	case errors.Is(err, store.ErrTooLarge):
		return nil, errPast()
	case err != nil:
		return nil, err
	}
	if last := chain[len(chain)-1]; !last.Lease.IsZero() && time.Now().Before(last.Lease) {
		return nil, engine.Errorf(engine.CodeConflict, "response %s is still in progress; wait for its end", id)
	}
	var items []json.RawMessage
	for _, r := range chain {
		items = append(items, r.Input, r.Output)
		p.read += len(r.Input) + len(r.Output)
	}
	return items, nil
}

// item finds an item by its id, which tells the response that it belongs to; nil: it
// is not there.
func (p *past) item(ctx context.Context, id string) (json.RawMessage, error) {
	if p.references++; p.references > maxReferences {
		return nil, engine.Errorf(engine.CodeTooLarge, "there are more than %d items of type item_reference; send the items, or use previous_response_id", maxReferences)
	}
	_, base, _ := strings.Cut(id, "_")
	base, _, ok := strings.Cut(base, "_")
	if !ok || p.d.config.Store == nil {
		return nil, nil
	}
	items, known := p.records[base]
	if !known {
		var err error
		if items, err = p.load(ctx, idPrefix+base); err != nil {
			return nil, err
		}
		p.records[base] = items
	}
	item := items[id]
	if p.taken += len(item); p.taken > maxPast {
		return nil, errPast()
	}
	return item, nil
}

// load reads the items of a response.
func (p *past) load(ctx context.Context, id string) (map[string]json.RawMessage, error) {
	r, err := p.d.config.Store.Response(ctx, p.owner, id)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if p.read += len(r.Input) + len(r.Output); p.read > maxPast {
		return nil, errPast()
	}
	items := map[string]json.RawMessage{}
	for _, list := range []json.RawMessage{r.Input, r.Output} {
		v, err := parseArray(list)
		if err != nil {
			return nil, fmt.Errorf("reading response %s: %w", id, err)
		}
		for _, e := range v.Elements() {
			items[itemID(e)] = e.Raw()
		}
	}
	return items, nil
}
