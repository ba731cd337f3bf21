package httpapi

import (
	"net/http"

	"github.com/clinvk/clinvk/host/engine"
)

// headerEstimated says that a number of tokens was not counted by the backend.
const headerEstimated = "X-Clinvk-Estimated"

// BeginCount sets the headers that every answer to a count of tokens has. ignored are
// the parameters that were not honoured, by the names that the client used.
func BeginCount(w http.ResponseWriter, r *http.Request, c engine.TokenCount, ignored []string) {
	about(r.Context()).backend = c.Backend
	h := w.Header()
	h.Set(headerBackend, header(c.Backend))
	SetIgnored(h, ignored)
	if c.Estimated {
		h.Set(headerEstimated, "true")
	}
}
