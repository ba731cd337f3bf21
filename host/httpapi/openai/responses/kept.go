package responses

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/julienschmidt/httprouter"

	"github.com/clinvk/clinvk/host/engine"
	"github.com/clinvk/clinvk/host/httpapi"
	"github.com/clinvk/clinvk/host/httpapi/wire"
	"github.com/clinvk/clinvk/host/store"
)

// find reads the response that a path names.
func (d *Dialect) find(r *http.Request, p httprouter.Params) (*store.Response, error) {
	if err := d.needStore("looking a response up"); err != nil {
		return nil, err
	}
	id := p.ByName("id")
	record, err := d.config.Store.Response(r.Context(), httpapi.Owner(r), id)
	if errors.Is(err, store.ErrNotFound) {
		return nil, engine.Errorf(engine.CodeNotFound, "Response with id '%s' not found.", id)
	}
	if err != nil {
		return nil, err
	}
	if !record.Lease.IsZero() && time.Now().After(record.Lease) {
		record.Status, record.Lease = statusFailed, time.Time{}
		record.Error = errorObject("server_lost", "the server ended before the response was complete; send the request again")
	}
	return record, nil
}

// get answers GET /responses/{id}, and with stream=true the events of one in the
// background.
func (d *Dialect) get(w http.ResponseWriter, r *http.Request, p httprouter.Params) error {
	record, err := d.find(r, p)
	if err != nil {
		return err
	}
	run := d.runs.find(record.Owner, record.ID)
	query := r.URL.Query()
	if !wantsStream(r) {
		if run != nil && !record.Lease.IsZero() {
			wire.Write(w, http.StatusOK, run.object())
		} else {
			wire.Write(w, http.StatusOK, appendObject(nil, record, true))
		}
		return nil
	}
	after := -1
	if s := query.Get("starting_after"); s != "" {
		if after, err = strconv.Atoi(s); err != nil || after < 0 {
			return badQuery("starting_after", "must be the sequence number of an event")
		}
	}
	switch {
	case run == nil && !record.Lease.IsZero():
		return engine.Errorf(engine.CodeConflict, "response %s is in progress in another process of clinvk, which has its events; get it without stream", record.ID)
	case run == nil:
		return engine.Errorf(engine.CodeConflict, "the events of response %s are not kept, or not any more; get it without stream", record.ID)
	}
	return follow(w, r, run, after)
}

// wantsStream reads stream from the query, or from a body: OpenAI's client for Go
// sends it there, also with GET.
func wantsStream(r *http.Request) bool {
	if s := r.URL.Query().Get("stream"); s != "" {
		return s == "true"
	}
	body, err := httpapi.ReadBody(r)
	if err != nil { // there is none, nearly always
		return false
	}
	v, err := wire.Parse(body)
	if err != nil {
		return false
	}
	o, err := v.Object()
	if err != nil {
		return false
	}
	stream, err := o.Get("stream").Bool()
	return err == nil && stream
}

func badQuery(name, problem string) error {
	e := httpapi.Errorf(http.StatusBadRequest, "%s %s", name, problem)
	e.Param = name
	return e
}

// remove answers DELETE /responses/{id}.
func (d *Dialect) remove(w http.ResponseWriter, r *http.Request, p httprouter.Params) error {
	record, err := d.find(r, p)
	if err != nil {
		return err
	}
	if run := d.runs.find(record.Owner, record.ID); run != nil {
		run.abort()
		d.runs.forget(run)
	}
	if err := d.config.Store.DeleteResponse(r.Context(), record.Owner, record.ID); err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	b := wire.AppendString([]byte(`{"id":`), record.ID)
	wire.Write(w, http.StatusOK, append(b, `,"object":"response","deleted":true}`...))
	return nil
}

// Bounds of a page.
const (
	defaultPage = 20
	maxPage     = 100
)

// listInput answers GET /responses/{id}/input_items.
func (d *Dialect) listInput(w http.ResponseWriter, r *http.Request, p httprouter.Params) error {
	record, err := d.find(r, p)
	if err != nil {
		return err
	}
	query := r.URL.Query()
	limit := defaultPage
	if s := query.Get("limit"); s != "" {
		if limit, err = strconv.Atoi(s); err != nil || limit < 1 || limit > maxPage {
			return badQuery("limit", "must be between 1 and 100")
		}
	}
	v, err := parseArray(record.Input)
	if err != nil {
		return err
	}
	var items []wire.Value
	for _, e := range v.Elements() {
		items = append(items, e)
	}
	switch query.Get("order") {
	case "", "desc":
		slices.Reverse(items)
	case "asc":
	default:
		return badQuery("order", "must be asc or desc")
	}
	if after := query.Get("after"); after != "" {
		i := slices.IndexFunc(items, func(v wire.Value) bool { return itemID(v) == after })
		if i < 0 {
			return badQuery("after", "names no item of this response")
		}
		items = items[i+1:]
	}
	more := len(items) > limit
	wire.Write(w, http.StatusOK, appendPage(items[:min(limit, len(items))], more))
	return nil
}

func appendPage(items []wire.Value, more bool) []byte {
	b := []byte(`{"object":"list","data":[`)
	first, last := "", ""
	for i, item := range items {
		if last = itemID(item); i == 0 {
			first = last
		} else {
			b = append(b, ',')
		}
		b = append(b, item.Raw()...)
	}
	b = wire.AppendNullable(append(b, `],"first_id":`...), first)
	b = wire.AppendNullable(append(b, `,"last_id":`...), last)
	return append(appendBool(append(b, `,"has_more":`...), more), '}')
}

// itemID is the id of a kept item; each has one.
func itemID(v wire.Value) string {
	o, err := v.Object()
	if err != nil {
		return ""
	}
	id, _ := o.Get("id").String()
	return id
}
