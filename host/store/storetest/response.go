package storetest

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/clinvk/clinvk/host/store"
)

// Responses is a store of responses.
type Responses interface {
	SaveResponse(ctx context.Context, r *store.Response) error
	RenewResponse(ctx context.Context, id string, lease time.Time) error
	EndResponse(ctx context.Context, r *store.Response) error
	Response(ctx context.Context, owner, id string) (*store.Response, error)
	ResponseChain(ctx context.Context, owner, id string, limit store.ChainLimit) ([]*store.Response, error)
	DeleteResponse(ctx context.Context, owner, id string) error
}

// wide is a limit that no test here passes.
var wide = store.ChainLimit{Responses: 9, Bytes: 1 << 20}

func sample(id, previous string) *store.Response {
	return &store.Response{
		ID: id, Owner: "me", Previous: previous, Model: "m", Created: time.Unix(1_700_000_000, 0), Status: "completed",
		Input: json.RawMessage(`[1]`), Output: json.RawMessage(`["\u00e9"]`), Settings: json.RawMessage(`{}`),
	}
}

// TestResponses runs the suite. open gives two handles on one new, empty store.
func TestResponses(t *testing.T, open func(t *testing.T) (a, b Responses)) {
	t.Run("save and find", func(t *testing.T) {
		a, b := open(t)
		r := sample("resp_1", "")
		r.Lease = time.UnixMilli(1_700_000_000_123)
		save(t, a, r)
		r.Completed, r.Lease, r.Status, r.Usage = time.Unix(1_700_000_009, 0), time.Time{}, "failed", json.RawMessage(`{"a":1}`)
		save(t, a, r)
		got, err := b.Response(t.Context(), "me", "resp_1")
		if diff := cmp.Diff(r, got); err != nil || diff != "" {
			t.Errorf("got %v\n%s", err, diff)
		}
	})
	t.Run("other owners", func(t *testing.T) {
		a, b := open(t)
		save(t, a, sample("resp_1", ""))
		_, err := b.Response(t.Context(), "you", "resp_1")
		absent(t, "finding", err)
		_, err = b.ResponseChain(t.Context(), "you", "resp_1", wide)
		absent(t, "following", err)
		absent(t, "deleting", b.DeleteResponse(t.Context(), "you", "resp_1"))
		theirs := sample("resp_1", "")
		theirs.Owner = "you"
		if err := b.SaveResponse(t.Context(), theirs); err == nil {
			t.Error("another owner's response was overwritten")
		}
	})
	t.Run("chain", func(t *testing.T) {
		a, b := open(t)
		save(t, a, sample("resp_c", ""))
		save(t, a, sample("resp_a", "resp_c"))
		save(t, b, sample("resp_b", "resp_a"))
		chain, err := a.ResponseChain(t.Context(), "me", "resp_b", wide)
		if err != nil || len(chain) != 3 || chain[0].ID != "resp_c" || chain[2].ID != "resp_b" {
			t.Fatalf("got %v, %v", chain, err)
		}
		size := int64(len(chain[0].Input)+len(chain[0].Output)) * 3
		for _, test := range []struct {
			limit store.ChainLimit
			want  error
		}{
			{store.ChainLimit{Responses: 3, Bytes: size}, nil},
			{store.ChainLimit{Responses: 2, Bytes: size}, store.ErrTooMany},
			{store.ChainLimit{Responses: 3, Bytes: size - 1}, store.ErrTooLarge},
			{store.ChainLimit{Responses: 3, Bytes: 1}, store.ErrTooLarge},
		} {
			if _, err := a.ResponseChain(t.Context(), "me", "resp_b", test.limit); !errors.Is(err, test.want) {
				t.Errorf("%+v: got %v, want %v", test.limit, err, test.want)
			}
		}
		if err := a.DeleteResponse(t.Context(), "me", "resp_c"); err != nil {
			t.Fatal(err)
		}
		_, err = b.ResponseChain(t.Context(), "me", "resp_b", wide)
		absent(t, "following a broken chain", err)
	})
	t.Run("lease", func(t *testing.T) {
		a, b := open(t)
		absent(t, "renewing what is not there", b.RenewResponse(t.Context(), "resp_1", time.UnixMilli(5)))
		r := sample("resp_1", "")
		save(t, a, r)
		absent(t, "renewing what is over", b.RenewResponse(t.Context(), "resp_1", time.UnixMilli(5)))
		if got, err := a.Response(t.Context(), "me", "resp_1"); err != nil || !got.Lease.IsZero() {
			t.Errorf("a response that is over has a lease: %v, %v", got, err)
		}
		r.Lease = time.UnixMilli(4)
		save(t, a, r)
		if err := b.RenewResponse(t.Context(), "resp_1", time.UnixMilli(5)); err != nil {
			t.Error(err)
		}
		if got, err := a.Response(t.Context(), "me", "resp_1"); err != nil || !got.Lease.Equal(time.UnixMilli(5)) {
			t.Errorf("the lease was not renewed: %v, %v", got, err)
		}
	})
	t.Run("end", func(t *testing.T) {
		a, b := open(t)
		r := sample("resp_1", "")
		absent(t, "ending what is not there", b.EndResponse(t.Context(), r))
		r.Status, r.Lease = "in_progress", time.UnixMilli(4)
		save(t, a, r)
		theirs := *r
		theirs.Owner = "you"
		absent(t, "ending another owner's", b.EndResponse(t.Context(), &theirs))
		r.Status, r.Lease, r.Completed, r.Output = "cancelled", time.Time{}, time.Unix(1_700_000_009, 0), json.RawMessage(`[2]`)
		if err := b.EndResponse(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		late := *r
		late.Status = "completed"
		absent(t, "ending what is over", a.EndResponse(t.Context(), &late))
		got, err := a.Response(t.Context(), "me", "resp_1")
		if diff := cmp.Diff(r, got); err != nil || diff != "" {
			t.Errorf("got %v\n%s", err, diff)
		}
	})
}

func save(t *testing.T, s Responses, r *store.Response) {
	t.Helper()
	if err := s.SaveResponse(t.Context(), r); err != nil {
		t.Fatal(err)
	}
}

func absent(t *testing.T, what string, err error) {
	t.Helper()
	if !errors.Is(err, store.ErrNotFound) {
		t.Errorf("%s: got %v, want store.ErrNotFound", what, err)
	}
}
