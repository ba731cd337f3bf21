package anthropic

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/julienschmidt/httprouter"

	"github.com/clinvk/clinvk/host/engine"
	"github.com/clinvk/clinvk/host/httpapi"
	"github.com/clinvk/clinvk/host/httpapi/wire"
)

// maxPage is the most models of a page, and how many there are if the client does not
// say: lists are short here.
const maxPage = 1000

func (d *Dialect) listModels(w http.ResponseWriter, r *http.Request, _ httprouter.Params) error {
	page, more, err := page(d.config.Engine.Models(), r.URL.Query())
	if err != nil {
		return err
	}
	b := []byte(`{"data":[`)
	for i, m := range page {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendModel(b, m)
	}
	b = strconv.AppendBool(append(b, `],"has_more":`...), more)
	var first, last string
	if len(page) > 0 {
		first, last = page[0].ID, page[len(page)-1].ID
	}
	b = wire.AppendNullable(append(b, `,"first_id":`...), first)
	b = wire.AppendNullable(append(b, `,"last_id":`...), last)
	wire.Write(w, http.StatusOK, append(b, '}'))
	return nil
}

// page cuts out what limit, after_id and before_id ask for.
func page(models []engine.Model, q url.Values) (_ []engine.Model, more bool, err error) {
	limit := maxPage
	if s := q.Get("limit"); s != "" {
		if limit, err = strconv.Atoi(s); err != nil || limit < 1 || limit > maxPage {
			return nil, false, httpapi.Errorf(http.StatusBadRequest, "limit: must be between 1 and %d", maxPage)
		}
	}
	find := func(name string) (int, error) {
		i := slices.IndexFunc(models, func(m engine.Model) bool { return m.ID == q.Get(name) })
		if i < 0 {
			return 0, httpapi.Errorf(http.StatusBadRequest, "%s: names no model of the list", name)
		}
		return i, nil
	}
	switch {
	case q.Has("before_id"):
		i, err := find("before_id")
		if err != nil {
			return nil, false, err
		}
		return models[max(0, i-limit):i], i > limit, nil
	case q.Has("after_id"):
		i, err := find("after_id")
		if err != nil {
			return nil, false, err
		}
		models = models[i+1:]
	}
	return models[:min(limit, len(models))], len(models) > limit, nil
}

func (d *Dialect) getModel(w http.ResponseWriter, _ *http.Request, p httprouter.Params) error {
	m, err := d.config.Engine.Model(strings.TrimPrefix(p.ByName("model"), "/"))
	if err != nil {
		return err
	}
	wire.Write(w, http.StatusOK, appendModel(nil, m))
	return nil
}

// appendModel appends a model; an unknown date is the epoch, as Anthropic has it.
func appendModel(b []byte, m engine.Model) []byte {
	created := m.Created
	if created.IsZero() {
		created = time.Unix(0, 0)
	}
	title := m.Title
	if title == "" {
		title = m.ID
	}
	b = wire.AppendString(append(b, `{"type":"model","id":`...), m.ID)
	b = wire.AppendString(append(b, `,"display_name":`...), title)
	b = created.UTC().AppendFormat(append(b, `,"created_at":"`...), time.RFC3339)
	b = appendLimit(append(b, `","max_input_tokens":`...), m.ContextWindow)
	b = appendLimit(append(b, `,"max_tokens":`...), m.MaxOutputTokens)
	return append(b, `,"capabilities":null,"lifecycle":"active","line":null,"deprecated_at":null,"retires_at":null}`...)
}

func appendLimit(b []byte, n int64) []byte {
	if n == 0 {
		return append(b, "null"...)
	}
	return strconv.AppendInt(b, n, 10)
}
